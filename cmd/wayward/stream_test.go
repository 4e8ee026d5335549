package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// take returns the first n records, one a line.
func take(o streamOptions, n int) []byte {
	s := newStream(o)
	var out []byte
	for range n {
		out = append(s.next(out), '\n')
	}
	return out
}

func TestStreamIsAFunctionOfItsOptions(t *testing.T) {
	o := streamOptions{Seed: 7, Attacks: true, Disorder: 2000}
	first := take(o, 20_000)
	if !bytes.Equal(first, take(o, 20_000)) {
		t.Error("the same options gave other bytes")
	}
	o.Seed = 8
	if bytes.Equal(first, take(o, 20_000)) {
		t.Error("another seed gave the same bytes")
	}
}

func TestStreamRecordsAreWhatTheWireAsksFor(t *testing.T) {
	for name, o := range map[string]streamOptions{
		"woven":  {Seed: 1, Attacks: true, Disorder: 500, Size: 900},
		"lean":   {Seed: 2, Attacks: true, Size: minStreamSize},
		"plain":  {Seed: 3, Plain: true},
		"small":  {Seed: 4, Attacks: true, Rate: 3, Tenants: 1, Agents: 1},
		"tenths": {Seed: 5, Attacks: true, Rate: 0.01, Tenants: 12, Agents: 50},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStream(o)
			ids, sessions := map[string]bool{}, map[string]string{}
			kinds := map[string]int{}
			var d event.Decoder
			for range 6000 {
				record := s.next(nil)
				var e struct {
					V        int
					ID       string
					Time     any
					Kind     string
					Tenant   string
					Persona  string
					Agent    struct{ ID string }
					User     string
					Session  string
					Tool     struct{ Name, Class string }
					Result   struct{ Outcome string }
					Args     map[string]string
					Duration float64 `json:"duration_ms"`
				}
				if err := json.Unmarshal(record, &e); err != nil {
					t.Fatalf("%v in %s", err, record)
				}
				var ms int64
				switch at := e.Time.(type) {
				case float64:
					ms = int64(at)
				case string:
					when, err := time.Parse("2006-01-02T15:04:05.000Z", at)
					if err != nil {
						t.Fatalf("%v in %s", err, record)
					}
					ms = when.UnixMilli()
				}
				if ms != s.time {
					t.Fatalf("time is %d, the stream says %d", ms, s.time)
				}
				if e.Tenant+"|"+e.Agent.ID != string(s.key) {
					t.Fatalf("key is %s|%s, the stream says %s", e.Tenant, e.Agent.ID, s.key)
				}
				if e.V != 1 || e.ID == "" || e.Kind == "" || e.Persona == "" || e.User == "" || e.Session == "" {
					t.Fatalf("something is missing in %s", record)
				}
				if e.Kind == "tool_call" && (e.Tool.Name == "" || e.Tool.Class == "" || e.Result.Outcome == "" ||
					len(e.Args) < 2 || e.Duration == 0) {
					t.Fatalf("something is missing in %s", record)
				}
				if ids[e.ID] {
					t.Fatalf("id %s comes twice", e.ID)
				}
				ids[e.ID] = true
				whose := string(s.key) + " " + e.User
				if was, ok := sessions[e.Session]; ok && was != whose {
					t.Fatalf("session %s is of %s and of %s", e.Session, was, whose)
				}
				sessions[e.Session] = whose
				kinds[e.Kind]++
				var decoded event.Event
				if err := d.Decode(record, &decoded); err != nil {
					t.Fatalf("%v in %s", err, record)
				}
			}
			if o.Plain {
				if kinds["tool_call"] != 6000 {
					t.Errorf("kinds %v, want tool calls alone", kinds)
				}
			} else if kinds["message"] < 100 || kinds["model_call"] < 100 {
				t.Errorf("kinds %v, want some messages and model calls", kinds)
			}
		})
	}
}

