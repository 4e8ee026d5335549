package catalogue

import (
	"strings"

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
