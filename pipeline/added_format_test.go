package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/formats"
)

// pairs is a format of this test: a line is "tenant agent: tool tool …", an event for each tool.
type pairs struct{}

func (pairs) Convert(_, value []byte, emit func(formats.Event)) error {
	who, tools, ok := strings.Cut(string(value), ":")
	tenant, agent, named := strings.Cut(who, " ")
	if !ok || !named {
		return &event.DecodeError{Reason: "not_json", Want: "tenant agent: tools"}
	}
	var err error
	for i, tool := range strings.Fields(tools) {
		if tool == "?" {
			err = &event.DecodeError{Reason: "not_json", Want: "a tool"}
			continue
		}
		b, _ := json.Marshal(map[string]any{"id": fmt.Sprint(tool, i), "time": 1767600000000 + 1000*i,
			"kind": "tool_call", "session": "s", "user": "u",
			"tenant": tenant, "agent": map[string]string{"id": agent}, "tool": map[string]string{"name": tool}})
		emit(formats.Event{Tenant: tenant, Agent: agent, Value: b})
	}
	return err
}

func (pairs) Salvage(_, value []byte) (event.Named, bool) {
	who, _, _ := strings.Cut(string(value), ":")
	tenant, agent, ok := strings.Cut(who, " ")
	return event.Named{Tenant: tenant, Agent: agent, ID: who}, ok
}

// addFormat adds a format for the length of a test: one line, as in formats.All.
func addFormat(t *testing.T, k formats.Kind) {
	all := formats.All
	formats.All = append(slices.Clone(all), k)
	t.Cleanup(func() { formats.All = all })
}
