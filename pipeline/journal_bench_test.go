package pipeline

import (
	"fmt"
	"testing"
)

func journalOf(control int) *journal {
	j := &journal{seq: 7, now: written, next: [2]int64{5, 4000}, events: 4000, watermark: written, digest: 1}
	for i := range control {
		j.control = append(j.control, record{offset: int64(i), stamp: written, value: control0})
	}
	return j
}

var control0 = control{Kind: controlVerdict, Tenant: "acme", Agent: "agent-00001",
	Finding: "0123456789abcdef0123456789abcdef", Severity: 3, Risk: 50, Time: written}.encode()

func BenchmarkJournal(b *testing.B) {
	for _, n := range []int{0, 100} {
		j := journalOf(n)
		b.Run(fmt.Sprintf("encode %d control records", n), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				j.encode()
			}
		})
		one := j.encode()[0]
		b.Run(fmt.Sprintf("decode %d control records", n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(one)))
			for range b.N {
				if _, err := readJournal(one); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
