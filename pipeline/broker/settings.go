// Package broker is everything about Kafka that is not about events: how to reach the brokers, what
// an error of theirs means, which topics there must be, and the embedded broker.
//
// It must never know what wayward does with records, and imports no other package of wayward.
//
// Begin reading here, with Kafka. Then explain.go (errors in plain words), wait.go (a start waits
// for brokers), topics.go and specs.go (names and settings of the topics), plan.go, apply.go and
// review.go (what the cluster has against what it should have), embedded.go (the broker inside this
// process), rebuild.go (empty topics, to rebuild state).
package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Kafka says how to reach the brokers; the zero value means the embedded broker.
type Kafka struct {
	Brokers []string `yaml:"brokers"` // host:port of some of them, the others are found
	TLS     *TLS     `yaml:"tls"`
	SASL    *SASL    `yaml:"sasl"`
}

// TLS says how to talk to the brokers encrypted. The zero value trusts what the
// system trusts; Cert and Key together make it mTLS.
type TLS struct {
	CA         string `yaml:"ca"`          // file, PEM: trusted instead of the system's authorities
	Cert       string `yaml:"cert"`        // file, PEM: the client's certificate and its chain
	Key        string `yaml:"key"`         // file, PEM, not encrypted
	ServerName string `yaml:"server_name"` // the name in the brokers' certificates, if it is not the host
}

// SASL says who wayward is to the brokers. The password itself has no place in
// a config file, which is copied, committed and shown by the console.
type SASL struct {
	Mechanism    string `yaml:"mechanism"` // plain, scram-sha-256 or scram-sha-512
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	// AllowPlaintext sends a PLAIN password over an unencrypted connection to
	// another machine, where anybody on the way can read it.
	AllowPlaintext bool `yaml:"allow_plaintext"`
}

// Embedded says whether no broker is configured, so that wayward brings its own.
func (k *Kafka) Embedded() bool { return len(k.Brokers) == 0 }

// Check reports every mistake that shows without the files and the environment
// that the settings name. Each error begins with the key of its setting.
func (k *Kafka) Check() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, settingf(format, args...)) }
	for _, b := range k.Brokers {
		if err := checkBroker(b); err != nil {
			problems = append(problems, err)
		}
	}
	if t := k.TLS; t != nil {
		switch {
		case t.Cert != "" && t.Key == "":
			add("tls.cert is %s but tls.key is missing: give the private key that belongs to it, or neither", t.Cert)
		case t.Cert == "" && t.Key != "":
			add("tls.key is %s but tls.cert is missing: give the certificate that belongs to it, or neither", t.Key)
		}
	}
	if s := k.SASL; s != nil {
		if s.Username == "" {
			add("sasl.username is missing")
		}
		switch {
		case s.PasswordFile != "" && s.PasswordEnv != "":
			add("sasl: both password_file and password_env are set: keep one")
		case s.PasswordFile == "" && s.PasswordEnv == "":
			add("sasl: the password is missing: set password_file or password_env")
		}
		if !slices.Contains(saslMechanisms, strings.ToLower(s.Mechanism)) {
			add("sasl.mechanism %q is not known: use plain, scram-sha-256 or scram-sha-512", s.Mechanism)
		}
		if far := k.firstRemote(); far != "" && k.TLS == nil && strings.EqualFold(s.Mechanism, "plain") &&
			!s.AllowPlaintext {
			add(
				"sasl: mechanism plain would send the password readable to %s: set tls, or use scram-sha-512, or accept it with sasl.allow_plaintext: true",
				far)
		}
	}
	return errors.Join(problems...)
}

var saslMechanisms = []string{"plain", "scram-sha-256", "scram-sha-512"}

