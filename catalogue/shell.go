package catalogue

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/wayward-sec/wayward/event"
)

// What command lines do. A line is parsed by the grammar of bash. Every program in it counts,
// however it is wrapped, piped or substituted; the strongest class is that of the line. An unknown
// program, a variable for a program, and text that becomes a command only at run time are exec.

// Bounds of one line.
const (
	maxLine         = 256 << 10 // bytes
	maxLines        = 5000      // that are parsed one by one
	maxNesting      = 1000      // signs that may nest
	maxShellNesting = 8         // command lines in command lines: sh -c 'sh -c …'
	maxCommands     = 5000      // programs
	maxReached      = 64
	maxPaths        = 8
)

// shell reads the command lines and the code of one call, and gathers what they name.
type shell struct {
	reached     []string // URLs, hosts and addresses
	paths       []string // files, secret ones first
	labels      labelBits
	moreReached bool // there were more than maxReached
	incomplete  bool // not everything was read
	calls       int
	nesting     int
	vars        map[string]string // variables that were set to a known text
	funcs       map[string]bool   // functions that the line declares
}

// action is what a part of a line does, and the word that decided.
type action struct {
	class event.Class
	word  string
}

func (a *action) add(b action) {
	if b.class != event.NoClass && stronger(b.class, a.class) {
		*a = b
	}
}

// word is a word of a command. known: the text is complete; else the shell works out a part of it
// when the line runs, which stands as $.
type word struct {
	text  string
	known bool
}

// line classifies a command line, or a script.
func (s *shell) line(text string) (event.Class, string) {
	a := s.script(text)
	if a.class == event.Read && s.labels&secretLabel != 0 &&
		slices.ContainsFunc(s.reached, func(to string) bool {
			return strings.LastIndexByte(to, '$') > 0 ||
				strings.HasPrefix(to, "$.")
		}) {
		return event.Send, "a secret is read, and where the line goes is worked out"
	}
	return a.class, a.word
}

// argv classifies the words of one command.
func (s *shell) argv(words []string) (event.Class, string) {
	list := make([]word, len(words))
	for i, w := range words {
		list[i] = word{w, true}
	}
	a := s.command(list, stdin{})
	return a.class, a.word
}

func (s *shell) script(text string) (a action) {
	if strings.TrimSpace(text) == "" {
		return action{}
	}
	if s.nesting++; s.nesting > maxShellNesting {
		s.incomplete = true
		return action{event.Exec, "lines in lines"}
	}
	defer func() { s.nesting-- }()
	nests := 0
	for _, sign := range [...]string{"(", "{", "`", "if", "while", "until", "for", "case", "!", "select", "function",
		"coproc", "time"} {
		nests += strings.Count(text, sign)
	}
	if len(text) > maxLine || nests > maxNesting {
		s.incomplete = true
		s.scanCode(event.Clip(text, maxLine))
		a = action{event.Exec, "longer than is read"}
		a.add(s.byLine(text))
		return a
	}
	file, err := parseBash(text)
	if err != nil {
		s.scanCode(text)
		a = action{event.Exec, "no command line of a POSIX shell"}
		a.add(s.byLine(text))
		return a
	}
	return s.parsed(file)
}

// byLine parses each line by itself, where all lines together cannot be parsed: a shell runs the
// lines before a fault.
func (s *shell) byLine(text string) (a action) {
	if s.nesting > 1 || strings.IndexByte(text, '\n') < 0 {
		return a
	}
	n := 0
	for l := range strings.SplitSeq(text, "\n") {
		if n++; n > maxLines {
			s.incomplete = true
			break
		}
		if l == "" || l[0] == '#' || len(l) > maxLine || strings.Count(l, "(")+strings.Count(l, "{")+
			strings.Count(l, "`")+strings.Count(l, "if")+strings.Count(l, "!")+strings.Count(l, "while") > maxNesting/4 {
			continue
		}
		if f, err := parseBash(l); err == nil {
			a.add(s.parsed(f))
		}
	}
	return a
}

// parseBash parses a line by the grammar of bash. A panic of the parser is an error, so that no
// line of an agent can end the process.
func parseBash(text string) (file *syntax.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
}

// stdin is the input of a command.
type stdin struct {
	piped bool   // from another command
	text  string // if it is known
	known bool
}

func (s *shell) parsed(file *syntax.File) (a action) {
	if s.vars == nil {
		s.vars, s.funcs = map[string]string{}, map[string]bool{}
	}
	piped := map[*syntax.Stmt]stdin{}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			if n.Name != nil { // zsh has functions without
				s.funcs[n.Name.Value] = true
			}
		case *syntax.Assign:
			if n.Name != nil && n.Value != nil {
				if w := s.word(n.Value); w.known && len(s.vars) < 200 {
					s.vars[n.Name.Value] = w.text
				} else {
					delete(s.vars, n.Name.Value)
				}
			}
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				in := stdin{piped: true}
				if text, ok := s.printedText(n.X); ok {
					in.text, in.known = text, true
				}
				to := n.Y
				for { // a | b | c
					b, ok := to.Cmd.(*syntax.BinaryCmd)
					if !ok || b.Op != syntax.Pipe && b.Op != syntax.PipeAll {
						break
					}
					to = b.X
				}
				piped[to] = in
			}
		case *syntax.Stmt:
			in := piped[n]
			for _, r := range n.Redirs {
				a.add(s.redirect(r, &in))
			}
			switch cmd := n.Cmd.(type) {
			case *syntax.CallExpr:
				if len(cmd.Args) > 0 {
					words := make([]word, 0, len(cmd.Args))
					for _, w := range cmd.Args {
						words = append(words, s.word(w))
					}
					a.add(s.command(words, in))
				}
			case *syntax.Subshell:
				if len(cmd.Stmts) > 0 && in.piped {
					piped[cmd.Stmts[0]] = in
				}
			case *syntax.Block:
				if len(cmd.Stmts) > 0 && in.piped {
					piped[cmd.Stmts[0]] = in
				}
			}
		}
		return true
	})
	return a
}

