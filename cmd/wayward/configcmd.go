package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Explain, check and show the configuration",
		Long: "config is about the one file that says how wayward works. Values come from the defaults, then the file (--config, or the one that WAYWARD_CONFIG\n" +
			"names), then the environment (WAYWARD_ENGINE__MAX_POLL=1000 sets engine.max_poll), then flags. Relative paths in the file are relative to it.",
		Example: "  wayward config reference > wayward.yaml        every setting with its default, to edit\n" +
			"  wayward config check wayward.yaml              every mistake, with file, line and column\n" +
			"  wayward config show -c wayward.yaml            what is in effect, and where it came from",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(newConfigReference(), newConfigCheck(), newConfigShow())
	return cmd
}

func newConfigReference() *cobra.Command {
	return &cobra.Command{
		Use:     "reference",
		Short:   "Print a config file with every setting, what it is for, and its default",
		Long:    "reference prints a complete config file: loading it as it is gives the defaults. Settings without a default are commented out, with an example.",
		Example: "  wayward config reference > wayward.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), configReference())
			return err
		},
	}
}

func newConfigCheck() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Report every mistake in a config file",
		Long: "check reads a config file and the environment and reports every mistake at once, with file, line and column. It reads nothing that the config\n" +
			"names: certificates, passwords, policies and brokers are doctor's. Exit 0: no mistake; 1: mistakes; 2: the file cannot be read.",
		Example: "  wayward config check wayward.yaml\n" +
			"  wayward config check wayward.yaml --output json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				name = args[0]
			}
			if name = configName(name); name == "" {
				return errors.New("name the file to check")
			}
			r, err := readConfig(name, os.Environ())
			if err != nil {
				return err
			}
			if format == "json" {
				if err := printJSON(cmd.OutOrStdout(), append([]problem{}, r.problems...)); err != nil {
					return err
				}
			} else {
				for _, p := range r.problems {
					fmt.Fprintln(cmd.OutOrStdout(), p.Error())
				}
			}
			if len(r.problems) > 0 {
				return errSilent{1}
			}
			if format != "json" {
				fmt.Fprintf(cmd.OutOrStdout(), "%s is fine\n", name)
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

func newConfigShow() *cobra.Command {
	var name, format string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in effect, and where each value came from",
		Long: "show prints every setting that has a value: the default's, the file's with line and column, or the environment's. Passwords are never settings, so\n" +
			"there is none to hide: the config names the file or the variable that holds it.",
		Example: "  wayward config show -c wayward.yaml\n" +
			"  WAYWARD_ENGINE__MAX_POLL=1000 wayward config show --output json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := readConfig(configName(name), os.Environ())
			if err != nil {
				return err
			}
			if err := r.err(); err != nil {
				return err
			}
			if format == "json" {
				return printJSON(cmd.OutOrStdout(), r.values())
			}
			_, err = io.WriteString(cmd.OutOrStdout(), showConfig(r))
			return err
		},
	}
	configFlag(cmd, &name)
	outputFlag(cmd, &format, "yaml", "json")
	return cmd
}

// value is a setting in effect.
type value struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"from"`
	origin
}

// values are the settings that have a value, in the reference's order.
func (r *reading) values() (out []value) {
	of := map[string]reflect.Value{}
	r.each(func(key string, v reflect.Value) { of[key] = v })
	for _, s := range settings {
		v := of[s.key]
		if !v.IsValid() {
			continue
		}
		x := value{Key: s.key, Value: v.Interface(), From: "default", origin: r.from[s.key]}
		if d, ok := x.Value.(time.Duration); ok {
			x.Value = showDuration(d)
		}
		switch {
		case x.Env != "":
			x.From = "environment"
		case x.File != "":
			x.From = "file"
		}
		out = append(out, x)
	}
	return out
}

// showConfig is the config in effect as YAML, each value with its origin behind it.
func showConfig(r *reading) string {
	var b strings.Builder
	group := ""
	for _, x := range r.values() {
		group = openGroups(&b, group, x.Key)
		at := x.origin.String()
		fmt.Fprintf(&b, "%s%s: %s  # %s\n", indent(x.Key), last(x.Key), flow(x.Value), at)
	}
	return b.String()
}

// openGroups writes the lines of the groups that a key lies in and the key before it did not, and
// returns the key's group.
func openGroups(b *strings.Builder, before, key string) string {
	group := strings.TrimSuffix(strings.TrimSuffix(key, last(key)), ".")
	if group == "" || group == before || strings.HasPrefix(before, group+".") {
		return group
	}
	openGroups(b, before, group)
	fmt.Fprintf(b, "%s%s:\n", indent(group), last(group))
	return group
}

func indent(key string) string { return strings.Repeat("  ", strings.Count(key, ".")) }

func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// flow is a value as YAML on one line.
func flow(v any) string {
	if d, ok := v.(time.Duration); ok {
		return showDuration(d)
	}
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		panic(err) // settings are texts, numbers and lists of them
	}
	n.Style |= yaml.FlowStyle
	if x := reflect.ValueOf(v); x.Kind() == reflect.Slice && x.Len() == 0 {
		return "[]"
	}
	b, err := yaml.Marshal(&n)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(b))
}

const referenceHead = `# The configuration of wayward: every setting, what it is for, and its default. A line that begins with #, without a space behind it, is a setting that
# has no default, with an example. Printed by wayward config reference; wayward config check reports every mistake.
#
# An environment variable beats this file: WAYWARD_ENGINE__MAX_POLL=1000 sets engine.max_poll. Relative paths are relative to this file.
# Durations are written as 20ms, 10s, 5m, 12h or 7d.
`

// configReference is a complete config file, with comments.
func configReference() string {
	defaults := reading{config: defaultConfig()}
	of := map[string]reflect.Value{}
	defaults.each(func(key string, v reflect.Value) { of[key] = v })
	var b strings.Builder
	b.WriteString(referenceHead)
	off := "" // the group that is commented out as a whole
	for _, s := range settings {
		v, leaf := of[s.key]
		if off != "" && !strings.HasPrefix(s.key, off+".") {
			off = ""
		}
		in := indent(s.key)
		comment, name := in, in // what stands before the comment, and before the setting
		switch {
		case off != "":
			comment, name = "#"+in, "#"+in
		case !leaf && isOff(of, s.key):
			off, name = s.key, in+"#"
		case s.example != "":
			name = in + "#"
		}
		if in == "" {
			b.WriteString("\n")
		}
		doc := s.doc
		if s.unit != "" {
			doc += " Unit: " + s.unit + "."
		}
		for _, line := range wrapped(doc, 150-len(in)) {
			fmt.Fprintf(&b, "%s# %s\n", comment, line)
		}
		switch {
		case !leaf:
			fmt.Fprintf(&b, "%s%s:\n", name, last(s.key))
		case s.example != "":
			fmt.Fprintf(&b, "%s%s: %s\n", name, last(s.key), s.example)
		default:
			fmt.Fprintf(&b, "%s%s: %s\n", name, last(s.key), flow(v.Interface()))
		}
	}
	return b.String()
}

// isOff tells whether a group is not set, or everything in it has only an example: then it is
// commented out as a whole.
func isOff(of map[string]reflect.Value, group string) bool {
	for _, s := range settings {
		if _, leaf := of[s.key]; leaf && strings.HasPrefix(s.key, group+".") && s.example == "" {
			return false
		}
	}
	return true
}

// wrapped breaks a text into lines.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
