package pipeline

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/detectors/rarity"
)

// A snapshot larger than a broker takes at once travels in pieces: through the topic it comes to
// the snapshot cache and to those who read, and goes as it came.
func TestALargeSnapshotTravelsInPieces(t *testing.T) {
	const most = 512 << 10 // bytes of a piece
	day, key := int64(midnight/baselines.DayMS), baselines.Key{Tenant: "t", Persona: "clerk"}
	d := baselines.Delta{Events: 1, AgentDays: 400}
	for f := range rarity.Fields {
		rarity.DeltaOf(&d).Days = 400
		for i := range 20_000 {
			s := rarity.DeltaOf(&d).See(f, xxhash.Sum64String(fmt.Sprint(f, i)), false)
			if s == nil {
				break
			}
			s.Name = fmt.Sprintf("%s%d", strings.Repeat("n", 120), i)
		}
	}
	m := baselines.Learn(nil, key, day, &d, baselines.Terms{Approved: true})
	value := m.Append(nil)
	t.Logf("%d KiB", len(value)>>10)
	if len(value) <= most {
		t.Fatalf("only %d bytes: one piece", len(value))
	}
	b := newRelation(0, engine(t, 1, 1, none), none)
	b.begin(1, true)
	b.closed = day
	b.setModel(&lineage{key: key}, m, day, 1)
	b.publish(&Closing{From: day, To: day}, b.lineages())
	l := newSnapshotCache(t.Context(), nil, nil, "wayward.baselines", b.rules.facts, slog.New(slog.DiscardHandler))
	read := Snapshots{}
	pieces, topic := 0, map[string]bool{}
	for _, o := range b.out {
		if o.to != toBaselines {
			continue
		}
		if o.key[0] == 's' {
			pieces++
			topic[string(o.key)] = true
		}
		if len(o.value) > most {
			t.Errorf("a piece of %d bytes", len(o.value))
		}
		l.take(o.key, o.value)
		if err := read.Add(o.key, o.value); err != nil {
			t.Error(err)
		}
	}
	if pieces != (len(value)+most-1)/most || pieces < 2 {
		t.Errorf("%d bytes in %d pieces", len(value), pieces)
	}
	models := read.Models(true, func(err error) { t.Error(err) })
	if len(models) != 1 || models[0].Model.Hash() != m.Hash() || models[0].Bytes != len(value) {
		t.Errorf("readers put %d snapshots together", len(models))
	}
	if got, err := l.find(key, day, func(baselines.Key, int64) *ruling { return nil }); err != nil || got == nil ||
		got.Hash() != m.Hash() {
		t.Errorf("the snapshot cache finds %v, %v", got != nil, err)
	}
	at := len(b.out)
	b.forgetModel(b.lineages()[0].models[0])
	for _, o := range b.out[at:] {
		if o.value != nil || !topic[string(o.key)] {
			t.Errorf("%q is no piece, or it is not buried", o.key)
		}
		delete(topic, string(o.key))
	}
	if len(topic) > 0 {
		t.Errorf("pieces stay: %v", topic)
	}
}
