package forms

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

func newDraft(subject string, at db.Time) *Application {
	return &Application{
		ID: id.New(), Form: "hundesteuer", FormVersion: 1, State: Draft, Subject: subject, Level: 1, Language: "de",
		Answers: Answers{"dogs": []any{map[string]any{"name": "Bello"}}}, TakenOver: Answers{"/a": "b"}, CreatedAt: at, EditedAt: at,
	}
}

func inTx(t *testing.T, ctx context.Context, d *db.DB, fn func(tx *db.Tx) error) {
	t.Helper()
	if err := d.Tx(ctx, fn); err != nil {
		t.Fatalf("Tx: %v", err)
	}
}

func TestStore_applications(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{Migrations()}, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		a := newDraft("kim", now)
		inTx(t, ctx, d, func(tx *db.Tx) error { return insertApplication(ctx, tx, a) })
		inTx(t, ctx, d, func(tx *db.Tx) error {
			got, err := lockApplication(ctx, tx, a.ID)
			if err != nil {
				return err
			}
			if mustJSON(t, got) != mustJSON(t, a) {
				t.Errorf("lockApplication:\ngot  %s\nwant %s", mustJSON(t, got), mustJSON(t, a))
			}
			if err := got.Submit(now, "HST-26-AAAAAAAA", 0); err != nil {
				return err
			}
			got.Contact.V = Contact{Name: "Kim Beispiel", Email: "kim@example.org"}
			a = got
			return saveApplication(ctx, tx, got)
		})
		inTx(t, ctx, d, func(tx *db.Tx) error {
			got, err := getApplication(ctx, tx, a.ID)
			if err != nil || mustJSON(t, got) != mustJSON(t, a) {
				t.Errorf("getApplication after saving:\ngot  %s, %v\nwant %s", mustJSON(t, got), err, mustJSON(t, a))
			}
			return err
		})
		twin := newDraft("kim", now)
		twin.Reference = a.Reference
		if err := d.Tx(ctx, func(tx *db.Tx) error { return insertApplication(ctx, tx, twin) }); !db.IsUnique(err) {
			t.Errorf("a second application with the reference %s: got %v, want a violation", a.Ref(), err)
		}
	})
}

func TestStore_listPages(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{Migrations()}, func(t *testing.T, d *db.DB) {
		ctx := dbtest.Tenant(t, "erfurt")
		var want []id.ID
		inTx(t, ctx, d, func(tx *db.Tx) error {
			want = nil
			for i := range 5 {
				a := newDraft("kim", now)
				ref := newReference("HST", now.Time)
				at := db.NewTime(now.Add(time.Duration(i/2) * time.Minute)) // some at the same moment
				a.State, a.Reference, a.SubmittedAt = Delivered, &ref, &at
				if err := insertApplication(ctx, tx, a); err != nil {
					return err
				}
				want = append([]id.ID{a.ID}, want...)
			}
			return insertApplication(ctx, tx, newDraft("kim", now))
		})
		var got []id.ID
		var after position
		for range 4 {
			inTx(t, ctx, d, func(tx *db.Tx) error {
				list, err := listApplications(ctx, tx, Delivered, after, 2)
				for _, a := range list {
					got = append(got, a.ID)
					after = position{a.SubmittedAt.UnixMicro(), a.ID}
				}
				return err
			})
		}
		if mustJSON(t, got) != mustJSON(t, want) {
			t.Errorf("listApplications in pages of two:\ngot  %v\nwant %v", got, want)
		}
	})
}

func TestStore_OtherTenantSeesNothing(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{Migrations()}, func(t *testing.T, d *db.DB) {
		erfurt, jena := dbtest.Tenant(t, "erfurt"), dbtest.Tenant(t, "jena")
		a := newDraft("kim", now)
		ref := "HST-26-BBBBBBBB"
		a.Reference, a.SubmittedAt = &ref, &now
		f := &File{ID: id.New(), ApplicationID: a.ID, Field: "/x", Owner: "citizen:kim", Name: "x.pdf", Type: "application/pdf", At: now}
		loose := &File{ID: id.New(), Field: looseField("hundesteuer", "/x"), Owner: "client:efa", Name: "x.pdf", Type: "application/pdf", At: now}
		p := &Payment{RequestID: a.ID.String(), ApplicationID: a.ID, Attempt: 1, State: PaymentWanted, NextTryAt: now, At: now}
		inTx(t, erfurt, d, func(tx *db.Tx) error {
			return errors.Join(insertApplication(erfurt, tx, a), insertFile(erfurt, tx, f), insertFile(erfurt, tx, loose),
				insertPayment(erfurt, tx, p), addLog(erfurt, tx, a.ID, "submitted", "applicant", ""))
		})
		inTx(t, jena, d, func(tx *db.Tx) error {
			if _, err := getApplication(jena, tx, a.ID); !fault.Is(err, "application_not_found") {
				t.Errorf("getApplication as another tenant: got %v, want application_not_found", err)
			}
			if _, err := lockPayment(jena, tx, p.RequestID); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("lockPayment as another tenant: got %v, want no rows", err)
			}
			if _, err := getFile(jena, tx, f.ID); !errors.Is(err, db.ErrNoRows) {
				t.Errorf("getFile as another tenant: got %v, want no rows", err)
			}
			if ok, err := claimFile(jena, tx, loose.ID, a.ID, "client:efa", "hundesteuer", "/x"); ok || err != nil {
				t.Errorf("claimFile as another tenant: got %v, %v, want false", ok, err)
			}
			if gone, err := deleteDraft(jena, tx, a.ID); gone || err != nil {
				t.Errorf("deleteDraft as another tenant: got %v, %v, want false", gone, err)
			}
			mine, err1 := applicationsOf(jena, tx, "kim")
			list, err2 := listApplications(jena, tx, "", position{}, 10)
			files, err3 := filesOf(jena, tx, a.ID)
			payments, err4 := paymentsOf(jena, tx, a.ID)
			log, err5 := logOf(jena, tx, a.ID)
			if n := len(mine) + len(list) + len(files) + len(payments) + len(log); n != 0 {
				t.Errorf("lists as another tenant: got %d rows, want 0", n)
			}
			a.State = Accepted
			return errors.Join(err1, err2, err3, err4, err5, saveApplication(jena, tx, a))
		})
		inTx(t, erfurt, d, func(tx *db.Tx) error {
			got, err := getApplication(erfurt, tx, a.ID)
			if err == nil && got.State != Draft {
				t.Errorf("after another tenant saved it: got state %s, want draft", got.State)
			}
			return err
		})
	})
}

