package detectors

import (
	"encoding/json"

	"github.com/wayward-sec/wayward/event"
)

// announced is what an audit event says of a thing, before or after a change: as the fields of
// events are named, by themselves or under agent and tool.
type announced struct {
	Version        string `json:"version"`
	DefinitionHash string `json:"definition_hash"`
	HashVersion    string `json:"hash_version"`
}

// announcement reads audit.before or audit.after. What is of another type is left out.
func Announcement(raw []byte) (a announced) {
	if len(raw) == 0 || len(raw) > MaxLooked {
		return a
	}
	var x struct {
		announced
		Agent, Tool announced
	}
	_ = json.Unmarshal(raw, &x) // after a value of the wrong type it goes on with the others
	a = x.announced
	for _, o := range []announced{x.Agent, x.Tool} {
		if a.Version == "" {
			a.Version = o.Version
		}
		if a.DefinitionHash == "" {
			a.DefinitionHash, a.HashVersion = o.DefinitionHash, o.HashVersion
		}
	}
	for _, s := range []*string{&a.Version, &a.DefinitionHash, &a.HashVersion} {
		if len(*s) > event.MaxString {
			*s = ""
		}
	}
	return a
}

// mayAnnounce tells whether an audit event may vouch for an agent, or with "" for something else:
// its source must not be one that the agent can spoof, and an agent does not vouch for itself. What
// comes from a gateway about the agent under whose name it stands must say that it is trusted.
func MayAnnounce(e *event.Event, agent string) bool {
	return e.Source.Trusted != event.No && (agent != e.Agent.ID || e.Source.Trusted == event.Yes)
}

// MaxLooked bounds what is parsed of one event, in bytes.
const MaxLooked = 64 << 10
