package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/detectors"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/response"
)

// What the engine writes to itself can be read back as it was.

// written is a time of the wall clock, Unix milliseconds.
const written = 1_700_000_000_000

func bucketOf(r *rand.Rand) detectors.Bucket {
	ref := func() event.Ref {
		return event.Ref{Time: r.Int64() - r.Int64(), ID: fmt.Sprint("e", r.IntN(99)),
			Agent: fmt.Sprint("a", r.IntN(9))}
	}
	k := detectors.Bucket{Slot: byte(1 + r.IntN(9)), Scope: policy.Scope(r.IntN(6)), Tenant: "t",
		ID: fmt.Sprint("u|", r.IntN(9)), Index: r.Int64N(1e9) - 5e8}
	meter := uint64(0)
	for range 1 + r.IntN(4) {
		meter += 1 + r.Uint64N(1<<60)
		c := detectors.Counted{Meter: meter, First: ref(), Last: ref(), Mixed: r.IntN(2) == 0}
		if n := len(k.Counted); n > 0 && r.IntN(2) == 0 {
			c.First, c.Last = k.Counted[n-1].First, k.Counted[n-1].Last
		}
		for i := range c.Sums {
			if r.IntN(2) == 0 {
				c.Sums[i] = r.Int64()
			}
		}
		if r.IntN(3) == 0 {
			c.Keep = uint32(1 + r.IntN(5))
			hash := uint64(0)
			for range 1 + r.IntN(int(c.Keep)) {
				hash += 1 + r.Uint64N(1<<60)
				c.Seen = append(c.Seen, hash)
			}
		}
		k.Counted = append(k.Counted, c)
	}
	return k
}

func TestFactsComeBackAsTheyWere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		h := factsHead{source: int32(r.IntN(4096)), now: r.Int64(),
			watermark: []int64{noTime, r.Int64(), -5}[r.IntN(3)], idle: r.IntN(2) == 0, out: r.IntN(2) == 0,
			activate: r.IntN(2) == 0, set: "0123456789abcdef", format: factsFormat}
		b := appendFactsHead(nil, h)
		var want, got []detectors.Bucket
		for range r.IntN(5) {
			want = append(want, bucketOf(r))
			b = appendBucket(b, &want[len(want)-1])
		}
		back, body, err := readFactsHead(b)
		if err != nil || back != h {
			t.Fatalf("%+v comes back as %+v, %v", h, back, err)
		}
		for len(body.B) > 0 {
			var k detectors.Bucket
			if readBucket(&body, &k); body.Err != nil {
				t.Fatal(body.Err)
			}
			got = append(got, k)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestAJournalOfALongSliceIsSplitAndComesBack(t *testing.T) {
	for _, n := range []int{0, 1, 100, 3000} {
		j := journal{seq: 7, now: written, next: [2]int64{int64(n), 99}, first: 90, events: 9, watermark: noTime,
			digest: math.MaxUint64}
		for i := range n {
			j.control = append(j.control, record{offset: int64(i), stamp: written + int64(i), key: []byte("k"),
				value: bytes.Repeat([]byte{byte(i)}, 700)})
		}
		var control []record
		parts := j.encode()
		for i, b := range parts {
			if len(b) > journalBytes+2000 {
				t.Errorf("%d control records: part %d has %d bytes", n, i, len(b))
			}
			got, err := readJournal(b)
			if err != nil || got.more != (i < len(parts)-1) {
				t.Fatalf("%d control records: part %d of %d: more %v, %v", n, i, len(parts), got.more, err)
			}
			control = append(control, got.control...)
			got.control, got.more = nil, false
			want := j
			want.control = nil
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("part %d comes back as %+v, want %+v", i, got, want)
			}
		}
		if len(control) != n || n > 0 && fmt.Sprint(control) != fmt.Sprint(j.control) {
			t.Errorf("%d control records come back as %d", n, len(control))
		}
		if (n == 3000) != (len(parts) > 1) {
			t.Errorf("%d control records are split into %d", n, len(parts))
		}
	}
}

func TestControlComesBackAsItWas(t *testing.T) {
	want := control{Kind: controlVerdict, Source: 3, Time: written, IdleMS: 5, Tenant: "acme", Agent: "a|%", Finding: "f",
		Severity: 4, Risk: 75, Set: "x", Offset: 9,
		Persona: "p", Hash: 1 << 63, Open: true, Scope: event.Scope{Type: event.SessionScope, ID: "s", Tenant: "acme",
			Agent: "a"}, Epoch: 3, Body: []byte(`{"a":1}`), State: []byte{0, 255},
		Trip: &order{Scope: event.Scope{Type: event.UserScope, ID: "u", Tenant: "acme"}, Persona: "p",
			Order: response.Order{Action: event.Throttle, DurationMS: 7,
				Rate: event.Rate{Calls: 1, PerSeconds: 2, Classes: []event.Class{event.Read}}, Time: written,
				FindingUID: "f",
				Reason:     "r", Issuer: event.Issuer{Type: "rule", Rule: "x", Version: "1", By: "b"},
				Trigger: event.Ref{Time: 1, ID: "i", Agent: "a"}, Guarded: true}}}
	if got, err := readControl(want.encode()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v comes back as %+v, %v", want, got, err)
	}
}

func FuzzJournal(f *testing.F) {
	j := journal{seq: 7, next: [2]int64{1, 2}, first: -1,
		control: []record{{offset: 1, stamp: 2, key: []byte("k"), value: []byte("v")}}}
	f.Add(j.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		j, err := readJournal(b)
		if err != nil {
			return
		}
		again, err := readJournal(j.append(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(j) {
			t.Fatalf("%+v comes back as %+v, %v", j, again, err)
		}
	})
}

func TestADeadLetterIsCutAt900KiB(t *testing.T) {
	header := func(o *output, key string) string {
		for _, h := range o.headers {
			if h.Key == key {
				return string(h.Value)
			}
		}
		return ""
	}
	for _, n := range []int{0, 10, 900 << 10, 900<<10 + 1, 3 << 20} {
		value := bytes.Repeat([]byte{'x'}, n)
		o := deadLetter("agent.events", 3, &record{offset: 77, key: bytes.Repeat([]byte{'k'}, 5000), value: value},
			"too_large", "at most 1 MiB", nil)
		if o.to != toDLQ || len(o.value) != min(n, 900<<10) || !bytes.Equal(o.value, value[:len(o.value)]) ||
			len(o.key) != 4096 {
			t.Errorf("%d bytes: a value of %d, a key of %d", n, len(o.value), len(o.key))
		}
		for k, want := range map[string]string{"reason": "too_large", "detail": "at most 1 MiB",
			"topic": "agent.events", "partition": "3", "offset": "77"} {
			if got := header(&o, k); got != want {
				t.Errorf("%d bytes: header %s is %q, want %q", n, k, got, want)
			}
		}
		length, sum := "", ""
		if n > 900<<10 {
			h := sha256.Sum256(value)
			length, sum = strconv.Itoa(n), hex.EncodeToString(h[:])
		}
		if header(&o, "length") != length || header(&o, "sha256") != sum {
			t.Errorf("%d bytes: length %q and sha256 %q, want %q and %q", n, header(&o, "length"), header(&o, "sha256"),
				length, sum)
		}
	}
}