func TestStore_jobsSeeAllTenants(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{Migrations()}, func(t *testing.T, d *db.DB) {
		d = d.WithClock(func() time.Time { return now.Time })
		for _, slug := range []string{"erfurt", "jena"} {
			ctx := dbtest.Tenant(t, slug)
			old, fresh := newDraft("kim", db.NewTime(now.Add(-31*24*time.Hour))), newDraft("kim", now)
			due := &Payment{RequestID: id.New().String(), ApplicationID: old.ID, Attempt: 1, State: PaymentWanted, NextTryAt: now, At: now}
			unmailed := &Payment{RequestID: id.New().String(), ApplicationID: old.ID, Attempt: 2, State: PaymentOpen, ByMail: true, NextTryAt: now, At: now}
			later := &Payment{RequestID: id.New().String(), ApplicationID: old.ID, Attempt: 3, State: PaymentWanted, NextTryAt: db.NewTime(now.Add(time.Second)), At: now}
			mailed := &Payment{RequestID: id.New().String(), ApplicationID: old.ID, Attempt: 4, State: PaymentOpen, ByMail: true, MailedAt: &now, NextTryAt: now, At: now}
			file := &File{ID: id.New(), Owner: "client:efa", At: db.NewTime(now.Add(-25 * time.Hour))}
			inTx(t, ctx, d, func(tx *db.Tx) error {
				return errors.Join(insertApplication(ctx, tx, old), insertApplication(ctx, tx, fresh), insertPayment(ctx, tx, due), insertPayment(ctx, tx, unmailed),
					insertPayment(ctx, tx, later), insertPayment(ctx, tx, mailed), insertFile(ctx, tx, file))
			})
		}
		sys := db.System(t.Context())
		err := d.Read(sys, func(tx *db.Tx) error {
			drafts, err1 := oldDrafts(sys, tx, db.NewTime(now.Add(-30*24*time.Hour)), 10)
			due, err2 := duePayments(sys, tx, 10)
			loose, err3 := looseFiles(sys, tx, db.NewTime(now.Add(-24*time.Hour)), 10)
			if len(drafts) != 2 || len(due) != 4 || len(loose) != 2 {
				t.Errorf("over two tenants: got %d old drafts, %d due payments, %d loose files, want 2, 4, 2", len(drafts), len(due), len(loose))
			}
			return errors.Join(err1, err2, err3)
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestCatalogue_newVersionOnlyWhenChanged(t *testing.T) {
	t.Parallel()
	dbtest.Each(t, []db.Set{Migrations()}, func(t *testing.T, d *db.DB) {
		body, err := embedded.ReadFile("catalogue/hundesteuer.json")
		if err != nil {
			t.Fatal(err)
		}
		open := func(text string) *catalogue {
			c, err := openCatalogue(t.Context(), d, fstest.MapFS{"hundesteuer.json": {Data: []byte(text)}})
			if err != nil {
				t.Fatalf("openCatalogue: %v", err)
			}
			return c
		}
		first, changed := string(body), string(body)+"\n"
		for i, step := range []struct {
			text string
			want int64
		}{{first, 1}, {first, 1}, {changed, 2}, {first, 1}, {changed, 2}} {
			c := open(step.text)
			def, err := c.get("hundesteuer")
			if err != nil || def.Version != step.want {
				t.Errorf("start %d: got version %d, %v, want %d", i+1, def.Version, err, step.want)
			}
			if other, err := c.version(t.Context(), "hundesteuer", 1); err != nil || other.Version != 1 {
				t.Errorf("start %d: version 1: got %v, want it still to be had", i+1, err)
			}
		}
		if _, err := open(first).get("angelschein"); !fault.Is(err, "unknown_form") {
			t.Errorf("get(angelschein): got %v, want unknown_form", err)
		}
	})
}
