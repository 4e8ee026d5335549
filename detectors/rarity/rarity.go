package rarity

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/memo"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/policy"
)

// rarity says when an agent uses or reaches what no agent of its persona has: a tool, a tool for an
// intent, a server, a definition of a tool, a destination, a class of resources, a user, another
// agent.
//
// The unit is an agent's day. A test asks of one field whether the day brings something new, so
// each agent-day is one test of each field in which that would be odd, and its p-value is the
// probability that a day brings something new, or 1. What is worse than merely new (a payment goes
// there, and the account number came out of a tool's result) is a part of that event, with the
// smaller probability that the persona's days bring that: no further test. All that is new about
// one event is one finding; the p-values of its fields are joined by Cauchy.
//
// What an event that called somebody brought is held in quarantine (baselines.Quarantined); all
// else is known from the next day on.
type rarity struct {
	slot    byte
	set     *policy.Set
	values  []value
	fresh   []novelty
	ps      []float64
	domains []string
	shape   shape
	known   memo.Cache[uint64, string] // of a shape all of which a model knows: the hash of that model
}

// shape are hashes of what an event shows but for its user and its address: most events of an agent
// have one of a few dozens.
type shape struct {
	all                                      uint64
	tool, pair, server, definition, resource uint64 // 0: it has none
	domain                                   uint64 // of the first of its domains
}

func newRarity(slot byte, set *policy.Set) detectors.Detector {
	return &rarity{slot: slot, set: set, known: memo.NewCache[uint64, string](1024)}
}

// value is something that an event shows of a field.
type value struct {
	hash   uint64
	field  Field
	domain uint8 // index of its domain
	known  bool
	// judged: it is new by itself, 1, and in a circumstance, 2<<c: see baselines.Sighting.
	judged uint8
}

// novelty is a value that is new.
type novelty struct {
	*value
	p     float64
	worst Circumstance // that p rests on; Circumstances: it is merely new
	wide  bool         // new to the whole tenant
}

// Classes that hand something out of reach, and classes of tools whose first use is worth more than
// that of another.
const (
	reachClasses = 1<<event.Send | 1<<event.Pay | 1<<event.Grant | 1<<event.Delegate
	sinkClasses  = reachClasses | 1<<event.Delete | 1<<event.Exec | 1<<event.Approve
)

func (d *rarity) Observe(x *detectors.Scene, e *event.Event) {
	if x.Delta == nil { // nobody keeps baselines
		return
	}
	d.values = d.values[:0]
	switch e.Kind {
	case event.ToolCall, event.Handoff, event.Message:
	case event.Audit:
		d.registered(x, e)
		return
	default:
		return
	}
	to := recipient(e)
	if e.Kind != event.ToolCall && to == "" {
		return
	}
	p := x.Agent.Ensure(d.slot).(*acquaintance)
	p.begin(x.Time)
	var m *Model
	if x.Base != nil {
		m = ModelOf(x.Base)
		if p.marks&testedMark == 0 {
			p.marks |= testedMark
			for t := baselines.ToolTest; t <= baselines.EdgeTest; t++ {
				x.Delta.Audit.Of[t].Made += m.Made(t)
			}
		}
	}
	// What was only tried, or refused, is looked at but not learned.
	learn := x.Eligible && e.Phase != event.Attempt && e.Result.Outcome != event.Denied
	if learn && p.marks&countedMark == 0 {
		p.marks |= countedMark
		DeltaOf(x.Delta).Days++
	}
	whole := -1 // how many of the values are of the shape, if they have to be looked at
	// of them, that all have been counted today, if they are known: what the page says must not
	// depend on what the panel happens to remember
	counted := 0
	if e.Kind == event.ToolCall {
		d.hash(e)
		showed := learn && p.showed(d.shape.all)
		if model, ok := d.known.Get(d.shape.all, d.shape.all); m == nil || !ok || model != x.Base.Hash() ||
			learn && !showed {
			d.spread(e)
			if whole = len(d.values); showed {
				counted = whole
			}
		}
		if e.User != "" {
			d.add(UserField, xxhash.Sum64String(e.User))
		}
		if v := e.Destination.Value; v != "" {
			d.add(AddressField, Folded(v))
		}
	}
	if to != "" {
		d.edge(e, to)
	}
	fresh := false
	for i := range d.values {
		v := &d.values[i]
		if v.known = m != nil && m.Known(v.field, v.hash); !v.known {
			fresh = true
			whole = min(whole, i) // so that it is less than it was if it is one of the shape's
		} else if learn && i >= counted {
			d.learn(x, e, p, v, false)
		}
		if i+1 == whole && m != nil {
			d.known.Put(d.shape.all, d.shape.all, x.Base.Hash())
			if learn {
				p.shows(d.shape.all)
			}
		}
	}
	if !fresh {
		return
	}
	alert := m != nil && d.judge(x, e, p, m, learn)
	if !learn {
		return
	}
	for i := range d.values {
		if v := &d.values[i]; !v.known {
			d.learn(x, e, p, v, alert)
		}
	}
}

