package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What the arguments of a call say that it does: a word (action: delete, method: POST), SQL,
// GraphQL, a command line, code. All of them count, and the strongest class decides.

// operation is how an argument says what the call does.
type operation uint8

const (
	noOperation operation = iota
	byWord                // delete, messages.send
	byMethod              // an HTTP method; other words are methods of payment, sorting, delivery
	bySQL                 // SQL
	byQuery               // SQL or GraphQL, or the words of a search
	byCommand             // a command line, or a word such as delete
	byShell               // a command line
	byArguments           // the arguments of a program that another argument names
	byCode                // code in any language
	byLanguage            // the language of the code
)

// Bounds of what is read of one call.
const (
	maxCodes = 16   // texts of code
	maxArgv  = 4096 // command lines, or words of one
)

// callActions gathers what the arguments of one call say that it does.
type callActions struct {
	class    event.Class // the strongest so far
	word     string      // that decided
	arg      *arg        // that holds it
	wordOnly bool        // it is a single word, neither SQL nor a command line

	shell         *shell   // what command lines and code name; nil: there were none
	commandWords  []string // command lines that are not read yet, or the words of one
	commandArg    *arg     // of commandWords
	programArgs   []string // of the program that commandWords names
	code          []string
	codeArg       *arg // of code
	shellLanguage bool // the code is for a shell
	otherLanguage bool // it is in another language
}

// add keeps a class if it is stronger than what was found before.
func (a *callActions) add(c event.Class, word string, by *arg, wordOnly bool) {
	if c != event.NoClass && stronger(c, a.class) {
		a.class, a.word, a.arg, a.wordOnly = c, word, by, wordOnly
	}
}

// take reads the value of an argument that says what the call does.
func (a *callActions) take(r *argReader, by *arg, s span) {
	if s.from == s.to {
		return
	}
	raw := r.p[s.from:s.to]
	switch by.operation {
	case byWord, byMethod:
		if v := r.text(s); len(v) <= maxKey {
			c, word := wordOf(v, by.operation == byMethod)
			a.add(c, word, by, true)
		}
	case bySQL, byQuery:
		if !r.spend(len(raw) / 8) {
			a.add(event.Exec, "more than is read", by, false)
			return
		}
		v := r.whole(s)
		if c, word := classifyGraphQL(v); c != event.NoClass {
			a.add(c, word, by, false)
			return
		}
		c, word := classifySQL(v, by.operation == bySQL || r.t.takesSQL && onlySQL(v))
		if c == event.Read && by.operation == byQuery && !r.t.takesSQL {
			return
		}
		a.add(c, word, by, false)
	case byCommand:
		if v := r.text(s); len(v) <= maxKey && by.index < 0 && !r.t.runsShell {
			if w := splitWords(v, 5); len(w) > 0 && len(w) <= 4 && !strings.ContainsAny(v, " /|;&<>$`\n\"'=") {
				if c, word := wordOf(v, false); c != event.NoClass {
					a.add(c, word, by, true)
					return
				}
			}
		}
		a.addCommand(r, by, s)
	case byShell:
		a.addCommand(r, by, s)
	case byArguments:
		if s.quoted && len(a.programArgs) < maxArgv {
			a.programArgs = append(a.programArgs, r.whole(s))
		}
	case byCode:
		if a.codeArg == nil || len(a.code) < maxCodes {
			a.code, a.codeArg = append(a.code, r.whole(s)), by
		} else {
			r.incomplete = true
		}
	case byLanguage:
		switch event.Lower(strings.TrimSpace(r.text(s))) {
		case "sh", "bash", "shell", "zsh", "dash", "ksh", "console", "shellscript":
			a.shellLanguage = true
		case "":
		default:
			a.otherLanguage = true
		}
	}
}

// onlySQL reports whether a text begins as nothing but SQL does. "create a report" and "show me"
// may be questions in plain English to a tool that writes the SQL itself.
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

