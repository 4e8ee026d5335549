package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wayward-sec/wayward/policy"
)

// LoadPolicies reads a folder of policies; without a directory the built-in limits apply.
func LoadPolicies(dir string) (*policy.Set, error) { return LoadShadowed(dir, "") }

// LoadShadowed likewise, and the rules of a second folder beside them, in shadow.
func LoadShadowed(dir, shadow string) (*policy.Set, error) {
	if dir == "" && shadow == "" {
		return policy.Default(), nil
	}
	if dir == "" {
		return nil, errors.New("rules in shadow need policies to be beside: set policies in the config")
	}
	for _, d := range []string{dir, cmp.Or(shadow, dir)} {
		if _, err := os.Stat(d); err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
	}
	set, errs := policy.LoadShadow(dir, shadow)
	if len(errs) > 0 {
		return nil, fmt.Errorf("policies:\n%w", errors.Join(errs...))
	}
	return set, nil
}

// Fingerprint changes when a file in a folder is written, added or removed.
func Fingerprint(dir string) string {
	var b strings.Builder
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := os.Stat(path); err == nil {
				fmt.Fprintln(&b, path, info.Size(), info.ModTime().UnixNano())
			}
		}
		return nil
	})
	return b.String()
}
