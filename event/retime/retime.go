// Package retime moves recorded events to another time, to send them again. It knows the JSON of an
// event and changes nothing in it but times. It must never know where events come from or go to.
package retime

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/wayward-sec/wayward/event"
)

// Schedule lets recorded events happen again: the first one at Start, the others by their distance
// from it.
type Schedule struct {
	Start time.Time
	First int64   // time of the first event, in milliseconds
	Speed float64 // so many times as fast as they happened; above 0
}

// At is when what happened at a time happens again.
func (s *Schedule) At(ms int64) time.Time {
	after := float64(ms-s.First) / s.Speed * float64(time.Millisecond)
	return s.Start.Add(time.Duration(min(max(after, -math.MaxInt64/2), math.MaxInt64/2)))
}

// Record is a record with other times: the event's own, and the one until which an approval holds.
// Nothing else of it changes, not even blanks, since digests are made of bytes.
func (s *Schedule) Record(record []byte, e *event.Event) []byte {
	stamp := func(ms int64) []byte { return s.At(ms).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z07:00"`) }
	record = replaced(record, "time", func([]byte) []byte { return stamp(e.Time) })
	if e.Has&event.HasExpires == 0 {
		return record
	}
	return replaced(record, "approval", func(approval []byte) []byte {
		return replaced(approval, "expires", func([]byte) []byte { return stamp(e.Approval.Expires) })
	})
}

// replaced is a JSON object with another value under a key.
func replaced(object []byte, key string, value func(old []byte) []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(object))
	d.Token()
	for d.More() {
		name, _ := d.Token()
		var old json.RawMessage
		if d.Decode(&old) != nil {
			break
		}
		if name == key {
			end := int(d.InputOffset())
			return slices.Concat(object[:end-len(old)], value(old), object[end:])
		}
	}
	return object
}
