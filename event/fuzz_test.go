package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// reference is a second decoder, slow and from other parts (encoding/json, regexp, math/big, time
// and the table of fields), to judge the first. encoding/json by itself is too kind: it replaces
// bytes that are not UTF-8, ignores case in names and takes the last of two.
func reference(p []byte) (Event, error) {
	switch {
	case len(p) > MaxSize:
		return Event{}, errors.New("size")
	case !utf8.Valid(p):
		return Event{}, errors.New("UTF-8")
	case !json.Valid(p):
		return Event{}, errors.New("JSON")
	case halfPair(string(p)):
		return Event{}, errors.New("half a surrogate pair")
	case depth(p) > MaxDepth:
		return Event{}, errors.New("depth")
	}
	e := new(Event)
	r := referee{e, slots(e), map[string]bool{}}
	if err := r.object("", p); err != nil {
		return Event{}, err
	}
	if !r.given["time"] || e.Kind == 0 || e.Tenant == "" || e.Agent.ID == "" || e.Kind == ToolCall &&
		e.Tool.Name == "" {
		return Event{}, errors.New("missing")
	}
	if e.Conversation == "" {
		e.Conversation = e.Trace.ID
	}
	for _, name := range []string{"persona", "user", "agent.owner", "agent.credential", "approval.by",
		"approval.requested_by", "resource.owner"} {
		if s := r.slots[name].(*string); *s != "" {
			*s = Identity(*s)
		}
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("%016x%016x", xxhash.Sum64String("wayward.event"+string(p)+e.Agent.ID),
			xxhash.Sum64String("id"+string(p)+e.Agent.ID))
	}
	return *e, nil
}

type referee struct {
	e     *Event
	slots map[string]any
	given map[string]bool
}

func (r *referee) object(group string, p []byte) error {
	dec := json.NewDecoder(bytes.NewReader(p))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%s: no object", group)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		path := group + name.(string)
		i := slices.IndexFunc(fields, func(f field) bool {
			return f.path == path &&
				!strings.Contains(name.(string), ".")
		})
		if i < 0 {
			continue
		}
		if _, twice := r.given[path]; twice {
			return fmt.Errorf("%s: twice", path)
		}
		r.given[path] = string(value) != "null"
		if !r.given[path] {
			continue
		}
		if err := r.value(fields[i], value); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		r.e.Has |= flags[path]
	}
	return nil
}

var (
	integerForm  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	numberForm   = regexp.MustCompile(`^-?[0-9]`)
	decimalForm  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	timeForm     = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	currencyForm = regexp.MustCompile(`\A[A-Z]{3}\z`)
	tenantForm   = regexp.MustCompile(`\A[A-Za-z0-9._-]{1,64}\z`)
)

