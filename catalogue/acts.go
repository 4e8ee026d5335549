package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What arguments say that a call does: a word (action: delete, method: POST), SQL, GraphQL, a
// command line, code. All of them count, and the strongest decides.

// operation is how an argument says what is done.
type operation uint8

const (
	noOperation operation = iota
	byWord                // delete, messages.send
	byMethod              // an HTTP method; other words are ways to pay, to sort, to deliver
	bySQL                 // a statement, and nothing else
	byQuery               // SQL or GraphQL, or what somebody looks for
	byCommand             // a command line, or the word of a command
	byShell               // a command line
	byArguments           // of a program that another argument names
	byCode                // in whatever language
	byLanguage            // which that is
)

// maxActs bounds the texts of one call that are read as commands or code, and the words of one
// command line.
const (
	maxCodes = 16
	maxArgv  = 4096
)

// acts is what the arguments of one call say that it does.
type acts struct {
	class  event.Class
	word   string
	arg    *arg
	word1  bool // only a word says so, neither SQL nor a command line
	shell  *shell
	argv   []string
	argvOf *arg
	rest   []string // arguments of a program
	codes  []string
	codeOf *arg
	shells bool // the language is a shell's
	other  bool // or another one
}

// add takes an act into account.
func (a *acts) add(c event.Class, word string, by *arg, plain bool) {
	if c == event.NoClass {
		return
	}
	if stronger(c, a.class) {
		a.class, a.word, a.arg = c, word, by
		a.word1 = plain
	}
}

// take reads an argument.
func (a *acts) take(k *look, by *arg, s span) {
	if s.from == s.to {
		return
	}
	raw := k.p[s.from:s.to]
	switch by.operation {
	case byWord, byMethod:
		if v := k.text(s); len(v) <= maxKey {
			c, word := wordOf(v, by.operation == byMethod)
			a.add(c, word, by, true)
		}
	case bySQL, byQuery:
		if !k.spend(len(raw) / 8) {
			a.add(event.Exec, "more than is read", by, false)
			return
		}
		v := k.whole(s)
		if c, word := graphQL(v); c != event.NoClass {
			a.add(c, word, by, false)
			return
		}
		c, word := statement(v, by.operation == bySQL || k.t.database && onlySQL(v))
		if c == event.Read && by.operation == byQuery && !k.t.database {
			return
		}
		a.add(c, word, by, false)
	case byCommand:
		if v := k.text(s); len(v) <= maxKey && by.index < 0 && !k.t.shells {
			if w := splitWords(v, 5); len(w) > 0 && len(w) <= 4 && !strings.ContainsAny(v, " /|;&<>$`\n\"'=") {
				if c, word := wordOf(v, false); c != event.NoClass {
					a.add(c, word, by, true)
					return
				}
			}
		}
		a.words(k, by, s)
	case byShell:
		a.words(k, by, s)
	case byArguments:
		if s.quoted && len(a.rest) < maxArgv {
			a.rest = append(a.rest, k.whole(s))
		}
	case byCode:
		if a.codeOf == nil || len(a.codes) < maxCodes {
			a.codes, a.codeOf = append(a.codes, k.whole(s)), by
		} else {
			k.short = true
		}
	case byLanguage:
		switch event.Lower(strings.TrimSpace(k.text(s))) {
		case "sh", "bash", "shell", "zsh", "dash", "ksh", "console", "shellscript":
			a.shells = true
		case "":
		default:
			a.other = true
		}
	}
}

// onlySQL tells whether what a database is asked begins as nothing but SQL does. "create a report"
// and "show me" may be questions to something that writes SQL itself.
func onlySQL(s string) bool {
	s = strings.TrimLeft(s, " \t\r\n(;")
	if strings.HasPrefix(s, "--") || strings.HasPrefix(s, "/*") {
		return true
	}
	end := strings.IndexFunc(s, func(r rune) bool { return r > 0x7f || !isWordByte(byte(r)) && r != '_' })
	if end < 0 {
		end = len(s)
	}
	return sqlAlone[event.Lower(s[:end])]
}

// words gathers command lines, or the words of one.
func (a *acts) words(k *look, by *arg, s span) {
	if len(a.argv) == maxArgv {
		k.short = true
		return
	}
	if a.argvOf != nil && !a.argvOf.same(by) {
		a.run(k)
	}
	a.argv, a.argvOf = append(a.argv, k.whole(s)), by
}

