package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"basisdienste/platform/db"
	"basisdienste/platform/runtest"
)

const hooks = "/t/erfurt/staff/webhooks"

var secret = regexp.MustCompile(`whsec_[A-Za-z0-9+/]+=*`)

// giveUp makes the messages that were sent look as after the last try.
func (g *rig) giveUp() {
	g.t.Helper()
	ctx := runtest.Context(g.t, g.erfurt)
	err := g.Process.Host("payment").DB.Tx(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE webhooks_deliveries SET state = 'failed', claims = claims + 1, due_at = NULL, ended_at = ? WHERE tenant_id = ?`, tx.Now(), tx.Tenant())
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := g.staff("erfurt", "kim", admin)
	p.open("/t/erfurt/staff/payments")
	p.follow("Webhooks")
	p.sees(200, "Keine Adresse ist angelegt.")
	p.follow("Adresse anlegen")
	for address, want := range map[string]string{
		"": "Bitte füllen Sie", "kasse": "die mit https:// beginnt", "http://kasse.example/": "die mit https:// beginnt", "https://10.0.0.1/": "in einem privaten Netz",
	} {
		p.send("/new", "url", address)
		if p.Page.Status != 422 && p.Page.Status != 400 {
			t.Errorf("address %q = %d, want 422 or 400", address, p.Page.Status)
		}
		p.sees(p.Page.Status, want)
	}
	p.send("/new", "url", "https://kasse.example/hook", "events", "payment.transaction.payed.v2")
	p.sees(422, "Welche Ereignisse?")
	p.open(hooks + "/new")
	p.send("/new", "url", "https://kasse.example/hook", "description", "Kassenverfahren", "events", "payment.transaction.payed.v1")
	p.sees(201, "Wir zeigen dieses Geheimnis nur jetzt")
	first := secret.FindString(p.Page.Text())
	if first == "" {
		t.Fatalf("after creating, the page shows no secret: %s", p.Page.Text())
	}
	p.follow("Ich habe es kopiert")
	own := p.Page.URL.Path
	p.sees(200, "https://kasse.example/hook", "Eingeschaltet", "Kassenverfahren", "Bezahlt", "Keine Nachrichten")
	p.misses(first)
	p.open(hooks + "/new")
	p.send("/new", "url", "https://kasse.example/hook")
	p.sees(409, "Diese Adresse ist schon angelegt")

	p.open(own)
	p.send("/rotate")
	p.sees(201, "Das alte Geheimnis gilt noch bis")
	if second := secret.FindString(p.Page.Text()); second == "" || second == first {
		t.Errorf("after rotating, the secret is %q, want another than %q", second, first)
	}

	p.open(own)
	p.send("/test")
	p.sees(200, "Die Testnachricht geht gleich hinaus.", "Testnachricht Unterwegs")
	if _, err := p.Page.FormTo("/replay"); err == nil {
		t.Error("what is pending is offered to be sent again, want not")
	}
	g.giveUp()
	p.send(own, "state", "failed")
	p.sees(200, "Testnachricht Aufgegeben", "Noch einmal senden")
	p.send(own, "state", "delivered")
	p.sees(200, "Keine Nachrichten")
	p.open(own)
	p.send("/replay")
	p.sees(200, "Die Nachricht geht gleich noch einmal hinaus.", "Unterwegs")

	g.giveUp()
	p.open(own)
	stale := g.staff("erfurt", "robin", admin)
	stale.open(own)
	p.send("/disable")
	p.sees(200, "Der Webhook ist ausgeschaltet.", "Zustand Ausgeschaltet")
	p.misses("Noch einmal senden", "Testnachricht senden")
	stale.send("/replay")
	stale.sees(409, "Schalten Sie ihn erst ein.")
	p.send("/enable")
	p.sees(200, "Der Webhook ist eingeschaltet.")
	p.open(own + "?lang=en")
	p.sees(200, "Enabled", "Send again", "Given up")
}

func TestWebhooks_OfOthers(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	p := g.staff("erfurt", "kim", admin)
	p.open(hooks + "/new")
	p.send("/new", "url", "https://kasse.example/hook")
	p.follow("Ich habe es kopiert")
	one := strings.TrimPrefix(p.Page.URL.Path, hooks)
	stranger, sasha := g.staff("jena", "juri", admin), g.staff("erfurt", "sasha", clerk)
	if got := stranger.status("/t/jena/staff/webhooks" + one); got != http.StatusNotFound {
		t.Errorf("GET %s by another municipality = %d, want 404", one, got)
	}
	stranger.open("/t/jena/staff/webhooks")
	stranger.sees(200, "Keine Adresse ist angelegt.")
	for _, act := range []string{"/enable", "/disable", "/rotate", "/test", "/deliveries/" + one[1:] + "/replay"} {
		stranger.open("/t/jena/staff/webhooks")
		f := stranger.Page.Forms()[0]
		f.Action, f.Method = "/t/jena/staff/webhooks"+one+act, "POST"
		if err := stranger.Submit(t.Context(), f, "", nil); err == nil || stranger.Page.Status != http.StatusNotFound {
			t.Errorf("POST %s by another municipality = %d, %v; want 404", act, stranger.Page.Status, err)
		}
	}
	sasha.open("/t/erfurt/staff/payments")
	sasha.misses("Webhooks")
	for _, path := range []string{"", "/new", one} {
		if got := sasha.status(hooks + path); got != http.StatusForbidden {
			t.Errorf("GET %s by a clerk = %d, want 403", path, got)
		}
	}
	p.open(hooks + one)
	p.sees(200, "Eingeschaltet", "Keine Nachrichten")
}
