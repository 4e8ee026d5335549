package catalogue

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/wayward-sec/wayward/event"
)

// What command lines do. A line is read by the grammar of bash; of every program in it, however it
// is wrapped, piped or substituted, the class counts, and the strongest is that of the line. A
// program that is not known, a variable for a program and text that becomes a command only when it
// runs are exec.

// Bounds of one line.
const (
	maxLine    = 256 << 10 // bytes
	maxLines   = 5000      // that are read by themselves
	maxDeep    = 1000      // what may nest, before it is parsed
	maxInner   = 8         // command lines in command lines
	maxCalls   = 5000      // programs
	maxReached = 64
	maxPaths   = 8
)

// shell gathers what the command lines and the code of one call name.
type shell struct {
	reached []string // URLs, hosts and addresses
	paths   []string // files, secret ones first
	labels  labelBits
	more    bool // there were more of them
	short   bool // not all was read
	calls   int
	inner   int
	vars    map[string]string // that were set to a text
	funcs   map[string]bool   // declared in the line
}

// act is what a part of a line does.
type act struct {
	class event.Class
	word  string
}

func (a *act) add(b act) {
	if b.class != event.NoClass && stronger(b.class, a.class) {
		*a = b
	}
}

// argument is a word of a command; known tells that it is what stands there, and nothing that is
// worked out.
type word struct {
	text  string
	known bool
}

// line reads a command line, or a script.
func (s *shell) line(text string) (event.Class, string) {
	a := s.script(text)
	if a.class == event.Read && s.labels&secretLabel != 0 &&
		slices.ContainsFunc(s.reached, func(to string) bool {
			return strings.LastIndexByte(to, '$') > 0 ||
				strings.HasPrefix(to, "$.")
		}) {
		return event.Send, "a secret is read, and where the line goes is worked out"
	}
	return a.class, a.word
}

// argv reads the words of one command.
func (s *shell) argv(words []string) (event.Class, string) {
	list := make([]word, len(words))
	for i, w := range words {
		list[i] = word{w, true}
	}
	a := s.command(list, stdin{})
	return a.class, a.word
}

func (s *shell) script(text string) (a act) {
	if strings.TrimSpace(text) == "" {
		return act{}
	}
	if s.inner++; s.inner > maxInner {
		s.short = true
		return act{event.Exec, "lines in lines"}
	}
	defer func() { s.inner-- }()
	nests := 0
	for _, sign := range [...]string{"(", "{", "`", "if", "while", "until", "for", "case", "!", "select", "function",
		"coproc", "time"} {
		nests += strings.Count(text, sign)
	}
	if len(text) > maxLine || nests > maxDeep {
		s.short = true
		s.code(event.Clip(text, maxLine))
		a = act{event.Exec, "longer than is read"}
		a.add(s.byLine(text))
		return a
	}
	file, err := parseLine(text)
	if err != nil {
		s.code(text)
		a = act{event.Exec, "no command line of a POSIX shell"}
		a.add(s.byLine(text))
		return a
	}
	return s.file(file)
}

// byLine reads each line by itself, where all of them together cannot be read: what stands before a
// fault is done all the same.
func (s *shell) byLine(text string) (a act) {
	if s.inner > 1 || strings.IndexByte(text, '\n') < 0 {
		return a
	}
	n := 0
	for l := range strings.SplitSeq(text, "\n") {
		if n++; n > maxLines {
			s.short = true
			break
		}
		if l == "" || l[0] == '#' || len(l) > maxLine || strings.Count(l, "(")+strings.Count(l, "{")+
			strings.Count(l, "`")+strings.Count(l, "if")+strings.Count(l, "!")+strings.Count(l, "while") > maxDeep/4 {
			continue
		}
		if f, err := parseLine(l); err == nil {
			a.add(s.file(f))
		}
	}
	return a
}

