package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// refusals is why feedback is refused, by the first word of its id: the test says in it what is
// wrong. Nothing is wrong with other words.
var refusals = map[string]string{"unsigned": "unsigned", "stranger": "unknown_key", "foreign": "wrong_tenant",
	"forged": "bad_signature", "stale": "stale_feedback", "broken": "bad_feedback"}

// untilSet is how long the first set of policies may take until it is in force everywhere, kills
// and all.
const untilSet = 12 * time.Second

// weighFeedback demands that everything that people sent was done or refused, once each time that
// it was sent, and nothing twice.
func weighFeedback(b *Balance, l *Topics, by map[string][]*command,
	of func(string) *scopeLog) map[string]feedbackRecord {
	sent, letters := map[string]int{}, map[string][]*kgo.Record{}
	began := time.Now()
	for _, r := range l.Feedback {
		sent[string(r.Value)]++
		if r.Timestamp.Before(began) {
			began = r.Timestamp
		}
	}
	for _, r := range l.DLQ {
		if strings.HasSuffix(header(r, "topic"), "agent.feedback") {
			b.Refused++
			letters[string(r.Value)] = append(letters[string(r.Value)], r)
			if sent[string(r.Value)] == 0 {
				b.fault("feedback in the dead letters", string(r.Value))
			}
		}
	}
	all := map[string]feedbackRecord{}
	for _, value := range slices.Sorted(maps.Keys(sent)) {
		var f feedbackRecord
		class := "broken"
		if json.Unmarshal([]byte(value), &f) == nil {
			class, _, _ = strings.Cut(f.ID, "-")
		}
		refusal, bad := refusals[class]
		times, done, refused := sent[value], len(by[f.ID]), len(letters[value])
		if class == "verdict" {
			times = 0 // an opinion: nothing comes of it
		}
		switch {
		case done > 1 || done+refused > times:
			b.twice("feedback", fmt.Sprintf("%d commands and %d refusals of %s", done, refused, value))
		case done+refused < times:
			b.miss("feedback", fmt.Sprintf("sent %d times, %d commands and %d refusals of %s", times, done, refused,
				value))
		case bad && done > 0:
			b.fault("feedback that was taken", value)
		}
		if !bad {
			all[f.ID] = f
		}
		// once, whatever is decided: what was refused must not act because somebody sends it again
		decided := done
		for _, r := range letters[value] {
			if reason := header(r, "reason"); reason == "not_open" || reason == "not_stronger" {
				decided++
			}
		}
		if decided > 1 {
			b.twice("decision on feedback", value)
		}
		for _, r := range letters[value] {
			reason, right := header(r, "reason"), false
			from, to, h := r.Timestamp.Add(-slack), r.Timestamp.Add(slack), of(f.Scope.key())
			clock := r.Timestamp.Add(-2 * time.Second) // a transaction may take so long
			if f.Scope.Type != "agent" && f.Scope.Type != "session" && f.Time.Before(clock) {
				// a relation shard goes by when the record was written for it, and may have been
				// away since
				clock = f.Time
			}
			switch {
			case reason == "unknown_key" && class != "broken":
				// nobody has a key before a shard has read which set is in force
				right = class == "stranger" || r.Timestamp.Before(began.Add(untilSet))
			case bad:
				right = reason == refusal
			case reason == "replayed":
				right = decided == 1
			case reason == "not_open":
				right = f.Type == "restore" && h.closed(from, to)
			case reason == "not_stronger":
				right = f.Type == "trip" && h.inForce(from, to, clock, ladder[f.Action])
			}
			if !right {
				b.fault("refusal of feedback", reason+": "+value)
			}
		}
	}
	return all
}
