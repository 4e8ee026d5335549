package glob

import (
	"unsafe"

	"github.com/wayward-sec/wayward/event"
)

// List is a list of names and patterns, compiled once. A nil list holds nothing.
type List struct {
	Entries  []string       // as written
	few      []plain        // plain names, if few: comparing them is faster than hashing
	exact    map[string]int // plain names, to their place in Entries, if many
	patterns []numbered
	full     *List // the entries that name tools with their server, as mcp__crm__delete_*; nil: none
	fullAt   []int // their places in Entries
}

const few = 4

type plain struct {
	name  string
	entry int
}

type numbered struct {
	Pattern
	entry int
}

// NewList compiles a list; an empty one gives nil. fold lowers ASCII letters, for what is then
// matched against lowered text.
func NewList(entries []string, fold bool) *List {
	if len(entries) == 0 {
		return nil
	}
	g := &List{Entries: entries, exact: map[string]int{}}
	for i, e := range entries {
		if fold {
			e = event.Lower(e)
		}
		if event.NamesServer(e) {
			g.fullAt = append(g.fullAt, i)
		}
		if Is(e) {
			g.patterns = append(g.patterns, numbered{Compile(e), i})
		} else if _, dup := g.exact[e]; !dup {
			g.exact[e] = i
			g.few = append(g.few, plain{e, i})
		}
	}
	if len(g.few) > few {
		g.few = nil
	} else {
		g.exact = nil
	}
	if n := len(g.fullAt); n == len(entries) {
		g.full = g
	} else if n > 0 {
		var full []string
		for _, i := range g.fullAt {
			full = append(full, entries[i])
		}
		g.full = NewList(full, fold)
	}
	return g
}

// NewIdentities compiles a list of users, personas, credentials or approvers, which are
// compared as event.Identity has them. The entries stay as written, for who reads about them.
func NewIdentities(entries []string) *List {
	folded := make([]string, len(entries))
	for i, e := range entries {
		folded[i] = event.Identity(e)
	}
	g := NewList(folded, false)
	if g != nil {
		g.Entries = entries
	}
	return g
}

// Find returns the place of the entry that matches s, or -1: a plain name before a pattern, then in
// the order of the list.
func (g *List) Find(s string) int {
	if g == nil {
		return -1
	}
	for i := range g.few {
		if p := &g.few[i]; p.name == s {
			return p.entry
		}
	}
	if g.exact != nil {
		if i, ok := g.exact[s]; ok {
			return i
		}
	}
	for i := range g.patterns {
		p := &g.patterns[i]
		if p.shape == prefix && (s == "" || s[0] != p.literal[0]) {
			// most patterns of most lists, without a call
			continue
		}
		if p.Match(s) {
			return p.entry
		}
	}
	return -1
}

// Passes is Find for a condition: an absent list asks for nothing.
func (g *List) Passes(s string) bool { return g == nil || g.Find(s) >= 0 }

// FindTool is Find for the names of tools. An entry means the plain name, whichever client named
// the tool, or the name as that client sent it. One that is written with its server, as
// mcp__crm__*, means that server's tool also where the client sends the two apart.
func (g *List) FindTool(t *event.Tool) int {
	i := g.Find(t.Name)
	if i >= 0 || g == nil {
		return i
	}
	if t.Sent != "" {
		if i = g.Find(t.Sent); i >= 0 {
			return i
		}
	}
	if g.full == nil || t.Server == "" {
		return -1
	}
	var buf [128]byte
	apart := event.Tool{Name: t.Name, Server: t.Server}
	full := apart.AppendFull(buf[:0])
	if i = g.full.Find(unsafe.String(unsafe.SliceData(full), len(full))); i >= 0 {
		return g.fullAt[i]
	}
	return -1
}

// PassesTool is Passes for the names of tools.
func (g *List) PassesTool(t *event.Tool) bool { return g == nil || g.FindTool(t) >= 0 }
