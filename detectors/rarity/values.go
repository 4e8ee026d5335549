package rarity

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
)

// shape holds the hashes of what an event shows, without its user and its address. Most events of
// an agent have one of a few dozen shapes, so a shape whose values are all known is looked at once.
type shape struct {
	all                                      uint64
	tool, pair, server, definition, resource uint64 // 0: it has none
	domain                                   uint64 // of the first of its domains
}

// value is something that an event shows of a field.
type value struct {
	hash   uint64
	field  Field
	domain uint8 // index of its domain
	known  bool
	// judged is 1 if it is new by itself, and has bit 2<<c if it is new in circumstance c: see
	// Sighting.
	judged uint8
}

// Classes that hand something out of reach, and classes of tools whose first use is worth more than
// that of another.
const (
	reachClasses = 1<<event.Send | 1<<event.Pay | 1<<event.Grant | 1<<event.Delegate
	sinkClasses  = reachClasses | 1<<event.Delete | 1<<event.Exec | 1<<event.Approve
)

// mixed hashes a pair of hashes, in order.
func mixed(a, b uint64) uint64 {
	h := (a ^ 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
	return (h ^ h>>32 ^ b) * 0x9e3779b97f4a7c15
}

// Folded hashes a text, without regard to upper and lower case of ASCII letters.
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

// hashShape sets the hashes of a tool call's shape.
func (d *rarity) hashShape(e *event.Event) {
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

// ResourceHash is the hash of what kind of resource it is, and where.
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

// addShape adds the values of the shape.
func (d *rarity) addShape(e *event.Event) {
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

// addEdge adds to whom the event goes: the persona that lists the receiver, else the agent itself.
func (d *rarity) addEdge(e *event.Event, to string) {
	if persona := d.set.PersonaOf(e.Tenant, to); persona != "" {
		d.add(EdgeField, mixed(2, xxhash.Sum64String(persona)))
		return
	}
	d.add(EdgeField, mixed(3, xxhash.Sum64String(to)))
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
