package pipeline

import (
	"testing"

	"github.com/wayward-sec/wayward/policy"
)

func BenchmarkReplay(b *testing.B) {
	set := policy.Default()
	for name, step := range map[string]int64{"1000 events a second": 2, "2 events a second": 1000} {
		b.Run(name, func(b *testing.B) {
			g := stream(3, 0, 2000)
			g.step = step
			path := write(b, "events.jsonl", fileOf(g, 100_000))
			b.ReportAllocs()
			b.ResetTimer()
			n := int64(0)
			for range b.N {
				got := replayFile(b, path, set, 2, 0, false)
				if got.err != nil {
					b.Fatal(got.err)
				}
				n += got.sum.Events
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
