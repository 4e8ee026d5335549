package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/rules/expression"
)

// letsOf compiles names of what adds up over events of a step; captured lies before them. adds
// tells whether there is anything to add up over.
func (c *compiler) letsOf(at string, src []Pair, s *Step, captured map[string]expression.Name,
	adds bool) (lets []*Let, names map[string]expression.Name) {
	names = map[string]expression.Name{}
	for _, l := range src {
		at := at + l.Name
		if len(lets) == maxLets {
			c.bad(at, &expression.Fault{Code: "R131", What: fmt.Sprintf("more than %d names; leave some out", maxLets)})
			return lets, names
		}
		let := &Let{Name: l.Name, Source: l.Expr, row: -1}
		kind, inner, ok := aggregate(l.Expr)
		typ := expression.Number
		switch {
		case ok && !adds:
			c.bad(at, &expression.Fault{Code: "R132", What: kind + " adds up over a window; add window: 10m, say"})
			continue
		case ok:
			let.Aggregate = kind
			if kind == "quantile" {
				i := strings.LastIndexByte(inner, ',')
				if i >= 0 {
					let.q = expression.ParseNumber(strings.TrimSpace(inner[i+1:]))
					inner = inner[:i]
				}
				if !(let.q > 0 && let.q < 1) {
					c.bad(at,
						&expression.Fault{Code: "R133",
							What: "quantile needs an expression and a share, such as quantile(result.bytes, 0.95)"})
					continue
				}
			}
			if kind != "count" || inner != "" {
				want := expression.Number
				if kind == "count" {
					want = expression.Bool
				} else if kind == "distinct" {
					want = 0
				}
				x := c.compile(at, inner, c.events(), want)
				if x == nil {
					continue
				}
				let.row, let.of = s.taken(x), x.Type
			}
		default:
			more := behind(names, MaxCaptures)
			maps.Copy(more, behind(captured, 0))
			x := c.compile(at, l.Expr, c.events(more), 0)
			if x == nil {
				continue
			}
			alone := true
			for _, u := range x.Uses {
				if _, is := more[u]; is {
					alone = false
				}
			}
			if typ = x.Type; alone { // of the event: it is taken from it as it comes
				let.row = s.taken(x)
			} else if let.expr = c.later(at, l.Expr, s, more, 0); let.expr == nil {
				continue
			}
		}
		names[l.Name] = expression.Name{Type: typ, Slot: len(lets)}
		lets = append(lets, let)
	}
	of := shape(lets)
	for _, l := range lets {
		l.shape = of
	}
	return lets, names
}

func (c *compiler) window(r *Rule, s *Step) {
	var names map[string]expression.Name
	r.Lets, names = c.letsOf("let.", c.src.Lets, s, nil, c.src.Window > 0)
	more := behind(names, MaxCaptures)
	if c.src.Having != "" {
		r.Having = c.later("having", c.src.Having, s, more, expression.Bool)
	}
	if c.src.Explain != "" {
		r.Explain = c.later("explain", c.src.Explain, s, more, expression.Text)
	}
	c.room(s, "let")
}

// aggregate reads sum(…) and the like.
func aggregate(src string) (kind, inner string, ok bool) {
	src = strings.TrimSpace(src)
	open := strings.IndexByte(src, '(')
	if open < 0 || !strings.HasSuffix(src, ")") {
		return "", "", false
	}
	kind = strings.TrimSpace(src[:open])
	if !slices.Contains([]string{"count", "sum", "avg", "min", "max", "distinct", "quantile"}, kind) {
		return "", "", false
	}
	depth := 0
	for i := open; i < len(src); i++ {
		switch src[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 && i < len(src)-1 {
				return "", "", false
			}
		case ',':
			if depth == 1 && (kind == "max" || kind == "min" || kind == "count") {
				return "", "", false // of numbers, not of events
			}
		}
	}
	return kind, strings.TrimSpace(src[open+1 : len(src)-1]), true
}