// mixed hashes a pair of hashes, in order.
func mixed(a, b uint64) uint64 {
	h := (a ^ 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
	return (h ^ h>>32 ^ b) * 0x9e3779b97f4a7c15
}

// folded hashes a text in any case.
func Folded(s string) uint64 {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			return foldedSlow(s)
		}
	}
	return xxhash.Sum64String(s)
}

func foldedSlow(s string) uint64 {
	var buf [event.MaxString]byte
	n := copy(buf[:], s)
	for i, c := range buf[:n] {
		if 'A' <= c && c <= 'Z' {
			buf[i] = c + 'a' - 'A'
		}
	}
	return xxhash.Sum64(buf[:n])
}

func (d *rarity) add(f Field, hash uint64) {
	d.values = append(d.values, value{hash: hash, field: f})
}

// hash takes the hashes of a tool call's shape.
func (d *rarity) hash(e *event.Event) {
	t, k := &e.Tool, &d.shape
	*k = shape{tool: xxhash.Sum64String(t.Name)}
	all, of := k.tool, k.tool
	if e.Intent != "" {
		k.pair = mixed(xxhash.Sum64String(e.Intent), k.tool)
		all = mixed(k.pair, 1)
	}
	if t.Server != "" {
		k.server = xxhash.Sum64String(t.Server)
		of = mixed(k.server, k.tool)
		all = mixed(all, k.server)
	}
	if t.DefinitionHash != "" {
		// as definitionHash
		k.definition = mixed(mixed(of, xxhash.Sum64String(t.HashVersion)), xxhash.Sum64String(t.DefinitionHash))
		all = mixed(all, k.definition)
	}
	if e.Resource.Type != "" {
		k.resource = ResourceHash(&e.Resource)
		all = mixed(all, k.resource^2)
	}
	d.domains = d.domains[:0]
	if to := &e.Destination; to.Domain != "" {
		d.domains = append(d.domains, to.Domain)
		k.domain = Folded(to.Domain)
		all = mixed(all, k.domain^3)
	} else if to.Value != "" || to.Kind != "" {
		if d.domains = catalogue.Domains(d.domains, to); len(d.domains) == 0 {
			d.domains = append(d.domains, "")
		}
		for i, s := range d.domains {
			h := domainHash(s, to.Kind)
			if i == 0 {
				k.domain = h
			}
			all = mixed(all, h^4)
		}
	}
	k.all = max(all, 1)
}

// resourceHash is the hash of what kind of resource it is, and where.
func ResourceHash(r *event.Resource) uint64 {
	h := mixed(xxhash.Sum64String(r.Type), xxhash.Sum64String(r.Environment))
	for _, l := range r.Labels {
		h += xxhash.Sum64String(l) // in any order
	}
	if c := r.Classification; c != "" && !slices.Contains(r.Labels, c) { // it is one of them to a persona
		h += xxhash.Sum64String(c)
	}
	return h
}

