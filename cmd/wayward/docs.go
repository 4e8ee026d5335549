package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// cliPage is docs/cli.md: every command, from what the commands themselves say.
func cliPage(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nGenerated from the commands by `make update`; `wayward COMMAND --help` says the same.\n\n## Exit codes\n\n| code | |\n|---|---|\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", e.code, e.means)
	}
	b.WriteString("\n## Shell completion\n\n`wayward completion bash|zsh|fish|powershell` prints a script that completes commands, flags, config files and the words that flags take:\n\n" +
		"    source <(wayward completion bash)                       # this shell\n" +
		"    wayward completion bash > /etc/bash_completion.d/wayward\n")
	cliCommand(&b, root)
	return b.String()
}

func cliCommand(b *strings.Builder, cmd *cobra.Command) {
	if cmd.HasParent() {
		fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", cmd.CommandPath(), cmd.Short)
		fmt.Fprintf(b, "%s\n", cmd.Long)
		block(b, cmd.UseLine())
		if cmd.HasAvailableLocalFlags() {
			block(b, cmd.LocalFlags().FlagUsages())
		}
		block(b, cmd.Example)
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "completion" && sub.Name() != "help" {
			cliCommand(b, sub)
		}
	}
}

// block is text as it is: indented, as Markdown has it.
func block(b *strings.Builder, text string) {
	b.WriteString("\n")
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	common := len(text)
	for _, l := range lines {
		if strings.TrimSpace(l) != "" {
			common = min(common, len(l)-len(strings.TrimLeft(l, " ")))
		}
	}
	for _, l := range lines {
		fmt.Fprintln(b, strings.TrimRight("    "+l[min(common, len(l)):], " "))
	}
}
