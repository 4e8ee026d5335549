package catalogue

import (
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules/expression"
)

// The arguments of a tool as a tree. It holds the paths that the catalogue names, and the names
// that were seen before, so that the meaning of a name is worked out once.

// arg is an argument of a tool, or an object that holds arguments.
type arg struct {
	up       *arg
	key      string
	index    int    // of a list's element that the catalogue names; else -1
	children []*arg // in the order in which they were first seen
	words    []string
	role
	noPart      bool // it plays no part itself
	meaningless bool // no word of it or of an object around it has a meaning
	ignored     bool // the catalogue ignores it and what it holds
	hasElements bool // some children are elements of a list
}

// anyKey stands in paths for names that have no meaning.
const anyKey = "*"

// ignoredArg stands for arguments that are not read.
var ignoredArg = arg{index: -1, noPart: true, meaningless: true, ignored: true}

// same reports whether two arguments have the same path. Arguments that are not in the tree are
// made anew each time, so pointers may differ.
func (a *arg) same(b *arg) bool {
	for a != b {
		if a == nil || b == nil || a.key != b.key || a.index != b.index {
			return false
		}
		a, b = a.up, b.up
	}
	return true
}

// element returns element n of a list if the catalogue names it, else the list itself.
func (a *arg) element(n int) *arg {
	for _, e := range a.children {
		if e.index == n {
			return e
		}
	}
	return a
}

// path is the path of an argument, as the catalogue writes it.
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

// written is path, or "" if the catalogue cannot write it because a name has dots or brackets.
func (a *arg) written() string {
	for at := a; at.up != nil; at = at.up {
		if at.key == anyKey || strings.ContainsAny(at.key, `.[]`) {
			return ""
		}
	}
	if p := a.path(); p != "" && CheckPath(p) == "" {
		return p
	}
	return ""
}

// learn works out what an argument means, and adds it to the tree while there is room. It returns
// the argument and the place behind it among its siblings.
func (t *Tool) learn(at *arg, name []byte) (*arg, int) {
	for i, a := range at.children {
		if a.key == string(name) && a.index < 0 {
			return a, i + 1
		}
	}
	a := &arg{up: at, key: strings.ToValidUTF8(string(name), ""), index: -1, ignored: at.ignored}
	own := splitWords(a.key, maxWords)
	a.words = append(append(a.words, at.words...), own...)
	if len(a.words) > maxWords { // the last words matter most
		a.words = a.words[len(a.words)-maxWords:]
	}
	a.meaningless = at.meaningless && !t.means(name)
	if !a.ignored {
		a.role = t.roleOf(a.words, min(len(own), len(a.words)))
	}
	a.noPart = a.role.isEmpty()
	if t.learned < maxLearned && !strings.ContainsAny(a.key, `"\\`) && a.key == string(name) && at != &t.meaningless {
		t.learned++
		at.children = append(at.children, a)
	}
	return a, len(at.children)
}

// means reports whether a word of a name stands in any table, or in the tool's own name.
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

// insert adds the argument at a path of the catalogue, such as order.items[0].id or
// recipients[*].email, and returns it.
func (t *Tool) insert(path string) *arg {
	at := &t.args
	for part := range strings.SplitSeq(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		at, _ = t.learn(at, []byte(key))
		for rest != "" { // 0] or *], and perhaps more
			var number string
			number, rest, _ = strings.Cut(rest, "]")
			rest = strings.TrimPrefix(rest, "[")
			if n, err := strconv.Atoi(number); err == nil { // [*] needs no element of its own
				e := at.element(n)
				if e == at {
					e = &arg{up: at, index: n, words: at.words, role: at.role, noPart: at.noPart}
					at.children = append(at.children, e)
					at.hasElements = true
				}
				at = e
			}
		}
	}
	return at
}

// CheckPath says what is wrong with an argument path, or "".
func CheckPath(path string) string { return expression.CheckPath(path, maxLevels, maxIndex, maxKey) }
