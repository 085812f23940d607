package tenants

import (
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

func pointer(list string, i int) string { return "/" + list + "/" + strconv.Itoa(i) }

// fold returns text as it is searched and as slugs are made of it: lower case, ä ö ü ß as
// ae oe ue ss, other letters without their marks, everything else as single hyphens.
func fold(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range norm.NFC.String(strings.ToLower(text)) {
		plain, known := map[rune]string{'ä': "ae", 'ö': "oe", 'ü': "ue", 'ß': "ss", 'ł': "l", 'ø': "o", 'æ': "ae"}[r]
		if !known {
			plain = plainLetter(r)
		}
		if plain == "" {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('-')
		}
		gap = false
		b.WriteString(plain)
	}
	return b.String()
}

// plainLetter is an ASCII letter or digit, or the ASCII letter below the marks of r, or "".
func plainLetter(r rune) string {
	for _, d := range norm.NFD.String(string(r)) {
		if d < unicode.MaxASCII && (unicode.IsLower(d) || unicode.IsDigit(d)) {
			return string(d)
		}
	}
	return ""
}

// slugs are the slugs that an imported tenant may get, the best first: the name without what
// stands behind its comma ("Erfurt, Stadt"), then with the district, then with the area,
// which no other tenant has.
func slugs(name, district, area string) []string {
	short := func(s string) string {
		before, _, _ := strings.Cut(s, ",")
		return fold(before)
	}
	base, where := short(name), short(district)
	if base == "" {
		base = "tenant"
	}
	out := []string{cut(base, maxSlug)}
	if where != "" && where != base {
		out = append(out, joined(base, where))
	}
	return append(out, joined(base, area))
}

// joined cuts the first part so that the second, which tells them apart, stays whole.
func joined(base, suffix string) string {
	suffix = cut(suffix, maxSlug-2)
	return cut(base, maxSlug-1-len(suffix)) + "-" + suffix
}

func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.Trim(s, "-")
}

// searchText is what the list's parameter q is looked for in: slug, name and municipalities.
func searchText(t *Tenant) string {
	parts := []string{t.Slug, fold(t.Name)}
	seen := map[string]bool{parts[1]: true}
	for _, k := range t.Keys {
		if f := fold(k.Name); f != "" && !seen[f] {
			seen[f] = true
			parts = append(parts, f)
		}
	}
	return strings.Join(parts, " ")
}
