package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Seen is one thing that agents of a persona used or reached.
type Seen struct {
	Value       string // as a list of the dimension names it
	AgentDays   int64  // agents that showed it, each once a day
	First, Last int64  // UTC days since 1970-01-01
	// External tells of a destination what the gateway says of it: bit per event.Tri.
	External uint8
}

// Usage is what the agents of one persona were seen to use and reach: what a persona could be made
// from, and what a declared one is compared with.
type Usage struct {
	Tenant, Persona string
	From            string // where it was seen: a file of events, a snapshot
	AgentDays       int64  // agents that acted, each once a day
	Agents          int64  // 0: not known
	First, Last     int64  // UTC days
	Of              [dimensions][]Seen
	// Watched tells which dimensions were looked at: of the others nothing can be said. Hidden are
	// those of which some values have no name that a list could hold, such as addresses of which a
	// snapshot keeps hashes alone.
	Watched, Hidden [dimensions]bool
	OwnTenant       bool  // every resource that says so was the tenant's own, and some said so
	MaxTier         int64 // 0: no agent said
	Limits          []Level
}

// Level is how much of something agents were seen to do in one unit.
type Level struct {
	Scope     Scope
	Measure   Measure
	Currency  string
	WindowMS  int64 // 0: of a session
	Reached   int64 // what 1 in 1,000 units reaches
	Units     int64 // that this rests on
	Estimated bool  // from a model of them
}

// Survey watches events and notes what each persona uses and reaches, exactly, in memory: for files
// of events.
type Survey struct {
	set     *Set
	scratch catalogue.Scratch
	tools   map[toolOf]*catalogue.Tool
	of      map[name]*surveyed
}

type toolOf struct {
	tenant, name, server string
	readOnly, openWorld  event.Tri
	class                event.Class
	sent                 string
}

type surveyed struct {
	u      Usage
	place  [dimensions]map[string]int
	shown  map[shown]struct{} // what an agent has shown on a day
	agents map[string]int32
	// calls, records, distinct currency's amount is left out: nobody bounds a session's money by
	// another's
	sessions map[string]*[3]int64
	days     map[[2]int64]*[2]int64
	foreign  bool
}

type shown struct {
	agent     int32
	day       int64
	dimension Dimension
	at        int
}

// anything is the dimension of "the agent acted".
const anything = dimensions

// NewSurvey returns a survey that completes events by the set's catalogue and looks personas up in
// its registry, as the engine does.
func NewSurvey(set *Set) *Survey {
	return &Survey{set: set, tools: map[toolOf]*catalogue.Tool{}, of: map[name]*surveyed{}}
}

// Add notes an event. Only what personas judge counts: tool calls, and of a call in two records the
// result.
func (s *Survey) Add(e *event.Event) {
	if e.Kind != event.ToolCall || e.Phase == event.Attempt {
		return
	}
	persona := e.Persona
	if persona == "" {
		persona = s.set.PersonaOf(e.Tenant, e.Agent.ID)
	}
	if persona == "" {
		return
	}
	k := toolOf{e.Tenant, e.Tool.Name, e.Tool.Server, e.Tool.ReadOnlyHint, e.Tool.OpenWorldHint, e.Tool.Class,
		e.Tool.Sent}
	t := s.tools[k]
	if t == nil {
		k.tenant, k.name, k.server, k.sent = strings.Clone(k.tenant), strings.Clone(k.name), strings.Clone(
			k.server), strings.Clone(k.sent)
		own := event.Tool{Name: k.name, Server: k.server, ReadOnlyHint: k.readOnly, OpenWorldHint: k.openWorld,
			Class: k.class, Sent: k.sent}
		t = s.set.Catalogue().Tool(k.tenant, &own)
		s.tools[k] = t
	}
	t.Complete(e, &s.scratch)
	v := s.of[name{e.Tenant, persona}]
	if v == nil {
		v = &surveyed{shown: map[shown]struct{}{}, agents: map[string]int32{}, sessions: map[string]*[3]int64{},
			days: map[[2]int64]*[2]int64{}}
		v.u = Usage{Tenant: strings.Clone(e.Tenant), Persona: strings.Clone(persona), First: math.MaxInt64,
			Last: math.MinInt64}
		for d := range dimensions {
			v.u.Watched[d], v.place[d] = true, map[string]int{}
		}
		s.of[name{v.u.Tenant, v.u.Persona}] = v
	}
	v.add(e)
	s.scratch.Reset()
}

