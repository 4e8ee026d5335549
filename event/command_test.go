package event

import (
	"bytes"
	"crypto/ed25519"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// An example of a command. IssuedAt and NotAfter have the milliseconds that we write.
const exampleCommand = `{"schema":"wayward.command/v1","command_id":"0c7a7d9b2f6e4c2d9c1f","idempotency_key":"acme|agent|agt-7731|block|7",` +
	`"action":"block","scope":{"type":"agent","id":"agt-7731","tenant":"acme"},"epoch":7,"time":"2026-11-20T14:33:04.812Z",` +
	`"issued_at":"2026-11-20T14:33:05.000Z","not_after":"2026-11-20T14:34:05.000Z","duration":"PT15M","mode":"enforce","retryable":false,` +
	`"issuer":{"type":"rule","rule":"export-volume","version":"3"},"reason":"moved 180000 B; persona p99 is 90000 B","finding_uid":"5f0e","reply_to":"agent.acks"}`

func theCommand() Command {
	return Command{ID: "0c7a7d9b2f6e4c2d9c1f", Action: Block, Scope: Scope{AgentScope, "agt-7731", "acme", ""},
		Epoch: 7, Time: 1795185184812, IssuedAt: 1795185185000,
		NotAfter: 1795185245000, DurationMS: 900_000, Mode: Enforce,
		Issuer: Issuer{Type: "rule", Rule: "export-volume", Version: "3"},
		Reason: "moved 180000 B; persona p99 is 90000 B", FindingUID: "5f0e", ReplyTo: "agent.acks"}
}

const exampleFeedback = `{"v":1,"id":"b5c1","time":"2026-11-20T14:40:00.000Z","tenant":"acme","type":"trip","scope":{"type":"session","id":"s-1","tenant":"acme","agent":"agt-7731"},` +
	`"finding_uid":"5f0e","action":"throttle","duration":"PT15M","limit":{"calls":10,"per_seconds":60,"classes":["pay","send"]},"by":"alice","reason":"slow & steady <until> looked at"`

func theFeedback() Feedback {
	return Feedback{ID: "b5c1", Time: 1795185600000, Tenant: "acme", Type: TripFeedback,
		Scope: Scope{SessionScope, "s-1", "acme", "agt-7731"}, FindingUID: "5f0e", Action: Throttle,
		DurationMS: 900_000, Rate: Rate{10, 60, []Class{Pay, Send}}, By: "alice",
		Reason: "slow & steady <until> looked at"}
}

func TestFormsByteForByte(t *testing.T) {
	c, f := theCommand(), theFeedback()
	throttled := Breaker{Scope: Scope{ToolScope, ToolID("pay|1", "refund"), "acme", ""}, State: "throttled",
		Action: Throttle, Epoch: 2, Since: 1795185184812, Rate: Rate{Calls: 5, PerSeconds: 60},
		Mode: DryRun, CommandID: "c2", Reason: "too many", Issuer: Issuer{Type: "human", Rule: "b5c1", By: "alice"}}
	acked := Ack{CommandID: "c2", Tenant: "acme", Scope: Scope{TenantScope, "acme", "acme", ""}, Epoch: 2,
		Time: 1795185185001, Status: Applied, By: "gw-1", Detail: "3 connections closed"}
	seen := Thing{Kind: "tool", Tenant: "acme", ID: "refund", Server: "pay", First: 1795185184812, Last: 1795185185000,
		DefinitionHash: "ab", HashVersion: "1", Class: Pay, Registered: Unkept}
	for _, x := range []struct {
		name string
		got  []byte
		want string
	}{
		{"command", c.Append(nil), exampleCommand},
		{"breaker", throttled.Append(nil),
			`{"schema":"wayward.breaker/v1","scope":{"type":"tool","id":"pay%7C1|refund","tenant":"acme"},"state":"throttled","action":"throttle","epoch":2,` +
				`"since":"2026-11-20T14:33:04.812Z","limit":{"calls":5,"per_seconds":60},"mode":"dry_run","command_id":"c2","reason":"too many","issuer":{"type":"human","rule":"b5c1","by":"alice"}}`},
		{"ack", acked.Append(nil),
			`{"command_id":"c2","tenant":"acme","scope":{"type":"tenant","id":"acme","tenant":"acme"},"epoch":2,"time":"2026-11-20T14:33:05.001Z","status":"applied",` +
				`"by":"gw-1","detail":"3 connections closed"}`},
		{"feedback", f.Append([]byte("before ")), "before " + exampleFeedback + "}"},
		{"thing", seen.Append(nil),
			`{"schema":"wayward.thing/v1","kind":"tool","tenant":"acme","id":"refund","server":"pay","first_seen":"2026-11-20T14:33:04.812Z",` +
				`"last_seen":"2026-11-20T14:33:05.000Z","definition_hash":"ab","hash_version":"1","class":"pay","registered":"unkept"}`},
		{"signed", f.signed(), "wayward.feedback/v1\n" + exampleFeedback + "}"},
	} {
		if diff := cmp.Diff(x.want, string(x.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.name, diff)
		}
	}
}

// made makes records of every kind with any values that the wire can carry.
type made struct{ *rand.Rand }

func (r made) text(most int) string {
	alphabet := []string{"a", "Z", "7", " ", `"`, `\`, "|", "%", "<", "&", "é", "☃", "\u2028", "\x01", "\n", "😀"}
	var b strings.Builder
	for range r.IntN(12) {
		if s := alphabet[r.IntN(len(alphabet))]; b.Len()+len(s) <= most {
			b.WriteString(s)
		}
	}
	return b.String()
}

func (r made) name(most int) string { return "x" + r.text(most-1) }

func (r made) time() int64 { return r.Int64N(4_000_000_000_000) }

func (r made) maybe(n int64) int64 {
	if r.IntN(3) == 0 {
		return 0
	}
	return n
}

func (r made) scope() Scope {
	s := Scope{Type: ScopeType(1 + r.IntN(len(ScopeTypes()))), ID: r.name(40),
		Tenant: []string{"acme", "a.b-c_9"}[r.IntN(2)]}
	switch s.Type {
	case SessionScope:
		s.Agent = r.name(30)
	case ToolScope:
		s.ID = ToolID(r.text(20), r.name(20))
	case TenantScope:
		s.ID = s.Tenant
	case GlobalScope:
		s.ID, s.Tenant = "*", ""
	case UserScope, PersonaScope:
		s.ID = Identity("u" + s.ID)
	}
	return s
}

func (r made) rate(a Action) Rate {
	if a != Throttle {
		return Rate{}
	}
	rate := Rate{Calls: 1 + r.Int64N(1000), PerSeconds: 1 + r.Int64N(86_400)}
	for range r.IntN(3) {
		rate.Classes = append(rate.Classes, Class(1+r.IntN(9)))
	}
	return rate
}

func (r made) issuer() Issuer {
	return Issuer{[]string{"rule", "human", "expiry"}[r.IntN(3)], r.text(20), r.text(12), r.text(20)}
}

func (r made) mode() string { return []string{Enforce, DryRun}[r.IntN(2)] }

func (r made) command() Command {
	a := Action(1 + r.IntN(6))
	return Command{r.name(36), a, r.scope(), 1 + r.Int64N(1<<40), r.time() - 1<<40, r.maybe(r.time()),
		r.maybe(r.time()), r.maybe(1 + r.Int64N(maxDuration.Milliseconds())), r.rate(a), r.mode(), r.issuer(),
		r.text(100), r.text(64), r.text(40)}
}

func (r made) breaker() Breaker {
	a := Action(1 + r.IntN(5))
	return Breaker{r.scope(), []string{"observed", "throttled", "open"}[r.IntN(3)], a, 1 + r.Int64N(1<<40), r.time(),
		r.maybe(r.time()), r.rate(a), r.mode(),
		[]string{"", "received", "applied", "rejected", "failed", "expired", "missed"}[r.IntN(7)], r.name(36),
		r.text(64), r.text(100), r.issuer()}
}

func (r made) ack() Ack {
	s := r.scope()
	return Ack{r.name(36), s.Tenant, s, 1 + r.Int64N(1<<40), r.time(), AckStatus(1 + r.IntN(5)), r.text(40), r.text(40)}
}

func (r made) feedback() Feedback {
	s := r.scope()
	f := Feedback{ID: r.name(64), Time: r.time(), Tenant: s.Tenant, Type: FeedbackType(1 + r.IntN(5)), Scope: s,
		FindingUID: r.text(64), By: r.name(128), Reason: r.name(100)}
	switch f.Type {
	case VerdictFeedback:
		f.Verdict = Verdicts[r.IntN(len(Verdicts))]
	case TripFeedback:
		f.Action = Action(1 + r.IntN(5))
		f.DurationMS, f.Rate = r.maybe(1+r.Int64N(maxDuration.Milliseconds())), r.rate(f.Action)
	case BaselineFeedback:
		f.Scope = Scope{Type: PersonaScope, ID: Identity("p" + r.name(60)), Tenant: "acme"}
		f.Tenant = "acme"
		f.Baseline = &BaselineOrder{Op: BaselineOps[r.IntN(len(BaselineOps))], Fork: r.text(8)}
		switch f.Baseline.Op {
		case "rollback":
			f.Baseline.Day, f.Baseline.Hash = "2026-11-20", r.text(16)
		case "import":
			f.Baseline.Hash, f.Baseline.Model = r.name(16), []byte(r.name(100))
		case "approve", "reject":
			f.Baseline.Item = r.name(40)
		}
	}
	return f
}

func (r made) thing() Thing {
	return Thing{Kind: []string{"agent", "tool", "server"}[r.IntN(3)], Tenant: "acme", ID: r.name(40),
		Server: r.text(20), First: r.time(), Last: r.time(), Persona: r.text(20), Owner: r.text(20),
		Model: r.text(20), Version: r.text(20), Versions: []string{r.text(9), "2"}, Tier: r.Int64N(4),
		DefinitionHash: r.text(20), HashVersion: r.text(20), Class: Class(r.IntN(10)),
		Registered: []string{Registered, Unregistered, Unkept}[r.IntN(3)], Retired: r.IntN(2) == 0}
}

func TestWhatIsWrittenIsReadAgainAndIsWhatTheSchemaSays(t *testing.T) {
	r := made{rand.New(rand.NewPCG(3, 4))}
	schemas := map[string]*jsonschema.Schema{}
	for _, name := range Schemas() {
		schemas[name] = compiledOf(t, name)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	seen := map[string]bool{} // fields that a record has had
	for range 1500 {
		c, s, a, f, thing := r.command(), r.breaker(), r.ack(), r.feedback(), r.thing()
		if r.IntN(2) == 0 {
			f.Sign(key)
		}
		for _, x := range []struct {
			schema string
			wire   []byte
			want   any
			parse  func([]byte) (any, error)
		}{
			{"command", c.Append(nil), c, func(b []byte) (any, error) { return ParseCommand(b) }},
			{"breaker", s.Append(nil), s, func(b []byte) (any, error) { return ParseBreaker(b) }},
			{"ack", a.Append(nil), a, func(b []byte) (any, error) { return ParseAck(b) }},
			{"feedback", f.Append(nil), f, func(b []byte) (any, error) { return ParseFeedback(b) }},
			{"", thing.Append(nil), thing, func(b []byte) (any, error) { return ParseThing(b) }},
		} {
			got, err := x.parse(x.wire)
			if err != nil {
				t.Fatalf("%v in %s", err, x.wire)
			}
			if f, ok := got.(Feedback); ok && len(f.Signature) == 0 {
				f.Signature = nil
				got = f
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", x.wire, diff)
			}
			if x.schema == "" {
				continue
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(x.wire))
			if err != nil {
				t.Fatal(err)
			}
			if err := schemas[x.schema].Validate(doc); err != nil {
				t.Fatalf("%s: %v in %s", x.schema, err, x.wire)
			}
			paths(x.schema, doc.(map[string]any), seen)
		}
	}
	known := map[string]bool{}
	for _, f := range forms {
		for _, r := range f.rows {
			known[f.name+"."+r.path] = true
			if !seen[f.name+"."+r.path] {
				t.Errorf("%s.%s is in the table and in no record", f.name, r.path)
			}
		}
	}
	for path := range seen {
		if !known[path] {
			t.Errorf("%s is in a record and not in the table", path)
		}
	}
}

func paths(prefix string, o map[string]any, seen map[string]bool) {
	for name, v := range o {
		seen[prefix+"."+name] = true
		if inner, ok := v.(map[string]any); ok {
			paths(prefix+"."+name, inner, seen)
		}
	}
}

// changed is a record with one thing other than it was.
type changed struct{ name, form, old, new, why string }

var unreadable = []changed{
	{"another version of the form", "command", `command/v1`, `command/v2`,
		`command: schema "wayward.command/v2", this program reads "wayward.command/v1"`},
	{"a type of scope from the future", "command", `"agent","id"`, `"fleet","id"`,
		`command: scope.type "fleet" is unknown; use session, agent, persona, tool, server, user, tenant, global`},
	{"an action from the future", "command", `"block","scope"`, `"melt","scope"`,
		`command: action "melt" is unknown; use observe, throttle, escalate, block, kill, restore`},
	{"a mode from the future", "command", `"enforce"`, `"maybe"`,
		`command: mode "maybe" is unknown; use enforce or dry_run`},
	{"no epoch", "command", `"epoch":7`, `"epoch":0`, `command: epoch 0: want 1 or more`},
	{"a time of no kind", "command", `2026-11-20T14:33:04.812Z`, `yesterday`,
		`command: time "yesterday" is not RFC 3339 of the years 0001 to 9999`},
	{"a duration of a calendar", "command", `PT15M`, `P1Y`, `command: duration "P1Y": want ISO 8601`},
	{"no id", "command", `"id":"agt-7731"`, `"id":""`, `command: scope.id is missing`},
	{"an agent that is no session's", "command", `"tenant":"acme"}`, `"tenant":"acme","agent":"a"}`,
		`command: scope.agent belongs to sessions alone`},
	{"an ack about another tenant", "ack", `"id":"acme"`, `"id":"globex"`,
		`ack: scope.id "globex" is not the tenant of the scope, "acme"`},
	{"half a record", "command", `"reply_to":"agent.acks"}`, `"reply_to":`, `command: unexpected end of JSON input`},
	{"a number for a text", "command", `"block","scope"`, `4,"scope"`,
		`command: json: cannot unmarshal number into Go struct field wireCommand.action of type string`},

	{"no command", "ack", `"command_id":"c2"`, `"command_id":""`, `ack: command_id is missing`},
	{"an id that is too long", "ack", `"command_id":"c2"`, `"command_id":"` + strings.Repeat("c", 37) + `"`,
		`ack: command_id is 37 bytes long, at most 36`},
	{"a status from the future", "ack", `"applied"`, `"done"`,
		`ack: status "done" is unknown; use received, applied, rejected, failed, expired`},
	{"an epoch below one", "ack", `"epoch":2`, `"epoch":-1`, `ack: epoch -1: want 1 or more`},
	{"two tenants", "ack", `"tenant":"acme","scope"`, `"tenant":"globex","scope"`,
		`ack: tenant "globex" is not that of the scope, "acme"`},
	{"no tenant at all", "ack", `"tenant":"acme"`, `"tenant":""`,
		`ack: tenant "": want 1 to 64 letters, digits, dots, hyphens and underscores`},
	{"a tenant that would break keys", "ack", `"tenant":"acme"`, `"tenant":"a|b"`,
		`ack: tenant "a|b": want 1 to 64 letters`},
	{"a session without its agent", "ack", `{"type":"tenant"`, `{"type":"session"`,
		`ack: scope.agent is missing: a session belongs to an agent`},
	{"a global scope of a tenant", "ack", `{"type":"tenant"`, `{"type":"global"`,
		`ack: a global scope has the id * and no tenant`},
	{"a detail that is too long", "ack", `3 connections`, strings.Repeat("3", 2000),
		`ack: detail is 2007 bytes long, at most 1024`},
	{"bytes that are not UTF-8", "ack", `3 connections`, "\xff", `ack: not UTF-8`},
	{"a year that has no four digits", "ack", `2026-11-20T14:33:05.001Z`, `9999-12-31T23:59:59-23:00`,
		`ack: time "9999-12-31T23:59:59-23:00" is not RFC 3339 of the years 0001 to 9999`},

	{"no id", "feedback", `"id":"b5c1"`, `"id":""`, `feedback: id is missing`},
	{"a version from the future", "feedback", `"v":1`, `"v":2`, `feedback: version 2; this program reads version 1`},
	{"a type from the future", "feedback", `"type":"trip"`, `"type":"nuke"`,
		`feedback: type "nuke" is unknown; use verdict, trip, restore, approve`},
	{"nobody who says it", "feedback", `"by":"alice"`, `"by":""`, `feedback: by is missing: who says it?`},
	{"a trip without a reason", "feedback", `,"reason":"slow & steady <until> looked at"`, ``,
		`feedback: a trip needs a reason`},
	{"a trip without an action", "feedback", `,"action":"throttle"`, ``,
		`feedback: limit belongs to the action throttle`},
	{"a trip to restore", "feedback",
		`"action":"throttle","duration":"PT15M","limit":{"calls":10,"per_seconds":60,"classes":["pay","send"]}`,
		`"action":"restore"`, `feedback: a trip needs an action: observe, throttle, escalate, block, kill`},
	{"a limit of a block", "feedback", `"action":"throttle"`, `"action":"block"`,
		`feedback: limit belongs to the action throttle`},
	{"a throttle without a limit", "feedback", `,"limit":{"calls":10,"per_seconds":60,"classes":["pay","send"]}`, ``,
		`feedback: a throttle needs a limit of calls per_seconds`},
	{"a limit of no calls", "feedback", `"calls":10`, `"calls":0`,
		`feedback: limit: want at least 1 call per 1 to 86400 seconds`},
	{"a limit per nothing", "feedback", `"per_seconds":60`, `"per_seconds":-60`,
		`feedback: limit: want at least 1 call per 1 to 86400 seconds`},
	{"a class from the future", "feedback", `"pay","send"`, `"pay","steal"`,
		`feedback: limit: class "steal" is unknown; use read`},
	{"a restore that kills", "feedback", `"type":"trip"`, `"type":"restore"`,
		`feedback: action, duration and limit belong to type trip`},
	{"a verdict without one", "feedback", `"type":"trip"`, `"type":"verdict"`,
		`feedback: verdict "" is unknown; use true_positive, false_positive, benign_true_positive, unclear`},
	{"a trip with a verdict", "feedback", `"action"`, `"verdict":"unclear","action"`,
		`feedback: verdict belongs to type verdict`},
	{"the tenant of another scope", "feedback", `"tenant":"acme","type"`, `"tenant":"globex","type"`,
		`feedback: tenant "globex" is not that of the scope, "acme"`},
	{"too long a duration", "feedback", `PT15M`, `P367D`, `feedback: duration "P367D": want ISO 8601`},
	{"a signature that is none", "feedback", `"by"`, `"signature":"*","by"`,
		`feedback: signature is not an Ed25519 signature in base64`},
	{"a signature that is longer", "feedback", `"by"`, `"signature":"` + strings.Repeat("AAAA", 22) + `","by"`,
		`feedback: signature is not an Ed25519 signature in base64`},
	{"a reason that is too long", "feedback", `slow`, strings.Repeat("s", 1100),
		`feedback: reason is 1127 bytes long, at most 1024`},
	{"64 KiB and more", "feedback", `slow`, strings.Repeat("s", 1<<16), `feedback: 65867 bytes long, at most 64 KiB`},
}

func TestWhatIsNotRightIsRefused(t *testing.T) {
	a := Ack{CommandID: "c2", Tenant: "acme", Scope: Scope{TenantScope, "acme", "acme", ""}, Epoch: 2,
		Time: 1795185185001, Status: Applied, By: "gw-1", Detail: "3 connections closed"}
	right := map[string]string{"command": exampleCommand, "ack": string(a.Append(nil)),
		"feedback": exampleFeedback + "}"}
	parse := map[string]func([]byte) error{
		"command":  func(b []byte) error { _, err := ParseCommand(b); return err },
		"ack":      func(b []byte) error { _, err := ParseAck(b); return err },
		"feedback": func(b []byte) error { _, err := ParseFeedback(b); return err },
	}
	for form, text := range right {
		if err := parse[form]([]byte(text)); err != nil {
			t.Fatalf("the %s itself: %v", form, err)
		}
	}
	schemas := map[string]*jsonschema.Schema{"command": compiledOf(t, "command"), "ack": compiledOf(t, "ack"),
		"feedback": compiledOf(t, "feedback")}
	// What a schema has no words for.
	beyond := map[string]bool{"two tenants": true, "an ack about another tenant": true,
		"the tenant of another scope": true, "bytes that are not UTF-8": true, "a year that has no four digits": true,
		"too long a duration": true}
	for _, c := range unreadable {
		text := strings.ReplaceAll(right[c.form], c.old, c.new)
		if text == right[c.form] {
			t.Fatalf("%s: nothing was changed", c.name)
		}
		if err := parse[c.form]([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), c.why) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.why)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if refused := err != nil || schemas[c.form].Validate(doc) != nil; refused == beyond[c.name] {
			t.Errorf("%s: the schema refuses it: %t", c.name, refused)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte(exampleCommand))
	f.Add([]byte(`{"schema":"wayward.command/v1","scope":null,"limit":{"calls":9e99}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommand(b)
		if err != nil {
			return
		}
		again, err := ParseCommand(c.Append(nil))
		if diff := cmp.Diff(c, again); err != nil || diff != "" {
			t.Fatalf("%v (-first +second):\n%s", err, diff)
		}
	})
}

func FuzzParseAck(f *testing.F) {
	f.Add(
		[]byte(
			`{"command_id":"c2","tenant":"acme","scope":{"type":"session","id":"s","agent":"a"},"epoch":2,"time":"2026-11-20T14:33:05.001Z","status":"applied"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAck(b)
		if err != nil {
			return
		}
		if len(b) > 64<<10 || a.Status.String() == "" || a.Scope.Key() == "" || len(a.Scope.Key()) > 32<<10 {
			t.Fatalf("%+v", a)
		}
		again, err := ParseAck(a.Append(nil))
		if diff := cmp.Diff(a, again); err != nil || diff != "" {
			t.Fatalf("%v (-first +second):\n%s", err, diff)
		}
	})
}

func TestVersionsOfThingsAreChecked(t *testing.T) {
	thing := made{rand.New(rand.NewPCG(1, 1))}.thing()
	text := string(thing.Append(nil))
	for old, fresh := range map[string]string{"thing/v1": "thing/v2", `"class":"`: `"class":"un`,
		`"first_seen":"`: `"first_seen":"x`} {
		if changed := strings.Replace(text, old, fresh, 1); changed == text {
			t.Fatalf("nothing was changed: %s", text)
		} else if got, err := ParseThing([]byte(changed)); err == nil {
			t.Errorf("%s is read as %+v", changed, got)
		}
	}
}
