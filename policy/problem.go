package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/rules/expression"
)

// Problem is something wrong in a definition: where, what, and what to do about it.
type Problem struct {
	File         string
	Line, Column int    // 0: not known
	Code         string // of a rule: R101 and so on
	What         string // "what is wrong; what to do"
	Snippet      string // of a rule: its line, and a caret below
}

func (p *Problem) Error() string {
	s := place{p.File, p.Line, p.Column}.String() + ": "
	if p.Code != "" {
		s += p.Code + " "
	}
	if s += p.What; p.Snippet != "" {
		s += "\n" + p.Snippet
	}
	return s
}

// place is where something was read.
type place struct {
	file      string
	line, col int
}

func (p place) String() string {
	s := p.file
	if p.line > 0 {
		s += ":" + strconv.Itoa(p.line)
	}
	if p.col > 0 {
		s += ":" + strconv.Itoa(p.col)
	}
	return s
}

// source is one document: where each field of it stands, and what is wrong with it.
type source struct {
	file   string
	folder string // of files that it names
	texts  map[string]written
	fields map[string]place // by path, such as personas[0].tools.allow[2]
	// paths whose value could not be read; nothing else is reported about them
	broken   map[string]bool
	problems []*Problem
	rules    bool     // it holds rules, whose problems have codes and snippets
	lines    []string // of the file, if rules
}

// place is the place of a field, or of the field around it.
func (s *source) place(path string) place {
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if at, ok := s.fields[p]; ok {
			return at
		}
	}
	if at, ok := s.fields[""]; ok {
		return at
	}
	if s.fields == nil { // JSON and built-in definitions have no lines
		return place{file: s.file + " " + path}
	}
	return place{s.file, 1, 1}
}

func (s *source) problem(at place, format string, args ...any) {
	s.problemWithCode("R001", at, format, args...)
}

// problemWithCode notes a problem; in a rule with the code, its line and a caret.
func (s *source) problemWithCode(code string, at place, format string, args ...any) {
	p := &Problem{File: at.file, Line: at.line, Column: at.col, What: fmt.Sprintf(format, args...)}
	if s.rules {
		p.Code = code
		if at.col > 0 && at.line > 0 && at.line <= len(s.lines) {
			p.Snippet = caret(s.lines[at.line-1], at.col)
		}
	}
	s.problems = append(s.problems, p)
}

// caret is a line with a mark below a column.
func caret(line string, col int) string {
	return "    " + strings.ReplaceAll(line, "\t", " ") + "\n    " + strings.Repeat(" ", max(0, col-1)) + "^"
}

// reporter returns a report on the fields of the definition at path.
func (s *source) reporter(path string) report {
	return func(field, format string, args ...any) {
		if path != "" {
			field = path + "." + field
		}
		for p := field; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
			if s.broken[p] {
				return
			}
		}
		s.problemWithCode(ruleCode(strings.TrimPrefix(field, path+".")), s.place(field), format, args...)
	}
}

// cause is an error without its path, which problems have in front anyway.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// fault reports an error in an expression, with its line and a caret.
func (s *source) fault(path string, err error) {
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if s.broken[p] {
			return
		}
	}
	f := (*expression.Fault)(nil)
	if !errors.As(err, &f) {
		s.problem(s.place(path), "%v", err)
		return
	}
	p := s.place(path)
	t, known := s.texts[path]
	if known {
		switch {
		case f.Line == 0:
			p.line, p.col = t.line, t.col
		case t.block:
			p.line, p.col = t.line+f.Line, 0
		case f.Line == 1:
			p = place{p.file, t.line, t.col + f.Column - 1}
		}
	}
	problem := &Problem{File: p.file, Line: p.line, Column: p.col, Code: f.Code, What: f.What}
	if known && f.Line > 0 {
		if lines := strings.Split(t.text, "\n"); f.Line <= len(lines) {
			problem.Snippet = caret(lines[f.Line-1], f.Column)
		}
	}
	s.problems = append(s.problems, problem)
}

// written is a text as it stands in a file.
type written struct {
	line, col int // of its first character
	block     bool
	text      string
}
