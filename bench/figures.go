package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// CPU names the processor.
func CPU() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "unknown processor"
}

// usage is what a run cost.
type usage struct {
	wall   time.Time
	cpu    time.Duration
	allocs uint64
}

// used is what the process has cost so far.
func used() usage {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{time.Now(), time.Duration(r.Utime.Nano() + r.Stime.Nano()), m.Mallocs}
}

// resident is the memory of the process in MiB.
func resident() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			return kb / 1024
		}
	}
	return 0
}

// Figures collects the values of several runs.
type Figures struct {
	names []string
	unit  map[string]string
	all   map[string][]float64
}

func (f *Figures) add(name string, v float64, unit string) {
	if f.all == nil {
		f.all, f.unit = map[string][]float64{}, map[string]string{}
	}
	if f.all[name] == nil {
		f.names = append(f.names, name)
		f.unit[name] = unit
	}
	f.all[name] = append(f.all[name], v)
}

// since adds what n events cost since u.
func (f *Figures) since(u usage, prefix string, events int) {
	n := used()
	e := float64(events)
	f.add(prefix+"_events_per_second", e/n.wall.Sub(u.wall).Seconds(), "events/s")
	f.add(prefix+"_cpu_per_event", float64((n.cpu-u.cpu).Nanoseconds())/e/1000, "us/event")
	f.add(prefix+"_allocations_per_event", float64(n.allocs-u.allocs)/e, "allocs/event")
	f.add(prefix+"_resident", resident(), "MiB")
}

// Print writes lines "name value unit", the value being the median.
func (f *Figures) Print(w io.Writer) {
	for _, n := range f.names {
		v := slices.Sorted(slices.Values(f.all[n]))
		fmt.Fprintf(w, "%s %.4g %s\n", n, v[len(v)/2], f.unit[n])
	}
}
