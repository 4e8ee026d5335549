package catalogue

import (
	"regexp"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What well-known programs do with their words: those of the POSIX and GNU userland, what wraps
// others, clients of networks and databases, and tools whose words are verbs.

// program judges a program by its words.
type program func(s *shell, name string, args []word, in stdin) act

var handled map[string]program

func init() {
	handled = map[string]program{}
	for names, p := range map[string]program{
		"sudo doas env nice ionice nohup timeout gtimeout time stdbuf setsid chroot xargs watch strace ltrace command builtin exec unbuffer flock taskset chrt numactl parallel busybox caffeinate gosu fakeroot unshare nsenter proot dbus-run-session torsocks proxychains proxychains4": wrapped,
		"su runuser sg script":                      commandOption,
		"sh bash zsh dash ksh ash rbash mksh":       shells,
		"fish csh tcsh nu xonsh":                    otherShells,
		"pwsh powershell cmd wscript cscript mshta": otherShells,
		"python python2 python3 pypy pypy3 ipython perl ruby node nodejs deno bun php lua luajit rscript r julia osascript tclsh expect groovy scala swift elixir": interpreters,
		"eval":                      evals,
		"alias":                     aliases,
		"tmux screen zellij":        screens,
		"source . trap":             sources,
		"curl":                      curls,
		"wget wget2":                wgets,
		"http https xh httpie":      httpies,
		"ssh autossh mosh":          sshs,
		"scp rsync":                 copies,
		"sftp ssh-copy-id":          logins,
		"nc ncat netcat socat nmap": sockets,
		"openssl":                   openssls,
		"dig nslookup host ping ping6 whois traceroute tracepath mtr nsupdate drill": lookups,
		"find fd":                       finds,
		"awk gawk mawk nawk sed gsed":   filters,
		"tar bsdtar unzip 7z 7za unrar": archives,
		"dd":                            dds,
		"tee sort yq sponge":            outputs,
		"chmod chgrp":                   modes,
		"git":                           gits,
		"docker podman nerdctl":         dockers,
		"kubectl oc microk8s k":         kubectls,
		"aws gsutil s3cmd rclone mc azcopy b2 s4cmd": stores,
		"gh glab gcloud az doctl hcloud linode-cli oci ibmcloud stripe heroku fly flyctl vercel netlify wrangler firebase supabase railway render openstack jira linear op vault consul nomad helm argocd istioctl flux terraform tofu terragrunt pulumi ansible-vault systemctl service launchctl supervisorctl pm2 rc-service snap flatpak npm pnpm yarn pip pip3 pipx uv poetry conda mamba gem bundle cargo go composer apt apt-get aptitude dnf yum apk pacman zypper brew port choco scoop winget dotnet nuget slack discord telegram-send signal-cli gog notion": verbal,
		"psql mysql mariadb sqlite3 sqlite duckdb sqlcmd clickhouse-client clickhouse cockroach bq snowsql mongosh mongo redis-cli cqlsh usql pgcli mycli pg_dump pg_dumpall mysqldump mongodump pg_restore": clients,
		"crontab at batch": tables,
		"kill pkill killall xkill skill reboot shutdown halt poweroff init telinit": stops,
		"ip route arp ethtool": networks,
		"gpg gpg2 age ssh-keygen ssh-add keytool certutil security": keys,
	} {
		for n := range strings.FieldsSeq(names) {
			handled[n] = p
		}
	}
}

// operands are the words that are no options. valued are the options that take the next word:
// letters, and long ones between blanks.
func operands(args []word, letters, long string) (rest []word, options [][2]string) {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		next := func() string {
			if i+1 < len(args) {
				i++
				return args[i].text
			}
			return ""
		}
		switch {
		case v == "--":
			return append(rest, args[i+1:]...), options
		case len(v) < 2 || v[0] != '-':
			rest = append(rest, args[i])
		case strings.HasPrefix(v, "--"):
			name, value, ok := strings.Cut(v, "=")
			if !ok && strings.Contains(" "+long+" ", " "+name[2:]+" ") {
				value = next()
			}
			options = append(options, [2]string{name[2:], value})
		default:
			if strings.Contains(" "+long+" ", " "+v[1:]+" ") { // -destroy, -connect
				options = append(options, [2]string{v[1:], next()})
				continue
			}
			for k := 1; k < len(v); k++ {
				value, takes := "", strings.IndexByte(letters, v[k]) >= 0
				if takes {
					if value = v[k+1:]; value == "" {
						value = next()
					}
				}
				options = append(options, [2]string{v[k : k+1], value})
				if takes {
					break
				}
			}
		}
	}
	return rest, options
}

