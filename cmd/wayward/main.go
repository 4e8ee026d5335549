// Command wayward watches what AI agents do, on Kafka, and says when one strays.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker; else the module's.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200) // most of the heap is state that stays: collecting it often buys little, fresh memory for more costs page faults
	}
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errSilent ends with its exit code; what is wrong has been said.
type errSilent struct{ code int }

func (e errSilent) Error() string { return fmt.Sprintf("exit %d", e.code) }

// execute is main without the process: 0 done, 1 something was found that should not be, 2 an error, 3 nothing to look at.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		if silent := (errSilent{}); errors.As(err, &silent) {
			return silent.code
		}
		fmt.Fprintln(stderr, "wayward:", err)
		return 2
	}
	return 0
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "wayward",
		Short: "Streaming behavioural detection for AI agents",
		Long: "wayward reads the tool calls and audit events of AI agents from Kafka, finds what no single permission check can see,\n" +
			"and writes findings (OCSF 1.8.0) back to Kafka.",
		Example: "  wayward demo                                   see it work, nothing else needed\n" +
			"  wayward replay --input events.jsonl.zst        run recorded events through the engine\n" +
			"  wayward topics apply --config wayward.yaml     create what it needs on your Kafka\n" +
			"  wayward run --config wayward.yaml              watch",
		Version:       versionOf(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("wayward {{.Version}}\n")
	root.AddCommand(newRun(), newReplay(), newDemo(), newTopics(), newGenerate(), newBench(), newSchema(), newTools())
	return root
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
