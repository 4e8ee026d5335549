package oracle

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Balance is what the oracle thinks of a run.
type Balance struct {
	Lost, Doubled, Wrong int
	Findings, Verdicts   int
	Baselines, Days      int
	Samples              []string
	Responses
}

func (b *Balance) Sample(what string, x any) {
	n := 0
	for _, s := range b.Samples {
		if strings.HasPrefix(s, what+": ") {
			n++
		}
	}
	if n < 5 {
		b.Samples = append(b.Samples, fmt.Sprintf("%s: %+v", what, x))
	}
}

func (b *Balance) Bad() int { return b.Lost + b.Doubled + b.Wrong }

// weigh counts have against want.
func weigh[K comparable](b *Balance, what string, want, have map[K]int) {
	for k, n := range want {
		switch h := have[k]; {
		case h < n:
			b.Lost += n - h
			b.Sample("lost "+what, k)
		case h > n:
			b.Doubled += h - n
			b.Sample("doubled "+what, k)
		}
	}
	for k, n := range have {
		if want[k] == 0 {
			b.Wrong += n
			b.Sample("wrong "+what, k)
		}
	}
}

// verdict is what the relation stage tells an agent's shard.
type verdict struct {
	UID, Tenant, Agent string
	Time               int64
}

// Topics is what a run Topics on the topics, each partition in order.
type Topics struct {
	Alerts, DLQ, Control, Commands, Breakers, Acks, Feedback []*kgo.Record
}

// Compare weighs the findings that a run left on the topics against what was sent.
func Compare(sent [][]byte, aside map[string]bool, l *Topics) Balance {
	var b Balance
	want, drops, dead := expected(sent, aside)
	dropped := map[statement]int{}
	have, uids, verdicts := map[statement]int{}, map[string]alert{}, map[verdict]int{}
	chance := map[statement]int{}
	for _, r := range l.Alerts {
		s, err := ReadAlert(r)
		if err != nil {
			b.Wrong++
			b.Sample("alert", err)
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
				b.Doubled++
				b.Sample("doubled finding by chance", s)
			}
			continue
		}
		if s.Rule == "rule/"+BeforeReload || s.Rule == "rule/"+AfterReload {
			dropped[s.statement]++
			continue
		}
		have[s.statement]++
		first, known := uids[s.UID]
		if known && (first.Rule != s.Rule || first.Trigger != s.Trigger || first.ID != s.ID ||
			first.Tenant != s.Tenant) {
			b.Wrong++
			b.Sample("two findings of one uid", []alert{first, s})
		}
		uids[s.UID] = s
		if above := s.Scope != "agent" && s.Scope != "session" ||
			s.Rule == "rule/unanswered"; above != (s.Stage == "relation") {
			b.Wrong++
			b.Sample("stage", s)
		} else if above && s.Agent != "" && want[s.statement] > 0 && have[s.statement] == 1 {
			verdicts[verdict{s.UID, s.Tenant, s.Agent, s.Last}]++
		}
	}
	if len(chance) > 20 {
		b.Wrong += len(chance)
		b.Sample("findings by chance", len(chance))
	}
	b.Findings = len(want)
	weigh(&b, "finding", want, have)
	weighReload(&b, drops, dropped)
	letters := map[string]int{}
	for _, r := range l.DLQ {
		if strings.HasSuffix(header(r, "topic"), "agent.events") {
			letters[string(r.Value)]++
		}
	}
	weigh(&b, "dead letter", dead, letters)
	told := map[verdict]int{}
	for _, r := range l.Control {
		var c struct {
			Kind, Tenant, Agent string
			Finding             string `json:"finding_uid"`
			Time                int64
		}
		if err := json.Unmarshal(r.Value, &c); err != nil {
			b.Wrong++
			b.Sample("control", string(r.Value))
		} else if c.Kind == "verdict" {
			told[verdict{c.Finding, c.Tenant, c.Agent, c.Time}]++
		}
	}
	b.Verdicts = len(verdicts)
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

// JournalGaps says where a partition's journal does not go 0, 1, 2 …; a transaction with much
// control is in several records of the same number.
func JournalGaps(records []*kgo.Record) (gaps []string) {
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

// Responses are the numbers of what was weighed here.
type Responses struct {
	// all, by rules, by the clock, by people; softened: escalate for the guard's sake
	Commands, Ruled, Expired, Human, softened       int
	Written                                         int // of those by rules: by rules that people write
	states, Open, Acks, Unenforced, Defied, Refused int
	// of what is lost, doubled or wrong: in commands and what belongs to them
	inResponses int
}

func (r *Responses) String() string {
	return fmt.Sprintf(
		"commands=%d (rules %d, %d of them written, people %d, clock %d, softened %d) states=%d open=%d acks=%d unenforced=%d defied=%d refused=%d (bad in these %d)",
		r.Commands, r.Ruled, r.Written, r.Human, r.Expired, r.softened, r.states, r.Open, r.Acks, r.Unenforced,
		r.Defied, r.Refused, r.inResponses)
}

func (b *Balance) miss(what string, x any) { b.Lost++; b.Sample("lost "+what, x) }

func (b *Balance) twice(what string, x any) { b.Doubled++; b.Sample("doubled "+what, x) }

func (b *Balance) fault(what string, x any) { b.Wrong++; b.Sample("wrong "+what, x) }
