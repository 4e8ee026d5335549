package policy

import (
	"testing"
	"time"
)

func TestHoursFollowTheClockOnTheWall(t *testing.T) {
	week := `[{days: [mon, tue, wed, thu, fri], from: "08:00", to: "18:00"}]`
	night := `[{days: [fri], from: "22:00", to: "06:00"}, {days: [sun], from: "23:00", to: "24:00"}]`
	early := `[{from: "02:00", to: "03:00"}]`
	for _, c := range []struct {
		claim, zone, hours, at string
		open                   bool
	}{
		{"the first minute counts", "UTC", week, "2026-01-05T08:00:00Z", true},
		{"the last does", "UTC", week, "2026-01-05T17:59:59.999Z", true},
		{"the end does not", "UTC", week, "2026-01-05T18:00:00Z", false},
		{"nor does Saturday", "UTC", week, "2026-01-10T12:00:00Z", false},
		{"nor does Sunday", "UTC", week, "2026-01-11T12:00:00Z", false},
		{"before 1970 there were weeks too", "UTC", week, "1969-12-29T08:00:00Z", true},
		{"a Monday in Kolkata begins half an hour off", "Asia/Kolkata", week, "2026-01-05T02:30:00Z", true},
		{"and not before", "Asia/Kolkata", week, "2026-01-05T02:29:59Z", false},
		{"Berlin in winter", "Europe/Berlin", week, "2026-03-27T07:00:00Z", true},
		{"is not Berlin in summer", "Europe/Berlin", week, "2026-03-30T06:00:00Z", true},
		{"where seven in UTC is nine", "Europe/Berlin", week, "2026-03-30T16:00:00Z", false},
		{"and back in autumn", "Europe/Berlin", week, "2026-10-26T06:30:00Z", false},
		{"New York", "America/New_York", week, "2026-03-06T12:59:59Z", false},
		{"an hour earlier after the second Sunday of March", "America/New_York", week, "2026-03-09T12:00:00Z", true},
		{"Lord Howe in summer is eleven hours ahead", "Australia/Lord_Howe", week, "2026-01-04T21:00:00Z", true},
		{"and in winter ten and a half", "Australia/Lord_Howe", week, "2026-07-05T21:29:59Z", false},
		{"to the minute", "Australia/Lord_Howe", week, "2026-07-05T21:30:00Z", true},
		{"an hour that a clock skips does not occur", "Europe/Berlin", early, "2026-03-29T01:00:00Z", false},
		{"before it neither", "Europe/Berlin", early, "2026-03-29T00:59:59Z", false},
		{"an hour that comes twice counts the first time", "Europe/Berlin", early, "2026-10-25T00:30:00Z", true},
		{"and the second", "Europe/Berlin", early, "2026-10-25T01:30:00Z", true},
		{"and then ends", "Europe/Berlin", early, "2026-10-25T02:00:00Z", false},
		{"a night goes on into the next day", "UTC", night, "2026-01-10T05:59:00Z", true},
		{"which need not be listed", "UTC", night, "2026-01-10T06:00:00Z", false},
		{"nor does the day before's count", "UTC", night, "2026-01-09T05:00:00Z", false},
		{"midnight ends a Sunday", "UTC", night, "2026-01-11T23:59:00Z", true},
		{"and Monday is not it", "UTC", night, "2026-01-12T00:00:00Z", false},
	} {
		t.Run(c.claim, func(t *testing.T) {
			s := parse(t, "personas:\n- {name: p, zone: "+c.zone+", hours: "+c.hours+"}\n", "")
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			e := call("x", 0)
			vs := s.Judge("acme", "p").Check(&e, nil, at.UnixMilli(), nil)
			if (len(vs) == 0) != c.open {
				t.Errorf("got %v", vs)
			}
			if !c.open &&
				(vs[0].Kind != "hours" || vs[0].Value != at.In(s.Persona("", "p").Zone).Format("Mon 15:04 ")+c.zone) {
				t.Errorf("got %v", vs)
			}
		})
	}
}

func TestHoursAreTheTenantsWherePersonaNamesNoZone(t *testing.T) {
	s, errs := Load(folder(t, map[string]string{
		"tenants/a.yaml":  "tenants: [{name: acme, zone: Asia/Tokyo}]\n",
		"personas/a.yaml": "personas:\n- {name: p, hours: [{from: \"08:00\", to: \"18:00\"}]}\n- {name: q, zone: UTC, hours: [{from: \"08:00\", to: \"18:00\"}]}\n",
	}))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	e := call("x", 0)
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC).UnixMilli() // nine in Tokyo
	for _, c := range []struct {
		tenant, persona string
		open            bool
	}{{"acme", "p", true}, {"other", "p", false}, {"acme", "q", false}} {
		if vs := s.Judge(c.tenant, c.persona).Check(&e, nil, at, nil); (len(vs) == 0) != c.open {
			t.Errorf("%s %s: got %v", c.tenant, c.persona, vs)
		}
	}
}