// behind are the words from the first operand on, as of programs that run another one.
func behind(args []word, letters, long string) []word {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		switch {
		case v == "--":
			return args[i+1:]
		case len(v) < 2 || v[0] != '-':
			return args[i:]
		case strings.HasPrefix(v, "--"):
			if !strings.Contains(v, "=") && strings.Contains(" "+long+" ", " "+v[2:]+" ") {
				i++
			}
		default:
			for k := 1; k < len(v); k++ {
				if strings.IndexByte(letters, v[k]) >= 0 {
					if k == len(v)-1 {
						i++
					}
					break
				}
			}
		}
	}
	return nil
}

func option(options [][2]string, names ...string) (string, bool) {
	for _, o := range options {
		for _, n := range names {
			if o[0] == n {
				return o[1], true
			}
		}
	}
	return "", false
}

func text(args []word, i int) string {
	if i < len(args) {
		return args[i].text
	}
	return ""
}

func joined(args []word) (string, bool) {
	parts, known := make([]string, len(args)), true
	for i, x := range args {
		parts[i] = x.text
		known = known && x.known
	}
	return strings.Join(parts, " "), known
}

// wrapped are programs that run the one behind their own options.
func wrapped(s *shell, name string, args []word, in stdin) act {
	letters, long, skip := "", "", 0
	switch name {
	case "sudo", "doas":
		letters, long = "ugpCrtTUDRh", "user group prompt chdir host role type chroot"
		for _, x := range args {
			if x.text == "-e" || x.text == "--edit" {
				return act{event.Write, name}
			}
			if !strings.HasPrefix(x.text, "-") {
				break
			}
		}
	case "env":
		letters, long = "uC", "unset chdir"
		for i, x := range args {
			if x.text == "-S" || x.text == "--split-string" || strings.HasPrefix(x.text, "-S") ||
				strings.HasPrefix(x.text, "--split-string=") {
				line, _ := joined(args[i:])
				line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "--split-string="),
					"--split-string"), "-S")
				return s.script(line)
			}
		}
	case "nice":
		letters, long = "n", "adjustment"
	case "ionice":
		letters = "cnp"
	case "timeout", "gtimeout":
		letters, long, skip = "sk", "signal kill-after", 1
	case "stdbuf":
		letters = "ioe"
	case "chroot":
		long, skip = "userspec groups", 1
	case "gosu", "taskset", "chrt", "proot":
		skip = 1
	case "xargs", "parallel":
		letters, long = "IELnPdsajS", "max-args max-procs replace delimiter arg-file max-lines jobs"
	case "watch":
		letters, long = "n", "interval"
	case "strace", "ltrace":
		letters = "eopsaEuPO"
	case "flock":
		letters, long, skip = "wE", "timeout", 1
	case "command":
		if t := text(args, 0); t == "-v" || t == "-V" {
			return act{event.Read, name}
		}
	case "exec":
		letters = "a"
	case "time":
		letters = "fo"
	case "nsenter", "unshare":
		letters = "tSG"
	case "numactl":
		letters = "NCmilpP"
	}
	rest := behind(args, letters, long)
	for name == "sudo" || name == "env" || name == "doas" {
		if len(rest) == 0 {
			break
		}
		if v, _, ok := strings.Cut(rest[0].text, "="); !ok || v == "" || strings.ContainsAny(v, "/. ") {
			break
		}
		rest = rest[1:]
	}
	if skip > 0 && len(rest) > 0 {
		rest = rest[1:]
		if name == "flock" && (text(rest, 0) == "-c" || text(rest, 0) == "--command") {
			return s.script(text(rest, 1))
		}
	}
	if len(rest) == 0 {
		switch name {
		case "env":
			return act{event.Read, name}
		case "xargs", "exec", "time", "command", "builtin", "nice":
			return act{}
		}
		return act{event.Exec, name}
	}
	if name == "watch" || name == "parallel" {
		if line, known := joined(rest); known {
			return s.script(line)
		}
	}
	if name == "xargs" || name == "parallel" { // its words come from elsewhere
		in = stdin{piped: true}
		if base := event.Lower(rest[0].text[strings.LastIndexByte(rest[0].text, '/')+1:]); len(rest) > 1 &&
			(base == "sh" || base == "bash") && text(rest, 1) == "-c" {
			return s.command(rest, in)
		}
	}
	return s.command(rest, in)
}

