package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/history"
)

// Replay replays a file of events, without reading or writing Kafka.
func (o *Options) Replay(ctx context.Context) (*Figures, error) {
	policies, err := config.LoadPolicies(o.Policies)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "wayward-bench-*.jsonl")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	s := o.stream()
	var buf []byte
	for range o.Events {
		if buf = append(s.Next(buf), '\n'); len(buf) > 1<<20 {
			if _, err := file.Write(buf); err != nil {
				return nil, err
			}
			buf = buf[:0]
		}
	}
	if _, err := file.Write(buf); err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	f := &Figures{}
	for range o.Runs {
		runtime.GC()
		u := used()
		lines, err := history.OpenLines(file.Name())
		if err != nil {
			return nil, err
		}
		r := pipeline.Replay{Policy: policies, Flush: true, Deliver: func(*event.Finding) error { return nil }}
		sum, err := r.Run(ctx, lines)
		lines.Close()
		if err != nil {
			return nil, err
		}
		if sum.Events != int64(o.Events) {
			return nil, fmt.Errorf("%d of %d events replayed: %v", sum.Events, o.Events, sum.Dead)
		}
		f.since(u, "replay", o.Events)
		f.add("replay_findings", float64(sum.Findings), "findings")
	}
	return f, nil
}