func (v *surveyed) add(e *event.Event) {
	u := &v.u
	day := e.Time / 86_400_000
	if e.Time%86_400_000 < 0 {
		day--
	}
	agent, known := v.agents[e.Agent.ID]
	if !known {
		agent = int32(len(v.agents))
		v.agents[strings.Clone(e.Agent.ID)] = agent
		u.Agents++
	}
	u.First, u.Last = min(u.First, day), max(u.Last, day)
	if k := (shown{agent, day, anything, 0}); !v.has(k) {
		u.AgentDays++
	}
	note := func(d Dimension, s string, ext event.Tri) {
		if s == "" {
			return
		}
		i, known := v.place[d][s]
		if !known {
			i = len(u.Of[d])
			s = strings.Clone(s)
			v.place[d][s] = i
			u.Of[d] = append(u.Of[d], Seen{Value: s, First: day, Last: day})
		}
		x := &u.Of[d][i]
		x.First, x.Last = min(x.First, day), max(x.Last, day)
		x.External |= 1 << ext
		if !v.has(shown{agent, day, d, i}) {
			x.AgentDays++
		}
	}
	note(Tools, entryFor(e.Tool.Name, false), 0)
	note(Servers, entryFor(e.Tool.Server, false), 0)
	for c := event.Read; c <= event.Delegate; c++ {
		if classBits(e)&(1<<c) != 0 {
			note(Classes, c.String(), 0)
		}
	}
	r := &e.Resource
	note(ResourceTypes, entryFor(r.Type, true), 0)
	note(Environments, entryFor(r.Environment, true), 0)
	note(Labels, entryFor(r.Classification, true), 0)
	for _, l := range r.Labels {
		note(Labels, entryFor(l, true), 0)
		u.Hidden[Labels] = u.Hidden[Labels] || l == "" // it is judged, and no entry names it
	}
	if r.Tenant != "" {
		u.OwnTenant = true
		v.foreign = v.foreign || r.Tenant != e.Tenant
	}
	for _, s := range DestinationEntries(&e.Destination) {
		note(Destinations, s, e.Destination.External)
	}
	note(DestinationKinds, entryFor(e.Destination.Kind, true), 0)
	note(Intents, entryFor(e.Intent, false), 0)
	note(Credentials, entryFor(event.Identity(e.Agent.Credential), false), 0)
	if e.Has&event.HasTier != 0 {
		u.MaxTier = max(u.MaxTier, e.Agent.Tier)
	}
	records := int64(0)
	if e.Has&event.HasRecords != 0 && e.Result.Records > 0 {
		records = e.Result.Records
	}
	if e.Session != "" {
		key := e.Agent.ID + "\x00" + e.Session
		k := v.sessions[key]
		if k == nil {
			k = new([3]int64)
			v.sessions[key] = k
		}
		k[0]++
		k[1] = plus(k[1], records)
	}
	k := v.days[[2]int64{int64(agent), day}]
	if k == nil {
		k = new([2]int64)
		v.days[[2]int64{int64(agent), day}] = k
	}
	k[0]++
	k[1] = plus(k[1], records)
}

func plus(a, b int64) int64 { return a + min(b, math.MaxInt64-a) }

func (v *surveyed) has(k shown) bool {
	_, has := v.shown[k]
	v.shown[k] = struct{}{}
	return has
}

