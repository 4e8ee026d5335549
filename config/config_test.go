package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// readText reads a config of the test without the environment of the machine.
func readText(t *testing.T, text string, environ ...string) *Reading {
	t.Helper()
	r, err := Read(writeFile(t, "c.yaml", text), environ)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheReferenceLoadsAsTheDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.yaml", []byte(Reference()), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Read("c.yaml", nil)
	if err != nil || len(r.Problems) > 0 {
		t.Fatal(err, r.Err())
	}
	if want := Default(); !reflect.DeepEqual(r.Config, want) {
		t.Errorf("loading the reference gives\n%+v, the defaults are\n%+v", r.Config, want)
	}
	if len(r.from) < 25 {
		t.Errorf("only %d settings stand in the reference", len(r.from))
	}
}

func TestTheExamplesOfTheReferenceAreValid(t *testing.T) {
	all := regexp.MustCompile(`(?m)^( *)#([a-z]|  )`).ReplaceAllString(Reference(), "$1$2")
	r := readText(t, all)
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	for _, s := range settings {
		if _, set := r.from[s.key]; !set {
			t.Errorf("%s does not stand in the reference", s.key)
		}
	}
}

func TestEverySettingIsDescribedAndNoneIsMadeUp(t *testing.T) {
	have := map[string]bool{}
	r := Reading{Config: Default()}
	r.each(func(key string, _ reflect.Value) {
		have[key] = true
		if _, ok := settingOf(key); !ok {
			t.Errorf("%s has no line in settings.go", key)
		}
		for i := range key {
			if key[i] == '.' {
				have[key[:i]] = true
			}
		}
	})
	seen := map[string]bool{}
	for _, s := range settings {
		if !have[s.key] || seen[s.key] {
			t.Errorf("settings.go has %s, which is no field of config, or has it twice", s.key)
		}
		seen[s.key] = true
		parent := strings.TrimSuffix(strings.TrimSuffix(s.key, last(s.key)), ".")
		if parent != "" && !seen[parent] || !strings.HasSuffix(s.doc, ".") {
			t.Errorf("%s must follow its group, and its text must be sentences", s.key)
		}
		// The config is shown, copied and committed: a secret stands in a file or a variable that
		// it names.
		if regexp.MustCompile(`(password|secret|token)$`).MatchString(s.key) || strings.HasSuffix(s.key, "key") &&
			!s.path {
			t.Errorf("%s sounds like a secret: name a file or a variable instead", s.key)
		}
	}
}

