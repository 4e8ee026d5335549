package sinks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wayward-sec/wayward/event"
)

var schema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	return jsonschema.NewCompiler().Compile("../testdata/ocsf/detection_finding-1.8.0.schema.json")
})

// check says what is wrong with a record, whatever its finding was.
func check(record []byte) error {
	switch {
	case len(record) > MaxRecord:
		return fmt.Errorf("%d bytes, more than %d", len(record), MaxRecord)
	case !utf8.Valid(record):
		return fmt.Errorf("not UTF-8")
	}
	for _, r := range string(record) {
		if hidden(r) {
			return fmt.Errorf("holds %U", r)
		}
	}
	if err := onceEach(json.NewDecoder(bytes.NewReader(record))); err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, record); err != nil {
		return err
	}
	if !bytes.Equal(compact.Bytes(), record) {
		return fmt.Errorf("not compact")
	}
	s, err := schema()
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(record))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// onceEach fails on a key that an object has twice: validators do not see it, and consumers differ
// about which one counts.
func onceEach(d *json.Decoder) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') && t != json.Delim('[') {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if t == json.Delim('{') {
			k, err := d.Token()
			if err != nil {
				return err
			}
			if seen[k.(string)] {
				return fmt.Errorf("key %q twice", k)
			}
			seen[k.(string)] = true
		}
		if err := onceEach(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func TestGoldenFindings(t *testing.T) {
	o := &OCSF{Version: "0.1.0"}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := o.Append(nil, &c.f)
			if err := check(got); err != nil {
				t.Fatal(err)
			}
			// Indented for whoever reads the diff; strings and order stay as they are.
			var b bytes.Buffer
			if err := json.Indent(&b, got, "", "  "); err != nil {
				t.Fatal(err)
			}
			b.WriteByte('\n')
			golden(t, c.name+".json", b.Bytes())
		})
	}
}

func TestNumbersThatAreNoneStayOutOfJSON(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64,
		math.SmallestNonzeroFloat64} {
		f := surge
		f.Anomaly = &event.Anomaly{P: bad, Alpha: bad, Observed: bad, Expected: bad, Low: bad, High: bad,
			Scores: []event.Score{{P: bad}},
			Steps:  []event.Step{{Bits: bad, Usual: []event.Usual{{Share: bad}}}}}
		record := (&OCSF{}).Append(nil, &f)
		if err := check(record); err != nil {
			t.Errorf("%v: %v\n%s", bad, err, record)
		}
		if _, _, err := Read(record); err != nil {
			t.Errorf("%v: %v", bad, err)
		}
		for _, activity := range []event.Activity{event.Create, event.Update} {
			f.Activity = activity
			if text := string((&Text{}).Append(nil, &f)); strings.Contains(text, "NaN") ||
				strings.Contains(text, "Inf") {
				t.Errorf("%v: %s", bad, text)
			}
		}
	}
}

func TestTheNewestStepsAreKept(t *testing.T) {
	f := surge
	f.Anomaly = &event.Anomaly{}
	for i := range 40 {
		f.Anomaly.Steps = append(f.Anomaly.Steps,
			event.Step{What: fmt.Sprint("step ", i), Usual: make([]event.Usual, 9)})
	}
	got, truncated, err := Read((&OCSF{}).Append(nil, &f))
	if err != nil || !truncated || len(got.Anomaly.Steps) != maxSteps ||
		got.Anomaly.Steps[maxSteps-1].What != "step 39" || len(got.Anomaly.Steps[0].Usual) != maxUsual {
		t.Errorf("truncated %v, error %v: %v", truncated, err, got.Anomaly)
	}
}

func TestHugeFindingsStaySmallAndSayThatTheyWereCut(t *testing.T) {
	o := &OCSF{Version: strings.Repeat("\x01", 1<<20)}
	for _, piece := range []string{"a", "\"", "\x01", "\u202e", "\U000e0041", "🙂", "\xff", "9"} {
		f := export
		f.Tags, f.Refs = make([]string, 1000), make([]event.Ref, 1000)
		f.Anomaly = &event.Anomaly{Observed: 1, Scores: make([]event.Score, 100), Steps: make([]event.Step, 100)}
		if piece == "9" {
			f.Anomaly.Observed = 0 // the steps are then written twice
		}
		for i := range f.Anomaly.Steps {
			f.Anomaly.Steps[i].Usual = make([]event.Usual, 50)
		}
		for i, s := range texts(&f) {
			// Each differs at its start, so that no agent is the same as another.
			*s = fmt.Sprint(i) + strings.Repeat(piece, 1<<13+1)
		}
		for i := range f.Tags {
			f.Tags[i] = "AML.T" + f.Tags[i] + ".1"
			if i%2 == 0 {
				f.Tags[i] = "AML.T" + strings.Repeat("1", 120) + "." + strings.Repeat("2", 120)
			}
		}
		record := o.Append(nil, &f)
		if err := check(record); err != nil {
			t.Errorf("%q: %v", piece, err)
		}
		got, truncated, err := Read(record)
		if err != nil || !truncated || len(got.Refs) != maxRefs {
			t.Errorf("%q: truncated %v, %d references, error %v", piece, truncated, len(got.Refs), err)
		}
		t.Logf("%q: %d bytes", piece, len(record))
	}
}

