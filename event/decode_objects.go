package event

// The readers of the objects in an event. Each is a switch over its fields, so that a known name
// costs one comparison of strings and nothing is looked up or allocated.

func (d *Decoder) agent(p []byte, i int, e *Event) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	a := &e.Agent
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "id":
			bit, i = 1<<0, d.string(p, at, &a.ID)
		case "instance":
			bit, i = 1<<1, d.string(p, at, &a.Instance)
		case "version":
			bit, i = 1<<2, d.string(p, at, &a.Version)
		case "model":
			bit, i = 1<<3, d.string(p, at, &a.Model)
		case "owner":
			bit, i = 1<<4, d.string(p, at, &a.Owner)
		case "tier":
			bit, i = 1<<5, d.count(p, at, &a.Tier, &e.Has, HasTier)
			if i >= 0 && e.Has&HasTier != 0 && (a.Tier < 1 || a.Tier > 3) {
				i = d.fail(outOfRange, at, "1, 2 or 3")
			}
		case "charter_hash":
			bit, i = 1<<6, d.string(p, at, &a.CharterHash)
		case "credential":
			bit, i = 1<<7, d.string(p, at, &a.Credential)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "agent.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) trace(p []byte, i int, t *Trace) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "id":
			bit, i = 1<<0, d.string(p, at, &t.ID)
		case "span":
			bit, i = 1<<1, d.string(p, at, &t.Span)
		case "parent":
			bit, i = 1<<2, d.string(p, at, &t.Parent)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "trace.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) delegation(p []byte, i int, e *Event) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	g := &e.Delegation
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "id":
			bit, i = 1<<0, d.string(p, at, &g.ID)
		case "parent":
			bit, i = 1<<1, d.string(p, at, &g.Parent)
		case "from":
			bit, i = 1<<2, d.string(p, at, &g.From)
		case "to":
			bit, i = 1<<3, d.string(p, at, &g.To)
		case "limit":
			bit, i = 1<<4, d.amount(p, at, &g.Limit, &e.Has, HasLimit, 3, "delegation.limit.")
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "delegation.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) origin(p []byte, i int, o *Origin) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "ip":
			bit, i = 1<<0, d.string(p, at, &o.IP)
		case "host":
			bit, i = 1<<1, d.string(p, at, &o.Host)
		case "region":
			bit, i = 1<<2, d.string(p, at, &o.Region)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "origin.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) tool(p []byte, i int, t *Tool) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "name":
			bit, i = 1<<0, d.string(p, at, &t.Name)
		case "server":
			bit, i = 1<<1, d.string(p, at, &t.Server)
		case "class":
			bit, i = 1<<2, word(d, p, at, classes, &t.Class)
		case "definition_hash":
			bit, i = 1<<3, d.string(p, at, &t.DefinitionHash)
		case "hash_version":
			bit, i = 1<<4, d.string(p, at, &t.HashVersion)
		case "read_only_hint":
			bit, i = 1<<5, d.bool(p, at, &t.ReadOnlyHint)
		case "open_world_hint":
			bit, i = 1<<6, d.bool(p, at, &t.OpenWorldHint)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "tool.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) resource(p []byte, i int, r *Resource) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "type":
			bit, i = 1<<0, d.term(p, at, nil, &r.Type)
		case "id":
			bit, i = 1<<1, d.string(p, at, &r.ID)
		case "tenant":
			bit, i = 1<<2, d.string(p, at, &r.Tenant)
		case "owner":
			bit, i = 1<<3, d.string(p, at, &r.Owner)
		case "labels":
			bit, i = 1<<4, d.strings(p, at, &r.Labels)
		case "classification":
			bit, i = 1<<5, d.term(p, at, nil, &r.Classification)
		case "visibility":
			bit, i = 1<<6, d.term(p, at, visibilities, &r.Visibility)
		case "environment":
			bit, i = 1<<7, d.term(p, at, environments, &r.Environment)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "resource.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) destination(p []byte, i int, t *Destination) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "kind":
			bit, i = 1<<0, d.term(p, at, destinationKinds, &t.Kind)
		case "value":
			bit, i = 1<<1, d.string(p, at, &t.Value)
		case "domain":
			bit, i = 1<<2, d.string(p, at, &t.Domain)
		case "external":
			bit, i = 1<<3, d.bool(p, at, &t.External)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "destination.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) result(p []byte, i int, e *Event) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	r := &e.Result
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "outcome":
			bit, i = 1<<0, word(d, p, at, outcomes, &r.Outcome)
		case "records":
			bit, i = 1<<1, d.count(p, at, &r.Records, &e.Has, HasRecords)
		case "bytes":
			bit, i = 1<<2, d.count(p, at, &r.Bytes, &e.Has, HasBytes)
		case "error":
			bit, i = 1<<3, d.string(p, at, &r.Error)
		case "content":
			bit, i = 1<<4, d.any(p, at, 2, &r.Content)
		case "content_hash":
			bit, i = 1<<5, d.string(p, at, &r.ContentHash)
		case "untrusted":
			bit, i = 1<<6, d.bool(p, at, &r.Untrusted)
		case "effect":
			bit, i = 1<<7, word(d, p, at, classes, &r.Effect)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "result.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

