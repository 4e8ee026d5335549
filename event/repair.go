package event

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// Content must not hide an event. An agent, or a page that it reads, chooses the content, and with a
// strict decoder half a surrogate in it would keep the whole call unseen. So a value that cannot be
// read as it was sent is repaired: its end is found by quotes and brackets alone, what can be kept is
// kept, the field is marked in Event.Unreadable, and decoding continues behind it. A record without
// faults never gets here.

// A repair is what is kept of a field that could not be read, and how it is marked.
type repair struct {
	marks Unreadable
	take  func(d *Decoder, p []byte, at, end int) // of the value; nil: nothing is kept
	// distrust: take is called for a value that came twice, too.
	distrust bool
}

// manyLabels is how many labels are kept of a list that is too long: one that a policy looks for may be
// anywhere in it. Those beyond are dropped, which the mark shows.
const manyLabels = 256

const (
	marksResource = UnreadableResourceType | UnreadableResourceID | UnreadableResourceTenant |
		UnreadableResourceOwner | UnreadableLabels | UnreadableClassification | UnreadableVisibility |
		UnreadableEnvironment
	marksDestination = UnreadableDestinationKind | UnreadableDestination | UnreadableDomain | UnreadableExternal
	marksResult      = UnreadableOutcome | UnreadableRecords | UnreadableBytes | UnreadableError |
		UnreadableContent | UnreadableUntrusted | UnreadableEffect
	marksAmount = UnreadableAmount | UnreadableCurrency
)

