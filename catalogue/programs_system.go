package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

func tables(s *shell, name string, args []word, in stdin) act {
	for _, x := range args {
		switch x.text {
		case "-l":
			return act{event.Read, name}
		case "-r", "-d":
			return act{event.Delete, name}
		}
	}
	a := act{event.Write, name}
	if name != "crontab" {
		a = act{event.Exec, name}
		if in.known {
			a.add(s.script(in.text))
		}
	}
	return a
}

func stops(s *shell, name string, args []word, in stdin) act {
	if name == "kill" && (text(args, 0) == "-l" || text(args, 0) == "-0") {
		return act{event.Read, name}
	}
	return act{event.Exec, name}
}

func networks(s *shell, name string, args []word, in stdin) act {
	for _, x := range args {
		switch x.text {
		case "add", "del", "delete", "set", "change", "replace", "flush", "-s", "-d", "-K":
			return act{event.Write, name}
		case "exec":
			return act{event.Exec, name}
		}
	}
	return act{event.Read, name}
}

func keys(s *shell, name string, args []word, in stdin) (a act) {
	a = act{event.Write, name}
	for _, x := range args {
		v := x.text
		switch {
		case strings.HasPrefix(v, "--export-secret"), v == "find-generic-password", v == "find-internet-password",
			v == "dump-keychain":
			s.labels |= secretLabel
			a = act{event.Read, name}
		case v == "--list-keys" || v == "-k" || v == "-K" || v == "--list-secret-keys" || v == "-l" ||
			v == "--verify" || v == "--fingerprint" || v == "-L" || v == "-lf":
			a = act{event.Read, name}
		case v == "--delete-keys" || v == "--delete-secret-keys" || v == "-R" || v == "-D":
			a = act{event.Delete, name}
		case strings.HasPrefix(v, "--keyserver") || v == "--send-keys":
			a.add(act{event.Send, name})
		case !strings.HasPrefix(v, "-"):
			s.path(v)
		}
	}
	return a
}
