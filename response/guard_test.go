package response

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

func TestAGuardAllowsTheLargerOfANumberAndAShare(t *testing.T) {
	for name, c := range map[string]struct {
		set   policy.Settings
		acted [][2]int64 // hour, agents
		want  int64
	}{
		"nobody has acted": {policy.Settings{GuardLeast: 2, GuardShare: 5}, nil, 2},
		"a small persona": {policy.Settings{GuardLeast: 2, GuardShare: 5}, [][2]int64{{7, 30}},
			2},
		"a large one": {policy.Settings{GuardLeast: 2, GuardShare: 5}, [][2]int64{{7, 999}},
			49},
		"parts add up": {policy.Settings{GuardLeast: 2, GuardShare: 5},
			[][2]int64{{7, 50}, {7, 50}}, 5},
		"the hour before counts while this one": {policy.Settings{GuardLeast: 2, GuardShare: 5},
			[][2]int64{{7, 1000}, {8, 10}}, 50},
		"is young, and late parts of it, too": {policy.Settings{GuardLeast: 2, GuardShare: 5},
			[][2]int64{{7, 500}, {8, 10}, {7, 500}}, 50},
		"two hours later it is forgotten": {policy.Settings{GuardLeast: 2, GuardShare: 5},
			[][2]int64{{7, 1000}, {8, 10}, {9, 10}}, 2},
		"also if nobody acted between": {policy.Settings{GuardLeast: 2, GuardShare: 5},
			[][2]int64{{7, 1000}, {9, 10}}, 2},
		"a part from long ago changes nothing": {policy.Settings{GuardLeast: 2, GuardShare: 5},
			[][2]int64{{7, 10}, {2, 9999}}, 2},
		"no block at all": {policy.Settings{}, [][2]int64{{7, 1000}}, 0},
		"everybody":       {policy.Settings{GuardShare: 100}, [][2]int64{{7, 1000}}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			g := &Guard{}
			for _, a := range c.acted {
				g.Acted(a[0], a[1])
			}
			if got := g.Allowed(&c.set); got != c.want {
				t.Errorf("%d are allowed, want %d", got, c.want)
			}
		})
	}
}

func TestAGuardSaysWhenItsRoomChanges(t *testing.T) {
	set := &policy.Settings{GuardLeast: 2}
	g := &Guard{}
	for i, c := range []struct {
		do            func()
		room, changed bool
	}{
		{func() {}, true, false},
		{func() { g.Blocked(1) }, true, false},
		{func() { g.Blocked(1) }, true, false}, // reported twice is once
		{func() { g.Blocked(2) }, false, true},
		{func() { g.Blocked(3) }, false, false}, // was under way when the answer changed
		{func() { g.Freed(9) }, false, false},   // nobody knows it
		{func() { g.Freed(3) }, false, false},
		{func() { g.Freed(2) }, true, true},
		{func() { g.Freed(2) }, true, false},
		{func() { set = &policy.Settings{GuardLeast: 1} }, false, true}, // another set took effect
		{func() { set = &policy.Settings{GuardShare: 10} }, false, false},
		{func() { g.Acted(1, 30) }, true, true}, // more agents act: there is more room
	} {
		c.do()
		back, r := &Guard{}, wire.Reader{B: g.Append(nil)}
		if back.Decode(&r); r.Err != nil {
			t.Fatal(r.Err)
		}
		*g = *back // saved and loaded at any time
		if room, changed := g.Room(set); room != c.room || changed != c.changed || g.Full() == room {
			t.Errorf("step %d: room %v, changed %v, full %v", i, room, changed, g.Full())
		}
	}
	if g.Idle() {
		t.Error("a guard that counts a block is idle")
	}
	if g.Freed(1); !g.Idle() {
		t.Error("a guard that counts nothing is not idle")
	}
	var none *Guard
	if !none.Idle() {
		t.Error("no guard is not idle")
	}
}

// Whatever the order of blocks and ends, the guard counts a set of scopes, and what it last answered is
// what is so.
func TestAGuardCountsScopes(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 8))
		set := &policy.Settings{GuardLeast: 3, GuardShare: 5}
		g, open, answer := &Guard{}, map[uint64]bool{}, true
		for range 200 {
			switch scope := r.Uint64N(12); r.IntN(3) {
			case 0:
				g.Blocked(scope)
				open[scope] = true
			case 1:
				g.Freed(scope)
				delete(open, scope)
			default:
				g.Acted(r.Int64N(4), r.Int64N(60))
			}
			room, changed := g.Room(set)
			if room != (int64(len(open)) < g.Allowed(set)) || changed != (room != answer) {
				t.Fatalf("seed %d: %d open of %d: room %v, changed %v", seed, len(open), g.Allowed(set), room, changed)
			}
			answer = room
			back, rd := &Guard{}, wire.Reader{B: g.Append(nil)}
			if back.Decode(&rd); rd.Err != nil || !bytes.Equal(back.Append(nil), g.Append(nil)) {
				t.Fatalf("seed %d: %v", seed, rd.Err)
			}
		}
	}
}
