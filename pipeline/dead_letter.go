package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/wayward-sec/wayward/event"
)

// maxDeadLetter is how much of a record that did not decode is kept (EVENTS §1).
const maxDeadLetter = 900 << 10

// deadLetter is the record for agent.events.dlq: the value as it came, up to 900 KiB, and why and
// from where in the headers; whose it is, if that is known.
func deadLetter(topic string, p int32, r *record, reason, detail string, whose *event.Named) output {
	o := output{to: toDLQ, partition: -1, key: r.key, value: r.value, headers: []Header{
		{"reason", []byte(reason)},
		{"detail", []byte(detail)},
		{"topic", []byte(topic)},
		{"partition", strconv.AppendInt(nil, int64(p), 10)},
		{"offset", strconv.AppendInt(nil, r.offset, 10)},
	}}
	if whose != nil {
		o.headers = append(o.headers, Header{"tenant", []byte(whose.Tenant)}, Header{"agent", []byte(whose.Agent)})
	}
	if len(r.value) > maxDeadLetter {
		sum := sha256.Sum256(r.value)
		o.value = r.value[:maxDeadLetter]
		o.headers = append(o.headers, Header{"length", strconv.AppendInt(nil, int64(len(r.value)), 10)},
			Header{"sha256", []byte(hex.EncodeToString(sum[:]))})
	}
	if len(r.key) > 4096 {
		o.key = r.key[:4096]
	}
	return o
}

// whose says which agent a record names that did not decode.
func whose(d *event.Decoder, r *record) *event.Named {
	if n, ok := d.SalvageKeyed(r.key, r.value); ok {
		return &n
	}
	return nil
}