func TestOddNumbersStillMakeAValidRecord(t *testing.T) {
	for _, f := range []event.Finding{
		{},
		{Activity: 200, Analytic: 200, Severity: 200, Class: 200, Risk: 1 << 40, Time: -1, Count: -1},
		{Activity: 3, Risk: -5, Measure: "bytes", WindowMS: -1, Target: "x", Refs: []event.Ref{{}, {}}},
		{Anomaly: &event.Anomaly{}}, {Anomaly: &event.Anomaly{WindowMS: -1, Agents: -1, Steps: make([]event.Step, 1)}},
		{Agent: "a", Refs: []event.Ref{{ID: "e"}}},
		{Agent: "a"}, {User: "u"}, {Session: "s"}, {Tool: "t"}, {Server: "s"}, {ScopeID: "x"},
		{Refs: []event.Ref{{Agent: "a"}, {}}},
	} {
		if record := (&OCSF{}).Append(nil, &f); check(record) != nil {
			t.Errorf("%v\n%.2000s", check(record), record)
		}
	}
}

func TestFitKeepsAsMuchAsPossible(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		s, max := randomText(r, 12), 3+r.IntN(40)
		n, whole := fit(s, max), len(quote(nil, s))
		switch got := len(quote(nil, s[:n])); {
		case whole <= max && n != len(s):
			t.Fatalf("fit(%q, %d) = %d: all of its %d bytes would fit", s, max, n, whole)
		case whole > max && (n == len(s) || got+len("…") > max):
			t.Fatalf("fit(%q, %d) = %d: %d bytes and an ellipsis", s, max, n, got)
		case whole > max:
			next := n + runeLen(s[n:])
			if len(quote(nil, s[:next]))+len("…") <= max {
				t.Fatalf("fit(%q, %d) = %d: one more would fit", s, max, n)
			}
		}
	}
}

func TestMessageIsOneLine(t *testing.T) {
	f := event.Finding{Why: "first\nsecond\r\n\u2028third\x1b"}
	var r struct{ Message string }
	if err := json.Unmarshal((&OCSF{}).Append(nil, &f), &r); err != nil {
		t.Fatal(err)
	}
	if want := "first second   third "; r.Message != want {
		t.Errorf("message %q, want %q", r.Message, want)
	}
}

func TestAnUpdateKeepsUIDAndTime(t *testing.T) {
	o := &OCSF{}
	create, _, err1 := Read(o.Append(nil, &cases[1].f))
	update, _, err2 := Read(o.Append(nil, &cases[2].f))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if create.UID != update.UID || create.Time != update.Time || create.Last == update.Last {
		t.Errorf("created as %s at %d, updated as %s at %d", create.UID, create.Time, update.UID, update.Time)
	}
	if a, b := o.Headers(&cases[1].f)[1], o.Headers(&cases[2].f)[1]; bytes.Equal(a.Value, b.Value) {
		t.Errorf("both records have id %s", a.Value)
	}
}

