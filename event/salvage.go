package event

import (
	"errors"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// Named is what can be read of a record that did not decode.
type Named struct {
	Tenant, Agent string
	ID            string // its own, else made of its bytes
	Time          int64  // Unix milliseconds; 0: not to be read
	Sum           uint64 // of its bytes: a record that is sent again is no other one
}

// Salvage reads tenant and agent.id of a record that did not decode, if they stand in the outer
// object before the place where it breaks off. False: it names no agent, or more than one. It looks
// at no more than MaxSize bytes. The texts live as those of an event.
func (d *Decoder) Salvage(p []byte) (n Named, ok bool) {
	whole := p
	n.Sum = xxhash.Sum64(whole)
	p = p[:min(len(p), MaxSize)]
	i := jsonscan.Space(p, 0)
	if i >= len(p) || p[i] != '{' {
		return n, false
	}
	clash := false
	take := func(have *string, says string) {
		clash = clash || *have != "" && *have != says
		*have = says
	}
	d.members(p, i+1, func(key string, at, end int) {
		switch key {
		case "tenant":
			var s string
			if d.tenant(p, at, &s) >= 0 {
				take(&n.Tenant, s)
			}
		case "agent":
			if p[at] != '{' {
				break
			}
			d.members(p, at+1, func(key string, at, _ int) {
				var s string
				if key == "id" && d.string(p, at, &s) >= 0 {
					take(&n.Agent, s)
				}
			})
		case "id":
			d.string(p, at, &n.ID)
		case "time":
			t := int64(math.MinInt64)
			if end > 0 && end < len(p) && d.time(p, at, &t, firstTime) == end && t != math.MinInt64 {
				n.Time = t
			}
		}
	})
	d.fault = DecodeError{}
	if n.ID == "" {
		n.ID = d.identity(whole, n.Agent)
	}
	return n, n.Tenant != "" && n.Agent != "" && !clash
}

// members shows the members of an object, whose first begins at i, as far as it can be read; end is
// -1 of a value that breaks off.
func (d *Decoder) members(p []byte, i int, f func(key string, at, end int)) {
	for {
		for i = jsonscan.Space(p, i); i < len(p) && p[i] == ','; {
			i = jsonscan.Space(p, i+1)
		}
		if i >= len(p) || p[i] != '"' {
			return
		}
		end := jsonscan.ClosingQuote(p, i+1)
		if end < 0 {
			return
		}
		key := p[i+1 : end]
		if _, escaped, reason := jsonscan.String(p, i+1); reason != "" {
			key = nil
		} else if escaped {
			key = d.name(key)
		}
		if i = jsonscan.Space(p, end+1); i >= len(p) || p[i] != ':' {
			return
		}
		at := jsonscan.Space(p, i+1)
		if at >= len(p) {
			return
		}
		i = d.brackets.EndOfValue(p, at)
		f(alias(key), at, i)
		if i < 0 {
			return
		}
	}
}

// SalvageKeyed is Salvage of a record with a key. Where there is a key, it must name the same
// agent: what one tenant sends must not count against the agent of another, and keys are the
// gateway's.
func (d *Decoder) SalvageKeyed(key, value []byte) (n Named, ok bool) {
	n, ok = d.Salvage(value)
	if len(key) > 0 && string(AppendKey(nil, n.Tenant, n.Agent)) != string(key) {
		return Named{}, false
	}
	return n, ok
}

// ReasonOf is the word for an error of decoding in metrics and headers.
func ReasonOf(err error) string {
	if d := (*DecodeError)(nil); errors.As(err, &d) {
		return d.Reason
	}
	return "not_json"
}
