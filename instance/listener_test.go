package instance

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A page in a browser on the same machine must not have policies read anew.
func TestOnlyOnesOwnOriginChangesSomething(t *testing.T) {
	var done int
	s := httptest.NewServer(nil)
	defer s.Close()
	addr := s.Listener.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("POST /-/reload", ownOrigin(addr, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { done++ })))
	s.Config.Handler = mux
	port := addr[strings.LastIndexByte(addr, ':'):]
	for name, x := range map[string]struct {
		method, host string
		header       map[string]string
		code         int
	}{
		"curl":                      {"POST", "", nil, 200},
		"curl by name":              {"POST", "localhost" + port, nil, 200},
		"curl over IPv6":            {"POST", "[::1]" + port, nil, 200},
		"an address of the machine": {"POST", "10.1.2.3" + port, nil, 200},
		"reading":                   {"GET", "", nil, 405},
		"a page of somebody else": {"POST", "", map[string]string{"Origin": "https://evil.example"},
			403},
		"a form of somebody else":   {"POST", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"another port of this host": {"POST", "", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		"a page without an origin":  {"POST", "", map[string]string{"Origin": "null"}, 403},
		"its own page":              {"POST", "", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200},
		"a name made to resolve to this machine": {"POST", "evil.example" + port,
			map[string]string{"Origin": "http://evil.example" + port, "Sec-Fetch-Site": "same-origin"}, 403},
		"a name that begins like ours": {"POST", "localhost.evil.example" + port, nil, 403},
	} {
		t.Run(name, func(t *testing.T) {
			before := done
			r, err := http.NewRequest(x.method, s.URL+"/-/reload", nil)
			if err != nil {
				t.Fatal(err)
			}
			if x.host != "" {
				r.Host = x.host
			}
			for k, v := range x.header {
				r.Header.Set(k, v)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != x.code || (done-before == 1) != (x.code == 200) {
				t.Errorf("%s, done %d times; want %d", resp.Status, done-before, x.code)
			}
		})
	}
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, ":9464": false,
		"0.0.0.0:1": false, "10.0.0.1:1": false, "host:1": false} {
		if onLoopback(addr) != want {
			t.Errorf("%s is on loopback: %v", addr, !want)
		}
	}
}
