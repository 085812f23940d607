package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"basisdienste/tools/basisctl/internal/backup"
)

type backupCmd struct {
	Data      string   `required:"" help:"Data folder of basis." placeholder:"DIR" type:"existingdir"`
	To        string   `required:"" help:"The file to make: NAME.tar.zst, NAME.tar.gz, either with .age if it is encrypted; - is standard output (zstd)." placeholder:"FILE"`
	EncryptTo []string `help:"Encrypt to this age recipient (age1…), so that only who has its identity can read the backup; may be repeated." placeholder:"RECIPIENT"`
	Files     string   `help:"Folder of uploaded files, if forms.files_dir is not in the data folder." placeholder:"DIR" type:"existingdir"`
	Temp      string   `help:"Where copies of the databases stand meanwhile, as large as they are. Default: beside FILE." placeholder:"DIR" type:"existingdir"`
}

func (backupCmd) Help() string {
	return `basis keeps running. All databases are copied as they are at one instant, for which writing pauses
some milliseconds, with the uploaded files of that instant and the folder of secrets. Run it as the
user that basis runs as. FILE appears when it is complete, readable by you alone; it is never
overwritten.

A backup holds personal data and keys. Encrypt it: make an identity once (age-keygen -o backup.key),
keep it where the backups are not, and give its public key. A configuration file, with a service_key
or auth.master_key in it, is not part of the data folder: keep a copy of it as well.

How often, for how long, how to rehearse: docs/backup.md.

Examples:

  basisctl backup --data /var/lib/basis --to /backup/basis-$(date +%F).tar.zst
  basisctl backup --data /var/lib/basis --to /backup/basis-$(date +%F).tar.zst.age --encrypt-to age1…
  basisctl backup --data /var/lib/basis --to - | ssh vault 'cat > basis.tar.zst'`
}

func (c *backupCmd) Run(a *app) (err error) {
	progress, end := a.share("backup")
	defer end()
	o := backup.Options{Data: c.Data, Files: c.Files, Temp: c.Temp, Clock: time.Now, Progress: progress}
	for _, text := range c.EncryptTo {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return usage("--encrypt-to: %w", err)
		}
		o.Recipients = append(o.Recipients, r)
	}
	began := time.Now()
	if c.To == "-" {
		if f, ok := a.out.(*os.File); ok && isTerminal(f) {
			return usage("--to -: standard output is a terminal; send it to a file or a program")
		}
		made, err := backup.Make(a.ctx, o, a.out)
		if err != nil {
			return err
		}
		end()
		return c.say(a, a.err, made, time.Since(began))
	}
	switch name := strings.TrimSuffix(c.To, ".age"); {
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		o.Gzip = true
	case !strings.HasSuffix(name, ".tar.zst"):
		return usage("--to: %q ends neither in .tar.zst nor in .tar.gz", c.To)
	}
	if strings.HasSuffix(c.To, ".age") != (len(o.Recipients) > 0) {
		return usage("--to: a name that ends in .age and --encrypt-to go together")
	}
	if o.Temp == "" {
		o.Temp = filepath.Dir(c.To)
	}
	made, err := c.write(a, o)
	if err != nil {
		return err
	}
	end()
	return c.say(a, a.out, made, time.Since(began))
}

// write makes the file under another name and gives it its own when it is complete and on the
// disk, without replacing what is there.
func (c *backupCmd) write(a *app, o backup.Options) (made backup.Made, err error) {
	taken := fmt.Errorf("%s is there already; it is not overwritten", c.To)
	if _, err := os.Lstat(c.To); err == nil {
		return made, taken
	}
	f, err := os.CreateTemp(filepath.Dir(c.To), "."+filepath.Base(c.To)+"-*") // 0600
	if err != nil {
		return made, err
	}
	defer func() {
		f.Close()
		if rerr := os.Remove(f.Name()); !errors.Is(rerr, os.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}()
	if made, err = backup.Make(a.ctx, o, f); err != nil {
		return made, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return made, err
	}
	err = os.Link(f.Name(), c.To)
	switch {
	case errors.Is(err, os.ErrExist):
		return made, taken
	case err != nil: // no hard links here
		err = os.Rename(f.Name(), c.To)
	}
	if err != nil {
		return made, err
	}
	dir, err := os.Open(filepath.Dir(c.To))
	if err != nil {
		return made, err
	}
	return made, errors.Join(dir.Sync(), dir.Close())
}

func (c *backupCmd) say(a *app, to io.Writer, made backup.Made, took time.Duration) error {
	m := made.Manifest
	for _, name := range m.Damaged {
		fmt.Fprintf(a.err, "basisctl: %s does not hold what was uploaded; it is in the backup as it is\n", name)
	}
	if a.json {
		return json.NewEncoder(to).Encode(map[string]any{
			"file": c.To, "at": m.At, "size": made.Size, "sha256": made.SHA256, "seconds": took.Seconds(), "pause_seconds": made.Held.Seconds(),
			"databases": len(m.Databases), "uploads": m.Uploads(), "bytes": m.Bytes(), "damaged": len(m.Damaged),
		})
	}
	_, err := fmt.Fprintf(to, "%s: %s of data in %s, %d databases and %d uploaded files as of %s\n  took %s, writing paused %s\n  sha256 %s\n",
		c.To, megabytes(m.Bytes()), megabytes(made.Size), len(m.Databases), m.Uploads(), m.At.Local().Format(time.DateTime),
		took.Round(10*time.Millisecond), made.Held.Round(100*time.Microsecond), made.SHA256)
	return err
}

// megabytes writes a size as people read it.
func megabytes(n int64) string {
	if n < 1e6 {
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// share returns what shows progress, or nil, and what takes it away in the end.
func (a *app) share(what string) (show func(done, total int64), end func()) {
	if !a.progress {
		return nil, func() {}
	}
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); now.Sub(last) >= meterEvery {
			last = now
			fmt.Fprintf(a.err, "\r%s %3d %%, %s of %s\033[K", what, done*100/max(total, 1), megabytes(done), megabytes(total))
		}
	}, func() { fmt.Fprint(a.err, "\r\033[K") }
}
