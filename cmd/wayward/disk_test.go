package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// running is a wayward in a process of its own, as users have it.
type running struct {
	*exec.Cmd
	t    *testing.T
	errs bytes.Buffer
	over chan struct{}
	code int
	took time.Duration // from the last signal to the end
	told time.Time
}

func runWayward(t *testing.T, args ...string) *running {
	t.Helper()
	p := &running{Cmd: role("wayward"), t: t, over: make(chan struct{})}
	p.Args = append([]string{"wayward"}, args...)
	p.Stderr = &p.errs
	must(t, p.Start())
	go func() {
		p.Wait()
		p.code = p.ProcessState.ExitCode()
		p.took = time.Since(p.told)
		close(p.over)
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.over
	})
	return p
}

// signal sends one.
func (p *running) signal(s os.Signal) {
	p.told = time.Now()
	p.Process.Signal(s)
}

// ends waits for the end, with an exit code and words on standard error.
func (p *running) ends(most time.Duration, code int, says ...string) {
	p.t.Helper()
	select {
	case <-p.over:
	case <-time.After(most):
		p.Process.Signal(syscall.SIGQUIT)
		<-p.over
		p.t.Fatalf("it does not end within %s:\n%.6000s", most, p.errs.String())
	}
	text := p.errs.String()
	if p.code != code {
		p.t.Errorf("exit code %d, want %d:\n%.6000s", p.code, code, text)
	}
	for _, want := range append(says, "") {
		if !strings.Contains(text, want) {
			p.t.Errorf("it does not say %q:\n%.6000s", want, text)
		}
	}
	for _, bad := range []string{"goroutine 1 [", "fatal error", "SIGBUS"} {
		if strings.Contains(text, bad) {
			p.t.Fatalf("it crashed:\n%.6000s", text)
		}
	}
}

// embeddedOn is a config with everything in a directory.
func embeddedOn(t *testing.T, dir, listen string) string {
	return writeFile(t, "c.yaml",
		fmt.Sprintf("state: %s\nembedded: {port: 0}\nlisten: %q\nengine: {checkpoint_every: 200ms}\n", dir, listen))
}

// ready waits until an instance is.
func (p *running) ready(addr string) {
	p.t.Helper()
	code, body := 0, ""
	if !eventually(30*time.Second, func() bool {
		code, body = ask(addr)
		select {
		case <-p.over:
			return true
		default:
			return code == http.StatusOK
		}
	}) || code != http.StatusOK {
		p.Process.Kill()
		<-p.over
		p.t.Fatalf("it does not become ready: %s\n%.6000s", body, p.errs.String())
	}
}

func untilSaid(t *testing.T, addr string, code int, says string) {
	t.Helper()
	got, body := 0, ""
	if !eventually(20*time.Second, func() bool {
		got, body = ask(addr)
		return got == code && strings.Contains(body, says)
	}) {
		t.Fatalf("/readyz says %d, want %d with %q:\n%s", got, code, says, body)
	}
}

