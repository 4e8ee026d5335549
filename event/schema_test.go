package event

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
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
	case aText, aName, aTenant, aProse, aTerm:
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

func TestTableHoldsEveryFieldOfTheDecoder(t *testing.T) {
	e, err := decode(full())
	if err != nil {
		t.Fatal(err)
	}
	leaves("Event", reflect.ValueOf(e), func(name string, v reflect.Value) {
		// made of others, not on the wire
		inferred := name == "Event.Inferred" || name == "Event.Held" || name == "Event.SideEffect" ||
			name == "Event.Unreadable" || name == "Event.OtherAmounts" || name == "Event.Tool.Sent"
		if v.IsZero() != inferred {
			t.Errorf("%s: no field of the table fills it", name)
		}
	})
}

func TestDecoderKnowsEveryFieldOfTheTable(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range fields {
		if seen[f.path] || !strings.HasSuffix(f.doc, ".") && !strings.HasSuffix(f.doc, "?") {
			t.Errorf("%s: twice, or its description is no sentence", f.path)
		}
		seen[f.path] = true
		if f.shape == aGroup {
			if _, err := decode(with(f.path, `{}`)); err != nil && f.path != "agent" {
				t.Errorf("%s: %v", f.path, err)
			}
		} else if _, err := strictly(with(f.path, f.example())); err != nil {
			t.Errorf("%s: %v", f.path, err)
		}
		wrong := []string{`[[]]`}
		switch f.shape {
		case aGroup, anObject:
			wrong = []string{`[]`, `"x"`, `1`, `true`}
		case aText, aName, aTenant, aProse, aWord, aTerm, aCurrency:
			wrong = []string{`[]`, `{}`, `1`, `true`}
		case aList:
			wrong = []string{`{}`, `"x"`, `1`, `[1]`, `[["x"]]`}
		case aVersion, aTier, aCount, aMeasure:
			wrong = []string{`[]`, `{}`, `"1"`, `true`}
		case aDecimal, aTime:
			wrong = []string{`[]`, `{}`, `true`}
		case aFlag:
			wrong = []string{`[]`, `{}`, `1`, `"true"`}
		case aValue:
			wrong = nil
			if _, err := decode(with(f.path, `1}`)); err == nil {
				t.Errorf("%s: not even read", f.path)
			}
			a, _ := decode(with(f.path, `null`))
			b, err := decode(with(f.path, `"x"`))
			if a.ID = b.ID; err != nil || reflect.DeepEqual(a, b) {
				t.Errorf("%s: leaves no trace in the event", f.path)
			}
		}
		for _, value := range wrong {
			_, err := strictly(with(f.path, value))
			var fault *DecodeError
			if !errors.As(err, &fault) || fault.Reason != wrongType || fault.Field != f.path {
				t.Errorf("%s of %s: got %v, want %s in %s", f.path, value, err, wrongType, f.path)
			}
		}
	}
}
