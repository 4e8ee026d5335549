package sinks

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
)

// MaxRecord is the size that no record exceeds, whatever its finding holds.
const MaxRecord = 256 << 10

// What keeps a record below MaxRecord: it holds at most some 60 texts, two sentences and twice the
// tags. An identifier of event.MaxString bytes still fits whole, even if every byte is a quote.
const (
	maxText = 2 * event.MaxString
	maxWhy  = 8 << 10
	maxTag  = 256
	maxTags = 64
	maxRefs = 6
)

// Names on the wire.
const (
	ocsfVersion = "1.8.0"
	schemaName  = "wayward.finding/v1"
)

// OCSF writes findings as Detection Findings (class 2004) of OCSF 1.8.0. What that schema has no
// place for is under unmapped.wayward.
type OCSF struct {
	Version string // of wayward
}

// OCSF's captions, at the index of their numbers.
var (
	activities = [...]string{"Unknown", "Create", "Update", "Close"}
	analytics  = [...]string{"Unknown", "Rule", "Behavioral", "Statistical"}
	severities = [...]string{"Unknown", "Informational", "Low", "Medium", "High", "Critical"}
	risks      = [...]string{"Info", "Low", "Medium", "High", "Critical"}
)

// known returns n if captions has it, else 0: a number that the schema does not know makes
// consumers drop the record.
func known(n int, captions []string) int {
	if n < 0 || n >= len(captions) {
		return 0
	}
	return n
}

// Append appends the record of f, one JSON object on one line. The same finding gives the same
// bytes; only f.Now is wall clock, and a replay leaves it zero.
func (o *OCSF) Append(dst []byte, f *event.Finding) []byte {
	activity := known(int(f.Activity), activities[:])
	severity := known(int(f.Severity), severities[:])
	risk := min(max(f.Risk/20, 0), len(risks)-1)
	head, trigger := contributors(f)

	w := object{b: append(dst, '{')}
	w.num("activity_id", int64(activity))
	w.word("activity_name", activities[activity])
	w.fixed(`"category_uid":2,"category_name":"Findings","class_uid":2004,"class_name":"Detection Finding"`)
	w.num("type_uid", int64(200400+activity))
	w.num("time", f.Time)
	w.num("start_time", f.First)
	w.num("end_time", f.Last)
	w.num("severity_id", int64(severity))
	w.word("severity", severities[severity])
	w.bool("is_alert", f.Alert)
	if f.Anomaly != nil {
		w.confidence(f)
	}
	w.num("risk_score", int64(f.Risk))
	w.num("risk_level_id", int64(risk))
	w.word("risk_level", risks[risk])
	w.fixed(`"status_id":1,"status":"New"`)
	w.name("message")
	w.value(oneLine(f.Why), maxWhy)
	w.num("count", f.Count)
	w.info(f, head, trigger)
	w.evidences(f, head, trigger)
	if f.ScopeID != "" {
		w.open("resources", '[')
		w.open("", '{')
		w.text("uid", f.ScopeID)
		w.opt("type", f.ScopeType)
		w.close("}]")
	}
	switch {
	case f.Anomaly != nil:
		w.statisticalAnalysis(f)
	case f.Measure != "":
		w.limitAnalysis(f)
	}
	w.observables(f, head, trigger)
	w.unmapped(f)

	// Last, because only now is it known whether something was cut.
	w.open("metadata", '{')
	w.fixed(`"version":"` + ocsfVersion + `"`)
	w.open("product", '{')
	w.fixed(`"name":"wayward","vendor_name":"wayward-sec"`)
	w.opt("version", o.Version)
	w.close("}")
	w.opt("tenant_uid", f.Tenant)
	w.record(f)
	if f.Now != 0 {
		w.num("processed_time", f.Now)
	}
	if w.cut {
		w.bool("is_truncated", true)
	}
	w.close("}}")
	return w.b
}

// contributors returns the first contributors and the trigger, no more than maxRefs in all.
func contributors(f *event.Finding) (head []event.Ref, trigger event.Ref) {
	n := len(f.Refs)
	if n == 0 {
		return nil, event.Ref{Agent: f.Agent}
	}
	trigger = f.Refs[n-1]
	if trigger.Agent == "" {
		trigger.Agent = f.Agent
	}
	return f.Refs[:min(n-1, maxRefs-1)], trigger
}

// others calls for each further agent with its first event, so that a chain of agents can be
// followed.
func others(head []event.Ref, trigger event.Ref, yield func(event.Ref)) {
next:
	for i, r := range head {
		if r.Agent == "" || r.Agent == trigger.Agent {
			continue
		}
		for _, earlier := range head[:i] {
			if earlier.Agent == r.Agent {
				continue next
			}
		}
		yield(r)
	}
}

