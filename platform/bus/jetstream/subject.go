package jetstream

import (
	"errors"
	"fmt"
	"strings"
)

// MetadataTenant and MetadataSubject are the metadata that make a message's key. The tenant
// is also the last token of the message's subject at the broker.
const (
	MetadataTenant  = "tenantid"
	MetadataSubject = "subject"
)

// maxName is the longest consumer name that the server takes.
const maxName = 255

// checkTopic says why a topic cannot be a subject that one publishes to.
func checkTopic(topic string) error {
	for token := range strings.SplitSeq(topic, ".") {
		if err := checkToken(token); err != nil {
			return fmt.Errorf("topic %q: %w", topic, err)
		}
	}
	if topic[0] == '$' {
		return fmt.Errorf("topic %q: names with $ are the broker's own", topic)
	}
	return nil
}

// checkToken says why text cannot be one token of a subject.
func checkToken(token string) error {
	if token == "" {
		return errors.New("empty token")
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' || c == '.' || c == '*' || c == '>' {
			return fmt.Errorf("token %q has a character other than printable ASCII without space, dot, * and >", token)
		}
	}
	return nil
}

// noTenant is the last token of the subject of a message without a tenant. With it one filter
// finds a topic's messages: the broker looks for two filters several times more slowly, and
// ever more so with the number of subjects.
const noTenant = "_"

// subjectOf returns where a message of that topic and tenant is stored.
func subjectOf(topic, tenant string) (string, error) {
	if err := checkTopic(topic); err != nil {
		return "", err
	}
	tenant = orElse(tenant, noTenant)
	if err := checkToken(tenant); err != nil {
		return "", fmt.Errorf("metadata %s: %w", MetadataTenant, err)
	}
	return topic + "." + tenant, nil
}

// filterOf matches what subjectOf returns for any tenant.
func filterOf(topic string) string { return topic + ".*" }

// covers says whether everything that matches subject, which may have wildcards, matches
// one of patterns.
func covers(patterns []string, subject string) bool {
	for _, p := range patterns {
		if coversOne(strings.Split(p, "."), strings.Split(subject, ".")) {
			return true
		}
	}
	return false
}

func coversOne(pattern, subject []string) bool {
	for i, p := range pattern {
		switch {
		case i == len(subject):
			return false
		case p == ">":
			return true
		case subject[i] == ">", p != "*" && p != subject[i]:
			return false
		}
	}
	return len(pattern) == len(subject)
}

// consumerName makes the legal name of a group's consumer of a topic, another one for each
// pair: dots become underscores, and other bytes than letters, digits and - are escaped.
func consumerName(group, topic string) (string, error) {
	if group == "" {
		return "", errors.New("a subscriber needs the name of its group")
	}
	name := escape(group) + "@" + escape(topic)
	if len(name) > maxName {
		return "", fmt.Errorf("consumer name %s… is longer than %d bytes", name[:40], maxName)
	}
	return name, nil
}

func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b.WriteByte(c)
		case c == '.':
			b.WriteByte('_')
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}