func (r *referee) value(f field, p []byte) error {
	text := func(p []byte, s *string) error {
		if err := json.Unmarshal(p, s); err != nil || p[0] != '"' {
			return errors.New("no string")
		}
		if len(*s) > MaxString {
			return errors.New("too long")
		}
		return nil
	}
	integer := func(low, high int64, n *int64) (err error) {
		if !integerForm.Match(p) {
			return errors.New("no integer")
		}
		if *n, err = strconv.ParseInt(string(p), 10, 64); err == nil && (*n < low || *n > high) {
			err = errors.New("range")
		}
		return err
	}
	slot := r.slots[f.path]
	switch f.shape {
	case aGroup:
		return r.object(f.path+".", p)
	case aText, anIdentity, aName:
		return text(p, slot.(*string))
	case aTerm:
		s := slot.(*string)
		if err := text(p, s); err != nil {
			return err
		}
		*s = trimmed(*s)
		if i := slices.IndexFunc(f.words, func(w string) bool { return strings.EqualFold(w, *s) }); i > 0 {
			*s = f.words[i]
		}
	case aCurrency:
		s := slot.(*string)
		if err := text(p, s); err != nil || *s == "" {
			return err
		}
		if *s = strings.ToUpper(trimmed(*s)); !currencyForm.MatchString(*s) {
			return errors.New("no currency")
		}
	case aTenant:
		s := slot.(*string)
		if err := text(p, s); err != nil || !tenantForm.MatchString(*s) {
			return errors.New("no tenant")
		}
	case anObject, aProse, aValue:
		if f.shape == anObject && p[0] != '{' || f.shape == aProse && p[0] != '"' {
			return errors.New("type")
		}
		*slot.(*[]byte) = p
	case aList:
		list := slot.(*[]string)
		var items []json.RawMessage
		if err := json.Unmarshal(p, &items); err != nil {
			return err
		}
		if len(items) > MaxLabels {
			return errors.New("too many")
		}
		for _, item := range items {
			var s string
			if err := text(item, &s); err != nil {
				return err
			}
			*list = append(*list, trimmed(s))
		}
	case aWord:
		var s string
		if err := text(p, &s); err != nil {
			return err
		}
		if w, ok := slot.(*string); ok && s == "" {
			*w = ""
			return nil
		}
		i := slices.IndexFunc(f.words, func(w string) bool { return strings.EqualFold(w, trimmed(s)) })
		if i < 1 {
			return errors.New("unknown word")
		}
		switch w := slot.(type) {
		case *string:
			*w = f.words[i]
		case *Kind:
			*w = Kind(i)
		case *Phase:
			*w = Phase(i)
		case *Class:
			*w = Class(i)
		case *Outcome:
			*w = Outcome(i)
		}
	case aVersion:
		var n int64
		return integer(1, 1, &n)
	case aTier:
		return integer(1, 3, slot.(*int64))
	case aCount:
		return integer(0, math.MaxInt64, slot.(*int64))
	case aMeasure:
		if !numberForm.Match(p) {
			return errors.New("no number")
		}
		v, err := strconv.ParseFloat(string(p), 64)
		if err != nil || v < 0 {
			return errors.New("range")
		}
		*slot.(*float64) = v + 0 // -0 + 0 is 0
	case aDecimal:
		s := string(p)
		if p[0] == '"' {
			if err := text(p, &s); err != nil {
				return err
			}
		}
		if !decimalForm.MatchString(s) {
			return errors.New("no decimal")
		}
		v, ok := new(big.Rat).SetString(s)
		if !ok {
			return errors.New("no decimal")
		}
		if v.Mul(v, big.NewRat(1e6, 1)); !v.IsInt() || !v.Num().IsInt64() {
			return errors.New("range")
		}
		*slot.(*int64) = v.Num().Int64()
	case aTime:
		ms := slot.(*int64)
		if p[0] != '"' {
			return integer(firstMillis, lastTime, ms)
		}
		var s string
		if err := text(p, &s); err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339, strings.ToUpper(s))
		if err != nil || !timeForm.MatchString(s) || at.UnixMilli() < firstDate || at.UnixMilli() > lastTime ||
			f.path == "time" && at.UnixMilli() < firstTime || strings.HasPrefix(s, "0000") {
			return errors.New("time")
		}
		*ms = at.UnixMilli()
	case aFlag:
		switch string(p) {
		case "true":
			*slot.(*Tri) = Yes
		case "false":
			*slot.(*Tri) = No
		default:
			return errors.New("no flag")
		}
	default:
		return errors.New("a shape that the reference does not know")
	}
	return nil
}

// trimmed is a text without what nobody sees around it.
func trimmed(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return r != utf8.RuneError && (unicode.IsSpace(r) || unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r))
	})
}

// halfPair tells whether a valid JSON text escapes half a surrogate pair.
func halfPair(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		i++
		if s[i] != 'u' {
			continue
		}
		r, _ := strconv.ParseUint(s[i+1:i+5], 16, 16)
		i += 4
		if r >= 0xdc00 && r <= 0xdfff {
			return true
		}
		if r >= 0xd800 && r <= 0xdbff {
			if !strings.HasPrefix(s[i+1:], `\u`) {
				return true
			}
			low, err := strconv.ParseUint(s[i+3:i+7], 16, 16)
			if err != nil || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 6
		}
	}
	return false
}

