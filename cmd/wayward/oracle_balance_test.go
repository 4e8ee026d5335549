package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// balance is what the oracle thinks of a run.
type balance struct {
	lost, doubled, wrong int
	findings, verdicts   int
	baselines, days      int
	samples              []string
	responses
}

func (b *balance) sample(what string, x any) {
	n := 0
	for _, s := range b.samples {
		if strings.HasPrefix(s, what+": ") {
			n++
		}
	}
	if n < 5 {
		b.samples = append(b.samples, fmt.Sprintf("%s: %+v", what, x))
	}
}

func (b *balance) bad() int { return b.lost + b.doubled + b.wrong }

// weigh counts have against want.
func weigh[K comparable](b *balance, what string, want, have map[K]int) {
	for k, n := range want {
		switch h := have[k]; {
		case h < n:
			b.lost += n - h
			b.sample("lost "+what, k)
		case h > n:
			b.doubled += h - n
			b.sample("doubled "+what, k)
		}
	}
	for k, n := range have {
		if want[k] == 0 {
			b.wrong += n
			b.sample("wrong "+what, k)
		}
	}
}

// verdict is what the relation stage tells an agent's shard.
type verdict struct {
	UID, Tenant, Agent string
	Time               int64
}

// topicRecords is what a run topicRecords on the topics, each partition in order.
type topicRecords struct {
	alerts, dlq, control, commands, breakers, acks, feedback []*kgo.Record
}

// compare weighs the findings that a run left on the topics against what was sent.
func compare(sent [][]byte, aside map[string]bool, l *topicRecords) balance {
	var b balance
	want, drops, dead := expected(sent, aside)
	dropped := map[statement]int{}
	have, uids, verdicts := map[statement]int{}, map[string]alert{}, map[verdict]int{}
	chance := map[statement]int{}
	for _, r := range l.alerts {
		s, err := readAlert(r)
		if err != nil {
			b.wrong++
			b.sample("alert", err)
			continue
		}
		if strings.HasPrefix(s.Rule, "response/") {
			continue // about commands, not about events
		}
		if detector, _, _ := strings.Cut(s.Rule, "/"); detector == "volume" || detector == "sequence" ||
			detector == "rarity" {
			// By the third day something may be rare that was made at random. What is, an oracle
			// that has learned nothing cannot say; but few are, and each is told once.
			if chance[s.statement]++; chance[s.statement] > 1 {
				b.doubled++
				b.sample("doubled finding by chance", s)
			}
			continue
		}
		if s.Rule == "rule/"+beforeReload || s.Rule == "rule/"+afterReload {
			dropped[s.statement]++
			continue
		}
		have[s.statement]++
		first, known := uids[s.UID]
		if known && (first.Rule != s.Rule || first.Trigger != s.Trigger || first.ID != s.ID ||
			first.Tenant != s.Tenant) {
			b.wrong++
			b.sample("two findings of one uid", []alert{first, s})
		}
		uids[s.UID] = s
		if above := s.Scope != "agent" && s.Scope != "session" ||
			s.Rule == "rule/unanswered"; above != (s.Stage == "relation") {
			b.wrong++
			b.sample("stage", s)
		} else if above && s.Agent != "" && want[s.statement] > 0 && have[s.statement] == 1 {
			verdicts[verdict{s.UID, s.Tenant, s.Agent, s.Last}]++
		}
	}
	if len(chance) > 20 {
		b.wrong += len(chance)
		b.sample("findings by chance", len(chance))
	}
	b.findings = len(want)
	weigh(&b, "finding", want, have)
	weighReload(&b, drops, dropped)
	letters := map[string]int{}
	for _, r := range l.dlq {
		if strings.HasSuffix(header(r, "topic"), "agent.events") {
			letters[string(r.Value)]++
		}
	}
	weigh(&b, "dead letter", dead, letters)
	told := map[verdict]int{}
	for _, r := range l.control {
		var c struct {
			Kind, Tenant, Agent string
			Finding             string `json:"finding_uid"`
			Time                int64
		}
		if err := json.Unmarshal(r.Value, &c); err != nil {
			b.wrong++
			b.sample("control", string(r.Value))
		} else if c.Kind == "verdict" {
			told[verdict{c.Finding, c.Tenant, c.Agent, c.Time}]++
		}
	}
	b.verdicts = len(verdicts)
	weigh(&b, "verdict", verdicts, told)
	return b
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// journalGaps says where a partition's journal does not go 0, 1, 2 …; a transaction with much
// control is in several records of the same number.
func journalGaps(records []*kgo.Record) (gaps []string) {
	next, more := map[int32]uint64{}, map[int32]bool{}
	for _, r := range records {
		if len(r.Value) < 3 {
			gaps = append(gaps, fmt.Sprintf("partition %d offset %d: %d bytes", r.Partition, r.Offset, len(r.Value)))
			continue
		}
		seq, _ := binary.Uvarint(r.Value[2:])
		if seq != next[r.Partition] {
			gaps = append(gaps, fmt.Sprintf("partition %d offset %d: transaction %d, expected %d", r.Partition,
				r.Offset, seq, next[r.Partition]))
			next[r.Partition] = seq
		}
		if more[r.Partition] = r.Value[1] == 1; !more[r.Partition] {
			next[r.Partition]++
		}
	}
	return gaps
}

// responses are the numbers of what was weighed here.
type responses struct {
	// all, by rules, by the clock, by people; softened: escalate for the guard's sake
	commands, ruled, expired, human, softened       int
	written                                         int // of those by rules: by rules that people write
	states, open, acks, unenforced, defied, refused int
	// of what is lost, doubled or wrong: in commands and what belongs to them
	inResponses int
}

func (r *responses) String() string {
	return fmt.Sprintf(
		"commands=%d (rules %d, %d of them written, people %d, clock %d, softened %d) states=%d open=%d acks=%d unenforced=%d defied=%d refused=%d (bad in these %d)",
		r.commands, r.ruled, r.written, r.human, r.expired, r.softened, r.states, r.open, r.acks, r.unenforced,
		r.defied, r.refused, r.inResponses)
}

func (b *balance) miss(what string, x any) { b.lost++; b.sample("lost "+what, x) }

func (b *balance) twice(what string, x any) { b.doubled++; b.sample("doubled "+what, x) }

func (b *balance) fault(what string, x any) { b.wrong++; b.sample("wrong "+what, x) }
