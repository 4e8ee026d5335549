package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/pipeline"
)

// parseDuration reads 20ms, 10s, 1h30m or 7d.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err == nil && s == "0" {
		return 0, nil
	}
	if _, bare := strconv.ParseFloat(s, 64); bare == nil {
		return 0, errors.New("it needs a unit, as 20ms, 10s, 5m, 12h or 7d")
	}
	if err != nil {
		return 0, errors.New("write it as 20ms, 10s, 5m, 12h or 7d")
	}
	return d, nil
}

// FormatDuration writes a duration as parseDuration reads it, without the zeros that Go writes.
func FormatDuration(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseRoom reads 512MiB or 2GiB in bytes; 0 is auto.
func parseRoom(s string) (int64, error) {
	if s == "auto" {
		return 0, nil
	}
	for unit, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "KB": 1e3,
		"MB": 1e6, "GB": 1e9, "TB": 1e12} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			x, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
			if err != nil || !(x > 0) || x*float64(bytes) > 1<<50 {
				break
			}
			return int64(x * float64(bytes)), nil
		}
	}
	return 0, errors.New("write it as 512MiB or 2GiB, or auto")
}

// parseMemory reads an amount of memory: 2GiB, 512MiB, "off" (0: no bound), or "" (-1: what the
// process has).
func parseMemory(text string) (int64, error) {
	switch text {
	case "":
		return -1, nil
	case "off":
		return 0, nil
	}
	for unit, factor := range map[string]float64{"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10} {
		number, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(n) || n*factor > 1<<50 {
			break
		}
		if n*factor < pipeline.LeastMemory {
			return 0, fmt.Errorf("%s is too little; give it at least %s, or off", quoted(text),
				FormatMemory(pipeline.LeastMemory))
		}
		return int64(n * factor), nil
	}
	return 0, fmt.Errorf("%s is no amount of memory; write 2GiB or 512MiB, or off", quoted(text))
}

// FormatMemory is an amount of memory as people write it.
func FormatMemory(n int64) string {
	if n >= 1<<30 {
		return strconv.FormatFloat(math.Round(float64(n)/(1<<30)*10)/10, 'f', -1, 64) + "GiB"
	}
	return strconv.FormatInt(n>>20, 10) + "MiB"
}

// Memory is how much memory this process may use, 0: as much as it likes; and where that comes
// from.
func Memory(text string) (n int64, from string, err error) {
	if n, err = parseMemory(text); err != nil || n >= 0 {
		return n, "as set", err
	}
	n, from = pipeline.DefaultMemory()
	return n, from, nil
}

// Budget is the budget of this process, and where it comes from. The runtime is told of it.
func Budget(text string) (b *pipeline.Budget, from string, err error) {
	n, from, err := Memory(text)
	if err != nil {
		return nil, "", err
	}
	return pipeline.NewBudget(n), from, nil
}

// quoted writes a text as JSON does.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // our bug: a string always can be
	}
	return string(b)
}

// FormatBytes writes a number of bytes for people.
func FormatBytes(n int64) string {
	f, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