// depth is the deepest nesting of a valid JSON text.
func depth(p []byte) (deepest int) {
	dec := json.NewDecoder(bytes.NewReader(p))
	for level := 0; ; deepest = max(deepest, level) {
		t, err := dec.Token()
		if err == io.EOF || err != nil {
			return deepest
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			level++
		case json.Delim('}'), json.Delim(']'):
			level--
		}
	}
}

var flags = map[string]Has{
	"agent.tier": HasTier, "delegation.limit.value": HasLimit, "result.records": HasRecords, "result.bytes": HasBytes,
	"amount.value": HasAmount,
	"cost.usd":     HasCost, "cost.input_tokens": HasTokens, "cost.output_tokens": HasTokens,
	"cost.cached_tokens": HasTokens,
	"duration_ms":        HasDuration, "approval.expires": HasExpires, "source.seq": HasSeq,
	"source.sample_rate": HasSampleRate,
}

// slots says which part of e each field fills.
func slots(e *Event) map[string]any {
	return map[string]any{
		"id": &e.ID, "time": &e.Time, "kind": &e.Kind, "call": &e.Call, "phase": &e.Phase, "tenant": &e.Tenant,
		"persona":  &e.Persona,
		"agent.id": &e.Agent.ID, "agent.instance": &e.Agent.Instance, "agent.version": &e.Agent.Version,
		"agent.model": &e.Agent.Model,
		"agent.owner": &e.Agent.Owner, "agent.tier": &e.Agent.Tier, "agent.charter_hash": &e.Agent.CharterHash,
		"agent.credential": &e.Agent.Credential,
		"user":             &e.User, "session": &e.Session, "conversation": &e.Conversation, "intent": &e.Intent,
		"trace.id": &e.Trace.ID, "trace.span": &e.Trace.Span, "trace.parent": &e.Trace.Parent,
		"delegation.id": &e.Delegation.ID, "delegation.parent": &e.Delegation.Parent,
		"delegation.from": &e.Delegation.From, "delegation.to": &e.Delegation.To,
		"delegation.limit.value": &e.Delegation.Limit.Micro, "delegation.limit.currency": &e.Delegation.Limit.Currency,
		"origin.ip": &e.Origin.IP, "origin.host": &e.Origin.Host, "origin.region": &e.Origin.Region,
		"tool.name": &e.Tool.Name, "tool.server": &e.Tool.Server, "tool.class": &e.Tool.Class,
		"tool.definition_hash": &e.Tool.DefinitionHash,
		"tool.hash_version":    &e.Tool.HashVersion, "tool.read_only_hint": &e.Tool.ReadOnlyHint,
		"tool.open_world_hint": &e.Tool.OpenWorldHint,
		"args":                 &e.Args, "args_digest": &e.ArgsDigest, "provenance": &e.Provenance,
		"resource.type": &e.Resource.Type, "resource.id": &e.Resource.ID, "resource.tenant": &e.Resource.Tenant,
		"resource.owner":  &e.Resource.Owner,
		"resource.labels": &e.Resource.Labels, "resource.classification": &e.Resource.Classification,
		"resource.visibility":  &e.Resource.Visibility,
		"resource.environment": &e.Resource.Environment, "subject": &e.Subject,
		"destination.kind": &e.Destination.Kind, "destination.value": &e.Destination.Value,
		"destination.domain":   &e.Destination.Domain,
		"destination.external": &e.Destination.External,
		"result.outcome":       &e.Result.Outcome, "result.records": &e.Result.Records, "result.bytes": &e.Result.Bytes,
		"result.error":   &e.Result.Error,
		"result.content": &e.Result.Content, "result.content_hash": &e.Result.ContentHash,
		"result.untrusted": &e.Result.Untrusted, "result.effect": &e.Result.Effect,
		"amount.value": &e.Amount.Micro, "amount.currency": &e.Amount.Currency,
		"cost.usd": &e.Cost.MicroUSD, "cost.input_tokens": &e.Cost.InputTokens,
		"cost.output_tokens": &e.Cost.OutputTokens, "cost.cached_tokens": &e.Cost.CachedTokens,
		"duration_ms": &e.DurationMS, "policy.verdict": &e.Policy.Verdict, "policy.id": &e.Policy.ID,
		"approval.id": &e.Approval.ID, "approval.state": &e.Approval.State, "approval.by": &e.Approval.By,
		"approval.requested_by": &e.Approval.RequestedBy,
		"approval.digest":       &e.Approval.Digest, "approval.expires": &e.Approval.Expires,
		"approval.bypass": &e.Approval.Bypass,
		"message.role":    &e.Message.Role, "message.text": &e.Message.Text, "message.text_hash": &e.Message.TextHash,
		"message.to":   &e.Message.To,
		"audit.action": &e.Audit.Action, "audit.target": &e.Audit.Target, "audit.before": &e.Audit.Before,
		"audit.after": &e.Audit.After,
		"source.name": &e.Source.Name, "source.trusted": &e.Source.Trusted, "source.seq": &e.Source.Seq,
		"source.sample_rate": &e.Source.SampleRate,
		"attrs":              &e.Attrs,
	}
}

