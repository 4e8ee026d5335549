package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A table with a flipped byte is an error of Open that says what to do, not a panic in one of
// Badger's goroutines.
func TestDamagedTableIsAnErrorOfOpen(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(Space{'b', 0}, func(yield func(Page) bool) {
		for i := range 20_000 {
			if !yield(Page{fmt.Sprintf("page-%06d", i), []byte(strings.Repeat(fmt.Sprint(i), 40))}) {
				return
			}
		}
	}, []byte("marker")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	b, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 0xff
	if err := os.WriteFile(tables[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(dir)
	if err == nil {
		s.Close()
		t.Fatal("a damaged table was opened")
	}
	if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "move the directory away") {
		t.Errorf("the error does not say where and what to do: %v", err)
	}
}
