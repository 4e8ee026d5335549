package event

import (
	"encoding/json"
	"strings"
)

// A shape is the type of a field on the wire.
type shape uint8

const (
	aGroup     shape = iota // object with fields of its own
	aText                   // string of at most MaxString bytes
	anIdentity              // aText that is read in the form of Identity
	aName                   // text that is not empty
	aTerm                   // text that is mostly one of the field's words
	aCurrency               // three letters
	aTenant                 // [A-Za-z0-9._-]{1,64}
	aProse                  // string of any length
	aList                   // array of at most MaxLabels texts
	aWord                   // one of the field's words
	aVersion                // 1
	aTier                   // 1, 2 or 3
	aCount                  // integer of at least 0
	aMeasure                // finite number of at least 0
	aDecimal                // exact decimal, as string or plain number
	aTime                   // RFC 3339 or Unix milliseconds
	aFlag                   // true or false
	anObject                // object of any content
	aValue                  // any JSON value
)

// A field is one row of the table of fields.
type field struct {
	path  string // dotted; a field stands behind its group
	shape shape
	words []string // of aWord
	doc   string
}

// fields is wayward.event/v1 in one table: the schema is made from it and the tests hold the
// decoder against it.
var fields = []field{
	{"v", aVersion, nil, "Version of this form; absent means 1."},
	{"id", aText, nil,
		"Unique per event of the agent. Absent: a hash of the record's bytes and its agent. A record counts once if a recent one of the agent has the same id and the same bytes; other bytes under an id are another event."},
	{"time", aTime, nil,
		"Event time: RFC 3339, with fraction if you have it, or epoch milliseconds. After 1970-01-01T00:00:00Z, to the year 9999; no leap second. A number below 10^11 looks like epoch seconds, one above the year 9999 like microseconds or nanoseconds: both are refused (bad_time)."},
	{"kind", aWord, kinds, "What the event reports."},
	{"call", aText, nil, "Id of the call, the same in its attempt and its result."},
	{"phase", aWord, phases,
		"attempt or result of a call (absent: the whole call at once). For kind session: start or end."},
	{"tenant", aTenant, nil, "Isolation boundary: nothing is ever learned or joined across tenants."},
	{"persona", anIdentity, nil,
		"The role that the agent plays, in any spelling: case, blanks around it and Unicode form do not count, and findings and commands show it in lower case. Absent: the last one of the session or the agent, else that of the persona registry, else unknown."},

	{"agent", aGroup, nil, "Who acts."},
	{"agent.id", aName, nil, "Id of the agent, unique in its tenant."},
	{"agent.instance", aText, nil, "One run of the agent."},
	{"agent.version", aText, nil, "Version of the agent. Absent: the agent's last one holds."},
	{"agent.model", aText, nil, "Model that it runs on. Absent: the agent's last one holds."},
	{"agent.owner", anIdentity, nil,
		"Who answers for the agent, in any spelling, as persona. Absent: the agent's last one holds."},
	{"agent.tier", aTier, nil, "Trust: 1 most trusted, 3 least. Absent: the agent's last one holds."},
	{"agent.charter_hash", aText, nil,
		"Hash of the prompt or role document. Absent: the agent's last one holds."},
	{"agent.credential", anIdentity, nil,
		"Name or hash of the credential used, in any spelling, as persona; never the credential itself. Absent: the agent's last one holds."},

	{"user", anIdentity, nil,
		"On whose behalf, in any spelling, as persona. Absent: the session's last one holds."},
	{"session", aText, nil,
		"One agent's task run: the unit of a sequence. After its end, or half an hour without an event, what comes under its name is another one."},
	{"conversation", aText, nil,
		"The task across agents, if several work on it. Absent: the session's last one, else trace.id."},
	{"intent", aText, nil,
		"Goal, ticket type or workflow id that the session serves. Absent: the session's last one holds."},

	{"trace", aGroup, nil, "W3C trace ids."},
	{"trace.id", aText, nil, "Id of the trace."},
	{"trace.span", aText, nil, "Id of this span."},
	{"trace.parent", aText, nil, "Id of the span above."},

	{"delegation", aGroup, nil, "Authority passed on from one agent to another."},
	{"delegation.id", aText, nil, "Id of this delegation."},
	{"delegation.parent", aText, nil, "Id of the delegation it came out of; the depth is derived from these."},
	{"delegation.from", aText, nil, "Id of the agent that passes authority on."},
	{"delegation.to", aText, nil, "Id of the agent that receives it."},
	{"delegation.limit", aGroup, nil, "What may be spent under it."},
	{"delegation.limit.value", aDecimal, nil, "Decimal with at most six places, as a string."},
	{"delegation.limit.currency", aCurrency, nil, "Currency: three letters, as in ISO 4217."},

	{"origin", aGroup, nil, "Where the request came from."},
	{"origin.ip", aText, nil, "IP address."},
	{"origin.host", aText, nil, "Host name."},
	{"origin.region", aText, nil, "Region."},

	{"tool", aGroup, nil, "What was called. Required for kind tool_call."},
	{"tool.name", aText, nil,
		"Name of the tool. Required, and not empty, for kind tool_call. mcp__crm__delete_user is read as delete_user of server crm, everywhere."},
	{"tool.server", aText, nil,
		"MCP server or API that offers it. Absent: the one in a name such as mcp__crm__delete_user."},
	{"tool.class", aWord, classes, "What the call does to the world."},
	{"tool.definition_hash", aText, nil, "Hash of the tool's definition (name, description, schema)."},
	{"tool.hash_version", aText, nil, "How that hash was made."},
	{"tool.read_only_hint", aFlag, nil, "MCP annotation readOnlyHint: a claim of the server."},
	{"tool.open_world_hint", aFlag, nil, "MCP annotation openWorldHint: a claim of the server."},

	{"args", anObject, nil, "The call's arguments. Used in flight and never stored."},
	{"args_digest", aText, nil,
		"A digest of the arguments, when content may not leave the gateway. Where args stand beside it they are digested again."},
	{"provenance", anObject, nil, "Argument path to user, tool, model or unknown, if the producer computed it."},

	{"resource", aGroup, nil, "What the call touched."},
	{"resource.type", aTerm, nil, "Type of the resource."},
	{"resource.id", aText, nil, "Id of the resource."},
	{"resource.tenant", aText, nil, "Tenant that it belongs to."},
	{"resource.owner", anIdentity, nil, "Who owns it, in any spelling, as persona."},
	{"resource.labels", aList, nil,
		"Labels such as pii, secret, financial; at most 32. An empty list means that there are none, and nothing is added to it. Absent: what the catalogue of tools and names tell."},
	{"resource.classification", aTerm, nil, "Classification in your own words."},
	{"resource.visibility", aTerm, visibilities, "private, internal or public."},
	{"resource.environment", aTerm, environments, "Environment, such as prod."},

	{"subject", aText, nil, "Whom the data is about, such as a customer id."},

	{"destination", aGroup, nil,
		"Where something goes. {} and empty texts count as absent: then the arguments are asked."},
	{"destination.kind", aTerm, destinationKinds, "email, url, iban, host, channel, repo or another."},
	{"destination.value", aText, nil, "The address itself."},
	{"destination.domain", aText, nil, "Its domain."},
	{"destination.external", aFlag, nil, "Is it outside the organisation?"},

	{"result", aGroup, nil, "How the call ended and what came back."},
	{"result.outcome", aWord, outcomes, "How the call ended."},
	{"result.records", aCount, nil, "Records moved."},
	{"result.bytes", aCount, nil, "Bytes moved."},
	{"result.error", aText, nil, "Error code or short message."},
	{"result.content", aValue, nil, "What came back. Used in flight and never stored."},
	{"result.content_hash", aText, nil, "Hash of the content, when it may not leave the gateway."},
	{"result.untrusted", aFlag, nil, "Did the content come from outside?"},
	{"result.effect", aWord, classes, "What was really done, if known: the words of tool.class."},

	{"amount", aGroup, nil, "Money that the call moves."},
	{"amount.value", aDecimal, nil, "Decimal with at most six places, as a string."},
	{"amount.currency", aCurrency, nil, "Currency: three letters, as in ISO 4217."},

	{"cost", aGroup, nil, "What the call cost to make."},
	{"cost.usd", aDecimal, nil, "US dollars, decimal with at most six places, as a string."},
	{"cost.input_tokens", aCount, nil, "Tokens read."},
	{"cost.output_tokens", aCount, nil, "Tokens written."},
	{"cost.cached_tokens", aCount, nil, "Tokens read from a cache."},

	{"duration_ms", aMeasure, nil, "How long the call took, in milliseconds."},

	{"policy", aGroup, nil, "Verdict of the gateway's own policy, before us."},
	{"policy.verdict", aWord, verdicts, "allow, deny, modify or escalate."},
	{"policy.id", aText, nil, "Id of the policy."},

	{"approval", aGroup, nil, "A step of an approval; agent.id is the agent whose call is approved."},
	{"approval.id", aText, nil, "Id of the approval."},
	{"approval.state", aWord, states, "requested, granted, denied, expired or revoked."},
	{"approval.by", anIdentity, nil, "Who decided, in any spelling, as persona."},
	{"approval.requested_by", anIdentity, nil, "Who asked, in any spelling, as persona."},
	{"approval.digest", aText, nil,
		"Digest of the approved arguments: SHA-256 (or -384, -512) of their canonical JSON (RFC 8785) or of the bytes of args as sent, in hex or base64."},
	{"approval.expires", aTime, nil, "Until when it holds, in the forms of time."},
	{"approval.bypass", aFlag, nil, "Was the approval passed over?"},

	{"message", aGroup, nil, "A message to or from the agent, for kind message."},
	{"message.role", aTerm, roles, "user, agent, tool or system."},
	{"message.text", aProse, nil, "The text, as long as the record allows. Used in flight and never stored."},
	{"message.text_hash", aText, nil, "Hash of the text, when it may not leave the gateway."},
	{"message.to", aText, nil, "Whom it is to."},

	{"audit", aGroup, nil, "An administrative act, for kind audit."},
	{"audit.action", aTerm, auditActions,
		"login, config_change, policy_change, tool_registered, agent_registered, agent_retired, permission_change or another."},
	{"audit.target", aText, nil, "What it was done to: an agent, a server, a tool as server|name."},
	{"audit.before", aValue, nil,
		"State before: of a tool definition_hash and hash_version, of an agent version, by themselves or under tool and agent."},
	{"audit.after", aValue, nil,
		"State after, as before. What a trusted source announces here is new to nobody when it comes."},

	{"source", aGroup, nil, "The gateway that sent the event."},
	{"source.name", aText, nil, "Name of the gateway."},
	{"source.trusted", aFlag, nil, "False if the agent could have spoofed it."},
	{"source.seq", aCount, nil, "The gateway's own running number: gaps are shown."},
	{"source.sample_rate", aMeasure, nil, "Share of events that is sent, if not all."},

	{"attrs", anObject, nil, "Anything else. Nothing reads it yet."},
}

