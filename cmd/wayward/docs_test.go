package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
)

func TestThePageOfCommandsIsCurrent(t *testing.T) { golden(t, "cli.md", cliPage(newRoot())) }

// commands calls f for every command of ours.
func commands(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, sub := range cmd.Commands() {
		commands(sub, f)
	}
}

func TestEveryCommandSaysWhatItIsForAndHowItIsUsed(t *testing.T) {
	commands(newRoot(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks Short, Long or Example", path)
		}
		if strings.HasSuffix(cmd.Short, ".") || !strings.HasSuffix(strings.TrimSpace(cmd.Long), ".") &&
			cmd.HasParent() {
			t.Errorf("%s: Short is a title, Long is sentences:\n%s\n%s", path, cmd.Short, cmd.Long)
		}
		if cmd.HasParent() && !strings.Contains(cmd.Example, path) {
			t.Errorf("%s: its example does not show it:\n%s", path, cmd.Example)
		}
		for _, silent := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--[\w-]+(?: \w+)? *$`).FindAllString(
			cmd.LocalFlags().FlagUsages(), -1) {
			t.Errorf("%s: a flag says nothing: %s", path, silent)
		}
	})
}

// shellWords splits a line as a shell does; of quotes examples use single ones alone.
func shellWords(line string) (words []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|[^\s']+`).FindAllStringSubmatch(line, -1) {
		words = append(words, cmp.Or(m[1], m[0]))
	}
	return words
}

