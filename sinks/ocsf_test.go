package sinks

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/wayward-sec/wayward/event"
)

var update = flag.Bool("update", false, "write testdata/findings anew")

// at is a time of day on 20 November 2026, UTC.
func at(h, m, s, ms int64) int64 { return 1795132800000 + ((h*60+m)*60+s)*1000 + ms }

var export = event.Finding{
	UID: "7c1f0a52b9e84d3390c4a5d1f2e6b708", Activity: event.Create, Analytic: event.RuleAnalytic, Severity: event.High,
	Risk: 70, Alert: true,
	Tenant: "acme", Detector: "limits", Rule: "export-volume", RuleVersion: "3fa9c07d11be",
	Title: "Bytes above the limit",
	Why:   "moved 180000 bytes in 1 h; persona support may move 90000",
	Tags:  []string{"ASI02", "AML.T0086", "exfiltration"}, ScopeType: "agent", ScopeID: "agt-7731", Agent: "agt-7731",
	Persona: "support",
	Session: "s-41", User: "ana@acme.example", Tool: "crm.export", Server: "crm", Class: event.Read,
	Time: at(14, 33, 4, 812), First: at(14, 2, 11, 0), Last: at(14, 33, 4, 812), Now: at(14, 33, 5, 20), Count: 3,
	Refs: []event.Ref{{Time: at(14, 2, 11, 0), ID: "e-100", Agent: "agt-7731"},
		{Time: at(14, 20, 0, 5), ID: "e-117", Agent: "agt-7731"},
		{Time: at(14, 33, 4, 812), ID: "e-131", Agent: "agt-7731"}},
	Measure: "bytes", Observed: "180000", Expected: "90000", WindowMS: 3600000, Stage: "behaviour",
}

var surge = event.Finding{
	UID: "90b1c2d3e4f5061728394a5b6c7d8e9f", Activity: event.Create, Analytic: event.StatisticalAnalytic,
	Severity: event.High, Risk: 50, Alert: true,
	Tenant: "acme", Detector: "volume", Rule: "session/records", RuleVersion: "3fa9c1d20b7e",
	Title: "More records than usual",
	Why:   "read 212 records in session s9; persona support reads 9 in a session, at most 96 in 999 of 1,000; 1 in 500,000",
	Tags:  []string{"ASI02", "AML.T0086"}, ScopeType: "session", ScopeID: "s9", Agent: "a17", Persona: "support",
	Session: "s9", User: "ana@acme.example",
	Tool: "crm.export", Server: "crm", Class: event.Read, Time: at(10, 33, 4, 812), First: at(10, 12, 0, 0),
	Last: at(10, 33, 4, 812), Count: 24,
	Refs: []event.Ref{{Time: at(10, 12, 0, 0), ID: "e-1", Agent: "a17"},
		{Time: at(10, 20, 0, 5), ID: "e-12", Agent: "a17"}, {Time: at(10, 33, 4, 812), ID: "e-24", Agent: "a17"}},
	Stage: "behaviour",
	Anomaly: &event.Anomaly{P: 2e-6, Alpha: 2.5e-4, Family: "volume", Test: "session", Feature: "records",
		Observed: 212, Expected: 9, Low: 1, High: 96, Season: "Fri 11:00 Europe/Berlin",
		Persona: "support", Fork: "v4/gpt-x/91c2e0aa", AgentDays: 812, Agents: 41,
		Snapshot: "2026-11-19/3fa9c1d20b7e4a55", State: "active"},
}

