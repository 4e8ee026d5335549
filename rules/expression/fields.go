package expression

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/localtime"
)

var fieldsByName = func() map[string]*Field {
	m := map[string]*Field{}
	for _, f := range Fields() {
		m[f.Name] = f
	}
	return m
}()

// any is what the field holds.
func (f *Field) any(c *Context) any {
	switch {
	case f.text != nil:
		return f.text(c)
	case f.num != nil:
		return f.num(c)
	case f.is != nil:
		return f.is(c)
	}
	if l := f.texts(c); l != nil {
		return l
	}
	return []string{}
}

const hourMS = 3_600_000

func hourOf(c *Context) float64 {
	return float64(localtime.SinceMonday(c.Local) % localtime.DayMS / hourMS)
}

func weekdayOf(c *Context) float64 {
	return float64(localtime.SinceMonday(c.Local)/localtime.DayMS + 1)
}

// Field is something that an expression may ask of an event.
type Field struct {
	Name       string // as it is written: tool.name
	Type       Type
	About      string
	text       func(*Context) string
	texts      func(*Context) []string
	num        func(*Context) float64
	is         func(*Context) bool
	has        event.Has // of an optional number: the bit that says it is there
	short      string    // of an optional number: has.short tells whether it is there
	notInEvent bool
	words      []string // all values that it can have besides ""; nil: any
}

func text(name, about string, get func(*Context) string) *Field {
	return &Field{Name: name, Type: Text, About: about, text: get}
}

// number is a number that may be absent; short is its name behind "has.", "" if another number's
// serves for it.
func number(name, about string, has event.Has, short string, get func(*Context) float64) *Field {
	return &Field{Name: name, Type: Number, About: about, num: get, has: has, short: short}
}

// word is a text that is one of the words of an enumeration, up to last.
func word[T ~uint8](name, about string, last T, say func(T) string, get func(*Context) string) *Field {
	f := text(name, about, get)
	for w := T(1); w <= last; w++ {
		f.words = append(f.words, say(w))
	}
	return f
}

// notInEvent is a field that is not in the event itself.
func notInEvent(f *Field) *Field {
	f.notInEvent = true
	return f
}

func is(name, about string, get func(*Context) bool) *Field {
	return &Field{Name: name, Type: Bool, About: about, is: get}
}

