package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// graphQL tells what a document of GraphQL does: of a mutation what its fields are named after.
func graphQL(s string) (c event.Class, word string) {
	i := 0
	name := func() string {
		from := i
		for i < len(s) && (isWordByte(s[i]) || s[i] == '_') {
			i++
		}
		return s[from:i]
	}
	depth, operations := 0, 0
	mutation, brackets := false, 0
	s = event.Clip(s, maxSQL)
	for i < len(s) {
		switch ch := s[i]; {
		case ch == '#':
			for i < len(s) && s[i] != '\n' {
				i++
			}
		case strings.HasPrefix(s[i:], `"""`):
			end := strings.Index(s[i+3:], `"""`)
			if end < 0 {
				return event.NoClass, ""
			}
			i += end + 6
		case ch == '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			i++
		case ch == '(' || ch == '[':
			brackets++
			i++
		case ch == ')' || ch == ']':
			brackets--
			i++
		case ch == '{':
			if depth == 0 && operations == 0 {
				operations++ // a query without its word
				c, word = event.Read, "query"
			}
			if brackets == 0 {
				depth++
			}
			i++
		case ch == '}':
			if brackets == 0 {
				depth--
			}
			i++
		case isWordByte(ch) || ch == '_':
			w := name()
			if depth == 0 && brackets == 0 {
				switch w {
				case "mutation":
					operations++
					mutation = true
					if stronger(event.Write, c) {
						c, word = event.Write, w
					}
				case "query", "subscription", "fragment":
					operations++
					mutation = false
					if c == event.NoClass {
						c, word = event.Read, w
					}
				default:
					if operations == 0 {
						return event.NoClass, ""
					}
				}
			} else if mutation && depth == 1 && brackets == 0 {
				rest := strings.TrimLeft(s[i:], " \t\r\n")
				if strings.HasPrefix(rest, ":") { // an alias
					continue
				}
				if r := phraseOf(w, "").read(); stronger(r.class, c) {
					c, word = r.class, w
				}
			}
		case ch <= ' ' || strings.IndexByte("!$:=@|&,.-", ch) >= 0 || ch >= 0x80:
			if operations == 0 && ch > ' ' && ch != ',' && ch < 0x80 {
				return event.NoClass, ""
			}
			i++
		default:
			return event.NoClass, ""
		}
	}
	if depth != 0 || operations == 0 || !strings.Contains(s, "{") {
		return event.NoClass, ""
	}
	return c, word
}