// cases are findings as detectors make them; each has a golden record in testdata/findings.
var cases = []struct {
	name string
	f    event.Finding
}{
	{"policy-agent", event.Finding{
		UID: "0b8d4c6a1e2f37958a6b5c4d3e2f1a09", Activity: event.Create, Analytic: event.RuleAnalytic,
		Severity: event.High, Risk: 60, Alert: true,
		Tenant: "acme", Detector: "policy", Rule: "support", RuleVersion: "91c2e0aa47d3",
		Title: "Tool outside the persona",
		Why:   "called shell.run on ops; persona support may use crm.*, mail.send and 2 more",
		Tags:  []string{"ASI02", "ASI05", "AML.T0053"}, ScopeType: "agent", ScopeID: "agt-7731", Agent: "agt-7731",
		Persona: "support",
		Session: "s-41", User: "ana@acme.example", Tool: "shell.run", Server: "ops", Class: event.Exec,
		Target: "build-7.internal.example",
		Time:   at(9, 15, 2, 33), First: at(9, 15, 2, 33), Last: at(9, 15, 2, 33), Count: 1,
		Refs: []event.Ref{{Time: at(9, 15, 2, 33), ID: "e-55", Agent: "agt-7731"}}, Stage: "behaviour",
	}},
	{"limit-agent", export},
	{"limit-agent-update", func() event.Finding {
		f := export
		f.Activity, f.Count, f.Observed, f.Last = event.Update, 12, "412000", at(14, 52, 40, 1)
		f.Why = "moved 412000 bytes in 1 h; persona support may move 90000"
		return f
	}()},
	{"limit-session", event.Finding{
		UID: "5d5d09f3a1c84e0b9277aa10bb32cc43", Activity: event.Create, Analytic: event.RuleAnalytic,
		Severity: event.Medium, Risk: 40, Alert: true, Incomplete: true,
		Tenant: "acme", Detector: "limits", Rule: "deletes-per-session", RuleVersion: "aa10bb32cc43",
		Title: "Deletes above the limit",
		Why:   "deleted 6 records in session s-88; the limit is 5",
		Tags:  []string{"ASI02", "AML.T0101"}, ScopeType: "session", ScopeID: "s-88", Agent: "agt-12",
		Persona: "janitor", Session: "s-88",
		Tool: "db.delete", Server: "postgres", Class: event.Delete, Target: "table:invoices",
		Time: at(23, 59, 59, 999), First: at(23, 50, 0, 0), Last: at(23, 59, 59, 999), Count: 6,
		Refs: []event.Ref{{Time: at(23, 50, 0, 0), ID: "d1", Agent: "agt-12"},
			{Time: at(23, 51, 0, 0), ID: "d2", Agent: "agt-12"}, {Time: at(23, 52, 0, 0), ID: "d3", Agent: "agt-12"},
			{Time: at(23, 53, 0, 0), ID: "d4", Agent: "agt-12"}, {Time: at(23, 54, 0, 0), ID: "d5", Agent: "agt-12"},
			{Time: at(23, 59, 59, 999), ID: "d6", Agent: "agt-12"}},
		Measure: "count", Observed: "6", Expected: "5", Stage: "behaviour",
	}},
	{"limit-user-agents", event.Finding{
		UID: "e7a3c1d2984f4b21b0de77106f5a3c88", Activity: event.Create, Analytic: event.RuleAnalytic,
		Severity: event.Critical, Risk: 90, Alert: true,
		Tenant: "globex", Detector: "limits", Rule: "payments-per-user", RuleVersion: "c0ffee00beef",
		Title: "Payments above the limit",
		Why:   "paid 15000.50 EUR in 1 d for user bob with 3 agents; the limit is 10000 EUR",
		Tags:  []string{"ASI03", "ASI08", "AML.T0048", "AML.T0051.001"}, ScopeType: "user", ScopeID: "bob",
		Persona: "payer", User: "bob",
		Tool: "pay.transfer", Server: "bank", Class: event.Pay, Target: "DE89370400440532013000",
		Time: at(17, 0, 4, 0), First: at(8, 0, 0, 0), Last: at(17, 0, 4, 0), Count: 9,
		Refs: []event.Ref{{Time: at(8, 0, 0, 0), ID: "p1", Agent: "pay-1"},
			{Time: at(9, 0, 0, 0), ID: "p2", Agent: "pay-2"}, {Time: at(9, 30, 0, 0), ID: "p3", Agent: "pay-1"},
			{Time: at(17, 0, 4, 0), ID: "p9", Agent: "pay-3"}},
		Measure: "amount", Unit: "EUR", Observed: "15000.50", Expected: "10000", WindowMS: 86400000, Stage: "relation",
	}},
	{"signal", event.Finding{
		UID: "11112222333344445555666677778888", Activity: event.Create, Analytic: event.StatisticalAnalytic,
		Severity: event.Signal, Risk: 5,
		Tenant: "acme", Detector: "volume", Title: "More calls than usual",
		Why: "made 80 calls in 10 min; 31 were expected", ScopeType: "persona", ScopeID: "support",
		Time: at(1, 2, 3, 4), First: at(1, 2, 3, 4), Last: at(1, 2, 3, 4), Count: 1, Measure: "count", Observed: "80",
		Expected: "31", WindowMS: 600000, Stage: "relation",
	}},
	{"volume-session", surge},
	{"volume-session-update", func() event.Finding {
		f, a := surge, *surge.Anomaly
		f.Activity, f.Count, f.Last, f.Anomaly = event.Update, 48, at(10, 41, 0, 7), &a
		a.Observed, a.P = 431, 3e-9
		f.Why = "read 431 records in session s9; persona support reads 9 in a session, at most 96 in 999 of 1,000; less than 1 in a billion"
		return f
	}()},
	{"sequence-session", event.Finding{
		UID: "4a6be0d86f5a4b3fa1d8e0d1c2b3a495", Activity: event.Create, Analytic: event.StatisticalAnalytic,
		Severity: event.High, Risk: 49, Alert: true,
		Tenant: "acme", Detector: "sequence", Rule: "sequence/chain", RuleVersion: "3fa9c1d20b7e",
		Title: "Calls in an unusual order",
		Why:   "called crm.export_all after crm.search, which none of 41 agents did in 812 agent-days; usual next: crm.get_ticket 62 %, mail.reply 21 %; 1 in 250,000",
		Tags:  []string{"ASI01", "ASI02", "AML.T0053"}, ScopeType: "session", ScopeID: "s9", Agent: "a17",
		Persona: "support", Session: "s9", User: "ana@acme.example",
		Tool: "crm.export_all", Server: "crm", Class: event.Read, Time: at(11, 2, 9, 400), First: at(11, 1, 55, 0),
		Last: at(11, 2, 9, 400), Count: 3,
		Refs: []event.Ref{{Time: at(11, 1, 55, 0), ID: "e-7", Agent: "a17"},
			{Time: at(11, 2, 1, 20), ID: "e-8", Agent: "a17"}, {Time: at(11, 2, 9, 400), ID: "e-9", Agent: "a17"}},
		Stage: "behaviour",
		Anomaly: &event.Anomaly{P: 4e-6, Alpha: 2e-4, Family: "sequence", Test: "sequence", Feature: "chain",
			Persona: "support", Fork: "v4/gpt-x/91c2e0aa", AgentDays: 812, Agents: 41,
			Snapshot: "2026-11-19/3fa9c1d20b7e4a55", State: "active",
			Scores: []event.Score{{Name: "cusum", P: 2e-6}, {Name: "max", P: 3e-5}, {Name: "mean", P: .04}},
			Steps: []event.Step{
				{What: "crm.search read ticket ok", Bits: 1.2,
					Usual: []event.Usual{{What: "crm.search read ticket ok", Share: .44}}},
				{What: "crm.export_all read customer ok", Bits: 11.25,
					Usual: []event.Usual{{What: "crm.get_ticket read ticket ok", Share: .62},
						{What: "mail.reply send ticket ok", Share: .21}}},
			}},
	}},
	{"rarity-destination", event.Finding{
		UID: "b1f0d9e8c7b64a5f93827160f5e4d3c2", Activity: event.Create, Analytic: event.StatisticalAnalytic,
		Severity: event.Signal, Risk: 21,
		Tenant: "acme", Detector: "rarity", Rule: "destination/destination", RuleVersion: "3fa9c1d20b7e",
		Title: "Destination never used before",
		Why:   "sent to pastebin.example, which no agent of persona support did in 812 agent-days; 0.4 % of the days of agents bring a new destination",
		Tags:  []string{"ASI02", "AML.T0086"}, ScopeType: "agent", ScopeID: "a17", Agent: "a17", Persona: "support",
		Session: "s9",
		Tool:    "http.post", Server: "web", Class: event.Send, Target: "pastebin.example", Time: at(12, 0, 0, 1),
		First: at(12, 0, 0, 1), Last: at(12, 0, 0, 1), Count: 1,
		Refs: []event.Ref{{Time: at(12, 0, 0, 1), ID: "e-44", Agent: "a17"}}, Stage: "behaviour",
		Anomaly: &event.Anomaly{P: .004, Alpha: 8e-4, Family: "rarity", Test: "destination", Feature: "destination",
			Observed: 1, Expected: .004, Persona: "support", AgentDays: 812, Agents: 41,
			Snapshot: "2026-11-19/3fa9c1d20b7e4a55", State: "learning"},
	}},
	{"volume-outcome", func() event.Finding {
		f := surge
		f.UID, f.Rule, f.Title, f.ScopeType, f.ScopeID, f.Activity = "1c2d3e4f5061728394a5b6c7d8e9f00a",
			"outcome/denials", "Calls fail unusually often", "agent", "a17", event.Create
		f.Why = "agent a17 meets denials on first contacts as often as somebody does who guesses; of persona support 3.2 % of them fail so; 1 in 8,700,000"
		f.Anomaly = &event.Anomaly{P: 1.15e-7, Alpha: 2.5e-4, Family: "volume", Test: "outcome", Feature: "denials",
			Observed: 87e6, Expected: .032, High: .032, Persona: "support",
			AgentDays: 812, Agents: 41, Snapshot: "2026-11-19/3fa9c1d20b7e4a55", State: "active"}
		return f
	}()},
	{"hostile", event.Finding{
		UID: "deadbeefdeadbeefdeadbeefdeadbeef", Activity: event.Create, Analytic: event.BehaviouralAnalytic,
		Severity: event.Low, Risk: 25, Alert: false,
		Tenant: "acme", Detector: "rarity", Rule: "first-seen-tool", RuleVersion: "0123456789ab",
		Title: "Tool never \"seen\" before\x1b[31m",
		Why:   "called \x1b]0;owned\x07 \\ first\nline\r\nsecond\u2028third\u202egnp.exe\xff\xfe \u009b2J",
		Tags:  []string{"ASI99x", "AML.T00x", "\x00"}, ScopeType: "agent", ScopeID: "a|b%c\x1b[2J",
		Agent:   "a|b%c\x1b[2J",
		Session: "</script>", User: "\U000e0041\u200b混ぜ🙂", Tool: strings.Repeat("tool\x01", 600),
		Server: strings.Repeat("s", 2*event.MaxString+1), Class: event.Class(200), Target: "\xed\xa0\x80",
		Time: at(3, 0, 0, 0), First: at(3, 0, 0, 0), Last: at(3, 0, 0, 0), Count: 1,
		Refs: []event.Ref{{Time: at(3, 0, 0, 0), ID: "\x1bc", Agent: "a|b%c\x1b[2J"}}, Stage: "behaviour",
	}},
}

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

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("../testdata/findings", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-want +got; -update writes it):\n%s", path, cmp.Diff(string(want), string(got)))
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

func TestOnlyFindingsOfOursAreRead(t *testing.T) {
	for _, bad := range []string{"", "{}", "[]", "null",
		`{"class_uid":2004,"unmapped":{"wayward":{"schema":"wayward.finding/v2"}}}`,
		`{"type_uid":600301,"activity_id":1,"unmapped":{"wayward":{"schema":"wayward.finding/v1"}}}`} {
		if _, _, err := Read([]byte(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

func TestAnyFindingComesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	o := &OCSF{Version: "0.1.0"}
	for i := range 500 {
		f := randomFinding(r, 12)
		record := o.Append(nil, &f)
		if err := check(record); err != nil {
			t.Fatalf("finding %d: %v\n%.2000s", i, err, record)
		}
		got, truncated, err := Read(record)
		if err != nil || truncated {
			t.Fatalf("finding %d: truncated %v, error %v\n%.2000s", i, truncated, err, record)
		}
		if diff := cmp.Diff(cleaned(f), got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("finding %d (-want +got):\n%s", i, diff)
		}
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
		id, same := string(appendEdition(nil, &f)), string(appendEdition(nil, &again))
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