// parseLine reads a line by the grammar of bash. A parser of others must not end the process over
// what an agent wrote.
func parseLine(text string) (file *syntax.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the parser gave up: %v", r)
		}
	}()
	return syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
}

// stdin is what a command reads.
type stdin struct {
	piped bool   // from another command
	text  string // if it is known
	known bool
}

func (s *shell) file(file *syntax.File) (a act) {
	if s.vars == nil {
		s.vars, s.funcs = map[string]string{}, map[string]bool{}
	}
	piped := map[*syntax.Stmt]stdin{}
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.FuncDecl:
			if n.Name != nil { // zsh has functions without
				s.funcs[n.Name.Value] = true
			}
		case *syntax.Assign:
			if n.Name != nil && n.Value != nil {
				if w := s.word(n.Value); w.known && len(s.vars) < 200 {
					s.vars[n.Name.Value] = w.text
				} else {
					delete(s.vars, n.Name.Value)
				}
			}
		case *syntax.BinaryCmd:
			if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
				in := stdin{piped: true}
				if text, ok := s.prints(n.X); ok {
					in.text, in.known = text, true
				}
				to := n.Y
				for { // a | b | c
					b, ok := to.Cmd.(*syntax.BinaryCmd)
					if !ok || b.Op != syntax.Pipe && b.Op != syntax.PipeAll {
						break
					}
					to = b.X
				}
				piped[to] = in
			}
		case *syntax.Stmt:
			in := piped[n]
			for _, r := range n.Redirs {
				a.add(s.redirect(r, &in))
			}
			switch cmd := n.Cmd.(type) {
			case *syntax.CallExpr:
				if len(cmd.Args) > 0 {
					words := make([]word, 0, len(cmd.Args))
					for _, w := range cmd.Args {
						words = append(words, s.word(w))
					}
					a.add(s.command(words, in))
				}
			case *syntax.Subshell:
				if len(cmd.Stmts) > 0 && in.piped {
					piped[cmd.Stmts[0]] = in
				}
			case *syntax.Block:
				if len(cmd.Stmts) > 0 && in.piped {
					piped[cmd.Stmts[0]] = in
				}
			}
		}
		return true
	})
	return a
}