// run reads what was gathered.
func (a *acts) run(k *look) {
	argv := a.argv
	a.argv = nil
	if len(argv) == 0 {
		return
	}
	n := 0
	for _, w := range argv {
		n += len(w)
	}
	if !k.spend(n/4 + 64) {
		a.add(event.Exec, "more than is read", a.argvOf, false)
		return
	}
	if a.shell == nil {
		a.shell = &shell{}
	}
	last := a.argvOf.words[len(a.argvOf.words)-1]
	// Several lines, or one line in words: who names a list commands means the first.
	lines := last != singular(last) && last != "args" || len(argv) > 1 &&
		strings.ContainsAny(strings.TrimSpace(argv[0]), " \t\n;|&")
	if len(argv) == 1 && len(a.rest) == 0 || lines {
		for _, line := range argv {
			c, word := a.shell.line(line)
			a.add(c, word, a.argvOf, false)
		}
		return
	}
	c, word := a.shell.argv(append(argv, a.rest...))
	a.add(c, word, a.argvOf, false)
}

// finish reads what only all arguments together say.
func (a *acts) finish(k *look) {
	a.run(k)
	for _, code := range a.codes {
		if !k.spend(len(code)/4 + 64) {
			a.add(event.Exec, "more than is read", a.codeOf, false)
			break
		}
		if a.shell == nil {
			a.shell = &shell{}
		}
		if a.shells || !a.other && (k.t.shells && !strings.Contains(k.t.Name, "python") || looksLikeShell(code)) {
			c, word := a.shell.line(code)
			a.add(c, word, a.codeOf, false)
			continue
		}
		a.shell.code(code)
		a.add(event.Exec, "code", a.codeOf, false)
	}
	if a.shell != nil && a.shell.short {
		k.short = true
	}
}

// wordOf reads a class out of a word or two: read, messages.send, deleteUser.
func wordOf(v string, method bool) (event.Class, string) {
	v = strings.TrimSpace(v)
	switch v {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "SEARCH":
		return event.Read, v
	case "POST", "PUT", "PATCH", "MOVE", "COPY", "MKCOL", "PROPPATCH", "LOCK":
		return event.Write, v
	case "DELETE":
		return event.Delete, v
	}
	if method {
		switch event.Lower(v) {
		case "get", "head", "options", "trace":
			return event.Read, v
		case "post", "put", "patch":
			return event.Write, v
		}
	}
	p := phraseOf(v, "")
	n := 0
	for _, s := range p.segments {
		n += len(s)
	}
	if n == 0 || n > 4 {
		return event.NoClass, ""
	}
	if n == 1 && telling[singular(p.segments[0][0])] && !method {
		return event.Read, v
	}
	r := p.read()
	if method && !r.firm && n == 1 {
		return event.NoClass, ""
	}
	if r.class == event.NoClass {
		return event.NoClass, ""
	}
	return r.class, r.verb
}

// weak tells whether the tool's name leaves it to an argument what is done: message, records,
// process, http_request.
func (t *Tool) weak() bool {
	r := &t.reading
	switch {
	case r.class == event.NoClass || r.verb == "" || r.verb == "request" || r.verb == "call":
		return true
	case r.firm || t.from["class"] != r.why():
		return false
	}
	return verbs[r.verb].tier == seldom || light[r.verb] && (len(r.nouns) == 0 || r.head() == noun(r.verb))
}

// decide is the class of a call, given what its arguments say: they decide where the name leaves it
// open, and never make less of what it says plainly.
func (t *Tool) decide(a *acts) event.Class {
	switch {
	case a.class == event.NoClass:
		return t.class
	case t.class == event.NoClass, stronger(a.class, t.class):
		return a.class
	case a.word1 && t.weak():
		return a.class
	case !a.word1 && (t.class == event.Exec || t.class == event.Read || t.weak()):
		return a.class
	}
	return t.class
}

// by is the argument that holds a command line or code.
func (a *acts) by() *arg {
	switch {
	case a.argvOf != nil:
		return a.argvOf
	case a.codeOf != nil:
		return a.codeOf
	}
	return a.arg
}
