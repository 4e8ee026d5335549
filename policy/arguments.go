package policy

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules"
)

// Bounds of what is looked at in the arguments of one call, and of what is remembered of a tool's arguments.
const (
	maxMembers = 64  // fields of objects, all levels together
	maxLevels  = 6   // objects and lists inside each other
	maxKey     = 64  // bytes of a name
	maxValue   = 256 // bytes of an id
	maxTargets = 24  // receivers of one call; that there are more is kept in mind
	maxLearned = 24  // names remembered of one tool; others are worked out each time
)

// arg is an argument of a tool, or an object that arguments lie in. The tree holds the paths of the catalogue and the names that were seen
// before, so that the meaning of a name is worked out once.
type arg struct {
	up    *arg
	key   string
	index int    // of an element, where the catalogue asks for one; else -1
	kids  []*arg // in the order in which they were seen first
	words []string
	role
	idle  bool // plays no part itself
	fixed bool // the catalogue says that nothing in it matters
	exact bool // some kids are elements
}

// span is a value as it stands in the arguments.
type span struct {
	from, to int32
	quoted   bool
	escaped  bool
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
	left     int // members still looked at
	want     want
	labels   labelBits
	toScore  uint8
	more     bool // there were more receivers than fit
	targets  int
	resource pick
	subject  pick
	amount   pick
	sum      event.Amount
	mixed    bool
	currency pick
	env      pick
	op       pick
	to       pick
}

// read goes through the arguments once. What is not JSON ends it; what was found until then stands.
func (k *look) read() {
	if i := skipSpace(k.p, 0); i < len(k.p) && k.p[i] == '{' {
		k.object(i+1, &k.t.args, 0)
	}
}

func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t') {
		i++
	}
	return i
}

// object reads the members of an object from behind its brace and returns the place behind it, or -1.
func (k *look) object(i int, at *arg, level int) int {
	p := k.p
	next := 0 // arguments mostly come in the order of the last time
	for {
		i = skipSpace(p, i)
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
		if p[i] != '"' || k.left == 0 {
			return -1
		}
		k.left--
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
			end, escaped := event.EndOfString(p, i)
			if end < 0 {
				return -1
			}
			name := p[i:end]
			if escaped {
				name = k.x.unescape(name)
			}
			a, next = k.t.find(at, name)
			i = end + 1
		}
		i = skipSpace(p, i)
		if i >= len(p) || p[i] != ':' {
			return -1
		}
		if i = k.value(i+1, a, level); i < 0 {
			return -1
		}
	}
}

// find returns the argument of a name below another, and the place of the one after it.
func (t *Tool) find(at *arg, name []byte) (*arg, int) {
	for i, a := range at.kids {
		if a.key == string(name) && a.index < 0 {
			return a, i + 1
		}
	}
	if len(name) > maxKey {
		return &silent, 0
	}
	a := &arg{up: at, key: string(name), index: -1, fixed: at.fixed}
	own := splitWords(a.key, maxWords)
	a.words = append(append(a.words, at.words...), own...)
	if len(a.words) > maxWords {
		a.words = a.words[:maxWords]
	}
	if !a.fixed {
		a.role = t.meaning(a.words, min(len(own), len(a.words)))
	}
	a.idle = a.role.none()
	if t.learned < maxLearned && !strings.ContainsAny(a.key, `"\\`) {
		t.learned++
		at.kids = append(at.kids, a)
	}
	return a, len(at.kids)
}

// silent stands for what is not looked at.
var silent = arg{index: -1, idle: true, fixed: true}

