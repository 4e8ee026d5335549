package instance

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/authoring"
	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/policy"
)

func TestPoliciesAreReadAnewAllOrNothing(t *testing.T) {
	text := authoring.New("event", "r")
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "rules", "r.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(text)
	set, err := config.LoadPolicies(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := newReloader(dir, "", set, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var got []*policy.Set
	taken := make(chan struct{}, 10)
	go func() {
		for {
			select {
			case s := <-r.updates:
				got = append(got, s)
				taken <- struct{}{}
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := r.reload(ctx); !errors.Is(err, ErrUnchanged) {
		t.Errorf("nothing has changed: %v", err)
	}
	write(strings.Replace(text, "tool.class", "tool.clas", 1))
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/-/reload", nil))
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "R101") || len(got) != 0 {
		t.Errorf("a mistake: %d %s", w.Code, w.Body)
	}
	write(strings.Replace(text, "max: 500", "max: 400", 1))
	w = httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/-/reload", nil))
	<-taken
	if w.Code != http.StatusOK || got[0].Hash() == set.Hash() {
		t.Errorf("a change: %d %s", w.Code, w.Body)
	}
	// By a signal, and by a file that changes.
	caught := make(chan os.Signal, 1) // so that one that comes too early does not end the test
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	done := make(chan struct{})
	go func() { r.Run(ctx, true); close(done) }()
	write(strings.Replace(text, "max: 500", "max: 300", 1))
	for len(taken) == 0 { // until somebody listens to the signal, or has looked at the folder
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-taken:
			taken <- struct{}{}
		case <-time.After(50 * time.Millisecond):
		}
	}
	<-taken
	write(strings.Replace(text, "max: 500", "max: 200", 1))
	<-taken
	stop()
	<-done
	if len(got) != 3 {
		t.Errorf("%d sets were handed over, want 3", len(got))
	}
}
