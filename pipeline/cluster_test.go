package pipeline

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

func fakeCluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, *kadm.Client) {
	t.Helper()
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()[0]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return c, kadm.NewClient(cl)
}

func startEmbedded(t *testing.T, dir string) *broker.Embedded {
	t.Helper()
	e, err := broker.StartEmbedded(dir, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func planned(t *testing.T, adm *kadm.Client, specs []broker.TopicSpec) []broker.Change {
	t.Helper()
	changes, err := broker.PlanTopics(t.Context(), adm, specs)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

// applyTopics makes the topics of specs on the broker.
func applyTopics(ctx context.Context, adm *kadm.Client, specs []broker.TopicSpec) error {
	changes, err := broker.PlanTopics(ctx, adm, specs)
	if err != nil {
		return err
	}
	return broker.ApplyTopics(ctx, adm, changes, nil)
}

// logLines collects what an engine logs.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}
