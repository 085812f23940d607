package console

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"basisdienste/platform/fault"
	"basisdienste/platform/money"
	"basisdienste/platform/page"
	"basisdienste/platform/web"
)

// statementView is what the treasury says of a bank statement.
type statementView struct {
	ID          string        `json:"id"`
	Kind        string        `json:"kind"`
	IBAN        string        `json:"iban"`
	StatementID string        `json:"statement_id"`
	Sequence    int64         `json:"sequence"`
	State       string        `json:"state"`
	Opening     *money.Amount `json:"opening"`
	Closing     *money.Amount `json:"closing"`
	Credits     money.Amount  `json:"credits"`
	Debits      money.Amount  `json:"debits"`
	Movements   int64         `json:"movements"`
	Matched     *int64        `json:"matched"`
	ImportedBy  string        `json:"imported_by"`
	ImportedAt  time.Time     `json:"imported_at"`
}

// movementView is what became of a movement of a statement.
type movementView struct {
	Line          int64        `json:"line"`
	Amount        money.Amount `json:"amount"`
	Credit        bool         `json:"credit"`
	BookedOn      string       `json:"booked_on"`
	BankReference string       `json:"bank_reference"`
	Text          string       `json:"text"`
	Outcome       string       `json:"outcome"`
	Surplus       bool         `json:"surplus"`
	TransactionID string       `json:"transaction_id"`
	Kassenzeichen string       `json:"kassenzeichen"`
	Settlement    string       `json:"settlement"` // provider/id
}

// maxUpload is a little above what the treasury takes, whose word counts.
const maxUpload = 65 << 20

func statementsBase(r *http.Request) string { return treasuryBase(r) + "/statements" }

func (c *console) uploadForm(r *http.Request) web.Form {
	return web.Form{{
		Name: "statement", Kind: "file", Label: c.site.T(r, "statement.file"), Hint: c.site.T(r, "statement.file.hint"), Required: true, Accept: ".xml,application/xml,text/xml",
	}}
}

func (c *console) statements(w http.ResponseWriter, r *http.Request) {
	c.showStatements(w, r, http.StatusOK, c.uploadForm(r), nil)
}

// refused says why a file was not taken: in which line, and the reason in the treasury's words.
type refused struct{ Title, Line, Reason string }

