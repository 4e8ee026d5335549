package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What must be on wayward.baselines after a run: for each relation shard every day once, in
// order; on it each persona that did something, with exactly the events that were sent; and every
// snapshot that is listed, with the hash that it says. The oracle shares no code with the engine.

const dayMS = 86_400_000

// baselineLeap is a place at which event time leaps, in wall time since the traffic began: so that
// days end within seconds. Where a day is closed (50 minutes after its end) and where it comes in
// force (after an hour) time goes on at its pace.
type baselineLeap struct {
	after float64 // seconds
	to    int64   // ms since the midnight before the first event
}

const minuteMS = 60_000

var baselineLeaps = []baselineLeap{{0, 22 * 60 * minuteMS}, {2.5, dayMS - minuteMS}, {5, dayMS + 48*minuteMS},
	{6.5, dayMS + 52*minuteMS}, {8, dayMS + 62*minuteMS}, {9.5, dayMS + 12*60*minuteMS},
	{10.5, 2*dayMS - minuteMS/2}, {12.5, 2*dayMS + 49*minuteMS}, {14, 2*dayMS + 53*minuteMS},
	{15.5, 2*dayMS + 63*minuteMS}}

// leap is event time since that midnight.
func leap(seconds float64) int64 {
	at := int64(0)
	for _, l := range baselineLeaps {
		if seconds >= l.after {
			at = l.to + int64((seconds-l.after)*1000)*crashSpeed
		}
	}
	return at
}

// closedAfter are the days that are closed once event time has reached t everywhere.
func closedAfter(t int64) int64 { return (t-50*minuteMS)/dayMS - 1 }

type learnedOf struct {
	tenant, persona string
	day             int64
}

// weighBaselines compares; through is the newest day that must be closed, 0 if none must.
func weighBaselines(b *balance, sent [][]byte, aside map[string]bool, through int64, records []*kgo.Record) {
	want, seen := map[learnedOf]uint64{}, map[string]bool{}
	for _, line := range sent {
		var e oracleEvent
		if json.Unmarshal(line, &e) != nil || aside[e.ID] {
			continue
		}
		if id := e.Tenant + "|" + e.Agent.ID + "|" + e.ID; seen[id] {
			continue
		} else {
			seen[id] = true
		}
		day := e.Time / dayMS
		want[learnedOf{e.Tenant, e.Persona, day}]++
		want[learnedOf{e.Tenant, "*", day}]++
	}
	type snapshot struct {
		Tenant, Persona, Fork, Hash string
		Day                         int64
		Events                      uint64
	}
	type closing struct {
		Owner, Of int
		From, To  int64
		Snapshots []snapshot
		LeftOut   []int `json:"left_out"`
	}
	parts, books, next, got := map[string][]byte{}, map[string]bool{}, map[int]int64{}, map[learnedOf]uint64{}
	leftOut := false
	for _, r := range records {
		if r.Value == nil {
			continue
		}
		key := strings.Split(string(r.Key), "|")
		i, _ := strconv.Atoi(key[len(key)-2])
		n, _ := strconv.Atoi(key[len(key)-1])
		name := strings.Join(key[:len(key)-2], "|")
		if i == 0 {
			parts[name] = nil
		}
		if parts[name] = append(parts[name], r.Value...); i < n-1 {
			continue
		}
		whole := parts[name]
		delete(parts, name)
		if key[0] == "s" {
			if books[name] {
				b.doubled++
				b.sample("snapshot twice", name)
			}
			books[name] = true
			if sum := sha256.Sum256(whole); hex.EncodeToString(sum[:8]) != key[len(key)-3] {
				b.wrong++
				b.sample("snapshot of another hash", name)
			}
			continue
		}
		var c closing
		if json.Unmarshal(whole, &c) != nil {
			b.wrong++
			b.sample("closing", string(whole))
			continue
		}
		leftOut = leftOut || len(c.LeftOut) > 0
		if last, ok := next[c.Owner]; c.From != math.MinInt64 && (!ok || c.From != last) || c.From == math.MinInt64 &&
			ok {
			b.wrong++
			b.sample("days out of order", fmt.Sprint(c.Owner, " from ", c.From, ", want ", last))
		}
		next[c.Owner] = c.To + 1
		if c.From == c.To {
			b.days++
		}
		for _, s := range c.Snapshots {
			if !books[fmt.Sprintf("s|%s|%s|%s|%d|%s", s.Tenant, s.Persona, s.Fork, s.Day, s.Hash)] {
				b.lost++
				b.sample("a snapshot that is listed", s)
			}
			if s.Day == c.To {
				got[learnedOf{s.Tenant, s.Persona, s.Day}] += s.Events
			}
		}
	}
	if through == 0 || leftOut { // of a source that was left out the rest counts for the day after
		return
	}
	for owner := range 4 {
		if next[owner] <= through {
			b.lost++
			b.sample("a closed day", fmt.Sprint("of shard ", owner, ", which got to ", next[owner]))
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(want),
		func(x, y learnedOf) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) }) {
		if k.day > through {
			continue
		}
		b.baselines++
		switch n := got[k]; {
		case n < want[k]:
			b.lost++
			b.sample("learned events", fmt.Sprintf("%+v: %d of %d", k, n, want[k]))
		case n > want[k]:
			b.doubled++
			b.sample("learned events twice", fmt.Sprintf("%+v: %d of %d", k, n, want[k]))
		}
	}
	for k, n := range got {
		if want[k] == 0 && n > 0 {
			b.wrong++
			b.sample("a baseline of nobody", fmt.Sprintf("%+v: %d", k, n))
		}
	}
}