// repairs are the fields that can be repaired, by path. The others must be right: those that name
// the event, and words on which a decision depends.
var repairs = map[string]repair{
	// absent: made of the bytes
	"id":   {marks: UnreadableID, take: keepNumber(func(e *Event) *string { return &e.ID }), distrust: true},
	"call": {marks: UnreadableCall, take: keepCut(func(e *Event) *string { return &e.Call })},
	// absent: the registry's
	"persona": {marks: UnreadablePersona, take: keepNothing(func(e *Event) *string { return &e.Persona }),
		distrust: true},
	"user":         {marks: UnreadableUser, take: keepCut(func(e *Event) *string { return &e.User })},
	"session":      {marks: UnreadableSession, take: keepCut(func(e *Event) *string { return &e.Session })},
	"conversation": {marks: UnreadableConversation, take: keepCut(func(e *Event) *string { return &e.Conversation })},
	"intent":       {marks: UnreadableIntent, take: keepCut(func(e *Event) *string { return &e.Intent })},
	"args_digest":  {marks: UnreadableArgsDigest, take: keepCut(func(e *Event) *string { return &e.ArgsDigest })},
	"subject":      {marks: UnreadableSubject, take: keepCut(func(e *Event) *string { return &e.Subject })},
	"args":         {marks: UnreadableArgs, take: keepObject(func(e *Event) *[]byte { return &e.Args })},
	"provenance":   {marks: UnreadableProvenance, take: keepObject(func(e *Event) *[]byte { return &e.Provenance })},
	"attrs":        {marks: UnreadableAttrs, take: keepObject(func(e *Event) *[]byte { return &e.Attrs })},
	"duration_ms": {marks: UnreadableDuration, take: keepMeasure(func(e *Event) *float64 { return &e.DurationMS },
		HasDuration)},

	"agent.instance": {marks: UnreadableAgent, take: keepCut(func(e *Event) *string { return &e.Agent.Instance })},
	"agent.version":  {marks: UnreadableAgent, take: keepCut(func(e *Event) *string { return &e.Agent.Version })},
	"agent.model":    {marks: UnreadableAgent, take: keepCut(func(e *Event) *string { return &e.Agent.Model })},
	"agent.owner":    {marks: UnreadableAgent, take: keepCut(func(e *Event) *string { return &e.Agent.Owner })},
	"agent.charter_hash": {marks: UnreadableAgent,
		take: keepCut(func(e *Event) *string { return &e.Agent.CharterHash })},
	"agent.credential": {marks: UnreadableCredential,
		take: keepCut(func(e *Event) *string { return &e.Agent.Credential })},
	"agent.tier": {marks: UnreadableTier, take: func(d *Decoder, p []byte, at, end int) {
		d.e.Agent.Tier, d.e.Has = 0, d.e.Has&^HasTier
		if n, ok := looseCount(d.kept(p, at, end, false)); ok && n >= 1 && n <= 3 {
			d.e.Agent.Tier, d.e.Has = n, d.e.Has|HasTier
		}
	}},

	"trace":        {marks: UnreadableTrace},
	"trace.id":     {marks: UnreadableTrace, take: keepCut(func(e *Event) *string { return &e.Trace.ID })},
	"trace.span":   {marks: UnreadableTrace, take: keepCut(func(e *Event) *string { return &e.Trace.Span })},
	"trace.parent": {marks: UnreadableTrace, take: keepCut(func(e *Event) *string { return &e.Trace.Parent })},

	"delegation": {marks: UnreadableDelegation | UnreadableDelegationLimit},
	"delegation.id": {marks: UnreadableDelegation,
		take: keepCut(func(e *Event) *string { return &e.Delegation.ID })},
	"delegation.parent": {marks: UnreadableDelegation,
		take: keepCut(func(e *Event) *string { return &e.Delegation.Parent })},
	"delegation.from": {marks: UnreadableDelegation,
		take: keepCut(func(e *Event) *string { return &e.Delegation.From })},
	"delegation.to": {marks: UnreadableDelegation,
		take: keepCut(func(e *Event) *string { return &e.Delegation.To })},
	"delegation.limit":       {marks: UnreadableDelegationLimit},
	"delegation.limit.value": {marks: UnreadableDelegationLimit}, // what may be spent is not guessed
	"delegation.limit.currency": {marks: UnreadableDelegationLimit,
		take: keepCut(func(e *Event) *string { return &e.Delegation.Limit.Currency })},

	"origin":        {marks: UnreadableOrigin},
	"origin.ip":     {marks: UnreadableOrigin, take: keepCut(func(e *Event) *string { return &e.Origin.IP })},
	"origin.host":   {marks: UnreadableOrigin, take: keepCut(func(e *Event) *string { return &e.Origin.Host })},
	"origin.region": {marks: UnreadableOrigin, take: keepCut(func(e *Event) *string { return &e.Origin.Region })},

	"tool":        {marks: UnreadableTool | UnreadableServer | UnreadableClass},
	"tool.name":   {marks: UnreadableTool, take: keepCut(func(e *Event) *string { return &e.Tool.Name })},
	"tool.server": {marks: UnreadableServer, take: keepCut(func(e *Event) *string { return &e.Tool.Server })},
	"tool.class":  {marks: UnreadableClass},
	"tool.definition_hash": {marks: UnreadableTool,
		take: keepCut(func(e *Event) *string { return &e.Tool.DefinitionHash })},
	"tool.hash_version": {marks: UnreadableTool,
		take: keepCut(func(e *Event) *string { return &e.Tool.HashVersion })},
	"tool.read_only_hint": {marks: UnreadableTool, take: keepFlag(func(e *Event) *Tri { return &e.Tool.ReadOnlyHint },
		Unknown)},
	"tool.open_world_hint": {marks: UnreadableTool, take: keepFlag(func(e *Event) *Tri { return &e.Tool.OpenWorldHint },
		Unknown)},

	"resource": {marks: marksResource},
	"resource.type": {marks: UnreadableResourceType,
		take: keepCut(func(e *Event) *string { return &e.Resource.Type })},
	"resource.id": {marks: UnreadableResourceID,
		take: keepCut(func(e *Event) *string { return &e.Resource.ID })},
	"resource.tenant": {marks: UnreadableResourceTenant,
		take: keepCut(func(e *Event) *string { return &e.Resource.Tenant })},
	"resource.owner": {marks: UnreadableResourceOwner,
		take: keepCut(func(e *Event) *string { return &e.Resource.Owner })},
	"resource.labels": {marks: UnreadableLabels, take: (*Decoder).looseLabels},
	"resource.classification": {marks: UnreadableClassification,
		take: keepCut(func(e *Event) *string { return &e.Resource.Classification })},
	"resource.visibility": {marks: UnreadableVisibility,
		take: keepCut(func(e *Event) *string { return &e.Resource.Visibility })},
	"resource.environment": {marks: UnreadableEnvironment,
		take: keepCut(func(e *Event) *string { return &e.Resource.Environment })},

	// an address alone is one
	"destination": {marks: marksDestination,
		take: keepCut(func(e *Event) *string { return &e.Destination.Value })},
	"destination.kind": {marks: UnreadableDestinationKind,
		take: keepCut(func(e *Event) *string { return &e.Destination.Kind })},
	"destination.value": {marks: UnreadableDestination,
		take: keepCut(func(e *Event) *string { return &e.Destination.Value })},
	"destination.domain": {marks: UnreadableDomain,
		take: keepCut(func(e *Event) *string { return &e.Destination.Domain })},
	"destination.external": {marks: UnreadableExternal,
		take: keepFlag(func(e *Event) *Tri { return &e.Destination.External }, Unknown)},

	"result":         {marks: marksResult},
	"result.outcome": {marks: UnreadableOutcome},
	"result.records": {marks: UnreadableRecords,
		take: keepCount(func(e *Event) *int64 { return &e.Result.Records }, HasRecords)},
	"result.bytes": {marks: UnreadableBytes, take: keepCount(func(e *Event) *int64 { return &e.Result.Bytes },
		HasBytes)},
	"result.error": {marks: UnreadableError, take: keepProse(func(e *Event) *string { return &e.Result.Error })},
	"result.content": {marks: UnreadableContent,
		take: keepValue(func(e *Event) *[]byte { return &e.Result.Content })},
	"result.content_hash": {marks: UnreadableContent,
		take: keepCut(func(e *Event) *string { return &e.Result.ContentHash })},
	"result.untrusted": {marks: UnreadableUntrusted,
		take: keepFlag(func(e *Event) *Tri { return &e.Result.Untrusted }, Yes)},
	"result.effect": {marks: UnreadableEffect},

	// a number alone is one
	"amount": {marks: marksAmount, take: keepMoney(func(e *Event) *int64 { return &e.Amount.Micro },
		HasAmount)},
	"amount.value": {marks: UnreadableAmount, take: keepMoney(func(e *Event) *int64 { return &e.Amount.Micro },
		HasAmount)},
	"amount.currency": {marks: UnreadableCurrency, take: keepCut(func(e *Event) *string { return &e.Amount.Currency })},

	"cost": {marks: UnreadableCost},
	"cost.usd": {marks: UnreadableCost, take: keepMoney(func(e *Event) *int64 { return &e.Cost.MicroUSD },
		HasCost)},
	"cost.input_tokens": {marks: UnreadableCost, take: keepCount(func(e *Event) *int64 { return &e.Cost.InputTokens },
		HasTokens)},
	"cost.output_tokens": {marks: UnreadableCost, take: keepCount(func(e *Event) *int64 { return &e.Cost.OutputTokens },
		HasTokens)},
	"cost.cached_tokens": {marks: UnreadableCost, take: keepCount(func(e *Event) *int64 { return &e.Cost.CachedTokens },
		HasTokens)},

	"policy.id": {marks: UnreadablePolicy, take: keepCut(func(e *Event) *string { return &e.Policy.ID })},

	// What shows an approval must be read for certain: a list of approvers lets pass what is not
	// known.
	"approval": {marks: UnreadableApproval, distrust: true,
		take: func(d *Decoder, _ []byte, _, _ int) { d.e.Approval = ApprovalOf{} }},
	"approval.id": {marks: UnreadableApproval,
		take: keepCut(func(e *Event) *string { return &e.Approval.ID })},
	"approval.by": {marks: UnreadableApproval,
		take: keepNothing(func(e *Event) *string { return &e.Approval.By }), distrust: true},
	"approval.requested_by": {marks: UnreadableApproval,
		take: keepCut(func(e *Event) *string { return &e.Approval.RequestedBy })},
	"approval.digest": {marks: UnreadableApproval,
		take: keepNothing(func(e *Event) *string { return &e.Approval.Digest }), distrust: true},
	"approval.bypass": {marks: UnreadableApproval,
		take: keepFlag(func(e *Event) *Tri { return &e.Approval.Bypass }, Unknown)},
	"approval.expires": {marks: UnreadableExpires, distrust: true, take: func(d *Decoder, _ []byte, _, _ int) {
		// until when is not known, so it is over
		d.e.Approval.Expires, d.e.Has = firstDate, d.e.Has|HasExpires
	}},

	"message":      {marks: UnreadableMessage},
	"message.role": {marks: UnreadableMessage, take: keepCut(func(e *Event) *string { return &e.Message.Role })},
	"message.text": {marks: UnreadableMessage, take: keepText(func(e *Event) *[]byte { return &e.Message.Text })},
	"message.text_hash": {marks: UnreadableMessage,
		take: keepCut(func(e *Event) *string { return &e.Message.TextHash })},
	"message.to": {marks: UnreadableMessage, take: keepCut(func(e *Event) *string { return &e.Message.To })},

	"audit":        {marks: UnreadableAudit},
	"audit.action": {marks: UnreadableAudit, take: keepCut(func(e *Event) *string { return &e.Audit.Action })},
	"audit.target": {marks: UnreadableAudit, take: keepCut(func(e *Event) *string { return &e.Audit.Target })},
	"audit.before": {marks: UnreadableAudit, take: keepValue(func(e *Event) *[]byte { return &e.Audit.Before })},
	"audit.after":  {marks: UnreadableAudit, take: keepValue(func(e *Event) *[]byte { return &e.Audit.After })},

	"source":         {marks: UnreadableSource, distrust: true, take: distrustSource},
	"source.name":    {marks: UnreadableSource, take: keepCut(func(e *Event) *string { return &e.Source.Name })},
	"source.trusted": {marks: UnreadableSource, distrust: true, take: distrustSource},
	"source.seq": {marks: UnreadableSource, take: keepCount(func(e *Event) *int64 { return &e.Source.Seq },
		HasSeq)},
	"source.sample_rate": {marks: UnreadableSource,
		take: keepMeasure(func(e *Event) *float64 { return &e.Source.SampleRate }, HasSampleRate)},
}

