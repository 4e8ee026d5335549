package catalogue

import (
	"strings"
)

// The programs whose words decide what they do, each with the function that reads its words. The
// functions are in programs_*.go. Programs that always do the same are in commands.go.

// classifyProgram returns what a program does by its words and by what it reads, and notes in s the
// hosts and files that they name.
type classifyProgram func(s *shell, name string, args []word, in stdin) action

// programs is filled by init, since the functions refer to it.
var programs map[string]classifyProgram

func init() {
	programs = map[string]classifyProgram{}
	for _, row := range []struct {
		classify classifyProgram
		names    string
	}{
		{classifyWrapper, `
			sudo doas env nice ionice nohup timeout gtimeout time stdbuf setsid chroot xargs watch strace
			ltrace command builtin exec unbuffer flock taskset chrt numactl parallel busybox caffeinate
			gosu fakeroot unshare nsenter proot dbus-run-session torsocks proxychains proxychains4`},
		{classifyCommandOption, `su runuser sg script`},
		{classifyShell, `sh bash zsh dash ksh ash rbash mksh`},
		{classifyOtherShell, `fish csh tcsh nu xonsh`},
		{classifyOtherShell, `pwsh powershell cmd wscript cscript mshta`},
		{classifyInterpreter, `
			python python2 python3 pypy pypy3 ipython perl ruby node nodejs deno bun php lua luajit
			rscript r julia osascript tclsh expect groovy scala swift elixir`},
		{classifyEval, `eval`},
		{classifyAlias, `alias`},
		{classifyScreen, `tmux screen zellij`},
		{classifySource, `source . trap`},
		{classifyCurl, `curl`},
		{classifyWget, `wget wget2`},
		{classifyHTTPie, `http https xh httpie`},
		{classifySSH, `ssh autossh mosh`},
		{classifyRemoteCopy, `scp rsync`},
		{classifyRemoteLogin, `sftp ssh-copy-id`},
		{classifySocket, `nc ncat netcat socat nmap`},
		{classifyOpenSSL, `openssl`},
		{classifyLookup, `dig nslookup host ping ping6 whois traceroute tracepath mtr nsupdate drill`},
		{classifyFind, `find fd`},
		{classifyFilter, `awk gawk mawk nawk sed gsed`},
		{classifyArchive, `tar bsdtar unzip 7z 7za unrar`},
		{classifyDD, `dd`},
		{classifyOutput, `tee sort yq sponge`},
		{classifyChmod, `chmod chgrp`},
		{classifyGit, `git`},
		{classifyDocker, `docker podman nerdctl`},
		{classifyKubectl, `kubectl oc microk8s k`},
		{classifyObjectStore, `aws gsutil s3cmd rclone mc azcopy b2 s4cmd`},
		{classifyByVerb, `
			gh glab gcloud az doctl hcloud linode-cli oci ibmcloud stripe heroku fly flyctl vercel netlify
			wrangler firebase supabase railway render openstack jira linear op vault consul nomad helm
			argocd istioctl flux terraform tofu terragrunt pulumi ansible-vault systemctl service
			launchctl supervisorctl pm2 rc-service snap flatpak npm pnpm yarn pip pip3 pipx uv poetry
			conda mamba gem bundle cargo go composer apt apt-get aptitude dnf yum apk pacman zypper brew
			port choco scoop winget dotnet nuget slack discord telegram-send signal-cli gog notion`},
		{classifyDatabaseClient, `
			psql mysql mariadb sqlite3 sqlite duckdb sqlcmd clickhouse-client clickhouse cockroach bq
			snowsql mongosh mongo redis-cli cqlsh usql pgcli mycli pg_dump pg_dumpall mysqldump mongodump
			pg_restore`},
		{classifySchedule, `crontab at batch`},
		{classifyStop, `kill pkill killall xkill skill reboot shutdown halt poweroff init telinit`},
		{classifyNetworkConfig, `ip route arp ethtool`},
		{classifyKeyTool, `gpg gpg2 age ssh-keygen ssh-add keytool certutil security`},
	} {
		for name := range strings.FieldsSeq(row.names) {
			programs[name] = row.classify
		}
	}
}
