package rules

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Field is something that an expression may ask of an event.
type Field struct {
	Name  string // as it is written: tool.name
	Type  Type
	About string
	text  func(*event.Event) string
	texts func(*event.Event) []string
	num   func(*event.Event) float64
	is    func(*event.Event) bool
	has   event.Has // of an optional number: the bit that says it is there
}

func text(name, about string, get func(*event.Event) string) *Field {
	return &Field{Name: name, Type: Text, About: about, text: get}
}

func number(name, about string, has event.Has, get func(*event.Event) float64) *Field {
	return &Field{Name: name, Type: Number, About: about, num: get, has: has}
}

func is(name, about string, get func(*event.Event) bool) *Field {
	return &Field{Name: name, Type: Bool, About: about, is: get}
}

// fields are all of them but those that are not in the event itself (persona, hour, weekday), which compile.go adds. Absent texts are "", absent numbers 0:
// has.records tells 0 from nothing.
var fields = func() []*Field {
	type e = event.Event
	micro := func(n int64) float64 { return float64(n) / 1e6 }
	all := []*Field{
		text("kind", "tool_call, model_call, message, handoff, approval, audit or session", func(x *e) string { return x.Kind.String() }),
		text("phase", "attempt, result, start or end; empty: the whole call at once", func(x *e) string { return x.Phase.String() }),
		text("tenant", "the customer", func(x *e) string { return x.Tenant }),
		text("user", "on whose behalf the agent acts", func(x *e) string { return x.User }),
		text("session", "of the agent", func(x *e) string { return x.Session }),
		text("conversation", "the task, across agents", func(x *e) string { return x.Conversation }),
		text("intent", "what the agent is meant to do", func(x *e) string { return x.Intent }),
		text("call", "id of the call", func(x *e) string { return x.Call }),
		text("subject", "whom the call is about, such as a customer", func(x *e) string { return x.Subject }),
		text("args_digest", "hash of the arguments", func(x *e) string { return x.ArgsDigest }),
		text("agent.id", "who acts", func(x *e) string { return x.Agent.ID }),
		text("agent.instance", "which process of it", func(x *e) string { return x.Agent.Instance }),
		text("agent.version", "", func(x *e) string { return x.Agent.Version }),
		text("agent.model", "the language model", func(x *e) string { return x.Agent.Model }),
		text("agent.owner", "who answers for it", func(x *e) string { return x.Agent.Owner }),
		text("agent.credential", "id of the credential that it uses", func(x *e) string { return x.Agent.Credential }),
		text("agent.charter_hash", "hash of its instructions", func(x *e) string { return x.Agent.CharterHash }),
		number("agent.tier", "1 most trusted to 3 least", event.HasTier, func(x *e) float64 { return float64(x.Agent.Tier) }),
		text("tool.name", "what was called", func(x *e) string { return x.Tool.Name }),
		text("tool.server", "where it lives", func(x *e) string { return x.Tool.Server }),
		text("tool.class", "read, write, delete, send, exec, pay, approve, grant or delegate; empty: not known", func(x *e) string { return x.Tool.Class.String() }),
		text("tool.definition_hash", "hash of its definition", func(x *e) string { return x.Tool.DefinitionHash }),
		is("tool.read_only", "it says that it changes nothing", func(x *e) bool { return x.Tool.ReadOnlyHint == event.Yes }),
		text("resource.type", "what was touched, such as order", func(x *e) string { return x.Resource.Type }),
		text("resource.id", "", func(x *e) string { return x.Resource.ID }),
		text("resource.tenant", "whose it is", func(x *e) string { return x.Resource.Tenant }),
		text("resource.owner", "", func(x *e) string { return x.Resource.Owner }),
		text("resource.classification", "how sensitive it is, in the words of your company", func(x *e) string { return x.Resource.Classification }),
		text("resource.visibility", "who can see it, such as public", func(x *e) string { return x.Resource.Visibility }),
		text("resource.environment", "such as production", func(x *e) string { return x.Resource.Environment }),
		{Name: "resource.labels", Type: Texts, About: "such as pii, secret", texts: func(x *e) []string { return x.Resource.Labels }},
		text("destination.kind", "email, url, iban, …", func(x *e) string { return x.Destination.Kind }),
		text("destination.value", "where something goes", func(x *e) string { return x.Destination.Value }),
		text("destination.domain", "", func(x *e) string { return x.Destination.Domain }),
		is("destination.external", "it is known to be outside", func(x *e) bool { return x.Destination.External == event.Yes }),
		is("destination.internal", "it is known to be inside", func(x *e) bool { return x.Destination.External == event.No }),
		text("result.outcome", "ok, error, denied or not_found; empty: not known", func(x *e) string { return x.Result.Outcome.String() }),
		text("result.error", "code of the error", func(x *e) string { return x.Result.Error }),
		text("result.content_hash", "", func(x *e) string { return x.Result.ContentHash }),
		text("result.effect", "class of what really happened", func(x *e) string { return x.Result.Effect.String() }),
		is("result.untrusted", "what came back was written by outsiders", func(x *e) bool { return x.Result.Untrusted == event.Yes }),
		number("result.records", "", event.HasRecords, func(x *e) float64 { return float64(x.Result.Records) }),
		number("result.bytes", "", event.HasBytes, func(x *e) float64 { return float64(x.Result.Bytes) }),
		number("amount.value", "money, in units of its currency", event.HasAmount, func(x *e) float64 { return micro(x.Amount.Micro) }),
		text("amount.currency", "", func(x *e) string { return x.Amount.Currency }),
		number("cost.usd", "what the call cost to make", event.HasCost, func(x *e) float64 { return micro(x.Cost.MicroUSD) }),
		number("cost.input_tokens", "", event.HasTokens, func(x *e) float64 { return float64(x.Cost.InputTokens) }),
		number("cost.output_tokens", "", event.HasTokens, func(x *e) float64 { return float64(x.Cost.OutputTokens) }),
		number("duration_ms", "milliseconds", event.HasDuration, func(x *e) float64 { return x.DurationMS }),
		text("policy.verdict", "what the gateway's own policy said", func(x *e) string { return x.Policy.Verdict }),
		text("policy.id", "", func(x *e) string { return x.Policy.ID }),
		text("approval.id", "", func(x *e) string { return x.Approval.ID }),
		text("approval.state", "requested, granted, denied, …", func(x *e) string { return x.Approval.State }),
		text("approval.by", "", func(x *e) string { return x.Approval.By }),
		text("approval.requested_by", "", func(x *e) string { return x.Approval.RequestedBy }),
		is("approval.bypass", "the need for approval was switched off", func(x *e) bool { return x.Approval.Bypass == event.Yes }),
		text("message.role", "", func(x *e) string { return x.Message.Role }),
		text("message.to", "", func(x *e) string { return x.Message.To }),
		text("message.text_hash", "", func(x *e) string { return x.Message.TextHash }),
		text("audit.action", "", func(x *e) string { return x.Audit.Action }),
		text("audit.target", "", func(x *e) string { return x.Audit.Target }),
		text("delegation.id", "", func(x *e) string { return x.Delegation.ID }),
		text("delegation.parent", "", func(x *e) string { return x.Delegation.Parent }),
		text("delegation.from", "", func(x *e) string { return x.Delegation.From }),
		text("delegation.to", "", func(x *e) string { return x.Delegation.To }),
		number("delegation.limit", "in units of its currency", event.HasLimit, func(x *e) float64 { return micro(x.Delegation.Limit.Micro) }),
		text("origin.ip", "", func(x *e) string { return x.Origin.IP }),
		text("origin.host", "", func(x *e) string { return x.Origin.Host }),
		text("origin.region", "", func(x *e) string { return x.Origin.Region }),
		text("trace.id", "", func(x *e) string { return x.Trace.ID }),
		text("side_effect", "none, reversible or irreversible, as far as the catalogue can tell", func(x *e) string { return x.SideEffect.String() }),
	}
	for _, f := range all {
		if f.has != 0 && f.Name != "cost.output_tokens" {
			short := f.Name
			switch {
			case f.Name == "cost.input_tokens":
				short = "tokens"
			case f.Name == "duration_ms":
				short = "duration"
			case f.Name == "delegation.limit":
				short = "limit"
			default:
				short, _ = strings.CutPrefix(strings.TrimSuffix(strings.TrimSuffix(f.Name, ".value"), ".usd"), "result.")
				short = strings.TrimPrefix(short, "agent.")
			}
			bit := f.has
			all = append(all, is("has."+short, "the event carries "+f.Name, func(x *e) bool { return x.Has&bit != 0 }))
		}
	}
	return all
}()

// Fields are all that an expression may ask of an event, by name.
func Fields() []*Field {
	all := append(slices.Clone(fields),
		&Field{Name: "persona", Type: Text, About: "the role that the agent plays"},
		&Field{Name: "hour", Type: Number, About: "0 to 23, in the persona's zone"},
		&Field{Name: "weekday", Type: Number, About: "1 Monday to 7 Sunday, in the persona's zone"})
	slices.SortFunc(all, func(a, b *Field) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Carried tells whether an event says anything in a field: of persona, hour and weekday it always does.
func (f *Field) Carried(e *event.Event) bool {
	switch {
	case f.has != 0:
		return e.Has&f.has != 0
	case f.text != nil:
		return f.text(e) != ""
	case f.texts != nil:
		return len(f.texts(e)) > 0
	case f.num != nil:
		return f.num(e) != 0
	case f.is != nil:
		return f.is(e)
	}
	return true
}
