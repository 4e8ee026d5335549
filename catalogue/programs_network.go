package catalogue

import (
	"regexp"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Clients of the network: HTTP, SSH, sockets, name services.

func classifyCurl(s *shell, name string, args []word, in stdin) (a action) {
	a = action{event.Read, name}
	rest, options := operands(args, "AbcCdDeEFHKmoPQrtTuUwxXyYz", `data data-raw data-binary data-ascii data-urlencode json form form-string upload-file request header user-agent referer user proxy cookie cookie-jar
		max-time connect-timeout retry retry-delay retry-max-time output output-dir write-out config cert key cacert capath resolve connect-to url mail-rcpt mail-from url-query socks5 socks5-hostname socks4 preproxy interface range time-cond dump-header limit-rate max-redirs
		proxy-user oauth2-bearer aws-sigv4 unix-socket doh-url variable expand-data ciphers tls-max proto netrc-file dns-servers haproxy-clientip cert-type key-type pass quote trace trace-ascii stderr`)
	for _, o := range options {
		v := o[1]
		switch o[0] {
		case "d", "data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "F", "form", "form-string",
			"url-query", "expand-data":
			s.sentFile(v)
			a.add(action{event.Send, name})
		case "T", "upload-file":
			s.path(v)
			a.add(action{event.Send, name})
		case "X", "request":
			switch strings.ToUpper(v) {
			case "GET", "HEAD", "OPTIONS":
			case "DELETE":
				a.add(action{event.Delete, v})
			default:
				a.add(action{event.Send, name})
			}
		case "o", "output", "D", "dump-header", "c", "cookie-jar":
			a.add(s.writeFile(v, name))
		case "O", "remote-name", "remote-name-all", "J":
			a.add(action{event.Write, name})
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
			a.add(action{event.Send, name})
		case "K", "config":
			if v != "" {
				s.path(v)
				a.add(action{event.Exec, "options of a file"})
			}
		case "E", "cert", "key", "netrc-file":
			s.path(v)
		case "H", "header", "b", "cookie":
			if strings.HasPrefix(v, "@") {
				s.path(v[1:])
			}
		case "Q", "quote":
			a.add(action{event.Exec, name})
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

func classifyWget(s *shell, name string, args []word, in stdin) (a action) {
	rest, options := operands(args, "OoaiBtTwQPUeAR",
		"output-document output-file append-output input-file post-data post-file body-data body-file method header "+
			"user password timeout tries wait user-agent referer directory-prefix load-cookies save-cookies execute")
	a = action{event.Write, name}
	out, to := option(options, "O", "output-document")
	if _, spider := option(options, "spider"); spider || to &&
		(out == "-" || out == "/dev/null" || out == "/dev/stdout") {
		a = action{event.Read, name}
	} else if to {
		a = s.writeFile(out, name)
	}
	for _, o := range options {
		switch o[0] {
		case "post-data", "body-data":
			s.findTokens(o[1])
			a.add(action{event.Send, name})
		case "post-file", "body-file":
			s.path(o[1])
			a.add(action{event.Send, name})
		case "method":
			switch strings.ToUpper(o[1]) {
			case "DELETE":
				a.add(action{event.Delete, name})
			case "POST", "PUT", "PATCH":
				a.add(action{event.Send, name})
			}
		case "i", "input-file":
			s.path(o[1])
		case "e", "execute":
			s.scanCode(o[1])
		}
	}
	for _, x := range rest {
		s.reach(x.text)
	}
	return a
}

func classifyHTTPie(s *shell, name string, args []word, in stdin) (a action) {
	a = action{event.Read, name}
	rest, _ := operands(args, "aAso", "auth auth-type session output proxy timeout verify cert cert-key")
	if len(rest) > 0 && rest[0].text == strings.ToUpper(rest[0].text) && !strings.ContainsAny(rest[0].text, ".:/") {
		switch rest[0].text {
		case "GET", "HEAD", "OPTIONS":
		case "DELETE":
			a = action{event.Delete, name}
		default:
			a = action{event.Send, name}
		}
		rest = rest[1:]
	}
	if len(rest) > 0 {
		s.reach(rest[0].text)
		for _, x := range rest[1:] {
			s.sentFile(x.text)
			if !strings.Contains(x.text, "==") && !strings.Contains(x.text, ":") || strings.Contains(x.text, ":=") ||
				strings.Contains(x.text, "@") {
				a.add(action{event.Send, name})
			}
		}
	}
	if in.piped {
		a.add(action{event.Send, name})
	}
	return a
}

// sentFile notes a file that is sent: @name, or name=@name.
func (s *shell) sentFile(v string) {
	if i := strings.IndexAny(v, "@<"); i >= 0 && (i == 0 || v[i-1] == '=') {
		name, _, _ := strings.Cut(v[i+1:], ";")
		s.path(name)
	}
	s.findTokens(v)
}

// tokenForms are the forms of keys and tokens that their makers gave them to be found by.
var tokenForms = regexp.MustCompile(
	`AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.`)

// findTokens labels the call secret if a key or token stands in what is sent.
func (s *shell) findTokens(v string) {
	if len(v) <= maxLine && tokenForms.MatchString(v) {
		s.labels |= secretLabel
	}
}

func classifySSH(s *shell, name string, args []word, in stdin) action {
	rest := fromFirstOperand(args, "bcDEeFIiJLlmOopQRSWwBM", "port")
	for i, x := range args {
		if x.text == "-J" && i+1 < len(args) {
			for hop := range strings.SplitSeq(args[i+1].text, ",") {
				s.reach(hostOfRemote(hop))
			}
		}
		if strings.HasPrefix(event.Lower(x.text), "proxycommand=") ||
			strings.HasPrefix(event.Lower(x.text), "-oproxycommand=") {
			_, line, _ := strings.Cut(x.text, "=")
			s.script(line)
		}
	}
	if len(rest) == 0 {
		return action{event.Exec, name}
	}
	s.reach(hostOfRemote(rest[0].text))
	rest = fromFirstOperand(rest[1:], "bcDEeFIiJLlmOopQRSWwBM", "")
	if len(rest) == 0 {
		if in.known {
			a := s.script(in.text)
			a.add(action{event.Exec, name})
			return a
		}
		return action{event.Exec, name}
	}
	line, known := joinWords(rest)
	if !known {
		a := action{event.Exec, "a variable for a program"}
		a.add(s.command(rest, in))
		return a
	}
	return s.script(line)
}

func classifyRemoteCopy(s *shell, name string, args []word, in stdin) action {
	letters, long := "cFiJloPSX", ""
	if name == "rsync" {
		letters, long = "efBTM",
			"rsh exclude include exclude-from include-from files-from filter port password-file log-file backup-dir "+
				"temp-dir bwlimit timeout chmod chown rsync-path out-format"
	}
	rest, options := operands(args, letters, long)
	a := action{event.Write, name}
	for i, x := range rest {
		if !isRemotePath(x.text) {
			s.path(x.text)
			continue
		}
		s.reach(hostOfRemote(x.text))
		if i == len(rest)-1 {
			a.add(action{event.Send, name})
		}
	}
	if name == "rsync" {
		for _, o := range options {
			if strings.HasPrefix(o[0], "delete") || o[0] == "remove-source-files" {
				a.add(action{event.Delete, "--" + o[0]})
			}
		}
	}
	return a
}

func classifyRemoteLogin(s *shell, name string, args []word, in stdin) action {
	rest, _ := operands(args, "bBcDFiJloPRSsp", "")
	if len(rest) > 0 {
		s.reach(hostOfRemote(rest[0].text))
	}
	if name == "ssh-copy-id" {
		return action{event.Grant, name}
	}
	if in.known {
		for line := range strings.Lines(in.text) {
			if f := strings.Fields(line); len(f) > 1 && (f[0] == "put" || f[0] == "mput") {
				s.path(f[1])
			}
		}
	}
	return action{event.Send, name}
}

func classifySocket(s *shell, name string, args []word, in stdin) action {
	switch name {
	case "socat":
		for _, x := range args {
			parts := strings.Split(x.text, ":")
			switch kind := strings.ToUpper(parts[0]); {
			case strings.Contains(kind, "LISTEN"):
			case strings.HasPrefix(kind, "EXEC"), strings.HasPrefix(kind, "SYSTEM"):
			case len(parts) >= 3 && kind != "FILE" && kind != "OPEN":
				port, _, _ := strings.Cut(parts[2], ",")
				s.reach(parts[1] + portSuffix(port))
			}
		}
		return action{event.Send, name}
	case "nmap":
		s.reachHosts(args)
		return action{event.Exec, name}
	}
	rest, options := operands(args, "ceghiIkmOopPqsTVwWxX", "exec sh-exec source port proxy")
	for _, o := range options {
		if o[0] == "l" || o[0] == "listen" {
			return action{event.Exec, "listens"}
		}
		if o[0] == "x" || o[0] == "proxy" {
			s.reach(o[1])
		}
	}
	if len(rest) > 0 {
		s.reach(rest[0].text + portSuffix(wordAt(rest, 1)))
	}
	for _, o := range options {
		if o[0] == "z" {
			return action{event.Read, name}
		}
	}
	return action{event.Send, name}
}

func classifyLookup(s *shell, name string, args []word, in stdin) action {
	rest, _ := operands(args, "cWwitsIkpQbfyxmlhq", "")
	for _, x := range rest {
		if v := strings.TrimPrefix(x.text, "@"); strings.Contains(v, ".") || strings.HasPrefix(x.text, "@") ||
			strings.Contains(v, ":") || strings.Contains(v, "$") {
			s.reach(v)
		}
	}
	if name == "nsupdate" {
		return action{event.Write, name}
	}
	return action{event.Read, name}
}

func classifyOpenSSL(s *shell, name string, args []word, in stdin) action {
	a := action{event.Exec, name}
	switch wordAt(args, 0) {
	case "s_client":
		a = action{event.Send, name}
	case "x509", "dgst", "rand", "version", "verify", "ciphers", "asn1parse", "crl", "sha256", "md5", "prime", "speed",
		"list":
		a = action{event.Read, name}
	case "enc", "genrsa", "genpkey", "req", "pkcs12", "rsa", "rsautl", "pkeyutl", "pkey", "ca", "cms", "smime":
		a = action{event.Write, name}
	}
	for i, x := range args {
		switch x.text {
		case "-connect", "-proxy":
			s.reach(wordAt(args, i+1))
		case "-in", "-out", "-inkey", "-key", "-keyout":
			s.path(wordAt(args, i+1))
		}
	}
	return a
}

// reachHosts notes the hosts among words.
func (s *shell) reachHosts(args []word) {
	for _, x := range args {
		if v := strings.TrimPrefix(x.text, "@"); !strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "+") &&
			(strings.ContainsAny(v, ".:") || v == "localhost") {
			s.reach(v)
		}
	}
}

// hostOfRemote is the host of [user@]host[:path].
func hostOfRemote(v string) string {
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

// hostOrURL is a URL, or the host of user@host:path.
func hostOrURL(v string) string {
	if event.IsURL(v) {
		return v
	}
	return hostOfRemote(v)
}

// isRemotePath reports whether a word is a URL or host:path, and no file.
func isRemotePath(v string) bool {
	if event.IsURL(v) {
		return true
	}
	i := strings.IndexByte(v, ':')
	return i > 0 && strings.IndexByte(v[:i], '/') < 0 && !(i == 1 && len(v) > 2 && (v[2] == '\\' || v[2] == '/'))
}
