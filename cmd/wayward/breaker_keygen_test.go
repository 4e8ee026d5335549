package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestKeygenNeverWritesOverAKey(t *testing.T) {
	file, _ := signer(t, "")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v", info.Mode())
	}
	out, errs, code := runCommand(t, "breaker", "keygen", "--name", "alice", "--out", file)
	after, err := os.ReadFile(file)
	if code != 2 || out != "" || !strings.Contains(errs, "is there already: name another file with --out") ||
		err != nil || !bytes.Equal(before, after) {
		t.Errorf("exit %d %s%s, changed: %t", code, out, errs, !bytes.Equal(before, after))
	}
	if _, errs, code := runCommand(t, "breaker", "keygen", "--name", "../alice"); code != 2 ||
		!strings.Contains(errs, `--name "../alice": use up to 64 letters`) {
		t.Errorf("exit %d %s", code, errs)
	}
}
