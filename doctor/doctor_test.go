package doctor

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/state"
)

// clinic is a set-up for doctor to look at: in order, until a test breaks it.
type clinic struct {
	t       *testing.T
	dir     string
	brokers []string
	config  string // YAML behind brokers, state and listen
	state   string
	listen  string
}

func newClinic(t *testing.T, opts ...kfake.Opt) *clinic {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	must(t, err)
	t.Cleanup(c.Close)
	return &clinic{t: t, dir: t.TempDir(), brokers: c.ListenAddrs(), state: "state", listen: "127.0.0.1:0"}
}

// client talks to the broker as the test does: as root, where there are users.
func (c *clinic) client(opts ...kgo.Opt) (*kgo.Client, *kadm.Client) {
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.brokers...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	must(c.t, err)
	c.t.Cleanup(cl.Close)
	return cl, kadm.NewClient(cl)
}

// apply makes the topics.
func (c *clinic) apply(change func(*broker.Topics), opts ...kgo.Opt) *clinic {
	topics := broker.DefaultTopics()
	if change != nil {
		change(&topics)
	}
	_, adm := c.client(opts...)
	changes, err := broker.PlanTopics(c.t.Context(), adm, topics.Specs(false, 1))
	must(c.t, err)
	must(c.t, broker.ApplyTopics(c.t.Context(), adm, changes, nil))
	return c
}

