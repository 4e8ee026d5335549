package explain

import (
	"fmt"
	"time"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// Scope is a scope in words: acme agent agt-7731.
func Scope(s event.Scope) string {
	text := s.Type.String() + " " + terminal.Visible(s.ID, 200)
	if s.Tenant != "" {
		text = s.Tenant + " " + text
	}
	if s.Agent != "" {
		text += " of " + terminal.Visible(s.Agent, 100)
	}
	return text
}

// Action is what a command asks for, in words: throttle to 10 in 1m.
func Action(a event.Action, r event.Rate) string {
	if r.Calls == 0 {
		return a.String()
	}
	text := fmt.Sprintf("%s to %d in %s", a, r.Calls, terminal.Short(time.Duration(r.PerSeconds)*time.Second))
	for i, c := range r.Classes {
		text += map[bool]string{true: " of ", false: ","}[i == 0] + c.String()
	}
	return text
}

// Lasting says for how long something is in force.
func Lasting(ms int64) string {
	if ms == 0 {
		return ""
	}
	return " for " + terminal.Short(time.Duration(ms)*time.Millisecond)
}