// commandOption are programs that run the line behind -c.
func commandOption(s *shell, name string, args []word, in stdin) act {
	for i, x := range args {
		if (x.text == "-c" || x.text == "--command") && i+1 < len(args) {
			if !args[i+1].known {
				return act{event.Exec, "a variable for a program"}
			}
			return s.script(args[i+1].text)
		}
		if line, ok := strings.CutPrefix(x.text, "--command="); ok {
			return s.script(line)
		}
	}
	return act{event.Exec, name}
}

func shells(s *shell, name string, args []word, in stdin) (a act) {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		switch {
		case !strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "+"):
			if !args[i].known {
				return act{event.Exec, "a variable for a program"}
			}
			s.path(v)
			s.scan(args[i+1:])
			return act{event.Exec, "a script"}
		case strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "--") && strings.IndexByte(v, 'c') > 0:
			rest := args[i+1:]
			for len(rest) > 1 && strings.HasPrefix(rest[0].text, "-") {
				rest = rest[1:]
			}
			if len(rest) == 0 {
				return act{event.Exec, name}
			}
			line := rest[0]
			if !line.known {
				a = act{event.Exec, "a variable for a program"}
				if strings.Trim(line.text, "$ ") != "" {
					a.add(s.script(line.text))
				}
				return a
			}
			return s.script(line.text)
		case v == "-o" || v == "-O" || v == "--rcfile" || v == "--init-file":
			i++
		}
	}
	switch { // what it runs comes from what it reads
	case in.known:
		return s.script(in.text)
	case in.piped:
		return act{event.Exec, "what is piped into a shell"}
	}
	return act{event.Exec, name}
}

func otherShells(s *shell, name string, args []word, in stdin) act {
	line, _ := joined(args)
	s.code(line)
	s.scan(args)
	if in.known {
		s.code(in.text)
	}
	a := act{event.Exec, "a shell that is not read"}
	for i, x := range args {
		switch event.Lower(x.text) {
		case "/c", "/k", "-c", "-command", "-commandwithargs":
			rest, _ := joined(args[i+1:])
			a.add(s.script(rest)) // what it has in common with a shell of POSIX counts
			return a
		}
	}
	return a
}

func interpreters(s *shell, name string, args []word, in stdin) act {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		if v == "-V" || v == "-v" && len(args) == 1 {
			return act{event.Read, name}
		}
		if strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "--") && len(v) <= 4 &&
			strings.ContainsAny(v[len(v)-1:], "ceErnp") || v == "--eval" || v == "--print" || v == "eval" && i == 0 {
			if i+1 < len(args) {
				s.code(args[i+1].text)
				s.scan(args[i+2:])
			}
			return act{event.Exec, "code"}
		}
		if !strings.HasPrefix(v, "-") {
			s.path(v)
			s.scan(args[i+1:])
			return act{event.Exec, "a script"}
		}
	}
	if in.known {
		s.code(in.text)
	}
	return act{event.Exec, "code"}
}

func evals(s *shell, name string, args []word, in stdin) act {
	a := act{event.Exec, "eval"}
	if line, known := joined(args); known {
		a.add(s.script(line))
	} else {
		s.scan(args)
	}
	return a
}

// aliases are what they stand for: whether and when they are used is not followed.
func aliases(s *shell, name string, args []word, in stdin) (a act) {
	for _, x := range args {
		if _, v, ok := strings.Cut(x.text, "="); ok {
			a.add(s.script(v))
		}
	}
	return a
}