// domainHash is the hash of a domain; of a destination without one, that of its kind.
func domainHash(domain, kind string) uint64 {
	if domain == "" {
		return mixed(1, Folded(kind))
	}
	return Folded(domain)
}

// spread gathers the values of the shape.
func (d *rarity) spread(e *event.Event) {
	k := &d.shape
	d.add(ToolField, k.tool)
	if k.pair != 0 {
		d.add(IntentToolField, k.pair)
	}
	if k.server != 0 {
		d.add(ServerField, k.server)
	}
	if k.definition != 0 {
		d.add(DefinitionField, k.definition)
	}
	if k.resource != 0 {
		d.add(ResourceField, k.resource)
	}
	for i, s := range d.domains {
		domain := k.domain
		if i > 0 {
			if domain = domainHash(s, e.Destination.Kind); slices.ContainsFunc(d.values,
				func(v value) bool { return v.hash == domain }) {
				continue
			}
		}
		d.values = append(d.values, value{hash: domain, field: DomainField, domain: uint8(i)},
			value{hash: mixed(domain, k.tool), field: ToolDomainField, domain: uint8(i)})
	}
}

// recipient is the agent that an event hands work to or writes to, or "".
func recipient(e *event.Event) string {
	to := e.Delegation.To
	if to == "" && e.Kind == event.Message {
		to = e.Message.To
	}
	if to == e.Agent.ID {
		return ""
	}
	return to
}

// edge gathers to whom the event goes: to which persona, if a persona lists the agent.
func (d *rarity) edge(e *event.Event, to string) {
	if persona := d.set.PersonaOf(e.Tenant, to); persona != "" {
		d.add(EdgeField, mixed(2, xxhash.Sum64String(persona)))
		return
	}
	d.add(EdgeField, mixed(3, xxhash.Sum64String(to)))
}

// learn counts a value once a day.
func (d *rarity) learn(x *detectors.Scene, e *event.Event, p *acquaintance, v *value, held bool) {
	first, of := p.meets(v.field, v.hash)
	if of {
		DeltaOf(x.Delta).Appear(v.field)
	}
	if !first {
		return
	}
	s := DeltaOf(x.Delta).See(v.field, v.hash, held)
	if v.field == ToolField {
		s.Classes |= classesOf(e)
	}
	if v.known {
		return
	}
	s.Agents |= 1 << (x.AgentID & 63)
	if held {
		s.Judged |= v.judged
	}
	if s.Name == "" && v.field.Named() {
		s.Name = baselines.Name(d.name(e, v))
	}
	switch v.field {
	case DefinitionField:
		s.Of, s.Form = definitionOf(&e.Tool)
	case ToolField, IntentToolField:
		s.Sink = s.Sink || classesOf(e)&sinkClasses != 0
	case DomainField, AddressField, ToolDomainField:
		s.Sink = s.Sink || classesOf(e)&reachClasses != 0
	}
}

// classesOf is what a call claims to do and what it did: bit per class.
func classesOf(e *event.Event) uint16 {
	return (1<<e.Tool.Class | 1<<e.Result.Effect) &^ (1 << event.NoClass)
}

// definitionHash is the hash of a definition of a tool.
func definitionHash(t *event.Tool) uint64 {
	of, form := definitionOf(t)
	return mixed(mixed(of, form), xxhash.Sum64String(t.DefinitionHash))
}

// definitionOf are the hashes of whose definition it is, and of its form.
func definitionOf(t *event.Tool) (of, form uint64) {
	of = xxhash.Sum64String(t.Name)
	if t.Server != "" {
		of = mixed(xxhash.Sum64String(t.Server), of)
	}
	return of, xxhash.Sum64String(t.HashVersion)
}

