package rarity

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/detectors/detectorstest"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

func FuzzAcquaintance(f *testing.F) {
	p := &agentDay{}
	p.begin(detectorstest.FirstDay * baselines.DayMS)
	f.Add(p.Append(nil))
	for i := range uint64(40) {
		p.firstToday(Field(i%uint64(Fields)), i*0x9e3779b97f4a7c15)
	}
	p.marks = 3
	f.Add(p.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, q agentDay
		r := wire.Reader{B: b}
		if p.Decode(&r); r.Err != nil {
			return
		}
		again := p.Append(nil)
		if len(again) == 0 {
			return
		}
		r = wire.Reader{B: again}
		if q.Decode(&r); r.Err != nil || !bytes.Equal(q.Append(nil), again) {
			t.Fatal("it does not come back", r.Err)
		}
		p.firstToday(UserField, 5)
	})
}

func TestAValueCountsOnceADay(t *testing.T) {
	// As many as agents show on a day, over and over: nearly all count once.
	rng := rand.New(rand.NewPCG(2, 2))
	p := &agentDay{}
	values := make([]uint64, 80)
	for i := range values {
		values[i] = rng.Uint64()
	}
	for day := range int64(50) {
		p.begin((detectorstest.FirstDay + day) * baselines.DayMS)
		p.marks = countedMark
		counted := map[uint64]int{}
		for range 20 {
			for i, v := range values {
				if first, _ := p.firstToday(Field(i%int(Fields)), v); first {
					counted[v]++
				}
			}
		}
		wrong := 0
		for _, v := range values {
			if counted[v] != 1 {
				wrong++
			}
		}
		if wrong > 40 || len(counted) < 78 {
			t.Fatalf("day %d: %d values did not count once", day, wrong)
		}
	}
}

func TestMemoryOfAnAgent(t *testing.T) {
	if n := unsafe.Sizeof(agentDay{}); n > 32 {
		t.Errorf("%d B of an agent with one event", n)
	}
	if n := unsafe.Sizeof(agentDay{}) + 256; n > 300 || unsafe.Sizeof(agentDayDetail{}) > 256 {
		t.Errorf("%d B of an active agent", n)
	}
	p := &agentDay{}
	p.begin(detectorstest.FirstDay * baselines.DayMS)
	p.marks = countedMark
	for f := range Fields {
		p.firstToday(f, uint64(f)+1)
	}
	if n := len(p.Append(nil)); n > 32 || p.detail != nil {
		t.Errorf("%d B on disk of an agent with one event", n)
	}
}

// TestWhatThePanelRemembersDoesNotShow: an agent's page must be the same whoever else is on its
// shard, and after a restart.
func TestWhatThePanelRemembersDoesNotShow(t *testing.T) {
	run := func(forget bool) (pages []byte) {
		s := detectorstest.NewSchool(t, detectorstest.NoPolicy)
		rng := rand.New(rand.NewPCG(7, 7))
		for day := range int64(8) {
			for i := range 600 {
				e := detectorstest.Work(day, rng.IntN(3), fmt.Sprint(day, "-", i))
				e.Tool.Name, e.User = fmt.Sprint("t", rng.IntN(40)), fmt.Sprint("u", rng.IntN(60))
				if forget {
					s.Panel = detectors.New(s.Panel.Set)
				}
				s.Observe(e)
			}
		}
		for _, k := range slices.Sorted(maps.Keys(s.Agents)) {
			pages = s.Agents[k].Append(pages)
		}
		for _, d := range s.Deltas {
			pages = d.Append(pages)
		}
		return pages
	}
	if !bytes.Equal(run(false), run(true)) {
		t.Error("it shows")
	}
}
