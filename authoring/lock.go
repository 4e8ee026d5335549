package authoring

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/wayward-sec/wayward/policy"
)

// LockName is the file in a folder of policies that has the versions of rules, so that a rule
// cannot change without a new version.
const LockName = "rules.lock"

// Locked is the entry of the lock file for a rule.
type Locked struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// CheckLock compares rules with a lock. It returns the new lock, and what is wrong: a rule that has
// changed under the same version. strict: rules and versions that the lock does not have, and
// entries without a rule, are wrong, too.
func CheckLock(set *policy.Set, was map[string]Locked, strict bool) (now map[string]Locked, wrong []string) {
	refuse := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	now = map[string]Locked{}
	for _, r := range set.Rules() {
		l := Locked{r.Version, hashOf(set, r.ID)}
		now[r.ID] = l
		before, known := was[r.ID]
		switch {
		case !known && strict:
			refuse("%s: rule %s is not in %s; run wayward rules lock", set.RuleFile(r.ID), r.ID,
				LockName)
		case known && before.SHA256 != l.SHA256 && before.Version == l.Version:
			refuse("%s: rule %s has changed and still is version %s; raise version to %s",
				set.RuleFile(r.ID), r.ID, l.Version, nextVersion(l.Version))
		case known && before != l && strict:
			refuse("%s: rule %s is version %s, %s has %s; run wayward rules lock", set.RuleFile(r.ID),
				r.ID, l.Version, LockName, before.Version)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was)) {
		if _, there := now[id]; !there && strict {
			refuse(
				"rule %s is in %s and not in the policies; set it to status: deprecated first, or run wayward rules lock",
				id, LockName)
		}
	}
	return now, wrong
}

// writtenOf is a rule as it is written, by key.
func writtenOf(set *policy.Set, id string) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(set.RuleJSON(id), &m); err != nil {
		panic(err) // our bug: RuleJSON is JSON
	}
	return m
}

// hashOf is the hash of a rule without its mode and version.
func hashOf(set *policy.Set, id string) string {
	m := writtenOf(set, id)
	delete(m, "mode")
	delete(m, "version")
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func nextVersion(v string) string {
	if n, err := strconv.Atoi(v); err == nil {
		return strconv.Itoa(n + 1)
	}
	return v + ".1"
}
