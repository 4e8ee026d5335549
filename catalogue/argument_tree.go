package catalogue

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// arg is an argument of a tool, or an object that arguments lie in. The tree holds the paths of the
// catalogue and the names that were seen before, so that the meaning of a name is worked out once.
type arg struct {
	up    *arg
	key   string
	index int    // of an element, where the catalogue asks for one; else -1
	kids  []*arg // in the order in which they were seen first
	words []string
	role
	idle  bool // plays no part itself
	dull  bool // no word of it or of what it lies in has a meaning
	fixed bool // the catalogue says that nothing in it matters
	exact bool // some kids are elements
}

// dullKey is the name of what says nothing in paths that are shown.
const dullKey = "*"

// silent stands for what is not looked at.
var silent = arg{index: -1, idle: true, dull: true, fixed: true}

// same tells whether two arguments are one: a name that was not learned is worked out each time.
func (a *arg) same(b *arg) bool {
	for a != b {
		if a == nil || b == nil || a.key != b.key || a.index != b.index {
			return false
		}
		a, b = a.up, b.up
	}
	return true
}

// element returns the n-th element of a list whose elements the catalogue tells apart.
func (a *arg) element(n int) *arg {
	for _, e := range a.kids {
		if e.index == n {
			return e
		}
	}
	return a
}

// path is where an argument lies, as the catalogue writes it.
func (a *arg) path() string {
	if a.up == nil {
		return ""
	}
	above := a.up.path()
	switch {
	case a.index >= 0:
		return above + "[" + strconv.Itoa(a.index) + "]"
	case above == "":
		return a.key
	}
	return above + "." + a.key
}

// written is path, or "" if the catalogue cannot write it, since a name holds what has a meaning in
// paths.
func (a *arg) written() string {
	for at := a; at.up != nil; at = at.up {
		if at.key == dullKey || strings.ContainsAny(at.key, `.[]`) {
			return ""
		}
	}
	if p := a.path(); p != "" && CheckPath(p) == "" {
		return p
	}
	return ""
}

// learn works out what an argument means, and remembers it.
func (t *Tool) learn(at *arg, name []byte) (*arg, int) {
	for i, a := range at.kids {
		if a.key == string(name) && a.index < 0 {
			return a, i + 1
		}
	}
	a := &arg{up: at, key: strings.ToValidUTF8(string(name), ""), index: -1, fixed: at.fixed}
	own := splitWords(a.key, maxWords)
	a.words = append(append(a.words, at.words...), own...)
	if len(a.words) > maxWords { // the last ones say most
		a.words = a.words[len(a.words)-maxWords:]
	}
	a.dull = at.dull && !t.means(name)
	if !a.fixed {
		a.role = t.meaning(a.words, min(len(own), len(a.words)))
	}
	a.idle = a.role.none()
	if t.learned < maxLearned && !strings.ContainsAny(a.key, `"\\`) && a.key == string(name) && at != &t.dull {
		t.learned++
		at.kids = append(at.kids, a)
	}
	return a, len(at.kids)
}

// means tells whether a word of a name may have a meaning, by the words of all tables and those of
// the tool's own name.
func (t *Tool) means(name []byte) bool {
	var buf [maxKey]byte
	word := func(from, to int) bool {
		if from == to || to-from > maxKey {
			return false
		}
		w := event.LowerInto(buf[:], alias(name[from:to]))
		if vocabulary[w] {
			return true
		}
		w = singular(w)
		return vocabulary[w] || slices.Contains(t.reading.nouns, noun(w))
	}
	start := 0
	for i, c := range name {
		switch {
		case !isWordByte(c):
			if word(start, i) {
				return true
			}
			start = i + 1
		case i > start && isUpper(c) && (!isUpper(name[i-1]) || i+1 < len(name) && isLower(name[i+1])):
			if word(start, i) {
				return true
			}
			start = i
		}
	}
	return word(start, len(name))
}

// insert returns the argument at a path of the catalogue, such as order.items[0].id or
// recipients[*].email.
func (t *Tool) insert(path string) *arg {
	at := &t.args
	for part := range strings.SplitSeq(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		at, _ = t.learn(at, []byte(key))
		for rest != "" { // 0] or *], and perhaps more
			var number string
			number, rest, _ = strings.Cut(rest, "]")
			rest = strings.TrimPrefix(rest, "[")
			if n, err := strconv.Atoi(number); err == nil { // of any element is said by nothing
				e := at.element(n)
				if e == at {
					e = &arg{up: at, index: n, words: at.words, role: at.role, idle: at.idle}
					at.kids = append(at.kids, e)
					at.exact = true
				}
				at = e
			}
		}
	}
	return at
}

// CheckPath says what is wrong with an argument path, or "".
func CheckPath(path string) string { return expression.CheckPath(path, maxLevels, maxIndex, maxKey) }
