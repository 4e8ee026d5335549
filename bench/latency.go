package bench

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

// latency measures how long it takes from an event to its finding and to its command.
type latency struct {
	commandTopic     string
	after            atomic.Int64 // only events after this time count, in milliseconds; 0: none
	alerts, commands []float64    // milliseconds
}

// add measures a finding or a command that has just been read.
func (l *latency) add(r *kgo.Record) {
	now, after := time.Now().UnixMilli(), l.after.Load()
	if r.Topic == l.commandTopic {
		cmd, err := event.ParseCommand(r.Value)
		if err == nil && cmd.Issuer.Type == "rule" && after > 0 && cmd.Time > after {
			l.commands = append(l.commands, float64(now-cmd.Time))
		}
		return
	}
	if !bytes.Contains(r.Value, []byte(`"activity_id":1,`)) {
		return // an update keeps its trigger's time
	}
	var at int64 // of the event that triggered it
	for _, h := range r.Headers {
		if h.Key == "ce_time" {
			if t, err := time.Parse(time.RFC3339Nano, string(h.Value)); err == nil {
				at = t.UnixMilli()
			}
		}
	}
	if at > after && after > 0 {
		l.alerts = append(l.alerts, float64(now-at))
	}
}

// report adds the percentiles.
func (l *latency) report(f *Figures, name string) error {
	if len(l.alerts) < 100 {
		return fmt.Errorf("only %d findings at half load: too few to speak of a percentile", len(l.alerts))
	}
	if len(l.commands) < 100 {
		return fmt.Errorf("only %d commands at half load: too few to speak of a percentile", len(l.commands))
	}
	slices.Sort(l.alerts)
	slices.Sort(l.commands)
	f.add(name+"_violation_to_command_p50", l.commands[len(l.commands)/2], "ms")
	f.add(name+"_violation_to_command_p99", l.commands[len(l.commands)*99/100], "ms")
	f.add(name+"_event_to_alert_p50", l.alerts[len(l.alerts)/2], "ms")
	f.add(name+"_event_to_alert_p99", l.alerts[len(l.alerts)*99/100], "ms")
	return nil
}