func (c *clinic) file(name, text string) string {
	name = filepath.Join(c.dir, name)
	must(c.t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// visit runs doctor and returns its lines, and whether there are problems.
func (c *clinic) visit() (problems bool, lines []string) {
	c.t.Helper()
	file := c.file("wayward.yaml", fmt.Sprintf("brokers: [%s]\nstate: %s\nlisten: %q\n%s",
		strings.Join(c.brokers, ", "), c.state, c.listen, c.config))
	for _, r := range Examine(c.t.Context(), file) {
		lines = append(lines, r.Status+" "+r.Check+": "+r.What)
		problems = problems || r.Status == Problem
	}
	return problems, lines
}

// store makes a state directory.
func (c *clinic) store(fill func(*state.Store)) {
	s, err := state.Open(filepath.Join(c.dir, c.state, "store"))
	must(c.t, err)
	fill(s)
	must(c.t, s.Close())
}

func specs() []broker.TopicSpec {
	topics := broker.DefaultTopics()
	return topics.Specs(false, 1)
}

func TestDoctorFindsWhatIsBroken(t *testing.T) {
	topics := len(specs())
	for name, x := range map[string]struct {
		setUp    func(t *testing.T) *clinic
		problems bool
		want     []string // lines begin so, or hold what follows …
	}{
		"nothing": {func(t *testing.T) *clinic { return newClinic(t).apply(nil) }, false, []string{
			"fine config: …settings are set",
			"fine policies: built-in: 0 rules, 0 personas, 3 limits, 0 tools, 0 inventory entries", "fine disk: … free",
			"fine state: none yet", "fine versions: 1 brokers with all that is needed",
			fmt.Sprintf("fine topics: %d, as they should be", topics),
			fmt.Sprintf("fine permissions: may use %d topics", topics), "unknown clock: cannot be compared yet",
			"fine listen: ", "fine files: "}},
		"the embedded broker": {func(t *testing.T) *clinic {
			c := newClinic(t)
			c.brokers, c.config = nil, "embedded: {port: 0}"
			return c
		}, false, []string{"fine broker: the embedded one"}},
		"the port of the embedded broker": {func(t *testing.T) *clinic {
			c := newClinic(t)
			_, port, _ := net.SplitHostPort(c.brokers[0])
			c.brokers, c.config = nil, "embedded: {port: "+port+"}"
			return c
		}, true, []string{"problem broker: the embedded one cannot listen …set embedded.port"}},
		"no broker": {func(t *testing.T) *clinic {
			c := newClinic(t)
			c.brokers = []string{freePort(t)}
			return c
		}, true, []string{"problem broker: nothing listens at 127.0.0.1:…start the broker"}},
		"TLS left out": {func(t *testing.T) *clinic { return newClinic(t, kfake.TLS(certificate(t, nil))) }, true,
			[]string{"problem broker: …set tls"}},
		"an unknown authority": {func(t *testing.T) *clinic {
			c := newClinic(t, kfake.TLS(certificate(t, nil)))
			c.config = "tls: {}"
			return c
		}, true, []string{"problem broker: …set tls.ca"}},
		"a CA that is not there": {func(t *testing.T) *clinic {
			c := newClinic(t)
			c.config = "tls: {ca: ca.pem}"
			return c
		}, true, []string{"problem broker: tls.ca: there is no file …ca.pem: create it"}},
		"nothing, over TLS": {func(t *testing.T) *clinic {
			var ca []byte
			c := newClinic(t, kfake.TLS(certificate(t, &ca)))
			c.config = fmt.Sprintf("tls: {ca: %q, server_name: example.com}", c.file("ca.pem", string(ca)))
			return c
		}, true, []string{"fine versions: ", "problem topics: topic agent.events is missing"}},
		"SASL left out": {func(t *testing.T) *clinic {
			return newClinic(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "root", "pw"))
		}, true, []string{"problem broker: …set sasl"}},
		"a wrong password": {func(t *testing.T) *clinic {
			c := newClinic(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "root", "pw"))
			c.config = "sasl: {mechanism: scram-sha-256, username: root, password_file: " + c.file("pw", "hunter2") +
				"}"
			return c
		}, true, []string{"problem broker: "}},
		"a password that is not there": {func(t *testing.T) *clinic {
			c := newClinic(t)
			c.config = "sasl: {mechanism: plain, username: root, password_env: WAYWARD_TEST_NONE}"
			return c
		}, true, []string{"problem broker: sasl.password_env: environment variable WAYWARD_TEST_NONE is not set"}},
		"rights": {func(t *testing.T) *clinic { return restricted(t) }, true, []string{
			"problem permissions: topic agent.alerts: this user may not WRITE: grant it",
			"problem permissions: topic wayward.facts: …may not use this topic",
			"problem permissions: topic agent.commands: this user may not WRITE: grant it",
			"problem permissions: topic agent.acks: this user may not READ: grant it",
			"problem permissions: consumer group wayward-ingress: …may not use this consumer group",
			"problem permissions: consumer group wayward-relation: …may not use this consumer group",
			"problem permissions: transactional id wayward-doctor: …may not use this transactional id"}},
		"an old broker": {func(t *testing.T) *clinic { return newClinic(t, kfake.MaxVersions(kversion.V2_4_0())) },
			true,
			[]string{"problem versions: broker 0 lacks …wayward needs Apache Kafka 2.8"}},
		"a topic that is missing": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			_, adm := c.client()
			_, err := adm.DeleteTopic(t.Context(), "wayward.journal")
			must(t, err)
			return c
		}, true, []string{"problem topics: topic wayward.journal is missing: run wayward topics apply"}},
		"a number of partitions": {func(t *testing.T) *clinic {
			return newClinic(t).apply(func(x *broker.Topics) { x.Partitions = 3 })
		}, true, []string{"problem topics: topic agent.events has 3 partitions, the config says 6"}},
		"a setting of a topic": {func(t *testing.T) *clinic {
			return newClinic(t).apply(func(x *broker.Topics) { x.Retention.Events = time.Hour })
		}, false,
			[]string{
				"warning topics: topic agent.events keeps records for 1h0m0s, the config says 7 days: run wayward topics apply"}},
		"a state directory that cannot be made": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.state = filepath.Join(c.file("file", ""), "state")
			return c
		}, true, []string{"problem disk: …/file is no directory"}},
		"a state directory that cannot be written": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.state = "/proc/self" // tests run as root, whom no mode of a directory stops
			return c
		}, true, []string{"problem disk: /proc/self cannot be written"}},
		"state that is damaged": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.store(func(s *state.Store) {
				must(t, s.Checkpoint(state.Space{Stage: 'b', Partition: 2}, func(yield func(state.Page) bool) {
					yield(state.Page{Key: "aacme|agent", Value: []byte{1, 2, 3}})
				}, []byte{1}))
			})
			return c
		}, true, []string{"problem state: 2 pages of the behaviour stage are damaged: …wayward state verify"}},
		"files of the state": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.store(func(*state.Store) {})
			must(t, os.WriteFile(filepath.Join(c.dir, "state", "store", "MANIFEST"), []byte("rubbish"), 0o600))
			return c
		}, true, []string{"problem state: …magic; run wayward state rebuild"}},
		"state of a newer binary": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			newerState(t, filepath.Join(c.dir, "state", "store"))
			return c
		}, true, []string{"problem state: …has format 2, this binary knows up to 1; run the newer binary"}},
		"state of another layout": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.store(func(s *state.Store) { must(t, s.SetMeta("layout", []byte(`{"events":3,"facts":2}`))) })
			return c
		}, true,
			[]string{
				"problem layout: the state was made with 3 and 2 partitions of events and facts, there are 6 and 4: …wayward state rebuild"}},
		"state of topics that are gone": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.store(func(s *state.Store) {
				must(t,
					s.SetMeta("layout",
						[]byte(`{"events":6,"facts":4,"topics":{"facts":"00112233445566778899aabbccddeeff"}}`)))
			})
			return c
		}, true, []string{"problem layout: the topics of [facts] were deleted and made anew"}},
		"an instance that runs, which is not broken": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			s, err := state.Open(filepath.Join(c.dir, c.state, "store"))
			must(t, err)
			t.Cleanup(func() { s.Close() })
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			t.Cleanup(func() { l.Close() })
			c.listen = l.Addr().String()
			return c
		}, false, []string{"fine state: a running instance has it open", "fine listen: …an instance runs"}},
		"a config": {func(t *testing.T) *clinic {
			c := newClinic(t)
			c.config = "grup: x\nengine: {max_poll: 0}"
			return c
		}, true, []string{`problem config: …wayward.yaml:4:1: there is no setting "grup"; did you mean "group"?`,
			"problem config: …:5:20: engine.max_poll", "unknown config: nothing else was looked at"}},
		"a policy": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			must(t, os.MkdirAll(filepath.Join(c.dir, "policies", "limits"), 0o700))
			c.file("policies/limits/l.yaml", "limits:\n  - id: x\n    scoop: user\n")
			c.config = "policies: policies"
			return c
		}, true, []string{"problem policies: …l.yaml:3:5: "}},
		"a policy longer than events are kept": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(func(x *broker.Topics) { x.Retention.Events = 30 * time.Minute })
			c.config = "topics: {retention: {events: 1h}}"
			must(t, os.MkdirAll(filepath.Join(c.dir, "policies", "limits"), 0o700))
			c.file("policies/limits/l.yaml", "limits:\n  - {id: x, scope: user, measure: count, max: 3, window: 1d}\n")
			c.config += "\npolicies: policies"
			return c
		}, false, []string{"warning policies: the longest window is 1d and events are kept for 1h"}},
		"an open listener": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.listen = "0.0.0.0:0"
			return c
		}, false, []string{"warning listen: 0.0.0.0:0 is not loopback alone"}},
		"a port that is taken": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.listen = c.brokers[0]
			return c
		}, true, []string{"problem listen: …address already in use: set another address"}},
		"a clock": {func(t *testing.T) *clinic { return stamped(t, 2*time.Hour) }, true,
			[]string{"problem clock: a broker's clock is at least …ahead of this machine's"}},
		"a clock a little": {func(t *testing.T) *clinic { return stamped(t, 20*time.Second) }, false,
			[]string{"warning clock: a broker's clock is at least "}},
		"no clock": {func(t *testing.T) *clinic { return stamped(t, 0) }, false,
			[]string{"fine clock: the brokers' newest record was stamped "}},
		"no clock, as far as can be told": {func(t *testing.T) *clinic { return stamped(t, -time.Hour) }, false,
			[]string{"unknown clock: the brokers' newest record was stamped 1h ago, so their clocks are not ahead"}},
		"an ingress without its topic": {func(t *testing.T) *clinic {
			c := newClinic(t).apply(nil)
			c.config = "ingress: [{topic: raw, format: native}]"
			return c
		}, true, []string{"problem permissions: topic raw of the ingress is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			problems, lines := x.setUp(t).visit()
			if problems != x.problems {
				t.Errorf("problems: %v, want %v", problems, x.problems)
			}
			for _, want := range x.want {
				head, tail, _ := strings.Cut(want, "…")
				if !slices.ContainsFunc(lines, func(l string) bool {
					return strings.HasPrefix(l, head) &&
						strings.Contains(l[len(head):], tail)
				}) {
					t.Errorf("no line says %q", want)
				}
			}
			for _, l := range lines {
				enough := regexp.MustCompile(`agent.feedback|agent.breakers|wayward.inventory`).MatchString(l) &&
					strings.HasPrefix(l, "problem permissions")
				if !x.problems && strings.HasPrefix(l, "problem") || strings.Contains(l, "hunter2") || enough {
					t.Errorf("a line that should not be: %s", l)
				}
			}
			if t.Failed() {
				t.Log(strings.Join(lines, "\n"))
			}
		})
	}
}

