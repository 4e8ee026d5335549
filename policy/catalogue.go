package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Catalogue says what calls are: what operators wrote in tools/*.yaml, and for the rest what names
// of tools and arguments tell by themselves. What neither tells stays unknown.
type Catalogue struct {
	plain    map[name][]*entryOfTool
	patterns map[string][]patternOfTool // by tenant, most telling first
	n        int                        // entries
}

// Tool is what the catalogue makes of the calls of one tool. It learns the names of the tool's
// arguments as it sees them, so it belongs to one goroutine; what it makes of a call does not
// depend on what it saw before.
type Tool struct {
	Name, Server string
	// Named is the class that the tool's name alone says, if it says one plainly: what a
	// declaration may contradict.
	Named event.Class
	// Verb is the word of the name that says so.
	Verb string

	class      event.Class // declared, of the catalogue, or inferred
	effect     event.SideEffect
	entry      toolDef           // what the entries of the catalogue say together
	from       map[string]string // which of them, by the path of the field; and where the rest comes from
	reading    reading
	noun       string   // what is acted on: the type of the resource
	labels     []string // of the catalogue; or
	labelBits  labelBits
	external   event.Tri
	currency   string
	changeable bool // the arguments may say another class
	database   bool // its arguments may be SQL under a common name
	shells     bool // they may be command lines
	want       want // parts that the arguments may hold
	args       arg  // its kids are the arguments
	dull       arg  // stands for arguments whose names say nothing
	learned    int
	as         map[event.Class]*Tool // what it is where its arguments say another class
}

// Tool compiles what is known of the event's tool: what the producer declares, else the catalogue's
// entries, the most telling first, each filling in what those before it leave open, else its hints
// and its name. A plain name goes before a pattern, then the tenant's own entry before one for
// every tenant, then the pattern with more characters that are not wild, then an entry with servers
// before one without. An entry may name the tool with its server (mcp__server__tool), too.
func (c *Catalogue) Tool(tenant string, t *event.Tool) *Tool {
	own := *t
	own.Normalise()
	t = &own
	x := &Tool{Name: t.Name, Server: t.Server, from: map[string]string{}}
	c.merge(x, tenant, t)
	words := phraseOf(clip(t.Name, 256), clip(t.Server, 256))
	x.reading = words.read()
	r := &x.reading
	if r.firm {
		x.Named, x.Verb = r.class, r.verb
	}
	switch {
	case t.Class != event.NoClass:
		x.class, x.from["class"] = t.Class, "declared"
	case x.entry.Class != "":
		x.class, _ = event.ParseClass(x.entry.Class)
	case t.ReadOnlyHint == event.Yes && !(r.firm && r.class > event.Read):
		x.class, x.from["class"] = event.Read, "hint read_only_hint"
		x.changeable = true
	case r.class != event.NoClass:
		x.class, x.from["class"] = r.class, r.why()
		x.changeable = true
	default:
		x.changeable = true
	}
	x.finishClass()
	if x.labels = x.entry.Labels; x.labels == nil {
		if x.labelBits = labelsOf(r.nouns); x.labelBits != 0 {
			x.from["labels"] = "nouns of the name"
		}
	}
	if ext := x.entry.Destination.External; ext != nil {
		x.external = event.No
		if *ext {
			x.external = event.Yes
		}
	}
	server := splitWords(clip(t.Server, 256), maxWords)
	for _, segment := range append(words.segments, server) {
		x.database = x.database || slices.ContainsFunc(segment, func(w string) bool { return databases[w] })
		x.shells = x.shells || slices.ContainsFunc(segment, func(w string) bool { return shellWords[w] })
	}
	x.shells = x.shells || x.class == event.Exec && !x.database
	x.database = x.database || (r.class == event.Exec || r.class == event.Read) && r.head() == "query" &&
		r.verb != "search"
	x.want = wantResource | wantSubject | wantDestination | wantAmount | wantEnvironment
	if x.changeable {
		x.want |= wantOperation
	}
	if x.labels == nil {
		x.want |= wantLabels
	}
	x.enter()
	return x
}

// finishClass works out what follows from the class.
func (x *Tool) finishClass() {
	r := &x.reading
	switch {
	case x.entry.SideEffect != "":
		x.effect, _ = event.ParseSideEffect(x.entry.SideEffect)
	case x.class == r.class:
		if x.effect = r.effect; x.effect != effects[x.class] {
			x.from["side_effect"] = r.why()
		}
	default:
		x.effect = effects[x.class]
	}
	if x.noun = x.entry.Resource.Type; x.noun == "" {
		switch x.class {
		case event.Read, event.Write, event.Delete, event.Approve, event.Grant:
			// Without a verb any word could be a noun: only those count that are known as one.
			if x.noun = r.head(); x.noun != "" && r.verb == "" && !things[x.noun] && !persons[x.noun] {
				x.noun = ""
			}
			if x.noun != "" {
				x.from["resource.type"] = "noun " + quote(x.noun) + " in the name"
			}
		}
	}
}

// of is the tool where the arguments of a call say another class: other arguments then say where it
// goes.
func (t *Tool) of(c event.Class) *Tool {
	if c == t.class {
		return t
	}
	if x := t.as[c]; x != nil {
		return x
	}
	x := *t
	x.from = maps.Clone(t.from)
	x.class, x.changeable, x.as, x.learned = c, false, nil, 0
	x.want &^= wantOperation
	x.args, x.dull = arg{}, arg{}
	x.finishClass()
	x.enter()
	if t.as == nil {
		t.as = map[event.Class]*Tool{}
	}
	t.as[c] = &x
	return &x
}

var (
	databases = nounsOf(`sql database databases db table tables warehouse lakehouse postgres postgresql pg psql mysql mariadb mssql sqlserver sqlite duckdb clickhouse cockroach
		oracle db2 presto trino hive spark databricks snowflake bigquery redshift athena`)
	// shellWords are words of tools that run command lines.
	shellWords = nounsOf(
		`shell bash sh zsh terminal console exec execute command commands cmd powershell pwsh ssh repl sandbox interpreter`)
)

// merge gathers what the entries that fit the tool say.
func (c *Catalogue) merge(x *Tool, tenant string, t *event.Tool) {
	d := &x.entry
	for _, e := range c.entries(tenant, t) {
		where := e.where.String()
		take := func(field string, have *string, says string) {
			if *have == "" && says != "" {
				*have, x.from[field] = says, where
			}
		}
		take("class", &d.Class, e.Class)
		take("side_effect", &d.SideEffect, e.SideEffect)
		take("resource.type", &d.Resource.Type, e.Resource.Type)
		take("resource.id", &d.Resource.ID, e.Resource.ID)
		take("resource.environment", &d.Resource.Environment, e.Resource.Environment)
		take("subject", &d.Subject, e.Subject)
		take("destination.kind", &d.Destination.Kind, e.Destination.Kind)
		take("destination.value", &d.Destination.Value, e.Destination.Value)
		take("amount.value", &d.Amount.Value, e.Amount.Value)
		take("amount.currency", &d.Amount.Currency, e.Amount.Currency)
		if d.Destination.External == nil && e.Destination.External != nil {
			d.Destination.External, x.from["destination.external"] = e.Destination.External, where
		}
		if d.Labels == nil && e.Labels != nil {
			d.Labels, x.from["labels"] = e.Labels, where
		}
		d.Ignore = append(d.Ignore, e.Ignore...)
	}
}

// entries are those that fit a tool, most telling first.
func (c *Catalogue) entries(tenant string, t *event.Tool) []*entryOfTool {
	full := string(t.AppendFull(nil))
	var out []*entryOfTool
	add := func(e *entryOfTool) {
		if e.servers.Passes(t.Server) && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	owners := []string{tenant, ""}
	if tenant == "" {
		owners = owners[1:]
	}
	for _, o := range owners {
		for _, e := range c.plain[name{o, full}] {
			add(e)
		}
		for _, e := range c.plain[name{o, t.Name}] {
			add(e)
		}
	}
	for _, o := range owners {
		for i := range c.patterns[o] {
			if p := &c.patterns[o][i]; p.Match(t.Name) || (t.Sent != "" || event.NamesServer(p.pattern)) &&
				p.Match(full) {
				add(p.entryOfTool)
			}
		}
	}
	return out
}

// given is the score of an argument that the catalogue names: no guess comes near.
const given = 100

// enter marks the arguments that the catalogue names.
func (t *Tool) enter() {
	t.args.index, t.args.dull = -1, true
	t.dull = arg{up: &t.args, key: dullKey, index: -1, idle: true, dull: true, words: []string{dullKey}}
	for _, p := range t.entry.Ignore {
		a := t.insert(p)
		a.role, a.idle, a.fixed = role{}, true, true
	}
	at := func(path string, part func(*role)) {
		if path != "" {
			a := t.insert(path)
			part(&a.role)
			a.idle = false
		}
	}
	at(t.entry.Resource.ID, func(r *role) { r.resource, r.kind = given, t.noun })
	at(t.entry.Subject, func(r *role) { r.subject = given })
	at(t.entry.Destination.Value, func(r *role) { r.destination, r.needs, r.target = given, 0, "" })
	at(t.entry.Amount.Value, func(r *role) { r.amount = given })
	if c := t.entry.Amount.Currency; isCurrency(c) {
		t.currency = c
	} else {
		at(c, func(r *role) { r.currency = given })
	}
}

// meaning says what part an argument plays, given the words of its name and how many are its own.
// Where the catalogue names the argument, no other plays the part.
func (t *Tool) meaning(words []string, own int) role {
	r := classifyArg(words, own, t.class, &t.reading, t)
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
// destination, amount, labels, side effect. What it cannot tell stays unknown. The texts live until
// the Scratch is reset and as long as the event's own.
func (t *Tool) Complete(e *event.Event, x *Scratch) {
	var ask want
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
		x.named(d)
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
	if e.Resource.Type == "" && t.noun != "" {
		e.Resource.Type = t.noun
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

// named fills in the host that a declared destination names, in one spelling.
func (x *Scratch) named(d *event.Destination) {
	switch {
	case d.Domain != "":
		if h := hostPort(d.Domain); h != "" {
			d.Domain = x.lowered(h)
		}
	case strings.EqualFold(d.Kind, "url") && !isMailto(d.Value):
		d.Domain = x.lowered(hostOf(d.Value))
	case strings.EqualFold(d.Kind, "host"):
		d.Domain = x.lowered(hostPort(d.Value))
	}
}

// lowered is a host in lower case.
func (x *Scratch) lowered(s string) string {
	if !hasUpper(s) {
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

// fill takes out of the arguments what is asked for. It returns the tool as what the arguments make
// of it.
func (t *Tool) fill(e *event.Event, x *Scratch, ask want) (*Tool, labelBits) {
	k := look{t: t, p: e.Args, x: x, left: maxWork, want: ask}
	k.read()
	acts := &k.acts
	if c := t.decide(acts); ask&wantOperation != 0 && c != t.class {
		e.Tool.Class = c
		e.Inferred |= event.InferredClass
		short, said := k.short, k.acts
		t = t.of(c)
		k = look{t: t, p: e.Args, x: x, left: maxWork, want: ask &^ wantOperation, short: short, acts: said}
		k.read()
		acts = &k.acts
	}
	if k.short {
		e.Inferred |= event.ArgsIncomplete
	}
	var reached []string
	if s := acts.shell; s != nil {
		reached = s.reached
		k.labels |= s.labels
		if k.more = k.more || s.more; k.resource.score == 0 && ask&wantResource != 0 && len(s.paths) > 0 &&
			(e.Resource.Type == "" || e.Resource.Type == "file") {
			if id := s.paths[0]; len(id) <= maxValue {
				e.Resource.ID, e.Resource.Type = k.masked(id), "file"
				e.Inferred |= event.InferredResource
			}
		}
	}
	if k.resource.score > 0 && k.fits(e.Resource.Type) {
		if id := k.id(k.resource.span); id != "" {
			e.Resource.ID = id
			if e.Resource.Type == "" {
				e.Resource.Type = k.resource.arg.kind
			}
			e.Inferred |= event.InferredResource
		}
	}
	if k.env.score > 0 {
		if s := k.text(k.env.span); len(s) <= maxKey && environment[s] {
			e.Resource.Environment = s
			e.Inferred |= event.InferredResource
		}
	}
	if k.subject.score > 0 {
		if id := k.id(k.subject.span); id != "" {
			e.Subject = id
			e.Inferred |= event.InferredSubject
		}
	}
	if ask&wantDestination != 0 && (k.targets > 0 || len(reached) > 0 || k.short) {
		k.destination(&e.Destination, reached)
		e.Inferred |= event.InferredDestination
	}
	if k.amount.score > 0 && ask&wantAmount != 0 {
		if a, others, ok := k.money(); ok {
			e.Amount, e.OtherAmounts = a, others
			e.Has |= event.HasAmount
			e.Inferred |= event.InferredAmount
		}
	}
	return t, k.labels
}

// fits tells whether the resource found is of the type that the producer declared.
func (k *look) fits(declared string) bool {
	return declared == "" || k.resource.score >= 8 || k.resource.arg.kind == declared
}

// id is a value as an identifier; "" if it is too long or more than one line. A card number is
// shown as cards may be shown.
func (k *look) id(s span) string {
	if s.to-s.from > 6*maxValue {
		return ""
	}
	v := k.text(s)
	if len(v) > maxValue {
		return ""
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] == 0x7f {
			return ""
		}
	}
	return k.masked(v)
}

func (k *look) masked(v string) string {
	if len(v) >= 13 && isCard(v) {
		return alias(k.x.keep(maskCard(k.x.room(len(v)), v)))
	}
	return v
}

// more stands at the end of a list of receivers that goes on, moreURLs at that of a list of URLs.
// They are no address, so no list of domains lets them pass.
const (
	more     = ",…@…"
	moreURLs = " mailto:…@…"
)

// destination says where the call goes; reached is what its command lines name.
func (k *look) destination(d *event.Destination, reached []string) {
	k.more = k.more || k.short
	if k.targets == 0 && len(reached) == 0 { // where it goes may stand in what was not read
		*d = event.Destination{Value: more[1:], External: d.External}
		return
	}
	v, shape, target := "", urlShape, ""
	if k.targets > 0 {
		v, target = k.text(k.to.span), k.to.arg.target
		if at := plainEmail(v); at > 0 && k.targets == 1 && len(reached) == 0 && len(v) <= event.MaxString && !k.more {
			// most are
			*d = event.Destination{Kind: cmp.Or(k.t.entry.Destination.Kind, "email"), Value: v,
				Domain: k.x.lowered(v[at+1:]), External: d.External}
			return
		}
		shape = k.shape(k.to.arg, v)
	}
	switch {
	case k.targets == 1 && len(reached) == 0 && !k.more && len(v) > event.MaxString &&
		(shape == urlShape || event.IsURL(v)):
		// what was cut off is no part of the host, or there would be none
		v, shape = clip(v, event.MaxString), urlShape
	case k.targets+len(reached) > 1 || k.targets == 0 || k.more || len(v) > event.MaxString:
		v, shape = k.list(v, shape, reached)
	}
	switch {
	case k.t.entry.Destination.Kind != "":
		d.Kind = k.t.entry.Destination.Kind
	case shape == emailShape, shape == urlShape, shape == ibanShape, shape == cardShape, shape == hostShape,
		shape == phoneShape, shape == channelShape:
		d.Kind = shapeKinds[shape]
	default:
		d.Kind = target
	}
	d.Value = v
	switch shape {
	case emailShape:
		if strings.IndexAny(v, ",;") < 0 {
			d.Domain = k.x.lowered(domainOf(strings.TrimPrefix(v, "mailto:")))
		}
	case urlShape:
		if d.Domain = k.x.lowered(hostOf(v)); isMailto(v) {
			d.Domain = ""
		}
	case hostShape:
		d.Domain = k.x.lowered(hostPort(v))
	case ibanShape:
		d.Value = k.plainIBAN(v)
	case cardShape:
		d.Value = k.masked(v)
	}
}

// list joins several receivers: addresses with commas, as lists of them are written; URLs, hosts
// and both together with blanks, as nextURL reads them. Of what does not fit one receiver of each
// domain is kept, and what is not is not forgotten: more stands for it.
func (k *look) list(first string, shape valueShape, reached []string) (string, valueShape) {
	// Texts are taken out first: they would land in the room of the list.
	var texts [maxTargets]string
	n := k.targets
	emails, urls := len(reached) == 0, true
	for i := range n {
		if i == 0 {
			texts[0] = first
		} else {
			texts[i] = k.text(k.x.targets[i])
		}
		switch k.shape(k.to.arg, clip(texts[i], event.MaxString)) {
		case emailShape:
		case urlShape, hostShape:
			emails = false
		default:
			if isEmail(texts[i]) { // longer than one text may be
				break
			}
			emails, urls = false, false
		}
	}
	if len(reached) > 0 {
		urls = true
	}
	sep, mark := byte(','), more
	if urls && !emails {
		sep, mark = ' ', moreURLs
	}
	b := k.x.room(event.MaxString)
	most := event.MaxString - len(mark)
	whole, distinct := !k.more, false
	var seen [64]uint64
	marks := 0
	add := func(v string) {
		if distinct {
			m := domainMark(v)
			if slices.Contains(seen[:marks], m) {
				return
			}
			if marks < len(seen) {
				seen[marks] = m
				marks++
			}
		}
		if len(b) > 0 && len(b) < most {
			b = append(b, sep)
		}
		if sep == ' ' {
			b = appendURL(b, v, k.shapeIn(v), most)
			whole = whole && len(b) <= most
			return
		}
		if shapeOf(v) == cardShape {
			v = "card" // of several none is shown
		}
		fit := clip(v, max(0, most-len(b)))
		whole = whole && len(fit) == len(v)
		b = append(b, fit...)
	}
	all := func() {
		for _, v := range texts[:n] {
			if distinct && emails {
				for part := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ';' }) {
					if strings.IndexByte(part, '@') >= 0 {
						add(strings.TrimSpace(part))
					}
				}
				continue
			}
			add(v)
		}
		for _, v := range reached {
			add(v)
		}
	}
	if all(); !whole && sep == ',' && emails || !whole && sep == ' ' {
		b, distinct = b[:0], true
		all()
		whole = false
	}
	if len(b) > most {
		b = append(b[:0], clip(alias(b), most)...)
	}
	if !whole {
		b = append(b, mark...)
	}
	switch {
	case emails:
		shape = emailShape
	case urls:
		shape = urlShape
	default:
		shape = anyShape // only of addresses is a list a list; of others no one host could be named
	}
	return alias(k.x.keep(b)), shape
}

// shapeIn is the shape of a text of a list of URLs: of an argument, or of what a command line
// names.
func (k *look) shapeIn(v string) valueShape {
	if s := shapeOf(v); s == emailShape {
		return s
	}
	return reach(v, true)
}

// appendURL writes a receiver so that a list can hold it: without blanks, and with what tells it
// from the one before.
func appendURL(b []byte, v string, shape valueShape, most int) []byte {
	v = strings.TrimSpace(v)
	switch {
	case shape == emailShape && !isMailto(v):
		b = append(b, "mailto:"...)
	case shape != emailShape && !event.IsURL(v):
		b = append(b, "//"...)
	}
	for i := 0; i < len(v) && len(b) <= most; i++ {
		switch c := v[i]; {
		case c == ' ' && shape != emailShape:
			b = append(b, "%20"...)
		case c < ' ', c == ' ':
		default:
			b = append(b, c)
		}
	}
	return b
}

// plainIBAN is an IBAN without spaces, in capitals: however it is written, it is one beneficiary.
func (k *look) plainIBAN(v string) string {
	b := k.x.room(len(v))
	for i := range len(v) {
		if c := v[i]; isLower(c) {
			b = append(b, c-'a'+'A')
		} else if c != ' ' {
			b = append(b, c)
		}
	}
	if len(b) == len(v) && string(b) == v {
		return v
	}
	return alias(k.x.keep(b))
}

// entryOfTool is one entry of tools/*.yaml.
type entryOfTool struct {
	toolDef
	servers *glob.List
	where   place
}

type patternOfTool struct {
	glob.Pattern
	pattern string
	*entryOfTool
}

// toolDef is an entry as it is written, in YAML and in the canonical JSON alike.
type toolDef struct {
	Names       []string       `json:"names,omitempty"`
	Servers     []string       `json:"servers,omitempty"`
	Tenant      string         `json:"tenant,omitempty"`
	Class       string         `json:"class,omitempty"`
	SideEffect  string         `json:"side_effect,omitempty"`
	Resource    resourceDef    `json:"resource,omitzero"`
	Subject     string         `json:"subject,omitempty"` // argument path
	Destination destinationDef `json:"destination,omitzero"`
	Amount      amountDef      `json:"amount,omitzero"`
	Labels      []string       `json:"labels,omitzero"`
	Ignore      []string       `json:"ignore,omitempty"` // argument paths
}

type resourceDef struct {
	Type        string `json:"type,omitempty"`
	ID          string `json:"id,omitempty"` // argument path
	Environment string `json:"environment,omitempty"`
}

type destinationDef struct {
	Kind     string `json:"kind,omitempty"`
	Value    string `json:"value,omitempty"` // argument path
	External *bool  `json:"external,omitempty"`
}

type amountDef struct {
	Value    string `json:"value,omitempty"`    // argument path
	Currency string `json:"currency,omitempty"` // three capitals, or an argument path
}

func (c *collector) loadTools(files []*file) {
	type doc struct {
		Tools []toolDef `json:"tools"`
	}
	each(c, files, func(d *doc, src *source) {
		for i, t := range d.Tools {
			c.tool(t, src, at("tools", i))
		}
	})
}

func (c *collector) tool(d toolDef, src *source, path string) {
	c.use(src)
	bad := src.reporter(path)
	if len(d.Names) == 0 {
		if len(d.Servers) == 0 {
			bad("names", `an entry needs names; list the tools that it is about, or servers for all tools of a server`)
			return
		}
		d.Names = []string{"*"}
	}
	checkEntries(bad, "names", d.Names)
	checkEntries(bad, "servers", d.Servers)
	checkTenant(bad, "tenant", d.Tenant)
	if d.Class != "" {
		if _, ok := event.ParseClass(d.Class); !ok {
			bad("class", "unknown class %s; %s", quote(d.Class), choose(d.Class, event.Classes()))
		}
	}
	if d.SideEffect != "" {
		if _, ok := event.ParseSideEffect(d.SideEffect); !ok {
			bad("side_effect", "unknown side effect %s; %s", quote(d.SideEffect),
				choose(d.SideEffect, event.SideEffects()))
		}
	}
	for _, w := range []struct{ path, text, whose string }{
		{"resource.type", d.Resource.Type, "a type"}, {"resource.environment", d.Resource.Environment,
			"an environment"}, {"destination.kind", d.Destination.Kind, "a kind"},
	} {
		if w.text != "" {
			checkName(bad, w.path, w.whose, w.text)
		}
	}
	currency := d.Amount.Currency
	if isCurrency(currency) {
		currency = ""
	}
	if d.Amount.Currency != "" && d.Amount.Value == "" {
		bad("amount",
			"there is a currency but no value; add value: with the path of the argument that holds the amount")
	}
	for _, p := range []struct{ path, arg string }{
		{"resource.id", d.Resource.ID}, {"subject", d.Subject}, {"destination.value", d.Destination.Value},
		{"amount.value", d.Amount.Value}, {"amount.currency", currency},
	} {
		checkArgument(bad, p.path, p.arg)
	}
	for i, p := range d.Ignore {
		checkArgument(bad, at("ignore", i), p)
	}
	if len(d.Labels) > event.MaxLabels {
		bad("labels", "%d labels; an event carries at most %d", len(d.Labels), event.MaxLabels)
	}
	for i, l := range d.Labels {
		checkName(bad, at("labels", i), "a label", l)
	}
	d.Names, d.Servers, d.Labels, d.Ignore = sorted(d.Names), sorted(d.Servers), sorted(d.Labels), sorted(d.Ignore)
	e := &entryOfTool{toolDef: d, servers: glob.NewList(d.Servers, false), where: src.place(path)}
	for _, n := range d.Names {
		key := [4]string{"tool", d.Tenant, n, strings.Join(d.Servers, "\x00")}
		if first, dup := c.places[key]; dup {
			bad("names", "tool %s %s is already at %s; make one entry of them, or tell them apart by servers", quote(n),
				ofTenant(d.Tenant), first)
			return
		}
		c.places[key] = src.place(path)
	}
	c.tools = append(c.tools, e)
}

func checkArgument(bad report, path, arg string) {
	if arg == "" {
		return
	}
	if what := checkPath(arg); what != "" {
		bad(path, "argument path %s %s; write names with dots between them, as in order.items[0].id", quote(arg), what)
	}
}

// newCatalogue orders the entries, so that nothing depends on the order of files, and compiles
// them.
func newCatalogue(entries []*entryOfTool) ([]toolDef, *Catalogue) {
	c := &Catalogue{plain: map[name][]*entryOfTool{}, patterns: map[string][]patternOfTool{}, n: len(entries)}
	texts := map[*entryOfTool]string{}
	for _, e := range entries {
		texts[e] = string(canonical(e.toolDef))
	}
	slices.SortFunc(entries, func(a, b *entryOfTool) int { return strings.Compare(texts[a], texts[b]) })
	var defs []toolDef
	for _, e := range entries {
		defs = append(defs, e.toolDef)
		for _, n := range e.Names {
			if glob.Is(n) {
				c.patterns[e.Tenant] = append(c.patterns[e.Tenant], patternOfTool{glob.Compile(n), n, e})
			} else {
				c.plain[name{e.Tenant, n}] = append(c.plain[name{e.Tenant, n}], e)
			}
		}
	}
	servers := func(e *entryOfTool) int {
		if e.servers == nil {
			return 1
		}
		return 0
	}
	for _, list := range c.plain {
		slices.SortStableFunc(list, func(a, b *entryOfTool) int { return servers(a) - servers(b) })
	}
	for _, list := range c.patterns {
		slices.SortStableFunc(list, func(a, b patternOfTool) int {
			return cmp.Or(tame(b.pattern)-tame(a.pattern), servers(a.entryOfTool)-servers(b.entryOfTool),
				strings.Compare(a.pattern, b.pattern))
		})
	}
	return defs, c
}

// Evidence is why a field of a call is what it is.
type Evidence struct {
	Field string `json:"field"`           // such as class or destination
	Value string `json:"value,omitempty"` // of fields that are words, never a text of the arguments
	// declared, file and line of the catalogue, or what the name or an argument tells
	From string `json:"from"`
	Path string `json:"-"` // of the argument, if one tells
}

// Explain says where each field that is known of a call comes from. The event is as the producer
// sent it, and stays so.
func (t *Tool) Explain(e *event.Event) []Evidence {
	done := *e
	var x Scratch
	t.Complete(&done, &x)
	k := look{t: t, p: e.Args, x: &x, left: maxWork, want: t.want}
	var said acts
	if len(e.Args) > 2 {
		k.read()
		said = k.acts
		if own := t.of(t.decide(&said)); own != t && e.Tool.Class == event.NoClass {
			k = look{t: own, p: e.Args, x: &x, left: maxWork, want: own.want}
			k.read()
		}
	}
	var out []Evidence
	add := func(field, value, from, path string) {
		out = append(out, Evidence{Field: field, Value: value, From: from, Path: path})
	}
	argument := func(a *arg, what string) string {
		from := "argument " + quote(a.path())
		if what != "" {
			from += ", " + what
		}
		return from
	}
	named := func(field string, c *pick, what string) (from, path string) {
		if where, ok := t.from[field]; ok && c.score == given {
			return where, c.arg.written()
		}
		return argument(c.arg, what), c.arg.written()
	}
	switch c := done.Tool.Class; {
	case c == event.NoClass:
	case done.Inferred&event.InferredClass == 0:
		add("class", c.String(), "declared", "")
	case said.arg != nil && (c != t.class || said.class == c && said.shell != nil):
		add("class", c.String(), argument(said.arg, quote(said.word)), said.arg.path())
	default:
		add("class", c.String(), t.from["class"], "")
	}
	if done.SideEffect != event.UnknownEffect {
		add("side_effect", done.SideEffect.String(), cmp.Or(t.from["side_effect"], "class "+done.Tool.Class.String()),
			"")
	}
	switch {
	case e.Resource.Type != "" || e.Resource.ID != "":
		add("resource", done.Resource.Type, "declared", "")
	case done.Resource.ID != "" && k.resource.score == 0 && said.shell != nil:
		add("resource", done.Resource.Type, argument(said.by(), "a path in it"), "")
	case done.Resource.ID != "":
		from, path := named("resource.id", &k.resource, shapeOf(k.text(k.resource.span)).String())
		add("resource", done.Resource.Type, from, path)
	case done.Resource.Type != "":
		add("resource", done.Resource.Type, t.from["resource.type"], "")
	}
	switch {
	case e.Subject != "":
		add("subject", "", "declared", "")
	case done.Subject != "":
		from, path := named("subject", &k.subject, shapeOf(k.text(k.subject.span)).String())
		add("subject", "", from, path)
	}
	switch d := &done.Destination; {
	case e.Destination != event.Destination{}:
		add("destination", d.Kind, "declared", "")
	case d.Value != "" && k.targets == 0 && said.shell != nil && len(said.shell.reached) > 0:
		add("destination", d.Kind, argument(said.by(), "a host in it"), "")
	case d.Value != "" && k.targets == 0:
		add("destination", d.Kind, "arguments that were not all read", "")
	case d.Value != "":
		from, path := named("destination.value", &k.to, k.shape(k.to.arg, k.text(k.to.span)).String())
		add("destination", d.Kind, from, path)
	}
	switch {
	case e.Has&event.HasAmount != 0:
		add("amount", done.Amount.Currency, "declared", "")
	case done.Has&event.HasAmount != 0:
		from, path := named("amount.value", &k.amount, "")
		add("amount", done.Amount.Currency, from, path)
	}
	switch {
	case e.Resource.Labels != nil:
		add("labels", strings.Join(done.Resource.Labels, " "), "declared", "")
	case done.Resource.Labels != nil:
		add("labels", strings.Join(done.Resource.Labels, " "), cmp.Or(t.from["labels"], "names of arguments"), "")
	}
	return out
}

// why says which word of the name decided.
func (r *reading) why() string {
	s := "verb " + quote(r.verb)
	if r.with != "" {
		s += " with " + quote(r.with)
	}
	return s + " in the name"
}
