package instance

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wayward-sec/wayward/pipeline"
)

// notify tells systemd (Type=notify, sd_notify(3)) when the engine is ready and when it begins to
// stop. Elsewhere it does nothing. The function it returns waits until all is sent.
func notify(ctx context.Context, h *pipeline.Health, log *slog.Logger) (wait func()) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return func() {}
	}
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:] // an abstract socket
	}
	send := func(state string) {
		c, err := net.Dial("unixgram", name)
		if err == nil {
			_, err = io.WriteString(c, state)
			c.Close()
		}
		if err != nil {
			log.Warn("telling systemd", "err", err)
		}
	}
	ctx, stop := context.WithCancel(ctx)
	var sent sync.WaitGroup
	sent.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for ready := false; ; {
			select {
			case <-ctx.Done():
				send("STOPPING=1")
				return
			case <-tick.C:
			}
			if now, _, _ := h.Check(ctx); now && !ready {
				ready = true
				send("READY=1")
			}
		}
	})
	return func() {
		stop()
		sent.Wait()
	}
}
