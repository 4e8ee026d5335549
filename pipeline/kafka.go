package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
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

// kafkaAdvice says for a broker's error code what is wrong and what to do. It
// has the codes an operator can do something about; the others speak for
// themselves or pass.
var kafkaAdvice = map[int16]string{
	kerr.SaslAuthenticationFailed.Code:   "the broker refused the user name or the password: correct sasl in the config, or the user on the broker",
	kerr.UnsupportedSaslMechanism.Code:   "the broker does not offer this SASL mechanism on this port: set sasl.mechanism to one that it offers",
	kerr.IllegalSaslState.Code:           "the broker does not expect a SASL login on this port: remove sasl, or use the broker's SASL port",
	kerr.TopicAuthorizationFailed.Code:   "the user may not use this topic: grant it on the broker (Read and Describe on what wayward reads, Write and Describe on what it writes, Create and AlterConfigs for wayward topics apply)",
	kerr.GroupAuthorizationFailed.Code:   "the user may not use this consumer group: grant Read on it on the broker",
	kerr.ClusterAuthorizationFailed.Code: "the user may not do this on the cluster: grant IdempotentWrite, and Create for wayward topics apply, on the broker",
	kerr.TransactionalIDAuthorizationFailed.Code: "the user may not use this transactional id: grant Write and Describe on the ids that begin with " +
		"the name of wayward's group, on the broker",
	kerr.UnknownTopicOrPartition.Code:  "a topic or partition is not there: run wayward topics apply, or correct topics in the config",
	kerr.UnknownTopicID.Code:           "a topic was deleted and made anew under the same name: restart wayward; if the records are gone, with an empty state directory",
	kerr.InvalidProducerEpoch.Code:     "another process took over this transactional id: see that no two instances have the same instance name; this one starts its session anew",
	kerr.ProducerFenced.Code:           "another process took over this transactional id: see that no two instances have the same instance name; this one starts its session anew",
	kerr.FencedInstanceID.Code:         "another process joined the group under this instance name: give every instance its own",
	kerr.InvalidReplicationFactor.Code: "the cluster has fewer brokers than copies are asked for: lower topics.replication, or add brokers",
	kerr.PolicyViolation.Code:          "a policy of the cluster forbids these topic settings: change topics in the config, or ask who runs the cluster",
	kerr.InvalidConfig.Code:            "the broker does not take one of the topic settings: it may be too old (wayward needs Apache Kafka 2.8 or newer)",
	kerr.UnsupportedVersion.Code:       "the broker is too old for this request: wayward needs Apache Kafka 2.8 or newer",
	kerr.NotEnoughReplicas.Code:        "too few copies of a partition are in sync: bring the missing brokers back; nothing is lost, it is tried again",
	kerr.CoordinatorNotAvailable.Code:  "the broker that coordinates the group or the transactions is starting or moving: it is tried again",
	kerr.NotCoordinator.Code:           "the broker that coordinates the group or the transactions is moving: it is tried again",
	kerr.MessageTooLarge.Code:          "a record is larger than the topic takes: run wayward topics apply, or raise max.message.bytes of the topic",
	kerr.RecordListTooLarge.Code:       "a batch of records is larger than the topic takes: run wayward topics apply, or raise max.message.bytes of the topic",
	kerr.OffsetOutOfRange.Code:         "the records wanted are no longer on the broker: its retention is shorter than wayward was away, so state has to be made anew: stop wayward, move its state directory away and start it",
	kerr.KafkaStorageError.Code:        "the broker cannot write to its disk: look at its log, mostly the disk is full",
}

