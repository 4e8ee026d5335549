package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
)

// calls is a format of this test: a line is an agent and how many calls it makes.
type calls struct{}

func (calls) Convert(_, value []byte, emit func(formats.Event)) error {
	var agent string
	var n int
	if _, err := fmt.Sscanf(string(value), "%s %d", &agent, &n); err != nil {
		return &event.DecodeError{Reason: "not_json", Want: "an agent and a number"}
	}
	for i := range n {
		emit(formats.Event{Tenant: "acme", Agent: agent, Value: fmt.Appendf(nil,
			`{"id":"%d","time":%d,"kind":"tool_call","tenant":"acme","persona":"clerk","session":"s","agent":{"id":%q},"tool":{"name":"get_order"}}`,
			i, 1767600000000+i*1000, agent)})
	}
	return nil
}

func (calls) Salvage(_, _ []byte) (event.Named, bool) { return event.Named{}, false }

// A format that a test adds by one line is offered by every command that reads events.
func TestAnAddedFormatIsReadByEveryCommand(t *testing.T) {
	all := formats.All
	formats.All = append(slices.Clone(all), formats.Kind{Name: "calls", About: "for a test",
		New: func() formats.Format { return calls{} }})
	defer func() { formats.All = all }()
	in := writeFile(t, "calls.txt", "a 60\nb 3\nnonsense\n")

	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"replay", "--input", in, "--flush", "--output", "-"}, `"agent":"a"`},
		{[]string{"backtest", "--input", in, "--base", "../../configs", "--candidate", "../../configs"}, "63 events"},
		{[]string{"tools", "classify", in}, "get_order"},
		{[]string{"personas", "suggest", "--input", in, "--min-agent-days", "1"}, "get_order"},
	} {
		_, out, errs := wayward(t, append(c.args, "--format", "calls")...)
		if !strings.Contains(out+errs, c.want) {
			t.Errorf("%s --format calls does not print %q:\n%s%s", strings.Join(c.args[:2], " "), c.want, out, errs)
		}
		if !strings.Contains(errs, filepath.Base(in)+" line 3") {
			t.Errorf("%s --format calls does not say that line 3 is bad:\n%s", strings.Join(c.args[:2], " "), errs)
		}
	}
	if _, out, _ := wayward(t, "__complete", "send", "--format", ""); !strings.Contains(out, "native\ncalls\n") {
		t.Errorf("completion offers %q", out)
	}
}
