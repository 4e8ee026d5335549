package terminal

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// Report prints names and texts in two columns, texts broken at words.
type Report struct {
	w     io.Writer
	width int
}

const (
	nameWidth = 10
	leftOf    = 2 + nameWidth + 1
)

// NewReport prints on w in lines of so many characters.
func NewReport(w io.Writer, width int) *Report { return &Report{w, width} }

// Indented is the room beside the names of fields.
func (d Drawing) Indented() Drawing { return Drawing{d.Width - leftOf, d.ASCII} }

// Line prints a line as it is.
func (r *Report) Line(format string, args ...any) { fmt.Fprintf(r.w, format+"\n", args...) }

// Field prints a text beside its name.
func (r *Report) Field(name, format string, args ...any) {
	// a number and its percent sign stay together
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), " %", "\u00a0%")
	col := leftOf
	fmt.Fprintf(r.w, "  %s", Pad(name, nameWidth))
	for i, word := range strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == '\n' }) {
		word = strings.ReplaceAll(word, "\u00a0", " ")
		n := utf8.RuneCountInString(word)
		if i > 0 && col+1+n > r.width {
			fmt.Fprintf(r.w, "\n%s", strings.Repeat(" ", leftOf-1))
			col = leftOf
		}
		fmt.Fprintf(r.w, " %s", word)
		col += 1 + n
	}
	fmt.Fprintln(r.w)
}

// Figure indents lines of a picture under the texts.
func (r *Report) Figure(rows ...string) {
	for _, row := range rows {
		fmt.Fprintln(r.w, strings.TrimRight(strings.Repeat(" ", leftOf)+row, " "))
	}
}

// Table prints rows in columns, indented under their heading.
func (r *Report) Table(rows [][]string) {
	t := tabwriter.NewWriter(r.w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(t, "    %s\n", strings.Join(row, "\t"))
	}
	t.Flush()
}