// judge fails if the decoder and the reference differ on p in verdict or in any field.
func judge(t *testing.T, p []byte) {
	t.Helper()
	var d Decoder
	var got Event
	before := bytes.Clone(p)
	err := d.Decode(p, &got)
	if !bytes.Equal(p, before) {
		t.Fatalf("%q: the record was changed", before)
	}
	want, judged := reference(p)
	if whole := err == nil && got.Unreadable == 0; whole != (judged == nil) ||
		whole != (err == nil && d.Repaired() == nil) {
		t.Fatalf("%q: Decode says %v, unreadable %v (%v), the reference %v", p, err, got.Unreadable.Words(),
			d.Repaired(),
			judged)
	}
	if err == nil {
		err = d.Repaired()
		sound(t, p, &got)
	}
	if err != nil {
		var fault *DecodeError
		if !errors.As(err, &fault) || !slices.Contains(Reasons, fault.Reason) || fault.Offset < 0 ||
			fault.Offset > len(p) ||
			fault.Field != "" && !slices.ContainsFunc(fields, func(f field) bool { return f.path == fault.Field }) {
			t.Fatalf("%q: a fault with wrong parts: %#v", p, err)
		}
		return
	}
	if len(got.Resource.Labels) == 0 {
		got.Resource.Labels = nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q: reference against Decode\n%s", p, diff)
	}
}

