package policy

import (
	"crypto/ed25519"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/event"
)

// Settings say how violations become commands. They are part of the set, since the decisions of a
// shard must follow from its logs.
type Settings struct {
	Enforce bool // else commands are marked dry_run, and no gateway acts on them
	// GuardLeast and GuardShare (a percentage of the persona's active agents) bound the automatic
	// blocks and kills of one persona at a time; the larger of both counts. More become escalate, so
	// that nobody can switch off a fleet by making it misbehave.
	GuardLeast, GuardShare int64
	StaleMS                int64 // commands about behaviour older than this become escalate
	AckMS                  int64 // how long a gateway may take to say that it has applied a command
	StartMS                int64 // how long after it was issued a command may still be started
	Keys                   []Key
}

// Key is a key for signing feedback that acts on responses.
type Key struct {
	Name    string
	Tenants []string // names, or * for every one and for global scopes
	Public  ed25519.PublicKey
}

// Serves reports whether the key may act on a tenant; "" is a global scope.
func (k *Key) Serves(tenant string) bool {
	return slices.Contains(k.Tenants, "*") || tenant != "" && slices.Contains(k.Tenants, tenant)
}

// Key returns the key of a name, or nil.
func (s *Settings) Key(name string) *Key {
	for i := range s.Keys {
		if s.Keys[i].Name == name {
			return &s.Keys[i]
		}
	}
	return nil
}

// Mode is the mode of automatic commands.
func (s *Settings) Mode() string {
	if s.Enforce {
		return event.Enforce
	}
	return event.DryRun
}

type responseDef struct {
	Enforce    *bool    `json:"enforce,omitempty"`
	Guard      guardDef `json:"guard,omitzero"`
	StaleAfter string   `json:"stale_after,omitempty"`
	AckWithin  string   `json:"ack_within,omitempty"`
	NotAfter   string   `json:"not_after,omitempty"`
	Keys       []keyDef `json:"keys,omitempty"`
}

type guardDef struct {
	Least   string `json:"least,omitempty"`
	Percent string `json:"percent,omitempty"`
}

type keyDef struct {
	Name    string   `json:"name"`
	Tenants []string `json:"tenants"`
	Public  string   `json:"public"`
}

func (c *collector) loadResponse(files []*file) {
	type doc struct {
		Response responseDef `json:"response"`
	}
	each(c, files, func(d *doc, src *source) {
		if _, written := src.fields["response"]; written {
			c.addResponse(d.Response, src, "response")
		}
	})
}

// section is the key in collector.places of a section that a set has once. It is a type of its own,
// since a limit may have the same word as its id.
type section string

func (c *collector) addResponse(d responseDef, src *source, path string) {
	c.addSource(src)
	bad := src.reporter(path)
	if first, dup := c.places[section("response")]; dup {
		bad("", "the response settings are already at %s; keep one of them", first)
		return
	}
	c.places[section("response")] = src.place(path)
	d.read(bad)
	// The set is the same in any order.
	slices.SortFunc(d.Keys, func(a, b keyDef) int { return strings.Compare(a.Name, b.Name) })
	c.response = []responseDef{d}
}

// settings are the defaults, with the fields that the definition has.
func settings(defs []responseDef) Settings {
	var d responseDef
	if len(defs) > 0 {
		d = defs[0]
	}
	return d.read(func(string, string, ...any) {})
}

