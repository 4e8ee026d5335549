// Package feed produces the events of a made-up fleet to Kafka as they happen. It knows the Kafka
// client, package fleet and the engine's words for a broker's errors, and nothing else of the
// engine. Begin with Run.
package feed

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/fleet"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// Run produces the made-up fleet's events to a topic at a rate a second, stamped with the present,
// until the context ends or the broker refuses one.
func Run(ctx context.Context, options []kgo.Opt, topic string, rate float64, seed int64) error {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.DefaultProduceTopic(topic),
		kgo.ProducerBatchCompression(kgo.Lz4Compression())}, options...)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	start := time.Now()
	s := fleet.NewTraffic(fleet.TrafficOptions{Seed: seed, Start: start.UnixMilli(), Rate: rate,
		Attacks: true, Disorder: 300, Agents: 200})
	var failed atomic.Pointer[error]
	for ctx.Err() == nil && failed.Load() == nil {
		behind := time.Since(start).Milliseconds()
		for s.Time-start.UnixMilli() <= behind && ctx.Err() == nil {
			value := s.Next(make([]byte, 0, 1024))
			cl.Produce(ctx, &kgo.Record{Key: append([]byte(nil), s.Key...), Value: value},
				func(_ *kgo.Record, err error) {
					if err != nil && ctx.Err() == nil {
						failed.CompareAndSwap(nil, &err)
					}
				})
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := failed.Load(); err != nil {
		return fmt.Errorf("producing events: %s", broker.Explain(*err))
	}
	return nil
}
