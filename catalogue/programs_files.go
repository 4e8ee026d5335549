package catalogue

import (
	"regexp"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Programs that read, write and change files.

func classifyFind(s *shell, name string, args []word, in stdin) (a action) {
	a = action{event.Read, name}
	places := true
	for i := 0; i < len(args); i++ {
		v := args[i].text
		if strings.HasPrefix(v, "-") || v == "(" || v == "!" {
			places = false
		} else if places && (strings.ContainsAny(v, "/~") || isSecretFile(v)) {
			s.path(v)
		}
		switch v {
		case "-delete":
			a.add(action{event.Delete, v})
		case "-exec", "-execdir", "-ok", "-okdir", "-x", "-X", "--exec", "--exec-batch":
			if name == "find" && len(v) == 2 {
				continue
			}
			end := i + 1
			for end < len(args) && args[end].text != ";" && args[end].text != "+" {
				end++
			}
			a.add(s.command(args[i+1:end], stdin{piped: true}))
			i = end
		case "-fprint", "-fprintf", "-fls", "-fprint0":
			a.add(s.writeFile(wordAt(args, i+1), name))
		case "-name", "-iname", "-path", "-ipath":
			if isSecretFile(strings.Trim(wordAt(args, i+1), "*")) {
				s.labels |= secretLabel
			}
		}
	}
	return a
}

var (
	sedExec  = regexp.MustCompile(`(^|[;{\n]|[0-9$/])\s*e(\s|$)|/[gpiIm0-9]*e[gpiIm0-9]*(\s|;|$|\})`)
	sedWrite = regexp.MustCompile(`(^|[;{\n]|[0-9$/])\s*[wW]\s+\S|/[gpiIm0-9]*w\s+\S`)
)

func classifyFilter(s *shell, name string, args []word, in stdin) (a action) {
	a = action{event.Read, name}
	rest, options := operands(args, "efFvE", "expression file assign field-separator include")
	var programs []string
	for _, o := range options {
		switch o[0] {
		case "i", "in-place":
			if strings.HasSuffix(name, "sed") || o[1] == "" {
				a.add(action{event.Write, "in place"})
			}
		case "e", "expression":
			programs = append(programs, o[1])
		case "f", "file":
			s.path(o[1])
			a.add(action{event.Exec, "a script"})
			programs = append(programs, "")
		}
	}
	sed := strings.HasSuffix(name, "sed")
	if len(programs) == 0 && len(rest) > 0 {
		programs = append(programs, rest[0].text)
		if !rest[0].known && strings.Trim(rest[0].text, "$") == "" {
			a.add(action{event.Exec, "a variable for a program"})
		}
		rest = rest[1:]
	}
	for _, p := range programs {
		switch {
		case sed && sedExec.MatchString(p), !sed &&
			(strings.Contains(p, "system(") || strings.Contains(p, "system (") || strings.Contains(p, `| "`) ||
				strings.Contains(p, `|"`) || strings.Contains(p, `" |`) || strings.Contains(p, `"|`) ||
				strings.Contains(p, "|&")):
			s.scanCode(p)
			a.add(action{event.Exec, "runs commands"})
		case sed && sedWrite.MatchString(p), !sed && (strings.Contains(p, `> "`) || strings.Contains(p, `>"`) ||
			strings.Contains(p, `>> `)):
			a.add(action{event.Write, name})
		}
		if strings.Contains(p, "/inet") {
			a.add(action{event.Send, name})
		}
	}
	for _, x := range rest {
		s.path(x.text)
	}
	return a
}

func classifyArchive(s *shell, name string, args []word, in stdin) (a action) {
	a = action{event.Write, name}
	mode := wordAt(args, 0)
	switch {
	case strings.HasSuffix(name, "tar") && mode != "" && strings.Contains(mode, "t") &&
		!strings.HasPrefix(mode, "--") && !strings.ContainsAny(mode, "cx/"),
		mode == "--list", mode == "-l", mode == "l":
		a = action{event.Read, name}
	}
	for i, x := range args {
		v := x.text
		switch {
		case strings.HasPrefix(v, "--to-command"), strings.HasPrefix(v, "--checkpoint-action"),
			strings.HasPrefix(v, "--use-compress-program"), v == "-I":
			a.add(action{event.Exec, v})
		case v == "--delete" || v == "--remove-files":
			a.add(action{event.Delete, v})
		case !strings.HasPrefix(v, "-") && i > 0:
			s.path(v)
		}
	}
	return a
}

func classifyDD(s *shell, name string, args []word, in stdin) (a action) {
	a = action{event.Read, name}
	for _, x := range args {
		switch k, v, _ := strings.Cut(x.text, "="); k {
		case "of":
			a.add(s.writeFile(v, name))
		case "if":
			s.path(v)
		}
	}
	return a
}

func classifyOutput(s *shell, name string, args []word, in stdin) (a action) {
	rest, options := operands(args, "kStToB", "output key field-separator")
	a = action{event.Read, name}
	if name == "tee" || name == "sponge" {
		for _, x := range rest {
			a.add(s.writeFile(x.text, name))
		}
		return a
	}
	if v, ok := option(options, "o", "output"); ok && name == "sort" {
		a.add(s.writeFile(v, name))
	}
	if _, ok := option(options, "i", "inplace", "in-place"); ok && name == "yq" {
		a.add(action{event.Write, name})
	}
	for _, x := range rest {
		if strings.ContainsAny(x.text, "/~") || isSecretFile(x.text) {
			s.path(x.text)
		}
	}
	return a
}

// classifyChmod: to let others write, or a program run as its owner, is to grant. To make a file
// executable is not.
func classifyChmod(s *shell, name string, args []word, in stdin) action {
	rest, _ := operands(args, "", "reference from")
	mode := ""
	for i, x := range args { // -x is a mode, not an option
		if i == 0 && strings.HasPrefix(x.text, "-") && strings.Trim(x.text, "-rwxst") == "" && len(x.text) > 1 &&
			x.text != "-R" {
			return action{event.Write, name}
		}
	}
	if len(rest) > 0 {
		mode = rest[0].text
		for _, x := range rest[1:] {
			s.path(x.text)
		}
	}
	switch {
	case name == "chgrp":
		return action{event.Grant, name}
	case isDigits(mode) && len(mode) >= 3:
		if last := mode[len(mode)-1]; last&2 != 0 || len(mode) > 3 && mode[len(mode)-4] >= '2' {
			return action{event.Grant, name}
		}
	case strings.ContainsAny(mode, "s"), strings.ContainsAny(mode, "oa") && strings.ContainsAny(mode, "w") &&
		strings.ContainsAny(mode, "+="):
		return action{event.Grant, name}
	}
	return action{event.Write, name}
}