func TestTheOracleOfBaselinesHasTeeth(t *testing.T) {
	event := func(id string, at int64) []byte {
		return fmt.Appendf(nil, `{"id":%q,"time":%d,"tenant":"acme","persona":"clerk","agent":{"id":"a"}}`, id, at)
	}
	sent := [][]byte{event("1", 5*dayMS+1), event("2", 5*dayMS+2), event("2", 5*dayMS+2), event("3", 6*dayMS)}
	body := []byte("a snapshot")
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:8])
	rec := func(key, value string) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: []byte(value)} }
	var good []*kgo.Record
	for owner := range 4 {
		good = append(good, rec(fmt.Sprintf("c|4|%d|-9223372036854775808|4|0|1", owner),
			fmt.Sprintf(`{"owner":%d,"of":4,"from":-9223372036854775808,"to":4}`, owner)))
	}
	good = append(good, rec("s|acme|clerk||5|"+hash+"|0|1", "a snapshot"),
		rec("s|acme|*||5|"+hash+"|0|1", "a snapshot"),
		rec("c|4|0|5|5|0|1",
			`{"owner":0,"of":4,"from":5,"to":5,"snapshots":[{"tenant":"acme","persona":"*","day":5,"hash":"`+hash+
				`","events":2},{"tenant":"acme","persona":"clerk","day":5,"hash":"`+hash+`","events":2}]}`))
	for owner := 1; owner < 4; owner++ {
		good = append(good,
			rec(fmt.Sprintf("c|4|%d|5|5|0|1", owner), fmt.Sprintf(`{"owner":%d,"of":4,"from":5,"to":5}`, owner)))
	}
	weigh := func(records []*kgo.Record) balance {
		var b balance
		weighBaselines(&b, sent, nil, 5, records)
		return b
	}
	if b := weigh(good); b.bad() != 0 || b.baselines != 2 {
		t.Fatalf("what is right: %+v", b)
	}
	for name, change := range map[string]func(l []*kgo.Record) []*kgo.Record{
		"a snapshot is missing": func(l []*kgo.Record) []*kgo.Record { return slices.Delete(l, 4, 5) },
		"a snapshot came twice": func(l []*kgo.Record) []*kgo.Record { return slices.Insert(l, 4, l[4]) },
		"a snapshot was changed": func(l []*kgo.Record) []*kgo.Record {
			l[4] = rec(string(l[4].Key), "another one")
			return l
		},
		"a day is missing": func(l []*kgo.Record) []*kgo.Record { return l[:len(l)-1] },
		"a day came twice": func(l []*kgo.Record) []*kgo.Record { return append(l, l[len(l)-1]) },
		"an event was lost": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), strings.Replace(string(l[6].Value), `"events":2`, `"events":1`, 1))
			return l
		},
		"an event counted twice": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), strings.Replace(string(l[6].Value), `"events":2`, `"events":3`, 1))
			return l
		},
		"a persona is nobody's": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), strings.Replace(string(l[6].Value), `clerk`, `clark`, 1))
			return l
		},
		"a list that is no list": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), "nothing")
			return l
		},
		"a shard that says nothing": func(l []*kgo.Record) []*kgo.Record {
			return slices.DeleteFunc(l, func(r *kgo.Record) bool { return strings.HasPrefix(string(r.Key), "c|4|2|") })
		},
	} {
		if b := weigh(change(slices.Clone(good))); b.bad() == 0 {
			t.Errorf("%s, and the oracle does not see it", name)
		}
	}
}
