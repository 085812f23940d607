// Package browsertest shows pages to tests in a real browser: Debian's Chromium, headless,
// driven over the DevTools protocol. One browser process serves a test binary; each test
// gets a tab of its own with its own cookies.
//
//	func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }
//
//	func TestPage(t *testing.T) {
//		tab := browsertest.Open(t, browsertest.Options{Phone: true, NoScript: true})
//		browsertest.Visit(t, tab, server.URL+"/t/erfurt/forms/")
//		browsertest.Axe(t, tab)
//		browsertest.Fits(t, tab)
//		browsertest.Screenshot(t, tab, "forms-start-phone")
//	}
//
// Besides what it asks for, every test fails when one of its pages asks another host than
// this machine for anything, breaks its own Content-Security-Policy, loads a style sheet,
// font, image or script that is not there, or throws in its scripts.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	devlog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Options say who looks at the page.
type Options struct {
	Phone    bool   // 320 × 640 pixels and touch; else 1280 × 900
	NoScript bool   // JavaScript is off
	Dark     bool   // the reader prefers dark colours
	Lang     string // Accept-Language; default "de"
}

// tabTimeout ends a test that waits for something that never comes.
const tabTimeout = 6 * time.Minute // journeys of many pages, on a busy machine

// browser is the one process of this test binary. It is the package's only state: a
// process cannot be handed from test to test in any other way.
var browser struct {
	sync.Mutex
	ctx     context.Context
	err     error
	stop    context.CancelFunc
	started bool
	running bool // within Main
}

// Main runs the tests and then ends the browser if one was started. It returns the exit
// code for os.Exit.
func Main(m *testing.M) int {
	browser.Lock()
	browser.running = true
	browser.Unlock()
	code := m.Run()
	browser.Lock()
	defer browser.Unlock()
	if browser.stop != nil {
		browser.stop()
	}
	return code
}

// executable finds the browser; BASIS_CHROMIUM overrides the search.
func executable() (string, error) {
	if path := os.Getenv("BASIS_CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium found: install Debian's package chromium (apt-get install chromium), or name a browser in BASIS_CHROMIUM")
}

// start starts the browser at the first call and returns its context at every one.
func start() (context.Context, error) {
	browser.Lock()
	defer browser.Unlock()
	if !browser.running {
		return nil, errors.New("the test binary needs: func TestMain(m *testing.M) { os.Exit(browsertest.Main(m)) }")
	}
	if !browser.started {
		browser.started = true
		browser.ctx, browser.stop, browser.err = launch()
	}
	return browser.ctx, browser.err
}

func launch() (context.Context, context.CancelFunc, error) {
	path, err := executable()
	if err != nil {
		return nil, nil, err
	}
	profile, err := os.MkdirTemp("", "browsertest-")
	if err != nil {
		return nil, nil, fmt.Errorf("profile of the browser: %w", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	stop := func() {
		// Asks the browser to close and waits; what is left after that is killed by its id.
		closing, cancelClosing := context.WithTimeout(ctx, 10*time.Second)
		defer cancelClosing()
		if err := chromedp.Cancel(closing); err != nil {
			fmt.Fprintln(os.Stderr, "browsertest: close the browser:", err)
		}
		cancel()
		cancelAllocator()
		if err := os.RemoveAll(profile); err != nil {
			fmt.Fprintln(os.Stderr, "browsertest:", err)
		}
	}
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return ctx, stop, nil
}

// tab is what the helpers know about an opened tab.
type tab struct {
	noScript bool
	mu       sync.Mutex
	problems []string
}

type tabKey struct{}

// Open opens a tab with cookies of its own; it is closed when the test ends. The context
// is one for chromedp's actions. Without a browser the test fails and says what to install.
func Open(t *testing.T, o Options) context.Context {
	t.Helper()
	parent, err := start()
	if err != nil {
		t.Fatalf("browsertest: %v", err)
	}
	state := &tab{noScript: o.NoScript}
	ctx, cancel := chromedp.NewContext(parent, chromedp.WithNewBrowserContext(), chromedp.WithListener(state.watch))
	ctx, cancelTimeout := context.WithTimeout(context.WithValue(ctx, tabKey{}, state), tabTimeout)
	t.Cleanup(func() {
		cancelTimeout()
		cancel()
		state.mu.Lock()
		defer state.mu.Unlock()
		for _, p := range state.problems {
			t.Errorf("browsertest: %s", p)
		}
	})

	if o.Lang == "" {
		o.Lang = "de"
	}
	scheme := "light"
	if o.Dark {
		scheme = "dark"
	}
	viewport := chromedp.EmulateViewport(1280, 900)
	if o.Phone {
		viewport = chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	err = chromedp.Do(ctx, viewport, setScript(!o.NoScript), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"Accept-Language": o.Lang},
		}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
			},
		})
		return err
	}))
	if err != nil {
		t.Fatalf("browsertest: open a tab: %v", err)
	}
	return ctx
}

func setScript(on bool) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}

// watch notes what no page may do. It is called on the goroutine that reads the tab's
// messages.
func (s *tab) watch(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && u.Hostname() != "" && !local(u.Hostname()) {
			s.note("the page asked another host: %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 && e.Type != network.ResourceTypeDocument {
			s.note("%s answered %d", e.Response.URL, e.Response.Status)
		}
	case *devlog.EventEntryAdded:
		if e.Entry.Source == "security" {
			s.note("security: %s (%s)", e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		s.note("script: %s", e.ExceptionDetails.Text)
	}
}

func (s *tab) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// local reports whether the host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Visit opens url in the tab and waits until it is loaded.
func Visit(t *testing.T, ctx context.Context, url string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("browsertest: Visit(%s): %v", url, err)
	}
}
