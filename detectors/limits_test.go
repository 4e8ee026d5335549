package detectors

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/policy"
)

func TestADayIsAsLongAsItsZoneMakesIt(t *testing.T) {
	for _, c := range []struct {
		zone, day string
		hours     int64
	}{
		{"Europe/Berlin", "2026-03-29", 23}, {"Europe/Berlin", "2026-10-25", 25}, {"Europe/Berlin", "2026-10-26", 24},
		{"America/New_York", "2026-03-08", 23},
		{"America/New_York", "2026-11-01", 25}, {"Africa/Cairo", "2026-04-24", 23},
		{"Asia/Kathmandu", "2026-03-29", 24}, {"UTC", "2026-03-29", 24},
	} {
		z := zone(t, c.zone)
		day, err := time.ParseInLocation(time.DateOnly, c.day, z)
		if err != nil {
			t.Fatal(err)
		}
		k := localtime.CalendarIn(z)
		mid := day.Add(12 * time.Hour).UnixMilli()
		index, n := indexOf(policy.Day, k.On(mid)), int64(0)
		for at := mid - 30*3_600_000; at < mid+30*3_600_000; at += 900_000 {
			if indexOf(policy.Day, k.On(at)) == index {
				n += 900_000
			}
		}
		if n != c.hours*3_600_000 {
			t.Errorf("%s in %s has %v, want %d hours", c.day, c.zone, time.Duration(n)*time.Millisecond, c.hours)
		}
	}
}

func TestClocksAgreeWithTheCalendarWhateverTheyWereAskedBefore(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe",
		"Asia/Kathmandu", "Pacific/Chatham", "Pacific/Apia", "America/Santiago", "UTC"} {
		z := zone(t, name)
		k, fresh := localtime.CalendarIn(z), func() *localtime.Calendar { return localtime.CalendarIn(z) }
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		type seen struct{ day, week, month string }
		named := map[[3]int64]seen{}
		for range 20_000 {
			at += r.Int64N(24*3_600_000) - 11*3_600_000
			local := time.UnixMilli(at).In(z)
			year, week := local.ISOWeek()
			want := seen{local.Format(time.DateOnly), fmt.Sprint(year, week), local.Format("2006-01")}
			got := [3]int64{indexOf(policy.Day, k.On(at)), indexOf(policy.Week, k.On(at)), indexOf(policy.Month, k.On(at))}
			if other := (&[3]int64{indexOf(policy.Day, fresh().On(at)), indexOf(policy.Week, fresh().On(at)),
				indexOf(policy.Month, fresh().On(at))}); got != *other {
				t.Fatalf("%s: %v: %v after other questions, %v at first", name, local, got, *other)
			}
			if was, known := named[got]; known && was != want {
				t.Fatalf("%s: %v is taken for %v", name, local, was)
			}
			named[got] = want
		}
		days := map[seen]bool{}
		for _, s := range named {
			if days[s] {
				t.Fatalf("%s: %v has two numbers", name, s)
			}
			days[s] = true
		}
		if len(days) < 300 {
			t.Fatalf("%s: %d days: the test has lost its teeth", name, len(days))
		}
	}
}

func TestNoBucketAboveOneAgentLiesInTwoDays(t *testing.T) { // so that a bucket's start tells its day
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham",
		"Australia/Lord_Howe", "Africa/Monrovia", "America/Caracas", "Asia/Pyongyang", "Antarctica/Troll",
		"America/St_Johns"} {
		z := zone(t, name)
		for at := time.Date(1973, 1, 1, 0, 0, 0, 0, time.UTC).In(z); at.Year() < 2038; {
			if _, offset := at.Zone(); int64(offset)*1000%BucketMS != 0 {
				t.Errorf("%s was %d s from UTC at %v", name, offset, at)
			}
			_, end := at.ZoneBounds()
			if end.IsZero() {
				break
			}
			if at = end; at.Year() < 2038 && at.UnixMilli()%BucketMS != 0 {
				t.Errorf("%s changes its offset at %v", name, at)
			}
		}
	}
}

