package pipeline

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
)

// pieced are the records of a value as emitChunks writes them, but in smaller pieces.
func pieced(key, value []byte, size int) (out [][2][]byte) {
	n := max(1, (len(value)+size-1)/size)
	for i := range n {
		out = append(out, [2][]byte{fmt.Appendf(nil, "%s|%d|%d", key, i, n),
			value[i*size : min(len(value), (i+1)*size)]})
	}
	return out
}

func modelOfDay(persona string, day int64) *baselines.Model {
	d := &baselines.Delta{Events: uint64(day), Learned: uint64(day), Sessions: 1, AgentDays: 1}
	return baselines.Learn(nil, baselines.Key{Tenant: "acme", Persona: persona, Fork: "v|1%"}, day, d,
		baselines.Terms{})
}

func TestSnapshotsAreWholeInWhateverOrderTheirPiecesCome(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var parts [][2][]byte
	want := map[string]bool{}
	for day := range int64(9) {
		m := modelOfDay(fmt.Sprint("p", day%3), 20_000+day)
		if key := string(nameOf(m).key()); !strings.HasPrefix(key,
			SnapshotPrefix(m.Key)) {
			t.Errorf("%s does not begin with %s", key, SnapshotPrefix(m.Key))
		}
		want[m.Snapshot()] = true
		parts = append(parts, pieced(nameOf(m).key(), m.Append(nil), 7)...)
	}
	none := func(err error) { t.Errorf("%v", err) }
	for range 20 {
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		var s Snapshots
		for _, rec := range parts {
			if err := s.Add(rec[0], rec[1]); err != nil {
				t.Fatal(err)
			}
		}
		got := s.Models(false, none)
		if len(got) != len(want) {
			t.Fatalf("%d snapshots of %d", len(got), len(want))
		}
		for i, x := range got {
			if !want[x.Model.Snapshot()] || i > 0 && compareKeys(got[i-1].Model.Key, x.Model.Key) > 0 {
				t.Fatalf("%s comes out of order, or from nowhere", x.Model.Snapshot())
			}
		}
	}
}

func TestThePresentSnapshotIsTheOneThatWasWrittenLast(t *testing.T) {
	var s Snapshots
	put := func(m *baselines.Model) {
		for _, r := range pieced(nameOf(m).key(), m.Append(nil), 100) {
			if err := s.Add(r[0], r[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	monday, tuesday, other := modelOfDay("a", 20_000), modelOfDay("a", 20_001), modelOfDay("b", 20_000)
	put(monday)
	put(tuesday)
	put(other)
	put(monday)
	if err := s.Add([]byte("c|0|20001|20001|0|1"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	got := s.Models(true, func(err error) { t.Errorf("%v", err) })
	if len(got) != 2 || got[0].Model.Hash() != monday.Hash() || got[1].Model.Hash() != other.Hash() {
		t.Errorf("%d present snapshots, not Monday's and the other's", len(got))
	}
	if all := s.Models(false, func(error) {}); len(all) != 3 {
		t.Errorf("%d snapshots in all", len(all))
	}
}

func TestWhatIsNotWholeOrNotWhatItsKeySaysIsLeftOut(t *testing.T) {
	m, other := modelOfDay("a", 20_000), modelOfDay("b", 20_001)
	parts := pieced(nameOf(m).key(), m.Append(nil), 9)
	for name, add := range map[string]func(*Snapshots){
		"a piece is missing": func(s *Snapshots) {
			for _, r := range parts[1:] {
				s.Add(r[0], r[1])
			}
		},
		"a piece was deleted": func(s *Snapshots) {
			for _, r := range parts {
				s.Add(r[0], r[1])
			}
			s.Add(parts[0][0], nil)
		},
		"another model": func(s *Snapshots) {
			r := pieced(nameOf(m).key(), other.Append(nil), 1<<20)[0]
			s.Add(r[0], r[1])
		},
		"bytes too many": func(s *Snapshots) {
			r := pieced(nameOf(m).key(), append(m.Append(nil), 0), 1<<20)[0]
			s.Add(r[0], r[1])
		},
	} {
		var s Snapshots
		add(&s)
		bad := 0
		if got := s.Models(false, func(error) { bad++ }); len(got) != 0 || bad != 1 {
			t.Errorf("%s: %d snapshots, %d complaints", name, len(got), bad)
		}
	}
	var s Snapshots
	for _, r := range parts {
		s.Add(r[0], r[1])
	}
	for _, r := range parts {
		s.Add(r[0], nil)
	}
	if got := s.Models(false, func(err error) { t.Errorf("deleted: %v", err) }); len(got) != 0 {
		t.Errorf("%d snapshots after all their pieces were deleted", len(got))
	}
	for _, key := range []string{"", "|", "||", "s|a|b|c|1|x|0|0", "s|a|b|c|1|x|-1|2", "s|a|b|c|1|x|2|2",
		"s|a|b|c|1|x|0|1000000000", "x|0|1", "s|a|b|0|1", "s|a|b|c|one|x|0|1"} {
		want := Snapshots{Want: func(baselines.Key, int64) bool { return true }}
		if err := want.Add([]byte(key), []byte("v")); err == nil {
			t.Errorf("key %q is taken", key)
		}
	}
}

func FuzzSnapshots(f *testing.F) {
	m := modelOfDay("a", 20_000)
	f.Add(nameOf(m).key(), m.Append(nil))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s := Snapshots{Want: func(baselines.Key, int64) bool { return true }}
		for _, r := range pieced(key, value, 11) {
			s.Add(r[0], r[1])
		}
		for _, x := range s.Models(true, func(error) {}) {
			if string(nameOf(x.Model).key()) != string(key) {
				t.Fatalf("%q gave %s", key, x.Model.Snapshot())
			}
		}
	})
}
