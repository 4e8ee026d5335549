package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
)

// lockName is the file in a folder of policies that remembers versions of rules.
const lockName = "rules.lock"

// locked is what the lock file holds of a rule.
type locked struct {
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

func newRulesLock() *cobra.Command {
	var o policiesFlags
	var check bool
	cmd := &cobra.Command{
		Use:   "lock [DIR]",
		Short: "Note the version of every rule, so that none changes without a new one",
		Long: "lock writes DIR/rules.lock: of each rule its version and the SHA-256 of all that it says but its mode and its tests. A rule that has changed and still has the\n" +
			"same version is refused: whoever reads a finding must be able to tell by which text it was made. With --check nothing is written, and what is missing is an error, too.\n" +
			"Exit 1 if a rule is refused.",
		Example: "  wayward rules lock policies\n  wayward rules lock policies --check",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := o.where(args)
			if err != nil {
				return err
			}
			set, err := config.LoadPolicies(dir)
			if err != nil {
				return err
			}
			file := filepath.Join(dir, lockName)
			was := map[string]locked{}
			if text, err := os.ReadFile(file); err == nil {
				if err := json.Unmarshal(text, &was); err != nil {
					return fmt.Errorf("%s: %w; remove it and lock anew", file, err)
				}
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			now, wrong := map[string]locked{}, 0
			w := cmd.OutOrStdout()
			for _, r := range set.Rules() {
				l := locked{r.Version, hashOf(set, r.ID)}
				now[r.ID] = l
				before, known := was[r.ID]
				switch {
				case !known && check:
					wrong++
					fmt.Fprintf(w, "%s: rule %s is not in %s; run wayward rules lock\n", set.RuleFile(r.ID), r.ID,
						lockName)
				case known && before.SHA256 != l.SHA256 && before.Version == l.Version:
					wrong++
					fmt.Fprintf(w, "%s: rule %s has changed and still is version %s; raise version to %s\n",
						set.RuleFile(r.ID), r.ID, l.Version, nextVersion(l.Version))
				case known && before != l && check:
					wrong++
					fmt.Fprintf(w, "%s: rule %s is version %s, %s has %s; run wayward rules lock\n", set.RuleFile(r.ID),
						r.ID, l.Version, lockName, before.Version)
				}
			}
			for _, id := range slices.Sorted(maps.Keys(was)) {
				if _, there := now[id]; !there && check {
					wrong++
					fmt.Fprintf(w,
						"rule %s is in %s and not in the policies; set it to status: deprecated first, or run wayward rules lock\n",
						id, lockName)
				}
			}
			if wrong > 0 {
				return errSilent{1}
			}
			if check {
				_, err = fmt.Fprintf(w, "%d rules are as %s has them\n", len(now), lockName)
				return err
			}
			text, err := json.MarshalIndent(now, "", "  ")
			if err != nil {
				return err
			}
			if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "%s: %d rules\n", file, len(now))
			return err
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&check, "check", false, "write nothing: for CI")
	return cmd
}

// writtenOf is a rule as it is written, by key.
func writtenOf(set *policy.Set, id string) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(set.RuleJSON(id), &m); err != nil {
		panic(err) // our bug: we wrote it
	}
	return m
}

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

func newRulesDiff() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what differs between the rules of two folders of policies",
		Long: "diff compares rules by id and key, not by text: order, comments and quotes do not show. A rule whose conditions are the same keeps its state when B takes\n" +
			"the place of A. Exit 1 if something differs.",
		Example: "  wayward rules diff policies policies.new",
		Args:    cobra.ExactArgs(2),
	}
	outputFlag(cmd, &output, "table", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := config.LoadPolicies(args[0])
		if err != nil {
			return err
		}
		b, err := config.LoadPolicies(args[1])
		if err != nil {
			return err
		}
		all := diffRules(a, b)
		w := cmd.OutOrStdout()
		if output == "json" {
			err = printJSON(w, all)
		} else {
			for _, d := range all {
				fmt.Fprintf(w, "%s %s%s\n", map[string]string{"added": "+", "removed": "-", "changed": "~"}[d.What],
					d.Rule, map[bool]string{true: "  (state is kept)"}[d.KeepsState && d.What == "changed"])
				for _, c := range d.Changes {
					fmt.Fprintf(w, "    %s: %s -> %s\n", c.Key, cmp.Or(visible(c.From, 200), "none"),
						cmp.Or(visible(c.To, 200), "none"))
				}
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "the rules are the same")
			}
		}
		if err == nil && len(all) > 0 {
			return errSilent{1}
		}
		return err
	}
	return cmd
}