// fields are all fields, sorted by name. A test holds them against the table of event fields. Absent
// texts are "" and absent numbers 0: has.records tells 0 from nothing.
var fields = func() []*Field {
	type in = Context
	micro := func(n int64) float64 { return float64(n) / 1e6 }
	all := []*Field{
		word("kind", "tool_call, model_call, message, handoff, approval, audit or session", event.Session,
			event.Kind.String, func(x *in) string { return x.E.Kind.String() }),
		word("phase", "attempt, result, start or end; empty: the whole call at once", event.End, event.Phase.String,
			func(x *in) string { return x.E.Phase.String() }),
		text("tenant", "the customer", func(x *in) string { return x.E.Tenant }),
		text("user", "on whose behalf the agent acts", func(x *in) string { return x.E.User }),
		text("session", "of the agent", func(x *in) string { return x.E.Session }),
		text("conversation", "the task, across agents", func(x *in) string { return x.E.Conversation }),
		text("intent", "what the agent is meant to do", func(x *in) string { return x.E.Intent }),
		text("call", "id of the call", func(x *in) string { return x.E.Call }),
		text("subject", "whom the call is about, such as a customer", func(x *in) string { return x.E.Subject }),
		text("args_digest",
			"SHA-256 of the arguments in canonical form (RFC 8785); as sent, if they do not stand in the event",
			argsDigest),
		text("agent.id", "who acts", func(x *in) string { return x.E.Agent.ID }),
		text("agent.instance", "which process of it", func(x *in) string { return x.E.Agent.Instance }),
		text("agent.version", "", func(x *in) string { return x.E.Agent.Version }),
		text("agent.model", "the language model", func(x *in) string { return x.E.Agent.Model }),
		text("agent.owner", "who answers for it", func(x *in) string { return x.E.Agent.Owner }),
		text("agent.credential", "id of the credential that it uses",
			func(x *in) string { return x.E.Agent.Credential }),
		text("agent.charter_hash", "hash of its instructions", func(x *in) string { return x.E.Agent.CharterHash }),
		number("agent.tier", "1 most trusted to 3 least", event.HasTier, "tier",
			func(x *in) float64 { return float64(x.E.Agent.Tier) }),
		text("tool.name",
			"what was called, without the server that an MCP client puts in front: delete_user for mcp__crm__delete_user",
			func(x *in) string { return x.E.Tool.Name }),
		text("tool.full",
			"what was called with its server, as mcp__crm__delete_user; the plain name if no server is known",
			fullTool),
		text("tool.server", "where it lives", func(x *in) string { return x.E.Tool.Server }),
		word("tool.class", "read, write, delete, send, exec, pay, approve, grant or delegate; empty: not known",
			event.Delegate, event.Class.String, func(x *in) string { return x.E.Tool.Class.String() }),
		text("tool.definition_hash", "hash of its definition", func(x *in) string { return x.E.Tool.DefinitionHash }),
		is("tool.read_only", "it says that it changes nothing",
			func(x *in) bool { return x.E.Tool.ReadOnlyHint == event.Yes }),
		text("resource.type", "what was touched, such as order", func(x *in) string { return x.E.Resource.Type }),
		text("resource.id", "", func(x *in) string { return x.E.Resource.ID }),
		text("resource.tenant", "whose it is", func(x *in) string { return x.E.Resource.Tenant }),
		text("resource.owner", "", func(x *in) string { return x.E.Resource.Owner }),
		text("resource.classification", "how sensitive it is, in the words of your company",
			func(x *in) string { return x.E.Resource.Classification }),
		text("resource.visibility", "who can see it, such as public",
			func(x *in) string { return x.E.Resource.Visibility }),
		text("resource.environment", "such as production", func(x *in) string { return x.E.Resource.Environment }),
		{Name: "resource.labels", Type: Texts, About: "such as pii, secret",
			texts: func(x *in) []string { return x.E.Resource.Labels }},
		text("destination.kind", "email, url, iban, …", func(x *in) string { return x.E.Destination.Kind }),
		text("destination.value", "where something goes", func(x *in) string { return x.E.Destination.Value }),
		text("destination.domain", "", func(x *in) string { return x.E.Destination.Domain }),
		is("destination.external", "it is known to be outside",
			func(x *in) bool { return x.E.Destination.External == event.Yes }),
		is("destination.internal", "it is known to be inside",
			func(x *in) bool { return x.E.Destination.External == event.No }),
		word("result.outcome", "ok, error, denied or not_found; empty: not known", event.NotFound, event.Outcome.String,
			func(x *in) string { return x.E.Result.Outcome.String() }),
		text("result.error", "code of the error", func(x *in) string { return x.E.Result.Error }),
		text("result.content_hash", "", func(x *in) string { return x.E.Result.ContentHash }),
		word("result.effect", "class of what really happened", event.Delegate, event.Class.String,
			func(x *in) string { return x.E.Result.Effect.String() }),
		is("result.untrusted", "what came back was written by outsiders",
			func(x *in) bool { return x.E.Result.Untrusted == event.Yes }),
		number("result.records", "", event.HasRecords, "records",
			func(x *in) float64 { return float64(x.E.Result.Records) }),
		number("result.bytes", "", event.HasBytes, "bytes", func(x *in) float64 { return float64(x.E.Result.Bytes) }),
		number("amount.value", "money, in units of its currency", event.HasAmount, "amount",
			func(x *in) float64 { return micro(x.E.Amount.Micro) }),
		is("args.incomplete",
			"the arguments were too many to be read to their end: where the call goes, and for how much, may stand in the rest",
			func(x *in) bool { return x.E.Inferred&event.ArgsIncomplete != 0 }),
		text("amount.currency", "", func(x *in) string { return x.E.Amount.Currency }),
		number("cost.usd", "what the call cost to make", event.HasCost, "cost",
			func(x *in) float64 { return micro(x.E.Cost.MicroUSD) }),
		number("cost.input_tokens", "", event.HasTokens, "tokens",
			func(x *in) float64 { return float64(x.E.Cost.InputTokens) }),
		number("cost.output_tokens", "", event.HasTokens, "",
			func(x *in) float64 { return float64(x.E.Cost.OutputTokens) }),
		number("duration_ms", "milliseconds", event.HasDuration, "duration",
			func(x *in) float64 { return x.E.DurationMS }),
		text("policy.verdict", "what the gateway's own policy said", func(x *in) string { return x.E.Policy.Verdict }),
		text("policy.id", "", func(x *in) string { return x.E.Policy.ID }),
		text("approval.id", "", func(x *in) string { return x.E.Approval.ID }),
		text("approval.state", "requested, granted, denied, …", func(x *in) string { return x.E.Approval.State }),
		text("approval.by", "", func(x *in) string { return x.E.Approval.By }),
		text("approval.requested_by", "", func(x *in) string { return x.E.Approval.RequestedBy }),
		is("approval.bypass", "the need for approval was switched off",
			func(x *in) bool { return x.E.Approval.Bypass == event.Yes }),
		text("message.role", "", func(x *in) string { return x.E.Message.Role }),
		text("message.to", "", func(x *in) string { return x.E.Message.To }),
		text("message.text_hash", "", func(x *in) string { return x.E.Message.TextHash }),
		text("audit.action", "", func(x *in) string { return x.E.Audit.Action }),
		text("audit.target", "", func(x *in) string { return x.E.Audit.Target }),
		text("delegation.id", "", func(x *in) string { return x.E.Delegation.ID }),
		text("delegation.parent", "", func(x *in) string { return x.E.Delegation.Parent }),
		text("delegation.from", "", func(x *in) string { return x.E.Delegation.From }),
		text("delegation.to", "", func(x *in) string { return x.E.Delegation.To }),
		number("delegation.limit", "in units of its currency", event.HasLimit, "limit",
			func(x *in) float64 { return micro(x.E.Delegation.Limit.Micro) }),
		text("origin.ip", "", func(x *in) string { return x.E.Origin.IP }),
		text("origin.host", "", func(x *in) string { return x.E.Origin.Host }),
		text("origin.region", "", func(x *in) string { return x.E.Origin.Region }),
		text("trace.id", "", func(x *in) string { return x.E.Trace.ID }),
		{Name: "event.unreadable", Type: Texts,
			About: "fields that could not be read as they were sent, such as args, destination.value, resource.labels: what was kept of them may not be all",
			texts: func(x *in) []string { return x.E.Unreadable.Words() }},
		is("has.unreadable", "some field could not be read as it was sent; event.unreadable says which",
			func(x *in) bool { return x.E.Unreadable != 0 }),
		word("side_effect", "none, reversible or irreversible, as far as the catalogue can tell", event.Irreversible,
			event.SideEffect.String, func(x *in) string { return x.E.SideEffect.String() }),
	}
	for _, f := range all {
		if f.short != "" {
			bit := f.has
			all = append(all, is("has."+f.short, "the event carries "+f.Name,
				func(x *in) bool { return x.E.Has&bit != 0 }))
		}
	}
	all = append(all,
		notInEvent(text("persona", "the role that the agent plays", func(x *in) string { return x.Persona })),
		notInEvent(&Field{Name: "hour", Type: Number, About: "0 to 23, in the persona's zone", num: hourOf}),
		notInEvent(&Field{Name: "weekday", Type: Number, About: "1 Monday to 7 Sunday, in the persona's zone",
			num: weekdayOf}),
		notInEvent(is("role.known", "the policies describe the persona", func(x *in) bool { return x.role().Known })),
		notInEvent(text("role.default",
			"what the persona's policy says of what no list names: allow, deny or needs_approval; empty: the policies do not describe it",
			func(x *in) string { return x.role().Default })),
		notInEvent(&Field{Name: "role.tags", Type: Texts, About: "tags of the persona",
			texts: func(x *in) []string { return x.role().Tags }}),
		notInEvent(&Field{Name: "role.forbids", Type: Texts,
			About: "what the persona's policy forbids about the call: tool, server, class, resource, label, environment, destination, destination_kind, intent, credential, tenant, tier, hours",
			texts: func(x *in) []string { return x.role().Forbids }}),
		notInEvent(is("role.needs_approval", "the persona's policy wants an approval for the call",
			func(x *in) bool { return x.role().NeedsApproval })))
	slices.SortFunc(all, func(a, b *Field) int { return strings.Compare(a.Name, b.Name) })
	return all
}()

// Fields are all that an expression may ask of an event, by name.
func Fields() []*Field { return slices.Clone(fields) }

// FieldNamed returns the field of a name; nil: there is none.
func FieldNamed(name string) *Field { return fieldsByName[name] }

// Present tells whether the event carries the field. A field that is not in the event is always
// present.
func (f *Field) Present(c *Context) bool {
	switch {
	case f.notInEvent:
		return true
	case f.has != 0:
		return c.E.Has&f.has != 0
	case f.text != nil:
		return f.text(c) != ""
	case f.texts != nil:
		return len(f.texts(c)) > 0
	case f.num != nil:
		return f.num(c) != 0
	}
	return f.is(c)
}
