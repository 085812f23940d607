package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"filippo.io/age"

	"basisdienste/tools/basisctl/internal/backup"
)

type restoreCmd struct {
	From     string `required:"" help:"The backup." placeholder:"FILE" type:"existingfile"`
	Data     string `help:"Data folder to make; it is empty or not there yet." placeholder:"DIR"`
	Check    bool   `help:"Only check the backup, every byte of it; write nothing."`
	Identity string `help:"File with the age identity that an encrypted backup was made for." placeholder:"FILE" type:"existingfile"`
}

func (restoreCmd) Help() string {
	return `The whole backup is checked before anything is written; the folder appears when it is complete.
Then start basis on it, with the same configuration and public_url as before: everything is as it was
at the instant of the backup, but that everybody has to log in again. What was written since is lost.
Run it as the user that basis runs as. Uploaded files come to DIR/forms/files; move them if
forms.files_dir is another folder.

What a restore means for neighbours that are newer, and for payments made since: docs/backup.md.

Examples:

  basisctl restore --from basis-2026-11-22.tar.zst --check
  basisctl restore --from basis-2026-11-22.tar.zst --data /var/lib/basis
  basisctl restore --from basis-2026-11-22.tar.zst.age --identity backup.key --data /var/lib/basis`
}

func (c *restoreCmd) Run(a *app) error {
	if c.Check == (c.Data != "") {
		return usage("give --data DIR to restore, or --check to check only")
	}
	progress, end := a.share("read")
	defer end()
	s := backup.Source{Path: c.From, Progress: progress}
	if c.Identity != "" {
		f, err := os.Open(c.Identity)
		if err != nil {
			return usage("--identity: %w", err)
		}
		defer f.Close()
		if s.Identities, err = age.ParseIdentities(f); err != nil {
			return usage("--identity: %w", err)
		}
	}
	began := time.Now()
	var m *backup.Manifest
	var err error
	if c.Check {
		m, err = backup.Check(a.ctx, s)
	} else {
		m, err = backup.Restore(a.ctx, s, c.Data)
	}
	if err != nil {
		return err
	}
	end()
	took := time.Since(began)
	if a.json {
		return json.NewEncoder(a.out).Encode(map[string]any{
			"at": m.At, "product": m.Product, "databases": m.Databases, "uploads": m.Uploads(), "bytes": m.Bytes(), "seconds": took.Seconds(), "damaged": m.Damaged,
		})
	}
	done := "is complete and undamaged"
	if !c.Check {
		done = "is restored to " + c.Data
	}
	_, err = fmt.Fprintf(a.out, "%s %s: %s, %d databases and %d uploaded files as of %s, made by %s\n  took %s\n",
		c.From, done, megabytes(m.Bytes()), len(m.Databases), m.Uploads(), m.At.Local().Format(time.DateTime), m.Product, took.Round(10*time.Millisecond))
	return err
}