// name is the name of a value of a named field.
func (d *rarity) name(e *event.Event, v *value) string {
	switch v.field {
	case ToolField:
		return e.Tool.Name
	case ServerField:
		return e.Tool.Server
	case DefinitionField:
		return prefixOf(e.Tool.DefinitionHash)
	case DomainField:
		return d.domain(e, v)
	case ResourceField:
		return ResourceClass(&e.Resource)
	}
	return ""
}

// domain is the domain of a value, or its kind and a colon.
func (d *rarity) domain(e *event.Event, v *value) string {
	if s := d.domains[v.domain]; s != "" {
		return strings.ToLower(s)
	}
	return strings.ToLower(e.Destination.Kind) + ":"
}

// ResourceClass names a class of resources: type, environment and labels, each after a bar. The
// classification is one of the labels.
func ResourceClass(r *event.Resource) string {
	labels := slices.Clone(r.Labels)
	if c := r.Classification; c != "" && !slices.Contains(labels, c) {
		labels = append(labels, c)
	}
	slices.Sort(labels)
	return r.Type + "|" + r.Environment + "|" + strings.Join(labels, ",")
}

// prefixOf is the part of a hash that people compare.
func prefixOf(hash string) string {
	if i := strings.IndexByte(hash, ':'); i >= 0 && i < 16 { // sha256:…
		hash = hash[i+1:]
	}
	return hash[:min(12, len(hash))]
}

// judge looks at what is new about an event and says whether somebody is called for it.
func (d *rarity) judge(x *detectors.Scene, e *event.Event, p *acquaintance, m *Model, learn bool) (alert bool) {
	var prior *Model
	if x.Base.Prior != nil && ModelOf(x.Base.Prior).Ready() {
		prior = ModelOf(x.Base.Prior)
	}
	if !m.Ready() && prior == nil {
		return false
	}
	d.gather(x, e, p, m, prior)
	if len(d.fresh) == 0 {
		return false
	}
	classes := classesOf(e)
	if m.Ready() {
		tainted := -1 // not looked at yet
		for i := range d.fresh {
			d.worsen(&d.fresh[i], m, e, classes, &tainted)
		}
	}
	d.ps = d.ps[:0]
	worst := -1
	for i := range d.fresh {
		if n := &d.fresh[i]; n.p < Odd {
			d.ps = append(d.ps, n.p)
			if worst < 0 || n.p < d.fresh[worst].p {
				worst = i
			}
		}
	}
	tell, joint := false, 1.0
	if worst >= 0 {
		if joint = d.ps[0]; len(d.ps) > 1 {
			joint = baselines.Cauchy(d.ps...)
		}
		x.Odd[d.slot] = joint
		tell, alert = x.Weigh(d.fresh[worst].field.Test(), joint)
		alert = alert && m.Ready()
	}
	if m.Ready() {
		d.count(x, p, m, learn && !alert)
	}
	if tell {
		d.tell(x, e, p, m, &d.fresh[worst], joint, alert)
	}
	return alert
}

