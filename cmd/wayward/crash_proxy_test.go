package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between engines and broker. It reads requests, and after an EndTxn it cuts the
// connection, so that the engine cannot know whether its transaction has been committed; and again
// at each retry, until the engine gives up.
type proxy struct {
	addr, to string
	share    float64       // of EndTxn requests
	until    time.Duration // as long as a client retries
	on       atomic.Bool
	cuts     atomic.Int64

	mu  sync.Mutex
	rng *rand.Rand
	cut map[string]time.Time // by transactional id: until when
}

const endTxn = 26

func newProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{addr: l.Addr().String(), to: to, rng: rand.New(rand.NewPCG(uint64(os.Getpid()), 3)),
		cut: map[string]time.Time{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	broker, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer broker.Close()
	done := make(chan struct{})
	var mute atomic.Bool
	go func() { // answers
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, err := broker.Read(buf)
			if n > 0 && !mute.Load() {
				if _, err := client.Write(buf[:n]); err != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		client.Close()
	}()
	in := bufio.NewReaderSize(client, 64<<10)
	var head [4]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			break
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, frame); err != nil {
			break
		}
		cut := p.on.Load() && len(frame) > 2 && binary.BigEndian.Uint16(frame) == endTxn && p.chosen(frame)
		if cut {
			mute.Store(true)
		}
		if _, err := broker.Write(append(head[:], frame...)); err != nil {
			break
		}
		if cut {
			p.cuts.Add(1)
			client.Close()
			time.Sleep(200 * time.Millisecond) // the broker does what it was asked
			break
		}
	}
	broker.Close()
	<-done
}

// chosen says whether this EndTxn is one to cut.
func (p *proxy) chosen(frame []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := bytes.Index(frame, []byte("wayward-"))
	if i < 0 {
		return false
	}
	id := string(frame[i:min(len(frame), i+len("wayward-behaviour-0"))])
	if time.Now().Before(p.cut[id]) {
		return true
	}
	if p.rng.Float64() >= p.share {
		return false
	}
	p.cut[id] = time.Now().Add(p.until)
	return true
}