// screens run what they are given, as one word or as several, and type what they are told.
func screens(s *shell, name string, args []word, in stdin) act {
	a := act{event.Exec, name}
	for i, x := range args {
		switch {
		case strings.ContainsAny(x.text, " \t\n"):
			a.add(s.script(x.text))
		case name == "screen" && !strings.HasPrefix(x.text, "-") && i > 0 && strings.HasPrefix(args[i-1].text, "-") &&
			strings.ContainsAny(args[i-1].text, "dm"):
			a.add(s.command(args[i:], in))
			return a
		}
	}
	return a
}

func sources(s *shell, name string, args []word, in stdin) act {
	if name == "trap" {
		if len(args) < 2 || args[0].text == "-" {
			return act{}
		}
		if !args[0].known {
			return act{event.Exec, name}
		}
		return s.script(args[0].text)
	}
	s.path(text(args, 0))
	return act{event.Exec, "a script"}
}

// file is a file that is sent: @name, or name=@name.
func (s *shell) sent(v string) {
	if i := strings.IndexAny(v, "@<"); i >= 0 && (i == 0 || v[i-1] == '=') {
		name, _, _ := strings.Cut(v[i+1:], ";")
		s.path(name)
	}
	s.token(v)
}

var tokens = regexp.MustCompile(
	`AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.`)

// token looks for keys and tokens in what is sent, by the forms that their makers gave them to be
// found by.
func (s *shell) token(v string) {
	if len(v) <= maxLine && tokens.MatchString(v) {
		s.labels |= secretLabel
	}
}

func curls(s *shell, name string, args []word, in stdin) (a act) {
	a = act{event.Read, name}
	rest, options := operands(args, "AbcCdDeEFHKmoPQrtTuUwxXyYz", `data data-raw data-binary data-ascii data-urlencode json form form-string upload-file request header user-agent referer user proxy cookie cookie-jar
		max-time connect-timeout retry retry-delay retry-max-time output output-dir write-out config cert key cacert capath resolve connect-to url mail-rcpt mail-from url-query socks5 socks5-hostname socks4 preproxy interface range time-cond dump-header limit-rate max-redirs
		proxy-user oauth2-bearer aws-sigv4 unix-socket doh-url variable expand-data ciphers tls-max proto netrc-file dns-servers haproxy-clientip cert-type key-type pass quote trace trace-ascii stderr`)
	for _, o := range options {
		v := o[1]
		switch o[0] {
		case "d", "data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "F", "form", "form-string",
			"url-query", "expand-data":
			s.sent(v)
			a.add(act{event.Send, name})
		case "T", "upload-file":
			s.path(v)
			a.add(act{event.Send, name})
		case "X", "request":
			switch strings.ToUpper(v) {
			case "GET", "HEAD", "OPTIONS":
			case "DELETE":
				a.add(act{event.Delete, v})
			default:
				a.add(act{event.Send, name})
			}
		case "o", "output", "D", "dump-header", "c", "cookie-jar":
			a.add(s.writes(v, name))
		case "O", "remote-name", "remote-name-all", "J":
			a.add(act{event.Write, name})
		case "url", "x", "proxy", "preproxy", "doh-url":
			s.reach(v)
		case "socks5", "socks5-hostname", "socks4":
			s.reach(v)
		case "resolve", "connect-to": // host:port:address
			if i := strings.LastIndexByte(v, ':'); i >= 0 {
				parts := strings.Split(v, ":")
				if len(parts) >= 3 {
					s.reach(strings.Trim(parts[2], "[]"))
				}
			}
		case "mail-rcpt":
			s.reach(v)
			a.add(act{event.Send, name})
		case "K", "config":
			if v != "" {
				s.path(v)
				a.add(act{event.Exec, "options of a file"})
			}
		case "E", "cert", "key", "netrc-file":
			s.path(v)
		case "H", "header", "b", "cookie":
			if strings.HasPrefix(v, "@") {
				s.path(v[1:])
			}
		case "Q", "quote":
			a.add(act{event.Exec, name})
		}
	}
	for _, x := range rest {
		s.reach(x.text)
		if strings.HasPrefix(event.Lower(x.text), "file://") {
			s.path(x.text[7:])
		}
	}
	return a
}