func TestStreamKeepsEachAgentsOrderUnderDisorder(t *testing.T) {
	for _, disorder := range []int64{0, 50, 2000} {
		s := newStream(streamOptions{Seed: 1, Disorder: disorder, Attacks: true, Start: 1_000_000})
		newest, worst, last := int64(0), int64(0), map[string]int64{}
		var buf []byte
		for i := range 100_000 {
			buf = s.next(buf[:0])
			if i == 0 && s.time != 1_000_000 {
				t.Errorf("the first event is at %d, want the start", s.time)
			}
			if before := last[string(s.key)]; s.time < before {
				t.Fatalf("%s goes back from %d to %d", s.key, before, s.time)
			}
			last[string(s.key)] = s.time
			newest = max(newest, s.time)
			worst = max(worst, newest-s.time)
		}
		if worst > disorder || worst < disorder*8/10 {
			t.Errorf("with disorder %d ms records come up to %d ms late", disorder, worst)
		}
	}
}

func TestStreamKeepsRateAndSize(t *testing.T) {
	for _, rate := range []float64{20, 2000, 1e6} {
		for _, size := range []int{minStreamSize, 2000, 20_000} {
			s := newStream(streamOptions{Seed: 3, Rate: rate, Size: size, Attacks: true})
			n, total, largest, start := 20_000, 0, 0, int64(0)
			var buf []byte
			for i := range n {
				buf = s.next(buf[:0])
				total += len(buf)
				largest = max(largest, len(buf))
				if i == 0 {
					start = s.time
				}
			}
			if got := total / n; math.Abs(float64(got-size)) > 0.1*float64(size) {
				t.Errorf("rate %v: records have %d bytes on average, want %d", rate, got, size)
			}
			if largest > event.MaxSize {
				t.Errorf("size %d: a record has %d bytes", size, largest)
			}
			if got, want := float64(s.time-start), float64(n)/rate*1000; math.Abs(got-want) > 0.05*want+2 {
				t.Errorf("rate %v: %d events last %v ms, want %v", rate, n, got, want)
			}
		}
	}
}

func TestStreamPlainRecordsHaveExactlyTheirSize(t *testing.T) {
	for _, size := range []int{minStreamSize, 1024} {
		// Many tenants, agents and users have long names and numbers.
		s := newStream(streamOptions{Seed: 1, Plain: true, Size: size, Tenants: 12, Agents: 100_000, Rate: 1e6})
		var buf []byte
		for range 30_000 {
			if buf = s.next(buf[:0]); len(buf) != size {
				t.Fatalf("a record has %d bytes, want %d: %s", len(buf), size, buf)
			}
		}
	}
}

// tally adds up what the default limits look at.
type tally struct{ calls, records int64 }

type tallies map[string]*tally

func (m tallies) add(key []byte, records int64) *tally {
	c := m[string(key)]
	if c == nil {
		c = &tally{}
		m[string(key)] = c
	}
	c.calls++
	c.records += records
	return c
}

// count returns sums per session and per tenant and user, of all kinds of events.
func count(t *testing.T, o streamOptions, n int, each func(s *stream, e *event.Event)) (sessions, users tallies) {
	t.Helper()
	s := newStream(o)
	sessions, users = tallies{}, tallies{}
	var d event.Decoder
	var e event.Event
	var buf, key []byte
	for range n {
		buf = s.next(buf[:0])
		d.Reset()
		if err := d.Decode(buf, &e); err != nil {
			t.Fatalf("%v in %s", err, buf)
		}
		sessions.add(append(key[:0], e.Session...), e.Result.Records)
		key = append(append(append(key[:0], e.Tenant...), '|'), e.User...)
		users.add(key, e.Result.Records)
		if each != nil {
			each(s, &e)
		}
	}
	return sessions, users
}

