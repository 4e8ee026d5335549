package main

// What commands and breakers must be, from the topics and the oracle's rules alone, as EVENTS §3–4
// say it. Which commands there are depends on the wall clock (when a duration is over, when an
// answer is read between two events), so they are not foretold: what is weighed are claims that
// hold of every run.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// responses are the numbers of what was weighed here.
type responses struct {
	// all, by rules, by the clock, by people; softened: escalate for the guard's sake
	commands, ruled, expired, human, softened       int
	written                                         int // of those by rules: by rules that people write
	states, open, acks, unenforced, defied, refused int
	// of what is lost, doubled or wrong: in commands and what belongs to them
	inResponses int
}

func (r *responses) String() string {
	return fmt.Sprintf(
		"commands=%d (rules %d, %d of them written, people %d, clock %d, softened %d) states=%d open=%d acks=%d unenforced=%d defied=%d refused=%d (bad in these %d)",
		r.commands, r.ruled, r.written, r.human, r.expired, r.softened, r.states, r.open, r.acks, r.unenforced,
		r.defied, r.refused, r.inResponses)
}

type oracleScope struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Tenant string `json:"tenant,omitempty"`
	Agent  string `json:"agent,omitempty"`
}

// key of commands and breakers. No id of the test needs escaping.
func (s oracleScope) key() string {
	if s.Type == "session" {
		return s.Tenant + "|session|" + s.Agent + "|" + s.ID
	}
	return s.Tenant + "|" + s.Type + "|" + s.ID
}

// narrow scopes belong to one agent: the finding on a call of that agent and what follows are one
// transaction.
func (s oracleScope) narrow() bool { return s.Type == "agent" || s.Type == "session" }

type oracleRate struct {
	Calls int `json:"calls"`
	Per   int `json:"per_seconds"`
}

type oracleIssuer struct{ Type, Rule, Version, By string }

type oracleCommand struct {
	Schema, Action, Duration, Mode, Reason string
	ID                                     string `json:"command_id"`
	Idempotency                            string `json:"idempotency_key"`
	Scope                                  oracleScope
	Epoch                                  int64
	Time                                   time.Time
	Issued                                 time.Time `json:"issued_at"`
	NotAfter                               time.Time `json:"not_after"`
	Limit                                  *oracleRate
	Issuer                                 oracleIssuer
	Finding                                string    `json:"finding_uid"`
	ReplyTo                                string    `json:"reply_to"`
	at                                     time.Time // when it was produced
	// when its duration is over; zero: somebody must restore
	until time.Time
}

type oracleState struct {
	Schema, State, Action, Mode, Enforced, Reason string
	Scope                                         oracleScope
	Epoch                                         int64
	Since, Until                                  time.Time
	Limit                                         *oracleRate
	Command                                       string `json:"command_id"`
	Finding                                       string `json:"finding_uid"`
	Issuer                                        oracleIssuer
	gone                                          bool // a tombstone
	at                                            time.Time
}

type oracleAck struct {
	Command string `json:"command_id"`
	Scope   oracleScope
	Epoch   int64
	Status  string
}

type oracleFeedback struct {
	ID, Type, Action, Duration, By string
	Scope                          oracleScope
	Time                           time.Time
}

// ladder, weakest first; 0 is closed.
var ladder = map[string]int{"restore": 0, "observe": 1, "throttle": 2, "escalate": 3, "block": 4, "kill": 5}

var stateWords = map[string]string{"observe": "observed", "throttle": "throttled", "escalate": "open", "block": "open",
	"kill": "open"}

// life is everything about one scope, each in the order of its topic.
type life struct {
	commands []*oracleCommand
	states   []*oracleState
	acks     []oracleAck
}

// slack is how far apart the records of one transaction may be stamped.
const slack = 300 * time.Millisecond

// inForce tells whether by the log a level of least or more held at some moment between from and
// to. What is over by the clock holds no longer, even if the command that says so comes later.
func (h *life) inForce(from, to, clock time.Time, least int) bool {
	for i, c := range h.commands {
		replaced := i+1 < len(h.commands) && h.commands[i+1].at.Before(from)
		if !c.at.After(to) && !replaced && c.holds(clock) && ladder[c.Action] >= least {
			return true
		}
	}
	return false
}

