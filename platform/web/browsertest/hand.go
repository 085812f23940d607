package browsertest

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// stepTimeout ends a step whose element or page never comes, on a busy machine too.
const stepTimeout = time.Minute

// Follow goes to the first visible element that css selects, a link or a button, by keyboard,
// presses Enter and waits until the page that follows is loaded.
func Follow(t *testing.T, ctx context.Context, css string) {
	t.Helper()
	step(t, ctx, "Follow", css, func(ctx context.Context) error {
		_, err := chromedp.RunResponse(ctx, chromedp.SendKeys(chromedp.CSS(css), kb.Enter))
		return err
	})
}

// Press goes to the first visible element that css selects, a radio button, a checkbox or a
// summary, by keyboard and presses the space bar; it waits for no page.
func Press(t *testing.T, ctx context.Context, css string) {
	t.Helper()
	Type(t, ctx, css, " ")
}

// Type types text into the first visible element that css selects, after what is there.
func Type(t *testing.T, ctx context.Context, css, text string) {
	t.Helper()
	step(t, ctx, "Type", css, func(ctx context.Context) error {
		return chromedp.Do(ctx, chromedp.SendKeys(chromedp.CSS(css), text))
	})
}

// Evaluate returns the string that a JavaScript expression is, also in a tab whose own
// scripts are off.
func Evaluate(t *testing.T, ctx context.Context, expression string) string {
	t.Helper()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		t.Fatalf("browsertest: Evaluate(%s): %v", expression, err)
	}
	return got
}

// Look checks the page with Axe and Fits and takes its Screenshot.
func Look(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	Axe(t, ctx)
	Fits(t, ctx)
	Screenshot(t, ctx, name)
}

// step runs do within stepTimeout; where it fails, the test ends and shows the page.
func step(t *testing.T, ctx context.Context, what, css string, do func(context.Context) error) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := do(limited); err != nil {
		t.Fatalf("browsertest: %s(%s) at %s: %v; the page says\n%.1500s", what, css, location(ctx), err,
			Evaluate(t, ctx, "document.body.innerText"))
	}
}
