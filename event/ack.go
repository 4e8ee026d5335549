package event

import (
	"slices"
	"strings"
)

// AckStatus is what a gateway says became of a command.
type AckStatus uint8

// Statuses of acks.
const (
	Received AckStatus = iota + 1
	Applied
	Rejected
	Failed
	Expired
)

var ackStatuses = []string{"", "received", "applied", "rejected", "failed", "expired"}

func (s AckStatus) String() string { return ackStatuses[s] }

// ParseAckStatus returns the status that a word names; 0: none.
func ParseAckStatus(word string) AckStatus { return AckStatus(max(0, slices.Index(ackStatuses, word))) }

// Ack is a record of agent.acks.
type Ack struct {
	CommandID string
	Tenant    string
	Scope     Scope
	Epoch     int64
	Time      int64 // of the gateway, Unix milliseconds
	Status    AckStatus
	By        string
	Detail    string
}

type wireAck struct {
	CommandID string    `json:"command_id"`
	Tenant    string    `json:"tenant,omitempty"`
	Scope     wireScope `json:"scope"`
	Epoch     int64     `json:"epoch"`
	Time      string    `json:"time"`
	Status    string    `json:"status"`
	By        string    `json:"by,omitempty"`
	Detail    string    `json:"detail,omitempty"`
}

// Append encodes the ack.
func (a *Ack) Append(b []byte) []byte {
	return appendJSON(b, wireAck{a.CommandID, a.Tenant, a.Scope.wire(), a.Epoch, stamp(a.Time), a.Status.String(), a.By,
		a.Detail})
}

// ParseAck reads a record of agent.acks. Gateways of others write it: every text is bounded, the
// tenant stands once or twice but alike.
func ParseAck(b []byte) (Ack, error) {
	var w wireAck
	p := parser{what: "ack"}
	if p.unmarshal(b, &w); p.err != nil {
		return Ack{}, p.err
	}
	if w.Scope.Tenant == "" && w.Scope.Type != "global" {
		w.Scope.Tenant = w.Tenant
	}
	a := Ack{CommandID: p.text("command_id", w.CommandID, 36), Tenant: w.Tenant, Scope: p.scope(w.Scope),
		Epoch: p.epoch(w.Epoch), Time: p.time("time", w.Time, true),
		By: p.text("by", w.By, MaxString), Detail: p.text("detail", w.Detail, MaxString)}
	for i, word := range ackStatuses[1:] {
		if word == w.Status {
			a.Status = AckStatus(i + 1)
		}
	}
	switch {
	case p.err != nil:
	case w.CommandID == "":
		p.fail("command_id is missing")
	case a.Status == 0:
		p.fail("status %s is unknown; use %s", Quote(w.Status), strings.Join(ackStatuses[1:], ", "))
	case w.Tenant != "" && w.Tenant != w.Scope.Tenant:
		p.fail("tenant %s is not that of the scope, %s", Quote(w.Tenant), Quote(w.Scope.Tenant))
	}
	return a, p.err
}
