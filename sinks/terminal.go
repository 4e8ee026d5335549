package sinks

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/wayward-sec/wayward/event"
)

// Columns of a finding for people. Identifiers wider than their column push the rest aside:
// somebody has to copy them.
const (
	textWidth  = 100
	textIndent = 4
	widthOf    = 8  // severity and tenant
	widthScope = 22 // "agent agt-7731"
	maxID      = 64 // runes of an identifier shown
	maxEvent   = 24 // runes of an event id shown: often a hash, and the record has it whole
	maxTitle   = 80
)

// ANSI sequences in use. The sixteen colours follow the reader's theme.
const (
	dim   = "\x1b[2m"
	bold  = "\x1b[1m"
	reset = "\x1b[0m"
)

// What severities look like, at their index: quiet ones faint, critical ones impossible to miss.
var (
	shortSeverities = [...]string{"unknown", "info", "low", "medium", "high", "critical"}
	colours         = [...]string{"", dim, "\x1b[36m", "\x1b[33m", "\x1b[31m", "\x1b[1;97;41m"}
)

// Text writes findings for people: a line to scan, then why, then which events; of a statistical
// finding, how rare it is. An update takes one line.
type Text struct {
	Colour bool
}

// Append appends the lines of f without the last newline. Whatever the finding holds, only our own
// escape sequences come out.
func (t *Text) Append(dst []byte, f *event.Finding) []byte {
	p := page{b: dst, colour: t.Colour}
	severity := known(int(f.Severity), shortSeverities[:])
	if f.Activity == event.Update {
		p.update(f, severity)
		return p.b
	}
	p.time(f.Time)
	p.style(colours[severity])
	p.put(shortSeverities[severity], maxID)
	p.style(reset)
	p.pad(endSeverity)
	p.scope(f)
	p.pad(endScope)
	p.style(bold)
	p.put(f.Title, maxTitle)
	p.style(reset)

	// The sentence may take two lines less the events, which close it.
	var note page
	note.events(f)
	note.marks(f)
	room := 2*(textWidth-textIndent) - note.col - 20 // 20: what breaking at words may waste
	var why page
	why.put(f.Why, max(room, textWidth/2))
	p.col = textWidth // so that the first word begins a line
	p.words(string(why.b))
	p.style(dim)
	p.words(string(note.b))
	if f.Anomaly != nil {
		var rare page
		rare.rare(f)
		p.col = textWidth
		p.words(string(rare.b))
	}
	p.style(reset)
	return p.b
}

// AppendCommand appends a command in the columns of findings: a line of what is done to whom, then
// why.
func (t *Text) AppendCommand(dst []byte, c *event.Command) []byte {
	p := page{b: dst, colour: t.Colour}
	p.time(c.Time)
	p.style(bold)
	p.ours("▶ " + c.Action.String())
	p.style(reset)
	p.pad(endSeverity)
	p.put(c.Scope.Tenant, maxID)
	p.pad(endTenant)
	p.ours(c.Scope.Type.String() + " ")
	p.put(c.Scope.ID, maxID)
	p.pad(endScope)
	p.ours("epoch ")
	p.num(c.Epoch)
	switch {
	case c.Action == event.Restore:
	case c.DurationMS > 0:
		p.ours(" for " + span(time.Duration(c.DurationMS)*time.Millisecond))
	default:
		p.ours(" until restored")
	}
	if c.Rate.Calls > 0 {
		p.ours(" · ")
		p.num(c.Rate.Calls)
		p.ours(" calls per " + span(time.Duration(c.Rate.PerSeconds)*time.Second))
	}
	if c.Mode == event.DryRun {
		p.ours(" · dry run")
	}
	why := c.Reason
	switch c.Issuer.Type {
	case "human":
		why = "by " + c.Issuer.By + ": " + why
	case "rule":
		why = c.Issuer.Rule + ": " + why
	}
	var text page
	text.put(why, 2*(textWidth-textIndent)-20)
	p.col = textWidth // so that the first word begins a line
	p.style(dim)
	p.words(string(text.b))
	p.style(reset)
	return p.b
}

// span writes a length of time as people do: 15m, not 15m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// stamp is UTC, as all times here are: findings are compared across machines.
const stamp = "2006-01-02 15:04:05"

