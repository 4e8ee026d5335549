package broker

import "github.com/twmb/franz-go/pkg/kgo"

// murmur2 is Kafka's default partitioner. It keeps nothing of a record that has a key.
var murmur2 = kgo.StickyKeyPartitioner(nil).ForTopic("")

// KeyPartition is the partition of a record's key, of n, by Kafka's default partitioner (murmur2).
func KeyPartition(r *kgo.Record, n int32) int32 { return int32(murmur2.Partition(r, int(n))) }

// Partitioner sends a record to the partition that it names. If that is negative, it goes where
// every Kafka client would send its key.
var Partitioner = kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
	return func(r *kgo.Record, n int) int {
		if r.Partition >= 0 {
			return int(r.Partition)
		}
		if r.Key == nil {
			return 0
		}
		return murmur2.Partition(r, n)
	}
})
