package oracle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// honestLog is what an honest run leaves of one session and one agent, in seconds since it began: a
// session is blocked by a rule, applied, and free again when its time is over; an agent is
// throttled by one limit and paused by another, nobody answers, a person lets it go and somebody
// sends that once more.
func honestLog() *Topics {
	at := func(seconds float64) time.Time {
		return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
	}
	stamp := func(seconds float64) string { return at(seconds).Format("2006-01-02T15:04:05.000Z") }
	l := &Topics{}
	put := func(to *[]*kgo.Record, seconds float64, key, format string, args ...any) {
		*to = append(*to, &kgo.Record{Timestamp: at(seconds), Key: []byte(key),
			Value: fmt.Appendf(nil, format, args...)})
	}
	const session, agent = `{"type":"session","id":"s1","tenant":"acme","agent":"a1"}`,
		`{"type":"agent","id":"a2","tenant":"acme"}`
	alert := func(seconds float64, uid, rule, scope, who string) {
		put(&l.Alerts, seconds, "",
			`{"activity_id":1,"time":1,"end_time":1,"count":1,"finding_info":{"uid":%q,"analytic":{"uid":%q},"related_events":[{"uid":"e1"}]},"metadata":{"tenant_uid":"acme","processed_time":%d},`+
				`"unmapped":{"wayward":{"stage":"behaviour","agent":%q,"session":"s1","scope":{"type":%q,"id":%q}}}}`,
			uid,
			rule, at(seconds).UnixMilli(), who, scope, who)
	}
	about := func(seconds float64, rule, command, scope, id string, count, activity int) {
		put(&l.Alerts, seconds, "",
			`{"activity_id":%d,"count":%d,"finding_info":{"uid":"of %s","analytic":{"uid":"response/%s"}},"metadata":{"tenant_uid":"acme"},`+
				`"unmapped":{"wayward":{"stage":"behaviour","scope":{"type":%q,"id":%q},"target":%q}}}`, activity,
			count,
			command+rule, rule, scope, id, command)
	}
	command := func(seconds float64, key, scope, id, action string, epoch int, more string) {
		put(&l.Commands, seconds, key,
			`{"schema":"wayward.command/v1","command_id":%q,"idempotency_key":"%s|%s|%d","action":%q,"scope":%s,"epoch":%d,"time":%q,"issued_at":%q,"not_after":%q,"mode":"enforce","reason":"","reply_to":"agent.acks",%s}`,
			id, key, action, epoch, action, scope, epoch, stamp(0), stamp(seconds), stamp(seconds+60), more)
	}
	state := func(seconds float64, key, scope, id, word, action string, epoch int, enforced, more string) {
		put(&l.Breakers, seconds, key,
			`{"schema":"wayward.breaker/v1","scope":%s,"state":%q,"action":%q,"epoch":%d,"since":%q,"mode":"enforce","enforced":%q,"command_id":%q,"reason":"",%s}`,
			scope, word, action, epoch, stamp(0), enforced, id, more)
	}
	gone := func(seconds float64, key string) {
		l.Breakers = append(l.Breakers, &kgo.Record{Timestamp: at(seconds), Key: []byte(key)})
	}
	ack := func(scope, id string, epoch int, status string) {
		put(&l.Acks, 0, "", `{"command_id":%q,"scope":%s,"epoch":%d,"status":%q}`, id, scope, epoch, status)
	}
	const s, a = "acme|session|a1|s1", "acme|agent|a2"
	const clerk, tumbling, sliding = `"issuer":{"type":"rule","rule":"persona/clerk/tool"},"finding_uid":"f1"`,
		`"issuer":{"type":"rule","rule":"agent-tumbling"},"finding_uid":"f2"`,
		`"issuer":{"type":"rule","rule":"agent-sliding"},"finding_uid":"f3"`
	const ana = `"issuer":{"type":"human","rule":"fine-1","by":"ana"},"finding_uid":"f3"`

	alert(1, "f1", "policy/persona/clerk/tool", "agent", "a1")
	command(1, s, session, "c1", "block", 1, clerk+`,"duration":"PT2S"`)
	state(1, s, session, "c1", "open", "block", 1, "", clerk+`,"until":"`+stamp(3)+`"`)
	ack(session, "c1", 1, "received")
	ack(session, "c1", 1, "applied")
	state(1.5, s, session, "c1", "open", "block", 1, "received", clerk+`,"until":"`+stamp(3)+`"`)
	state(1.5, s, session, "c1", "open", "block", 1, "applied", clerk+`,"until":"`+stamp(3)+`"`)
	about(2, "acts-after-applied", "c1", "session", "s1", 1, 1)
	about(2, "acts-after-applied", "c1", "session", "s1", 2, 2)
	about(2, "acts-after-applied", "c1", "session", "s1", 4, 2)
	command(3.5, s, session, "c2", "restore", 2, `"issuer":{"type":"expiry"},"finding_uid":"f1"`)
	gone(3.5, s)

	alert(1, "f2", "limit/agent-tumbling", "agent", "a2")
	command(1, a, agent, "c3", "throttle", 1, tumbling+`,"duration":"PT1S","limit":{"calls":5,"per_seconds":1}`)
	state(1, a, agent, "c3", "throttled", "throttle", 1, "",
		tumbling+`,"until":"`+stamp(2)+`","limit":{"calls":5,"per_seconds":1}`)
	alert(1.5, "f3", "limit/agent-sliding", "agent", "a2")
	command(1.5, a, agent, "c4", "escalate", 2, sliding+`,"duration":"PT2S"`)
	state(1.5, a, agent, "c4", "open", "escalate", 2, "", sliding+`,"until":"`+stamp(3.5)+`"`)
	state(3.6, a, agent, "c4", "open", "escalate", 2, "missed", sliding+`,"until":"`+stamp(3.5)+`"`)
	about(3.6, "not-enforced", "c4", "agent", "a2", 1, 1)
	restore := `{"id":"fine-1","type":"restore","by":"ana","scope":` + agent + `}`
	put(&l.Feedback, 3, a, "%s", restore)
	put(&l.Feedback, 4, a, "%s", restore)
	command(3.7, a, agent, "c5", "restore", 3, ana)
	gone(3.7, a)
	put(&l.DLQ, 4.5, "", "%s", restore)
	l.DLQ[0].Headers = []kgo.RecordHeader{{Key: "topic", Value: []byte("agent.feedback")},
		{Key: "reason", Value: []byte("replayed")}}
	return l
}