// FieldNames are the fields of wayward.event/v1 by their dotted names, groups left out, in the
// order of the table. What is made of fields elsewhere is checked against it.
func FieldNames() []string {
	var names []string
	for _, f := range fields {
		if f.shape != aGroup {
			names = append(names, f.path)
		}
	}
	return names
}

// IdentityFields are the fields whose texts the decoder brings into the form of Identity.
func IdentityFields() []string {
	var names []string
	for _, f := range fields {
		if f.shape == anIdentity {
			names = append(names, f.path)
		}
	}
	return names
}

// Schema returns the JSON Schema (2020-12) of wayward.event/v1 for producers: what is as it says is
// read without a mark. Decode is stricter where a schema has no words for it: bytes instead of
// characters in the longest text, the last digits of a decimal, the leap day, nesting, size,
// repeated fields.
func Schema() []byte {
	root := object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "https://github.com/wayward-sec/wayward/docs/event.schema.json",
		"title":       "wayward.event/v1",
		"description": "One record of the topic agent.events: a JSON object in UTF-8 of at most 1 MiB and 32 levels, no field twice in one object. Unknown fields are ignored; null, and of a text \"\", counts as absent, an empty list of labels does not. Words are read without regard to case and blanks around them. Only time, kind, tenant, agent.id, the tool of a call, phase, policy.verdict and approval.state must be as they are written here: any other field that is not is cut, replaced or left out, and marked as unreadable; the event is judged with the rest.",
		"type":        "object",
		"required":    []string{"time", "kind", "tenant", "agent"},
		"properties":  object{},
		"if": object{"properties": object{"kind": object{"const": ToolCall.String()}},
			"required": []string{"kind"}},
		"then": object{
			"required": []string{"tool"},
			"properties": object{"tool": object{
				"type": "object", "required": []string{"name"},
				"properties": object{"name": object{"type": "string", "minLength": 1}},
			}},
		},
	}
	for _, f := range fields {
		in, name := root, f.path
		for {
			group, rest, ok := strings.Cut(name, ".")
			if !ok {
				break
			}
			in, name = in["properties"].(object)[group].(object), rest
		}
		in["properties"].(object)[name] = f.schema()
	}
	agent := root["properties"].(object)["agent"].(object)
	agent["type"], agent["required"] = "object", []string{"id"}

	return printSchema(root)
}

