package broker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// authority is a certificate authority of the test's own.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.cert, _ = x509.ParseCertificate(der)
	a.file = a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) string {
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue makes a certificate and its key, as files.
func (a *authority) issue(name string) (cert, key string) {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	kder, _ := x509.MarshalPKCS8PrivateKey(k)
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", kder)
}

// server is the TLS of a broker; with mutual it wants client certificates of this authority.
func (a *authority) server(mutual bool) *tls.Config {
	pair, err := tls.LoadX509KeyPair(a.issue("broker"))
	if err != nil {
		a.t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	if mutual {
		c.ClientAuth = tls.RequireAndVerifyClientCert
		c.ClientCAs = x509.NewCertPool()
		c.ClientCAs.AddCert(a.cert)
	}
	return c
}

func secretFile(t *testing.T, secret string) string {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pingKafka connects as k says.
func pingKafka(t *testing.T, k Kafka) error {
	t.Helper()
	opts, err := k.Options()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return cl.Ping(ctx)
}

// plainServer answers whatever comes first and hangs up, as a server without TLS
// does. (kfake would take the handshake for the length of a request and wait.)
func plainServer(t *testing.T, answer string) []string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096))
			conn.Write([]byte(answer))
			conn.Close()
		}
	}()
	return []string{ln.Addr().String()}
}

func TestKafkaOverTLSWithSCRAM(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	start := func(opts ...kfake.Opt) []string {
		c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c.ListenAddrs()
	}
	const secret = "s3cret pass, word"
	scram := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "wayward", secret)}
	brokers := start(append(scram, kfake.TLS(ours.server(false)))...)
	mutual := start(append(scram, kfake.TLS(ours.server(true)))...)
	open := start()
	cert, key := ours.issue("client")
	foreignCert, foreignKey := other.issue("client")
	t.Setenv("WAYWARD_TEST_PASSWORD", secret)

	login := &SASL{Mechanism: "SCRAM-SHA-256", Username: "wayward", PasswordFile: secretFile(t, secret+"\n")}
	ca := &TLS{CA: ours.file}
	for name, c := range map[string]struct {
		k    Kafka
		want string // in Explain; "": it connects
	}{
		"password from a file": {Kafka{brokers, ca, login}, ""},
		"password from the environ": {Kafka{brokers, ca, &SASL{Mechanism: "scram-sha-256", Username: "wayward",
			PasswordEnv: "WAYWARD_TEST_PASSWORD"}}, ""},
		"mTLS":                   {Kafka{mutual, &TLS{CA: ours.file, Cert: cert, Key: key}, login}, ""},
		"other name in the cert": {Kafka{brokers, &TLS{CA: ours.file, ServerName: "broker"}, login}, ""},
		// kfake hangs up where Kafka answers, see TestExplain
		"wrong password": {Kafka{brokers, ca, &SASL{Mechanism: "scram-sha-256", Username: "wayward",
			PasswordFile: secretFile(t, "wrong")}}, "closed the connection"},
		"wrong mechanism": {Kafka{brokers, ca, &SASL{Mechanism: "scram-sha-512", Username: "wayward",
			PasswordFile: login.PasswordFile}}, "closed the connection"},
		"wrong authority": {Kafka{brokers, &TLS{CA: other.file}, login}, "set tls.ca"},
		"wrong name": {Kafka{brokers, &TLS{CA: ours.file, ServerName: "elsewhere"}, login},
			"not for elsewhere"},
		"no client certificate": {Kafka{mutual, ca, login}, "set tls.cert"},
		"foreign client certificate": {Kafka{mutual, &TLS{CA: ours.file, Cert: foreignCert, Key: foreignKey}, login},
			"set tls.cert"},
		"TLS where there is none": {Kafka{plainServer(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), ca, nil},
			"remove tls"},
		"TLS where Kafka speaks none": {Kafka{plainServer(t, ""), ca, nil}, "remove tls"},
		"no TLS where there is":       {Kafka{brokers, nil, nil}, "set tls"},
		"no SASL where there is":      {Kafka{brokers, ca, nil}, "set sasl"},
		"nothing listens there":       {Kafka{[]string{"127.0.0.1:1"}, nil, nil}, "nothing listens at 127.0.0.1:1"},
		"no such host": {Kafka{[]string{"no-such-host.invalid:9092"}, nil, nil},
			"no-such-host.invalid cannot be resolved"},
		"the others are tried in turn": {Kafka{append([]string{"127.0.0.1:1"}, open...), nil, nil}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := pingKafka(t, c.k)
			if c.want == "" && err != nil {
				t.Fatalf("%s (%v)", Explain(err), err)
			}
			if c.want != "" && (err == nil || !strings.Contains(Explain(err), c.want)) {
				t.Errorf("%v is explained as %q, which does not say %q", err, Explain(err), c.want)
			}
			if err != nil && strings.Contains(err.Error()+Explain(err), secret) {
				t.Errorf("%v shows the secret", err)
			}
		})
	}
}

