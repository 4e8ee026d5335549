package inspect

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/baselines/audit"
	"github.com/wayward-sec/wayward/detectors/volume"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// volumeView is what was learned of how much the agents of a persona do, in units that people use.
type volumeView struct {
	Events float64 `json:"events"` // that it rests on, decaying
	// by day from Monday and hour on the persona's clock; the mean hour is 1
	Season    [7][24]float64 `json:"season"`
	OwnSeason bool           `json:"own_season"`
	Currency  string         `json:"currency,omitempty"`
	Features  []featureView  `json:"features"`
	Outcomes  []outcomeView  `json:"outcomes"`
}

type featureView struct {
	Feature string       `json:"feature"`
	Unit    string       `json:"unit,omitempty"`
	PerHour float64      `json:"per_hour"` // of an agent, in a mean hour of the week
	Windows []windowView `json:"windows"`
	Session *bandView    `json:"session"` // null: too few sessions to tell
}

// windowView is what an agent of the persona does within a window in a mean hour of the week.
type windowView struct {
	Window   string  `json:"window"`
	Expected float64 `json:"expected"`
	High     float64 `json:"high"` // which 1 in 1,000 such windows reach
	Blocks   float64 `json:"blocks"`
	Fitted   bool    `json:"fitted"` // else the scatter is a guess
}

// bandView is what sessions come to by their end.
type bandView struct {
	Low      float64 `json:"low"` // 1 in 100 is below
	Median   float64 `json:"median"`
	High     float64 `json:"high"` // 1 in 1,000 is above
	Sessions float64 `json:"sessions"`
}

type outcomeView struct {
	Outcome string  `json:"outcome"`
	Share   float64 `json:"share"` // of first contacts
	Of      float64 `json:"first_contacts"`
}

func viewVolume(v *volume.Model) *volumeView {
	out := &volumeView{Events: audit.Rounded(v.Events()), OwnSeason: v.Events() >= baselines.SeasonEvents,
		Features: []featureView{}}
	for h, s := range v.Hours.Of {
		out.Season[h/24][h%24] = audit.Rounded(s)
	}
	if v.Currency != 0 {
		out.Currency = currencyOf(v.Currency)
	}
	for f := range volume.Features {
		m := &v.Of[f]
		if m.Rate <= 0 && m.Session.N() == 0 {
			continue
		}
		scale, unit := scaleOf(f, out.Currency)
		fv := featureView{Feature: f.String(), Unit: unit, PerHour: audit.Rounded(m.Rate * scale),
			Windows: []windowView{}}
		for w := range baselines.Windows {
			h := m.Hyper[w]
			c := volume.Count{M: m.Rate * float64(baselines.WindowMS[w]) / 3_600_000 * h.Factor / m.Unit, Phi: h.Phi,
				K: 1 / (h.Kappa + between(m.A0))}
			fv.Windows = append(fv.Windows, windowView{windowNames[w], audit.Rounded(c.M * m.Unit * scale),
				audit.Rounded(c.Quantile(1e-3) * m.Unit * scale), audit.Rounded(m.Block[w].N()), h.Fitted})
		}
		if m.Session.Ready() {
			size := func(q float64) float64 { return audit.Rounded(math.Expm1(m.Session.Quantile(q)) * scale) }
			fv.Session = &bandView{size(.01), size(.5), size(.999), audit.Rounded(m.Session.N())}
		}
		out.Features = append(out.Features, fv)
	}
	for k := range volume.Outcomes {
		out.Outcomes = append(out.Outcomes, outcomeView{k.String(), audit.Rounded(v.Theta[k]),
			audit.Rounded(float64(v.Contacts[k]) / baselines.Unit)})
	}
	return out
}

// between is how much more an agent of which nothing is known may scatter: agents' rates follow a
// gamma distribution of shape a0.
func between(a0 float64) float64 {
	if a0 <= 0 {
		return 1
	}
	return 1 / a0
}

var windowNames = [baselines.Windows]string{"1m", "10m", "1h", "1d"}

// scaleOf turns what is stored into what is shown: money is kept in millionths.
func scaleOf(f volume.Feature, currency string) (scale float64, unit string) {
	switch f {
	case volume.AmountSum:
		return 1e-6, currency
	case volume.CostSum:
		return 1e-6, "USD"
	}
	return 1, ""
}

// currencyOf is the text of a currency's first eight bytes.
func currencyOf(code uint64) string {
	var b []byte
	for shift := 56; shift >= 0; shift -= 8 {
		if c := byte(code >> shift); c > ' ' {
			b = append(b, c)
		}
	}
	return string(b)
}

