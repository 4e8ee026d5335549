// Package suggest drafts what people could declare, from what was seen: definitions of tools from
// their calls, and personas from what their agents used and reached.
//
// It must never know how events are read or where drafts are written: the commands know that.
//
// Begin reading with ToolSurvey (tool_survey.go) for tools. For personas, begin with PersonaSurvey
// (persona_survey.go) or FromModel (persona_snapshot.go), both of which give a policy.Usage, and go
// on with DraftPersona (persona_draft.go).
package suggest

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

// MaxTools bounds the tools of one survey, and maxEvidence the evidence kept of each: names come
// from events, so there may be any number.
const (
	MaxTools    = 20_000
	maxEvidence = 40
)

// ToolSurvey is what was seen of tools in a stream.
type ToolSurvey struct {
	Tools map[[2]string]*Tool // by server and name
	Calls int64
	Over  int64 // calls of tools beyond MaxTools

	cache *ToolCache
}

// Tool is one tool of a survey.
type Tool struct {
	Name, Server string
	Calls        int64
	Class        ByClass // as declared, else as inferred
	Declared     ByClass
	Inferred     ByClass // as if nothing was declared
	// The values are pointers, so that counting does not replace a key: texts of the new key are
	// part of an event.
	evidence map[catalogue.Evidence]*int64
	Known    map[string]int64 // calls of which a field is known
}

// ByClass counts calls by class.
type ByClass [event.Delegate + 1]int64

// Top is the most frequent class, of equals the first; NoClass if there is no other.
func (t *ByClass) Top() event.Class {
	best := event.NoClass
	for c := event.Read; c <= event.Delegate; c++ {
		if t[c] > 0 && (best == event.NoClass || t[c] > t[best]) {
			best = c
		}
	}
	return best
}

// ToolCache keeps the compiled tools of a catalogue.
type ToolCache struct {
	*catalogue.Catalogue
	Scratch catalogue.Scratch
	tools   map[toolName]*catalogue.Tool
}

type toolName struct {
	tenant, name, server string
	class                event.Class
	readOnly             event.Tri
	sent                 string
}

// NewToolCache returns an empty cache.
func NewToolCache(c *catalogue.Catalogue) *ToolCache {
	return &ToolCache{Catalogue: c, tools: map[toolName]*catalogue.Tool{}}
}

// NewToolSurvey returns a survey of calls that a catalogue reads.
func NewToolSurvey(c *catalogue.Catalogue) *ToolSurvey {
	return &ToolSurvey{Tools: map[[2]string]*Tool{}, cache: NewToolCache(c)}
}

// Of returns the compiled tool of a call.
func (c *ToolCache) Of(e *event.Event) *catalogue.Tool {
	k := toolName{e.Tenant, e.Tool.Name, e.Tool.Server, e.Tool.Class, e.Tool.ReadOnlyHint, e.Tool.Sent}
	if t := c.tools[k]; t != nil {
		return t
	}
	if len(c.tools) > MaxTools {
		clear(c.tools)
	}
	k.tenant, k.name, k.server, k.sent = strings.Clone(k.tenant), strings.Clone(k.name), strings.Clone(
		k.server), strings.Clone(k.sent)
	t := c.Tool(k.tenant, &event.Tool{Name: k.name, Server: k.server, Class: k.class, ReadOnlyHint: k.readOnly,
		Sent: k.sent})
	c.tools[k] = t
	return t
}

// Add counts one event. Of a call in two records the result counts. ignore: what the event declares
// of the call is left out.
func (s *ToolSurvey) Add(e *event.Event, ignore bool) {
	c := s.cache
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return
	}
	s.Calls++
	k := [2]string{e.Tool.Server, e.Tool.Name}
	t := s.Tools[k]
	if t == nil {
		if len(s.Tools) == MaxTools {
			s.Over++
			return
		}
		t = &Tool{Name: strings.Clone(e.Tool.Name), Server: strings.Clone(e.Tool.Server),
			evidence: map[catalogue.Evidence]*int64{}, Known: map[string]int64{}}
		s.Tools[[2]string{t.Server, t.Name}] = t
	}
	t.Calls++
	t.Declared[e.Tool.Class]++
	own := *e
	own.Tool.Class = event.NoClass
	if ignore {
		own.Resource, own.Subject, own.Destination, own.Amount = event.Resource{}, "", event.Destination{},
			event.Amount{}
		own.Has &^= event.HasAmount
		*e = own
	}
	c.Of(&own).Complete(&own, &c.Scratch)
	t.Inferred[own.Tool.Class]++
	tool := c.Of(e)
	class := e.Tool.Class
	for _, v := range tool.Explain(e) {
		t.Known[v.Field]++
		if v.Field == "class" {
			class, _ = event.ParseClass(v.Value)
		}
		n := t.evidence[v]
		if n == nil {
			if len(t.evidence) == maxEvidence {
				continue
			}
			n = new(int64)
			v.Value, v.From, v.Path = strings.Clone(v.Value), strings.Clone(v.From), strings.Clone(v.Path)
			t.evidence[v] = n
		}
		*n++
	}
	t.Class[class]++
	c.Scratch.Reset()
}

// Sorted are the tools by calls, then by name.
func (s *ToolSurvey) Sorted() []*Tool {
	return slices.SortedFunc(maps.Values(s.Tools), func(a, b *Tool) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Name, b.Name),
			strings.Compare(a.Server, b.Server))
	})
}

// Reasons is the evidence of a field of the tool's calls, the most frequent first; "" is every
// field.
func (t *Tool) Reasons(field string) []catalogue.Evidence {
	var out []catalogue.Evidence
	for v := range t.evidence {
		if field == "" || v.Field == field {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b catalogue.Evidence) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), cmp.Compare(*t.evidence[b], *t.evidence[a]),
			strings.Compare(a.From, b.From), strings.Compare(a.Value, b.Value))
	})
	return out
}

// Seen is the number of calls with a piece of evidence.
func (t *Tool) Seen(v catalogue.Evidence) int64 { return *t.evidence[v] }

// Percent writes a share of a whole.
func Percent(n, of int64) string {
	if of == 0 {
		return "0 %"
	}
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 1, 64) + " %"
}