// gather puts into fresh what is new and says something, with the probability that a day brings
// something new there.
func (d *rarity) gather(x *detectors.Scene, e *event.Event, p *acquaintance, m, prior *Model) {
	d.fresh = d.fresh[:0]
	var isNew [Fields]bool
	var newDomains uint64
	for i := range d.values {
		if v := &d.values[i]; !v.known {
			isNew[v.field] = true
			if v.field == DomainField {
				newDomains |= 1 << (v.domain & 63)
			}
		}
	}
	for i := range d.values {
		v := &d.values[i]
		if v.known {
			continue
		}
		declared := p.announced(x.Time, v.field, v.hash)                      // or by the persona itself
		if wide := x.Base.Prior; wide != nil && v.field.Wide() && !declared { // or to anybody of the tenant
			k := ModelOf(wide).Of[v.field].Find(v.hash)
			declared = k != nil && k.Via == Declared
		}
		switch v.field {
		case ToolField:
			declared = declared || x.Role != nil && x.Role.Declares(policy.Tools, e.Tool.Name)
		case ServerField:
			declared = declared || x.Role != nil && x.Role.Declares(policy.Servers, e.Tool.Server)
		case DomainField:
			declared = x.Role != nil && d.domains[v.domain] != "" &&
				x.Role.Declares(policy.Destinations, d.domains[v.domain])
		case IntentToolField:
			declared = isNew[ToolField]
		case DefinitionField:
			declared = declared || isNew[ToolField] || !d.changed(x, e, m)
		case AddressField:
			declared = newDomains != 0
		case ToolDomainField:
			declared = isNew[ToolField] || newDomains&(1<<(v.domain&63)) != 0
		}
		if declared {
			continue
		}
		v.judged = 1
		n := novelty{value: v, p: 1, worst: Circumstances}
		if m.Ready() {
			if !m.Supported(v.field) {
				continue
			}
			n.p = m.New(v.field)
		}
		if prior != nil && v.field.Wide() && prior.Supported(v.field) {
			if prior.Known(v.field, v.hash) {
				if !m.Ready() {
					continue
				}
			} else {
				// what is new to the tenant is new to its personas: part of the same event
				n.wide, n.p = true, min(n.p, prior.New(v.field))
			}
		}
		d.fresh = append(d.fresh, n)
	}
}

// changed tells whether a definition that is new is one where another of the same form is known:
// else the tool is new to this server, or is hashed in another way. The one that the inventory pins
// is no change.
func (d *rarity) changed(x *detectors.Scene, e *event.Event, m *Model) bool {
	of, form := definitionOf(&e.Tool)
	same, _ := m.Definition(of, form)
	return same != nil && d.set.Inventory().Find(policy.ToolThing, x.Tenant, e.Tool.Name,
		e.Tool.Server).Hash != e.Tool.DefinitionHash
}

// worsen takes a smaller probability if what is new is also worse.
func (d *rarity) worsen(n *novelty, m *Model, e *event.Event, classes uint16, tainted *int) {
	take := func(c Circumstance) {
		n.judged |= 2 << c
		if p := m.Happens(c); p < n.p {
			n.p, n.worst = p, c
		}
	}
	switch n.field {
	case ToolField, IntentToolField:
		if classes&sinkClasses != 0 {
			take(NewSink)
		}
	case DomainField, AddressField:
		if classes&reachClasses == 0 {
			return
		}
		take(NewReach)
		if *tainted < 0 {
			*tainted = 0
			if fromTool(e) {
				*tainted = 1
			}
		}
		if *tainted == 1 {
			take(TaintedReach)
		}
	}
}

// count notes what the day of the agent brought, once: for the audit always, for what is usual if
// it may be learned.
func (d *rarity) count(x *detectors.Scene, p *acquaintance, m *Model, learn bool) {
	for i := range d.fresh {
		n := &d.fresh[i]
		if bit := uint16(1) << n.field; p.marks&bit == 0 {
			p.marks |= bit
			if n.p < Odd {
				t := n.field.Test()
				x.Delta.Audit.Count(t, n.p)
				x.Delta.Audit.Of[t].Made-- // it was counted when the day began
			}
			if learn && m.Held(n.field, n.hash) == nil {
				DeltaOf(x.Delta).Novel(n.field)
			}
		}
		if !learn || m.Held(n.field, n.hash) != nil {
			continue
		}
		for c := range Circumstances {
			if bit := uint16(circumstanceMark) << c; n.judged&(2<<c) != 0 && p.marks&bit == 0 {
				p.marks |= bit
				DeltaOf(x.Delta).Worse[c]++
			}
		}
	}
}

