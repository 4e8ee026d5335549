package event

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Host is what a client reaches, as far as a text shows it. It follows the URL Standard of the
// WHATWG and RFC 3986.
type Host struct {
	// Name is the host in one spelling, however it was written, but for the case of ASCII letters:
	// in Punycode, without the root's dot; an address as netip writes it, an IPv4 address also
	// where it was mapped into IPv6 or written as one number, in hexadecimal or octal. "" if there
	// is none that can be read.
	Name string
	// Other is a second host that some reader of URLs finds; "" if they all find the same one.
	Other string
	// Sure: no reader finds another host. A list that lets something pass must ask for
	// it.
	Sure bool
}

// maxHost bounds the host names that are read: DNS knows none longer than 253 bytes, and Punycode
// makes them longer.
const maxHost = 1024

// ReadURL reads the host of a URL, with or without its scheme.
func ReadURL(s string) Host {
	whole := trimHost(s)
	bare := unwrapped(whole)
	exact := len(bare) == len(whole)
	whole = bare
	s, cut := trimURL(whole)
	rest, found := s, false
	switch scheme, after, colon := cutScheme(s); {
	case strings.HasPrefix(s, "//"), strings.HasPrefix(s, `\\`), strings.HasPrefix(s, `/\`), strings.HasPrefix(s, `\/`):
		rest, found = strings.TrimLeft(s, `/\`), true
		exact = exact && len(s)-len(rest) == 2 && s[0] == '/' && s[1] == '/'
	case colon && strings.HasPrefix(after, "//"):
		rest, found = after[2:], true
		if special(scheme) { // browsers take any number of slashes, of both kinds
			rest = strings.TrimLeft(rest, `/\`)
			exact = exact && len(rest) == len(after)-2
		}
	case colon && special(scheme):
		rest, found, exact = strings.TrimLeft(after, `/\`), true, false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	h := readAuthority(rest[:end], found)
	if found && h.Name == "" && h.Other == "" {
		h.Name = beforeOdd(rest[:end])
	}
	// What was taken out of it, and a second URL behind a blank, make another host for who splits
	// there.
	behind := len(s) - len(rest[end:])
	if !exact || cut < behind || anotherURL(whole[min(behind, len(whole)):]) {
		h.Sure = false
	}
	return h
}

// unwrapped takes off what RFC 3986 (appendix C) sets around URLs in a text, and quotes.
func unwrapped(s string) string {
	for len(s) > 2 {
		i := strings.IndexByte("<\"'`(", s[0])
		if i < 0 {
			return s
		}
		if s[len(s)-1] == ">\"'`)"[i] {
			s = s[:len(s)-1]
		}
		s = trimHost(s[1:])
	}
	return s
}

// beforeOdd reads the host in front of the first character that no host has: of a,https://b, or of
// a!/b in a jar.
func beforeOdd(authority string) string {
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	i := strings.IndexAny(authority, "!\"'()*,;<>^`{|}% ")
	if i <= 0 {
		return ""
	}
	if h := ReadHost(authority[:i]); h.Sure {
		return h.Name
	}
	return ""
}

// anotherURL reports whether a URL goes on with another one behind a blank or a separator, as lists
// of them do.
func anotherURL(s string) bool {
	for {
		i := strings.IndexAny(s, separators)
		if i < 0 {
			return false
		}
		s = strings.TrimLeft(s[i:], separators)
		word := s
		if j := strings.IndexAny(s, separators); j >= 0 {
			word = s[:j]
		}
		if k := strings.Index(word, "://"); k > 0 {
			if _, _, colon := cutScheme(word); colon {
				return true
			}
		}
	}
}

const (
	blanks     = " \t\r\n\v\f\u00a0\u3000"
	separators = blanks + ",;|" // between the URLs of a list
)

// readAuthority reads user, host and port; slashes reports whether they stood behind //.
func readAuthority(a string, slashes bool) Host {
	back := strings.IndexByte(a, '\\')
	at := strings.LastIndexByte(a, '@')
	switch {
	case back >= 0: // a slash to browsers, a part of the user's name to RFC 3986
		first := a[:back]
		if i := strings.LastIndexByte(first, '@'); i >= 0 {
			first = first[i+1:]
		}
		h := Host{Name: ReadHost(first).Name}
		if at > back {
			h.Other = ReadHost(a[at+1:]).Name
		}
		return h
	case at < 0:
		return ReadHost(a)
	case !slashes: // what stands before the @ may be a scheme
		return Host{Other: ReadHost(a[at+1:]).Name}
	}
	h := ReadHost(a[at+1:])
	if i := strings.IndexAny(a, blanks); i >= 0 { // who splits there finds another one
		h.Sure, h.Other = false, ReadHost(a[:i]).Name
	}
	if i := strings.IndexByte(a, '@'); i < at {
		h.Sure = false
		second := a[i+1 : at]
		if j := strings.IndexByte(second, '@'); j >= 0 {
			second = second[:j]
		}
		h.Other = ReadHost(second).Name
	}
	return h
}

// ReadHost reads a host with or without a port.
func ReadHost(s string) Host {
	s = trimHost(s)
	if inner, ok := strings.CutPrefix(s, "["); ok {
		i := strings.IndexByte(inner, ']')
		if i < 0 || inner[i+1:] != "" && !isPort(inner[i+1:]) {
			return Host{}
		}
		return address(inner[:i])
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		if strings.IndexByte(s[i+1:], ':') >= 0 {
			return address(s)
		}
		if !isPort(s[i:]) {
			return Host{}
		}
		s = s[:i]
	}
	return readName(s)
}

// ReadAddress is the IP address that a text says, in any of its spellings, or that of a URL; the
// zero Addr if it says none.
func ReadAddress(s string) netip.Addr {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone("")
	}
	h := ReadURL(s)
	if h.Name == "" {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(h.Name)
	return a
}

// address reads an IPv6 address. Its zone says through which interface it is reached, not who is
// reached.
func address(s string) Host {
	s, _, _ = strings.Cut(s, "%")
	a, err := netip.ParseAddr(s)
	if err != nil {
		return Host{}
	}
	if a = a.Unmap(); a.Is4() {
		return Host{Name: a.String(), Sure: true}
	}
	if v4 := Embedded(a); v4.IsValid() { // a gateway decides who is reached
		return Host{Name: v4.String()}
	}
	name := a.String()
	if name == s {
		name = s
	}
	return Host{Name: name, Sure: true}
}

// Embedded is the IPv4 address that an IPv6 address carries for a gateway: of NAT64 (RFC 6052), of
// 6to4 (RFC 3056), and compatible with IPv4 as RFC 4291 had it; the zero Addr if it carries none.
func Embedded(a netip.Addr) netip.Addr {
	if !a.Is6() || a.Is4In6() {
		return netip.Addr{}
	}
	b := a.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}, [12]byte(b[:12]) == [12]byte{} && (b[12]|b[13]) != 0:
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.Addr{}
}

// readName reads a name or an IPv4 address without a port.
func readName(s string) Host {
	if s == "" || len(s) > maxHost {
		return Host{}
	}
	plain := true
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		default:
			plain = false
		}
	}
	if !plain {
		if strings.IndexByte(s, '%') >= 0 {
			d, err := url.PathUnescape(s)
			if err != nil || !utf8.ValidString(d) {
				return Host{}
			}
			s = d
		}
		name, err := names.ToASCII(s)
		if err != nil {
			return Host{}
		}
		if old, err := oldNames.ToASCII(s); err != nil || old != name {
			// ß is ss to some, to others a letter of its own
			h, own := readName(old), readName(name)
			return Host{Name: own.Name, Other: h.Name}
		}
		s = name
		for i := range len(s) {
			if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
				return Host{}
			}
		}
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return Host{}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	if !isNumber(last) {
		return Host{s, "", true}
	}
	return readIPv4(strings.ToLower(s))
}

