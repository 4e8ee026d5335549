package pipeline

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// Money without a currency is below every limit in one: that is told, whatever the limit's scope.
func TestALimitTellsWhatItCannotMeasure(t *testing.T) {
	set := setOf(t, `{"v":1,"limits":[{"id":"by-call","scope":"call","measure":"amount","currency":"EUR","max":"10"},
{"id":"by-agent","scope":"agent","measure":"amount","currency":"EUR","max":"10","warn":"80%","window":"1h"},{"id":"by-session","scope":"session","measure":"amount","currency":"USD","max":"10"},
{"id":"by-user","scope":"user","measure":"amount","currency":"EUR","max":"10","window":"1d","kind":"calendar"},{"id":"by-payee","scope":"beneficiary","measure":"amount","currency":"EUR","max":"10","window":"1h"},
{"id":"of-others","scope":"agent","measure":"amount","currency":"EUR","max":"10","window":"1h","where":{"tools":["other"]}},
{"id":"counted","scope":"agent","measure":"count","max":"100","window":"1h"},{"id":"rows","scope":"agent","measure":"records","max":"100","window":"1h"}]}`)
	money := map[string]int64{"by-call": 1, "by-agent": 1, "by-session": 1, "by-user": 1, "by-payee": 1}
	for name, c := range map[string]struct {
		says string
		want map[string]int64
	}{
		"no currency":                {`"amount":{"value":"5"}`, money},
		"an empty one":               {`"amount":{"value":"5","currency":""}`, money},
		"none that is null":          {`"amount":{"value":"5","currency":null}`, money},
		"one that is none":           {`"amount":{"value":"5","currency":"euros"}`, money},
		"an amount that is none":     {`"amount":{"value":"much","currency":"EUR"}`, money},
		"blanks around it":           {`"amount":{"value":"5","currency":" eur "}`, nil},
		"another currency":           {`"amount":{"value":"5","currency":"CHF"}`, nil},
		"no money":                   {`"result":{"records":5}`, nil},
		"a number that is none":      {`"result":{"records":"many"}`, map[string]int64{"rows": 1}},
		"an attempt is not measured": {`"phase":"attempt","amount":{"value":"5"}`, nil},
	} {
		line := fmt.Sprintf(
			`{"time":%d,"kind":"tool_call","tenant":"t","agent":{"id":"a"},"user":"u","session":"s","tool":{"name":"pay"},"destination":{"kind":"iban","value":"DE1"},%s}`+
				"\n", int64(day0), c.says)
		path := write(t, "events.jsonl", []byte(line))
		if got := replayFile(t, path, set, 1, 0, true).sum; got.Events != 1 || !maps.Equal(got.Unmeasured, c.want) {
			t.Errorf("%s: %d events, %v, want %v", name, got.Events, got.Unmeasured, c.want)
		}
	}
}

// What could not be read is told with whatever else is found of the event.
func TestAFindingNamesWhatCouldNotBeRead(t *testing.T) {
	path := write(t, "events.jsonl",
		fmt.Appendf(nil,
			`{"time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":"a"},"persona":"clerk","tool":{"name":"rm"},"args":{"q":"\ud800"},"result":{"error":7}}`+
				"\n", int64(day0)))
	src, err := history.OpenLines(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	n := 0
	r := Replay{Policy: setOf(t, `{"v":1,"personas":[{"name":"clerk","default":"allow","tools":{"deny":["rm"]}}]}`),
		Workers: 1, Flush: true, Deliver: func(f *event.Finding) error {
			if n++; f.Unreadable != "args, result.error" ||
				!strings.HasSuffix(f.Why, "; of the event could not be read: args, result.error") {
				t.Errorf("%s: %q, %q", f.Rule, f.Unreadable, f.Why)
			}
			return nil
		}}
	if _, err := r.Run(t.Context(), src); err != nil || n == 0 {
		t.Errorf("%d findings, %v", n, err)
	}
}
