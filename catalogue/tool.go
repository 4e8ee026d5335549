package catalogue

import (
	"maps"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Tool completes the calls of one tool. It learns the names of the tool's arguments as it sees
// them, so it belongs to one goroutine. What it makes of a call does not depend on earlier calls.
type Tool struct {
	Name, Server string
	// Named is the class of the tool's name, if the name is plain. A declared class may contradict it.
	Named event.Class
	// Verb is the word that Named comes from.
	Verb string

	class         event.Class // as declared by the event, else of the catalogue, else inferred
	effect        event.SideEffect
	entry         Definition        // what the entries of the catalogue say together
	sources       map[string]string // evidence, by the path of the field
	reading       reading
	resourceType  string   // of what the tool acts on
	labels        []string // of the catalogue; if it has none,
	labelBits     labelBits
	external      event.Tri
	currency      string
	argsMayDecide bool    // arguments may change the class
	takesSQL      bool    // arguments with common names may be SQL
	runsShell     bool    // or command lines
	want          partSet // parts that nobody declared
	args          arg     // its children are the arguments
	meaningless   arg     // stands for arguments whose names have no meaning
	learned       int
	byClass       map[event.Class]*Tool // the tool where arguments change the class
}

// Tool compiles what is known of the event's tool. What the producer declares comes first, then the
// catalogue's entries, then the hints of the tool and its name. Each fills in what those before it
// leave open.
//
// Entries are ordered: an exact name before a pattern, then the tenant's own entry before one for
// every tenant, then the pattern with more fixed characters, then an entry with servers before one
// without. An entry may also name the tool with its server (mcp__server__tool).
func (c *Catalogue) Tool(tenant string, t *event.Tool) *Tool {
	own := *t
	own.Normalise()
	t = &own
	x := &Tool{Name: t.Name, Server: t.Server, sources: map[string]string{}}
	c.merge(x, tenant, t)
	words := phraseOf(event.Clip(t.Name, 256), event.Clip(t.Server, 256))
	x.reading = words.read()
	r := &x.reading
	if r.certain {
		x.Named, x.Verb = r.class, r.verb
	}
	switch {
	case t.Class != event.NoClass:
		x.class, x.sources["class"] = t.Class, "declared"
	case x.entry.Class != "":
		x.class, _ = event.ParseClass(x.entry.Class)
	case t.ReadOnlyHint == event.Yes && !(r.certain && r.class > event.Read):
		x.class, x.sources["class"] = event.Read, "hint read_only_hint"
		x.argsMayDecide = true
	case r.class != event.NoClass:
		x.class, x.sources["class"] = r.class, r.why()
		x.argsMayDecide = true
	default:
		x.argsMayDecide = true
	}
	x.finishClass()
	if x.labels = x.entry.Labels; x.labels == nil {
		if x.labelBits = labelsOf(r.nouns); x.labelBits != 0 {
			x.sources["labels"] = "nouns of the name"
		}
	}
	if ext := x.entry.Destination.External; ext != nil {
		x.external = event.No
		if *ext {
			x.external = event.Yes
		}
	}
	server := splitWords(event.Clip(t.Server, 256), maxWords)
	for _, segment := range append(words.segments, server) {
		x.takesSQL = x.takesSQL || slices.ContainsFunc(segment, func(w string) bool { return databaseWords[w] })
		x.runsShell = x.runsShell || slices.ContainsFunc(segment, func(w string) bool { return shellWords[w] })
	}
	x.runsShell = x.runsShell || x.class == event.Exec && !x.takesSQL
	x.takesSQL = x.takesSQL || (r.class == event.Exec || r.class == event.Read) && r.head() == "query" &&
		r.verb != "search"
	x.want = wantResource | wantSubject | wantDestination | wantAmount | wantEnvironment
	if x.argsMayDecide {
		x.want |= wantOperation
	}
	if x.labels == nil {
		x.want |= wantLabels
	}
	x.markDeclared()
	return x
}

// finishClass sets the fields that depend on the class.
func (x *Tool) finishClass() {
	r := &x.reading
	switch {
	case x.entry.SideEffect != "":
		x.effect, _ = event.ParseSideEffect(x.entry.SideEffect)
	case x.class == r.class:
		if x.effect = r.effect; x.effect != effects[x.class] {
			x.sources["side_effect"] = r.why()
		}
	default:
		x.effect = effects[x.class]
	}
	if x.resourceType = x.entry.Resource.Type; x.resourceType == "" {
		switch x.class {
		case event.Read, event.Write, event.Delete, event.Approve, event.Grant:
			// Without a verb any word could be a noun, so only known nouns count.
			noun := r.head()
			if r.verb == "" && !things[noun] && !persons[noun] {
				noun = ""
			}
			if x.resourceType = noun; noun != "" {
				x.sources["resource.type"] = "noun " + event.Quote(x.resourceType) + " in the name"
			}
		}
	}
}

// withClass is the tool for calls whose arguments give it another class. Which arguments play which
// part depends on the class.
func (t *Tool) withClass(c event.Class) *Tool {
	if c == t.class {
		return t
	}
	if x := t.byClass[c]; x != nil {
		return x
	}
	x := *t
	x.sources = maps.Clone(t.sources)
	x.class, x.argsMayDecide, x.byClass, x.learned = c, false, nil, 0
	x.want &^= wantOperation
	x.args, x.meaningless = arg{}, arg{}
	x.finishClass()
	x.markDeclared()
	if t.byClass == nil {
		t.byClass = map[event.Class]*Tool{}
	}
	t.byClass[c] = &x
	return &x
}

var (
	databaseWords = nounsOf(`
		sql database databases db table tables warehouse lakehouse postgres postgresql pg psql mysql mariadb
		mssql sqlserver sqlite duckdb clickhouse cockroach oracle db2 presto trino hive spark databricks
		snowflake bigquery redshift athena`)
	// shellWords are words of tools that run command lines.
	shellWords = nounsOf(`
		shell bash sh zsh terminal console exec execute command commands cmd powershell pwsh ssh repl
		sandbox interpreter`)
)

// declaredScore is the score of an argument that the catalogue names, above that of every guess.
const declaredScore = 100

// markDeclared marks the arguments that the catalogue names.
func (t *Tool) markDeclared() {
	t.args.index, t.args.meaningless = -1, true
	t.meaningless = arg{up: &t.args, key: anyKey, index: -1, noPart: true, meaningless: true, words: []string{anyKey}}
	for _, p := range t.entry.Ignore {
		a := t.insert(p)
		a.role, a.noPart, a.ignored = role{}, true, true
	}
	at := func(path string, part func(*role)) {
		if path != "" {
			a := t.insert(path)
			part(&a.role)
			a.noPart = false
		}
	}
	at(t.entry.Resource.ID, func(r *role) { r.resource, r.kind = declaredScore, t.resourceType })
	at(t.entry.Subject, func(r *role) { r.subject = declaredScore })
	at(t.entry.Destination.Value, func(r *role) { r.destination, r.needs, r.target = declaredScore, 0, "" })
	at(t.entry.Amount.Value, func(r *role) { r.amount = declaredScore })
	if c := t.entry.Amount.Currency; IsCurrency(c) {
		t.currency = c
	} else {
		at(c, func(r *role) { r.currency = declaredScore })
	}
}

// roleOf returns the parts that an argument plays, without those for which the catalogue names an
// argument. words and own are as in partOf.
func (t *Tool) roleOf(words []string, own int) role {
	r := t.partOf(words, own)
	d := &t.entry
	if d.Resource.ID != "" {
		r.resource = 0
	}
	if d.Subject != "" {
		r.subject = 0
	}
	if d.Destination.Value != "" {
		r.destination = 0
	}
	if d.Amount.Value != "" {
		r.amount = 0
	}
	if d.Amount.Currency != "" {
		r.currency = 0
	}
	return r
}

// Complete fills in what the producer left out of a tool call: class, resource, subject,
// destination, amount, labels, side effect. What cannot be inferred stays unknown. The texts are
// valid until the Scratch is reset, and as long as the event's bytes.
func (t *Tool) Complete(e *event.Event, x *Scratch) {
	var ask partSet
	if e.Tool.Class == event.NoClass {
		if t.class != event.NoClass {
			e.Tool.Class = t.class
			e.Inferred |= event.InferredClass
		}
		ask |= wantOperation
	}
	if e.Resource.ID == "" {
		ask |= wantResource
	}
	if e.Resource.Environment == "" {
		if ask |= wantEnvironment; t.entry.Resource.Environment != "" {
			e.Resource.Environment = t.entry.Resource.Environment
			e.Inferred |= event.InferredResource
			ask &^= wantEnvironment
		}
	}
	if e.Subject == "" {
		ask |= wantSubject
	}
	d := &e.Destination
	if d.Kind == "" && d.Value == "" && d.Domain == "" {
		ask |= wantDestination
	} else {
		x.normaliseDeclared(d)
	}
	if d.External == event.Unknown && t.external != event.Unknown {
		d.External = t.external
		e.Inferred |= event.InferredDestination
	}
	if e.Has&event.HasAmount == 0 {
		ask |= wantAmount
	}
	bits := t.labelBits
	if e.Resource.Labels == nil {
		ask |= wantLabels
	}
	if ask &= t.want; ask != 0 && len(e.Args) > 2 {
		var found labelBits
		t, found = t.fill(e, x, ask)
		bits = t.labelBits | found
	}
	if e.Resource.Type == "" && t.resourceType != "" {
		e.Resource.Type = t.resourceType
		e.Inferred |= event.InferredResource
	}
	if e.Resource.Labels == nil {
		if e.Resource.Labels = t.labels; t.labels == nil {
			e.Resource.Labels = labelLists[bits]
		}
		if e.Resource.Labels != nil {
			e.Inferred |= event.InferredLabels
		}
	}
	if e.SideEffect = t.effect; e.Tool.Class != t.class {
		e.SideEffect = effects[e.Tool.Class]
	}
}

// normaliseDeclared sets the domain of a declared destination, in one spelling.
func (x *Scratch) normaliseDeclared(d *event.Destination) {
	switch {
	case d.Domain != "":
		if h := HostName(d.Domain); h != "" {
			d.Domain = x.lowered(h)
		}
	case strings.EqualFold(d.Kind, "url") && !IsMailto(d.Value):
		d.Domain = x.lowered(HostOfURL(d.Value))
	case strings.EqualFold(d.Kind, "host"):
		d.Domain = x.lowered(HostName(d.Value))
	}
}

// lowered is a host in lower case.
func (x *Scratch) lowered(s string) string {
	if !event.HasUpper(s) {
		return s
	}
	b := x.room(len(s))
	for i := range len(s) {
		c := s[i]
		if isUpper(c) {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return alias(x.keep(b))
}

// fill completes the event from its arguments. It returns the tool with the class that the
// arguments give it.
func (t *Tool) fill(e *event.Event, x *Scratch, ask partSet) (*Tool, labelBits) {
	r := argReader{t: t, p: e.Args, x: x, left: maxWork, want: ask}
	r.read()
	acts := &r.actions
	if c := t.classOfCall(acts); ask&wantOperation != 0 && c != t.class {
		e.Tool.Class = c
		e.Inferred |= event.InferredClass
		short, said := r.incomplete, r.actions
		t = t.withClass(c)
		r = argReader{t: t, p: e.Args, x: x, left: maxWork, want: ask &^ wantOperation, incomplete: short, actions: said}
		r.read()
		acts = &r.actions
	}
	if r.incomplete {
		e.Inferred |= event.ArgsIncomplete
	}
	var reached []string
	if s := acts.shell; s != nil {
		reached = s.reached
		r.labels |= s.labels
		r.moreReceivers = r.moreReceivers || s.moreReached
		if r.resource.score == 0 && ask&wantResource != 0 && len(s.paths) > 0 &&
			(e.Resource.Type == "" || e.Resource.Type == "file") {
			if id := s.paths[0]; len(id) <= maxValue {
				e.Resource.ID, e.Resource.Type = r.masked(id), "file"
				e.Inferred |= event.InferredResource
			}
		}
	}
	if r.resource.score > 0 && r.resourceFits(e.Resource.Type) {
		if id := r.id(r.resource.span); id != "" {
			e.Resource.ID = id
			if e.Resource.Type == "" {
				e.Resource.Type = r.resource.arg.kind
			}
			e.Inferred |= event.InferredResource
		}
	}
	if r.environment.score > 0 {
		if s := r.text(r.environment.span); len(s) <= maxKey && environmentNames[s] {
			e.Resource.Environment = s
			e.Inferred |= event.InferredResource
		}
	}
	if r.subject.score > 0 {
		if id := r.id(r.subject.span); id != "" {
			e.Subject = id
			e.Inferred |= event.InferredSubject
		}
	}
	if ask&wantDestination != 0 && (r.receivers > 0 || len(reached) > 0 || r.incomplete) {
		r.destination(&e.Destination, reached)
		e.Inferred |= event.InferredDestination
	}
	if r.amount.score > 0 && ask&wantAmount != 0 {
		if a, others, ok := r.amounts(); ok {
			e.Amount, e.OtherAmounts = a, others
			e.Has |= event.HasAmount
			e.Inferred |= event.InferredAmount
		}
	}
	return t, r.labels
}

// resourceFits reports whether the resource found is of the type that the producer declared.
func (r *argReader) resourceFits(declared string) bool {
	return declared == "" || r.resource.score >= 8 || r.resource.arg.kind == declared
}

// id is a value as an identifier; "" if it is too long or more than one line. A card number is
// masked.
func (r *argReader) id(s span) string {
	if s.to-s.from > 6*maxValue {
		return ""
	}
	v := r.text(s)
	if len(v) > maxValue {
		return ""
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] == 0x7f {
			return ""
		}
	}
	return r.masked(v)
}

func (r *argReader) masked(v string) string {
	if len(v) >= 13 && isCard(v) {
		return alias(r.x.keep(maskCard(r.x.room(len(v)), v)))
	}
	return v
}
