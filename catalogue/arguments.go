package catalogue

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/jsonscan"
)

// Bounds of what is read of the arguments of one call, and of what is remembered of a tool's.
const (
	maxIndex     = 64  // the highest element of a list that the catalogue may name
	maxLevels    = 6   // how deep a path of the catalogue may be
	maxKey       = 64  // bytes of a name
	maxValue     = 256 // bytes of an id
	maxReceivers = 24  // receivers of one call that are named
	maxLearned   = 24  // names remembered of one tool; others are worked out each time

	// maxWork bounds the work of one call. The unit is one value that plays no part: a megabyte of
	// those fits. A name that may play one costs meaningfulCost, so 16,000 of them fit. If there is
	// more, the event is marked (event.ArgsIncomplete), and its destination matches no list of
	// known ones.
	maxWork        = 1 << 18
	meaningfulCost = 16
	maxNested      = 100 // objects and lists in each other
)

// span is a value as it stands in the arguments.
type span struct {
	from, to int32
	quoted   bool
	escaped  bool
	level    int // of objects and lists that it lies in
}

// candidate is the argument that plays a part best, so far.
type candidate struct {
	score uint8
	arg   *arg
	span
}

// partSet is a set of parts that the arguments are searched for, since nobody declared them.
type partSet uint8

const (
	wantResource partSet = 1 << iota
	wantSubject
	wantDestination
	wantAmount
	wantEnvironment
	wantOperation
	wantLabels
)

// argReader reads the arguments of one call.
type argReader struct {
	t             *Tool
	p             []byte
	x             *Scratch
	left          int // of maxWork
	want          partSet
	labels        labelBits
	receiverScore uint8
	moreReceivers bool // there are receivers that are not named
	incomplete    bool // not everything was read
	receivers     int
	resource      candidate
	subject       candidate
	amount        candidate
	sums          currencySums
	currency      candidate
	environment   candidate
	receiver      candidate
	actions       callActions
}

// read goes through the arguments once. It stops where they are no JSON, and keeps what it found.
func (r *argReader) read() {
	if i := jsonscan.Space(r.p, 0); i < len(r.p) && r.p[i] == '{' {
		if r.object(i+1, &r.t.args, 0) < 0 {
			r.incomplete = true
		}
	}
	if r.want&wantOperation != 0 {
		r.actions.finish(r)
	}
}

// spend reports whether there is still work left for n units.
func (r *argReader) spend(n int) bool {
	if r.left -= n; r.left < 0 {
		r.incomplete = true
		return false
	}
	return true
}

// object reads an object from behind its brace, and returns the place behind it; -1 if it is no
// JSON. The object's currency is that of the amounts in it.
func (r *argReader) object(i int, at *arg, level int) int {
	outer := r.sums.open()
	i = r.members(i, at, level)
	r.sums.close(r, outer)
	return i
}

func (r *argReader) members(i int, at *arg, level int) int {
	p := r.p
	next := 0 // arguments mostly come in the same order as last time
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
		if p[i] != '"' || !r.spend(1) {
			return -1
		}
		i++
		var a *arg
		if next < len(at.children) { // learned names have neither quotes nor escapes
			if key := at.children[next].key; len(p)-i > len(key) && p[i+len(key)] == '"' && string(p[i:i+len(key)]) == key {
				a = at.children[next]
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
				name = r.x.unescape(name)
			}
			if got, n := r.find(at, name); n >= 0 {
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
		if i = r.value(i+1, a, level); i < 0 {
			return -1
		}
	}
}

// find returns the argument of a name below another, and the place behind it among its siblings; -1
// if it is not in the tree. Names without a meaningful word all share one argument: thousands of
// them cost no more than reading them.
func (r *argReader) find(at *arg, name []byte) (*arg, int) {
	for i, a := range at.children {
		if a.key == string(name) && a.index < 0 {
			return a, i + 1
		}
	}
	if at == &ignoredArg {
		return at, -1
	}
	// The first of them are learned all the same: most tools have few, and a learned name is found
	// fastest.
	if (r.t.learned >= maxLearned/2 || len(name) > maxKey || at == &r.t.meaningless) && at.meaningless &&
		(len(name) > maxKey || !r.t.means(name)) {
		if at.ignored {
			return &ignoredArg, -1
		}
		return &r.t.meaningless, -1
	}
	if !r.spend(meaningfulCost) {
		return &ignoredArg, -1
	}
	if len(name) > maxKey {
		name = name[:maxKey]
	}
	return r.t.learn(at, name)
}

// value reads one value and returns the place behind it; -1 if it is no JSON.
func (r *argReader) value(i int, at *arg, level int) int {
	p := r.p
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
		if !at.noPart {
			r.offer(at, span{int32(i + 1), int32(end), true, escaped, level})
		}
		return end + 1
	case '{':
		if level+1 >= maxNested || at == &ignoredArg {
			r.incomplete = r.incomplete || at != &ignoredArg
			return jsonscan.EndOfValue(p, i)
		}
		return r.object(i+1, at, level+1)
	case '[':
		if level+1 >= maxNested || at == &ignoredArg {
			r.incomplete = r.incomplete || at != &ignoredArg
			return jsonscan.EndOfValue(p, i)
		}
		return r.list(i+1, at, level+1)
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
	if !at.noPart {
		r.offer(at, span{int32(start), int32(i), false, false, level})
	}
	return i
}

// list reads a list from behind its bracket, and returns the place behind it; -1 if it is no JSON.
func (r *argReader) list(i int, at *arg, level int) int {
	p := r.p
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
		if n > 0 && !r.spend(1) {
			element = &ignoredArg
		}
		if element != &ignoredArg && at.hasElements {
			element = at.element(n)
		}
		if element == &ignoredArg && !at.noPart {
			r.skipElement(at)
		}
		if i = r.value(i, element, level); i < 0 {
			return -1
		}
	}
}

