package catalogue

import (
	"strings"
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
