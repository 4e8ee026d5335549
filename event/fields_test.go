package event

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A field of events stands in the table of fields. The schema and its file in docs are made from it;
// the decoder, the repairs and (in rules/expression) the fields of rules are checked against it. Each
// check returns what is missing, so that a test can show that it finds what is missing.

// unfilled are the fields of Event that no row of the table fills.
func unfilled() (gaps []string) {
	e, err := decode(full())
	if err != nil {
		return []string{err.Error()}
	}
	leaves("Event", reflect.ValueOf(e), func(name string, v reflect.Value) {
		// made of others, not on the wire
		inferred := name == "Event.Inferred" || name == "Event.Held" || name == "Event.SideEffect" ||
			name == "Event.Unreadable" || name == "Event.OtherAmounts" || name == "Event.Tool.Sent"
		if v.IsZero() != inferred {
			gaps = append(gaps, name)
		}
	})
	return gaps
}

// unread are the rows of the table that the decoder does not read as they say.
func unread() (gaps []string) {
	gap := func(f field, format string, args ...any) {
		gaps = append(gaps, f.path+": "+fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.path] || !strings.HasSuffix(f.doc, ".") && !strings.HasSuffix(f.doc, "?") {
			gap(f, "twice, or its description is no sentence")
		}
		seen[f.path] = true
		if f.shape == aGroup {
			if _, err := decode(with(f.path, `{}`)); err != nil && f.path != "agent" {
				gap(f, "%v", err)
			}
		} else if _, err := strictly(with(f.path, f.example())); err != nil {
			gap(f, "%v", err)
		}
		if f.shape == aValue {
			if _, err := decode(with(f.path, `1}`)); err == nil {
				gap(f, "not even read")
			}
			a, _ := decode(with(f.path, `null`))
			b, err := decode(with(f.path, `"x"`))
			if a.ID = b.ID; err != nil || reflect.DeepEqual(a, b) {
				gap(f, "leaves no trace in the event")
			}
		}
		if f.shape == aText || f.shape == anIdentity {
			e, _ := decode(with(f.path, `"Ana B"`))
			if folded := strings.Contains(fmt.Sprintf("%+v", e), "ana b"); folded != (f.shape == anIdentity) {
				gap(f, "is read in the form of Identity: %v", folded)
			}
		}
		for _, value := range f.wrong() {
			_, err := strictly(with(f.path, value))
			var fault *DecodeError
			if !errors.As(err, &fault) || fault.Reason != wrongType || fault.Field != f.path {
				gap(f, "%s: got %v, want %s", value, err, wrongType)
			}
		}
	}
	return gaps
}

// wrong are values of another type than the field's.
func (f field) wrong() []string {
	switch f.shape {
	case aGroup, anObject:
		return []string{`[]`, `"x"`, `1`, `true`}
	case aText, anIdentity, aName, aTenant, aProse, aWord, aTerm, aCurrency:
		return []string{`[]`, `{}`, `1`, `true`}
	case aList:
		return []string{`{}`, `"x"`, `1`, `[1]`, `[["x"]]`}
	case aVersion, aTier, aCount, aMeasure:
		return []string{`[]`, `{}`, `"1"`, `true`}
	case aDecimal, aTime:
		return []string{`[]`, `{}`, `true`}
	case aFlag:
		return []string{`[]`, `{}`, `1`, `"true"`}
	}
	return nil
}

// strict are the fields that are not repaired: without them nobody knows what the event is, or a
// decision depends on the word.
var strict = []string{"v", "time", "kind", "phase", "tenant", "agent", "agent.id", "policy", "policy.verdict",
	"approval.state"}

// unrepaired are the fields for which it is not decided what happens when they cannot be read.
func unrepaired() (gaps []string) {
	paths := map[string]bool{}
	for _, f := range fields {
		paths[f.path] = true
		_, repaired := repairs[f.path]
		if repaired == slices.Contains(strict, f.path) {
			gaps = append(gaps, f.path+": is either in repairs or strict")
		}
		if f.path == "agent" || f.path == "agent.id" || f.path == "policy" { // without them there is no event
			continue
		}
		for _, value := range f.wrong()[:min(1, len(f.wrong()))] {
			e, err := decode(with(f.path, value))
			if repaired && (err != nil || e.Unreadable == 0) || !repaired && err == nil {
				gaps = append(gaps, fmt.Sprintf("%s of %s: %v, marks %v", value, f.path, err, e.Unreadable.Words()))
			}
		}
	}
	for _, path := range append(slices.Sorted(maps.Keys(repairs)), strict...) {
		if !paths[path] {
			gaps = append(gaps, path+": is repaired or strict, and no field")
		}
	}
	for _, w := range unreadableWords {
		if !paths[w] && w != "destination.path" && w != "other" {
			gaps = append(gaps, w+": a word of Unreadable that is no field")
		}
	}
	for _, w := range heldNames {
		if !paths[w] {
			gaps = append(gaps, w+": is held, and no field")
		}
	}
	return gaps
}

func TestEveryFieldStandsInTheTable(t *testing.T) {
	for what, gaps := range map[string][]string{"no row of the table fills": unfilled(),
		"the decoder does not read": unread(), "not repaired": unrepaired()} {
		for _, g := range gaps {
			t.Errorf("%s: %s", what, g)
		}
	}
}

// A field that is added to the table alone is found by every check; the schema and the names have it
// without more.
func TestAnAddedFieldIsAskedForEverywhere(t *testing.T) {
	all := fields
	defer func() { fields = all }()
	fields = append(slices.Clone(all), field{"tool.colour", aText, nil, "Colour of the tool."})
	for what, gaps := range map[string][]string{"the decoder": unread(), "the repairs": unrepaired()} {
		if !slices.ContainsFunc(gaps, func(g string) bool { return strings.HasPrefix(g, "tool.colour: ") }) {
			t.Errorf("%s: nobody misses tool.colour: %q", what, gaps)
		}
	}
	if !slices.Contains(FieldNames(), "tool.colour") || !strings.Contains(string(Schema()), "Colour of the tool.") {
		t.Error("the names or the schema do not have tool.colour")
	}
	fields = slices.DeleteFunc(slices.Clone(all), func(f field) bool { return f.path == "tool.server" })
	if got := unfilled(); !slices.Equal(got, []string{"Event.Tool.Server"}) {
		t.Errorf("without the row of tool.server nothing fills %q", got)
	}
	if gaps := unrepaired(); !slices.ContainsFunc(gaps, func(g string) bool { return strings.HasPrefix(g, "tool.server: ") }) {
		t.Errorf("nobody says that tool.server is repaired, and no field: %q", gaps)
	}
}
