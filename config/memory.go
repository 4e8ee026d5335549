package config

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/wayward-sec/wayward/pipeline"
)

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
