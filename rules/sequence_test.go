package rules

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

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
		"a not between that arrives late": {func(s *Source) {
			s.Nots = []StepSource{{Name: "not", Where: `tool.class == "approve"`}}
		}, "1r:a 5w 3a 9s:b", nil},
		"a not after a step that arrives after others": {func(s *Source) {
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

// Many sequences side by side are all followed; one that is evicted is reported.
func TestTooManySequencesSideBySide(t *testing.T) {
	s := three(func(s *Source) {
		s.Select, s.Within = Each, 600_000
		s.Steps[2].Where = `tool.class == "send" and subject == read.who`
	})
	for n, evicted := range map[int]int{9: 0, 300: 0, MaxRuns: 0, MaxRuns + 30: 30} {
		b := on(t, s)
		b.quick = true
		for i := range n {
			b.play(fmt.Sprintf("%dr:x%d", i/10, i))
		}
		b.save()
		b.play(fmt.Sprintf("200w 201s:x%d", evicted))
		if len(b.matches) != evicted+1 || b.matches[evicted].Evicted || b.matches[evicted].Partial != (evicted > 0) {
			t.Errorf("%d side by side: %d matches", n, len(b.matches))
		}
		for i := range evicted {
			if m := b.matches[i]; !m.Evicted || m.Refs[0].ID != fmt.Sprint("e", i+1) {
				t.Errorf("%+v", m)
			}
		}
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
			for n := b.k.Numbers(); n > MaxPageNumbers; n = b.k.Numbers() { // as whoever keeps the state does
				if b.k.Shrink(b.r); b.k.Numbers() == n {
					b.matches = b.Evict(b.r, &b.k, b.k.Newest, b.matches)
				}
			}
		}
		if bound := map[Select]int{Latest: 8000, First: 8000, Each: MaxPageBytes + 5*MaxPageNumbers}[sel]; most > bound {
			t.Errorf("%v: a state of %d bytes", sel, most)
		}
	}
}

// A step that adds up may take as many events as come.
func TestAStepAddsUpManyEvents(t *testing.T) {
	for _, first := range []bool{false, true} {
		s := &Source{Within: 600_000, Steps: []StepSource{
			{Name: "read", Where: `tool.class == "read"`, Lets: []Pair{{"sum", "sum(result.records)"}, {"n", "count()"},
				{"people", "distinct(subject)"}}, Having: "sum >= 30000"},
			{Name: "sent", Where: `tool.class == "send"`}},
			Explain: `string(read.sum) + " in " + string(read.n) + " of " + string(read.people)`}
		if !first {
			s.Steps = append([]StepSource{{Name: "begin", Where: `tool.class == "write"`}}, s.Steps...)
		}
		b := on(t, s)
		at := func(i int, c event.Class) {
			b.n++
			b.event(&event.Event{ID: fmt.Sprint("e", b.n), Time: int64(i * 100), Kind: event.ToolCall,
				Tool: event.Tool{Class: c}, Subject: fmt.Sprint(i % 333), Has: event.HasRecords,
				Result: event.ResultOf{Records: 20}})
		}
		at(0, event.Write)
		for i := range 1499 {
			at(i+1, event.Read)
		}
		at(1500, event.Send)
		if len(b.matches) != 0 {
			t.Fatalf("first %v: %+v", first, b.matches)
		}
		at(1501, event.Read)
		at(1502, event.Send)
		if len(b.matches) != 1 || b.matches[0].Why != "30000 in 1500 of 333" || b.matches[0].Partial {
			t.Errorf("first %v: %+v", first, b.matches)
		}
	}
}