func TestPartialsAreTheMergedBucketsOfTheirEvents(t *testing.T) {
	for round := range uint64(30) {
		r := rand.New(rand.NewPCG(9, round))
		var all Partials
		for slice := range 3 { // what was allocated is used again
			want := map[string]*Bucket{}
			for range 300 {
				ref := event.Ref{Time: int64(r.IntN(12_000)), ID: fmt.Sprint("e", r.IntN(50)),
					Agent: fmt.Sprint("a", r.IntN(3))}
				var list []Contribution
				for _, meter := range r.Perm(4)[:1+r.IntN(4)] {
					k := Contribution{Meter: uint64(meter), Sums: &Sums{1, r.Int64N(50), r.Int64N(50), r.Int64N(50)},
						Mask: uint8(meter) << 1}
					if meter == 3 {
						k.Mask, k.Keep, k.Seen = baselines.CountDistinct, 6, r.Uint64N(12)+1
					}
					list = append(list, k)
				}
				tenant, id, scope := fmt.Sprint("t", r.IntN(2)), fmt.Sprint("u", r.IntN(8)), policy.Scope(3+r.IntN(2))
				add := func(p *Partials) {
					p.Add(2, scope, tenant, 7, id, xxhash.Sum64String(ref.Agent), ref, ref.Time/BucketMS, list)
				}
				add(&all)
				var one Partials
				add(&one)
				one.Each(func(b *Bucket) {
					key := fmt.Sprint(scope, tenant, id, b.Index)
					if want[key] == nil {
						want[key] = &Bucket{Slot: b.Slot, Scope: b.Scope, Tenant: b.Tenant, ID: strings.Clone(b.ID),
							Index: b.Index}
					}
					want[key].Merge(b)
				})
			}
			got := 0
			all.Each(func(b *Bucket) {
				got++
				w := want[fmt.Sprint(b.Scope, b.Tenant, b.ID, b.Index)]
				if diff := gocmp.Diff(w, b); diff != "" {
					t.Fatalf("round %d/%d (-merged +partials):\n%s", round, slice, diff)
				}
			})
			if got != len(want) || got != all.Len() || got < 20 {
				t.Fatalf("round %d/%d: %d buckets of %d", round, slice, got, len(want))
			}
			all.Reset()
		}
	}
}

// pay is a payment of so many euros.
func payment(t int64, id, agent, user, to string, euros int64) event.Event {
	e := amount(call(t, id), euros, "EUR")
	e.Agent.ID, e.User = agent, user
	e.Tool.Class, e.Destination = event.Pay, event.Destination{Kind: "iban", Value: to}
	return e
}

// sentences are what was said of crossings, updates left out.
func sentences(h *host) (out []string) {
	for i := range h.found {
		if f := &h.found[i]; f.Activity == event.Create && f.Detector != "volume" {
			// that a budget burns is another matter
			out = append(out, f.Rule+": "+f.Why)
		}
	}
	return out
}