// closed tells whether by the log nothing was in force at some moment between from and to.
func (h *life) closed(from, to time.Time) bool {
	if len(h.commands) == 0 || !h.commands[0].at.Before(from) {
		return true
	}
	for i, c := range h.commands {
		replaced := i+1 < len(h.commands) && h.commands[i+1].at.Before(from)
		if c.Action == "restore" && !c.at.After(to) && !replaced {
			return true
		}
	}
	return false
}

// holds tells whether the command holds by the clock.
func (c *oracleCommand) holds(clock time.Time) bool {
	return c.until.IsZero() || clock.Before(c.until)
}

// outlasts compares ends; the zero time is for ever.
func outlasts(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

func (b *balance) miss(what string, x any) { b.lost++; b.sample("lost "+what, x) }

func (b *balance) twice(what string, x any) { b.doubled++; b.sample("doubled "+what, x) }

func (b *balance) fault(what string, x any) { b.wrong++; b.sample("wrong "+what, x) }

// wish is what a finding asks for.
type wish struct {
	rule  string
	asks  oracleResponse
	at    time.Time // when it was first told
	scope map[string]bool
}

// weighCommands weighs commands, breakers, acks and feedback.
func weighCommands(b *balance, l *left) {
	before := b.bad()
	defer func() { b.inResponses = b.bad() - before }()
	var alerts []alert
	for _, r := range l.alerts {
		if x, err := readAlert(r); err == nil { // compare has complained of the others
			alerts = append(alerts, x)
		}
	}
	scopes := map[string]*life{}
	of := func(key string) *life {
		if scopes[key] == nil {
			scopes[key] = &life{}
		}
		return scopes[key]
	}
	ids := map[string]*oracleCommand{}
	said := map[string]bool{}
	by := map[string][]*oracleCommand{} // by id of feedback
	for _, r := range l.commands {
		c := &oracleCommand{at: r.Timestamp}
		if err := json.Unmarshal(r.Value, c); err != nil {
			b.fault("command", err)
			continue
		}
		b.commands++
		if c.Duration != "" {
			c.until = c.Issued.Add(length(c.Duration))
		}
		key := c.Scope.key()
		h := of(key)
		h.commands = append(h.commands, c)
		if ids[c.ID] != nil || said[c.Idempotency] {
			b.twice("command", c)
		}
		ids[c.ID], said[c.Idempotency] = c, true
		_, known := ladder[c.Action]
		if string(r.Key) != key || c.Idempotency != key+"|"+c.Action+"|"+strconv.FormatInt(c.Epoch, 10) || c.ID == "" ||
			len(c.ID) > 36 || !known || c.Schema != "wayward.command/v1" ||
			c.Mode != "enforce" || !c.NotAfter.After(c.Issued) || !strings.HasSuffix(c.ReplyTo, "agent.acks") {
			b.fault("form of a command", string(r.Value))
		}
		if c.Issuer.Type == "human" {
			by[c.Issuer.Rule] = append(by[c.Issuer.Rule], c)
		}
	}
	for _, r := range l.breakers {
		b.states++
		s := &oracleState{at: r.Timestamp, gone: r.Value == nil}
		if err := json.Unmarshal(r.Value, s); err != nil && !s.gone {
			b.fault("breaker", err)
			continue
		}
		if !s.gone && (s.Schema != "wayward.breaker/v1" || s.Scope.key() != string(r.Key)) {
			b.fault("form of a breaker", string(r.Value))
		}
		h := of(string(r.Key))
		h.states = append(h.states, s)
	}
	broken := map[string]int{} // acks that nobody can read
	for _, r := range l.acks {
		var a oracleAck
		if json.Unmarshal(r.Value, &a) != nil {
			broken[string(r.Value)]++
			continue
		}
		b.acks++
		h := of(a.Scope.key())
		h.acks = append(h.acks, a)
	}

	wishes := map[string]*wish{}
	for _, x := range alerts {
		if r, ok := asksFor(x.Rule); ok {
			b.wishes(wishes, &x, r, of)
		}
	}
	feedback := weighFeedback(b, l, by, of)
	shown := map[string]map[string]bool{} // by command: what its breaker said of it
	for _, key := range slices.Sorted(maps.Keys(scopes)) {
		h := scopes[key]
		if len(h.commands) == 0 {
			if len(h.states) > 0 {
				b.fault("breaker without a command", key)
			}
			continue
		}
		b.sequence(key, h, wishes, feedback)
		b.present(key, h, shown)
	}
	b.aboutCommands(alerts, ids, shown)
	letters := map[string]int{}
	for _, r := range l.dlq {
		if strings.HasSuffix(header(r, "topic"), "agent.acks") {
			letters[string(r.Value)]++
		}
	}
	weigh(b, "ack in the dead letters", broken, letters)
}

// asksFor is what a rule of the oracle asks for.
func asksFor(rule string) (oracleResponse, bool) {
	for _, l := range oracleLimits {
		if rule == "limit/"+l.id {
			return l.asks, true
		}
	}
	for _, p := range oraclePersonas {
		if rule == "policy/persona/"+p.name+"/tool" {
			return p.asks, true
		}
	}
	r, ok := oracleRules[strings.TrimPrefix(rule, "rule/")]
	return r, ok && strings.HasPrefix(rule, "rule/")
}

// wishes notes what one record of the alert topic asks for, and demands that it was done: on a
// call's own agent or session in the transaction of the alert, unless as much was in force then;
// else the order went through a log, and was done later, unless as much was in force when it came.
func (b *balance) wishes(all map[string]*wish, x *alert, r oracleResponse, of func(string) *life) {
	s := oracleScope{Type: r.scope, Tenant: x.Tenant}
	switch r.scope {
	case "session":
		s.ID, s.Agent = x.Session, x.Agent
	case "agent": // of several, the one that crossed the line
		s.ID = cmp.Or(x.Agent, x.Crosser)
	case "user":
		s.ID = x.User
	case "persona":
		s.ID = x.Persona
	case "tool":
		s.ID = x.Tool
	case "tenant":
		s.ID = x.Tenant
	}
	key := s.key()
	w := all[x.UID]
	if w == nil {
		w = &wish{x.Rule, r, x.at, map[string]bool{}}
		all[x.UID] = w
	}
	w.scope[key] = true
	if x.at.Before(w.at) {
		w.at = x.at
	}
	level := ladder[r.action]
	if s.narrow() {
		// a shard may not add a block before the persona's guard has heard of its last one, and
		// asks a human instead
		level = min(level, ladder["escalate"])
	}
	until := x.at.Add(slack)
	if !s.narrow() || x.Stage != "behaviour" {
		until = time.Now().Add(time.Hour)
	}
	if !of(key).inForce(x.at.Add(-slack), until, x.Processed, level) {
		b.miss("command of a finding", fmt.Sprintf("%s on %s of finding %s (%s) at %v", r.action, key, x.UID, x.Rule,
			x.at.Format(time.StampMilli)))
	}
}

// sequence weighs the commands about one scope: epochs, ladder, ends, and on whose word.
func (b *balance) sequence(key string, h *life, wishes map[string]*wish, feedback map[string]oracleFeedback) {
	next := int64(1)
	var last *oracleCommand // nil: closed
	for _, c := range h.commands {
		switch {
		case c.Epoch < next:
			b.twice("epoch", fmt.Sprintf("%s: %d where %d is due", key, c.Epoch, next))
		case c.Epoch > next:
			b.fault("epoch", fmt.Sprintf("%s: %d where %d is due", key, c.Epoch, next))
		}
		next = max(next, c.Epoch+1)
		lift, held := c.Action != "restore", last != nil && last.holds(c.Issued)
		asked := ""
		switch c.Issuer.Type {
		case "rule":
			b.ruled++
			if _, is := oracleRules[c.Issuer.Rule]; is {
				b.written++
			}
			asked = b.byRule(key, c, wishes[c.Finding])
		case "human":
			b.human++
			f, ok := feedback[c.Issuer.Rule]
			asked = f.Duration
			if !ok || f.Scope.key() != key || c.Action != f.Action && (f.Type != "restore" || lift) ||
				c.Issuer.By != f.By {
				b.fault("command of a person", c)
			}
		case "expiry":
			b.expired++
			if lift || last != nil && (last.until.IsZero() || held) {
				b.fault("expiry", []*oracleCommand{last, c})
			}
		default:
			b.fault("issuer", c)
		}
		switch {
		case !lift && last == nil:
			b.fault("restore of what is closed", c)
		case !lift && (c.Finding != last.Finding || c.Duration != ""):
			b.fault("form of a restore", []*oracleCommand{last, c})
		case (c.Limit != nil) != (c.Action == "throttle"):
			b.fault("limit of a command", c)
		case held && lift && ladder[c.Action] <= ladder[last.Action] &&
			(c.Issuer.Type != "human" || c.Action != last.Action || !outlasts(c.until, last.until)):
			b.fault("step down the ladder", []*oracleCommand{last, c})
		case lift: // it holds as long as was asked for, but not shorter than that above which it rose
			until := time.Time{}
			if asked != "" {
				until = c.Issued.Add(length(asked))
			}
			if held && outlasts(last.until, until) {
				until = last.until
			}
			if !until.Equal(c.until) {
				b.fault("duration of a command", []*oracleCommand{last, c})
			}
		}
		if last = c; !lift {
			last = nil
		}
	}
	if last != nil && !last.until.IsZero() {
		b.miss("expiry", fmt.Sprintf("%s epoch %d of %v for %s", key, last.Epoch, last.Issued.Format(time.StampMilli),
			last.Duration))
	}
}

// byRule weighs a command of a rule against the finding that it names, and returns the duration
// that was asked for.
func (b *balance) byRule(key string, c *oracleCommand, w *wish) string {
	if w == nil || !w.scope[key] || !strings.HasSuffix(w.rule, "/"+c.Issuer.Rule) || c.at.Before(w.at.Add(-slack)) {
		b.fault("finding of a command", c)
		return c.Duration
	}
	soft := strings.HasPrefix(c.Reason, "guard: ") && c.Action == "escalate" && c.Scope.narrow() &&
		ladder[w.asks.action] > ladder["escalate"]
	if soft {
		b.softened++
	}
	rate := c.Limit == nil && w.asks.calls == 0 || c.Limit != nil && *c.Limit == oracleRate{w.asks.calls, w.asks.per}
	if !soft && (c.Action != w.asks.action || !rate) {
		b.fault("command of a rule", c)
	}
	if w.asks.seconds == 0 {
		return ""
	}
	return fmt.Sprintf("PT%dS", w.asks.seconds)
}

// length reads durations as the test has them: PT2S.
func length(iso string) time.Duration {
	d, err := time.ParseDuration(strings.ToLower(strings.TrimPrefix(iso, "PT")))
	if err != nil {
		return 0
	}
	return d
}

// present weighs what agent.breakers says of one scope, record by record, against its commands and
// acks: each command has its record and each record its command or ack, in their order, so that the
// last one is the truth.
func (b *balance) present(key string, h *life, shown map[string]map[string]bool) {
	next := 0
	var now *oracleCommand // what is in force by the records so far
	var e *enforcement
	for _, s := range h.states {
		if !s.gone && now != nil && s.Epoch == now.Epoch {
			b.same(s, now, h)
			b.enforced(s, now, e)
			shown[now.ID][s.Enforced] = true
			continue
		}
		at := next
		for at < len(h.commands) && (s.gone != (h.commands[at].Action == "restore") || !s.gone &&
			s.Epoch != h.commands[at].Epoch) {
			at++
		}
		if at != next || at == len(h.commands) {
			b.fault("breaker out of order",
				fmt.Sprintf("%s: record (tombstone %v, epoch %d) is due for command %d of %d", key, s.gone, s.Epoch,
					next+1, len(h.commands)))
		}
		if at == len(h.commands) {
			continue
		}
		now, next = h.commands[at], at+1
		if s.gone {
			now = nil
			continue
		}
		b.same(s, now, h)
		e = enforcementOf(now, h.acks)
		shown[now.ID] = map[string]bool{s.Enforced: true}
		if s.Enforced != "" {
			b.fault("breaker answered for before its command", s)
		}
	}
	if next < len(h.commands) {
		b.fault("breaker", fmt.Sprintf("%s: no record for command %d of %d", key, next+1, len(h.commands)))
	}
	if now == nil {
		return
	}
	b.open++
	switch {
	case e.at < len(e.steps):
		b.miss("ack in the breaker", fmt.Sprintf("%s epoch %d: %v, shown %v", key, now.Epoch, e.steps, e.steps[:e.at]))
	case e.waits() && !e.missed && now.Action != "observe":
		b.miss("deadline of an ack", fmt.Sprintf("%s epoch %d of %v", key, now.Epoch,
			now.Issued.Format(time.StampMilli)))
	}
}

// same demands that a breaker says what the command said.
func (b *balance) same(s *oracleState, c *oracleCommand, h *life) {
	rate := s.Limit == nil && c.Limit == nil || s.Limit != nil && c.Limit != nil && *s.Limit == *c.Limit
	since := slices.ContainsFunc(h.commands, func(o *oracleCommand) bool {
		return o.Epoch <= c.Epoch &&
			o.Time.Equal(s.Since)
	})
	if s.State != stateWords[c.Action] || s.Action != c.Action || s.Mode != c.Mode || s.Command != c.ID ||
		s.Finding != c.Finding || s.Reason != c.Reason || s.Issuer != c.Issuer || !rate || !since ||
		!s.Until.Equal(c.until) {
		b.fault("breaker against its command", []any{s, c})
	}
}

// enforcement is what gateways said of one command, as a breaker must show it.
type enforcement struct {
	steps  []string // the answers that changed something
	at     int      // of them shown
	missed bool
}

// weights of answers: a lighter one takes nothing back, and one of the same weight says nothing
// new.
var weights = map[string]int{"received": 1, "rejected": 2, "failed": 2, "expired": 2, "applied": 3}

// enforcementOf follows the acks of a command.
func enforcementOf(c *oracleCommand, acks []oracleAck) *enforcement {
	e, now := &enforcement{}, ""
	for _, a := range acks {
		if a.Command == c.ID && a.Epoch == c.Epoch && weights[a.Status] > weights[now] {
			now = a.Status
			e.steps = append(e.steps, now)
		}
	}
	return e
}

// waits tells whether by the answers shown the deadline still runs.
func (e *enforcement) waits() bool { return e.at == 0 || e.steps[e.at-1] == "received" }

// enforced follows one record that only says what became of a command.
func (b *balance) enforced(s *oracleState, c *oracleCommand, e *enforcement) {
	switch due := e.at < len(e.steps); {
	case due && (s.Enforced == e.steps[e.at] || s.Enforced == "missed" && e.missed && e.steps[e.at] == "received"):
		e.at++
	case s.Enforced == "missed" && !e.missed && e.waits() && c.Action != "observe" &&
		!s.at.Before(c.Issued.Add(ackWithin)):
		e.missed = true
	default:
		b.fault("enforced", fmt.Sprintf("%s epoch %d: %q at %v, issued %v, acks %v of which %d are shown, missed %v",
			c.Scope.key(), c.Epoch, s.Enforced, s.at.Format(time.StampMilli), c.Issued.Format(time.StampMilli), e.steps,
			e.at, e.missed))
	}
}

// aboutCommands weighs the findings about commands. One that was refused or not answered is told
// once, and is what its breaker showed; calls that go against an applied one are told at 1, 2, 4, 8
// …
func (b *balance) aboutCommands(alerts []alert, ids map[string]*oracleCommand, shown map[string]map[string]bool) {
	unenforced, defied := map[string]int{}, map[string][]alert{}
	for _, x := range alerts {
		if !strings.HasPrefix(x.Rule, "response/") {
			continue
		}
		c := ids[x.Target]
		if c == nil || c.Scope.Type != x.Scope || c.Scope.ID != x.ID || c.Scope.Tenant != x.Tenant ||
			c.Action == "restore" {
			b.fault("finding about a command", x)
			continue
		}
		switch x.Rule {
		case "response/not-enforced":
			b.unenforced++
			if unenforced[c.ID]++; x.Activity != 1 {
				b.fault("update of a finding about a command", x)
			}
		case "response/acts-after-applied":
			b.defied++
			defied[x.UID] = append(defied[x.UID], x)
			if ladder[c.Action] < ladder["escalate"] || !shown[c.ID]["applied"] {
				b.fault("act after an applied command", x)
			}
		default:
			b.fault("finding about a command", x)
		}
	}
	want := map[string]int{}
	for id, words := range shown {
		if words["rejected"] || words["failed"] || words["expired"] || words["missed"] {
			want[id] = 1
		}
	}
	weigh(b, "finding that a command was not enforced", want, unenforced)
	for _, uid := range slices.Sorted(maps.Keys(defied)) {
		due := int64(1)
		for _, x := range defied[uid] {
			switch activity := min(int(due), 2); {
			case x.Count < due:
				b.twice("act after an applied command", x)
			case x.Count > due || x.Activity != activity:
				b.fault("count of acts after an applied command", x)
			}
			due = 2 * x.Count
		}
	}
}

// refusals is why feedback is refused, by the first word of its id: the test says in it what is
// wrong. Nothing is wrong with other words.
var refusals = map[string]string{"unsigned": "unsigned", "stranger": "unknown_key", "foreign": "wrong_tenant",
	"forged": "bad_signature", "stale": "stale_feedback", "broken": "bad_feedback"}

// untilSet is how long the first set of policies may take until it is in force everywhere, kills
// and all.
const untilSet = 12 * time.Second

// weighFeedback demands that everything that people sent was done or refused, once each time that
// it was sent, and nothing twice.
func weighFeedback(b *balance, l *left, by map[string][]*oracleCommand,
	of func(string) *life) map[string]oracleFeedback {
	sent, letters := map[string]int{}, map[string][]*kgo.Record{}
	began := time.Now()
	for _, r := range l.feedback {
		sent[string(r.Value)]++
		if r.Timestamp.Before(began) {
			began = r.Timestamp
		}
	}
	for _, r := range l.dlq {
		if strings.HasSuffix(header(r, "topic"), "agent.feedback") {
			b.refused++
			letters[string(r.Value)] = append(letters[string(r.Value)], r)
			if sent[string(r.Value)] == 0 {
				b.fault("feedback in the dead letters", string(r.Value))
			}
		}
	}
	all := map[string]oracleFeedback{}
	for _, value := range slices.Sorted(maps.Keys(sent)) {
		var f oracleFeedback
		class := "broken"
		if json.Unmarshal([]byte(value), &f) == nil {
			class, _, _ = strings.Cut(f.ID, "-")
		}
		refusal, bad := refusals[class]
		times, done, refused := sent[value], len(by[f.ID]), len(letters[value])
		if class == "verdict" {
			times = 0 // an opinion: nothing comes of it
		}
		switch {
		case done > 1 || done+refused > times:
			b.twice("feedback", fmt.Sprintf("%d commands and %d refusals of %s", done, refused, value))
		case done+refused < times:
			b.miss("feedback", fmt.Sprintf("sent %d times, %d commands and %d refusals of %s", times, done, refused,
				value))
		case bad && done > 0:
			b.fault("feedback that was taken", value)
		}
		if !bad {
			all[f.ID] = f
		}
		// once, whatever is decided: what was refused must not act because somebody sends it again
		decided := done
		for _, r := range letters[value] {
			if reason := header(r, "reason"); reason == "not_open" || reason == "not_stronger" {
				decided++
			}
		}
		if decided > 1 {
			b.twice("decision on feedback", value)
		}
		for _, r := range letters[value] {
			reason, right := header(r, "reason"), false
			from, to, h := r.Timestamp.Add(-slack), r.Timestamp.Add(slack), of(f.Scope.key())
			clock := r.Timestamp.Add(-2 * time.Second) // a transaction may take so long
			if f.Scope.Type != "agent" && f.Scope.Type != "session" && f.Time.Before(clock) {
				// a relation shard goes by when the record was written for it, and may have been
				// away since
				clock = f.Time
			}
			switch {
			case reason == "unknown_key" && class != "broken":
				// nobody has a key before a shard has read which set is in force
				right = class == "stranger" || r.Timestamp.Before(began.Add(untilSet))
			case bad:
				right = reason == refusal
			case reason == "replayed":
				right = decided == 1
			case reason == "not_open":
				right = f.Type == "restore" && h.closed(from, to)
			case reason == "not_stronger":
				right = f.Type == "trip" && h.inForce(from, to, clock, ladder[f.Action])
			}
			if !right {
				b.fault("refusal of feedback", reason+": "+value)
			}
		}
	}
	return all
}