func TestConfigCheckReportsEveryMistakeWithItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		env  []string
		want []string // file:line:col: and a piece of the text
	}{
		"a setting misspelt": {"grup: x\n", nil,
			[]string{`:1:1: there is no setting "grup"; did you mean "group"?`}},
		"a setting of a group misspelt": {"engine:\n  max_pol: 3\n", nil,
			[]string{`:2:3: there is no setting "engine.max_pol"; did you mean "engine.max_poll"?`}},
		"a setting one level too high": {"partitions: 3\n", nil,
			[]string{`:1:1: there is no setting "partitions"; there is "topics.partitions"`}},
		"nothing like it": {"frobnicate: 3\n", nil,
			[]string{`:1:1: there is no setting "frobnicate"; wayward config reference`}},
		"a text for a number": {"topics: {partitions: many}\n", nil,
			[]string{`:1:22: topics.partitions must be a whole number, it is "many"`}},
		"a fraction for a number": {"topics: {partitions: 2.5}\n", nil,
			[]string{`:1:22: topics.partitions must be a whole number`}},
		"a list for a text":  {"group: [a]\n", nil, []string{`:1:8: group must be a text, it is a list`}},
		"a text for a list":  {"brokers: a:1\n", nil, []string{`:1:10: brokers must be a list`}},
		"a text for a group": {"engine: fast\n", nil, []string{`:1:9: engine must be a group of settings`}},
		"a duration without unit": {"engine:\n  max_ahead: 10\n", nil,
			[]string{`:2:14: engine.max_ahead: "10" is not a duration: it needs a unit`}},
		"no duration at all": {"engine:\n  max_ahead: soon\n", nil,
			[]string{`:2:14: engine.max_ahead: "soon" is not a duration: write it as`}},
		"no boolean": {
			"sasl: {mechanism: plain, username: u, password_env: P, allow_plaintext: perhaps}\n", nil,
			[]string{`sasl.allow_plaintext must be true or false`}},
		"a duration of nothing": {"engine: {changelog_every: 0s}\n", nil,
			[]string{`:1:27: engine.changelog_every: 0s must be above 0`}},
		"an address that is a URL": {"brokers:\n  - kafka://a:1\n", nil,
			[]string{`:2:3: brokers: "kafka://a:1" has a scheme`}},
		"half a pair": {"tls:\n  cert: a.pem\n", nil, []string{`:2:9: tls.cert is`}},
		"no mechanism": {"sasl:\n  username: u\n  password_env: P\n", nil,
			[]string{`:2:3: sasl.mechanism "" is not known`}},
		"an unknown stage": {"stages: [behaviour, other]\n", nil,
			[]string{`:1:21: stages[1]: "other" is unknown`}},
		"an ingress that bites its tail": {"ingress:\n  - {topic: agent.events, format: xml}\n", nil,
			[]string{`:2:13: ingress[0].topic: agent.events is what`, `:2:35: ingress[0].format: "xml" is unknown`}},
		"a sink that is none": {
			"sinks:\n  - {type: siem}\n  - {type: file}\n  - {type: terminal, format: xml, records: [logs]}\n", nil,
			[]string{`:2:5: sinks[0]: type "siem"`, `sinks[1]: path is missing`, `sinks[2]: format "xml": unknown`,
				`sinks[2]: records: "logs" is unknown`}},
		"an ingress with a typo": {"ingress:\n  - topics: a\n", nil,
			[]string{`there is no setting "ingress[0].topics"; did you mean "ingress[0].topic"?`,
				`ingress[0]: topic is missing`, `ingress[0].format: "" is unknown`}},
		"two topics of one name": {"topics:\n  dlq: agent.alerts\n", nil,
			[]string{`:2:8: topics.dlq: "agent.alerts" is also the name of topics.alerts`}},
		"too short a retention": {"topics: {retention: {internal: 1h}}\nengine: {changelog_every: 40m}\n", nil,
			[]string{`:1:32: topics.retention.internal: 1h is less than twice`}},
		"a listener without port": {"listen: localhost\n", nil,
			[]string{`:1:9: listen: "localhost" is not host:port`}},
		"a setting twice": {"group: a\ngroup: b\n", nil,
			[]string{`:2:1: group is set twice, first in line 1`}},
		"an alias": {"group: &a x\ninstance: *a\n", nil,
			[]string{`:1:8: group: anchors`, `:2:11: instance: anchors`}},
		"a bomb of aliases": {"a: &a [x,x]\nb: &b [*a,*a]\n", nil,
			[]string{`:1:1: there is no setting "a"`, `:2:1: there is no setting "b"`}},
		"two documents":     {"group: a\n---\ngroup: b\n", nil, []string{`a config is one document`}},
		"a list at the top": {"- group\n", nil, []string{`:1:1: a config must be a group of settings`}},
		"no YAML": {"group: a\n\tstate: b\n", nil,
			[]string{`:2:1: this is not YAML: found a tab character`}},
		"mistakes of all kinds at once": {"grup: x\nlisten: here\nengine: {max_poll: 0, nothing: 1}\n", nil,
			[]string{`:1:1: there is no`, `:2:9: listen`, `:3:20: engine.max_poll: 0`,
				`:3:23: there is no setting "engine.nothing"`}},
		"a variable of no setting": {"group: a\n", []string{"WAYWARD_ENGINE__MAX_POL=3"},
			[]string{
				`environment WAYWARD_ENGINE__MAX_POL: there is no setting "engine.max_pol"; did you mean WAYWARD_ENGINE__MAX_POLL?`}},
		"a variable with a wrong value": {"group: a\n",
			[]string{"WAYWARD_ENGINE__MAX_POLL=many", "WAYWARD_LISTEN=here"},
			[]string{`environment WAYWARD_ENGINE__MAX_POLL: engine.max_poll must be a whole number, it is "many"`,
				`environment WAYWARD_LISTEN: listen: "here" is not`}},
		"variables that Kubernetes sets": {"group: a\n", []string{"WAYWARD_PORT=tcp://10.0.0.1:9464",
			"WAYWARD_SERVICE_HOST=10.0.0.1", "WAYWARD_PORT_9464_TCP_ADDR=10.0.0.1", "HOME=/"}, nil},
		"an empty file":     {"", nil, nil},
		"groups left empty": {"engine:\nbrokers:\ntls: {}\n", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := readText(t, c.text, c.env...)
			var got []string
			for _, p := range r.Problems {
				got = append(got, strings.TrimPrefix(p.Error(), r.file))
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d problems, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
			}
			for _, want := range c.want {
				if !slices.ContainsFunc(got, func(g string) bool { return strings.Contains(g, want) }) {
					t.Errorf("nothing says %q:\n%s", want, strings.Join(got, "\n"))
				}
			}
		})
	}
}