func TestFiftyPaymentsBelowTheLimitAreSeenPerUserPerBeneficiaryAndPerPair(t *testing.T) {
	const call = `"id":"one","scope":"call","measure":"amount","currency":"EUR","max":"500"`
	per := func(scope string) string {
		return fmt.Sprintf(
			`"id":"per-%s","scope":%q,"measure":"amount","currency":"EUR","max":"10000","window":"1d","kind":"calendar","zone":"Europe/Berlin"`,
			strings.ReplaceAll(scope, "+", "-"), scope)
	}
	set := limits(call, per("agent"), per("user"), per("beneficiary"), per("user+beneficiary"))
	at := time.Date(2026, 3, 29, 0, 30, 0, 0, zone(t, "Europe/Berlin")).UnixMilli()
	spellings := []string{"DE89370400440532013000", "de89 3704 0044 0532 0130 00", " DE89-3704-0044-0532-0130-00"}

	h := newHost(t, set)
	for i := range int64(50) { // 50 × 500, by ten agents of one user, spread over the 23 hours of the day
		e := payment(at+i*1_500_000, fmt.Sprint("e", i), fmt.Sprint("a", i%10), "jo|e", spellings[i%3], 500)
		h.observe(&e)
	}
	h.close(math.MaxInt64)
	if diff := gocmp.Diff([]string{
		`per-beneficiary: beneficiary "de89370400440532013000" reached 10500.00 EUR on 2026-03-29 (Europe/Berlin); the limit is 10000.00`,
		`per-user-beneficiary: user "jo|e" and beneficiary "de89370400440532013000" reached 10500.00 EUR on 2026-03-29 (Europe/Berlin); the limit is 10000.00`,
		`per-user: user "jo|e" reached 10500.00 EUR on 2026-03-29 (Europe/Berlin); the limit is 10000.00`,
	}, sorted(sentences(h))); diff != "" {
		t.Error(diff)
	}
	for _, f := range h.found {
		if f.Rule == "per-user-beneficiary" && (f.User != "jo|e" || f.Target != "de89370400440532013000" ||
			f.ScopeID != "jo%7Ce|de89370400440532013000" || f.Agent != "") {
			t.Errorf("who is meant: %+v", f)
		}
	}

	h = newHost(t, set) // the same by five users is seen at the beneficiary alone
	for i := range int64(50) {
		e := payment(at+i*1_500_000, fmt.Sprint("e", i), fmt.Sprint("a", i%10), fmt.Sprint("u", i%5), spellings[i%3],
			500)
		h.observe(&e)
	}
	h.close(math.MaxInt64)
	if got := sentences(h); len(got) != 1 || !strings.HasPrefix(got[0], "per-beneficiary:") {
		t.Errorf("got %q", got)
	}

	h = newHost(t, set) // half of it before midnight
	for i := range int64(38) {
		e := payment(at-(30+38)*60_000+i*120_000, fmt.Sprint("e", i), fmt.Sprint("a", i%10), "u1", spellings[i%3], 500)
		h.observe(&e)
	}
	h.close(math.MaxInt64)
	if got := sentences(h); len(got) != 0 {
		t.Errorf("two days are taken for one: %q", got)
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

func TestWhatLimitsSay(t *testing.T) {
	at := time.Date(2026, 10, 25, 12, 0, 0, 0, time.UTC).UnixMilli()
	numbered := func(n int, change func(i int, e *event.Event)) (out []event.Event) {
		for i := range n {
			e := call(at+int64(i)*1000, "e"+strconv.Itoa(i))
			change(i, &e)
			out = append(out, e)
		}
		return out
	}
	for name, c := range map[string]struct {
		limit  string
		events []event.Event
		want   []string
	}{
		"errors": {`"id":"a.b.c","scope":"agent","measure":"errors","max":"1","window":"10m"`,
			numbered(4, func(i int, e *event.Event) { e.Result.Outcome = event.Outcome(1 + i%2) }),
			[]string{`a.b.c: agent "a1" reached 2 errors within 10m; the limit is 1`}},
		"denials, by the gateway's verdict or the outcome": {
			`"id":"d","scope":"agent","measure":"denials","max":"1","window":"10m"`,
			numbered(3, func(i int, e *event.Event) {
				switch i {
				case 0:
					e.Policy.Verdict = "deny"
				case 2:
					e.Result.Outcome = event.Denied
				}
			}), []string{`d: agent "a1" reached 2 denials within 10m; the limit is 1`}},
		"retries are repeats, not calls": {`"id":"r","scope":"session","measure":"retries","max":"2"`,
			numbered(9, func(i int, e *event.Event) { e.Args = []byte(`{"id":` + strconv.Itoa(i%3) + `}`) }),
			[]string{`r: session "s1" reached 3 retries in its session; the limit is 2`}},
		"keys in another order, white space and a digest beside them are no other arguments": {
			`"id":"r","scope":"session","measure":"retries","max":"2"`, numbered(4, func(i int, e *event.Event) {
				e.Args = []byte([]string{`{"id":1,"to":"x"}`, `{"to":"x", "id":1.0}`, "{\"to\":\"\\u0078\",\n\"id\":1}",
					`{"id":1e0,"to":"x"}`}[i])
				e.ArgsDigest = strconv.Itoa(i)
			}), []string{`r: session "s1" reached 3 retries in its session; the limit is 2`}},
		"other arguments are no retry": {`"id":"r","scope":"session","measure":"retries","max":"0"`,
			numbered(9, func(i int, e *event.Event) { e.Args = []byte(`{"id":` + strconv.Itoa(i) + `}`) }), nil},
		"arguments that nobody knows are no retry": {`"id":"r","scope":"session","measure":"retries","max":"0"`,
			numbered(9, func(i int, e *event.Event) {}), nil},
		"another tool is no retry": {`"id":"r","scope":"session","measure":"retries","max":"0"`,
			numbered(2, func(i int, e *event.Event) {
				e.ArgsDigest, e.Tool.Name = "d", strconv.Itoa(i)
			}), nil},
		"a repeat after 32 other calls is none": {`"id":"r","scope":"session","measure":"retries","max":"0"`,
			numbered(34, func(i int, e *event.Event) { e.ArgsDigest = strconv.Itoa(i % 33) }), nil},
		"after 31 it is one": {`"id":"r","scope":"session","measure":"retries","max":"0"`,
			numbered(33, func(i int, e *event.Event) { e.ArgsDigest = strconv.Itoa(i % 32) }),
			[]string{`r: session "s1" reached 1 retries in its session; the limit is 0`}},
		"distinct subjects": {`"id":"s","scope":"session","measure":"distinct_subjects","max":"2"`,
			numbered(9, func(i int, e *event.Event) { e.Subject = []string{"", "x", "y", "x", "z"}[i%5] }),
			[]string{`s: session "s1" reached 3 distinct subjects in its session; the limit is 2`}},
		"a resource is its type and its id": {`"id":"s","scope":"session","measure":"distinct_resources","max":"2"`,
			numbered(3, func(i int, e *event.Event) {
				e.Resource = event.Resource{Type: []string{"a", "b", "a"}[i], ID: []string{"1", "1", "2"}[i]}
			}), []string{`s: session "s1" reached 3 distinct resources in its session; the limit is 2`}},
		"a URL is its host": {`"id":"s","scope":"session","measure":"distinct_destinations","max":"0"`,
			numbered(3, func(i int, e *event.Event) {
				e.Destination = event.Destination{Kind: "url", Value: "https://X.example/" + strconv.Itoa(i)}
			}), []string{`s: session "s1" reached 1 distinct destinations in its session; the limit is 0`}},
		"a call by itself": {`"id":"c","scope":"call","measure":"amount","currency":"EUR","max":"500"`,
			numbered(3, func(i int, e *event.Event) { *e = amount(*e, int64(499+i), "EUR") }),
			[]string{`c: call "e2" reached 501.00 EUR; the limit is 500.00`}},
		"a call in another currency": {`"id":"c","scope":"call","measure":"amount","currency":"EUR","max":"500"`,
			numbered(1, func(i int, e *event.Event) { *e = amount(*e, 501, "USD") }), nil},
		"a week": {
			`"id":"w","scope":"agent","measure":"count","max":"1","kind":"calendar","window":"1w","zone":"Europe/Berlin"`,
			numbered(2, func(i int, e *event.Event) {}),
			[]string{`w: agent "a1" reached 2 calls in the week from 2026-10-19 (Europe/Berlin); the limit is 1`}},
		"a month, of the tenant's zone": {
			`"id":"m","scope":"agent","measure":"count","max":"1","kind":"calendar","window":"1mo"`,
			numbered(2, func(i int, e *event.Event) {}),
			[]string{`m: agent "a1" reached 2 calls in 2026-10 (UTC); the limit is 1`}},
		"nearly too much, then too much": {
			`"id":"n","scope":"agent","measure":"count","max":"4","warn":"50%","window":"10m"`,
			numbered(5, func(i int, e *event.Event) {}),
			[]string{`n/warn: agent "a1" reached 3 calls within 10m; the limit is 4, and above 2 is nearly too much`,
				`n: agent "a1" reached 5 calls within 10m; the limit is 4`}},
		"too much at once was never nearly too much": {
			`"id":"n","scope":"agent","measure":"records","max":"4","warn":"2","window":"10m"`,
			numbered(2, func(i int, e *event.Event) { *e = records(*e, 5) }),
			[]string{`n: agent "a1" reached 5 records within 10m; the limit is 4`}},
		"where looks at labels, types, environments, outcomes, users, intents and outsiders": {
			`"id":"x","scope":"agent","measure":"count","max":"0","window":"10m","where":{"labels":["pii"],"resource_types":["cust*"],"environments":["prod"],"outcomes":["ok"],"users":["u1"],"intents":["t-*"],"external":true}`,
			numbered(8, func(i int, e *event.Event) {
				e.Resource = event.Resource{Type: "customer", Environment: "prod", Labels: []string{"x", "pii"}}
				e.Result.Outcome, e.Intent, e.Destination.External = event.OK, "t-1", event.Yes
				[]func(){func() { e.Resource.Labels = nil }, func() { e.Resource.Type = "order" },
					func() { e.Resource.Environment = "" }, func() { e.Result.Outcome = event.Error }, func() {
						e.User = "u2"
					},
					func() { e.Intent = "" }, func() { e.Destination.External = event.Unknown }, func() {}}[i]()
			}), []string{`x: agent "a1" reached 1 calls within 10m; the limit is 0`}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := newHost(t, limits(c.limit))
				h.reload = reload
				for i := range c.events {
					h.observe(&c.events[i])
				}
				if diff := gocmp.Diff(c.want, sentences(h)); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

// A signal calls nobody (EVENTS §2), and nothing is milder.
func TestAWarningIsMilderAndStopsNobody(t *testing.T) {
	h := newHost(t,
		limits(
			`"id":"n","title":"T","scope":"agent","measure":"count","max":"4","warn":"2","window":"10m","severity":"critical","respond":{"action":"block"}`,
			`"id":"m","scope":"agent","measure":"count","max":"4","warn":"2","window":"10m","severity":"informational"`))
	for i := range int64(8) {
		e := call(i, "e"+strconv.Itoa(int(i)))
		h.observe(&e)
	}
	var got []string
	for _, f := range h.found {
		got = append(got, fmt.Sprint(f.Rule, " ", f.Activity, " ", f.Severity, " ", f.Alert, " ", f.Response != nil))
	}
	if diff := gocmp.Diff([]string{"m/warn 1 informational false false", "n/warn 1 high true false",
		"m/warn 2 informational false false", "n/warn 2 high true false", "m 1 informational false false",
		"n 1 critical true true", "m 2 informational false false", "n 2 critical true true"}, got); diff != "" {
		t.Error(diff)
	}
	if f := h.found[1]; f.Rule != "n/warn" || f.Title != "Nearly: T" || f.Risk != risk(event.High) {
		t.Errorf("got %+v", f)
	}
}

func TestAHugeCountOfWhatIsDistinctSaysAtLeast(t *testing.T) {
	h := newHost(t, limits(`"id":"s","scope":"tenant","measure":"distinct_subjects","max":"300","window":"1h"`))
	for i := range int64(3000) {
		e := call(i, "e"+strconv.Itoa(int(i)))
		e.Subject = "s" + strconv.Itoa(int(i))
		h.observe(&e)
	}
	h.close(math.MaxInt64)
	if len(h.found) != 1 ||
		h.found[0].Why != `tenant "acme" reached at least 1000 distinct subjects within 1h; the limit is 300` ||
		h.found[0].Count != 3000 {
		t.Errorf("got %q", sentences(h))
	}
}

func TestCallsThatViolateNothingCostNoAllocation(t *testing.T) {
	set := fifty(t)
	p := New(set)
	v := newMeters(2, set)
	events := calls(200)
	var memory, session Memory
	host := &bare{nobody: nobody{session: &session}, partials: &Partials{}}
	x := Scene{Host: host, Who: p.Who("acme", "clerk", ""), Agent: &memory, Delta: &baselines.Delta{}}
	round := func() {
		for i := range events {
			e := &events[i]
			x.Time, x.Tool = 1, p.tool("acme", &e.Tool)
			host.ref = event.Ref{Time: x.Time, ID: e.ID, Agent: e.Agent.ID}
			v.Observe(&x, e)
		}
		host.partials.Reset()
	}
	round()
	if n := testing.AllocsPerRun(20, round); n != 0 {
		t.Errorf("%v allocations for %d calls", n, len(events))
	}
}
