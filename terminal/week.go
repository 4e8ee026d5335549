package terminal

import (
	"fmt"
	"strings"
)

// Shades of a season, and from how much of the mean hour on each is used: an hour that is nearly
// empty is blank, so that nights are seen at once.
var (
	shades      = []string{"  ", "░░", "▒▒", "▓▓", "██"}
	asciiShades = []string{"  ", "..", "::", "++", "##"}
	shadesFrom  = []float64{0, 0.1, 0.5, 1, 2}
)

// Week draws how busy the hours of a week are, relative to the mean hour: a row for each day, from
// Monday, two characters for each hour.
func (d Drawing) Week(season *[168]float64) (rows []string) {
	head := "     "
	for h := 0; h < 24; h += 3 {
		head += fmt.Sprintf("%-6d", h)
	}
	rows = append(rows, head)
	of := shades
	if d.ASCII {
		of = asciiShades
	}
	for day, name := range [...]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
		var b strings.Builder
		b.WriteString(name + "  ")
		for h := range 24 {
			i := 0
			for i+1 < len(shadesFrom) && season[24*day+h] >= shadesFrom[i+1] {
				i++
			}
			b.WriteString(of[i])
		}
		rows = append(rows, b.String())
	}
	return append(rows, fmt.Sprintf("     from, of the mean hour: %s a tenth, %s half, %s all, %s twice",
		of[1][:len(of[1])/2], of[2][:len(of[2])/2], of[3][:len(of[3])/2], of[4][:len(of[4])/2]))
}
