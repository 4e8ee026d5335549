package formats_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
)

// Every format there is has a name of its own, says what it is, and begins anew with each New.
func TestFormatsAreNamed(t *testing.T) {
	names := formats.Names()
	for i, k := range formats.All {
		if k.Name == "" || k.About == "" || slices.Index(names, k.Name) != i {
			t.Errorf("format %d, %q: needs a name of its own and a line about it", i, k.Name)
		}
		if f := formats.New(k.Name); f == nil || f == formats.New(k.Name) {
			t.Errorf("format %s: New gives %v", k.Name, f)
		}
	}
	if formats.New("nothing") != nil {
		t.Error("a format of an unknown name")
	}
}

func TestNativeKeepsTheRecordAndSaysWhose(t *testing.T) {
	f := formats.NewNative()
	line := []byte(
		`{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"b|c"},"tool":{"name":"get"}}`)
	var got []formats.Event
	if err := f.Convert(nil, line, func(e formats.Event) { got = append(got, e) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Tenant != "acme" || got[0].Agent != "b|c" || string(got[0].Value) != string(line) {
		t.Errorf("got %+v", got)
	}
	broken := line[:len(line)-2]
	err := f.Convert(nil, broken, func(formats.Event) { t.Error("an event of half a record") })
	if d := (*event.DecodeError)(nil); !errors.As(err, &d) || d.Reason == "" {
		t.Errorf("error %v has no reason", err)
	}
	for key, ok := range map[string]bool{"": true, "acme|b%7Cc": true, "other|b%7Cc": false} {
		if n, has := f.Salvage([]byte(key), broken); has != ok || ok && (n.Tenant != "acme" || n.Agent != "b|c") {
			t.Errorf("key %q: %+v, %v", key, n, has)
		}
	}
}

// FuzzFormats holds every format to its contract: what is emitted decodes, on one line, as an event
// of the agent that is named.
func FuzzFormats(f *testing.F) {
	f.Add([]byte(`{"time":1767600000000,"kind":"tool_call","tenant":"a","agent":{"id":"b"},"tool":{"name":"c"}}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		for _, k := range formats.All {
			var d event.Decoder
			n := 0
			k.New().Convert(nil, record, func(x formats.Event) {
				var e event.Event
				if err := d.Decode(x.Value, &e); err != nil || e.Tenant != x.Tenant || e.Agent.ID != x.Agent {
					t.Errorf("%s: emitted %q of %s|%s: %v", k.Name, x.Value, x.Tenant, x.Agent, err)
				}
				if n++; n > 1<<20 {
					t.Fatalf("%s: more events than a record can hold", k.Name)
				}
			})
		}
	})
}
