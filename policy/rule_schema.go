package policy

import (
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/rules"
)

// RuleSchema is the JSON Schema of a rule.
func RuleSchema() any {
	type object = map[string]any
	text := object{"type": []string{"string", "number", "boolean"}}
	words := func(list []string) object { return object{"enum": list} }
	texts := object{"type": "array", "items": text}
	open := object{"type": "object", "additionalProperties": true}
	closed := func(of object, required ...string) object {
		o := object{"type": "object", "additionalProperties": false, "properties": of}
		if len(required) > 0 {
			o["required"] = required
		}
		return o
	}
	expression := object{"type": []string{"string", "boolean", "number"},
		"description": "an expression: wayward rules fields lists what it may use"}
	names := object{"type": "object", "additionalProperties": expression}
	span := object{"type": "string", "pattern": `^(\d+d)?(\d+(\.\d+)?(h|m|s|ms))*$`,
		"description": "90s, 10m, 1h30m, 2d"}
	step := closed(object{"name": text, "where": expression, "capture": names, "times": text, "distinct": expression,
		"let": names, "having": expression, "after": text}, "where")
	var severities []string
	for s := event.Signal; s <= event.Critical; s++ {
		severities = append(severities, s.String())
	}
	s := closed(object{
		"id": object{"type": "string", "pattern": `^[A-Za-z0-9._-]{1,128}$`}, "title": text, "why": text,
		"version": text, "status": words(rules.Statuses), "mode": words(rules.Modes()),
		"severity": words(severities), "risk": object{"type": "integer", "minimum": 0, "maximum": 100}, "tags": texts,
		"authors": texts, "references": texts,
		"false_positives": texts, "response": text, "tune": text, "use_cases": texts,
		"by": object{"type": "array", "items": words(rules.Keys())}, "where": expression, "window": span, "let": names,
		"having": expression,
		"within": span, "select": words(rules.Selects()), "steps": object{"type": "array", "items": step,
			"maxItems": rules.MaxSteps}, "not": object{"type": "array", "items": step},
		"absent": closed(object{"where": expression, "for": span}, "where", "for"), "params": open, "lists": open,
		"explain": expression, "suppress": span,
		"exceptions": object{"type": "array",
			"items": closed(object{"name": text, "when": expression, "reason": text, "owner": text, "expires": text},
				"name", "when", "reason", "owner")},
		"respond": closed(object{"action": words(event.Actions()), "scope": words(event.ScopeTypes()),
			"duration": text, "calls": text, "per": span, "classes": texts}, "action"),
		"tests": object{"type": "array",
			"items": closed(object{"name": text, "todo": text, "all": open,
				"baseline": closed(object{"seen": open, "p": open, "quantile": open, "expected": open}),
				"events":   object{"type": "array", "items": open},
				"expect": closed(object{"findings": object{"type": "integer", "minimum": 0}, "why": text, "scope": text,
					"at": texts}, "findings")}, "name", "events", "expect")},
	}, "id", "title")
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", "A rule of wayward"
	return s
}
