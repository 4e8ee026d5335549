package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// verbal are programs whose words say what they do, as names of tools do.
func verbal(s *shell, name string, args []word, in stdin) act {
	ops, options := operands(args, "XRoqnHfFpmtbBlae",
		"namespace repo project profile region output query format title body method header field raw-field input jq template hostname subscription resource-group account endpoint-url cwd prefix workspace filename context kubeconfig target var var-file server")
	for _, x := range args {
		v := x.text
		if _, value, ok := strings.Cut(v, "="); ok && strings.HasPrefix(v, "-") {
			v = value
		}
		if strings.Contains(v, "://") && (event.IsURL(v)) {
			s.reach(v)
		} else if strings.HasPrefix(v, "@") || isPath(v) || isSecretFile(v) && !strings.Contains(v, "-") {
			s.path(strings.TrimPrefix(v, "@"))
		}
		if isEmail(v) {
			s.reach(v)
		}
	}
	if h, ok := option(options, "hostname", "endpoint-url", "server"); ok {
		s.reach(h)
	}
	if len(ops) == 0 {
		for _, x := range args { // pacman -S
			if name == "pacman" && strings.HasPrefix(x.text, "-R") {
				return act{event.Delete, x.text}
			}
		}
		return act{event.Exec, name}
	}
	if text(ops, 0) == "api" || text(ops, 0) == "rest" || text(ops, 0) == "curl" {
		// gh api -X DELETE /repos/…
		a := act{event.Read, "api"}
		for _, o := range options {
			switch o[0] {
			case "X", "method":
				if c, w := wordOf(strings.ToUpper(o[1]), true); c != event.NoClass {
					a.add(act{c, w})
				}
			case "f", "F", "field", "raw-field", "input":
				a.add(act{event.Write, "api"})
				if c, w := graphQL(strings.TrimPrefix(o[1], "query=")); c != event.NoClass && stronger(c, a.class) {
					a.add(act{c, w})
				}
			}
		}
		return a
	}
	if name == "terraform" || name == "tofu" || name == "terragrunt" {
		for _, x := range args {
			if x.text == "-destroy" || x.text == "--destroy" {
				if text(ops, 0) != "plan" {
					return act{event.Delete, x.text}
				}
			}
		}
		if text(ops, 0) == "state" || text(ops, 0) == "workspace" {
			ops = ops[1:]
		}
	}
	if name == "service" && len(ops) > 1 {
		ops = ops[1:]
	}
	best := act{}
	for i, x := range ops {
		if i == 3 || i > 0 && !nounFirst[name] && best.class != event.NoClass ||
			strings.ContainsAny(x.text, "/.:@=$ ") {
			break
		}
		w := event.Lower(x.text)
		if managers[name] {
			if c, ok := verbsOfTools[w]; ok {
				best = act{c, w}
				break
			}
			continue
		}
		r := phraseOf(w, "").read()
		if c, ok := verbsOfTools[w]; ok && i > 0 && c != event.Exec && r.class == event.NoClass {
			best = act{c, w}
			continue
		}
		if r.class == event.NoClass || verbs[r.verb].tier == seldom || telling[r.verb] && i == 0 {
			continue
		}
		best = act{r.class, w}
		if i > 0 && nounFirst[name] { // refunds create is create_refund
			if r := phraseOf(w+"_"+singular(event.Lower(ops[i-1].text)), "").read(); stronger(r.class, best.class) {
				best = act{r.class, r.verb}
			}
		}
	}
	if best.class == event.NoClass && len(ops) > 1 && nounFirst[name] { // gh issue comment
		if r := phraseOf(ops[1].text, "").read(); r.class != event.NoClass &&
			!strings.ContainsAny(ops[1].text, "/.:@=$ ") {
			best = act{r.class, r.verb}
		}
	}
	things := ""
	for i, x := range ops {
		if i < 3 {
			things += " " + event.Lower(x.text)
		}
	}
	for _, w := range splitWords(things, maxWords) {
		w = singular(w)
		if secrets[w] {
			s.labels |= secretLabel
		}
		if best.class == event.Write && (w == "iam" || rights[w] && w != "member" || w == "policy" && name == "aws") {
			best = act{event.Grant, w}
		}
	}
	if best.class == event.NoClass {
		return act{event.Exec, "an unknown command of " + name}
	}
	return best
}

