package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// classifyByVerb are programs whose words say what they do, as names of tools do.
func classifyByVerb(s *shell, name string, args []word, in stdin) action {
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
				return action{event.Delete, x.text}
			}
		}
		return action{event.Exec, name}
	}
	if wordAt(ops, 0) == "api" || wordAt(ops, 0) == "rest" || wordAt(ops, 0) == "curl" {
		// gh api -X DELETE /repos/…
		a := action{event.Read, "api"}
		for _, o := range options {
			switch o[0] {
			case "X", "method":
				if c, w := wordOf(strings.ToUpper(o[1]), true); c != event.NoClass {
					a.add(action{c, w})
				}
			case "f", "F", "field", "raw-field", "input":
				a.add(action{event.Write, "api"})
				if c, w := classifyGraphQL(strings.TrimPrefix(o[1], "query=")); c != event.NoClass && stronger(c, a.class) {
					a.add(action{c, w})
				}
			}
		}
		return a
	}
	if name == "terraform" || name == "tofu" || name == "terragrunt" {
		for _, x := range args {
			if x.text == "-destroy" || x.text == "--destroy" {
				if wordAt(ops, 0) != "plan" {
					return action{event.Delete, x.text}
				}
			}
		}
		if wordAt(ops, 0) == "state" || wordAt(ops, 0) == "workspace" {
			ops = ops[1:]
		}
	}
	if name == "service" && len(ops) > 1 {
		ops = ops[1:]
	}
	best := action{}
	for i, x := range ops {
		if i == 3 || i > 0 && !resourceFirst[name] && best.class != event.NoClass ||
			strings.ContainsAny(x.text, "/.:@=$ ") {
			break
		}
		w := event.Lower(x.text)
		if packageManagers[name] {
			if c, ok := programVerbs[w]; ok {
				best = action{c, w}
				break
			}
			continue
		}
		r := phraseOf(w, "").read()
		if c, ok := programVerbs[w]; ok && i > 0 && c != event.Exec && r.class == event.NoClass {
			best = action{c, w}
			continue
		}
		if r.class == event.NoClass || verbs[r.verb].tier == seldom || reportNouns[r.verb] && i == 0 {
			continue
		}
		best = action{r.class, w}
		if i > 0 && resourceFirst[name] { // refunds create is create_refund
			if r := phraseOf(w+"_"+singular(event.Lower(ops[i-1].text)), "").read(); stronger(r.class, best.class) {
				best = action{r.class, r.verb}
			}
		}
	}
	if best.class == event.NoClass && len(ops) > 1 && resourceFirst[name] { // gh issue comment
		if r := phraseOf(ops[1].text, "").read(); r.class != event.NoClass &&
			!strings.ContainsAny(ops[1].text, "/.:@=$ ") {
			best = action{r.class, r.verb}
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
		if secretNouns[w] {
			s.labels |= secretLabel
		}
		if best.class == event.Write && (w == "iam" || rights[w] && w != "member" || w == "policy" && name == "aws") {
			best = action{event.Grant, w}
		}
	}
	if best.class == event.NoClass {
		return action{event.Exec, "an unknown command of " + name}
	}
	return best
}

var (
	// nounFirst are programs that say the thing before what is done with it.
	resourceFirst = nounsOf(
		`gh glab gcloud az aws doctl hcloud linode-cli oci ibmcloud stripe heroku fly flyctl vercel netlify wrangler firebase supabase railway render openstack jira linear op vault consul nomad argocd gog notion`)
	// verbsOfTools are words of programs that other names of tools do not have, or not in that
	// sense.
	programVerbs = map[string]event.Class{
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
	packageManagers = nounsOf(
		`npm pnpm yarn pip pip3 pipx uv poetry conda mamba gem bundle cargo go composer apt apt-get aptitude dnf yum apk pacman zypper brew port choco scoop winget dotnet nuget snap flatpak systemctl service launchctl supervisorctl pm2 rc-service terraform tofu terragrunt pulumi helm ansible-vault`)
)

// classifyObjectStore copy files to and from object stores.
func classifyObjectStore(s *shell, name string, args []word, in stdin) action {
	rest, _ := operands(args, "",
		"region profile endpoint-url output query config exclude include acl storage-class expires-in cli-input-json")
	if h, ok := optionInWords(args, "--endpoint-url", "--endpoint", "--host"); ok {
		s.reach(h)
	}
	i := 0
	if name == "aws" && (wordAt(rest, 0) == "s3" || wordAt(rest, 0) == "s3api") {
		i = 1
	} else if name == "aws" {
		return classifyByVerb(s, name, args, in)
	}
	if wordAt(rest, 0) == "s3api" {
		return classifyByVerb(s, name, args, in)
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
	switch verb := wordAt(rest, i); verb {
	case "cp", "mv", "sync", "copy", "move", "copyto", "moveto", "bisync", "put", "rsync", "mirror", "upload",
		"upload-file", "upload_file":
		for _, x := range args {
			if strings.HasPrefix(x.text, "--delete") || verb == "rsync" && x.text == "-d" {
				return action{event.Delete, x.text}
			}
		}
		if n := len(files); n > 0 && !local(files[n-1].text) || verb == "put" || strings.HasPrefix(verb, "upload") {
			return action{event.Send, verb}
		}
		return action{event.Write, verb}
	case "rm", "rb", "del", "delete", "purge", "deletefile", "rmdir", "rmdirs", "remove", "cleanup":
		return action{event.Delete, verb}
	case "ls", "lsl", "lsd", "lsf", "lsjson", "size", "cat", "stat", "du", "tree", "check", "md5sum", "hash", "info",
		"head", "find", "diff":
		return action{event.Read, verb}
	case "mb", "mkdir", "get", "touch", "make-bucket":
		return action{event.Write, verb}
	case "presign", "signurl", "link", "share", "acl", "iam", "anonymous":
		return action{event.Grant, verb}
	case "":
		return action{event.Read, name}
	}
	return action{event.Exec, "an unknown command of " + name}
}
