package treasury

import (
	"context"
	"io"
	"testing"
	"time"

	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/runtest"
	"basisdienste/services/payment"
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
					'https://dienst.example/', '[]', '{}', '', 'K' || CAST(i AS TEXT), CASE WHEN i % 10 = 0 THEN 'INITIAL' ELSE 'PAYED' END, '',
					CASE WHEN i % 10 = 0 THEN '' WHEN i % 3 = 0 THEN 'OTHER' ELSE 'CREDITCARD' END, '', 0, ? + i * 86400, ? + i * 86400, CASE WHEN i % 10 = 0 THEN NULL ELSE ? + i * 86400 END FROM s`,
				`INSERT INTO ledger (tenant_id, transaction_id, kind, reference, n, debit, credit, amount, at) ` + series +
					`SELECT ?, ` + claim + `, 'claim', '', 0, 'claims', 'revenue/1100.' || CAST(i % 50 AS TEXT), 2070, ? + i * 86400 FROM s WHERE ? >= 0 AND ? >= 0`,
				`INSERT INTO ledger (tenant_id, transaction_id, kind, reference, n, debit, credit, amount, at) ` + series +
					`SELECT ?, ` + claim + `, 'claim', '', 1, 'claims', 'revenue/2200', 1000, ? + i * 86400 FROM s WHERE ? >= 0 AND ? >= 0`,
				`INSERT INTO ledger (tenant_id, transaction_id, kind, reference, n, debit, credit, amount, at) ` + series +
					`SELECT ?, ` + claim + `, 'paid', 'a', 0, 'clearing/stripe', 'claims', 3070, ? + i * 86400 FROM s WHERE i % 10 <> 0 AND ? >= 0 AND ? >= 0`,
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
