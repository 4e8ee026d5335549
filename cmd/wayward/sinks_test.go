package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/retime"
	"github.com/wayward-sec/wayward/instance"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/sinks"
)

// gathered is a sink of this test: it remembers what it was given.
type gathered struct {
	mu       sync.Mutex
	findings []string
	commands []string
}

func (g *gathered) Findings(fs []*event.Finding) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range fs {
		g.findings = append(g.findings, f.UID)
	}
	return nil
}

func (g *gathered) Commands(cs []event.Command) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range cs {
		g.commands = append(g.commands, cs[i].ID)
	}
	return nil
}

func (g *gathered) Close() error { return nil }

func (g *gathered) count() (findings, commands int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.findings), len(g.commands)
}

// A sink that a test adds, by one line, is opened because the config names it, and is given what was
// committed, as the files beside it are.
func TestAnAddedSinkIsChosenByTheConfig(t *testing.T) {
	all := sinks.Kinds
	g := &gathered{}
	sinks.Kinds = append(slices.Clone(all), sinks.Kind{Name: "gather", Help: "for a test",
		Open: func(sinks.Settings) (sinks.Sink, error) { return g, nil }})
	defer func() { sinks.Kinds = all }()

	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS("../../testdata/sessions/refunds")))
	writeFile(t, filepath.Join(dir, "sinks.yaml"), `policies: policies
state: state
listen: off
embedded: {port: 0}
findings: {file: findings.jsonl}
sinks:
  - {type: gather, records: [findings, commands]}
  - {type: file, path: commands.jsonl, records: [commands]}
  - {type: file, path: findings.txt, format: text}
`)
	c, err := config.Load(filepath.Join(dir, "sinks.yaml"))
	must(t, err)
	i, err := instance.Open(t.Context(), c, instance.Options{Memory: true}, slog.New(slog.DiscardHandler))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- pipeline.Run(ctx, i.Config) }()

	cl, err := kgo.NewClient(append(i.Config.Options, kgo.DefaultProduceTopic(c.Topics.Events))...)
	must(t, err)
	defer cl.Close()
	var text bytes.Buffer
	again := retime.Schedule{Start: time.Now(), Speed: 1}
	cmd := newRoot()
	cmd.SetContext(ctx)
	cmd.SetErr(io.Discard)
	_, err = eachEvent(cmd, filepath.Join(dir, "events.jsonl"), "native", true, func(line []byte, e *event.Event) error {
		if again.First == 0 {
			again.First = e.Time
		}
		text.Write(line)
		cl.Produce(ctx, &kgo.Record{Key: event.AppendKey(nil, e.Tenant, e.Agent.ID),
			Value: bytes.Clone(again.Record(line, e))}, nil)
		return nil
	})
	must(t, err)
	must(t, cl.Flush(ctx))
	eventually(20*time.Second, func() bool { f, c := g.count(); return f >= 2 && c >= 1 })
	cancel()
	must(t, <-done)
	must(t, i.Close())

	lines := func(name string) (out []string) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		return strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	holds := func(name string, lines, ids []string) {
		if len(ids) == 0 || len(lines) != len(ids) {
			t.Fatalf("%s has %d lines, the added sink was given %d", name, len(lines), len(ids))
		}
		for i, l := range lines {
			if !strings.Contains(l, ids[i]) {
				t.Errorf("%s line %d does not hold %s: %s", name, i+1, ids[i], l)
			}
		}
	}
	holds("findings.jsonl", lines("findings.jsonl"), g.findings)
	holds("commands.jsonl", lines("commands.jsonl"), g.commands)
	if text := strings.Join(lines("findings.txt"), "\n"); !strings.Contains(text, "refund-7") ||
		strings.Contains(text, `{"activity_id"`) {
		t.Errorf("findings.txt is not for people: %s", text)
	}
}
