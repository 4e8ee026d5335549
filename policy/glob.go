package policy

import (
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/wayward-sec/wayward/event"
)

// glob is one compiled pattern: `*` stands for any run of characters, `?` for one character,
// everything else for itself. There is no escape and no class of characters: names of tools and
// domains need neither, and whoever reads the list sees what it matches.
//
// A star never has to be tried twice: the text between two stars is taken where it first fits,
// since a later place leaves less for what follows. So a match costs the text once per stretch
// between stars, also for `*a*a*a*b` on a long run of a.
type glob struct {
	shape   shape
	literal string    // of prefix, suffix and inside
	parts   []stretch // what stands between the stars, of mixed
}

type shape uint8

const (
	mixed  shape = iota
	prefix       // abc*
	suffix       // *abc
	inside       // *abc*
	every        // *
)

// stretch is the text between two stars.
type stretch struct {
	text string
	wild int // characters in text if it has a `?`, else 0: its length in bytes is then known
}

// isGlob tells a pattern from a plain name.
func isGlob(s string) bool { return strings.ContainsAny(s, "*?") }

func compileGlob(pattern string) glob {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	texts := strings.Split(pattern, "*")
	if !strings.Contains(pattern, "?") {
		switch {
		case pattern == "*":
			return glob{shape: every}
		case len(texts) == 2 && texts[1] == "":
			return glob{shape: prefix, literal: texts[0]}
		case len(texts) == 2 && texts[0] == "":
			return glob{shape: suffix, literal: texts[1]}
		case len(texts) == 3 && texts[0] == "" && texts[2] == "":
			return glob{shape: inside, literal: texts[1]}
		}
	}
	g := glob{}
	for _, t := range texts {
		s := stretch{text: t}
		if strings.Contains(t, "?") {
			s.wild = utf8.RuneCountInString(t)
		}
		g.parts = append(g.parts, s)
	}
	return g
}

func (g *glob) match(s string) bool {
	switch g.shape {
	case every:
		return true
	case prefix:
		return strings.HasPrefix(s, g.literal)
	case suffix:
		return strings.HasSuffix(s, g.literal)
	case inside:
		return strings.Contains(s, g.literal)
	}
	from, ok := g.parts[0].at(s, 0)
	if !ok {
		return false
	}
	if len(g.parts) == 1 {
		return from == len(s)
	}
	last := &g.parts[len(g.parts)-1]
	end := last.tail(s)
	if end < from {
		return false
	}
	if _, ok := last.at(s, end); !ok {
		return false
	}
	for i := 1; i < len(g.parts)-1; i++ {
		if from = g.parts[i].find(s[:end], from); from < 0 {
			return false
		}
	}
	return true
}

// at tells whether the stretch fits s from byte i on, and where it ends.
func (p *stretch) at(s string, i int) (end int, ok bool) {
	if p.wild == 0 {
		return i + len(p.text), strings.HasPrefix(s[i:], p.text)
	}
	for k := 0; k < len(p.text); k++ {
		if i == len(s) {
			return 0, false
		}
		if p.text[k] == '?' {
			_, n := utf8.DecodeRuneInString(s[i:])
			i += n
			continue
		}
		if p.text[k] != s[i] {
			return 0, false
		}
		i++
	}
	return i, true
}

// find returns the end of the first place at or after byte i where the stretch fits, or -1.
func (p *stretch) find(s string, i int) int {
	if p.wild == 0 {
		k := strings.Index(s[i:], p.text)
		if k < 0 {
			return -1
		}
		return i + k + len(p.text)
	}
	for i < len(s) {
		if end, ok := p.at(s, i); ok {
			return end
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		i += n
	}
	return -1
}

// tail returns where the stretch must begin to end with s, or -1.
func (p *stretch) tail(s string) int {
	if p.wild == 0 {
		return len(s) - len(p.text)
	}
	i := len(s)
	for range p.wild {
		if i == 0 {
			return -1
		}
		_, n := utf8.DecodeLastRuneInString(s[:i])
		i -= n
	}
	return i
}

// globs is a list of names and patterns, compiled once. A nil list holds nothing.
type globs struct {
	entries  []string       // as written
	few      []plain        // plain names, if few: comparing them is faster than hashing
	exact    map[string]int // plain names, to their place in entries, if many
	patterns []numbered
	full     *globs // the entries that name tools with their server, as mcp__crm__delete_*; nil: none
	fullAt   []int  // their places in entries
}

const few = 4

type plain struct {
	name  string
	entry int
}

type numbered struct {
	glob
	entry int
}

// compileGlobs compiles a list; an empty one gives nil. fold lowers ASCII letters, for what is then
// matched against lowered text.
func compileGlobs(entries []string, fold bool) *globs {
	if len(entries) == 0 {
		return nil
	}
	g := &globs{entries: entries, exact: map[string]int{}}
	for i, e := range entries {
		if fold {
			e = lower(e)
		}
		if event.NamesServer(e) {
			g.fullAt = append(g.fullAt, i)
		}
		if isGlob(e) {
			g.patterns = append(g.patterns, numbered{compileGlob(e), i})
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
		g.full = compileGlobs(full, fold)
	}
	return g
}

// compileIdentities compiles a list of users, personas, credentials or approvers, which are
// compared as event.Identity has them. The entries stay as written, for who reads about them.
func compileIdentities(entries []string) *globs {
	folded := make([]string, len(entries))
	for i, e := range entries {
		folded[i] = event.Identity(e)
	}
	g := compileGlobs(folded, false)
	if g != nil {
		g.entries = entries
	}
	return g
}

// find returns the place of the entry that matches s, or -1: a plain name before a pattern, then in
// the order of the list.
func (g *globs) find(s string) int {
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
		if p.match(s) {
			return p.entry
		}
	}
	return -1
}

// passes is find for a condition: an absent list asks for nothing.
func (g *globs) passes(s string) bool { return g == nil || g.find(s) >= 0 }

// findTool is find for the names of tools. An entry means the plain name, whichever client named
// the tool, or the name as that client sent it. One that is written with its server, as
// mcp__crm__*, means that server's tool also where the client sends the two apart.
func (g *globs) findTool(t *event.Tool) int {
	i := g.find(t.Name)
	if i >= 0 || g == nil {
		return i
	}
	if t.Sent != "" {
		if i = g.find(t.Sent); i >= 0 {
			return i
		}
	}
	if g.full == nil || t.Server == "" {
		return -1
	}
	var buf [128]byte
	apart := event.Tool{Name: t.Name, Server: t.Server}
	full := apart.AppendFull(buf[:0])
	if i = g.full.find(unsafe.String(unsafe.SliceData(full), len(full))); i >= 0 {
		return g.fullAt[i]
	}
	return -1
}

// passesTool is passes for the names of tools.
func (g *globs) passesTool(t *event.Tool) bool { return g == nil || g.findTool(t) >= 0 }

// lower lowers ASCII letters and leaves the rest alone, so that it cannot change a text's length.
func lower(s string) string {
	if !hasUpper(s) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}
