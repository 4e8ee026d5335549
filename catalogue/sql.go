package catalogue

import (
	"strings"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

// What SQL does. Nobody says in which dialect a statement is written, and the dialects disagree on
// where texts and comments end: '\' is a whole text to one and half of one to the other. So it is
// read as each of them, and the strongest of what they find counts. What none of them can read to
// its end, a call of a procedure or of a function that is not known to be harmless may do anything:
// it is exec, never read.

// strength orders classes by what is worse. What is unknown beats only what is known to read.
var strength = [...]uint8{event.NoClass: 0, event.Read: 1, event.Exec: 2, event.Write: 3, event.Delegate: 4,
	event.Approve: 5, event.Grant: 6, event.Pay: 7, event.Send: 8, event.Delete: 9}

func stronger(a, b event.Class) bool { return strength[a] > strength[b] }

// maxSQL bounds the bytes of SQL that are read. What is longer is exec at least.
const maxSQL = 1 << 20

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

// statement tells what SQL does, and the word that says so. firm tells that the text can be nothing
// but SQL, so that what cannot be understood is exec; else only statements in full form count, so
// that a search for "update address" is none.
func statement(s string, firm bool) (c event.Class, word string) {
	if len(s) > maxSQL {
		s, c, word = event.Clip(s, maxSQL), event.Exec, "longer than is read"
	}
	understood, ended := false, false
	half, halfWord := event.NoClass, ""              // of dialects to which it has no end
	one := strings.IndexAny(s, "'\"`\\$#[]{}/-") < 0 // without these all dialects agree
	last := ""
	for i := range dialects {
		r := sqlReader{dialect: &dialects[i], s: s, firm: firm}
		found, by := r.read()
		if r.lost != "" {
			last = r.lost
		}
		if !r.broken {
			understood = understood || r.lost == ""
			ended = true
		} else {
			if firm || found != event.NoClass {
				last = "cannot be read to its end"
			}
			if stronger(found, half) {
				half, halfWord = found, by
			}
			continue
		}
		if stronger(found, c) {
			c, word = found, by
		}
		if one {
			break
		}
	}
	// What one dialect does not understand is an error there. What none of them does may do
	// anything.
	if !ended && stronger(half, c) {
		c, word = half, halfWord
	}
	if !understood && last != "" && stronger(event.Exec, c) {
		c, word = event.Exec, last
	}
	return c, word
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

// maxTokens bounds the tokens of one statement that are looked at together.
const maxTokens = 20_000

// Statements in each other, and how far ahead of one is looked.
const (
	maxSQLDepth = 16
	maxAhead    = 400
)

// read tells what the statements do together.
func (r *sqlReader) read() (c event.Class, word string) {
	var tokens []token
	over := false
	flush := func() {
		found, by := r.judge(tokens)
		if over && stronger(event.Exec, found) {
			found, by = event.Exec, "longer than is read"
		}
		if stronger(found, c) {
			c, word = found, by
		}
		tokens = tokens[:0]
	}
	for {
		t := r.next()
		r.before = t.text
		switch {
		case t.kind == 0:
			flush()
			return c, word
		case t.kind == ';':
			flush()
			r.depth = 0
		case len(tokens) < maxTokens:
			tokens = append(tokens, t)
		default:
			over = true
		}
	}
}

// judge tells what one statement does.
func (r *sqlReader) judge(t []token) (event.Class, string) {
	if r.deep++; r.deep > maxSQLDepth {
		return event.Exec, "deeper than is read"
	}
	defer func() { r.deep-- }()
	for len(t) > 0 && (t[0].kind == '(' || t[0].kind == ')' || t[0].kind == ',') {
		t = t[1:]
	}
	if len(t) == 0 {
		return event.NoClass, ""
	}
	unsure := func(word string) (event.Class, string) {
		if r.firm && r.lost == "" {
			r.lost = word
		}
		return event.NoClass, ""
	}
	if t[0].kind != 'w' {
		return unsure("not a statement")
	}
	first := t[0].text
	w := func(i int) string {
		if i < len(t) && (t[i].kind == 'w' || t[i].kind == 'n') {
			return event.Lower(t[i].text)
		}
		return ""
	}
	has := func(word string) bool {
		for _, x := range t[1:] {
			if x.kind == 'w' && x.text == word {
				return true
			}
		}
		return false
	}
	// form asks what cannot be SQL alone for more than its first word.
	form := func(ok bool, c event.Class, word string) (event.Class, string) {
		if ok || r.firm {
			return c, word
		}
		return event.NoClass, ""
	}
	named := len(t) > 1 && (t[1].kind == 'w' || t[1].kind == 'n')
	alone := len(t) == 1
	sign := func(i int) byte {
		if i < len(t) {
			return t[i].kind
		}
		return 0
	}
	kindOfThing := func(i int) bool { return sqlObjects[w(i)] || sqlModifiers[w(i)] }
	switch first {
	case "select", "values", "with", "from", "table":
		if first == "with" && !(named && (has("as") || has("select"))) || first == "values" && sign(1) != '(' ||
			first == "from" && !has("select") || first == "table" && (!named || len(t) > 2) {
			return unsure(first)
		}
		return r.query(t)
	case "explain", "describe", "desc":
		if first == "explain" && !named && sign(1) != '(' {
			return unsure(first)
		}
		if has("analyze") || has("analyse") {
			for i := 1; i < len(t); i++ {
				if t[i].kind == 'w' && t[i].depth == 0 && sqlStarts[t[i].text] {
					return r.judge(t[i:])
				}
			}
			return event.Exec, first
		}
		return form(alone || sqlStarts[w(1)] || sign(1) == '(' || len(t) <= 4, event.Read, first)
	case "show", "list", "help":
		return form(false, event.Read, first)
	case "pragma":
		for _, x := range t {
			if x.kind == '=' {
				return event.Write, first
			}
		}
		if sign(2) == '(' && !readPragmas[w(1)] {
			return event.Write, first
		}
		return event.Read, first
	case "delete":
		return form(w(1) == "from" || named && has("from"), event.Delete, first)
	case "truncate":
		return form(w(1) == "table" || named && len(t) <= 6 && kindOfThing(1), event.Delete, first)
	case "drop":
		switch w(1) {
		case "owned":
			return event.Delete, first
		}
		return form(kindOfThing(1), event.Delete, first)
	case "purge", "undrop", "reindex", "vacuum", "cluster", "optimize", "repair", "refresh", "rename", "checkpoint",
		"discard", "reset", "flush":
		c := event.Write
		if first == "purge" {
			c = event.Delete
		}
		return form(kindOfThing(1), c, first)
	case "update":
		return form(named && has("set"), event.Write, first)
	case "insert", "replace", "upsert", "merge":
		if first == "insert" && has("directory") {
			return event.Send, first
		}
		if first == "merge" {
			for i := range t {
				if t[i].kind == 'w' && t[i].text == "then" && w(i+1) == "delete" {
					return event.Delete, "delete"
				}
			}
			return form(w(1) == "into" || named && has("using"), event.Write, first)
		}
		c, word := form(w(1) == "into" || named && (has("values") || has("select") || w(1) == "overwrite"), event.Write,
			first)
		if inner, by := r.query(t[1:]); c != event.NoClass && stronger(inner, c) {
			return inner, by
		}
		return c, word
	case "create", "alter":
		c := event.Write
		for i := 1; i < min(len(t), 5); i++ {
			if x := w(i); x == "user" || x == "role" || x == "login" || x == "privileges" || x == "policy" &&
				first == "create" || x == "grant" || x == "default" && w(i+1) == "privileges" {
				c = event.Grant
				break
			} else if sqlObjects[x] {
				break
			}
		}
		if first == "alter" && has("drop") {
			c = event.Delete
		}
		if first == "alter" && has("owner") {
			c = event.Grant
		}
		if first == "create" && kindOfThing(1) {
			if inner, by := r.query(t[1:]); inner == event.Delete || inner == event.Send {
				return inner, by // what a trigger or a function will do
			}
		}
		return form(kindOfThing(1) || c == event.Grant && sqlObjects[w(1)], c, first)
	case "grant", "revoke", "deny":
		return form(has("to") && has("on") || has("from") && has("on") || named && (has("to") || has("from")) &&
			len(t) <= 5, event.Grant, first)
	case "reassign":
		return form(w(1) == "owned", event.Grant, first)
	case "comment", "label":
		return form(w(1) == "on" || w(2) == "label", event.Write, first)
	case "copy", "unload", "export", "put", "get", "backup", "restore", "load", "import":
		return r.move(t, form, w, has)
	case "set":
		switch w(1) {
		case "role", "password":
			return event.Grant, first
		case "session":
			if w(2) == "authorization" {
				return event.Grant, first
			}
		}
		return form(sign(2) == '=' || w(2) == "to" || w(1) == "global" || w(1) == "session" || w(1) == "local" ||
			w(1) == "transaction" || w(1) == "names" || strings.HasPrefix(w(1), "@"), event.Write, first)
	case "lock", "unlock":
		return form(w(1) == "table" || w(1) == "tables" || named && has("mode"), event.Write, first)
	case "analyze", "analyse":
		for i := 1; i < len(t); i++ {
			if t[i].kind == 'w' && sqlStarts[t[i].text] && t[i].text != "table" {
				return r.judge(t[i:])
			}
		}
		return form(w(1) == "table", event.Write, first)
	case "call":
		return form(named && (len(t) == 2 && strings.ContainsAny(w(1), "_$") || sign(2) == '(' || sign(2) == '.'),
			event.Exec, first)
	case "exec", "execute":
		return form(named && (len(t) == 2 || sign(2) == '(' || sign(2) == '.' || sign(2) == 't' || sign(2) == 'd' ||
			strings.HasPrefix(w(2), "@") || w(1) == "immediate") || sign(1) == '(', event.Exec, first)
	case "do":
		return form(sign(1) == 't' || w(1) == "language" || sign(2) == '(', event.Exec, first)
	case "prepare", "deallocate", "handler", "kill", "shutdown", "attach", "detach", "signal":
		for i := 2; i < min(len(t), maxAhead); i++ {
			if t[i].kind == 'w' && sqlStarts[t[i].text] {
				if c, by := r.judge(t[i:]); stronger(c, event.Exec) {
					return c, by
				}
			}
		}
		return form(first == "attach" && (w(1) == "database" || sign(1) == 't') || first == "prepare" &&
			(has("as") || has("from")), event.Exec, first)
	case "declare", "begin", "if", "while", "loop", "for", "end", "else", "return", "open", "fetch", "close", "start",
		"commit", "rollback", "savepoint", "release", "abort", "use", "go", "listen", "unlisten", "notify":
		// A block: what is done in it counts.
		c, by := r.blocks(t)
		if c != event.NoClass || !r.firm && first != "begin" && first != "declare" {
			return c, by
		}
		switch first {
		case "declare", "if", "while", "loop", "for", "return", "else":
			return unsure(first)
		case "begin", "end":
			if len(t) > 3 && first == "begin" && w(1) != "transaction" && w(1) != "work" && w(1) != "isolation" {
				return unsure(first)
			}
		case "notify":
			return event.Write, first
		}
		return event.NoClass, ""
	}
	return unsure(first)
}

// blocks looks for statements within a block.
func (r *sqlReader) blocks(t []token) (c event.Class, word string) {
	for i := 1; i < len(t); i++ {
		if t[i].kind != 'w' || !sqlStarts[t[i].text] || t[i].text == "table" || t[i].text == "values" {
			continue
		}
		switch t[i-1].text {
		case "begin", "then", "else", "do", "loop", "as", "for", "(", ")", "end", "is", "transaction", "work":
		default:
			if t[i-1].kind == 'w' && sqlKeywords[t[i-1].text] {
				continue
			}
		}
		if found, by := r.judge(t[i:]); stronger(found, c) {
			c, word = found, by
		}
		if c == event.Delete {
			break
		}
		if i > maxAhead {
			break
		}
	}
	return c, word
}

// move judges statements that carry data in or out.
func (r *sqlReader) move(t []token, form func(bool, event.Class, string) (event.Class, string), w func(int) string,
	has func(string) bool) (event.Class, string) {
	first := t[0].text
	inner, by := event.NoClass, ""
	if len(t) > 1 && t[1].kind == '(' {
		inner, by = r.query(t[1:])
	}
	c, ok := event.Write, false
	switch first {
	case "copy":
		to, from, into := -1, -1, -1
		for i := range t {
			if t[i].depth > 0 || t[i].kind != 'w' {
				continue
			}
			switch t[i].text {
			case "to":
				to = i
			case "from":
				from = i
			case "into":
				into = i
			}
		}
		ok = (to > 0 || from > 0) && len(t) <= 400 && (to+1 < len(t) && to > 0 || from > 0)
		switch {
		case to > 0:
			c = event.Send
			if !r.firm && t[min(to+1, len(t)-1)].kind == 'w' && w(to+1) != "stdout" && w(to+1) != "program" {
				ok = false // "copy the file to me"
			}
		case into > 0 && into+1 < len(t) && (t[into+1].kind == 't' || t[into+1].kind == '@' || t[into+1].kind == 'w' &&
			strings.HasPrefix(t[into+1].text, "@")):
			c = event.Send
		case from > 0 && !r.firm:
			ok = ok && from+1 < len(t) && (t[from+1].kind == 't' || w(from+1) == "stdin" || w(from+1) == "program" ||
				strings.HasPrefix(w(from+1), "@"))
		}
	case "unload", "export", "backup":
		c, ok = event.Send, (has("to") || w(1) == "data" && has("as")) && len(t) > 1 &&
			(t[1].kind == '(' || w(1) == "data" || w(1) == "database" || w(1) == "table")
	case "load":
		ok = w(1) == "data" || w(1) == "xml"
		if !ok {
			c = event.Exec
		}
	case "get":
		c, ok = event.Read, len(t) > 1 && strings.HasPrefix(w(1), "@")
	case "put":
		ok = w(1) == "file"
	default:
		ok = w(1) == "database" || w(1) == "table" || w(1) == "into" || w(1) == "foreign"
	}
	if stronger(inner, c) {
		return inner, by
	}
	return form(ok || inner != event.NoClass, c, first)
}

// query judges what begins with SELECT or WITH: what it changes on the way, and which functions it
// calls.
func (r *sqlReader) query(t []token) (c event.Class, word string) {
	c, word = event.Read, "select"
	add := func(found event.Class, by string) {
		if stronger(found, c) {
			c, word = found, by
		}
	}
	for i := range t {
		x := &t[i]
		if x.kind != 'w' {
			if x.kind == 'n' && i+1 < len(t) && t[i+1].kind == '(' && (i == 0 || !beforeNames[t[i-1].text]) &&
				!r.list(t, i) {
				add(event.Exec, "function")
			}
			continue
		}
		before, after := "", byte(0)
		if i > 0 {
			before = t[i-1].text
		}
		next := ""
		if i+1 < len(t) {
			after, next = t[i+1].kind, t[i+1].text
		}
		// A statement begins behind a bracket, or behind the brackets of WITH.
		start := i == 0 || before == "(" || before == ")" || before == "as" || before == "then" ||
			before == "materialized" || before == "begin" || before == "do" || before == "else" || before == "each" ||
			before == "row"
		switch x.text {
		case "delete":
			if start && after != '(' && (next == "from" || t[0].text == "with" || before == "(") {
				add(event.Delete, x.text)
			}
		case "update":
			switch {
			case before == "for" || before == "key" && i > 1 && t[i-2].text == "no":
				add(event.Write, "for update")
			case start && after != '(' && (after == 'w' || after == 'n'):
				add(event.Write, x.text)
			}
		case "share":
			if before == "for" || before == "key" && i > 1 && t[i-2].text == "for" {
				add(event.Write, "for share")
			}
		case "insert", "merge", "replace":
			if start && after != '(' && (next == "into" || after == 'w' || after == 'n') {
				add(event.Write, x.text)
			}
			if x.text == "merge" && i == 0 {
				add(event.Write, x.text)
			}
		case "truncate", "drop":
			if start && i > 0 && after == 'w' {
				add(event.Delete, x.text)
			}
		case "into":
			switch {
			case next == "outfile" || next == "dumpfile":
				add(event.Send, "into "+next)
			case before == "insert" || before == "merge" || before == "replace" || before == "overwrite":
			case after == 'w' && strings.HasPrefix(next, "@"), after == '@', after == ':':
				add(event.Exec, "into")
			default:
				add(event.Write, "select into")
			}
		case "procedure":
			if t[0].text == "select" && after == 'w' {
				add(event.Exec, x.text)
			}
		default:
			if after == '(' && !sqlKeywords[x.text] && !beforeNames[before] && !harmless[x.text] && !r.list(t, i) {
				add(event.Exec, "function")
			}
			if after == '(' && harmless[x.text] && before == "." && i > 1 && !systemSchemas[t[i-2].text] {
				add(event.Exec, "function")
			}
		}
	}
	return c, word
}

// list tells whether a name before a bracket is that of a table with its columns: WITH x (a, b) AS
// (…), INSERT INTO x (a, b).
func (r *sqlReader) list(t []token, i int) bool {
	if i > 0 && (t[i-1].text == "." || t[i-1].kind == ')') && i > 1 && beforeNames[t[max(0, i-3)].text] {
		return true
	}
	depth := t[i+1].depth
	for j := i + 2; j < min(len(t), i+maxAhead); j++ {
		if t[j].kind == ')' && t[j].depth == depth {
			return j+2 < len(t) && t[j+1].text == "as" && (t[j+2].kind == '(' || t[j+2].text == "materialized" ||
				t[j+2].text == "not") && (i == 1 || t[i-1].kind == ',' || t[i-1].text == "recursive")
		}
	}
	return false
}

var (
	sqlStarts = nounsOf(
		`select with values table insert update delete merge replace upsert truncate drop create alter grant revoke deny copy unload call exec execute do set lock explain load`)
	// sqlAlone begin no question that people ask.
	sqlAlone = nounsOf(
		`select truncate vacuum alter drop grant revoke exec execute reindex merge upsert attach detach pragma prepare deallocate shutdown declare begin`)
	// sqlObjects are what statements create and drop.
	sqlObjects = nounsOf(`table database schema view index user role login function procedure trigger sequence type domain extension policy materialized
		column constraint keyspace warehouse stage pipe stream task share catalog collation conversion cast aggregate operator rule server language
		publication subscription tablespace event package synonym credential certificate key partition statistics group tables owned profile resource
		external virtual foreign dictionary quota collection class system session privileges default privilege user_defined assembly queue service logfile instance fulltext spatial`)
	sqlModifiers = nounsOf(
		`or temp temporary unique global local unlogged if concurrently clustered nonclustered recursive force editionable transient dynamic hybrid bitmap only secure aggregate definer algorithm`)
	readPragmas = nounsOf(
		`table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list database_list function_list integrity_check quick_check foreign_key_check compile_options collation_list module_list pragma_list`)
	// sqlKeywords stand before brackets and call nothing.
	sqlKeywords = nounsOf(`select from where and or not in exists any all some as on using join inner outer left right full cross lateral natural having by order group
		limit offset fetch union intersect except minus distinct case when then else end over partition within filter values row rows range between like ilike rlike regexp similar is
		null set with recursive returning array table cube rollup grouping sets window qualify pivot unpivot only materialized top percent interval escape collate at zone into update
		for share nowait skip unnest insert conflict do nothing key default primary unique references check foreign begin return struct map tablesample bernoulli index use force ignore xor div mod`)
	// beforeNames are words behind which a name with brackets is no call: of a type, a table with
	// its columns.
	beforeNames   = nounsOf(`as into table update :`)
	systemSchemas = nounsOf(`pg_catalog information_schema sys safe std`)
	// harmless are functions that every database has in some form and that leave nothing behind.
	harmless = nounsOf(`count sum avg min max stddev stddev_pop stddev_samp variance var_pop var_samp median mode corr covar_pop covar_samp regr_slope regr_intercept regr_r2 bit_and bit_or bit_xor
		bool_and bool_or every any_value string_agg group_concat listagg array_agg json_agg jsonb_agg json_object_agg jsonb_object_agg xmlagg count_if countif sumif approx_count_distinct approx_distinct approx_percentile approx_quantiles percentile_cont percentile_disc quantile
		row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value first last arg_max arg_min argmax argmin max_by min_by uniq
		coalesce nullif ifnull nvl nvl2 isnull iif if decode greatest least choose zeroifnull try_cast safe_cast cast convert try_convert typeof pg_typeof try_to_number
		abs ceil ceiling floor round trunc truncate sign sqrt cbrt power pow exp ln log log2 log10 mod div pi sin cos tan asin acos atan atan2 degrees radians rand random width_bucket gcd lcm safe_divide bitand bitor
		lower upper initcap length len char_length character_length octet_length bit_length datalength trim ltrim rtrim btrim lpad rpad left right substr substring mid concat concat_ws replace translate reverse repeat space position strpos instr charindex locate
		patindex split_part split string_to_array array_to_string format ascii chr char nchar unicode quotename quote_literal quote_ident regexp_replace regexp_match regexp_matches regexp_substr regexp_instr regexp_count regexp_like regexp_contains regexp_extract
		overlay soundex difference levenshtein similarity starts_with ends_with startswith endswith contains like glob hex unhex encode md5 sha sha1 sha2 sha256 crc32 hash to_hex from_hex base64 to_base64 from_base64 printf stuff str space trim_array
		now current_timestamp current_date current_time localtime localtimestamp getdate getutcdate sysdate sysdatetime curdate curtime utc_timestamp today date time datetime timestamp date_trunc date_part extract datepart datename dateadd datediff date_add date_sub date_diff timestampdiff
		timestampadd timestamp_diff timestamp_trunc timestamp_add timestamp_sub datetime_diff datetime_trunc adddate subdate addtime age year quarter month week day dayofweek dayofmonth dayofyear weekday weekofyear hour minute second millisecond microsecond epoch last_day eomonth months_between add_months next_day make_date make_time make_timestamp make_interval justify_days justify_hours
		to_date to_timestamp to_char to_number to_json to_jsonb row_to_json to_days to_seconds from_unixtime unix_timestamp strftime julianday unixepoch str_to_date date_format time_format parse_date parse_timestamp format_date format_timestamp dayname monthname isdate isnumeric generate_series generate_date_array sequence range
		json_extract json_value json_query json_array json_object json_build_object json_build_array jsonb_build_object jsonb_build_array json_array_length jsonb_array_length json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_each jsonb_each json_each_text jsonb_each_text json_tree json_keys json_object_keys jsonb_object_keys json_extract_path json_extract_path_text
		jsonb_extract_path jsonb_extract_path_text jsonb_path_query jsonb_path_exists json_valid json_type json_typeof jsonb_typeof json_quote json_set jsonb_set json_unquote json_contains json_length jsonb_strip_nulls json_extract_scalar parse_json get_json_object openjson json_table xmlelement xpath
		array_length cardinality array_append array_cat array_remove array_position array_contains array_to_json unnest flatten explode element_at size array_join array_size array_agg_distinct list_contains
		varchar nvarchar char text integer int bigint smallint tinyint decimal numeric float double real number binary varbinary bytea bit
		current_user session_user user database schema current_schema current_schemas version pg_size_pretty pg_total_relation_size pg_relation_size pg_table_size pg_indexes_size pg_database_size pg_get_viewdef pg_get_indexdef pg_get_constraintdef pg_get_functiondef col_description obj_description has_table_privilege has_schema_privilege format_type to_regclass object_id object_name col_name type_name db_name schema_name
		st_distance st_dwithin st_within st_contains st_intersects st_point st_makepoint st_setsrid st_x st_y st_astext st_asgeojson st_area st_length st_buffer st_transform st_geogpoint to_tsvector to_tsquery plainto_tsquery websearch_to_tsquery phraseto_tsquery ts_rank ts_rank_cd ts_headline match against freetext containstable
		rownum uuid gen_random_uuid uuid_generate_v4 newid total changes row_count`)
)
