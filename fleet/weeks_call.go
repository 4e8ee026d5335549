package fleet

import (
	"math"
	"strconv"
)

// call is one event before it is written.
type call struct {
	role       *role // whose tool it is
	tool       int
	name       string // of a tool that is not the role's, in place of tool
	redefined  bool   // the tool's definition is another than usual
	resource   uint64
	tenant     string // of the resource, if it is another's
	subject    uint64 // 0: none
	outcome    string
	records    int64 // -1: the call returns none
	bytes      int64
	cost       int64 // millionths of a dollar
	amount     int64 // cents; 0: none
	domain     string
	address    string
	external   bool
	provenance string // of the destination
}

// read draws the records of a read.
func (s *Weeks) read(r *role) float64 {
	v := math.Exp(r.records[0] + r.records[1]*s.rng.NormFloat64())
	if r.pareto > 0 && s.rng.Float64() < .03 {
		v = 50 * math.Pow(s.rng.Float64(), -1/r.pareto)
	}
	return math.Floor(min(v, 1e6))
}

// scattered makes a resource's number from its rank, so that numbers next to each other mean
// nothing.
func scattered(rank uint64) uint64 { return hash(rank) % 100_000_000 }

// fill draws all of a call but what it calls, from s.rng.
func (s *Weeks) fill(c *call, x *session, r *role, tool int) {
	t := &r.tools[tool]
	*c = call{role: r, tool: tool, outcome: "ok", records: -1}
	if r.subjects {
		who := x.who
		if x.serial%10 == 0 && x.made >= 4 { // every tenth task is about two customers
			who++
		}
		c.subject = scattered(who)
		c.resource = scattered(who<<8 | uint64(t.resource[0])<<1 | uint64(s.rng.IntN(2)))
	} else {
		c.resource = scattered(r.zipf.Uint64())
	}
	u, failing := s.rng.Float64(), r.errors
	if s.o.Drift&Outage != 0 && x.at >= Start+OutageDay*dayMS+11*hourMS && x.at < Start+OutageDay*dayMS+12*hourMS {
		failing = .9
	}
	switch {
	case u < failing:
		c.outcome = "error"
	case u < failing+.008 && t.class == "read":
		c.outcome = "not_found"
	case u > .998:
		c.outcome = "denied"
	}
	size := 1.0
	if t.class == "read" && c.outcome == "ok" {
		size = s.read(r)
		c.records = int64(size)
	}
	c.bytes = int64(120 + (size+.5)*(150+100*s.rng.Float64()))
	c.cost = int64(4000 * math.Exp(.6*s.rng.NormFloat64()))
	if t.class == "pay" {
		c.amount = int64(100 * math.Exp(3.5+.8*s.rng.NormFloat64()))
	}
	if t.sends() {
		s.address(c, x, r, t)
	}
}

// address draws where a call sends: within the company, to the customer whom the session is about,
// or to somebody else.
func (s *Weeks) address(c *call, x *session, r *role, t *tool) {
	u := s.rng.Float64()
	switch {
	case u < .75:
		c.provenance = "user"
	case u < .9:
		c.provenance = "model"
	default:
		c.provenance = "tool"
	}
	if t.class != "pay" && s.rng.Float64() < r.internal {
		c.domain, c.address = "acme.example", "team-"+strconv.Itoa(s.rng.IntN(20))
		return
	}
	rank := uint64(0)
	if c.subject != 0 { // a customer's address stays what it is
		own := PCG(17, c.subject)
		before := s.src.at
		s.src.at = &own
		rank = r.domains.Uint64()
		s.src.at = before
		c.address = "c" + strconv.FormatUint(c.subject, 10)
	} else {
		rank = r.domains.Uint64()
		c.address = "p" + strconv.Itoa(s.rng.IntN(1000))
	}
	c.external = true
	c.domain = "site-" + strconv.FormatUint(hash(rank, HashText(r.name))%100_000_000, 36) + ".example"
}

// render prepares what is written of a tool.
func (r *role) render(t int) {
	d := &r.tools[t]
	r.heads = append(r.heads,
		[]byte(`,"tool":{"name":"`+d.name+`","server":"`+d.server+`","class":"`+d.class+`","definition_hash":"`))
}

func definition(t *tool) uint64 { return hash(HashText(t.server), HashText(t.name)) }

