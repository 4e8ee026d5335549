package expression

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/file"
)

// Fault is something wrong with an expression.
type Fault struct {
	Code   string // R1xx
	Column int    // of the source, from 1; 0: of the whole
	Line   int    // of the source, from 1
	What   string // "what is wrong; what to do"
}

func (f *Fault) Error() string { return f.Code + " " + f.What }

// fault is a Fault at a place of the source.
func fault(code string, at file.Location, src, format string, args ...any) *Fault {
	line, col := 1, 1
	for i, r := range []rune(src) {
		if i == at.From {
			break
		}
		if col++; r == '\n' {
			line, col = line+1, 1
		}
	}
	return &Fault{Code: code, Line: line, Column: col, What: fmt.Sprintf(format, args...)}
}

// explain turns an error of expr into a Fault that says what to do.
func explain(err error, src string, scope *Scope) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return &Fault{Code: "R104", What: strings.ReplaceAll(err.Error(), "\n", " ") + "; correct the expression"}
	}
	what := at.Message
	f := fault("R104", at.Location, src, "%s; correct the expression", what)
	switch {
	case strings.HasPrefix(what, "unknown name "), strings.HasPrefix(what, "unknown field "):
		name := strings.TrimPrefix(strings.TrimPrefix(what, "unknown name "), "unknown field ")
		head := ""
		if r := []rune(src); at.From > 0 && at.From < len(r) && r[at.From-1] == '.' {
			dot := at.From - 1
			i := dot
			for i > 0 && (r[i-1] == '_' || unicode.IsLetter(r[i-1])) {
				i--
			}
			head = string(r[i:dot])
		}
		f.Code, f.What = "R101", "unknown field "+quote(name)+"; "+scope.suggest(head, name)
	case strings.HasPrefix(what, "invalid operation"), strings.HasPrefix(what, "operator"):
		f.Code, f.What = "R102", what+"; compare things of one type: texts in quotes, numbers without"
	case strings.Contains(what, "unknown builtin"), strings.Contains(what, "is disabled"):
		f.Code, f.What = "R105", what+"; use only what wayward rules fields lists"
	case strings.Contains(what, "maximum allowed nodes"), strings.Contains(what, "exceeds"):
		f.Code, f.What = "R120", "the expression is too large; split it, or put long lists into lists:"
	}
	return f
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
