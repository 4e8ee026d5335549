package catalogue

import (
	"path"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// command classifies one command of a line: a program and its words.
func (s *shell) command(w []word, in stdin) (a action) {
	if s.calls++; s.calls > maxCommands {
		s.incomplete = true
		return action{event.Exec, "more than is read"}
	}
	if len(w) == 0 || w[0].text == "" && w[0].known {
		return action{}
	}
	if !w[0].known {
		s.scanWords(w[1:])
		return action{event.Exec, "a variable for a program"}
	}
	name := path.Base(w[0].text)
	name = strings.TrimSuffix(strings.TrimSuffix(event.Lower(name), ".exe"), ".cmd")
	args := w[1:]
	if s.funcs[w[0].text] {
		s.scanWords(args)
		return action{}
	}
	if len(args) == 1 && (args[0].text == "--version" || args[0].text == "--help") {
		return action{event.Read, name}
	}
	if h := programs[name]; h != nil {
		a = h(s, name, args, in)
		if a.class != event.NoClass && a.word == "" {
			a.word = name
		}
		return a
	}
	if a, known := s.classifyByName(name, args); known {
		return a
	}
	s.scanWords(args)
	if strings.ContainsAny(w[0].text, "/") {
		s.path(w[0].text)
	}
	return action{event.Exec, "an unknown program"}
}

// classifyByName classifies programs that always do the same, whatever their words are, and notes
// what the words name.
func (s *shell) classifyByName(name string, args []word) (a action, known bool) {
	switch {
	case neutralBuiltins[name]:
		return action{event.Read, name}, true
	case readingPrograms[name]:
		for _, x := range args {
			if strings.HasPrefix(x.text, "-") || name == "echo" || name == "printf" || strings.Contains(x.text, "://") {
				continue
			}
			if contentReaders[name] || isPath(x.text) || strings.Contains(x.text, "/") &&
				!strings.ContainsAny(x.text, " |*^$") || isSecretFile(x.text) {
				s.path(x.text)
			}
		}
		return action{event.Read, name}, true
	case writingPrograms[name]:
		for _, x := range args {
			if !strings.HasPrefix(x.text, "-") {
				a.add(s.writeFile(x.text, name))
			}
		}
		a.add(action{event.Write, name})
		return a, true
	case deletingPrograms[name]:
		for _, x := range args {
			if !strings.HasPrefix(x.text, "-") {
				s.path(x.text)
			}
		}
		return action{event.Delete, name}, true
	case grantingPrograms[name]:
		return action{event.Grant, name}, true
	case sendingPrograms[name]:
		s.scanWords(args)
		for _, x := range args {
			if isEmail(x.text) {
				s.reach(x.text)
			}
		}
		switch name {
		case "telnet", "ftp", "tftp", "lftp", "ncftpput":
			if rest, _ := operands(args, "ebnlupP", ""); len(rest) > 0 {
				s.reach(rest[0].text + portSuffix(wordAt(rest, 1)))
			}
		}
		return action{event.Send, name}, true
	case strings.HasPrefix(name, "remove-"), strings.HasPrefix(name, "clear-"): // of PowerShell
		s.scanWords(args)
		return action{event.Delete, name}, true
	}
	return action{}, false
}

// scanWords notes the URLs, hosts and files among words of an unknown program.
func (s *shell) scanWords(args []word) {
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
				s.scanCode(v)
			}
		case strings.ContainsAny(v, " \n"):
			s.scanCode(v)
		case isPath(v) || isSecretFile(v):
			s.path(v)
		case isHostName(v) && strings.Contains(v, ":"), isHostName(v) && isDigits(HostName(v)):
			s.reach(v)
		}
	}
}

var (
	// neutralBuiltins neither print nor change anything outside of the line.
	neutralBuiltins = nounsOf(`
		cd pushd popd true false : exit return set unset export local declare typeset readonly shift wait
		jobs bg fg umask ulimit getopts test [ [[ break continue sleep let shopt setopt unalias hash bind
		complete disown times logout history`)
	// readingPrograms only print something.
	readingPrograms = nounsOf(`
		ls dir ll cat head tail less more grep egrep fgrep rg ag ack wc uniq cut tr diff cmp comm file stat
		du df ps top htop free uptime uname hostname whoami id groups who w date cal printenv echo printf
		pwd dirs which whereis type basename dirname realpath readlink jq xxd od hexdump strings md5sum
		sha1sum sha224sum sha256sum sha384sum sha512sum cksum b2sum sum base64 base32 tree lsof netstat ss
		ifconfig man help column paste join fold nl tac rev expand unexpand seq shuf numfmt factor bc expr
		nproc arch locale getconf getent lscpu lsblk lspci lsusb lsmod dmesg journalctl zcat zgrep zless
		bzcat xzcat bat fmt pr tsort look cal ncal last lastlog finger pgrep pidof pstree vmstat iostat
		mpstat sar blkid findmnt fc-list identify exiftool ffprobe mediainfo nm objdump readelf ldd size
		ldconfig iconv read mapfile readarray zipinfo colordiff sdiff vdiff tput clear reset yes apropos
		whatis info cloc tokei exa eza fdfind shellcheck sw_vers printf`)
	// contentReaders print what is in the files that their words name.
	contentReaders = nounsOf(`
		cat head tail less more xxd od hexdump strings base64 base32 nl tac rev bat zcat bzcat xzcat`)
	writingPrograms = nounsOf(`
		touch mkdir cp mv ln install mktemp mkfifo mknod split csplit patch gzip gunzip bzip2 bunzip2 xz
		unxz zstd unzstd zip lz4 compress uncompress ar cpio convert mogrify ffmpeg useradd adduser groupadd
		addgroup mount umount swapon swapoff hostnamectl timedatectl localectl ufw iptables ip6tables nft
		chattr nano vi vim emacs ed ex code sudoedit update-alternatives ldconfig depmod modprobe insmod
		sysctl renice setterm stty notify-send xdg-open open screen-capture pbcopy xclip tee2 dos2unix
		unix2dos mkswap logrotate`)
	deletingPrograms = nounsOf(`
		rm rmdir unlink shred srm truncate wipe wipefs userdel deluser groupdel delgroup trash trash-put
		gio-trash mkfs mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mke2fs fdisk sfdisk parted gdisk sgdisk rmmod
		del erase rd dropdb dropuser tmpreaper`)
	grantingPrograms = nounsOf(`
		chown setfacl usermod gpasswd groupmod passwd chpasswd visudo setcap chage newgrp createuser`)
	sendingPrograms = nounsOf(`
		mail mailx mutt neomutt sendmail msmtp ssmtp nail s-nail swaks sendemail himalaya wall write telnet
		ftp tftp lftp ncftpput croc wormhole twine talk magic-wormhole xmpp-send sendxmpp`)
)
