package catalogue

import (
	"math"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// The sum of the amounts of a call, for each currency apart. Amounts of different signs never net
// out: money that is paid back moves, too.

// maxCurrencies bounds the currencies of one call. Amounts in others are added up together, as
// amounts of an unknown currency.
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

// micro is the sum if all amounts have one sign, else the sum of the absolute values.
func (t *tally) micro() int64 {
	if t.sum == t.absolute || t.sum == -t.absolute {
		return t.sum
	}
	return t.absolute
}

// saturated adds. A sum that does not fit is the largest or smallest number that does.
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

// currencySums adds up the amounts of one call.
type currencySums struct {
	byCurrency    [maxCurrencies]tally
	sumCount      int
	unassigned    tally               // amounts of the object being read, whose currency may still come
	currencies    [maxCurrencies]span // that the object names
	currencyCount int
	restarts      int // how often a better argument for the amount was found, which starts over
	level         int
}

// open begins an object within another, whose state it returns for close.
func (t *currencySums) open() enclosingObject {
	outer := enclosingObject{t.unassigned, t.currencies, t.currencyCount, t.restarts}
	t.unassigned, t.currencyCount = tally{}, 0
	return outer
}

type enclosingObject struct {
	unassigned    tally
	currencies    [maxCurrencies]span
	currencyCount int
	restarts      int
}

// close ends an object. An amount that names no currency is in the object's, or else in that of the
// object around it. Where the object names several, nobody can say which amount is in which: all
// amounts count in each of them, so that no limit can be evaded.
func (t *currencySums) close(r *argReader, outer enclosingObject) {
	if t.unassigned.n > 0 && t.currencyCount > 0 {
		counted := false
		for i := range t.currencyCount {
			c := r.currencyCode(t.currencies[i])
			if c == "" || slices.ContainsFunc(t.currencies[:i], func(s span) bool { return r.currencyCode(s) == c }) {
				continue
			}
			t.count(c, t.unassigned)
			counted = true
		}
		if counted {
			t.unassigned = tally{}
		}
	}
	if outer.restarts == t.restarts {
		t.unassigned.add(outer.unassigned)
	}
	t.currencies, t.currencyCount = outer.currencies, outer.currencyCount
}

func (t *currencySums) count(currency string, x tally) {
	for i := range t.sumCount {
		if t.byCurrency[i].currency == currency {
			t.byCurrency[i].add(x)
			return
		}
	}
	if t.sumCount == maxCurrencies {
		t.byCurrency[t.sumCount-1].currency = ""
		t.byCurrency[t.sumCount-1].add(x)
		return
	}
	x.currency = currency
	t.byCurrency[t.sumCount] = x
	t.sumCount++
}

// addCurrency notes a currency that the object being read names.
func (t *currencySums) addCurrency(s span) {
	if t.currencyCount == maxCurrencies {
		t.currencyCount--
	}
	t.currencies[t.currencyCount] = s
	t.currencyCount++
}

// addAmount adds the value of an argument if it is an amount and no better argument was found.
func (r *argReader) addAmount(a *arg, s span) {
	micro, currency, ok := parseAmount(r.text(s))
	if !ok {
		return
	}
	if currency == "" {
		currency = a.currencyCode
	}
	t := &r.sums
	switch {
	case a.amount > r.amount.score:
		r.amount = candidate{a.amount, a, s}
		t.sumCount, t.unassigned, t.level = 0, tally{}, s.level
		t.restarts++
	case a.same(r.amount.arg), a.key == r.amount.arg.key && s.level == t.level,
		a.currencyCode != "" && r.amount.arg.currencyCode != "": // one more of the same kind
	default:
		return
	}
	x := tally{sum: micro, absolute: max(micro, -micro), n: 1}
	if currency != "" {
		t.count(currency, x)
	} else {
		t.unassigned.add(x)
	}
}

// currencyCode reads a currency without its case and without blanks, or as a sign; "" if it is
// none.
func (r *argReader) currencyCode(s span) string {
	c := strings.TrimSpace(r.text(s))
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
	b := r.x.keep(append(r.x.room(3), c...))
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

// amounts returns the sum in each currency; all but the first are others. The currency of an amount
// is the one that it names itself, else that of its object, of another argument or of the
// catalogue.
func (r *argReader) amounts() (first event.Amount, others []event.Amount, ok bool) {
	t := &r.sums
	if t.unassigned.n > 0 {
		c := ""
		if r.currency.score > 0 {
			c = r.currencyCode(r.currency.span)
		}
		if c == "" {
			c = r.t.currency
		}
		t.count(c, t.unassigned)
	}
	for i := range t.sumCount {
		s := &t.byCurrency[i]
		a := event.Amount{Micro: s.micro(), Currency: s.currency}
		if r.amount.arg.minorUnits {
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

// minorUnits is how many decimal places a currency has (ISO 4217, list one); two if it is unknown.
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
