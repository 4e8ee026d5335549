package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/spelling"
)

// Bounds of texts in a definition, in bytes. Names and tags travel in keys, findings and metrics.
const (
	MaxName    = 128
	maxPattern = 256 // a domain has at most 253
	maxTitle   = 256
	maxProse   = 4096
)

// report reports a problem of one field of a definition, as "what is wrong; what to do". path is
// relative to the definition.
type report func(path, format string, args ...any)

// at is the path of entry i of a list.
func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func checkName(bad report, path, whose, s string) {
	switch {
	case s == "":
		bad(path, "%s needs a name; add one", whose)
	case len(s) > MaxName:
		bad(path, "%s is %d bytes long; shorten it to %d", event.Quote(s), len(s), MaxName)
	case !isClean(s) || strings.TrimSpace(s) != s:
		bad(path, "%s has spaces around it or characters that cannot be seen; remove them", event.Quote(s))
	}
}

func checkTenant(bad report, path, s string) {
	if s != "" && (!IsID(s) || len(s) > 64) {
		bad(path,
			"%s is no tenant; use at most 64 letters, digits, dots, hyphens and underscores, or leave tenant out for every tenant",
			event.Quote(s))
	}
}

func checkText(bad report, path, s string, most int) {
	if len(s) > most {
		bad(path, "the text is %d bytes long; shorten it to %d", len(s), most)
	} else if !isClean(strings.NewReplacer("\n", "", "\t", "").Replace(s)) {
		bad(path, "the text has control characters or is not UTF-8; remove them")
	}
}

func checkTags(bad report, tags []string) {
	for i, s := range tags {
		checkName(bad, at("tags", i), "a tag", s)
	}
}

// checkEntries checks names and patterns.
func checkEntries(bad report, path string, list []string) {
	for i, s := range list {
		switch {
		case s == "":
			bad(at(path, i), "an empty entry matches nothing; write a name or a pattern")
		case len(s) > maxPattern:
			bad(at(path, i), "%s is %d bytes long; shorten it to %d", event.Quote(s), len(s), maxPattern)
		case !isClean(s) || strings.TrimSpace(s) != s:
			bad(at(path, i),
				"%s has spaces around it or characters that cannot be seen, so it would never match; remove them",
				event.Quote(s))
		}
	}
}

// parseSeverity reads a severity. It sets word to the default if it is empty.
func parseSeverity(bad report, word *string, unset event.Severity) event.Severity {
	if *word == "" {
		*word = unset.String()
	}
	s, ok := event.ParseSeverity(*word)
	if !ok {
		var words []string
		for s := event.Signal; s <= event.Critical; s++ {
			words = append(words, s.String())
		}
		bad("severity", "unknown severity %s; %s", event.Quote(*word), didYouMean(*word, words))
	}
	return s
}

// parseClasses returns the classes that words name, one bit each, and reports unknown words.
func parseClasses(bad report, path string, words []string) (bits uint16) {
	for i, word := range words {
		c, ok := event.ParseClass(word)
		if !ok {
			bad(at(path, i), "unknown class %s; %s", event.Quote(word), didYouMean(word, event.Classes()))
			continue
		}
		bits |= 1 << c
	}
	return bits
}

// isClean reports whether a text is UTF-8 without control characters and other invisible ones.
func isClean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// IsID reports whether a text can be an id: letters, digits, dots, hyphens and underscores, at most
// MaxName of them. Ids become part of keys and labels.
func IsID(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '.' && s[i] != '-' &&
			s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= MaxName
}

// sorted is a sorted copy of the list without repetitions.
func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// or lists words: a, b or c.
func joinOr(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// didYouMean suggests the word that was probably meant, or all words.
func didYouMean(word string, words []string) string {
	if w := spelling.Nearest(word, words); w != "" {
		return fmt.Sprintf("did you mean %q? (%s)", w, joinOr(words))
	}
	return "use " + joinOr(words)
}

// version is a short hash of a whole definition.
func version(def any) string {
	sum := sha256.Sum256(canonical(def))
	return hex.EncodeToString(sum[:6])
}

// canonical is the canonical JSON of a definition: fields in the order of the struct, without empty
// ones.
func canonical(def any) []byte {
	b, err := json.Marshal(def)
	if err != nil {
		panic(err) // our bug: definitions hold nothing that JSON cannot
	}
	return b
}

// Printable reports whether a text may stand in a definition as a name, a pattern or an argument
// path.
func Printable(s string) bool {
	return s != "" && len(s) <= maxPattern && isClean(s) && strings.TrimSpace(s) == s
}
