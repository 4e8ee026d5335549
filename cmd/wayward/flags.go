package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/terminal"
)

// choice is a flag of a few words: others are refused, and a shell completes them.
type choice struct {
	to    *string
	words []string
}

func (c choice) String() string { return *c.to }

func (c choice) Type() string { return "word" }

// Set implements pflag.Value.
func (c choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("use %s", oneOf(c.words))
	}
	*c.to = s
	return nil
}

// oneOf writes words as "a, b or c".
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// choiceFlag adds a flag of a few words, without a default.
func choiceFlag(cmd *cobra.Command, to *string, name, usage string, words ...string) {
	cmd.Flags().Var(choice{to, words}, name, usage+": "+oneOf(words))
	complete(cmd, name, words...)
}

// complete offers words for a flag in the shell.
func complete(cmd *cobra.Command, flag string, words ...string) {
	offer := cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(flag, offer); err != nil {
		panic(err) // our bug: there is no such flag
	}
}

// require makes flags mandatory.
func require(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		if err := cmd.MarkFlagRequired(flag); err != nil {
			panic(err)
		}
	}
}

// outputFlag is the same flag for all that print either for people or for programs; the first word
// is the default.
func outputFlag(cmd *cobra.Command, to *string, words ...string) {
	*to = words[0]
	choiceFlag(cmd, to, "output", "print as", words...)
}

// formatFlag says what events are written in.
func formatFlag(cmd *cobra.Command, to *string) {
	*to = formats.All[0].Name
	choiceFlag(cmd, to, "format", "what the events are written in", formats.Names()...)
}

// configFlag adds -c, --config.
func configFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVarP(name, "config", "c", "",
		"config `file`; without, the one that WAYWARD_CONFIG names, else the defaults")
	cmd.MarkFlagFilename("config", "yaml", "yml")
}

// logOptions say what is logged and how.
type logOptions struct{ level, format string }

func logFlags(cmd *cobra.Command, o *logOptions) {
	o.level, o.format = "info", "auto"
	choiceFlag(cmd, &o.level, "log-level", "log from this level on", "info", "debug", "warn", "error")
	choiceFlag(cmd, &o.format, "log-format",
		"text for people, json for programs, auto for text on a terminal and json elsewhere", "auto", "text", "json")
}

// logger writes structured lines.
func (o logOptions) logger(w io.Writer) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(o.level)); err != nil {
		panic(err) // the flag allows no other word
	}
	h := &slog.HandlerOptions{Level: l}
	if o.format == "text" || o.format == "auto" && terminal.Is(w) {
		return slog.New(slog.NewTextHandler(w, h))
	}
	return slog.New(slog.NewJSONHandler(w, h))
}

// printLines prints values for programs, as JSON, a line each.
func printLines[T any](w io.Writer, list []T) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for i := range list {
		if err := e.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// printJSON prints a value for programs, as indented JSON.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// confirm asks for a yes.
func confirm(cmd *cobra.Command, what string) error {
	fmt.Fprint(cmd.ErrOrStderr(), strings.TrimSpace(what+" Type yes to go on:"), " ")
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 100)).ReadString('\n')
	if strings.TrimSpace(line) != "yes" {
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr())
		}
		return errors.New("nothing was done: type yes, or give --yes")
	}
	return nil
}
