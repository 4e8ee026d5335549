package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Programs whose words say what they do, as names of tools do: gh pr create, npm install. Object
// stores, whose words are verbs too.

var (
	// resourceFirst are programs whose words name the resource before the verb: gh pr create.
	resourceFirst = nounsOf(`
		gh glab gcloud az aws doctl hcloud linode-cli oci ibmcloud stripe heroku fly flyctl vercel netlify
		wrangler firebase supabase railway render openstack jira linear op vault consul nomad argocd gog
		notion`)
	// programVerbs are verbs that only programs have, or that mean something else there.
	programVerbs = classesOf(map[event.Class]string{
		event.Read: `
			plan status info version whoami outdated why ls list ll logs output history describe policy
			depends freeze is-active is-enabled is-failed list-units list-unit-files doctor env view show
			search template lint validate`,
		event.Exec: `
			vet install i ci add update upgrade dist-upgrade full-upgrade run exec test build start stop
			restart reload rollback up`,
		event.Send:   `publish`,
		event.Delete: `uninstall un remove rm purge autoremove destroy delete unpublish down`,
		event.Write:  `login logout init apply import enable disable mask config fmt mod repo`,
	})
	packageManagers = nounsOf(`
		npm pnpm yarn pip pip3 pipx uv poetry conda mamba gem bundle cargo go composer apt apt-get aptitude
		dnf yum apk pacman zypper brew port choco scoop winget dotnet nuget snap flatpak systemctl service
		launchctl supervisorctl pm2 rc-service terraform tofu terragrunt pulumi helm ansible-vault`)
)

// classesOf has the class of each word.
func classesOf(words map[event.Class]string) map[string]event.Class {
	of := map[string]event.Class{}
	for class, list := range words {
		for w := range strings.FieldsSeq(list) {
			of[w] = class
		}
	}
	return of
}

// classifyByVerb reads the verb among a program's words.
func classifyByVerb(s *shell, name string, args []word, in stdin) action {
	ops, options := operands(args, "XRoqnHfFpmtbBlae",
		"namespace repo project profile region output query format title body method header field raw-field input jq "+
			"template hostname subscription resource-group account endpoint-url cwd prefix workspace filename context "+
			"kubeconfig target var var-file server")
	s.noteEndpointsAndFiles(args)
	if h, ok := option(options, "hostname", "endpoint-url", "server"); ok {
		s.reach(h)
	}
	switch first := wordAt(ops, 0); {
	case len(ops) == 0:
		for _, x := range args {
			if name == "pacman" && strings.HasPrefix(x.text, "-R") {
				return action{event.Delete, x.text}
			}
		}
		return action{event.Exec, name}
	case first == "api", first == "rest", first == "curl":
		return classifyAPIRequest(options)
	case name == "terraform", name == "tofu", name == "terragrunt":
		for _, x := range args {
			if (x.text == "-destroy" || x.text == "--destroy") && first != "plan" {
				return action{event.Delete, x.text}
			}
		}
		if first == "state" || first == "workspace" {
			ops = ops[1:]
		}
	case name == "service" && len(ops) > 1: // service nginx restart
		ops = ops[1:]
	}
	var verb action
	if packageManagers[name] {
		verb = packageVerb(ops)
	} else {
		verb = verbOfWords(ops, resourceFirst[name])
	}
	if verb = s.noteSecretsAndRights(name, ops, verb); verb.class == event.NoClass {
		return action{event.Exec, "an unknown command of " + name}
	}
	return verb
}

// noteEndpointsAndFiles notes URLs, addresses and files among words, values of options included.
func (s *shell) noteEndpointsAndFiles(args []word) {
	for _, x := range args {
		v := x.text
		if _, value, ok := strings.Cut(v, "="); ok && strings.HasPrefix(v, "-") {
			v = value
		}
		if strings.Contains(v, "://") && event.IsURL(v) {
			s.reach(v)
		} else if strings.HasPrefix(v, "@") || isPath(v) || isSecretFile(v) && !strings.Contains(v, "-") {
			s.path(strings.TrimPrefix(v, "@"))
		}
		if isEmail(v) {
			s.reach(v)
		}
	}
}

// classifyAPIRequest reads a request to the API behind a program: gh api -X DELETE /repos/….
func classifyAPIRequest(options [][2]string) action {
	a := action{event.Read, "api"}
	for _, o := range options {
		switch o[0] {
		case "X", "method":
			c, w := wordOf(strings.ToUpper(o[1]), true)
			a.add(action{c, w})
		case "f", "F", "field", "raw-field", "input":
			a.add(action{event.Write, "api"})
			c, w := classifyGraphQL(strings.TrimPrefix(o[1], "query="))
			a.add(action{c, w})
		}
	}
	return a
}

// The verb is one of the first words, and has none of these characters.
const (
	maxVerbPlace = 3
	notInVerbs   = "/.:@=$ "
)

// packageVerb is the first known verb: npm install x.
func packageVerb(ops []word) action {
	for _, x := range ops[:min(len(ops), maxVerbPlace)] {
		if strings.ContainsAny(x.text, notInVerbs) {
			break
		}
		w := event.Lower(x.text)
		if c, ok := programVerbs[w]; ok {
			return action{c, w}
		}
	}
	return action{}
}

// verbOfWords reads the words as it reads names of tools. With resourceFirst the last verb counts
// (gh pr create), otherwise the first.
func verbOfWords(ops []word, resourceFirst bool) (verb action) {
	for i, x := range ops[:min(len(ops), maxVerbPlace)] {
		if !resourceFirst && verb.class != event.NoClass || strings.ContainsAny(x.text, notInVerbs) {
			break
		}
		w := event.Lower(x.text)
		r := phraseOf(w, "").read()
		if c, ok := programVerbs[w]; ok && i > 0 && c != event.Exec && r.class == event.NoClass {
			verb = action{c, w}
			continue
		}
		if r.class == event.NoClass || verbs[r.verb].tier == seldom || reportNouns[r.verb] && i == 0 {
			continue
		}
		verb = action{r.class, w}
		if i > 0 && resourceFirst { // refunds create is create_refund
			r := phraseOf(w+"_"+singular(event.Lower(ops[i-1].text)), "").read()
			verb.add(action{r.class, r.verb})
		}
	}
	if verb.class == event.NoClass && len(ops) > 1 && resourceFirst &&
		!strings.ContainsAny(ops[1].text, notInVerbs) { // gh issue comment
		if r := phraseOf(ops[1].text, "").read(); r.class != event.NoClass {
			verb = action{r.class, r.verb}
		}
	}
	return verb
}

// noteSecretsAndRights reads what the first words are about: a secret is noted, and to write rights
// is to grant.
func (s *shell) noteSecretsAndRights(name string, ops []word, verb action) action {
	about := ""
	for _, x := range ops[:min(len(ops), maxVerbPlace)] {
		about += " " + event.Lower(x.text)
	}
	for _, w := range splitWords(about, maxWords) {
		w = singular(w)
		if secretNouns[w] {
			s.labels |= secretLabel
		}
		if verb.class == event.Write && (w == "iam" || rights[w] && w != "member" || w == "policy" && name == "aws") {
			verb = action{event.Grant, w}
		}
	}
	return verb
}

// classifyObjectStore reads programs that copy files to and from object stores.
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