// fromTool tells whether the destination of a call came out of what a tool returned, as the
// producer says: of an argument that holds the destination, or, if the arguments were not sent, of
// any.
func fromTool(e *event.Event) bool {
	if len(e.Provenance) == 0 || len(e.Provenance) > detectors.MaxLooked || len(e.Args) > detectors.MaxLooked {
		return false
	}
	var from map[string]string
	if json.Unmarshal(e.Provenance, &from) != nil {
		return false
	}
	var args any
	if len(e.Args) > 2 {
		if json.Unmarshal(e.Args, &args) != nil {
			return false
		}
	}
	to := strings.ToLower(e.Destination.Value)
	if to == "" {
		to = strings.ToLower(e.Destination.Domain)
	}
	for path, source := range from { // whether one fits does not depend on the order
		if source != "tool" {
			continue
		}
		if args == nil {
			return true
		}
		if to != "" && holds(follow(args, path), to) {
			return true
		}
	}
	return false
}

// follow goes along a path such as to, $.to[0].address or /to/0.
func follow(v any, path string) any {
	parts := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]/'\"", r) })
	if len(parts) > 0 && (parts[0] == "$" || parts[0] == "args") {
		if m, ok := v.(map[string]any); !ok || m[parts[0]] == nil {
			parts = parts[1:]
		}
	}
	for _, p := range parts {
		switch w := v.(type) {
		case map[string]any:
			v = w[p]
		case []any:
			i := 0
			for _, c := range p {
				if c < '0' || c > '9' || i > len(w) {
					return nil
				}
				i = i*10 + int(c-'0')
			}
			if i >= len(w) {
				return nil
			}
			v = w[i]
		default:
			return nil
		}
	}
	return v
}

// holds tells whether a text, or one in a list, has the destination in it, or is part of it.
func holds(v any, to string) bool {
	switch w := v.(type) {
	case string:
		s := strings.ToLower(strings.TrimSpace(w))
		return s != "" && (strings.Contains(s, to) || len(s) >= 4 && strings.Contains(to, s))
	case []any:
		for _, o := range w {
			if s, ok := o.(string); ok && holds(s, to) {
				return true
			}
		}
	}
	return false
}

// registered hears that a tool or a server was registered: it is new to nobody then. A source that
// the agent can spoof registers nothing.
func (d *rarity) registered(x *detectors.Scene, e *event.Event) {
	name := e.Audit.Target
	if name == "" {
		name = e.Tool.Name
	}
	if !detectors.MayAnnounce(e, "") || name == "" {
		return
	}
	p := x.Agent.Ensure(d.slot).(*acquaintance)
	switch e.Audit.Action {
	case "tool_registered", "tool_updated", "config_change":
		a := detectors.Announcement(e.Audit.After)
		if e.Audit.Action != "tool_registered" && a.DefinitionHash == "" {
			return
		}
		t := event.Tool{Name: name, Server: e.Tool.Server, DefinitionHash: a.DefinitionHash, HashVersion: a.HashVersion}
		if server, tool, both := strings.Cut(name, "|"); both && t.Server == "" {
			t.Name, t.Server = tool, server
		}
		t.Normalise()
		if a.DefinitionHash != "" {
			h := definitionHash(&t)
			p.announce(x.Time, DefinitionField, h)
			DeltaOf(x.Delta).Declare(DefinitionField, h, prefixOf(a.DefinitionHash))
		}
		if e.Audit.Action != "tool_registered" {
			return
		}
		p.announce(x.Time, ToolField, xxhash.Sum64String(t.Name))
		if t.Server != "" {
			p.announce(x.Time, ServerField, xxhash.Sum64String(t.Server))
		}
		if server, tool, both := strings.Cut(name, "|"); both && e.Tool.Server == "" {
			name = tool
			DeltaOf(x.Delta).Declare(ServerField, xxhash.Sum64String(server), server)
		} else if server, tool, full := event.SplitTool(name); full {
			name = tool
			if e.Tool.Server == "" {
				DeltaOf(x.Delta).Declare(ServerField, xxhash.Sum64String(server), server)
			}
		}
		DeltaOf(x.Delta).Declare(ToolField, xxhash.Sum64String(name), name)
	case "server_registered":
		p.announce(x.Time, ServerField, xxhash.Sum64String(name))
		DeltaOf(x.Delta).Declare(ServerField, xxhash.Sum64String(name), name)
	}
}