// record writes the id of this record; finding_info.uid is that of the finding, which may have several.
func (w *object) record(f *event.Finding) {
	w.text("uid", f.UID)
	w.b = append(appendRevision(w.b[:len(w.b)-1], f), '"')
}

// appendRevision appends what tells the records of one finding apart: activity, count, and of an
// update a hash of its contents, since two updates may have the same count where severity or scope has
// changed. It follows from the finding alone, so a replay gives the same one.
func appendRevision(b []byte, f *event.Finding) []byte {
	b = strconv.AppendInt(append(b, '-'), int64(f.Activity), 10)
	b = strconv.AppendInt(append(b, '-'), f.Count, 10)
	if f.Activity != event.Update {
		return b
	}
	var h xxhash.Digest
	h.Reset()
	for _, text := range []string{f.Observed, f.Expected, f.Why, f.Title, f.ScopeType, f.ScopeID, f.Session, f.Tool} {
		h.WriteString(text)
		h.Write([]byte{0})
	}
	var n [8 * 5]byte
	for i, v := range []int64{f.Last, int64(f.Severity), int64(f.Risk), f.First, int64(len(f.Refs))} {
		binary.BigEndian.PutUint64(n[8*i:], uint64(v))
	}
	h.Write(n[:])
	if f.Alert {
		h.WriteString("alert")
	}
	binary.BigEndian.PutUint64(n[:], h.Sum64())
	return hex.AppendEncode(append(b, '-'), n[:4])
}

// info writes finding_info: what was found, by which analytic, on which events.
func (w *object) info(f *event.Finding, head []event.Ref, trigger event.Ref) {
	w.open("finding_info", '{')
	w.text("uid", f.UID)
	w.text("title", f.Title)
	w.name("desc")
	w.value(f.Why, maxWhy)
	w.analytic(f)
	w.num("created_time", f.Time)
	w.num("first_seen_time", f.First)
	w.num("last_seen_time", f.Last)
	if len(f.Refs) > 0 {
		w.open("related_events", '[')
		for _, r := range head {
			w.related(f, r)
		}
		w.related(f, trigger)
		w.close("]")
	}
	w.num("related_events_count", f.Count)
	w.tags(f)
	w.close("}")
}

// analytic writes which detector and rule made the finding.
func (w *object) analytic(f *event.Finding) {
	w.open("analytic", '{')
	kind := known(int(f.Analytic), analytics[:])
	w.num("type_id", int64(kind))
	w.word("type", analytics[kind])
	w.text("uid", f.Detector)
	if f.Rule != "" {
		w.b = append(w.b[:len(w.b)-1], '/')
		q := len(w.b)
		w.value(f.Rule, maxText)
		w.b = append(w.b[:q], w.b[q+1:]...) // without the opening quote: detector/rule is one text
	}
	w.text("name", f.Detector)
	w.opt("version", f.RuleVersion)
	w.fixed(`"state_id":1,"state":"Active"`)
	w.close("}")
}

// tags writes ids of MITRE ATLAS as attacks and all others as tags.
func (w *object) tags(f *event.Finding) {
	tags := f.Tags[:min(len(f.Tags), maxTags)]
	w.cut = w.cut || len(tags) < len(f.Tags)
	attacks := 0
	for _, tag := range tags {
		technique, sub := atlas(tag)
		if technique == "" {
			continue
		}
		if attacks == 0 {
			w.open("attacks", '[')
		}
		attacks++
		w.open("", '{')
		w.open("technique", '{')
		w.word("uid", technique)
		w.close("}")
		if sub != "" {
			w.open("sub_technique", '{')
			w.word("uid", sub)
			w.close("}")
		}
		w.close("}")
	}
	if attacks > 0 {
		w.close("]")
	}
	if attacks < len(tags) {
		w.open("tags", '[')
		for _, tag := range tags {
			if technique, _ := atlas(tag); technique != "" {
				continue
			}
			name := "tag"
			if owasp(tag) {
				name = "owasp_agentic"
			}
			w.open("", '{')
			w.word("name", name)
			w.name("value")
			w.value(tag, maxTag)
			w.close("}")
		}
		w.close("]")
	}
}

// related writes one contributing event, with its agent if that is not the finding's.
func (w *object) related(f *event.Finding, r event.Ref) {
	w.open("", '{')
	w.text("uid", r.ID)
	w.num("first_seen_time", r.Time)
	if r.Agent != "" && r.Agent != f.Agent {
		w.open("tags", '[')
		w.open("", '{')
		w.word("name", "agent")
		w.text("value", r.Agent)
		w.close("}]")
	}
	w.close("}")
}