func TestAppendLeavesWhatWasThere(t *testing.T) {
	got := (&OCSF{}).Append([]byte("before"), &export)
	if want := append([]byte("before"), (&OCSF{}).Append(nil, &export)...); !bytes.Equal(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestKey(t *testing.T) {
	for _, c := range []struct {
		name, want string
		f          event.Finding
	}{
		{"an agent's own finding goes with its events", "acme|agt-7",
			event.Finding{Tenant: "acme", ScopeType: "agent", ScopeID: "agt-7", Agent: "agt-7"}},
		{"so does one of its sessions", "acme|agt-7", event.Finding{Tenant: "acme", ScopeType: "session",
			ScopeID: "s-1", Agent: "agt-7"}},
		{"a user's goes by scope, even if one agent did it", "acme|user:bob",
			event.Finding{Tenant: "acme", ScopeType: "user", ScopeID: "bob", Agent: "agt-7"}},
		{"a session of unknown agent goes by scope", "acme|session:s-1",
			event.Finding{Tenant: "acme", ScopeType: "session", ScopeID: "s-1"}},
		{"separators inside ids are encoded", "acme|a%7Cb%25c",
			event.Finding{Tenant: "acme", ScopeType: "agent", Agent: "a|b%c"}},
		{"in scopes too", "acme|user:a%7Cb", event.Finding{Tenant: "acme", ScopeType: "user", ScopeID: "a|b"}},
	} {
		if got := (&OCSF{}).Key(nil, &c.f); string(got) != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestHeaders(t *testing.T) {
	var got []string
	for _, h := range (&OCSF{}).Headers(&export) {
		got = append(got, h.Key+": "+string(h.Value))
	}
	want := []string{
		"ce_specversion: 1.0",
		"ce_id: 7c1f0a52b9e84d3390c4a5d1f2e6b708-1-3",
		"ce_type: wayward.finding.v1",
		"ce_source: /wayward/acme",
		"ce_time: 2026-11-20T14:33:04.812Z",
		"ce_subject: agent:agt-7731",
		"ce_dataschema: https://schema.ocsf.io/1.8.0/classes/detection_finding",
		"content-type: application/json",
		"severity: high",
		"rule_id: limits/export-volume",
		"schema: wayward.finding/v1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	hostile := cases[len(cases)-1].f
	for _, h := range (&OCSF{}).Headers(&hostile) {
		if !utf8.Valid(h.Value) || bytes.ContainsAny(h.Value, "\x00\x1b\r\n") {
			t.Errorf("%s: %q", h.Key, h.Value)
		}
	}
}

func FuzzAppend(f *testing.F) {
	for _, c := range cases {
		f.Add(c.f.Title, c.f.Why, c.f.ScopeID, c.f.Tool, c.f.User, strings.Join(c.f.Tags, ","), c.f.Measure)
	}
	f.Fuzz(func(t *testing.T, title, why, id, tool, user, tags, measure string) {
		in := export
		in.Title, in.Why, in.ScopeID, in.Agent, in.Tool, in.User, in.Measure = title, why, id, id, tool, user, measure
		in.Tags = strings.Split(tags, ",")
		in.Refs = []event.Ref{{Time: 1, ID: title, Agent: user}, {Time: 2, ID: id, Agent: id}}
		if measure == "" {
			in.Unit, in.Observed, in.Expected = "", "", ""
		}
		record := (&OCSF{Version: tags}).Append(nil, &in)
		if err := check(record); err != nil {
			t.Fatalf("%v\n%.2000s", err, record)
		}
		got, truncated, err := Read(record)
		if err != nil {
			t.Fatal(err)
		}
		want := cleaned(in)
		if want.Refs[0].Agent == "" {
			want.Refs[0].Agent = want.Agent
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" && !truncated {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		for _, line := range strings.Split(string((&Text{}).Append(nil, &in)), "\n") {
			if i := strings.IndexFunc(line, hidden); i >= 0 {
				t.Fatalf("terminal gets %q", line[i:])
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	o := &OCSF{Version: "0.1.0"}
	for _, i := range []int{0, 1, 4} {
		b.Run(cases[i].name, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = o.Append(buf[:0], &cases[i].f)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	o := &OCSF{Version: "0.1.0"}
	buf := make([]byte, 0, MaxRecord)
	for _, c := range cases[:len(cases)-1] {
		if n := testing.AllocsPerRun(100, func() { o.Append(buf[:0], &c.f) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// Two records of one finding never share metadata.uid, and the same record always has the same one.
func TestUpdatesOfAFindingHaveIdsOfTheirOwn(t *testing.T) {
	base := event.Finding{UID: "7c1f", Activity: event.Update, Count: 3, Severity: event.Medium, Observed: "12",
		Last: 1_700_000_000_000, Why: "x"}
	seen := map[string]string{}
	for name, change := range map[string]func(*event.Finding){
		"as it is": func(*event.Finding) {}, "created": func(f *event.Finding) {
			f.Activity = event.Create
		}, "severity": func(f *event.Finding) { f.Severity = event.High },
		"observed": func(f *event.Finding) { f.Observed = "24" }, "newest": func(f *event.Finding) {
			f.Last++
		}, "count": func(f *event.Finding) { f.Count++ },
		"scope": func(f *event.Finding) { f.ScopeID = "a" }, "outcome": func(f *event.Finding) {
			f.Alert = true
		}, "why": func(f *event.Finding) { f.Why = "y" },
	} {
		f := base
		change(&f)
		again := f
		id, same := string(appendRevision(nil, &f)), string(appendRevision(nil, &again))
		if other, taken := seen[id]; taken || id != same {
			t.Errorf("%s has the id of %q: %s, %s", name, other, id, same)
		}
		seen[id] = name
		var metadata struct {
			Metadata struct {
				UID string `json:"uid"`
			} `json:"metadata"`
		}
		f.Now = 5 // the wall clock is no part of it
		if err := json.Unmarshal((&OCSF{}).Append(nil, &f), &metadata); err != nil ||
			metadata.Metadata.UID != "7c1f"+id {
			t.Errorf("%s: %q, %v", name, metadata.Metadata.UID, err)
		}
		for _, h := range (&OCSF{}).Headers(&f) {
			if h.Key == "ce_id" && string(h.Value) != "7c1f"+id {
				t.Errorf("%s: ce_id %s", name, h.Value)
			}
		}
	}
}
