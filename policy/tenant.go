package policy

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for machines that have no zones installed

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Tenant is the settings of a tenant. A tenant that is not listed has the defaults.
type Tenant struct {
	Name string
	Zone *time.Location // of calendar days and working hours, where persona and limit name none; nil: UTC
	// Pages bounds the agents, sessions and scopes of the tenant whose state is kept, in all
	// partitions of a stage together; 0: the engine's own bound.
	Pages int

	def tenantDef
}

type tenantDef struct {
	Name  string `json:"name"`
	Zone  string `json:"zone,omitempty"`
	Pages string `json:"pages,omitempty"`
}

// Tenant returns the settings of a tenant, or nil.
func (s *Set) Tenant(tenant string) *Tenant {
	for _, t := range s.tenants { // few
		if t.Name == tenant {
			return t
		}
	}
	return nil
}

// Zone is a tenant's zone: its own, else UTC.
func (s *Set) Zone(tenant string) *time.Location {
	if t := s.Tenant(tenant); t != nil && t.Zone != nil {
		return t.Zone
	}
	return time.UTC
}

// oneOrMore is a list of words of which one may be written without brackets.
type oneOrMore []string

// MarshalJSON writes one word as a word.
func (l oneOrMore) MarshalJSON() ([]byte, error) {
	if len(l) == 1 {
		return canonical(l[0]), nil
	}
	return canonical([]string(l)), nil
}

// UnmarshalJSON reads a word or a list.
func (l *oneOrMore) UnmarshalJSON(b []byte) error {
	var word string
	if json.Unmarshal(b, &word) == nil {
		*l = oneOrMore{word}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// compileTenants reads of which tenants the persona's agents may touch resources: their own, with
// exceptions, or any.
func (p *Persona) compileTenants(bad report, list oneOrMore) {
	const path = "resources.tenants"
	for i, word := range list {
		where := path
		if len(list) > 1 {
			where = at(path, i)
		}
		switch {
		case word == "any":
			if len(list) > 1 {
				bad(where, "any is every tenant, so it stands alone; remove it, or all the others")
			}
		case word == "own":
			p.OwnTenant = true
		case !IsID(strings.NewReplacer("*", "a", "?", "a").Replace(word)) || len(word) > 64:
			bad(where,
				"%s is no tenant; use own, for resources of the agent's own tenant, beside it names and patterns of others, or any",
				event.Quote(word))
		case len(list) == 1:
			bad(where, "%s alone would forbid the agent's own tenant; write [own, %s], or own or any", event.Quote(word),
				word)
		default:
			p.SharedBy = append(p.SharedBy, word)
		}
	}
	if len(p.SharedBy) > 0 && !p.OwnTenant && !slices.Contains(list, "any") {
		bad(path, "own is not among the tenants, so the agent's own would be forbidden; add own")
	}
	p.shared = glob.NewList(p.SharedBy, false)
	p.tenantRule = "own"
	if len(p.SharedBy) > 0 {
		p.tenantRule += ", " + strings.Join(p.SharedBy, ", ")
	}
}

func (c *collector) loadTenants(files []*file) {
	type doc struct {
		Tenants []tenantDef `json:"tenants"`
	}
	each(c, files, func(d *doc, src *source) {
		addAll(d.Tenants, c.addTenant, src, "tenants")
	})
}

func (c *collector) addTenant(d tenantDef, src *source, path string) {
	c.addSource(src)
	bad := src.reporter(path)
	t := &Tenant{Name: d.Name}
	if d.Name == "" {
		bad("name", "a tenant needs a name; write it as it stands in the events")
		return
	}
	checkTenant(bad, "name", d.Name)
	key := [2]string{"tenant", d.Name}
	if first, dup := c.places[key]; dup {
		bad("name", "tenant %s is already at %s; remove one", event.Quote(d.Name), first)
		return
	}
	c.places[key] = src.place(path)
	t.Zone = parseZone(bad, "zone", d.Zone)
	if d.Pages != "" {
		n, err := strconv.Atoi(d.Pages)
		if err != nil || n < 100 || n > 100_000_000 {
			bad("pages", "%s is no number of pages; use 100 to 100000000, or leave it out", event.Quote(d.Pages))
		}
		t.Pages = n
	}
	t.def = d
	c.tenants[d.Name] = t
}

// parseZone reads the name of a time zone; nil if there is none.
func parseZone(bad report, path, name string) *time.Location {
	if name == "" {
		return nil
	}
	z, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		bad(path, "%s is no time zone; use a name of the IANA database, such as Europe/Berlin or UTC", event.Quote(name))
		return nil
	}
	return z
}
