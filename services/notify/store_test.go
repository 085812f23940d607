package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
	"basisdienste/platform/tenant"
)

func TestMailbox(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mid := r.post(t, r.ctx, Mailbox, "citizen-1")
		if got, err := r.Inbox(r.ctx, "citizen-1", "", 10); err != nil || len(got) != 0 {
			t.Errorf("Inbox before delivery = %d, %v, want none", len(got), err)
		}
		r.sendAll(t)
		got, err := r.Inbox(r.ctx, "citizen-1", "", 10)
		if err != nil || len(got) != 1 || got[0].ID != mid || got[0].ReadAt != nil {
			t.Fatalf("Inbox = %+v, %v, want the message, not read", got, err)
		}
		for name, c := range map[string]struct {
			ctx     context.Context
			subject string
		}{"another citizen": {r.ctx, "citizen-2"}, "another tenant": {r.other, "citizen-1"}} {
			if _, err := r.ReadMail(c.ctx, c.subject, mid); !fault.Is(err, "unknown_message") {
				t.Errorf("ReadMail of %s = %v, want unknown_message", name, err)
			}
		}
		if _, err := r.ReadMail(r.ctx, "citizen-1", mid); err != nil {
			t.Fatal(err)
		}
		first := r.message(t, r.ctx, mid).ReadAt
		r.clock.add(time.Hour)
		if _, err := r.ReadMail(r.ctx, "citizen-1", mid); err != nil {
			t.Fatal(err)
		}
		if again := r.message(t, r.ctx, mid).ReadAt; first == nil || !again.Equal(first.Time) {
			t.Errorf("read_at = %v, then %v, want the first time kept", first, again)
		}
		if len(r.local(t)) != 0 {
			t.Error("a message to the mailbox went by mail too")
		}
		if got := r.told(t); !slices.Equal(got, []string{"accepted", "delivered"}) {
			t.Errorf("events = %v", got)
		}
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mail := r.post(t, r.ctx, Email, "erika@example.org", Attachment{"a.txt", "text/plain", []byte("x")})
		box := r.post(t, r.ctx, Mailbox, "citizen-1")
		r.sendAll(t)
		r.clock.add(29 * 24 * time.Hour)
		young := r.post(t, r.ctx, Email, "max@example.org")
		if err := r.forgetOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := r.message(t, r.ctx, mail); m.Recipient == "" {
			t.Error("forgotten after 29 days, want kept for 30")
		}
		r.clock.add(2 * 24 * time.Hour)
		if err := r.forgetOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := r.message(t, r.ctx, mail)
		if m.Recipient != "" || m.Title != "" || m.Body != "" || m.Status != Delivered || m.Reference != "ref" {
			t.Errorf("after 31 days = %+v, want the row without personal data", m)
		}
		if got := r.local(t); len(got) != 0 {
			t.Errorf("local outbox still has %d mails", len(got))
		}
		var n int
		err := r.DB.Read(r.ctx, func(tx *db.Tx) error {
			return tx.Get(r.ctx, &n, `SELECT count(*) FROM attachments WHERE tenant_id = ?`, tx.Tenant())
		})
		if err != nil || n != 0 {
			t.Errorf("%d attachments left, %v, want none", n, err)
		}
		for _, mid := range []id.ID{box, young} {
			if m := r.message(t, r.ctx, mid); m.Recipient == "" {
				t.Errorf("%s message was forgotten too early", m.Channel)
			}
		}
		r.clock.add(365 * 24 * time.Hour)
		if err := r.forgetOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := r.message(t, r.ctx, box); m.Recipient != "" {
			t.Error("the mailbox still holds the message after a year")
		}
		if m := r.message(t, r.ctx, young); m.Recipient == "" {
			t.Error("a message that was never sent was forgotten")
		}
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		mid := r.post(t, r.ctx, Email, "erika@example.org", Attachment{"a.txt", "text/plain", []byte("x")})
		r.post(t, r.ctx, Mailbox, "citizen-1")
		r.sendAll(t)
		if _, err := r.CreateKey(r.ctx, KeyRequest{Name: "k"}); err != nil {
			t.Fatal(err)
		}
		put := PutTemplateRequest{TemplateRequest: TemplateRequest{Name: "own", Language: "de"}, Subject: "s", Body: "b"}
		own, err := r.PutTemplate(r.ctx, put)
		if err != nil {
			t.Fatal(err)
		}
		for name, seen := range map[string]func(ctx context.Context, tx *db.Tx) (bool, error){
			"message": func(ctx context.Context, tx *db.Tx) (bool, error) {
				_, err := message(ctx, tx, mid)
				return !fault.Is(err, "unknown_message"), nil
			},
			"messages": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := messages(ctx, tx, Filter{}, 10)
				return len(rows) > 0, err
			},
			"files": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := files(ctx, tx, mid)
				return len(rows) > 0, err
			},
			"localMails": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := localMails(ctx, tx, localFilter{Tenant: r.erfurt.ID}, 10)
				return len(rows) > 0, err
			},
			"oneLocalMail": func(ctx context.Context, tx *db.Tx) (bool, error) {
				_, err := oneLocalMail(ctx, tx, mid)
				return !fault.Is(err, "unknown_message"), nil
			},
			"inbox": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := inbox(ctx, tx, "citizen-1", "", 10)
				return len(rows) > 0, err
			},
			"apiKeys": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := apiKeys(ctx, tx)
				return len(rows) > 0, err
			},
			"ownTemplates": func(ctx context.Context, tx *db.Tx) (bool, error) {
				rows, err := ownTemplates(ctx, tx)
				return len(rows) > 0, err
			},
			"ownTemplate": func(ctx context.Context, tx *db.Tx) (bool, error) {
				tpl, err := ownTemplate(ctx, tx, own.ID, 0)
				return tpl != nil, err
			},
			"ownVersion": func(ctx context.Context, tx *db.Tx) (bool, error) {
				_, v, err := ownVersion(ctx, tx, "own", "de")
				return v > 0, err
			},
		} {
			for of, ctx := range map[string]context.Context{"its own": r.ctx, "another": r.other} {
				err := r.DB.Read(ctx, func(tx *db.Tx) error {
					got, err := seen(ctx, tx)
					if err == nil && got != (of == "its own") {
						t.Errorf("%s seen by %s tenant = %t", name, of, got)
					}
					return err
				})
				if err != nil {
					t.Errorf("%s as %s tenant: %v", name, of, err)
				}
			}
		}
		if _, err := r.RevokeKey(r.other, RevokeRequest{ID: mid}); !fault.Is(err, "unknown_api_key") {
			t.Errorf("RevokeKey of another = %v, want unknown_api_key", err)
		}
	})
}

