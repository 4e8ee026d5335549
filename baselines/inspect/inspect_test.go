package inspect

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/terminal"
)

// learned is a model after some days on each of which so many agents acted.
func learned(persona string, days int64, agents uint64) (m *baselines.Model) {
	for day := range days {
		d := &baselines.Delta{Events: 10 * agents, Learned: 10 * agents, Sessions: agents}
		for a := range agents {
			d.Acts(a + 1)
		}
		m = baselines.Learn(m, baselines.Key{Tenant: "acme", Persona: persona}, 20759+day, d, baselines.Terms{})
	}
	return m
}

func TestSnapshotsComeBackFromFilesAndFolders(t *testing.T) {
	dir := t.TempDir()
	a, b := learned("a", 3, 4), learned("b", 2, 5)
	for name, models := range map[string][]*baselines.Model{"x.jsonl": {b, learned("b", 1, 5)}, "y.jsonl": {a, b}} {
		if err := WriteModels(io.Discard, filepath.Join(dir, name), models); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Read(dir) // b stands in two files
	if err != nil || len(list) != 3 || list[0].Model.Hash() != a.Hash() || list[2].Model.Hash() != b.Hash() {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	if newest := NewestEach(list); len(newest) != 2 || newest[1].Model.Hash() != b.Hash() {
		t.Errorf("%d are the newest", len(newest))
	}
	file := filepath.Join(dir, "y.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"tenant":"acme"`), []byte(`"tenant":"evil"`), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil || !strings.Contains(err.Error(), "object 1: the model is") {
		t.Errorf("a summary that was changed is read: %v", err)
	}
}

func TestASnapshotDiffersFromAnotherAndNotFromItself(t *testing.T) {
	view := func(m *baselines.Model) *View { return ViewOf(Snapshot{Model: m, Bytes: len(m.Append(nil))}) }
	few, many := view(learned("a", 3, 4)), view(learned("a", 3, 9))
	if c := Differences(few, few, 1.25); len(c) > 0 {
		t.Errorf("a snapshot differs from itself: %v", c)
	}
	c := Differences(few, many, 1.25)
	var out bytes.Buffer
	WriteDifferences(&out, few, many, c)
	if !strings.Contains(out.String(), "agents on the newest day") {
		t.Errorf("%v\n%s", c, out.String())
	}
	out.Reset()
	many.Write(&out, terminal.Drawing{Width: 100}, 10)
	if !strings.Contains(out.String(), "9 agents on the newest day") {
		t.Errorf("%s", out.String())
	}
}
