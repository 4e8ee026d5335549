package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/spelling"
	"go.yaml.in/yaml/v3"
)

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// documents are the file's YAML documents, up to a fault of syntax.
func (f *file) documents() []*yaml.Node {
	var docs []*yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(f.text))
	for {
		var doc yaml.Node
		err := d.Decode(&doc)
		if err == io.EOF {
			return docs
		}
		if err != nil {
			f.syntax(err)
			return docs
		}
		docs = append(docs, doc.Content...)
	}
}

// parserFault is what YAML's parser says, as opposed to its scanner. The library counts the
// parser's lines from 0, the scanner's from 1.
var parserFault = regexp.MustCompile(
	`^(did not find expected (<|node content|'-'|key|',')|found (undefined tag|duplicate|incompatible))`)

// syntax reports what the YAML library said. It names no line where it means the first, and none
// for an unknown anchor.
func (f *file) syntax(err error) {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		m = []string{"", "", err.Error()}
	}
	line, _ := strconv.Atoi(m[1])
	what, do := m[2], "correct the YAML here or on the line before"
	if parserFault.MatchString(what) {
		line++
	}
	if name, ok := strings.CutPrefix(what, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		if i := bytes.Index(f.text, []byte("*"+name)); i >= 0 {
			line = 1 + bytes.Count(f.text[:i], []byte("\n"))
		}
		do = fmt.Sprintf(`a pattern that begins with * must be quoted, as in "*%s"`, name)
	} else if strings.Contains(what, "alphabetic or numeric character") {
		do = `a pattern that begins with * must be quoted, as in "*.read"`
	} else if strings.HasSuffix(what, "',' or ']'") {
		do = "close the list that begins here, and put a pattern with ? into quotes"
	}
	f.problem(place{f.file, max(line, 1), 0}, "%s; %s", what, do)
}

// decode reads a document into the struct that into points to. It is not the library's decoder,
// since KnownFields does not reach through Node.Decode, stops at the first fault in places, and
// forgets where each value stood. Scalars are taken as written: 5000.00 must not pass through a
// float, nor a tool named null or 0x10 become something else.
func (f *file) decode(doc *yaml.Node, into any) *source {
	s := &source{file: f.file, fields: map[string]place{}, broken: map[string]bool{}, texts: map[string]written{},
		rules: f.rules, lines: f.lines}
	d := decoder{source: s, left: &f.left}
	d.value(doc, "", reflect.ValueOf(into).Elem())
	return s
}

type decoder struct {
	*source
	left    *int
	hoisted []*yaml.Node // entries of needs_approval with conditions, of the persona that is being read
}

func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	here := place{d.file, n.Line, n.Column}
	d.fields[path] = here
	if n.Kind == yaml.AliasNode {
		n = n.Alias // once: an alias to an alias does not exist, and each entry behind it counts
	}
	wrong := func(format string, args ...any) {
		d.broken[path] = true
		d.problem(here, format, args...)
	}
	label := path
	if label == "" {
		label = "the file"
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		if path == "" {
			return // a document of comments alone
		}
		wrong("%s has no value; give it one, or remove the key", label)
		return
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		if text, ok := d.json(nil, n, 0); !ok {
			wrong("%s is nested deeper than %d, or has more entries than a file may have; shorten it", label,
				event.MaxDepth)
		} else {
			v.SetBytes(text)
		}
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				name := path + "." + n.Content[i].Value
				d.fields[name] = place{d.file, n.Content[i].Line, n.Content[i].Column}
				d.write(name, n.Content[i+1])
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if same, ok := v.Addr().Interface().(*sameDef); ok && n.Kind == yaml.ScalarNode {
			*same = sameDef{n.Value, n.Value}
			d.write(path, n)
			return
		}
		if n.Kind != yaml.MappingNode {
			if path == "" {
				wrong("the file does not begin with a key; put everything under %s", root(v.Type()))
			} else {
				wrong("%s needs keys; use %s", label, or(keysOf(v.Type())))
			}
			return
		}
		d.mapping(n, path, v)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[[]needsDef]() && n.Kind == yaml.MappingNode {
			// one entry needs no list
			n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
		}
		if v.Type() == reflect.TypeFor[oneOrMore]() && n.Kind == yaml.ScalarNode {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			d.value(n, path, v.Index(0))
			return
		}
		if v.Type().Elem().Kind() == reflect.String && strings.HasSuffix(path, ".needs_approval") {
			if n = d.hoist(n); n == nil {
				return
			}
		}
		if n.Kind != yaml.SequenceNode {
			if n.Kind == yaml.ScalarNode {
				wrong("%s is a list; write it as [%s]", label, event.Quote(n.Value))
			} else {
				wrong("%s is a list; begin each of its entries with -", label)
			}
			return
		}
		if len(n.Content) == 0 && v.Type().Elem().Kind() == reflect.String {
			wrong(`%s is empty, which could mean all or none; fill it or remove it ("*" is everything)`, label)
			return
		}
		if *d.left -= len(n.Content); *d.left < 0 {
			wrong("more than %d entries in one file; split it", maxEntries)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, entry := range n.Content {
			d.value(entry, at(path, i), v.Index(i))
		}
	case reflect.Pointer: // of the one bool, so that absent is not false
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" {
			wrong("%s is true or false; write one of them", label)
			return
		}
		b := strings.EqualFold(n.Value, "true")
		v.Set(reflect.ValueOf(&b))
	default:
		switch {
		case n.Kind != yaml.ScalarNode:
			wrong("%s is a single text or number; write it on one line", label)
		case !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge"}, n.ShortTag()):
			wrong("%s has the tag %s; write plain text", label, event.Quote(n.ShortTag()))
		case n.Value == "":
			wrong("%s is empty; give it a value, or remove it", label)
		default:
			v.SetString(n.Value)
			d.write(path, n)
		}
	}
}

