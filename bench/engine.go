package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// writePolicies writes limits that an ordinary workload crosses now and then, in the behaviour stage.
func writePolicies(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "limits"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "limits", "bench.yaml"), []byte(`builtin: true
limits:
  - id: bench-agent-calls
    title: Bench
    scope: agent
    measure: count
    max: 20
    window: 1s
    kind: tumbling
    severity: low
    respond: {action: throttle, scope: agent, duration: 1s, calls: 10, per: 1s}
  - id: bench-session-calls
    title: Bench
    scope: session
    measure: count
    max: 40
    severity: low
    respond: {action: escalate, scope: session, duration: 5s}
`), 0o644)
}

// await waits until done, or until the engine stops.
func await(ctx context.Context, engine <-chan error, done func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case err := <-engine:
			return fmt.Errorf("the engine stopped: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
