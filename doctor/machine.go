package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// checkConfig reads the config. Without a sound one nothing else is looked at.
func (x *examination) checkConfig(context.Context) {
	r, err := config.Read(x.file, os.Environ())
	if err != nil {
		x.problem("%v: correct the path or the permissions. Nothing else was looked at", err)
		x.over = true
		return
	}
	for _, p := range r.Problems {
		x.problem("%v", p)
	}
	if len(r.Problems) > 0 {
		x.unknown("nothing else was looked at: correct these first, wayward config reference explains every setting")
		x.over = true
		return
	}
	x.config = r.Config
	x.config.Topics = x.config.Topics.Full()
	what := "no file: all defaults"
	if x.file != "" {
		what = x.file
	}
	x.fine("%s, %d settings are set", what, r.Count())
}

// checkPolicies reads the policies that the config names.
func (x *examination) checkPolicies(context.Context) {
	set, err := config.LoadPolicies(x.config.Policies)
	if err != nil {
		for _, e := range config.Flatten(errors.Unwrap(err)) {
			x.problem("%v", e)
		}
		return
	}
	where := x.config.Policies
	if where == "" {
		where = "built-in"
	}
	x.fine("%s: %s", where, countsOf(set))
	if w := set.LongestWindow(); w > x.config.Topics.Retention.Events {
		x.warning(
			"the longest window is %s and events are kept for %s: if state has to be made anew that window begins with less; raise topics.retention.events",
			config.FormatDuration(w), config.FormatDuration(x.config.Topics.Retention.Events))
	}
}

// countsOf says how many definitions of each kind are in force, as the start of the engine does:
// what was not found shows as a number that is too low.
func countsOf(set *policy.Set) string {
	var b strings.Builder
	for i, c := range set.Counts() {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", c.N, c.What)
	}
	return b.String()
}

// checkDisk sees whether the state directory is there or can be made, can be written, and has room.
func (x *examination) checkDisk(context.Context) {
	dir, err := filepath.Abs(x.config.State)
	if err != nil {
		x.problem("%v", err)
		return
	}
	at := dir
	for {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			x.problem("%s is no directory: set state to another path", at)
			return
		}
		if err == nil {
			break
		}
		up := filepath.Dir(at)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) || up == at {
			x.problem("%s cannot be looked at (%v): let the user that runs wayward (uid %d) read its parents", at, err,
				os.Getuid())
			return
		}
		at = up
	}
	if at == dir {
		f, err := os.CreateTemp(dir, ".writable-*")
		if err != nil {
			x.problem("%s cannot be written (%v): see to its owner and the mount", dir, cause(err))
			return
		}
		f.Close()
		os.Remove(f.Name())
	} else if err := unix.Access(at, unix.W_OK|unix.X_OK); err != nil {
		x.problem("%s cannot be made: %s is not writable for uid %d (%v)", dir, at, os.Getuid(), err)
		return
	}
	r := x.config.Disk().Look()
	switch {
	case r.Err != nil:
		x.unknown("%v", r.Err)
	case r.Short:
		x.problem("%s has only %s free, and an instance stops below %s (disk_free_min): make room",
			dir, config.FormatBytes(r.Free), config.FormatBytes(r.Min))
	case r.Low:
		x.warning("%s has only %s free, and an instance stops below %s (disk_free_min): make room before it is used up",
			dir,
			config.FormatBytes(r.Free), config.FormatBytes(r.Min))
	default:
		x.fine("%s, %s free; an instance stops below %s (disk_free_min)", dir, config.FormatBytes(r.Free),
			config.FormatBytes(r.Min))
	}
}

func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// checkState sees whether this binary can go on with the state on disk.
func (x *examination) checkState(context.Context) {
	dir := x.config.StoreDir()
	if !state.Exists(dir) {
		x.fine("none yet: the first start makes it")
		return
	}
	s, err := state.Open(dir)
	switch {
	case errors.Is(err, state.ErrInUse):
		x.running = true
		x.fine("a running instance has it open, so it was not looked into")
		return
	case errors.Is(err, state.ErrNewer):
		x.problem("%v", err)
		return
	case err != nil:
		x.problem("%v", err)
		return
	}
	defer s.Close()
	if x.layout, err = pipeline.StoredLayout(s); err != nil {
		x.problem("%v: run wayward state rebuild", err)
		return
	}
	damaged, pages := map[string]int{}, 0
	for _, p := range pipeline.Inspect(s) {
		for _, n := range p.Pages {
			pages += n
		}
		for _, x := range p.Damage {
			damaged[p.Stage] += x.N
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(damaged)) {
		x.problem(
			"%d pages of the %s stage are damaged: its partitions are rebuilt when they are loaded; wayward state verify says which, wayward state rebuild does it at once; see to the disk",
			damaged[stage], stage)
	}
	if len(damaged) == 0 {
		x.fine("format %d, %d pages, %s on disk", state.Format, pages, config.FormatBytes(state.OnDisk(dir)))
	}
}

// checkListener sees whether the address of the metrics is free, and who else can reach it.
func (x *examination) checkListener(context.Context) {
	if x.config.Listen == "off" {
		x.warning("off: neither metrics nor /readyz can be had")
		return
	}
	host, _, _ := net.SplitHostPort(x.config.Listen)
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		x.warning(
			"%s is not loopback alone: whoever reaches it can read the metrics, which ask for no password; use 127.0.0.1, or a network that is closed",
			x.config.Listen)
	}
	l, err := net.Listen("tcp", x.config.Listen)
	switch {
	case err == nil:
		l.Close()
		x.fine("%s is free", x.config.Listen)
	case x.running && errors.Is(err, syscall.EADDRINUSE):
		x.fine("%s is in use, an instance runs", x.config.Listen)
	default:
		x.problem("%v: set another address in listen", err)
	}
}

// checkOpenFiles sees whether there are enough file descriptors. Go has raised the soft limit to
// the hard one already.
func (x *examination) checkOpenFiles(context.Context) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		x.unknown("%v", err)
		return
	}
	if r.Cur < 4096 {
		x.warning("only %d open files are allowed: raise it to 4096 or more (ulimit -n, LimitNOFILE of systemd)", r.Cur)
		return
	}
	x.fine("%d may be open", r.Cur)
}

// checkMemory sees how much memory the process may use.
func (x *examination) checkMemory(context.Context) {
	n, from, err := config.Memory(x.config.Memory)
	switch {
	case err != nil: // the config's check has said so
	case n == 0:
		x.warning("without a bound (%s): whoever invents agents fills it; set memory", from)
	case n < pipeline.LeastMemory:
		x.warning("%s (%s) is little: pages are read from disk again and again; give it at least %s",
			config.FormatMemory(n), from,
			config.FormatMemory(pipeline.LeastMemory))
	default:
		x.fine(
			"%s (%s); a tenant may have %d agents, sessions and scopes remembered in each stage, about %s of it while all are at work and of disk beyond",
			config.FormatMemory(n), from,
			x.config.Engine.PageCap, config.FormatMemory(int64(x.config.Engine.PageCap)*pipeline.PageBytes))
	}
}
