package rules

import "github.com/wayward-sec/wayward/rules/expression"

// Let is a named value of a rule or step: an aggregate over its events, or an expression over other
// lets and what was captured.
type Let struct {
	Name      string
	Source    string
	Aggregate string           // count, sum, avg, min, max, distinct, quantile; "" if it is an expression
	row       int              // place in the step's row of what is aggregated; -1: nothing, as by count()
	of        expression.Type  // type of that
	q         float64          // share of quantile
	expr      *expression.Expr // if it is no aggregate

	kind  letKind
	nth   int                   // place among the lets of its kind
	shape [quantileKind + 1]int // how many lets there are of each kind
}

// letKind says what a window keeps for an aggregate.
type letKind byte

const (
	noKind       letKind = iota
	allKind              // count(): the window's number of events
	sumKind              // count(…), sum, avg: a total
	distinctKind         // distinct: a sketch.Sample
	extremeKind          // min, max: the values that may still become the extreme
	quantileKind         // quantile: a sketch.Quantiles
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
		return distinctKind
	case "quantile":
		return quantileKind
	}
	return extremeKind
}

// shape counts the lets of each kind and sets each let's place among those of its kind.
func shape(lets []*Let) (n [quantileKind + 1]int) {
	for _, l := range lets {
		l.kind = kindOf(l)
		l.nth = n[l.kind]
		n[l.kind]++
	}
	return n
}

// adds is what an event adds to the total of a let of sumKind: 1, or millionths.
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

// absent tells whether a value stands for a field that the event lacks: distinct does not count it.
func (l *Let) absent(v expression.Value) bool {
	return l.of != expression.Bool && v == (expression.Value{})
}