// sound fails if an event holds what no reader further in is made for, whatever stood in the
// record.
func sound(t *testing.T, p []byte, e *Event) {
	t.Helper()
	if e.Unreadable >= unreadableEnd {
		t.Fatalf("%q: a bit of Unreadable has no word", p)
	}
	for path, slot := range slots(e) {
		switch v := slot.(type) {
		case *string:
			if len(*v) > MaxString || !utf8.ValidString(*v) {
				t.Fatalf("%q: %s is %q", p, path, *v)
			}
		case *[]string:
			if len(*v) > manyLabels+MaxLabels {
				t.Fatalf("%q: %d labels", p, len(*v))
			}
			for _, l := range *v {
				if len(l) > MaxString || !utf8.ValidString(l) {
					t.Fatalf("%q: %s has %q", p, path, l)
				}
			}
		case *[]byte:
			if *v != nil && (!json.Valid(*v) || !utf8.Valid(*v) || halfPair(string(*v)) || depth(*v) >= MaxDepth) {
				t.Fatalf("%q: %s is %q", p, path, *v)
			}
			if object := path == "args" || path == "attrs" || path == "provenance"; *v != nil &&
				(object && (*v)[0] != '{' || path == "message.text" && (*v)[0] != '"') {
				t.Fatalf("%q: %s is %q", p, path, *v)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, p := range samples(f) {
		f.Add(p)
	}
	for _, c := range refused {
		if len(c.record) < 4096 {
			f.Add([]byte(c.record))
		}
	}
	for _, p := range append(stream(2, false), stream(2, true)...) {
		f.Add(p)
	}
	f.Add([]byte(full()))
	f.Fuzz(judge)
}

// FuzzDecodeField puts the fuzzer's bytes where a value is due, which it would rarely hit by
// itself.
func FuzzDecodeField(f *testing.F) {
	for i, field := range fields {
		f.Add(uint8(i), field.example())
	}
	for _, value := range []string{`"2024-02-29T23:59:59.9999+01:30"`, `-0.10`, `"9223372036854.775807"`, `1e-5`,
		`0.30000000000000004`, `9223372036854775807`,
		`["a","\ud83d\ude80"]`, `{"a":[{},[],null]}`, `"\u0000é"`, `1,"user":"u"`, `null`, `"result"`,
		`{"limit":{"value":"1"}}`} {
		for i := range fields {
			f.Add(uint8(i), value)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, value string) {
		judge(t, []byte(with(fields[int(i)%len(fields)].path, value)))
	})
}

func FuzzUnquote(f *testing.F) {
	for _, s := range []string{`""`, `"a"`, `"\ud83d\ude80é\n\/"`, `"\ud83d"`, `"01234567\u00e9"`, `"日本語"`, "\"\xff\"",
		`"\"`, ` "a"`, `null`, "\"a\tb\""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, ok := jsonscan.Unquote([]byte("x"), raw)
		var want string
		valid := len(raw) > 1 && raw[0] == '"' && raw[len(raw)-1] == '"' && utf8.Valid(raw) &&
			json.Unmarshal(raw, &want) == nil && !halfPair(string(raw))
		if ok != valid || string(got) != "x"+want && ok || !ok && string(got) != "x" {
			t.Fatalf("%q: got %q, %v, want %q, %v", raw, got, ok, want, valid)
		}
	})
}

// FuzzContent puts the fuzzer's bytes, inside quotes or as a value, where an agent chooses what
// stands: the event must still be read, and name what it named.
func FuzzContent(f *testing.F) {
	for i := range content {
		for _, value := range []string{`"\ud800"`, "\"\xff\"", "\"a\x00b\"", `5`, `NaN`, `{"a":[1}`, `[[[]]]`,
			`"` + strings.Repeat("é", 700) + `"`, `{"a":1,"a":`, `{"a" 1,,}`, `1e400`, `"a":1`, `["a",null,5]`, `-1`,
			`"\`, `"true"`} {
			f.Add(uint8(i), value)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, value string) {
		path := content[int(i)%len(content)]
		var d Decoder
		if end := d.brackets.EndOfValue([]byte(value), 0); end != len(value) {
			// it is no one value: then it is a text
			value = strings.NewReplacer(`"`, `'`, `\`, `/`).Replace(value)
			value = `"` + value + `"`
		}
		p := []byte(strings.Replace(with(path, value), `"message"`, `"tool_call","tool":{"name":"delete_user"}`, 1))
		if path == "tool.server" || path == "tool.class" {
			p = []byte(strings.Replace(with(path, value), `"tool":{`, `"tool":{"name":"delete_user",`, 1))
			p = bytes.Replace(p, []byte(`"message"`), []byte(`"tool_call"`), 1)
		}
		judge(t, p)
		var e Event
		if err := d.Decode(p, &e); err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if e.Time != 1767600000000 || e.Kind != ToolCall || e.Tenant != "acme" || e.Agent.ID != "a" ||
			e.Tool.Name != "delete_user" {
			t.Fatalf("%q: names %d %v %s %s %s", p, e.Time, e.Kind, e.Tenant, e.Agent.ID, e.Tool.Name)
		}
	})
}

// content are the fields that do not name an event and on whose words nothing hangs.
var content = func() (out []string) {
	for path := range repairs {
		if !strings.HasPrefix(path, "tool") || path == "tool.server" || path == "tool.class" {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return append(out, "unknown")
}()
