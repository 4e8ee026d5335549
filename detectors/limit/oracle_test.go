package limit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// counted tells whether the limit's where counts the call.
func counted(l *policy.Limit, persona string, e *event.Event) bool {
	return l.Covers(e.Tenant, persona, &e.Tool) && (l.Classes() == 0 || l.Classes()&policy.ClassBits(e) != 0) &&
		(l.Outcomes() == 0 || l.Outcomes()&(1<<e.Result.Outcome) != 0) && l.Matches(e)
}

func said(f *event.Finding) string {
	word := "created"
	if f.Activity == event.Update {
		word = "updated"
	}
	return fmt.Sprintf("%s %s by %s: %s of %s", f.Rule, word, f.Refs[len(f.Refs)-1].ID, f.Observed, f.Expected)
}

func TestLimits(t *testing.T) {
	const three = `"id":"three","scope":"agent","measure":"count","max":"3","window":"1m"`
	const money = `"id":"money","scope":"agent","measure":"amount","currency":"EUR","max":"100","window":"1h","kind":"tumbling"`
	calls := func(times ...int64) (out []event.Event) {
		for i, at := range times {
			out = append(out, detectorstest.Call(at*1000, "e"+strconv.Itoa(i+1)))
		}
		return out
	}
	for name, c := range map[string]struct {
		set    string
		events []event.Event
		want   []string
	}{
		"reaching a limit is not crossing it": {detectorstest.Limits(three), calls(0, 1, 2), nil},
		"the event that lifts the sum above the limit crosses it, once": {detectorstest.Limits(three), calls(0, 1, 2, 3, 4),
			[]string{"three created by e4: 4 of 3"}},
		"updated each time the sum doubles, with the first trigger": {detectorstest.Limits(three),
			calls(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
			[]string{"three created by e4: 4 of 3", "three updated by e4: 6 of 3", "three updated by e4: 12 of 3"}},
		"what has left the window does not count": {detectorstest.Limits(three), calls(0, 1, 2, 61, 62, 63), nil},
		"armed again once below, the next crossing is a new finding": {detectorstest.Limits(three),
			calls(0, 1, 2, 3, 100, 101, 102, 103),
			[]string{"three created by e4: 4 of 3", "three created by e8: 4 of 3"}},
		"not armed again while the sum stays above": {detectorstest.Limits(three), calls(0, 1, 2, 3, 58, 59, 59, 59, 62),
			[]string{"three created by e4: 4 of 3", "three updated by e4: 6 of 3"}},
		"a late event counts in a window that still holds it": {detectorstest.Limits(three), calls(10, 40, 41, 12),
			[]string{"three created by e4: 4 of 3"}},
		"a late event that no window holds counts nowhere": {detectorstest.Limits(three), calls(100, 101, 102, 30), nil},
		"a limit of none is crossed by the first": {
			detectorstest.Limits(`"id":"none","scope":"agent","measure":"count","max":"0","window":"1m"`), calls(0, 1, 2, 3),
			[]string{"none created by e1: 1 of 0", "none updated by e1: 2 of 0", "none updated by e1: 4 of 0"}},
		"a tumbling window starts anew": {
			detectorstest.Limits(`"id":"t","scope":"agent","measure":"count","max":"1","window":"1m","kind":"tumbling"`),
			calls(58, 59, 60, 61),
			[]string{"t created by e2: 2 of 1", "t created by e4: 2 of 1"}},
		"a session without a window counts for ever": {detectorstest.Limits(`"id":"s","scope":"session","measure":"count","max":"1"`),
			calls(0, 1_000_000), []string{"s created by e2: 2 of 1"}},
		"one event may cross several limits": {detectorstest.Limits(three,
			`"id":"two","scope":"agent","measure":"count","max":"2","window":"1m"`,
			`"id":"rows","scope":"agent","measure":"records","max":"9","window":"1m"`),
			[]event.Event{detectorstest.Call(0, "e1"), detectorstest.Call(0, "e2"), detectorstest.Records(detectorstest.Call(0, "e3"), 5), detectorstest.Records(detectorstest.Call(0, "e4"), 5)},
			[]string{"two created by e3: 3 of 2", "rows created by e4: 10 of 9", "three created by e4: 4 of 3",
				"two updated by e3: 4 of 2"}},
		"currencies are not mixed": {detectorstest.Limits(money), []event.Event{detectorstest.Amount(detectorstest.Call(0, "e1"), 90, "EUR"),
			detectorstest.Amount(detectorstest.Call(0, "e2"), 90, "USD"), detectorstest.Amount(detectorstest.Call(0, "e3"), 11, "EUR")},
			[]string{"money created by e3: 101.00 of 100.00"}},
		"money of a call that failed was not spent": {detectorstest.Limits(money), func() []event.Event {
			var out []event.Event
			for i, o := range []event.Outcome{event.Error, event.Denied, event.NotFound, event.OK, event.NoOutcome} {
				e := detectorstest.Amount(detectorstest.Call(0, "e"+strconv.Itoa(i+1)), 60, "EUR")
				e.Result.Outcome = o
				out = append(out, e)
			}
			return out
		}(), []string{"money created by e5: 120.00 of 100.00"}},
		"an attempt is not counted, its result is": {
			detectorstest.Limits(`"id":"n","scope":"agent","measure":"count","max":"1","window":"1m"`), func() []event.Event {
				out := calls(0, 0, 1, 1)
				out[0].Phase, out[1].Phase, out[2].Phase, out[3].Phase = event.Attempt, event.Result, event.Attempt,
					event.Result
				return out
			}(), []string{"n created by e4: 2 of 1"}},
		"only tool calls count": {detectorstest.Limits(`"id":"n","scope":"agent","measure":"count","max":"0","window":"1m"`),
			func() []event.Event {
				out := calls(0, 0)
				out[0].Kind, out[1].Kind = event.ModelCall, event.Message
				return out
			}(), nil},
		"a refund does not lower the sum: what is paid back moves, too": {detectorstest.Limits(money),
			[]event.Event{detectorstest.Amount(detectorstest.Call(0, "e1"), 90, "EUR"), detectorstest.Amount(detectorstest.Call(0, "e2"), -5, "EUR"),
				detectorstest.Amount(detectorstest.Call(0, "e3"), 6, "EUR")},
			[]string{"money created by e3: 101.00 of 100.00"}},
		"a batch of several currencies counts in each": {detectorstest.Limits(money), func() []event.Event {
			a, b := detectorstest.Amount(detectorstest.Call(0, "e1"), 3, "USD"), detectorstest.Amount(detectorstest.Call(0, "e2"), 0, "XXX")
			a.OtherAmounts = []event.Amount{{Micro: 60_000_000, Currency: "GBP"}, {Micro: 60_000_000, Currency: "EUR"}}
			b.OtherAmounts = []event.Amount{{Micro: -41_000_000, Currency: "EUR"}}
			return []event.Event{a, b}
		}(), []string{"money created by e2: 101.00 of 100.00"}},
		"where decides what is counted": {
			detectorstest.Limits(
				`"id":"w","scope":"agent","measure":"count","max":"1","window":"1m","where":{"classes":["delete"],"tools":["sea*"]}`),
			func() []event.Event {
				out := calls(0, 0, 0, 0)
				out[0].Tool.Class, out[1].Tool.Class, out[2].Result.Effect, out[3].Tool.Class = event.Read,
					event.Delete,
					event.Delete, event.Delete
				out[3].Tool.Name = "other"
				return out
			}(), []string{"w created by e3: 2 of 1"}},
		"sums that overflow are found once, not with every event": {
			detectorstest.Limits(`"id":"r","scope":"agent","measure":"records","max":"9","window":"1h"`), []event.Event{
				detectorstest.Records(detectorstest.Call(0, "e1"), math.MaxInt64), detectorstest.Records(detectorstest.Call(0, "e2"), math.MaxInt64), detectorstest.Records(detectorstest.Call(0, "e3"), 1),
				detectorstest.Call(0, "e4")},
			[]string{"r created by e1: 9223372036854775807 of 9"}},
		"sessions of two agents are two": {detectorstest.Limits(`"id":"s","scope":"session","measure":"count","max":"1"`),
			func() []event.Event {
				out := calls(0, 0)
				out[1].Agent.ID = "a2"
				return out
			}(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, reload := range []bool{false, true} {
				h := detectorstest.NewHost(t, c.set)
				h.Reload = reload
				for i := range c.events {
					h.Observe(&c.events[i])
				}
				var got []string
				for i := range h.Found {
					got = append(got, said(&h.Found[i]))
				}
				if diff := gocmp.Diff(c.want, got); diff != "" {
					t.Errorf("pages reloaded: %v (-want +got):\n%s", reload, diff)
				}
			}
		})
	}
}

func TestAFindingNamesItsFirstContributorsAndItsTriggerOnce(t *testing.T) {
	h := detectorstest.NewHost(t, detectorstest.Limits(`"id":"r","scope":"agent","measure":"count","max":"7","window":"1h","kind":"tumbling"`))
	for i := range int64(8) {
		e := detectorstest.Call(i*1000, "e"+strconv.Itoa(int(i)))
		h.Observe(&e)
	}
	e := detectorstest.Call(2500, "late") // in the same window; the ninth
	for i := range 8 {
		e.ID = "late" + strconv.Itoa(i)
		h.Observe(&e)
	}
	if len(h.Found) != 2 {
		t.Fatalf("%d findings, want a finding and its update", len(h.Found))
	}
	for i, f := range h.Found {
		var ids []string
		for _, r := range f.Refs {
			ids = append(ids, r.ID)
		}
		if diff := gocmp.Diff([]string{"e0", "e1", "e2", "e3", "e4", "e7"}, ids); diff != "" {
			t.Errorf("finding %d (-want +got):\n%s", i, diff)
		}
		if f.Time != 7000 || f.First != 0 || f.Count != []int64{8, 14}[i] {
			t.Errorf("finding %d: time %d, first %d, count %d", i, f.Time, f.First, f.Count)
		}
		if f.First > f.Time || f.Last < f.Time {
			t.Errorf("finding %d: its newest contributor (%d) is older than its trigger (%d)", i, f.Last, f.Time)
		}
	}
}

func TestAFindingAboveOneAgentNamesTheAgentOnlyIfItWasAlone(t *testing.T) {
	for name, c := range map[string]struct {
		agents []string // one call each, second by second
		want   string
	}{
		"one agent in several buckets":    {[]string{"a1", "a1", "a1", "a1", "a1", "a1", "a1"}, "a1"},
		"two agents in one bucket":        {[]string{"a1", "a2", "a1", "a1"}, ""},
		"two agents in different buckets": {[]string{"a1", "a1", "a1", "", "", "a2", "a2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := detectorstest.NewHost(t, detectorstest.Limits(`"id":"u","scope":"user","measure":"count","max":"3","window":"1h"`))
			for i, a := range c.agents {
				if a != "" {
					e := detectorstest.Call(int64(i)*1000, "e"+strconv.Itoa(i))
					e.Agent.ID = a
					h.Observe(&e)
				}
			}
			h.Close(math.MaxInt64)
			if len(h.Found) == 0 {
				t.Fatal("no finding")
			}
			for _, f := range h.Found {
				if f.Agent != c.want || f.ScopeID != "u1" {
					t.Errorf("got %+v, want one about u1 that names %q", f, c.want)
				}
			}
		})
	}
}

func TestAboveOneAgentEventsOfOneIdAreStillTwo(t *testing.T) { // ids are unique per agent only
	h := detectorstest.NewHost(t, detectorstest.Limits(`"id":"u","scope":"user","measure":"count","max":"1","window":"1h"`))
	for i, a := range []string{"a1", "a2"} {
		e := detectorstest.Call(int64(i)*detectors.BucketMS, "same")
		e.Agent.ID = a
		h.Observe(&e)
	}
	h.Close(math.MaxInt64)
	if len(h.Found) != 1 || len(h.Found[0].Refs) != 2 {
		t.Errorf("got %+v, want a finding with two contributors", h.Found)
	}
}

// oracle says which limits are crossed by looking at all calls ever seen.
type oracle struct {
	limit  *policy.Limit
	zone   *time.Location
	seen   []contribution
	newest int64 // number of the newest period
}

// contribution is a call, or above one agent what 5 s brought.
type contribution struct {
	at, v int64
	keys  []string // of what is distinct
	id    string   // of the last call
}

// period numbers the steps by which a limit's window moves; the window holds the last n of them.
func (o *oracle) period(t int64) (index, n int64) {
	l := o.limit
	local := time.UnixMilli(t).In(o.zone)
	step := max(1000, l.WindowMS/60)
	if l.Scope != policy.AgentScope && l.Scope != policy.SessionScope {
		step = detectors.BucketMS
	}
	switch {
	case l.Calendar == policy.Day:
		return int64(local.Year()*1000 + local.YearDay()), 1
	case l.Calendar == policy.Week:
		year, week := local.ISOWeek()
		return int64(year*100 + week), 1
	case l.Calendar == policy.Month:
		return int64(local.Year()*12) + int64(local.Month()), 1
	case l.WindowMS == 0:
		return 0, 1
	case l.Tumbling:
		return wire.FloorDiv(t, l.WindowMS), 1
	}
	return wire.FloorDiv(t, step), l.WindowMS / step
}

// add tells whether a contribution crosses the limit, or its warn level: its window's sum was at
// most that and is above it now.
func (o *oracle) add(c contribution) (crossed, warned bool) {
	index, n := o.period(c.at)
	if o.seen == nil || index > o.newest {
		o.newest = index
	}
	if index <= o.newest-n {
		return false, false
	}
	before := o.sum()
	o.seen = append(o.seen, c)
	now, l := o.sum(), o.limit
	return before <= l.Max && now > l.Max, l.Warns && before <= l.Warn && now > l.Warn && now <= l.Max
}

func (o *oracle) sum() (sum int64) {
	different := map[string]bool{}
	for _, x := range o.seen {
		if index, n := o.period(x.at); index > o.newest-n {
			sum += x.v
			for _, k := range x.keys {
				different[k] = true
			}
		}
	}
	if o.limit.Measure.Distinct() {
		return int64(len(different))
	}
	return sum
}

// worth is what a call adds to a limit; ok is false if it is nothing to the limit at all.
func worth(l *policy.Limit, e *event.Event, again bool) (v int64, key string, ok bool) {
	switch l.Measure {
	case policy.Count:
		return 1, "", true
	case policy.Records:
		return e.Result.Records, "", true
	case policy.Bytes:
		return e.Result.Bytes, "", true
	case policy.Cost:
		return e.Cost.MicroUSD, "", true
	case policy.Amount:
		if e.Amount.Currency != l.Currency || e.Result.Outcome > event.OK {
			return 0, "", e.Has&event.HasAmount != 0
		}
		return e.Amount.Micro, "", true
	case policy.Errors:
		return 1, "", e.Result.Outcome == event.Error
	case policy.Denials:
		return 1, "", e.Result.Outcome == event.Denied || e.Policy.Verdict == "deny"
	case policy.Retries:
		return 1, "", again
	case policy.DistinctSubjects:
		return 0, e.Subject, e.Subject != ""
	case policy.DistinctResources:
		return 0, e.Resource.Type + " " + e.Resource.ID, e.Resource.ID != ""
	}
	return 0, plainly(e.Destination.Value), e.Destination.Value != ""
}

func plainly(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }

// about is whom a limit counts a call for; "" if nobody.
func about(s policy.Scope, e *event.Event) string {
	payee := ""
	if e.Has&event.HasAmount != 0 || e.Tool.Class == event.Pay || e.Result.Effect == event.Pay {
		payee = plainly(e.Destination.Value)
	}
	switch s {
	case policy.AgentScope:
		return e.Agent.ID
	case policy.SessionScope:
		return e.Session
	case policy.PersonaScope:
		return e.Persona
	case policy.UserScope:
		return e.User
	case policy.TenantScope:
		return e.Tenant
	case policy.CallScope:
		return e.ID
	case policy.BeneficiaryScope:
		return payee
	case policy.UserBeneficiaryScope:
		if payee != "" && e.User != "" {
			return e.User + "|" + payee
		}
	case policy.OwnerScope:
		return e.Agent.Owner
	case policy.CredentialScope:
		return e.Agent.Credential
	case policy.ToolScope:
		return e.Tool.Server + "|" + e.Tool.Name
	case policy.ServerScope:
		return e.Tool.Server
	}
	return ""
}

// anyLimit writes a limit of a scope and a measure.
func anyLimit(r *rand.Rand, id, scope, measure string) string {
	def := map[string]any{"id": id, "scope": scope, "measure": measure, "max": strconv.Itoa(2 + r.IntN(8))}
	switch measure {
	case "records", "bytes":
		def["max"] = strconv.Itoa(10 + r.IntN(200))
	case "amount":
		def["currency"], def["max"] = []string{"EUR", "USD"}[r.IntN(2)], fmt.Sprintf("%d.50", 10+r.IntN(200))
	}
	if r.IntN(2) == 0 {
		def["warn"] = []string{"80%", "50%", "1"}[r.IntN(3)]
	}
	if scope != "call" {
		def["window"] = fmt.Sprint(10+5*r.IntN(60), "s")
		switch r.IntN(5) {
		case 0:
			def["kind"] = "tumbling"
		case 1, 2:
			def["kind"], def["window"] = "calendar", []string{"1d", "1d", "1w", "1mo"}[r.IntN(4)]
			if r.IntN(2) == 0 {
				def["zone"] = []string{"Asia/Kathmandu", "Europe/Berlin", "America/New_York"}[r.IntN(3)]
			}
		}
		if scope == "session" && r.IntN(2) == 0 {
			delete(def, "window")
			delete(def, "kind")
			delete(def, "zone")
		}
	}
	where := map[string]any{}
	for key, words := range map[string][]string{"tools": {"t1", "t2"}, "classes": {"pay", "read"}, "labels": {"pii"},
		"outcomes": {"ok", "error"}, "users": {"u1"}, "resource_types": {"order"}} {
		if r.IntN(20) == 0 {
			where[key] = words
		}
	}
	if len(where) > 0 {
		def["where"] = where
	}
	b, err := json.Marshal(def)
	if err != nil {
		panic(err)
	}
	return string(b[1 : len(b)-1])
}

// anyCall is a call of few agents, users, tools and payees.
func anyCall(r *rand.Rand, at int64, i int) event.Event {
	pick := func(ss ...string) string { return ss[r.IntN(len(ss))] }
	e := detectorstest.Records(detectorstest.Call(at, fmt.Sprintf("e%03d", i)), int64(r.IntN(30)))
	e.Has |= event.HasBytes | event.HasCost
	e.Result.Bytes, e.Cost.MicroUSD = int64(r.IntN(50)), int64(r.IntN(2e6))
	e.Agent = event.Agent{ID: fmt.Sprint("a", r.IntN(3)), Owner: pick("", "o1", "o2"), Credential: pick("", "c1")}
	e.User, e.Session, e.Persona, e.Tenant = fmt.Sprint("u", r.IntN(2)), fmt.Sprint("s", r.IntN(3)), fmt.Sprint("p",
		r.IntN(2)), fmt.Sprint("t", r.IntN(2))
	e.Tool = event.Tool{Name: fmt.Sprint("t", r.IntN(4)), Server: fmt.Sprint("v", r.IntN(2)),
		Class: event.Class(r.IntN(7))}
	e.Result.Outcome = event.Outcome(r.IntN(5))
	if r.IntN(8) == 0 {
		e.Policy.Verdict = pick("deny", "allow")
	}
	if r.IntN(3) == 0 {
		e = detectorstest.Amount(e, int64(r.IntN(40)), pick("EUR", "EUR", "USD"))
	}
	e.Subject, e.Resource = pick("", "x", "y", "z", "w"), event.Resource{Type: pick("order", "user"),
		ID: pick("", "1", "2", "3", "4"), Labels: [][]string{nil, {"pii"}, {"x", "pii"}}[r.IntN(3)]}
	e.Destination = event.Destination{Kind: "iban",
		Value: pick("", "DE89370400440532013000", "de89 3704 0044 0532 0130 00 ", "FR76", "GB29", "NL91")}
	e.Args, e.ArgsDigest = []byte(pick("", `{"n":1}`, `{"n":2}`, `{"n":3}`)), pick("", "", "d1")
	if r.IntN(10) == 0 {
		e.User, e.Session = "", ""
	}
	return e
}

func TestLimitsOfAllScopesMeasuresAndWindowsEqualTheNaiveOracle(t *testing.T) {
	const seed = 11
	scopes := []string{"agent", "session", "persona", "user", "tenant", "call", "beneficiary", "user+beneficiary",
		"owner", "credential", "tool", "server"}
	measures := []string{"count", "records", "bytes", "amount", "cost", "errors", "denials", "retries",
		"distinct_subjects", "distinct_resources", "distinct_destinations"}
	berlin, newYork := detectorstest.Zone(t, "Europe/Berlin"), detectorstest.Zone(t, "America/New_York")
	crossed := map[string]int{}
	for round := range uint64(44) {
		r := rand.New(rand.NewPCG(seed, round))
		var list []string
		for i, scope := range scopes {
			for j := range 2 {
				measure := measures[(int(round)+i+5*j)%len(measures)]
				if scope == "call" {
					measure = []string{"records", "bytes", "amount", "cost"}[(int(round)+j)%4]
				}
				list = append(list, anyLimit(r, fmt.Sprint("l", 2*i+j), scope, measure))
			}
		}
		set := `{"v":1,"tenants":[{"name":"t0","zone":"Europe/Berlin"},{"name":"t1","zone":"America/New_York"}],"limits":[{` +
			strings.Join(list, `},{`) + `}]}`
		h := detectorstest.NewHost(t, set)
		h.Reload = round%2 == 0

		oracles := map[string]*oracle{}
		var want []string
		// Tenant and agent, which findings of a detector do not say, tell entities apart here.
		ask := func(l *policy.Limit, tenant, agent, entity string, c contribution) {
			k := l.ID + " " + tenant + " " + agent + " " + entity
			if oracles[k] == nil {
				oracles[k] = &oracle{limit: l, zone: l.Zone}
				if l.Zone == nil {
					oracles[k].zone = map[string]*time.Location{"t0": berlin, "t1": newYork}[tenant]
				}
			}
			over, nearly := oracles[k].add(c)
			if over {
				want = append(want, l.ID+" "+entity+" by "+c.id)
			}
			if nearly {
				want = append(want, l.ID+"/warn "+entity+" by "+c.id)
			}
		}
		// Above one agent the oracle thinks in buckets, too: sums by entity and bucket, the newest
		// event last.
		type pending struct {
			l              *policy.Limit
			tenant, entity string
			index          int64
		}
		waiting := map[pending]*contribution{}
		last := map[pending]event.Ref{}
		var order []pending
		settle := func(until int64) {
			slices.SortStableFunc(order, func(a, b pending) int { return cmp.Compare(a.index, b.index) })
			rest := order[:0:0]
			for _, p := range order {
				if (p.index+1)*detectors.BucketMS > until {
					rest = append(rest, p)
					continue
				}
				ask(p.l, p.tenant, "", p.entity, *waiting[p])
				delete(waiting, p)
				delete(last, p)
			}
			order = rest
		}

		// days of 23 hours in Berlin, or a week before
		now := time.Date(2026, 3, 27+int(round%3), 20, 0, 0, 0, time.UTC).UnixMilli()
		if round%2 == 0 {
			// and of 25 in New York
			now = time.Date(2026, 10, 30+int(round%3), 20, 0, 0, 0, time.UTC).UnixMilli()
		}
		made := map[string][]string{} // calls by agent
		for i := range 400 {
			now += int64(r.IntN(3000))
			switch r.IntN(80) {
			case 0:
				now += 120_000
			case 1:
				now += int64(r.IntN(9)) * 3_600_000
			}
			at := now
			if r.IntN(8) == 0 {
				at -= int64(r.IntN(40_000))
			}
			e := anyCall(r, at, i)
			h.Observe(&e)
			who, what := e.Tenant+"|"+e.Agent.ID, e.Tool.Server+" "+e.Tool.Name+" "
			known := true
			switch {
			case len(e.Args) > 0:
				what += string(e.Args)
			case e.ArgsDigest != "":
				what += e.ArgsDigest
			default:
				known = false
			}
			again := known && slices.Contains(made[who], what)
			if known {
				made[who] = append(made[who], what)
				made[who] = made[who][max(0, len(made[who])-32):]
			}
			for _, l := range h.Panel.Set.Limits() {
				entity := about(l.Scope, &e)
				v, key, ok := worth(l, &e, again)
				if !ok || entity == "" || !counted(l, e.Persona, &e) {
					continue
				}
				c := contribution{at, v, nil, e.ID}
				if key != "" {
					c.keys = []string{key}
				}
				switch l.Scope {
				case policy.CallScope:
					if v > l.Max {
						want = append(want, l.ID+" "+e.ID+" by "+e.ID)
					} else if l.Warns && v > l.Warn {
						want = append(want, l.ID+"/warn "+e.ID+" by "+e.ID)
					}
				case policy.AgentScope, policy.SessionScope:
					ask(l, e.Tenant, e.Agent.ID, entity, c)
				default:
					p := pending{l, e.Tenant, entity, wire.FloorDiv(at, detectors.BucketMS)}
					if waiting[p] == nil {
						waiting[p] = &contribution{at: p.index * detectors.BucketMS}
						order = append(order, p)
					}
					waiting[p].v += v
					waiting[p].keys = append(waiting[p].keys, c.keys...)
					if ref := (event.Ref{Time: at, ID: e.ID}); last[p].Before(ref) {
						last[p] = ref
						waiting[p].id = e.ID
					}
				}
			}
			if r.IntN(10) == 0 {
				h.Close(now - 20_000)
				settle(now - 20_000)
			}
		}
		h.Close(math.MaxInt64)
		settle(math.MaxInt64)

		var got []string
		for _, f := range h.Found {
			if f.Activity == event.Create && f.Detector == "limit" {
				got = append(got, f.Rule+" "+f.ScopeID+" by "+f.Refs[len(f.Refs)-1].ID)
				crossed[f.Measure+" per "+f.ScopeType]++
				crossed[f.Rule[strings.Index(f.Rule+"/", "/"):]]++
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d/%d, %s (-oracle +detector):\n%s", seed, round, set, diff)
		}
		if len(want) < 10 {
			t.Fatalf("seed %d/%d: only %d crossings: the test has lost its teeth", seed, round, len(want))
		}
	}
	for _, scope := range scopes {
		for _, measure := range measures {
			if what := measure + " per " + scope; crossed[what] == 0 && scope != "call" &&
				what != "distinct_destinations per beneficiary" &&
				what != "distinct_destinations per user+beneficiary" {
				t.Errorf("%s was never crossed", what)
			}
		}
	}
	if crossed["/warn"] < 100 {
		t.Errorf("%d warnings", crossed["/warn"])
	}
}

func TestBucketsMergeInAnyOrder(t *testing.T) {
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		parts := make([]detectors.Bucket, 2+r.IntN(5))
		for i := range parts {
			a, b := event.Ref{Time: int64(r.IntN(4)), ID: fmt.Sprint("e", i, r.IntN(3)),
				Agent: fmt.Sprint("a", r.IntN(2))}, event.Ref{Time: int64(r.IntN(4)), ID: fmt.Sprint("f", i),
				Agent: fmt.Sprint("a", r.IntN(2))}
			if b.Before(a) {
				a, b = b, a
			}
			var list []detectors.Counted
			for meter := range uint64(3) {
				if r.IntN(2) == 0 && (meter < 2 || list != nil) {
					continue
				}
				c := detectors.Counted{Meter: meter, Sums: detectors.Sums{1 + r.Int64N(5), r.Int64N(100), math.MaxInt64 / 3 * r.Int64N(3)},
					First: a, Last: b, Mixed: a.Agent != b.Agent}
				if meter == 1 {
					c.Keep = 5
					for range 1 + r.IntN(5) {
						c.Seen = append(c.Seen, r.Uint64N(20))
					}
					slices.Sort(c.Seen)
					c.Seen = slices.Compact(c.Seen)
				}
				list = append(list, c)
			}
			parts[i] = detectors.Bucket{Counted: list}
		}
		merged := func() detectors.Bucket {
			b := parts[0]
			b.Counted = slices.Clone(b.Counted)
			for i := range parts[1:] {
				b.Merge(&parts[i+1])
			}
			return b
		}
		want := merged()
		for range 5 {
			r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			if diff := gocmp.Diff(want, merged()); diff != "" {
				t.Fatalf("seed %d: (-one order +another):\n%s", seed, diff)
			}
		}
	}
}

func TestQuantity(t *testing.T) {
	for want, v := range map[string]int64{"0.00": 0, "0.000001": 1, "1.50": 1_500_000, "12.345": 12_345_000,
		"9223372036854.775807": math.MaxInt64} {
		if got := Quantity(v, policy.Amount); got != want {
			t.Errorf("Quantity(%d) = %s, want %s", v, got, want)
		}
	}
	if got := Quantity(1_500_000, policy.Records); got != "1500000" {
		t.Errorf("records are written as %s", got)
	}
}

// benchmarkVolume shows calls of n agents to the detector, who act by Zipf 1.1 as in wayward bench.
// An event has just been decoded when it comes here, so there are few of them and what is cold is
// what is remembered of the agents. Ten events come in a millisecond; every 4,000 the slice ends.
func benchmarkVolume(b *testing.B, set *policy.Set, n int) {
	v := newMeters(2, set)
	detectorstest.Benchmark(b, detectors.New(set), n, func(_ *detectors.Panel, x *detectors.Scene, e *event.Event) { v.Observe(x, e) })
}

func BenchmarkVolume(b *testing.B) { benchmarkVolume(b, policy.Default(), 1000) }

func BenchmarkFiftyLimits(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n, " agents"), func(b *testing.B) { benchmarkVolume(b, detectorstest.Fifty(b), n) })
	}
}

func BenchmarkOwnLimits(b *testing.B) {
	set, err := policy.Parse([]byte(detectorstest.Limits(`"id":"a","scope":"agent","measure":"count","max":"100000000","window":"1m"`,
		`"id":"b","scope":"agent","measure":"records","max":"100000000","window":"1m"`,
		`"id":"c","scope":"agent","measure":"count","max":"100000000","window":"1h"`,
		`"id":"d","scope":"agent","measure":"records","max":"100000000","window":"1d"`)))
	if err != nil {
		b.Fatal(err)
	}
	benchmarkVolume(b, set, 1)
}