// skipElement notes that a list of receivers has elements that are not read.
func (r *argReader) skipElement(at *arg) {
	if at.destination > 0 && r.want&wantDestination != 0 && at.destination >= r.receiverScore {
		r.moreReceivers = true
	}
}

// offer considers a value for every part that its argument may play.
func (r *argReader) offer(a *arg, s span) {
	r.labels |= a.labels
	if a.resource != 0 && r.want&wantResource != 0 {
		r.resource.take(a.resource, a, s)
	}
	if a.subject != 0 && r.want&wantSubject != 0 {
		r.subject.take(a.subject, a, s)
	}
	if a.destination != 0 && r.want&wantDestination != 0 {
		r.addReceiver(a, s)
	}
	if a.amount != 0 && a.amount >= r.amount.score && r.want&wantAmount != 0 {
		r.addAmount(a, s)
	}
	if a.currency != 0 && s.from != s.to {
		r.currency.take(a.currency, a, s)
		r.sums.addCurrency(s)
	}
	if a.environment != 0 && r.want&wantEnvironment != 0 {
		r.environment.take(a.environment, a, s)
	}
	if a.operation != noOperation && r.want&wantOperation != 0 {
		r.actions.take(r, a, s)
	}
}

// take keeps the better candidate. Of one name the last value counts, as it does for most JSON
// decoders.
func (c *candidate) take(score uint8, a *arg, s span) {
	if s.from != s.to && (score > c.score || score == c.score && c.arg.same(a)) {
		*c = candidate{score, a, s}
	}
}

// addReceiver keeps a receiver if no better argument was found. All receivers of the best arguments
// count, since the one that matters may stand anywhere.
func (r *argReader) addReceiver(a *arg, s span) {
	if s.from == s.to || a.destination < r.receiverScore {
		return
	}
	if a.needs != 0 && a.needs&(1<<r.shape(a, r.text(s))) == 0 {
		return
	}
	if s.escaped && s.to-s.from > 6*event.MaxString {
		r.moreReceivers = true // its end is not read
	}
	switch {
	case a.destination > r.receiverScore:
		r.receiverScore, r.receivers, r.moreReceivers = a.destination, 1, r.moreReceivers && s.escaped
		r.receiver = candidate{a.destination, a, s}
		r.x.domains[0] = domainMark(r.text(s))
	case r.receivers < maxReceivers:
		r.x.receivers[r.receivers] = s
		r.x.domains[r.receivers] = domainMark(r.text(s))
		r.receivers++
	default:
		// The one that matters may be the ten-thousandth. One receiver of each domain is enough.
		r.moreReceivers = true
		mark := domainMark(r.text(s))
		if slices.Contains(r.x.domains[:r.receivers], mark) {
			return
		}
		for i := r.receivers - 1; i > 0; i-- {
			if slices.Contains(r.x.domains[:i], r.x.domains[i]) {
				r.x.receivers[i], r.x.domains[i] = s, mark
				return
			}
		}
	}
}

// domainMark is a hash of a receiver's domain.
func domainMark(v string) uint64 {
	if i := strings.LastIndexByte(v, '@'); i >= 0 && !event.IsURL(v) {
		v = strings.TrimRight(v[i+1:], "> .")
	} else if h := HostOfURL(event.Clip(v, event.MaxString)); h != "" {
		v = h
	}
	return xxhash.Sum64String(event.Lower(v))
}

// shape is the shape of a destination, given what its argument may hold.
func (r *argReader) shape(a *arg, v string) valueShape {
	if a.needs&(1<<hostShape) != 0 {
		return shapeOfEndpoint(v, a.bareHost)
	}
	return shapeOf(v)
}

// text is a value as text, unescaped. It is valid until Scratch.Reset and as long as the event's
// bytes.
func (r *argReader) text(s span) string {
	raw := r.p[s.from:s.to]
	if s.escaped {
		raw = r.x.unescape(raw)
	}
	return alias(raw)
}

// whole is text without a bound on its length.
func (r *argReader) whole(s span) string {
	raw := r.p[s.from:s.to]
	if !s.escaped {
		return alias(raw)
	}
	if len(raw) <= 6*event.MaxString {
		return r.text(s)
	}
	text, ok := jsonscan.Unquote(nil, r.p[s.from-1:s.to+1])
	if !ok {
		r.incomplete = true
		return r.text(s)
	}
	return alias(text)
}
