package catalogue

import (
	"cmp"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Evidence says why a field of a call has its value.
type Evidence struct {
	Field string `json:"field"`           // such as class or destination
	Value string `json:"value,omitempty"` // of fields that are words; never a text of the arguments
	// From is "declared", a file and line of the catalogue, or the word of a name that decided.
	From string `json:"from"`
	Path string `json:"-"` // of the argument that decided, if one did
}

// Explain returns the evidence of each field that is known of a call. The event is as the producer
// sent it; Explain does not change it. It works slowly, for people.
func (t *Tool) Explain(e *event.Event) []Evidence {
	done := *e
	var x Scratch
	t.Complete(&done, &x)
	r := argReader{t: t, p: e.Args, x: &x, left: maxWork, want: t.want}
	var said callActions
	if len(e.Args) > 2 {
		r.read()
		said = r.actions
		if own := t.withClass(t.classOfCall(&said)); own != t && e.Tool.Class == event.NoClass {
			r = argReader{t: own, p: e.Args, x: &x, left: maxWork, want: own.want}
			r.read()
		}
	}
	var out []Evidence
	add := func(field, value, from, path string) {
		out = append(out, Evidence{Field: field, Value: value, From: from, Path: path})
	}
	argument := func(a *arg, what string) string {
		from := "argument " + event.Quote(a.path())
		if what != "" {
			from += ", " + what
		}
		return from
	}
	named := func(field string, c *candidate, what string) (from, path string) {
		if where, ok := t.sources[field]; ok && c.score == declaredScore {
			return where, c.arg.written()
		}
		return argument(c.arg, what), c.arg.written()
	}
	switch c := done.Tool.Class; {
	case c == event.NoClass:
	case done.Inferred&event.InferredClass == 0:
		add("class", c.String(), "declared", "")
	case said.arg != nil && (c != t.class || said.class == c && said.shell != nil):
		add("class", c.String(), argument(said.arg, event.Quote(said.word)), said.arg.path())
	default:
		add("class", c.String(), t.sources["class"], "")
	}
	if done.SideEffect != event.UnknownEffect {
		add("side_effect", done.SideEffect.String(), cmp.Or(t.sources["side_effect"], "class "+done.Tool.Class.String()),
			"")
	}
	switch {
	case e.Resource.Type != "" || e.Resource.ID != "":
		add("resource", done.Resource.Type, "declared", "")
	case done.Resource.ID != "" && r.resource.score == 0 && said.shell != nil:
		add("resource", done.Resource.Type, argument(said.textArg(), "a path in it"), "")
	case done.Resource.ID != "":
		from, path := named("resource.id", &r.resource, shapeOf(r.text(r.resource.span)).String())
		add("resource", done.Resource.Type, from, path)
	case done.Resource.Type != "":
		add("resource", done.Resource.Type, t.sources["resource.type"], "")
	}
	switch {
	case e.Subject != "":
		add("subject", "", "declared", "")
	case done.Subject != "":
		from, path := named("subject", &r.subject, shapeOf(r.text(r.subject.span)).String())
		add("subject", "", from, path)
	}
	switch d := &done.Destination; {
	case e.Destination != event.Destination{}:
		add("destination", d.Kind, "declared", "")
	case d.Value != "" && r.receivers == 0 && said.shell != nil && len(said.shell.reached) > 0:
		add("destination", d.Kind, argument(said.textArg(), "a host in it"), "")
	case d.Value != "" && r.receivers == 0:
		add("destination", d.Kind, "arguments that were not all read", "")
	case d.Value != "":
		from, path := named("destination.value", &r.receiver, r.shape(r.receiver.arg, r.text(r.receiver.span)).String())
		add("destination", d.Kind, from, path)
	}
	switch {
	case e.Has&event.HasAmount != 0:
		add("amount", done.Amount.Currency, "declared", "")
	case done.Has&event.HasAmount != 0:
		from, path := named("amount.value", &r.amount, "")
		add("amount", done.Amount.Currency, from, path)
	}
	switch {
	case e.Resource.Labels != nil:
		add("labels", strings.Join(done.Resource.Labels, " "), "declared", "")
	case done.Resource.Labels != nil:
		add("labels", strings.Join(done.Resource.Labels, " "), cmp.Or(t.sources["labels"], "names of arguments"), "")
	}
	return out
}

// why is the evidence of a name: the word that decided.
func (r *reading) why() string {
	s := "verb " + event.Quote(r.verb)
	if r.qualifier != "" {
		s += " with " + event.Quote(r.qualifier)
	}
	return s + " in the name"
}