func (d responseDef) read(bad report) Settings {
	s := Settings{GuardLeast: 2, GuardShare: 5, StaleMS: 600_000, AckMS: 30_000, StartMS: 60_000}
	s.Enforce = d.Enforce != nil && *d.Enforce
	number := func(path, text string, most int64, into *int64) {
		if text == "" {
			return
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > most {
			bad(path, "%s is no number from 0 to %d; correct it, or leave it out", event.Quote(text), most)
			return
		}
		*into = n
	}
	number("guard.least", d.Guard.Least, math.MaxInt32, &s.GuardLeast)
	number("guard.percent", d.Guard.Percent, 100, &s.GuardShare)
	span := func(path, text string, into *int64) {
		if text == "" {
			return
		}
		w, what := parseWindow(text)
		if what != "" {
			bad(path, "%s", what)
		}
		*into = w.Milliseconds()
	}
	span("stale_after", d.StaleAfter, &s.StaleMS)
	span("ack_within", d.AckWithin, &s.AckMS)
	span("not_after", d.NotAfter, &s.StartMS)
	for i, k := range d.Keys {
		path := at("keys", i)
		checkName(bad, path+".name", "a key", k.Name)
		if s.Key(k.Name) != nil {
			bad(path+".name", "key %s is already above; name each key once", event.Quote(k.Name))
		}
		if len(k.Tenants) == 0 {
			bad(path+".tenants", `a key needs the tenants it may act on; list them, or write ["*"] for all`)
		}
		for j, t := range k.Tenants {
			if t != "*" && (!IsID(t) || len(t) > 64) {
				bad(at(path+".tenants", j),
					`%s is no tenant; use at most 64 letters, digits, dots, hyphens and underscores, or "*" for every tenant`,
					event.Quote(t))
			}
		}
		public, err := base64.StdEncoding.DecodeString(strings.TrimSpace(k.Public))
		if err != nil || len(public) != ed25519.PublicKeySize {
			bad(path+".public", "not an Ed25519 public key of 32 bytes in base64; wayward breaker keygen prints one")
		}
		if slices.Contains(k.Tenants, "*") && len(k.Tenants) > 1 {
			bad(path+".tenants", `"*" is every tenant; remove the others, or "*"`)
		}
		s.Keys = append(s.Keys, Key{k.Name, k.Tenants, public})
	}
	return s
}

// respondDef is the `respond:` of a persona, a limit or a rule.
type respondDef struct {
	Action   string   `json:"action,omitempty"`
	Scope    string   `json:"scope,omitempty"`
	Duration string   `json:"duration,omitempty"`
	Calls    string   `json:"calls,omitempty"`
	Per      string   `json:"per,omitempty"`
	Classes  []string `json:"classes,omitempty"`
}

// IsZero reports whether no response is defined.
func (d respondDef) IsZero() bool {
	return d.Action == "" && d.Scope == "" && d.Duration == "" && d.Calls == "" && d.Per == "" && len(d.Classes) == 0
}

// compile makes the response; nil if none is defined. own are the scopes that the violation knows
// the id of.
func (d *respondDef) compile(bad report, path string, own ...event.ScopeType) *event.Response {
	if d.IsZero() {
		return nil
	}
	r := &event.Response{}
	var ok bool
	if r.Action, ok = event.ParseAction(d.Action); !ok || r.Action == event.Restore {
		bad(path+".action", "unknown action %s; %s", event.Quote(d.Action), didYouMean(d.Action, event.Actions()))
		return r // the other fields depend on it
	}
	if d.Scope != "" {
		var words []string
		for _, s := range own {
			words = append(words, s.String())
		}
		if r.Scope, ok = event.ParseScopeType(d.Scope); !ok || !slices.Contains(own, r.Scope) {
			bad(path+".scope", "%s cannot be stopped by this; %s", event.Quote(d.Scope), didYouMean(d.Scope, words))
		}
	}
	if d.Duration != "" && d.Duration != "until_restored" {
		w, what := parseWindow(d.Duration)
		if what != "" {
			bad(path+".duration", "%s", what)
		}
		r.DurationMS = w.Milliseconds()
	} else if d.Duration == "" {
		r.DurationMS = (15 * time.Minute).Milliseconds()
		if r.Action == event.Kill {
			r.DurationMS = 0 // a killed agent stays killed until somebody decides
		}
	}
	throttle := r.Action == event.Throttle
	switch {
	case throttle && (d.Calls == "" || d.Per == ""):
		bad(path, "a throttle needs calls and per; add calls: 10 and per: 1m, say")
	case !throttle && (d.Calls != "" || d.Per != "" || len(d.Classes) > 0):
		bad(path, "calls, per and classes belong to action: throttle; remove them")
	case throttle:
		n, err := strconv.ParseInt(d.Calls, 10, 64)
		if err != nil || n < 1 {
			bad(path+".calls", "%s is no number of calls; use 1 or more", event.Quote(d.Calls))
		}
		w, what := parseWindow(d.Per)
		if what == "" && (w < time.Second || w > 24*time.Hour || w%time.Second != 0) {
			what = "use whole seconds up to a day"
		}
		if what != "" {
			bad(path+".per", "%s", what)
		}
		r.Rate = event.Rate{Calls: n, PerSeconds: int64(w / time.Second)}
		for i, word := range d.Classes {
			c, ok := event.ParseClass(word)
			if !ok {
				bad(at(path+".classes", i), "unknown class %s; %s", event.Quote(word), didYouMean(word, event.Classes()))
			}
			r.Rate.Classes = append(r.Rate.Classes, c)
		}
	}
	return r
}