var (
	// names maps as the URL Standard says; oldNames as IDNA 2003 did, which many clients still do.
	names = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false),
		idna.CheckHyphens(false), idna.VerifyDNSLength(false))
	oldNames = idna.New(idna.MapForLookup(), idna.Transitional(true), idna.StrictDomainName(false),
		idna.CheckHyphens(false), idna.VerifyDNSLength(false))
)

// isNumber reports whether the last part of a host makes it an IPv4 address.
func isNumber(s string) bool {
	if len(s) > 1 && s[0] == '0' && s[1]|0x20 == 'x' {
		for _, c := range []byte(s[2:]) {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
		return true
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// readIPv4 reads one to four numbers, decimal, octal or hexadecimal, of which the last fills what
// is left (inet_aton, and the URL Standard).
func readIPv4(s string) Host {
	var n [4]uint64
	var decimal [4]uint64 // as who knows no octal reads it
	parts, twoWays, canonical, octal := 0, false, true, true
	for part := range strings.SplitSeq(s, ".") {
		if parts == 4 || part == "" {
			return Host{}
		}
		base, digits := 10, part
		if rest, ok := strings.CutPrefix(part, "0x"); ok {
			base, digits = 16, rest
		} else if len(part) > 1 && part[0] == '0' {
			base, digits = 8, part[1:]
		}
		canonical = canonical && base == 10
		if digits == "" {
			digits = "0"
		}
		v, err := strconv.ParseUint(digits, base, 64)
		if err != nil && base != 8 {
			return Host{}
		}
		octal = octal && err == nil
		n[parts], decimal[parts] = v, v
		if base == 8 {
			d, err := strconv.ParseUint(digits, 10, 64)
			if err != nil {
				return Host{}
			}
			twoWays = true
			decimal[parts] = d
		}
		parts++
	}
	first, ok := ipv4Of(n[:parts])
	ok = ok && octal
	if ok && canonical && parts == 4 {
		return Host{Name: s, Sure: true}
	}
	h := Host{Sure: ok}
	if ok {
		h.Name = first
	}
	if twoWays && parts == 4 {
		if second, fine := ipv4Of(decimal[:parts]); fine && second != h.Name {
			h.Other, h.Sure = second, false
		}
	}
	return h
}

func ipv4Of(n []uint64) (string, bool) {
	var v uint64
	for i, x := range n {
		if i < len(n)-1 {
			if x > 255 {
				return "", false
			}
			v |= x << (24 - 8*i)
		} else if x >= 1<<(8*(5-len(n))) {
			return "", false
		} else {
			v |= x
		}
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}).String(), true
}

// isPort wants a number up to 65535, or none behind the colon.
func isPort(s string) bool {
	v := 0
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' || v > 65535 {
			return false
		}
		v = v*10 + int(c-'0')
	}
	return s[0] == ':' && v <= 65535
}

