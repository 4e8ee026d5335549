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
// sent it; Explain does not change it. It is for people, and slow.
func (t *Tool) Explain(e *event.Event) []Evidence {
	x := &explainer{tool: t, sent: e, done: *e}
	t.Complete(&x.done, &x.scratch)
	x.read(t)
	if len(e.Args) > 2 {
		x.args.read()
		x.actions = x.args.actions
		if own := t.withClass(t.classOfCall(&x.actions)); own != t && e.Tool.Class == event.NoClass {
			x.read(own)
			x.args.read()
		}
	}
	x.class()
	x.resource()
	x.subject()
	x.destination()
	x.amount()
	x.labels()
	return x.out
}

// explainer gathers the evidence of one call.
type explainer struct {
	tool    *Tool
	sent    *event.Event // as the producer sent it
	done    event.Event  // completed
	args    argReader    // with the class that the arguments give the call
	actions callActions  // that gave it this class
	scratch Scratch
	out     []Evidence
}

// read makes ready to read the arguments as those of a tool.
func (x *explainer) read(t *Tool) {
	x.args = argReader{t: t, p: x.sent.Args, x: &x.scratch, left: maxWork, want: t.want}
}

func (x *explainer) add(field, value, from, path string) {
	x.out = append(x.out, Evidence{Field: field, Value: value, From: from, Path: path})
}

// addArgument adds the evidence of an argument: that the catalogue names it at this path of a
// Definition, or what its value looks like.
func (x *explainer) addArgument(field, value, path string, c *candidate, shape string) {
	from, declared := x.tool.sources[path]
	if !declared || c.score != declaredScore {
		from = fromArgument(c.arg, shape)
	}
	x.add(field, value, from, c.arg.written())
}

func fromArgument(a *arg, what string) string {
	from := "argument " + event.Quote(a.path())
	if what != "" {
		from += ", " + what
	}
	return from
}

// class adds the evidence of the class and of the side effect, which goes with it.
func (x *explainer) class() {
	switch c, a := x.done.Tool.Class, &x.actions; {
	case c == event.NoClass:
	case x.done.Inferred&event.InferredClass == 0:
		x.add("class", c.String(), "declared", "")
	case a.arg != nil && (c != x.tool.class || a.class == c && a.shell != nil):
		x.add("class", c.String(), fromArgument(a.arg, event.Quote(a.word)), a.arg.path())
	default:
		x.add("class", c.String(), x.tool.sources["class"], "")
	}
	if x.done.SideEffect != event.UnknownEffect {
		x.add("side_effect", x.done.SideEffect.String(),
			cmp.Or(x.tool.sources["side_effect"], "class "+x.done.Tool.Class.String()), "")
	}
}

func (x *explainer) resource() {
	switch is, c := x.done.Resource, &x.args.resource; {
	case x.sent.Resource.Type != "" || x.sent.Resource.ID != "":
		x.add("resource", is.Type, "declared", "")
	case is.ID != "" && c.score == 0 && x.actions.shell != nil:
		x.add("resource", is.Type, fromArgument(x.actions.textArg(), "a path in it"), "")
	case is.ID != "":
		x.addArgument("resource", is.Type, "resource.id", c, shapeOf(x.args.text(c.span)).String())
	case is.Type != "":
		x.add("resource", is.Type, x.tool.sources["resource.type"], "")
	}
}

func (x *explainer) subject() {
	switch c := &x.args.subject; {
	case x.sent.Subject != "":
		x.add("subject", "", "declared", "")
	case x.done.Subject != "":
		x.addArgument("subject", "", "subject", c, shapeOf(x.args.text(c.span)).String())
	}
}

func (x *explainer) destination() {
	switch is, c, shell := &x.done.Destination, &x.args.receiver, x.actions.shell; {
	case x.sent.Destination != event.Destination{}:
		x.add("destination", is.Kind, "declared", "")
	case is.Value == "":
	case x.args.receivers > 0:
		x.addArgument("destination", is.Kind, "destination.value", c,
			x.args.shape(c.arg, x.args.text(c.span)).String())
	case shell != nil && len(shell.reached) > 0:
		x.add("destination", is.Kind, fromArgument(x.actions.textArg(), "a host in it"), "")
	default:
		x.add("destination", is.Kind, "arguments that were not all read", "")
	}
}

func (x *explainer) amount() {
	switch currency := x.done.Amount.Currency; {
	case x.sent.Has&event.HasAmount != 0:
		x.add("amount", currency, "declared", "")
	case x.done.Has&event.HasAmount != 0:
		x.addArgument("amount", currency, "amount.value", &x.args.amount, "")
	}
}

func (x *explainer) labels() {
	switch words := strings.Join(x.done.Resource.Labels, " "); {
	case x.sent.Resource.Labels != nil:
		x.add("labels", words, "declared", "")
	case x.done.Resource.Labels != nil:
		x.add("labels", words, cmp.Or(x.tool.sources["labels"], "names of arguments"), "")
	}
}

// why is the evidence of a name: the word that decided.
func (r *reading) why() string {
	s := "verb " + event.Quote(r.verb)
	if r.qualifier != "" {
		s += " with " + event.Quote(r.qualifier)
	}
	return s + " in the name"
}
