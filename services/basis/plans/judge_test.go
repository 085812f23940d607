package main

import (
	"encoding/json"
	"strings"
	"testing"

	"basisdienste/platform/dbtest"
)

// mark begins each line of the server's log.
const mark = "@@@ "

// plan is what auto_explain writes.
type plan struct {
	Query string `json:"Query Text"`
	Plan  node   `json:"Plan"`
}

type node struct {
	Type      string `json:"Node Type"`
	Schema    string `json:"Schema"`
	Relation  string `json:"Relation Name"`
	Index     string `json:"Index Name"`
	IndexCond string `json:"Index Cond"`
	Filter    string `json:"Filter"`
	Plans     []node `json:"Plans"`
}

// wholeByDesign are indexes that hold only what is waiting, or that a list reads in their
// order and stops: reading them without a condition is no reading of the table.
func wholeByDesign(index string) bool {
	for _, name := range []string{
		"messages_due", "refunds_due", "messages_content", "appointments_holds", "attempts_due", "transactions_open", "local_mails_newest", "local_mails_message_id",
		"applications_old_drafts", "files_loose", "payments_wanted", "payments_unmailed", "sandbox_notices_due", "sandbox_sessions_settle",
		"_imported_at_idx",             // of statements whose matching has not ended
		"outbox_unsent", "outbox_sent", // of the latter the first row alone: where to begin purging
	} {
		if strings.Contains(index, name) {
			return true
		}
	}
	return false
}

// allByDesign are statements that read a tenant's rows whatever their number, or until the first.
func allByDesign(query string) bool {
	for _, part := range []string{
		// A closing proves its balances by adding up all that was booked before, and what is owed.
		"SELECT debit, credit, CAST(sum(amount) AS BIGINT) AS amount FROM ledger", "AS still_open", "SELECT CAST(COALESCE(sum(t.amount), 0) AS BIGINT) FROM transactions t",
		"SELECT EXISTS (SELECT 1 FROM settlements WHERE tenant_id", // one is enough
	} {
		if strings.Contains(query, part) {
			return true
		}
	}
	return false
}

// judge reports each statement that reads a large table from end to end, and returns all that
// were explained.
func judge(t *testing.T, log string, large map[string]bool, report func(string, ...any)) []string {
	t.Helper()
	verdicts := map[string]bool{}
	var seen []string
	for _, entry := range strings.Split(log, mark) {
		_, text, isPlan := strings.Cut(entry, "  plan:\n")
		if !isPlan {
			continue
		}
		var p plan
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Errorf("a plan cannot be read: %v\n%.300s", err, text)
			continue
		}
		if !verdicts[p.Query] {
			seen = append(seen, p.Query)
		}
		wrong := p.Plan.wrong(large)
		if key := p.Query + wrong; !verdicts[key] && wrong != "" && !allByDesign(p.Query) {
			verdicts[key] = true
			report("%s\n\tin: %s", wrong, p.Query)
		}
		verdicts[p.Query] = true
	}
	return seen
}

func (n node) wrong(large map[string]bool) string {
	switch {
	case n.Type == "Seq Scan" && large[n.Schema+"."+n.Relation]:
		return "reads all of " + n.Relation + " (filter " + n.Filter + ")"
	case strings.HasPrefix(n.Type, "Index") && n.IndexCond == "" && large[n.Schema+"."+n.Relation] && !wholeByDesign(n.Index):
		return "reads all of the index " + n.Index + " (filter " + n.Filter + ")"
	}
	for _, child := range n.Plans {
		if w := child.wrong(large); w != "" {
			return w
		}
	}
	return ""
}

// largeTables are the partitions, and the large tables without any, with rows enough for an index
// to matter.
func largeTables(server *dbtest.Server) (map[string]bool, error) {
	text, err := server.Ask("postgres", "SELECT DISTINCT relnamespace::regnamespace || '.' || relname FROM pg_class WHERE relkind = 'r' AND (relispartition OR relname IN ('outbox', 'settlements', 'disputes')) AND reltuples >= 200")
	large := map[string]bool{}
	for _, name := range strings.Fields(text) {
		large[name] = true
	}
	return large, err
}

func logOf(t *testing.T, server *dbtest.Server) string {
	t.Helper()
	text, err := server.Log()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings always can
	}
	return string(text)
}
