package treasury

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/money"
	"basisdienste/platform/run"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
	"basisdienste/services/payment/camt/camttest"
)

// fill makes n claims of one day, each of two budget lines, and pays nine in ten.
func fill(b *testing.B, d *db.DB, ctx context.Context, day period, n int) {
	b.Helper()
	const step = 50_000
	from := day.from.UnixMicro()
	for at := 0; at < n; at += step {
		err := d.Tx(ctx, func(tx *db.Tx) error {
			const series = `WITH RECURSIVE s(i) AS (SELECT CAST(? AS BIGINT) UNION ALL SELECT i + 1 FROM s WHERE i < ?) `
			const claim = `'0198f0c4-5e6f-7a8b-9c0d-0' || CAST(10000000000 + i AS TEXT)`
			for _, fillWith := range []string{
				`INSERT INTO transactions (tenant_id, authority, id, originator_id, end_point_id, request_id, created_by, amount, currency, purpose, description,
					redirect_url, items, document, content_hash, kassenzeichen, state, reason, method, method_detail, declines, created_at, expires_at, ended_at) ` + series +
					`SELECT ?, '16051000', ` + claim + `, 'bewohnerparken', '16051000', 'r-' || CAST(i AS TEXT), '', 3070, 'EUR', '', 'Ausweis',
					'https://dienst.example/', '[]', '{}', '', 'K' || CAST(10000000 + i AS TEXT), CASE WHEN i % 10 = 0 THEN 'INITIAL' ELSE 'PAYED' END, '',
					CASE WHEN i % 10 = 0 THEN '' WHEN i % 3 = 0 THEN 'OTHER' ELSE 'CREDITCARD' END, '', 0, ? + i * 86400, ? + i * 86400, CASE WHEN i % 10 = 0 THEN NULL ELSE ? + i * 86400 END FROM s`,
				`INSERT INTO ledger (tenant_id, transaction_id, kind, reference, n, debit, credit, amount, at) ` + series +
					`SELECT ?, ` + claim + `, 'claim', '', 0, 'claims', 'revenue/1100.' || CAST(i % 50 AS TEXT), 2070, ? + i * 86400 FROM s WHERE CAST(? AS BIGINT) >= 0 AND CAST(? AS BIGINT) >= 0`,
				`INSERT INTO ledger (tenant_id, transaction_id, kind, reference, n, debit, credit, amount, at) ` + series +
					`SELECT ?, ` + claim + `, 'claim', '', 1, 'claims', 'revenue/2200', 1000, ? + i * 86400 FROM s WHERE CAST(? AS BIGINT) >= 0 AND CAST(? AS BIGINT) >= 0`,
				`INSERT INTO ledger (tenant_id, transaction_id, kind, reference, n, debit, credit, amount, at) ` + series +
					`SELECT ?, ` + claim + `, 'paid', 'a', 0, 'clearing/stripe', 'claims', 3070, ? + i * 86400 FROM s WHERE i % 10 <> 0 AND CAST(? AS BIGINT) >= 0 AND CAST(? AS BIGINT) >= 0`,
			} {
				if _, err := tx.Exec(ctx, fillWith, at, at+step-1, tx.Tenant(), from, from, from); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDay closes and exports a day of a million transactions (2.9 million bookings).
func BenchmarkDay(b *testing.B) {
	const transactions = 1_000_000
	for name, open := range map[string]func(testing.TB, ...db.Set) *db.DB{"sqlite": dbtest.New, "postgres": dbtest.NewPostgres} {
		b.Run(name, func(b *testing.B) {
			zone, err := time.LoadLocation("Europe/Berlin")
			if err != nil {
				b.Fatal(err)
			}
			s := &service{db: open(b, payment.Migrations(), Migrations()), zone: zone, clock: func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }}
			day, err := s.periodOf("2026-11-20", "2026-11-20")
			if err != nil {
				b.Fatal(err)
			}
			ctx := dbtest.Tenant(b, "erfurt")
			fill(b, s.db, ctx, day, transactions)
			b.Run("closing", func(b *testing.B) {
				b.ReportAllocs()
				began := runtest.CPU(b)
				for b.Loop() {
					c, err := s.sums(ctx, day)
					if err != nil || c.Difference != 0 || c.Bookings[2].Count != transactions/10*9 {
						b.Fatalf("sums = %+v, %v, want %d payments and no difference", c, err, transactions/10*9)
					}
				}
				b.ReportMetric((runtest.CPU(b)-began).Seconds()/float64(b.N), "cpu-s/op") // of this process; PostgreSQL has its own
			})
			b.Run("export", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w := &counting{writer: comma(io.Discard)}
					if err := s.write(ctx, w, head{}, day, exports["payments"]); err != nil || w.rows != transactions/10*9*2 {
						b.Fatalf("write = %d rows, %v, want %d", w.rows, err, transactions/10*9*2)
					}
				}
				b.ReportMetric(transactions/10*9*2*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		})
	}
}

// counting counts rows on their way.
type counting struct {
	writer
	rows int
}

func (c *counting) row(r Row) error {
	c.rows++
	return c.writer.row(r)
}

// reopen makes every claim payable again.
func reopen(b *testing.B, d *db.DB, ctx context.Context) {
	b.Helper()
	err := d.Tx(ctx, func(tx *db.Tx) error {
		for _, undo := range []string{
			`UPDATE transactions SET state = 'INITIAL', method = '', ended_at = NULL, expires_at = 4102444800000000 WHERE tenant_id = ?`,
			`DELETE FROM attempts WHERE tenant_id = ?`,
		} {
			if _, err := tx.Exec(ctx, undo, tx.Tenant()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkImport imports a statement of 20,000 movements, from the file to the end of matching,
// for a municipality that has as many claims. paying=n: n in a hundred movements pay one of them;
// the others name none.
func BenchmarkImport(b *testing.B) {
	const moves = 20_000
	for name, options := range map[string][]runtest.Option{"sqlite": nil, "postgres": {runtest.Postgres()}} {
		for _, paying := range []int{0, 5, 100} {
			b.Run(fmt.Sprintf("%s/paying=%d", name, paying), func(b *testing.B) {
				var s *service
				part := payment.Part{Migrations: Part().Migrations, Open: func(_ context.Context, h *run.Host, p *payment.Service) (payment.Opened, error) {
					s = &service{db: h.DB, dir: h.Dir, payments: p, dataDir: h.DataDir, zone: time.UTC, clock: h.Clock, log: h.Log}
					return payment.Opened{}, nil
				}}
				e := runtest.Start(b, []run.App{payment.New(part)}, options...)
				ctx := runtest.Context(b, e.Tenant("erfurt", "160510000000"))
				day := period{from: time.Now().Add(-time.Hour)}
				fill(b, s.db, ctx, day, moves)
				b.ReportAllocs()
				var cpu, spent time.Duration
				for n := 0; b.Loop(); n++ {
					statement := camttest.Statement{ID: fmt.Sprint("S-", n), Sequence: n + 1, Opening: 100}
					for i := range moves {
						move := camttest.Entry{Amount: money.Amount(3070), EndToEnd: fmt.Sprint("E-", i), Text: []string{fmt.Sprintf("Rechnung 2026-%07d vom 20.11.", i)}}
						if i%100 < paying {
							move.Text[0] = fmt.Sprintf("Kassenzeichen K%d", 10_000_000+i)
						}
						statement.Entries = append(statement.Entries, move)
					}
					file := strings.NewReader(camttest.String("camt.053.001.08", statement))
					reopen(b, s.db, ctx)
					began, before := time.Now(), runtest.CPU(b)
					list, err := s.Import(ctx, file)
					for err == nil && list[0].State != "done" {
						if _, err = s.match(ctx, &list[0], moves); err == nil {
							list[0], err = s.Statement(ctx, list[0].ID)
						}
					}
					cpu, spent = cpu+runtest.CPU(b)-before, spent+time.Since(began)
					if err != nil || list[0].Matched != int64(moves*paying/100) {
						b.Fatalf("Import = %+v, %v, want %d matched", list, err, moves*paying/100)
					}
				}
				b.ReportMetric(moves*float64(b.N)/spent.Seconds(), "entries/s")
				b.ReportMetric(float64(cpu.Microseconds())/moves/float64(b.N), "cpu-us/entry") // of this process; PostgreSQL has its own
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