func TestAnInstanceStopsBeforeItsDiskIsFull(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
	listen, other := freePort(t), filepath.Join(mount, "other")
	config := embeddedOn(t, filepath.Join(mount, "state"), listen)
	fill := func(left int64) {
		t.Helper()
		f, err := os.OpenFile(other, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		must(t, err)
		defer f.Close()
		for {
			var s unix.Statfs_t
			must(t, unix.Statfs(mount, &s))
			if int64(s.Bavail)*s.Bsize <= left {
				return
			}
			if _, err := f.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}
	p := runWayward(t, "run", "-c", config)
	p.ready(listen)
	fill(24 << 20)
	untilSaid(t, listen, http.StatusOK, "ready")
	fill(12 << 20)
	untilSaid(t, listen, http.StatusServiceUnavailable, "disk_free_min")
	must(t, os.Remove(other))
	p.ready(listen) // and goes on
	fill(0)
	p.ends(20*time.Second, 2, "little room on the disk", "there is room on the disk again", "wayward: stopped: ")

	runWayward(t, "run", "-c", config).ends(20*time.Second, 2, "disk_free_min", mount)
	must(t, os.Remove(other))
	p = runWayward(t, "run", "-c", config)
	p.ready(listen)
	p.signal(syscall.SIGTERM)
	p.ends(20*time.Second, 0)
}

func TestAnInstanceWhoseStateIsRemovedStops(t *testing.T) {
	for _, what := range []string{"", "store", "broker"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, listen := filepath.Join(t.TempDir(), "state"), freePort(t)
			config := embeddedOn(t, dir, listen)
			p := runWayward(t, "run", "-c", config)
			p.ready(listen)
			must(t, os.RemoveAll(filepath.Join(dir, what)))
			p.ends(20*time.Second, 2, filepath.Join(dir, what), "was removed or replaced")
			if _, err := os.Stat(filepath.Join(dir, "clean")); what != "store" && err == nil {
				t.Error("the stop is marked as clean, though the broker's records are gone")
			}
			p = runWayward(t, "run", "-c", config)
			p.ready(listen)
			p.signal(syscall.SIGTERM)
			p.ends(20*time.Second, 0)
		})
	}
}

// Whatever happened to the files of the state, a start works or says what to do, and after state
// rebuild it works.
func TestRebuildWorksOnAnyDamage(t *testing.T) {
	dir, listen := filepath.Join(t.TempDir(), "state"), freePort(t)
	config := embeddedOn(t, dir, listen)
	stream := filepath.Join(t.TempDir(), "s.jsonl")
	if code, _, errs := wayward(t, "generate", "--events", "3000", "--seed", "3", "--output", stream); code != 0 {
		t.Fatal(errs)
	}
	p := runWayward(t, "run", "-c", config)
	p.ready(listen)
	p.signal(syscall.SIGTERM)
	p.ends(20*time.Second, 0)
	refused := 0
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 5))
		store := filepath.Join(dir, "store")
		files, err := filepath.Glob(filepath.Join(store, "*"))
		must(t, err)
		name := files[r.IntN(len(files))]
		b, err := os.ReadFile(name)
		must(t, err)
		how := "removed"
		switch n := len(b) + 1; seed % 3 {
		case 0:
			how, b = "cut", b[:r.IntN(n)]
			must(t, os.WriteFile(name, b, 0o600))
		case 1:
			how = "overwritten"
			for i := r.IntN(n); i < len(b); i += 1 + r.IntN(64) {
				b[i] = byte(r.Uint32())
			}
			must(t, os.WriteFile(name, b, 0o600))
		default:
			must(t, os.Remove(name))
		}
		t.Logf("%s %s", filepath.Base(name), how)
		p := runWayward(t, "run", "-c", config)
		started := eventually(20*time.Second, func() bool {
			select {
			case <-p.over:
				return true
			default:
			}
			code, _ := ask(listen)
			return code == 200
		})
		select {
		case <-p.over:
			refused++
			p.ends(time.Second, 2, store, "state rebuild")
			if code, _, errs := wayward(t, "state", "rebuild", "-c", config, "--yes"); code != 0 {
				t.Fatalf("rebuild: exit code %d: %s", code, errs)
			}
			p = runWayward(t, "run", "-c", config)
			p.ready(listen)
		default:
			if !started {
				t.Fatalf("neither ready nor ended:\n%s", p.errs.String())
			}
		}
		p.signal(syscall.SIGTERM)
		p.ends(20*time.Second, 0)
	}
	if refused == 0 {
		t.Error("nothing was refused: the test has lost its teeth")
	}
}

func TestConfigCheckRefusesRoomThatIsNoSize(t *testing.T) {
	if code, out, _ := wayward(t, "config", "check", "-c", writeFile(t, "c.yaml", "disk_free_min: lots\n")); code != 1 || !strings.Contains(out, "disk_free_min: \"lots\" is no size") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// metric reads one line of /metrics.
func (p *running) metric(addr, name string) (v float64) {
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		if rest, ok := strings.CutPrefix(in.Text(), name+" "); ok {
			fmt.Sscan(rest, &v)
		}
	}
	return v
}
