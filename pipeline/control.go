package pipeline

import (
	"encoding/json"
	"errors"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/response"
)

// Kinds of control records.
const (
	controlTick     = "tick"     // an idle partition's time goes on
	controlIdle     = "idle"     // a partition that never had an event
	controlBroken   = "broken"   // the ingress set a record aside that names an agent
	controlVerdict  = "verdict"  // the relation stage found something about one agent
	controlRelation = "relation" // watermark of a relation shard, for back-pressure
	controlActivate = "activate" // a set takes effect
	controlSkip     = "skip"     // set aside an event that the shard fails on
	// an order on a scope of the reading shard; for the relation stage, as the shard wrote it to
	// itself
	controlTrip = "trip"
	controlAsk  = "ask" // to the relation stage: somebody wants an order on a scope above agents
	// to the relation stage: an automatic block that the persona's guard counts
	controlBlocked = "blocked"
	controlFreed   = "freed" // and its end
	// to the behaviour stage: whether a shard may add a block of the persona; with hash: the answer
	// to that one
	controlGate     = "gate"
	controlWide     = "wide"     // to the behaviour stage: the breaker of a wider scope has changed
	controlAck      = "ack"      // what a gateway answered
	controlFeedback = "feedback" // what a person wants
	controlExpire   = "expire"   // the wall clock says that a breaker's duration is over
	controlMissed   = "missed"   // the wall clock says that an ack did not come
	// an event waits for a day to be closed: the time of its shard goes on to it
	controlWait     = "wait"
	controlBaseline = "baseline" // to the behaviour stage: what a person has decided about a baseline
	controlResume   = "resume"   // what outlives logs that are made anew, see Resume
)

// control is a record of wayward.control.
type control struct {
	Kind     string `json:"kind"`
	Source   int32  `json:"source"`            // partition of the relation shard that says it
	Time     int64  `json:"time,omitempty"`    // event time, Unix milliseconds
	IdleMS   int64  `json:"idle_ms,omitempty"` // wall time since the last event
	Tenant   string `json:"tenant,omitempty"`
	Agent    string `json:"agent,omitempty"`
	Reason   string `json:"reason,omitempty"` // of a record that did not decode
	Sum      uint64 `json:"sum,omitempty"`    // of its bytes
	Finding  string `json:"finding_uid,omitempty"`
	Severity int    `json:"severity_id,omitempty"`
	Risk     int    `json:"risk_score,omitempty"`
	Set      string `json:"set,omitempty"`
	Offset   int64  `json:"offset,omitempty"`

	Persona string          `json:"persona,omitempty"`
	Fork    string          `json:"fork,omitempty"`
	Ruling  *ruling         `json:"ruling,omitempty"`
	Kept    *keptModel      `json:"kept,omitempty"`    // of a baseline in State, or of all
	Closing bool            `json:"closing,omitempty"` // days were closed before the logs were made anew
	Hash    uint64          `json:"hash,omitempty"`    // of a scope
	Open    bool            `json:"open,omitempty"`
	Scope   event.Scope     `json:"scope,omitzero"`
	Epoch   int64           `json:"epoch,omitempty"`
	Trip    *order          `json:"trip,omitempty"`
	Body    json.RawMessage `json:"body,omitempty"`  // of an ack or feedback, as it came
	State   []byte          `json:"state,omitempty"` // of a breaker
}

// keptModel says of a snapshot that outlives the logs, or without one of all snapshots of a
// relation shard, through which day it has learned.
type keptModel struct {
	Day  int64 `json:"day"`
	Seen int64 `json:"seen,omitempty"`
}

// ruling is what a person has decided about a baseline: the snapshot that is in force for days up
// to a day, whatever their closings say.
type ruling struct {
	Day  int64  `json:"day"`
	Of   int64  `json:"of"`             // day of the snapshot
	Hash string `json:"hash,omitempty"` // "": none, nothing is known
}

// order is a response.Order as it travels in a control record.
type order struct {
	Scope   event.Scope    `json:"scope"`
	Order   response.Order `json:"order"`
	Persona string         `json:"persona,omitempty"`

	guard string // tenant|persona of the guard that counts it if it blocks; "": none
}

// known tells whether this binary knows what is asked for: another version may have written it.
func (o *order) known() bool {
	for _, c := range o.Order.Rate.Classes {
		if c > event.Delegate {
			return false
		}
	}
	return o.Scope.Type.Known() && o.Order.Action >= event.Observe && o.Order.Action < event.Restore
}

func (c control) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	return b
}

func readControl(b []byte) (c control, err error) {
	if err = json.Unmarshal(b, &c); err == nil && (!c.Scope.Type.Known() && c.Scope.Type != 0 || c.Trip != nil &&
		!c.Trip.known()) {
		err = errors.New("an unknown scope or action")
	}
	return c, err
}