// acquaintance is what an agent has shown on its day, so that a value counts once, and the findings
// that may still grow.
type acquaintance struct {
	day   uint16
	marks uint16         // bit per field that has brought something new; and
	few   [Fields]uint16 // the newest value of each field: mostly the next event's, too
	more  *acquaintances // nil until a field shows a second one
}

// announcedValue is a tool, a server or a definition that an audit event of the agent has
// announced. From the next day on the persona's baseline knows it; until then, and for as long as
// agents are slow to come to it, it is no surprise.
type announcedValue struct {
	key   uint64 // of field and value
	until int64
}

const (
	announcedMS = 7 * baselines.DayMS
	// the oldest goes: the agent cannot announce, and a value that goes is in the baseline the next
	// day
	maxAnnounced = 16
)

func (p *acquaintance) announce(t int64, f Field, hash uint64) {
	v := announcedValue{mixed(hash, uint64(f)), t + announcedMS}
	if p.more == nil {
		p.more = &acquaintances{}
		for _, k := range p.few {
			if k != 0 {
				p.more.note(k)
			}
		}
	}
	if p.more.told == nil {
		p.more.told = &[]announcedValue{}
	}
	told := slices.DeleteFunc(*p.more.told, func(o announcedValue) bool { return o.key == v.key || o.until < t })
	if len(told) == maxAnnounced {
		told = slices.Delete(told, 0, 1)
	}
	*p.more.told = append(told, v)
}

func (p *acquaintance) announced(t int64, f Field, hash uint64) bool {
	if p.more == nil || p.more.told == nil {
		return false
	}
	key := mixed(hash, uint64(f))
	return slices.ContainsFunc(*p.more.told, func(o announcedValue) bool { return o.key == key && t <= o.until })
}

const (
	countedMark      = 1 << (Fields + iota) // the day is counted
	testedMark                              // its tests are
	circumstanceMark                        // and what was worse than new
)

var _ uint16 = circumstanceMark << (Circumstances - 1) // all marks fit

type acquaintances struct {
	shapes [32]uint8 // bits of hashes of shapes all of which have been counted, by other bits
	seen   [buckets][2]uint64
	open   detectors.Tallies
	told   *[]announcedValue // oldest first, at most maxAnnounced; nil: nothing, as for nearly all
}

// A table of 96 values, by 16 bits of their hash, eight in a bucket: one value in a thousand is
// taken for one that was seen, so it counts a day later. Whether a value is known is never asked
// here, but of the baseline, by its whole hash.
const (
	buckets = 12
	lanes   = 0x0001_0001_0001_0001 // a 1 in each 16 bits
)

// begin forgets what was shown on a day before.
func (p *acquaintance) begin(t int64) {
	day := uint16(wire.FloorDiv(t, baselines.DayMS))
	if int16(day-p.day) <= 0 && p.marks != 0 {
		return
	}
	p.day, p.marks, p.few = day, 0, [Fields]uint16{}
	if p.more != nil {
		if len(p.more.open) == 0 && p.more.told == nil {
			p.more = nil
		} else {
			*p.more = acquaintances{open: p.more.open, told: p.more.told}
		}
	}
}

// meets notes a value and tells whether it is the agent's first of that kind on the day, and
// whether the field's.
func (p *acquaintance) meets(f Field, hash uint64) (first, of bool) {
	k := max(uint16(mixed(hash, uint64(f))>>48), 1)
	last := p.few[f]
	if last == k {
		return false, false
	}
	p.few[f] = k
	if p.more == nil {
		if last == 0 {
			return true, true
		}
		p.more = &acquaintances{}
		for i, k := range p.few {
			if Field(i) == f {
				k = last
			}
			if k != 0 {
				p.more.note(k)
			}
		}
	}
	return p.more.note(k), last == 0
}

