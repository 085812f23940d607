package main

import (
	"encoding/json"
	"io"
	"net/http"
	"time"
)

type keysCmd struct {
	Rotate keysRotateCmd `cmd:"" help:"Bring an issuer's next signing key."`
}

type keysRotateCmd struct {
	Issuer string `arg:"" help:"Slug of the tenant, or operator."`
	Now    bool   `help:"The key is no longer secret: drop it at once, and with it all tokens that it signed."`
}

func (keysRotateCmd) Help() string {
	return `Without --now the new key is published first and signs later, and tokens of the old key stay
good until they expire: nobody notices.

Examples:

  basisctl keys rotate erfurt
  basisctl keys rotate operator --now`
}

func (c *keysRotateCmd) Run(a *app) error {
	var answer json.RawMessage
	err := a.api.call(a.ctx, http.MethodPost, "/operator/auth/v1/issuers/"+escape(c.Issuer)+"/rotate-keys", map[string]bool{"immediately": c.Now}, &answer)
	if err != nil {
		return err
	}
	return a.show(answer, func(w io.Writer) error {
		var keys struct {
			Items []struct {
				KID       string     `json:"kid"`
				SignsFrom time.Time  `json:"signs_from"`
				GoneAt    *time.Time `json:"gone_at"`
			}
		}
		if err := json.Unmarshal(answer, &keys); err != nil {
			return err
		}
		var rows [][]string
		for _, k := range keys.Items {
			gone := "-"
			if k.GoneAt != nil {
				gone = k.GoneAt.Local().Format(time.DateTime)
			}
			rows = append(rows, []string{k.KID, k.SignsFrom.Local().Format(time.DateTime), gone})
		}
		return table(w, "KEY SIGNS-FROM GONE-AT", rows)
	})
}
