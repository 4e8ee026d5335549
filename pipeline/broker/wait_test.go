package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestWhatIsWaitedForIsSaidOnceAndThenEverySoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logLines
		refuse := error(&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1},
			Err: syscall.ECONNREFUSED})
		cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"),
			kgo.Dialer(func(context.Context, string, string) (net.Conn, error) { return nil, refuse }))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		told := ""
		err = WaitForBrokers(ctx, cl, slog.New(slog.NewTextHandler(&log, nil)), func(s string) { told = s })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		text := log.buf.String()
		if n := strings.Count(text, "waiting for kafka at 127.0.0.1:1"); n < 10 || n > 22 {
			t.Errorf("said %d times in ten minutes: %s", n, text)
		}
		if !strings.Contains(told, "nothing listens at 127.0.0.1:1") || !strings.Contains(told, "9m") {
			t.Errorf("/readyz is told %q", told)
		}
	})
}

func TestWhatPassesAtAStart(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("listing topics: %w", Explained(kerr.CoordinatorNotAvailable)), true},
		{fmt.Errorf("writing: %w", kerr.NotLeaderForPartition), true},
		{kerr.UnknownTopicOrPartition, true}, // retriable: a broker that has not heard of it yet
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{io.EOF, true},
		{context.DeadlineExceeded, true},
		{kerr.TopicAuthorizationFailed, false},
		{kerr.SaslAuthenticationFailed, false},
		{kerr.InvalidReplicationFactor, false},
		{TopicProblems{{Topic: "x", Kind: ChangePartitions}}, false},
		{errors.New("the state was made with 6 and 4 partitions"), false},
	} {
		if got := transient(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