// write appends the call that is a session's turn.
func (s *Weeks) write(b []byte, x *session) []byte {
	c, w, a := &s.call, x.agent, x.attack
	attacked := a != nil && a.on
	if attacked {
		s.src.at = &a.rng
		a.fill(s, c, x)
	} else {
		tool := 0
		switch x.phase {
		case wandering:
			tool = s.rng.IntN(w.role.known)
		default:
			tool = s.toolFor(x, x.flow[x.step].tool)
		}
		s.fill(c, x, w.role, tool)
	}

	b = append(b, `{"id":"`...)
	at := len(b)
	b = x.appendName(b)
	name := b[at:]
	if attacked {
		b = append(b, "-a"...)
		b = strconv.AppendInt(b, int64(a.total-a.left), 10)
		a.note(x.at, string(name), string(b[at:]))
	} else {
		b = append(b, '-')
		b = strconv.AppendInt(b, int64(x.made), 10)
	}
	b = append(b, `","time":`...)
	b = strconv.AppendInt(b, x.at, 10)
	b = append(b, w.head...)
	b = strconv.AppendInt(b, int64(x.user), 10)
	b = append(b, `","session":"`...)
	b = append(b, name...)
	b = append(b, `","intent":"`...)
	b = append(b, w.role.name...)
	b = append(b, '-')
	b = strconv.AppendInt(b, int64(x.intent), 10)
	b = append(b, '"')
	t := &c.role.tools[c.tool]
	hashed := definition(t)
	if c.name != "" {
		b = append(b, `,"tool":{"name":"`...)
		b = append(b, c.name...)
		b = append(b, `","server":"`...)
		b = append(b, t.server...)
		b = append(b, `","class":"write","definition_hash":"`...)
		hashed = HashText(c.name)
	} else {
		b = append(b, c.role.heads[c.tool]...)
	}
	if c.redefined {
		hashed = hash(hashed, HashText(x.agent.id))
	}
	b = appendHex(b, hashed)
	b = append(b, `"},"resource":{"type":"`...)
	b = append(b, t.resource...)
	b = append(b, `","id":"`...)
	b = append(b, t.resource...)
	b = append(b, '-')
	b = strconv.AppendUint(b, c.resource, 10)
	if c.tenant != "" {
		b = append(b, `","tenant":"`...)
		b = append(b, c.tenant...)
	}
	b = append(b, `"}`...)
	if c.subject != 0 {
		b = append(b, `,"subject":"customer-`...)
		b = strconv.AppendUint(b, c.subject, 10)
		b = append(b, '"')
	}
	if c.provenance != "" {
		b = c.appendDestination(b, t)
	}
	b = append(b, `,"result":{"outcome":"`...)
	b = append(b, c.outcome...)
	b = append(b, `","bytes":`...)
	b = strconv.AppendInt(b, c.bytes, 10)
	if c.records >= 0 {
		b = append(b, `,"records":`...)
		b = strconv.AppendInt(b, c.records, 10)
	}
	b = append(b, '}')
	if c.amount > 0 {
		b = append(b, `,"amount":{"value":"`...)
		b = appendDecimal(b, uint64(c.amount), 2)
		b = append(b, `","currency":"EUR"}`...)
	}
	b = append(b, `,"cost":{"usd":"`...)
	b = appendDecimal(b, uint64(c.cost), 6)
	return append(b, "\"}}\n"...)
}

// toolFor is the tool that a step calls: since a roll-out, half of what was written with others
// goes through the new tool, which not all have at once.
func (s *Weeks) toolFor(x *session, tool int) int {
	r := x.agent.role
	if s.o.Drift&Rollout == 0 || r.tools[tool].class != "write" || x.at < Start+WorkflowDay*dayMS {
		return tool
	}
	if days := float64((x.at-Start)/dayMS-WorkflowDay) + 1; x.agent.rolloutOrder < days/3 && s.rng.Float64() < .5 {
		return len(r.tools) - 1
	}
	return tool
}

func (x *session) appendName(b []byte) []byte {
	b = append(b, x.agent.id...)
	if x.lone {
		b = append(b, "-t"...)
		b = strconv.AppendInt(b, x.attack.inc.First/minuteMS, 10)
		b = append(b, '-')
		return strconv.AppendInt(b, int64(x.serial), 10)
	}
	b = append(b, "-s"...)
	return strconv.AppendInt(b, int64(x.serial), 10)
}

// appendDestination appends where a call sends, also as its argument, with where the argument came
// from.
func (c *call) appendDestination(b []byte, t *tool) []byte {
	kind, argument := "email", "to"
	switch {
	case t.class == "pay":
		kind, argument = "account", "account"
	case t.resource == "page":
		kind, argument = "url", "url"
	case t.resource == "branch":
		kind, argument = "repo", "remote"
	}
	value := func(b []byte) []byte {
		switch kind {
		case "account", "repo":
			return append(append(append(b, c.address...), '/'), c.domain...)
		case "url":
			return append(append(append(append(b, "https://"...), c.domain...), '/'), c.address...)
		}
		return append(append(append(b, c.address...), '@'), c.domain...)
	}
	b = append(b, `,"destination":{"kind":"`...)
	b = append(b, kind...)
	b = append(b, `","value":"`...)
	b = value(b)
	b = append(b, `","domain":"`...)
	b = append(b, c.domain...)
	b = append(b, `","external":`...)
	b = strconv.AppendBool(b, c.external)
	b = append(b, `},"args":{"`...)
	b = append(b, argument...)
	b = append(b, `":"`...)
	b = value(b)
	b = append(b, `"},"provenance":{"`...)
	b = append(b, argument...)
	b = append(b, `":"`...)
	b = append(b, c.provenance...)
	return append(b, `"}`...)
}
