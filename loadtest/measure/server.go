package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	"basisdienste/services/basis/process"
)

// control asks the server about itself; the load has its own clients.
var control = &http.Client{Timeout: 30 * time.Second}

// freshBasis makes an installation with demo content in the options' data folder, stops it, so
// that all it has is in its tables, and starts it again for the load. It sets the options' URL
// and returns how many bytes the folder had in between.
func freshBasis(ctx context.Context, o *options) (*process.Process, int64, error) {
	addr, err := process.FreeAddress(ctx)
	if err != nil {
		return nil, 0, err
	}
	o.URL = "http://" + addr
	p, err := process.Basis(o.Basis, addr, o.Data, process.Unlimited()...)
	if err != nil {
		return nil, 0, err
	}
	if err := p.Start(ctx); err != nil {
		return nil, 0, err
	}
	if o.Municipalities != "" {
		err = o.importAll(ctx)
		if err == nil {
			err = settle(ctx, []string{o.URL + "/metrics"})
		}
	}
	if err := errors.Join(err, p.Stop()); err != nil {
		return nil, 0, err
	}
	bytes, err := size(o.Data)
	if err != nil {
		return nil, 0, err
	}
	return p, bytes, p.Start(ctx)
}

// importAll makes tenants of all municipalities and switches the demo's client on for them.
func (o *options) importAll(ctx context.Context) error {
	demo := filepath.Join(o.Data, "demo.json")
	for _, args := range [][]string{{"tenants", "import", "--active", o.Municipalities}, {"clients", "enable", "efa-demo", "--all"}} {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, o.Basisctl, append([]string{"--demo", demo}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("basisctl %v: %w\n%s", args, err, out.Bytes())
		}
	}
	return nil
}

// size is the sum of all files below a folder, in bytes. Files may come and go meanwhile.
func size(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
