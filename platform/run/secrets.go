package run

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const secretSize = 32

// secret returns the installation's secret of that name. Where a service key is configured
// it is derived from that, so that all processes have the same. Otherwise it is in the data
// folder, readable by the owner alone, and the first call makes it.
func (p *Process) secret(name string) ([]byte, error) {
	if key := p.settings.ServiceSecret; key != "" {
		return hkdf.Key(sha256.New, []byte(key), nil, "basisdienste secret "+name, secretSize)
	}
	p.secrets.Lock()
	defer p.secrets.Unlock()
	dir := filepath.Join(p.settings.DataDir, "secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, filepath.Base(name))
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		key := make([]byte, secretSize)
		rand.Read(key) // never fails since Go 1.24
		return key, writeFile(file, []byte(hex.EncodeToString(key)+"\n"))
	}
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != secretSize {
		return nil, fmt.Errorf("secret %s is damaged: want %d bytes in hexadecimal", file, secretSize)
	}
	return key, nil
}

// serviceKey is what the services identify themselves to auth with.
func (p *Process) serviceKey() ([]byte, error) {
	if s := p.settings.ServiceSecret; s != "" {
		return []byte(s), nil
	}
	return p.secret("service-key")
}

// writeFile replaces a file as a whole, readable by the owner alone, and syncs it.
func writeFile(file string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(text); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

// syncDir puts the names in a folder on the disk.
func syncDir(dir string) (err error) {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock waits for the lock on a file, which it makes; it is gone when the process is.
func lock(file string) (unlock func() error, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", file, err), f.Close())
	}
	return f.Close, nil
}
