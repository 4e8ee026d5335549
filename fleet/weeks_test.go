package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// all reads a stream to its end.
func all(o WeeksOptions) ([]byte, *Weeks) {
	s := NewWeeks(o)
	var b []byte
	for ok := true; ok; {
		b, ok = s.Next(b)
	}
	return b, s
}

// each decodes a stream to its end; an event holds until f returns.
func each(t *testing.T, o WeeksOptions, f func(e *event.Event)) *Weeks {
	t.Helper()
	s := NewWeeks(o)
	var d event.Decoder
	for line, ok := s.Next(nil); ok; line, ok = s.Next(line[:0]) {
		var e event.Event
		if err := d.Decode(line[:len(line)-1], &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		f(&e)
		d.Reset()
	}
	return s
}

var everyKind = func() (list []Kind) {
	for k := range Kinds {
		list = append(list, k)
	}
	return
}()

func TestEqualOptionsGiveEqualBytes(t *testing.T) {
	o := WeeksOptions{Seed: 3, Days: 26, Scale: .2, Attacks: everyKind}
	a, _ := all(o)
	b, _ := all(o)
	if !bytes.Equal(a, b) {
		t.Error("two streams of the same options differ")
	}
	o.Seed = 4
	if c, _ := all(o); bytes.Equal(a, c) {
		t.Error("another seed gives the same stream")
	}
}

// The workload was fixed before there were detectors to judge. A change of it is a change of the
// yardstick, and is to be said where numbers are compared.
func TestWorkloadStaysWhatItIs(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the last bits of floating point are another machine's own")
	}
	b, _ := all(WeeksOptions{Seed: 1, Days: 24, Scale: .1, Attacks: everyKind})
	sum := sha256.Sum256(b)
	if got, want := hex.EncodeToString(sum[:8]), "4579487a69d81d52"; got != want {
		t.Errorf("the stream's hash is %s, and was %s", got, want)
	}
}

func TestEventsComeInOrderOfTimeEachOnce(t *testing.T) {
	last, n, seen := int64(Start), int64(0), map[string]bool{}
	s := each(t, WeeksOptions{Seed: 1, Days: 28, Scale: .2, Attacks: everyKind}, func(e *event.Event) {
		if e.Time < last {
			t.Fatalf("event %s is before the one before", e.ID)
		}
		if seen[e.ID] {
			t.Fatalf("two events are called %s", e.ID)
		}
		last, n = e.Time, n+1
		seen[strings.Clone(e.ID)] = true
	})
	if n != s.Events {
		t.Errorf("%d events, said to be %d", n, s.Events)
	}
	if end := int64(Start + 28*dayMS); last < end-6*hourMS || last > end+24*hourMS {
		t.Errorf("the last event is %d h before the end", (end-last)/hourMS)
	}
}

// What is woven in changes nothing else but the times of what follows in the sessions that carry
// it, so that runs with and without can be compared.
func TestAttacksLeaveTheRestAlone(t *testing.T) {
	kinds := slices.DeleteFunc(slices.Clone(everyKind), func(k Kind) bool { return k.Growth() > 0 || k == Tail })
	ids := func(o WeeksOptions) (out map[string]string, s *Weeks) {
		out = map[string]string{}
		s = each(t, o, func(e *event.Event) { out[strings.Clone(e.ID)] = e.Tool.Name + " " + e.Resource.ID })
		return
	}
	clean, quiet := ids(WeeksOptions{Seed: 2, Days: 27, Scale: .3})
	mixed, busy := ids(WeeksOptions{Seed: 2, Days: 27, Scale: .3, Attacks: kinds})
	if len(quiet.Incidents) != 0 || len(busy.Incidents) < 30 {
		t.Fatalf("%d and %d incidents", len(quiet.Incidents), len(busy.Incidents))
	}
	for _, i := range busy.Incidents {
		for _, id := range i.Events {
			delete(mixed, id)
		}
	}
	if !maps.Equal(clean, mixed) {
		t.Error("without what was woven in the stream is another")
	}
}

