package pipeline

// Summary is what a replay did.
type Summary struct {
	Events, Findings, Updates, Commands, Repeated, Late, Future, Dropped, Evicted, Stateless, Verdicts int64
	// by reason
	Dead map[string]int64
	// by rule: expressions that failed
	RuleErrors map[string]int64
	// by limit: calls that it is about and cannot measure
	Unmeasured map[string]int64
	// event times, Unix milliseconds
	First, Last int64
	Watermark   int64
	// buckets that the watermark has not passed
	Pending int
	Pages   int
}

func (x *replaying) summary() Summary {
	s := x.sum
	s.Watermark = x.clock.watermark()
	for p := range virtual {
		b, r := x.behaviours[p], x.relations[p]
		s.Repeated += b.counts.repeated
		s.Late += b.counts.late
		s.Future += b.counts.future
		s.Verdicts += b.counts.verdicts
		s.Dropped += b.counts.dropped + r.counts.dropped
		s.Evicted += b.counts.evicted + r.counts.evicted
		s.Stateless += b.counts.stateless
		s.Pages += b.pageCount() + r.pageCount()
		for _, c := range []*counts{&b.counts, &r.counts} {
			for k, n := range c.other {
				if k[0] == ruleMetric+unmeasured {
					if s.Unmeasured == nil {
						s.Unmeasured = map[string]int64{}
					}
					s.Unmeasured[k[1]] += n
				}
				if k[0] == ruleMetric+"error" {
					if s.RuleErrors == nil {
						s.RuleErrors = map[string]int64{}
					}
					s.RuleErrors[k[1]] += n
				}
			}
		}
		s.Pending += r.pending()
	}
	return s
}
