package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

const problemType = "application/problem+json"

// cross is what all answers of a run have in common: how often it was looked at, and the
// first time that it was not so.
type cross struct{ statuses, known, problems, media, same, codes, internals, okMedia, store tally }

type tally struct {
	looked, wrong int
	first         string
}

func (t *tally) look(ok bool, q question, got string) {
	t.looked++
	if ok {
		return
	}
	if t.wrong++; t.wrong == 1 {
		t.first = q.method + " " + clip(q.path) + ": " + got
	}
}

// traces are what a detail shows if it was not written for those who read it.
var traces = []string{"Exception", "Traceback", "goroutine", "stack trace", "SELECT ", "INSERT ", "java.", "System.", ".go:", ".php", "ORA-", "SQLSTATE"}

// note looks at an answer of the standard's own addresses.
func (c *cross) note(schemas openapi3.Schemas, q question, r reply) {
	if r.err != nil || !strings.HasPrefix(q.path, "/") {
		return
	}
	c.statuses.look(r.status < http.StatusInternalServerError || r.status == http.StatusServiceUnavailable, q, r.brief())
	c.known.look(slices.Contains([]int{200, 400, 403, 404, 503}, r.status), q, r.brief())
	if r.status < http.StatusBadRequest {
		c.okMedia.look(mediaType(r) == "application/json" || strings.HasPrefix(q.path, "/status"), q, "the media type "+mediaType(r))
		c.store.look(!strings.HasPrefix(q.path, "/paymenttransaction") || strings.Contains(r.header.Get("Cache-Control"), "no-store"), q, "Cache-Control "+r.header.Get("Cache-Control"))
		return
	}
	wrong := fits(schemas, "SystemResponse", r.body)
	c.problems.look(wrong == "", q, fmt.Sprintf("%d, %s", r.status, wrong))
	c.media.look(mediaType(r) == problemType, q, fmt.Sprintf("%d, the media type %s", r.status, mediaType(r)))
	p := r.problem()
	c.same.look(p.Status == 0 || p.Status == r.status, q, fmt.Sprintf("%d, but the document says %d", r.status, p.Status))
	c.codes.look(p.FunctionalCode != "", q, fmt.Sprintf("%d without a functionalCode", r.status))
	c.internals.look(!slices.ContainsFunc(traces, func(t string) bool { return strings.Contains(p.Detail, t) }), q, p.Detail)
}

// answers judges what all answers have in common.
func (s *session) answers() {
	const document = "SystemResponse (RFC 7807)"
	for _, v := range []struct {
		clause
		tally *tally
	}{
		{clause{"answers.errors-of-the-server", "responses", "", "no 500", true}, &s.seen.statuses},
		{clause{"answers.statuses", "responses", "", "200, 400, 403, 404 or 503", false}, &s.seen.known},
		{clause{"answers.problem.schema", document, "", "each error is a document of the schema, patterns included", true}, &s.seen.problems},
		{clause{"answers.problem.media-type", document, "", problemType, true}, &s.seen.media},
		{clause{"answers.problem.status", document + ".status", "", "the status of the answer", true}, &s.seen.same},
		{clause{"answers.problem.code", document + ".functionalCode", "", "each error has one", false}, &s.seen.codes},
		{clause{"answers.problem.internals", document + ".detail", "", "nothing of the server's own works", false}, &s.seen.internals},
		{clause{"answers.media-type", "responses, 200", "", "application/json", true}, &s.seen.okMedia},
		{clause{"answers.not-stored", "RFC 9111: names and addresses are in them", "", "Cache-Control: no-store", false}, &s.seen.store},
	} {
		v.sent = fmt.Sprintf("all of the above: %d answers", v.tally.looked)
		s.judge(v.clause, func() finding {
			switch {
			case v.tally.looked == 0:
				return finding{NotApplicable, "there were none"}
			case v.tally.wrong > 0:
				return v.broken(fmt.Sprintf("%d times not, first at %s", v.tally.wrong, v.tally.first))
			}
			return finding{Pass, "always"}
		})
	}
}
