package web

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"basisdienste/platform/fault"
	"basisdienste/platform/problem"
)

// Protect refuses state-changing requests of other sites with 403 cross_site_request; see
// the package comment. Paths in except (patterns of http.ServeMux) are let through: they
// take posts of other origins by their protocol, such as a SAML response, and check them
// by its means. It stands inside the middleware that finds the tenant, whose name the
// refusal shows.
func (s *Site) Protect(next http.Handler, except ...string) http.Handler {
	fence := http.NewCrossOriginProtection()
	for _, pattern := range except {
		fence.AddInsecureBypassPattern(pattern)
	}
	fence.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ErrorPage(w, r, fault.Forbidden("cross_site_request", "this form was sent from another site; open the page here and send it again"))
	}))
	return fence.Handler(next)
}

// hostPort is what may stand in a policy: nothing that could end the directive.
var hostPort = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)

// secureHeaders keeps the page to itself: nothing is loaded from, sent to or framed by
// another origin.
func (s *Site) secureHeaders(h http.Header, formAction []string) {
	action := "'self'"
	for _, target := range formAction {
		if u, err := url.Parse(target); err == nil && (u.Scheme == "https" || u.Scheme == "http") && hostPort.MatchString(u.Host) {
			action += " " + u.Scheme + "://" + u.Host
		}
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "+
		"script-src 'self'; connect-src 'self'; form-action "+action+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Referrer-Policy") != "no-referrer" { // set by a page whose address is a secret
		h.Set("Referrer-Policy", "same-origin")
	}
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	if s.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// ErrorPage answers err: as a page in plain words of the reader's language with the
// request id, or as problem+json when the client asks for no page. The words are the
// catalogue's "error.CODE" (heading "error.CODE.title") or the frame's for the kind of
// fault. Internal errors are logged here, once.
func (s *Site) ErrorPage(w http.ResponseWriter, r *http.Request, err error) {
	f := fault.From(err)
	if f == nil {
		f = fault.From(errors.New("web: error page without an error"))
	}
	if f.Kind == fault.KindInternal {
		s.log.ErrorContext(r.Context(), "request failed", "err", err)
	}
	if !WantsHTML(r) {
		problem.Write(w, r, f)
		return
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	lang := language(r)
	kind := strconv.Itoa(f.Kind.Status())
	title, text := s.text(lang, "web."+kind+".title"), s.text(lang, "web."+kind)
	if own, ok := s.texts["error."+f.Code]; ok {
		text = own[lang]
	}
	if own, ok := s.texts["error."+f.Code+".title"]; ok {
		title = own[lang]
	}
	var body bytes.Buffer
	rendered := s.kit[lang].ExecuteTemplate(&body, "error-page", map[string]any{
		"Title": title, "Text": text, "Code": f.Code, "Home": s.lookOf(r.Context()).Home,
		"RequestID": w.Header().Get(problem.RequestIDHeader),
	})
	if rendered == nil {
		rendered = s.frame(w, r, f.Kind.Status(), Page{Title: title, Self: s.selfOf(r)}, &body)
	}
	if rendered != nil {
		s.log.ErrorContext(r.Context(), "error page failed", "err", rendered)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(f.Kind.Status())
		// The status is out; a reader who went away cannot be told more.
		_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html lang=%q><title>%s</title><p>%s</p>", languages[lang],
			template.HTMLEscapeString(title), template.HTMLEscapeString(text))
	}
}

// selfOf is where the language switch of an error page leads: after a post the start, for
// the post cannot be repeated by a link.
func (s *Site) selfOf(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return ""
	}
	return s.lookOf(r.Context()).Home
}
