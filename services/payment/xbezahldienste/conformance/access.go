package conformance

import (
	"bytes"
	"net/http"
)

// access asks without a credential and with a wrong one.
func (s *session) access() {
	for _, v := range []struct{ id, sent, method, path, credential string }{
		{"access.create.none", "without a credential", http.MethodPost, s.place("/paymenttransaction"), ""},
		{"access.create.wrong", "with a token that nobody gave out", http.MethodPost, s.place("/paymenttransaction"), "Bearer check.check.check"},
		{"access.create.scheme", "with a scheme that there is not", http.MethodPost, s.place("/paymenttransaction"), "Check 1"},
		{"access.read.none", "without a credential", http.MethodGet, s.place("/paymenttransaction") + "/check-1", ""},
		{"access.methods.none", "without a credential", http.MethodGet, s.place("/payment-methods"), ""},
		{"access.status.none", "without a credential", http.MethodGet, s.place("/status"), ""},
	} {
		c := clause{v.id, "SystemResponse.functionalCode FORBIDDEN", v.method + " " + v.sent, "403 with FORBIDDEN", true}
		s.judge(c, func() finding {
			if s.Authorize == nil {
				return finding{NotApplicable, "the connection has the credential"}
			}
			q := question{method: v.method, path: v.path, anonymous: true, headers: map[string]string{}}
			if v.method == http.MethodPost {
				q.body = bytes.NewReader(edited(s.plain(), func(object) {}))
			}
			if v.credential != "" {
				q.headers["Authorization"] = v.credential
			}
			r := s.ask(q)
			switch {
			case r.err != nil || r.status >= http.StatusInternalServerError:
				return finding{Fail, r.brief()}
			case r.status == http.StatusUnauthorized:
				return finding{Warn, r.brief() + " where the standard has 403"}
			case r.status == http.StatusNotFound && v.method == http.MethodGet:
				return finding{Warn, r.brief()}
			case r.status != http.StatusForbidden:
				return finding{Fail, r.brief()}
			case r.problem().FunctionalCode != "FORBIDDEN":
				return finding{Warn, r.brief() + ": another functionalCode"}
			}
			return finding{Pass, r.brief()}
		})
	}
}
