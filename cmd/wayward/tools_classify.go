package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/suggest"
	"github.com/wayward-sec/wayward/terminal"
)

func newToolsClassify() *cobra.Command {
	var o toolsOptions
	var output string
	cmd := &cobra.Command{
		Use:   "classify FILE",
		Short: "Say tool by tool what recorded calls are, and from what that is known",
		Long: "classify reads events, one a line, plain or .gz, .zst, .xz (- is standard input), and says of each tool what class its calls are, what they\n" +
			"touch, where they go, how often and from what that is known; and at the end, which tools it does not know. No value of an argument is shown.\n" +
			"The exit code is 1 if lines did not decode, 3 if there is no tool call.",
		Example: "  wayward tools classify events.jsonl.zst\n" +
			"  wayward tools classify events.jsonl --ignore-declared --output json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.survey(cmd, args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				err = s.json(cmd.OutOrStdout())
			} else {
				err = s.table(cmd.OutOrStdout())
			}
			return cmp.Or(err, s.empty(cmd, args[0]), s.bad.code())
		},
	}
	o.flags(cmd)
	outputFlag(cmd, &output, "table", "json")
	cmd.Flags().BoolVar(&o.ignore, "ignore-declared", false,
		"leave out what the events say of class, resource, subject, destination and amount")
	return cmd
}

func (s *survey) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOOL\tSERVER\tCLASS\tCALLS\tSHARE\tRESOURCE\tSUBJECT\tDESTINATION\tAMOUNT\tCLASS KNOWN FROM")
	var unknown, differ []*suggest.Tool
	for _, t := range s.Sorted() {
		class := t.Class.Top()
		word, from := class.String(), ""
		if class == event.NoClass {
			word = "?"
			unknown = append(unknown, t)
		} else if r := t.Reasons("class"); len(r) > 0 {
			from = r[0].From
		}
		if d, i := t.Declared.Top(), t.Inferred.Top(); d != i && d != event.NoClass && i != event.NoClass {
			differ = append(differ, t)
		}
		part := func(field string) string {
			r := t.Reasons(field)
			if len(r) == 0 {
				return ""
			}
			text := cmp.Or(terminal.Visible(r[0].Value, 100), "yes")
			if r[0].Path != "" {
				text += " " + terminal.Visible(r[0].Path, 100)
			}
			if t.Known[field] < t.Calls {
				text += " " + suggest.Percent(t.Known[field], t.Calls)
			}
			return strings.TrimPrefix(text, "yes ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", terminal.Visible(t.Name, 200), terminal.Visible(t.Server, 100), word,
			t.Calls, suggest.Percent(t.Calls, s.Calls),
			part("resource"), part("subject"), part("destination"), part("amount"), from)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	known := s.Calls - s.Over
	for _, t := range s.Tools {
		known -= t.Class[event.NoClass]
	}
	fmt.Fprintf(out, "\n%d tools, %d calls; the class of %s of the calls is known\n", len(s.Tools), s.Calls,
		suggest.Percent(known, s.Calls))
	for _, t := range differ {
		fmt.Fprintf(out, "declared %s, but the catalogue says %s: %s, %d calls\n", t.Declared.Top(), t.Inferred.Top(),
			terminal.Visible(t.Name, 200), t.Calls)
	}
	if len(unknown) > 0 {
		fmt.Fprintf(out,
			"%d tools are not known; name them in tools/*.yaml of the policies (wayward tools draft writes one to edit):\n",
			len(unknown))
		for _, t := range unknown {
			fmt.Fprintf(out, "  %s, %d calls\n", terminal.Visible(t.Name, 200), t.Calls)
		}
	}
	if s.Over > 0 {
		fmt.Fprintf(out, "%d calls of further tools are not listed: more than %d different ones\n", s.Over,
			suggest.MaxTools)
	}
	return nil
}

// toolLine is one tool as classify writes it in JSON.
type toolLine struct {
	Name     string           `json:"name"`
	Server   string           `json:"server"`
	Class    string           `json:"class"` // of most calls; "" if it is not known
	Declared string           `json:"declared"`
	Inferred string           `json:"inferred"`
	Calls    int64            `json:"calls"`
	Share    float64          `json:"share"`
	Classes  map[string]int64 `json:"classes"` // calls by class; "" is not known
	Known    map[string]int64 `json:"known"`   // calls of which a field is known
	Evidence []evidenceLine   `json:"evidence"`
}

type evidenceLine struct {
	catalogue.Evidence
	Argument string `json:"argument,omitempty"`
	Calls    int64  `json:"calls"`
}

func (s *survey) json(out io.Writer) error {
	lines := []toolLine{}
	for _, t := range s.Sorted() {
		l := toolLine{Name: t.Name, Server: t.Server, Class: t.Class.Top().String(),
			Declared: t.Declared.Top().String(), Inferred: t.Inferred.Top().String(),
			Calls: t.Calls, Share: float64(t.Calls) / float64(s.Calls), Classes: map[string]int64{}, Known: t.Known,
			Evidence: []evidenceLine{}}
		for c, n := range t.Class {
			if n > 0 {
				l.Classes[event.Class(c).String()] = n
			}
		}
		for _, v := range t.Reasons("") {
			l.Evidence = append(l.Evidence, evidenceLine{v, v.Path, t.Seen(v)})
		}
		lines = append(lines, l)
	}
	b, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}
