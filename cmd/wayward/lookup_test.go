package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

func TestWithoutABrokerOrItsTopicsItSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	file := filepath.Join(t.TempDir(), "wayward.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key, _ := signer(t, "")
	commands := [][]string{{"breaker", "list"}, {"breaker", "show", "agent", "a", "--tenant", "acme"},
		{"breaker", "history"}, {"agents", "list"}, {"agents", "show", "a"},
		{"breaker", "trip", "agent", "a", "--tenant", "acme", "--action", "block", "--reason", "x", "--by", "alice",
			"--key", key},
		{"breaker", "restore", "agent", "a", "--tenant", "acme", "--reason", "x", "--by", "alice", "--key", key,
			"--wait", "0"}}
	write(fmt.Sprintf("embedded: {port: %d}\n", port))
	start := time.Now()
	for _, args := range commands[:3] {
		_, errs, code := runCommand(t, append(args, "--config", file)...)
		if code != 2 ||
			!strings.Contains(errs, fmt.Sprintf("no embedded broker: nothing listens at 127.0.0.1:%d", port)) ||
			!strings.Contains(errs, "start wayward run, or name the brokers of your Kafka") {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
	}
	write(fmt.Sprintf("brokers: [%q]\n", fmt.Sprintf("127.0.0.1:%d", port)))
	if _, errs, code := runCommand(t, "breaker", "list", "--config", file); code != 2 ||
		!strings.Contains(errs, "nothing listens at 127.0.0.1") || strings.Contains(errs, "embedded") {
		t.Errorf("exit %d %s", code, errs)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("four commands took %v to say that there is nobody", took)
	}

	b, err := broker.StartEmbedded("", 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	write(fmt.Sprintf("brokers: [%q]\n", b.Addr()))
	for _, args := range commands {
		_, errs, code := runCommand(t, append(args, "--config", file)...)
		if code != 2 || !strings.Contains(errs, "is missing: run wayward topics apply") {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
	}
	for _, args := range [][]string{{"breaker", "list", "--output", "xml"}, {"breaker", "list", "--type", "fleet"},
		{"breaker", "list", "--action", "restore"}, {"breaker", "history", "--since", "-1h"},
		{"agents", "list", "--since", "-1h"}} {
		if _, errs, code := runCommand(t, append(args, "--config", file)...); code != 2 ||
			!strings.Contains(errs, args[2]) || !strings.Contains(errs, "use ") {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
	}
}

func TestTheEmbeddedBrokerIsFoundByItsPort(t *testing.T) {
	d := newDesk(t)
	_, port, err := net.SplitHostPort(d.broker)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, []byte("embedded: {port: "+port+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := d.done("breaker", "list"); out != "nothing is stopped\n" {
		t.Error(out)
	}
}
