package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

func gits(s *shell, name string, args []word, in stdin) act {
	rest := behind(args, "Cc", "git-dir work-tree namespace exec-path config-env")
	for i, x := range args {
		if x.text == "-c" && i+1 < len(args) {
			if k := event.Lower(args[i+1].text); strings.HasPrefix(k, "core.sshcommand=") ||
				strings.HasPrefix(k, "alias.") ||
				strings.Contains(k, "helper=") || strings.HasPrefix(k, "core.pager=!") {
				return act{event.Exec, "an option that runs commands"}
			}
		}
	}
	if len(rest) == 0 {
		return act{event.Read, name}
	}
	verb, words := rest[0].text, rest[1:]
	ops, options := operands(words, "mbCFo", "message branch depth origin author date file push-option")
	has := func(names ...string) bool { _, ok := option(options, names...); return ok }
	url := func() {
		for _, x := range ops {
			if event.IsURL(x.text) || remote(x.text) &&
				(strings.Contains(x.text, "@") || strings.Contains(hostIn(x.text), ".")) {
				s.reach(hostOrURL(x.text))
			}
		}
	}
	switch verb {
	case "status", "log", "diff", "show", "blame", "annotate", "rev-parse", "rev-list", "ls-files", "ls-tree",
		"cat-file", "grep", "shortlog", "describe", "reflog", "name-rev", "merge-base", "show-ref", "for-each-ref",
		"count-objects", "fsck", "whatchanged", "cherry", "range-diff", "help", "version", "check-ignore", "var",
		"verify-commit", "verify-tag", "diff-tree", "show-branch", "symbolic-ref":
		if has("output") {
			return act{event.Write, verb}
		}
		return act{event.Read, verb}
	case "ls-remote":
		url()
		return act{event.Read, verb}
	case "push", "send-pack", "send-email", "request-pull":
		url()
		if has("delete", "d", "mirror", "prune") {
			return act{event.Delete, verb}
		}
		for i, x := range ops {
			if i > 0 && strings.HasPrefix(x.text, ":") {
				return act{event.Delete, verb}
			}
		}
		return act{event.Send, verb}
	case "clone", "fetch", "pull", "submodule", "remote":
		url()
		if verb == "remote" {
			switch text(ops, 0) {
			case "", "show", "get-url":
				return act{event.Read, verb}
			case "remove", "rm", "prune":
				return act{event.Delete, verb}
			}
		}
		return act{event.Write, verb}
	case "branch", "tag", "stash", "worktree", "config", "notes", "bisect", "sparse-checkout", "lfs":
		switch {
		case has("D", "d", "delete", "unset", "unset-all", "remove-section"), text(ops, 0) == "drop" ||
			text(ops, 0) == "clear" || text(ops, 0) == "remove" || text(ops, 0) == "prune":
			return act{event.Delete, verb}
		case len(ops) == 0 && verb != "stash", text(ops, 0) == "list" || text(ops, 0) == "show", verb == "config" &&
			(has("get", "list", "l", "get-all") || len(ops) == 1),
			has("list", "l", "a", "r", "v", "vv", "all", "remotes", "contains", "merged", "no-merged", "show-current",
				"points-at") && (verb == "branch" || verb == "tag"):
			return act{event.Read, verb}
		case verb == "config" && len(ops) > 1 &&
			(strings.Contains(ops[1].text, "!") || strings.Contains(event.Lower(ops[0].text), "sshcommand") ||
				strings.Contains(event.Lower(ops[0].text), "helper") ||
				strings.Contains(event.Lower(ops[0].text), "hookspath")):
			return act{event.Exec, verb}
		}
		return act{event.Write, verb}
	case "rm", "clean", "gc", "prune", "filter-branch", "filter-repo":
		if verb == "clean" && has("n", "dry-run") {
			return act{event.Read, verb}
		}
		if verb == "gc" {
			return act{event.Write, verb}
		}
		return act{event.Delete, verb}
	case "reset":
		if has("hard") {
			return act{event.Delete, "reset --hard"}
		}
		return act{event.Write, verb}
	case "add", "commit", "checkout", "switch", "restore", "merge", "rebase", "cherry-pick", "revert", "mv", "init",
		"am", "apply", "update-index", "update-ref", "write-tree", "commit-tree", "read-tree", "archive", "bundle",
		"format-patch", "pack-refs", "repack", "maintenance", "replace", "hash-object", "unpack-objects":
		for _, x := range ops {
			if isSecretFile(x.text) {
				s.path(x.text)
			}
		}
		return act{event.Write, verb}
	}
	s.scan(words)
	return act{event.Exec, "an unknown command of git"}
}