type object = map[string]any

func (f field) schema() object {
	s := object{"description": f.doc}
	nullable := func(t string) { s["type"] = []string{t, "null"} }
	switch f.shape {
	case aGroup:
		nullable("object")
		s["properties"] = object{}
	case aText, anIdentity, aTerm:
		nullable("string")
		s["maxLength"] = MaxString
	case aCurrency:
		nullable("string")
		s["pattern"] = `^([A-Za-z]{3})?$`
	case aName:
		s["type"], s["minLength"], s["maxLength"] = "string", 1, MaxString
	case aTenant:
		s["type"], s["pattern"] = "string", `^[A-Za-z0-9._-]{1,64}$`
	case aProse:
		nullable("string")
	case aList:
		nullable("array")
		s["maxItems"], s["items"] = MaxLabels, object{"type": "string", "maxLength": MaxString}
	case aWord:
		words := []any{}
		for _, w := range f.words[1:] {
			words = append(words, w)
		}
		if f.path != "kind" {
			words = append(words, nil)
		}
		s["enum"] = words
	case aVersion:
		s["enum"] = []any{1, nil}
	case aTier:
		s["enum"] = []any{1, 2, 3, nil}
	case aCount:
		nullable("integer")
		s["minimum"], s["maximum"] = 0, int64(1<<63-1)
	case aMeasure:
		nullable("number")
		s["minimum"] = 0
	case aDecimal:
		// Millionths in 64 bits end at 9223372036854.775807: thirteen digits before the point.
		s["anyOf"] = []object{
			{"type": "string", "maxLength": MaxString, "pattern": `^-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,6}0*)?$`},
			{"type": "number", "minimum": json.Number("-9223372036854.775808"),
				"maximum": json.Number("9223372036854.775807")},
			{"type": "null"},
		}
	case aTime:
		years := `([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)`
		if f.path == "time" { // the zone may put an hour of 1969 into 1970
			years = `(19(69|[7-9][0-9])|[2-9][0-9]{3})`
		}
		times := []object{
			{"type": "string", "format": "date-time", "maxLength": MaxString, "pattern": `^` + years + `-` +
				`((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))` +
				`[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`},
			{"type": "integer", "minimum": firstMillis, "maximum": lastTime},
		}
		if f.path != "time" {
			times = append(times, object{"type": "null"})
		}
		s["anyOf"] = times
	case aFlag:
		nullable("boolean")
	case anObject:
		nullable("object")
	case aValue:
	}
	return s
}