// amount stands at two places in the event, at depth containers below its root.
func (d *Decoder) amount(p []byte, i int, a *Amount, has *Has, flag Has, depth int, group string) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "value":
			was, had := a.Micro, *has&flag != 0
			bit, i = 1<<0, d.money(p, at, &a.Micro, has, flag)
			if had && larger(was, a.Micro) { // of two values the larger counts
				a.Micro = was
			}
		case "currency":
			bit, i = 1<<1, d.currency(p, at, &a.Currency)
		default:
			i = d.skip(p, at, depth)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, group, key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) cost(p []byte, i int, e *Event) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	c := &e.Cost
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "usd":
			bit, i = 1<<0, d.money(p, at, &c.MicroUSD, &e.Has, HasCost)
		case "input_tokens":
			bit, i = 1<<1, d.count(p, at, &c.InputTokens, &e.Has, HasTokens)
		case "output_tokens":
			bit, i = 1<<2, d.count(p, at, &c.OutputTokens, &e.Has, HasTokens)
		case "cached_tokens":
			bit, i = 1<<3, d.count(p, at, &c.CachedTokens, &e.Has, HasTokens)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "cost.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) policy(p []byte, i int, v *Verdict) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "verdict":
			bit, i = 1<<0, d.word(p, at, verdicts, &v.Verdict)
		case "id":
			bit, i = 1<<1, d.string(p, at, &v.ID)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "policy.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) approval(p []byte, i int, e *Event) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	a := &e.Approval
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "id":
			bit, i = 1<<0, d.string(p, at, &a.ID)
		case "state":
			bit, i = 1<<1, d.word(p, at, states, &a.State)
		case "by":
			bit, i = 1<<2, d.string(p, at, &a.By)
		case "requested_by":
			bit, i = 1<<3, d.string(p, at, &a.RequestedBy)
		case "digest":
			bit, i = 1<<4, d.string(p, at, &a.Digest)
		case "expires":
			bit, i = 1<<5, d.time(p, at, &a.Expires, firstDate)
			if i >= 0 && p[at] != 'n' {
				e.Has |= HasExpires
			}
		case "bypass":
			bit, i = 1<<6, d.bool(p, at, &a.Bypass)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "approval.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) message(p []byte, i int, m *MessageOf) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "role":
			bit, i = 1<<0, d.term(p, at, roles, &m.Role)
		case "text":
			bit, i = 1<<1, d.quoted(p, at, &m.Text)
		case "text_hash":
			bit, i = 1<<2, d.string(p, at, &m.TextHash)
		case "to":
			bit, i = 1<<3, d.string(p, at, &m.To)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "message.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) audit(p []byte, i int, a *AuditOf) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "action":
			bit, i = 1<<0, d.term(p, at, auditActions, &a.Action)
		case "target":
			bit, i = 1<<1, d.string(p, at, &a.Target)
		case "before":
			bit, i = 1<<2, d.any(p, at, 2, &a.Before)
		case "after":
			bit, i = 1<<3, d.any(p, at, 2, &a.After)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "audit.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}

func (d *Decoder) source(p []byte, i int, e *Event) int {
	if i = d.enter(p, i); i < 0 || p[i-1] != '{' {
		return i
	}
	s := &e.Source
	var seen uint64
	for {
		key, at, more := d.member(p, i)
		if !more {
			return at
		}
		var bit uint64
		switch string(key) {
		case "name":
			bit, i = 1<<0, d.string(p, at, &s.Name)
		case "trusted":
			bit, i = 1<<1, d.bool(p, at, &s.Trusted)
		case "seq":
			bit, i = 1<<2, d.count(p, at, &s.Seq, &e.Has, HasSeq)
		case "sample_rate":
			bit, i = 1<<3, d.float(p, at, &s.SampleRate, &e.Has, HasSampleRate)
		default:
			i = d.skip(p, at, 2)
		}
		if i < 0 || seen&bit != 0 {
			if i = d.repair(p, i, at, "source.", key, bit); i < 0 {
				return i
			}
		}
		seen |= bit
	}
}