func TestARotatedPasswordIsReadForTheNextConnection(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-512", "wayward", "new"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	k := Kafka{Brokers: c.ListenAddrs(), SASL: &SASL{Mechanism: "scram-sha-512", Username: "wayward",
		PasswordFile: secretFile(t, "old")}}
	opts, err := k.Options()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Ping(t.Context()); err == nil {
		t.Fatal("the old password works")
	}
	if err := os.WriteFile(k.SASL.PasswordFile, []byte("new\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cl.Ping(t.Context()); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
}

func TestKafkaOptionsReportWhatIsWrong(t *testing.T) {
	a := newAuthority(t, "ours")
	cert, key := a.issue("client")
	_, otherKey := a.issue("other")
	file := secretFile(t, "hunter2")
	local, far := []string{"localhost:9092"}, []string{"127.0.0.1:9092", "kafka.example:9092"}
	for name, c := range map[string]struct {
		k    Kafka
		want []string
	}{
		"no broker": {Kafka{}, []string{"brokers is empty"}},
		"addresses of a URL": {Kafka{Brokers: []string{"kafka://a:1", "a:1,b:2", "host", "host:99999", ""}},
			[]string{"has a scheme", "more than one address", `"host" is not`, "65535", "is empty"}},
		"missing CA": {Kafka{local, &TLS{CA: "/no/such.pem"}, nil},
			[]string{"tls.ca: there is no file /no/such.pem"}},
		"a key as CA":      {Kafka{local, &TLS{CA: key}, nil}, []string{"holds no certificate"}},
		"directory as CA":  {Kafka{local, &TLS{CA: t.TempDir()}, nil}, []string{"tls.ca: read"}},
		"cert without key": {Kafka{local, &TLS{Cert: cert}, nil}, []string{"tls.key is missing"}},
		"key without cert": {Kafka{local, &TLS{Key: key}, nil}, []string{"tls.cert is missing"}},
		"key of another":   {Kafka{local, &TLS{Cert: cert, Key: otherKey}, nil}, []string{"do not make a pair"}},
		"empty SASL": {Kafka{local, nil, &SASL{}},
			[]string{"username is missing", `mechanism "" is not known`, "password is missing"}},
		"unknown mechanism": {Kafka{local, nil, &SASL{Mechanism: "gssapi", Username: "u", PasswordFile: file}},
			[]string{`"gssapi" is not known: use plain`}},
		"missing secret": {Kafka{local, nil, &SASL{Mechanism: "plain", Username: "u", PasswordFile: "/no/such"}},
			[]string{"sasl.password_file: there is no file /no/such"}},
		"empty secret": {Kafka{local, nil,
			&SASL{Mechanism: "plain", Username: "u", PasswordFile: secretFile(t, "\n")}},
			[]string{"is empty: write the password"}},
		"unset variable": {Kafka{local, nil,
			&SASL{Mechanism: "plain", Username: "u", PasswordEnv: "WAYWARD_TEST_UNSET"}},
			[]string{"WAYWARD_TEST_UNSET is not set"}},
		"two passwords": {Kafka{local, nil, &SASL{Mechanism: "plain", Username: "u", PasswordEnv: "A",
			PasswordFile: file}}, []string{"keep one"}},
		"readable password": {Kafka{far, nil, &SASL{Mechanism: "plain", Username: "u", PasswordFile: file}},
			[]string{"readable to kafka.example:9092"}},
		"allowed to be read": {Kafka{far, nil, &SASL{Mechanism: "plain", Username: "u", PasswordFile: file,
			AllowPlaintext: true}}, nil},
		"PLAIN inside TLS": {Kafka{far, &TLS{}, &SASL{Mechanism: "PLAIN", Username: "u", PasswordFile: file}}, nil},
		"PLAIN on one machine": {Kafka{append(local, "[::1]:9092"), nil,
			&SASL{Mechanism: "plain", Username: "u", PasswordFile: file}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.k.Options()
			if (err != nil) != (c.want != nil) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v shows the secret", err)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{fmt.Errorf("ping: %w", kerr.SaslAuthenticationFailed), "refused the user name or the password"},
		{&kadm.AuthError{Err: kerr.TopicAuthorizationFailed}, "may not use this topic"},
		{kerr.GroupAuthorizationFailed, "may not use this consumer group"},
		{kerr.UnknownTopicOrPartition, "run wayward topics apply"},
		{kerr.InvalidProducerEpoch, "another process took over"},
		{&kgo.ErrGroupSession{Err: kerr.FencedInstanceID}, "instance name"},
		{kerr.GroupMaxSizeReached, "the broker says GROUP_MAX_SIZE_REACHED"},
		{&kgo.ErrDataLoss{Topic: "agent.events", Partition: 3, ConsumedTo: 90, ResetTo: 7},
			"agent.events partition 3 from offset 7 on"},
		{context.DeadlineExceeded, "did not answer in time"},
		{errors.New("something else"), "something else"},
	} {
		if got := Explain(c.err); !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("Explain(%v) = %q, want %q in it", c.err, got, c.want)
		}
	}
}

// logLines collects log lines.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func TestWaitForBrokersWaitsForTheBrokerAndForTheRightPassword(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("SCRAM-SHA-256", "wayward", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	refused := 0
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if refused == 1 {
			return nil, nil, false
		}
		refused++
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true // as Kafka answers a wrong password; kfake itself hangs up
	})
	k := Kafka{Brokers: c.ListenAddrs(), SASL: &SASL{Mechanism: "scram-sha-256", Username: "wayward",
		PasswordFile: secretFile(t, "secret")}}
	opts, err := k.Options()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var out logLines
	if err := WaitForBrokers(t.Context(), cl, slog.New(slog.NewTextHandler(&out, nil)), nil); err != nil {
		t.Fatal(err)
	}
	got := out.buf.String()
	if !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "refused the user name or the password") ||
		!strings.Contains(got, "is there") || strings.Contains(got, "secret") {
		t.Errorf("log: %s", got)
	}
}

func TestWaitForBrokersBacksOffUntilToldToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		start := time.Now()
		cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"),
			kgo.Dialer(func(context.Context, string, string) (net.Conn, error) {
				tries = append(tries, time.Since(start))
				return nil, errors.New("no way")
			}))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := WaitForBrokers(ctx, cl, slog.New(slog.DiscardHandler), nil); !errors.Is(err,
			context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if time.Since(start) != time.Minute || len(tries) < 9 || len(tries) > 30 {
			t.Errorf("%d tries in %s: %v", len(tries), time.Since(start), tries)
		}
	})
}
