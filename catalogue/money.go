package catalogue

import (
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What the amounts of a call come to. Those of one name are added up, for each currency apart, so
// that an item of nothing in another currency hides none. What is paid back is money that moves,
// too: amounts of different signs never net out.

// maxCurrencies bounds the currencies of one call that are added up. Beyond, the amounts are those
// of an unknown one.
const maxCurrencies = 8

// tally is a sum of amounts of one currency, in millionths.
type tally struct {
	currency string
	sum      int64
	absolute int64
	n        int
}

func (t *tally) add(o tally) {
	t.sum, t.absolute, t.n = saturated(t.sum, o.sum), saturated(t.absolute, o.absolute), t.n+o.n
}

// micro is the sum, if all have one sign; else that of the absolute values.
func (t *tally) micro() int64 {
	if t.sum == t.absolute || t.sum == -t.absolute {
		return t.sum
	}
	return t.absolute
}

// saturated adds without running over: what is beyond is as much as there can be.
func saturated(a, b int64) int64 {
	switch c := a + b; {
	case b > 0 && c < a:
		return math.MaxInt64
	case b < 0 && c > a:
		return -math.MaxInt64
	default:
		return c
	}
}

// till adds up the amounts of one call.
type till struct {
	sums    [maxCurrencies]tally
	n       int
	pending tally               // of the object that is read, whose currency may still come
	named   [maxCurrencies]span // the currencies that it names
	names   int
	turn    int // goes up when a better argument for the amount begins anew
	level   int
}

// open begins an object within another.
func (t *till) open() till1 {
	outer := till1{t.pending, t.named, t.names, t.turn}
	t.pending, t.names = tally{}, 0
	return outer
}

type till1 struct {
	pending tally
	named   [maxCurrencies]span
	names   int
	turn    int
}

// close ends an object: what names no currency itself is of the object's, else of the one around
// it. Where it names several, which amount is of which is anybody's guess: all count in each, so
// that no limit is got round.
func (t *till) close(k *look, outer till1) {
	if t.pending.n > 0 && t.names > 0 {
		counted := false
		for i := range t.names {
			c := k.code(t.named[i])
			if c == "" || slices.ContainsFunc(t.named[:i], func(s span) bool { return k.code(s) == c }) {
				continue
			}
			t.count(c, t.pending)
			counted = true
		}
		if counted {
			t.pending = tally{}
		}
	}
	if outer.turn == t.turn {
		t.pending.add(outer.pending)
	}
	t.named, t.names = outer.named, outer.names
}

func (t *till) count(currency string, x tally) {
	for i := range t.n {
		if t.sums[i].currency == currency {
			t.sums[i].add(x)
			return
		}
	}
	if t.n == maxCurrencies {
		t.sums[t.n-1].currency = ""
		t.sums[t.n-1].add(x)
		return
	}
	x.currency = currency
	t.sums[t.n] = x
	t.n++
}

// name remembers a currency of the object that is read.
func (t *till) name(s span) {
	if t.names == maxCurrencies {
		t.names--
	}
	t.named[t.names] = s
	t.names++
}

// add takes an amount into account.
func (k *look) add(a *arg, s span) {
	micro, currency, ok := parseAmount(k.text(s))
	if !ok {
		return
	}
	if currency == "" {
		currency = a.unit
	}
	t := &k.till
	switch {
	case a.amount > k.amount.score:
		k.amount = pick{a.amount, a, s}
		t.n, t.pending, t.level = 0, tally{}, s.level
		t.turn++
	case a.same(k.amount.arg), a.key == k.amount.arg.key && s.level == t.level, a.unit != "" && k.amount.arg.unit != "":
	default:
		return
	}
	x := tally{sum: micro, absolute: max(micro, -micro), n: 1}
	if currency != "" {
		t.count(currency, x)
	} else {
		t.pending.add(x)
	}
}

// code reads a currency without its case and without blanks, or as a sign; "" if it is none.
func (k *look) code(s span) string {
	c := strings.TrimSpace(k.text(s))
	if IsCurrency(c) {
		return c
	}
	for _, sign := range currencySigns {
		if c == sign.sign {
			return sign.code
		}
	}
	if len(c) != 3 {
		return ""
	}
	b := k.x.keep(append(k.x.room(3), c...))
	for i := range b {
		if isLower(b[i]) {
			b[i] -= 'a' - 'A'
		}
	}
	if c = alias(b); IsCurrency(c) {
		return c
	}
	return ""
}

// money reads the amounts, of each the currency that it names itself, else that of its object, of
// another argument or of the catalogue. All but the first are others.
func (k *look) money() (first event.Amount, others []event.Amount, ok bool) {
	t := &k.till
	if t.pending.n > 0 {
		c := ""
		if k.currency.score > 0 {
			c = k.code(k.currency.span)
		}
		if c == "" {
			c = k.t.currency
		}
		t.count(c, t.pending)
	}
	for i := range t.n {
		s := &t.sums[i]
		a := event.Amount{Micro: s.micro(), Currency: s.currency}
		if k.amount.arg.cents {
			for range minorUnits(a.Currency) {
				a.Micro /= 10
			}
		}
		switch {
		case !ok, first.Micro == 0 && len(others) == 0:
			first, ok = a, true
		case a.Micro != 0:
			others = append(others, a)
		}
	}
	return first, others, ok
}

// minorUnits is how many digits behind the point a currency has (ISO 4217, list one); where none is
// said, two.
func minorUnits(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
		"XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	case "CLF", "UYW":
		return 4
	}
	return 2
}
