package catalogue

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/jsonscan"
)

// Bounds of what is looked at in the arguments of one call, and of what is remembered of a tool's
// arguments.
const (
	maxIndex   = 64  // elements of lists that the catalogue may name
	maxLevels  = 6   // objects and lists inside each other that it may name
	maxKey     = 64  // bytes of a name
	maxValue   = 256 // bytes of an id
	maxTargets = 24  // receivers of one call that are named; that there are more is kept in mind
	maxLearned = 24  // names remembered of one tool; others are worked out each time

	// maxWork bounds the work of one call, in units of a value that plays no part: a megabyte of
	// those fits. A name that may play one costs dear, so that 16,000 of them fit. What is beyond
	// is told: the event is marked (event.ArgsIncomplete), and no list takes its destination for a
	// known one.
	maxWork   = 1 << 18
	dear      = 16
	maxNested = 100 // objects and lists inside each other
)

// span is a value as it stands in the arguments.
type span struct {
	from, to int32
	quoted   bool
	escaped  bool
	level    int // of objects and lists that it lies in
}

// pick is the best candidate for a part.
type pick struct {
	score uint8
	arg   *arg
	span
}

// want is a set of parts that are not declared, so the arguments are asked.
type want uint8

const (
	wantResource want = 1 << iota
	wantSubject
	wantDestination
	wantAmount
	wantEnvironment
	wantOperation
	wantLabels
)

// look is one reading of one call's arguments.
type look struct {
	t        *Tool
	p        []byte
	x        *Scratch
	left     int // work that may still be done
	want     want
	labels   labelBits
	toScore  uint8
	more     bool // there were more receivers than fit
	short    bool // not all was read
	targets  int
	resource pick
	subject  pick
	amount   pick
	till     till
	currency pick
	env      pick
	to       pick
	acts     acts
}

// read goes through the arguments once. What is not JSON ends it; what was found until then stands.
func (k *look) read() {
	if i := jsonscan.Space(k.p, 0); i < len(k.p) && k.p[i] == '{' {
		if k.object(i+1, &k.t.args, 0) < 0 {
			k.short = true
		}
	}
	if k.want&wantOperation != 0 {
		k.acts.finish(k)
	}
}

// spend takes work off what is left.
func (k *look) spend(n int) bool {
	if k.left -= n; k.left < 0 {
		k.short = true
		return false
	}
	return true
}

// object reads an object from behind its brace and returns the place behind it, or -1. Amounts in
// it are of the currency that it names.
func (k *look) object(i int, at *arg, level int) int {
	outer := k.till.open()
	i = k.members(i, at, level)
	k.till.close(k, outer)
	return i
}

func (k *look) members(i int, at *arg, level int) int {
	p := k.p
	next := 0 // arguments mostly come in the order of the last time
	for {
		i = jsonscan.Space(p, i)
		if i >= len(p) {
			return -1
		}
		if p[i] == '}' {
			return i + 1
		}
		if p[i] == ',' {
			i++
			continue
		}
		if p[i] != '"' || !k.spend(1) {
			return -1
		}
		i++
		var a *arg
		if next < len(at.kids) { // its name has neither quotes nor escapes, so a quote behind it ends it
			if key := at.kids[next].key; len(p)-i > len(key) && p[i+len(key)] == '"' && string(p[i:i+len(key)]) == key {
				a = at.kids[next]
				next++
				i += len(key) + 1
			}
		}
		if a == nil {
			end, escaped := jsonscan.EndOfString(p, i)
			if end < 0 {
				return -1
			}
			name := p[i:end]
			if escaped {
				name = k.x.unescape(name)
			}
			if got, n := k.find(at, name); n >= 0 {
				a, next = got, n
			} else {
				a = got
			}
			i = end + 1
		}
		i = jsonscan.Space(p, i)
		if i >= len(p) || p[i] != ':' {
			return -1
		}
		if i = k.value(i+1, a, level); i < 0 {
			return -1
		}
	}
}

// find returns the argument of a name below another, and the place of the one after it, or -1.
// Names without a word that has a meaning are not worked out: thousands of them cost no more than
// reading them.
func (k *look) find(at *arg, name []byte) (*arg, int) {
	for i, a := range at.kids {
		if a.key == string(name) && a.index < 0 {
			return a, i + 1
		}
	}
	if at == &silent {
		return at, -1
	}
	// Some of them are learned all the same: most tools have few, and nothing is compared faster
	// than what is known.
	if (k.t.learned >= maxLearned/2 || len(name) > maxKey || at == &k.t.dull) && at.dull &&
		(len(name) > maxKey || !k.t.means(name)) {
		if at.fixed {
			return &silent, -1
		}
		return &k.t.dull, -1
	}
	if !k.spend(dear) {
		return &silent, -1
	}
	if len(name) > maxKey {
		name = name[:maxKey]
	}
	return k.t.learn(at, name)
}

