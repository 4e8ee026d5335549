package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

func build(t testing.TB, s *Source) *Rule {
	t.Helper()
	r := &Rule{ID: "r"}
	for range s.When {
		r.Exceptions = append(r.Exceptions, &Exception{})
	}
	Build(r, s, func(at string, err error) { t.Fatalf("%s: %v", at, err) })
	return r
}

// bench plays events, each a class, a subject and a time in seconds, on one state of a rule.
type bench struct {
	testing.TB
	*Runner
	r       *Rule
	k       State
	n       int
	quick   bool // the state is not saved with each event
	matches []Match
}

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

func (b *bench) event(e *event.Event) {
	b.Begin(e, "p", e.Time, nil)
	t := Taken{Rows: make([][]Value, len(b.r.Parts()))}
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
	if failures, _ := b.Tell(); failures > 0 {
		b.Fatal("an expression has failed")
	}
	if !b.quick {
		b.save()
	}
}

func (b *bench) save() {
	b.Helper()
	was := b.k.Append(nil)
	r := wire.Reader{B: was}
	b.k.Decode(&r)
	if r.Err != nil || len(r.B) > 0 || !b.k.Fits(b.r) || string(b.k.Append(nil)) != string(was) {
		b.Fatalf("the state does not come back: %v, %d bytes left, fits %v", r.Err, len(r.B), b.k.Fits(b.r))
	}
}

