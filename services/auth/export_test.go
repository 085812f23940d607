package auth

import "basisdienste/platform/web"

// PageTexts are the words of the pages, for tests.
func PageTexts() web.Texts { return texts() }
