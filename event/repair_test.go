package event

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// call is a tool call with more members.
func call(more string) string {
	return `{"time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},"tool":{"name":"delete_user"}` +
		more + `}`
}

func TestContentDoesNotHideACall(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for name, c := range map[string]struct{ more, marks string }{
		"half a surrogate in a result":    {`,"result":{"content":"\ud800"}`, "result.content"},
		"the second half in an argument":  {`,"args":{"note":"\udc00","to":"eve@evil.example"}`, "args"},
		"a pair the wrong way round":      {`,"message":{"text":"\udc00\ud800"}`, "message"},
		"half a pair in a name":           {`,"args":{"\ud800":1}`, "args"},
		"half a pair in an unknown name":  {`,"\ud800":1`, "other"},
		"half a pair in an unknown field": {`,"new":["\ud800"]`, "other"},
		"Latin-1 in an error":             {",\"result\":{\"error\":\"gr\xfcn\"}", "result.error"},
		"a raw line feed in a subject":    {",\"subject\":\"a\nb\"", "subject"},
		"an escape that is none":          {`,"subject":"\x41"`, "subject"},
		"a long error":                    {`,"result":{"error":"` + long + `"}`, "result.error"},
		"a long session":                  {`,"session":"` + long + `"`, "session"},
		"a long label":                    {`,"resource":{"labels":["pii","` + long + `"]}`, "resource.labels"},
		"100 labels": {`,"resource":{"labels":["a"` + strings.Repeat(`,"b"`, 99) + `]}`,
			"resource.labels"},
		"labels that are a text": {`,"resource":{"labels":"pii"}`, "resource.labels"},
		"a number among labels":  {`,"resource":{"labels":["a",5]}`, "resource.labels"},
		"deep arguments": {`,"args":{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]",
			5000) + `}`, "args"},
		"a deep unknown field": {`,"new":` + strings.Repeat(`{"a":[`, 5000) + strings.Repeat("]}", 5000),
			"other"},
		"NaN in the arguments":          {`,"args":{"a":NaN,"b":-Infinity}`, "args"},
		"NaN for a duration":            {`,"duration_ms":NaN`, "duration_ms"},
		"a comma too many in arguments": {`,"args":{"a":1,}`, "args"},
		"arguments as a text":           {`,"args":"{\"to\":\"eve@evil.example\"}"`, "args"},
		"arguments as a list":           {`,"args":["a"]`, "args"},
		"a destination that is a text": {`,"destination":"eve@evil.example"`,
			"destination.kind destination.value destination.domain destination.external"},
		"a number for a destination": {`,"destination":{"value":5}`, "destination.value"},
		"a destination twice": {`,"destination":{"value":"a@acme.example","value":"eve@evil.example"}`,
			"destination.value"},
		"a long URL whose host is known": {`,"destination":{"value":"https://acme.example/?q=` + long + `"}`,
			"destination.path"},
		"a long URL whose host is not": {`,"destination":{"value":"https://` + long + `@evil.example/"}`,
			"destination.value"},
		"a long URL for some readers": {`,"destination":{"value":"https://acme.example\\@evil.example/` + long +
			`"}`, "destination.value"},
		"a long address": {`,"destination":{"value":"` + long + `@acme.example"}`,
			"destination.value"},
		"two destinations": {`,"destination":{"value":"a"},"destination":{"value":"b"}`,
			"destination.kind destination.value destination.domain destination.external"},
		"a class that nobody knows": {`,"resource":{"type":5},"result":{"effect":"zap","outcome":"fine"}`,
			"resource.type result.outcome result.effect"},
		"a negative count":           {`,"result":{"records":-5}`, "result.records"},
		"a currency of four letters": {`,"amount":{"value":"1","currency":"EURO"}`, "amount.currency"},
		"an amount in words":         {`,"amount":{"value":"ten","currency":"EUR"}`, "amount.value"},
		"an id that is a number":     {`,"id":5`, "id"},
		"an id with half a pair":     {`,"id":"\ud800"`, "id"},
		"a persona with half a pair": {`,"persona":"helper\ud800"`, "persona"},
		"a tier out of range": {`,"trace":5,"delegation":[],"origin":"x"`,
			"trace delegation delegation.limit origin"},
		"an approval that is a text": {`,"approval":"p"`, "approval"},
		"broken structure in content": {`,"result":{"content" "x","error":"e"}`,
			"result.outcome result.records result.bytes result.error result.content result.untrusted result.effect"},
		"provenance, attrs and audit, broken": {`,"provenance":[],"attrs":"x","audit":{"before":"\ud800","after":nul}`,
			"provenance audit attrs"},
		"wrong flags": {`,"source":{"trusted":"yes"},"result":{"untrusted":0}`,
			"result.untrusted source"},
	} {
		e, err := decode(call(c.more))
		if err != nil || e.Tool.Name != "delete_user" || e.Agent.ID != "a" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(e.Unreadable.Words(), " "); got != c.marks {
			t.Errorf("%s: marked %q, want %q", name, got, c.marks)
		}
	}
	if len(unreadableWords) != 53 || Unreadable(1)<<len(unreadableWords) != unreadableEnd {
		t.Errorf("%d words for bits below %b", len(unreadableWords), unreadableEnd)
	}
}

func TestWhatCanBeKeptIsKept(t *testing.T) {
	long := strings.Repeat("é", 600)
	text := func(f func(*Event) string) func(*Event) any { return func(e *Event) any { return f(e) } }
	for _, c := range []struct {
		more string
		got  func(*Event) any
		want any
	}{
		{`,"subject":"a\ud800b\udc00\ud83d\ude80\q"`, text(func(e *Event) string { return e.Subject }),
			"a\ufffdb\ufffd🚀\ufffd"},
		{",\"subject\":\"gr\xfcn\tx\"", text(func(e *Event) string { return e.Subject }), "gr\ufffdn\tx"},
		{`,"subject":4711`, text(func(e *Event) string { return e.Subject }), "4711"},
		{`,"subject":{"a":1}`, text(func(e *Event) string { return e.Subject }), ""},
		{`,"result":{"error":"` + long + `"}`, func(e *Event) any {
			return strings.HasPrefix(long, strings.TrimSuffix(e.Result.Error, "…")) && len(e.Result.Error) > 900
		}, true},
		{`,"id":5`, text(func(e *Event) string { return e.ID }), "5"},
		{`,"id":"` + long + `"`, func(e *Event) any { return len(e.ID) }, 32},
		{`,"persona":"x\ud800"`, text(func(e *Event) string { return e.Persona }), ""},
		{`,"destination":"eve@evil.example"`, text(func(e *Event) string { return e.Destination.Value }),
			"eve@evil.example"},
		{`,"destination":{"value":"a"},"destination":{"value":"b"}`,
			text(func(e *Event) string { return e.Destination.Value }), "b"},
		{`,"destination":{"external":"TRUE"}`, func(e *Event) any { return e.Destination.External }, Yes},
		{`,"result":{"untrusted":"perhaps"}`, func(e *Event) any { return e.Result.Untrusted }, Yes},
		{`,"source":{"trusted":true,"trusted":true}`, func(e *Event) any { return e.Source.Trusted }, No},
		{`,"args":{"note":"\udc00","to":"eve@evil.example"}`, func(e *Event) any { return string(e.Args) },
			`{"note":"\ufffd","to":"eve@evil.example"}`},
		{`,"args":"{\"to\":\"eve\\ud800\"}"`, func(e *Event) any { return string(e.Args) }, `{"to":"eve\ufffd"}`},
		{`,"args":["x",NaN]`, func(e *Event) any { return string(e.Args) }, `{"value":["x","NaN"]}`},
		{`,"args":{"a":{},,"b":[01,tru,{"x"},{[1]:2}],"c" 1}`, func(e *Event) any { return string(e.Args) },
			`{"a":{},"b":["01","tru",{"x":null},{"":[1],"2":null}],"c":1}`},
		{`,"message":{"text":{"parts":["a\ud800"]}}`, func(e *Event) any { return string(e.Message.Text) },
			`"{\"parts\":[\"a\\ud800\"]}"`},
		{`,"resource":{"labels":["pii",5,null,"pii"," \ud800",["x"]]}`,
			func(e *Event) any { return strings.Join(e.Resource.Labels, "|") }, "pii|5|\ufffd"},
		{`,"resource":{"labels":["a"],"labels":["b"]}`,
			func(e *Event) any { return strings.Join(e.Resource.Labels, "|") }, "a|b"},
		{`,"resource":{"labels":["a"` + strings.Repeat(`,"b"`, 50) + `,"secret"]}`,
			func(e *Event) any { return strings.Join(e.Resource.Labels, "|") }, "a|b|secret"},
		{`,"result":{"records":"5"}`, func(e *Event) any { return e.Result.Records }, int64(5)},
		{`,"result":{"records":5.5}`, func(e *Event) any { return e.Result.Records }, int64(6)},
		{`,"result":{"records":1e30}`, func(e *Event) any { return e.Result.Records }, int64(1<<63 - 1)},
		{`,"result":{"records":9,"records":2}`, func(e *Event) any { return e.Result.Records }, int64(9)},
		{`,"result":{"records":-1}`, func(e *Event) any { return e.Has&HasRecords != 0 }, false},
		{`,"amount":{"value":"1e3"}`, func(e *Event) any { return e.Amount.Micro }, int64(1e9)},
		{`,"amount":{"value":"+12.3456789"}`, func(e *Event) any { return e.Amount.Micro }, int64(12345679)},
		{`,"amount":{"value":1e300}`, func(e *Event) any { return e.Amount.Micro }, int64(1<<63 - 1)},
		{`,"amount":{"value":"1000"},"amount":{"value":"1"}`, func(e *Event) any { return e.Amount.Micro }, int64(1e9)},
		{`,"amount":{"value":"1000","value":"ten"}`, func(e *Event) any { return e.Amount.Micro }, int64(1e9)},
		{`,"amount":500`, func(e *Event) any { return e.Amount.Micro }, int64(500e6)},
		{`,"amount":{"value":"12x"}`, func(e *Event) any { return [2]any{e.Amount.Micro, e.Has&HasAmount != 0} },
			[2]any{int64(0), false}},
		{`,"approval":{"by":"ann\ud800@fin.example"}`, text(func(e *Event) string { return e.Approval.By }), ""},
		{`,"approval":{"expires":"tomorrow"}`, func(e *Event) any {
			return e.Has&HasExpires != 0 &&
				e.Approval.Expires < 0
		}, true},
		{`,"approval":{"id":"p"},"approval":{"id":"q"}`, func(e *Event) any { return e.Approval }, ApprovalOf{}},
	} {
		e, err := decode(call(c.more))
		if got := c.got(&e); err != nil || got != c.want || e.Unreadable == 0 {
			t.Errorf("%.80s: got %v, %v, marks %v, want %v", c.more, got, err, e.Unreadable.Words(), c.want)
		}
	}
	a, _ := decode(call(`,"session":"` + strings.Repeat("s", 1100) + `a"`))
	b, _ := decode(call(`,"session":"` + strings.Repeat("s", 1100) + `b"`))
	if a.Session == b.Session || len(a.Session) > MaxString {
		t.Error("two long sessions that begin alike are one")
	}
}

func TestWhatNamesAnEventIsStrict(t *testing.T) {
	for more, want := range map[string]string{
		`,"time":1767600000001`: "duplicate_field time", `,"agent":{"id":"b"}`: "duplicate_field agent",
		`,"tenant":"b"`: "duplicate_field tenant", `,"kind":"message"`: "duplicate_field kind",
		`,"tool":{"name":"x"}`:            "duplicate_field tool",
		`,"policy":{"verdict":"perhaps"}`: "unknown_word policy.verdict", `,"policy":"deny"`: "wrong_type policy",
		`,"phase":"\ud800"`:              "bad_utf8 phase",
		`,"approval":{"state":"lapsed"}`: "unknown_word approval.state",
		`,"approval":{"state":5}`:        "wrong_type approval.state", `,"args":{"a":"x`: "not_json args",
		`,"args":{"a":[}`: "not_json args",
		`,"approval":{"state":"granted","state":"revoked"}`: "duplicate_field approval.state",
	} {
		_, err := decode(call(more))
		var fault *DecodeError
		if !errors.As(err, &fault) || fault.Reason+" "+fault.Field != want {
			t.Errorf("%s: got %v, want %s", more, err, want)
		}
	}
	for tool, want := range map[string]string{`{"name":5}`: "wrong_type tool.name",
		`{"name":"\ud800"}`: "bad_utf8 tool.name", `5`: "wrong_type tool",
		`{"name":"a","name":"b"}`: "duplicate_field tool.name", `{}`: "missing_field tool.name"} {
		_, err := decode(strings.Replace(call(""), `{"name":"delete_user"}`, tool, 1))
		var fault *DecodeError
		if !errors.As(err, &fault) || fault.Reason+" "+fault.Field != want {
			t.Errorf("%s: got %v, want %s", tool, err, want)
		}
		if e, err := decode(record(`,"tool":` + tool)); err != nil || e.Unreadable == 0 && tool != "{}" {
			t.Errorf("%s of a message: %v", tool, err)
		}
	}
	if _, err := decode(strings.Replace(record(`,"approval":[]`), `"message"`, `"approval"`, 1)); err == nil {
		t.Error("an approval without one is read")
	}
}

func TestWordsAreReadWithoutCaseAndBlanks(t *testing.T) {
	e, err := decode(`{"time":1767600000000,"kind":" Tool_Call","phase":"RESULT\n","tenant":"acme","agent":{"id":"a"},"tool":{"name":"x","class":"Delete "},
		"result":{"outcome":"OK","effect":"\u00a0WRITE"},"policy":{"verdict":"DENY"},"approval":{"state":"Revoked "},"message":{"role":"User"},"audit":{"action":"Tool_Registered"},
		"resource":{"labels":[" pii "],"visibility":"PUBLIC","environment":" Prod","classification":" Top Secret "},"destination":{"kind":"URL"},
		"amount":{"value":"1","currency":" eur "},"delegation":{"limit":{"value":"1","currency":"jpy"}}}`)
	if err != nil || e.Unreadable != 0 {
		t.Fatal(err, e.Unreadable.Words())
	}
	got := []string{e.Kind.String(), e.Phase.String(), e.Tool.Class.String(), e.Result.Outcome.String(),
		e.Result.Effect.String(), e.Policy.Verdict, e.Approval.State, e.Message.Role, e.Audit.Action,
		e.Resource.Labels[0], e.Resource.Visibility, e.Resource.Environment, e.Resource.Classification,
		e.Destination.Kind, e.Amount.Currency, e.Delegation.Limit.Currency}
	want := []string{"tool_call", "result", "delete", "ok", "write", "deny", "revoked", "user", "tool_registered",
		"pii", "public", "prod", "Top Secret", "url", "EUR", "JPY"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if e, err = decode(call(`,"tool":null,"policy":{"verdict":""},"approval":{"state":""},"amount":{"currency":""}`)); err == nil {
		t.Error("a tool that is null beside one is taken")
	}
	if e, err = decode(call(`,"policy":{"verdict":""},"approval":{"state":""},"amount":{"currency":""}`)); err != nil ||
		e.Unreadable != 0 {
		t.Errorf("empty words are absent: %v %v", err, e.Unreadable.Words())
	}
}

func TestAnEmptyListOfLabelsIsNotAbsent(t *testing.T) {
	for more, present := range map[string]bool{`,"resource":{"labels":[]}`: true, `,"resource":{"labels":[ ]}`: true,
		`,"resource":{"labels":null}`: false, `,"resource":{}`: false} {
		if e, err := decode(record(more)); err != nil || (e.Resource.Labels != nil) != present ||
			len(e.Resource.Labels) != 0 {
			t.Errorf("%s: %#v, %v", more, e.Resource.Labels, err)
		}
	}
}
