package event

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ThingSchema is the name of Thing on the wire.
const ThingSchema = "wayward.thing/v1"

// MaxVersions of one agent are remembered, the newest.
const MaxVersions = 8

// Registrations of things: whether the inventory has them, or keeps their kind at all.
const (
	Registered   = "yes"
	Unregistered = "no"
	Unkept       = "unkept" // no entry of this kind: nothing is unregistered
)

// Thing is an agent, tool or server as it was seen: the value of its key on the topic of the
// inventory. It is for people, and nothing is decided by it.
type Thing struct {
	Kind   string // agent, tool or server
	Tenant string
	ID     string // of a tool its name
	Server string // of a tool, if known
	// event time, Unix milliseconds; Last is as new as the record, which does not come with every
	// event
	First, Last    int64
	Persona        string // of an agent, as is what follows up to Tier: as last seen
	Owner          string
	Model          string
	Version        string
	Versions       []string // that were seen, oldest first, at most MaxVersions
	Tier           int64    // 0: unknown
	DefinitionHash string   // of a tool, as are the next two: as last seen
	HashVersion    string
	Class          Class
	Registered     string // Registered, Unregistered or Unkept
	Retired        bool
}

// AppendKey appends the record key, tenant|kind|id, with | and % inside ids percent-encoded. A tool
// on a server is tenant|tool|server|name.
func (t *Thing) AppendKey(b []byte) []byte {
	b = append(b, t.Tenant...)
	b = append(b, '|')
	b = append(b, t.Kind...)
	b = append(b, '|')
	if t.Server != "" {
		b = append(AppendKeyPart(b, t.Server), '|')
	}
	return AppendKeyPart(b, t.ID)
}

type wireThing struct {
	Schema         string   `json:"schema"`
	Kind           string   `json:"kind"`
	Tenant         string   `json:"tenant"`
	ID             string   `json:"id"`
	Server         string   `json:"server,omitempty"`
	First          string   `json:"first_seen"`
	Last           string   `json:"last_seen"`
	Persona        string   `json:"persona,omitempty"`
	Owner          string   `json:"owner,omitempty"`
	Model          string   `json:"model,omitempty"`
	Version        string   `json:"version,omitempty"`
	Versions       []string `json:"versions,omitempty"`
	Tier           int64    `json:"tier,omitempty"`
	DefinitionHash string   `json:"definition_hash,omitempty"`
	HashVersion    string   `json:"hash_version,omitempty"`
	Class          string   `json:"class,omitempty"`
	Registered     string   `json:"registered"`
	Retired        bool     `json:"retired,omitempty"`
}

// Append encodes the thing as wayward.thing/v1.
func (t *Thing) Append(b []byte) []byte {
	return appendJSON(b, wireThing{ThingSchema, t.Kind, t.Tenant, t.ID, t.Server, stamp(t.First), stamp(t.Last),
		t.Persona, t.Owner, t.Model, t.Version, t.Versions, t.Tier,
		t.DefinitionHash, t.HashVersion, t.Class.String(), t.Registered, t.Retired})
}

// ParseThing reads what Append wrote.
func ParseThing(b []byte) (Thing, error) {
	var w wireThing
	if err := json.Unmarshal(b, &w); err != nil {
		return Thing{}, fmt.Errorf("thing: %w", err)
	}
	if w.Schema != ThingSchema {
		return Thing{}, fmt.Errorf("thing: schema %s, this program reads %q", Quote(w.Schema), ThingSchema)
	}
	p := parser{what: "thing"}
	t := Thing{Kind: w.Kind, Tenant: w.Tenant, ID: w.ID, Server: w.Server, First: p.time("first_seen", w.First, true),
		Last: p.time("last_seen", w.Last, true), Persona: w.Persona,
		Owner: w.Owner, Model: w.Model, Version: w.Version, Versions: w.Versions, Tier: w.Tier,
		DefinitionHash: w.DefinitionHash, HashVersion: w.HashVersion, Registered: w.Registered,
		Retired: w.Retired}
	if w.Class != "" {
		var ok bool
		if t.Class, ok = ParseClass(w.Class); !ok {
			p.fail("class %s is unknown; use %s", Quote(w.Class), strings.Join(Classes(), ", "))
		}
	}
	return t, p.err
}
