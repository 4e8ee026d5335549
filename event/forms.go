package event

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A form is a record that wayward and gateways or people exchange beside events, as a table: its
// schema is made from it, and the tests hold Append and Parse against it.
type form struct {
	name string // of the schema: docs/NAME.schema.json
	doc  string
	rows []row
	more object // conditions between fields
}

// A row is one field of a form.
type row struct {
	path     string // dotted; stands behind its group
	required bool   // within its group
	of       object // JSON Schema without the description
	doc      string
}

// Shapes of fields. No field is null.
var (
	aGroupOf = object{"type": "object"}
	anEpoch  = object{"type": "integer", "minimum": 1}
	aStamp   = object{"type": "string", "format": "date-time"}
	aSpan    = object{"type": "string",
		"pattern": `^P([0-9]{1,9}W)?([0-9]{1,9}D)?(T([0-9]{1,9}H)?([0-9]{1,9}M)?([0-9]{1,9}(\.[0-9]{1,9})?S)?)?$`}
	aMode = aChoice(Enforce, DryRun)
)

func aChoice(words ...string) object { return object{"enum": words} }
func upTo(most int) object           { return object{"type": "string", "maxLength": most} }
func from1To(most int) object        { return object{"type": "string", "minLength": 1, "maxLength": most} }

// when is a condition between fields: if the field at path has the value, the rest must hold.
func when(field, value string, then object) object {
	return object{"if": object{"properties": object{field: object{"const": value}}, "required": []string{field}},
		"then": then}
}

func need(fields ...string) object { return object{"required": fields} }

// none says that a record has none of the fields.
func none(fields ...string) object {
	p := object{}
	for _, f := range fields {
		p[f] = false
	}
	return object{"properties": p}
}

// scopeRows and rateRows stand in several forms.
var scopeRows = []row{
	{"scope", true, object{"type": "object", "allOf": []object{
		{"if": object{"properties": object{"type": object{"const": "session"}}, "required": []string{"type"}},
			"then": need("agent"), "else": none("agent")},
		when("type", "global", object{"properties": object{"id": object{"const": "*"}, "tenant": false}}),
	}}, "What it is about. Refuse what you do not know."},
	{"scope.type", true, aChoice(ScopeTypes()...), "A consumer that does not know a type must refuse, not pass."},
	{"scope.id", true, from1To(maxScopeID),
		"Of a tool server|name, each with | and % percent-encoded, or the name alone if no server is known; * if global."},
	{"scope.tenant", false, object{"type": "string", "pattern": `^[A-Za-z0-9._-]{1,64}$`}, "Absent if global."},
	{"scope.agent", false, from1To(MaxString), "Of a session: the agent whose it is."},
}

var rateRows = []row{
	{"limit", false, aGroupOf, "Of a throttle: what may pass."},
	{"limit.calls", true, object{"type": "integer", "minimum": 1}, "So many calls"},
	{"limit.per_seconds", true, object{"type": "integer", "minimum": 1, "maximum": 86_400}, "in so many seconds."},
	{"limit.classes", false, object{"type": "array", "items": aChoice(Classes()...), "maxItems": len(Classes())},
		"Calls of these classes count; absent: all."},
}

var issuerRows = []row{
	{"issuer", true, aGroupOf, "On whose word."},
	{"issuer.type", true, aChoice("rule", "human", "expiry"), "A rule, a person or the clock."},
	{"issuer.rule", false, upTo(MaxString), "Id of the rule; of a person's command the id of the feedback."},
	{"issuer.version", false, upTo(MaxString), "Version of the rule."},
	{"issuer.by", false, upTo(MaxString), "The person."},
}

