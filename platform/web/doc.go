// Package web is the page frame of all citizen, staff and operator pages: the KERN design
// system, German and English, forms, small sealed cookies, and protection of form posts.
//
// A service makes one [Site] from its templates and texts and calls [Site.Render]. The
// site wraps the service's template in the frame: skip link, Kopfzeile, name and colour
// of the tenant in the context, language switch, main landmark, legal links. [New] fails
// when a text is missing in one language or a template asks for an unknown one, so that
// no citizen ever meets the gap.
//
// # Templates
//
// Every *.html file in [Config].Templates is a page named after the file without ".html";
// {{define}} blocks are shared by all of them. Plain elements (h1, p, ul, a, …) look right
// without classes. A form is written as
//
//	{{errors .Form}}
//	<form method="post" novalidate>{{range .Form}}{{field .}}{{end}}{{button "primary" (T "send")}}</form>
//
// With files the form also says enctype="multipart/form-data". Functions, each in the reader's language:
//
//	T key args…                  a text of the catalogue, args as in fmt.Sprintf
//	lang                         "de" or "en"
//	date, weekday, datetime, clock   a time in Europe/Berlin: "23. November 2026",
//	                             "Montag, 23. November 2026", "23. November 2026, 09:30 Uhr", "09:30 Uhr"
//	money amount                 "30,70 €" or "€30.70"
//	field f, errors form         a [Field]; the error summary of a [Form], empty without errors
//	alert kind title body        kind: info, success, warning, danger; body may be ""
//	badge kind text
//	summary title rows           a []Row with its change links
//	table t                      a [Table]; without rows its Empty text
//	details title body           disclosure
//	progress step of             "Schritt 2 von 5"
//	empty title body             an empty state
//	button kind text [name value]    submits; kind: primary, secondary, tertiary
//	linkbutton kind url text
//
// # No script, no third party
//
// The frame needs no JavaScript and its Content-Security-Policy forbids inline script and
// style and every other origin. Tenant colours are style sheets made by [Static].
//
// # Forged posts
//
// [Site.Protect] refuses state-changing requests that come from another site, with the
// standard library's http.CrossOriginProtection (Sec-Fetch-Site, else Origin against
// Host). It covers plain form posts in every browser that can show these pages, and needs
// no token, no session and no state on our side; a session cookie with SameSite=Lax is the
// second fence. A synchroniser token would add a hidden field to each form, break on
// expired sessions, and stop nothing more. Requests with neither header do not come from a
// browser, carry no ambient credential, and pass.
package web
