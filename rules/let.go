package rules

import "github.com/wayward-sec/wayward/rules/expression"

// Let is a named part of a rule or step that adds up: an aggregate over its events, or what follows
// from others.
type Let struct {
	Name      string
	Source    string
	Aggregate string          // count, sum, avg, min, max, distinct, quantile; "" if it is an expression
	row       int             // of what it adds up
	of        expression.Type // of that
	q         float64         // of quantile
	expr      *expression.Expr

	kind  letKind
	nth   int // among lets of its kind
	shape [histKind + 1]int
}

// kind is how a let adds up.
type letKind byte

const (
	noKind   letKind = iota
	allKind          // count() of all events: the window knows
	sumKind          // count(…), sum, avg
	seenKind         // distinct
	peakKind         // min, max
	histKind         // quantile
)

func kindOf(l *Let) letKind {
	switch l.Aggregate {
	case "":
		return noKind
	case "count":
		if l.row < 0 {
			return allKind
		}
		return sumKind
	case "sum", "avg":
		return sumKind
	case "distinct":
		return seenKind
	case "quantile":
		return histKind
	}
	return peakKind
}

// shape is how many lets there are of each kind; each let learns its place among those of its kind.
func shape(lets []*Let) (n [histKind + 1]int) {
	for _, l := range lets {
		l.kind = kindOf(l)
		l.nth = n[l.kind]
		n[l.kind]++
	}
	return n
}

// adds is what an event adds to a let that adds up.
func (l *Let) adds(row []expression.Value) wide {
	v := row[l.row].N
	if l.Aggregate == "count" {
		if v == 0 {
			return wide{}
		}
		return wide{lo: 1}
	}
	return micro(v)
}

// nothing tells whether a value is that of what is absent: it is no value to tell from others.
func (l *Let) nothing(v expression.Value) bool {
	return l.of != expression.Bool && v == (expression.Value{})
}