// The claims about commands have teeth: whatever is taken out of an honest log, put in twice,
// swapped or changed is reported.
func TestWhatIsWrongWithCommandsIsReported(t *testing.T) {
	without := func(from *[]*kgo.Record, i int) { *from = slices.Delete(*from, i, i+1) }
	again := func(in *[]*kgo.Record, i int) { *in = append(*in, (*in)[i]) }
	change := func(r *kgo.Record, old, new string) {
		if !strings.Contains(string(r.Value), old) {
			t.Fatalf("%s has no %s", r.Value, old)
		}
		r.Value = []byte(strings.Replace(string(r.Value), old, new, 1))
	}
	for _, c := range []struct {
		name string
		do   func(l *Topics)
		want string
	}{
		{"an honest log", func(*Topics) {}, ""},
		{"a command is missing", func(l *Topics) { without(&l.Commands, 2) }, "lost command of a finding"},
		{"a gap of epochs", func(l *Topics) { without(&l.Commands, 2) }, "wrong epoch"},
		{"the last command is missing", func(l *Topics) { without(&l.Commands, 4) }, "wrong breaker out of order"},
		{"command and breaker are missing", func(l *Topics) { without(&l.Commands, 0); l.Breakers = l.Breakers[3:] },
			"lost command of a finding"},
		{"a command twice", func(l *Topics) { again(&l.Commands, 1) }, "doubled epoch"},
		{"commands swapped", func(l *Topics) { l.Commands[0], l.Commands[1] = l.Commands[1], l.Commands[0] },
			"wrong restore of what is closed"},
		{"a step down", func(l *Topics) { l.Commands[2], l.Commands[3] = l.Commands[3], l.Commands[2] },
			"wrong step down the ladder"},
		{"a command of nobody", func(l *Topics) { change(l.Commands[0], "f1", "f9") }, "wrong finding of a command"},
		{"a command about another", func(l *Topics) { change(l.Commands[0], `"rule":"persona`, `"rule":"other`) },
			"wrong finding of a command"},
		{"more than was asked for", func(l *Topics) { change(l.Commands[0], "PT2S", "PT9S") },
			"wrong duration of a command"},
		{"another action", func(l *Topics) { change(l.Commands[3], `"action":"escalate"`, `"action":"kill"`) },
			"wrong command of a rule"},
		{"an idempotency key of another epoch", func(l *Topics) { change(l.Commands[3], "|escalate|2", "|escalate|1") },
			"wrong form of a command"},
		{"let go too early", func(l *Topics) {
			change(l.Commands[1], `"issued_at":"2026-11-21T10:00:03.500Z"`, `"issued_at":"2026-11-21T10:00:02.500Z"`)
		}, "wrong expiry"},
		{"never let go", func(l *Topics) { without(&l.Commands, 1); without(&l.Breakers, 3) }, "lost expiry"},
		{"a breaker is missing", func(l *Topics) { without(&l.Breakers, 4) }, "wrong breaker out of order"},
		{"a tombstone is missing", func(l *Topics) { without(&l.Breakers, 3) }, "wrong breaker: "},
		{"a tombstone too many", func(l *Topics) { again(&l.Breakers, 3) }, "wrong breaker out of order"},
		{"a breaker twice", func(l *Topics) { l.Breakers = slices.Insert(l.Breakers, 1, l.Breakers[0]) },
			"wrong enforced"},
		{"breakers swapped", func(l *Topics) { l.Breakers[4], l.Breakers[5] = l.Breakers[5], l.Breakers[4] },
			"wrong breaker out of order"},
		{"another until", func(l *Topics) { change(l.Breakers[0], "10:00:03.000", "10:00:04.000") },
			"wrong breaker against its command"},
		{"a breaker of no command", func(l *Topics) { l.Breakers[0].Key = []byte("acme|agent|a9") },
			"wrong breaker without a command"},
		{"applied of which no ack spoke", func(l *Topics) { without(&l.Acks, 1) }, "wrong enforced"},
		{"an ack that does not show", func(l *Topics) { l.Commands, l.Breakers = l.Commands[:1], l.Breakers[:2] },
			"lost ack in the breaker"},
		{"a deadline that does not show", func(l *Topics) { l.Commands, l.Breakers = l.Commands[:4], l.Breakers[:6] },
			"lost deadline of an ack"},
		{"missed before the deadline", func(l *Topics) { l.Breakers[6].Timestamp = l.Breakers[5].Timestamp },
			"wrong enforced"},
		{"not enforced is not told", func(l *Topics) { without(&l.Alerts, 6) },
			"lost finding that a command was not enforced"},
		{"not enforced is told twice", func(l *Topics) { again(&l.Alerts, 6) },
			"doubled finding that a command was not enforced"},
		{"acts are told twice", func(l *Topics) { l.Alerts = slices.Insert(l.Alerts, 2, l.Alerts[1]) },
			"doubled act after an applied command"},
		{"acts are not told", func(l *Topics) { without(&l.Alerts, 2) }, "wrong count of acts"},
		{"feedback is done twice", func(l *Topics) { l.Commands = append(l.Commands, l.Commands[4]) },
			"doubled feedback"},
		{"feedback sent again is not refused", func(l *Topics) { l.DLQ = nil }, "lost feedback"},
		{"feedback is refused without a reason", func(l *Topics) {
			l.DLQ[0].Headers[1].Value = []byte("not_open")
			l.DLQ[0].Timestamp = l.Commands[3].Timestamp.Add(time.Second)
		}, "wrong refusal of feedback"},
		{"a command that no person sent", func(l *Topics) { l.Feedback, l.DLQ = nil, nil }, "wrong command of a person"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := honestLog()
			c.do(l)
			var b Balance
			WeighCommands(&b, l)
			found := slices.ContainsFunc(b.Samples, func(s string) bool { return strings.HasPrefix(s, c.want) })
			if c.want == "" && b.inResponses > 0 || c.want != "" && !found {
				t.Errorf("want %q, got:\n%s", c.want, strings.Join(b.Samples, "\n"))
			}
		})
	}
}
