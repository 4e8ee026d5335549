package sinks

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
