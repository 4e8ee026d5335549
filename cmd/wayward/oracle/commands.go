package oracle

// What commands and breakers must be, as docs/commands.md says it. Which commands there are depends on
// the wall clock (when a duration is over, when an answer is read between two events), so they are not
// foretold: what is weighed are claims that hold of every run.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

type scope struct {
	Type   string `json:"type"`
	ID     string `json:"id"`
	Tenant string `json:"tenant,omitempty"`
	Agent  string `json:"agent,omitempty"`
}

// key of commands and breakers. No id of the test needs escaping.
func (s scope) key() string {
	if s.Type == "session" {
		return s.Tenant + "|session|" + s.Agent + "|" + s.ID
	}
	return s.Tenant + "|" + s.Type + "|" + s.ID
}

// narrow scopes belong to one agent: the finding on a call of that agent and what follows are one
// transaction.
func (s scope) narrow() bool { return s.Type == "agent" || s.Type == "session" }

type rate struct {
	Calls int `json:"calls"`
	Per   int `json:"per_seconds"`
}

type issuer struct{ Type, Rule, Version, By string }

type command struct {
	Schema, Action, Duration, Mode, Reason string
	ID                                     string `json:"command_id"`
	Idempotency                            string `json:"idempotency_key"`
	Scope                                  scope
	Epoch                                  int64
	Time                                   time.Time
	Issued                                 time.Time `json:"issued_at"`
	NotAfter                               time.Time `json:"not_after"`
	Limit                                  *rate
	Issuer                                 issuer
	Finding                                string    `json:"finding_uid"`
	ReplyTo                                string    `json:"reply_to"`
	at                                     time.Time // when it was produced
	// when its duration is over; zero: somebody must restore
	until time.Time
}

type breakerState struct {
	Schema, State, Action, Mode, Enforced, Reason string
	Scope                                         scope
	Epoch                                         int64
	Since, Until                                  time.Time
	Limit                                         *rate
	Command                                       string `json:"command_id"`
	Finding                                       string `json:"finding_uid"`
	Issuer                                        issuer
	gone                                          bool // a tombstone
	at                                            time.Time
}

type ack struct {
	Command string `json:"command_id"`
	Scope   scope
	Epoch   int64
	Status  string
}

type feedbackRecord struct {
	ID, Type, Action, Duration, By string
	Scope                          scope
	Time                           time.Time
}

// ladder, weakest first; 0 is closed.
var ladder = map[string]int{"restore": 0, "observe": 1, "throttle": 2, "escalate": 3, "block": 4, "kill": 5}

// scopeLog is everything about one scope, each in the order of its topic.
type scopeLog struct {
	commands []*command
	states   []*breakerState
	acks     []ack
}

// slack is how far apart the records of one transaction may be stamped.
const slack = 300 * time.Millisecond

// inForce tells whether by the log a level of least or more held at some moment between from and
// to. What is over by the clock holds no longer, even if the command that says so comes later.
func (h *scopeLog) inForce(from, to, clock time.Time, least int) bool {
	for i, c := range h.commands {
		replaced := i+1 < len(h.commands) && h.commands[i+1].at.Before(from)
		if !c.at.After(to) && !replaced && c.holds(clock) && ladder[c.Action] >= least {
			return true
		}
	}
	return false
}

