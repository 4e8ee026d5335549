package rules

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/rules/expression"
)

// bench runs a rule on stories: events of a class, a subject and a time in seconds, on one state.
type bench struct {
	testing.TB
	*Runner
	r       *Rule
	k       State
	n       int
	quick   bool // the state is not saved with each event
	matches []Match
}

// on is a bench for a rule.
func on(t testing.TB, s *Source) *bench {
	r := build(t, s)
	return &bench{TB: t, Runner: &Runner{}, r: r, k: State{Rule: r.Hash}}
}

var classOf = map[byte]event.Class{'r': event.Read, 'w': event.Write, 's': event.Send, 'd': event.Delete,
	'p': event.Pay, 'a': event.Approve}

// play takes a story such as "0r:x 5s:y": seconds, class, subject.
func (b *bench) play(story string) *bench {
	b.Helper()
	for _, word := range strings.Fields(story) {
		var at int64
		var class byte
		subject := ""
		head, tail, _ := strings.Cut(word, ":")
		if _, err := fmt.Sscanf(head, "%d%c", &at, &class); err != nil {
			b.Fatal(word, err)
		}
		subject = tail
		b.n++
		b.event(&event.Event{ID: fmt.Sprint("e", b.n), Time: at * 1000, Kind: event.ToolCall,
			Tool: event.Tool{Class: classOf[class]}, Subject: subject,
			Result: event.ResultOf{Records: int64(len(subject))}, Has: event.HasRecords})
	}
	return b
}

// event shows one event to the rule. What is taken is encoded and decoded on the way.
func (b *bench) event(e *event.Event) {
	b.Begin(e, "p", e.Time, nil)
	t := Taken{Rows: make([][]expression.Value, len(b.r.Parts()))}
	for i, p := range b.r.Parts() {
		if b.Passes(p.Where) {
			row, _ := b.Row(nil, p)
			t.Mask |= 1 << i
			t.Rows[i] = row
		}
	}
	if t.Mask == 0 {
		return
	}
	// What is taken travels, and the state is saved, between any two events.
	r := wire.Reader{B: t.Append(nil)}
	back, ok := ReadTaken(&r, b.r)
	if !ok || !reflect.DeepEqual(back.Mask, t.Mask) {
		b.Fatalf("what was taken does not come back: %+v, %+v", t, back)
	}
	b.matches = b.Advance(b.r, &b.k, event.Ref{Time: e.Time, ID: e.ID}, &back, b.matches)
	if failures, _ := b.TakeCounts(); failures > 0 {
		b.Fatal("an expression has failed")
	}
	if !b.quick {
		b.save()
	}
}

// save encodes and decodes the state.
func (b *bench) save() {
	b.Helper()
	was := b.k.Append(nil)
	r := wire.Reader{B: was}
	b.k.Decode(&r)
	if r.Err != nil || len(r.B) > 0 || !b.k.Fits(b.r) || string(b.k.Append(nil)) != string(was) {
		b.Fatalf("the state does not come back: %v, %d bytes left, fits %v", r.Err, len(r.B), b.k.Fits(b.r))
	}
}

// until lets time pass without an event.
func (b *bench) until(seconds int64) *bench {
	b.matches = b.Expire(b.r, &b.k, seconds*1000, b.matches)
	return b
}

// want compares the matches: time in seconds, ids, explanation and flags.
func (b *bench) want(want ...string) {
	b.Helper()
	got := []string{}
	for _, m := range b.matches {
		ids := []string{}
		for _, r := range m.Refs {
			ids = append(ids, r.ID)
		}
		s := fmt.Sprintf("%d %s", m.Time/1000, strings.Join(ids, ","))
		if m.Why != "" {
			s += " " + m.Why
		}
		if m.Continues {
			s += " continues"
		}
		if m.Partial {
			s += " partial"
		}
		got = append(got, s)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.Errorf("matches %q, want %q", got, want)
	}
}
