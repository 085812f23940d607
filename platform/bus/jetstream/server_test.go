package jetstream_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"basisdienste/platform/bus/jetstream"
)

// lockedDir makes this test program a second process that wants the folder it names.
const lockedDir = "JETSTREAM_TEST_LOCKED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(lockedDir); dir != "" {
		_, err := jetstream.StartServer(dir)
		fmt.Fprintln(os.Stdout, err)
		return
	}
	os.Exit(m.Run())
}

func TestServer_SecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	const want = "another process uses this folder"

	if _, err := jetstream.StartServer(b.dir); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("StartServer() twice in one process = %v, want %q", err, want)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), lockedDir+"="+b.dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("StartServer() in another process: %v, printed %q, want %q", err, out, want)
	}
	if err := b.srv.Close(); err != nil {
		t.Fatalf("Close() = %v, want nil", err)
	}
	b.start(t)
}

func TestServer_Options(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	if got := b.srv.URL(); got != "" {
		t.Errorf("URL() = %q without Listen, want none", got)
	}
	for _, addr := range []string{"127.0.0.1", "127.0.0.1:nats"} {
		if _, err := jetstream.StartServer(t.TempDir(), jetstream.Listen(addr)); err == nil {
			t.Errorf("StartServer(Listen(%q)) = nil, want an error", addr)
		}
	}
	first := newBroker(t, jetstream.Listen("127.0.0.1:0"))
	_, taken, _ := strings.Cut(first.srv.URL(), "//")
	if _, err := jetstream.StartServer(t.TempDir(), jetstream.Listen(taken)); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("StartServer(Listen(%q)) = %v on a port in use, want an error that names it", taken, err)
	}
}

func TestServer_ClosedGivesNoConnection(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	nc := b.client(t)
	for range 2 {
		if err := b.srv.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	if !nc.IsClosed() {
		t.Error("a connection of Client() is open after Close(), want closed")
	}
	if _, err := b.srv.Client(); err == nil {
		t.Error("Client() after Close() = nil, want an error")
	}
}

// TestBroker_Restart: messages, ids and positions are there again.
func TestBroker_Restart(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	tr := b.transport(t, jetstream.Config{})
	first := newMessage("a", "", 0)
	publish(t, tr, "test.restart.v1", first)
	for n := 1; n < 10; n++ {
		publish(t, tr, "test.restart.v1", newMessage("a", "", n))
	}
	sub := tr.Subscriber("group")
	c := subscribe(t, t.Context(), sub, "test.restart.v1")
	for range 4 {
		receive(t, c, "a message before the restart").Ack()
	}
	if err := sub.Close(); err != nil {
		t.Fatalf("Subscriber.Close() = %v, want nil", err)
	}
	if err := b.srv.Close(); err != nil {
		t.Fatalf("Server.Close() = %v, want nil", err)
	}

	b.start(t)
	tr = b.transport(t, jetstream.Config{Exclusive: true})
	publish(t, tr, "test.restart.v1", first) // stored before, and known
	publish(t, tr, "test.restart.v1", newMessage("a", "", 10))
	c = subscribe(t, t.Context(), tr.Subscriber("group"), "test.restart.v1")
	for want := 4; want <= 10; want++ {
		m := receive(t, c, "a message after the restart")
		if got := string(m.Payload); got != fmt.Sprint(want) {
			t.Fatalf("after the restart got message %s, want %d", got, want)
		}
		m.Ack()
	}
}
