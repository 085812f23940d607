package notify

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// renderer makes the two forms of a message from its one Markdown source. It is safe for
// concurrent use.
type renderer struct {
	markdown goldmark.Markdown
	policy   *bluemonday.Policy
	styles   *strings.Replacer
}

func newRenderer() *renderer {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "em", "strong", "code", "pre")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto", "tel")
	p.RequireParseableURLs(true)
	return &renderer{
		markdown: goldmark.New(goldmark.WithParserOptions(
			parser.WithASTTransformers(util.Prioritized(lowerHeadings{}, 100)))),
		policy: p,
		// The sanitised source knows these tags in exactly this form, and < only in tags.
		styles: strings.NewReplacer(
			"<p>", `<p style="margin:0 0 16px;font-size:16px;line-height:1.5">`,
			"<h2>", `<h2 style="margin:24px 0 8px;font-size:20px;line-height:1.3">`,
			"<h3>", `<h3 style="margin:20px 0 8px;font-size:17px;line-height:1.3">`,
			"<ul>", `<ul style="margin:0 0 16px;padding:0 0 0 24px;font-size:16px;line-height:1.5">`,
			"<ol>", `<ol style="margin:0 0 16px;padding:0 0 0 24px;font-size:16px;line-height:1.5">`,
			"<li>", `<li style="margin:0 0 4px">`,
			"<blockquote>", `<blockquote style="margin:0 0 16px;padding:8px 0 0 16px;border-left:4px solid #171a2b">`,
			"<hr>", `<hr style="margin:24px 0;border:0;border-top:1px solid #6b7079">`,
			"<a href=", `<a style="color:#0b4dab;text-decoration:underline" href=`,
		),
	}
}

// mailFrame is the page around the text: one heading, tables for layout only, colours with a
// contrast of more than 7:1, nothing fetched from anywhere.
const mailFrame = `<!DOCTYPE html>
<html lang="{{.Lang}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
</head>
<body style="margin:0;padding:0;background-color:#ffffff;color:#171a2b;font-family:Arial,Helvetica,sans-serif">
<div role="main">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr><td align="center" style="padding:24px 16px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="max-width:600px"><tr><td align="left" style="overflow-wrap:anywhere">
<p style="margin:0 0 16px;padding:0 0 8px;border-bottom:4px solid #171a2b;font-size:16px;font-weight:bold">{{.From}}</p>
<h1 style="margin:0 0 16px;font-size:24px;line-height:1.3">{{.Title}}</h1>
{{.Body}}<p style="margin:32px 0 0;padding:8px 0 0;border-top:1px solid #6b7079;font-size:14px;line-height:1.5">{{.Foot}}</p>
</td></tr></table>
</td></tr></table>
</div>
</body>
</html>
`

// Letter is a message in the forms that it is sent in.
type Letter struct {
	Text string // plain text, lines end with \n
	HTML string // a whole page with inlined style
}

// look is what the frame of a message shows.
type look struct {
	Lang, From string
}

// foot is the last line of each mail.
func foot(lang, from string) string {
	if lang == "en" {
		return "This message was sent automatically by " + from + ". Please do not reply to it."
	}
	return "Diese Nachricht hat " + from + " automatisch verschickt. Bitte antworten Sie nicht darauf."
}

// mail makes both forms of a message.
func (r *renderer) mail(l look, title, markdown string) (Letter, error) {
	body, doc, source, err := r.html(markdown)
	if err != nil {
		return Letter{}, err
	}
	page := strings.NewReplacer("{{.Lang}}", html.EscapeString(l.Lang), "{{.From}}", html.EscapeString(l.From), "{{.Title}}", html.EscapeString(title),
		"{{.Foot}}", html.EscapeString(foot(l.Lang, l.From)), "{{.Body}}", r.styles.Replace(body)).Replace(mailFrame)
	return Letter{Text: plain(doc, source) + "\n-- \n" + foot(l.Lang, l.From) + "\n", HTML: page}, nil
}

// page makes the text as a part of one of our own pages, whose style it takes.
func (r *renderer) page(markdown string) (template.HTML, error) {
	body, _, _, err := r.html(markdown)
	return template.HTML(body), err //nolint:gosec // sanitised in html
}

func (r *renderer) html(markdown string) (string, ast.Node, []byte, error) {
	source := []byte(markdown)
	doc := r.markdown.Parser().Parse(text.NewReader(source))
	var b bytes.Buffer
	if err := r.markdown.Renderer().Render(&b, source, doc); err != nil {
		return "", nil, nil, fmt.Errorf("render markdown: %w", err)
	}
	return r.policy.Sanitize(b.String()), doc, source, nil
}

