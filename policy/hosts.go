package policy

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// compileHosts compiles a list of destinations. Its entries are shown as they are written.
func compileHosts(entries []string) *glob.List {
	if len(entries) == 0 {
		return nil
	}
	hosts := make([]string, len(entries))
	for i, e := range entries {
		hosts[i] = canonicalHost(e)
	}
	g := glob.NewList(hosts, true)
	g.Entries = entries
	return g
}

// canonicalHost is an entry of a list of destinations in the spelling that event.ReadHost gives
// hosts. Patterns keep their wildcards, and an entry that is no host stays as it is.
func canonicalHost(entry string) string {
	if glob.Is(entry) {
		labels := strings.Split(entry, ".")
		for i, l := range labels {
			if !glob.Is(l) && strings.ContainsFunc(l, func(r rune) bool { return r > unicode.MaxASCII }) {
				if a, err := idna.Lookup.ToASCII(l); err == nil {
					labels[i] = a
				}
			}
		}
		return strings.TrimSuffix(strings.Join(labels, "."), ".")
	}
	h := event.ReadHost(entry)
	if h.Name == "" || !strings.ContainsAny(h.Name, ".:") || !strings.ContainsAny(entry, ".:。．｡[") {
		return entry // a channel, an account
	}
	if strings.Count(entry, ":") == 1 {
		return entry // with a port
	}
	return h.Name
}