// trimURL drops what clients drop: blanks and control characters around a URL, line ends and tabs
// anywhere. cut is where the first of those within stood, or beyond the text.
func trimURL(s string) (out string, cut int) {
	s = trimHost(s)
	if cut = strings.IndexAny(s, "\t\r\n"); cut < 0 {
		return s, len(s) + 1
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return -1
		}
		return r
	}, s), cut
}

// trimHost drops blanks and what cannot be seen around a text.
func trimHost(s string) string {
	if s == "" || s[0] > ' ' && s[0] < 0x7f && s[len(s)-1] > ' ' && s[len(s)-1] < 0x7f {
		return s
	}
	return strings.TrimFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
	})
}

// cutScheme takes the scheme off a URL; of jdbc:postgresql:// the one next to the slashes.
func cutScheme(s string) (scheme, rest string, ok bool) {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], ':')
		if i < 0 || !IsScheme(s[from:from+i]) {
			return scheme, rest, ok && (special(scheme) || strings.HasPrefix(rest, "//"))
		}
		scheme, rest, ok = s[from:from+i], s[from+i+1:], true
		if special(scheme) || strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, `\`) {
			return scheme, rest, special(scheme) || strings.HasPrefix(rest, "//")
		}
		from += i + 1
	}
}

// IsScheme reports whether a text may stand before the colon of a URL.
func IsScheme(s string) bool {
	if len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (i == 0 || (s[i] < '0' || s[i] > '9') && s[i] != '+' &&
			s[i] != '-' && s[i] != '.') {
			return false
		}
	}
	return s != ""
}

// special reports whether clients find the host of a scheme also without slashes.
func special(scheme string) bool {
	switch len(scheme) {
	case 2:
		return strings.EqualFold(scheme, "ws")
	case 3:
		return strings.EqualFold(scheme, "wss") || strings.EqualFold(scheme, "ftp")
	case 4:
		return strings.EqualFold(scheme, "http")
	case 5:
		return strings.EqualFold(scheme, "https")
	}
	return false
}

// IsURL reports whether a text has the form of a URL with a scheme, or begins with // and a host.
func IsURL(s string) bool {
	s, _ = trimURL(unwrapped(trimHost(s)))
	if strings.HasPrefix(s, "//") || strings.HasPrefix(s, `\\`) {
		h := ReadURL(s)
		return h.Name != "" && strings.IndexAny(h.Name, ".:") > 0
	}
	scheme, rest, ok := cutScheme(s)
	if !ok {
		return false
	}
	if strings.HasPrefix(rest, "//") {
		return len(rest) > 2
	}
	// http:evil.example is one to browsers. http: with a word behind it is the beginning of a
	// sentence.
	h := ReadURL(s)
	return special(scheme) && (h.Name != "" && strings.IndexAny(h.Name, ".:") > 0 || strings.IndexAny(rest, `/\`) == 0)
}
