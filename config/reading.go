package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// byteOrderMark is what editors on Windows write in front of UTF-8.
const byteOrderMark = "\ufeff"

// maxConfig bounds the config file, in bytes: a wrong path must not take the machine down.
const maxConfig = 1 << 20

// Reading is a config, where each of its values came from, and everything that is wrong with it.
// The YAML library's own decoder gives lines without columns, and no origin of a value, so its
// nodes are decoded here.
type Reading struct {
	Config   Config
	file     string
	from     map[string]Origin // of each key that is not a default
	Problems []Problem
}

// Origin is where a value was written.
type Origin struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Env    string `json:"environment,omitempty"`
}

func (o Origin) String() string {
	switch {
	case o.Env != "":
		return "environment " + o.Env
	case o.Line > 0:
		return fmt.Sprintf("%s:%d:%d", o.File, o.Line, o.Column)
	case o.File != "":
		return o.File
	}
	return "default"
}

// Problem is something wrong with a config, where, and what to do.
type Problem struct {
	Origin
	What string `json:"what"`
}

func (p Problem) Error() string {
	if p.Origin == (Origin{}) {
		return "config: " + p.What
	}
	return p.Origin.String() + ": " + p.What
}

// Read reads the defaults, then the file, if there is a name, then the environment. The error is
// that of a file that cannot be read; all else are problems.
func Read(name string, environ []string) (*Reading, error) {
	r := &Reading{Config: Default(), file: name, from: map[string]Origin{}}
	if name != "" {
		text, err := readBounded(name)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		r.parse(bytes.TrimPrefix(text, []byte(byteOrderMark)))
		dir := filepath.Dir(name)
		r.each(func(key string, v reflect.Value) {
			// Paths are the file's, not those of whoever starts the engine.
			if s, _ := settingOf(key); s.path && v.IsValid() && v.String() != "" && !filepath.IsAbs(v.String()) {
				v.SetString(filepath.Join(dir, v.String()))
			}
		})
		for i := range r.Config.Sinks {
			if s := &r.Config.Sinks[i]; s.Path != "" && !filepath.IsAbs(s.Path) {
				s.Path = filepath.Join(dir, s.Path)
			}
		}
	}
	r.environment(environ)
	for _, err := range Flatten(r.Config.check()) {
		r.wrong(err)
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Env, b.Env), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r, nil
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("%s is larger than %d bytes: is it the right file?", name, maxConfig)
	}
	return text, err
}

// Err is all problems as one error.
func (r *Reading) Err() error {
	var errs []error
	for _, p := range r.Problems {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// Count is the number of settings that are set: groups and entries of lists do not count.
func (r *Reading) Count() (n int) {
	for key := range r.from {
		_, known := settingOf(key)
		if known && !slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") }) {
			n++
		}
	}
	return n
}

// Flatten undoes errors.Join.
func Flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, Flatten(e)...)
		}
		return out
	}
	return []error{err}
}

// wrong files an error that begins with a setting's key under the place of that setting, or of the
// group that should have it.
func (r *Reading) wrong(err error) {
	what := err.Error()
	end := strings.IndexFunc(what, func(c rune) bool { return c == ' ' || c == ':' })
	key := what[:max(end, 0)]
	for key != "" {
		if at, ok := r.from[key]; ok {
			r.Problems = append(r.Problems, Problem{at, what})
			return
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
	r.Problems = append(r.Problems, Problem{Origin{File: r.file}, what})
}

func (r *Reading) bad(at Origin, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{at, fmt.Sprintf(format, args...)})
}
