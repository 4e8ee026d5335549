package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Containers and clusters.

func classifyDocker(s *shell, name string, args []word, in stdin) (a action) {
	rest := fromFirstOperand(args, "cHl", "context host config log-level")
	if h, ok := optionInWords(args, "-H", "--host"); ok {
		s.reach(h)
	}
	verb := wordAt(rest, 0)
	switch verb {
	case "container", "image", "volume", "network", "system", "builder", "buildx", "secret", "config", "stack", "swarm",
		"node", "plugin", "manifest", "trust":
		if len(rest) > 1 {
			rest = rest[1:]
			verb = rest[0].text
		}
	case "compose", "docker-compose":
		rest = fromFirstOperand(rest[1:], "fp", "file project-name profile env-file project-directory")
		verb = wordAt(rest, 0)
	}
	if len(rest) == 0 {
		return action{event.Read, name}
	}
	words := rest[1:]
	switch verb {
	case "exec":
		inner := fromFirstOperand(words, "euwl", "env user workdir env-file detach-keys index")
		if len(inner) > 1 {
			return s.command(inner[1:], in)
		}
	case "run", "create":
		inner := fromFirstOperand(words, "aceehlmpuvwP",
			"add-host attach cap-add cap-drop cidfile cpus cpuset-cpus device dns entrypoint env env-file expose "+
				"gpus hostname label link log-driver memory mount name net network pid platform publish pull restart "+
				"runtime security-opt shm-size stop-signal tmpfs ulimit user userns volume volumes-from workdir ipc "+
				"group-add")
		a = action{event.Exec, verb}
		if len(inner) > 1 {
			a.add(s.command(inner[1:], in))
		}
		return a
	case "ps", "ls", "list", "images", "logs", "inspect", "stats", "top", "version", "info", "port", "diff", "history",
		"events", "search", "df":
		return action{event.Read, verb}
	case "rm", "rmi", "prune", "remove", "down":
		return action{event.Delete, verb}
	case "push", "save", "export":
		if verb == "push" {
			for _, x := range words {
				if host, _, ok := strings.Cut(x.text, "/"); ok && strings.ContainsAny(host, ".:") {
					s.reach(host)
				}
			}
			return action{event.Send, verb}
		}
		return action{event.Write, verb}
	case "pull", "cp", "tag", "commit", "load", "import", "login", "logout", "rename", "update", "connect",
		"disconnect":
		for _, x := range words {
			if isPath(x.text) {
				s.path(x.text)
			}
		}
		return action{event.Write, verb}
	}
	s.scanWords(words)
	return action{event.Exec, verb}
}

func classifyKubectl(s *shell, name string, args []word, in stdin) (a action) {
	const long = "namespace context kubeconfig cluster user server token as as-group request-timeout v"
	if name == "microk8s" && wordAt(args, 0) == "kubectl" {
		args = args[1:]
	}
	rest := fromFirstOperand(args, "nsv", long)
	if h, ok := optionInWords(args, "-s", "--server"); ok {
		s.reach(h)
	}
	if len(rest) == 0 {
		return action{event.Read, name}
	}
	verb, words := rest[0].text, rest[1:]
	for _, x := range words {
		if v := event.Lower(x.text); v == "secret" || v == "secrets" || strings.HasPrefix(v, "secret/") ||
			strings.HasPrefix(v, "secrets/") {
			s.labels |= secretLabel
		}
	}
	for i, x := range words {
		if (x.text == "-f" || x.text == "--filename") && event.IsURL(wordAt(words, i+1)) {
			s.reach(wordAt(words, i+1))
		}
	}
	switch verb {
	case "get", "describe", "logs", "log", "top", "explain", "api-resources", "api-versions", "version", "cluster-info",
		"diff", "wait", "events", "completion", "options":
		return action{event.Read, verb}
	case "auth":
		if wordAt(words, 0) == "can-i" || wordAt(words, 0) == "whoami" {
			return action{event.Read, verb}
		}
		return action{event.Grant, verb}
	case "config":
		switch wordAt(words, 0) {
		case "view", "get-contexts", "current-context", "get-clusters", "get-users":
			return action{event.Read, verb}
		case "delete-context", "delete-cluster", "delete-user", "unset":
			return action{event.Delete, verb}
		}
		return action{event.Write, verb}
	case "delete", "drain":
		return action{event.Delete, verb}
	case "exec":
		for i, x := range words {
			if x.text == "--" {
				return s.command(words[i+1:], in)
			}
		}
		if inner := fromFirstOperand(words, "cnf", long+" container filename"); len(inner) > 1 {
			return s.command(inner[1:], in)
		}
		return action{event.Exec, verb}
	case "create", "set":
		kind := event.Lower(wordAt(words, 0))
		if strings.HasPrefix(kind, "role") || strings.HasPrefix(kind, "clusterrole") || kind == "serviceaccount" ||
			kind == "token" || kind == "subject" {
			return action{event.Grant, verb}
		}
		return action{event.Write, verb}
	case "apply", "patch", "edit", "replace", "annotate", "label", "rollout", "expose", "autoscale", "cordon",
		"uncordon", "taint", "scale", "cp", "certificate", "kustomize":
		if verb == "rollout" && (wordAt(words, 0) == "status" || wordAt(words, 0) == "history") {
			return action{event.Read, verb}
		}
		for _, x := range words {
			if x.text == "--prune" {
				return action{event.Delete, "--prune"}
			}
		}
		return action{event.Write, verb}
	}
	return action{event.Exec, verb}
}
