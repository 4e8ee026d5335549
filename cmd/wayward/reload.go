package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
)

// reloader reads the folder of policies anew when it is told to, and hands what it found to the
// engine. With anything wrong the old policies stay in force.
type reloader struct {
	dir     string
	shadow  string // of rules beside; "": none
	log     *slog.Logger
	updates chan *policy.Set

	mu   sync.Mutex
	last *policy.Set
}

func newReloader(dir, shadow string, first *policy.Set, log *slog.Logger) *reloader {
	return &reloader{dir: dir, shadow: shadow, last: first, log: log, updates: make(chan *policy.Set)}
}

var errSame = errors.New("the policies are the same as before")

// reload hands over the policies as they are now. The error says why the old ones stay.
func (r *reloader) reload(ctx context.Context) error {
	if r.dir == "" {
		return errors.New("there is no folder of policies: set policies in the config")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	set, err := config.LoadShadowed(r.dir, r.shadow)
	if err != nil {
		return err
	}
	if set.Hash() == r.last.Hash() {
		return errSame
	}
	select {
	case r.updates <- set:
	case <-ctx.Done():
		return ctx.Err()
	}
	added, removed, changed := 0, 0, 0
	for _, d := range authoring.Diff(r.last, set) {
		switch d.What {
		case "added":
			added++
		case "removed":
			removed++
		default:
			changed++
		}
	}
	r.log.Info("policies read anew", "policies", set.Hash()[:12], "rules", len(set.Rules()), "added", added, "removed",
		removed, "changed", changed)
	r.last = set
	return nil
}

// told hears what the engine made of a set.
func (r *reloader) told(set *policy.Set, err error) {
	if err != nil {
		r.log.Error("the new policies do not take effect, the old ones stay in force", "policies", set.Hash()[:12],
			"err", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.last.Hash() == set.Hash() {
			r.last = policy.Default() // so that the next attempt is one
		}
	}
}

func (r *reloader) tell(err error) {
	switch {
	case err == nil:
	case errors.Is(err, errSame):
		r.log.Info(err.Error())
	default:
		r.log.Error("the old policies stay in force", "err", err)
	}
}

// run reloads on SIGHUP and, if watch, when a file in the folder has changed and then kept still
// for a second, until the context ends.
func (r *reloader) run(ctx context.Context, watch bool) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	if !watch || r.dir == "" {
		tick.Stop()
	}
	done := ""
	if watch {
		done = r.fingerprint()
	}
	was := done
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			r.tell(r.reload(ctx))
		case <-tick.C:
			now := r.fingerprint()
			if now == was && now != done {
				done = now
				r.tell(r.reload(ctx))
			}
			was = now
		}
	}
}

func (r *reloader) fingerprint() string {
	if r.shadow == "" {
		return fingerprint(r.dir)
	}
	return fingerprint(r.dir) + fingerprint(r.shadow)
}

// ServeHTTP reloads: POST /-/reload. 200 if the new policies are handed to the engine or are those
// that it has, else 422 with what is wrong.
func (r *reloader) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	err := r.reload(req.Context())
	r.tell(err)
	switch {
	case err == nil:
		fmt.Fprintln(w, "read anew")
	case errors.Is(err, errSame):
		fmt.Fprintln(w, err)
	default:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	}
}