// Usages are what was seen of each persona, by tenant and persona.
func (s *Survey) Usages() []*Usage {
	var list []*Usage
	for _, v := range s.of {
		u := &v.u
		u.OwnTenant = u.OwnTenant && !v.foreign
		u.Limits = nil
		var calls, records, dayCalls, dayRecords []int64
		for _, k := range v.sessions {
			calls, records = append(calls, k[0]), append(records, k[1])
		}
		for _, k := range v.days {
			dayCalls, dayRecords = append(dayCalls, k[0]), append(dayRecords, k[1])
		}
		level := func(scope Scope, m Measure, window int64, of []int64) {
			if len(of) == 0 {
				return
			}
			slices.Sort(of)
			if top := of[min(len(of)-1, len(of)*999/1000)]; top > 0 {
				u.Limits = append(u.Limits, Level{Scope: scope, Measure: m, WindowMS: window, Reached: top,
					Units: int64(len(of))})
			}
		}
		level(SessionScope, Count, 0, calls)
		level(SessionScope, Records, 0, records)
		level(AgentScope, Count, 86_400_000, dayCalls)
		level(AgentScope, Records, 86_400_000, dayRecords)
		for d := range dimensions {
			slices.SortFunc(u.Of[d], func(a, b Seen) int {
				return cmp.Or(cmp.Compare(b.AgentDays, a.AgentDays), strings.Compare(a.Value, b.Value))
			})
			for i := range u.Of[d] {
				v.place[d][u.Of[d][i].Value] = i
			}
		}
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b *Usage) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Persona, b.Persona))
	})
	return list
}

// entryFor is a value as an entry of a list that names it: what an entry cannot hold, or what would
// stand for something else, is a ? there.
func entryFor(s string, fold bool) string {
	if fold {
		s = event.Lower(s)
	}
	if s == "" || len(s) <= maxPattern && isClean(s) && strings.TrimSpace(s) == s && !glob.Is(s) {
		return s
	}
	var b strings.Builder
	runes := []rune(s)
	for i, r := range runes {
		c := string(r)
		if r == '*' || r == '\uFFFD' || !isClean(c) || (i == 0 || i == len(runes)-1) && strings.TrimSpace(c) == "" {
			c = "?"
		}
		if b.Len()+len(c) > maxPattern-1 {
			return b.String() + "*"
		}
		b.WriteString(c)
	}
	return b.String()
}

// DestinationEntries are the entries of a list of destinations that let a call through, one for
// each thing that a persona judges about where it goes. Where a persona cannot read the host for
// certain only the words and * let it through.
func DestinationEntries(d *event.Destination) []string {
	everything := "*"
	switch d.External {
	case event.Yes:
		everything = external
	case event.No:
		everything = internal
	}
	host := func(h string) string {
		if h == "" {
			return everything
		}
		if h = event.Lower(h); h == external || h == internal { // a host of that name would be read as the word
			return h[:len(h)-1] + "?"
		}
		return entryFor(h, true)
	}
	v := d.Value
	switch {
	case d.Domain != "":
		return []string{host(catalogue.HostName(d.Domain))}
	case v == "":
		if d.External == event.Yes {
			return []string{external}
		}
		return nil
	case strings.EqualFold(d.Kind, "email"), strings.EqualFold(d.Kind, "url") && len(v) > 7 &&
		strings.EqualFold(v[:7], "mailto:"):
		if !strings.EqualFold(d.Kind, "email") {
			v = v[7:]
		}
		var out []string
		for part := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ';' }) {
			if strings.Contains(part, "@") {
				if e := host(catalogue.DomainOf(part)); !slices.Contains(out, e) {
					out = append(out, e)
				}
			}
		}
		if len(out) == 0 {
			return []string{everything}
		}
		return out
	case strings.EqualFold(d.Kind, "url"):
		var out []string
		for _, h := range catalogue.Domains(nil, d) {
			if e := host(h); !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
		if len(out) == 0 {
			return []string{everything}
		}
		return out
	case strings.EqualFold(d.Kind, "host"):
		return []string{host(catalogue.HostName(v))}
	}
	return []string{host(v)}
}

// EntryFor is a value of a dimension as an entry of its lists that names it.
func EntryFor(s string, d Dimension) string { return entryFor(s, dimensionDefs[d].fold) }

