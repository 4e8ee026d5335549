package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A start waits for what comes by itself: a broker that is down, one that is up and does not know
// its topics yet, a coordinator that is moving. It says once what it waits for, again when that
// changes, and then twice a minute.

// stillEvery is how often it is said that something is still waited for.
const stillEvery = 30 * time.Second

// fewTopicsFor is how long a start waits when some of its topics are there and others are not:
// after wayward topics apply a broker may not have heard of all of them.
const fewTopicsFor = 5 * time.Second

// patient tells of waiting, to a log and to Health.
type patient struct {
	log   *slog.Logger
	tell  func(string)
	what  string
	since time.Time
	said  time.Time
	last  string
	tries int
}

// waits is called for every try that failed.
func (p *patient) waits(ctx context.Context, err error) {
	why := Explain(err)
	now := time.Now()
	if p.tries++; p.tries == 1 {
		p.since = now
	}
	if p.tell != nil {
		p.tell(fmt.Sprintf("it waits for %s, for %s now: %s", p.what, now.Sub(p.since).Round(time.Second), why))
	}
	if why == p.last && now.Sub(p.said) < stillEvery {
		return
	}
	p.said, p.last = now, why
	level := slog.LevelWarn
	if needsHelp(err) {
		level = slog.LevelError
	}
	p.log.Log(ctx, level, "waiting for "+p.what, "err", why, "cause", err, "after", now.Sub(p.since).Round(time.Second),
		"tries", p.tries)
}

// came is called when it is there.
func (p *patient) came() {
	if p.tries > 0 {
		p.log.Info(p.what+" is there", "after", time.Since(p.since).Round(time.Millisecond), "tries", p.tries)
	}
	if p.tell != nil {
		p.tell("")
	}
}

// passing tells errors that go away when brokers are up and have settled, from those that somebody
// must do something about.
func passing(err error) bool {
	if needsHelp(err) {
		return false
	}
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return e.Retriable
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded,
		context.DeadlineExceeded, kgo.ErrRecordRetries, kgo.ErrRecordTimeout} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// begin does a part of the start until it is done, or fails with what waiting does not mend.
func (c *Config) begin(ctx context.Context, what string, part func(context.Context) error) error {
	p := &patient{log: c.Log, tell: c.Health.wait, what: what}
	began := time.Now()
	for wait := waitFirst; ; wait = min(2*wait, waitMost) {
		try, cancel := context.WithTimeout(ctx, time.Minute)
		err := part(try)
		cancel()
		if err == nil {
			p.came()
			return nil
		}
		if ctx.Err() != nil || !passing(err) && !(someMissing(err) && time.Since(began) < fewTopicsFor) {
			return err
		}
		p.waits(ctx, err)
		pause(ctx, wait)
	}
}

// someMissing tells that of the topics some, and not all, are not there, and nothing else is wrong.
func someMissing(err error) bool {
	problems, ok := errors.AsType[TopicProblems](err)
	if !ok || len(problems) >= internalTopics {
		return false
	}
	for _, c := range problems {
		if c.Kind != ChangeCreate {
			return false
		}
	}
	return true
}

// internalTopics is how many topics are missing where nobody has made any.
const internalTopics = 8

// brokersOf are the addresses that a client was given.
func brokersOf(cl *kgo.Client) string {
	if seeds, ok := cl.OptValue(kgo.SeedBrokers).([]string); ok && len(seeds) > 0 {
		return "kafka at " + strings.Join(seeds, ", ")
	}
	return "kafka"
}
