package policy

import (
	"strconv"
	"time"
	_ "time/tzdata" // for machines that have no zones installed
)

// Tenant is what differs between tenants. A tenant that is not listed has the defaults.
type Tenant struct {
	Name string
	Zone *time.Location // of calendar days and working hours, where persona and limit name none; nil: UTC
	// Pages bounds the agents, sessions and scopes remembered of the tenant in all partitions of a stage together; 0: the engine's own bound.
	Pages int

	def tenantDef
}

type tenantDef struct {
	Name  string `json:"name"`
	Zone  string `json:"zone,omitempty"`
	Pages string `json:"pages,omitempty"`
}

// Tenant returns what is said of a tenant, or nil.
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

func (c *collector) loadTenants(files []*file) {
	type doc struct {
		Tenants []tenantDef `json:"tenants"`
	}
	each(c, files, func(d *doc, src *source) {
		for i, t := range d.Tenants {
			c.tenant(t, src, at("tenants", i))
		}
	})
}

func (c *collector) tenant(d tenantDef, src *source, path string) {
	c.use(src)
	bad := src.reporter(path)
	t := &Tenant{Name: d.Name}
	if d.Name == "" {
		bad("name", "a tenant needs a name; write it as it stands in the events")
		return
	}
	checkTenant(bad, "name", d.Name)
	key := [2]string{"tenant", d.Name}
	if first, dup := c.places[key]; dup {
		bad("name", "tenant %s is already at %s; remove one", quote(d.Name), first)
		return
	}
	c.places[key] = src.place(path)
	t.Zone = parseZone(bad, "zone", d.Zone)
	if d.Pages != "" {
		n, err := strconv.Atoi(d.Pages)
		if err != nil || n < 100 || n > 100_000_000 {
			bad("pages", "%s is no number of pages; use 100 to 100000000, or leave it out", quote(d.Pages))
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
		bad(path, "%s is no time zone; use a name of the IANA database, such as Europe/Berlin or UTC", quote(name))
		return nil
	}
	return z
}
