package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// The CACAO playbook is not run here, but it must hold together: steps, agents and variables that
// it names are there, and its acks are acks.
func TestTheCACAOPlaybookHoldsTogether(t *testing.T) {
	text, err := os.ReadFile("../../playbooks/breaker.cacao.json")
	if err != nil {
		t.Fatal(err)
	}
	type step struct {
		Type, Agent string
		Completion  string `json:"on_completion"`
		Success     string `json:"on_success"`
		Failure     string `json:"on_failure"`
		Cases       map[string]string
		Commands    []struct{ Type, Command, Content string }
	}
	var book struct {
		Type      string
		Spec      string `json:"spec_version"`
		Start     string `json:"workflow_start"`
		Workflow  map[string]step
		Variables map[string]struct{ Type string } `json:"playbook_variables"`
		Agents    map[string]struct{ Type string } `json:"agent_definitions"`
	}
	if err := json.Unmarshal(text, &book); err != nil {
		t.Fatal(err)
	}
	if book.Type != "playbook" || book.Spec != "cacao-2.0" {
		t.Errorf("%s of %s", book.Type, book.Spec)
	}
	id := regexp.MustCompile(`^([a-z-]+)--[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	reached := map[string]bool{}
	var walk func(name string)
	walk = func(name string) {
		s, ok := book.Workflow[name]
		if m := id.FindStringSubmatch(name); !ok || m == nil || m[1] != s.Type {
			t.Errorf("there is no step %s, or it is of another type", name)
			return
		}
		if reached[name] {
			return
		}
		reached[name] = true
		next := []string{s.Completion, s.Success, s.Failure}
		for _, c := range s.Cases {
			next = append(next, c)
		}
		next = slices.DeleteFunc(next, func(s string) bool { return s == "" })
		if len(next) == 0 && s.Type != "end" {
			t.Errorf("%s leads nowhere", name)
		}
		if _, ok := book.Agents[s.Agent]; s.Type == "action" && !ok {
			t.Errorf("%s has no agent", name)
		}
		for _, n := range next {
			walk(n)
		}
	}
	walk(book.Start)
	acks := 0
	for name, s := range book.Workflow {
		if !reached[name] {
			t.Errorf("no way leads to %s", name)
		}
		for _, action := range append(event.Actions(), "restore") {
			if s.Cases != nil && s.Cases[action] == "" && action != "escalate" {
				t.Errorf("%s: what about %s?", name, action)
			}
		}
		for _, c := range s.Commands {
			content := c.Content
			for _, m := range regexp.MustCompile(`__[a-z_]+__`).FindAllString(c.Command+content, -1) {
				if _, ok := book.Variables[m]; !ok {
					t.Errorf("%s: there is no variable %s", name, m)
				}
			}
			for variable, value := range map[string]string{"scope": `{"type":"agent","id":"a","tenant":"acme"}`,
				"epoch": "7", "command_id": "c", "tenant": "acme", "now": "2026-11-20T14:33:05.120Z",
				"action": "block"} {
				content = strings.ReplaceAll(content, "__"+variable+"__:value", value)
			}
			if content != "" && !json.Valid([]byte(content)) {
				t.Errorf("%s: %s", name, content)
			}
			if strings.Contains(c.Command, "agent.acks") {
				acks++
				var sent struct {
					Records []struct{ Value json.RawMessage }
				}
				if err := json.Unmarshal([]byte(content), &sent); err != nil || len(sent.Records) != 1 {
					t.Fatalf("%v in %s", err, content)
				}
				if _, err := event.ParseAck(sent.Records[0].Value); err != nil {
					t.Errorf("%v in %s", err, sent.Records[0].Value)
				}
			}
		}
	}
	if acks != 2 {
		t.Errorf("%d acks", acks)
	}
}
