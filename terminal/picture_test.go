package terminal

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// anyBand is a band of what is usual, where it may lie.
func anyBand(r *rand.Rand) (low, expected, high, observed float64) {
	n := func() float64 { return math.Copysign(math.Pow(10, r.Float64()*12-2), r.Float64()-.1) }
	v := []float64{n(), n(), n()}
	return min(v[0], v[1], v[2]), v[0], max(v[0], v[1], v[2]), n()
}

func TestABandFitsAndShowsOnWhichSideTheObservedLies(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 5000 {
		low, expected, high, seen := anyBand(r)
		d := Drawing{60 + r.IntN(60), r.IntN(2) == 0}
		got := d.Band(low, expected, high, seen, true)
		if n := utf8.RuneCountInString(got); n > d.Width {
			t.Fatalf("%d columns of %d: %s", n, d.Width, got)
		}
		mark := strings.Index(got, d.Pick("●", "*"))
		begin, end := strings.Index(got, d.Pick("├", "[")), strings.Index(got, d.Pick("┤", "]"))
		switch {
		case mark < 0 || strings.Count(got, d.Pick("●", "*")) != 1 || begin > end:
			t.Fatalf("%v in %v to %v: %s", seen, low, high, got)
		case seen > high && mark < end, seen < low && mark > begin, seen >= low && seen <= high &&
			(mark < begin || mark > end):
			t.Fatalf("%v in %v to %v stands on the wrong side: %s", seen, low, high, got)
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for i := range 4 {
			v := []float64{1, 2, 3, 4}
			v[i] = bad
			got := (Drawing{80, false}).Band(v[0], v[1], v[2], v[3], true)
			if i == 3 && math.IsNaN(bad) { // nothing was observed
				if n := utf8.RuneCountInString(got); n == 0 || n > 80 || strings.Contains(got, "●") {
					t.Errorf("%v: %s", v, got)
				}
			} else if got != "" {
				t.Errorf("%v: %s", v, got)
			}
		}
	}
	for _, v := range [][4]float64{{}, {1, 1, 1, 1}, {5, 5, 5, 6}, {0, 0, 0, 1e308}, {-1e308, 0, 1e308, 0},
		{3, 9, 1, 2}} {
		if got := (Drawing{1, false}).Band(v[0], v[1], v[2], v[3], true); got == "" || strings.Contains(got, "NaN") {
			t.Errorf("%v: %q", v, got)
		}
	}
}

func TestMoreIsDrawnFurtherAway(t *testing.T) {
	d := Drawing{100, false}
	before := -1
	for _, seen := range []float64{97, 150, 400, 2000, 1e5, 1e9} {
		dots := strings.Count(d.Band(1, 9, 96, seen, true), "·")
		if dots < before {
			t.Errorf("%v is drawn nearer than less: %d dots after %d", seen, dots, before)
		}
		before = dots
	}
}

func TestBarsFillTheirWidth(t *testing.T) {
	for _, d := range []Drawing{{80, true}, {80, false}} {
		for _, share := range []float64{-1, 0, 1e-9, .01, .5, .999, 1, 7, math.NaN()} {
			got := d.Bar(share, 10)
			if n := utf8.RuneCountInString(got); n != 10 {
				t.Errorf("%v: %q has %d columns", share, got, n)
			}
			if (strings.TrimSpace(got) != "") != (share > 0) {
				t.Errorf("%v: %q", share, got)
			}
		}
	}
}

func TestTheLocaleSaysWhetherATerminalUnderstandsUTF8(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "de_DE.utf8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "C.UTF-8"}, true},
		{nil, false},
	} {
		if got := utf8Locale(func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}

func TestASeasonIsDrawnHourByHour(t *testing.T) {
	var season [168]float64
	for h := range season {
		season[h] = float64(h%24) / 11.5
	}
	for _, d := range []Drawing{{100, false}, {100, true}} {
		rows := d.Week(&season)
		if len(rows) != 9 {
			t.Fatalf("%d rows", len(rows))
		}
		for _, row := range rows[1:8] {
			if n := len([]rune(row)); n != 5+48 {
				t.Errorf("%d columns: %q", n, row)
			}
		}
	}
	// a tenth from hour 2 on, half from 6, all from 12
	want := "Mon  " + strings.Repeat(" ", 4) + strings.Repeat("..", 4) + strings.Repeat("::", 6) + strings.Repeat("++",
		11) + "##"
	if got := (Drawing{100, true}).Week(&season)[1]; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
