package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What documents of GraphQL do.

// classifyGraphQL returns what a document does, and the word that decides: of a mutation the
// strongest of what its fields are named after. NoClass: it is no document of GraphQL.
func classifyGraphQL(s string) (c event.Class, word string) {
	r := graphQLReader{s: event.Clip(s, maxSQL)}
	operations, mutation := 0, false
	depth, brackets := 0, 0 // of { and of ( or [ around a token
	for {
		t, name := r.next()
		switch t {
		case graphQLEnd:
			if depth != 0 || operations == 0 || !strings.Contains(r.s, "{") {
				return event.NoClass, ""
			}
			return c, word
		case graphQLFault:
			return event.NoClass, ""
		case '(', '[':
			brackets++
		case ')', ']':
			brackets--
		case '{':
			if depth == 0 && operations == 0 { // a query without the word
				operations++
				c, word = event.Read, "query"
			}
			if brackets == 0 {
				depth++
			}
		case '}':
			if brackets == 0 {
				depth--
			}
		case graphQLName:
			found := event.NoClass
			switch {
			case depth == 0 && brackets == 0:
				switch name {
				case "mutation":
					found, mutation = event.Write, true
				case "query", "subscription", "fragment":
					found, mutation = event.Read, false
				default:
					if operations == 0 {
						return event.NoClass, ""
					}
					continue
				}
				operations++
			case mutation && depth == 1 && brackets == 0 && !r.aliasEnds():
				found = phraseOf(name, "").read().class
			}
			if stronger(found, c) {
				c, word = found, name
			}
		default:
			if operations == 0 {
				return event.NoClass, ""
			}
		}
	}
}

// graphQLReader takes a document apart.
type graphQLReader struct {
	s string
	i int
}

// Kinds of tokens. Any other is a sign, as it stands there.
const (
	graphQLEnd   = 0
	graphQLFault = 1 // what no document has
	graphQLName  = 'n'
)

// next returns the kind of the next token, and its text if it is a name. Texts, comments, blanks
// and commas are passed over.
func (r *graphQLReader) next() (kind byte, name string) {
	for r.i < len(r.s) {
		switch c := r.s[r.i]; {
		case c <= ' ' || c == ',':
			r.i++
		case c == '#':
			for r.i < len(r.s) && r.s[r.i] != '\n' {
				r.i++
			}
		case strings.HasPrefix(r.s[r.i:], `"""`):
			end := strings.Index(r.s[r.i+3:], `"""`)
			if end < 0 {
				return graphQLFault, ""
			}
			r.i += end + 6
		case c == '"':
			for r.i++; r.i < len(r.s) && r.s[r.i] != '"'; r.i++ {
				if r.s[r.i] == '\\' {
					r.i++
				}
			}
			r.i++
		case isWordByte(c) || c == '_':
			from := r.i
			for r.i < len(r.s) && (isWordByte(r.s[r.i]) || r.s[r.i] == '_') {
				r.i++
			}
			return graphQLName, r.s[from:r.i]
		case strings.IndexByte("()[]{}!$:=@|&.-", c) >= 0:
			r.i++
			return c, ""
		default:
			return graphQLFault, ""
		}
	}
	return graphQLEnd, ""
}

// aliasEnds reports whether the name that was read is an alias: a colon follows.
func (r *graphQLReader) aliasEnds() bool {
	return r.i < len(r.s) && strings.HasPrefix(strings.TrimLeft(r.s[r.i:], " \t\r\n"), ":")
}
