package deploytest_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mostExposed is the highest exposure that `systemd-analyze security` may find, in tenths; a
// unit without any hardening has 96.
const mostExposed = 15

// unitRoot is a file system with our units and programs as they are installed.
func unitRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "etc/systemd/system"), os.DirFS("../systemd")); err != nil {
		t.Fatal(err)
	}
	// What systemd itself brings along and our units name.
	for _, name := range []string{
		"network-online.target", "network.target", "multi-user.target", "basic.target", "sysinit.target", "shutdown.target",
		"sockets.target", "paths.target", "timers.target", "slices.target", "local-fs.target", "local-fs-pre.target", "swap.target", "umount.target",
	} {
		write(t, filepath.Join(root, "usr/lib/systemd/system", name), "[Unit]\nDescription="+name+"\n")
	}
	for _, s := range append(append([]string{"basis"}, owners...), readers...) {
		bin := write(t, filepath.Join(root, "usr/lib/basisdienste/bin", s+"d"), "#!/bin/sh\n")
		if s == "basis" {
			bin = write(t, filepath.Join(root, "usr/lib/basisdienste/bin/basis"), "#!/bin/sh\n")
		}
		if err := os.Chmod(bin, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestSystemd(t *testing.T) {
	t.Parallel()
	analyze, root := program(t, "systemd-analyze", "systemd"), unitRoot(t)
	units := []string{"basis.service", "basisdienste.target"}
	for _, s := range append(append([]string{}, owners...), readers...) {
		units = append(units, "basisdienste@"+s+".service", "basisdienste-migrate@"+s+".service")
	}
	args := []string{"verify", "--root=" + root, "--man=no"}
	for _, u := range units {
		args = append(args, filepath.Join("/etc/systemd/system", u))
	}
	if out, err := output(t, nil, analyze, args...); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("systemd-analyze verify = %v, says\n%s\nwant nothing", err, out)
	}
	for _, u := range []string{"basis.service", "basisdienste@.service", "basisdienste-migrate@.service"} {
		out, err := output(t, nil, analyze, "security", "--offline=true", "--no-pager", "--threshold="+strconv.Itoa(mostExposed), shipped(t, "systemd/"+u))
		if err != nil {
			t.Errorf("systemd-analyze security %s is above %d: %v\n%s", u, mostExposed, err, out)
		}
	}
}

// TestSystemd_MistakesAreFound: the check above would see a unit that is wrong.
func TestSystemd_MistakesAreFound(t *testing.T) {
	t.Parallel()
	analyze, root := program(t, "systemd-analyze", "systemd"), unitRoot(t)
	for name, change := range map[string][3]string{
		"unknown setting": {"ProtectSystem=strict", "ProtectSystems=strict", "ProtectSystems"},
		"no program":      {"/usr/lib/basisdienste/bin/", "/usr/lib/basisdienste/sbin/", "sbin/basis"},
		"wrong value":     {"Restart=always", "Restart=ever", "ever"},
	} {
		unit := filepath.Join(root, "etc/systemd/system", "basis.service")
		write(t, unit, strings.Replace(read(t, shipped(t, "systemd/basis.service")), change[0], change[1], 1))
		if out, err := output(t, nil, analyze, "verify", "--root="+root, "--man=no", "/etc/systemd/system/basis.service"); !strings.Contains(out, change[2]) {
			t.Errorf("systemd-analyze verify with %s = %v, says %q, want %s named", name, err, out, change[2])
		}
	}
	out, err := output(t, nil, analyze, "security", "--offline=true", "--no-pager", "--threshold="+strconv.Itoa(mostExposed),
		write(t, filepath.Join(t.TempDir(), "open.service"), "[Service]\nExecStart=/bin/true\n"))
	if err == nil {
		t.Errorf("systemd-analyze security of a unit without hardening = nil, want above the threshold\n%s", out)
	}
}