func wgets(s *shell, name string, args []word, in stdin) (a act) {
	rest, options := operands(args, "OoaiBtTwQPUeAR",
		`output-document output-file append-output input-file post-data post-file body-data body-file method header user password timeout tries wait user-agent referer directory-prefix load-cookies save-cookies execute`)
	a = act{event.Write, name}
	out, to := option(options, "O", "output-document")
	if _, spider := option(options, "spider"); spider || to &&
		(out == "-" || out == "/dev/null" || out == "/dev/stdout") {
		a = act{event.Read, name}
	} else if to {
		a = s.writes(out, name)
	}
	for _, o := range options {
		switch o[0] {
		case "post-data", "body-data":
			s.token(o[1])
			a.add(act{event.Send, name})
		case "post-file", "body-file":
			s.path(o[1])
			a.add(act{event.Send, name})
		case "method":
			switch strings.ToUpper(o[1]) {
			case "DELETE":
				a.add(act{event.Delete, name})
			case "POST", "PUT", "PATCH":
				a.add(act{event.Send, name})
			}
		case "i", "input-file":
			s.path(o[1])
		case "e", "execute":
			s.code(o[1])
		}
	}
	for _, x := range rest {
		s.reach(x.text)
	}
	return a
}

func httpies(s *shell, name string, args []word, in stdin) (a act) {
	a = act{event.Read, name}
	rest, _ := operands(args, "aAso", "auth auth-type session output proxy timeout verify cert cert-key")
	if len(rest) > 0 && rest[0].text == strings.ToUpper(rest[0].text) && !strings.ContainsAny(rest[0].text, ".:/") {
		switch rest[0].text {
		case "GET", "HEAD", "OPTIONS":
		case "DELETE":
			a = act{event.Delete, name}
		default:
			a = act{event.Send, name}
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		s.reach(rest[0].text)
		for _, x := range rest[1:] {
			s.sent(x.text)
			if !strings.Contains(x.text, "==") && !strings.Contains(x.text, ":") || strings.Contains(x.text, ":=") ||
				strings.Contains(x.text, "@") {
				a.add(act{event.Send, name})
			}
		}
	}
	if in.piped {
		a.add(act{event.Send, name})
	}
	return a
}

// hostIn is the host of [user@]host[:path].
func hostIn(v string) string {
	if event.IsURL(v) {
		return v
	}
	if i := strings.LastIndexByte(v, '@'); i >= 0 {
		v = v[i+1:]
	}
	if strings.HasPrefix(v, "[") {
		return v
	}
	v, _, _ = strings.Cut(v, ":")
	return v
}

func sshs(s *shell, name string, args []word, in stdin) act {
	rest := behind(args, "bcDEeFIiJLlmOopQRSWwBM", "port")
	for i, x := range args {
		if x.text == "-J" && i+1 < len(args) {
			for hop := range strings.SplitSeq(args[i+1].text, ",") {
				s.reach(hostIn(hop))
			}
		}
		if strings.HasPrefix(event.Lower(x.text), "proxycommand=") ||
			strings.HasPrefix(event.Lower(x.text), "-oproxycommand=") {
			_, line, _ := strings.Cut(x.text, "=")
			s.script(line)
		}
	}
	if len(rest) == 0 {
		return act{event.Exec, name}
	}
	s.reach(hostIn(rest[0].text))
	rest = behind(rest[1:], "bcDEeFIiJLlmOopQRSWwBM", "")
	if len(rest) == 0 {
		if in.known {
			a := s.script(in.text)
			a.add(act{event.Exec, name})
			return a
		}
		return act{event.Exec, name}
	}
	line, known := joined(rest)
	if !known {
		a := act{event.Exec, "a variable for a program"}
		a.add(s.command(rest, in))
		return a
	}
	return s.script(line)
}

// remote tells host:path from a file.
func remote(v string) bool {
	if event.IsURL(v) {
		return true
	}
	i := strings.IndexByte(v, ':')
	return i > 0 && strings.IndexByte(v[:i], '/') < 0 && !(i == 1 && len(v) > 2 && (v[2] == '\\' || v[2] == '/'))
}

func copies(s *shell, name string, args []word, in stdin) act {
	letters, long := "cFiJloPSX", ""
	if name == "rsync" {
		letters, long = "efBTM",
			"rsh exclude include exclude-from include-from files-from filter port password-file log-file backup-dir temp-dir bwlimit timeout chmod chown rsync-path out-format"
	}
	rest, options := operands(args, letters, long)
	a := act{event.Write, name}
	for i, x := range rest {
		if !remote(x.text) {
			s.path(x.text)
			continue
		}
		s.reach(hostIn(x.text))
		if i == len(rest)-1 {
			a.add(act{event.Send, name})
		}
	}
	if name == "rsync" {
		for _, o := range options {
			if strings.HasPrefix(o[0], "delete") || o[0] == "remove-source-files" {
				a.add(act{event.Delete, "--" + o[0]})
			}
		}
	}
	return a
}

func logins(s *shell, name string, args []word, in stdin) act {
	rest, _ := operands(args, "bBcDFiJloPRSsp", "")
	if len(rest) > 0 {
		s.reach(hostIn(rest[0].text))
	}
	if name == "ssh-copy-id" {
		return act{event.Grant, name}
	}
	if in.known {
		for line := range strings.Lines(in.text) {
			if f := strings.Fields(line); len(f) > 1 && (f[0] == "put" || f[0] == "mput") {
				s.path(f[1])
			}
		}
	}
	return act{event.Send, name}
}

func sockets(s *shell, name string, args []word, in stdin) act {
	switch name {
	case "socat":
		for _, x := range args {
			parts := strings.Split(x.text, ":")
			switch kind := strings.ToUpper(parts[0]); {
			case strings.Contains(kind, "LISTEN"):
			case strings.HasPrefix(kind, "EXEC"), strings.HasPrefix(kind, "SYSTEM"):
			case len(parts) >= 3 && kind != "FILE" && kind != "OPEN":
				port, _, _ := strings.Cut(parts[2], ",")
				s.reach(parts[1] + portOf(port))
			}
		}
		return act{event.Send, name}
	case "nmap":
		s.targets(args)
		return act{event.Exec, name}
	}
	rest, options := operands(args, "ceghiIkmOopPqsTVwWxX", "exec sh-exec source port proxy")
	for _, o := range options {
		if o[0] == "l" || o[0] == "listen" {
			return act{event.Exec, "listens"}
		}
		if o[0] == "x" || o[0] == "proxy" {
			s.reach(o[1])
		}
	}
	if len(rest) > 0 {
		s.reach(rest[0].text + portOf(text(rest, 1)))
	}
	for _, o := range options {
		if o[0] == "z" {
			return act{event.Read, name}
		}
	}
	return act{event.Send, name}
}

// targets are the hosts among words.
func (s *shell) targets(args []word) {
	for _, x := range args {
		if v := strings.TrimPrefix(x.text, "@"); !strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "+") &&
			(strings.ContainsAny(v, ".:") || v == "localhost") {
			s.reach(v)
		}
	}
}