func (v *volumeView) print(p *terminal.Report, d terminal.Drawing) {
	inner := terminal.Drawing{Width: d.Width - 4, ASCII: d.ASCII}
	p.Line("\n  VOLUME     %s events, decaying with 14 days", terminal.Rough(v.Events))
	if len(v.Features) == 0 {
		p.Line("    nothing yet")
		return
	}
	season := "hours of the week on the persona's own clock"
	if !v.OwnSeason {
		season += fmt.Sprintf(" (below %d events the tenant's season is used)", baselines.SeasonEvents)
	}
	p.Line("\n    %s", season)
	var flat [168]float64
	for i := range flat {
		flat[i] = v.Season[i/24][i%24]
	}
	for _, row := range inner.Week(&flat) {
		p.Line("    %s", strings.TrimRight(row, " "))
	}
	p.Line(
		"\n    an agent in a mean hour of the week: expected, and what 1 in 1,000 windows reaches (~ a guess, too few windows to fit)")
	rows := [][]string{{"FEATURE", "PER HOUR"}}
	for w := range baselines.Windows {
		rows[0] = append(rows[0], "IN "+strings.ToUpper(windowNames[w]))
	}
	for i := range v.Features {
		f := &v.Features[i]
		row := []string{featureText(f), terminal.Rough(f.PerHour)}
		for _, w := range f.Windows {
			guess := map[bool]string{false: "~"}[w.Fitted]
			row = append(row, fmt.Sprintf("%s, %s%s", terminal.Rough(w.Expected), guess, terminal.Rough(w.High)))
		}
		rows = append(rows, row)
	}
	p.Table(rows)
	p.Line("\n    a session by its end: 1 %%, the middle, and 99.9 %% of sessions")
	name := 0
	for i := range v.Features {
		name = max(name, len(featureText(&v.Features[i])))
	}
	for i := range v.Features {
		f := &v.Features[i]
		text := fmt.Sprintf("too few sessions to tell (%d are needed)", baselines.MinReference)
		if s := f.Session; s != nil {
			text = terminal.Drawing{Width: inner.Width - name - 2, ASCII: d.ASCII}.Band(terminal.ThreeFigures(s.Low),
				terminal.ThreeFigures(s.Median),
				terminal.ThreeFigures(s.High), math.NaN(), true)
		}
		p.Line("    %s  %s", terminal.Pad(featureText(f), name), text)
	}
	var failing []string
	for _, o := range v.Outcomes {
		failing = append(failing, event.Percent(o.Share)+" "+o.Outcome)
	}
	p.Line("\n    of first contacts: %s", strings.Join(failing, ", "))
}

// featureText is a feature with its unit.
func featureText(f *featureView) string {
	if f.Unit == "" {
		return f.Feature
	}
	return f.Feature + " " + terminal.Visible(f.Unit, 10)
}

// changes says what differs from an earlier view.
func (v *volumeView) changes(was *volumeView) (out []Change) {
	for i := range v.Features {
		now := &v.Features[i]
		var before *featureView
		for j := range was.Features {
			if was.Features[j].Feature == now.Feature {
				before = &was.Features[j]
			}
		}
		if before == nil {
			out = append(out, Change{"new", "volume", featureText(now), "", terminal.Rough(now.PerHour) + " per hour",
				nil})
			continue
		}
		out = shifted(out, "volume", featureText(now)+" per hour", before.PerHour, now.PerHour)
		if before.Session != nil && now.Session != nil {
			out = shifted(out, "volume", featureText(now)+" of the middle session", before.Session.Median,
				now.Session.Median)
			out = shifted(out, "volume", featureText(now)+" that 1 in 1,000 sessions reaches", before.Session.High,
				now.Session.High)
		}
	}
	for i := range was.Features {
		f := &was.Features[i]
		gone := true
		for j := range v.Features {
			gone = gone && v.Features[j].Feature != f.Feature
		}
		if gone {
			out = append(out, Change{"gone", "volume", featureText(f), terminal.Rough(f.PerHour) + " per hour", "",
				nil})
		}
	}
	for i := range v.Outcomes {
		if i < len(was.Outcomes) {
			out = shifted(out, "volume", v.Outcomes[i].Outcome+", share of first contacts", was.Outcomes[i].Share,
				v.Outcomes[i].Share)
		}
	}
	// The hour whose weight has moved most says more than 168 numbers.
	most, at := 0.0, 0
	for h := range 168 {
		if d := math.Abs(v.Season[h/24][h%24] - was.Season[h/24][h%24]); d > most {
			most, at = d, h
		}
	}
	if most >= 0.5 {
		// 1970-01-01 was a Thursday
		name := "season, " + time.UnixMilli(int64(at-72)*3_600_000).UTC().Format("Mon 15:00")
		out = shifted(out, "volume", name+" over the mean hour", was.Season[at/24][at%24], v.Season[at/24][at%24])
	}
	return out
}
