package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"basisdienste/platform/config"
)

// flags are the same for every process.
type flags struct {
	Config      string `help:"Configuration file (YAML). Every key can also be set by the environment: BASIS_SERVER__LISTEN." type:"existingfile" placeholder:"FILE"`
	Data        string `help:"Data folder: secrets and files; databases and event store too, where none are configured. Default: ./data." placeholder:"DIR"`
	Listen      string `help:"Address to listen on. Default: 127.0.0.1:8080." placeholder:"ADDR"`
	PublicURL   string `name:"public-url" help:"URL under which clients reach this process. Default: http://ADDR." placeholder:"URL"`
	Demo        bool   `help:"Make demo tenants and content, and write DIR/demo.json with everything a client needs."`
	PrintConfig bool   `help:"Print the effective configuration, without secrets, and end."`
	CheckConfig bool   `help:"Name every mistake in the configuration and end."`
	Migrate     bool   `help:"Bring the database to this release, as the role of server.database.owner_url, and end."`
}

// errDone ends the process without starting it, successfully.
var errDone = errors.New("done")

// read parses the arguments and loads the configuration.
func read(name string, args, env []string, out io.Writer) (flags, *config.Config, Settings, error) {
	var f flags
	parser, err := kong.New(&f, kong.Name(name), kong.Writers(out, out), kong.Exit(func(int) {}),
		kong.Description("Base services of a municipal IT provider. Without arguments it runs on 127.0.0.1:8080 with the folder ./data."))
	if err != nil {
		return f, nil, Settings{}, err
	}
	for _, a := range args {
		if a == "--help" || a == "-h" {
			if _, err := parser.Parse([]string{"--help"}); err == nil || len(args) > 0 {
				return f, nil, Settings{}, errDone
			}
		}
	}
	if _, err := parser.Parse(args); err != nil {
		return f, nil, Settings{}, fmt.Errorf("%w; see %s --help", err, name)
	}
	overrides := map[string]any{}
	set := func(key, v string) {
		if v != "" {
			overrides["server."+key] = v
		}
	}
	set("listen", f.Listen)
	set("public_url", f.PublicURL)
	set("data_dir", f.Data)
	if f.Demo {
		overrides["server.demo"] = "true"
	}
	cfg, err := config.Load(f.Config, env, overrides)
	if err != nil {
		return f, nil, Settings{}, err
	}
	s := Defaults()
	if err := cfg.Section("server").Decode(&s); err != nil {
		return f, nil, s, err
	}
	s.DataDir, err = filepath.Abs(s.DataDir)
	if err != nil {
		return f, nil, s, err
	}
	return f, cfg, s, os.MkdirAll(s.DataDir, 0o750)
}
