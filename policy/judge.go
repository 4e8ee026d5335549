package policy

import (
	"strings"
	"time"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
)

// Judge applies a persona to the calls of one tenant. It caches verdicts on tools and the offset of
// its zone, so it belongs to one goroutine. The cache never changes a verdict.
type Judge struct {
	*Persona
	zone  *time.Location
	clock *localtime.Clock // nil: no hours
	tools map[*catalogue.Tool][]Violation
}

// rememberedTools bounds the cached tools. A full cache is emptied.
const rememberedTools = 256

// Judge returns a judge for a persona and the tenant of its agents; nil if the set has no such
// persona.
func (s *Set) Judge(tenant, persona string) *Judge {
	if p := s.Persona(tenant, persona); p != nil {
		return s.judge(tenant, p)
	}
	return nil
}

func (s *Set) judge(tenant string, p *Persona) *Judge {
	j := &Judge{Persona: p, zone: p.Zone, tools: map[*catalogue.Tool][]Violation{}}
	if j.zone == nil {
		j.zone = s.Zone(tenant)
	}
	if p.Hours != nil {
		j.clock = localtime.In(j.zone)
	}
	return j
}

// Check is Persona.Check and checks hours, too. t is the catalogue's tool of the event, or nil. now
// is the corrected event time in Unix milliseconds.
func (j *Judge) Check(e *event.Event, t *catalogue.Tool, now int64, dst []Violation) []Violation {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return dst
	}
	if t == nil {
		dst = j.judgeTool(e, dst)
	} else {
		said, known := j.tools[t]
		if !known {
			said = j.remember(e, t)
		}
		dst = append(dst, said...)
	}
	dst = j.judgeCall(e, dst)
	if j.clock != nil {
		if local := j.clock.Local(now); !j.Hours.Within(local) {
			dst = append(dst, Violation{hoursKind, sayLocal(local, j.zone), j.Hours.text, Deny})
		}
	}
	return dst
}

func (j *Judge) remember(e *event.Event, t *catalogue.Tool) []Violation {
	if len(j.tools) >= rememberedTools {
		clear(j.tools)
	}
	said := j.judgeTool(e, nil)
	for i := range said {
		said[i].Value = strings.Clone(said[i].Value)
	}
	j.tools[t] = said
	return said
}
