package policy

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/glob"
)

// Approvals say which approvals count for the calls that a persona may make only with one.
//
// An approval is for one call of the agent that the approval's event names. A call finds its
// approval by approval.id if it carries one, else by the digest of its arguments, else, where no
// digest is required, it takes the oldest approval that is left.
type Approvals struct {
	// names and patterns of who may approve; empty: anybody who is known not to be the agent
	By []string
	// not the agent, its owner, user, credential or delegator, another agent of the same owner or
	// credential, nor whoever asked
	NotSelf bool
	ValidMS int64 // after it was granted; 0: as long as the approval itself says
	// Yes: the approval must be for exactly these arguments. Unknown: if both sides show a digest,
	// the two must agree. No: arguments are not compared.
	Digest event.Tri
	Once   bool // for one call only
	by     *glob.List
}

// Shown applies to an approval that a call shows without need, or whose agent no policy knows: not
// given by the agent's own side, for one call, for these arguments where both show them.
var Shown = Approvals{NotSelf: true, Once: true}

type approvalsDef struct {
	By      []string `json:"by,omitempty"`
	NotSelf *bool    `json:"not_self,omitempty"`
	Valid   string   `json:"valid,omitempty"`
	Digest  *bool    `json:"digest,omitempty"`
	Once    *bool    `json:"once,omitempty"`
}

// IsZero reports whether nothing is set.
func (d approvalsDef) IsZero() bool {
	return len(d.By) == 0 && d.NotSelf == nil && d.Valid == "" && d.Digest == nil && d.Once == nil
}

func (d approvalsDef) compile(bad report) Approvals {
	checkEntries(bad, "approvals.by", d.By)
	a := Approvals{By: d.By, NotSelf: d.NotSelf == nil || *d.NotSelf, Once: d.Once == nil || *d.Once,
		by: glob.NewIdentities(d.By)}
	if d.Digest != nil {
		a.Digest = event.No
		if *d.Digest {
			a.Digest = event.Yes
		}
	}
	if d.Valid != "" {
		w, what := parseWindow(d.Valid)
		if what != "" {
			bad("approvals.valid", "%s", what)
		}
		a.ValidMS = w.Milliseconds()
	}
	return a
}

// MayApprove reports whether the list of approvers has somebody, whatever the case of letters.
// Without a list anybody may approve.
func (a *Approvals) MayApprove(name string) bool { return a.by.Passes(event.Identity(name)) }

// Algorithm is how a digest of arguments was made.
type Algorithm uint8

// Algorithms of digests. An opaque one is of an algorithm, or with a key, that wayward does not
// know.
const (
	SHA256 Algorithm = iota
	Opaque
	SHA384
	SHA512
)

// algorithms are the words for them, with the length of a digest in bytes.
var algorithms = [...]struct {
	word string
	size int
}{SHA256: {"sha256", sha256.Size}, SHA384: {"sha384", sha512.Size384}, SHA512: {"sha512", sha512.Size}}

// Arguments digests the arguments of calls as approvals are compared by them: over their canonical
// JSON (RFC 8785) and over the bytes as they stand in the record, since producers do either. The
// zero value is ready; it belongs to one goroutine.
type Arguments struct{ form event.Canonical }

// Canonical is the canonical form of the arguments, or else their bytes; it lives until the next
// call.
func (a *Arguments) Canonical(args []byte) []byte {
	if b, ok := a.form.Form(args); ok {
		return b
	}
	return args
}

// Digests are the digests of a call's arguments by one algorithm, as PlainDigest writes them: of
// the canonical form and of the bytes. They are computed from the arguments. Only if the event has
// none, or the algorithm is unknown, does its args_digest count.
func (a *Arguments) Digests(e *event.Event, by Algorithm) (canonical, raw string) {
	if by == Opaque || !Shows(e) {
		if d, alg := PlainDigest(e.ArgsDigest); alg == by {
			return d, d
		}
		return "", ""
	}
	raw = digestOf(e.Args, by)
	if b, ok := a.form.Form(e.Args); ok {
		return digestOf(b, by), raw
	}
	return raw, raw
}

// Contradict reports whether the event has arguments, and a digest that is not theirs.
func (a *Arguments) Contradict(e *event.Event) bool {
	if e.ArgsDigest == "" || !Shows(e) {
		return false
	}
	d, by := PlainDigest(e.ArgsDigest)
	if by == Opaque {
		return false
	}
	canonical, raw := a.Digests(e, by)
	return d != canonical && d != raw
}

// Shows reports whether the event carries arguments, rather than a digest or nothing.
func Shows(e *event.Event) bool { return len(bytes.TrimSpace(e.Args)) > 0 }

func digestOf(b []byte, by Algorithm) string {
	switch by {
	case SHA384:
		sum := sha512.Sum384(b)
		return "sha384:" + hex.EncodeToString(sum[:])
	case SHA512:
		sum := sha512.Sum512(b)
		return "sha512:" + hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// PlainDigest is a digest in the spelling in which digests are compared, and its algorithm:
// lower-case hex, with the algorithm in front unless that is SHA-256. It reads `sha256:`,
// `SHA-256=`, base64 as in subresource integrity, and plain hex, whose length shows the algorithm.
// Any other text is returned without the blanks around it.
func PlainDigest(s string) (plain string, by Algorithm) {
	s = strings.TrimSpace(s)
	low := event.Lower(s)
	for alg, a := range algorithms {
		if a.size == 0 {
			continue
		}
		digits := low
		body, named := s, false
		for _, word := range [...]string{a.word, a.word[:3] + "-" + a.word[3:]} {
			if rest, ok := strings.CutPrefix(low, word); ok && rest != "" && strings.IndexByte(":=-", rest[0]) >= 0 {
				digits, named = strings.TrimSpace(rest[1:]), true
				body = strings.TrimSpace(s[len(s)-len(rest)+1:])
			}
		}
		if len(digits) != hex.EncodedLen(a.size) || strings.Trim(digits, "0123456789abcdef") != "" {
			body = strings.TrimRight(strings.Trim(body, ":"), "=") // RFC 9530 writes :base64:
			if !named || len(body) != base64.RawStdEncoding.EncodedLen(a.size) {
				continue
			}
			raw, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(body))
			if err != nil {
				continue
			}
			digits = hex.EncodeToString(raw)
		}
		if Algorithm(alg) != SHA256 {
			digits = a.word + ":" + digits
		}
		return digits, Algorithm(alg)
	}
	return s, Opaque
}
