package event

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// samples are the lines of testdata/events/sample.jsonl.
func samples(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile("../testdata/events/sample.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

// record is the least event with more members behind it, such as `,"user":"u"`.
func record(more string) string {
	return `{"time":1767600000000,"kind":"message","tenant":"acme","agent":{"id":"a"}` + more + `}`
}

func decode(p string) (Event, error) {
	var d Decoder
	var e Event
	err := d.Decode([]byte(p), &e)
	return e, err
}

// strictly is decode with what was repaired as an error.
func strictly(p string) (Event, error) {
	var d Decoder
	var e Event
	err := d.DecodeStrict([]byte(p), &e)
	return e, err
}

func TestDecodeReadsEveryField(t *testing.T) {
	var d Decoder
	var e Event
	// Values differ, so that a field read into its neighbour's place shows.
	p := `{"v":1,"id":"e1","time":"2026-11-20T14:33:04.812Z","kind":"tool_call","call":"c","phase":"result","tenant":"acme","persona":"p",
	"agent":{"id":"a1","instance":"a2","version":"a3","model":"a4","owner":"a5","tier":3,"charter_hash":"a6","credential":"a7"},
	"user":"u","session":"s","conversation":"co","intent":"in","trace":{"id":"t1","span":"t2","parent":"t3"},
	"delegation":{"id":"d1","parent":"d2","from":"d3","to":"d4","limit":{"value":"2.5","currency":"EUR"}},
	"origin":{"ip":"o1","host":"o2","region":"o3"},
	"tool":{"name":"n","server":"sv","class":"pay","definition_hash":"dh","hash_version":"hv","read_only_hint":true,"open_world_hint":false},
	"args":{ "x" : [1] },"args_digest":"ad","provenance":{"x":"user"},
	"resource":{"type":"r1","id":"r2","tenant":"r3","owner":"r4","labels":["l1","l2"],"classification":"r5","visibility":"r6","environment":"r7"},
	"subject":"su","destination":{"kind":"k1","value":"k2","domain":"k3","external":true},
	"result":{"outcome":"not_found","records":0,"bytes":7,"error":"er","content":[null, "x"],"content_hash":"ch","untrusted":true,"effect":"grant"},
	"amount":{"value":"-0.000001","currency":"CHF"},"cost":{"usd":1.25,"input_tokens":1,"output_tokens":2,"cached_tokens":3},"duration_ms":1.5,
	"policy":{"verdict":"deny","id":"po"},
	"approval":{"id":"p1","state":"revoked","by":"p3","requested_by":"p4","digest":"p5","expires":"1969-12-31T23:59:59.999Z","bypass":false},
	"message":{"role":"m1","text":"a\nb","text_hash":"m2","to":"m3"},"audit":{"action":"u1","target":"u2","before":1,"after":"x"},
	"source":{"name":"so","trusted":false,"seq":9,"sample_rate":0.25},"attrs":{}}`
	want := Event{
		ID: "e1", Time: time.Date(2026, 11, 20, 14, 33, 4, 812e6, time.UTC).UnixMilli(), Kind: ToolCall, Phase: Result,
		Has:  HasRecords | HasBytes | HasAmount | HasCost | HasDuration | HasTier | HasSeq | HasSampleRate | HasLimit | HasExpires | HasTokens,
		Call: "c", Tenant: "acme", Persona: "p",
		Agent: Agent{ID: "a1", Instance: "a2", Version: "a3", Model: "a4", Owner: "a5", CharterHash: "a6",
			Credential: "a7", Tier: 3},
		User: "u", Session: "s", Conversation: "co", Intent: "in", Trace: Trace{"t1", "t2", "t3"},
		Delegation: Delegation{"d1", "d2", "d3", "d4", Amount{2500000, "EUR"}}, Origin: Origin{"o1", "o2", "o3"},
		Tool: Tool{Name: "n", Server: "sv", DefinitionHash: "dh", HashVersion: "hv", Class: Pay, ReadOnlyHint: Yes,
			OpenWorldHint: No},
		Args: []byte(`{ "x" : [1] }`), ArgsDigest: "ad", Provenance: []byte(`{"x":"user"}`),
		Resource: Resource{Type: "r1", ID: "r2", Tenant: "r3", Owner: "r4", Classification: "r5", Visibility: "r6",
			Environment: "r7", Labels: []string{"l1", "l2"}},
		Subject: "su", Destination: Destination{"k1", "k2", "k3", Yes},
		Result: ResultOf{Error: "er", ContentHash: "ch", Content: []byte(`[null, "x"]`), Bytes: 7, Outcome: NotFound,
			Untrusted: Yes, Effect: Grant},
		Amount: Amount{-1, "CHF"}, Cost: Cost{1250000, 1, 2, 3}, DurationMS: 1.5, Policy: Verdict{"deny", "po"},
		Approval: ApprovalOf{"p1", "revoked", "p3", "p4", "p5", -1, No},
		Message:  MessageOf{"m1", "m2", "m3", []byte(`"a\nb"`)}, Audit: AuditOf{"u1", "u2", []byte(`1`), []byte(`"x"`)},
		Source: Source{"so", No, 9, 0.25}, Attrs: []byte(`{}`),
	}
	for _, name := range []string{"into an empty event", "over what was there"} {
		if err := d.Decode([]byte(p), &e); err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Error(name, diff)
		}
	}
	if err := d.Decode([]byte(record("")), &e); err != nil {
		t.Fatal(err)
	}
	want = Event{ID: e.ID, Time: 1767600000000, Kind: Message, Tenant: "acme", Agent: Agent{ID: "a"}}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error("something of the event before is left", diff)
	}
}