// lowerHeadings: the subject is the first heading, so those of the text come below it.
type lowerHeadings struct{}

func (lowerHeadings) Transform(doc *ast.Document, _ text.Reader, _ parser.Context) {
	for n := doc.FirstChild(); n != nil; n = n.NextSibling() {
		if h, ok := n.(*ast.Heading); ok && h.Level < 6 {
			h.Level++
		}
	}
}

// plain writes the text for a reader without HTML: headings underlined, links with their
// address, lists with dashes or numbers. Paragraphs are one line each; who reads wraps them.
func plain(doc ast.Node, source []byte) string {
	var b strings.Builder
	blocks(&b, doc, source, "")
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func blocks(b *strings.Builder, parent ast.Node, source []byte, indent string) {
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		switch n := n.(type) {
		case *ast.Heading:
			line := inline(n, source, "")
			rule := "-"
			if n.Level <= 2 {
				rule = "="
			}
			fmt.Fprintf(b, "%s\n%s%s\n\n", line, indent, strings.Repeat(rule, len([]rune(line))))
		case *ast.List:
			number := n.Start
			for item := n.FirstChild(); item != nil; item = item.NextSibling() {
				mark := "- "
				if n.IsOrdered() {
					mark = fmt.Sprintf("%d. ", number)
					number++
				}
				var sub strings.Builder
				blocks(&sub, item, source, indent+strings.Repeat(" ", len(mark)))
				b.WriteString(mark + strings.TrimRight(sub.String(), "\n") + "\n")
				if item.NextSibling() != nil {
					b.WriteString(indent)
				}
			}
			b.WriteString("\n")
		case *ast.Blockquote:
			var sub strings.Builder
			blocks(&sub, n, source, indent+"> ")
			b.WriteString("> " + strings.TrimRight(sub.String(), "\n") + "\n\n")
		case *ast.ThematicBreak:
			b.WriteString(strings.Repeat("-", 40) + "\n\n")
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				b.Write(line.Value(source))
			}
			b.WriteString("\n")
		case *ast.HTMLBlock: // left out, as in the HTML
			continue
		default:
			end := "\n\n"
			if n.Kind() == ast.KindTextBlock {
				end = "\n"
			}
			b.WriteString(inline(n, source, indent) + end)
		}
		if n.NextSibling() != nil {
			b.WriteString(indent)
		}
	}
}

func inline(parent ast.Node, source []byte, indent string) string {
	var b strings.Builder
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		switch n := n.(type) {
		case *ast.Text:
			b.WriteString(meant(string(n.Segment.Value(source))))
			if n.HardLineBreak() {
				b.WriteString("\n" + indent)
			} else if n.SoftLineBreak() {
				b.WriteString(" ")
			}
		case *ast.String:
			b.Write(n.Value)
		case *ast.AutoLink:
			b.Write(n.URL(source))
		case *ast.Link:
			words, target := inline(n, source, indent), string(n.Destination)
			switch {
			case !allowedLink(target):
				b.WriteString(words)
			case words == target || words == "":
				b.WriteString(target)
			default:
				b.WriteString(words + ": " + target)
			}
		case *ast.CodeSpan:
			for c := n.FirstChild(); c != nil; c = c.NextSibling() {
				if t, ok := c.(*ast.Text); ok {
					b.Write(t.Segment.Value(source))
				}
			}
		case *ast.RawHTML, *ast.Image: // left out, as in the HTML
		default:
			b.WriteString(inline(n, source, indent))
		}
	}
	return b.String()
}

// meant is the text that Markdown means: escaped characters are themselves, and of the rest
// entities are resolved (CommonMark 2.4, 2.5).
func meant(s string) string {
	var b, run strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(punctuation, s[i+1]) >= 0 {
			b.WriteString(html.UnescapeString(run.String()))
			run.Reset()
			i++
			b.WriteByte(s[i])
			continue
		}
		run.WriteByte(s[i])
	}
	b.WriteString(html.UnescapeString(run.String()))
	return b.String()
}

// allowedLink is what the sanitised HTML lets through.
func allowedLink(target string) bool {
	for _, scheme := range []string{"https://", "http://", "mailto:", "tel:"} {
		if strings.HasPrefix(strings.ToLower(target), scheme) {
			return true
		}
	}
	return false
}
