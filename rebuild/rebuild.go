// Package rebuild throws an instance's state away, so that the next start makes it anew: the state on
// this disk, or with it the internal topics and consumer groups of all instances. It knows the
// config, the store and the brokers, and never what stands in pages. It prints nothing and asks
// nobody: commands do. Begin with Examine, then Plan.Do.
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/state"
)

// Plan is what a rebuild would do.
type Plan struct {
	Dir    string             // of the state
	Exists bool               // there is state in it, to be deleted
	Topics []broker.TopicSpec // to be emptied; none: only the state on this disk is thrown away
	Groups []string           // consumer groups to be forgotten with them
	Why    string             // topics are emptied

	config config.Config
	admin  *kadm.Client
	close  []func()
}

// Empty tells whether there is nothing to do.
func (p *Plan) Empty() bool { return !p.Exists && len(p.Topics) == 0 }

// Close ends the connections of a plan, and the embedded broker if it was started for it.
func (p *Plan) Close() {
	for _, f := range slices.Backward(p.close) {
		f()
	}
	p.close = nil
}

// Examine finds out what has to be thrown away; with all, the internal topics in any case. It changes
// nothing. It is an error if an instance is at work. What is odd about the state is given to note.
func Examine(ctx context.Context, c config.Config, all bool, note func(string)) (_ *Plan, err error) {
	p := &Plan{Dir: c.StoreDir(), Groups: broker.RebuiltGroups(c.Group)}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	p.Exists = state.Exists(p.Dir)
	layout, err := p.layout(note)
	if err != nil {
		return nil, err
	}
	embedded := c.Kafka.Embedded()
	if _, err := os.Stat(filepath.Join(c.State, "broker")); embedded && err != nil && !p.Exists {
		return p, nil
	}
	if embedded {
		own, err := broker.StartEmbedded(c.State, 0, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		p.close = append(p.close, func() { own.Close() })
		c.Kafka = broker.Kafka{Brokers: []string{own.Addr()}}
	}
	cl, adm, brokers, err := c.Kafka.Dial(ctx)
	if err != nil {
		return nil, err
	}
	p.close = append(p.close, cl.Close)
	p.config, p.admin = c, adm
	if err := p.chooseTopics(ctx, layout, c.Topics.Specs(embedded, brokers), all); err != nil {
		return nil, err
	}
	if len(p.Topics) > 0 {
		err = p.mustBeStopped(ctx, embedded)
	}
	return p, err
}

// layout is how the state on disk was cut; nil: there is none, or it cannot be read. Nobody may have
// the store open. One that does not open for another reason is to be thrown away.
func (p *Plan) layout(note func(string)) (*pipeline.Layout, error) {
	if !p.Exists {
		return nil, nil
	}
	s, err := state.Open(p.Dir)
	switch {
	case errors.Is(err, state.ErrInUse):
		return nil, fmt.Errorf("%w; stop it first", err)
	case err != nil:
		note(fmt.Sprint("the state does not open: ", err))
		return nil, nil
	}
	layout, err := pipeline.StoredLayout(s)
	if err := errors.Join(err, s.Close()); err != nil {
		note(fmt.Sprint("the state cannot be read: ", err))
	}
	return layout, nil
}

// mustBeStopped is an error while consumer groups have members.
func (p *Plan) mustBeStopped(ctx context.Context, embedded bool) error {
	session := p.config.Engine.SessionTimeout
	members, err := broker.Members(ctx, p.admin, p.Groups)
	// Nobody but this process reaches the broker that it has just started: who is a member there has
	// died, and leaves after a while.
	for until := time.Now().Add(session + 5*time.Second); embedded && err == nil && len(members) > 0 &&
		time.Now().Before(until) && ctx.Err() == nil; {
		time.Sleep(200 * time.Millisecond)
		members, err = broker.Members(ctx, p.admin, p.Groups)
	}
	if err == nil && len(members) > 0 {
		return fmt.Errorf(
			"instances are at work: %s. Stop all of them first; one that has died leaves after engine.session_timeout (%s)",
			strings.Join(members, ", "), config.FormatDuration(session))
	}
	return err
}

// chooseTopics decides whether the internal topics must be emptied, and why: their partitions are not
// as they should be, the state was cut by others, or all was asked for.
func (p *Plan) chooseTopics(ctx context.Context, then *pipeline.Layout, specs []broker.TopicSpec, all bool) error {
	topics := p.config.Topics
	discardable := topics.Discardable()
	var internal []broker.TopicSpec
	external := map[string]bool{}
	for _, s := range specs {
		if slices.Contains(discardable, s.Name) {
			internal = append(internal, s)
		} else {
			external[s.Name] = true
		}
	}
	changes, err := broker.ReviewTopics(ctx, p.admin, specs)
	if err != nil {
		return err
	}
	var differs []string
	for _, ch := range changes {
		switch {
		case ch.Kind == broker.ChangePartitions && external[ch.Topic]:
			// of events: the config must say what is, before state is cut by it
			return errors.New(ch.What)
		case ch.Kind == broker.ChangeCreate && ch.Topic == topics.Events:
			return errors.New(ch.What)
		case ch.Kind == broker.ChangePartitions:
			differs = append(differs, fmt.Sprintf("topic %s has %s partitions and should have %s", ch.Topic, ch.Have,
				ch.Want))
		}
	}
	if len(differs) > 0 {
		p.Topics, p.Why = internal, strings.Join(differs, ", ")
		return nil
	}
	if then != nil {
		found, err := p.admin.ListTopics(ctx, topics.Events, topics.Control, topics.Journal, topics.Facts)
		if err != nil {
			return errors.New(broker.Explain(err))
		}
		now := pipeline.LayoutOf(topics, found)
		remade := now.Remade(*then)
		switch {
		case slices.Contains(remade, "facts"):
			// rebuild has emptied the topics for another instance already: only this disk is behind
		case now.Events != then.Events || now.Facts != then.Facts:
			p.Topics, p.Why = internal, fmt.Sprintf(
				"the state was made with %d and %d partitions of events and facts, and there are %d and %d",
				then.Events, then.Facts, now.Events, now.Facts)
			return nil
		case slices.Contains(remade, "events"):
			p.Topics, p.Why = internal, "topic "+topics.Events+" was deleted and made anew"
			return nil
		}
	}
	if all {
		p.Topics, p.Why = internal, "--all asks for it"
	}
	return nil
}

// Do carries the plan out, and says each step before it does it. Breakers are kept: they are read
// before the topics are emptied and written into the new ones.
func (p *Plan) Do(ctx context.Context, say func(string)) error {
	if p.Exists {
		say("deleting " + p.Dir)
		if err := os.RemoveAll(p.Dir); err != nil {
			return err
		}
	}
	if len(p.Topics) == 0 {
		return nil
	}
	c := &p.config
	options, err := c.Kafka.Options()
	if err != nil {
		return err
	}
	say("reading breakers from " + c.Topics.Commands + " and " + c.Topics.Breakers)
	resume, err := pipeline.ReadResume(ctx, options, c.Topics, c.Group)
	if err != nil {
		return err
	}
	if err := broker.BeginAnew(ctx, p.admin, p.Topics, p.Groups, say); err != nil {
		return err
	}
	say(fmt.Sprintf("writing breakers of %d scopes into the new topics", resume.Scopes()))
	if err := resume.Write(ctx, options, c.Topics); err != nil {
		return fmt.Errorf("%w; run wayward state rebuild --all again before any instance is started", err)
	}
	return nil
}