func TestDecodeAcceptsTheSamples(t *testing.T) {
	kinds := map[Kind]bool{}
	for i, p := range samples(t) {
		e, err := decode(string(p))
		if err != nil {
			t.Errorf("line %d: %v", i+1, err)
		}
		kinds[e.Kind] = true
	}
	if len(kinds) != int(Session) {
		t.Errorf("samples of %d kinds, want one of each", len(kinds))
	}
}

func TestDecodeAccepts(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"x":[`, n/2) + strings.Repeat("]}", n/2) }
	for name, p := range map[string]string{
		"space around every token": " \t\r\n" + strings.NewReplacer(`{`, "{ \n", `:`, " :\t", `,`,
			"\r,  ", `}`, " } ").Replace(record(`,"amount":{"value":"1"},"attrs":{"a":[],"b":{}}`)) + "\n ",
		"null for every optional field": record(
			`,"v":null,"id":null,"phase":null,"trace":null,"args":null,"amount":{"value":null},"duration_ms":null,"result":{"outcome":null,"bytes":null,"content":null,"untrusted":null},"approval":{"expires":null},"message":{"text":null},"resource":{"labels":null}`),
		"null for a tool that is not needed": record(`,"tool":null`),
		"an empty object in every place": record(
			`,"trace":{},"delegation":{"limit":{}},"origin":{},"tool":{},"args":{},"resource":{},"destination":{},"result":{},"amount":{},"cost":{},"policy":{},"approval":{},"message":{},"audit":{},"source":{},"attrs":{}`),
		"unknown fields at any level": record(
			`,"new":{"a":[true,false,null,-0,1.5E+3,"\u00e9"]},"trace":{"new":[]},"delegation":{"limit":{"new":{}}}`),
		"the same unknown field twice":           record(`,"new":1,"new":2`),
		"names in other case are unknown":        record(`,"ID":5,"Time":{}`),
		"an escaped name is the field":           strings.Replace(record(""), `"kind"`, `"\u006bin\u0064"`, 1),
		"31 levels inside the record":            record(`,"attrs":` + deep(30)),
		"an empty id, which counts as absent":    record(`,"id":""`),
		"a short text of 1024 bytes":             record(`,"user":"` + strings.Repeat("é", 512) + `"`),
		"1024 bytes that were longer in escapes": record(`,"user":"` + strings.Repeat(`\u00e9`, 512) + `"`),
		"a message of any length":                record(`,"message":{"text":"` + strings.Repeat(`\n`, 5000) + `"}`),
		"32 labels": record(`,"resource":{"labels":["a"` + strings.Repeat(`, "a"`, 31) +
			`]}`),
		"a record of exactly 1 MiB":            record("") + strings.Repeat(" ", MaxSize-len(record(""))),
		"a tenant of 64 bytes":                 strings.Replace(record(""), "acme", strings.Repeat("aZ09._-.", 8), 1),
		"DEL in a string":                      record(`,"user":"` + "\x7f" + `"`),
		"the largest integer":                  record(`,"source":{"seq":9223372036854775807}`),
		"zero with a minus":                    record(`,"source":{"seq":-0,"sample_rate":-0.0}`),
		"noncharacters, which are valid UTF-8": record(`,"user":"` + "\uffff\U0010ffff" + `"`),
	} {
		if e, err := strictly(p); err != nil || e.Unreadable != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// refused is one record for each way of being wrong; the schema test uses it too. Where schema is
// true the schema refuses it as well. What is wrong with content is repaired, and these are the
// faults that are noted then.
var refused = []struct {
	name, record, reason, field string
	schema                      bool
}{
	{"nothing", "", notJSON, "", false},
	{"only space", " \n", notJSON, "", false},
	{"an array", "[]", notJSON, "", false},
	{"a byte order mark", "\ufeff" + record(""), notJSON, "", false},
	{"something behind the object", record("") + "x", notJSON, "", false},
	{"a second object", record("") + record(""), notJSON, "", false},
	{"a vertical tab as space", "\v" + record(""), notJSON, "", false},
	{"a comma at the end", record(","), notJSON, "", false},
	{"two commas", record(`,,"user":"u"`), notJSON, "", false},
	{"no comma", record(` "user":"u"`), notJSON, "", false},
	{"a name without quotes", record(`,user:"u"`), notJSON, "", false},
	{"no colon", record(`,"user" "u"`), notJSON, "", false},
	{"no value", record(`,"user":`), notJSON, "user", false},
	{"half a literal", record(`,"new":tru`), notJSON, "", false},
	{"a literal with a tail", record(`,"new":nullx`), notJSON, "", false},
	{"null with a tail in a known field", record(`,"user":nullx`), notJSON, "user", false},
	{"a bracket closed by a brace", record(`,"attrs":{"a":[1}}`), notJSON, "attrs", false},
	{"a comma at the end of an array", record(`,"new":[1,]`), notJSON, "", false},
	{"a comma at the end of an inner object", record(`,"new":{"a":1,}`), notJSON, "", false},
	{"an inner object with a colon missing", record(`,"new":{"a" 1}`), notJSON, "", false},
	{"a leading zero", record(`,"new":01`), notJSON, "", false},
	{"a leading plus", record(`,"new":+1`), notJSON, "", false},
	{"a point without digits", record(`,"duration_ms":1.`), notJSON, "duration_ms", false},
	{"a point without a zero", record(`,"duration_ms":.5`), notJSON, "duration_ms", false},
	{"an exponent without digits", record(`,"new":1e+`), notJSON, "", false},
	{"a minus alone", record(`,"source":{"seq":-}`), notJSON, "source.seq", false},
	{"NaN", record(`,"duration_ms":NaN`), notJSON, "duration_ms", false},
	{"a tab in a string", record(",\"user\":\"a\tb\""), notJSON, "user", false},
	{"a zero byte in a long string", record(",\"user\":\"0123456789\x00\""), notJSON, "user", false},
	{"a line feed in a name", record(",\"us\ner\":1"), notJSON, "", false},
	{"an escape that is none", record(`,"user":"\x41"`), notJSON, "user", false},
	{"an escape of three digits", record(`,"user":"\u00e"`), notJSON, "user", false},
	{"an escape with a sign", record(`,"user":"\u+123"`), notJSON, "user", false},
	{"the second half of a pair cut off", record(`,"user":"\ud83d\u12"`), notJSON, "user", false},

	{"more than 1 MiB", record("") + strings.Repeat(" ", MaxSize), tooLarge, "", false},
	{"33 levels", record(`,"attrs":` + strings.Repeat(`{"a":`, 32) + "1" + strings.Repeat("}", 32)), tooDeep, "attrs",
		false},
	{"args nested to 33", record(`,"args":{"a":` + strings.Repeat(`[`, 32) + strings.Repeat("]", 32) + "}"), tooDeep,
		"args", false},
	{"33 levels in an unknown field", record(`,"new":` + strings.Repeat(`[`, 500000)), tooDeep, "", false},
	{"33 levels in a known object",
		record(`,"result":{"content":` + strings.Repeat(`[`, 31) + strings.Repeat("]", 31) + "}"), tooDeep,
		"result.content", false},

	{"a byte that begins no character", record(",\"user\":\"\xff\""), badUTF8, "user", false},
	{"a long way of writing a slash", record(",\"user\":\"\xc0\xaf\""), badUTF8, "user", false},
	{"a surrogate in UTF-8", record(",\"user\":\"\xed\xa0\x80\""), badUTF8, "user", false},
	{"a character cut by the quote", record(",\"new\":\"abcdefgh\xe2\x82\""), badUTF8, "", false},
	{"Latin-1 in the arguments", record(",\"args\":{\"a\":\"gr\xfc\xdfe\"}"), badUTF8, "args", false},
	{"Latin-1 in a name", record(",\"gr\xfc\xdfe\":1"), badUTF8, "", false},
	{"the first half of a pair alone", record(`,"user":"\ud83d"`), badUTF8, "user", false},
	{"the first half twice", record(`,"user":"\ud83d\ud83d"`), badUTF8, "user", false},
	{"the second half alone", record(`,"args":{"a":"\ude80"}`), badUTF8, "args", false},
	{"a half before text", record(`,"message":{"text":"\ud83dabcdef"}`), badUTF8, "message.text", false},

	{"a number for a text", record(`,"user":5`), wrongType, "user", true},
	{"an object for a text", record(`,"user":{}`), wrongType, "user", true},
	{"a text for an object", record(`,"tool":"t"`), wrongType, "tool", true},
	{"an array for args", record(`,"args":[1]`), wrongType, "args", true},
	{"a text for attrs", record(`,"attrs":"x"`), wrongType, "attrs", true},
	{"an object for a message's text", record(`,"message":{"text":{}}`), wrongType, "message.text", true},
	{"a text for a flag", record(`,"result":{"untrusted":"true"}`), wrongType, "result.untrusted", true},
	{"a number for a flag", record(`,"source":{"trusted":1}`), wrongType, "source.trusted", true},
	{"a text for a count", record(`,"result":{"bytes":"12"}`), wrongType, "result.bytes", true},
	{"a fraction for a count", record(`,"result":{"bytes":1.5}`), wrongType, "result.bytes", true},
	{"a fraction of zero for a count", record(`,"result":{"bytes":1.0}`), wrongType, "result.bytes", false},
	{"an exponent for a count", record(`,"cost":{"input_tokens":1e3}`), wrongType, "cost.input_tokens", false},
	{"a capital exponent for a count", record(`,"cost":{"input_tokens":1E3}`), wrongType, "cost.input_tokens", false},
	{"a text for a duration", record(`,"duration_ms":"5"`), wrongType, "duration_ms", true},
	{"an exponent in an amount", record(`,"amount":{"value":1e2}`), wrongType, "amount.value", false},
	{"an exponent in an amount's text", record(`,"amount":{"value":"1e2"}`), wrongType, "amount.value", true},
	{"words for an amount", record(`,"amount":{"value":"ten"}`), wrongType, "amount.value", true},
	{"nothing for an amount", record(`,"amount":{"value":""}`), wrongType, "amount.value", true},
	{"a thousands separator", record(`,"amount":{"value":"1,000"}`), wrongType, "amount.value", true},
	{"an amount with a leading zero", record(`,"amount":{"value":"01"}`), wrongType, "amount.value", true},
	{"an amount with a leading plus", record(`,"amount":{"value":"+1"}`), wrongType, "amount.value", true},
	{"an amount that ends in its point", record(`,"amount":{"value":"1."}`), wrongType, "amount.value", true},
	{"an amount with two points", record(`,"amount":{"value":"1.2.3"}`), wrongType, "amount.value", true},
	{"an amount with space", record(`,"amount":{"value":" 1"}`), wrongType, "amount.value", true},
	{"a limit that is true", record(`,"delegation":{"limit":{"value":true}}`), wrongType, "delegation.limit.value",
		true},
	{"labels that are a text", record(`,"resource":{"labels":"pii"}`), wrongType, "resource.labels", true},
	{"a label that is null", record(`,"resource":{"labels":["a",null]}`), wrongType, "resource.labels", true},
	{"a time that is true", strings.Replace(record(""), `"time":1767600000000`, `"time":true`, 1), wrongType, "time",
		true},
	{"a time with a fraction", strings.Replace(record(""), `"time":1767600000000`, `"time":1767600000000.5`, 1),
		badTime, "time", true},
	{"a kind that is a number", strings.Replace(record(""), `"message"`, `3`, 1), wrongType, "kind", true},
	{"a version that is a text", record(`,"v":"1"`), wrongType, "v", true},

	{"a negative count", record(`,"result":{"records":-1}`), outOfRange, "result.records", true},
	{"negative tokens", record(`,"cost":{"cached_tokens":-1}`), outOfRange, "cost.cached_tokens", true},
	{"a negative running number", record(`,"source":{"seq":-1}`), outOfRange, "source.seq", true},
	{"a count beyond 63 bits", record(`,"result":{"bytes":9223372036854775808}`), outOfRange, "result.bytes", true},
	{"a count beyond 64 bits", record(`,"result":{"bytes":18446744073709551617}`), outOfRange, "result.bytes", true},
	{"tier 0", strings.Replace(record(""), `{"id":"a"}`, `{"id":"a","tier":0}`, 1), outOfRange, "agent.tier", true},
	{"tier 4", strings.Replace(record(""), `{"id":"a"}`, `{"id":"a","tier":4}`, 1), outOfRange, "agent.tier", true},
	{"a negative duration", record(`,"duration_ms":-0.1`), outOfRange, "duration_ms", true},
	{"an infinite duration", record(`,"duration_ms":1e999`), outOfRange, "duration_ms", false},
	{"a seventh place", record(`,"amount":{"value":"0.0000001"}`), outOfRange, "amount.value", true},
	{"a seventh place in a number", record(`,"cost":{"usd":0.1234567}`), outOfRange, "cost.usd", false},
	{"an amount beyond 64 bits", record(`,"amount":{"value":"9223372036854.775808"}`), outOfRange, "amount.value",
		false},
	{"an amount below 64 bits", record(`,"amount":{"value":"-9223372036854.775809"}`), outOfRange, "amount.value",
		false},
	{"an amount far beyond", record(`,"amount":{"value":"99999999999999999999999999"}`), outOfRange, "amount.value",
		true},
	{"a number of an amount far beyond", record(`,"amount":{"value":99999999999999}`), outOfRange, "amount.value",
		true},

	{"no time", strings.Replace(record(""), `"time":1767600000000,`, ``, 1), missingField, "time", true},
	{"a time of null", strings.Replace(record(""), `"time":1767600000000`, `"time":null`, 1), missingField, "time",
		true},
	{"no kind", strings.Replace(record(""), `"kind":"message",`, ``, 1), missingField, "kind", true},
	{"no tenant", strings.Replace(record(""), `"tenant":"acme",`, ``, 1), missingField, "tenant", true},
	{"no agent", strings.Replace(record(""), `,"agent":{"id":"a"}`, ``, 1), missingField, "agent.id", true},
	{"an agent of null", strings.Replace(record(""), `{"id":"a"}`, `null`, 1), missingField, "agent.id", true},
	{"an agent without id", strings.Replace(record(""), `{"id":"a"}`, `{}`, 1), missingField, "agent.id", true},
	{"an agent with an empty id", strings.Replace(record(""), `"a"`, `""`, 1), missingField, "agent.id", true},
	{"a tool call without tool", strings.Replace(record(""), "message", "tool_call", 1), missingField, "tool.name",
		true},
	{"a tool call without the tool's name", strings.Replace(record(`,"tool":{}`), "message", "tool_call", 1),
		missingField, "tool.name", true},
	{"a tool call with an empty name", strings.Replace(record(`,"tool":{"name":""}`), "message", "tool_call", 1),
		missingField, "tool.name", true},
	{"a tool call with a name of null", strings.Replace(record(`,"tool":{"name":null}`), "message", "tool_call", 1),
		missingField, "tool.name", true},

	{"an unknown kind", strings.Replace(record(""), "message", "massage", 1), unknownWord, "kind", true},
	{"an empty kind", strings.Replace(record(""), "message", "", 1), unknownWord, "kind", true},
	{"an unknown class", record(`,"tool":{"class":"look"}`), unknownWord, "tool.class", true},
	{"an empty class", record(`,"tool":{"class":""}`), unknownWord, "tool.class", true},
	{"an unknown outcome", record(`,"result":{"outcome":"fine"}`), unknownWord, "result.outcome", true},
	{"an unknown effect", record(`,"result":{"effect":"none"}`), unknownWord, "result.effect", true},
	{"an unknown phase", record(`,"phase":"middle"`), unknownWord, "phase", true},
	{"version 2", record(`,"v":2`), unknownVersion, "v", true},
	{"a version beyond 64 bits", record(`,"v":99999999999999999999`), unknownVersion, "v", true},
	{"a negative version", record(`,"v":-1`), unknownVersion, "v", true},
	{"30 February", strings.Replace(record(""), `"time":1767600000000`, `"time":"2024-02-30T00:00:00Z"`, 1), badTime,
		"time", true},
	{"year 10000 in milliseconds", strings.Replace(record(""), `"time":1767600000000`, `"time":253402300800000`, 1),
		badTime, "time", true},
	{"epoch seconds", strings.Replace(record(""), `"time":1767600000000`, `"time":1767600000`, 1), badTime, "time",
		true},
	{"the zero time of Go", strings.Replace(record(""), `"time":1767600000000`, `"time":"0001-01-01T00:00:00Z"`, 1),
		badTime, "time", true},
	{"an expiry in epoch seconds", record(`,"approval":{"expires":1767600000}`), badTime, "approval.expires", true},
	{"an expiry in words", record(`,"approval":{"expires":"tomorrow"}`), badTime, "approval.expires", true},
	{"an empty tenant", strings.Replace(record(""), "acme", "", 1), badTenant, "tenant", true},
	{"a tenant with a bar", strings.Replace(record(""), "acme", "a|b", 1), badTenant, "tenant", true},
	{"a tenant with a line feed", strings.Replace(record(""), "acme", `acme\n`, 1), badTenant, "tenant", true},
	{"a tenant in Greek", strings.Replace(record(""), "acme", "άκμη", 1), badTenant, "tenant", true},
	{"a tenant of 65 bytes", strings.Replace(record(""), "acme", strings.Repeat("a", 65), 1), badTenant, "tenant",
		true},
	{"a field twice", record(`,"user":"u","user":"u"`), duplicateField, "user", false},
	{"a field twice, once as null", record(`,"user":null,"user":"u"`), duplicateField, "user", false},
	{"a field twice, once in escapes", record(`,"user":"u","\u0075ser":"v"`), duplicateField, "user", false},
	{"an object twice", record(`,"agent":{"id":"b"}`), duplicateField, "agent", false},
	{"a field twice in an inner object", record(`,"delegation":{"limit":{"value":"1","value":"2"}}`), duplicateField,
		"delegation.limit.value", false},
	{"a text of 1025 bytes", record(`,"user":"` + strings.Repeat("a", 1025) + `"`), tooLong, "user", true},
	{"a text of 1025 bytes after unescaping", record(`,"user":"\u0061` + strings.Repeat("a", 1024) + `"`), tooLong,
		"user", true},
	{"a text that no unescaping makes short", record(`,"user":"` + strings.Repeat(`\u0061`, 1025) + `"`), tooLong,
		"user", true},
	{"a text of 1026 bytes in 513 characters", record(`,"user":"` + strings.Repeat("é", 513) + `"`), tooLong, "user",
		false},
	{"33 labels", record(`,"resource":{"labels":["a"` + strings.Repeat(`,"a"`, 32) + `]}`), tooLong, "resource.labels",
		true},
	{"a long label", record(`,"resource":{"labels":["` + strings.Repeat(`a`, 1025) + `"]}`), tooLong, "resource.labels",
		true},
}

func TestDecodeRefuses(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range refused {
		_, err := strictly(c.record)
		var fault *DecodeError
		if !errors.As(err, &fault) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.reason)
			continue
		}
		if fault.Reason != c.reason || fault.Field != c.field {
			t.Errorf("%s: got %v, want %s in %q", c.name, err, c.reason, c.field)
		}
		if fault.Offset < 0 || fault.Offset > len(c.record) || fault.Want == "" {
			t.Errorf("%s: incomplete: %+v", c.name, *fault)
		}
		if !slices.Contains(Reasons, fault.Reason) {
			t.Errorf("%s: %s is not in Reasons", c.name, fault.Reason)
		}
		seen[fault.Reason] = true
	}
	for _, r := range Reasons {
		if !seen[r] {
			t.Errorf("no record is refused for %s", r)
		}
	}
}

func TestDecodeErrorNamesPlaceAndNoContent(t *testing.T) {
	_, err := strictly(record(`,"result":{"secret-name":1,"bytes":"secret-value"}`))
	if got, want := err.Error(), "wrong_type in result.bytes at byte 108: expected an integer"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, more := range []string{`,"secret":{"secret":"secret\x"}`, `,"args":{"secret":secret}`, `,"phase":"secret"`,
		`,"secret":secret`, `,"user":"secret` + "\xff\"",
		`,"time":"secret"`, `,"tenant":"secret!"`, `,"trace":{"secret":{"secret":secret}}`} {
		if _, err := strictly(record(more)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", more, err)
		}
	}
}

func TestDecodeMakesWhatIsAbsent(t *testing.T) {
	e, err := decode(record(`,"trace":{"id":"t-1"}`))
	if err != nil || e.Conversation != "t-1" {
		t.Errorf("conversation: got %q, %v, want the trace's id", e.Conversation, err)
	}
	if e, err = decode(record(`,"trace":{"id":"t-1"},"conversation":"c"`)); err != nil || e.Conversation != "c" {
		t.Errorf("conversation: got %q, %v, want its own", e.Conversation, err)
	}

	// The id is on the wire of alerts and in the state of old runs: it must stay what it is.
	if e, _ = decode(record("")); e.ID != "bcd7a11c320b61cc3d5d586b2e0800b4" {
		t.Errorf("id: got %q", e.ID)
	}
	ids := map[string]bool{}
	for _, p := range []string{record(""), record(" "), record(`,"user":"u"`),
		strings.Replace(record(""), `"a"`, `"b"`, 1)} {
		e, err := decode(p)
		again, _ := decode(p)
		if err != nil || len(e.ID) != 32 || ids[e.ID] || e.ID != again.ID {
			t.Errorf("%s: id %q", p, e.ID)
		}
		ids[e.ID] = true
	}
}

func TestDecodeRefusesEveryTruncation(t *testing.T) {
	var d Decoder
	var e Event
	for _, p := range samples(t) {
		for n := range p {
			// With nothing behind it in memory, so that reading on would panic.
			err := d.Decode(bytes.Clone(p[:n]), &e)
			if fault, ok := err.(*DecodeError); !ok || !slices.Contains(Reasons, fault.Reason) {
				t.Fatalf("%s: got %v, want an error", p[:n], err)
			}
		}
	}
}

func TestDecodeKeepsABatchUntilReset(t *testing.T) {
	var d Decoder
	const n = 3000 // more than a block of scratch
	for range 2 {
		events := make([]Event, n)
		for i := range events {
			p := record(
				fmt.Sprintf(`,"user":"\u00fc-%d","session":"s\/%d","resource":{"labels":["\u00e4%d","l%d","x"]}`, i, i,
					i, i))
			if i%3 == 0 {
				// fails with labels taken
				p = record(fmt.Sprintf(`,"user":"\u00fc-%d","session":"s\/%d","resource":{"labels":[true]},"phase":5`,
					i, i))
			}
			if err := d.Decode([]byte(p), &events[i]); (err != nil) != (i%3 == 0) {
				t.Fatal(err)
			}
		}
		ids := map[string]bool{}
		for i, e := range events {
			if i%3 == 0 {
				continue
			}
			ids[e.ID] = true
			want := []string{fmt.Sprintf("ü-%d", i), fmt.Sprintf("s/%d", i), fmt.Sprintf("ä%d", i),
				fmt.Sprintf("l%d", i), "x"}
			if got := append([]string{e.User, e.Session}, e.Resource.Labels...); !slices.Equal(got, want) {
				t.Fatalf("event %d: got %q, want %q", i, got, want)
			}
			if cap(e.Resource.Labels) != 3 {
				t.Fatal("appending to the labels of one event would reach another's")
			}
		}
		if len(ids) != n-n/3 {
			t.Errorf("%d ids, want %d", len(ids), n-n/3)
		}
		d.Reset()
	}
}

func TestResetLetsGoOfAnOddBatch(t *testing.T) {
	var d Decoder
	var e Event
	p := []byte(record(`,"intent":"` + strings.Repeat(`\n`, 1000) + `"`))
	for range 2000 {
		if err := d.Decode(p, &e); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.text.blocks) <= keptBlocks {
		t.Fatal("the batch was not odd enough")
	}
	d.Reset()
	if len(d.text.blocks) > keptBlocks {
		t.Errorf("%d blocks kept", len(d.text.blocks))
	}
	if err := d.Decode(p, &e); err != nil || e.Intent != strings.Repeat("\n", 1000) {
		t.Error(err)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for name, records := range map[string][][]byte{"samples": samples(t), "plain": stream(50, false),
		"escapes": stream(50, true)} {
		var d Decoder
		events := make([]Event, len(records))
		allocs := testing.AllocsPerRun(100, func() {
			d.Reset()
			for i, p := range records {
				if err := d.Decode(p, &events[i]); err != nil {
					t.Fatal(err)
				}
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a batch", name, allocs)
		}
	}
	key := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { key = AppendKey(key[:0], "acme", "a|b%c") }); n != 0 {
		t.Errorf("AppendKey: %v allocations", n)
	}
}

// leaves calls f for each field of a struct that is not a struct itself.
func leaves(path string, v reflect.Value, f func(string, reflect.Value)) {
	for i := range v.NumField() {
		name := path + "." + v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Struct {
			leaves(name, v.Field(i), f)
		} else {
			f(name, v.Field(i))
		}
	}
}
