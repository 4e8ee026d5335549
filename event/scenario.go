package event

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ScenarioEvent is one event of a scenario: a test of rules or of the whole engine that lists
// events by the time since its start.
type ScenarioEvent struct {
	At     time.Duration // since the start
	Record []byte        // wayward.event/v1
}

const maxScenario = 100_000

// ParseScenario makes the events of a scenario, sorted by time. all is a JSON object with the
// fields that every event begins with, events a JSON array of objects that are merged over it,
// field by field. Besides the fields of an event an object may have: at, the time since the start,
// such as 90s or 2d3h; every and times, which make several events of one, with {n} in a text for
// the number of each. Without them kind is tool_call, tenant acme, and id e1, e2 or, of several,
// e2.3. A field that no event has is an error.
func ParseScenario(all, events json.RawMessage, start time.Time) ([]ScenarioEvent, error) {
	var base map[string]any
	if len(all) > 0 {
		if err := decodeNumbers(all, &base); err != nil {
			return nil, fmt.Errorf("all: %w; write it as the fields of an event", err)
		}
	}
	var list []map[string]any
	if err := decodeNumbers(events, &list); err != nil {
		return nil, fmt.Errorf("events: %w; begin each with -", err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no events; add some, each with at: and what the event says")
	}
	var schema map[string]any
	if err := json.Unmarshal(SchemaOf("event"), &schema); err != nil {
		return nil, err
	}
	var out []ScenarioEvent
	for i, e := range list {
		fail := func(format string, args ...any) ([]ScenarioEvent, error) {
			return nil, fmt.Errorf("event %d: %s", i+1, fmt.Sprintf(format, args...))
		}
		at, every, times := e["at"], e["every"], 1
		if n, given := e["times"]; given {
			var err error
			if times, err = strconv.Atoi(fmt.Sprint(n)); err != nil || times < 2 || every == nil {
				return fail("times: %v needs a number from 2 and every", n)
			}
		}
		delete(e, "at")
		delete(e, "every")
		delete(e, "times")
		first, err1 := span(at)
		step, err2 := span(cmp.Or(every, any("0s")))
		if err1 != nil || err2 != nil {
			return fail("at: %v, every: %v are no durations; write 90s or 2d3h", at, every)
		}
		if len(out)+times > maxScenario {
			return fail("more than %d events in all; tell a shorter story", maxScenario)
		}
		for n := 1; n <= times; n++ {
			x := merged(map[string]any{"kind": "tool_call", "tenant": "acme", "id": fmt.Sprint("e", i+1)}, base)
			if times > 1 {
				x["id"] = fmt.Sprint("e", i+1, ".", n)
			}
			x = merged(x, e)
			when := first + time.Duration(n-1)*step
			x["time"] = start.Add(when).Format(time.RFC3339Nano)
			if path := unknownField(x, schema); path != "" {
				return fail("an event has no %s; see docs/event.schema.json", path)
			}
			line, err := json.Marshal(numbered(x, n))
			if err != nil {
				return fail("%v", err)
			}
			out = append(out, ScenarioEvent{when, line})
		}
	}
	slices.SortStableFunc(out, func(a, b ScenarioEvent) int { return cmp.Compare(a.At, b.At) })
	return out, nil
}

// decodeNumbers reads JSON with numbers as they are written.
func decodeNumbers(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}

// span reads a duration, with days before it.
func span(v any) (time.Duration, error) {
	s := fmt.Sprint(v)
	days := 0
	if before, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(before)
		if err != nil || after == "" {
			return time.Duration(n) * 24 * time.Hour, err
		}
		days, s = n, after
	}
	d, err := time.ParseDuration(s)
	return time.Duration(days)*24*time.Hour + d, err
}

// merged is a with the fields of b over it, object by object.
func merged(a, b map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, a)
	for k, v := range b {
		if m, ok := v.(map[string]any); ok {
			was, _ := out[k].(map[string]any)
			v = merged(was, m)
		}
		out[k] = v
	}
	return out
}

// numbered puts n in place of {n} in every text.
func numbered(v any, n int) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "{n}", strconv.Itoa(n))
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = numbered(x, n)
		}
		return out
	case []any:
		var out []any
		for _, x := range v {
			out = append(out, numbered(x, n))
		}
		return out
	}
	return v
}

// unknownField is the path of a field that the schema does not have; the decoder would pass it
// over.
func unknownField(v map[string]any, schema map[string]any) string {
	fields, _ := schema["properties"].(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(v)) {
		of, known := fields[k].(map[string]any)
		if len(fields) > 0 && !known {
			return k
		}
		if m, ok := v[k].(map[string]any); ok {
			if path := unknownField(m, of); path != "" {
				return k + "." + path
			}
		}
	}
	return ""
}