// Where the columns end.
const (
	endSeverity = len(stamp) + 2 + widthOf
	endTenant   = endSeverity + 2 + widthOf
	endScope    = endTenant + 2 + widthScope
)

// page appends to b and counts columns. Runes count as one; wide ones only disturb the alignment.
type page struct {
	b      []byte
	col    int
	colour bool
}

func (p *page) style(s string) {
	if p.colour {
		p.b = append(p.b, s...)
	}
}

func (p *page) ours(s string) {
	p.b = append(p.b, s...)
	p.col += utf8.RuneCountInString(s)
}

func (p *page) num(n int64) { p.ours(strconv.FormatInt(n, 10)) }

// pad fills up to a column and leaves two spaces in any case.
func (p *page) pad(col int) {
	p.ours("  ")
	for p.col < col+2 {
		p.ours(" ")
	}
}

// put appends at most max columns of a text that nobody vouches for. What is not a visible
// character is written as a Go escape, so that it can be seen and does nothing: an agent names its
// tools, and a terminal obeys what it is sent.
func (p *page) put(s string, max int) {
	var esc [12]byte
	end, size := len(p.b), p.col // where an ellipsis still fits
	limit := p.col + max
	for i := 0; i < len(s); {
		if p.col < limit {
			end, size = len(p.b), p.col
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		out := append(esc[:0], s[i:i+n]...)
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(esc[:0], '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		case !unicode.IsGraphic(r):
			q := strconv.AppendQuoteRuneToASCII(esc[:0], r)
			out = q[1 : len(q)-1]
		}
		width := len(out)
		if out[0] != '\\' || r == '\\' {
			width = 1
		}
		if p.col+width > limit {
			p.b, p.col = append(p.b[:end], "…"...), size+1
			return
		}
		p.b = append(p.b, out...)
		p.col += width
		i += n
	}
}

func (p *page) time(ms int64) {
	p.style(dim)
	p.ours(time.UnixMilli(ms).UTC().Format(stamp))
	p.style(reset)
	p.ours("  ")
}

func (p *page) scope(f *event.Finding) {
	p.put(f.Tenant, maxID)
	p.pad(endTenant)
	p.put(f.ScopeType, maxID)
	p.ours(" ")
	p.put(f.ScopeID, maxID)
}

// marks are what makes a finding weigh less than it looks.
func (p *page) marks(f *event.Finding) {
	if !f.Alert && f.Severity > event.Signal {
		p.ours(" · no alert")
	}
	if f.Incomplete {
		p.ours(" · incomplete")
	}
}

// events says how many contributed and which were the first and the last.
func (p *page) events(f *event.Finding) {
	p.ours("· ")
	p.num(f.Count)
	p.ours(" event")
	if f.Count != 1 {
		p.ours("s")
	}
	if n := len(f.Refs); n > 0 {
		p.ours(" ")
		p.put(f.Refs[0].ID, maxEvent)
		if n > 1 {
			p.ours(" … ")
			p.put(f.Refs[n-1].ID, maxEvent)
		}
	}
}

// update is one faint line, if it fits: the finding was shown in full before.
func (p *page) update(f *event.Finding, severity int) {
	p.style(dim)
	p.ours(time.UnixMilli(f.Last).UTC().Format(stamp))
	p.ours("  ↳ ")
	p.put(shortSeverities[severity], maxID)
	p.pad(endSeverity)
	p.scope(f)
	p.pad(endScope - 1) // words begins with a space
	var note page
	note.put(f.Title, maxTitle)
	note.ours(": now ")
	if f.Anomaly != nil {
		note.rare(f)
		note.ours(", ")
	} else if f.Measure != "" && f.Observed != "" {
		note.put(f.Observed, maxEvent)
		if f.Expected != "" {
			note.ours(" of ")
			note.put(f.Expected, maxEvent)
		}
		unit := f.Unit
		if unit == "" && f.Measure != "count" {
			unit = f.Measure
		}
		if unit != "" {
			note.ours(" ")
			note.put(unit, maxEvent)
		}
		note.ours(", ")
	}
	note.num(f.Count)
	note.ours(" events")
	note.marks(f)
	p.words(string(note.b))
	p.style(reset)
}

// words appends a text whose runes are all visible, breaking lines at spaces, or anywhere in a word
// that is longer than a line.
func (p *page) words(s string) {
	for _, word := range strings.Fields(s) {
		n := utf8.RuneCountInString(word)
		if p.col+1+n > textWidth {
			p.newLine()
		} else {
			p.ours(" ")
		}
		for n > textWidth-p.col {
			cut := 0
			for range textWidth - p.col {
				cut += runeLen(word[cut:])
			}
			p.ours(word[:cut])
			word = word[cut:]
			n = utf8.RuneCountInString(word)
			p.newLine()
		}
		p.ours(word)
	}
}

func (p *page) newLine() {
	p.b = append(p.b, '\n')
	p.col = 0
	for p.col < textIndent {
		p.ours(" ")
	}
}

// Terminal prints findings for a person who watches, above a status line. Its
// methods may be called from several goroutines: the line is kept up by a timer while findings come
// from the engine.
type Terminal struct {
	mu     sync.Mutex
	text   Text
	w      io.Writer
	width  func() int // nil unless w is a terminal
	buf    []byte
	status string
}

// NewTerminal prints to w. Whether w is a terminal decides only about the status line; for colour
// ask Colour.
func NewTerminal(w io.Writer, colour bool) *Terminal {
	t := &Terminal{w: w, text: Text{Colour: colour}}
	if f := terminal(w); f != nil {
		t.width = func() int {
			if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
				return n
			}
			return 80
		}
	}
	return t
}

