package baselines

import "github.com/wayward-sec/wayward/event/localtime"

// HoursOfWeek is the number of cells of a season, from Monday 0:00 on the persona's own clock.
const HoursOfWeek = 168

// HourOfWeek is the cell of a local time in Unix milliseconds.
func HourOfWeek(local int64) int { return int(localtime.SinceMonday(local) / 3_600_000) }

// Season says how busy the hours of a week are, relative to the mean hour.
type Season struct {
	Of   [HoursOfWeek]float64       // mean 1
	Sum  [2*HoursOfWeek + 1]float64 // of the hours before: twice around, so that a span needs no wrapping
	Rare [HoursOfWeek]float64       // share of what is done in hours no busier than this one
}

// Bounds of a season (docs/statistics.md, Season).
const (
	seasonPrior = 0.02 // of the mean exposure of a cell
	leastSeason = 0.01
	// SeasonEvents is from how many events on a persona has a season of its own.
	SeasonEvents = 2000
)

// Fit makes the factors from what was counted in each hour of the week: shrunk towards 1, smoothed
// around the circle by [1 2 1]/4, at least 0.01, mean 1.
func (s *Season) Fit(cells *[HoursOfWeek]Cell) {
	x, e := 0.0, 0.0
	for i := range cells {
		x += float64(cells[i].X) / Unit
		e += float64(cells[i].E) / FixedOne
	}
	var f [HoursOfWeek]float64
	for i := range f {
		f[i] = 1
		if x > 0 && e > 0 {
			g, c := x/e, seasonPrior*e/HoursOfWeek
			f[i] = (float64(cells[i].X)/Unit + c*g) / (float64(cells[i].E)/FixedOne + c) / g
		}
	}
	sum := 0.0
	for i := range f {
		s.Of[i] = max((f[(i+HoursOfWeek-1)%HoursOfWeek]+2*f[i]+f[(i+1)%HoursOfWeek])/4, leastSeason)
		sum += s.Of[i]
	}
	for i := range s.Of {
		s.Of[i] *= HoursOfWeek / sum
	}
	for i := range 2 * HoursOfWeek {
		s.Sum[i+1] = s.Sum[i] + s.Of[i%HoursOfWeek]
	}
	for i := range s.Rare {
		s.Rare[i] = 0
		for j := range s.Of {
			if s.Of[j] <= s.Of[i] {
				s.Rare[i] += s.Of[j] / HoursOfWeek
			}
		}
	}
}

// Over is the season summed over n hours from a cell on.
func (s *Season) Over(cell, n int) float64 {
	weeks := float64(n / HoursOfWeek)
	n %= HoursOfWeek
	return weeks*HoursOfWeek + s.Sum[cell+n] - s.Sum[cell]
}

// Cell is one hour of the week.
type Cell struct {
	X int64 // events, in Units
	E int64 // exposure: agent-hours, each weighed by how busy the agent is, in 65,536ths
}
