package oracle

// What must be on wayward.baselines after a run: for each relation shard every day once, in
// order; on it each persona that did something, with exactly the events that were sent; and every
// snapshot that is listed, with the hash that it says. The oracle shares no code with the engine.

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

	"github.com/twmb/franz-go/pkg/kgo"
)

// DayMS is a day in milliseconds.
const DayMS = 86_400_000

// baselineLeap is a place at which event time leaps, in wall time since the traffic began: so that
// days end within seconds. Where a day is closed (50 minutes after its end) and where it comes in
// force (after an hour) time goes on at its pace.
type baselineLeap struct {
	after float64 // seconds
	to    int64   // ms since the midnight before the first event
}

const minuteMS = 60_000

var baselineLeaps = []baselineLeap{{0, 22 * 60 * minuteMS}, {2.5, DayMS - minuteMS}, {5, DayMS + 48*minuteMS},
	{6.5, DayMS + 52*minuteMS}, {8, DayMS + 62*minuteMS}, {9.5, DayMS + 12*60*minuteMS},
	{10.5, 2*DayMS - minuteMS/2}, {12.5, 2*DayMS + 49*minuteMS}, {14, 2*DayMS + 53*minuteMS},
	{15.5, 2*DayMS + 63*minuteMS}}

// Leap is event time since that midnight.
func Leap(seconds float64) int64 {
	at := int64(0)
	for _, l := range baselineLeaps {
		if seconds >= l.after {
			at = l.to + int64((seconds-l.after)*1000)*Speed
		}
	}
	return at
}

// ClosedAfter are the days that are closed once event time has reached t everywhere.
func ClosedAfter(t int64) int64 { return (t-50*minuteMS)/DayMS - 1 }

type learnedOf struct {
	tenant, persona string
	day             int64
}

// WeighBaselines compares; through is the newest day that must be closed, 0 if none must.
func WeighBaselines(b *Balance, sent [][]byte, aside map[string]bool, through int64, records []*kgo.Record) {
	want, seen := map[learnedOf]uint64{}, map[string]bool{}
	for _, line := range sent {
		var e Event
		if json.Unmarshal(line, &e) != nil || aside[e.ID] {
			continue
		}
		if id := e.Tenant + "|" + e.Agent.ID + "|" + e.ID; seen[id] {
			continue
		} else {
			seen[id] = true
		}
		day := e.Time / DayMS
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
				b.Doubled++
				b.Sample("snapshot twice", name)
			}
			books[name] = true
			if sum := sha256.Sum256(whole); hex.EncodeToString(sum[:8]) != key[len(key)-3] {
				b.Wrong++
				b.Sample("snapshot of another hash", name)
			}
			continue
		}
		var c closing
		if json.Unmarshal(whole, &c) != nil {
			b.Wrong++
			b.Sample("closing", string(whole))
			continue
		}
		leftOut = leftOut || len(c.LeftOut) > 0
		if last, ok := next[c.Owner]; c.From != math.MinInt64 && (!ok || c.From != last) || c.From == math.MinInt64 &&
			ok {
			b.Wrong++
			b.Sample("days out of order", fmt.Sprint(c.Owner, " from ", c.From, ", want ", last))
		}
		next[c.Owner] = c.To + 1
		if c.From == c.To {
			b.Days++
		}
		for _, s := range c.Snapshots {
			if !books[fmt.Sprintf("s|%s|%s|%s|%d|%s", s.Tenant, s.Persona, s.Fork, s.Day, s.Hash)] {
				b.Lost++
				b.Sample("a snapshot that is listed", s)
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
			b.Lost++
			b.Sample("a closed day", fmt.Sprint("of shard ", owner, ", which got to ", next[owner]))
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(want),
		func(x, y learnedOf) int { return strings.Compare(fmt.Sprint(x), fmt.Sprint(y)) }) {
		if k.day > through {
			continue
		}
		b.Baselines++
		switch n := got[k]; {
		case n < want[k]:
			b.Lost++
			b.Sample("learned events", fmt.Sprintf("%+v: %d of %d", k, n, want[k]))
		case n > want[k]:
			b.Doubled++
			b.Sample("learned events twice", fmt.Sprintf("%+v: %d of %d", k, n, want[k]))
		}
	}
	for k, n := range got {
		if want[k] == 0 && n > 0 {
			b.Wrong++
			b.Sample("a baseline of nobody", fmt.Sprintf("%+v: %d", k, n))
		}
	}
}
