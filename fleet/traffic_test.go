package fleet

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// take returns the first n records, one a line.
func newSession(o TrafficOptions, n int) []byte {
	s := NewTraffic(o)
	var out []byte
	for range n {
		out = append(s.Next(out), '\n')
	}
	return out
}

func TestTrafficIsAFunctionOfItsOptions(t *testing.T) {
	o := TrafficOptions{Seed: 7, Attacks: true, Disorder: 2000}
	first := newSession(o, 20_000)
	if !bytes.Equal(first, newSession(o, 20_000)) {
		t.Error("the same options gave other bytes")
	}
	o.Seed = 8
	if bytes.Equal(first, newSession(o, 20_000)) {
		t.Error("another seed gave the same bytes")
	}
}

func TestTrafficRecordsAreWhatTheWireAsksFor(t *testing.T) {
	for name, o := range map[string]TrafficOptions{
		"woven":  {Seed: 1, Attacks: true, Disorder: 500, Size: 900},
		"lean":   {Seed: 2, Attacks: true, Size: MinSize},
		"plain":  {Seed: 3, Plain: true},
		"small":  {Seed: 4, Attacks: true, Rate: 3, Tenants: 1, Agents: 1},
		"tenths": {Seed: 5, Attacks: true, Rate: 0.01, Tenants: 12, Agents: 50},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewTraffic(o)
			ids, sessions := map[string]bool{}, map[string]string{}
			kinds := map[string]int{}
			var d event.Decoder
			for range 6000 {
				record := s.Next(nil)
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
				if ms != s.Time {
					t.Fatalf("time is %d, the stream says %d", ms, s.Time)
				}
				if e.Tenant+"|"+e.Agent.ID != string(s.Key) {
					t.Fatalf("key is %s|%s, the stream says %s", e.Tenant, e.Agent.ID, s.Key)
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
				whose := string(s.Key) + " " + e.User
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

func TestTrafficKeepsEachAgentsOrderUnderDisorder(t *testing.T) {
	for _, disorder := range []int64{0, 50, 2000} {
		s := NewTraffic(TrafficOptions{Seed: 1, Disorder: disorder, Attacks: true, Start: 1_000_000})
		newest, worst, last := int64(0), int64(0), map[string]int64{}
		var buf []byte
		for i := range 100_000 {
			buf = s.Next(buf[:0])
			if i == 0 && s.Time != 1_000_000 {
				t.Errorf("the first event is at %d, want the start", s.Time)
			}
			if before := last[string(s.Key)]; s.Time < before {
				t.Fatalf("%s goes back from %d to %d", s.Key, before, s.Time)
			}
			last[string(s.Key)] = s.Time
			newest = max(newest, s.Time)
			worst = max(worst, newest-s.Time)
		}
		if worst > disorder || worst < disorder*8/10 {
			t.Errorf("with disorder %d ms records come up to %d ms late", disorder, worst)
		}
	}
}

func TestTrafficKeepsRateAndSize(t *testing.T) {
	for _, rate := range []float64{20, 2000, 1e6} {
		for _, size := range []int{MinSize, 2000, 20_000} {
			s := NewTraffic(TrafficOptions{Seed: 3, Rate: rate, Size: size, Attacks: true})
			n, total, largest, start := 20_000, 0, 0, int64(0)
			var buf []byte
			for i := range n {
				buf = s.Next(buf[:0])
				total += len(buf)
				largest = max(largest, len(buf))
				if i == 0 {
					start = s.Time
				}
			}
			if got := total / n; math.Abs(float64(got-size)) > 0.1*float64(size) {
				t.Errorf("rate %v: records have %d bytes on average, want %d", rate, got, size)
			}
			if largest > event.MaxSize {
				t.Errorf("size %d: a record has %d bytes", size, largest)
			}
			if got, want := float64(s.Time-start), float64(n)/rate*1000; math.Abs(got-want) > 0.05*want+2 {
				t.Errorf("rate %v: %d events last %v ms, want %v", rate, n, got, want)
			}
		}
	}
}

func TestTrafficPlainRecordsHaveExactlyTheirSize(t *testing.T) {
	for _, size := range []int{MinSize, 1024} {
		// Many tenants, agents and users have long names and numbers.
		s := NewTraffic(TrafficOptions{Seed: 1, Plain: true, Size: size, Tenants: 12, Agents: 100_000, Rate: 1e6})
		var buf []byte
		for range 30_000 {
			if buf = s.Next(buf[:0]); len(buf) != size {
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
func count(t *testing.T, o TrafficOptions, n int, each func(s *Traffic, e *event.Event)) (sessions, users tallies) {
	t.Helper()
	s := NewTraffic(o)
	sessions, users = tallies{}, tallies{}
	var d event.Decoder
	var e event.Event
	var buf, key []byte
	for range n {
		buf = s.Next(buf[:0])
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

func TestTrafficBenignWorkStaysBelowTheLimits(t *testing.T) {
	for name, c := range map[string]struct {
		o TrafficOptions
		n int
	}{
		"10 minutes at 2000/s":      {TrafficOptions{Seed: 1}, 1_200_000},
		"a whole hour at 60/s":      {TrafficOptions{Seed: 2, Rate: 60}, 216_000},
		"10 minutes, fixed":         {TrafficOptions{Seed: 3, Rate: 300, Plain: true, Agents: 300}, 180_000},
		"an hour of three a second": {TrafficOptions{Seed: 4, Rate: 3, Agents: 12}, 10_800},
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

func TestTrafficShowsEachAttack(t *testing.T) {
	policies, errs := policy.Load("../configs")
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	broken := map[Attack]int{}
	truth := map[Attack]int{}
	kindOf := map[string]Attack{} // by session, and by tenant and user
	var found []policy.Violation
	sessions, users := count(t, TrafficOptions{Seed: 1, Attacks: true, Disorder: 1000}, 120_000,
		func(s *Traffic, e *event.Event) {
			truth[s.Attack]++
			if s.Attack != NoAttack {
				// The decoder's strings live in the record.
				kindOf[strings.Clone(e.Session)], kindOf[e.Tenant+"|"+e.User] = s.Attack, s.Attack
			}
			if found = policies.Persona(e.Tenant, e.Persona).Check(e, found[:0]); len(found) > 0 {
				broken[s.Attack]++
				if s.Attack == NoAttack {
					t.Fatalf("benign work breaks %+v with %s of %s", found, e.Tool.Name, s.Key)
				}
			}
		})
	long, crowded, pulled := map[Attack]int{}, map[Attack]int{}, map[Attack]int{}
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
		got  map[Attack]int
		kind Attack
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
	if all := 120_000 - truth[NoAttack]; all > 120_000/8 {
		t.Errorf("%d of 120000 events are attacks %v, want them rare", all, truth)
	}
	t.Logf("events %v, long %v, crowded %v, pulled %v, violations %v", truth, long, crowded, pulled, broken)
}

func TestTrafficAttacksShowInAShortDemo(t *testing.T) {
	for _, rate := range []float64{2000, 5000} {
		starts := map[Attack]map[string]bool{}
		for k := export; k <= fanOut; k++ {
			starts[k] = map[string]bool{}
		}
		count(t, TrafficOptions{Seed: 9, Rate: rate, Attacks: true, Agents: 200, Disorder: 300}, int(20*rate),
			func(s *Traffic, e *event.Event) {
				if s.Attack != NoAttack {
					starts[s.Attack][e.Tenant+"|"+e.User] = true
				}
			})
		for k, users := range starts {
			if len(users) < 3 {
				t.Errorf("at %v/s: %d of %v in 20 s, want 3", rate, len(users), k)
			}
		}
	}
}

func BenchmarkTraffic(b *testing.B) {
	for name, o := range map[string]TrafficOptions{
		"woven": {Seed: 1, Rate: 20_000, Agents: 1000, Disorder: 2000, Attacks: true},
		"plain": {Seed: 1, Agents: 10_000, Plain: true},
	} {
		b.Run(name, func(b *testing.B) {
			s := NewTraffic(o)
			buf := make([]byte, 0, 4096)
			b.ReportAllocs()
			b.SetBytes(640)
			for b.Loop() {
				buf = s.Next(buf[:0])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