// prints is the text that a statement prints, if it says so.
func (s *shell) prints(st *syntax.Stmt) (string, bool) {
	call, ok := st.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	name := s.word(call.Args[0])
	if !name.known || name.text != "echo" && name.text != "printf" {
		return "", false
	}
	var parts []string
	for _, w := range call.Args[1:] {
		x := s.word(w)
		if !x.known || strings.Contains(x.text, `\`) || name.text == "printf" && strings.Contains(x.text, "%") {
			return "", false
		}
		if len(parts) == 0 && (x.text == "-n" || x.text == "-e" || x.text == "--") {
			continue
		}
		parts = append(parts, x.text)
	}
	return strings.Join(parts, " "), true
}

// word is what a word of a line says. What is worked out only when the line runs stands as $.
func (s *shell) word(w *syntax.Word) word {
	out := word{known: true}
	var b strings.Builder
	var parts func([]syntax.WordPart, bool)
	parts = func(list []syntax.WordPart, quoted bool) {
		for _, p := range list {
			switch p := p.(type) {
			case *syntax.Lit:
				b.WriteString(unbackslash(p.Value, quoted))
			case *syntax.SglQuoted:
				if p.Dollar && strings.Contains(p.Value, `\`) {
					out.known = false
					b.WriteByte('$')
					continue
				}
				b.WriteString(p.Value)
			case *syntax.DblQuoted:
				parts(p.Parts, true)
			case *syntax.ParamExp:
				name := ""
				if p.Param != nil {
					name = p.Param.Value
				}
				v, set := s.vars[name]
				switch {
				case set && p.Exp == nil && p.Repl == nil && p.Slice == nil && p.Index == nil && !p.Length && !p.Excl:
					b.WriteString(v)
				case name == "HOME" && p.Exp == nil:
					b.WriteByte('~')
				case name == "PWD" && p.Exp == nil:
					b.WriteByte('.')
				default:
					out.known = false
					b.WriteByte('$')
				}
			default:
				out.known = false
				b.WriteByte('$')
			}
		}
	}
	parts(w.Parts, false)
	out.text = b.String()
	return out
}

func unbackslash(v string, quoted bool) string {
	if strings.IndexByte(v, '\\') < 0 {
		return v
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) && (!quoted || strings.IndexByte("$`\"\\\n", v[i+1]) >= 0) {
			if i++; v[i] == '\n' {
				continue
			}
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

// redirect says what a redirection does, and what it gives a command to read.
func (s *shell) redirect(r *syntax.Redirect, in *stdin) act {
	if r.Word == nil {
		return act{}
	}
	switch r.Op {
	case syntax.Hdoc, syntax.DashHdoc:
		if r.Hdoc != nil {
			w := s.word(r.Hdoc)
			*in = stdin{true, w.text, w.known}
		}
		return act{}
	case syntax.WordHdoc:
		w := s.word(r.Word)
		*in = stdin{true, w.text, w.known}
		return act{}
	case syntax.DplIn:
		return act{}
	}
	w := s.word(r.Word)
	if rest, ok := strings.CutPrefix(w.text, "/dev/tcp/"); ok || strings.HasPrefix(w.text, "/dev/udp/") {
		if !ok {
			rest = w.text[len("/dev/udp/"):]
		}
		host, port, _ := strings.Cut(rest, "/")
		s.reach(host + portOf(port))
		return act{event.Send, "/dev/tcp"}
	}
	switch r.Op {
	case syntax.RdrIn:
		s.path(w.text)
		in.piped = true
		return act{}
	case syntax.DplOut:
		if w.text == "-" || isDigits(strings.TrimSuffix(w.text, "-")) {
			return act{}
		}
	}
	return s.writes(w.text, "> file")
}

func portOf(s string) string {
	if s == "" || !isDigits(s) {
		return ""
	}
	return ":" + s
}

// writes is what writing a file comes to.
func (s *shell) writes(file, by string) act {
	switch file {
	case "/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "-", "":
		return act{}
	}
	s.path(file)
	base := path.Base(file)
	switch {
	case base == "authorized_keys" || base == "sudoers" || strings.Contains(file, "/sudoers.d/"):
		return act{event.Grant, by}
	case strings.HasPrefix(file, "/dev/sd") || strings.HasPrefix(file, "/dev/nvme") ||
		strings.HasPrefix(file, "/dev/disk") || strings.HasPrefix(file, "/dev/vd"):
		return act{event.Delete, by}
	}
	return act{event.Write, by}
}

// reach remembers where a line goes.
func (s *shell) reach(to string) {
	if to = strings.TrimSpace(to); to == "" || slices.Contains(s.reached, to) {
		return
	}
	if len(s.reached) == maxReached {
		s.more = true
		return
	}
	s.reached = append(s.reached, to)
}

// path remembers a file, and what its name says of what is in it.
func (s *shell) path(p string) {
	if p == "" || p == "-" || len(p) > maxValue || strings.HasPrefix(p, "/dev/") {
		return
	}
	secret := isSecretFile(p)
	if secret {
		s.labels |= secretLabel
	}
	switch {
	case slices.Contains(s.paths, p):
	case secret:
		s.paths = append([]string{p}, s.paths[:min(len(s.paths), maxPaths-1)]...)
	case len(s.paths) < maxPaths:
		s.paths = append(s.paths, p)
	}
}

// isSecretFile tells files that hold keys, tokens and passwords by where they mostly lie and how
// they are mostly named.
func isSecretFile(p string) bool {
	p = event.Lower(p)
	base := path.Base(p)
	switch {
	case strings.HasSuffix(base, ".pub"), base == "known_hosts", base == "authorized_keys",
		strings.HasSuffix(base, ".example"), strings.HasSuffix(base, ".sample"), strings.HasSuffix(base, ".template"):
		return false
	case base == "shadow", base == "gshadow", base == "kubeconfig", base == "environ" && strings.HasPrefix(p, "/proc/"),
		base == "master.key", strings.HasPrefix(base, ".env") && (len(base) == 4 || base[4] == '.'),
		strings.HasSuffix(base, ".env"):
		return true
	}
	for part := range strings.SplitSeq(p, "/") {
		switch part {
		case ".ssh", ".aws", ".gnupg", ".kube", ".azure", "gcloud", ".password-store", "secrets", ".vault-token",
			"keychains":
			return base != part || strings.HasPrefix(part, ".") || part == "secrets"
		case ".netrc", "_netrc", ".pgpass", ".my.cnf", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd",
			".dockercfg", ".docker":
			return true
		}
	}
	switch path.Ext(base) {
	case ".pem", ".key", ".p12", ".pfx", ".jks", ".kdbx", ".keystore", ".ppk", ".asc", ".gpg", ".ovpn":
		return true
	}
	if strings.HasPrefix(base, "id_rsa") || strings.HasPrefix(base, "id_ed25519") ||
		strings.HasPrefix(base, "id_ecdsa") || strings.HasPrefix(base, "id_dsa") {
		return true
	}
	switch path.Ext(base) {
	case ".go", ".py", ".js", ".ts", ".java", ".rb", ".md", ".html", ".css", ".rs", ".c", ".h", ".php":
		return false
	}
	for _, w := range splitWords(base, maxWords) {
		switch singular(w) {
		case "credential", "secret", "password", "token", "apikey", "privatekey", "passphrase", "cookie":
			return true
		}
	}
	return false
}

// code takes URLs, hosts and files out of text in any language.
func (s *shell) code(text string) {
	if len(text) > maxLine*4 {
		text, s.short = event.Clip(text, maxLine*4), true
	}
	for i := 0; ; {
		n := strings.Index(text[i:], "://")
		if n < 0 {
			break
		}
		n += i
		from := n
		for from > 0 && n-from < 64 && (isWordByte(text[from-1]) && text[from-1] < 0x80 ||
			strings.IndexByte("+-.", text[from-1]) >= 0) {
			from--
		}
		end := n + 3
		for end < len(text) && strings.IndexByte(" \t\r\n\"'`<>(){}|;,", text[end]) < 0 {
			end++
		}
		if from < n && end > n+3 && event.Lower(text[from:n]) != "file" {
			s.reach(strings.TrimRight(text[from:end], `\].`))
		}
		i = end
	}
	// Texts in quotes that are files or hosts.
	for i := 0; i < len(text); i++ {
		q := text[i]
		if q != '"' && q != '\'' && q != '`' {
			continue
		}
		end := strings.IndexByte(text[i+1:min(len(text), i+1+maxValue)], q)
		if end < 0 {
			continue
		}
		v := text[i+1 : i+1+end]
		switch {
		case v == "" || strings.ContainsAny(v, "\n\t"):
			continue
		case strings.Contains(v, "://"):
		case strings.ContainsAny(v, " "):
			i += end + 1
			continue
		case isPath(v) && len(v) > 1, isSecretFile(v):
			s.path(v)
		case isHostName(v) && (isDigits(HostName(v)) || !strings.ContainsAny(v, "_") && strings.Count(v, ".") > 0 &&
			looksLikeDomain(v)):
			s.reach(v)
		}
		i += end + 1
	}
}

// looksLikeDomain tells evil.example from os.path: code has many names with dots.
func looksLikeDomain(v string) bool {
	h := HostName(v)
	last := h[strings.LastIndexByte(h, '.')+1:]
	return commonDomains[event.Lower(last)] || strings.Count(h, ".") >= 1 && strings.Contains(v, ":")
}

var commonDomains = nounsOf(
	`com org net io dev app ai co example test invalid info biz cloud online site xyz me ru cn de uk eu fr nl in us jp br au ca ch it es pl se no internal local localhost onion`)

// looksLikeShell tells a script of a shell from other code by its first line or word.
func looksLikeShell(code string) bool {
	code = strings.TrimLeft(code, " \t\r\n")
	first, _, _ := strings.Cut(code, "\n")
	if strings.HasPrefix(first, "#!") {
		return strings.HasSuffix(strings.TrimSpace(first), "sh") || strings.Contains(first, "sh ")
	}
	for strings.HasPrefix(code, "#") {
		_, code, _ = strings.Cut(code, "\n")
		code = strings.TrimLeft(code, " \t\r\n")
		first, _, _ = strings.Cut(code, "\n")
	}
	w, rest, _ := strings.Cut(first, " ")
	if strings.ContainsAny(w, "(=:\"',;") || strings.HasPrefix(strings.TrimLeft(rest, " "), "=") ||
		strings.HasPrefix(rest, "(") {
		return false
	}
	switch w {
	case "import", "from", "def", "class", "print", "const", "let", "var", "function", "return", "package", "use", "if",
		"for", "while", "with", "try", "async", "await":
		return false
	}
	base := path.Base(w)
	return readers[base] || writers[base] || handled[base] != nil
}

// command judges one command: a program and its words.
func (s *shell) command(w []word, in stdin) (a act) {
	if s.calls++; s.calls > maxCalls {
		s.short = true
		return act{event.Exec, "more than is read"}
	}
	if len(w) == 0 || w[0].text == "" && w[0].known {
		return act{}
	}
	if !w[0].known {
		s.scan(w[1:])
		return act{event.Exec, "a variable for a program"}
	}
	name := path.Base(w[0].text)
	name = strings.TrimSuffix(strings.TrimSuffix(event.Lower(name), ".exe"), ".cmd")
	args := w[1:]
	if s.funcs[w[0].text] {
		s.scan(args)
		return act{}
	}
	if len(args) == 1 && (args[0].text == "--version" || args[0].text == "--help") {
		return act{event.Read, name}
	}
	if h := handled[name]; h != nil {
		a = h(s, name, args, in)
		if a.class != event.NoClass && a.word == "" {
			a.word = name
		}
		return a
	}
	switch {
	case neutral[name]:
		return act{event.Read, name}
	case readers[name]:
		for _, x := range args {
			if strings.HasPrefix(x.text, "-") || name == "echo" || name == "printf" || strings.Contains(x.text, "://") {
				continue
			}
			if contents[name] || isPath(x.text) || strings.Contains(x.text, "/") &&
				!strings.ContainsAny(x.text, " |*^$") || isSecretFile(x.text) {
				s.path(x.text)
			}
		}
		return act{event.Read, name}
	case writers[name]:
		for _, x := range args {
			if !strings.HasPrefix(x.text, "-") {
				a.add(s.writes(x.text, name))
			}
		}
		a.add(act{event.Write, name})
		return a
	case deleters[name]:
		for _, x := range args {
			if !strings.HasPrefix(x.text, "-") {
				s.path(x.text)
			}
		}
		return act{event.Delete, name}
	case grants[name]:
		return act{event.Grant, name}
	case senders2[name]:
		s.scan(args)
		for _, x := range args {
			if isEmail(x.text) {
				s.reach(x.text)
			}
		}
		switch name {
		case "telnet", "ftp", "tftp", "lftp", "ncftpput":
			if rest, _ := operands(args, "ebnlupP", ""); len(rest) > 0 {
				s.reach(rest[0].text + portOf(text(rest, 1)))
			}
		}
		return act{event.Send, name}
	case strings.HasPrefix(name, "remove-"), strings.HasPrefix(name, "clear-"): // of PowerShell
		s.scan(args)
		return act{event.Delete, name}
	}
	s.scan(args)
	if strings.ContainsAny(w[0].text, "/") {
		s.path(w[0].text)
	}
	return act{event.Exec, "an unknown program"}
}

// scan takes URLs and files out of words whose part is not known.
func (s *shell) scan(args []word) {
	for _, x := range args {
		v := x.text
		if strings.HasPrefix(v, "-") {
			if _, value, ok := strings.Cut(v, "="); ok {
				v = value
			}
		}
		switch {
		case strings.Contains(v, "://"):
			if event.IsURL(v) {
				s.reach(v)
			} else {
				s.code(v)
			}
		case strings.ContainsAny(v, " \n"):
			s.code(v)
		case isPath(v) || isSecretFile(v):
			s.path(v)
		case isHostName(v) && strings.Contains(v, ":"), isHostName(v) && isDigits(HostName(v)):
			s.reach(v)
		}
	}
}

var (
	// neutral are builtins that neither tell nor change anything outside of the line.
	neutral = nounsOf(
		`cd pushd popd true false : exit return set unset export local declare typeset readonly shift wait jobs bg fg umask ulimit getopts test [ [[ break continue sleep let shopt setopt unalias hash bind complete disown times logout history`)
	// readers only tell something.
	readers = nounsOf(`ls dir ll cat head tail less more grep egrep fgrep rg ag ack wc uniq cut tr diff cmp comm file stat du df ps top htop free uptime uname hostname whoami id groups who w date cal printenv
		echo printf pwd dirs which whereis type basename dirname realpath readlink jq xxd od hexdump strings md5sum sha1sum sha224sum sha256sum sha384sum sha512sum cksum b2sum sum base64 base32 tree lsof netstat ss ifconfig man help column paste join fold
		nl tac rev expand unexpand seq shuf numfmt factor bc expr nproc arch locale getconf getent lscpu lsblk lspci lsusb lsmod dmesg journalctl zcat zgrep zless bzcat xzcat bat fmt pr tsort look cal ncal last lastlog finger pgrep pidof pstree vmstat iostat
		mpstat sar blkid findmnt fc-list identify exiftool ffprobe mediainfo nm objdump readelf ldd size ldconfig iconv read mapfile readarray zipinfo colordiff sdiff vdiff tput clear reset yes apropos whatis info cloc tokei exa eza fdfind shellcheck sw_vers printf`)
	// contents are readers that show what is in files named by their words.
	contents = nounsOf(`cat head tail less more xxd od hexdump strings base64 base32 nl tac rev bat zcat bzcat xzcat`)
	writers  = nounsOf(`touch mkdir cp mv ln install mktemp mkfifo mknod split csplit patch gzip gunzip bzip2 bunzip2 xz unxz zstd unzstd zip lz4 compress uncompress ar cpio convert mogrify ffmpeg useradd adduser groupadd addgroup mount umount swapon swapoff
		hostnamectl timedatectl localectl ufw iptables ip6tables nft chattr nano vi vim emacs ed ex code sudoedit update-alternatives ldconfig depmod modprobe insmod sysctl renice setterm stty notify-send xdg-open open screen-capture pbcopy xclip tee2 dos2unix unix2dos mkswap logrotate`)
	deleters = nounsOf(
		`rm rmdir unlink shred srm truncate wipe wipefs userdel deluser groupdel delgroup trash trash-put gio-trash mkfs mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mke2fs fdisk sfdisk parted gdisk sgdisk rmmod del erase rd dropdb dropuser tmpreaper`)
	grants   = nounsOf(`chown setfacl usermod gpasswd groupmod passwd chpasswd visudo setcap chage newgrp createuser`)
	senders2 = nounsOf(
		`mail mailx mutt neomutt sendmail msmtp ssmtp nail s-nail swaks sendemail himalaya wall write telnet ftp tftp lftp ncftpput croc wormhole twine talk magic-wormhole xmpp-send sendxmpp`)
)