// Colour says whether output to w should have colour: only on a terminal, and not against the
// reader's wish (no-color.org).
func Colour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && terminal(w) != nil
}

// terminal returns w if it is a terminal that understands escape sequences.
func terminal(w io.Writer) *os.File {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return f
}

// clearLine goes to the start of the line and empties it.
const clearLine = "\r\x1b[K"

// Deliver prints a finding.
func (t *Terminal) Deliver(f *event.Finding) error {
	if err := t.print(func(b []byte) []byte { return t.text.Append(b, f) }); err != nil {
		return fmt.Errorf("print finding %q: %w", f.UID, err)
	}
	return nil
}

// Command prints what is done about a scope.
func (t *Terminal) Command(c *event.Command) error {
	if err := t.print(func(b []byte) []byte { return t.text.AppendCommand(b, c) }); err != nil {
		return fmt.Errorf("print command %q: %w", c.ID, err)
	}
	return nil
}

// print writes lines in one write, so that nothing else comes between them.
func (t *Terminal) print(lines func(b []byte) []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = t.buf[:0]
	if t.status != "" {
		t.buf = append(t.buf, clearLine...)
	}
	t.buf = append(lines(t.buf), '\n')
	if t.status != "" {
		t.drawStatus()
	}
	_, err := t.w.Write(t.buf)
	return err
}

// Status puts text on the last line, or takes the line away if text is empty. It does nothing
// unless on a terminal, and never fails: the line is a comfort, and a terminal that is gone shows
// when the next finding is printed.
func (t *Terminal) Status(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.width == nil || text == "" && t.status == "" {
		return
	}
	t.status = text
	t.buf = append(t.buf[:0], clearLine...)
	t.drawStatus()
	t.w.Write(t.buf)
}

// drawStatus leaves the last column free: a full line would wrap and could not be cleared.
func (t *Terminal) drawStatus() {
	p := page{b: t.buf}
	p.put(t.status, max(t.width()-1, 1))
	t.buf = p.b
}

// Close takes the status line away.
func (t *Terminal) Close() error {
	t.Status("")
	return nil
}

// openTerminal is the sink of a running instance: standard output of its process.
func openTerminal(s Settings) (Sink, error) { return NewTerminal(s.Out, s.Colour), nil }

// Findings implements Sink.
func (t *Terminal) Findings(fs []*event.Finding) error {
	for _, f := range fs {
		if err := t.Deliver(f); err != nil {
			return err
		}
	}
	return nil
}

// Commands implements Sink.
func (t *Terminal) Commands(cs []event.Command) error {
	for i := range cs {
		if err := t.Command(&cs[i]); err != nil {
			return err
		}
	}
	return nil
}