// value reads one value and returns the place behind it, or -1.
func (k *look) value(i int, at *arg, level int) int {
	p := k.p
	i = jsonscan.Space(p, i)
	if i >= len(p) {
		return -1
	}
	switch p[i] {
	case '"':
		end, escaped := jsonscan.EndOfString(p, i+1)
		if end < 0 {
			return -1
		}
		if !at.idle {
			k.offer(at, span{int32(i + 1), int32(end), true, escaped, level})
		}
		return end + 1
	case '{':
		if level+1 >= maxNested || at == &silent {
			k.short = k.short || at != &silent
			return jsonscan.EndOfValue(p, i)
		}
		return k.object(i+1, at, level+1)
	case '[':
		if at == &silent || level+1 >= maxNested {
			k.short = k.short || at != &silent
			return jsonscan.EndOfValue(p, i)
		}
		i++
		for n := 0; ; n++ {
			i = jsonscan.Space(p, i)
			if i >= len(p) {
				return -1
			}
			if p[i] == ']' {
				return i + 1
			}
			if p[i] == ',' {
				i++
				n--
				continue
			}
			element := at
			if n > 0 && !k.spend(1) {
				element = &silent
			}
			if element != &silent && at.exact {
				element = at.element(n)
			}
			if element == &silent && !at.idle {
				k.unseen(at)
			}
			if i = k.value(i, element, level+1); i < 0 {
				return -1
			}
		}
	case 't', 'f', 'n':
		for i < len(p) && isLower(p[i]) {
			i++
		}
		return i
	}
	start := i
	for i < len(p) && (isDigit(p[i]) || p[i] == '-' || p[i] == '+' || p[i] == '.' || p[i]|0x20 == 'e') {
		i++
	}
	if i == start {
		return -1
	}
	if !at.idle {
		k.offer(at, span{int32(start), int32(i), false, false, level})
	}
	return i
}

// unseen keeps in mind that a list of receivers goes on.
func (k *look) unseen(at *arg) {
	if at.destination > 0 && k.want&wantDestination != 0 && at.destination >= k.toScore {
		k.more = true
	}
}

// offer takes a value into account for every part that its argument may play.
func (k *look) offer(a *arg, s span) {
	k.labels |= a.labels
	if a.resource != 0 && k.want&wantResource != 0 {
		k.resource.take(a.resource, a, s)
	}
	if a.subject != 0 && k.want&wantSubject != 0 {
		k.subject.take(a.subject, a, s)
	}
	if a.destination != 0 && k.want&wantDestination != 0 {
		k.target(a, s)
	}
	if a.amount != 0 && a.amount >= k.amount.score && k.want&wantAmount != 0 {
		k.add(a, s)
	}
	if a.currency != 0 && s.from != s.to {
		k.currency.take(a.currency, a, s)
		k.till.name(s)
	}
	if a.env != 0 && k.want&wantEnvironment != 0 {
		k.env.take(a.env, a, s)
	}
	if a.operation != noOperation && k.want&wantOperation != 0 {
		k.acts.take(k, a, s)
	}
}

// take keeps the better candidate. Of one name the last value counts, as it does for whoever
// carries out the call.
func (c *pick) take(score uint8, a *arg, s span) {
	if s.from != s.to && (score > c.score || score == c.score && c.arg.same(a)) {
		*c = pick{score, a, s}
	}
}

// target takes a receiver into account. All that are as good count, since the one that matters may
// stand anywhere.
func (k *look) target(a *arg, s span) {
	if s.from == s.to || a.destination < k.toScore {
		return
	}
	if a.needs != 0 && a.needs&(1<<k.shape(a, k.text(s))) == 0 {
		return
	}
	if s.escaped && s.to-s.from > 6*event.MaxString {
		k.more = true // not all of it is looked at
	}
	switch {
	case a.destination > k.toScore:
		k.toScore, k.targets, k.more = a.destination, 1, k.more && s.escaped
		k.to = pick{a.destination, a, s}
		k.x.domains[0] = domainMark(k.text(s))
	case k.targets < maxTargets:
		k.x.targets[k.targets] = s
		k.x.domains[k.targets] = domainMark(k.text(s))
		k.targets++
	default:
		// The one that matters may be the ten-thousandth: of those that are alike one is enough.
		k.more = true
		mark := domainMark(k.text(s))
		if slices.Contains(k.x.domains[:k.targets], mark) {
			return
		}
		for i := k.targets - 1; i > 0; i-- {
			if slices.Contains(k.x.domains[:i], k.x.domains[i]) {
				k.x.targets[i], k.x.domains[i] = s, mark
				return
			}
		}
	}
}

// domainMark tells the domains of receivers apart.
func domainMark(v string) uint64 {
	if i := strings.LastIndexByte(v, '@'); i >= 0 && !event.IsURL(v) {
		v = strings.TrimRight(v[i+1:], "> .")
	} else if h := HostOfURL(event.Clip(v, event.MaxString)); h != "" {
		v = h
	}
	return xxhash.Sum64String(event.Lower(v))
}

// shape is what a destination looks like, given what its argument may hold.
func (k *look) shape(a *arg, v string) valueShape {
	if a.needs&(1<<hostShape) != 0 {
		return reach(v, a.bare)
	}
	return shapeOf(v)
}

// text is a value as text; it lives until Scratch.Reset and as long as the event's bytes.
func (k *look) text(s span) string {
	raw := k.p[s.from:s.to]
	if s.escaped {
		raw = k.x.unescape(raw)
	}
	return alias(raw)
}

// whole is a text of any length, where all of it counts.
func (k *look) whole(s span) string {
	raw := k.p[s.from:s.to]
	if !s.escaped {
		return alias(raw)
	}
	if len(raw) <= 6*event.MaxString {
		return k.text(s)
	}
	text, ok := jsonscan.Unquote(nil, k.p[s.from-1:s.to+1])
	if !ok {
		k.short = true
		return k.text(s)
	}
	return alias(text)
}
