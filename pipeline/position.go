package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

// position is the group's place in both logs of a partition; 0: nothing committed.
func (st *stage) position(get func(topic string) int64) (o [2]int64) {
	for _, t := range st.in {
		if at := get(t); at > 0 {
			o[st.logOf(t)] = at
		}
	}
	return o
}

func (st *stage) logOf(topic string) int {
	if len(st.in) == 2 && topic == st.in[0] {
		return controlLog
	}
	return mainLog
}

// brokerPosition is what the coordinator holds, once no transaction is open on it.
func (st *stage) brokerPosition(ctx context.Context, cl *kgo.Client) (map[int32][2]int64, error) {
	n := st.rules.sources
	if len(st.in) == 1 {
		n = st.rules.facts
	}
	// By name: of a group's offsets "all" leaves out a partition whose first commit is still
	// undecided, and what may not be read.
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = st.cfg.Group+"-"+st.name, true
	for _, name := range st.in {
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic = name
		for p := range n {
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	for {
		at, err := st.offsets(ctx, cl, req, n)
		if !errors.Is(err, kerr.UnstableOffsetCommit) || ctx.Err() != nil {
			return at, err
		}
		broker.Pause(ctx, 20*time.Millisecond)
	}
}

func (st *stage) offsets(ctx context.Context, cl *kgo.Client, req *kmsg.OffsetFetchRequest,
	n int32) (map[int32][2]int64, error) {
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	have := map[string]map[int32]int64{}
	for _, t := range resp.Topics {
		have[t.Topic] = map[int32]int64{}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("%s partition %d: %w", t.Topic, p.Partition, err)
			}
			have[t.Topic][p.Partition] = p.Offset
		}
	}
	out := map[int32][2]int64{}
	for p := range n {
		for _, name := range st.in {
			if _, ok := have[name][p]; !ok {
				return nil, fmt.Errorf("the broker did not say where the group is in %s partition %d", name, p)
			}
		}
		out[p] = st.position(func(t string) int64 { return have[t][p] })
	}
	return out, nil
}
