package rarity

import (
	"encoding/json"
	"strings"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
)

// fromTool tells whether the destination of a call came out of what a tool returned, as the
// producer says: of an argument that holds the destination, or, if the arguments were not sent, of
// any.
func fromTool(e *event.Event) bool {
	if len(e.Provenance) == 0 || len(e.Provenance) > detectors.MaxLooked || len(e.Args) > detectors.MaxLooked {
		return false
	}
	var from map[string]string
	if json.Unmarshal(e.Provenance, &from) != nil {
		return false
	}
	var args any
	if len(e.Args) > 2 {
		if json.Unmarshal(e.Args, &args) != nil {
			return false
		}
	}
	to := strings.ToLower(e.Destination.Value)
	if to == "" {
		to = strings.ToLower(e.Destination.Domain)
	}
	for path, source := range from { // whether one fits does not depend on the order
		if source != "tool" {
			continue
		}
		if args == nil {
			return true
		}
		if to != "" && containsText(valueAt(args, path), to) {
			return true
		}
	}
	return false
}

// valueAt is the value at the end of a path such as to, $.to[0].address or /to/0.
func valueAt(v any, path string) any {
	parts := strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]/'\"", r) })
	if len(parts) > 0 && (parts[0] == "$" || parts[0] == "args") {
		if m, ok := v.(map[string]any); !ok || m[parts[0]] == nil {
			parts = parts[1:]
		}
	}
	for _, p := range parts {
		switch w := v.(type) {
		case map[string]any:
			v = w[p]
		case []any:
			i := 0
			for _, c := range p {
				if c < '0' || c > '9' || i > len(w) {
					return nil
				}
				i = i*10 + int(c-'0')
			}
			if i >= len(w) {
				return nil
			}
			v = w[i]
		default:
			return nil
		}
	}
	return v
}

// containsText tells whether a text, or one in a list, contains the destination or is part of it.
func containsText(v any, to string) bool {
	switch w := v.(type) {
	case string:
		s := strings.ToLower(strings.TrimSpace(w))
		return s != "" && (strings.Contains(s, to) || len(s) >= 4 && strings.Contains(to, s))
	case []any:
		for _, o := range w {
			if s, ok := o.(string); ok && containsText(s, to) {
				return true
			}
		}
	}
	return false
}
