package policy

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Catalogue says what calls are: what operators wrote in tools/*.yaml, and for the rest what names of tools and arguments tell by themselves.
// What neither tells stays unknown.
type Catalogue struct {
	plain    map[name][]*entryOfTool
	patterns map[string][]patternOfTool // by tenant, most telling first
	n        int                        // entries
}

// Tool is what the catalogue makes of the calls of one tool. It learns the names of the tool's arguments as it sees them, so it belongs to one
// goroutine; what it makes of a call does not depend on what it saw before.
type Tool struct {
	Name, Server string
	// Named is the class that the tool's name alone says, if it says one plainly: what a declaration may contradict.
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
	want       want // parts that the arguments may hold
	args       arg  // its kids are the arguments
	learned    int
}

// Tool compiles what is known of the event's tool: what the producer declares, else the catalogue's entries, the most telling first, each
// filling in what those before it leave open, else its hints and its name. A plain name goes before a pattern, then the tenant's own entry
// before one for every tenant, then the pattern with more characters that are not wild, then an entry with servers before one without.
// An entry may name the tool with its server (mcp__server__tool), too.
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
	case r.class != event.NoClass:
		x.class, x.from["class"] = r.class, r.why()
		x.changeable = r.class == event.Read || r.class == event.Exec
	default:
		x.changeable = true
	}
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
	for _, segment := range words.segments {
		x.database = x.database || slices.ContainsFunc(segment, func(w string) bool { return databases[w] })
	}
	x.want = wantResource | wantSubject | wantDestination | wantAmount | wantEnvironment
	if x.changeable {
		x.want |= wantOperation
	}
	if x.labels == nil {
		x.want |= wantLabels
	}
	x.args.index = -1
	x.enter()
	return x
}

var databases = nounsOf(`sql database databases db table tables warehouse postgres postgresql mysql sqlite snowflake bigquery redshift athena`)

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
		if e.servers.passes(t.Server) && !slices.Contains(out, e) {
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
			if p := &c.patterns[o][i]; p.match(t.Name) || (t.Sent != "" || event.NamesServer(p.pattern)) && p.match(full) {
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

// meaning says what part an argument plays, given the words of its name and how many are its own. Where the catalogue names the argument, no other plays the part.
func (t *Tool) meaning(words []string, own int) role {
	r := classifyArg(words, own, t.class, &t.reading, t.database)
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

// Complete fills in what the producer left out of a tool call: class, resource, subject, destination, amount, labels, side effect. What it
// cannot tell stays unknown. The texts live until the Scratch is reset and as long as the event's own.
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
		bits |= t.fill(e, x, ask)
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

// fill takes out of the arguments what is asked for.
func (t *Tool) fill(e *event.Event, x *Scratch, ask want) labelBits {
	k := look{t: t, p: e.Args, x: x, left: maxMembers, want: ask}
	k.read()
	if k.op.score > 0 {
		if c, _ := k.operation(); c != event.NoClass {
			e.Tool.Class = c
			e.Inferred |= event.InferredClass
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
	if k.targets > 0 {
		k.destination(&e.Destination)
		e.Inferred |= event.InferredDestination
	}
	if k.amount.score > 0 && ask&wantAmount != 0 {
		if a, ok := k.money(); ok {
			e.Amount = a
			e.Has |= event.HasAmount
			e.Inferred |= event.InferredAmount
		}
	}
	return k.labels
}

// fits tells whether the resource found is of the type that the producer declared.
func (k *look) fits(declared string) bool {
	return declared == "" || k.resource.score >= 8 || k.resource.arg.kind == declared
}

// id is a value as an identifier; "" if it is too long or more than one line. A card number is shown as cards may be shown.
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

// more stands at the end of a list of receivers that goes on. It is no address, so no list of domains lets it pass.
const more = ",…@…"

// destination says where the call goes.
func (k *look) destination(d *event.Destination) {
	v := k.text(k.to.span)
	if at := plainEmail(v); at > 0 && k.targets == 1 && len(v) <= event.MaxString && !k.more { // most are
		*d = event.Destination{Kind: cmp.Or(k.t.entry.Destination.Kind, "email"), Value: v, Domain: v[at+1:], External: d.External}
		return
	}
	shape := shapeOf(v)
	switch {
	case k.targets == 1 && !k.more && len(v) > event.MaxString && isURL(v):
		v, shape = clip(v, event.MaxString), urlShape // what was cut off is no part of the host, or there would be none
	case k.targets > 1 || k.more || len(v) > event.MaxString:
		v, shape = k.list(v, shape)
	}
	switch {
	case k.t.entry.Destination.Kind != "":
		d.Kind = k.t.entry.Destination.Kind
	case shape == emailShape, shape == urlShape, shape == ibanShape, shape == cardShape, shape == hostShape, shape == phoneShape, shape == channelShape:
		d.Kind = shapeKinds[shape]
	default:
		d.Kind = k.to.arg.target
	}
	d.Value = v
	switch shape {
	case emailShape:
		if strings.IndexAny(v, ",;") < 0 {
			d.Domain = domainOf(strings.TrimPrefix(v, "mailto:"))
		}
	case urlShape:
		d.Domain = hostOf(v)
	case hostShape:
		d.Domain = hostPort(v)
	case ibanShape:
		d.Value = k.plainIBAN(v)
	case cardShape:
		d.Value = k.masked(v)
	}
}

// list joins several receivers with commas, as lists of addresses are written. What does not fit is not forgotten: more stands for it.
func (k *look) list(first string, shape valueShape) (string, valueShape) {
	// Texts are taken out first: they would land in the room of the list.
	var texts [maxTargets]string
	texts[0] = first
	for i := 1; i < k.targets; i++ {
		texts[i] = k.text(k.x.targets[i])
	}
	b := k.x.room(event.MaxString)
	most := event.MaxString - len(more)
	whole := !k.more
	for _, v := range texts[:k.targets] {
		switch s := shapeOf(v); {
		case s == cardShape:
			v, shape = "card", anyShape // of several none is shown
		case s != shape && len(v) <= event.MaxString:
			shape = anyShape
		}
		if len(b) > 0 && len(b) < most {
			b = append(b, ',')
		}
		fit := clip(v, most-len(b))
		whole = whole && len(fit) == len(v)
		b = append(b, fit...)
	}
	if !whole {
		b = append(b, more...)
	}
	if shape != emailShape {
		shape = anyShape // only of addresses is a list a list; of URLs no one host could be named
	}
	return alias(k.x.keep(b)), shape
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

// money reads the amount, with the currency that it names itself, else that of another argument or of the catalogue.
func (k *look) money() (a event.Amount, ok bool) {
	if k.mixed {
		return a, false
	}
	a = k.sum
	if k.amount.arg.cents {
		a.Micro /= 100
	}
	if a.Currency == "" && k.currency.score > 0 {
		if c := k.text(k.currency.span); len(c) == 3 {
			if !isCurrency(c) {
				b := k.x.keep(append(k.x.room(3), c...))
				for i := range b {
					if isLower(b[i]) {
						b[i] -= 'a' - 'A'
					}
				}
				c = alias(b)
			}
			if isCurrency(c) {
				a.Currency = c
			}
		}
	}
	if a.Currency == "" {
		a.Currency = k.t.currency
	}
	return a, true
}

// operation reads a class out of an argument: of one that says what to do (action: delete, method: POST), or of SQL. Words only decide where
// the name of the tool leaves it open; SQL shows a change behind what calls itself a query.
func (k *look) operation() (c event.Class, word string) {
	v := k.text(k.op.span)
	if k.op.arg.statement {
		return statement(v)
	}
	if k.t.class != event.NoClass || len(v) > maxKey {
		return event.NoClass, ""
	}
	switch v {
	case "GET", "HEAD", "OPTIONS":
		return event.Read, v
	case "POST", "PUT", "PATCH":
		return event.Write, v
	case "DELETE":
		return event.Delete, v
	}
	words := splitWords(v, maxWords)
	if len(words) == 0 || len(words) > 4 || len(words[0]) == 0 {
		return event.NoClass, ""
	}
	return verbs[words[0]].class, words[0]
}

// entryOfTool is one entry of tools/*.yaml.
type entryOfTool struct {
	toolDef
	servers *globs
	where   place
}

type patternOfTool struct {
	glob
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
			bad("side_effect", "unknown side effect %s; %s", quote(d.SideEffect), choose(d.SideEffect, event.SideEffects()))
		}
	}
	for _, w := range []struct{ path, text, whose string }{
		{"resource.type", d.Resource.Type, "a type"}, {"resource.environment", d.Resource.Environment, "an environment"}, {"destination.kind", d.Destination.Kind, "a kind"},
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
		bad("amount", "there is a currency but no value; add value: with the path of the argument that holds the amount")
	}
	for _, p := range []struct{ path, arg string }{
		{"resource.id", d.Resource.ID}, {"subject", d.Subject}, {"destination.value", d.Destination.Value}, {"amount.value", d.Amount.Value}, {"amount.currency", currency},
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
	e := &entryOfTool{toolDef: d, servers: compileGlobs(d.Servers, false), where: src.place(path)}
	for _, n := range d.Names {
		key := [4]string{"tool", d.Tenant, n, strings.Join(d.Servers, "\x00")}
		if first, dup := c.places[key]; dup {
			bad("names", "tool %s %s is already at %s; make one entry of them, or tell them apart by servers", quote(n), ofTenant(d.Tenant), first)
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

// newCatalogue orders the entries, so that nothing depends on the order of files, and compiles them.
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
			if isGlob(n) {
				c.patterns[e.Tenant] = append(c.patterns[e.Tenant], patternOfTool{compileGlob(n), n, e})
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
			return cmp.Or(tame(b.pattern)-tame(a.pattern), servers(a.entryOfTool)-servers(b.entryOfTool), strings.Compare(a.pattern, b.pattern))
		})
	}
	return defs, c
}

// Evidence is why a field of a call is what it is.
type Evidence struct {
	Field string `json:"field"`           // such as class or destination
	Value string `json:"value,omitempty"` // of fields that are words, never a text of the arguments
	From  string `json:"from"`            // declared, file and line of the catalogue, or what the name or an argument tells
	Path  string `json:"-"`               // of the argument, if one tells
}

// Explain says where each field that is known of a call comes from. The event is as the producer sent it, and stays so.
func (t *Tool) Explain(e *event.Event) []Evidence {
	done := *e
	var x Scratch
	t.Complete(&done, &x)
	k := look{t: t, p: e.Args, x: &x, left: maxMembers, want: t.want}
	if len(e.Args) > 2 {
		k.read()
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
	case c != t.class:
		_, word := k.operation()
		add("class", c.String(), argument(k.op.arg, quote(word)), k.op.arg.path())
	default:
		add("class", c.String(), t.from["class"], "")
	}
	if done.SideEffect != event.UnknownEffect {
		add("side_effect", done.SideEffect.String(), cmp.Or(t.from["side_effect"], "class "+done.Tool.Class.String()), "")
	}
	switch {
	case e.Resource.Type != "" || e.Resource.ID != "":
		add("resource", done.Resource.Type, "declared", "")
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
	case d.Value != "":
		from, path := named("destination.value", &k.to, shapeOf(k.text(k.to.span)).String())
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
