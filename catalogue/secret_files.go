package catalogue

import (
	"path"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// isSecretFile reports whether a file probably holds keys, tokens or passwords, by the usual places
// and names.
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
