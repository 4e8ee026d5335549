package instance

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

// Reloader reads the folder of policies again when it is asked to, and hands them to the engine. With
// any mistake in them the old policies stay in force.
type Reloader struct {
	dir     string
	shadow  string // folder of rules that never act; "": none
	log     *slog.Logger
	updates chan *policy.Set // to the engine

	mu   sync.Mutex
	last *policy.Set // that was handed over
}

func newReloader(dir, shadow string, first *policy.Set, log *slog.Logger) *Reloader {
	return &Reloader{dir: dir, shadow: shadow, last: first, log: log, updates: make(chan *policy.Set)}
}

// ErrUnchanged says that a reload found the policies that it had handed over before.
var ErrUnchanged = errors.New("the policies are the same as before")

// reload hands over the policies as they are now. The error says why the old ones stay.
func (r *Reloader) reload(ctx context.Context) error {
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
		return ErrUnchanged
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

// onOutcome is called when the engine has taken a set, or has refused it.
func (r *Reloader) onOutcome(set *policy.Set, err error) {
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

func (r *Reloader) report(err error) {
	switch {
	case err == nil:
	case errors.Is(err, ErrUnchanged):
		r.log.Info(err.Error())
	default:
		r.log.Error("the old policies stay in force", "err", err)
	}
}

// Run reloads on SIGHUP and, if watch, when a file in the folder has changed and then kept still
// for a second, until the context ends.
func (r *Reloader) Run(ctx context.Context, watch bool) {
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
			r.report(r.reload(ctx))
		case <-tick.C:
			now := r.fingerprint()
			if now == was && now != done {
				done = now
				r.report(r.reload(ctx))
			}
			was = now
		}
	}
}

// fingerprint changes when a file in one of the folders does.
func (r *Reloader) fingerprint() string {
	if r.shadow == "" {
		return config.Fingerprint(r.dir)
	}
	return config.Fingerprint(r.dir) + config.Fingerprint(r.shadow)
}

// ServeHTTP reloads: POST /-/reload. 200 if the new policies are handed to the engine or are those
// that it has, else 422 with what is wrong.
func (r *Reloader) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	err := r.reload(req.Context())
	r.report(err)
	switch {
	case err == nil:
		fmt.Fprintln(w, "read anew")
	case errors.Is(err, ErrUnchanged):
		fmt.Fprintln(w, err)
	default:
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	}
}
