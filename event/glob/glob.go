// Package glob matches names, domains and other short texts with patterns of * and ?. It must never
// know what a list is for, nor fold what it matches: who asks brings texts into their one form
// first. Only of tools it knows that a name may be written with its server. Begin reading at
// Pattern, then List.
package glob

import (
	"strings"
	"unicode/utf8"
)

// Pattern is one compiled pattern: `*` stands for any run of characters, `?` for one character,
// everything else for itself. There is no escape and no class of characters: names of tools and
// domains need neither, and whoever reads the list sees what it matches.
//
// A star never has to be tried twice: the text between two stars is taken where it first fits,
// since a later place leaves less for what follows. So a match costs the text once per stretch
// between stars, also for `*a*a*a*b` on a long run of a.
type Pattern struct {
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

// Is tells a pattern from a plain name.
func Is(s string) bool { return strings.ContainsAny(s, "*?") }

// Compile compiles a pattern; a plain name is one, too.
func Compile(pattern string) Pattern {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	texts := strings.Split(pattern, "*")
	if !strings.Contains(pattern, "?") {
		switch {
		case pattern == "*":
			return Pattern{shape: every}
		case len(texts) == 2 && texts[1] == "":
			return Pattern{shape: prefix, literal: texts[0]}
		case len(texts) == 2 && texts[0] == "":
			return Pattern{shape: suffix, literal: texts[1]}
		case len(texts) == 3 && texts[0] == "" && texts[2] == "":
			return Pattern{shape: inside, literal: texts[1]}
		}
	}
	g := Pattern{}
	for _, t := range texts {
		s := stretch{text: t}
		if strings.Contains(t, "?") {
			s.wild = utf8.RuneCountInString(t)
		}
		g.parts = append(g.parts, s)
	}
	return g
}

// Match reports whether the whole of s fits the pattern.
func (g *Pattern) Match(s string) bool {
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

// at reports whether the stretch fits s from byte i on, and where it ends.
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

// Match reports whether the whole of s fits a pattern that is not known before, as one that an
// event brings. It takes time in proportion to the product of both lengths at worst.
func Match(s, pattern string) bool {
	star, mark := -1, 0 // the last star, and where in s what follows it was last tried
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, mark = j, i
			j++
		case j < len(pattern) && pattern[j] == '?':
			_, n := utf8.DecodeRuneInString(s[i:])
			i += n
			j++
		case j < len(pattern) && pattern[j] == s[i]:
			i++
			j++
		case star >= 0:
			_, n := utf8.DecodeRuneInString(s[mark:])
			mark += n
			i, j = mark, star+1
		default:
			return false
		}
	}
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	return j == len(pattern)
}

// Fixed counts the characters of a pattern that are not wild: of two patterns the one with more is
// the more telling.
func Fixed(pattern string) int {
	return len(pattern) - strings.Count(pattern, "*") - strings.Count(pattern, "?")
}
