package pipeline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
)

func TestAPartThatDoesNotEndIsNamed(t *testing.T) {
	for name, why := range map[string]error{"told to": nil, "for want of room": errors.New("the disk")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, stop := context.WithCancel(t.Context())
				defer stop()
				g, ctx := errgroup.WithContext(parent)
				var work atWork
				let := make(chan struct{})
				g.Go(work.do("stage one", func() error { <-ctx.Done(); return why }))
				g.Go(work.do("stage two", func() error { <-let; return nil }))
				g.Go(work.do("stage three", func() error {
					if why != nil {
						return why
					}
					<-ctx.Done()
					return nil
				}))
				time.Sleep(time.Hour)
				stop()
				err := work.wait(ctx, g.Wait)
				if !errors.Is(err, ErrStuck) || why != nil && !errors.Is(err, why) ||
					!strings.Contains(err.Error(), "stage two did not end") ||
					strings.Contains(err.Error(), "stage one") {
					t.Error(err)
				}
				close(let)
			})
		})
	}
}

func TestPartsThatEndAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var work atWork
		g, in := errgroup.WithContext(ctx)
		g.Go(work.do("slow", func() error { <-in.Done(); time.Sleep(StopWithin - time.Second); return nil }))
		stop()
		if err := work.wait(in, g.Wait); err != nil {
			t.Error(err)
		}
	})
}

func TestAStopGivesATransactionAWhileAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		gaveUp := time.Time{}
		over := afterStop(ctx, func() { gaveUp = time.Now() })
		time.Sleep(time.Hour)
		stop()
		told := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if gaveUp.Sub(told) != stopTransaction {
			t.Errorf("given up after %s", gaveUp.Sub(told))
		}
		over()
		ctx, stop = context.WithCancel(t.Context())
		defer stop()
		afterStop(ctx, func() { t.Error("given up though it had ended") })()
	})
}
