package policy

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// ruleDef is a rule as it is written: one YAML document.
type ruleDef struct {
	ID             string          `json:"id"`
	Title          string          `json:"title"`
	Why            string          `json:"why,omitempty"`
	Version        string          `json:"version,omitempty"`
	Status         string          `json:"status,omitempty"`
	Mode           string          `json:"mode,omitempty"`
	Severity       string          `json:"severity,omitempty"`
	Risk           string          `json:"risk,omitempty"`
	Tags           []string        `json:"tags,omitempty"`
	Authors        []string        `json:"authors,omitempty"`
	References     []string        `json:"references,omitempty"`
	FalsePositives []string        `json:"false_positives,omitempty"`
	Response       string          `json:"response,omitempty"`
	Tune           string          `json:"tune,omitempty"`
	UseCases       []string        `json:"use_cases,omitempty"`
	By             []string        `json:"by,omitempty"`
	Where          string          `json:"where,omitempty"`
	Window         string          `json:"window,omitempty"`
	Let            json.RawMessage `json:"let,omitempty"`
	Having         string          `json:"having,omitempty"`
	Within         string          `json:"within,omitempty"`
	Select         string          `json:"select,omitempty"`
	Steps          []stepDef       `json:"steps,omitempty"`
	Not            []stepDef       `json:"not,omitempty"`
	Absent         absentDef       `json:"absent,omitzero"`
	Params         json.RawMessage `json:"params,omitempty"`
	Lists          json.RawMessage `json:"lists,omitempty"`
	Explain        string          `json:"explain,omitempty"`
	Suppress       string          `json:"suppress,omitempty"`
	Exceptions     []exceptionDef  `json:"exceptions,omitempty"`
	Respond        respondDef      `json:"respond,omitzero"`
	Tests          []ruleTestDef   `json:"tests,omitempty"`
}

type stepDef struct {
	Name     string          `json:"name,omitempty"`
	Where    string          `json:"where"`
	Capture  json.RawMessage `json:"capture,omitempty"`
	Times    string          `json:"times,omitempty"`
	Distinct string          `json:"distinct,omitempty"`
	Let      json.RawMessage `json:"let,omitempty"`
	Having   string          `json:"having,omitempty"`
	After    string          `json:"after,omitempty"`
}

type absentDef struct {
	Where string `json:"where"`
	For   string `json:"for"`
}

type exceptionDef struct {
	Name    string `json:"name"`
	When    string `json:"when"`
	Reason  string `json:"reason"`
	Owner   string `json:"owner"`
	Expires string `json:"expires,omitempty"`
}

type ruleTestDef struct {
	Name    string          `json:"name"`
	Todo    string          `json:"todo,omitempty"`
	All     json.RawMessage `json:"all,omitempty"`
	Learned json.RawMessage `json:"baseline,omitempty"`
	Events  json.RawMessage `json:"events"`
	Expect  expectDef       `json:"expect"`
}

type expectDef struct {
	Findings string   `json:"findings,omitempty"`
	Why      string   `json:"why,omitempty"`
	At       []string `json:"at,omitempty"`
	Scope    string   `json:"scope,omitempty"`
}

// RuleKeys are the keys of a rule in the order in which they are best written.
func RuleKeys() []string { return keysOf(reflect.TypeFor[ruleDef]()) }

// ruleCode is the code of problems under a key of a rule.
func ruleCode(field string) string {
	key := field
	if i := strings.IndexAny(field, ".["); i >= 0 {
		key = field[:i]
	}
	return fmt.Sprintf("R%03d", 10+slices.Index(codedKeys, key))
}

// codedKeys are the keys of a rule in the order of their codes, which never change: R010 is the
// first; a new key goes to the end.
var codedKeys = []string{"id", "title", "why", "version", "status", "mode", "severity", "risk", "tags", "authors",
	"references", "false_positives", "response", "tune", "use_cases", "by", "where", "window",
	"let", "having", "within", "select", "steps", "not", "absent", "params", "lists", "explain", "suppress",
	"exceptions", "respond", "tests"}
