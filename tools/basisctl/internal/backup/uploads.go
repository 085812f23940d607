package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"basisdienste/platform/db"
)

// kept holds on to uploaded files by hard links, so that what citizens delete while the backup
// runs is still there for the applications of the instant that name it. A file never changes
// once it is there. On a file system without hard links files are read where they are.
type kept struct {
	from, links string
	plain       bool // no hard links here
	lock        *os.File
}

// newKept begins with nothing kept: what a backup that was killed left behind is removed. One
// backup of a data folder runs at a time.
func newKept(from, data string) (_ *kept, err error) {
	k := &kept{from: from, links: filepath.Join(data, ".backup")}
	if k.lock, err = os.OpenFile(filepath.Join(data, ".backup.lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	err = syscall.Flock(int(k.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("another backup of %s is running", data), k.lock.Close())
	}
	if err == nil {
		err = os.RemoveAll(k.links)
	}
	if err == nil {
		err = os.Mkdir(k.links, 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, k.lock.Close())
	}
	return k, nil
}

func (k *kept) close() error { return errors.Join(os.RemoveAll(k.links), k.lock.Close()) }

// all takes what is there now and was not before.
func (k *kept) all(ctx context.Context) error {
	if k.plain {
		return nil
	}
	tenants, err := os.ReadDir(k.from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if !t.IsDir() || t.Name() == "incoming" { // where uploads arrive
			continue
		}
		files, err := os.ReadDir(filepath.Join(k.from, t.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.MkdirAll(filepath.Join(k.links, t.Name()), 0o700); err != nil {
			return err
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := os.Link(filepath.Join(k.from, t.Name(), f.Name()), filepath.Join(k.links, t.Name(), f.Name()))
			if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
				k.plain = true
				return nil
			}
		}
	}
	return nil
}

// upload is a row of the table files.
type upload struct {
	Tenant string `db:"tenant_id"`
	ID     string `db:"id"`
	Size   int64  `db:"size"`
	SHA256 string `db:"sha256"`
}

const uploadPage = 1000

// named returns the files that the copied database names. One that is gone was deleted since the
// instant; if the living database still names it, the backup cannot be complete.
func (k *kept) named(ctx context.Context, copied, living string) (out []entry, err error) {
	var missing []upload
	err = eachUpload(ctx, copied, func(u upload) {
		e := entry{name: filesDir + "/" + u.Tenant + "/" + u.ID, sha256: u.SHA256}
		for _, root := range []string{k.links, k.from} {
			e.path = filepath.Join(root, u.Tenant, u.ID)
			if info, err := os.Stat(e.path); err == nil {
				e.size = info.Size()
				out = append(out, e)
				return
			}
		}
		missing = append(missing, u)
	})
	if err != nil || len(missing) == 0 {
		return out, err
	}
	still := map[upload]bool{}
	if err := eachUpload(ctx, living, func(u upload) { still[u] = true }); err != nil {
		return nil, err
	}
	for _, u := range missing {
		if still[u] {
			return nil, fmt.Errorf("the uploaded file %s/%s is not in %s; is forms.files_dir another folder? Then give it as --files", u.Tenant, u.ID, k.from)
		}
	}
	return out, nil
}

// eachUpload reads the table files of a database.
func eachUpload(ctx context.Context, file string, f func(upload)) (err error) {
	d, err := db.Open(ctx, db.Config{URL: "sqlite:" + file, Conns: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	ctx = db.System(ctx)
	for last := (upload{}); ; {
		var rows []upload
		err := d.Read(ctx, func(tx *db.Tx) error {
			return tx.Select(ctx, &rows, `SELECT tenant_id, id, size, sha256 FROM files WHERE (tenant_id, id) > (?, ?) ORDER BY tenant_id, id LIMIT ?`,
				last.Tenant, last.ID, uploadPage)
		})
		if err != nil {
			return err
		}
		for _, u := range rows {
			f(u)
			last = u
		}
		if len(rows) < uploadPage {
			return nil
		}
	}
}