// closed tells whether by the log nothing was in force at some moment between from and to.
func (h *scopeLog) closed(from, to time.Time) bool {
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
func (c *command) holds(clock time.Time) bool {
	return c.until.IsZero() || clock.Before(c.until)
}

// outlasts compares ends; the zero time is for ever.
func outlasts(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// expectedResponse is what a finding asks for.
type expectedResponse struct {
	rule  string
	asks  response
	at    time.Time // when it was first told
	scope map[string]bool
}

// WeighCommands weighs commands, breakers, acks and feedback.
func WeighCommands(b *Balance, l *Topics) {
	before := b.Bad()
	defer func() { b.inResponses = b.Bad() - before }()
	var alerts []alert
	for _, r := range l.Alerts {
		if x, err := ReadAlert(r); err == nil { // compare has complained of the others
			alerts = append(alerts, x)
		}
	}
	scopes := map[string]*scopeLog{}
	of := func(key string) *scopeLog {
		if scopes[key] == nil {
			scopes[key] = &scopeLog{}
		}
		return scopes[key]
	}
	ids := map[string]*command{}
	issued := map[string]bool{}
	by := map[string][]*command{} // by id of feedback
	for _, r := range l.Commands {
		c := &command{at: r.Timestamp}
		if err := json.Unmarshal(r.Value, c); err != nil {
			b.fault("command", err)
			continue
		}
		b.Commands++
		if c.Duration != "" {
			c.until = c.Issued.Add(length(c.Duration))
		}
		key := c.Scope.key()
		h := of(key)
		h.commands = append(h.commands, c)
		if ids[c.ID] != nil || issued[c.Idempotency] {
			b.twice("command", c)
		}
		ids[c.ID], issued[c.Idempotency] = c, true
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
	for _, r := range l.Breakers {
		b.states++
		s := &breakerState{at: r.Timestamp, gone: r.Value == nil}
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
	for _, r := range l.Acks {
		var a ack
		if json.Unmarshal(r.Value, &a) != nil {
			broken[string(r.Value)]++
			continue
		}
		b.Acks++
		h := of(a.Scope.key())
		h.acks = append(h.acks, a)
	}

	wishes := map[string]*expectedResponse{}
	for _, x := range alerts {
		if r, ok := asksFor(x.Rule); ok {
			b.wishes(wishes, &x, r, of)
		}
	}
	feedback := weighFeedback(b, l, by, of)
	shown := map[string]map[string]bool{} // by command: what its breaker shows of it
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
	for _, r := range l.DLQ {
		if strings.HasSuffix(header(r, "topic"), "agent.acks") {
			letters[string(r.Value)]++
		}
	}
	weigh(b, "ack in the dead letters", broken, letters)
}

// asksFor is what a rule of the oracle asks for.
func asksFor(rule string) (response, bool) {
	for _, l := range limits {
		if rule == "limit/"+l.id {
			return l.asks, true
		}
	}
	for _, p := range Personas {
		if rule == "policy/persona/"+p.Name+"/tool" {
			return p.asks, true
		}
	}
	r, ok := ruleResponses[strings.TrimPrefix(rule, "rule/")]
	return r, ok && strings.HasPrefix(rule, "rule/")
}

// wishes notes what one record of the alert topic asks for, and demands that it was done: on a
// call's own agent or session in the transaction of the alert, unless as much was in force then;
// else the order went through a log, and was done later, unless as much was in force when it came.
func (b *Balance) wishes(all map[string]*expectedResponse, x *alert, r response, of func(string) *scopeLog) {
	s := scope{Type: r.scope, Tenant: x.Tenant}
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
		w = &expectedResponse{x.Rule, r, x.at, map[string]bool{}}
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
func (b *Balance) sequence(key string, h *scopeLog, wishes map[string]*expectedResponse,
	feedback map[string]feedbackRecord) {
	next := int64(1)
	var last *command // nil: closed
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
			b.Ruled++
			if _, is := ruleResponses[c.Issuer.Rule]; is {
				b.Written++
			}
			asked = b.byRule(key, c, wishes[c.Finding])
		case "human":
			b.Human++
			f, ok := feedback[c.Issuer.Rule]
			asked = f.Duration
			if !ok || f.Scope.key() != key || c.Action != f.Action && (f.Type != "restore" || lift) ||
				c.Issuer.By != f.By {
				b.fault("command of a person", c)
			}
		case "expiry":
			b.Expired++
			if lift || last != nil && (last.until.IsZero() || held) {
				b.fault("expiry", []*command{last, c})
			}
		default:
			b.fault("issuer", c)
		}
		switch {
		case !lift && last == nil:
			b.fault("restore of what is closed", c)
		case !lift && (c.Finding != last.Finding || c.Duration != ""):
			b.fault("form of a restore", []*command{last, c})
		case (c.Limit != nil) != (c.Action == "throttle"):
			b.fault("limit of a command", c)
		case held && lift && ladder[c.Action] <= ladder[last.Action] &&
			(c.Issuer.Type != "human" || c.Action != last.Action || !outlasts(c.until, last.until)):
			b.fault("step down the ladder", []*command{last, c})
		case lift: // it holds as long as was asked for, but not shorter than that above which it rose
			until := time.Time{}
			if asked != "" {
				until = c.Issued.Add(length(asked))
			}
			if held && outlasts(last.until, until) {
				until = last.until
			}
			if !until.Equal(c.until) {
				b.fault("duration of a command", []*command{last, c})
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
func (b *Balance) byRule(key string, c *command, w *expectedResponse) string {
	if w == nil || !w.scope[key] || !strings.HasSuffix(w.rule, "/"+c.Issuer.Rule) || c.at.Before(w.at.Add(-slack)) {
		b.fault("finding of a command", c)
		return c.Duration
	}
	soft := strings.HasPrefix(c.Reason, "guard: ") && c.Action == "escalate" && c.Scope.narrow() &&
		ladder[w.asks.action] > ladder["escalate"]
	if soft {
		b.softened++
	}
	rate := c.Limit == nil && w.asks.calls == 0 || c.Limit != nil && *c.Limit == rate{w.asks.calls, w.asks.per}
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

// aboutCommands weighs the findings about commands. One that was refused or not answered is told
// once, and is what its breaker showed; calls that go against an applied one are told at 1, 2, 4, 8
// …
func (b *Balance) aboutCommands(alerts []alert, ids map[string]*command, shown map[string]map[string]bool) {
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
			b.Unenforced++
			if unenforced[c.ID]++; x.Activity != 1 {
				b.fault("update of a finding about a command", x)
			}
		case "response/acts-after-applied":
			b.Defied++
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
