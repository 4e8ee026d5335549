package policy

import "github.com/wayward-sec/wayward/event"

// Catalogue says what calls are.
type Catalogue struct{}

// Tool is what the catalogue makes of the calls of one tool, before it looks at arguments.
type Tool struct {
	Name, Server string
}

// Tool compiles what is known of the event's tool, from its name, its server and its hints. Panels remember it.
func (c *Catalogue) Tool(tenant string, t *event.Tool) *Tool { return &Tool{t.Name, t.Server} }

// Complete fills in what the producer left out of a tool call: class, resource, subject, destination, amount, labels, side effect. What it
// cannot tell stays unknown.
func (t *Tool) Complete(e *event.Event, x *Scratch) {}

// Scratch is memory for texts taken out of arguments; they live until Reset.
type Scratch struct{}

// Reset gives the memory back.
func (x *Scratch) Reset() {}

type toolDef struct {
	Name string `json:"name"`
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
	c.tools = append(c.tools, d)
}

func newCatalogue(defs []toolDef) *Catalogue { return &Catalogue{} }
