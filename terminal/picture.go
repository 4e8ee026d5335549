package terminal

import (
	"io"
	"math"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/wayward-sec/wayward/event"
)

// Drawing is how pictures of text are drawn: how wide, and with which characters.
type Drawing struct {
	Width int
	ASCII bool
}

// mostWide is the width of pictures where there is no terminal, and on wide ones: beyond, eyes lose
// the line.
const mostWide = 100

// DrawingFor fits a writer. A terminal whose locale does not say UTF-8 gets ASCII; a file or pipe
// gets UTF-8, as all other texts of ours.
func DrawingFor(w io.Writer, ascii bool) Drawing {
	d := Drawing{mostWide, ascii}
	if f, ok := Raw(w).(*os.File); ok && Is(w) {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			d.Width = min(max(n, 40), mostWide)
		}
		d.ASCII = ascii || !utf8Locale(os.Getenv)
	}
	return d
}

// utf8Locale tells whether the environment says that the terminal understands UTF-8, by the
// variables of POSIX in their order.
func utf8Locale(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(env(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// Pick is the first text, or the second where only ASCII is understood.
func (d Drawing) Pick(text, ascii string) string {
	if d.ASCII {
		return ascii
	}
	return text
}

// logScale puts amounts of all sizes and both signs on one axis.
func logScale(v float64) float64 { return math.Copysign(math.Log1p(math.Abs(v)), v) }

// Band draws what is usual, what was expected and what was observed on one logarithmic axis:
//
//	1 ├──▒▒▒▓▓┃▓▓▒▒──┤ 96 ········● 212
//
// Without shades it is a limit, and all up to it is as good. If nothing was observed (NaN) the band
// stands alone. It is empty if there is nothing to draw.
func (d Drawing) Band(low, expected, high, observed float64, shaded bool) string {
	for _, v := range [...]float64{low, expected, high} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
	}
	if math.IsInf(observed, 0) {
		return ""
	}
	if high < low {
		low, high = high, low
	}
	expected = min(max(expected, low), high)
	lowText, highText, seenText := event.Figure(low), event.Figure(high), event.Figure(observed)
	l, e, h, o := logScale(low), logScale(expected), logScale(high), logScale(observed)
	dot, mark := d.Pick("·", "."), d.Pick("●", "*")

	// the band, its two ends included, and the way to what was observed
	room := d.Width - len(lowText) - len(highText) - 2
	outside := observed < low || observed > high
	if outside {
		room -= len(seenText) + 3
	}
	room = max(room, 12)
	cells, way := room, 0
	if outside {
		least, most := min(l, o), max(h, o)
		way = min(max(int(math.Round(float64(room)*(1-(h-l)/(most-least)))), 3), room-9)
		cells = room - way
	}
	at := func(v float64) int { // cell of the band
		if h == l {
			return cells / 2
		}
		return min(max(int(math.Round((v-l)/(h-l)*float64(cells-1))), 1), cells-2)
	}
	middle := at(e)
	var b strings.Builder
	for i := range cells {
		// How far from what is expected, as a share of its side: the nearest third is what comes
		// mostly.
		off := float64(i-middle) / float64(max(cells-1-middle, 1))
		if i < middle {
			off = float64(middle-i) / float64(max(middle, 1))
		}
		switch {
		case !outside && !math.IsNaN(o) && i == at(o):
			b.WriteString(mark)
		case i == 0:
			b.WriteString(d.Pick("├", "["))
		case i == cells-1:
			b.WriteString(d.Pick("┤", "]"))
		case !shaded:
			b.WriteString(d.Pick("─", "-"))
		case i == middle:
			b.WriteString(d.Pick("┃", "|"))
		case off < 1./3:
			b.WriteString(d.Pick("▓", "#"))
		case off < 2./3:
			b.WriteString(d.Pick("▒", ":"))
		default:
			b.WriteString(d.Pick("─", "-"))
		}
	}
	bar := lowText + " " + b.String() + " " + highText
	switch {
	case observed > high:
		return bar + " " + strings.Repeat(dot, way) + mark + " " + seenText
	case observed < low:
		return seenText + " " + mark + strings.Repeat(dot, way) + " " + bar
	}
	return bar
}

// Bar is a share of a width, in eighths of a character where there are such, at least something if
// there is something.
func (d Drawing) Bar(share float64, width int) string {
	if !(share > 0) {
		return strings.Repeat(" ", width)
	}
	share = min(share, 1)
	if d.ASCII {
		n := max(int(math.Round(share*float64(width))), 1)
		return strings.Repeat("#", n) + strings.Repeat(" ", width-n)
	}
	eighths := max(int(math.Round(share*float64(width)*8)), 1)
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text + strings.Repeat(" ", width-utf8.RuneCountInString(text))
}

// Cut is a text that nobody vouches for in at most so many characters.
func (d Drawing) Cut(s string, most int) string {
	s = Visible(s, 1000)
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	end := d.Pick("…", "..")
	return string([]rune(s)[:max(0, most-utf8.RuneCountInString(end))]) + end
}

// Pad fills a text up to a width.
func Pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
