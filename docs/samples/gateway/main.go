// Command gateway shows how a gateway obeys wayward: it knows the present from agent.breakers,
// follows agent.commands, and answers on agent.acks. Copy it; docs/gateway.md says why each step is
// there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/event"
)

func main() {
	brokers := flag.String("brokers", "127.0.0.1:29092", "host:port,… of Kafka")
	name := flag.String("name", "gateway-sample", "of this gateway in its acks")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	g := &gateway{name: *name, held: map[string]hold{}, last: map[string]int64{},
		say: func(what string) { fmt.Println(what) }}
	if err := g.run(ctx, strings.Split(*brokers, ",")); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

// gateway is what a gateway remembers. A call may pass if none of its scopes (its session, agent,
// persona, tool, server, user, tenant, and global) is held.
type gateway struct {
	name string
	held map[string]hold  // by the scope's key
	last map[string]int64 // epoch last done, by the scope's key: also of scopes that are free again
	say  func(string)
}

type hold struct {
	action event.Action
	rate   event.Rate
	until  time.Time // zero: until restored
}

func (g *gateway) run(ctx context.Context, brokers []string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		// what is added to a client waits for the fetch that is under way
		kgo.FetchMaxWait(250*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	// First where commands end, then the present: what is commanded in between is seen twice rather
	// than not at all. No consumer group: every instance of a gateway needs every command.
	adm := kadm.NewClient(cl)
	commands, err1 := adm.ListCommittedOffsets(ctx, "agent.commands")
	breakers, err2 := adm.ListCommittedOffsets(ctx, "agent.breakers")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := errors.Join(commands.Error(), breakers.Error()); err != nil {
		return err
	}
	behind := map[int32]int64{} // partitions of agent.breakers that are not read to their end
	present := map[int32]kgo.Offset{}
	breakers.Each(func(o kadm.ListedOffset) {
		present[o.Partition] = kgo.NewOffset().AtStart()
		if o.Offset > 0 {
			behind[o.Partition] = o.Offset
		}
	})
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{"agent.breakers": present})
	started := false
	for ctx.Err() == nil {
		if !started && len(behind) == 0 {
			started = true
			cl.AddConsumePartitions(commands.KOffsets())
			g.say(fmt.Sprintf("started: %d scopes are held", len(g.held)))
		}
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		fetched := cl.PollFetches(wait)
		cancel()
		if wait.Err() != nil && ctx.Err() == nil {
			clear(behind) // what is left of agent.breakers holds no records: aborted, or compacted away
		}
		for _, e := range fetched.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", e.Topic, e.Err)
			}
		}
		var acks []*kgo.Record
		for r := range fetched.RecordsAll() {
			if r.Topic == "agent.breakers" {
				if end, ok := behind[r.Partition]; ok && r.Offset >= end-1 {
					delete(behind, r.Partition)
				}
			}
			switch {
			case r.Attrs.IsControl():
			case r.Topic == "agent.commands":
				acks = append(acks, g.command(r, time.Now())...)
			default:
				more, err := g.breaker(r, started, time.Now())
				if err != nil {
					return err
				}
				acks = append(acks, more...)
			}
		}
		g.expire(time.Now())
		if err := cl.ProduceSync(ctx, acks...).FirstErr(); err != nil {
			return fmt.Errorf("agent.acks: %w", err)
		}
	}
	return ctx.Err()
}

// breaker takes the state of a scope. At the start the last one of each key is the present. Later
// commands are what counts, and a state only helps where it is ahead of them.
func (g *gateway) breaker(r *kgo.Record, started bool, now time.Time) ([]*kgo.Record, error) {
	key := string(r.Key)
	if !started {
		delete(g.held, key)
	}
	if r.Value == nil {
		return nil, nil // a tombstone: the scope is free
	}
	b, err := event.ParseBreaker(r.Value)
	switch {
	case err != nil:
		// it stops something, and this gateway does not know what: it must not let calls pass
		return nil, err
	case b.Mode != event.Enforce, started && b.Epoch <= g.last[key]:
		return nil, nil
	}
	until := time.Time{}
	if b.Until > 0 {
		until = time.UnixMilli(b.Until)
	}
	g.hold(b.Scope, b.Epoch, b.Action, b.Rate, until)
	if b.Enforced == event.Applied.String() {
		return nil, nil
	}
	return g.answer(b.CommandID, b.Scope, b.Epoch, now, event.Applied, "from agent.breakers"), nil
}

// command does what a command says, once, and answers.
func (g *gateway) command(r *kgo.Record, now time.Time) []*kgo.Record {
	c, err := event.ParseCommand(r.Value)
	if err != nil {
		// a type of scope or an action from the future: without an ack wayward reports "not
		// enforced"
		g.say("refused: " + err.Error())
		return nil
	}
	key := c.Scope.Key()
	switch {
	case c.Mode != event.Enforce: // what would have been sent
		return nil
	case c.Epoch < g.last[key]: // overtaken by a newer one
		return nil
	case c.Epoch == g.last[key]: // sent again, or known from agent.breakers: done once, answered each time
		return g.answer(c.ID, c.Scope, c.Epoch, now, event.Applied, "again")
	case c.Action != event.Restore && c.NotAfter > 0 && now.UnixMilli() > c.NotAfter:
		// a restore is right however late it comes
		g.last[key] = c.Epoch
		return g.answer(c.ID, c.Scope, c.Epoch, now, event.Expired, "came after not_after")
	}
	acks := g.answer(c.ID, c.Scope, c.Epoch, now, event.Received, "")
	until := time.Time{}
	if c.DurationMS > 0 {
		until = time.UnixMilli(c.IssuedAt + c.DurationMS)
	}
	g.hold(c.Scope, c.Epoch, c.Action, c.Rate, until)
	return append(acks, g.answer(c.ID, c.Scope, c.Epoch, now, event.Applied, "")...)
}

// hold is where a real gateway closes connections and tells its enforcement points.
func (g *gateway) hold(s event.Scope, epoch int64, a event.Action, rate event.Rate, until time.Time) {
	key := s.Key()
	g.last[key] = epoch
	if a == event.Restore || a == event.Observe {
		delete(g.held, key)
	} else {
		g.held[key] = hold{a, rate, until}
	}
	g.say(fmt.Sprintf("%s %q, epoch %d", a, key, epoch))
}

// expire frees what has held for its time: wayward says so, too, but it may be down.
func (g *gateway) expire(now time.Time) {
	for key, h := range g.held {
		if !h.until.IsZero() && now.After(h.until) {
			delete(g.held, key)
			g.say(fmt.Sprintf("expired %q", key))
		}
	}
}

func (g *gateway) answer(command string, s event.Scope, epoch int64, now time.Time, status event.AckStatus,
	detail string) []*kgo.Record {
	a := event.Ack{CommandID: command, Tenant: s.Tenant, Scope: s, Epoch: epoch, Time: now.UnixMilli(), Status: status,
		By: g.name, Detail: detail}
	return []*kgo.Record{{Topic: "agent.acks", Key: s.AppendKey(nil), Value: a.Append(nil)}}
}