// evidences has one entry per agent, that of the trigger first, since many consumers look no
// further. OCSF 1.8 has no object for an AI agent: it is the application that acts, on behalf of a
// user.
func (w *object) evidences(f *event.Finding, head []event.Ref, trigger event.Ref) {
	actor := trigger.Agent != "" || f.User != "" || f.Session != ""
	first := true
	begin := func(id string) {
		if first {
			w.open("evidences", '[')
			first = false
		}
		w.open("", '{')
		w.opt("uid", id)
	}
	if actor || f.Tool != "" { // the schema wants one of them
		begin(trigger.ID)
		if actor {
			w.open("actor", '{')
			w.opt("app_uid", trigger.Agent)
			if f.Session != "" {
				w.open("session", '{')
				w.text("uid", f.Session)
				w.close("}")
			}
			if f.User != "" {
				w.open("user", '{')
				w.text("uid", f.User)
				w.close("}")
			}
			w.close("}")
		}
		if f.Tool != "" {
			w.open("api", '{')
			w.text("operation", f.Tool)
			if f.Server != "" {
				w.open("service", '{')
				w.text("name", f.Server)
				w.close("}")
			}
			w.close("}")
		}
		if f.Target != "" {
			w.open("resources", '[')
			w.open("", '{')
			w.text("name", f.Target)
			w.close("}]")
		}
		w.close("}")
	}
	others(head, trigger, func(r event.Ref) {
		begin(r.ID)
		w.open("actor", '{')
		w.text("app_uid", r.Agent)
		w.close("}}")
	})
	if !first {
		w.close("]")
	}
}

// beginAnalysis begins an anomaly analysis with whom it is about.
func (w *object) beginAnalysis(f *event.Finding) {
	w.open("anomaly_analyses", '[')
	w.open("", '{')
	w.open("analysis_targets", '[')
	w.open("", '{')
	w.text("name", f.ScopeID)
	w.opt("type", f.ScopeType)
	w.close("}]")
	w.open("anomalies", '[')
}

// limitAnalysis is what was measured and what was allowed, as an anomaly analysis of OCSF.
func (w *object) limitAnalysis(f *event.Finding) {
	kind, pattern := "Volume Analysis", "SURGE"
	switch f.Measure {
	case "count", "errors", "denials", "retries":
		kind, pattern = "Frequency Analysis", "FREQUENT"
	}
	w.beginAnalysis(f)
	w.open("", '{')
	w.text("observation_parameter", f.Measure)
	w.word("observation_type", kind)
	w.word("observed_pattern", pattern)
	w.open("observations", '[')
	w.open("", '{')
	w.text("value", f.Observed)
	w.num("count", f.Count)
	w.open("timespan", '{')
	w.num("type_id", 9) // an interval
	w.num("start_time", f.First)
	w.num("end_time", f.Last)
	w.close("}}]}]")
	if f.Expected != "" {
		w.open("baselines", '[')
		w.open("", '{')
		w.text("observation_parameter", f.Measure)
		w.word("observation_type", kind)
		w.open("observations", '[')
		w.open("", '{')
		w.text("value", f.Expected)
		if f.WindowMS != 0 {
			w.open("timespan", '{')
			w.num("type_id", 1) // milliseconds
			w.num("duration", f.WindowMS)
			w.close("}")
		}
		w.close("}]}]")
	}
	w.close("}]")
}

// observables are what an analyst pivots on.
func (w *object) observables(f *event.Finding, head []event.Ref, trigger event.Ref) {
	first := true
	add := func(name string, n int64, kind, value string) {
		if first {
			w.open("observables", '[')
			first = false
		}
		w.open("", '{')
		w.word("name", name)
		w.num("type_id", n)
		w.word("type", kind)
		w.text("value", value)
		w.close("}")
	}
	if trigger.Agent != "" {
		add("evidences.actor.app_uid", 99, "AI Agent", trigger.Agent)
	}
	others(head, trigger, func(r event.Ref) { add("evidences.actor.app_uid", 99, "AI Agent", r.Agent) })
	if f.User != "" {
		add("evidences.actor.user.uid", 31, "User Object: uid", f.User)
	}
	if !first {
		w.close("]")
	}
}

