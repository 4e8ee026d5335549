package config

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

func TestSizesOfRoom(t *testing.T) {
	for s, want := range map[string]int64{"auto": 0, "512MiB": 512 << 20, "2GiB": 2 << 30, "1.5 GiB": 3 << 29,
		"10MB": 10e6, "1TiB": 1 << 40,
		"": -1, "0": -1, "512": -1, "MiB": -1, "-1MiB": -1, "0MiB": -1, "NaNMiB": -1, "1e99GiB": -1, "5mib": -1} {
		got, err := parseRoom(s)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
}
