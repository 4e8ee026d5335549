package pipeline

import (
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

// The calendar of baselines. Their days are UTC days, numbered since 1970-01-01. Which day something
// counts for, and by which day's snapshot an event is judged, follows from event time alone, so that
// a replay decides the same.

// Times of a snapshot, in milliseconds after the end of its day: when it is closed, and from when
// on it is in force. Nobody waits for it as long as the relation stage is less than the difference
// behind.
const (
	closeAfter = 50 * 60_000
	inForce    = 60 * 60_000
)

const (
	// lookBack is by how many days the snapshot that a late event is judged by may be older than
	// that of the shard's time.
	lookBack = 2
	// keptDays is of how many days snapshots are kept, for events that are late and for a rollback.
	keptDays = 8
)

// judgedBy is the day whose snapshot is in force at time t.
func judgedBy(t int64) int64 { return wire.FloorDiv(t-inForce, baselines.DayMS) - 1 }

// inForceFrom is the time from which on the snapshot of a day is in force.
func inForceFrom(day int64) int64 { return (day+1)*baselines.DayMS + inForce }

// lastOver is the newest day that is over, and closed, when event time has reached t.
func lastOver(t int64) int64 { return wire.FloorDiv(t-closeAfter, baselines.DayMS) - 1 }

// dayOf is the day that something at time t counts for when event time has reached now: its own,
// or if that was over the first that is not.
func dayOf(t, now int64) int64 { return max(wire.FloorDiv(t, baselines.DayMS), lastOver(now)+1) }

// dateOf writes a day as people do, 2026-01-31.
func dateOf(day int64) string {
	return time.UnixMilli(day * baselines.DayMS).UTC().Format(time.DateOnly)
}