// unmapped repeats the finding in our own words, which do not change with OCSF's versions.
func (w *object) unmapped(f *event.Finding) {
	w.open("unmapped", '{')
	w.open("wayward", '{')
	w.word("schema", schemaName)
	w.text("detector", f.Detector)
	w.text("rule", f.Rule)
	w.opt("rule_version", f.RuleVersion)
	w.opt("stage", f.Stage)
	w.open("scope", '{')
	w.text("type", f.ScopeType)
	w.text("id", f.ScopeID)
	w.close("}")
	w.opt("agent", f.Agent)
	w.opt("persona", f.Persona)
	w.opt("session", f.Session)
	w.opt("user", f.User)
	w.opt("tool", f.Tool)
	w.opt("server", f.Server)
	if f.Class > event.NoClass && int(f.Class) <= len(event.Classes()) {
		w.word("class", f.Class.String())
	}
	w.opt("target", f.Target)
	if f.Measure != "" {
		w.text("measure", f.Measure)
		w.opt("unit", f.Unit)
		w.text("observed", f.Observed)
		w.opt("expected", f.Expected)
	}
	if f.WindowMS != 0 {
		w.num("window_ms", f.WindowMS)
	}
	if f.Incomplete {
		w.bool("incomplete", true)
	}
	w.opt("state_full", f.Full)
	w.opt("unreadable", f.Unreadable)
	if f.Anomaly != nil {
		w.unmappedAnomaly(f.Anomaly)
	}
	if len(f.Tags) > 0 {
		w.open("tags", '[')
		for _, tag := range f.Tags[:min(len(f.Tags), maxTags)] {
			w.sep()
			w.value(tag, maxTag)
		}
		w.close("]")
	}
	w.close("}}")
}

// oneLine returns s without line breaks and other control characters.
func oneLine(s string) string {
	breaks := func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }
	i := 0
	for i < len(s) && ' ' <= s[i] && s[i] < 0x7f {
		i++
	}
	if i == len(s) || strings.IndexFunc(s[i:], breaks) < 0 {
		// the first check spares plain text the look-up of each rune
		return s
	}
	return strings.Map(func(r rune) rune {
		if breaks(r) {
			return ' '
		}
		return r
	}, s)
}

// atlas takes a MITRE ATLAS id apart: AML.T0051.001 is a sub-technique of AML.T0051.
func atlas(tag string) (technique, sub string) {
	digits, ok := strings.CutPrefix(tag, "AML.T")
	if !ok || len(tag) > maxTag {
		return "", ""
	}
	parent, child, dotted := strings.Cut(digits, ".")
	switch {
	case !number(parent) || dotted && !number(child):
		return "", ""
	case dotted:
		return tag[:len(tag)-len(child)-1], tag
	}
	return tag, ""
}

// owasp recognises an id of the OWASP Agentic Top 10, such as ASI02.
func owasp(tag string) bool {
	n, ok := strings.CutPrefix(tag, "ASI")
	return ok && number(n)
}

func number(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Key appends the Kafka key of f: findings of one agent keep their order among themselves and sit
// in the partition of its events.
func (o *OCSF) Key(dst []byte, f *event.Finding) []byte {
	dst = append(event.AppendKeyPart(dst, f.Tenant), '|')
	if f.Agent != "" && (f.ScopeType == "agent" || f.ScopeType == "session" || f.ScopeType == "call") {
		return event.AppendKeyPart(dst, f.Agent)
	}
	dst = append(event.AppendKeyPart(dst, f.ScopeType), ':')
	return event.AppendKeyPart(dst, f.ScopeID)
}

// Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// Headers are copies of fields of the record, in CloudEvents' binary names, for consumers that route
// without parsing.
func (o *OCSF) Headers(f *event.Finding) []Header {
	id := appendRevision(attribute(nil, f.UID), f)
	rule := attribute(nil, f.Detector)
	if f.Rule != "" {
		rule = attribute(append(rule, '/'), f.Rule)
	}
	subject := append(attribute(nil, f.ScopeType), ':')
	return []Header{
		{"ce_specversion", []byte("1.0")},
		{"ce_id", id},
		{"ce_type", []byte("wayward.finding.v1")},
		{"ce_source", attribute([]byte("/wayward/"), f.Tenant)},
		{"ce_time", time.UnixMilli(f.Time).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00")},
		{"ce_subject", attribute(subject, f.ScopeID)},
		{"ce_dataschema", []byte("https://schema.ocsf.io/" + ocsfVersion + "/classes/detection_finding")},
		{"content-type", []byte("application/json")},
		{"severity", []byte(strings.ToLower(severities[known(int(f.Severity), severities[:])]))},
		{"rule_id", rule},
		{"schema", []byte(schemaName)},
	}
}

// attribute percent-encodes what CloudEvents forbids in an attribute: control characters and what
// is no UTF-8.
func attribute(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == '%' || unicode.IsControl(r) || r == utf8.RuneError && n == 1 {
			for _, c := range []byte(s[i : i+n]) {
				dst = append(dst, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
			}
		} else {
			dst = append(dst, s[i:i+n]...)
		}
		i += n
	}
	return dst
}
