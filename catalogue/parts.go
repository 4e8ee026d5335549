package catalogue

import (
	"iter"
	"math/bits"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// The part that an argument plays, by its name: send_email(to) is where the call goes,
// get_order(id) what it reads. Each part has a table in part_tables.go.

// role is the parts that an argument plays, as scores. Of two arguments that could be the resource,
// the one with the higher score is. 0: it cannot be.
type role struct {
	resource, subject, destination uint8
	amount, currency, environment  uint8
	operation                      operation

	kind   string    // of the resource
	target string    // kind of the destination, unless the value's shape says it
	needs  shapeSet  // one of these shapes a destination must have; 0: any
	labels labelBits // of the data

	currencyCode string // of an amount, if the name has it: amount_eur

	bareHost   bool // a destination may be a host that looks like a number, such as 2130706433
	minorUnits bool // the amount is in the currency's smallest unit
}

func (r *role) isEmpty() bool {
	return r.resource|r.subject|r.destination|r.amount|r.currency|r.environment == 0 && r.operation == noOperation &&
		r.labels == 0
}

type shapeSet uint16

func shapes(list ...valueShape) (s shapeSet) {
	for _, x := range list {
		s |= 1 << x
	}
	return s
}

var (
	// reachable are the shapes of addresses that something can be sent to.
	reachable = shapes(emailShape, urlShape, ibanShape, cardShape, phoneShape, hostShape, channelShape)
	onWeb     = shapes(urlShape, hostShape)
)

// labelBits is a set of the values of resource.labels that names can say.
type labelBits uint8

const (
	secretLabel labelBits = 1 << iota
	financialLabel
	privateLabel
)

// labelLists has the words of every set of labels, so that an event allocates none.
var labelLists = [...][]string{
	nil, {"secret"}, {"financial"}, {"financial", "secret"}, {"pii"}, {"pii", "secret"}, {"financial", "pii"},
	{"financial", "pii", "secret"},
}

func labelsOf(words []string) (b labelBits) {
	for _, w := range words {
		if secretNouns[w] {
			b |= secretLabel
		}
		if financialNouns[w] {
			b |= financialLabel
		}
		if privateNouns[w] {
			b |= privateLabel
		}
	}
	return b
}

// argName is the name of an argument split into words, and what its tool does.
type argName struct {
	words []string // with those of the objects around it
	first string   // the first of them; this and the next are in the singular
	last  string   // the last, mostly what the argument is
	of    string   // the one before it, what it is of; "" if it is alone
	head  string   // what the tool acts on
	verb  string   // what it does, by its name
	class event.Class
	facts facts
}

// facts are what a row may ask for beside words.
type facts uint16

const (
	alone      facts = 1 << iota // one word, objects included
	ownWord                      // one word, objects left out
	lastIsHead                   // the last word is what the tool acts on
	ofHead                       // the word before it is
	ofSource                     // the first word means a source: from, old
	ofDatabase                   // the tool may take SQL
	ofShell                      // the tool may run command lines
	ofRunner                     // the tool's name has no verb and means a runner of code
)

// newArgName describes a name. own is how many of the words are the argument's own; the words
// before are those of the objects around it.
func newArgName(words []string, own int, t *Tool) (n argName, ok bool) {
	for len(words) > own && envelopes[singular(words[0])] {
		words = words[1:]
	}
	if len(words) == 0 {
		return n, false
	}
	n = argName{words: words, first: singular(words[0]), last: singular(words[len(words)-1]), head: t.reading.head(),
		verb: t.reading.verb, class: t.class}
	if len(words) > 1 {
		n.of = singular(words[len(words)-2])
	}
	n.set(alone, len(words) == 1)
	n.set(ownWord, own == 1)
	n.set(ofSource, sourceWords[words[0]])
	n.set(ofDatabase, t.takesSQL)
	n.set(ofShell, t.runsShell)
	n.set(ofRunner, n.verb == "" && t.reading.has(runners))
	return n, true
}

func (n *argName) set(f facts, yes bool) {
	if yes {
		n.facts |= f
	}
}

// thing is the name with its words as types of resources: dir is folder.
func (n *argName) thing() argName {
	t := *n
	t.last, t.of = noun(n.last), noun(n.of)
	t.set(lastIsHead, t.last == t.head)
	t.set(ofHead, t.of != "" && t.of == t.head)
	return t
}

// has reports whether one of the words is in a set.
func (n *argName) has(set nouns) bool {
	return slices.ContainsFunc(n.words, func(w string) bool { return set[singular(w)] })
}

// classSet is a set of classes of calls.
type classSet uint16

func classes(list ...event.Class) (s classSet) {
	for _, c := range list {
		s |= 1 << c
	}
	return s
}

// partRow is a row of a table: an argument with such a name, in a call of such a tool, plays the
// part. What a row leaves out may be anything. A set that begins with but excludes its words.
type partRow struct {
	first, last, of, any         nouns // words of the name are in these sets
	butLast, butOf               nouns
	head, butHead, verb, butVerb nouns    // of the tool's name
	class                        classSet // of the call
	is, isNot                    facts

	score          uint8 // how well it plays the part; 0: not at all
	kind           string
	kindIs         kindSource
	target         string
	needs          shapeSet
	bareHost       bool
	minorUnits     bool
	lastIsCurrency bool // the last word is the currency
	does           operation
	labels         labelBits

	// example is a call, as tool(argument), that no other row reads correctly.
	example string
}

// kindSource says which word names the type of a resource.
type kindSource uint8

const (
	kindGiven kindSource = iota // partRow.kind
	kindHead                    // what the tool acts on
	kindOf                      // what the argument is of
	kindLast                    // what the argument is
)

// fits reports whether a row is about a name. The last word is checked by partTable.possible.
func (r *partRow) fits(n *argName) bool {
	return n.facts&r.is == r.is && n.facts&r.isNot == 0 && (r.class == 0 || r.class&(1<<n.class) != 0) &&
		(r.of == nil || r.of[n.of]) && (r.first == nil || r.first[n.first]) &&
		(r.verb == nil || r.verb[n.verb]) && (r.head == nil || r.head[n.head]) && !r.butLast[n.last] &&
		!r.butOf[n.of] && !r.butHead[n.head] &&
		!r.butVerb[n.verb] && (r.any == nil || n.has(r.any))
}

// partTable is searched from above: the first row that fits counts.
type partTable struct {
	rows []partRow
	// byLast has, for each last word that rows ask for, a bit for each row that may still fit, and
	// byOther has the same for any other word. So most names need one lookup.
	byLast  map[string]uint64
	byOther uint64
}

// newPartTable takes up to 64 rows.
func newPartTable(rows []partRow) *partTable {
	t := &partTable{rows: rows, byLast: map[string]uint64{}}
	for i := range rows {
		if rows[i].last == nil {
			t.byOther |= 1 << i
		}
		for w := range rows[i].last {
			t.byLast[w] = 0
		}
	}
	for w := range t.byLast {
		for i := range rows {
			if rows[i].last == nil || rows[i].last[w] {
				t.byLast[w] |= 1 << i
			}
		}
	}
	return t
}

// noRow is the result for a name that no row fits.
var noRow partRow

func (t *partTable) find(n *argName) *partRow {
	for i := range t.possible(n) {
		if t.rows[i].fits(n) {
			return &t.rows[i]
		}
	}
	return &noRow
}

// possible iterates over the rows that may fit a name, by its last word.
func (t *partTable) possible(n *argName) iter.Seq[int] {
	left, ok := t.byLast[n.last]
	if !ok {
		left = t.byOther
	}
	return func(yield func(int) bool) {
		for ; left != 0; left &= left - 1 {
			if !yield(bits.TrailingZeros64(left)) {
				return
			}
		}
	}
}

// partOf returns the parts that an argument plays in the calls of a tool. words are those of its
// name, behind those of the objects around it; own is how many of them are its own.
func (t *Tool) partOf(words []string, own int) (r role) {
	n, ok := newArgName(words, own, t)
	if !ok {
		return r
	}
	for i := range labelParts.possible(&n) {
		if row := &labelParts.rows[i]; row.fits(&n) {
			r.labels |= row.labels
		}
	}
	if r.labels&secretLabel != 0 { // never kept as an id of anything
		return role{labels: r.labels &^ privateLabel}
	}
	source := sourceWords[n.first] || n.class == event.Pay && n.has(sourceWords)
	r.resource, r.kind = n.resource(source)
	r.subject = subjectParts.find(&n).score
	n.destination(&r, source)
	if r.destination > 0 && (n.class == event.Send || n.class == event.Grant) {
		// The receiver is neither the resource nor the subject.
		r.subject, r.resource = 0, 0
	}
	if n.class != event.Read && !n.has(notAmounts) {
		row := amountParts.find(&n)
		if r.amount, r.minorUnits = row.score, row.minorUnits; row.lastIsCurrency {
			r.currencyCode = strings.ToUpper(n.last)
		}
	}
	r.currency = currencyParts.find(&n).score
	r.environment = environmentParts.find(&n).score
	r.operation = operationParts.find(&n).does
	switch r.operation {
	case bySQL, byQuery, byShell, byCode: // the action is not the resource
		r.resource = 0
	}
	return r
}

// resource is how well the argument names what the call touches, and the type of that resource.
func (n *argName) resource(source bool) (score uint8, kind string) {
	thing := n.thing()
	row := resourceParts.find(&thing)
	score, kind = row.score, row.kind
	switch row.kindIs {
	case kindHead:
		kind = thing.head
	case kindOf:
		kind = thing.of
	case kindLast:
		kind = thing.last
	}
	if source {
		score = min(score, 3)
	}
	for i, w := range n.words { // plurals: order_id is the order; item_ids and items.id are parts of it
		if singular(w) == w {
			continue
		}
		if score = min(score, 4); i < len(n.words)-1 && n.class == event.Write && n.of != n.head {
			score = 0
		}
	}
	return score, kind
}

// destination sets how well the argument names where the call goes. A read has no receiver: its
// "destination" is what it looks for.
func (n *argName) destination(r *role, source bool) {
	row := &noRow
	if n.class != event.Read && !source {
		row = receiverParts.find(n)
	}
	if row.score == 0 {
		row = addressParts.find(n)
		r.destination, r.needs, r.target, r.bareHost = row.score, row.needs, row.target, row.bareHost
		return
	}
	r.destination, r.needs, r.target = row.score, row.needs, row.target
	if kind := receiverKinds.find(n).target; kind != "" {
		r.target = kind
	}
	switch n.class {
	case event.Send, event.Pay, event.Grant, event.Delegate:
	default:
		if !paymentNouns[n.head] {
			// book_flight(destination: "JFK") sends nothing there; update_payment(recipient) does.
			r.needs = reachable
		}
	}
}