func TestStreamBenignWorkStaysBelowTheLimits(t *testing.T) {
	for name, c := range map[string]struct {
		o streamOptions
		n int
	}{
		"10 minutes at 2000/s":      {streamOptions{Seed: 1}, 1_200_000},
		"a whole hour at 60/s":      {streamOptions{Seed: 2, Rate: 60}, 216_000},
		"10 minutes, fixed":         {streamOptions{Seed: 3, Rate: 300, Plain: true, Agents: 300}, 180_000},
		"an hour of three a second": {streamOptions{Seed: 4, Rate: 3, Agents: 12}, 10_800},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sessions, users := count(t, c.o, c.n, nil)
			var worst tally
			for _, s := range sessions {
				worst.calls = max(worst.calls, s.calls)
			}
			if worst.calls > 200 {
				t.Errorf("a session has %d calls, limit 200", worst.calls)
			}
			worst = tally{}
			for _, u := range users {
				worst.calls, worst.records = max(worst.calls, u.calls), max(worst.records, u.records)
			}
			if worst.calls > 450 || worst.records > 5000 {
				t.Errorf("a user has %d calls and %d records, limits 450 and 5000", worst.calls, worst.records)
			}
			t.Logf("%d users, most calls %d, most records %d", len(users), worst.calls, worst.records)
		})
	}
}

func TestStreamShowsEachAttack(t *testing.T) {
	policies, errs := policy.Load("../../configs")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	broken := map[attackKind]int{}
	truth := map[attackKind]int{}
	kindOf := map[string]attackKind{} // by session, and by tenant and user
	var found []policy.Violation
	sessions, users := count(t, streamOptions{Seed: 1, Attacks: true, Disorder: 1000}, 120_000,
		func(s *stream, e *event.Event) {
			truth[s.attack]++
			if s.attack != noAttack {
				// The decoder's strings live in the record.
				kindOf[strings.Clone(e.Session)], kindOf[e.Tenant+"|"+e.User] = s.attack, s.attack
			}
			if found = policies.Persona(e.Tenant, e.Persona).Check(e, found[:0]); len(found) > 0 {
				broken[s.attack]++
				if s.attack == noAttack {
					t.Fatalf("benign work breaks %+v with %s of %s", found, e.Tool.Name, s.key)
				}
			}
		})
	long, crowded, pulled := map[attackKind]int{}, map[attackKind]int{}, map[attackKind]int{}
	for id, s := range sessions {
		if s.calls > 200 {
			long[kindOf[id]]++
		}
	}
	for id, u := range users {
		if u.calls > 450 {
			crowded[kindOf[id]]++
		}
		if u.records > 5000 {
			pulled[kindOf[id]]++
		}
	}
	for _, c := range []struct {
		what string
		got  map[attackKind]int
		kind attackKind
	}{
		{"sessions of over 200 calls", long, looping},
		{"users with over 450 calls", crowded, fanOut},
		{"users with over 5000 records", pulled, export},
	} {
		if len(c.got) != 1 || c.got[c.kind] < 5 {
			t.Errorf("%s: %v, want at least 5 of %v and nothing else", c.what, c.got, c.kind)
		}
	}
	if broken[tampering] < 20 || broken[diversion] < 15 || len(broken) != 2 {
		t.Errorf("violations %v, want many of tampering and diversion and nothing else", broken)
	}
	if all := 120_000 - truth[noAttack]; all > 120_000/8 {
		t.Errorf("%d of 120000 events are attacks %v, want them rare", all, truth)
	}
	t.Logf("events %v, long %v, crowded %v, pulled %v, violations %v", truth, long, crowded, pulled, broken)
}

func TestStreamAttacksShowInAShortDemo(t *testing.T) {
	for _, rate := range []float64{2000, 5000} {
		starts := map[attackKind]map[string]bool{}
		for k := export; k <= fanOut; k++ {
			starts[k] = map[string]bool{}
		}
		count(t, streamOptions{Seed: 9, Rate: rate, Attacks: true, Agents: 200, Disorder: 300}, int(20*rate),
			func(s *stream, e *event.Event) {
				if s.attack != noAttack {
					starts[s.attack][e.Tenant+"|"+e.User] = true
				}
			})
		for k, users := range starts {
			if len(users) < 3 {
				t.Errorf("at %v/s: %d of %v in 20 s, want 3", rate, len(users), k)
			}
		}
	}
}