// distrustSource: a claim to be trusted that cannot be read is none.
func distrustSource(d *Decoder, _ []byte, _, _ int) { d.e.Source.Trusted = No }

// repair keeps what it can of the member with this key, whose value at at was at fault (i < 0) or
// came twice, and goes on behind it; group is the path of the object that it stands in, with a dot
// behind. It returns the offset behind the value, or -1 where the fault stands.
func (d *Decoder) repair(p []byte, i, at int, group string, key []byte, bit uint64) int {
	m, known := repairs[group+string(key)]
	if bit == 0 { // a field that nobody knows
		m, known = repair{marks: UnreadableOther}, true
	}
	if d.strict || !known {
		d.strict = true
		return d.refuse(i, at, key, bit)
	}
	end, fault := i, d.fault
	if i < 0 {
		if end = d.brackets.EndOfValue(p, at); end < 0 {
			d.fault, d.strict = fault, true // nobody can tell where it ends
			return d.refuse(i, at, key, bit)
		}
	} else {
		fault = DecodeError{Reason: duplicateField, Offset: at, Want: "the field once"}
	}
	if bit != 0 {
		fault.Field = strings.TrimSuffix(group+string(key)+"."+fault.Field, ".")
	}
	d.fault = DecodeError{}
	if m.marks == UnreadableDestination && fault.Reason == tooLong && d.hostIsWhole(p, at, end) {
		m.marks = UnreadablePath
	}
	d.note(fault, m.marks)
	switch group + string(key) {
	case "tool", "tool.name":
		d.later(ToolCall, fault)
	case "approval":
		d.later(Approval, fault)
	}
	if m.take != nil && (i < 0 || m.distrust) {
		m.take(d, p, at, end)
	}
	return end
}

