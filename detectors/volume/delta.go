package volume

import (
	"cmp"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// FeatureDelta is what one day adds to a feature.
type FeatureDelta struct {
	X       int64 // what agents did in hours that are over, in Units; winsorised
	Rates   RateSums
	Growth  GrowthSums
	Spread  [baselines.Windows]SpreadSums
	Block   [baselines.Windows]baselines.Histogram // largest score of each block
	Session baselines.Histogram                    // logarithms of final totals
}

// Add adds what one agent did in an hour.
func (d *FeatureDelta) Add(x float64) { d.X = baselines.AddSaturating(d.X, baselines.InUnits(x)) }

// MarkSet are the sizes of single calls, as logarithms.
type MarkSet [Marks]baselines.Histogram

// ToolMarks are those of one tool, which is named by a hash.
type ToolMarks struct {
	Hash uint64
	Of   MarkSet
}

// IntentTotals are the final totals of sessions of one intent, which is named by a hash.
type IntentTotals struct {
	Hash uint64
	N    uint64
	Of   [Features]baselines.Histogram
}

// Currency counts amounts of one currency.
type Currency struct {
	Code uint64 // see currencyCode
	N    uint64
}

// Bounds of what a delta tells apart by names that events bring. Those with the smallest hashes are
// kept, so that what is kept does not depend on the order in which deltas are merged, and the
// counts of those are whole.
const (
	maxTools      = 64
	maxIntents    = 16
	maxCurrencies = 16
)

// Delta is what one day adds to a Model. All numbers are integers: deltas merge in any
// order.
type Delta struct {
	Season   [baselines.HoursOfWeek]baselines.Cell
	Exposure int64 // agent-hours times season, in 65,536ths
	// events in hours that are over, and how many were expected, in 65,536ths: how busy the day was
	Day baselines.Cell
	Of  [Features]FeatureDelta

	Calls      MarkSet // of all tools
	Tools      []ToolMarks
	Intents    []IntentTotals
	Currencies []Currency

	// of calls, sessions and blocks: −log10 of the p-value that joins their features
	Joint [Joined]baselines.Histogram

	Contacts, Failed [Outcomes]uint64    // first contacts, and how many of them failed
	Outcome          baselines.Histogram // largest logarithm of the likelihood ratio of each agent-day
	Run              baselines.Histogram // longest run over ids of each agent-day, by RunScore
	Even             baselines.Histogram // evenness of the first gaps of a session
}

// find is the place of a key in a sorted list, which is made if there is none and room; −1 if there
// is no room.
func find[T any](list *[]T, most int, key func(*T) uint64, hash uint64, fresh func(*T)) int {
	i, ok := slices.BinarySearchFunc(*list, hash, func(t T, h uint64) int { return cmp.Compare(key(&t), h) })
	if ok {
		return i
	}
	if i >= most {
		return -1
	}
	if len(*list) == most {
		*list = (*list)[:most-1]
	}
	var t T
	fresh(&t)
	*list = slices.Insert(*list, i, t)
	return i
}

// Tool returns the marks of a tool, or nil if there is no room for it.
func (d *Delta) Tool(hash uint64) *ToolMarks {
	// In the path of every call: without closures.
	lo, hi := 0, len(d.Tools)
	for lo < hi {
		if m := (lo + hi) / 2; d.Tools[m].Hash < hash {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(d.Tools) && d.Tools[lo].Hash == hash {
		return &d.Tools[lo]
	}
	if lo >= maxTools {
		return nil
	}
	if len(d.Tools) == maxTools {
		d.Tools = d.Tools[:maxTools-1]
	}
	d.Tools = slices.Insert(d.Tools, lo, ToolMarks{Hash: hash})
	return &d.Tools[lo]
}

// Intent returns the totals of an intent, or nil if there is no room for it.
func (d *Delta) Intent(hash uint64) *IntentTotals {
	i := find(&d.Intents, maxIntents, func(t *IntentTotals) uint64 { return t.Hash }, hash,
		func(t *IntentTotals) { t.Hash = hash })
	if i < 0 {
		return nil
	}
	return &d.Intents[i]
}

// Currency counts n amounts of a currency.
func (d *Delta) Currency(code, n uint64) {
	for i := range d.Currencies { // mostly one
		if d.Currencies[i].Code == code {
			d.Currencies[i].N += n
			return
		}
	}
	if i := find(&d.Currencies, maxCurrencies, func(c *Currency) uint64 { return c.Code }, code,
		func(c *Currency) { c.Code = code }); i >= 0 {
		d.Currencies[i].N += n
	}
}

// Merge adds another's.
func (d *Delta) Merge(from baselines.DeltaPart) {
	o := from.(*Delta)
	for i := range d.Season {
		d.Season[i].X = baselines.AddSaturating(d.Season[i].X, o.Season[i].X)
		d.Season[i].E = baselines.AddSaturating(d.Season[i].E, o.Season[i].E)
	}
	d.Exposure = baselines.AddSaturating(d.Exposure, o.Exposure)
	d.Day.X, d.Day.E = baselines.AddSaturating(d.Day.X, o.Day.X), baselines.AddSaturating(d.Day.E, o.Day.E)
	for f := range d.Of {
		a, b := &d.Of[f], &o.Of[f]
		a.X = baselines.AddSaturating(a.X, b.X)
		add(a.Rates.list(), b.Rates.list())
		add(a.Growth.list(), b.Growth.list())
		for w := range a.Spread {
			add(a.Spread[w].list(), b.Spread[w].list())
			a.Block[w].Merge(b.Block[w])
		}
		a.Session.Merge(b.Session)
	}
	for m := range d.Calls {
		d.Calls[m].Merge(o.Calls[m])
	}
	for i := range o.Tools {
		if t := d.Tool(o.Tools[i].Hash); t != nil {
			for m := range t.Of {
				t.Of[m].Merge(o.Tools[i].Of[m])
			}
		}
	}
	for i := range o.Intents {
		if t := d.Intent(o.Intents[i].Hash); t != nil {
			t.N += o.Intents[i].N
			for f := range t.Of {
				t.Of[f].Merge(o.Intents[i].Of[f])
			}
		}
	}
	for _, c := range o.Currencies {
		d.Currency(c.Code, c.N)
	}
	for k := range d.Joint {
		d.Joint[k].Merge(o.Joint[k])
	}
	for k := range d.Contacts {
		d.Contacts[k] += o.Contacts[k]
		d.Failed[k] += o.Failed[k]
	}
	d.Outcome.Merge(o.Outcome)
	d.Run.Merge(o.Run)
	d.Even.Merge(o.Even)
}

// MergeWide adds all of another's.
func (d *Delta) MergeWide(o baselines.DeltaPart) { d.Merge(o) }
