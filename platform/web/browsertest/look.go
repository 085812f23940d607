package browsertest

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

//go:embed vendor/axe-core/axe.min.js
var axeSource string

// finding is one rule that the page breaks.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, Target, Summary string }
}

func (f finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): %s", f.ID, f.Impact, f.Help)
	for _, n := range f.Nodes {
		fmt.Fprintf(&b, "\n  %s\n    %s\n    %s", n.Target, n.HTML, strings.ReplaceAll(n.Summary, "\n", "\n    "))
	}
	return b.String()
}

const runAxe = `axe.run(document, {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}}).then(r => r.violations.map(v => ({
	id: v.id, impact: v.impact || "", help: v.help,
	nodes: v.nodes.map(n => ({html: n.html, target: n.target.join(" "), summary: n.failureSummary || ""})),
})))`

// Axe checks the page in the tab with axe-core (WCAG 2.2 A and AA, best practices). A
// serious or critical finding fails the test with the rule and its nodes; others are
// logged. In a tab without JavaScript scripts are let run for the check alone: the page
// stays the one that was loaded without.
func Axe(t *testing.T, ctx context.Context) {
	t.Helper()
	for _, f := range check(t, ctx) {
		if f.Impact == "serious" || f.Impact == "critical" {
			t.Errorf("Axe(%s): got %s", location(ctx), f)
		} else {
			t.Logf("Axe(%s): %s", location(ctx), f)
		}
	}
}

func check(t *testing.T, ctx context.Context) []finding {
	t.Helper()
	state, ok := ctx.Value(tabKey{}).(*tab)
	if !ok {
		t.Fatal("Axe: the context is none of browsertest.Open")
	}
	if state.noScript {
		if err := chromedp.Do(ctx, setScript(true)); err != nil {
			t.Fatalf("Axe: %v", err)
		}
	}
	if err := chromedp.Do(ctx, silent(axeSource)); err != nil {
		t.Fatalf("Axe: load axe-core: %v", err)
	}
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]finding](runAxe, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("Axe: %v", err)
	}
	if state.noScript {
		if err := chromedp.Do(ctx, setScript(false)); err != nil {
			t.Fatalf("Axe: %v", err)
		}
	}
	return found
}

// silent runs a script for its effect.
func silent(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](script + "\n;void 0")
}

func location(ctx context.Context) string {
	at, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return "unknown page"
	}
	return at
}

// Fits fails the test when the page is wider than the window, so that reading it takes
// scrolling in two directions (WCAG 2.2, 1.4.10). It names the elements that stick out.
func Fits(t *testing.T, ctx context.Context) {
	t.Helper()
	wide, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`(() => {
		const width = document.documentElement.clientWidth;
		if (document.scrollingElement.scrollWidth <= width) return [];
		return [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > width + 1)
			.map(e => e.outerHTML.slice(0, 120)).slice(0, 5);
	})()`))
	if err != nil {
		t.Fatalf("Fits: %v", err)
	}
	if len(wide) > 0 {
		t.Errorf("Fits(%s): the page is wider than the window; look at\n%s", location(ctx), strings.Join(wide, "\n"))
	}
}

// Screenshot writes the whole page as NAME.png into the folder that BASIS_SCREENSHOTS
// names, and nothing where it is not set.
func Screenshot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("BASIS_SCREENSHOTS")
	if dir == "" {
		return
	}
	image, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("Screenshot(%s): %v", name, err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatalf("Screenshot(%s): %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)+".png"), image, 0o600); err != nil {
		t.Fatalf("Screenshot(%s): %v", name, err)
	}
}