// value reads one value and returns the place behind it, or -1.
func (k *look) value(i int, at *arg, level int) int {
	p := k.p
	i = skipSpace(p, i)
	if i >= len(p) {
		return -1
	}
	switch p[i] {
	case '"':
		end, escaped := event.EndOfString(p, i+1)
		if end < 0 {
			return -1
		}
		if !at.idle {
			k.offer(at, span{int32(i + 1), int32(end), true, escaped})
		}
		return end + 1
	case '{':
		if level+1 >= maxLevels || at == &silent {
			return skipNested(p, i)
		}
		return k.object(i+1, at, level+1)
	case '[':
		if at == &silent || level+1 >= maxLevels {
			return skipNested(p, i)
		}
		i++
		for n := 0; ; n++ {
			i = skipSpace(p, i)
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
			if n > 0 && k.left == 0 {
				element = &silent
			} else if n > 0 {
				k.left-- // elements count, or a long list of receivers would cost what it likes
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
		k.offer(at, span{int32(start), int32(i), false, false})
	}
	return i
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

// skipNested passes over an object or a list without looking into it.
func skipNested(p []byte, i int) int {
	depth := 0
	for ; i < len(p); i++ {
		switch p[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			end, _ := event.EndOfString(p, i+1)
			if end < 0 {
				return -1
			}
			i = end
		}
	}
	return -1
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
	if a.currency != 0 {
		k.currency.take(a.currency, a, s)
	}
	if a.env != 0 && k.want&wantEnvironment != 0 {
		k.env.take(a.env, a, s)
	}
	if a.operation != 0 && k.want&wantOperation != 0 {
		k.op.take(a.operation, a, s)
	}
}

// take keeps the better candidate. Of one name the last value counts, as it does for whoever carries out the call.
func (c *pick) take(score uint8, a *arg, s span) {
	if s.from != s.to && (score > c.score || score == c.score && c.arg == a) {
		*c = pick{score, a, s}
	}
}

// add takes an amount into account. Of one name several are parts of a sum, unless they are of different currencies: then there is none.
func (k *look) add(a *arg, s span) {
	micro, currency, ok := parseAmount(k.text(s))
	switch {
	case !ok:
	case a.amount > k.amount.score:
		k.amount, k.sum, k.mixed = pick{a.amount, a, s}, event.Amount{Micro: micro, Currency: currency}, false
	case a == k.amount.arg:
		sum := k.sum.Micro + micro
		k.mixed = k.mixed || currency != k.sum.Currency || (sum < k.sum.Micro) != (micro < 0)
		k.sum.Micro = sum
	}
}

// target takes a receiver into account. All that are as good count, since the one that matters may stand anywhere.
func (k *look) target(a *arg, s span) {
	if s.from == s.to || a.destination < k.toScore {
		return
	}
	if a.needs != 0 && (!s.quoted || a.needs&(1<<shapeOf(k.text(s))) == 0) {
		return
	}
	switch {
	case a.destination > k.toScore:
		k.toScore, k.targets, k.more = a.destination, 1, false
		k.to = pick{a.destination, a, s}
	case k.targets < maxTargets:
		k.x.targets[k.targets] = s
		k.targets++
	default:
		k.more = true
	}
}

// text is a value as text; it lives until Scratch.Reset and as long as the event's bytes.
func (k *look) text(s span) string {
	raw := k.p[s.from:s.to]
	if s.escaped {
		raw = k.x.unescape(raw)
	}
	return alias(raw)
}

func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Scratch is memory for texts taken out of arguments; they live until Reset. The zero value is ready.
type Scratch struct {
	block   []byte
	targets [maxTargets]span // receivers of the call under way, but for the first
}

const scratchBlock = 32 << 10

// Reset gives the memory back. Blocks that were filled before are the garbage collector's once no text in them is used.
func (x *Scratch) Reset() { x.block = x.block[:0] }

// room returns empty memory for n bytes, behind all that was handed out. What is appended within n is kept by keep.
func (x *Scratch) room(n int) []byte {
	if cap(x.block)-len(x.block) < n {
		x.block = make([]byte, 0, max(n, scratchBlock))
	}
	at := len(x.block)
	return x.block[at : at : at+n]
}

// keep hands out what was written into room.
func (x *Scratch) keep(b []byte) []byte {
	x.block = x.block[:len(x.block)+len(b)]
	return b[:len(b):len(b)]
}

// unescape returns the text of the inside of a JSON string. Of a long one only so much as an event's texts may have.
func (x *Scratch) unescape(raw []byte) []byte {
	if len(raw) > 6*event.MaxString {
		raw = raw[:6*event.MaxString]
	}
	quoted := x.room(2*len(raw) + 2)
	text, ok := quoted, false
	quoted = append(append(append(quoted, '"'), raw...), '"')
	for cut := 0; cut < 12 && !ok; cut++ { // the cut may have gone through an escape, of at most twelve bytes
		whole := quoted[:len(quoted)-cut]
		whole[len(whole)-1] = '"'
		text, ok = event.Unquote(whole[len(whole):len(whole)], whole)
	}
	if !ok {
		return nil
	}
	return x.keep(append(quoted[:0], text...))
}

// clip cuts a text to what an event's texts may have, between characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
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

// written is path, or "" if the catalogue cannot write it, since a name holds what has a meaning in paths.
func (a *arg) written() string {
	for at := a; at.up != nil; at = at.up {
		if strings.ContainsAny(at.key, `.[]`) {
			return ""
		}
	}
	if p := a.path(); p != "" && checkPath(p) == "" {
		return p
	}
	return ""
}

// insert returns the argument at a path of the catalogue, such as order.items[0].id or recipients[*].email.
func (t *Tool) insert(path string) *arg {
	at := &t.args
	for part := range strings.SplitSeq(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		at, _ = t.find(at, []byte(key))
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

// checkPath says what is wrong with an argument path, or "".
func checkPath(path string) string { return rules.CheckPath(path, maxLevels, maxMembers, maxKey) }
