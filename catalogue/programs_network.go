package catalogue

import (
	"regexp"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

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

// targets are the hosts among words.
func (s *shell) targets(args []word) {
	for _, x := range args {
		if v := strings.TrimPrefix(x.text, "@"); !strings.HasPrefix(v, "-") && !strings.HasPrefix(v, "+") &&
			(strings.ContainsAny(v, ".:") || v == "localhost") {
			s.reach(v)
		}
	}
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

// hostOrURL is a URL, or the host of user@host:path.
func hostOrURL(v string) string {
	if event.IsURL(v) {
		return v
	}
	return hostIn(v)
}

// remote tells host:path from a file.
func remote(v string) bool {
	if event.IsURL(v) {
		return true
	}
	i := strings.IndexByte(v, ':')
	return i > 0 && strings.IndexByte(v[:i], '/') < 0 && !(i == 1 && len(v) > 2 && (v[2] == '\\' || v[2] == '/'))
}
