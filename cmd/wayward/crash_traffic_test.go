package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
)

// traffic makes events at an even pace until over says so, and returns what it sent. Event time
// runs oracle.Speed times as fast as the wall clock and starts hours ago: the engine does not believe
// a stamp from the future.
type traffic struct {
	a     *testbed
	rng   *rand.Rand
	began time.Time
	start int64
	n     int
	sent  [][]byte
	last  map[string]int64 // newest time of each agent
	calls map[string]int   // of each agent, for its session
	leaps bool             // event time leaps over the ends of days
	again [][]byte         // to be sent once more, with their keys
	keys  [][]byte
}

var (
	crashTenants = []string{"acme", "globex", "initech"}
	crashTools   = []string{"db.query", "db.export", "mail.send", "mail.read", "pay.refund", "pay.transfer",
		"admin.drop", "admin.grant", "search"}
)

const crashAgents = 40 // of each tenant

// liveAgents are one for each partition of events, of a tenant of their own. Their events have the
// wall clock's time, so that they can act against what is in force now. Of two in one partition the
// engine would believe that hours have passed.
var liveAgents = func() []string {
	out := make([]string, 6)
	by := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i, left := 0, len(out); left > 0; i++ {
		id := fmt.Sprintf("live-%d", i)
		if p := by.Partition(&kgo.Record{Key: []byte("live|" + id)}, len(out)); out[p] == "" {
			out[p] = id
			left--
		}
	}
	return out
}()

func newTraffic(a *testbed, seed uint64) *traffic {
	now := time.Now()
	return &traffic{a: a, rng: rand.New(rand.NewPCG(seed, 2)), began: now, start: now.Add(-3 * time.Hour).UnixMilli(),
		last: map[string]int64{}, calls: map[string]int{}}
}

func (s *traffic) time() int64 {
	if s.leaps {
		return s.start + oracle.Leap(time.Since(s.began).Seconds())
	}
	return s.start + time.Since(s.began).Milliseconds()*oracle.Speed
}

// overDays makes event time leap over the ends of two days. It begins so long ago that it stays
// behind the wall clock.
func (s *traffic) overDays() *traffic {
	s.leaps = true
	s.start = (s.began.UnixMilli()/oracle.DayMS - 3) * oracle.DayMS
	return s
}

func (s *traffic) send(key, value []byte) {
	s.sent = append(s.sent, value)
	began := time.Now()
	s.a.cl.Produce(context.Background(), &kgo.Record{Topic: s.a.topics.Events, Key: key, Value: value},
		func(_ *kgo.Record, err error) {
			s.a.written(time.Since(began))
			if err != nil {
				s.a.t.Errorf("event not produced: %v", err)
			}
		})
}

// event makes one event of a random agent: a few are busy, most are not.
func (s *traffic) event() {
	rng := s.rng
	if now := time.Now(); now.Sub(s.began) > 3*time.Second && rng.IntN(40) == 0 {
		// not first: nobody else's time is known then
		s.n++
		id := liveAgents[rng.IntN(len(liveAgents))]
		s.send([]byte("live|"+id),
			fmt.Appendf(nil,
				`{"id":"e%d","time":%d,"kind":"tool_call","tenant":"live","agent":{"id":%q},"session":"s1","user":"user-1","tool":{"name":"search"}}`,
				s.n, now.UnixMilli(), id))
		return
	}
	tenant := crashTenants[rng.IntN(len(crashTenants))]
	agent := min(rng.IntN(crashAgents), rng.IntN(crashAgents))
	id := fmt.Sprintf("agent-%d", agent)
	key := []byte(tenant + "|" + id)
	if rng.IntN(400) == 0 {
		s.n++
		s.send(key, fmt.Appendf(nil, `{"id":"broken-%d","time":`, s.n))
		return
	}
	t := max(s.time()-rng.Int64N(4000), s.last[string(key)]+1)
	if last := s.last[string(key)]; last != 0 && t-last > oracle.DayMS/2 {
		// who was idle over a leap begins another session: the engine forgets one after a day
		s.calls[string(key)] = (s.calls[string(key)]/70 + 1) * 70
	}
	s.last[string(key)] = t
	s.calls[string(key)]++
	s.n++
	// Sessions of two agents share names, users are shared by agents, but every fourth agent has
	// one of its own.
	user := fmt.Sprintf("user-%d", agent%9)
	if agent%4 == 2 {
		user = fmt.Sprintf("lone-%d", agent)
	}
	e := map[string]any{"v": 1, "id": fmt.Sprintf("e%d", s.n), "time": t, "kind": "tool_call", "tenant": tenant,
		"agent":   map[string]any{"id": id},
		"session": fmt.Sprintf("s%d", s.calls[string(key)]/70),
		"tool":    map[string]any{"name": crashTools[min(rng.IntN(len(crashTools)), rng.IntN(len(crashTools)))]},
		"result": map[string]any{"outcome": []string{"ok", "ok", "ok", "error"}[rng.IntN(4)], "records": rng.IntN(60),
			"bytes": rng.IntN(9000)}}
	switch rng.IntN(12) {
	case 0:
		e["kind"] = "model_call"
	case 1:
		e["phase"] = "attempt"
	}
	if rng.IntN(5) > 0 {
		e["user"] = user
	}
	if agent%3 == 0 {
		e["persona"] = "clerk"
	} else if agent%3 == 1 {
		e["persona"] = "helper"
	} else if agent%6 == 5 {
		e["persona"] = "temp"
	}
	if strings.HasPrefix(e["tool"].(map[string]any)["name"].(string), "pay.") {
		e["amount"] = map[string]any{"value": fmt.Sprintf("%d.%02d", rng.IntN(40), rng.IntN(100)),
			"currency": []string{"EUR", "EUR", "USD"}[rng.IntN(3)]}
	}
	b, err := json.Marshal(e)
	must(s.a.t, err)
	s.send(key, b)
	if rng.IntN(100) == 0 {
		s.again, s.keys = append(s.again, b), append(s.keys, key)
	} else if len(s.again) > 0 && rng.IntN(50) == 0 { // the same id again, some events later
		for i := range s.again {
			s.send(s.keys[i], s.again[i])
		}
		s.again, s.keys = nil, nil
	}
}

// run sends events until over.
func (s *traffic) run(rate int, over func() bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for from := s.n; !over(); <-tick.C {
		for due := int(time.Since(began).Seconds() * float64(rate)); s.n-from < due; {
			s.event()
		}
	}
	s.again, s.keys = nil, nil
}

// finish sends an event far ahead to every partition, so that all windows close at once instead of
// when idle partitions tick.
func (s *traffic) finish() {
	t := s.time() + 10*60_000
	have := map[int32]bool{}
	by := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i := 0; len(have) < 6; i++ {
		key := fmt.Appendf(nil, "nobody|last-%d", i)
		if p := int32(by.Partition(&kgo.Record{Key: key}, 6)); !have[p] {
			have[p] = true
			s.send(key,
				fmt.Appendf(nil,
					`{"id":"last-%d","time":%d,"kind":"session","tenant":"nobody","agent":{"id":"last-%d"}}`, i, t, i))
		}
	}
	must(s.a.t, s.a.cl.Flush(context.Background()))
}
