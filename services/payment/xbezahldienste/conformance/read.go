package conformance

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"basisdienste/platform/id"
)

// reading asks for transactions.
func (s *session) reading() {
	var t transaction
	var sent object
	begin := func() bool {
		if sent == nil && s.usable {
			sent = s.plain()
			if r := s.create(sent); r.status != http.StatusOK || json.Unmarshal(r.body, &t) != nil {
				sent = nil
			}
		}
		return sent != nil
	}
	judge := func(c clause, look func() finding) {
		s.judge(c, func() finding {
			if !begin() {
				return s.unknown()
			}
			return look()
		})
	}
	judge(clause{"read.id", getPath, "the transactionId", "at most 36 characters, or no path can name it", true}, func() finding {
		if n := len(t.PaymentInformation.TransactionID); n > 36 {
			return finding{Fail, "a transactionId with more than 36 characters"}
		}
		return finding{Pass, "it fits"}
	})
	same := clause{"read.same", getPath, "the transactionId", "200 with the transaction as it was made", true}
	judge(same, func() finding {
		r := s.ask(question{method: http.MethodGet, path: s.place("/paymenttransaction") + "/" + url.PathEscape(t.PaymentInformation.TransactionID)})
		var is transaction
		if json.Unmarshal(r.body, &is) == nil && r.status == http.StatusOK && is.PaymentInformation.TransactionID != t.PaymentInformation.TransactionID {
			return finding{Fail, "another transactionId"}
		}
		return s.accepted(same, sent, r)
	})
	own := clause{"read.transactionUrl", getPath + ", PaymentInformation.transactionUrl", "GET of it", "200 with the transaction", true}
	judge(own, func() finding {
		u, err := url.Parse(t.PaymentInformation.TransactionURL)
		base, baseErr := url.Parse(s.URL)
		if err != nil || baseErr != nil || !u.IsAbs() {
			return finding{Fail, "it is no absolute URL"}
		}
		if u.Scheme != base.Scheme || u.Host != base.Host {
			return finding{NotApplicable, "it leads to " + u.Host + ", and the credential is for " + base.Host + " alone"}
		}
		return s.accepted(own, sent, s.ask(question{method: http.MethodGet, path: u.String()}))
	})
	page := clause{"read.transactionRedirectUrl", "PaymentInformation.transactionRedirectUrl", "GET of it, as a browser without a credential", "a page, or a redirect to one", false}
	judge(page, func() finding {
		address := t.PaymentInformation.TransactionRedirectURL
		u, err := url.Parse(address)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
			return finding{Fail, "it is no address that a browser opens"}
		}
		r := s.ask(question{method: http.MethodGet, path: address, anonymous: true, headers: map[string]string{"Accept": "text/html"}})
		if r.err != nil || r.status >= http.StatusBadRequest {
			return page.broken(r.brief())
		}
		return finding{Pass, r.brief()}
	})
	for _, v := range []struct {
		id, sent, transaction string
		must                  bool
	}{
		{"read.unknown", "a transactionId that was never given out", id.New().String(), true},
		{"read.malformed", "a transactionId that cannot be one", "17", true},
	} {
		c := clause{v.id, getPath, v.sent, "404 with a SystemResponse", v.must}
		s.judge(c, func() finding {
			r := s.ask(question{method: http.MethodGet, path: s.place("/paymenttransaction") + "/" + v.transaction})
			return c.notFound(r, nil)
		})
	}
	foreign := clause{"read.other-originator", getPath, "the transactionId of another originator", "404, or 403", true}
	judge(foreign, func() finding {
		path := "/paymenttransaction/check-unknown/" + url.PathEscape(s.EndPoint) + "/" + url.PathEscape(t.PaymentInformation.TransactionID)
		return foreign.notFound(s.ask(question{method: http.MethodGet, path: path}), nil)
	})
}

// notFound judges the answer to a request for what is not there; codes nil: any.
func (c clause) notFound(r reply, codes []string) finding {
	switch {
	case r.err != nil || r.status >= http.StatusInternalServerError:
		return finding{Fail, r.brief()}
	case r.status < http.StatusBadRequest:
		return c.broken(r.brief())
	case r.status != http.StatusNotFound && r.status != http.StatusForbidden:
		return finding{Warn, r.brief() + " where the standard has 404"}
	case codes != nil && !slices.Contains(codes, r.problem().FunctionalCode):
		return finding{Warn, r.brief() + ": another functionalCode"}
	}
	return finding{Pass, r.brief()}
}