func (b *bench) until(seconds int64) *bench {
	b.matches = b.Expire(b.r, &b.k, seconds*1000, b.matches)
	return b
}

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
		if m.Goes {
			s += " goes"
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

func three(change func(*Source)) *Source {
	s := &Source{Within: 60_000, Steps: []StepSource{
		{Name: "read", Where: `tool.class == "read"`, Capture: []Pair{{"who", "subject"}}},
		{Name: "write", Where: `tool.class == "write"`},
		{Name: "sent", Where: `tool.class == "send" and subject != read.who`, Capture: nil}},
		Explain: `read.who + ">" + subject`}
	if change != nil {
		change(s)
	}
	return s
}

func TestSequences(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Source)
		story  string
		want   []string
	}{
		"in order":                       {nil, "0r:a 5w 9s:b", []string{"9 e1,e2,e3 a>b"}},
		"what lies between does no harm": {nil, "0r:a 1d 5w 6p 9s:b", []string{"9 e1,e3,e5 a>b"}},
		"out of order":                   {nil, "0w 5r:a 9s:b", nil},
		"too slow":                       {nil, "0r:a 5w 61s:b", nil},
		"just in time":                   {nil, "0r:a 5w 60s:b", []string{"60 e1,e2,e3 a>b"}},
		"the join does not hold":         {nil, "0r:a 5w 9s:a", nil},
		"it may hold later":              {nil, "0r:a 5w 9s:a 10s:c", []string{"10 e1,e2,e4 a>c"}},
		"consumed on match":              {nil, "0r:a 5w 9s:b 10s:c", []string{"9 e1,e2,e3 a>b"}},
		"the latest start wins":          {nil, "0r:a 1r:c 5w 9s:a", []string{"9 e2,e3,e4 c>a"}},
		"the first start stays": {func(s *Source) { s.Select = First }, "0r:a 1r:c 5w 9s:c",
			[]string{"9 e1,e3,e4 a>c"}},
		"each goes on by itself": {func(s *Source) { s.Select = Each }, "0r:a 1r:c 5w 9s:b",
			[]string{"9 e1,e3,e4 a>b", "9 e2,e3,e4 c>b"}},
		"not between": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`}}
		}, "0r:a 5w 7a 9s:b", nil},
		"not before": {func(s *Source) { s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`}} },
			"0a 1r:a 5w 9s:b",
			[]string{"9 e2,e3,e4 a>b"}},
		"not after one step alone": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`, After: "write"}}
		}, "0r:a 1a 5w 9s:b",
			[]string{"9 e1,e3,e4 a>b"}},
		"not of the same subject": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve" and subject == read.who`}}
		}, "0r:a 5w 6a:z 9s:b 20r:a 25w 26a:a 29s:b", []string{"9 e1,e2,e4 a>b"}},
		"a step that takes three": {func(s *Source) { s.Steps[1].Times = 3 }, "0r:a 5w 6w 7s:b 8w 9s:b",
			[]string{"9 e1,e2,e3,e5,e6 a>b"}},
		"three different ones": {func(s *Source) { s.Steps[1].Times, s.Steps[1].Distinct = 3, "subject" },
			"0r:a 5w:x 6w:x 7w:y 8s:b 9w:z 10s:b", []string{"10 e1,e2,e4,e6,e7 a>b"}},
		"a first step that takes three": {func(s *Source) { s.Steps[0].Times = 3 },
			"0r:a 50r:b 100r:c 105r:d 106w 107s:x",
			[]string{"107 e2,e3,e4,e5,e6 d>x"}},
		"a step that adds up": {func(s *Source) {
			s.Steps[1].Lets, s.Steps[1].Having = []Pair{{"sum", "sum(result.records)"},
				{"n", "count()"}}, "sum >= 5 and n > 1"
			s.Steps[2].Where = `tool.class == "send" and result.records < write.sum`
			s.Explain = `read.who + " " + string(write.sum) + " in " + string(write.n)`
		}, "0r:a 1w:bbbbbb 2s:x 3w:bb 4s:12345678 5s:x", []string{"5 e1,e2,e4,e6 a 8 in 2"}},
		"what adds up is compared with what was captured": {func(s *Source) {
			s.Steps[0].Capture = []Pair{{"who", "subject"}, {"least", "result.records"}}
			s.Steps[1].Lets, s.Steps[1].Having = []Pair{{"sum", "sum(result.records)"}}, "sum > read.least"
		}, "0r:aaa 1w:bb 2s:x 3w:bb 5s:x", []string{"5 e1,e2,e4,e5 aaa>x"}},
		"a first step that adds up, over the newest": {func(s *Source) {
			s.Steps[0].Lets, s.Steps[0].Having = []Pair{{"sum", "sum(result.records)"},
				{"kinds", "distinct(subject)"}}, "sum >= 4"
			s.Explain = `string(read.sum) + " of " + string(read.kinds) + " " + read.who`
		}, "0r:aaa 61r:b 62w 63r:bb 64r:b 65w 66s:x", []string{"66 e2,e4,e5,e6,e7 4 of 2 b"}},
		"late is left out":                  {nil, "0r:a 30w 15w 19s:b", nil},
		"a little late has its place":       {nil, "0r:a 12w 11r:c 13s:b", []string{"13 e1,e2,e4 a>b"}},
		"backwards":                         {nil, "5r:a 0w 6s:b", nil},
		"backwards, and again in order":     {nil, "5r:a 0w 6w 7s:b", []string{"7 e1,e3,e4 a>b"}},
		"at one time, in the log's order":   {nil, "5r:a 5w 5s:b", []string{"5 e1,e2,e3 a>b"}},
		"at one time, and not in the log's": {nil, "5w 5r:a 5s:b", nil},
		"the last step happened before":     {nil, "0r:a 5w 4s:b", nil},
		"a not that happened before the start": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`}}
		}, "5r:a 4a 6w 9s:b", []string{"9 e1,e3,e4 a>b"}},
		"a not between that is told late": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`}}
		}, "1r:a 5w 3a 9s:b", nil},
		"a not after a step, told after others": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`, After: "read"}}
		}, "1r:a 5w 3a 9s:b", nil},
		"a not after a step that came after the next": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`, After: "read"}}
		}, "1r:a 5w 6a 9s:b", []string{"9 e1,e2,e4 a>b"}},
		"a not after a step, that came before it": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`, After: "write"}}
		}, "1r:a 5w 4a 9s:b", []string{"9 e1,e2,e4 a>b"}},
		"an older start does not replace a newer one": {nil, "5r:a 3r:c 6w 9s:b", []string{"9 e1,e3,e4 a>b"}},
		"an older start is the first": {func(s *Source) { s.Select = First },
			"5r:a 3r:c 6w 9s:b", []string{"9 e2,e3,e4 c>b"}},
		"what is over lives for those who are late": {nil, "0r:a 5w 61d 62r:z 59s:b",
			[]string{"59 e1,e2,e5 a>b"}},
		"several, the last of which happened before": {func(s *Source) { s.Steps[1].Times = 2 },
			"5r:a 6w 4w 9s:b", nil},
		"several in any order, and what follows all of them": {func(s *Source) { s.Steps[1].Times = 2 },
			"5r:a 8w 6w 7s:b 9s:b", []string{"9 e1,e2,e3,e5 a>b"}},
		"a first step of several in any order": {func(s *Source) { s.Steps[0].Times = 3 },
			"60r:a 55r:b 62r:c 64r:d 58w 66w 67s:x", []string{"67 e1,e2,e3,e6,e7 c>x"}},
		"what is nothing is not different": {func(s *Source) {
			s.Steps[1].Times,
				s.Steps[1].Distinct = 3, "subject"
		}, "0r:a 5w:x 6w:y 7w 8s:b 9w:z 10s:b", []string{"10 e1,e2,e3,e6,e7 a>b"}},
		"nor at first": {func(s *Source) {
			s.Steps[0].Times,
				s.Steps[0].Distinct = 3, "subject"
		}, "0r:a 1r:b 2r 3w 4s:x", nil},
		"an event is not two steps": {func(s *Source) {
			s.Steps[1].Where = `tool.class == "read"`
		}, "0r:a 9s:b", nil},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, three(c.change)).play(c.story).want(c.want...)
		})
	}
}

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
	// What came before the delete does not answer it, even if it is told behind it.
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

// Where more is awaited than there is room for, what must go is told at once and not silenced.
func TestTooManyAbsences(t *testing.T) {
	s := &Source{Steps: []StepSource{{Name: "gone", Where: `tool.class == "delete"`,
		Capture: []Pair{{"what", "subject"}}}},
		Absent: &StepSource{Name: "absent", Where: `tool.class == "send" and subject == gone.what`}, For: 600_000,
		Explain: `"deleted " + gone.what`}
	b := on(t, s)
	b.quick = true
	const extra = 50
	for i := range MaxOpen + extra {
		b.play(fmt.Sprintf("%dd:x%d", i/100, i))
	}
	b.save()
	told := len(b.matches)
	for i, m := range b.matches {
		if want := fmt.Sprint("deleted x", i); m.Why != want || !m.Unfollowed || !m.Partial ||
			m.Until != int64(600+i/100)*1000 {
			t.Fatalf("%+v, want %s", m, want)
		}
	}
	b.until(10_000)
	if told != extra || len(b.matches) != MaxOpen+extra {
		t.Errorf("%d were told at once, %d in all", told, len(b.matches))
	}
	if b.k.Weight() != 0 || len(b.k.open) != 0 {
		t.Errorf("a weight of %d is left", b.k.Weight())
	}
}

// Sequences side by side: nobody hides one behind a thousand others, and where one must go, it is
// told.
func TestTooManySequencesSideBySide(t *testing.T) {
	s := three(func(s *Source) {
		s.Select, s.Within = Each, 600_000
		s.Steps[2].Where = `tool.class == "send" and subject == read.who`
	})
	for n, told := range map[int]int{9: 0, 300: 0, MaxRuns: 0, MaxRuns + 30: 30} {
		b := on(t, s)
		b.quick = true
		for i := range n {
			b.play(fmt.Sprintf("%dr:x%d", i/10, i))
		}
		b.save()
		b.play(fmt.Sprintf("200w 201s:x%d", told))
		if len(b.matches) != told+1 || b.matches[told].Unfollowed || b.matches[told].Partial != (told > 0) {
			t.Errorf("%d side by side: %d matches", n, len(b.matches))
		}
		for i := range told {
			if m := b.matches[i]; !m.Unfollowed || m.Refs[0].ID != fmt.Sprint("e", i+1) {
				t.Errorf("%+v", m)
			}
		}
	}
}

// What is open under one key is what a naive list says, wherever it is read from disk.
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
		if got := b.k.Open(); got != len(open) {
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

func TestWindows(t *testing.T) {
	s := &Source{Window: 60_000, Where: `tool.class == "read"`,
		Lets: []Pair{{"n", "count()"}, {"people", "distinct(subject)"}, {"sum", "sum(result.records)"},
			{"top", "max(result.records)"},
			{"low", "min(result.records)"}, {"mean", "avg(result.records)"}, {"long", `count(result.records > 1)`},
			{"q", "quantile(result.records, 0.5)"}, {"share", "people / n"}, {"who", "subject"}},
		Having:  "people >= 3 and share > 0.5",
		Explain: `string(n) + " " + string(people) + " " + string(sum) + " " + string(low) + "-" + string(top) + " " + string(mean) + " " + string(long) + " " + string(q) + " " + who`}
	on(t, s).play("0r:a 1r:bb 2r:a").want()
	on(t, s).play("0r:a 1r:bb 2r:ccc").want("2 e1,e2,e3 3 3 6 1-3 2 2 2 ccc")
	// the first have left
	on(t, s).play("0r:a 1r:bb 61r:ccc 62r:d").want()
	// quantile: of the four the third
	on(t, s).play("0r:a 1r:bb 2r:ccc 3r:d").want("2 e1,e2,e3 3 3 6 1-3 2 2 2 ccc",
		"3 e1,e2,e3,e4 4 4 7 1-3 1.75 2 2 d goes")
	on(t, s).play("0r:a 1r:bb 2r:ccc 80r:x 81r:y 82r:z").want("2 e1,e2,e3 3 3 6 1-3 2 2 2 ccc",
		"82 e4,e5,e6 3 3 3 1-1 1 0 1 z")
	// late, and the window still holds it
	on(t, s).play("10r:a 11r:bb 5r:ccc").want("5 e3,e1,e2 3 3 6 1-3 2 2 2 ccc")
	on(t, s).play("100r:a 101r:bb 5r:ccc").want() // and not any more
}

func TestAWindowIsBounded(t *testing.T) {
	b := on(t, &Source{Window: 3_600_000, Where: `tool.class == "read"`, Lets: []Pair{{"n", "count()"}},
		Having: "n >= 1000"})
	for i := range 1500 {
		b.n++
		b.event(&event.Event{ID: fmt.Sprint("e", b.n), Time: int64(i), Kind: event.ToolCall,
			Tool: event.Tool{Class: event.Read}})
	}
	last := b.matches[len(b.matches)-1]
	if len(b.k.win.samples) != MaxSamples || last.Partial || last.Count != 1500 || last.Refs[0].ID != "e1" ||
		last.Refs[5].ID != "e1500" {
		t.Errorf("%d events are kept one by one; the last match is %+v", len(b.k.win.samples), last)
	}
}

// What a window has added up as events came and went is what its events add up to, to the last bit,
// and does not depend on when the state was last read from disk.
func TestWindowsAddUpExactly(t *testing.T) {
	s := &Source{Window: 20_000, Where: `tool.class == "read"`,
		Lets: []Pair{{"n", "count()"}, {"some", "count(amount.value > 5)"}, {"people", "distinct(subject)"},
			{"sum", "sum(amount.value)"}, {"top", "max(amount.value)"},
			{"low", "min(amount.value)"}, {"mean", "avg(amount.value)"}, {"q", "quantile(amount.value, 0.8)"}},
		Having: "n > 0"}
	rule := build(t, s)
	r := rand.New(rand.NewPCG(1, 1))
	kept, saved := State{Rule: rule.Hash}, State{Rule: rule.Hash}
	var m, n Runner
	for i := range 5000 {
		e := &event.Event{ID: fmt.Sprint("e", i), Time: int64(i*100 - r.IntN(9000)), Kind: event.ToolCall,
			Tool: event.Tool{Class: event.Read}, Subject: fmt.Sprint(r.IntN(40)), Has: event.HasAmount,
			Amount: event.Amount{Micro: []int64{100_000, 10_010_000, r.Int64N(1e9),
				math.MaxInt64 - 5}[min(r.IntN(200), 3)]}}
		var got [2][]Value
		for j, x := range []struct {
			*Runner
			k *State
		}{{&m, &kept}, {&n, &saved}} {
			x.Begin(e, "p", e.Time, nil)
			row, _ := x.Row(nil, rule.Steps[0])
			if x.Advance(rule, x.k, event.Ref{Time: e.Time, ID: e.ID}, &Taken{Mask: 1, Rows: [][]Value{row}},
				nil); len(x.adds) > 0 {
				got[j] = x.adds
			}
		}
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Fatalf("event %d: as they came %v, from disk %v", i, got[0], got[1])
		}
		if i%7 == 0 {
			b := saved.Append(nil)
			saved.Decode(&wire.Reader{B: b})
		}
	}
	// Ten dimes are one, though ten times 0.1 is less in floats.
	k := State{Rule: rule.Hash}
	for i := range 10 {
		e := &event.Event{ID: fmt.Sprint("e", i), Time: int64(i), Kind: event.ToolCall,
			Tool: event.Tool{Class: event.Read}, Has: event.HasAmount, Amount: event.Amount{Micro: 100_000}}
		m.Begin(e, "p", 0, nil)
		row, _ := m.Row(nil, rule.Steps[0])
		m.Advance(rule, &k, event.Ref{Time: e.Time, ID: e.ID}, &Taken{Mask: 1, Rows: [][]Value{row}}, nil)
	}
	if got := m.adds[3].N; got != 1 {
		t.Errorf("ten times 0.1 are %v", got)
	}
}

// BenchmarkWindow is an event in a full window of 1,000.
func BenchmarkWindow(b *testing.B) {
	rule := build(b, &Source{Window: 3_600_000, Where: `tool.class == "read"`,
		Lets: []Pair{{"n", "count()"}, {"people", "distinct(subject)"}, {"sum", "sum(result.records)"},
			{"q", "quantile(result.records, 0.95)"}}, Having: "people > 5000"})
	k := State{Rule: rule.Hash}
	var m Runner
	e := &event.Event{Kind: event.ToolCall, Tool: event.Tool{Class: event.Read}, Has: event.HasRecords}
	var subjects [512]string
	for i := range subjects {
		subjects[i] = fmt.Sprint("s", i)
	}
	row := make([]Value, 0, 8)
	t := &Taken{Mask: 1, Rows: [][]Value{nil}}
	for i := range b.N {
		e.Time, e.Subject, e.Result.Records = int64(i), subjects[i%512], int64(i*7919%5000)
		m.Begin(e, "p", 0, nil)
		row, _ = m.Row(row[:0], rule.Steps[0])
		t.Rows[0] = row
		m.Advance(rule, &k, event.Ref{Time: e.Time, ID: "e"}, t, nil)
	}
}

// What is kept for a sequence is bounded, whatever comes.
func TestSequencesAreBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, sel := range []Select{Latest, First, Each} {
		b := on(t, three(func(s *Source) {
			s.Select, s.Steps[1].Times, s.Steps[1].Distinct = sel, 3, "subject"
			s.Steps[2].Lets, s.Steps[2].Having = []Pair{{"n", "count()"}}, "n > 1000"
		}))
		b.quick = true
		most := 0
		for i := range 3000 {
			b.play(fmt.Sprintf("%d%c:%d", i/20, "rwsd"[r.IntN(4)], r.IntN(1000)))
			if i%100 == 0 {
				b.save()
				most = max(most, len(b.k.Append(nil)))
			}
			for n := b.k.Held(); n > MaxKept; n = b.k.Held() { // as whoever keeps the state does
				if b.k.Tighten(b.r); b.k.Held() == n {
					b.matches = b.Release(b.r, &b.k, b.k.Newest, b.matches)
				}
			}
		}
		if bound := map[Select]int{Latest: 8000, First: 8000, Each: MaxWeight + 5*MaxKept}[sel]; most > bound {
			t.Errorf("%v: a state of %d bytes", sel, most)
		}
	}
}

func TestWhatMustNotBeBuilt(t *testing.T) {
	fault := func(s *Source) (code string) {
		r := &Rule{ID: "r"}
		Build(r, s, func(_ string, err error) {
			if f, ok := err.(*Fault); ok && code == "" {
				code = f.Code
			}
		})
		return code
	}
	step := func(where string) []StepSource {
		return []StepSource{{Name: "a", Where: `tool.class == "read"`, Capture: []Pair{{"x", "subject"}}},
			{Name: "b", Where: where}}
	}
	for name, c := range map[string]struct {
		code string
		s    *Source
	}{
		"a step that is of nothing but what was captured": {"R141", &Source{Within: 1, Steps: step("a.x == subject")}},
		"a capture that is not there": {"R101",
			&Source{Within: 1, Steps: step(`tool.class == "send" and a.y == subject`)}},
		"a helper of the event together with a capture": {"R130",
			&Source{Within: 1, Steps: step(`tool.class == "send" and a.x == arg("to")`)}},
		"a capture of what an argument says": {"R135",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`,
					Capture: []Pair{{"x", `"<" + arg("to")`}}}, {Name: "b", Where: `tool.class == "send"`}}}},
		"a hash of it": {"",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`,
					Capture: []Pair{{"x", `hash(arg("to"))`}}}, {Name: "b", Where: `tool.class == "send"`}}}},
		"different things that arguments say": {"R135",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", `distinct(arg("q"))`}}, Having: "n > 3"}},
		"a sentence of one event": {"",
			&Source{Where: "true", Lets: []Pair{{"p", `arg("path")`}}, Explain: "p"}},
		"after a step that is not there": {"R140",
			&Source{Within: 1, Steps: step(`tool.class == "send"`),
				Nots: []StepSource{{Name: "n", Where: `tool.class == "pay"`, After: "zz"}}}},
		"a sum without a window": {"R132",
			&Source{Where: "true", Lets: []Pair{{"n", "count()"}}}},
		"a quantile without a share": {"R133",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", "quantile(result.bytes)"}}}},
		"times and having": {"R144",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`, Times: 2, Lets: []Pair{{"n", "count()"}},
					Having: "n > 3"}}}},
		"let without having in a step": {"R144",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`, Lets: []Pair{{"n", "count()"}}}}}},
		"one name twice": {"R145",
			&Source{Within: 1,
				Steps: []StepSource{{Name: "a", Where: `tool.class == "read"`, Lets: []Pair{{"n", "count()"}},
					Having: "n > 3", Capture: []Pair{{"n", "subject"}}}}}},
		"times of a not": {"R143",
			&Source{Within: 1, Steps: step(`tool.class == "send"`),
				Nots: []StepSource{{Name: "n", Where: `tool.class == "pay"`, Times: 2}}}},
		"a sum of texts": {"R102",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", "sum(subject)"}}}},
		"having that is no condition": {"R102",
			&Source{Where: "true", Window: 1, Lets: []Pair{{"n", "count()"}}, Having: "n"}},
	} {
		if got := fault(c.s); got != c.code {
			t.Errorf("%s: %q, want %s", name, got, c.code)
		}
	}
}

func FuzzState(f *testing.F) {
	b := on(f, three(nil)).play("0r:a 1w 2r:b")
	f.Add(b.k.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		var k State
		r := wire.Reader{B: raw}
		k.Decode(&r)
		if r.Err != nil {
			return
		}
		k.Rule = b.r.Hash
		if !k.Fits(b.r) {
			return
		}
		c := &bench{TB: t, Runner: &Runner{}, r: b.r, k: k}
		c.play("3w:x 4s:y 5r:z 6w 7s:q")
	})
}
