package main

import (
	"strings"
	"testing"
)

func TestShellsAreOfferedTheWords(t *testing.T) {
	for args, want := range map[string]string{
		"breaker trip ":                "session agent persona tool server user tenant global",
		"breaker restore ":             "session agent persona tool server user tenant global",
		"breaker show ":                "session agent persona tool server user tenant global",
		"breaker history ":             "session agent persona tool server user tenant global",
		"breaker trip agent ":          "",
		"breaker trip agent --action ": "observe throttle escalate block kill",
		"breaker list --type ":         "session agent persona tool server user tenant global",
		"breaker list --action ":       "observe throttle escalate block kill",
		"agents list --output ":        "table json",
		"baseline list --output ":      "table json",
		"baseline show --output ":      "text json",
		"explain --output ":            "text json",
		"schema ":                      "event command breaker ack feedback",
	} {
		out, _, _ := runCommand(t, append([]string{"__complete"}, strings.Split(args, " ")...)...)
		var words []string
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, ":") && !strings.HasPrefix(line, "--") {
				// flags that are still wanted are offered, too
				words = append(words, strings.TrimSpace(line))
			}
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}