// addCommand keeps a command line, or a word of one, until the argument is complete.
func (a *callActions) addCommand(r *argReader, by *arg, s span) {
	if len(a.commandWords) == maxArgv {
		r.incomplete = true
		return
	}
	if a.commandArg != nil && !a.commandArg.same(by) {
		a.readCommand(r)
	}
	a.commandWords, a.commandArg = append(a.commandWords, r.whole(s)), by
}

// readCommand reads the command lines that addCommand kept.
func (a *callActions) readCommand(r *argReader) {
	argv := a.commandWords
	a.commandWords = nil
	if len(argv) == 0 {
		return
	}
	n := 0
	for _, w := range argv {
		n += len(w)
	}
	if !r.spend(n/4 + 64) {
		a.add(event.Exec, "more than is read", a.commandArg, false)
		return
	}
	if a.shell == nil {
		a.shell = &shell{}
	}
	last := a.commandArg.words[len(a.commandArg.words)-1]
	// Several lines, or one line in words? An argument named commands holds lines.
	lines := last != singular(last) && last != "args" || len(argv) > 1 &&
		strings.ContainsAny(strings.TrimSpace(argv[0]), " \t\n;|&")
	if len(argv) == 1 && len(a.programArgs) == 0 || lines {
		for _, line := range argv {
			c, word := a.shell.line(line)
			a.add(c, word, a.commandArg, false)
		}
		return
	}
	c, word := a.shell.argv(append(argv, a.programArgs...))
	a.add(c, word, a.commandArg, false)
}

// finish reads what can be read only when all arguments are known.
func (a *callActions) finish(r *argReader) {
	a.readCommand(r)
	for _, code := range a.code {
		if !r.spend(len(code)/4 + 64) {
			a.add(event.Exec, "more than is read", a.codeArg, false)
			break
		}
		if a.shell == nil {
			a.shell = &shell{}
		}
		isShell := a.shellLanguage || !a.otherLanguage &&
			(r.t.runsShell && !strings.Contains(r.t.Name, "python") || looksLikeShell(code))
		if isShell {
			c, word := a.shell.line(code)
			a.add(c, word, a.codeArg, false)
			continue
		}
		a.shell.scanCode(code)
		a.add(event.Exec, "code", a.codeArg, false)
	}
	if a.shell != nil && a.shell.incomplete {
		r.incomplete = true
	}
}

// wordOf reads a class from a word or two: read, messages.send, deleteUser. method: it is the name
// of a method, which may be no verb at all.
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
	if n == 1 && reportNouns[singular(p.segments[0][0])] && !method {
		return event.Read, v
	}
	r := p.read()
	if method && !r.certain && n == 1 {
		return event.NoClass, ""
	}
	if r.class == event.NoClass {
		return event.NoClass, ""
	}
	return r.class, r.verb
}

// classIsOpen reports whether the tool's name leaves it to an argument what the call does: message,
// records, process, http_request.
func (t *Tool) classIsOpen() bool {
	r := &t.reading
	switch {
	case r.class == event.NoClass || r.verb == "" || r.verb == "request" || r.verb == "call":
		return true
	case r.certain || t.sources["class"] != r.why():
		return false
	}
	return verbs[r.verb].tier == seldom || lightVerbs[r.verb] && (len(r.nouns) == 0 || r.head() == noun(r.verb))
}

// classOfCall is the class of a call, given what its arguments say. They decide where the name
// leaves the class open. Where the name is plain, they can only make the class stronger.
func (t *Tool) classOfCall(a *callActions) event.Class {
	switch {
	case a.class == event.NoClass:
		return t.class
	case t.class == event.NoClass, stronger(a.class, t.class):
		return a.class
	case a.wordOnly && t.classIsOpen():
		return a.class
	case !a.wordOnly && (t.class == event.Exec || t.class == event.Read || t.classIsOpen()):
		return a.class
	}
	return t.class
}

// textArg is the argument that holds a command line or code.
func (a *callActions) textArg() *arg {
	switch {
	case a.commandArg != nil:
		return a.commandArg
	case a.codeArg != nil:
		return a.codeArg
	}
	return a.arg
}