func openssls(s *shell, name string, args []word, in stdin) act {
	a := act{event.Exec, name}
	switch text(args, 0) {
	case "s_client":
		a = act{event.Send, name}
	case "x509", "dgst", "rand", "version", "verify", "ciphers", "asn1parse", "crl", "sha256", "md5", "prime", "speed",
		"list":
		a = act{event.Read, name}
	case "enc", "genrsa", "genpkey", "req", "pkcs12", "rsa", "rsautl", "pkeyutl", "pkey", "ca", "cms", "smime":
		a = act{event.Write, name}
	}
	for i, x := range args {
		switch x.text {
		case "-connect", "-proxy":
			s.reach(text(args, i+1))
		case "-in", "-out", "-inkey", "-key", "-keyout":
			s.path(text(args, i+1))
		}
	}
	return a
}

func lookups(s *shell, name string, args []word, in stdin) act {
	rest, _ := operands(args, "cWwitsIkpQbfyxmlhq", "")
	for _, x := range rest {
		if v := strings.TrimPrefix(x.text, "@"); strings.Contains(v, ".") || strings.HasPrefix(x.text, "@") ||
			strings.Contains(v, ":") || strings.Contains(v, "$") {
			s.reach(v)
		}
	}
	if name == "nsupdate" {
		return act{event.Write, name}
	}
	return act{event.Read, name}
}

