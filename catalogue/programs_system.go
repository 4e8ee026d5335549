package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Programs that change the machine itself: schedules, processes, networks, keys.

func classifySchedule(s *shell, name string, args []word, in stdin) action {
	for _, x := range args {
		switch x.text {
		case "-l":
			return action{event.Read, name}
		case "-r", "-d":
			return action{event.Delete, name}
		}
	}
	a := action{event.Write, name}
	if name != "crontab" {
		a = action{event.Exec, name}
		if in.known {
			a.add(s.script(in.text))
		}
	}
	return a
}

func classifyStop(s *shell, name string, args []word, in stdin) action {
	if name == "kill" && (wordAt(args, 0) == "-l" || wordAt(args, 0) == "-0") {
		return action{event.Read, name}
	}
	return action{event.Exec, name}
}

func classifyNetworkConfig(s *shell, name string, args []word, in stdin) action {
	for _, x := range args {
		switch x.text {
		case "add", "del", "delete", "set", "change", "replace", "flush", "-s", "-d", "-K":
			return action{event.Write, name}
		case "exec":
			return action{event.Exec, name}
		}
	}
	return action{event.Read, name}
}

func classifyKeyTool(s *shell, name string, args []word, in stdin) (a action) {
	a = action{event.Write, name}
	for _, x := range args {
		v := x.text
		switch {
		case strings.HasPrefix(v, "--export-secret"), v == "find-generic-password", v == "find-internet-password",
			v == "dump-keychain":
			s.labels |= secretLabel
			a = action{event.Read, name}
		case v == "--list-keys" || v == "-k" || v == "-K" || v == "--list-secret-keys" || v == "-l" ||
			v == "--verify" || v == "--fingerprint" || v == "-L" || v == "-lf":
			a = action{event.Read, name}
		case v == "--delete-keys" || v == "--delete-secret-keys" || v == "-R" || v == "-D":
			a = action{event.Delete, name}
		case strings.HasPrefix(v, "--keyserver") || v == "--send-keys":
			a.add(action{event.Send, name})
		case !strings.HasPrefix(v, "-"):
			s.path(v)
		}
	}
	return a
}