// hostIsWhole reports whether a text that is too long is a URL that will be cut behind its host:
// where it goes is known.
func (d *Decoder) hostIsWhole(p []byte, at, end int) bool {
	s := d.kept(p, at, end, true)
	scheme := strings.Index(s, "://")
	if scheme < 1 || scheme > 16 {
		return false
	}
	host := s[scheme+3:]
	i := strings.IndexAny(host, "/?#\\")
	return i > 0 && host[i] != '\\' && scheme+3+i < MaxString/2
}

// later keeps a fault that counts if the event turns out to be of a kind: what it is about must be
// right there, and elsewhere it is content.
func (d *Decoder) later(kind Kind, fault DecodeError) {
	if d.about&(1<<kind) == 0 {
		d.about |= 1 << kind
		d.faults[kind] = fault
	}
}

func (d *Decoder) note(fault DecodeError, marks Unreadable) {
	if d.repaired == 0 {
		d.noted = fault
	}
	d.repaired++
	d.e.Unreadable |= marks
}

// brokenName passes over a field name that cannot be read: nobody knows that field. start is where
// its quote stands, fault where it breaks. It returns the offset of the closing quote.
func (d *Decoder) brokenName(p []byte, start, fault int, reason string) int {
	end := jsonscan.ClosingQuote(p, start+1)
	if end < 0 {
		return d.fail(reason, fault, "a string")
	}
	d.note(DecodeError{Reason: reason, Offset: fault, Want: "a string"}, UnreadableOther)
	return end
}