// mostListed bounds the values of a dimension that a draft lists: beyond, it is no list that
// somebody keeps.
const mostListed = 200

// ErrUnsupported says that nothing was seen often enough to be suggested.
type ErrUnsupported struct {
	Persona     string
	Least, Most int64 // agent-days asked for, and of the tool that was seen most
}

func (e *ErrUnsupported) Error() string {
	return fmt.Sprintf(
		"persona %s: no tool was seen on %d agent-days, the most used one on %d; ask for fewer with --min-agent-days, or record for longer",
		event.Quote(e.Persona), e.Least, e.Most)
}

// Suggest drafts a persona that may do what was seen and nothing else, as YAML that Load reads,
// with what each line rests on as a comment. What was seen on fewer agent-days than least stands
// there as a comment, for whoever reads it to decide; what cannot be listed is let through, and
// said to be.
func (u *Usage) Suggest(least int64) ([]byte, error) {
	if glob.Is(u.Persona) || len(u.Persona) > maxName || !isClean(u.Persona) ||
		strings.TrimSpace(u.Persona) != u.Persona || u.Persona == "" {
		return nil, fmt.Errorf(
			"persona %s: no persona can be defined under this name; rename it where the events come from",
			event.Quote(u.Persona))
	}
	top := int64(0)
	for i := range u.Of[Tools] {
		top = max(top, u.Of[Tools][i].AgentDays)
	}
	if top < least || top == 0 {
		return nil, &ErrUnsupported{u.Persona, least, top}
	}
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# A draft, from %s: %s of persona %s%s from %s to %s.", oneLine(u.From), countOf(u.AgentDays, "agent-day"),
		event.Quote(u.Persona), agentsOf(u), dateOf(u.First), dateOf(u.Last))
	p(
		"# Each line says on how many agent-days it rests, on what share of all, and when it was first and last seen. What stands behind a # was seen on fewer")
	p(
		"# than %d: decide whether it is meant. What agents did is not what they should do: read every line before you use it.",
		least)
	p("personas:")
	p("  - name: %s", yamlText(u.Persona))
	if u.Tenant != "" {
		p("    tenant: %s", yamlText(u.Tenant))
	}
	p("    default: deny")
	var resources bytes.Buffer
	if u.OwnTenant {
		resources.WriteString("      tenants: own\n")
	}
	for d := range dimensions {
		if _, leaf, nested := strings.Cut(dimensionDefs[d].path, "."); nested {
			u.dimension(&resources, d, leaf, "      ", least)
		}
	}
	for d := range dimensions {
		if !strings.Contains(dimensionDefs[d].path, ".") {
			u.dimension(&b, d, dimensionDefs[d].path, "    ", least)
		} else if d == ResourceTypes && resources.Len() > 0 {
			mark := "# "
			for line := range strings.Lines(resources.String()) {
				if !strings.HasPrefix(strings.TrimSpace(line), "#") {
					mark = ""
				}
			}
			p("    %sresources:", mark)
			b.Write(resources.Bytes())
		}
	}
	if u.MaxTier >= 1 && u.MaxTier <= 1000 {
		p("    tier:\n      at_most: %d", u.MaxTier)
	}
	u.limits(&b)
	return b.Bytes(), nil
}

// shows tells whether a draft says anything of a dimension.
func (u *Usage) shows(d Dimension) bool { return len(u.Of[d]) > 0 || u.Hidden[d] }