// Examples are tried as far as their flags go: one that is refused helps nobody. So are those in
// the pages that people write.
func TestExamplesParse(t *testing.T) {
	n := 0
	try := func(where, lines string) {
		for line := range strings.Lines(lines) {
			for _, part := range strings.Split(line, " | ") {
				i := strings.Index(part, "wayward ")
				if i < 0 {
					continue
				}
				words := shellWords(regexp.MustCompile(`(   +| >>? ).*`).ReplaceAllString(strings.TrimSpace(part[i:]),
					""))
				root := newRoot()
				found, rest, err := root.Find(words[1:])
				if err == nil {
					err = found.ParseFlags(rest)
				}
				if err == nil {
					err = found.ValidateArgs(found.Flags().Args())
				}
				if err != nil || found == root && len(words) > 1 {
					t.Errorf("%s: %q is refused: %v", where, words, err)
				}
				n++
			}
		}
	}
	commands(newRoot(), func(cmd *cobra.Command) { try(cmd.CommandPath(), cmd.Example) })
	for _, page := range []string{"../../README.md", "../../docs/policies.md", "../../docs/gateway.md",
		"../../docs/commands.md", "../../docs/baselines.md",
		"../../docs/operations.md", "../../docs/numbers.md"} {
		text, err := os.ReadFile(page)
		must(t, err)
		try(page, strings.Join(regexp.MustCompile(`(?m)^(    |\$ )wayward .*`).FindAllString(string(text), -1), "\n"))
	}
	if n < 80 {
		t.Errorf("only %d examples were found", n)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, errs := wayward(t, "completion", shell); code != 0 || !strings.Contains(out, "wayward") {
			t.Errorf("completion %s: exit %d, %d bytes: %s", shell, code, len(out), errs)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{""}, []string{"doctor\tFind out what", "state\tLook at"}},
		{[]string{"state", ""}, []string{"info\t", "rebuild\t", "verify\t"}},
		{[]string{"doctor", "--output", ""}, []string{"text\n", "json\n"}},
		{[]string{"topics", "plan", "--output", ""}, []string{"table\n", "json\n"}},
		{[]string{"run", "--log-level", ""}, []string{"debug\n", "error\n"}},
		{[]string{"run", "--log-format", ""}, []string{"auto\n", "json\n"}},
		{[]string{"run", "--stage", ""}, []string{"behaviour\n", "relation\n"}},
		{[]string{"run", "--config", ""}, []string{"yaml\nyml\n:8\n"}}, // files that end so
		{[]string{"config", "check", ""}, []string{"yaml\nyml\n:8\n"}},
		{[]string{"replay", "--policies", ""}, []string{":16\n"}}, // directories
		{[]string{"bench", ""}, []string{"replay\n", "kafka\n"}},
		{[]string{"doctor", "--"}, []string{"--output\tprint as: text or json"}},
	} {
		_, out, _ := wayward(t, append([]string{"__complete"}, c.args...)...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("completing %q does not offer %q:\n%s", c.args, want, out)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	empty := writeFile(t, "empty.jsonl", "")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "130  interrupted"},
		{[]string{"config"}, 0, "Available Commands"},
		{[]string{"config", "chek"}, 2, `wayward config has no command "chek"; did you mean check?`},
		{[]string{"stat"}, 2, "state"},
		{[]string{"run", "--log-level", "loud"}, 2, "use info, debug, warn or error"},
		{[]string{"run", "--nothing"}, 2, "unknown flag"},
		{[]string{"replay", "--input", empty}, 3, "0 events"},
		{[]string{"replay", "--input", filepath.Join(t.TempDir(), "none")}, 2, "no such file"},
		{[]string{"version"}, 0, "state format"},
	} {
		code, out, errs := wayward(t, c.args...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%q: exit %d, want %d, saying %q:\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, errs := waywardContext(ctx, "replay", "--input",
		writeFile(t, "one.jsonl", `{"time":1,"kind":"session","tenant":"a","agent":{"id":"b"}}`+"\n")); code != 130 ||
		!strings.Contains(errs, "interrupted") {
		t.Errorf("an interrupted replay: exit %d: %s", code, errs)
	}
}

func TestVersionForPrograms(t *testing.T) {
	_, out, _ := wayward(t, "version", "--output", "json")
	var v versionReport
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Version != versionOf() || v.Go == "" ||
		v.StateFormat == 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestLogsAreStructured(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	for format, want := range map[string]string{"auto": `"msg":"hello","partition":3}`,
		"json": `"msg":"hello","partition":3}`, "text": `msg=hello partition=3`} {
		must(t, f.Truncate(0))
		l := logOptions{level: "warn", format: format}.logger(f) // a file is no terminal
		l.Info("not this")
		l.Warn("hello", "partition", 3)
		b, err := os.ReadFile(name)
		must(t, err)
		if !strings.Contains(string(b), want) || strings.Contains(string(b), "not this") {
			t.Errorf("--log-format %s: %s", format, b)
		}
	}
}

// A newcomer reads keys, so each thing has one name. What is logged must not be built into
// sentences either.
func TestLogKeysAreTheSameEverywhere(t *testing.T) {
	known := map[string]bool{}
	for _, k := range strings.Fields(
		"added addr after ahead brokers cause changed clean dir disk_free_min err facts field findings free from groups instance kind limit limits message metrics offset offsets pages partition personas policies reason records removed retry_in rule rules source stage tenant times took topic topics tries try") {
		known[k] = true
	}
	call := regexp.MustCompile(`(?:[lL]og)\.(?:Debug|Info|Warn|Error)\((.*)\)`)
	key := regexp.MustCompile(`, "([^"]*)", `)
	n := 0
	for _, dir := range []string{".", "../../pipeline", "../../pipeline/broker"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			must(t, err)
			for _, m := range call.FindAllStringSubmatch(string(b), -1) {
				n++
				for _, k := range key.FindAllStringSubmatch(m[1]+", ", -1) {
					if !known[k[1]] {
						t.Errorf("%s logs under the key %q, which nothing else uses: %s", name, k[1],
							fmt.Sprintf("%.100s", m[0]))
					}
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d calls were found", n)
	}
}

// What docs show of policies and configs is read by the code that reads the real ones.
func TestYAMLInTheDocsIsValid(t *testing.T) {
	kinds := []string{"tools", "personas", "limits", "inventory", "tenants", "response", "baselines"}
	n := 0
	for _, page := range []string{"../../README.md", "../../docs/policies.md", "../../docs/rules.md"} {
		text, err := os.ReadFile(page)
		must(t, err)
		dir := t.TempDir()
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			n++
			key, _, _ := strings.Cut(block[1], ":")
			switch {
			case key == "id":
				must(t, os.MkdirAll(filepath.Join(dir, "rules"), 0o700))
				writeFile(t, filepath.Join(dir, "rules", fmt.Sprint(n, ".yaml")), block[1])
				continue
			case strings.HasSuffix(page, "rules.md"): // a part of a rule
				var part map[string]any
				if err := yaml.Unmarshal([]byte(block[1]), &part); err != nil {
					t.Errorf("%s: %v\n%s", page, err, block[1])
				}
				for k := range part {
					if !slices.Contains(policy.RuleKeys(), k) {
						t.Errorf("%s: a rule has no %s", page, k)
					}
				}
				continue
			}
			if slices.Contains(kinds, key) {
				must(t, os.MkdirAll(filepath.Join(dir, key), 0o700))
				writeFile(t, filepath.Join(dir, key, "x.yaml"), block[1])
			} else if r, err := config.Read(writeFile(t, "c.yaml", block[1]), nil); err != nil {
				t.Fatal(err)
			} else if r.Err() != nil {
				t.Errorf("%s: %v", page, r.Err())
			}
		}
		if _, err := config.LoadPolicies(dir); err != nil {
			t.Errorf("%s: %v", page, err)
		}
	}
	if n < 9 {
		t.Errorf("only %d pieces of YAML were found", n)
	}
}
