package event

import "strings"

// mcpPrefix begins the names that MCP clients give to the tools of servers: mcp__server__tool.
const mcpPrefix = "mcp__"

// SplitTool takes the server off a name that an MCP client made: mcp__crm__delete_user is
// delete_user of crm. ok is false, and bare the whole name, if it is no such name.
func SplitTool(name string) (server, bare string, ok bool) {
	rest, found := strings.CutPrefix(name, mcpPrefix)
	if !found {
		return "", name, false
	}
	server, bare, ok = strings.Cut(rest, "__")
	if !ok || server == "" || bare == "" {
		return "", name, false
	}
	return server, bare, true
}

// Normalise takes the prefix off the tool's name. It is done here, where an event begins, so that
// lists, limits, rules, inventory and baselines see one tool whichever client named it.
func (t *Tool) Normalise() {
	if server, bare, ok := SplitTool(t.Name); ok {
		t.Sent, t.Name = t.Name, bare
		if t.Server == "" {
			t.Server = server
		}
	}
}

// AppendFull appends the name of a tool with its server, as an MCP client writes it: the name as
// sent if that had the server in it; the plain name if no server is known.
func (t *Tool) AppendFull(dst []byte) []byte {
	switch {
	case t.Sent != "":
		return append(dst, t.Sent...)
	case t.Server == "":
		return append(dst, t.Name...)
	}
	return append(append(append(append(dst, mcpPrefix...), t.Server...), "__"...), t.Name...)
}

// NamesServer reports whether an entry of a policy is about the name of a tool with its server.
func NamesServer(entry string) bool { return strings.HasPrefix(entry, mcpPrefix) }