// Options returns what every client of the brokers starts from. It reads the
// files and the environment once, to report every mistake now and together; the
// client reads password, certificate and key again for each connection, so that
// they may be rotated under a running engine.
func (k *Kafka) Options() ([]kgo.Opt, error) {
	var problems []error
	if k.Embedded() {
		problems = append(problems, settingf("brokers is empty: name at least one broker as host:port"))
	}
	if err := k.Check(); err != nil {
		problems = append(problems, err)
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(k.Brokers...),
		kgo.ClientID("wayward"),
		// A host that swallows packets must not keep us from the other seeds for long.
		kgo.DialTimeout(5 * time.Second),
		kgo.RetryBackoffFn(retryBackoff),
	}
	if k.TLS != nil {
		c, err := k.TLS.config()
		if err != nil {
			problems = append(problems, err)
		} else {
			opts = append(opts, kgo.DialTLSConfig(c))
		}
	}
	if k.SASL != nil {
		if k.SASL.PasswordFile != "" || k.SASL.PasswordEnv != "" {
			if _, err := k.SASL.password(); err != nil {
				problems = append(problems, err)
			}
		}
		opts = append(opts, kgo.SASL(k.SASL.mechanism()))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return opts, nil
}

// checkBroker finds what people write instead of host:port; the client would
// only say that it cannot resolve the host.
func checkBroker(b string) error {
	if strings.Contains(b, "://") {
		return settingf("brokers: %q has a scheme: write host:port, and tls for TLS", b)
	}
	if strings.ContainsAny(b, ", \t") {
		return settingf("brokers: %q is more than one address: make it a list", b)
	}
	if b == "" {
		return settingf("brokers: an address is empty: remove it")
	}
	host, port, err := net.SplitHostPort(b)
	if err != nil {
		return settingf("brokers: %q is not host:port", b)
	}
	if n, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || n == 0 {
		return settingf("brokers: %q is not host:port with a port from 1 to 65535", b)
	}
	return nil
}

// firstRemote is the first broker that is not on this machine, or "".
func (k *Kafka) firstRemote() string {
	for _, b := range k.Brokers {
		host, _, err := net.SplitHostPort(b)
		if err != nil {
			host = b
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return b
		}
	}
	return ""
}

// retryBackoff starts lower than the client's own 250 ms: the election of a new
// leader or coordinator is mostly over in 100, and the engine stands still for it.
func retryBackoff(try int) time.Duration {
	d := min(100*time.Millisecond<<min(max(try-1, 0), 6), 5*time.Second)
	return d - rand.N(d/4) // so that the members of a group do not come back in step
}

func (t *TLS) config() (*tls.Config, error) {
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	var problems []error
	if t.CA != "" {
		pem, err := readConfigured("tls.ca", t.CA)
		if err != nil {
			problems = append(problems, err)
		} else if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			problems = append(problems,
				settingf(
					"tls.ca: %s holds no certificate in PEM form: give the certificate of the authority that signed the brokers' certificates",
					t.CA))
		}
	}
	if t.Cert != "" && t.Key != "" {
		if _, err := t.pair(); err != nil {
			problems = append(problems, err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.pair() }
	}
	return c, errors.Join(problems...)
}

func (t *TLS) pair() (*tls.Certificate, error) {
	cert, err := readConfigured("tls.cert", t.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readConfigured("tls.key", t.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, settingf(
			"tls: certificate %s and key %s do not make a pair (both must be PEM, the key not encrypted): %w", t.Cert,
			t.Key, err)
	}
	return &pair, nil
}

func (s *SASL) mechanism() sasl.Mechanism {
	switch strings.ToLower(s.Mechanism) {
	case "scram-sha-256":
		return scram.Sha256(s.scram)
	case "scram-sha-512":
		return scram.Sha512(s.scram)
	}
	return plain.Plain(func(context.Context) (plain.Auth, error) { // Check has refused all others
		p, err := s.password()
		return plain.Auth{User: s.Username, Pass: p}, err
	})
}

func (s *SASL) scram(context.Context) (scram.Auth, error) {
	p, err := s.password()
	return scram.Auth{User: s.Username, Pass: p}, err
}

// password reads the secret from where the config says it is. No error repeats
// any of it.
func (s *SASL) password() (string, error) {
	if s.PasswordFile != "" {
		b, err := readConfigured("sasl.password_file", s.PasswordFile)
		if err != nil {
			return "", err
		}
		// One line end, which editors and echo add; more may be part of the secret.
		p := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if p == "" {
			return "", settingf("sasl.password_file: %s is empty: write the password of %q into it", s.PasswordFile,
				s.Username)
		}
		return p, nil
	}
	p := os.Getenv(s.PasswordEnv)
	if p == "" {
		return "", settingf(
			"sasl.password_env: environment variable %s is not set or empty: put the password of %q there",
			s.PasswordEnv, s.Username)
	}
	return p, nil
}

// settingError says what is wrong with a setting and what to do.
type settingError struct{ error }

func settingf(format string, args ...any) error { return settingError{fmt.Errorf(format, args...)} }

func (e settingError) Unwrap() error { return e.error }

// readConfigured reads a file that a setting names, and says which setting and
// what to do if it cannot.
func readConfigured(setting, path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, settingf("%s: there is no file %s: create it or correct the path", setting, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, settingf("%s: no permission to read %s: let the user that runs wayward (uid %d) read it", setting,
			path, os.Getuid())
	case err != nil:
		return nil, settingf("%s: %w", setting, err)
	}
	return b, nil
}
