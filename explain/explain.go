// Package explain puts findings and commands into words and pictures: what was observed, what is
// usual, how rare that is, and what followed.
//
// It knows nothing of where findings come from, whether a file or a topic. Begin reading at
// Explanations, which gathers records, and at Explanation.Write.
package explain

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/sinks"
)

// Explanation is a finding with what followed from it.
type Explanation struct {
	Finding      event.Finding
	Truncated    bool // when it was written
	Record       []byte
	Commands     []event.Command
	CommandsRead bool // else nobody knows whether there were any
}

// Explanations are findings by uid in the order in which they came first.
type Explanations struct {
	Want    string // beginning of a uid; empty: all
	List    []*Explanation
	byUID   map[string]*Explanation
	Foreign int   // records that are none of wayward
	First   error // what is wrong with the first of them
}

// Add takes a record of a finding. Of one that grew the newest state is kept.
func (e *Explanations) Add(record []byte) {
	if e.Want != "" && !bytes.Contains(record, []byte(e.Want)) {
		return
	}
	f, truncated, err := sinks.Read(record)
	if err != nil {
		if e.Foreign++; e.Foreign == 1 {
			e.First = err
		}
		return
	}
	if !strings.HasPrefix(f.UID, e.Want) {
		return
	}
	x := e.byUID[f.UID]
	switch {
	case x == nil:
		x = &Explanation{}
		if e.byUID == nil {
			e.byUID = map[string]*Explanation{}
		}
		e.byUID[f.UID] = x
		e.List = append(e.List, x)
	case f.Count < x.Finding.Count:
		return // an older state of it
	}
	x.Finding, x.Truncated, x.Record = f, truncated, bytes.Clone(record)
}

// CommandsRead says that all commands are known: what has none had none.
func (e *Explanations) CommandsRead() {
	for _, x := range e.List {
		x.CommandsRead = true
	}
}

// AddCommand keeps a command with the finding that caused it. One that was sent again is kept once.
func (e *Explanations) AddCommand(record []byte) error {
	c, err := event.ParseCommand(record)
	if err != nil {
		return err
	}
next:
	for _, x := range e.List {
		if x.Finding.UID != c.FindingUID || c.FindingUID == "" {
			continue
		}
		for _, k := range x.Commands {
			if k.ID == c.ID {
				continue next
			}
		}
		x.Commands = append(x.Commands, c)
	}
	return nil
}

// JSON is the explanation for programs: what the text says that the record does not, and the
// record.
func (x *Explanation) JSON() any {
	out := struct {
		UID      string            `json:"uid"`
		Title    string            `json:"title"`
		Why      string            `json:"why"`
		Alert    bool              `json:"is_alert"`
		Outcome  string            `json:"outcome"`
		Odds     string            `json:"odds,omitempty"`
		Commands []json.RawMessage `json:"commands"` // null: not known
		Record   json.RawMessage   `json:"record"`
	}{UID: x.Finding.UID, Title: x.Finding.Title, Why: x.Finding.Why, Alert: x.Finding.Alert,
		Outcome: Outcome(&x.Finding), Record: x.Record}
	if x.Finding.Anomaly != nil {
		out.Odds = event.Odds(x.Finding.Anomaly.P)
	}
	if x.CommandsRead {
		out.Commands = []json.RawMessage{}
	}
	for i := range x.Commands {
		out.Commands = append(out.Commands, x.Commands[i].Append(nil))
	}
	return out
}
