package main

import (
	"strings"
	"testing"
)

func TestAmountsOfMemory(t *testing.T) {
	for text, want := range map[string]int64{"": -1, "off": 0, "2GiB": 2 << 30, "512MiB": 512 << 20, "1.5GiB": 3 << 29,
		"4194304KiB": 4 << 30} {
		if n, err := parseMemory(text); err != nil || n != want {
			t.Errorf("%q is %d (%v), want %d", text, n, err, want)
		}
	}
	for text, why := range map[string]string{"2GB": "is no amount", "2": "is no amount", "GiB": "is no amount",
		"-1GiB": "too little", "100MiB": "at least 512MiB", "NaNGiB": "is no amount", "1e30GiB": "is no amount"} {
		if n, err := parseMemory(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q is %d (%v), want an error with %q", text, n, err, why)
		}
	}
}