func (c *console) showStatements(w http.ResponseWriter, r *http.Request, status int, form web.Form, why *refused) {
	ask := url.Values{"limit": {"50"}}
	goOn(r, ask)
	var list page.List[statementView]
	if err := c.api.get(r.Context(), "payment", treasuryAPI(r)+"/statements?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	t := c.table(r, "statements", "statements.none", "statement.id", "statement.kind", "statement.movements", "statement.matched", "statement.imported")
	for _, s := range list.Items {
		t.Rows = append(t.Rows, []any{
			web.Link{URL: statementsBase(r) + "/" + url.PathEscape(s.ID), Text: s.StatementID},
			c.word(r, "statement.kind.", s.Kind),
			s.Movements, c.matchedOf(r, &s), s.ImportedAt,
		})
	}
	p := c.staffPage(r, c.site.T(r, "statements"))
	p.Back, p.Self = treasuryBase(r), statementsBase(r)
	c.site.Render(w, r, status, "statements", p, map[string]any{"Form": form, "Refused": why, "Table": t, "Next": nextPage(r, list.Next), "Own": statementsBase(r)})
}

func (c *console) matchedOf(r *http.Request, s *statementView) string {
	if s.Matched == nil {
		return c.site.T(r, "statement.matching")
	}
	return count(*s.Matched)
}

// errNoFile says that none was chosen.
var errNoFile = fault.Invalid("file_missing", "choose a file")

// upload passes a bank statement on to the treasury while the browser sends it.
func (c *console) upload(w http.ResponseWriter, r *http.Request) {
	form := c.uploadForm(r)
	file, err := uploaded(w, r)
	var made page.List[statementView]
	if err == nil {
		err = c.api.call(r.Context(), http.MethodPost, "payment", treasuryAPI(r)+"/statements", file, &made, "Content-Type", "application/xml")
	}
	switch {
	case err == nil:
	case errors.Is(err, errNoFile):
		form[0].Error = c.site.T(r, "statement.file.missing")
		c.showStatements(w, r, http.StatusUnprocessableEntity, form, nil)
		return
	case fault.Is(err, "statement_refused"), fault.Is(err, "statement_exists"), fault.Is(err, "statement_loading"), fault.Is(err, "statement_too_large"):
		why := c.refusal(r, fault.From(err))
		form[0].Error = why.Title
		c.showStatements(w, r, fault.From(err).Kind.Status(), form, why)
		return
	default:
		c.site.ErrorPage(w, r, err)
		return
	}
	c.site.Flash(w, r, "success", c.site.T(r, "statement.imported.done"))
	target := statementsBase(r)
	if len(made.Items) == 1 {
		target += "/" + url.PathEscape(made.Items[0].ID)
	}
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // a path of our own, its parts looked up or escaped
}

// uploaded is the file of the form, read while it comes. Errors: form_unreadable, errNoFile.
func uploaded(w http.ResponseWriter, r *http.Request) (io.Reader, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	parts, err := r.MultipartReader()
	for err == nil {
		part, next := parts.NextPart()
		if errors.Is(next, io.EOF) {
			return nil, errNoFile
		}
		if err = next; err != nil || part.FormName() != "statement" {
			continue
		}
		if _, named, bad := mime.ParseMediaType(part.Header.Get("Content-Disposition")); bad != nil || named["filename"] == "" {
			return nil, errNoFile
		}
		return part, nil
	}
	return nil, fault.Invalid("form_unreadable", "the form could not be read; go back and send it again").Because(err)
}

// atLine takes the treasury's words apart: "line 76: the balance …; nothing was imported".
var atLine = regexp.MustCompile(`^line (\d+): (.*); nothing was imported$`)

func (c *console) refusal(r *http.Request, e *fault.Error) *refused {
	why := &refused{Title: c.site.T(r, "field."+e.Code)}
	if m := atLine.FindStringSubmatch(e.Detail); m != nil {
		why.Line, why.Reason = m[1], m[2]
	}
	return why
}

func (c *console) statement(w http.ResponseWriter, r *http.Request) {
	path := treasuryAPI(r) + "/statements/" + url.PathEscape(r.PathValue("id"))
	var s statementView
	if err := c.api.get(r.Context(), "payment", path, &s); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	choose := web.Field{Name: "show", Kind: "select", Label: c.site.T(r, "statement.show"), Value: "rest", Required: true}
	for _, v := range []string{"rest", "matched", "all"} {
		choose.Options = append(choose.Options, web.Option{Value: v, Label: c.site.T(r, "statement.show."+v)})
	}
	form := filled(r, web.Form{choose}, "show")
	ask := url.Values{"limit": {"50"}}
	switch form.Value("show") {
	case "matched":
		ask.Set("matched", "true")
	case "all":
	default:
		form[0].Value = "rest"
		ask.Set("matched", "false")
	}
	goOn(r, ask)
	var list page.List[movementView]
	if err := c.api.get(r.Context(), "payment", path+"/entries?"+ask.Encode(), &list); err != nil {
		c.site.ErrorPage(w, r, err)
		return
	}
	own := statementsBase(r) + "/" + url.PathEscape(s.ID)
	p := c.staffPage(r, c.site.T(r, "statement.title", s.StatementID))
	p.Back = statementsBase(r)
	c.site.Render(w, r, http.StatusOK, "statement", p, map[string]any{
		"Title": s.StatementID, "Rows": c.statementRows(r, &s), "Matching": s.Matched == nil, "Form": form, "Own": own,
		"Table": c.movements(r, form.Value("show"), list.Items), "Next": nextPage(r, list.Next),
	})
}

func (c *console) statementRows(r *http.Request, s *statementView) []web.Row {
	rows := []web.Row{
		{Key: c.site.T(r, "statement.matched"), Value: c.matchedOf(r, s)},
		{Key: c.site.T(r, "statement.movements"), Value: count(s.Movements)},
		{Key: c.site.T(r, "statement.credits"), Value: s.Credits},
		{Key: c.site.T(r, "statement.debits"), Value: s.Debits},
	}
	if s.Opening != nil {
		rows = append(rows, web.Row{Key: c.site.T(r, "statement.opening"), Value: *s.Opening})
	}
	if s.Closing != nil {
		rows = append(rows, web.Row{Key: c.site.T(r, "statement.closing"), Value: *s.Closing})
	}
	return append(
		rows,
		web.Row{Key: c.site.T(r, "statement.kind"), Value: c.word(r, "statement.kind.", s.Kind)},
		web.Row{Key: c.site.T(r, "statement.iban"), Value: fours(s.IBAN)},
		web.Row{Key: c.site.T(r, "statement.sequence"), Value: count(s.Sequence)},
		web.Row{Key: c.site.T(r, "statement.imported"), Value: s.ImportedAt},
		web.Row{Key: c.site.T(r, "statement.by"), Value: c.who(r, s.ImportedBy)},
	)
}

// fours writes an IBAN as on paper (ISO 13616-1).
func fours(iban string) string {
	var parts []string
	for len(iban) > 4 {
		parts, iban = append(parts, iban[:4]), iban[4:]
	}
	return strings.Join(append(parts, iban), " ")
}

func (c *console) movements(r *http.Request, which string, list []movementView) web.Table {
	t := c.table(
		r, "statement.show."+which, "statement.none."+which,
		"statement.line", "closing.amount", "statement.outcome", "payment.kassenzeichen", "statement.text", "statement.booked", "statement.reference",
	)
	for _, m := range list {
		amount := m.Amount
		if !m.Credit {
			amount = -amount
		}
		outcome := c.word(r, "outcome.", m.Outcome)
		if m.Surplus {
			outcome += " " + c.site.T(r, "outcome.surplus")
		}
		t.Rows = append(t.Rows, []any{m.Line, amount, outcome, c.claimOf(r, &m), dash(m.Text), c.dayOf(r, m.BookedOn), dash(m.BankReference)})
	}
	return t
}

// claimOf leads to the payment, or the payout, that the movement names.
func (c *console) claimOf(r *http.Request, m *movementView) any {
	if provider, of, ok := strings.Cut(m.Settlement, "/"); ok {
		return web.Link{URL: settlementPage(r, provider, of), Text: of}
	}
	if m.TransactionID == "" {
		return "–"
	}
	return web.Link{URL: paymentsBase(r) + "/" + url.PathEscape(m.TransactionID), Text: m.Kassenzeichen}
}

func dash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// dayOf writes a day as people do in Germany, in English as in the rest of the world of banks.
func (c *console) dayOf(r *http.Request, day string) string {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil || c.site.Lang(r) != "de" {
		return dash(day)
	}
	return at.Format("02.01.2006")
}