func TestTruthIsInTheStream(t *testing.T) {
	type seen struct {
		time           int64
		agent, session string
		e              event.Event
	}
	events := map[string]seen{}
	s := each(t, WeeksOptions{Seed: 5, Days: 40, Scale: .4, Attacks: everyKind}, func(e *event.Event) {
		if strings.Contains(e.ID, "-a") {
			k := seen{time: e.Time, agent: strings.Clone(e.Agent.ID), session: strings.Clone(e.Session)}
			k.e.Result.Outcome, k.e.Resource.Tenant = e.Result.Outcome, strings.Clone(e.Resource.Tenant)
			events[strings.Clone(e.ID)] = k
		}
	})
	count := map[Kind]int{}
	type day struct {
		agent string
		day   int
	}
	met := map[day]Kind{}
	for _, i := range s.Incidents {
		count[i.Kind]++
		if k, twice := met[day{i.Agent, i.Day}]; twice && !(k == i.Kind && k.repeaters() > 0) && i.Kind.Growth() == 0 {
			t.Errorf("agent %s has %s and %s on day %d", i.Agent, k, i.Kind, i.Day)
		}
		met[day{i.Agent, i.Day}] = i.Kind
		if i.Kind.Growth() > 0 {
			continue
		}
		if len(i.Events) == 0 || len(i.Events) != len(i.Times) || len(i.Sessions) == 0 {
			t.Errorf("%s of %s has %d events, %d times and %d sessions", i.Kind, i.Agent, len(i.Events), len(i.Times),
				len(i.Sessions))
			continue
		}
		if i.First != i.Times[0] || i.Last != i.Times[len(i.Times)-1] || i.First < Start+TestDay*dayMS {
			t.Errorf("%s of %s from %d to %d", i.Kind, i.Agent, i.First, i.Last)
		}
		missed, denied := 0, 0
		for j, id := range i.Events {
			e, ok := events[id]
			if !ok || e.time != i.Times[j] || e.agent != i.Agent || !slices.Contains(i.Sessions, e.session) {
				t.Fatalf("%s of %s: event %s is not as said", i.Kind, i.Agent, id)
			}
			if e.e.Result.Outcome == event.NotFound {
				missed++
			}
			if e.e.Result.Outcome == event.Denied {
				denied++
			}
			if (i.Kind == CrossTenant) != (e.e.Resource.Tenant == "globex") {
				t.Errorf("%s touches a resource of %q", i.Kind, e.e.Resource.Tenant)
			}
		}
		switch {
		case i.Kind == Enumerate90 && (missed < 60 || missed > 80), i.Kind == Enumerate30 &&
			(missed < 8 || missed > 44):
			t.Errorf("%s misses %d of %d", i.Kind, missed, len(i.Events))
		case i.Kind == Denials && denied < 10:
			t.Errorf("%s: %d denials", i.Kind, denied)
		}
	}
	for k := range Kinds {
		if count[k] == 0 {
			t.Errorf("no %s", k)
		}
	}
}