func (u *Usage) dimension(b *bytes.Buffer, d Dimension, path, indent string, least int64) {
	if !u.shows(d) {
		return
	}
	p := func(format string, args ...any) { fmt.Fprintf(b, indent+format+"\n", args...) }
	list := u.Of[d]
	supported := 0
	for i := range list {
		if list[i].AgentDays >= least {
			supported++
		}
	}
	open := supported > mostListed || u.Hidden[d]
	why := fmt.Sprintf("%d values on %d agent-days or more: too many for a list", supported, least)
	if u.Hidden[d] {
		why = "some values have no name to list; a snapshot keeps hashes alone, so try --input with the events"
	}
	switch {
	case open && (d == Destinations || d == Tools):
		// The default judges these whether there is a list or not.
		p("%s:", path)
		p("  allow:")
		p(`    - "*" # %s`, why)
	case open:
		p("# %s: %s", path, why)
		return
	case supported == 0:
		p("# %s:", path)
		p("#   allow:")
	default:
		p("%s:", path)
		p("  allow:")
	}
	shown := 0
	for i := range list {
		s := &list[i]
		if shown++; shown > mostListed+100 {
			p("    # and %d more", len(list)-i)
			break
		}
		mark := "    - "
		if s.AgentDays < least || open {
			mark = "    # - "
		}
		if supported == 0 && !open {
			mark = "#     - "
		}
		p("%s%s # %s", mark, yamlText(s.Value), u.support(s))
	}
}

// support says what a line rests on.
func (u *Usage) support(s *Seen) string {
	out := countOf(s.AgentDays, "agent-day")
	if u.AgentDays > 0 {
		out += ", " + event.Percent(min(1, float64(s.AgentDays)/float64(u.AgentDays)))
	}
	if s.First == s.Last {
		return out + ", on " + dateOf(s.First)
	}
	return out + ", " + dateOf(s.First) + " to " + dateOf(s.Last)
}

// limits suggests limits half as high again as what 1 unit in 1,000 reaches.
func (u *Usage) limits(b *bytes.Buffer) {
	p := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	if len(u.Limits) == 0 {
		p("    # limits: nothing is known of how much they do; list it from the events, with --input")
		return
	}
	mark := "    "
	if len(u.Persona) > maxName-32 || !isID(u.Persona) || u.Tenant != "" && !isID(u.Tenant) {
		mark = "    # " // the id of a limit is made from the persona's name
	}
	p("%slimits: # half as high again as what 1 in 1,000 reached", mark)
	for _, l := range u.Limits {
		unit, window := "session", ""
		if l.WindowMS > 0 {
			unit, window = "day of an agent", ", window: "+strconv.FormatInt(l.WindowMS/86_400_000, 10)+"d"
		}
		id := strings.Join([]string{"draft", u.Tenant, u.Persona, l.Scope.String(), l.Measure.String()}, "-")
		what := map[Measure]string{Count: "calls", Records: "records"}[l.Measure]
		guess := ""
		if l.Estimated {
			guess = ", estimated"
		}
		p("%s  - {id: %s, title: %s, scope: %s, measure: %s, max: %d%s} # %d %s%s, from %s", mark,
			yamlText(strings.ReplaceAll(id, "--", "-")), yamlText("More "+what+" than usual in one "+unit),
			l.Scope, l.Measure, roundUp(l.Reached+l.Reached/2+1), window, l.Reached, what, guess,
			countOf(l.Units, unit))
	}
}

// roundUp rounds up to two figures.
func roundUp(v int64) int64 {
	step := int64(1)
	for v/step >= 100 {
		step *= 10
	}
	return min((v+step-1)/step, math.MaxInt64/step) * step
}

func agentsOf(u *Usage) string {
	if u.Agents == 0 {
		return ""
	}
	return " by " + countOf(u.Agents, "agent")
}

func countOf(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if rest, is := strings.CutPrefix(what, "day of "); is {
		return strconv.FormatInt(n, 10) + " days of " + rest
	}
	return strconv.FormatInt(n, 10) + " " + what + "s"
}

func dateOf(day int64) string { return time.UnixMilli(day * 86_400_000).UTC().Format(time.DateOnly) }

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !isClean(string(r)) {
			return '?'
		}
		return r
	}, s)
}

var plainText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)

// yamlText is a text as a scalar of YAML.
func yamlText(s string) string {
	if plainText.MatchString(s) &&
		!slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(s) // a text always has a JSON
	return strings.TrimSpace(b.String())
}

