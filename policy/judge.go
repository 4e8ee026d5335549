package policy

import (
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
)

// Judge applies a persona to the calls of one tenant. It remembers what it said of tools and which
// offset its zone has now, so it belongs to one goroutine; what it says follows from its arguments
// alone.
type Judge struct {
	*Persona
	zone  *time.Location
	clock *localtime.Clock // nil: no hours
	tools map[*Tool][]Violation
}

// rememberedTools bounds the tools that a judge remembers; beyond, it starts anew.
const rememberedTools = 256

// Judge returns a judge for a persona and the tenant of its agents; nil if the set says nothing of
// the persona.
func (s *Set) Judge(tenant, persona string) *Judge {
	if p := s.Persona(tenant, persona); p != nil {
		return s.judge(tenant, p)
	}
	return nil
}

func (s *Set) judge(tenant string, p *Persona) *Judge {
	j := &Judge{Persona: p, zone: p.Zone, tools: map[*Tool][]Violation{}}
	if j.zone == nil {
		j.zone = s.Zone(tenant)
	}
	if p.Hours != nil {
		j.clock = localtime.In(j.zone)
	}
	return j
}

// Check is Persona.Check with the persona's hours. t is what the catalogue knows of the event's
// tool, if it is known; now is event time made sane, Unix milliseconds.
func (j *Judge) Check(e *event.Event, t *Tool, now int64, dst []Violation) []Violation {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return dst
	}
	if t == nil {
		dst = j.tool(e, dst)
	} else {
		said, known := j.tools[t]
		if !known {
			said = j.remember(e, t)
		}
		dst = append(dst, said...)
	}
	dst = j.rest(e, dst)
	if j.clock != nil {
		if local := j.clock.Local(now); !j.Hours.Within(local) {
			dst = append(dst, Violation{hoursKind, sayLocal(local, j.zone), j.Hours.text, Deny})
		}
	}
	return dst
}

func (j *Judge) remember(e *event.Event, t *Tool) []Violation {
	if len(j.tools) >= rememberedTools {
		clear(j.tools)
	}
	said := j.tool(e, nil)
	for i := range said {
		said[i].Value = strings.Clone(said[i].Value)
	}
	j.tools[t] = said
	return said
}
