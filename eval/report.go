package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/wayward-sec/wayward/baselines"
)

// number is a float64 of a report; what is not known is null.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// bounded is a number with its 95 % bounds.
type bounded struct {
	Value number `json:"value"`
	Low   number `json:"low"`
	High  number `json:"high"`
}

func share(k, n int) bounded {
	low, high := Share(k, n)
	return bounded{number(float64(k) / float64(n)), number(low), number(high)}
}

// rate is k over n units, k Poisson.
func rate(k int, n float64) bounded {
	low, high := baselines.Poisson95(float64(k))
	return bounded{number(float64(k) / n), number(low / n), number(high / n)}
}

func (b bounded) String() string {
	return fmt.Sprintf("%s (%s–%s)", brief(b.Value), brief(b.Low), brief(b.High))
}

// percent writes a share.
func (b bounded) percent() string {
	if math.IsNaN(float64(b.Value)) {
		return "–"
	}
	return fmt.Sprintf("%.1f %% (%.0f–%.0f)", 100*b.Value, 100*b.Low, 100*b.High)
}

// whole writes a share in percent.
func whole(n number) string {
	if math.IsNaN(float64(n)) {
		return "–"
	}
	return fmt.Sprintf("%.0f", 100*n)
}

// brief writes a number with as many places as it deserves.
func brief(n number) string {
	v := math.Abs(float64(n))
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "all"
	case v >= 100:
		return fmt.Sprintf("%.0f", n)
	case v >= 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

// Report is what an evaluation found, as --json writes it; its rows follow.
type (
	Report struct {
		Version  string     `json:"version"`
		Machine  string     `json:"machine"`
		Seeds    []uint64   `json:"seeds"`
		Days     int        `json:"days"`
		Scale    float64    `json:"scale"`
		Families []string   `json:"families,omitempty"`
		Runs     []RunRow   `json:"runs"`
		Tests    []TestRow  `json:"tests,omitempty"`
		False    []FalseRow `json:"false_alarms,omitempty"`
		Attacks  []PowerRow `json:"attacks,omitempty"`
		// Apart are the same attacks judged by what was learned without them.
		Apart     []PowerRow     `json:"attacks_apart,omitempty"`
		Precision []PrecisionRow `json:"precision,omitempty"`
		Ramps     []RampRow      `json:"ramps,omitempty"`
		Repeats   []RepeatRow    `json:"repeats,omitempty"`
		Drift     []DriftRow     `json:"drift,omitempty"`
		Recorded  []SessionRow   `json:"recorded,omitempty"`
		Logs      *LogsRow       `json:"logs,omitempty"`
		Gates     []Gate         `json:"gates"`
	}
	RunRow struct {
		Name            string `json:"name"`
		Seed            uint64 `json:"seed"`
		Events          int64  `json:"events"`
		Sessions        int    `json:"sessions"` // of the days measured
		Findings        int64  `json:"findings"`
		EventsPerSecond number `json:"events_per_second"`
		// decoding and all shards, without making the stream
		CPUPerEvent number `json:"cpu_ns_per_event"`
		Hash        string `json:"hash"`
	}
	// TestRow says how often a test came out low over how often it should have.
	TestRow struct {
		Test    string          `json:"test"`
		Family  string          `json:"family"`
		Persona string          `json:"persona,omitempty"` // empty: all
		Seed    uint64          `json:"seed,omitempty"`    // 0: all
		Counts  baselines.Tally `json:"counts"`
		Ratio   [3]bounded      `json:"ratio"` // at 1e-2, 1e-3, 1e-4
		Alerts  int             `json:"alerts"`
		Nominal number          `json:"nominal_alerts"` // tests made times the threshold in force
	}
	// FalseRow counts alerts in streams without attacks.
	FalseRow struct {
		What     string  `json:"what"` // all, a family, or a persona
		Seed     uint64  `json:"seed,omitempty"`
		Alerts   int     `json:"alerts"`
		Thousand bounded `json:"per_1000_sessions"`
		Daily    bounded `json:"per_persona_day"`
	}
	PowerRow struct {
		Kind    string             `json:"kind"`
		Made    int                `json:"made"`
		Alert   bounded            `json:"alert"`
		Low     bounded            `json:"at_1e-3"`
		Once    bounded            `json:"at_1_false_alarm"` // per 1,000 sessions
		Often   bounded            `json:"at_5_false_alarms"`
		Family  map[string]bounded `json:"family"`
		Rules   bounded            `json:"rules"`
		Half    bounded            `json:"before_half"` // of attacks of several events
		Events  number             `json:"median_events"`
		Seconds number             `json:"median_seconds"`
	}
	// PrecisionRow is one point of the curve of precision and recall: the threshold is a multiple
	// of each test's own.
	PrecisionRow struct {
		False     number `json:"false_alarms_per_1000_sessions"`
		Threshold number `json:"threshold"`
		Recall    number `json:"recall"` // mean over kinds
		Precision number `json:"precision"`
		Apart     number `json:"recall_apart"`
		PApart    number `json:"precision_apart"`
	}
	RampRow struct {
		Kind   string  `json:"kind"`
		Made   int     `json:"made"`
		Found  bounded `json:"found"`
		Before bounded `json:"before_4x"`
		Size   number  `json:"median_multiple"`
		Days   number  `json:"median_days"`
		// Others are agents that did not grow and raised such an alert within the same days.
		Others bounded `json:"others"`
	}
	RepeatRow struct {
		Kind  string    `json:"kind"`
		Days  []int     `json:"days"`
		Alert []bounded `json:"alert"`
		Low   []bounded `json:"at_1e-3"`
	}
	DriftRow struct {
		Name  string    `json:"name"`
		Weeks []bounded `json:"alerts_per_1000_sessions"` // from day 21 on
	}
	SessionRow struct {
		Name     string      `json:"name"`
		Sessions int         `json:"benign_sessions"`
		Alerts   int         `json:"alerts"`
		Nominal  number      `json:"nominal"`
		Ratio    bounded     `json:"ratio"`
		Tests    []CalledRow `json:"tests"`
		Alarmed  bounded     `json:"benign_sessions_alarmed"`
		Unseen   bounded     `json:"exposed_unseen_alarmed"`
		Recall   bounded     `json:"attacked_sessions_alarmed"`
		Attacked int         `json:"attacked_sessions"`
	}
	// CalledRow is how often a test raised an alert, and how often it should have.
	CalledRow struct {
		Test    string  `json:"test"`
		Made    uint64  `json:"made"`
		Alerts  int     `json:"alerts"`
		Nominal number  `json:"nominal"`
		Ratio   bounded `json:"ratio"`
	}
	LogsRow struct {
		Train  int     `json:"train"`
		Normal int     `json:"normal"`
		Failed int     `json:"failed"`
		AUC    bounded `json:"auc"`
	}
	// Gate is a number that a release must reach.
	Gate struct {
		Name  string `json:"name"`
		Got   string `json:"got"`
		Want  string `json:"want"`
		Holds bool   `json:"holds"`
	}
)

// Holds tells whether all gates hold.
func (r *Report) Holds() bool {
	return !slices.ContainsFunc(r.Gates, func(g Gate) bool { return !g.Holds })
}
