package suggest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
)

// Draft writes definitions of tools as YAML, to be edited. onOneLine escapes characters of a text
// that cannot be shown. Texts from events stand in quotes, so that they cannot become YAML of their
// own.
func (s *ToolSurvey) Draft(w io.Writer, onOneLine func(string) string) {
	fmt.Fprintf(w,
		"# What was seen of %d tools in %d calls, the most called first. Read it, correct it, delete what goes without saying.\n",
		len(s.Tools), s.Calls)
	fmt.Fprintln(w, "# Paths name arguments; what an event declares itself goes before what stands here.")
	fmt.Fprintln(w, "tools:")
	some := false
	for _, t := range s.Sorted() {
		fmt.Fprintf(w, "\n  # %d calls, %s\n", t.Calls, Percent(t.Calls, s.Calls))
		for _, v := range t.Reasons("") {
			fmt.Fprintf(w, "  #   %s: %s (%d)\n", v.Field, onOneLine(strings.TrimSpace(v.Value+" · "+v.From)),
				*t.evidence[v])
		}
		body := t.draftFields()
		head := "  - names: [" + quoted(t.Name) + "]\n"
		if t.Server != "" && policy.Printable(t.Server) {
			head += "    servers: [" + quoted(t.Server) + "]\n"
		}
		switch {
		case !policy.Printable(t.Name) || t.Server != "" && !policy.Printable(t.Server):
			fmt.Fprintln(w, "  # its name or server is too long or cannot be written in a catalogue")
		case body == "" || t.Class.Top() == event.NoClass:
			fmt.Fprintln(w, "  # its class is not known: say it and take the marks away")
			for line := range strings.Lines(head +
				"    class: read write delete send exec pay approve grant or delegate\n" + body) {
				fmt.Fprint(w, "  # "+strings.TrimPrefix(line, "  "))
			}
		default:
			some = true
			fmt.Fprint(w, head+body)
		}
	}
	if !some {
		fmt.Fprintln(w, "  []")
	}
}

// draftFields writes what is known of a tool, without its name.
func (t *Tool) draftFields() string {
	var body bytes.Buffer
	best := func(field string) (catalogue.Evidence, bool) {
		r := t.Reasons(field)
		if len(r) == 0 {
			return catalogue.Evidence{}, false
		}
		return r[0], true
	}
	if v, ok := best("class"); ok && v.Path == "" {
		// what an argument says may differ from call to call
		fmt.Fprintf(&body, "    class: %s\n", t.Class.Top())
		if v, ok := best("side_effect"); ok && !strings.HasPrefix(v.From, "class ") {
			// more than what goes with the class
			fmt.Fprintf(&body, "    side_effect: %s\n", v.Value)
		}
	}
	mapping := func(key string, pairs ...string) {
		var parts []string
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i+1] != "" && policy.Printable(pairs[i+1]) {
				parts = append(parts, pairs[i]+": "+quoted(pairs[i+1]))
			}
		}
		if len(parts) > 0 {
			fmt.Fprintf(&body, "    %s: {%s}\n", key, strings.Join(parts, ", "))
		}
	}
	if v, ok := best("resource"); ok {
		mapping("resource", "type", v.Value, "id", v.Path)
	}
	if v, ok := best("subject"); ok && v.Path != "" {
		fmt.Fprintf(&body, "    subject: %s\n", quoted(v.Path))
	}
	if v, ok := best("destination"); ok {
		mapping("destination", "kind", v.Value, "value", v.Path)
	}
	if v, ok := best("amount"); ok && v.Path != "" {
		fmt.Fprintf(&body, "    amount: {value: %s}\n", quoted(v.Path))
	}
	if v, ok := best("labels"); ok {
		var labels []string
		for l := range strings.FieldsSeq(v.Value) {
			if policy.Printable(l) {
				labels = append(labels, quoted(l))
			}
		}
		if len(labels) > 0 {
			fmt.Fprintf(&body, "    labels: [%s]\n", strings.Join(labels, ", "))
		}
	}
	return body.String()
}

// quoted writes a text as JSON does, which is also YAML.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // our bug: a string always can be
	}
	return string(b)
}
