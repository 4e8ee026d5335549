package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Programs that run other programs or code: wrappers, shells, interpreters.

// wrapper says where the wrapped command begins: behind the wrapper's own options and operands.
type wrapper struct {
	letters  string // short options that take the next word
	long     string // long options that do
	operands int    // of its own, before the command: timeout 5 ls
	env      bool   // assignments may stand before the command: env A=b ls
	line     bool   // the words are one line of a shell
	fromPipe bool   // words of the command come from what it reads
	harmless bool   // without a command it does nothing; the others are then exec
}

// wrappers have the options of programs that classifyWrapper reads. Others have none that matter.
var wrappers = map[string]wrapper{
	"sudo":     {letters: "ugpCrtTUDRh", long: "user group prompt chdir host role type chroot", env: true},
	"doas":     {letters: "ugpCrtTUDRh", long: "user group prompt chdir host role type chroot", env: true},
	"env":      {letters: "uC", long: "unset chdir", env: true},
	"nice":     {letters: "n", long: "adjustment", harmless: true},
	"ionice":   {letters: "cnp"},
	"timeout":  {letters: "sk", long: "signal kill-after", operands: 1},
	"gtimeout": {letters: "sk", long: "signal kill-after", operands: 1},
	"stdbuf":   {letters: "ioe"},
	"chroot":   {long: "userspec groups", operands: 1},
	"gosu":     {operands: 1},
	"taskset":  {operands: 1},
	"chrt":     {operands: 1},
	"proot":    {operands: 1},
	"xargs": {letters: "IELnPdsajS", long: "max-args max-procs replace delimiter arg-file max-lines jobs",
		fromPipe: true, harmless: true},
	"parallel": {letters: "IELnPdsajS", long: "max-args max-procs replace delimiter arg-file max-lines jobs",
		fromPipe: true, line: true},
	"watch":   {letters: "n", long: "interval", line: true},
	"strace":  {letters: "eopsaEuPO"},
	"ltrace":  {letters: "eopsaEuPO"},
	"flock":   {letters: "wE", long: "timeout", operands: 1},
	"command": {harmless: true},
	"builtin": {harmless: true},
	"exec":    {letters: "a", harmless: true},
	"time":    {letters: "fo", harmless: true},
	"nsenter": {letters: "tSG"},
	"unshare": {letters: "tSG"},
	"numactl": {letters: "NCmilpP"},
}

// classifyWrapper reads programs that run the one behind their own options.
func classifyWrapper(s *shell, name string, args []word, in stdin) action {
	switch name {
	case "sudo", "doas":
		for _, x := range args {
			if x.text == "-e" || x.text == "--edit" {
				return action{event.Write, name}
			}
			if !strings.HasPrefix(x.text, "-") {
				break
			}
		}
	case "env":
		for i, x := range args {
			if strings.HasPrefix(x.text, "-S") || x.text == "--split-string" ||
				strings.HasPrefix(x.text, "--split-string=") {
				line, _ := joinWords(args[i:])
				line = strings.TrimPrefix(line, "--split-string=")
				line = strings.TrimPrefix(line, "--split-string")
				return s.script(strings.TrimPrefix(line, "-S"))
			}
		}
	case "command":
		if first := wordAt(args, 0); first == "-v" || first == "-V" {
			return action{event.Read, name}
		}
	}
	w := wrappers[name]
	rest := fromFirstOperand(args, w.letters, w.long)
	for w.env && len(rest) > 0 {
		if v, _, ok := strings.Cut(rest[0].text, "="); !ok || v == "" || strings.ContainsAny(v, "/. ") {
			break
		}
		rest = rest[1:]
	}
	if w.operands > 0 && len(rest) > 0 {
		rest = rest[w.operands:]
		if name == "flock" && (wordAt(rest, 0) == "-c" || wordAt(rest, 0) == "--command") {
			return s.script(wordAt(rest, 1))
		}
	}
	if len(rest) == 0 {
		switch {
		case name == "env":
			return action{event.Read, name}
		case w.harmless:
			return action{}
		}
		return action{event.Exec, name}
	}
	if w.line {
		if line, known := joinWords(rest); known {
			return s.script(line)
		}
	}
	if w.fromPipe {
		in = stdin{piped: true}
	}
	return s.command(rest, in)
}

