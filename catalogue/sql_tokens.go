package catalogue

import (
	"strings"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

// How each dialect takes SQL apart.

// dialect is a way of telling where texts, names and comments end.
type dialect struct {
	backslash bool // escapes a quote in a text
	hash      bool // begins a comment
	dashBlank bool // -- is a comment only before a blank
	nested    bool // comments lie in each other
	brackets  bool // [x] is a name
	dollar    bool // $tag$ … $tag$ is a text
	live      bool // /*! … */ is carried out
}

var dialects = [...]dialect{
	{backslash: true, hash: true, dashBlank: true, live: true}, // MySQL, MariaDB
	{nested: true, dollar: true},                               // PostgreSQL and its kin
	{nested: true, brackets: true},                             // SQL Server
	{brackets: true},                                           // SQLite
	{backslash: true, dollar: true},                            // BigQuery, Snowflake, Spark
}

// token is a part of a statement.
type token struct {
	kind  byte   // w word, n quoted name, t text, d number, or the sign itself
	text  string // of a word in lower case
	depth int
}

// sqlReader reads as one dialect does.
type sqlReader struct {
	*dialect
	s      string
	i      int
	firm   bool
	broken bool // a text, name or comment has no end
	deep   int
	lost   string // where a statement was not understood
	before string // the token before the next one
	depth  int
	inside bool // of a comment that is carried out
}

// next returns the next token; kind 0: there is none.
func (r *sqlReader) next() token {
	s := r.s
	for r.i < len(s) {
		c := s[r.i]
		rest := s[r.i:]
		switch {
		case c <= ' ':
			r.i++
		case c >= utf8.RuneSelf && strings.HasPrefix(rest, "\u00a0"), strings.HasPrefix(rest, "\u3000"),
			strings.HasPrefix(rest, "\ufeff"):
			_, n := utf8.DecodeRuneInString(rest)
			r.i += n
		case strings.HasPrefix(rest, "--") && (!r.dashBlank || len(rest) == 2 || rest[2] <= ' '), c == '#' && r.hash:
			if n := strings.IndexAny(rest, "\n\r"); n >= 0 {
				r.i += n
			} else {
				r.i = len(s)
			}
		case r.inside && strings.HasPrefix(rest, "*/"):
			r.i, r.inside = r.i+2, false
		case r.live && (strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!")):
			r.i += strings.IndexByte(rest, '!') + 1
			for r.i < len(s) && isDigit(s[r.i]) {
				r.i++
			}
			r.inside = true
		case strings.HasPrefix(rest, "/*"):
			r.comment()
		case c == '\'':
			r.i++
			return r.quoted('\'', 't', r.backslash)
		case c == '"':
			r.i++
			return r.quoted('"', 'n', r.backslash)
		case c == '`':
			r.i++
			return r.quoted('`', 'n', false)
		case c == '[' && r.brackets:
			r.i++
			return r.quoted(']', 'n', false)
		case c == '$':
			// MySQL has names with dollars: as an alias, $$ may be one.
			if end := dollarTag(rest); end > 0 &&
				(r.dollar || r.before != "as" && strings.Contains(rest[end:], rest[:end])) {
				tag := rest[:end]
				n := strings.Index(rest[end:], tag)
				if n < 0 {
					r.broken, r.i = true, len(s)
					return token{'t', rest[end:], r.depth}
				}
				r.i += end + n + end
				return token{'t', rest[end : end+n], r.depth}
			}
			r.i++
			return token{'$', "$", r.depth}
		case (c|0x20 == 'e' && !r.backslash || c|0x20 == 'n' || c|0x20 == 'x' || c|0x20 == 'b' || c|0x20 == 'r') &&
			len(rest) > 1 && rest[1] == '\'':
			r.i += 2
			return r.quoted('\'', 't', r.backslash && c|0x20 != 'r' || c|0x20 == 'e')
		case isDigit(c):
			from := r.i
			for r.i < len(s) && (isWordByte(s[r.i]) || s[r.i] == '.') {
				r.i++
			}
			return token{'d', s[from:r.i], r.depth}
		case isWordByte(c) || c == '_' || c == '@':
			from := r.i
			for r.i < len(s) && (isWordByte(s[r.i]) || s[r.i] == '_' || s[r.i] == '$' || s[r.i] == '@') {
				r.i++
			}
			return token{'w', event.Lower(s[from:r.i]), r.depth}
		case c == '(':
			r.i++
			r.depth++
			return token{'(', "(", r.depth - 1}
		case c == ')':
			r.i++
			r.depth = max(0, r.depth-1)
			return token{')', ")", r.depth}
		default:
			r.i++
			return token{c, s[r.i-1 : r.i], r.depth}
		}
	}
	return token{depth: r.depth}
}

// comment skips a block comment.
func (r *sqlReader) comment() {
	depth := 0
	for r.i < len(r.s) {
		switch {
		case strings.HasPrefix(r.s[r.i:], "/*") && (depth == 0 || r.nested):
			depth++
			r.i += 2
		case strings.HasPrefix(r.s[r.i:], "*/"):
			r.i += 2
			if depth--; depth == 0 {
				return
			}
		default:
			r.i++
		}
	}
	r.broken = true
}

// quoted reads up to a quote that is neither doubled nor escaped.
func (r *sqlReader) quoted(end, kind byte, backslash bool) token {
	from := r.i
	for r.i < len(r.s) {
		switch c := r.s[r.i]; {
		case c == '\\' && backslash:
			r.i += 2
		case c == end && r.i+1 < len(r.s) && r.s[r.i+1] == end:
			r.i += 2
		case c == end:
			r.i++
			return token{kind, r.s[from : r.i-1], r.depth}
		default:
			r.i++
		}
	}
	r.i, r.broken = len(r.s), true
	return token{kind, r.s[from:], r.depth}
}

// dollarTag returns the length of $tag$, or 0.
func dollarTag(s string) int {
	for i := 1; i < len(s) && i < 66; i++ {
		switch {
		case s[i] == '$':
			return i + 1
		case !isWordByte(s[i]) && s[i] != '_' || i == 1 && isDigit(s[i]):
			return 0
		}
	}
	return 0
}
