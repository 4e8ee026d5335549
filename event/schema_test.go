package event

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write docs/*.schema.json")

func TestSchemaFilesAreWhatSchemaOfGives(t *testing.T) {
	for _, name := range Schemas() {
		file := "../docs/" + name + ".schema.json"
		if *update {
			if err := os.WriteFile(file, SchemaOf(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(SchemaOf(name)), string(got)); diff != "" {
			t.Errorf("run go test ./event -update and read the diff\n%s", diff)
		}
	}
	if SchemaOf("commands") != nil {
		t.Error("there is a schema of commands")
	}
}

func compiled(t *testing.T) *jsonschema.Schema { return compiledOf(t, "event") }

// compiledOf is the schema of a form, checked against the meta-schema too.
func compiledOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(SchemaOf(name)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(name+".schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name + ".schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaAndDecoderAgree(t *testing.T) {
	schema := compiled(t)
	validate := func(p string) error {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(p))
		if err != nil {
			return err
		}
		return schema.Validate(doc)
	}
	accepted := map[string]string{"a full event": full()}
	for i, p := range samples(t) {
		accepted[fmt.Sprintf("sample %d", i+1)] = string(p)
	}
	for i, p := range append(stream(20, false), stream(20, true)...) {
		accepted[fmt.Sprintf("call %d", i)] = string(p)
	}
	for name, more := range map[string]string{
		"nulls":              `,"v":null,"id":null,"phase":null,"trace":null,"args":null,"amount":{"value":null},"duration_ms":null,"approval":{"expires":null},"resource":{"labels":null},"tool":{"class":null}`,
		"unknown fields":     `,"new":{"a":1},"trace":{"new":[]}`,
		"the largest amount": `,"amount":{"value":"9223372036854.775807"},"cost":{"usd":-9223372036854.775808}`,
		"trailing zeros":     `,"amount":{"value":"-1.50000000000"},"cost":{"usd":0}`,
		"a long message":     `,"message":{"text":"` + strings.Repeat("a", 5000) + `"}`,
		"the largest count":  `,"source":{"seq":9223372036854775807}`,
		"a leap day":         `,"approval":{"expires":"2024-02-29T23:59:59.123456789+23:59"}`,
	} {
		accepted[name] = record(more)
	}
	for name, p := range accepted {
		if _, err := strictly(p); err != nil {
			t.Errorf("%s: Decode: %v", name, err)
		}
		if err := validate(p); err != nil {
			t.Errorf("%s: schema: %v", name, err)
		}
	}

	n := 0
	for _, c := range refused {
		if !c.schema {
			continue
		}
		n++
		if _, err := strictly(c.record); err == nil {
			t.Errorf("%s: Decode takes it", c.name)
		}
		var fault *jsonschema.ValidationError
		if err := validate(c.record); !errors.As(err, &fault) {
			t.Errorf("%s: schema: got %v, want it refused", c.name, err)
		}
	}
	if n < 50 {
		t.Errorf("only %d records refused by both", n)
	}
}

// example is a right value for a field, none of them zero.
func (f field) example() string {
	switch f.shape {
	case aText, anIdentity, aName, aTenant, aProse, aTerm:
		return `"x"`
	case aCurrency:
		return `"EUR"`
	case aList:
		return `["x"]`
	case aWord:
		return `"` + f.words[2] + `"` // not tool_call, which needs a tool
	case anObject:
		return `{"x":1}`
	case aDecimal:
		return `"1.5"`
	case aFlag:
		return `true`
	case aTime:
		return `1767600000000`
	}
	return `1`
}

// with is an event in which the field at path has this value and nothing else is optional.
func with(path, value string) string {
	members := map[string]string{"time": "1767600000000", "kind": `"message"`, "tenant": `"acme"`,
		"agent": `{"id":"a"}`}
	top, rest, nested := strings.Cut(path, ".")
	if nested {
		for parts := strings.Split(rest, "."); len(parts) > 0; parts = parts[:len(parts)-1] {
			value = fmt.Sprintf(`{%q:%s}`, parts[len(parts)-1], value)
		}
		if top == "agent" && rest != "id" {
			value = `{"id":"a",` + value[1:]
		}
	}
	members[top] = value
	var b strings.Builder
	for _, name := range []string{"time", "kind", "tenant", "agent", top} {
		if v, ok := members[name]; ok {
			fmt.Fprintf(&b, ",%q:%s", name, v)
			delete(members, name)
		}
	}
	return "{" + b.String()[1:] + "}"
}

// full is an event with every field of the table.
func full() string {
	var object func(group string) string
	object = func(group string) string {
		var members []string
		for _, f := range fields {
			name, ok := strings.CutPrefix(f.path, group)
			if !ok || strings.Contains(name, ".") {
				continue
			}
			value := f.example()
			if f.shape == aGroup {
				value = object(f.path + ".")
			}
			members = append(members, fmt.Sprintf("%q:%s", name, value))
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	return object("")
}
