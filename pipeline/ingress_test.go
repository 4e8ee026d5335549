package pipeline

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/state"
)

// The ingress gives records their key and keeps their order; what does not decode goes to the dead
// letters with reason and origin.
func TestIngressKeysRecordsAndSetsBadOnesAside(t *testing.T) {
	addFormat(t, formats.Kind{Name: "pairs", About: "for a test", New: func() formats.Format { return pairs{} }})
	b, err := broker.StartEmbedded("", 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	topics := broker.DefaultTopics()
	opts := []kgo.Opt{kgo.SeedBrokers(b.Addr())}
	cl, err := kgo.NewClient(append(opts, kgo.DefaultProduceTopic("raw"), kgo.ConsumeTopics(topics.Events, topics.DLQ),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	changes, err := broker.PlanTopics(t.Context(), adm, topics.Specs(true, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.ApplyTopics(t.Context(), adm, changes, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopics(t.Context(), 1, 1, nil, "raw", "pairs"); err != nil {
		t.Fatal(err)
	}
	store, err := state.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Config{Options: opts, Topics: topics, Group: "g", Instance: "0", Stages: []string{"ingress"},
			Ingress: []Ingress{{"raw", "native"}, {"pairs", "pairs"}},
			Store:   store, Policy: policy.Default(), Metrics: NewMetrics(prometheus.NewRegistry())})
	}()
	line := func(id, agent string) string {
		return `{"id":"` + id + `","time":1767600000000,"kind":"tool_call","tenant":"acme","agent":{"id":"` + agent +
			`"},"tool":{"name":"get"}}`
	}
	for _, v := range []string{line("1", "a"), "not json", line("2", "a"), line("3", "b|c"), `{"time":1767600000000}`,
		line("4", "a"), `{"tenant":"acme","agent":{"id":"a"},"time":1767600000000,`} {
		cl.Produce(ctx, kgo.StringRecord(v), nil)
	}
	cl.Produce(ctx, &kgo.Record{Topic: "pairs", Value: []byte("acme p: read ? write")}, nil) // two events, one bad part
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	var ids []string
	keys, reasons := map[string]int{}, map[string]string{}
	for len(ids)+len(reasons) < 10 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if r.Topic == topics.DLQ {
				h := map[string]string{}
				for _, x := range r.Headers {
					h[x.Key] = string(x.Value)
				}
				reasons[h["topic"]+"/"+h["partition"]+"/"+h["offset"]] = strings.TrimSpace(h["reason"] + " " +
					h["tenant"] + " " + h["agent"])
				return
			}
			keys[string(r.Key)]++
			if strings.HasPrefix(string(r.Key), "acme|a") {
				ids = append(ids, string(r.Value[7:8]))
			} else {
				ids = append(ids, "")
			}
		})
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ids, ""); got != "124" {
		t.Errorf("events of acme|a in order %q, want 1 2 4", got)
	}
	if keys["acme|a"] != 3 || keys["acme|b%7Cc"] != 1 || keys["acme|p"] != 2 || len(keys) != 3 {
		t.Errorf("keys %v", keys)
	}
	if reasons["raw/0/1"] != "not_json" || reasons["raw/0/4"] != "missing_field" ||
		reasons["raw/0/6"] != "not_json acme a" || reasons["pairs/0/0"] != "not_json acme p" || len(reasons) != 4 {
		t.Errorf("dead letters by origin %v", reasons)
	}
}
