package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// wrapped are programs that run the one behind their own options.
func wrapped(s *shell, name string, args []word, in stdin) act {
	letters, long, skip := "", "", 0
	switch name {
	case "sudo", "doas":
		letters, long = "ugpCrtTUDRh", "user group prompt chdir host role type chroot"
		for _, x := range args {
			if x.text == "-e" || x.text == "--edit" {
				return act{event.Write, name}
			}
			if !strings.HasPrefix(x.text, "-") {
				break
			}
		}
	case "env":
		letters, long = "uC", "unset chdir"
		for i, x := range args {
			if x.text == "-S" || x.text == "--split-string" || strings.HasPrefix(x.text, "-S") ||
				strings.HasPrefix(x.text, "--split-string=") {
				line, _ := joined(args[i:])
				line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "--split-string="),
					"--split-string"), "-S")
				return s.script(line)
			}
		}
	case "nice":
		letters, long = "n", "adjustment"
	case "ionice":
		letters = "cnp"
	case "timeout", "gtimeout":
		letters, long, skip = "sk", "signal kill-after", 1
	case "stdbuf":
		letters = "ioe"
	case "chroot":
		long, skip = "userspec groups", 1
	case "gosu", "taskset", "chrt", "proot":
		skip = 1
	case "xargs", "parallel":
		letters, long = "IELnPdsajS", "max-args max-procs replace delimiter arg-file max-lines jobs"
	case "watch":
		letters, long = "n", "interval"
	case "strace", "ltrace":
		letters = "eopsaEuPO"
	case "flock":
		letters, long, skip = "wE", "timeout", 1
	case "command":
		if t := text(args, 0); t == "-v" || t == "-V" {
			return act{event.Read, name}
		}
	case "exec":
		letters = "a"
	case "time":
		letters = "fo"
	case "nsenter", "unshare":
		letters = "tSG"
	case "numactl":
		letters = "NCmilpP"
	}
	rest := behind(args, letters, long)
	for name == "sudo" || name == "env" || name == "doas" {
		if len(rest) == 0 {
			break
		}
		if v, _, ok := strings.Cut(rest[0].text, "="); !ok || v == "" || strings.ContainsAny(v, "/. ") {
			break
		}
		rest = rest[1:]
	}
	if skip > 0 && len(rest) > 0 {
		rest = rest[1:]
		if name == "flock" && (text(rest, 0) == "-c" || text(rest, 0) == "--command") {
			return s.script(text(rest, 1))
		}
	}
	if len(rest) == 0 {
		switch name {
		case "env":
			return act{event.Read, name}
		case "xargs", "exec", "time", "command", "builtin", "nice":
			return act{}
		}
		return act{event.Exec, name}
	}
	if name == "watch" || name == "parallel" {
		if line, known := joined(rest); known {
			return s.script(line)
		}
	}
	if name == "xargs" || name == "parallel" { // its words come from elsewhere
		in = stdin{piped: true}
		if base := event.Lower(rest[0].text[strings.LastIndexByte(rest[0].text, '/')+1:]); len(rest) > 1 &&
			(base == "sh" || base == "bash") && text(rest, 1) == "-c" {
			return s.command(rest, in)
		}
	}
	return s.command(rest, in)
}

// commandOption are programs that run the line behind -c.
func commandOption(s *shell, name string, args []word, in stdin) act {
	for i, x := range args {
		if (x.text == "-c" || x.text == "--command") && i+1 < len(args) {
			if !args[i+1].known {
				return act{event.Exec, "a variable for a program"}
			}
			return s.script(args[i+1].text)
		}
		if line, ok := strings.CutPrefix(x.text, "--command="); ok {
			return s.script(line)
		}
	}
	return act{event.Exec, name}
}

func shells(s *shell, name string, args []word, in stdin) (a act) {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		switch {
		case !strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "+"):
			if !args[i].known {
				return act{event.Exec, "a variable for a program"}
			}
			s.path(v)
			s.scan(args[i+1:])
			return act{event.Exec, "a script"}
		case strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "--") && strings.IndexByte(v, 'c') > 0:
			rest := args[i+1:]
			for len(rest) > 1 && strings.HasPrefix(rest[0].text, "-") {
				rest = rest[1:]
			}
			if len(rest) == 0 {
				return act{event.Exec, name}
			}
			line := rest[0]
			if !line.known {
				a = act{event.Exec, "a variable for a program"}
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
		return act{event.Exec, "what is piped into a shell"}
	}
	return act{event.Exec, name}
}

func otherShells(s *shell, name string, args []word, in stdin) act {
	line, _ := joined(args)
	s.code(line)
	s.scan(args)
	if in.known {
		s.code(in.text)
	}
	a := act{event.Exec, "a shell that is not read"}
	for i, x := range args {
		switch event.Lower(x.text) {
		case "/c", "/k", "-c", "-command", "-commandwithargs":
			rest, _ := joined(args[i+1:])
			a.add(s.script(rest)) // what it has in common with a shell of POSIX counts
			return a
		}
	}
	return a
}

func interpreters(s *shell, name string, args []word, in stdin) act {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		if v == "-V" || v == "-v" && len(args) == 1 {
			return act{event.Read, name}
		}
		if strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "--") && len(v) <= 4 &&
			strings.ContainsAny(v[len(v)-1:], "ceErnp") || v == "--eval" || v == "--print" || v == "eval" && i == 0 {
			if i+1 < len(args) {
				s.code(args[i+1].text)
				s.scan(args[i+2:])
			}
			return act{event.Exec, "code"}
		}
		if !strings.HasPrefix(v, "-") {
			s.path(v)
			s.scan(args[i+1:])
			return act{event.Exec, "a script"}
		}
	}
	if in.known {
		s.code(in.text)
	}
	return act{event.Exec, "code"}
}

func evals(s *shell, name string, args []word, in stdin) act {
	a := act{event.Exec, "eval"}
	if line, known := joined(args); known {
		a.add(s.script(line))
	} else {
		s.scan(args)
	}
	return a
}

// aliases are what they stand for: whether and when they are used is not followed.
func aliases(s *shell, name string, args []word, in stdin) (a act) {
	for _, x := range args {
		if _, v, ok := strings.Cut(x.text, "="); ok {
			a.add(s.script(v))
		}
	}
	return a
}

// screens run what they are given, as one word or as several, and type what they are told.
func screens(s *shell, name string, args []word, in stdin) act {
	a := act{event.Exec, name}
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

func sources(s *shell, name string, args []word, in stdin) act {
	if name == "trap" {
		if len(args) < 2 || args[0].text == "-" {
			return act{}
		}
		if !args[0].known {
			return act{event.Exec, name}
		}
		return s.script(args[0].text)
	}
	s.path(text(args, 0))
	return act{event.Exec, "a script"}
}