func FuzzReadConfig(f *testing.F) {
	f.Add(Reference())
	f.Add("a: &a [*a]\n")
	f.Add("tls: {ca: [}\n")
	f.Add("ingress: [{topic: x}, 3]\nengine: {max_ahead: 9223372036854775807d}")
	f.Fuzz(func(t *testing.T, text string) {
		r := &Reading{Config: Default(), file: "c.yaml", from: map[string]Origin{}}
		r.parse([]byte(text))
		for _, p := range r.Problems {
			if p.File == "" || p.What == "" {
				t.Errorf("a problem without a place or a word: %+v", p)
			}
		}
		if len(r.Problems) == 0 {
			_ = r.YAML()
		}
	})
}

func TestConfigPrecedence(t *testing.T) {
	text := "group: of-file\nengine: {max_poll: 7}\nstate: s\nbrokers: [a:1]\n"
	r := readText(t, text, "WAYWARD_GROUP=of-env", "WAYWARD_BROKERS=b:1, c:2", "WAYWARD_TLS__CA=ca.pem",
		"WAYWARD_ENGINE__MAX_AHEAD=1d", `WAYWARD_INGRESS=[{topic: raw, format: native}]`)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	c := r.Config
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"the environment beats the file", c.Group, "of-env"},
		{"the file beats the default", c.Engine.MaxPoll, 7},
		{"what nobody says is the default", c.Engine.PageCap, Default().Engine.PageCap},
		{"a list in the environment takes commas", c.Brokers, []string{"b:1", "c:2"}},
		{"or YAML", len(c.Ingress), 1},
		{"a path of the file is relative to it", c.State, filepath.Join(filepath.Dir(r.file), "s")},
		{"one of the environment is not", c.TLS.CA, "ca.pem"},
		{"days are durations", c.Engine.MaxAhead, 24 * time.Hour},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("%s: got %v, want %v", x.what, x.got, x.want)
		}
	}

	t.Setenv("WAYWARD_CONFIG", r.file)
	if c, err := Load(""); err != nil || c.Group != "of-file" {
		t.Errorf("WAYWARD_CONFIG names the file: got group %q, %v", c.Group, err)
	}
	if c, err := Load(writeFile(t, "other.yaml", "group: other\n")); err != nil || c.Group != "other" {
		t.Errorf("--config beats WAYWARD_CONFIG: got group %q, %v", c.Group, err)
	}
}

func TestDurationsComeBackAsTheyWere(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 90 * time.Second, 10 * time.Minute,
		time.Hour, 36 * time.Hour, 24 * time.Hour, 168 * time.Hour, time.Hour + time.Second} {
		back, err := parseDuration(FormatDuration(d))
		if err != nil || back != d {
			t.Errorf("%v is shown as %q, which reads as %v, %v", d, FormatDuration(d), back, err)
		}
	}
}
