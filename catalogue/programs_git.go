package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Git.

var (
	gitReads = nounsOf(`
		status log diff show blame annotate rev-parse rev-list ls-files ls-tree cat-file grep shortlog
		describe reflog name-rev merge-base show-ref for-each-ref count-objects fsck whatchanged cherry
		range-diff help version check-ignore var verify-commit verify-tag diff-tree show-branch symbolic-ref`)
	gitWrites = nounsOf(`
		add commit checkout switch restore merge rebase cherry-pick revert mv init am apply update-index
		update-ref write-tree commit-tree read-tree archive bundle format-patch pack-refs repack maintenance
		replace hash-object unpack-objects`)
)

// gitCommand is a call of git behind its own options.
type gitCommand struct {
	verb    string
	ops     []word // operands of the verb
	options [][2]string
}

func (g *gitCommand) has(names ...string) bool { _, ok := option(g.options, names...); return ok }

// first is the first operand: git stash drop.
func (g *gitCommand) first() string { return wordAt(g.ops, 0) }

func classifyGit(s *shell, name string, args []word, in stdin) action {
	for i, x := range args {
		if x.text == "-c" && i+1 < len(args) && setsGitCommand(args[i+1].text) {
			return action{event.Exec, "an option that runs commands"}
		}
	}
	rest := fromFirstOperand(args, "Cc", "git-dir work-tree namespace exec-path config-env")
	if len(rest) == 0 {
		return action{event.Read, name}
	}
	g := gitCommand{verb: rest[0].text}
	g.ops, g.options = operands(rest[1:], "mbCFo", "message branch depth origin author date file push-option")
	switch verb := g.verb; verb {
	case "ls-remote":
		s.reachGitRemotes(&g)
		return action{event.Read, verb}
	case "push", "send-pack", "send-email", "request-pull":
		s.reachGitRemotes(&g)
		return action{g.pushClass(), verb}
	case "clone", "fetch", "pull", "submodule", "remote":
		s.reachGitRemotes(&g)
		return action{g.remoteClass(), verb}
	case "branch", "tag", "stash", "worktree", "config", "notes", "bisect", "sparse-checkout", "lfs":
		return action{g.listClass(), verb}
	case "clean":
		if g.has("n", "dry-run") {
			return action{event.Read, verb}
		}
		return action{event.Delete, verb}
	case "rm", "prune", "filter-branch", "filter-repo":
		return action{event.Delete, verb}
	case "gc":
		return action{event.Write, verb}
	case "reset":
		if g.has("hard") {
			return action{event.Delete, "reset --hard"}
		}
		return action{event.Write, verb}
	}
	switch {
	case gitReads[g.verb]:
		if g.has("output") {
			return action{event.Write, g.verb}
		}
		return action{event.Read, g.verb}
	case gitWrites[g.verb]:
		for _, x := range g.ops {
			if isSecretFile(x.text) {
				s.path(x.text)
			}
		}
		return action{event.Write, g.verb}
	}
	s.scanWords(rest[1:])
	return action{event.Exec, "an unknown command of git"}
}

// setsGitCommand reports whether a setting is one that git runs as a command.
func setsGitCommand(setting string) bool {
	k := event.Lower(setting)
	return strings.HasPrefix(k, "core.sshcommand=") || strings.HasPrefix(k, "alias.") ||
		strings.Contains(k, "helper=") || strings.HasPrefix(k, "core.pager=!")
}

// reachGitRemotes notes the hosts of the remotes among the operands.
func (s *shell) reachGitRemotes(g *gitCommand) {
	for _, x := range g.ops {
		if event.IsURL(x.text) || isRemotePath(x.text) &&
			(strings.Contains(x.text, "@") || strings.Contains(hostOfRemote(x.text), ".")) {
			s.reach(hostOrURL(x.text))
		}
	}
}

func (g *gitCommand) pushClass() event.Class {
	if g.has("delete", "d", "mirror", "prune") {
		return event.Delete
	}
	for i, x := range g.ops {
		if i > 0 && strings.HasPrefix(x.text, ":") { // git push origin :branch
			return event.Delete
		}
	}
	return event.Send
}

func (g *gitCommand) remoteClass() event.Class {
	if g.verb == "remote" {
		switch g.first() {
		case "", "show", "get-url":
			return event.Read
		case "remove", "rm", "prune":
			return event.Delete
		}
	}
	return event.Write
}

// listClass is the class of commands that list things, make them and remove them: branches, tags,
// settings.
func (g *gitCommand) listClass() event.Class {
	if g.has("D", "d", "delete", "unset", "unset-all", "remove-section") {
		return event.Delete
	}
	switch g.first() {
	case "drop", "clear", "remove", "prune":
		return event.Delete
	case "list", "show":
		return event.Read
	}
	switch g.verb {
	case "branch", "tag":
		if g.has("list", "l", "a", "r", "v", "vv", "all", "remotes", "contains", "merged", "no-merged", "show-current",
			"points-at") {
			return event.Read
		}
	case "config":
		if g.has("get", "list", "l", "get-all") || len(g.ops) == 1 {
			return event.Read
		}
		if len(g.ops) > 1 {
			key := event.Lower(g.ops[0].text)
			if strings.Contains(g.ops[1].text, "!") || strings.Contains(key, "sshcommand") ||
				strings.Contains(key, "helper") || strings.Contains(key, "hookspath") {
				return event.Exec // git runs what is set here
			}
		}
	case "stash": // without a word it stashes
		return event.Write
	}
	if len(g.ops) == 0 {
		return event.Read
	}
	return event.Write
}
