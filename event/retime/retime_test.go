package retime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/retime"
)

func TestNothingButTimesChanges(t *testing.T) {
	again := retime.Schedule{Start: time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC), First: 1767600000005, Speed: 1}
	for _, x := range [][2]string{
		{`{"time":1767600000005,"args":{"time":5, "amount" : 1.50}, "attrs":{"x":"<&>\u00e9"}}`,
			`{"time":"2026-01-05T08:00:00.000Z","args":{"time":5, "amount" : 1.50}, "attrs":{"x":"<&>\u00e9"}}`},
		{`{ "approval" : { "expires": 1767600001005 ,"id":"x" } , "time" : 1767600000006 }`,
			`{ "approval" : { "expires": "2026-01-05T08:00:01.000Z" ,"id":"x" } , "time" : "2026-01-05T08:00:00.001Z" }`},
		{`{"args":{},"\u0074ime":"2026-01-05T08:00:00.004Z"}`, `{"args":{},"\u0074ime":"2026-01-05T07:59:59.999Z"}`},
	} {
		line := strings.Replace(x[0], "{", `{"kind":"tool_call","tenant":"a","agent":{"id":"b"},"tool":{"name":"c"},`,
			1)
		want := strings.Replace(x[1], "{", `{"kind":"tool_call","tenant":"a","agent":{"id":"b"},"tool":{"name":"c"},`,
			1)
		var e event.Event
		if err := (&event.Decoder{}).Decode([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if got := again.Record([]byte(line), &e); string(got) != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	far := retime.Schedule{Start: time.Now(), First: 0, Speed: 1e-6}
	if got := far.At(1 << 62); got.Before(time.Now()) {
		t.Errorf("what is far away comes at %v", got)
	}
}
