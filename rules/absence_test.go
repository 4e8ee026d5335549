package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestAbsence(t *testing.T) {
	s := &Source{Steps: []StepSource{{Name: "gone", Where: `tool.class == "delete"`,
		Capture: []Pair{{"what", "subject"}}}},
		Absent: &StepSource{Name: "absent", Where: `tool.class == "send" and subject == gone.what`}, For: 600_000,
		Explain: `"deleted " + gone.what`}
	on(t, s).play("0d:x 100s:x").until(5000).want()
	on(t, s).play("0d:x 100s:y").until(599).want()
	on(t, s).play("0d:x 100s:y").until(600).want("600 e1 deleted x")
	on(t, s).play("0d:x 5d:y 100s:x").until(5000).want("605 e2 deleted y")
	on(t, s).play("0d:x 600s:x").until(5000).want() // in the last moment
	on(t, s).play("0d:x 601s:x").until(5000).want("600 e1 deleted x")
	if b := on(t, s).play("0d:x"); b.k.Due() != 600_000 {
		t.Errorf("due at %d", b.k.Due())
	}
	if b := on(t, s).play("0d:x 1s:x"); b.k.Due() != math.MaxInt64 {
		t.Errorf("nothing is awaited, and it is due at %d", b.k.Due())
	}
	// What happened before the delete does not end the absence, even if it arrives later.
	on(t, s).play("5d:x 3s:x").until(5000).want("605 e1 deleted x")
	// at the same time, behind it in the log
	on(t, s).play("5d:x 5s:x").until(5000).want()
	// late, and in time all the same
	on(t, s).play("0d:x 100d:y 20s:x").until(5000).want("700 e2 deleted y")
	// However many are awaited, the one that is forgotten is found, first, in the middle or last.
	for _, n := range []int{9, 20, 300, 3000} {
		for _, forgotten := range []int{0, n / 2, n - 1} {
			b := on(t, s)
			b.quick = true
			for i := range n {
				b.play(fmt.Sprintf("%dd:x%d", i/10, i))
			}
			for i := range n {
				if i != forgotten {
					b.play(fmt.Sprintf("%ds:x%d", 300+i/10, i))
				}
			}
			b.save()
			b.until(10_000).want(fmt.Sprintf("%d e%d deleted x%d", 600+forgotten/10, forgotten+1, forgotten))
		}
	}
}

// Where more is awaited than there is room for, what is evicted is reported at once.
func TestTooManyAbsences(t *testing.T) {
	s := &Source{Steps: []StepSource{{Name: "gone", Where: `tool.class == "delete"`,
		Capture: []Pair{{"what", "subject"}}}},
		Absent: &StepSource{Name: "absent", Where: `tool.class == "send" and subject == gone.what`}, For: 600_000,
		Explain: `"deleted " + gone.what`}
	b := on(t, s)
	b.quick = true
	const extra = 50
	for i := range MaxAbsences + extra {
		b.play(fmt.Sprintf("%dd:x%d", i/100, i))
	}
	b.save()
	evicted := len(b.matches)
	for i, m := range b.matches {
		if want := fmt.Sprint("deleted x", i); m.Why != want || !m.Evicted || !m.Partial ||
			m.Until != int64(600+i/100)*1000 {
			t.Fatalf("%+v, want %s", m, want)
		}
	}
	b.until(10_000)
	if evicted != extra || len(b.matches) != MaxAbsences+extra {
		t.Errorf("%d were reported at once, %d in all", evicted, len(b.matches))
	}
	if b.k.Size() != 0 || len(b.k.absences) != 0 {
		t.Errorf("a weight of %d is left", b.k.Size())
	}
}

// The absences of one key are those that a naive list has, wherever the state is read from disk.
func TestAbsencesAgainstAList(t *testing.T) {
	s := &Source{Steps: []StepSource{{Name: "gone", Where: `tool.class == "delete"`,
		Capture: []Pair{{"what", "subject"}, {"n", "result.records"}}}},
		Absent: &StepSource{Name: "absent",
			Where: `tool.class == "send" and subject == gone.what and result.records >= gone.n`}, For: 60_000}
	r := rand.New(rand.NewPCG(6, 6))
	b := on(t, s)
	b.quick = true
	type awaited struct {
		id, what string
		n        int
		at       int64
	}
	var open []awaited
	var want []string
	for i := range 6000 {
		at := int64(i/20) * 1000
		keep := open[:0]
		for _, o := range open {
			if o.at+60_000 < at {
				want = append(want, o.id)
			} else {
				keep = append(keep, o)
			}
		}
		open = keep
		what := fmt.Sprint(r.IntN(300))
		if r.IntN(2) == 0 {
			what = what[:1] // and some are of one name
		}
		b.n++
		e := &event.Event{ID: fmt.Sprint("e", b.n), Time: at, Kind: event.ToolCall, Subject: what,
			Result: event.ResultOf{Records: r.Int64N(3)}, Has: event.HasRecords}
		if r.IntN(3) > 0 {
			e.Tool.Class = event.Delete
			open = append(open, awaited{e.ID, what, int(e.Result.Records), at})
		} else {
			e.Tool.Class = event.Send
			keep := open[:0]
			for _, o := range open {
				if o.what != what || int(e.Result.Records) < o.n {
					keep = append(keep, o)
				}
			}
			open = keep
		}
		b.event(e)
		if i%173 == 0 {
			b.save()
		}
		if got := b.k.Absences(); got != len(open) {
			t.Fatalf("event %d: %d are awaited, want %d", i, got, len(open))
		}
	}
	var got []string
	for _, m := range b.matches {
		got = append(got, m.Refs[0].ID)
	}
	if !reflect.DeepEqual(got, want) || len(got) < 500 {
		t.Errorf("%d matches, want %d", len(got), len(want))
	}
}
