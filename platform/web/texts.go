package web

import (
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
)

// Texts is a service's catalogue: key → German, English. Texts may hold fmt verbs; both
// languages use the same number of them (%[2]s changes the order). Keys that begin with
// "web." belong to the frame. A text "error.CODE" is what [Site.ErrorPage] says about a
// fault with that code, and "field.CODE" what [Site.Fail] says about a wrong field.
type Texts map[string][2]string

// The languages, in the order of a text's columns; the first is the fallback.
var languages = [2]string{"de", "en"}

var languageNames = [2]string{"Deutsch", "English"}

const (
	languageCookie = "basis_lang"
	languageMaxAge = 365 * 24 * time.Hour
)

var verb = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*\d*(\.\d+)?[a-zA-Z]`)

// merge returns the frame's texts with the service's, all checked.
func merge(service Texts) (Texts, error) {
	all := make(Texts, len(frameTexts)+len(service))
	for key, text := range frameTexts {
		all[key] = text
	}
	for key, text := range service {
		if strings.HasPrefix(key, "web.") {
			return nil, fmt.Errorf(`text %q: keys that begin with "web." belong to the frame`, key)
		}
		all[key] = text
	}
	for key, text := range all {
		want := len(verb.FindAllString(text[0], -1))
		for i, t := range text {
			if strings.TrimSpace(t) == "" {
				return nil, fmt.Errorf("text %q: %s is missing", key, languages[i])
			}
			if got := len(verb.FindAllString(t, -1)); got != want {
				return nil, fmt.Errorf("text %q: %d verbs in %s, %d in %s", key, want, languages[0], got, languages[i])
			}
		}
	}
	return all, nil
}

// text returns the text of key in the language with the index lang.
func (s *Site) text(lang int, key string, args ...any) string {
	text, ok := s.texts[key]
	if !ok {
		s.log.Error("text missing", "key", key)
		return key
	}
	if len(args) == 0 {
		return text[lang]
	}
	return fmt.Sprintf(text[lang], args...)
}

// T returns the text of key in the reader's language. An unknown key is logged and
// returned as it is; package webtest finds such calls in a test.
func (s *Site) T(r *http.Request, key string, args ...any) string {
	return s.text(language(r), key, args...)
}

// Lang returns the reader's language, "de" or "en": the query parameter lang, else the
// cookie that an earlier choice left, else Accept-Language, else German.
func (s *Site) Lang(r *http.Request) string { return languages[language(r)] }

func language(r *http.Request) int {
	if i := slices.Index(languages[:], r.URL.Query().Get("lang")); i >= 0 {
		return i
	}
	if c, err := r.Cookie(languageCookie); err == nil {
		if i := slices.Index(languages[:], c.Value); i >= 0 {
			return i
		}
	}
	return accepted(r.Header.Get("Accept-Language"))
}

// accepted picks the language with the highest quality (RFC 9110 section 12.5.4).
func accepted(header string) int {
	best, quality := 0, 0.0
	for part := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			parsed, err := strconv.ParseFloat(v, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if i := slices.Index(languages[:], primary); i >= 0 && q > quality {
			best, quality = i, q
		}
	}
	return best
}

// languageLinks switches the language of this URL, or of self where the page has another.
func languageLinks(r *http.Request, self string) []languageLink {
	current := language(r)
	links := make([]languageLink, len(languages))
	for i, lang := range languages {
		base, query := "", r.URL.Query()
		if self != "" {
			base, query = self, nil
		}
		if query == nil {
			query = make(map[string][]string)
		}
		query.Set("lang", lang)
		sep := "?"
		if strings.Contains(base, "?") {
			sep = "&"
		}
		links[i] = languageLink{URL: base + sep + query.Encode(), Lang: lang, Text: languageNames[i], Current: i == current}
	}
	return links
}

type languageLink struct {
	URL, Lang, Text string
	Current         bool
}

// rememberLanguage keeps a choice made by ?lang=. The cookie names no person.
func (s *Site) rememberLanguage(w http.ResponseWriter, r *http.Request) {
	lang := r.URL.Query().Get("lang")
	if !slices.Contains(languages[:], lang) {
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // the language is no secret; Secure wherever the site is reached by https
		Name: languageCookie, Value: lang, Path: "/", MaxAge: int(languageMaxAge.Seconds()),
		Secure: s.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// pageName is the name of a page: its file name without .html.
func pageName(file string) string { return strings.TrimSuffix(path.Base(file), ".html") }

// pageFiles lists the template files below fsys.
func pageFiles(fsys fs.FS) ([]string, error) {
	var files []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(name, ".html") {
			files = append(files, name)
		}
		return err
	})
	return files, err
}

// literalKeys calls yield with the keys of all {{T "literal"}} below n.
func literalKeys(n parse.Node, yield func(key string)) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			literalKeys(child, yield)
		}
	case *parse.ActionNode:
		literalKeys(n.Pipe, yield)
	case *parse.TemplateNode:
		literalKeys(n.Pipe, yield)
	case *parse.IfNode:
		literalBranch(&n.BranchNode, yield)
	case *parse.RangeNode:
		literalBranch(&n.BranchNode, yield)
	case *parse.WithNode:
		literalBranch(&n.BranchNode, yield)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, cmd := range n.Cmds {
			literalKeys(cmd, yield)
		}
	case *parse.CommandNode:
		if len(n.Args) > 1 {
			name, isName := n.Args[0].(*parse.IdentifierNode)
			key, isString := n.Args[1].(*parse.StringNode)
			if isName && isString && name.Ident == "T" {
				yield(key.Text)
			}
		}
		for _, arg := range n.Args {
			literalKeys(arg, yield)
		}
	}
}

func literalBranch(n *parse.BranchNode, yield func(key string)) {
	literalKeys(n.Pipe, yield)
	literalKeys(n.List, yield)
	literalKeys(n.ElseList, yield)
}
