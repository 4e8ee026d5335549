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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/event/spelling"
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

// yamlLine is how the YAML library says where a file is no YAML.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

func (r *Reading) parse(text []byte) {
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	var doc yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return
	} else if err != nil {
		m := yamlLine.FindStringSubmatch(err.Error())
		line, _ := strconv.Atoi(m[1])
		at := Origin{File: r.file, Line: line}
		if line > 0 {
			at.Column = 1
		}
		r.bad(at, "this is not YAML: %s", m[2])
		return
	}
	var more yaml.Node
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		r.bad(r.at(&more), "a config is one document: remove what follows ---")
	}
	r.set(doc.Content[0], "", reflect.ValueOf(&r.Config).Elem(), r.at)
}

func (r *Reading) at(n *yaml.Node) Origin {
	return Origin{File: r.file, Line: max(n.Line, 1), Column: max(n.Column, 1)}
}

// set decodes a node into a value and reports everything that is wrong with it.
func (r *Reading) set(n *yaml.Node, key string, v reflect.Value, at func(*yaml.Node) Origin) {
	name := key
	if name == "" {
		name = "a config"
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.bad(at(n), "%s: anchors and aliases are not read here: write the value out", name)
		return
	case n.Tag == "!!null":
		return // a key without a value leaves the default
	}
	if key != "" {
		r.from[key] = at(n)
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		r.set(n, key, v.Elem(), at)
	case v.Kind() == reflect.Struct:
		if n.Kind != yaml.MappingNode {
			r.bad(at(n), "%s must be a group of settings, one to a line as name: value; it is %s", name, kindOf(n))
			return
		}
		r.group(n, key, v, at)
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.bad(at(n), "%s must be a list: write [a, b]; it is %s", name, kindOf(n))
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, e := range n.Content {
			r.set(e, fmt.Sprintf("%s[%d]", key, i), list.Index(i), at)
		}
		v.Set(list)
	case n.Kind != yaml.ScalarNode:
		r.bad(at(n), "%s must be %s, it is %s", name, wantOf(v), kindOf(n))
	default:
		r.scalar(n, key, v, at)
	}
}

func (r *Reading) group(n *yaml.Node, key string, v reflect.Value, at func(*yaml.Node) Origin) {
	fields := fieldsOf(v)
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		full := under(key, k.Value)
		where := slices.Index(names, k.Value)
		switch {
		case seen[k.Value] > 0:
			r.bad(at(k), "%s is set twice, first in line %d: keep one", full, seen[k.Value])
		case where >= 0:
			r.set(value, full, fields[where].v, at)
		default:
			what := fmt.Sprintf("there is no setting %q", full)
			if near := spelling.Nearest(k.Value, names); near != "" {
				what += fmt.Sprintf("; did you mean %q?", under(key, near))
			} else if home := elsewhere(k.Value); home != "" {
				what += fmt.Sprintf("; there is %q", home)
			} else {
				what += "; wayward config reference lists them all"
			}
			r.bad(at(k), "%s", what)
		}
		seen[k.Value] = k.Line
	}
}

// elsewhere finds a setting of that name in another group: a wrong indentation is the most common
// mistake in YAML.
func elsewhere(name string) string {
	for _, s := range settings {
		if strings.HasSuffix("."+s.key, "."+name) {
			return s.key
		}
	}
	return ""
}

func under(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func (r *Reading) scalar(n *yaml.Node, key string, v reflect.Value, at func(*yaml.Node) Origin) {
	switch v.Interface().(type) {
	case time.Duration:
		d, err := parseDuration(n.Value)
		if err != nil {
			r.bad(at(n), "%s: %.40q is not a duration: %v", key, n.Value, err)
			return
		}
		v.SetInt(int64(d))
		return
	case string:
		v.SetString(n.Value)
		return
	}
	fraction := v.CanInt() && n.ShortTag() != "!!int" // which the library would cut
	if err := n.Decode(v.Addr().Interface()); err != nil || fraction {
		r.bad(at(n), "%s must be %s, it is %.40q", key, wantOf(v), n.Value)
	}
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%.40q", n.Value)
}

func wantOf(v reflect.Value) string {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return "a duration, as 10s"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8,
		reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a " + v.Type().String()
}

// field is a setting or a group in its struct.
type field struct {
	name string
	v    reflect.Value
}

// fieldsOf returns the fields of a struct under their YAML names, those of inlined ones too.
func fieldsOf(v reflect.Value) (out []field) {
	for i := range v.NumField() {
		name, rest, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		switch {
		case rest == "inline":
			out = append(out, fieldsOf(v.Field(i))...)
		case name != "":
			out = append(out, field{name, v.Field(i)})
		}
	}
	return out
}

// each calls f for every setting, groups not among them. In a group that is not set the value is
// not valid.
func (r *Reading) each(f func(key string, v reflect.Value)) {
	eachOf(reflect.ValueOf(&r.Config).Elem(), "", true, f)
}

func eachOf(v reflect.Value, key string, valid bool, f func(string, reflect.Value)) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v, valid = reflect.New(v.Type().Elem()), false
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		if !valid {
			v = reflect.Value{}
		}
		f(key, v)
		return
	}
	for _, x := range fieldsOf(v) {
		eachOf(x.v, under(key, x.name), valid, f)
	}
}

// environment applies WAYWARD_A__B, which is setting a.b. Kubernetes makes variables of its own out
// of a service's name (WAYWARD_PORT), so one that is no setting is only wrong if it has the two
// underscores, which nothing else has.
func (r *Reading) environment(environ []string) {
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		env, value, _ := strings.Cut(kv, "=")
		name, ours := strings.CutPrefix(env, "WAYWARD_")
		if !ours {
			continue
		}
		at := Origin{Env: env}
		key := strings.ReplaceAll(strings.ToLower(name), "__", ".")
		v, group := r.find(key)
		switch {
		case v.IsValid():
			r.set(nodeOf(v, value), key, v, func(*yaml.Node) Origin { return at })
		case strings.Contains(name, "__") && !group:
			what := fmt.Sprintf("there is no setting %q", key)
			var keys []string
			for _, s := range settings {
				keys = append(keys, s.key)
			}
			if near := spelling.Nearest(key, keys); near != "" {
				what += fmt.Sprintf("; did you mean WAYWARD_%s?", strings.ToUpper(strings.ReplaceAll(near, ".", "__")))
			}
			r.bad(at, "%s", what)
		}
	}
}

// find returns a setting to be set, making the groups it lies in. Of a group there is none.
func (r *Reading) find(key string) (found reflect.Value, group bool) {
	known := false
	r.each(func(k string, _ reflect.Value) {
		known = known || k == key
		group = group || strings.HasPrefix(k, key+".")
	})
	if !known {
		return reflect.Value{}, group
	}
	v := reflect.ValueOf(&r.Config).Elem()
	for name := range strings.SplitSeq(key, ".") {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		fields := fieldsOf(v)
		v = fields[slices.IndexFunc(fields, func(f field) bool { return f.name == name })].v
	}
	return v, false
}

// nodeOf is the text of a variable as YAML would have it: text as it is, lists of texts also with
// commas.
func nodeOf(v reflect.Value, text string) *yaml.Node {
	if v.Kind() == reflect.String {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String &&
		!strings.HasPrefix(strings.TrimSpace(text), "[") {
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, s := range strings.Split(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s})
			}
		}
		return list
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	}
	return doc.Content[0]
}