func finds(s *shell, name string, args []word, in stdin) (a act) {
	a = act{event.Read, name}
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
			a.add(act{event.Delete, v})
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
			a.add(s.writes(text(args, i+1), name))
		case "-name", "-iname", "-path", "-ipath":
			if isSecretFile(strings.Trim(text(args, i+1), "*")) {
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

func filters(s *shell, name string, args []word, in stdin) (a act) {
	a = act{event.Read, name}
	rest, options := operands(args, "efFvE", "expression file assign field-separator include")
	var programs []string
	for _, o := range options {
		switch o[0] {
		case "i", "in-place":
			if strings.HasSuffix(name, "sed") || o[1] == "" {
				a.add(act{event.Write, "in place"})
			}
		case "e", "expression":
			programs = append(programs, o[1])
		case "f", "file":
			s.path(o[1])
			a.add(act{event.Exec, "a script"})
			programs = append(programs, "")
		}
	}
	sed := strings.HasSuffix(name, "sed")
	if len(programs) == 0 && len(rest) > 0 {
		programs = append(programs, rest[0].text)
		if !rest[0].known && strings.Trim(rest[0].text, "$") == "" {
			a.add(act{event.Exec, "a variable for a program"})
		}
		rest = rest[1:]
	}
	for _, p := range programs {
		switch {
		case sed && sedExec.MatchString(p), !sed &&
			(strings.Contains(p, "system(") || strings.Contains(p, "system (") || strings.Contains(p, `| "`) ||
				strings.Contains(p, `|"`) || strings.Contains(p, `" |`) || strings.Contains(p, `"|`) ||
				strings.Contains(p, "|&")):
			s.code(p)
			a.add(act{event.Exec, "runs commands"})
		case sed && sedWrite.MatchString(p), !sed && (strings.Contains(p, `> "`) || strings.Contains(p, `>"`) ||
			strings.Contains(p, `>> `)):
			a.add(act{event.Write, name})
		}
		if strings.Contains(p, "/inet") {
			a.add(act{event.Send, name})
		}
	}
	for _, x := range rest {
		s.path(x.text)
	}
	return a
}

func archives(s *shell, name string, args []word, in stdin) (a act) {
	a = act{event.Write, name}
	mode := text(args, 0)
	switch {
	case strings.HasSuffix(name, "tar") && mode != "" && strings.Contains(mode, "t") &&
		!strings.HasPrefix(mode, "--") && !strings.ContainsAny(mode, "cx/"),
		mode == "--list", mode == "-l", mode == "l":
		a = act{event.Read, name}
	}
	for i, x := range args {
		v := x.text
		switch {
		case strings.HasPrefix(v, "--to-command"), strings.HasPrefix(v, "--checkpoint-action"),
			strings.HasPrefix(v, "--use-compress-program"), v == "-I":
			a.add(act{event.Exec, v})
		case v == "--delete" || v == "--remove-files":
			a.add(act{event.Delete, v})
		case !strings.HasPrefix(v, "-") && i > 0:
			s.path(v)
		}
	}
	return a
}

func dds(s *shell, name string, args []word, in stdin) (a act) {
	a = act{event.Read, name}
	for _, x := range args {
		switch k, v, _ := strings.Cut(x.text, "="); k {
		case "of":
			a.add(s.writes(v, name))
		case "if":
			s.path(v)
		}
	}
	return a
}

func outputs(s *shell, name string, args []word, in stdin) (a act) {
	rest, options := operands(args, "kStToB", "output key field-separator")
	a = act{event.Read, name}
	if name == "tee" || name == "sponge" {
		for _, x := range rest {
			a.add(s.writes(x.text, name))
		}
		return a
	}
	if v, ok := option(options, "o", "output"); ok && name == "sort" {
		a.add(s.writes(v, name))
	}
	if _, ok := option(options, "i", "inplace", "in-place"); ok && name == "yq" {
		a.add(act{event.Write, name})
	}
	for _, x := range rest {
		if strings.ContainsAny(x.text, "/~") || isSecretFile(x.text) {
			s.path(x.text)
		}
	}
	return a
}

// modes is chmod: to let others write, or a program run as its owner, is to grant; to make a file
// executable is not.
func modes(s *shell, name string, args []word, in stdin) act {
	rest, _ := operands(args, "", "reference from")
	mode := ""
	for i, x := range args { // chmod -x is a mode, not an option
		if i == 0 && strings.HasPrefix(x.text, "-") && strings.Trim(x.text, "-rwxst") == "" && len(x.text) > 1 &&
			x.text != "-R" {
			return act{event.Write, name}
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
		return act{event.Grant, name}
	case isDigits(mode) && len(mode) >= 3:
		if last := mode[len(mode)-1]; last&2 != 0 || len(mode) > 3 && mode[len(mode)-4] >= '2' {
			return act{event.Grant, name}
		}
	case strings.ContainsAny(mode, "s"), strings.ContainsAny(mode, "oa") && strings.ContainsAny(mode, "w") &&
		strings.ContainsAny(mode, "+="):
		return act{event.Grant, name}
	}
	return act{event.Write, name}
}

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

// hostOrURL is a URL, or the host of user@host:path.
func hostOrURL(v string) string {
	if event.IsURL(v) {
		return v
	}
	return hostIn(v)
}

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

func option2(args []word, names ...string) (string, bool) {
	for i, x := range args {
		for _, n := range names {
			if x.text == n && i+1 < len(args) {
				return args[i+1].text, true
			}
			if v, ok := strings.CutPrefix(x.text, n+"="); ok {
				return v, true
			}
		}
	}
	return "", false
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

// clients of databases carry SQL.
func clients(s *shell, name string, args []word, in stdin) (a act) {
	ops, options := operands(args, "hHpPUudcefQSDtTLRoOv",
		"host port username user dbname command execute file query server port password database eval output host")
	if h, ok := option(options, "h", "host", "server", "S", "H"); ok &&
		(strings.ContainsAny(h, ".:$") || h != "" && !isPath(h)) {
		if !(name == "sqlite3" || name == "duckdb") {
			s.reach(h)
		}
	}
	for _, x := range args {
		if strings.Contains(x.text, "://") && event.IsURL(x.text) {
			s.reach(x.text)
		}
	}
	if strings.Contains(name, "dump") {
		return act{event.Read, name}
	}
	if name == "redis-cli" {
		for _, x := range ops {
			switch event.Lower(x.text) {
			case "del", "unlink", "flushall", "flushdb":
				return act{event.Delete, x.text}
			case "get", "keys", "scan", "info", "ttl", "type", "exists", "hgetall", "lrange", "smembers", "ping",
				"dbsize", "mget", "hget":
				return act{event.Read, x.text}
			case "set", "hset", "lpush", "rpush", "sadd", "expire", "incr", "mset":
				return act{event.Write, x.text}
			}
		}
		return act{event.Exec, name}
	}
	if name == "mongosh" || name == "mongo" || name == "pg_restore" {
		if v, ok := option(options, "eval"); ok {
			s.code(v)
		}
		return act{event.Exec, name}
	}
	sql := func(v string, known bool) {
		c, by := statement(v, true)
		if !known && stronger(event.Exec, c) {
			c, by = event.Exec, "a variable for SQL"
		}
		a.add(act{c, by})
	}
	for _, o := range options {
		switch o[0] {
		case "c", "command", "e", "execute", "Q", "q", "query":
			if o[1] != "" && !(name == "mysql" && o[0] == "c") {
				sql(o[1], !strings.Contains(o[1], "$"))
			}
		case "f", "file":
			s.path(o[1])
			a.add(act{event.Exec, "a script"})
		}
	}
	switch name {
	case "sqlite3", "sqlite", "duckdb":
		if len(ops) > 0 {
			s.path(ops[0].text)
		}
		for _, x := range ops[min(1, len(ops)):] {
			if strings.HasPrefix(x.text, ".") {
				switch w, _, _ := strings.Cut(x.text[1:], " "); w {
				case "tables", "schema", "databases", "indexes", "headers", "mode", "show", "dump":
					a.add(act{event.Read, w})
				default:
					a.add(act{event.Exec, w})
				}
				continue
			}
			sql(x.text, x.known)
		}
	case "bq", "cockroach":
		for i, x := range ops {
			if i > 0 && strings.Contains(x.text, " ") {
				sql(x.text, x.known)
			}
		}
	}
	if in.known && a.class == event.NoClass {
		sql(in.text, true)
	}
	if a.class == event.NoClass {
		if _, list := option(options, "l", "list"); list && name == "psql" {
			return act{event.Read, name}
		}
		return act{event.Exec, name}
	}
	return a
}

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