// readings asks for everything else that can be read, and for places that are not there.
func (s *session) readings() {
	document := func(c clause, path, schema string, look func([]byte) string) {
		s.judge(c, func() finding {
			r := s.ask(question{method: http.MethodGet, path: s.place(path)})
			switch {
			case r.status == http.StatusServiceUnavailable || r.status == http.StatusForbidden:
				return finding{Warn, r.brief()}
			case r.status != http.StatusOK:
				return c.broken(r.brief())
			}
			if wrong := fits(s.schemas, schema, r.body); wrong != "" {
				return finding{Fail, "the answer breaks the schema at " + wrong}
			}
			if wrong := look(r.body); wrong != "" {
				return c.broken(wrong)
			}
			return finding{Pass, r.brief()}
		})
	}
	document(clause{"methods.list", "GET /payment-methods/{originatorId}/{endPointId}", "originator and end point", "200 with the methods that are up and down", true},
		"/payment-methods", "PaymentMethodsAvailability", func(body []byte) string {
			var list struct{ PaymentMethods struct{ Up, Down []string } }
			if err := json.Unmarshal(body, &list); err != nil || len(list.PaymentMethods.Up)+len(list.PaymentMethods.Down) == 0 {
				return "no method at all"
			}
			return ""
		})
	document(clause{"maintenance.list", "GET /maintenance/{originatorId}/{endPointId}", "originator and end point", "200 with windows that end after they begin", true},
		"/maintenance", "Maintenance", func(body []byte) string {
			var list struct {
				MaintenanceWindows []struct{ StartTime, EndTime *time.Time }
			}
			if err := json.Unmarshal(body, &list); err != nil {
				return "a time that is none: " + err.Error()
			}
			for _, w := range list.MaintenanceWindows {
				if w.StartTime != nil && w.EndTime != nil && !w.StartTime.Before(*w.EndTime) {
					return "a window that ends before it begins"
				}
			}
			return ""
		})
	for _, v := range []struct{ id, path, standard string }{
		{"status.all", "/status", "GET /status"},
		{"status.place", s.place("/status"), "GET /status/{originatorId}/{endPointId}"},
	} {
		c := clause{v.id, v.standard, "the request alone", "200 with a SystemResponse as application/problem+json", true}
		s.judge(c, func() finding {
			r := s.ask(question{method: http.MethodGet, path: v.path})
			switch {
			case v.id == "status.all" && r.status == http.StatusNotFound:
				return finding{NotApplicable, "the standard means to remove it"}
			case r.status == http.StatusServiceUnavailable || r.status == http.StatusForbidden:
				return finding{Warn, r.brief()}
			case r.status != http.StatusOK:
				return c.broken(r.brief())
			case fits(s.schemas, "SystemResponse", r.body) != "":
				return finding{Fail, "the answer breaks the schema at " + fits(s.schemas, "SystemResponse", r.body)}
			case r.problem().Status != r.status:
				return finding{Fail, "status of the document is not 200"}
			case mediaType(r) != problemType:
				return finding{Warn, "the media type " + mediaType(r)}
			}
			return finding{Pass, r.brief()}
		})
	}
	place := []string{"NO_VALID_ORIGINATOR_OR_ENDPOINT", "NO_VALID_ORIGINATOR_OR_DESTINATION", "FORBIDDEN"}
	for _, v := range []struct {
		id, sent, originator, endPoint string
		must                           bool
	}{
		{"place.end-point", "an end point that nobody has", s.Originator, "check-unknown", true},
		{"place.originator", "an originator that nobody has", "check-unknown", s.EndPoint, false},
		{"place.long-originator", "an originatorId with 37 characters", strings.Repeat("x", 37), s.EndPoint, false},
		{"place.long-end-point", "an endPointId with 37 characters", s.Originator, strings.Repeat("1", 37), true},
		{"place.sign", "an endPointId with a slash in it", s.Originator, "a%2Fb", true},
	} {
		c := clause{v.id, getPath, v.sent, "404 with NO_VALID_ORIGINATOR_OR_ENDPOINT", v.must}
		s.judge(c, func() finding {
			r := s.ask(question{method: http.MethodGet, path: "/paymenttransaction/" + url.PathEscape(v.originator) + "/" + v.endPoint + "/" + id.New().String()})
			if v.id == "place.originator" && r.problem().FunctionalCode == "UNSPECIFIED" && r.status == http.StatusNotFound {
				return finding{NotApplicable, "the server takes every originator"}
			}
			if r.status == http.StatusBadRequest && strings.HasPrefix(v.id, "place.long") {
				return finding{Pass, r.brief()}
			}
			return c.notFound(r, place)
		})
	}
}
