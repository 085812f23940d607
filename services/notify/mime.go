package notify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
	"unicode/utf8"
)

// Attachment is a file that goes with a mail.
type Attachment struct {
	Filename    string `db:"filename"`
	ContentType string `db:"content_type"`
	Content     []byte `db:"content"`
}

// envelope is everything that a mail is made from.
type envelope struct {
	MessageID   string // without brackets
	From        mail.Address
	ReplyTo     string
	To          string
	Date        time.Time
	Lang        string
	Subject     string
	Unsubscribe string // https URL for one click (RFC 8058)
	Letter      Letter
	Attachments []Attachment
}

// compose writes the mail as RFC 5322 and MIME say: text and HTML as alternatives, of a
// calendar attachment a third alternative with its method (RFC 6047 section 2.4, so that
// mail programs offer to accept) besides the attachment itself. The same envelope always
// gives the same bytes: a mail that is sent again is the same mail.
func compose(e envelope) ([]byte, error) {
	var b bytes.Buffer
	seed := sha256.Sum256([]byte(e.MessageID))
	boundary := func(kind string) string { return "=_" + kind + "_" + hex.EncodeToString(seed[:12]) }

	header(&b, "Date", e.Date.UTC().Format(time.RFC1123Z))
	header(&b, "From", address(e.From))
	if e.ReplyTo != "" {
		header(&b, "Reply-To", (&mail.Address{Address: e.ReplyTo}).String())
	}
	header(&b, "To", (&mail.Address{Address: e.To}).String())
	header(&b, "Message-ID", "<"+e.MessageID+">")
	header(&b, "Subject", encodeWords(e.Subject))
	header(&b, "Content-Language", e.Lang)
	header(&b, "Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office answers
	header(&b, "X-Auto-Response-Suppress", "All")  // the same for Exchange
	if e.Unsubscribe != "" {
		header(&b, "List-Unsubscribe", "<"+e.Unsubscribe+">")
		header(&b, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	}
	header(&b, "MIME-Version", "1.0")

	alternative := func(w *multipart.Writer) error {
		if err := textPart(w, "text/plain; charset=utf-8", e.Lang, e.Letter.Text); err != nil {
			return err
		}
		if err := textPart(w, "text/html; charset=utf-8", e.Lang, e.Letter.HTML); err != nil {
			return err
		}
		for _, a := range e.Attachments {
			if isCalendar(a.ContentType) {
				if err := filePart(w, a, ""); err != nil {
					return err
				}
			}
		}
		return w.Close()
	}
	outer := multipart.NewWriter(&b)
	if len(e.Attachments) == 0 {
		if err := outer.SetBoundary(boundary("alt")); err != nil {
			return nil, err
		}
		header(&b, "Content-Type", "multipart/alternative; boundary=\""+outer.Boundary()+"\"")
		b.WriteString("\r\n")
		if err := alternative(outer); err != nil {
			return nil, fmt.Errorf("compose mail: %w", err)
		}
		return b.Bytes(), nil
	}
	if err := outer.SetBoundary(boundary("mix")); err != nil {
		return nil, err
	}
	header(&b, "Content-Type", "multipart/mixed; boundary=\""+outer.Boundary()+"\"")
	b.WriteString("\r\n")
	part, err := outer.CreatePart(textproto.MIMEHeader{"Content-Type": {"multipart/alternative; boundary=\"" + boundary("alt") + "\""}})
	if err != nil {
		return nil, fmt.Errorf("compose mail: %w", err)
	}
	inner := multipart.NewWriter(part)
	if err := inner.SetBoundary(boundary("alt")); err != nil {
		return nil, err
	}
	if err := alternative(inner); err != nil {
		return nil, fmt.Errorf("compose mail: %w", err)
	}
	for _, a := range e.Attachments {
		disposition := mime.FormatMediaType("attachment", map[string]string{"filename": a.Filename})
		if err := filePart(outer, a, strings.Replace(disposition, "; ", ";\r\n ", 1)); err != nil {
			return nil, fmt.Errorf("compose mail: %w", err)
		}
	}
	if err := outer.Close(); err != nil {
		return nil, fmt.Errorf("compose mail: %w", err)
	}
	return b.Bytes(), nil
}

// header writes a field and folds it at spaces, to lines of at most 78 characters where
// there are spaces (RFC 5322 section 2.2.3).
func header(b *bytes.Buffer, name, value string) {
	line := name + ":"
	for word := range strings.SplitSeq(value, " ") {
		if len(line)+1+len(word) > 78 && len(line) > len(name)+1 {
			b.WriteString(line + "\r\n")
			line = ""
		}
		line += " " + word
	}
	b.WriteString(line + "\r\n")
}

// encodeWords writes a text as RFC 2047 says where it is not plain ASCII: in words so short
// that a line holds the longest field name and one of them.
func encodeWords(s string) string {
	if isASCII(s) {
		return s
	}
	const most = 39 // bytes, which base64 makes 52
	var words []string
	var chunk []byte
	flush := func() {
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString(chunk)+"?=")
		chunk = chunk[:0]
	}
	for _, r := range s {
		if len(chunk)+utf8.RuneLen(r) > most {
			flush()
		}
		chunk = utf8.AppendRune(chunk, r)
	}
	flush()
	return strings.Join(words, " ")
}

// address writes a name with an address, or the address alone.
func address(a mail.Address) string {
	if isASCII(a.Name) {
		return a.String()
	}
	return encodeWords(a.Name) + " " + (&mail.Address{Address: a.Address}).String()
}

func isCalendar(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	return err == nil && media == "text/calendar" && params["method"] != ""
}

func textPart(w *multipart.Writer, contentType, lang, body string) error {
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Type": {contentType}, "Content-Transfer-Encoding": {"quoted-printable"}, "Content-Language": {lang},
	})
	if err != nil {
		return err
	}
	q := quotedprintable.NewWriter(part)
	if _, err := q.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n"))); err != nil {
		return err
	}
	return q.Close()
}

// filePart writes a file in base64; without a disposition it is a part to be shown.
func filePart(w *multipart.Writer, a Attachment, disposition string) error {
	h := textproto.MIMEHeader{"Content-Type": {a.ContentType}, "Content-Transfer-Encoding": {"base64"}}
	if disposition != "" {
		h.Set("Content-Disposition", disposition)
	}
	part, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	lines := &lineBreaker{to: part}
	enc := base64.NewEncoder(base64.StdEncoding, lines)
	if _, err := enc.Write(a.Content); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	_, err = part.Write([]byte("\r\n"))
	return err
}

// lineBreaker ends a line after 76 characters (RFC 2045 section 6.8).
type lineBreaker struct {
	to   interface{ Write([]byte) (int, error) }
	used int
}

func (l *lineBreaker) Write(p []byte) (int, error) {
	const width = 76
	total := len(p)
	for len(p) > 0 {
		if l.used == width {
			if _, err := l.to.Write([]byte("\r\n")); err != nil {
				return 0, err
			}
			l.used = 0
		}
		n := min(width-l.used, len(p))
		if _, err := l.to.Write(p[:n]); err != nil {
			return 0, err
		}
		l.used += n
		p = p[n:]
	}
	return total, nil
}
