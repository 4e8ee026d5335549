package policy

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Line is one value of a persona, own or inherited, and where it was written. File is empty for
// defaults.
type Line struct {
	Path  string `json:"path"`
	Value string `json:"value"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
}

// Where is the place for people.
func (l Line) Where() string {
	switch {
	case l.File == "":
		return "by default"
	case l.Line == 0:
		return l.File
	}
	return l.File + ":" + strconv.Itoa(l.Line)
}

// Lines are the values of the persona, in the order in which they are documented.
func (p *Persona) Lines() []Line {
	var lines []Line
	p.node(reflect.ValueOf(p.def), "", &lines)
	return lines
}

// YAML is the persona with all that it inherits. A comment on each value says where it comes from.
func (p *Persona) YAML() ([]byte, error) {
	var lines []Line
	own := p.node(reflect.ValueOf(p.def), "", &lines)
	list := &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{own}}
	return yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode,
		Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "personas"}, list}})
}

// JSON is the persona with all that it inherits.
func (p *Persona) JSON() json.RawMessage { return canonical(p.def) }

// node makes YAML of a part of the definition, and adds a line for each value in it.
func (p *Persona) node(v reflect.Value, path string, lines *[]Line) *yaml.Node {
	switch def := v.Interface().(type) {
	case sameDef:
		if def.First == def.Second {
			return p.node(reflect.ValueOf(def.First), path, lines)
		}
	case oneOrMore:
		if len(def) == 1 {
			return p.node(reflect.ValueOf(def[0]), path, lines)
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i, key := range keysOf(v.Type()) {
			f := v.Field(i)
			if empty(f) || key == "extends" { // all inherited parts are here
				continue
			}
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key},
				p.node(f, strings.TrimPrefix(path+"."+key, "."), lines))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, p.node(v.Index(i), at(path, i), lines))
		}
		return n
	}
	text, tag := v.String(), "!!str"
	if v.Kind() == reflect.Pointer {
		text, tag = strconv.FormatBool(v.Elem().Bool()), "!!bool"
	}
	line := Line{Path: path, Value: text}
	o := p.input.of(path)
	if at, written := o.src.fields[o.path]; written {
		line.File, line.Line = at.file, at.line
	}
	*lines = append(*lines, line)
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: text, LineComment: line.Where()}
}

func empty(v reflect.Value) bool {
	if v.Kind() != reflect.Struct {
		return v.IsZero()
	}
	for i := range v.NumField() {
		if !empty(v.Field(i)) {
			return false
		}
	}
	return true
}