// printedText is the text that echo or printf prints, if it is known.
func (s *shell) printedText(st *syntax.Stmt) (string, bool) {
	call, ok := st.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	name := s.word(call.Args[0])
	if !name.known || name.text != "echo" && name.text != "printf" {
		return "", false
	}
	var parts []string
	for _, w := range call.Args[1:] {
		x := s.word(w)
		if !x.known || strings.Contains(x.text, `\`) || name.text == "printf" && strings.Contains(x.text, "%") {
			return "", false
		}
		if len(parts) == 0 && (x.text == "-n" || x.text == "-e" || x.text == "--") {
			continue
		}
		parts = append(parts, x.text)
	}
	return strings.Join(parts, " "), true
}

// word is the text of a word, with quotes removed and variables filled in as far as they are known.
func (s *shell) word(w *syntax.Word) word {
	out := word{known: true}
	var b strings.Builder
	var parts func([]syntax.WordPart, bool)
	parts = func(list []syntax.WordPart, quoted bool) {
		for _, p := range list {
			switch p := p.(type) {
			case *syntax.Lit:
				b.WriteString(removeBackslashes(p.Value, quoted))
			case *syntax.SglQuoted:
				if p.Dollar && strings.Contains(p.Value, `\`) {
					out.known = false
					b.WriteByte('$')
					continue
				}
				b.WriteString(p.Value)
			case *syntax.DblQuoted:
				parts(p.Parts, true)
			case *syntax.ParamExp:
				name := ""
				if p.Param != nil {
					name = p.Param.Value
				}
				v, set := s.vars[name]
				switch {
				case set && p.Exp == nil && p.Repl == nil && p.Slice == nil && p.Index == nil && !p.Length && !p.Excl:
					b.WriteString(v)
				case name == "HOME" && p.Exp == nil:
					b.WriteByte('~')
				case name == "PWD" && p.Exp == nil:
					b.WriteByte('.')
				default:
					out.known = false
					b.WriteByte('$')
				}
			default:
				out.known = false
				b.WriteByte('$')
			}
		}
	}
	parts(w.Parts, false)
	out.text = b.String()
	return out
}

func removeBackslashes(v string, quoted bool) string {
	if strings.IndexByte(v, '\\') < 0 {
		return v
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) && (!quoted || strings.IndexByte("$`\"\\\n", v[i+1]) >= 0) {
			if i++; v[i] == '\n' {
				continue
			}
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

// redirect classifies a redirection, and sets the input that it gives the command.
func (s *shell) redirect(r *syntax.Redirect, in *stdin) action {
	if r.Word == nil {
		return action{}
	}
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		if r.Hdoc != nil {
			w := s.word(r.Hdoc)
			*in = stdin{true, w.text, w.known}
		}
		return action{}
	case syntax.WordHdoc:
		w := s.word(r.Word)
		*in = stdin{true, w.text, w.known}
		return action{}
	case syntax.DplIn:
		return action{}
	}
	w := s.word(r.Word)
	if rest, ok := strings.CutPrefix(w.text, "/dev/tcp/"); ok || strings.HasPrefix(w.text, "/dev/udp/") {
		if !ok {
			rest = w.text[len("/dev/udp/"):]
		}
		host, port, _ := strings.Cut(rest, "/")
		s.reach(host + portSuffix(port))
		return action{event.Send, "/dev/tcp"}
	}
	switch r.Op {
	case syntax.RdrIn:
		s.path(w.text)
		in.piped = true
		return action{}
	case syntax.DplOut:
		if w.text == "-" || isDigits(strings.TrimSuffix(w.text, "-")) {
			return action{}
		}
	}
	return s.writeFile(w.text, "> file")
}

func portSuffix(s string) string {
	if s == "" || !isDigits(s) {
		return ""
	}
	return ":" + s
}

// writeFile classifies writing a file, and notes it.
func (s *shell) writeFile(file, by string) action {
	switch file {
	case "/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "-", "":
		return action{}
	}
	s.path(file)
	base := path.Base(file)
	switch {
	case base == "authorized_keys" || base == "sudoers" || strings.Contains(file, "/sudoers.d/"):
		return action{event.Grant, by}
	case strings.HasPrefix(file, "/dev/sd") || strings.HasPrefix(file, "/dev/nvme") ||
		strings.HasPrefix(file, "/dev/disk") || strings.HasPrefix(file, "/dev/vd"):
		return action{event.Delete, by}
	}
	return action{event.Write, by}
}

// reach notes a host, a URL or an address.
func (s *shell) reach(to string) {
	if to = strings.TrimSpace(to); to == "" || slices.Contains(s.reached, to) {
		return
	}
	if len(s.reached) == maxReached {
		s.moreReached = true
		return
	}
	s.reached = append(s.reached, to)
}

// path notes a file, and labels the call secret if it probably holds secrets.
func (s *shell) path(p string) {
	if p == "" || p == "-" || len(p) > maxValue || strings.HasPrefix(p, "/dev/") {
		return
	}
	secret := isSecretFile(p)
	if secret {
		s.labels |= secretLabel
	}
	switch {
	case slices.Contains(s.paths, p):
	case secret:
		s.paths = append([]string{p}, s.paths[:min(len(s.paths), maxPaths-1)]...)
	case len(s.paths) < maxPaths:
		s.paths = append(s.paths, p)
	}
}
