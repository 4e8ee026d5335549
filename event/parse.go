package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Identified is the scope with the one form of the name of a user or a persona (Identity).
func (s Scope) Identified() Scope {
	if s.Type == UserScope || s.Type == PersonaScope {
		s.ID = Identity(s.ID)
	}
	return s
}

func (s Scope) wire() wireScope { return wireScope{s.Type.String(), s.ID, s.Tenant, s.Agent} }

func (r Rate) wire() *wireRate {
	if r.Calls == 0 {
		return nil
	}
	w := &wireRate{Calls: r.Calls, PerSeconds: r.PerSeconds}
	for _, c := range r.Classes {
		w.Classes = append(w.Classes, c.String())
	}
	return w
}

// maxAnswer bounds records of commands, breakers, acks and feedback, in bytes.
const maxAnswer = 64 << 10

// parser gathers the first thing that is wrong with a record.
type parser struct {
	what string
	more int // bytes that a record may have above maxAnswer
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(p.what+": "+format, args...)
	}
}

func (p *parser) unmarshal(b []byte, into any) {
	if len(b) > maxAnswer+p.more {
		p.fail("%d bytes long, at most %d KiB", len(b), (maxAnswer+p.more)>>10)
	} else if !utf8.Valid(b) {
		p.fail("not UTF-8") // encoding/json would put U+FFFD in place of it and say nothing
	} else if err := json.Unmarshal(b, into); err != nil {
		p.fail("%w", err)
	}
}

func (p *parser) text(name, s string, most int) string {
	if len(s) > most {
		p.fail("%s is %d bytes long, at most %d", name, len(s), most)
	}
	return s
}

func (p *parser) epoch(n int64) int64 {
	if n < 1 {
		p.fail("epoch %d: want 1 or more", n)
	}
	return n
}

func (p *parser) mode(word string) string {
	if word != Enforce && word != DryRun {
		p.fail("mode %s is unknown; use %s or %s", Quote(word), Enforce, DryRun)
	}
	return word
}

func (p *parser) action(word string) Action {
	a, ok := ParseAction(word)
	if !ok {
		p.fail("action %s is unknown; use %s", Quote(word), strings.Join(actions[1:], ", "))
	}
	return a
}

// maxScopeID is the longest ToolID: two names of MaxString bytes, each of them percent-encoded.
const maxScopeID = 6*MaxString + 1

func (p *parser) scope(w wireScope) Scope {
	t, ok := ParseScopeType(w.Type)
	s := Scope{t, p.text("scope.id", w.ID, maxScopeID), w.Tenant,
		p.text("scope.agent", w.Agent, MaxString)}.Identified()
	switch {
	case !ok:
		p.fail("scope.type %s is unknown; use %s", Quote(w.Type), strings.Join(ScopeTypes(), ", "))
	case s.ID == "":
		p.fail("scope.id is missing")
	case t == GlobalScope && (w.ID != "*" || w.Tenant != ""):
		p.fail("a global scope has the id * and no tenant")
	case t != GlobalScope && !isTenant(w.Tenant):
		p.fail("tenant %s: want 1 to 64 letters, digits, dots, hyphens and underscores", Quote(w.Tenant))
	case t == TenantScope && w.ID != w.Tenant: // who may act on the one must not name the other
		p.fail("scope.id %s is not the tenant of the scope, %s", Quote(w.ID), Quote(w.Tenant))
	case t == SessionScope && w.Agent == "":
		p.fail("scope.agent is missing: a session belongs to an agent")
	case t != SessionScope && w.Agent != "":
		p.fail("scope.agent belongs to sessions alone")
	}
	return s
}

func (p *parser) rate(w *wireRate) Rate {
	if w == nil {
		return Rate{}
	}
	r := Rate{Calls: w.Calls, PerSeconds: w.PerSeconds}
	if w.Calls < 1 || w.PerSeconds < 1 || w.PerSeconds > 86_400 || len(w.Classes) > len(classes) {
		p.fail("limit: want at least 1 call per 1 to 86400 seconds")
		return r
	}
	for _, word := range w.Classes {
		c, ok := ParseClass(word)
		if !ok {
			p.fail("limit: class %s is unknown; use %s", Quote(word), strings.Join(Classes(), ", "))
		}
		r.Classes = append(r.Classes, c)
	}
	return r
}

func (p *parser) time(name, s string, required bool) int64 {
	if s == "" {
		if required {
			p.fail("%s is missing", name)
		}
		return 0
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	ms := t.UnixMilli()
	if err != nil || ms < firstDate || ms > lastTime {
		p.fail("%s %s is not RFC 3339 of the years 0001 to 9999", name, Quote(s))
	}
	return ms
}

// maxDuration of a command: longer is until somebody restores it.
const maxDuration = 366 * 24 * time.Hour

func (p *parser) duration(s string) int64 {
	if s == "" {
		return 0
	}
	ms, err := parseISODuration(s)
	if err != nil {
		p.fail("duration %s: %w", Quote(s), err)
	}
	return ms
}

// isoDuration writes milliseconds as ISO 8601: PT15M, P1DT12H.
func isoDuration(ms int64) string {
	if ms <= 0 {
		return ""
	}
	s := "P"
	if d := ms / 86_400_000; d > 0 {
		s += strconv.FormatInt(d, 10) + "D"
	}
	if ms %= 86_400_000; ms > 0 {
		s += "T"
	}
	if h := ms / 3_600_000; h > 0 {
		s += strconv.FormatInt(h, 10) + "H"
	}
	if m := ms / 60_000 % 60; m > 0 {
		s += strconv.FormatInt(m, 10) + "M"
	}
	if ms %= 60_000; ms > 0 {
		s += strconv.FormatInt(ms/1000, 10)
		if f := ms % 1000; f > 0 {
			s += strings.TrimRight("."+strconv.FormatInt(1000+f, 10)[1:], "0")
		}
		s += "S"
	}
	return s
}

var errDuration = errors.New(
	"want ISO 8601 of days, hours, minutes and seconds, such as PT15M or P1D, at most 366 days")

var isoForm = regexp.MustCompile(
	`^P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:\.(\d{1,9}))?S)?)?$`)

// parseISODuration reads ISO 8601 durations of weeks and smaller, whose length does not depend on a
// calendar. What is below a millisecond is cut off.
func parseISODuration(s string) (int64, error) {
	m := isoForm.FindStringSubmatch(s)
	if m == nil || strings.HasSuffix(s, "T") {
		return 0, errDuration
	}
	total := int64(0)
	for i, unit := range []int64{7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000} {
		n, _ := strconv.ParseInt("0"+m[i+1], 10, 64)
		total += n * unit // nine digits each: no overflow
	}
	n, _ := strconv.ParseInt((m[6] + "000")[:3], 10, 64)
	if total += n; total < 1 || total > maxDuration.Milliseconds() {
		return 0, errDuration
	}
	return total, nil
}

// stamp writes Unix milliseconds as RFC 3339.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// maybe is stamp of a time that may be left out: 0 is nothing.
func maybe(ms int64) string {
	if ms == 0 {
		return ""
	}
	return stamp(ms)
}

// appendJSON encodes strings and integers, which always works. < and > stay as they are: people
// read it.
func appendJSON(b []byte, v any) []byte {
	w := bytes.NewBuffer(b)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(w.Bytes(), []byte("\n"))
}

func isTenant(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') && s[i] != '.' && s[i] != '-' &&
			s[i] != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
