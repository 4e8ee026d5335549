package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

func dockers(s *shell, name string, args []word, in stdin) (a act) {
	rest := behind(args, "cHl", "context host config log-level")
	if h, ok := option2(args, "-H", "--host"); ok {
		s.reach(h)
	}
	verb := text(rest, 0)
	switch verb {
	case "container", "image", "volume", "network", "system", "builder", "buildx", "secret", "config", "stack", "swarm",
		"node", "plugin", "manifest", "trust":
		if len(rest) > 1 {
			rest = rest[1:]
			verb = rest[0].text
		}
	case "compose", "docker-compose":
		rest = behind(rest[1:], "fp", "file project-name profile env-file project-directory")
		verb = text(rest, 0)
	}
	if len(rest) == 0 {
		return act{event.Read, name}
	}
	words := rest[1:]
	switch verb {
	case "exec":
		inner := behind(words, "euwl", "env user workdir env-file detach-keys index")
		if len(inner) > 1 {
			return s.command(inner[1:], in)
		}
	case "run", "create":
		inner := behind(words, "aceehlmpuvwP",
			"add-host attach cap-add cap-drop cidfile cpus cpuset-cpus device dns entrypoint env env-file expose gpus hostname label link log-driver memory mount name net network pid platform publish pull restart runtime security-opt shm-size stop-signal tmpfs ulimit user userns volume volumes-from workdir ipc group-add")
		a = act{event.Exec, verb}
		if len(inner) > 1 {
			a.add(s.command(inner[1:], in))
		}
		return a
	case "ps", "ls", "list", "images", "logs", "inspect", "stats", "top", "version", "info", "port", "diff", "history",
		"events", "search", "df":
		return act{event.Read, verb}
	case "rm", "rmi", "prune", "remove", "down":
		return act{event.Delete, verb}
	case "push", "save", "export":
		if verb == "push" {
			for _, x := range words {
				if host, _, ok := strings.Cut(x.text, "/"); ok && strings.ContainsAny(host, ".:") {
					s.reach(host)
				}
			}
			return act{event.Send, verb}
		}
		return act{event.Write, verb}
	case "pull", "cp", "tag", "commit", "load", "import", "login", "logout", "rename", "update", "connect",
		"disconnect":
		for _, x := range words {
			if isPath(x.text) {
				s.path(x.text)
			}
		}
		return act{event.Write, verb}
	}
	s.scan(words)
	return act{event.Exec, verb}
}

func kubectls(s *shell, name string, args []word, in stdin) (a act) {
	const long = "namespace context kubeconfig cluster user server token as as-group request-timeout v"
	if name == "microk8s" && text(args, 0) == "kubectl" {
		args = args[1:]
	}
	rest := behind(args, "nsv", long)
	if h, ok := option2(args, "-s", "--server"); ok {
		s.reach(h)
	}
	if len(rest) == 0 {
		return act{event.Read, name}
	}
	verb, words := rest[0].text, rest[1:]
	for _, x := range words {
		if v := event.Lower(x.text); v == "secret" || v == "secrets" || strings.HasPrefix(v, "secret/") ||
			strings.HasPrefix(v, "secrets/") {
			s.labels |= secretLabel
		}
	}
	for i, x := range words {
		if (x.text == "-f" || x.text == "--filename") && event.IsURL(text(words, i+1)) {
			s.reach(text(words, i+1))
		}
	}
	switch verb {
	case "get", "describe", "logs", "log", "top", "explain", "api-resources", "api-versions", "version", "cluster-info",
		"diff", "wait", "events", "completion", "options":
		return act{event.Read, verb}
	case "auth":
		if text(words, 0) == "can-i" || text(words, 0) == "whoami" {
			return act{event.Read, verb}
		}
		return act{event.Grant, verb}
	case "config":
		switch text(words, 0) {
		case "view", "get-contexts", "current-context", "get-clusters", "get-users":
			return act{event.Read, verb}
		case "delete-context", "delete-cluster", "delete-user", "unset":
			return act{event.Delete, verb}
		}
		return act{event.Write, verb}
	case "delete", "drain":
		return act{event.Delete, verb}
	case "exec":
		for i, x := range words {
			if x.text == "--" {
				return s.command(words[i+1:], in)
			}
		}
		if inner := behind(words, "cnf", long+" container filename"); len(inner) > 1 {
			return s.command(inner[1:], in)
		}
		return act{event.Exec, verb}
	case "create", "set":
		kind := event.Lower(text(words, 0))
		if strings.HasPrefix(kind, "role") || strings.HasPrefix(kind, "clusterrole") || kind == "serviceaccount" ||
			kind == "token" || kind == "subject" {
			return act{event.Grant, verb}
		}
		return act{event.Write, verb}
	case "apply", "patch", "edit", "replace", "annotate", "label", "rollout", "expose", "autoscale", "cordon",
		"uncordon", "taint", "scale", "cp", "certificate", "kustomize":
		if verb == "rollout" && (text(words, 0) == "status" || text(words, 0) == "history") {
			return act{event.Read, verb}
		}
		for _, x := range words {
			if x.text == "--prune" {
				return act{event.Delete, "--prune"}
			}
		}
		return act{event.Write, verb}
	}
	return act{event.Exec, verb}
}
