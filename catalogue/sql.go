package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What SQL does. Nobody says in which dialect a statement is written, and the dialects disagree on
// where texts and comments end: '\' is a whole text to one and half of one to the other. So it is
// read as each of them, and the strongest of what they find counts. What none of them can read to
// its end, a call of a procedure or of a function that is not known to be harmless may do anything:
// it is exec, never read.

// strength orders classes by what is worse. What is unknown beats only what is known to read.
var strength = [...]uint8{event.NoClass: 0, event.Read: 1, event.Exec: 2, event.Write: 3, event.Delegate: 4,
	event.Approve: 5, event.Grant: 6, event.Pay: 7, event.Send: 8, event.Delete: 9}

func stronger(a, b event.Class) bool { return strength[a] > strength[b] }

// maxSQL bounds the bytes of SQL that are read. What is longer is exec at least.
const maxSQL = 1 << 20

// classifySQL returns what SQL does, and the word that decides. certain: the text can be nothing
// but SQL, so what cannot be understood is exec. Otherwise only complete statements count, so that
// a search for "update address" is none.
func classifySQL(s string, certain bool) (c event.Class, word string) {
	if len(s) > maxSQL {
		s, c, word = event.Clip(s, maxSQL), event.Exec, "longer than is read"
	}
	understood, ended := false, false
	partial, partialWord := event.NoClass, "" // of dialects in which a text or comment has no end
	// Without these characters all dialects agree.
	alike := !strings.ContainsAny(s, "'\"`\\$#[]{}/-")
	last := ""
	r := &sqlReader{s: s, certain: certain}
	r.tokens = r.room[:0]
	for i := range dialects {
		r.begin(&dialects[i])
		found, by := r.classifyAll()
		if r.notUnderstood != "" {
			last = r.notUnderstood
		}
		if !r.unterminated {
			understood = understood || r.notUnderstood == ""
			ended = true
		} else {
			if certain || found != event.NoClass {
				last = "cannot be read to its end"
			}
			if stronger(found, partial) {
				partial, partialWord = found, by
			}
			continue
		}
		if stronger(found, c) {
			c, word = found, by
		}
		if alike {
			break
		}
	}
	// What one dialect does not understand is an error there. What none of them does may do
	// anything.
	if !ended && stronger(partial, c) {
		c, word = partial, partialWord
	}
	if !understood && last != "" && stronger(event.Exec, c) {
		c, word = event.Exec, last
	}
	return c, word
}

// Bounds of one statement.
const (
	maxTokens    = 20_000 // that are read
	maxSQLDepth  = 16     // statements in each other
	maxLookahead = 400    // tokens that a decision looks ahead
)

// classifyAll returns the strongest of what the statements do.
func (r *sqlReader) classifyAll() (c event.Class, word string) {
	over := false
	flush := func() {
		found, by := r.classify(r.tokens)
		if over && stronger(event.Exec, found) {
			found, by = event.Exec, "longer than is read"
		}
		if stronger(found, c) {
			c, word = found, by
		}
		r.tokens = r.tokens[:0]
	}
	for {
		t := r.next()
		r.previous = t.text
		switch {
		case t.kind == 0:
			flush()
			return c, word
		case t.kind == ';':
			flush()
			r.depth = 0
		case len(r.tokens) < maxTokens:
			r.tokens = append(r.tokens, t)
		default:
			over = true
		}
	}
}
