package event

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words of fields that are texts in an Event. Where a decision hangs on the word, an unknown one is
// a fault; of the others a known word is read as it is meant, and any other is the producer's own.
var (
	states       = []string{"", "requested", "granted", "denied", "expired", "revoked"}
	verdicts     = []string{"", "allow", "deny", "modify", "escalate"}
	roles        = []string{"", "user", "agent", "tool", "system"}
	auditActions = []string{"", "login", "config_change", "policy_change", "tool_registered", "tool_retired",
		"server_registered", "server_retired", "agent_registered", "agent_retired", "agent_blocked", "agent_unblocked",
		"permission_change"}
	visibilities = []string{"", "private", "internal", "public"}
	environments = []string{"", "production", "prod", "live", "staging", "stage", "preprod", "development", "dev",
		"test", "testing", "qa", "sandbox", "uat"}
	destinationKinds = []string{"", "email", "url", "iban", "host", "channel", "repo"}
)

// Word finds a text among words, the first of which is never on the wire, without regard to case
// and blanks around it: every word on the wire is read by it. 0: it is none of them.
func Word(words []string, s string) int {
	for k := 1; k < len(words); k++ {
		if words[k] == s {
			return k
		}
	}
	s = trim(s)
	for k := 1; k < len(words); k++ {
		if strings.EqualFold(words[k], s) {
			return k
		}
	}
	return 0
}

// trim takes blanks off both ends.
func trim(s string) string {
	if s == "" || plainEnd(s[0]) && plainEnd(s[len(s)-1]) {
		return s
	}
	return strings.TrimFunc(s, blank)
}

func plainEnd(c byte) bool { return c > ' ' && c < 0x7f }

// blank is for what nobody sees: space, controls, marks of the reading order, a zero width space.
func blank(r rune) bool {
	return unicode.IsSpace(r) || unicode.IsControl(r) || r != utf8.RuneError && unicode.Is(unicode.Cf, r)
}

// word reads a text that must be one of words. An empty one counts as absent.
func (d *Decoder) word(p []byte, i int, words []string, s *string) int {
	end := d.string(p, i, s)
	if end < 0 || *s == "" {
		return end
	}
	k := Word(words, *s)
	if k == 0 {
		return d.fail(unknownWord, i, "one of "+strings.Join(words[1:], ", "))
	}
	*s = words[k]
	return end
}

// term reads a text that is mostly one of words.
func (d *Decoder) term(p []byte, i int, words []string, s *string) int {
	end := d.string(p, i, s)
	if end < 0 || *s == "" {
		return end
	}
	if k := Word(words, *s); k > 0 {
		*s = words[k]
	} else {
		*s = trim(*s)
	}
	return end
}

// currency reads three letters, in capitals.
func (d *Decoder) currency(p []byte, i int, s *string) int {
	end := d.string(p, i, s)
	if end < 0 || p[i] == 'n' || *s == "" {
		return end
	}
	c := trim(*s)
	if len(c) != 3 {
		return d.fail(unknownWord, i, "three letters such as EUR")
	}
	upper := true
	for k := range 3 {
		if c[k]|0x20-'a' > 'z'-'a' {
			return d.fail(unknownWord, i, "three letters such as EUR")
		}
		upper = upper && c[k] < 'a'
	}
	if !upper {
		b := d.text.take(3)
		for k := range b {
			b[k] = c[k] &^ 0x20
		}
		c = alias(b)
	}
	*s = c
	return end
}
