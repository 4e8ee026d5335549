package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A start waits for what comes by itself: a broker that is down, one that is up and does not know
// its topics yet, a coordinator that is moving.

const (
	firstRetry  = 250 * time.Millisecond
	longestWait = 10 * time.Second
	pingTimeout = 10 * time.Second // a frozen broker accepts connections and never answers

	// remindEvery is how often the log repeats that something is still missing.
	remindEvery = 30 * time.Second

	// SomeTopicsMissing is how long a start waits when some topics exist and others do not. After
	// wayward topics apply a broker may not have heard of all of them yet.
	SomeTopicsMissing = 5 * time.Second

	// internalTopics is how many topics are missing where nobody has made any.
	internalTopics = 8
)

// WaitForBrokers returns when a broker answers, or with an error when ctx is done. It also keeps
// trying when the broker refuses us, loudly: credentials are rotated on both sides and never at the
// same instant, and an engine that exits for it would have to be started again by hand. report, if
// not nil, is given what is waited for, and "" once it is there.
func WaitForBrokers(ctx context.Context, cl *kgo.Client, log *slog.Logger, report func(string)) error {
	w := &waiting{log: log, report: report, what: addressesOf(cl)}
	if report != nil { // a broker that never answers takes a while to be found out
		report("it waits for " + w.what)
	}
	for wait := firstRetry; ; wait = min(2*wait, longestWait) {
		err := ping(ctx, cl)
		if err == nil {
			w.over()
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for kafka: %w", context.Cause(ctx))
		}
		if errors.Is(err, kgo.ErrClientClosed) {
			return fmt.Errorf("waiting for kafka: %w", err)
		}
		w.failed(ctx, err)
		Pause(ctx, wait)
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for kafka: %w", context.Cause(ctx))
		}
	}
}

// Retry calls try until it succeeds, or fails with what waiting does not mend. what names the thing
// that is waited for, in the log and for report, which may be nil.
func Retry(ctx context.Context, log *slog.Logger, report func(string), what string,
	try func(context.Context) error) error {
	w := &waiting{log: log, report: report, what: what}
	start := time.Now()
	for wait := firstRetry; ; wait = min(2*wait, longestWait) {
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		err := try(limited)
		cancel()
		if err == nil {
			w.over()
			return nil
		}
		if ctx.Err() != nil || !transient(err) && !(someMissing(err) && time.Since(start) < SomeTopicsMissing) {
			return err
		}
		w.failed(ctx, err)
		Pause(ctx, wait)
	}
}

// waiting says what is waited for: to the log once, again when the reason changes, and then every
// remindEvery; to report at each try.
type waiting struct {
	log        *slog.Logger
	report     func(string)
	what       string
	since      time.Time
	lastLogged time.Time
	lastReason string
	tries      int
}

// failed is called after every try that failed.
func (w *waiting) failed(ctx context.Context, err error) {
	why := Explain(err)
	now := time.Now()
	if w.tries++; w.tries == 1 {
		w.since = now
	}
	if w.report != nil {
		w.report(fmt.Sprintf("it waits for %s, for %s now: %s", w.what, now.Sub(w.since).Round(time.Second), why))
	}
	if why == w.lastReason && now.Sub(w.lastLogged) < remindEvery {
		return
	}
	w.lastLogged, w.lastReason = now, why
	level := slog.LevelWarn
	if needsHelp(err) {
		level = slog.LevelError
	}
	w.log.Log(ctx, level, "waiting for "+w.what, "err", why, "cause", err, "after", now.Sub(w.since).Round(time.Second),
		"tries", w.tries)
}

// over is called when what was waited for is there.
func (w *waiting) over() {
	if w.tries > 0 {
		w.log.Info(w.what+" is there", "after", time.Since(w.since).Round(time.Millisecond), "tries", w.tries)
	}
	if w.report != nil {
		w.report("")
	}
}

// someMissing tells whether some topics, and not all, are missing, and nothing else is wrong.
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

// addressesOf names the brokers that a client was given.
func addressesOf(cl *kgo.Client) string {
	if seeds, ok := cl.OptValue(kgo.SeedBrokers).([]string); ok && len(seeds) > 0 {
		return "kafka at " + strings.Join(seeds, ", ")
	}
	return "kafka"
}

// ping asks whether a broker answers. The first request on a connection ignores its context, so
// ping returns without it when ctx is done.
func ping(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	answer := make(chan error, 1)
	go func() {
		defer cancel()
		answer <- cl.Ping(ctx)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-answer: // both at once
		return err
	default:
		return ctx.Err()
	}
}

// Pause sleeps for d, or until ctx is done.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
