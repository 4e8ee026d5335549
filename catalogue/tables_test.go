package catalogue

import (
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// argumentOf takes an example of a table of parts apart: tool(argument), or tool(argument) class
// for a tool that other arguments of the call make one of a class.
func argumentOf(t *testing.T, example string) (*Tool, []string) {
	t.Helper()
	name, rest, _ := strings.Cut(example, "(")
	argument, class, ok := strings.Cut(rest, ")")
	if !ok {
		t.Fatalf("%q is no example", example)
	}
	tool := New(nil).Tool("", &event.Tool{Name: name})
	if class != "" {
		c, known := event.ParseClass(strings.TrimSpace(class))
		if !known {
			t.Fatalf("%q is no class", class)
		}
		tool = tool.withClass(c)
	}
	return tool, splitWords(argument, maxWords)
}

// TestEachRowOfPartsReadsItsExample holds of every row that it decides its example, that what the
// argument then is comes from it, and that the example is read otherwise without it.
func TestEachRowOfPartsReadsItsExample(t *testing.T) {
	for _, table := range partTables {
		whole := *table.table
		rows := whole.rows
		for i := range rows {
			row := &rows[i]
			tool, words := argumentOf(t, row.example)
			n, _ := newArgName(words, len(words), tool)
			if table.part == "resource" {
				n = n.thing()
			}
			found := whole.find(&n)
			if table.part == "labels" && row.last[n.last] == (row.last != nil) && row.fits(&n) {
				// all that fit count
				found = row
			}
			if found != row {
				t.Errorf("%s, %s: another row decides, %q", table.part, row.example, found.example)
				continue
			}
			got := tool.partOf(words, len(words))
			if !played(table.part, row, &got) {
				t.Errorf("%s, %s: got %+v, want what the row says", table.part, row.example, got)
			}
			*table.table = newPartTable(slices.Delete(slices.Clone(rows), i, i+1))
			if tool.partOf(words, len(words)) == got {
				t.Errorf("%s, %s: the same without the row", table.part, row.example)
			}
			*table.table = whole
		}
	}
}

// played reports whether an argument plays the part that a row gives it.
func played(part string, row *partRow, r *role) bool {
	switch part {
	case "resource":
		return r.resource == row.score && (row.kind == "" || r.kind == row.kind)
	case "subject":
		return r.subject == row.score
	case "receiver":
		return r.destination == row.score && (row.target == "" || r.target == row.target) &&
			(row.needs == 0 || r.needs == row.needs)
	case "kind of receiver":
		return r.destination > 0 && r.target == row.target
	case "address":
		return r.destination == row.score && r.target == row.target && r.needs == row.needs && r.bareHost == row.bareHost
	case "amount":
		return r.amount == row.score && r.minorUnits == row.minorUnits && (r.currencyCode != "") == row.lastIsCurrency
	case "currency":
		return r.currency == row.score
	case "environment":
		return r.environment == row.score
	case "operation":
		return r.operation == row.does
	case "labels":
		return r.labels&row.labels == row.labels
	}
	return false
}

// TestEachRefinementReadsItsExample holds the same of the rows that refine verbs.
func TestEachRefinementReadsItsExample(t *testing.T) {
	for i := range refinements {
		row := &refinements[i]
		r := phraseOf(row.example, "").read()
		if r.class != row.class || r.certain != (row.class != event.NoClass) ||
			!slices.Contains(strings.Fields(row.verbs), r.verb) {
			t.Errorf("%s: got %q by %q", row.example, r.class, r.verb)
		}
		refinementsOf = indexRefinements(slices.Delete(slices.Clone(refinements), i, i+1))
		if without := phraseOf(row.example, "").read(); without.class == r.class && without.certain == r.certain {
			t.Errorf("%s: the same without the row", row.example)
		}
		refinementsOf = indexRefinements(refinements)
		for verb := range strings.FieldsSeq(row.verbs) {
			if verbs[verb].tier == 0 {
				t.Errorf("%s: %s is no verb", row.example, verb)
			}
		}
	}
}

// TestRefinementsOfOneVerbExcludeEachOther tries every noun of the tables, alone, behind another
// and before a preposition. Of two rows that fit the same name, the later one says otherwise.
func TestRefinementsOfOneVerbExcludeEachOther(t *testing.T) {
	heads, places := union(things, noNoun, nounsOf(`sprocket`)), nounsOf(`sprocket`)
	for i := range refinements {
		row := &refinements[i]
		heads = union(heads, row.noun, row.but, row.among)
		places = union(places, row.after, row.notAfter)
	}
	for verb, rows := range refinementsOf {
		overlaps := make([]bool, len(rows))
		for head := range heads {
			for _, nouns := range [][]string{{head}, {"agent", head}} {
				for place := range places {
					r, first := &reading{verb: verb, nouns: nouns}, -1
					for i, row := range rows {
						if !row.fits(r, []string{place}) {
							continue
						}
						if first >= 0 {
							overlaps[i] = true
							if !row.otherwise {
								t.Fatalf("%s %s, %s: %s and %s fit both", verb, nouns, place, rows[first].example,
									row.example)
							}
						} else {
							first = i
						}
					}
				}
			}
		}
		for i, row := range rows {
			if row.otherwise && !overlaps[i] {
				t.Errorf("%s: %s says otherwise and overlaps nothing", verb, row.example)
			}
		}
	}
}
