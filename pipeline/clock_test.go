package pipeline

import (
	"testing"

	"github.com/wayward-sec/wayward/event/wire"
)

func TestClock(t *testing.T) {
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
				k.see(e.at+day0, 0, e.agent)
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
			if k.newest != c.want+day0 || k.watermark() != c.want+day0-lateness {
				t.Errorf("newest %d, want %d", k.newest-day0, c.want)
			}
		})
	}
	var k clock
	if k.tick(day0); k.watermark() != noTime {
		t.Error("a tick makes a clock that has seen nothing")
	}
	k.see(day0, 0, 1)
	k.tick(day0 + 5*hour) // ticks are the owner's own, and no jump
	k.tick(day0 + hour)
	if k.reached() != day0+5*hour || k.newest != day0 {
		t.Errorf("after ticks the clock is at %d, the newest event at %d", k.reached()-day0, k.newest-day0)
	}
}