// kept is what can be kept of the value from at to end as a text: valid UTF-8 of at most MaxString
// bytes, with U+FFFD for what is no character and … where it was cut. If hashed, what identifies
// the whole follows there, so that two long texts that begin alike stay two.
func (d *Decoder) kept(p []byte, at, end int, hashed bool) string {
	raw := p[at:end]
	quoted := raw[0] == '"'
	switch {
	case raw[0] == '{' || raw[0] == '[':
		return ""
	case quoted:
		raw = raw[1 : len(raw)-1]
	}
	all := d.text.take(MaxString)
	b := all[:0]
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRune(raw[i:]) // U+FFFD for what is none
		if quoted && raw[i] == '\\' {
			r, n = jsonscan.EscapedRune(raw[i:])
		}
		if len(b)+utf8.RuneLen(r) > MaxString {
			const mark = len("…") + 16
			k := MaxString - mark
			for k > 0 && !utf8.RuneStart(b[:MaxString][k]) {
				k--
			}
			b = append(b[:k], "…"...)
			if hashed {
				b = hex16(b, xxhash.Sum64(raw))
			}
			break
		}
		b = utf8.AppendRune(b, r)
		i += n
	}
	d.text.giveBack(MaxString - len(b))
	return alias(all[:len(b):len(b)])
}

func hex16(b []byte, v uint64) []byte {
	for k := range 16 {
		b = append(b, "0123456789abcdef"[v>>(60-4*k)&15])
	}
	return b
}

// Ways of keeping.

type place[T any] func(e *Event) *T

// keepCut keeps an identifier: of one that is too long the beginning and a hash of the whole.
func keepCut(at place[string]) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) { *at(d.e) = d.kept(p, from, end, true) }
}

// keepProse keeps a text that people read.
func keepProse(at place[string]) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) { *at(d.e) = d.kept(p, from, end, false) }
}

// keepNothing keeps nothing: absent is the safer reading.
func keepNothing(at place[string]) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, _ []byte, _, _ int) { *at(d.e) = "" }
}

// keepNumber keeps a number as it is written, and of a text nothing.
func keepNumber(at place[string]) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) {
		*at(d.e) = ""
		if n, _ := jsonscan.Number(p, from); n == end {
			*at(d.e) = d.kept(p, from, end, true)
		}
	}
}

// keepFlag reads a truth value that was written as a text or number; else it is what is safe.
func keepFlag(at place[Tri], safe Tri) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) {
		switch s := strings.TrimSpace(d.kept(p, from, end, false)); {
		case s == "1", strings.EqualFold(s, "true"):
			*at(d.e) = Yes
		case s == "0", strings.EqualFold(s, "false"):
			*at(d.e) = No
		default:
			*at(d.e) = safe
		}
	}
}

func keepCount(at place[int64], has Has) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) {
		if n, ok := looseCount(d.kept(p, from, end, false)); ok {
			*at(d.e), d.e.Has = max(*at(d.e), n), d.e.Has|has
		}
	}
}

// looseCount reads a count that is written as a text, with a fraction or an exponent, or too large:
// then it is the largest, since it is at least that.
func looseCount(s string) (int64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	switch {
	case err != nil && !math.IsInf(v, 1), math.IsNaN(v), v < 0:
		return 0, false
	case v >= 1<<63:
		return math.MaxInt64, true
	}
	return int64(math.Ceil(v)), true
}