// judged is what the engine makes of a made-up stream under the example policies.
func judged(t *testing.T, generate string) (findings, commands []map[string]any) {
	t.Helper()
	dir := t.TempDir()
	stream, fs, cs := filepath.Join(dir, "e.jsonl.zst"), filepath.Join(dir, "f.jsonl"), filepath.Join(dir, "c.jsonl")
	for _, args := range [][]string{
		append([]string{"generate", "--output", stream}, strings.Fields(generate)...),
		{"replay", "--input", stream, "--flush", "--quiet", "--policies", "../../configs", "--output", fs, "--commands",
			cs},
	} {
		if code, _, errs := wayward(t, args...); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
	}
	for name, to := range map[string]*[]map[string]any{fs: &findings, cs: &commands} {
		b, err := os.ReadFile(name)
		must(t, err)
		for line := range bytes.Lines(b) {
			var x map[string]any
			must(t, json.Unmarshal(line, &x))
			*to = append(*to, x)
		}
	}
	return findings, commands
}

func TestTheExamplesFindNothingInBenignWork(t *testing.T) {
	for _, generate := range []string{
		"--seed 1 --rate 2000 --events 240000",
		"--seed 3 --rate 500 --events 400000",
		"--seed 6 --rate 3 --agents 30 --events 260000", // a day
	} {
		t.Run(generate, func(t *testing.T) {
			findings, commands := judged(t, generate+" --attacks=false")
			for _, f := range findings[:min(3, len(findings))] {
				t.Errorf("%v", f["message"])
			}
			if len(commands) > 0 {
				t.Errorf("%d commands", len(commands))
			}
		})
	}
}

// A minute has ten attacks of each kind.
func TestTheExamplesFindEveryAttackAndSayWhatToDo(t *testing.T) {
	findings, commands := judged(t, "--seed 1 --events 120000")
	rules := map[string]int{}
	for _, f := range findings {
		if f["activity_id"] == 1.0 {
			rules[f["finding_info"].(map[string]any)["analytic"].(map[string]any)["uid"].(string)]++
		}
	}
	for rule, least := range map[string]int{
		"limit/builtin-user-records-hour": 8, "limit/builtin-session-calls": 8, "limit/builtin-user-calls-hour": 8,
		"policy/persona/analyst/class":        8,
		"policy/persona/payments/destination": 8, "limit/retries-per-session": 8,
	} {
		if rules[rule] < least {
			t.Errorf("%d findings of %s, want %d", rules[rule], rule, least)
		}
	}
	actions := map[string]int{}
	for _, c := range commands {
		actions[c["action"].(string)]++
		if c["mode"] != "dry_run" {
			t.Errorf("the examples switch something off: %v", c)
		}
	}
	if actions["block"] < 5 || actions["throttle"] < 5 || actions["escalate"] == 0 {
		// the last by the guard, since many agents of one persona stray
		t.Errorf("commands %v", actions)
	}
	t.Logf("%v %v", rules, actions)
}

func TestGenerateSaysWhatIsWrong(t *testing.T) {
	for flags, want := range map[string]string{
		"--events 0":                    "--events 0: use at least 1",
		"--rate 0":                      "--rate 0: use 0.01",
		"--rate NaN":                    "--rate NaN",
		"--tenants 5 --agents 4":        "every tenant needs one",
		"--tenants 5 --agents 10":       "use at least 20, or --attacks=false",
		"--size 100":                    "--size 100: use 640",
		"--disorder 2h":                 "--disorder 2h0m0s: use 0s to 1h",
		"--disorder 10us":               "whole milliseconds",
		"--start yesterday":             "not a time",
		"--plain --attacks":             "leave --attacks out",
		"--events 100000000 --rate .01": "hundred years",
		"--size 1 --events 0":           "--events 0: use at least 1\n--size 1",
		"extra":                         "unknown command",
		"--output /nowhere/at/all":      "output: open /nowhere/at/all",
	} {
		cmd := newGenerate()
		cmd.SetArgs(strings.Fields(flags))
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		var out bytes.Buffer
		cmd.SetOut(&out)
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", flags, err, want)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	for name, o := range map[string]streamOptions{
		"woven": {Seed: 1, Rate: 20_000, Agents: 1000, Disorder: 2000, Attacks: true},
		"plain": {Seed: 1, Agents: 10_000, Plain: true},
	} {
		b.Run(name, func(b *testing.B) {
			s := newStream(o)
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			b.SetBytes(640)
			for b.Loop() {
				buf = s.next(buf[:0])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
