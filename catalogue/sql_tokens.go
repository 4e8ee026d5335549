package catalogue

import (
	"strings"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

// How each dialect takes SQL apart.

// dialect is a way of telling where texts, names and comments end.
type dialect struct {
	backslashEscapes bool // escapes a quote in a text
	hashComment      bool // begins a comment
	dashNeedsBlank   bool // -- is a comment only before a blank
	nestedComments   bool // comments lie in each other
	bracketNames     bool // [x] is a name
	dollarQuotes     bool // $tag$ … $tag$ is a text
	liveComments     bool // /*! … */ is carried out
}

var dialects = [...]dialect{
	{backslashEscapes: true, hashComment: true, dashNeedsBlank: true, liveComments: true}, // MySQL, MariaDB
	{nestedComments: true, dollarQuotes: true},                                            // PostgreSQL and its kin
	{nestedComments: true, bracketNames: true},                                            // SQL Server
	{bracketNames: true},                         // SQLite
	{backslashEscapes: true, dollarQuotes: true}, // BigQuery, Snowflake, Spark
}

// Kinds of tokens. Any other character is a token of its own kind.
const (
	wordToken   = 'w'
	nameToken   = 'n' // in quotes
	textToken   = 't'
	numberToken = 'd'
)

// token is a part of a statement.
type token struct {
	kind  byte   // 0: there is no more
	text  string // of a word in lower case
	depth int    // of brackets around it
}

// sqlReader reads SQL, as one dialect after another does.
type sqlReader struct {
	s       string
	certain bool     // it can be nothing but SQL
	room    [8]token // for the tokens of most, so that they cost no memory of their own

	*dialect
	tokens        []token // of the statement that is read
	i             int     // the next byte of s
	depth         int     // of brackets around it
	previous      string  // the token before
	inLiveComment bool
	nesting       int    // of statements
	notUnderstood string // the first word that was not
	unterminated  bool   // a text, name or comment has no end
}

// begin starts over with another dialect.
func (r *sqlReader) begin(d *dialect) {
	*r = sqlReader{s: r.s, certain: r.certain, dialect: d, tokens: r.tokens[:0]}
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
		case strings.HasPrefix(rest, "--") && (!r.dashNeedsBlank || len(rest) == 2 || rest[2] <= ' '),
			c == '#' && r.hashComment:
			if n := strings.IndexAny(rest, "\n\r"); n >= 0 {
				r.i += n
			} else {
				r.i = len(s)
			}
		case r.inLiveComment && strings.HasPrefix(rest, "*/"):
			r.i, r.inLiveComment = r.i+2, false
		case r.liveComments && (strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!")):
			r.i += strings.IndexByte(rest, '!') + 1
			for r.i < len(s) && isDigit(s[r.i]) {
				r.i++
			}
			r.inLiveComment = true
		case strings.HasPrefix(rest, "/*"):
			r.comment()
		case c == '\'':
			r.i++
			return r.quoted('\'', textToken, r.backslashEscapes)
		case c == '"':
			r.i++
			return r.quoted('"', nameToken, r.backslashEscapes)
		case c == '`':
			r.i++
			return r.quoted('`', nameToken, false)
		case c == '[' && r.bracketNames:
			r.i++
			return r.quoted(']', nameToken, false)
		case c == '$':
			// MySQL has names with dollars: as an alias, $$ may be one.
			if end := dollarTag(rest); end > 0 &&
				(r.dollarQuotes || r.previous != "as" && strings.Contains(rest[end:], rest[:end])) {
				tag := rest[:end]
				n := strings.Index(rest[end:], tag)
				if n < 0 {
					r.unterminated, r.i = true, len(s)
					return token{textToken, rest[end:], r.depth}
				}
				r.i += end + n + end
				return token{textToken, rest[end : end+n], r.depth}
			}
			r.i++
			return token{'$', "$", r.depth}
		case (c|0x20 == 'e' && !r.backslashEscapes || c|0x20 == 'n' || c|0x20 == 'x' || c|0x20 == 'b' || c|0x20 == 'r') &&
			len(rest) > 1 && rest[1] == '\'':
			r.i += 2
			return r.quoted('\'', textToken, r.backslashEscapes && c|0x20 != 'r' || c|0x20 == 'e')
		case isDigit(c):
			from := r.i
			for r.i < len(s) && (isWordByte(s[r.i]) || s[r.i] == '.') {
				r.i++
			}
			return token{numberToken, s[from:r.i], r.depth}
		case isWordByte(c) || c == '_' || c == '@':
			from := r.i
			for r.i < len(s) && (isWordByte(s[r.i]) || s[r.i] == '_' || s[r.i] == '$' || s[r.i] == '@') {
				r.i++
			}
			return token{wordToken, event.Lower(s[from:r.i]), r.depth}
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
		case strings.HasPrefix(r.s[r.i:], "/*") && (depth == 0 || r.nestedComments):
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
	r.unterminated = true
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
	r.i, r.unterminated = len(r.s), true
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