func keepMeasure(at place[float64], has Has) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) {
		if v, err := strconv.ParseFloat(strings.TrimSpace(d.kept(p, from, end, false)), 64); err == nil && v >= 0 &&
			!math.IsInf(v, 1) {
			*at(d.e), d.e.Has = math.Abs(v), d.e.Has|has
		}
	}
}

// keepMoney reads an amount that is written otherwise: with an exponent, more places, a plus. One
// that is too large is the largest, since it is at least that.
func keepMoney(at place[int64], has Has) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) {
		s := strings.TrimSpace(d.kept(p, from, end, false))
		micro, last, reason := decimal(s)
		if reason != "" || last != len(s) {
			v, err := strconv.ParseFloat(s, 64)
			if v *= 1e6; err != nil && !math.IsInf(v, 0) || math.IsNaN(v) {
				if d.e.Has&has == 0 {
					*at(d.e) = 0
				}
				return
			}
			switch {
			case v >= math.MaxInt64:
				micro = math.MaxInt64
			case v <= math.MinInt64:
				micro = math.MinInt64
			case v < 0:
				micro = int64(math.Floor(v))
			default:
				micro = int64(math.Ceil(v))
			}
		}
		if d.e.Has&has == 0 || larger(micro, *at(d.e)) {
			*at(d.e) = micro
		}
		d.e.Has |= has
	}
}

// larger reports whether an amount is larger than another, whichever way the money goes.
func larger(a, b int64) bool { return uint64(max(a, -a)) > uint64(max(b, -b)) }

// looseLabels keeps the labels of a list that is too long or holds what is none, each once; a text
// alone is one.
func (d *Decoder) looseLabels(p []byte, at, end int) {
	list := d.e.Resource.Labels
	add := func(from, to int) {
		l := trim(d.kept(p, from, to, true))
		if l == "" || len(list) >= manyLabels {
			return
		}
		for _, have := range list {
			if have == l {
				return
			}
		}
		list = append(list[:len(list):len(list)], l)
	}
	switch p[at] {
	case '{': // {"pii": true}: which of them hold is not known
	case '[':
		for i := at + 1; i < end-1 && len(list) < manyLabels; {
			if p[i] <= ' ' || p[i] == ',' || p[i] == ':' {
				i++
				continue
			}
			next := d.brackets.EndOfValue(p, i)
			if next < 0 {
				break
			}
			if !jsonscan.Literal(p[:next], i, "null") {
				add(i, next)
			}
			i = next
		}
	default:
		add(at, end)
	}
	d.e.Resource.Labels = list
}

// Raw values are rewritten as valid JSON no deeper than MaxDepth, so that later readers need not know
// of repairs.

func keepValue(at place[[]byte]) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) { *at(d.e) = jsonscan.Rewrite(nil, p[from:end], MaxDepth-1) }
}

func keepText(at place[[]byte]) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) {
		if b := jsonscan.Rewrite(nil, p[from:end], MaxDepth-1); b[0] == '"' {
			*at(d.e) = b
		} else {
			*at(d.e) = jsonscan.QuoteRaw(nil, p[from:end], false) // {"parts": …}: its words are in it
		}
	}
}

// keepObject keeps an object. A text that is one, as model APIs send arguments, is read; anything
// else lies under the name "value".
func keepObject(at place[[]byte]) func(*Decoder, []byte, int, int) {
	return func(d *Decoder, p []byte, from, end int) {
		b := jsonscan.Rewrite(nil, p[from:end], MaxDepth-1)
		if b[0] == '"' {
			if text, ok := jsonscan.Unquote(nil, b); ok {
				inner := bytes.TrimSpace(text)
				if len(inner) > 1 && inner[0] == '{' && d.brackets.EndOfValue(inner, 0) == len(inner) {
					b = jsonscan.Rewrite(nil, inner, MaxDepth-1)
				}
			}
		}
		if b[0] != '{' {
			b = append(append([]byte(`{"value":`), b...), '}')
		}
		*at(d.e) = b
	}
}
