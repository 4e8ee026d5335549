package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/cmd/wayward/oracle"
)

// freePort is an address on loopback that nobody listens at.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// ask gets /readyz of an instance. 0: nobody listens.
func ask(addr string) (code int, body string) {
	resp, err := http.Get("http://" + addr + "/readyz?verbose")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// untilReady waits until an instance is ready and says how long it took.
func untilReady(t testing.TB, addr string) time.Duration {
	t.Helper()
	began, code, body := time.Now(), 0, ""
	if !eventually(40*time.Second, func() bool {
		code, body = ask(addr)
		return code == http.StatusOK
	}) {
		t.Fatalf("%s did not become ready:\n%s", addr, body)
	}
	return time.Since(began)
}

// Two instances are restarted one after the other under load, each when the other is ready, as the
// README says. Nothing is lost, doubled or wrong.
func TestARollingRestartLosesNothing(t *testing.T) { rollingRestart(t, nil, 3*time.Second) }

func TestKafkaARollingRestartLosesNothing(t *testing.T) {
	rollingRestart(t, strings.Split(kafkaAddress(t), ","), 6*time.Second)
}

func rollingRestart(t *testing.T, brokers []string, session time.Duration) {
	a := newTestbed(t, brokers)
	s := &crashRun{session: session, txn: 4 * time.Second}
	// Events first: an engine that has said of every partition that it is idle waits for none of
	// them, and event time runs many times faster here than the lateness allows for.
	str := newTraffic(a, 1)
	began := time.Now()
	str.run(1000, func() bool { return time.Since(began) > time.Second })
	began = time.Now()
	specs, engines := make([]engineSpec, 2), make([]*engine, 2)
	for i := range specs {
		specs[i] = a.spec(s, fmt.Sprint(i))
		specs[i].Proxy, specs[i].Listen = "", freePort(t)
		engines[i] = a.run(specs[i], nil)
	}
	for i := range specs {
		untilReady(t, specs[i].Listen)
	}
	var over atomic.Bool
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// the oracle wants findings of some minutes of event time
		str.run(1000, func() bool { return over.Load() && time.Since(began) > 8*time.Second })
	}()
	for round := range 2 {
		for i := range specs {
			engines[i].stop(t)
			if engines[i].code != 0 {
				t.Errorf("instance %d stopped with exit code %d", i, engines[i].code)
			}
			engines[i] = a.run(specs[i], nil)
			took := untilReady(t, specs[i].Listen)
			other := untilReady(t, specs[1-i].Listen)
			t.Logf("round %d: instance %d ready %v after its start, the other one %v later", round, i,
				took.Round(time.Millisecond), other.Round(time.Millisecond))
		}
	}
	over.Store(true)
	<-sent
	str.finish()
	a.settle(str.sent, 20*time.Second)
	for _, e := range engines {
		e.stop(t)
	}
	b := a.compare(str.sent)
	a.verify(t, b, oracle.JournalGaps(a.read(a.topics.Journal)))
	if n := a.now(); n.committed == 0 || n.unknown > 0 || len(a.errors) > 0 {
		t.Errorf("an orderly restart must not leave an outcome unknown or log an error: %v, %q", &n, a.errors)
	}
	t.Logf("%d events, %d findings, lost %d, doubled %d, wrong %d", len(str.sent), b.Findings, b.Lost, b.Doubled,
		b.Wrong)
}

func TestSystemdIsToldWhenItIsReadyAndWhenItStops(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(40 * time.Second))
	t.Setenv("NOTIFY_SOCKET", socket)
	listen := freePort(t)
	config := writeFile(t, "c.yaml", fmt.Sprintf("embedded: {port: 0}\nlisten: %q\n", listen))

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan int, 1)
	go func() {
		code, _, errs := waywardContext(ctx, "run", "-c", config)
		if code != 0 {
			t.Error(errs)
		}
		done <- code
	}()
	told := func() string {
		b := make([]byte, 256)
		n, err := l.Read(b)
		must(t, err)
		return string(b[:n])
	}
	if got := told(); got != "READY=1" {
		t.Errorf("first told %q", got)
	}
	code, body := ask(listen)
	if code != 200 ||
		!strings.HasPrefix(body,
			"ready\nkafka: answers\ningress: ready\nbehaviour: ready\nbehaviour partition 0: ready\n") {
		t.Errorf("systemd was told that it is ready, /readyz says %d:\n%s", code, body)
	}
	stop()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("then told %q", got)
	}
	if code := <-done; code != 0 {
		t.Errorf("exit code %d", code)
	}
}
