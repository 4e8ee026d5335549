package response

import (
	"strconv"

	"github.com/wayward-sec/wayward/event"
)

// Findings of this package: their detector in findings and metrics, and their rules.
const (
	Detector       = "response"
	ruleUnenforced = "not-enforced"
	ruleDefied     = "acts-after-applied"
)

// NotEnforced is the finding that a command was refused, failed or not answered.
func (b *Breaker) NotEnforced() event.Finding {
	what := "was not acknowledged in time"
	if !b.Missed {
		what = "was answered with " + b.Ack.String()
	}
	scope := b.Scope
	f := b.finding(ruleUnenforced, b.Command, b.At)
	f.Title = "A command was not enforced"
	f.Why = b.Action.String() + " of " + scope.Type.String() + " " + strconv.Quote(short(scope.ID)) + " (epoch " +
		strconv.FormatInt(b.Epoch, 10) + ") " + what
	if b.trigger.ID != "" { // a person's order has none
		f.Refs = []event.Ref{b.trigger}
	}
	return f
}

// grace, in milliseconds, is for calls that were under way when the gateway stopped the scope, and
// for a gateway whose clock ends the command a little early.
const grace = 2000

// maxUpdates bounds the updates of a finding. Each comes at twice as many calls as the one before.
const maxUpdates = 8

// Defied counts a call that went through although the breaker stops it, and returns the finding that
// is due then. Activity 0: none is.
func (b *Breaker) Defied(ref event.Ref) (f event.Finding) {
	if b.Action < event.Escalate || b.Mode != event.Enforce || b.Applied == 0 || ref.Time <= b.Applied+grace ||
		b.Until != 0 && ref.Time >= b.Until-grace {
		return f
	}
	b.calls++
	if b.calls == 1 {
		b.firstCall, b.reportAt = ref.Clone(), 1
	}
	if b.calls < b.reportAt || b.calls > 1<<maxUpdates {
		return f
	}
	b.reportAt = 2 * b.calls
	scope := b.Scope
	// Of a wide scope each shard sees its own agents, of the global one those of several tenants,
	// which may share a name.
	f = b.finding(ruleDefied, b.Command+"|"+b.firstCall.Agent+"|"+b.firstCall.ID, b.firstCall.Time)
	if b.calls > 1 {
		f.Activity = event.Update
	}
	f.Severity, f.Risk = event.Critical, 95
	f.Title = "Acts after an applied " + b.Action.String()
	f.Why = scope.Type.String() + " " + strconv.Quote(short(scope.ID)) + " made " + strconv.FormatInt(b.calls, 10) +
		" calls after the gateway had applied " + b.Action.String() + " (epoch " + strconv.FormatInt(b.Epoch, 10) + ")"
	f.Last, f.Count, f.Refs = ref.Time, b.calls, []event.Ref{b.firstCall}
	return f
}

// KeepCalls takes over the calls that were counted against an older state of the same epoch.
func (b *Breaker) KeepCalls(old *Breaker) {
	if old.Epoch == b.Epoch {
		b.calls, b.reportAt, b.firstCall = old.calls, old.reportAt, old.firstCall
	}
}

func (b *Breaker) finding(rule, trigger string, at int64) event.Finding {
	scope := b.Scope
	f := event.Finding{Activity: event.Create, Analytic: event.RuleAnalytic, Severity: event.High, Risk: 75,
		Alert: true, Tenant: scope.Tenant, Detector: Detector, Rule: rule, RuleVersion: "1",
		Tags: []string{"ASI10"}, ScopeType: scope.Type.String(), ScopeID: scope.ID, Agent: scope.Agent, Time: at,
		First: at, Last: at, Count: 1, Target: b.Command,
		UID: event.UID(scope.Tenant, Detector+"/"+rule, scope.Type.String(), scope.Agent+"|"+scope.ID, trigger)}
	if scope.Type == event.AgentScope {
		f.Agent = scope.ID
	}
	return f
}