type ruleDiff struct {
	Rule       string       `json:"rule"`
	What       string       `json:"what"`
	KeepsState bool         `json:"keeps_state"`
	Changes    []ruleChange `json:"changes,omitempty"`
}

type ruleChange struct {
	Key  string `json:"key"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

func diffRules(a, b *policy.Set) []ruleDiff {
	out := []ruleDiff{}
	hashes := [2]map[string]uint64{{}, {}}
	for i, s := range []*policy.Set{a, b} {
		for _, r := range s.Rules() {
			hashes[i][r.ID] = r.Hash
		}
	}
	ids := slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(hashes[0])),
		slices.Collect(maps.Keys(hashes[1]))...))))
	for _, id := range ids {
		was, before := hashes[0][id]
		is, now := hashes[1][id]
		switch {
		case !before:
			out = append(out, ruleDiff{Rule: id, What: "added"})
		case !now:
			out = append(out, ruleDiff{Rule: id, What: "removed"})
		default:
			d := ruleDiff{Rule: id, What: "changed", KeepsState: was == is}
			x, y := writtenOf(a, id), writtenOf(b, id)
			for _, key := range policy.RuleKeys() {
				if !bytes.Equal(x[key], y[key]) {
					d.Changes = append(d.Changes, ruleChange{key, plainJSON(x[key]), plainJSON(y[key])})
				}
			}
			if len(d.Changes) > 0 {
				out = append(out, d)
			}
		}
	}
	return out
}

// plainJSON is a text as it is, and anything else as JSON.
func plainJSON(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func newRulesFmt() *cobra.Command {
	var write, check bool
	cmd := &cobra.Command{
		Use:   "fmt FILE...",
		Short: "Write rules in one way: keys in order, two spaces, one blank line less",
		Long: "fmt prints rules with their keys in the order in which docs/rules.md explains them, comments in place. --write puts the result back into the file; --check only says\n" +
			"which files would change, with exit code 1 if any would.",
		Example: "  wayward rules fmt --write policies/rules/payments.yaml\n  wayward rules fmt --check policies/rules/*.yaml",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			differ := 0
			for _, name := range args {
				text, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				out, err := formatRules(text)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				switch {
				case check && !bytes.Equal(out, text):
					differ++
					fmt.Fprintln(cmd.OutOrStdout(), name)
				case check:
				case write && !bytes.Equal(out, text):
					if err := os.WriteFile(name, out, 0o644); err != nil {
						return err
					}
				case !write:
					if _, err := cmd.OutOrStdout().Write(out); err != nil {
						return err
					}
				}
			}
			if differ > 0 {
				return errSilent{1}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the files")
	cmd.Flags().BoolVar(&check, "check", false, "only list the files that would change")
	cmd.MarkFlagsMutuallyExclusive("write", "check")
	return cmd
}

// formatRules writes rules in one way. What they mean does not change.
func formatRules(text []byte) ([]byte, error) {
	d := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	order := map[string]int{}
	for i, k := range policy.RuleKeys() {
		order[k] = i
	}
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if len(doc.Content) == 1 && doc.Content[0].Kind == yaml.MappingNode {
			n := doc.Content[0]
			type pair [2]*yaml.Node
			var pairs []pair
			for i := 0; i+1 < len(n.Content); i += 2 {
				pairs = append(pairs, pair{n.Content[i], n.Content[i+1]})
			}
			place := func(p pair) int {
				if i, known := order[p[0].Value]; known {
					return i
				}
				return len(order)
			}
			slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(place(a), place(b)) })
			n.Content = n.Content[:0]
			for _, p := range pairs {
				n.Content = append(n.Content, p[0], p[1])
			}
		}
		if err := e.Encode(&doc); err != nil {
			return nil, err
		}
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return []byte(strings.TrimLeft(b.String(), "\n")), nil
}
