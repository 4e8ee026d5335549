package instance

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serve offers metrics and health on an address, loopback unless the config says otherwise.
func (i *Instance) serve(addr string, log *slog.Logger) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen: %w; set another address, or off, in listen", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(i.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", readiness{i.Config.Health})
	mux.Handle("POST /-/reload", ownOrigin(addr, i.Reloader))
	if !onLoopback(addr) {
		log.Warn(
			"listen is not loopback alone: whoever reaches it can read the metrics and have policies read anew, without a password; use 127.0.0.1, or a network that is closed",
			"addr", addr)
	}
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics listener", "err", err)
		}
	}()
	i.Addr = l.Addr().String()
	i.close = append(i.close, closer{"the listener", func() error {
		err := s.Close()
		<-done
		return err
	}})
	return nil
}

// onLoopback tells whether an address to listen on is reached from this machine alone.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// ownOrigin guards what changes something against pages of others in a browser on this machine.
// Their requests name another origin, which net/http refuses; and where a name of theirs was made
// to resolve to this machine (DNS rebinding) the request names it as host: only this listener's own
// names and plain addresses are taken.
func ownOrigin(addr string, h http.Handler) http.Handler {
	own, _, _ := net.SplitHostPort(addr)
	checked := http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		plain := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if !isLoopback(host) && net.ParseIP(plain) == nil && (own == "" || !strings.EqualFold(host, own)) {
			http.Error(w, "refused: the request names a host that is not this listener's; ask by its address",
				http.StatusForbidden)
			return
		}
		checked.ServeHTTP(w, r)
	})
}