// write notes where a text stands.
func (d *decoder) write(path string, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		return
	}
	w := written{line: n.Line, col: n.Column, block: n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0, text: n.Value}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		w.col++
	}
	d.texts[path] = w
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	keys := keysOf(v.Type())
	first := map[string]place{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := place{d.file, key.Line, key.Column}
		if key.Kind != yaml.ScalarNode {
			d.problem(here, "a key must be a plain word; use %s", or(keys))
			continue
		}
		field := key.Value
		if path != "" {
			field = path + "." + key.Value
		}
		k := slices.Index(keys, key.Value)
		if k < 0 {
			if key.ShortTag() == "!!merge" {
				d.problem(here, "<< is not understood here; write the keys out, or give a list an anchor")
				d.broken[path] = true
				continue
			}
			meant := spelling.Nearest(key.Value, keys)
			if path == "" && meant == "" && !d.rules {
				d.problem(here, "unknown key %s; put everything under %s", event.Quote(key.Value), root(v.Type()))
				continue
			}
			d.problem(here, "unknown key %s; %s", event.Quote(key.Value), choose(key.Value, keys))
			if meant != "" { // do not also say that it is missing
				d.broken[strings.TrimSuffix(field, key.Value)+meant] = true
			}
			continue
		}
		if before, dup := first[key.Value]; dup {
			d.problem(here, "%s is already at %s; keep one of them", event.Quote(key.Value), before)
			continue
		}
		first[key.Value] = here
		d.value(value, field, v.Field(k))
	}
	if def, ok := v.Addr().Interface().(*personaDef); ok {
		for _, n := range d.hoisted {
			def.Needs = append(def.Needs, needsDef{})
			d.value(n, at(strings.TrimPrefix(path+".needs_approval", "."), len(def.Needs)-1),
				reflect.ValueOf(&def.Needs[len(def.Needs)-1]).Elem())
		}
		d.hoisted = nil
	}
}

// hoist takes the entries with conditions out of a list of names: wherever in a persona they stand,
// they mean the same. It returns what is left; nil: nothing is.
func (d *decoder) hoist(n *yaml.Node) *yaml.Node {
	isMapping := func(n *yaml.Node) bool {
		return n.Kind == yaml.MappingNode || n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.MappingNode
	}
	if isMapping(n) {
		d.hoisted = append(d.hoisted, n)
		return nil
	}
	if n.Kind != yaml.SequenceNode || !slices.ContainsFunc(n.Content, isMapping) {
		return n
	}
	names := *n
	names.Content = nil
	for _, entry := range n.Content {
		if isMapping(entry) {
			d.hoisted = append(d.hoisted, entry)
		} else {
			names.Content = append(names.Content, entry)
		}
	}
	if len(names.Content) == 0 {
		return nil
	}
	return &names
}

// json appends a value of any shape as JSON: numbers and truth values as they are written,
// everything else as text.
func (d *decoder) json(b []byte, n *yaml.Node, depth int) ([]byte, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if *d.left -= len(n.Content); *d.left < 0 || depth > event.MaxDepth {
		return b, false
	}
	ok := true
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content) && ok; i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, canonical(n.Content[i].Value)...), ':')
			b, ok = d.json(b, n.Content[i+1], depth+1)
		}
		return append(b, '}'), ok
	case yaml.SequenceNode:
		b = append(b, '[')
		for i := 0; i < len(n.Content) && ok; i++ {
			if i > 0 {
				b = append(b, ',')
			}
			b, ok = d.json(b, n.Content[i], depth+1)
		}
		return append(b, ']'), ok
	}
	switch n.ShortTag() {
	case "!!null":
		return append(b, "null"...), true
	case "!!bool":
		return append(b, strings.ToLower(n.Value)...), true
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return append(b, n.Value...), true
		}
	}
	return append(b, canonical(n.Value)...), true
}

// root is the key of a file that holds its definitions.
func root(t reflect.Type) string {
	last := t.NumField() - 1
	if t.Field(last).Type.Kind() == reflect.Slice {
		return keysOf(t)[last] + ": as a list"
	}
	return keysOf(t)[last] + ":"
}

// keysOf are the keys of a definition, in the order of its fields.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}