// certificate is the TLS of a broker, made by net/http's test server; its authority goes to ca.
func certificate(t *testing.T, ca *[]byte) *tls.Config {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	if ca != nil {
		*ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	}
	return &tls.Config{Certificates: s.TLS.Certificates}
}

// stamped has a record that the broker stamped so long from now.
func stamped(t *testing.T, ahead time.Duration) *clinic {
	c := newClinic(t).apply(nil)
	cl, _ := c.client()
	must(t,
		cl.ProduceSync(t.Context(), &kgo.Record{Topic: "wayward.control", Value: []byte("{}"),
			Timestamp: time.Now().Add(ahead)}).FirstErr())
	return c
}

// restricted has a user who may not do all that wayward does.
func restricted(t *testing.T) *clinic {
	allow := func(r kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: r, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op,
			Allow: true}
	}
	acls := []kfake.ACL{allow(kmsg.ACLResourceTypeTopic, "agent.alerts", kmsg.ACLOperationRead),
		allow(kmsg.ACLResourceTypeGroup, "wayward-behaviour", kmsg.ACLOperationRead)}
	for _, s := range specs() {
		op := kmsg.ACLOperationAll
		switch s.Name {
		case "agent.alerts", "wayward.facts":
			continue
		case "agent.feedback", "agent.commands":
			op = kmsg.ACLOperationRead
		case "agent.acks", "agent.breakers", "wayward.inventory":
			op = kmsg.ACLOperationWrite
		}
		acls = append(acls, allow(kmsg.ACLResourceTypeTopic, s.Name, op))
	}
	c := newClinic(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "pw"),
		kfake.User("PLAIN", "wayward", "hunter2", acls...))
	root := broker.Kafka{Brokers: c.brokers, SASL: &broker.SASL{Mechanism: "plain", Username: "root",
		PasswordFile: c.file("root", "pw")}}
	opts, err := root.Options()
	must(t, err)
	c.apply(nil, opts...)
	c.config = "sasl: {mechanism: plain, username: wayward, password_file: " + c.file("pw", "hunter2") + "}"
	return c
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// freePort is an address at which nothing listens.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// newerState makes a state directory as of a newer binary.
func newerState(t *testing.T, dir string) {
	s, err := state.Open(dir)
	must(t, err)
	must(t, s.SetMeta("format", []byte{state.Format + 1}))
	must(t, s.Close())
}