func TestTemplates_Own(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		shipped := r.catalogue.find("test-message", "de")
		put := func(subject string) TemplateView {
			v, err := r.PutTemplate(r.ctx, PutTemplateRequest{TemplateRequest: TemplateRequest{Name: "test-message", Language: "de"}, Subject: subject, Body: "Hallo ((name))"})
			if err != nil {
				t.Fatalf("PutTemplate(%s): %v", subject, err)
			}
			return v
		}
		v := put("Eigene")
		if v.ID != shipped.ID || v.Version != shipped.Version+1 || !v.Own {
			t.Errorf("first own version = %+v, want the catalogue's id and its next version", v)
		}
		if again := put("Eigene"); again.Version != v.Version {
			t.Errorf("the same text again = version %d, want %d", again.Version, v.Version)
		}
		if next := put("Zweite"); next.Version != v.Version+1 {
			t.Errorf("another text = version %d, want %d", next.Version, v.Version+1)
		}
		mid := r.post(t, r.ctx, Email, "erika@example.org")
		if m := r.message(t, r.ctx, mid); m.Title != "Zweite" || m.TemplateVersion != v.Version+1 {
			t.Errorf("message = %q of version %d, want the newest own one", m.Title, m.TemplateVersion)
		}
		if m := r.message(t, r.other, r.post(t, r.other, Email, "max@example.org")); m.TemplateVersion != shipped.Version {
			t.Errorf("another tenant's message = version %d, want the catalogue's", m.TemplateVersion)
		}
		for version, want := range map[int64]string{shipped.Version: shipped.Subject, v.Version: "Eigene", 0: "Zweite"} {
			if got, err := r.Template(r.ctx, shipped.ID, version); err != nil || got.Subject != want {
				t.Errorf("Template(version %d) = %v, %v, want %q", version, got, err, want)
			}
		}
		all, err := r.Templates(r.ctx)
		if err != nil || len(all) != len(r.catalogue.newest) {
			t.Errorf("Templates = %d, %v, want %d", len(all), err, len(r.catalogue.newest))
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		k, err := r.CreateKey(r.ctx, KeyRequest{Name: "fach-verfahren"})
		if err != nil {
			t.Fatal(err)
		}
		secret := k.Key[len(k.Key)-36:]
		if service := k.Key[len(k.Key)-73 : len(k.Key)-37]; service != r.erfurt.ID.String() || !strings.HasPrefix(k.Key, "fach-verfahren-") {
			t.Errorf("key = %s, want name, tenant id and secret", k.Key)
		}
		keys, err := r.APIKeys(r.ctx)
		if err != nil || len(keys) != 1 || keys[0].Secret != secret || keys[0].Revoked {
			t.Fatalf("APIKeys = %+v, %v, want the secret", keys, err)
		}
		err = r.DB.Read(r.ctx, func(tx *db.Tx) error {
			rows, err := apiKeys(r.ctx, tx)
			if err == nil && strings.Contains(string(rows[0].Sealed), secret) {
				t.Error("the secret is stored in the clear")
			}
			if _, err := r.unseal(r.jena.ID, rows[0].ID, rows[0].Sealed); err == nil {
				t.Error("a sealed secret opens under another tenant")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if list, err := r.ListKeys(r.ctx, struct{}{}); err != nil || len(list.Items) != 1 || list.Items[0].Key != "" {
			t.Errorf("ListKeys = %+v, %v, want the key without its secret", list, err)
		}
		if v, err := r.RevokeKey(r.ctx, RevokeRequest{ID: k.ID}); err != nil || v.RevokedAt == nil {
			t.Errorf("RevokeKey = %+v, %v", v, err)
		}
		if keys, err := r.APIKeys(r.ctx); err != nil || !keys[0].Revoked {
			t.Errorf("APIKeys after revoking = %+v, %v", keys, err)
		}
	})
}

func TestMigrations_UpAndDown(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		if err := d.MigrateDown(t.Context(), Migrations()); err != nil {
			t.Fatalf("down: %v", err)
		}
		if err := d.Migrate(t.Context(), Migrations()); err != nil {
			t.Fatalf("up again: %v", err)
		}
	})
}

// On PostgreSQL, with statistics or without, no more is claimed than was asked for.
func TestStore_ClaimsNoMoreThanAsked(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, sets(), func(t *testing.T, d *db.DB) {
		r := newRig(t, d, nil)
		const made, asked = 24, 4
		for i := range made {
			r.post(t, r.ctx, Mailbox, fmt.Sprint("citizen-", i))
		}
		of, _ := tenant.From(r.ctx)
		sys := db.System(t.Context())
		for claimed := 0; claimed < made; claimed += asked {
			var list []Message
			err := r.DB.Tx(sys, func(tx *db.Tx) (err error) {
				list, err = claim(sys, tx, of.ID, "me", time.Minute, asked)
				return err
			})
			if err != nil || len(list) != asked {
				t.Fatalf("claim after %d = %d messages, %v; want %d", claimed, len(list), err, asked)
			}
		}
	})
}
