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

	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/spelling"
)

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// documents are the file's YAML documents, up to the first syntax error.
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

// parserFault matches errors of the YAML library's parser, as opposed to its scanner. The library
// counts the parser's lines from 0, the scanner's from 1.
var parserFault = regexp.MustCompile(
	`^(did not find expected (<|node content|'-'|key|',')|found (undefined tag|duplicate|incompatible))`)

// syntax reports an error of the YAML library. The library names no line if it means the first, and
// none for an unknown anchor.
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

// decode reads a document into the struct that into points to. The library's decoder is not used:
// its KnownFields does not work with Node.Decode, it may stop at the first error, and it does not
// keep the places of values. Scalars stay as written: 5000.00 must not become a float, nor a tool
// named null or 0x10 something else.
func (f *file) decode(doc *yaml.Node, into any) *source {
	s := &source{file: f.file, fields: map[string]place{}, broken: map[string]bool{}, texts: map[string]written{},
		rules: f.rules, lines: f.lines}
	d := decoder{source: s, left: &f.entriesLeft}
	d.value(doc, "", reflect.ValueOf(into).Elem())
	return s
}

// decoder reads one document.
type decoder struct {
	*source
	left *int // entries that the file may still have
	// conditional are the entries of needs_approval lists that have conditions, of the persona being
	// read. They become entries of the persona's own needs_approval list.
	conditional []*yaml.Node
}

// field is a node of a document, and where it goes.
type field struct {
	*yaml.Node
	path  string
	place place
}

// label is the field for people.
func (f *field) label() string {
	if f.path == "" {
		return "the file"
	}
	return f.path
}

// wrong reports a field that cannot be read, so that nothing else is said about it.
func (d *decoder) wrong(f *field, format string, args ...any) {
	d.broken[f.path] = true
	d.problem(f.place, format, args...)
}

// value reads a node into v.
func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	f := &field{n, path, place{d.file, n.Line, n.Column}}
	d.fields[path] = f.place
	if n.Kind == yaml.AliasNode {
		f.Node = n.Alias // once: an alias to an alias does not exist, and each entry behind it counts
	}
	if f.Kind == yaml.ScalarNode && f.ShortTag() == "!!null" {
		if path != "" { // else it is a document of comments alone
			d.wrong(f, "%s has no value; give it one, or remove the key", f.label())
		}
		return
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		d.rawValue(f, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structValue(f, v)
	case reflect.Slice:
		d.listValue(f, v)
	case reflect.Pointer: // to bool, so that absent is not false
		if f.Kind != yaml.ScalarNode || f.ShortTag() != "!!bool" {
			d.wrong(f, "%s is true or false; write one of them", f.label())
			return
		}
		b := strings.EqualFold(f.Value, "true")
		v.Set(reflect.ValueOf(&b))
	default:
		d.textValue(f, v)
	}
}

// rawValue reads a value of any shape as JSON.
func (d *decoder) rawValue(f *field, v reflect.Value) {
	if text, ok := d.json(nil, f.Node, 0); !ok {
		d.wrong(f, "%s is nested deeper than %d, or has more entries than a file may have; shorten it", f.label(),
			event.MaxDepth)
	} else {
		v.SetBytes(text)
	}
	if f.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(f.Content); i += 2 {
			name := f.path + "." + f.Content[i].Value
			d.fields[name] = place{d.file, f.Content[i].Line, f.Content[i].Column}
			d.write(name, f.Content[i+1])
		}
	}
}

func (d *decoder) structValue(f *field, v reflect.Value) {
	if same, ok := v.Addr().Interface().(*sameDef); ok && f.Kind == yaml.ScalarNode {
		*same = sameDef{f.Value, f.Value}
		d.write(f.path, f.Node)
		return
	}
	switch {
	case f.Kind == yaml.MappingNode:
		d.mapping(f.Node, f.path, v)
	case f.path == "":
		d.wrong(f, "the file does not begin with a key; put everything under %s", root(v.Type()))
	default:
		d.wrong(f, "%s needs keys; use %s", f.label(), joinOr(keysOf(v.Type())))
	}
}

func (d *decoder) listValue(f *field, v reflect.Value) {
	n := f.Node
	ofTexts := v.Type().Elem().Kind() == reflect.String
	if v.Type() == reflect.TypeFor[[]needsDef]() && n.Kind == yaml.MappingNode { // one entry needs no list
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
	}
	if v.Type() == reflect.TypeFor[oneOrMore]() && n.Kind == yaml.ScalarNode {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		d.value(n, f.path, v.Index(0))
		return
	}
	if ofTexts && strings.HasSuffix(f.path, ".needs_approval") {
		if n = d.takeConditional(n); n == nil {
			return
		}
	}
	switch {
	case n.Kind == yaml.ScalarNode:
		d.wrong(f, "%s is a list; write it as [%s]", f.label(), event.Quote(n.Value))
		return
	case n.Kind != yaml.SequenceNode:
		d.wrong(f, "%s is a list; begin each of its entries with -", f.label())
		return
	case len(n.Content) == 0 && ofTexts:
		d.wrong(f, `%s is empty, which could mean all or none; fill it or remove it ("*" is everything)`, f.label())
		return
	}
	if *d.left -= len(n.Content); *d.left < 0 {
		d.wrong(f, "more than %d entries in one file; split it", maxEntries)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		d.value(entry, at(f.path, i), v.Index(i))
	}
}

func (d *decoder) textValue(f *field, v reflect.Value) {
	switch {
	case f.Kind != yaml.ScalarNode:
		d.wrong(f, "%s is a single text or number; write it on one line", f.label())
	case !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge"}, f.ShortTag()):
		d.wrong(f, "%s has the tag %s; write plain text", f.label(), event.Quote(f.ShortTag()))
	case f.Value == "":
		d.wrong(f, "%s is empty; give it a value, or remove it", f.label())
	default:
		v.SetString(f.Value)
		d.write(f.path, f.Node)
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
			d.problem(here, "a key must be a plain word; use %s", joinOr(keys))
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
			d.problem(here, "unknown key %s; %s", event.Quote(key.Value), didYouMean(key.Value, keys))
			if meant != "" { // do not also report that it is missing
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
		for _, n := range d.conditional {
			def.Needs = append(def.Needs, needsDef{})
			d.value(n, at(strings.TrimPrefix(path+".needs_approval", "."), len(def.Needs)-1),
				reflect.ValueOf(&def.Needs[len(def.Needs)-1]).Elem())
		}
		d.conditional = nil
	}
}

// takeConditional moves the entries with conditions from a list of names to d.conditional: they
// mean the same wherever in a persona they stand. It returns the list of the others, or nil if
// there are none.
func (d *decoder) takeConditional(n *yaml.Node) *yaml.Node {
	isMapping := func(n *yaml.Node) bool {
		return n.Kind == yaml.MappingNode || n.Kind == yaml.AliasNode && n.Alias.Kind == yaml.MappingNode
	}
	if isMapping(n) {
		d.conditional = append(d.conditional, n)
		return nil
	}
	if n.Kind != yaml.SequenceNode || !slices.ContainsFunc(n.Content, isMapping) {
		return n
	}
	names := *n
	names.Content = nil
	for _, entry := range n.Content {
		if isMapping(entry) {
			d.conditional = append(d.conditional, entry)
		} else {
			names.Content = append(names.Content, entry)
		}
	}
	if len(names.Content) == 0 {
		return nil
	}
	return &names
}

// json appends a value of any shape as JSON: numbers and booleans as they are written, everything
// else as text.
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
