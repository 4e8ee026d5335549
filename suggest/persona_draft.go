package suggest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
	"github.com/wayward-sec/wayward/event/localtime"
	"github.com/wayward-sec/wayward/policy"
)

// A list with more values is none that somebody keeps up to date: the dimension is left open. Of an
// open or a rare one some more values are shown.
const (
	mostListed = 200
	mostShown  = mostListed + 100
)

// ErrUnsupported says that nothing was seen often enough to be suggested.
type ErrUnsupported struct {
	Persona     string
	Least, Most int64 // agent-days asked for, and those of the tool that was seen most
}

func (e *ErrUnsupported) Error() string {
	return fmt.Sprintf(
		"persona %s: no tool was seen on %d agent-days, the most used one on %d; ask for fewer with --min-agent-days, or record for longer",
		event.Quote(e.Persona), e.Least, e.Most)
}

// DraftPersona writes a persona that may do what was seen and nothing else, as YAML that
// policy.Load reads. A comment on each line says what it rests on. What was seen on fewer
// agent-days than least is commented out, for the reader to decide. What cannot be listed is
// allowed, and a comment says so. The error is an *ErrUnsupported, or the persona's name is none
// that policies can have.
func DraftPersona(u *policy.Usage, least int64) ([]byte, error) {
	if glob.Is(u.Persona) || len(u.Persona) > policy.MaxName || !policy.Printable(u.Persona) {
		return nil, fmt.Errorf(
			"persona %s: no persona can be defined under this name; rename it where the events come from",
			event.Quote(u.Persona))
	}
	top := int64(0)
	for i := range u.Of[policy.Tools] {
		top = max(top, u.Of[policy.Tools][i].AgentDays)
	}
	if top < least || top == 0 {
		return nil, &ErrUnsupported{u.Persona, least, top}
	}
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# A draft, from %s: %s of persona %s%s from %s to %s.", oneLine(u.From), countOf(u.AgentDays, "agent-day"),
		event.Quote(u.Persona), agentsOf(u), policy.DateOf(u.First), policy.DateOf(u.Last))
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
	for d := range policy.Dimensions {
		if _, leaf, nested := strings.Cut(d.Path(), "."); nested {
			draftDimension(&resources, u, d, leaf, "      ", least)
		}
	}
	for d := range policy.Dimensions {
		if !strings.Contains(d.Path(), ".") {
			draftDimension(&b, u, d, d.Path(), "    ", least)
		} else if d == policy.ResourceTypes && resources.Len() > 0 {
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
	draftLimits(&b, u)
	return b.Bytes(), nil
}

// draftDimension writes the allow list of a dimension. path is its key below what was written
// before.
func draftDimension(b *bytes.Buffer, u *policy.Usage, d policy.Dimension, path, indent string, least int64) {
	if len(u.Of[d]) == 0 && !u.Hidden[d] {
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
	case open && (d == policy.Destinations || d == policy.Tools):
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
		if shown++; shown > mostShown {
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
		p("%s%s # %s", mark, yamlText(s.Value), support(u, s))
	}
}

// support is the comment on a line: on how many agent-days a value was seen, and when.
func support(u *policy.Usage, s *policy.Seen) string {
	out := countOf(s.AgentDays, "agent-day")
	if u.AgentDays > 0 {
		out += ", " + event.Percent(min(1, float64(s.AgentDays)/float64(u.AgentDays)))
	}
	if s.First == s.Last {
		return out + ", on " + policy.DateOf(s.First)
	}
	return out + ", " + policy.DateOf(s.First) + " to " + policy.DateOf(s.Last)
}

// draftLimits writes limits half as high again as what 1 unit in 1,000 reaches.
func draftLimits(b *bytes.Buffer, u *policy.Usage) {
	p := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	if len(u.Limits) == 0 {
		p("    # limits: nothing is known of how much they do; list it from the events, with --input")
		return
	}
	mark := "    "
	if len(u.Persona) > policy.MaxName-32 || !policy.IsID(u.Persona) || u.Tenant != "" && !policy.IsID(u.Tenant) {
		mark = "    # " // the id of a limit is made from the persona's name
	}
	p("%slimits: # half as high again as what 1 in 1,000 reached", mark)
	for _, l := range u.Limits {
		unit, window := "session", ""
		if l.WindowMS > 0 {
			unit, window = "day of an agent", ", window: "+strconv.FormatInt(l.WindowMS/localtime.DayMS, 10)+"d"
		}
		id := strings.Join([]string{"draft", u.Tenant, u.Persona, l.Scope.String(), l.Measure.String()}, "-")
		what := map[policy.Measure]string{policy.Count: "calls", policy.Records: "records"}[l.Measure]
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

// roundUp rounds up to two significant digits.
func roundUp(v int64) int64 {
	step := int64(1)
	for v/step >= 100 {
		step *= 10
	}
	return min((v+step-1)/step, math.MaxInt64/step) * step
}

func agentsOf(u *policy.Usage) string {
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

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
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
	e.Encode(s) // a text can always be written
	return strings.TrimSpace(b.String())
}
