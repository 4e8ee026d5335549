package pipeline

import (
	"fmt"
	"time"
)

// What is worth a word in the log once, though it happens with every event.

// warned is what a stage has warned of already.
type warned struct {
	unseen     map[[2]string]bool      // rules and fields of which no event carries them
	failing    map[string]bool         // rules with an expression that fails
	unmeasured map[string]bool         // limits that cannot measure a call
	misrouted  [len(misroutedWhy)]bool // reasons
	aheadAt    time.Time               // when it was last said that event time is ahead of the wall clock
}

// firstTime tells whether k is new, and remembers it.
func firstTime[K comparable](seen *map[K]bool, k K) bool {
	if (*seen)[k] {
		return false
	}
	if *seen == nil {
		*seen = map[K]bool{}
	}
	(*seen)[k] = true
	return true
}

// warnOnce warns of what a committed slice has counted. A rule of which an expression does nothing
// but fail is turned off.
func (st *stage) warnOnce(sh *shard) {
	for k := range sh.counts.other {
		switch k[0] {
		case ruleMetric + "error":
			if firstTime(&st.warned.failing, k[1]) {
				st.log.Warn("an expression of a rule fails: it counts as not true", "rule", k[1], "partition", sh.p)
			}
		case ruleMetric + "failing":
			select {
			case st.cfg.off <- k[1]:
			default: // it will fail again
			}
		case ruleMetric + unmeasured:
			if firstTime(&st.warned.unmeasured, k[1]) {
				st.log.Warn(
					"a limit is about calls that it cannot measure: an amount without a currency, or a number that could not be read; let the producer send both, see wayward_unmeasured_total",
					"limit", k[1], "partition", sh.p)
			}
		}
	}
	for why, n := range sh.counts.misrouted {
		if n == 0 || st.warned.misrouted[why] {
			continue
		}
		st.warned.misrouted[why] = true
		m := sh.counts.misplaced[why]
		st.log.Warn("events lie in partitions that are not their keys': what one agent does is seen in pieces; "+
			misroutedRemedy[why]+"; "+ingressRemedy,
			"reason", misroutedWhy[why], "topic", st.in[1], "partition", sh.p, "offset", m.offset, "belongs_in", m.home,
			"source", fmt.Sprintf("%q", m.source))
	}
}
