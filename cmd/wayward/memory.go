package main

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
				sizeOf(pipeline.LeastMemory))
		}
		return int64(n * factor), nil
	}
	return 0, fmt.Errorf("%s is no amount of memory; write 2GiB or 512MiB, or off", quoted(text))
}

// sizeOf is an amount of memory as people write it.
func sizeOf(n int64) string {
	if n >= 1<<30 {
		return strconv.FormatFloat(math.Round(float64(n)/(1<<30)*10)/10, 'f', -1, 64) + "GiB"
	}
	return strconv.FormatInt(n>>20, 10) + "MiB"
}

// memoryOf is how much memory this process may use, 0: as much as it likes; and where that comes
// from.
func memoryOf(text string) (n int64, from string, err error) {
	if n, err = parseMemory(text); err != nil || n >= 0 {
		return n, "as set", err
	}
	n, from = pipeline.DefaultMemory()
	return n, from, nil
}

// budgetOf is the budget of this process, and where it comes from. The runtime is told of it.
func budgetOf(text string) (b *pipeline.Budget, from string, err error) {
	n, from, err := memoryOf(text)
	if err != nil {
		return nil, "", err
	}
	return pipeline.NewBudget(n), from, nil
}

func (d *doctor) memory() {
	n, from, err := memoryOf(d.c.Memory)
	switch {
	case err != nil: // the config's check has said so
	case n == 0:
		d.say("memory", warningStatus, "without a bound (%s): whoever invents agents fills it; set memory", from)
	case n < pipeline.LeastMemory:
		d.say("memory", warningStatus,
			"%s (%s) is little: pages are read from disk again and again; give it at least %s", sizeOf(n), from,
			sizeOf(pipeline.LeastMemory))
	default:
		d.say("memory", fineStatus,
			"%s (%s); a tenant may have %d agents, sessions and scopes remembered in each stage, about %s of it while all are at work and of disk beyond",
			sizeOf(n), from,
			d.c.Engine.PageCap, sizeOf(int64(d.c.Engine.PageCap)*pipeline.PageBytes))
	}
}

// quoted writes a text as JSON does.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // our bug: a string always can be
	}
	return string(b)
}