// forms are all forms but the event, which has a table of its own (fields).
var forms = []form{
	{name: "command",
		doc: "wayward.command/v1: one record of the topic agent.commands, keyed tenant|scope.type|scope.id. Act only on mode enforce.",
		rows: rows(
			row{"schema", true, object{"const": CommandSchema}, "Name and version of this form."},
			row{"command_id", true, from1To(36), "A hash of scope and epoch: the same after a restart."},
			row{"idempotency_key", true, from1To(1 << 15),
				"tenant|type|id|action|epoch: the same however often the command is sent. Keep those you have done for a day."},
			row{"action", true, aChoice(append(Actions(), Restore.String())...),
				"Weakest first, and restore, which opens the way again."},
			scopeRows,
			row{"epoch", true, anEpoch,
				"Grows by one per scope: ignore a command whose epoch is not above the last that you did."},
			row{"time", true, aStamp, "Event time of what led to it, the same in every replay."},
			row{"issued_at", false, aStamp, "Wall clock."},
			row{"not_after", false, aStamp, "Do not start later: answer expired."},
			row{"duration", false, aSpan,
				"How long it holds, ISO 8601 of weeks and smaller. Absent: until restored. Its end is sent, too."},
			rateRows,
			row{"mode", true, aMode, "dry_run: do nothing, it is what would have been sent."},
			row{"retryable", true, object{"type": "boolean"},
				"False: do not try again by yourself what failed half-way."},
			issuerRows,
			row{"reason", true, object{"type": "string"}, "One sentence for people."},
			row{"finding_uid", false, upTo(64), "finding_info.uid of the finding on agent.alerts."},
			row{"reply_to", false, upTo(249), "Topic for acks."},
		), more: object{"allOf": []object{when("action", "throttle", need("limit"))}}},

	{name: "breaker",
		doc: "wayward.breaker/v1: one record of the compacted topic agent.breakers, keyed tenant|scope.type|scope.id: the present state of a scope. When it closes, its key gets a tombstone.",
		rows: rows(
			row{"schema", true, object{"const": BreakerSchema}, "Name and version of this form."},
			scopeRows,
			row{"state", true, aChoice("observed", "throttled", "open"),
				"observed: nothing is done; throttled: throttle; open: escalate, block or kill."},
			row{"action", true, aChoice(Actions()...), "Weakest first."},
			row{"epoch", true, anEpoch, "Of the last command."},
			row{"since", true, aStamp, "Event time of what opened it first."},
			row{"until", false, aStamp, "Wall clock at which it expires. Absent: when somebody restores it."},
			rateRows,
			row{"mode", true, aMode, "dry_run: it is not enforced."},
			row{"enforced", false, aChoice("received", "applied", "rejected", "failed", "expired", "missed"),
				"What the last ack said; missed: none came in time. Absent: none yet."},
			row{"command_id", true, from1To(36), "Of the last command."},
			row{"finding_uid", false, upTo(64), "finding_info.uid of the finding on agent.alerts."},
			row{"reason", true, object{"type": "string"}, "One sentence for people."},
			issuerRows,
		), more: object{"allOf": []object{when("action", "throttle", need("limit"))}}},

	{name: "ack", doc: "One record of the topic agent.acks: what became of a command. Key it like the command.",
		rows: rows(
			row{"command_id", true, from1To(36), "Of the command."},
			row{"tenant", false, object{"type": "string", "pattern": `^[A-Za-z0-9._-]{1,64}$`}, "The scope's."},
			scopeRows,
			row{"epoch", true, anEpoch, "Of the command."},
			row{"time", true, aStamp, "Yours."},
			row{"status", true, aChoice(ackStatuses[1:]...),
				"received: it came; applied: it holds now; rejected: you will not; failed: you could not; expired: it came after not_after."},
			row{"by", false, upTo(MaxString), "Which gateway."},
			row{"detail", false, upTo(MaxString), "For people."},
		)},

	{name: "feedback",
		doc: "One record of the topic agent.feedback: what a person says. All but verdicts must be signed.", rows: rows(
			row{"v", false, object{"const": 1}, "Version of this form; absent means 1."},
			row{"id", true, from1To(64), "Unique: the same id is taken once."},
			row{"time", true, aStamp, "Wall clock: feedback that acts is refused when it is old."},
			row{"tenant", false, object{"type": "string", "pattern": `^[A-Za-z0-9._-]{1,64}$`},
				"The scope's; absent if global."},
			row{"type", true, aChoice(feedbackTypes[1:]...), "What is wanted."},
			scopeRows,
			row{"finding_uid", false, upTo(64), "finding_info.uid of the finding that it is about."},
			row{"verdict", false, aChoice(Verdicts...), "Of type verdict."},
			row{"action", false, aChoice(Actions()...), "Of type trip."},
			row{"duration", false, aSpan, "Of type trip: ISO 8601, at most 366 days. Absent: until restored."},
			rateRows,
			row{"baseline", false, aGroupOf,
				"Of type baseline: what to do with the baseline of the persona that is the scope."},
			row{"baseline.op", true, aChoice(BaselineOps...),
				"freeze and unfreeze what it learns; suspect: it may be poisoned, so it raises no alert; reset: forget it; rollback to an earlier snapshot; import one from elsewhere; approve and reject what waits in quarantine."},
			row{"baseline.persona", true, from1To(maxScopeID), "The scope's; * is the tenant as a whole."},
			row{"baseline.fork", false, upTo(64),
				"Fork of the persona; absent: the agents without version, model and charter."},
			row{"baseline.day", false, object{"type": "string", "format": "date"},
				"Of rollback: the UTC day of the snapshot to go back to."},
			row{"baseline.hash", false, upTo(64),
				"Of rollback: which snapshot it must be. Of import: the hash of the model."},
			row{"baseline.model", false, object{"type": "string", "pattern": `^[A-Za-z0-9+/]+={0,2}$`,
				"maxLength": MaxImport / 3 * 4},
				"Of import: the model of an exported snapshot of this persona and fork, in base64."},
			row{"baseline.item", false, upTo(MaxString), "Of approve and reject: what they decide on."},
			row{"by", true, from1To(128), "Name of the key that signed it, or of who gives a verdict."},
			row{"reason", false, upTo(MaxString), "Why; a trip needs one."},
			row{"signature", false, object{"type": "string", "pattern": `^[A-Za-z0-9+/]{86}==$`},
				"Ed25519, base64, over the label wayward.feedback/v1, a newline and this record without its signature (docs/commands.md)."},
		), more: object{"allOf": []object{
			when("type", "verdict",
				object{"required": []string{"verdict"}, "properties": none("action", "duration", "limit",
					"baseline")["properties"]}),
			when("type", "trip", object{"required": []string{"action", "reason"},
				"properties": none("verdict", "baseline")["properties"]}),
			when("type", "restore", none("verdict", "action", "duration", "limit", "baseline")),
			when("type", "approve", none("verdict", "action", "duration", "limit", "baseline")),
			when("type", "baseline",
				object{"required": []string{"baseline"}, "properties": none("verdict", "action", "duration",
					"limit")["properties"]}),
			{"if": object{"properties": object{"action": object{"const": "throttle"}}, "required": []string{"action"}},
				"then": need("limit"), "else": none("limit")},
		}}},
}

