package catalogue

import (
	"strings"
)

// What well-known programs do with their words: those of the POSIX and GNU userland, what wraps
// others, clients of networks and databases, and tools whose words are verbs.

// classifyProgram judges a program by its words.
type classifyProgram func(s *shell, name string, args []word, in stdin) action

var programs map[string]classifyProgram

func init() {
	programs = map[string]classifyProgram{}
	for names, p := range map[string]classifyProgram{
		"sudo doas env nice ionice nohup timeout gtimeout time stdbuf setsid chroot xargs watch strace ltrace command builtin exec unbuffer flock taskset chrt numactl parallel busybox caffeinate gosu fakeroot unshare nsenter proot dbus-run-session torsocks proxychains proxychains4": classifyWrapper,
		"su runuser sg script":                      classifyCommandOption,
		"sh bash zsh dash ksh ash rbash mksh":       classifyShell,
		"fish csh tcsh nu xonsh":                    classifyOtherShell,
		"pwsh powershell cmd wscript cscript mshta": classifyOtherShell,
		"python python2 python3 pypy pypy3 ipython perl ruby node nodejs deno bun php lua luajit rscript r julia osascript tclsh expect groovy scala swift elixir": classifyInterpreter,
		"eval":                      classifyEval,
		"alias":                     classifyAlias,
		"tmux screen zellij":        classifyScreen,
		"source . trap":             classifySource,
		"curl":                      classifyCurl,
		"wget wget2":                classifyWget,
		"http https xh httpie":      classifyHTTPie,
		"ssh autossh mosh":          classifySSH,
		"scp rsync":                 classifyRemoteCopy,
		"sftp ssh-copy-id":          classifyRemoteLogin,
		"nc ncat netcat socat nmap": classifySocket,
		"openssl":                   classifyOpenSSL,
		"dig nslookup host ping ping6 whois traceroute tracepath mtr nsupdate drill": classifyLookup,
		"find fd":                       classifyFind,
		"awk gawk mawk nawk sed gsed":   classifyFilter,
		"tar bsdtar unzip 7z 7za unrar": classifyArchive,
		"dd":                            classifyDD,
		"tee sort yq sponge":            classifyOutput,
		"chmod chgrp":                   classifyChmod,
		"git":                           classifyGit,
		"docker podman nerdctl":         classifyDocker,
		"kubectl oc microk8s k":         classifyKubectl,
		"aws gsutil s3cmd rclone mc azcopy b2 s4cmd": classifyObjectStore,
		"gh glab gcloud az doctl hcloud linode-cli oci ibmcloud stripe heroku fly flyctl vercel netlify wrangler firebase supabase railway render openstack jira linear op vault consul nomad helm argocd istioctl flux terraform tofu terragrunt pulumi ansible-vault systemctl service launchctl supervisorctl pm2 rc-service snap flatpak npm pnpm yarn pip pip3 pipx uv poetry conda mamba gem bundle cargo go composer apt apt-get aptitude dnf yum apk pacman zypper brew port choco scoop winget dotnet nuget slack discord telegram-send signal-cli gog notion": classifyByVerb,
		"psql mysql mariadb sqlite3 sqlite duckdb sqlcmd clickhouse-client clickhouse cockroach bq snowsql mongosh mongo redis-cli cqlsh usql pgcli mycli pg_dump pg_dumpall mysqldump mongodump pg_restore": classifyDatabaseClient,
		"crontab at batch": classifySchedule,
		"kill pkill killall xkill skill reboot shutdown halt poweroff init telinit": classifyStop,
		"ip route arp ethtool": classifyNetworkConfig,
		"gpg gpg2 age ssh-keygen ssh-add keytool certutil security": classifyKeyTool,
	} {
		for n := range strings.FieldsSeq(names) {
			programs[n] = p
		}
	}
}
