package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Approvals say which approvals count, of the calls that a persona may make only with one.
//
// An approval is for one call, of the agent that the approval's event names. A call finds its own by approval.id if it carries one, else by the digest of
// its arguments, else (where digests are not asked for) it takes the oldest that is left.
type Approvals struct {
	By      []string  // names and patterns of who may approve; empty: anybody who may be told from the agent
	NotSelf bool      // not the agent, its owner, user, credential or delegator, another agent of the same owner or credential, nor whoever asked
	ValidMS int64     // after it was granted; 0: as long as the approval itself says
	Digest  event.Tri // Yes: of these very arguments, or it does not count; Unknown: where both sides show a digest they must agree; No: not looked at
	Once    bool      // for one call only
	by      *globs
}

type approvalsDef struct {
	By      []string `json:"by,omitempty"`
	NotSelf *bool    `json:"not_self,omitempty"`
	Valid   string   `json:"valid,omitempty"`
	Digest  *bool    `json:"digest,omitempty"`
	Once    *bool    `json:"once,omitempty"`
}

// IsZero tells whether nothing is said.
func (d approvalsDef) IsZero() bool {
	return len(d.By) == 0 && d.NotSelf == nil && d.Valid == "" && d.Digest == nil && d.Once == nil
}

func (d approvalsDef) compile(bad report) Approvals {
	checkEntries(bad, "approvals.by", d.By)
	a := Approvals{By: d.By, NotSelf: d.NotSelf == nil || *d.NotSelf, Once: d.Once == nil || *d.Once, by: compileIdentities(d.By)}
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

// MayApprove tells whether the list of approvers has somebody, in any case of letters. Without a list anybody may.
func (a *Approvals) MayApprove(name string) bool { return a.by.passes(event.Identity(name)) }

// Digest is the digest of a call's arguments, as approvals are compared by it: args_digest if the event carries it, else SHA-256 over the bytes of args
// as they stand in the record, in hex; "" if neither is known.
func Digest(e *event.Event) string {
	if e.ArgsDigest != "" {
		return PlainDigest(e.ArgsDigest)
	}
	if len(bytes.TrimSpace(e.Args)) == 0 {
		return ""
	}
	sum := sha256.Sum256(e.Args)
	return hex.EncodeToString(sum[:])
}

// PlainDigest is a digest without `sha256:` before it, and its hex digits in lower case, so that two spellings of one are equal.
func PlainDigest(s string) string {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(lower(s), "sha256:"); ok {
		return rest
	}
	if len(s) == hex.EncodedLen(sha256.Size) && strings.Trim(s, "0123456789abcdefABCDEF") == "" {
		return lower(s)
	}
	return s
}