// note puts a value into the table and tells whether it was not there.
func (m *acquaintances) note(k uint16) bool {
	b := &m.seen[uint(k)*buckets>>16]
	if empty16(b[0]^uint64(k)*lanes)|empty16(b[1]^uint64(k)*lanes) != 0 {
		return false
	}
	for i := range b {
		if e := empty16(b[i]); e != 0 {
			b[i] |= uint64(k) << (bits.TrailingZeros64(e) &^ 15)
			return true
		}
	}
	// Full: the one that came first would count again.
	b[0] = b[0]>>16 | b[1]<<48
	b[1] = b[1]>>16 | uint64(k)<<48
	return true
}

// empty16 is not 0 if one of the four 16-bit numbers in x is; the lowest bit that is set is the
// highest of the first such number (Mycroft's test).
func empty16(x uint64) uint64 { return (x - lanes) &^ x & (lanes << 15) }

// showed tells whether all of a shape has been counted today, nearly for certain. shows notes that
// it has.
func (p *acquaintance) showed(all uint64) bool {
	return p.more != nil && p.more.shapes[all>>59] == uint8(all>>51)|1
}

func (p *acquaintance) shows(all uint64) {
	if p.more != nil {
		p.more.shapes[all>>59] = uint8(all>>51) | 1
	}
}

// Append encodes the part.
func (p *acquaintance) Append(b []byte) []byte {
	if p.marks == 0 && p.more == nil {
		return b
	}
	flags := byte(0)
	if p.more != nil {
		flags = 1
		if len(p.more.open) > 0 {
			flags = 3
		}
		if p.more.told != nil {
			flags |= 4
		}
	}
	b = append(b, flags)
	b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, p.day), p.marks)
	for _, k := range p.few {
		b = binary.BigEndian.AppendUint16(b, k)
	}
	if p.more == nil {
		return b
	}
	b = append(b, p.more.shapes[:]...)
	for i := range p.more.seen {
		k := &p.more.seen[i]
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, k[0]), k[1])
	}
	if flags&2 != 0 {
		b = p.more.open.Append(b)
	}
	if flags&4 != 0 {
		b = append(b, byte(len(*p.more.told)))
		for _, v := range *p.more.told {
			b = binary.AppendVarint(binary.BigEndian.AppendUint64(b, v.key), v.until)
		}
	}
	return b
}

// Decode reads what Append wrote.
func (p *acquaintance) Decode(r *wire.Reader) {
	*p = acquaintance{}
	flags := r.Byte()
	two := func() uint16 { return uint16(r.Byte())<<8 | uint16(r.Byte()) }
	p.day, p.marks = two(), two()
	for f := range p.few {
		p.few[f] = two()
	}
	if flags > 7 || flags&1 == 0 && flags != 0 {
		r.Fail()
	}
	if flags&1 == 0 || r.Err != nil {
		return
	}
	p.more = &acquaintances{}
	if len(r.B) < len(p.more.shapes) {
		r.Fail()
		return
	}
	r.B = r.B[copy(p.more.shapes[:], r.B):]
	for i := range p.more.seen {
		p.more.seen[i] = [2]uint64{r.Uint64(), r.Uint64()}
	}
	if flags&2 != 0 {
		p.more.open.Decode(r)
	}
	if flags&4 != 0 {
		n := r.Byte()
		if n == 0 || n > maxAnnounced {
			r.Fail()
		}
		p.more.told = &[]announcedValue{}
		for range n {
			if r.Err != nil {
				return
			}
			*p.more.told = append(*p.more.told, announcedValue{r.Uint64(), r.Varint()})
		}
	}
}

// rarityKind registers the detector of what is new.
var Kind = detectors.Kind{Name: "rarity", Slot: Slot, New: newRarity, Part: func() detectors.Part { return new(acquaintance) },
	Learns: baselines.PartKind{Unframed: true,
		Delta: func() baselines.DeltaPart { return new(Delta) },
		Model: func() baselines.ModelPart { return new(Model) }},
	Oddity: true}