// Explain turns an error of the Kafka client into one sentence of what is wrong
// and what to do. The sentence holds no secret, as the errors hold none.
func Explain(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		if advice := kafkaAdvice[e.Code]; advice != "" {
			return fmt.Sprintf("%s (%s)", advice, e.Message)
		}
		return fmt.Sprintf("the broker says %s: %s", e.Message, e.Description)
	}
	if e, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
		return fmt.Sprintf(
			"the broker has lost records of %s partition %d from offset %d on, which wayward has read already: its disk was damaged, or a copy that lagged behind became the leader. Stop all instances and run wayward state rebuild --all",
			e.Topic, e.Partition, e.ResetTo)
	}
	if e, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		switch first := e.Error(); {
		case strings.Contains(first, "SASL"):
			return "the broker hung up on our first request, as brokers do that want a SASL login: set sasl, or use another port (one that is just stopping hangs up, too)"
		case strings.Contains(first, "broker requires TLS"):
			return "the broker hung up on an unencrypted connection, as brokers do that want TLS: set tls, or use the broker's plaintext port"
		}
		return "the broker hung up during the TLS handshake: if it speaks no TLS on this port remove tls or use its TLS port, if it wants a client certificate set tls.cert and key"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the broker does not speak TLS on this port: remove tls, or use the broker's TLS port"
	}
	if strings.Contains(text, "tls alert record") {
		return "the broker speaks TLS on this port and we do not: set tls, or use the broker's plaintext port"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the broker's certificate is signed by an authority we do not know: set tls.ca to the certificate of that authority"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf(
			"the broker's certificate is not for %s: use the name it is for in brokers, or set tls.server_name", e.Host)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return "the broker's certificate is expired or not yet valid: renew it, and check the clocks"
		}
		return "the broker's certificate is not valid: " + e.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		if strings.Contains(text, "certificate") {
			return "the broker refused our certificate (" + e.Err.Error() +
				"): set tls.cert and tls.key to a pair whose authority the broker trusts"
		}
		return "the broker ended the TLS handshake (" + e.Err.Error() +
			"): it may allow other TLS versions or ciphers only"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("the host name %s cannot be resolved: correct brokers, or the broker's advertised.listeners",
			e.Name)
	}
	at := ""
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Addr != nil {
		at = " at " + e.Addr.String()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens" + at + ": start the broker, or correct brokers or the broker's advertised.listeners"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to the broker" + at + ": check the network"
	case errors.Is(err, kgo.ErrClientClosed):
		return "the client is closed already"
	case errors.Is(err, context.Canceled):
		return "given up because wayward is stopping"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, syscall.ETIMEDOUT):
		return "the broker" + at +
			" did not answer in time: it may hang, be overloaded, or a firewall may drop the packets"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return "the broker" + at + " closed the connection: it may be restarting"
	}
	return text
}

// explained is an error that reads as Explain does and is still the same to errors.Is.
type explained struct{ error }

func (e explained) Error() string { return Explain(e.error) }
func (e explained) Unwrap() error { return e.error }

// needsHelp tells errors that stay until somebody changes a password, a
// certificate or the config from those that pass when the broker is up.
func needsHelp(err error) bool {
	for _, e := range []error{kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.ClusterAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed,
		kerr.TransactionalIDAuthorizationFailed} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return true
	}
	if _, ok := errors.AsType[settingError](err); ok { // a secret's file is gone or empty
		return true
	}
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "remote error"
}

const (
	waitFirst = 250 * time.Millisecond
	waitMost  = 10 * time.Second
	waitPing  = 10 * time.Second // a frozen broker accepts connections and never answers
)

// ping asks whether a broker answers. The client's first words on a connection heed no context, so
// it is left behind when ctx is done.
func ping(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, waitPing)
	answer := make(chan error, 1)
	go func() {
		defer cancel()
		answer <- cl.Ping(ctx)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-answer: // both at once
		return err
	default:
		return ctx.Err()
	}
}

// WaitForBrokers returns when a broker answers, or with an error when ctx is
// done. It also keeps trying when the broker refuses us, loudly: credentials are
// rotated on both sides and never at the same instant, and an engine that exits
// for it would have to be started again by hand.
func WaitForBrokers(ctx context.Context, cl *kgo.Client, log *slog.Logger) error {
	return waitForBrokers(ctx, cl, log, nil)
}

// waitForBrokers likewise, and tells what it waits for, and "" when it has come.
func waitForBrokers(ctx context.Context, cl *kgo.Client, log *slog.Logger, tell func(string)) error {
	p := &patient{log: log, tell: tell, what: brokersOf(cl)}
	if tell != nil { // one that never answers takes a while to be found out
		tell("it waits for " + p.what)
	}
	for pause := waitFirst; ; pause = min(2*pause, waitMost) {
		err := ping(ctx, cl)
		if err == nil {
			p.came()
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for kafka: %w", context.Cause(ctx))
		}
		if errors.Is(err, kgo.ErrClientClosed) {
			return fmt.Errorf("waiting for kafka: %w", err)
		}
		p.waits(ctx, err)
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("waiting for kafka: %w", context.Cause(ctx))
		case <-t.C:
		}
	}
}
