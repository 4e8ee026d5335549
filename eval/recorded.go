package eval

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/ulikunitz/xz"

	"github.com/wayward-sec/wayward/fleet"
)

const (
	hourMS = 3_600_000
	dayMS  = 24 * hourMS
)

// RecordedSession is one recorded run of an agent, with its label.
type RecordedSession struct {
	Session string `json:"session"`
	Label   string `json:"label"` // attack, benign, exposed_seen, exposed_unseen, unclear
	Agent   string `json:"agent"`
	Part    string `json:"p2"` // train, test or -: the tasks recur, run by other agents
	events  []recordedEvent
}

// FirstHalf puts half of all sessions into one part, by their names.
func (s *RecordedSession) FirstHalf() bool { return fleet.HashText(s.Session)>>32&1 == 0 }

type recordedEvent struct {
	after int64 // ms since the session's beginning
	line  []byte
}

// Recorded are the sessions of one set of recorded data.
type Recorded []*RecordedSession

// OpenRecorded reads DIR/NAME.truth.jsonl and the sessions of DIR/NAME.sessions.jsonl.xz that
// protocol p2 uses.
func OpenRecorded(dir, name string) (Recorded, error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".truth.jsonl"))
	if err != nil {
		return nil, err
	}
	var list Recorded
	of := map[string]*RecordedSession{}
	for line := range bytes.Lines(text) {
		s := &RecordedSession{}
		if err := json.Unmarshal(line, s); err != nil {
			return nil, fmt.Errorf("%s.truth.jsonl: %w", name, err)
		}
		if s.Label != "unclear" && (s.Part == "train" || s.Part == "test") {
			of[s.Session] = s
			list = append(list, s)
		}
	}
	err = eachLine(filepath.Join(dir, name+".sessions.jsonl.xz"), func(d *json.Decoder) error {
		var run struct {
			Session string
			Events  []map[string]json.RawMessage
		}
		if err := d.Decode(&run); err != nil {
			return err
		}
		s := of[run.Session]
		if s == nil {
			return nil
		}
		for _, e := range run.Events {
			after, err := strconv.ParseInt(string(e["time"]), 10, 64)
			if err != nil {
				return fmt.Errorf("session %s: time %s: %w", run.Session, e["time"], err)
			}
			delete(e, "time")
			line, err := json.Marshal(e) // the keys in order
			if err != nil {
				return err
			}
			s.events = append(s.events, recordedEvent{max(0, after), line})
		}
		return nil
	})
	return list, err
}

// eachLine calls f for what a file of compressed JSON holds.
func eachLine(name string, f func(d *json.Decoder) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	z, err := xz.NewReader(bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d := json.NewDecoder(bufio.NewReaderSize(z, 1<<20))
	for {
		switch err := f(d); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// RecordedDays is how long it takes agents to work through the sessions of a stream.
const RecordedDays = 14

// Lines makes a stream of the sessions that keep says, of RecordedDays from a day of the streams of
// this package on: every agent works through its own, one after another, on weekdays and mostly by
// day. When is made up, so that no number should rest on it.
func (r Recorded) Lines(day int, seed uint64, keep func(*RecordedSession) bool) (lines []byte, sessions int) {
	byAgent := map[string][]*RecordedSession{}
	var agents []string
	for _, s := range r {
		if keep(s) {
			if byAgent[s.Agent] == nil {
				agents = append(agents, s.Agent)
			}
			byAgent[s.Agent] = append(byAgent[s.Agent], s)
			sessions++
		}
	}
	slices.Sort(agents)
	type placed struct {
		at   int64
		line []byte
	}
	var all []placed
	first := fleet.Start + int64(day)*dayMS
	for _, agent := range agents {
		p := fleet.PCG(seed, 30, fleet.HashText(agent))
		rng := rand.New(&p)
		mine := byAgent[agent]
		rng.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
		starts := make([]int64, len(mine))
		for i := range starts {
			d := rng.IntN(RecordedDays)
			for d%7 >= 5 && rng.Float64() >= .1 {
				d = rng.IntN(RecordedDays)
			}
			hour := min(23.9, max(0, 13+3*rng.NormFloat64()))
			starts[i] = first + int64(d)*dayMS + int64(hour*hourMS)
		}
		slices.Sort(starts)
		free := first
		for i, s := range mine {
			begin := max(starts[i], free)
			for _, e := range s.events {
				free = max(free, begin+e.after+1000)
				all = append(all, placed{begin + e.after, e.line})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Compare(a.at, b.at) })
	for _, e := range all {
		lines = append(lines, `{"time":`...)
		lines = strconv.AppendInt(lines, e.at, 10)
		lines = append(append(append(lines, ','), e.line[1:]...), '\n')
	}
	return lines, sessions
}

// Trace is a session of a log: the keys of its lines.
type Trace struct {
	Label string   `json:"label"`
	Keys  []string `json:"tools"`
}

// OpenTraces reads the traces of a file.
func OpenTraces(name string) (list []Trace, err error) {
	err = eachLine(name, func(d *json.Decoder) error {
		var t Trace
		if err := d.Decode(&t); err != nil {
			return err
		}
		list = append(list, t)
		return nil
	})
	return list, err
}
