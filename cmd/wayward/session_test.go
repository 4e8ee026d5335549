package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// step is a command of the session in the README, and what it prints.
type sessionStep struct {
	command string
	prints  []string
}

// sessionOf reads the terminal blocks of one section of the README.
func sessionOf(t *testing.T, heading string) (steps []sessionStep) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("README.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(section, -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSuffix(line, "\n")
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, sessionStep{command: command})
			} else if len(steps) > 0 {
				last := &steps[len(steps)-1]
				last.prints = append(last.prints, line)
			}
		}
	}
	return steps
}

// masked takes away from an output what differs from run to run: times, how long something took,
// ids, widths of columns; and from which of two topics the gateway learns of a block first.
func masked(lines []string) []string {
	out := []string{}
	for _, l := range lines {
		for _, m := range [][2]string{
			{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`, "<time>"}, {`\([\dhms.]+ left\)`, "(<time> left)"},
			{`\b[0-9a-f]{6,}…?`, "<id>"}, {`\b[\d.]+m?s\b`, "<took>"},
			{`port=\d+|127\.0\.0\.1:\d+`, "<address>"}, {` +`, " "},
			{`(gateway-sample applied <took>) (from agent.breakers|again)`, "$1"},
		} {
			l = regexp.MustCompile(m[0]).ReplaceAllString(l, m[1])
		}
		l = strings.TrimSpace(l)
		if l != "" && !strings.Contains(l, "gateway-sample received <took>") &&
			!(len(out) > 0 && out[len(out)-1] == l) {
			out = append(out, l)
		}
	}
	return out
}

// The session in the README is played as it stands there, by a shell: the same commands print the
// same lines.
func TestTheSessionInTheReadme(t *testing.T) {
	steps := sessionOf(t, "A refund agent crosses its limit")
	repo, err := filepath.Abs("../..")
	must(t, err)
	dir, bin := filepath.Join(t.TempDir(), "refunds"), t.TempDir()
	self, err := os.Executable()
	must(t, err)
	must(t, os.Symlink(self, filepath.Join(bin, "wayward")))
	gateway := filepath.Join(bin, "gateway")
	if out, err := exec.Command("go", "build", "-o", gateway, "../../docs/samples/gateway").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	listen, broker := freePort(t), freePort(t)
	_, port, _ := strings.Cut(broker, ":")
	environ := append(os.Environ(), "WAYWARD_ROLE=wayward", "WAYWARD_LISTEN="+listen, "WAYWARD_EMBEDDED__PORT="+port,
		"PATH="+bin+":"+os.Getenv("PATH"))
	shell := func(command string) *exec.Cmd {
		in := dir
		if _, err := os.Stat(dir); err != nil {
			in = repo // until the session has made its directory
		}
		command = strings.ReplaceAll(command, "/tmp/refunds", dir)
		command = strings.ReplaceAll(command, "go run ./docs/samples/gateway", gateway+" --brokers "+broker)
		c := exec.CommandContext(t.Context(), "bash", "-c", command)
		c.Dir, c.Env = in, environ
		return c
	}

	type process struct {
		cmd          *exec.Cmd
		prints, logs *output
		step         sessionStep
	}
	var running []process
	begin := func(s sessionStep) process {
		p := process{shell("exec " + s.command), &output{}, &output{}, s}
		p.cmd.Stdout, p.cmd.Stderr = p.prints, p.logs // a slow machine is a warning of the broker
		must(t, p.cmd.Start())
		running = append(running, p)
		return p
	}
	defer func() {
		for _, p := range running {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	}()

	looks := regexp.MustCompile(`wayward (breaker (list|show|history)|agents|tools list)`)
	played := 0
	for _, s := range steps {
		played++
		switch {
		case strings.Contains(s.command, "wayward run "):
			begin(s)
			untilReady(t, listen)
		case strings.Contains(s.command, "samples/gateway"):
			p := begin(s)
			eventually(20*time.Second, func() bool { return strings.Contains(p.prints.String(), "started: ") })
		default:
			want, got := masked(s.prints), []string(nil)
			try := func() bool {
				out, err := shell(s.command).CombinedOutput()
				if err != nil {
					t.Fatalf("%s: %v\n%s", s.command, err, out)
				}
				got = masked(strings.Split(string(out), "\n"))
				return cmp.Equal(want, got)
			}
			if looks.MatchString(s.command) { // somebody who types takes longer than an ack
				eventually(20*time.Second, try)
			} else {
				try()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("$ %s (- README, + now):\n%s", s.command, diff)
			}
		}
	}
	if played < 8 || len(running) != 2 {
		t.Fatalf("only %d commands were found, %d of which go on", played, len(running))
	}
	for _, p := range running {
		want := masked(p.step.prints)
		eventually(20*time.Second,
			func() bool { return len(masked(strings.Split(p.prints.String(), "\n"))) >= len(want) })
		must(t, p.cmd.Process.Signal(syscall.SIGINT))
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s%s", p.step.command, err, p.prints, p.logs)
		}
		if diff := cmp.Diff(want, masked(strings.Split(p.prints.String(), "\n"))); diff != "" {
			t.Errorf("$ %s (- README, + now):\n%s", p.step.command, diff)
		}
	}
	running = nil
}

// output is what a process has printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
