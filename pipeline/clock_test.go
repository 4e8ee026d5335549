package pipeline

import (
	"testing"

	"github.com/wayward-sec/wayward/event/wire"
)

// begins is the time of the first events, Unix milliseconds.
const begins = 1_700_000_000_000

func TestOneAgentAmongOthersDoesNotMoveTheClockFar(t *testing.T) {
	const hour = 3_600_000
	type see struct {
		at    int64
		agent uint64
	}
	run := func(agent uint64, times ...int64) (out []see) {
		for _, at := range times {
			out = append(out, see{at, agent})
		}
		return out
	}
	alone := func(n int) (out []see) {
		for i := range n {
			out = append(out, see{20*hour + int64(i), 2})
		}
		return out
	}
	for name, c := range map[string]struct {
		events []see
		want   int64 // newest
	}{
		"an hour ahead is believed":                         {[]see{{0, 1}, {1, 2}, {1 + hour, 1}}, 1 + hour},
		"more than an hour is not, of one agent among many": {[]see{{0, 1}, {0, 2}, {hour + 1, 1}}, 0},
		"a second agent beyond it confirms it": {[]see{{0, 1}, {0, 2}, {9 * hour, 1}, {9*hour + 5, 2}},
			9*hour + 5},
		"of two that disagree the lower is believed": {[]see{{0, 1}, {0, 2}, {90 * hour, 1}, {9 * hour, 2}},
			9 * hour},
		"the only agent there is needs nobody": {run(1, 0, 50*hour, 99*hour), 99 * hour},
		"an agent that goes on alone confirms itself": {append([]see{{0, 1}, {0, 2}}, alone(loneRun)...),
			20*hour + loneRun - 1},
		"but not before so many events": {append([]see{{0, 1}, {0, 2}}, alone(loneRun-1)...), 0},
		"nor if others interrupt it": {append(append(append([]see{{0, 1}, {0, 2}},
			alone(loneRun-1)...), see{5, 1}), alone(loneRun-1)...), 5},
		"others go on while a jump waits": {[]see{{0, 1}, {0, 2}, {9 * hour, 1}, {1000, 2},
			{2000, 2}}, 2000},
		"and reach it in the end": {[]see{{0, 1}, {0, 2}, {hour + 5, 1}, {10, 2}}, hour + 5},
		"it never goes back":      {[]see{{5000, 1}, {0, 2}, {100, 1}}, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			var k clock
			last := int64(noTime)
			for _, e := range c.events {
				k.see(e.at+begins, 0, e.agent)
				if k.watermark() < last {
					t.Errorf("the watermark went back from %d to %d", last, k.watermark())
				}
				last = k.watermark()
				var back clock // saved and loaded at any time
				r := wire.Reader{B: k.append(nil)}
				if back.decode(&r); r.Err != nil || back != k {
					t.Errorf("%+v comes back as %+v, %v", k, back, r.Err)
				}
			}
			if k.newest != c.want+begins || k.watermark() != c.want+begins-lateness {
				t.Errorf("newest %d, want %d", k.newest-begins, c.want)
			}
		})
	}
	var k clock
	if k.tick(begins); k.watermark() != noTime {
		t.Error("a tick makes a clock that has seen nothing")
	}
	k.see(begins, 0, 1)
	k.tick(begins + 5*hour) // ticks are the owner's own, and no jump
	k.tick(begins + hour)
	if k.reached() != begins+5*hour || k.newest != begins {
		t.Errorf("after ticks the clock is at %d, the newest event at %d", k.reached()-begins, k.newest-begins)
	}
}

// A clock that is ticked by what it says itself must not run away, whatever comes in between.
func TestTicksFollowFromEventsAlone(t *testing.T) {
	const second = 1000
	for name, c := range map[string]struct {
		event func(s int64) (at int64, ok bool) // by the second of the broker's clock
		ahead int64                             // of the wall clock, at the end of an hour
	}{
		"silence":                      {func(s int64) (int64, bool) { return s * second, s == 0 }, 0},
		"one event every five seconds": {func(s int64) (int64, bool) { return s * second, s%5 == 0 }, 0},
		"a gateway that is two seconds late": {func(s int64) (int64, bool) { return (s - 2) * second, s%7 == 0 },
			-2 * second},
		"one fast clock, once": {func(s int64) (int64, bool) { return s*second + futureTol, s == 0 },
			futureTol},
		"one fast clock among others": {func(s int64) (int64, bool) {
			if s == 1800 {
				return s*second + futureTol, true
			}
			return s * second, true
		}, 0},
		"an old event that is sent again and again": {func(s int64) (int64, bool) {
			if s == 0 {
				return 0, true
			}
			return -3600 * second, true
		}, 0},
		"the newest event, again and again": {func(s int64) (int64, bool) { return 0, true }, -futureTol},
	} {
		t.Run(name, func(t *testing.T) {
			var k clock
			highest := int64(noTime)
			for s := range int64(3600) {
				now := begins + s*second
				if at, ok := c.event(s); ok {
					k.see(begins+at, now, 1)
				}
				k.tick(k.due(now + second/2))
				highest = max(highest, k.reached()-now-second/2)
				var back clock
				r := wire.Reader{B: k.append(nil)}
				if back.decode(&r); r.Err != nil || back != k {
					t.Fatalf("%+v comes back as %+v, %v", k, back, r.Err)
				}
			}
			end := int64(begins + 3599*second + second/2)
			if got := k.reached() - end; got < c.ahead-second || got > c.ahead || highest > futureTol {
				t.Errorf("after an hour the clock is %d ms ahead, want %d; at the most %d", got, c.ahead, highest)
			}
		})
	}
}
