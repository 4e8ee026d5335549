package main

import (
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestSchemasArePrinted(t *testing.T) {
	for _, name := range append(event.Schemas(), "") {
		args := []string{"schema", name}
		if name == "" {
			name, args = "event", args[:1]
		}
		if out, errs, code := runCommand(t, args...); code != 0 || out != string(event.SchemaOf(name)) {
			t.Errorf("%s: exit %d %s", name, code, errs)
		}
	}
	if _, errs, code := runCommand(t, "schema", "commands"); code != 2 ||
		!strings.Contains(errs, `there is no schema "commands"; use event, command, breaker, ack, feedback`) {
		t.Errorf("exit %d %s", code, errs)
	}
}
