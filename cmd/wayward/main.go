// Command wayward watches what AI agents do, on Kafka, and says when one strays.
//
// A command is one file and one name in newRoot: its flags, calls into the package that owns the idea,
// and what it prints. To add one, copy version.go. What commands share is in flags.go, lookup.go (flags
// of commands that ask a running wayward), events.go and progress.go. Nothing here decides anything or
// knows what stands in a topic or in the state. Begin reading at newRoot.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/terminal"
)

// version is set by the linker; else the module's.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		// most of the heap is state that stays: collecting it often buys little, fresh memory for
		// more costs page faults
		debug.SetGCPercent(200)
	}
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
		// run says more, and sooner: this is for what hangs before or behind it.
		time.Sleep(instance.StopWithin + time.Second)
		fmt.Fprintf(os.Stderr, "wayward: %s did not end within %s of being told to stop\n",
			strings.Join(os.Args[1:min(len(os.Args), 2)], ""), instance.StopWithin+time.Second)
		os.Exit(2)
	}()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errSilent ends with its exit code; what is wrong has been printed.
type errSilent struct{ code int }

func (e errSilent) Error() string { return fmt.Sprintf("exit %d", e.code) }

// exitCodes are what every command ends with.
var exitCodes = []struct {
	code  int
	means string
}{
	{0, "fine: done, and nothing was found that should not be"},
	{1, "something was found: a mistake in a config, a problem with topics, damaged state, records that do not decode"},
	{2, "an error: wrong usage, a file that cannot be read, a broker that does not answer; nothing can be concluded"},
	{3, "there was nothing to examine: no events, no state"},
	{130, "interrupted before it was done (run and demo end with 0 when they are told to stop)"},
}

// execute is main without the process.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out, errs := terminal.NewWriter(stdout), terminal.NewWriter(stderr)
	defer out.Close()
	defer errs.Close()
	stdout, stderr = out, errs
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	silent := errSilent{}
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return silent.code
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(stderr, "wayward: interrupted")
		return 130
	}
	fmt.Fprintln(stderr, "wayward:", err)
	return 2
}

func newRoot() *cobra.Command {
	long := "wayward reads the tool calls and audit events of AI agents from Kafka, finds what no single permission check can see,\n" +
		"and writes findings (OCSF 1.8.0) back to Kafka.\n\nExit codes:\n"
	for _, e := range exitCodes {
		long += fmt.Sprintf("  %-3d  %s\n", e.code, e.means)
	}
	root := &cobra.Command{
		Use:   "wayward",
		Short: "Streaming behavioural detection for AI agents",
		Long:  strings.TrimSuffix(long, "\n"),
		Example: "  wayward demo                                   see it work, nothing else needed\n" +
			"  wayward replay --input events.jsonl.zst        run recorded events through the engine\n" +
			"  wayward config reference > wayward.yaml        a config to edit\n" +
			"  wayward topics apply --config wayward.yaml     create what it needs on your Kafka\n" +
			"  wayward doctor --config wayward.yaml           find out what is missing\n" +
			"  wayward run --config wayward.yaml              watch",
		Version:       versionOf(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("wayward {{.Version}}\n")
	root.AddCommand(newRun(), newReplay(), newBacktest(), newSend(), newDemo(), newTopics(), newGenerate(), newBench(),
		newEval(), newSchema(), newConfig(), newState(), newDoctor(), newVersion(), newTools(), newPersonas(),
		newRules(), newBreaker(), newAgents(), newExplain(), newBaseline())
	for _, cmd := range root.Commands() {
		refuseUnknown(cmd)
	}
	return root
}

// refuseUnknown makes a command that has only subcommands refuse a word that is none of them, which
// cobra would answer with the help and exit code 0.
func refuseUnknown(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		refuseUnknown(sub)
	}
	if cmd.Runnable() || !cmd.HasSubCommands() {
		return
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		what := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			what += "; did you mean " + oneOf(near) + "?"
		}
		return errors.New(what)
	}
	cmd.Args = cobra.ArbitraryArgs
}

func versionOf() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}
