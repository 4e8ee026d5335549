package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/event/spelling"
)

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
