package rarity

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
)

// registered takes an audit event that a tool or a server was registered: then its first use is no
// finding. A source that the agent can spoof registers nothing.
func (d *rarity) registered(x *detectors.Scene, e *event.Event) {
	name := e.Audit.Target
	if name == "" {
		name = e.Tool.Name
	}
	if !detectors.MayAnnounce(e, "") || name == "" {
		return
	}
	p := x.Agent.Ensure(d.slot).(*agentDay)
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

func (p *agentDay) announce(t int64, f Field, hash uint64) {
	v := announcedValue{mixed(hash, uint64(f)), t + announcedMS}
	if p.detail == nil {
		p.detail = &agentDayDetail{}
		for _, k := range p.newest {
			if k != 0 {
				p.detail.add(k)
			}
		}
	}
	if p.detail.announced == nil {
		p.detail.announced = &[]announcedValue{}
	}
	told := slices.DeleteFunc(*p.detail.announced, func(o announcedValue) bool { return o.key == v.key || o.until < t })
	if len(told) == maxAnnounced {
		told = slices.Delete(told, 0, 1)
	}
	*p.detail.announced = append(told, v)
}

func (p *agentDay) announced(t int64, f Field, hash uint64) bool {
	if p.detail == nil || p.detail.announced == nil {
		return false
	}
	key := mixed(hash, uint64(f))
	return slices.ContainsFunc(*p.detail.announced, func(o announcedValue) bool { return o.key == key && t <= o.until })
}
