package baselines

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/wayward-sec/wayward/event"
)

// auc is the share of pairs in which the odd one scores higher; ties count half.
func auc(ordinary, odd []float64) float64 {
	type x struct {
		v   float64
		odd bool
	}
	var all []x
	for _, v := range ordinary {
		all = append(all, x{v, false})
	}
	for _, v := range odd {
		all = append(all, x{v, true})
	}
	slices.SortFunc(all, func(a, b x) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	sum, below := 0.0, 0.0
	for i := 0; i < len(all); {
		j, o, n := i, 0.0, 0.0
		for ; j < len(all) && all[j].v == all[i].v; j++ {
			if all[j].odd {
				o++
			} else {
				n++
			}
		}
		sum += o * (below + n/2)
		below += n
		i = j
	}
	return sum / float64(len(ordinary)) / float64(len(odd))
}

type trace struct {
	Label string   `json:"label"`
	Tools []string `json:"tools"`
}

func traces(t *testing.T, name string) (out []trace) {
	f, err := os.Open(filepath.Join(os.Getenv("WAYWARD_DATA"), name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := xz.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(z)
	for d.More() {
		var tr trace
		if err := d.Decode(&tr); err != nil {
			t.Fatal(err)
		}
		out = append(out, tr)
	}
	return out
}

// Sessions of HDFS blocks, normal and failed: nothing of ours, and the same settings as for agents.
// Each block counts as an agent of its own.
func TestFailedBlocksOfHDFSAreTold(t *testing.T) {
	if os.Getenv("WAYWARD_DATA") == "" {
		t.Skip("WAYWARD_DATA is not set: the recorded traces are no part of the repository")
	}
	var d SequenceDelta
	push := func(m *SequenceModel, tr trace) (c Chain) {
		for _, tool := range tr.Tools {
			c.Push(m, d.Step(m, tool, "", event.NoClass, event.NoOutcome, ""))
		}
		return c
	}
	train := traces(t, "hdfs.train.traces.jsonl.xz")
	for i, tr := range train {
		c := push(nil, tr)
		var today AgentDay
		d.Take(nil, &c, uint64(i)+1, 0, &today, LearnAll, 0)
	}
	day := *with(&Delta{Events: 1, Sessions: uint64(len(train)), AgentDays: uint64(len(train))}, SequenceSlot, &d)
	m := SequenceOf(Learn(nil, Key{"lab", "hdfs", ""}, 0, &day, Terms{Approved: true}))
	var scores [4][2][]float64
	over, n := [3]int{}, [2]int{}
	for _, tr := range traces(t, "hdfs.dev.traces.jsonl.xz") {
		c := push(m, tr)
		c.End(m)
		s := c.Score(m)
		k := 0
		if tr.Label != "benign" {
			k = 1
		}
		n[k]++
		for i, v := range [...]float64{s.Mean, s.Max, s.Cusum, s.Combined} {
			scores[i][k] = append(scores[i][k], v)
		}
		for i, p := range [...]float64{1e-1, 1e-2, 1e-3} {
			if k == 0 && s.P < p {
				over[i]++
			}
		}
	}
	var got [4]float64
	for i, name := range [...]string{"mean", "max", "cusum", "combined"} {
		got[i] = auc(scores[i][0], scores[i][1])
		slices.Sort(scores[i][0])
		cut := scores[i][0][len(scores[i][0])*99/100]
		hit := 0
		for _, v := range scores[i][1] {
			if v > cut {
				hit++
			}
		}
		t.Logf("%-8s AUC %.4f, found at 1 %% false alarms %.3f", name, got[i], float64(hit)/float64(n[1]))
	}
	t.Logf("%d normal, %d failed; of the normal below 1e-1, 1e-2, 1e-3: %.4f %.4f %.4f", n[0], n[1],
		float64(over[0])/float64(n[0]), float64(over[1])/float64(n[0]), float64(over[2])/float64(n[0]))
	if got[3] < 0.99 {
		t.Errorf("combined AUC %.4f, want at least 0.99", got[3])
	}
}
