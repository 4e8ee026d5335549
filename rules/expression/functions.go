package expression

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
	"github.com/wayward-sec/wayward/event/spelling"
)

// function is a function that expressions may call.
type function struct {
	name  string
	usage string
	about string
	event bool                 // it looks at the event
	of    func(c *Context) any // as a Go function, for expr's checker and machine
}

var functions = []function{
	{"glob", `glob(tool.name, "crm.*")`, "whether a text fits a pattern: * is anything, ? one character", false,
		func(*Context) any { return glob.Match }},
	{"domain", `domain(destination.domain, "example.com")`,
		"whether a host, or that of a URL, is that domain or lies in it, however either is written", false,
		func(*Context) any { return inDomain }},
	{"cidr", `cidr(origin.ip, "10.0.0.0/8")`,
		"whether an IP address lies in a network, also one that is mapped, or written as one number, in octal or hexadecimal",
		false, func(*Context) any { return inNetwork }},
	{"entropy", `entropy(arg("q"))`, "bits for each character (Shannon); random text has 4 and more", false,
		func(*Context) any { return entropy }},
	{"distance", `distance(subject, user)`, "edits from one text to another (Levenshtein), at most 64", false,
		func(*Context) any { return func(a, b string) float64 { return float64(spelling.Distance(a, b)) } }},
	{"string", `string(result.records)`, "a number as people write it", false,
		func(*Context) any { return formatNumber }},
	{"arg", `arg("path")`,
		"an argument of the call as text, by its path, as in order.items[0].id; of [*] the first that says anything; empty if there is none",
		true, func(c *Context) any { return func(p string) string { return argument(c, p) } }},
	{"hash", `hash(arg("account"))`, "a hash of a text, to compare later what must not be remembered", false,
		func(*Context) any { return hashText }},
	{"identity", `identity(subject) == user`,
		"a name in the one form that users, owners, credentials, personas and approvers have: without case and blanks around it; what is compared with those fields is brought into it anyway",
		false, func(*Context) any { return event.Identity }},
	{"number", `number(arg("limit"))`, "a text as a number; 0 if it is none", false,
		func(*Context) any { return ParseNumber }},
	{"baseline.seen", `baseline.seen("destination")`,
		"whether the persona's baseline knows the event's tool, server, destination, domain, resource or user; true while nothing is known",
		true, func(c *Context) any { return func(w string) bool { return seen(c, w) } }},
	{"baseline.quantile", `baseline.quantile("records", 0.99)`,
		"how much such a call shows at most with that probability, by the baseline: records, bytes, amount, cost; infinite while nothing is known, so that nothing is more",
		true, func(c *Context) any { return func(m string, q float64) float64 { return quantile(c, m, q) } }},
	{"baseline.expected", `baseline.expected("records")`,
		"how much an agent of the persona does in an hour like this one of the week, by the baseline: events, records, bytes, amount, cost; infinite while nothing is known, so that nothing is more",
		true, func(c *Context) any { return func(m string) float64 { return expected(c, m) } }},
	{"baseline.p", `baseline.p("rarity")`,
		"the smallest p-value that a detector came to with this event: volume, sequence or rarity; 1 where nothing is odd, or nothing known",
		true, func(c *Context) any { return func(d string) float64 { return pValue(c, d) } }},
}

// Function describes a function that expressions may call.
type Function struct{ Name, Usage, About string }

// Functions are all functions of ours that expressions may call.
func Functions() []Function {
	var out []Function
	for _, f := range functions {
		out = append(out, Function{f.name, f.usage, f.about})
	}
	return out
}

// Builtins are the functions of expr that expressions may call.
func Builtins() []string { return builtins }

func seen(c *Context, word string) bool {
	return c == nil || c.Enrichment == nil || c.Enrichment.Seen(word)
}

func quantile(c *Context, measure string, q float64) float64 {
	if c == nil || c.Enrichment == nil {
		return math.Inf(1)
	}
	return c.Enrichment.Quantile(measure, q)
}

func expected(c *Context, measure string) float64 {
	if c == nil || c.Enrichment == nil {
		return math.Inf(1)
	}
	return c.Enrichment.Expected(measure)
}

func pValue(c *Context, detector string) float64 {
	if c == nil || c.Enrichment == nil {
		return 1
	}
	return c.Enrichment.P(detector)
}

// hashText is 64 bits of a text, in hex.
func hashText(s string) string {
	if s == "" {
		return ""
	}
	return strconv.FormatUint(xxhash.Sum64String(s), 16)
}

// inDomain compares hosts as clients read them, however they are written. What readers of URLs
// could disagree on lies in no domain.
func inDomain(host, domain string) bool { return below(host, hostName(domain)) }

func hostName(s string) string {
	if h := event.ReadURL(s); h.Sure {
		return h.Name
	}
	return ""
}

func below(host, domain string) bool {
	host = hostName(host)
	if len(host) < len(domain) || domain == "" || !strings.EqualFold(host[len(host)-len(domain):], domain) {
		return false
	}
	return len(host) == len(domain) || host[len(host)-len(domain)-1] == '.'
}

func inNetwork(ip, network string) bool {
	p, err := netip.ParsePrefix(network)
	return err == nil && within(ip, unmapped(p))
}

// unmapped is a network of IPv4 addresses that were written as mapped into IPv6.
func unmapped(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p
}

func within(ip string, p netip.Prefix) bool {
	a := event.ReadAddress(ip)
	return a.IsValid() && (p.Contains(a) || p.Contains(event.Embedded(a)))
}

// entropy is Shannon's, in bits for each byte.
func entropy(s string) float64 {
	if s == "" {
		return 0
	}
	var n [256]int
	for i := range len(s) {
		n[s[i]]++
	}
	h := 0.0
	for _, k := range n {
		if k > 0 {
			p := float64(k) / float64(len(s))
			h -= p * math.Log2(p)
		}
	}
	return h
}

// ParseNumber reads a number as JSON and people write it, with an exponent too, so that 1e6 does not
// pass a limit; 0: it is none. What is too large is the largest.
func ParseNumber(s string) float64 {
	s = strings.TrimSpace(s)
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0 // neither hexadecimal nor NaN
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return max(-math.MaxFloat64, min(n, math.MaxFloat64))
}