// classifyCommandOption reads programs that run the line behind -c.
func classifyCommandOption(s *shell, name string, args []word, in stdin) action {
	for i, x := range args {
		if (x.text == "-c" || x.text == "--command") && i+1 < len(args) {
			if !args[i+1].known {
				return action{event.Exec, "a variable for a program"}
			}
			return s.script(args[i+1].text)
		}
		if line, ok := strings.CutPrefix(x.text, "--command="); ok {
			return s.script(line)
		}
	}
	return action{event.Exec, name}
}

func classifyShell(s *shell, name string, args []word, in stdin) (a action) {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		switch {
		case !strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "+"):
			if !args[i].known {
				return action{event.Exec, "a variable for a program"}
			}
			s.path(v)
			s.scanWords(args[i+1:])
			return action{event.Exec, "a script"}
		case strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "--") && strings.IndexByte(v, 'c') > 0:
			rest := args[i+1:]
			for len(rest) > 1 && strings.HasPrefix(rest[0].text, "-") {
				rest = rest[1:]
			}
			if len(rest) == 0 {
				return action{event.Exec, name}
			}
			line := rest[0]
			if !line.known {
				a = action{event.Exec, "a variable for a program"}
				if strings.Trim(line.text, "$ ") != "" {
					a.add(s.script(line.text))
				}
				return a
			}
			return s.script(line.text)
		case v == "-o" || v == "-O" || v == "--rcfile" || v == "--init-file":
			i++
		}
	}
	switch { // what it runs comes from what it reads
	case in.known:
		return s.script(in.text)
	case in.piped:
		return action{event.Exec, "what is piped into a shell"}
	}
	return action{event.Exec, name}
}

func classifyOtherShell(s *shell, name string, args []word, in stdin) action {
	line, _ := joinWords(args)
	s.scanCode(line)
	s.scanWords(args)
	if in.known {
		s.scanCode(in.text)
	}
	a := action{event.Exec, "a shell that is not read"}
	for i, x := range args {
		switch event.Lower(x.text) {
		case "/c", "/k", "-c", "-command", "-commandwithargs":
			rest, _ := joinWords(args[i+1:])
			a.add(s.script(rest)) // what it has in common with a shell of POSIX counts
			return a
		}
	}
	return a
}

func classifyInterpreter(s *shell, name string, args []word, in stdin) action {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		if v == "-V" || v == "-v" && len(args) == 1 {
			return action{event.Read, name}
		}
		if strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "--") && len(v) <= 4 &&
			strings.ContainsAny(v[len(v)-1:], "ceErnp") || v == "--eval" || v == "--print" || v == "eval" && i == 0 {
			if i+1 < len(args) {
				s.scanCode(args[i+1].text)
				s.scanWords(args[i+2:])
			}
			return action{event.Exec, "code"}
		}
		if !strings.HasPrefix(v, "-") {
			s.path(v)
			s.scanWords(args[i+1:])
			return action{event.Exec, "a script"}
		}
	}
	if in.known {
		s.scanCode(in.text)
	}
	return action{event.Exec, "code"}
}

func classifyEval(s *shell, name string, args []word, in stdin) action {
	a := action{event.Exec, "eval"}
	if line, known := joinWords(args); known {
		a.add(s.script(line))
	} else {
		s.scanWords(args)
	}
	return a
}

// classifyAlias counts what aliases stand for, whether they are used or not.
func classifyAlias(s *shell, name string, args []word, in stdin) (a action) {
	for _, x := range args {
		if _, v, ok := strings.Cut(x.text, "="); ok {
			a.add(s.script(v))
		}
	}
	return a
}

// classifyScreen reads terminal multiplexers. They run or type what they are given, as one word or
// as several.
func classifyScreen(s *shell, name string, args []word, in stdin) action {
	a := action{event.Exec, name}
	for i, x := range args {
		switch {
		case strings.ContainsAny(x.text, " \t\n"):
			a.add(s.script(x.text))
		case name == "screen" && !strings.HasPrefix(x.text, "-") && i > 0 && strings.HasPrefix(args[i-1].text, "-") &&
			strings.ContainsAny(args[i-1].text, "dm"):
			a.add(s.command(args[i:], in))
			return a
		}
	}
	return a
}

func classifySource(s *shell, name string, args []word, in stdin) action {
	if name == "trap" {
		if len(args) < 2 || args[0].text == "-" {
			return action{}
		}
		if !args[0].known {
			return action{event.Exec, name}
		}
		return s.script(args[0].text)
	}
	s.path(wordAt(args, 0))
	return action{event.Exec, "a script"}
}
