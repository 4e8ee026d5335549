package main

import (
	"net"
	"net/http"
	"strings"
)

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