func TestRatesFollowTheParameters(t *testing.T) {
	const days = 14
	type tally struct {
		calls, failed, sends, within float64
		agents, sessions             map[string]bool
		subjects                     map[string]map[string]bool
		weekend                      float64
		hours                        [24]float64
	}
	of := map[string]*tally{}
	s := each(t, WeeksOptions{Seed: 1, Days: days}, func(e *event.Event) {
		k := of[e.Persona]
		if k == nil {
			k = &tally{agents: map[string]bool{}, sessions: map[string]bool{}, subjects: map[string]map[string]bool{}}
			of[strings.Clone(e.Persona)] = k
		}
		k.calls++
		if e.Result.Outcome == event.Error {
			k.failed++
		}
		if e.Destination.Value != "" && e.Tool.Class != event.Pay {
			k.sends++
			if e.Destination.External == event.No {
				k.within++
			}
		}
		k.agents[strings.Clone(e.Agent.ID)] = true
		if session := strings.Clone(e.Session); !k.sessions[session] {
			k.sessions[session] = true
			if (e.Time-Start)/dayMS%7 >= 5 {
				k.weekend++
			}
			k.hours[(e.Time-Start)/hourMS%24]++
		}
		if e.Subject != "" && len(k.subjects) < 5000 {
			m := k.subjects[e.Session]
			if m == nil {
				m = map[string]bool{}
				k.subjects[strings.Clone(e.Session)] = m
			}
			m[strings.Clone(e.Subject)] = true
		}
	})
	if n := s.Events * Days / days; n < 1_500_000 || n > 2_400_000 {
		t.Errorf("as many as %d events in 42 days: the streams that the formulas were chosen on have 1.9 million", n)
	}
	near := func(what string, got, want, within float64) {
		if math.Abs(got-want) > within {
			t.Errorf("%s is %.3f, not %.3f ± %.3f", what, got, want, within)
		}
	}
	for _, p := range personas() {
		k := of[p.name]
		if k == nil {
			t.Fatalf("nobody plays %s", p.name)
		}
		near(p.name+"'s agents", float64(len(k.agents)), float64(p.agents), 0)
		near(p.name+"'s errors", k.failed/k.calls, p.errors, .005)
		near(p.name+"'s sends within the house", k.within/k.sends, p.internal, .03)
		// Sessions: the median agent's times the mean of the lognormal, which a handful of agents
		// give roughly.
		want := p.sessions * math.Exp(p.spread*p.spread/2) * float64(p.agents) * days
		near("ln of "+p.name+"'s sessions over expected", math.Log(float64(len(k.sessions))/want), 0, .5)
		share := 2 * p.weekend / (5 + 2*p.weekend)
		near(p.name+"'s weekend", k.weekend/float64(len(k.sessions)), share, .05)
		night := (k.hours[2] + k.hours[3]) / float64(len(k.sessions))
		if !p.always && night > .01 || p.always && night < .02 {
			t.Errorf("%s works %.3f at night", p.name, night)
		}
		for id, m := range k.subjects {
			if len(m) > 2 {
				t.Errorf("session %s is about %d customers", id, len(m))
			}
		}
		if p.subjects != (len(k.subjects) > 0) {
			t.Errorf("%s has %d sessions about customers", p.name, len(k.subjects))
		}
	}
}

func TestDriftsDriftWhenTheySay(t *testing.T) {
	_, quiet := all(WeeksOptions{Seed: 1, Days: 35, Scale: .2})
	fresh := map[string]bool{}
	for _, p := range personas() {
		fresh[p.name+"-"+strconv.Itoa(p.intents)] = true
	}
	for _, d := range Drifts {
		o := WeeksOptions{Seed: 1, Days: 35, Scale: .2, Drift: d.Drift}
		var s *Weeks
		switch d.Drift {
		case Growth, Holiday, Busy:
			_, s = all(o)
		}
		ratio := func(day int) float64 { return float64(s.Sessions[day]) / float64(quiet.Sessions[day]) }
		bad := func(what string, got float64) { t.Errorf("%s: %s %.2f", d.Name, what, got) }
		switch d.Drift {
		case Growth:
			if g := ratio(34); g < 1.25 || g > 1.55 {
				bad("on the last day", g)
			}
		case Holiday:
			if g := ratio(HolidayDay); g > .5 {
				bad("on the holiday", g)
			}
		case Busy:
			if g := ratio(BusyDay); g < 2.5 || g > 3.5 {
				bad("on the busy day", g)
			}
		default:
			followed, failed, assisted, n, hour := 0.0, 0.0, 0.0, 0.0, 0.0
			each(t, o, func(e *event.Event) {
				day := (e.Time - Start) / dayMS
				if day >= WorkflowDay {
					n++
				}
				if strings.HasPrefix(e.Tool.Name, "assist_") {
					assisted++
					if day < WorkflowDay {
						t.Fatalf("%s on day %d", e.Tool.Name, day)
					}
				}
				if fresh[e.Intent] {
					followed++
				}
				if at := e.Time - Start - OutageDay*dayMS; at >= 11*hourMS && at < 12*hourMS {
					hour++
					if e.Result.Outcome == event.Error {
						failed++
					}
				}
			})
			switch {
			case d.Drift == Workflow && (followed < .05*n || followed > .4*n):
				bad("calls of new workflows", followed/n)
			case d.Drift == Rollout && (assisted < .005*n || assisted > .3*n):
				bad("calls of new tools", assisted/n)
			case d.Drift == Outage && failed < .85*hour:
				bad("calls that failed in the outage", failed/hour)
			}
		}
	}
}

func BenchmarkWeeks(b *testing.B) {
	s := NewWeeks(WeeksOptions{Seed: 1, Days: 10_000})
	buf := make([]byte, 0, 2048)
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = s.Next(buf[:0])
		size += len(buf)
	}
	b.SetBytes(int64(size / b.N))
}
