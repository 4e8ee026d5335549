package event

import (
	"strings"
	"testing"
)

func TestWhoseARecordIsThatDidNotDecode(t *testing.T) {
	const head = `{"time":1767600000000,"tenant":"acme","agent":{"id":"a","version":"1"}`
	for name, c := range map[string]struct {
		record, tenant, agent string
		time                  int64
	}{
		"it breaks off":       {head + `,"args":{"q":"x`, "acme", "a", 1767600000000},
		"inside of the agent": {`{"tenant":"acme","agent":{"id":"a","version":"1`, "acme", "a", 0},
		"before the agent":    {`{"tenant":"acme","args":{"q":"x`, "", "", 0},
		"an unknown word": {head +
			`,"kind":"tool_call","tool":{"name":"x"},"approval":{"state":"lapsed"}}`, "acme", "a", 1767600000000},
		"too long": {head + `,"attrs":{"x":"` + strings.Repeat("x", MaxSize) + `"}}`, "acme", "a",
			1767600000000},
		"no time":                       {`{"tenant":"acme","agent":{"id":"a"}}`, "acme", "a", 0},
		"a time that is none":           {`{"time":"soon","tenant":"acme","agent":{"id":"a"}}`, "acme", "a", 0},
		"the time breaks off":           {`{"tenant":"acme","agent":{"id":"a"},"time":1767600`, "acme", "a", 0},
		"escaped names":                 {`{"\u0074enant":"ac\u006de","agent":{"i\u0064":"a"},`, "acme", "a", 0},
		"two agents":                    {head + `,"agent":{"id":"b"}}`, "", "", 0},
		"two tenants":                   {head + `,"tenant":"other"}`, "", "", 0},
		"the same one twice":            {head + `,"agent":{"id":"a"}}`, "acme", "a", 1767600000000},
		"two ids of an agent":           {`{"tenant":"acme","agent":{"id":"a","id":"b"}}`, "", "", 0},
		"names further in are no names": {`{"args":{"tenant":"acme","agent":{"id":"a"}}`, "", "", 0},
		"nor in texts":                  {`{"args":"{\"tenant\":\"acme\",\"agent\":{\"id\":\"a\"}}"`, "", "", 0},
		"a tenant that is none":         {`{"tenant":"a|b","agent":{"id":"a"}}`, "", "", 0},
		"an agent that is a text":       {`{"tenant":"acme","agent":"a"}`, "", "", 0},
		"half a surrogate as the agent": {`{"tenant":"acme","agent":{"id":"\ud800"}}`, "", "", 0},
		"no object":                     {`[` + head + `}]`, "", "", 0},
		"behind an object that is over": {`{} ` + head, "", "", 0},
		"nothing":                       {``, "", "", 0},
		"brackets that do not match":    {head + `,"args":{"a":[}},"tenant":"other"`, "acme", "a", 1767600000000},
	} {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			n, ok := d.Salvage([]byte(c.record))
			if ok != (c.agent != "") || ok && (n.Tenant != c.tenant || n.Agent != c.agent || n.Time != c.time ||
				n.ID == "" || n.Sum == 0) {
				t.Errorf("%+v, %v", n, ok)
			}
			var e Event
			if d.Decode([]byte(c.record), &e) == nil && name != "the same one twice" {
				t.Error("it decodes: the case shows nothing")
			}
		})
	}
}

// FuzzSalvage: it never breaks, and of a record that decodes, or that one breaks off behind its
// names, it says what the event says.
func FuzzSalvage(f *testing.F) {
	f.Add([]byte(`{"time":1767600000000,"kind":"message","tenant":"acme","agent":{"id":"a"},"args":{"a":[{}]}}`),
		uint16(60))
	f.Add([]byte(`{"tenant":"acme","agent":{"id":"a"`), uint16(9))
	f.Add([]byte(`{"agent":{"id":"\ud83d\ude00"},"tenant":"acme",,"id":7`), uint16(9))
	f.Fuzz(func(t *testing.T, p []byte, cut uint16) {
		var d Decoder
		n, ok := d.Salvage(p)
		if ok && (!tenantForm.MatchString(n.Tenant) || n.Agent == "" || len(n.Agent) > MaxString || n.ID == "" ||
			n.Time < 0) {
			t.Fatalf("%q: %+v", p, n)
		}
		var e Event
		if d.Decode(p, &e) != nil {
			return
		}
		if !ok || n.Tenant != e.Tenant || n.Agent != e.Agent.ID || n.Time != e.Time {
			t.Fatalf("%q: says %q %q %d, salvaged %+v, %v", p, e.Tenant, e.Agent.ID, e.Time, n, ok)
		}
		if m, ok := d.Salvage(p[:int(cut)%(len(p)+1)]); ok && (m.Tenant != e.Tenant || m.Agent != e.Agent.ID) {
			t.Fatalf("%q, cut: says %q %q, salvaged %+v", p, e.Tenant, e.Agent.ID, m)
		}
	})
}
