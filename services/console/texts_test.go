package console

import (
	"testing"

	"basisdienste/platform/web/webtest"
)

func TestTexts_AreAllThere(t *testing.T) {
	t.Parallel()
	webtest.Texts(t, ".", texts)
}
