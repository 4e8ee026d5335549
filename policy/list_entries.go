package policy

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/catalogue"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// entryFor is an entry of a list that fits a value. Characters that an entry cannot have, or that
// are wildcards, become ?.
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

// EntryFor is an entry of a dimension's lists that fits a value.
func EntryFor(s string, d Dimension) string { return entryFor(s, dimensionDefs[d].fold) }

// DestinationEntries are the entries of a list of destinations that allow a call, one for each host
// that a persona judges. If the host is not certain, only external, internal or * allow it.
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
		if h = event.Lower(h); h == external || h == internal { // a host of that name is no such word
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
