package run_test

import (
	"log/slog"
	"testing"
	"time"

	"basisdienste/platform/config"
	"basisdienste/platform/db"
	"basisdienste/platform/dbtest"
	"basisdienste/platform/fault"
	"basisdienste/platform/run"
)

// TestDatabaseSettings_Arrive reads the bounds of a configuration back from PostgreSQL.
func TestDatabaseSettings_Arrive(t *testing.T) {
	t.Parallel()
	on := dbtest.PostgresConfig(t)
	cfg, err := config.Load("", nil, map[string]any{
		"server.listen": "127.0.0.1:0", "server.data_dir": t.TempDir(), "server.log.access": "false",
		"server.database.url": on.URL, "server.database.owner_url": on.OwnerURL, "server.database.schema_prefix": on.Schema + "_",
		"server.database.connections": "1", "server.database.wait_time": "2s",
		"server.database.statement_time": "7s", "server.database.lock_time": "3s", "server.database.idle_time": "11s",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := run.Defaults()
	if err := cfg.Section("server").Decode(&s); err != nil {
		t.Fatal(err)
	}
	p, err := run.Start(t.Context(), cfg, s, slog.New(slog.DiscardHandler), app())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	ctx, d := db.System(t.Context()), p.Host("payment").DB
	err = d.Read(ctx, func(tx *db.Tx) error {
		for key, want := range map[string]string{"statement_timeout": "7s", "lock_timeout": "3s", "idle_in_transaction_session_timeout": "11s"} {
			var got string
			if err := tx.Get(ctx, &got, `SELECT current_setting(?)`, key); err != nil {
				return err
			}
			if got != want {
				t.Errorf("%s = %s, want %s", key, got, want)
			}
		}
		began := time.Now() // the one connection is ours
		err := d.Read(ctx, func(tx *db.Tx) error { return tx.Get(ctx, new(int), `SELECT 1`) })
		if took := time.Since(began); !fault.Is(err, "database_unavailable") || took < 2*time.Second || took >= 5*time.Second {
			t.Errorf("a second transaction = %v after %v, want database_unavailable after 2s", err, took)
		}
		return nil
	})
	if err != nil {
		t.Errorf("read the settings: %v", err)
	}
}