// Difference is a point in which a declared persona and what its agents do part.
type Difference struct {
	// undeclared: used and not allowed; unused: allowed and not used; rare: allowed and seldom used
	Kind      string `json:"kind"`
	Dimension string `json:"dimension"`
	Value     string `json:"value"`             // what was used; of unused the entry
	Verdict   string `json:"verdict,omitempty"` // of undeclared: deny or needs_approval
	Rule      string `json:"rule,omitempty"`    // … and the entry that says so, or default
	AgentDays int64  `json:"agent_days"`
	First     string `json:"first_day,omitempty"` // of unused: since when the record goes without it
	Last      string `json:"last_day,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

// Kinds of differences, the worst first.
const (
	Undeclared = "undeclared"
	Unused     = "unused"
	Rare       = "rare"
)

// Compare says where a declared persona and what was seen part. Seen on fewer agent-days than least
// is rare.
func (p *Persona) Compare(u *Usage, least int64) []Difference {
	var out []Difference
	for d := range dimensions {
		if !u.Watched[d] {
			continue
		}
		used := map[string]bool{}
		for i := range u.Of[d] {
			s := &u.Of[d][i]
			r := p.allows(d, s)
			used[r.Rule] = true
			x := Difference{Dimension: d.String(), Value: s.Value, AgentDays: s.AgentDays, First: dateOf(s.First),
				Last: dateOf(s.Last)}
			switch {
			case r.Verdict != Allow:
				x.Kind, x.Verdict, x.Rule = Undeclared, r.Verdict.String(), r.Rule
				if r.Verdict == NeedsApproval && r.Rule != byDefault {
					// it is declared, with an approval: whether there was one is for the engine to
					// say
					continue
				}
			case s.AgentDays < least && p.used&(1<<d) != 0:
				x.Kind, x.Rule = Rare, r.Rule
			default:
				continue
			}
			if x.Rule != "" && x.Rule != byDefault {
				x.File, x.Line = p.placeOf(d, x.Rule)
			}
			out = append(out, x)
		}
		for _, e := range p.Lists[d].Allow {
			if used[e] || u.Hidden[d] || d == Destinations && (e == external || e == internal) ||
				slices.ContainsFunc(u.Of[d], func(s Seen) bool { return names(d, e, s.Value) }) {
				continue
			}
			x := Difference{Kind: Unused, Dimension: d.String(), Value: e, First: dateOf(u.First)}
			x.File, x.Line = p.placeOf(d, e)
			out = append(out, x)
		}
	}
	order := []string{Undeclared, Unused, Rare}
	slices.SortStableFunc(out, func(a, b Difference) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	return out
}

// allows is what the persona says of a value that was seen: the worst of it, where the gateway said
// now this and now that of a destination.
func (p *Persona) allows(d Dimension, s *Seen) Ruling {
	if d != Destinations {
		if p.used&(1<<d) == 0 {
			return Ruling{Allow, byDefault}
		}
		return p.ruling(d, s.Value)
	}
	if p.used&(1<<d) == 0 {
		return Ruling{Allow, byDefault}
	}
	worst := Ruling{Allow, ""}
	for _, ext := range []event.Tri{event.Unknown, event.No, event.Yes} {
		if s.External&(1<<ext) == 0 && !(s.External == 0 && ext == event.Unknown) {
			continue
		}
		v := s.Value
		if v == external || v == internal || v == "*" { // nobody could read where it went
			v = ""
		}
		if r := p.goesTo(v, ext); worst.Rule == "" || r.Verdict > worst.Verdict {
			worst = r
		}
	}
	return worst
}

// names tells whether an entry of a dimension names a value.
func names(d Dimension, e, value string) bool {
	if dimensionDefs[d].fold {
		e = event.Lower(e)
	}
	g := glob.Compile(e)
	return g.Match(value)
}

// placeOf is where an entry of a dimension was written.
func (p *Persona) placeOf(d Dimension, e string) (file string, line int) {
	l := p.Lists[d]
	for _, n := range (&listsDef{l.Allow, l.Deny, l.Needs}).named() {
		if i := slices.Index(*n.list, e); i >= 0 {
			return p.Place(at(dimensionDefs[d].path+"."+n.key, i))
		}
	}
	if d == Tools {
		return p.namedAt(e)
	}
	return "", 0
}