// rows puts single rows and groups of them in a list.
func rows(parts ...any) []row {
	var out []row
	for _, p := range parts {
		switch p := p.(type) {
		case row:
			out = append(out, p)
		case []row:
			out = append(out, p...)
		}
	}
	return out
}

// Schemas are the names of the forms that SchemaOf knows.
func Schemas() []string {
	names := []string{"event"}
	for _, f := range forms {
		names = append(names, f.name)
	}
	return names
}

// SchemaOf returns the JSON Schema (2020-12) of a form, or nil if there is none of that name. As of
// events, Parse is stricter where a schema has no words for it.
func SchemaOf(name string) []byte {
	if name == "event" {
		return Schema()
	}
	for _, f := range forms {
		if f.name == name {
			return f.schema()
		}
	}
	return nil
}

func (f form) schema() []byte {
	root := object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "https://github.com/wayward-sec/wayward/docs/" + f.name + ".schema.json",
		"title":       f.name,
		"description": f.doc,
		"type":        "object",
	}
	for k, v := range f.more {
		root[k] = v
	}
	for _, r := range f.rows {
		in, name := root, r.path
		if group, rest, ok := strings.Cut(r.path, "."); ok {
			in, name = root["properties"].(object)[group].(object), rest
		}
		s := object{"description": r.doc}
		for k, v := range r.of {
			s[k] = v
		}
		if in["properties"] == nil {
			in["properties"] = object{}
		}
		in["properties"].(object)[name] = s
		if r.required {
			required, _ := in["required"].([]string)
			in["required"] = append(required, name)
		}
	}
	return printSchema(root)
}

// printSchema prints objects with sorted keys, so the same table gives the same bytes.
func printSchema(root object) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		panic(err) // strings, numbers and maps of them
	}
	return b.Bytes()
}