var (
	// nounFirst are programs that say the thing before what is done with it.
	nounFirst = nounsOf(
		`gh glab gcloud az aws doctl hcloud linode-cli oci ibmcloud stripe heroku fly flyctl vercel netlify wrangler firebase supabase railway render openstack jira linear op vault consul nomad argocd gog notion`)
	// verbsOfTools are words of programs that other names of tools do not have, or not in that
	// sense.
	verbsOfTools = map[string]event.Class{
		"plan": event.Read, "status": event.Read, "info": event.Read, "version": event.Read, "whoami": event.Read,
		"outdated": event.Read, "why": event.Read, "ls": event.Read, "list": event.Read, "ll": event.Read,
		"logs": event.Read, "output": event.Read,
		"history": event.Read, "describe": event.Read, "policy": event.Read, "depends": event.Read,
		"freeze": event.Read, "is-active": event.Read, "is-enabled": event.Read, "is-failed": event.Read,
		"list-units": event.Read, "list-unit-files": event.Read, "doctor": event.Read, "vet": event.Exec,
		"install": event.Exec, "i": event.Exec, "ci": event.Exec, "add": event.Exec, "update": event.Exec,
		"upgrade": event.Exec, "dist-upgrade": event.Exec, "full-upgrade": event.Exec, "run": event.Exec,
		"exec": event.Exec, "test": event.Exec, "build": event.Exec, "start": event.Exec, "stop": event.Exec,
		"restart": event.Exec, "reload": event.Exec,
		"publish": event.Send, "uninstall": event.Delete, "un": event.Delete, "remove": event.Delete,
		"rm": event.Delete, "purge": event.Delete, "autoremove": event.Delete, "destroy": event.Delete,
		"delete": event.Delete, "unpublish": event.Delete,
		"login": event.Write, "logout": event.Write, "init": event.Write, "apply": event.Write, "import": event.Write,
		"enable": event.Write, "disable": event.Write, "mask": event.Write, "config": event.Write, "fmt": event.Write,
		"mod": event.Write, "rollback": event.Exec, "env": event.Read, "up": event.Exec, "down": event.Delete,
		"view": event.Read, "show": event.Read, "search": event.Read, "template": event.Read, "lint": event.Read,
		"validate": event.Read, "repo": event.Write,
	}
	managers = nounsOf(
		`npm pnpm yarn pip pip3 pipx uv poetry conda mamba gem bundle cargo go composer apt apt-get aptitude dnf yum apk pacman zypper brew port choco scoop winget dotnet nuget snap flatpak systemctl service launchctl supervisorctl pm2 rc-service terraform tofu terragrunt pulumi helm ansible-vault`)
)

// stores copy files to and from object stores.
func stores(s *shell, name string, args []word, in stdin) act {
	rest, _ := operands(args, "",
		"region profile endpoint-url output query config exclude include acl storage-class expires-in cli-input-json")
	if h, ok := option2(args, "--endpoint-url", "--endpoint", "--host"); ok {
		s.reach(h)
	}
	i := 0
	if name == "aws" && (text(rest, 0) == "s3" || text(rest, 0) == "s3api") {
		i = 1
	} else if name == "aws" {
		return verbal(s, name, args, in)
	}
	if text(rest, 0) == "s3api" {
		return verbal(s, name, args, in)
	}
	var files []word
	if len(rest) > i+1 {
		files = rest[i+1:]
	}
	local := func(v string) bool {
		return !event.IsURL(v) && !(name != "aws" && name != "gsutil" && strings.Contains(v, ":"))
	}
	for _, x := range files {
		if local(x.text) {
			s.path(x.text)
		} else {
			s.reach(x.text)
		}
	}
	switch verb := text(rest, i); verb {
	case "cp", "mv", "sync", "copy", "move", "copyto", "moveto", "bisync", "put", "rsync", "mirror", "upload",
		"upload-file", "upload_file":
		for _, x := range args {
			if strings.HasPrefix(x.text, "--delete") || verb == "rsync" && x.text == "-d" {
				return act{event.Delete, x.text}
			}
		}
		if n := len(files); n > 0 && !local(files[n-1].text) || verb == "put" || strings.HasPrefix(verb, "upload") {
			return act{event.Send, verb}
		}
		return act{event.Write, verb}
	case "rm", "rb", "del", "delete", "purge", "deletefile", "rmdir", "rmdirs", "remove", "cleanup":
		return act{event.Delete, verb}
	case "ls", "lsl", "lsd", "lsf", "lsjson", "size", "cat", "stat", "du", "tree", "check", "md5sum", "hash", "info",
		"head", "find", "diff":
		return act{event.Read, verb}
	case "mb", "mkdir", "get", "touch", "make-bucket":
		return act{event.Write, verb}
	case "presign", "signurl", "link", "share", "acl", "iam", "anonymous":
		return act{event.Grant, verb}
	case "":
		return act{event.Read, name}
	}
	return act{event.Exec, "an unknown command of " + name}
}
