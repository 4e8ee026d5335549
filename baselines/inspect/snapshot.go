// Package inspect shows what was learned of personas: snapshots of baselines in files, as text and
// pictures, and what differs between two of them.
//
// It reads models and never changes what they say. It knows no topic and no command. Begin reading
// at View and ViewOf; each part of a model (volume, order of calls, rarity) has a file.
package inspect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/terminal"
)

// Snapshot is a model with where it comes from.
type Snapshot struct {
	Model *baselines.Model
	Bytes int    // of the encoded model
	From  string // file or topic
}

// snapshotSchema names the form of an exported snapshot.
const snapshotSchema = "wayward.baseline/v1"

// Envelope is a snapshot in a file: the model as it is stored, and what a person wants to know of
// it. On reading the model alone counts.
type Envelope struct {
	Schema  string `json:"schema"`
	Summary Head   `json:"summary"`
	Model   []byte `json:"model"` // base64
}

// EnvelopeOf puts a snapshot into the form that files have.
func EnvelopeOf(s Snapshot) Envelope { return Envelope{snapshotSchema, HeadOf(s), s.Model.Append(nil)} }

// open reads the model. Its hash must be what the summary says, so that a file that was cut or
// edited is found out.
func (e *Envelope) open() (*baselines.Model, error) {
	if e.Schema != snapshotSchema {
		return nil, fmt.Errorf("schema %q, this program reads %q", terminal.Visible(e.Schema, 60), snapshotSchema)
	}
	m, err := DecodeModel(e.Model)
	if err != nil {
		return nil, err
	}
	if m.Hash() != e.Summary.Hash || Day(m.Day) != e.Summary.Day || m.Tenant != e.Summary.Tenant ||
		m.Persona != e.Summary.Persona || m.Fork != e.Summary.Fork {
		return nil, fmt.Errorf(
			"the model is %s of %s %s, and its summary says %s/%s of %s %s: the file was changed; export it anew",
			m.Snapshot(), terminal.Visible(m.Tenant, 60), terminal.Visible(m.Persona, 60),
			terminal.Visible(e.Summary.Day, 20), terminal.Visible(e.Summary.Hash, 20),
			terminal.Visible(e.Summary.Tenant, 60),
			terminal.Visible(e.Summary.Persona, 60))
	}
	return m, nil
}

// DecodeModel reads an encoded model. What is cut off, malformed or followed by other bytes is an
// error.
func DecodeModel(b []byte) (*baselines.Model, error) {
	m := &baselines.Model{}
	r := wire.Reader{B: b}
	m.Decode(&r)
	switch {
	case r.Err != nil:
		return nil, fmt.Errorf("model: %w, or written by a newer wayward", r.Err)
	case len(r.B) > 0:
		return nil, fmt.Errorf("model: %d bytes too many", len(r.B))
	}
	return m, nil
}

// readFile reads the snapshots of one file, one JSON object after the other.
func readFile(name string) ([]Snapshot, error) {
	lines, err := history.OpenLines(name) // it knows compressed files
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	defer lines.Close()
	d := json.NewDecoder(&lineReader{src: lines})
	var list []Snapshot
	for n := 1; ; n++ {
		var e Envelope
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, fmt.Errorf(
				"snapshots: %s, object %d: %w; wayward baseline export and wayward replay --snapshots write such files",
				name, n, err)
		}
		m, err := e.open()
		if err != nil {
			return nil, fmt.Errorf("snapshots: %s, object %d: %w", name, n, err)
		}
		list = append(list, Snapshot{m, len(e.Model), name})
	}
}

// lineReader gives the lines of a source as a stream.
type lineReader struct {
	src  *history.Lines
	rest []byte
}

func (l *lineReader) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		c, err := l.src.Next(context.Background())
		if err != nil {
			return 0, err
		}
		l.rest = bytes.Clone(c.Lines)
		l.src.Done(c)
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// Write writes snapshots to a file, one a line; - is standard output. Nobody else may read
// the file: it says how a company works.
func Write(stdout io.Writer, file string, list []Snapshot) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, s := range list {
		if err := e.Encode(EnvelopeOf(s)); err != nil {
			return err
		}
	}
	if file == "-" {
		_, err := stdout.Write(b.Bytes())
		return err
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	return nil
}

// WriteModels is Write for models that come from no file.
func WriteModels(stdout io.Writer, file string, models []*baselines.Model) error {
	var list []Snapshot
	for _, m := range models {
		list = append(list, Snapshot{m, len(m.Append(nil)), ""})
	}
	return Write(stdout, file, list)
}

// ReadModels reads the newest snapshot of each baseline of a file.
func ReadModels(file string) (models []*baselines.Model, err error) {
	list, err := Read(file)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("snapshots: %s holds none", file)
	}
	for _, s := range NewestEach(list) {
		models = append(models, s.Model)
	}
	return models, err
}

func sortSnapshots(list []Snapshot) {
	slices.SortStableFunc(list, func(a, b Snapshot) int {
		return cmp.Or(cmp.Compare(a.Model.Tenant, b.Model.Tenant), cmp.Compare(a.Model.Persona, b.Model.Persona),
			cmp.Compare(a.Model.Fork, b.Model.Fork), cmp.Compare(a.Model.Day, b.Model.Day))
	})
}

// NewestEach keeps of each baseline the newest day.
func NewestEach(list []Snapshot) (out []Snapshot) {
	for i, s := range list {
		if i == len(list)-1 || list[i+1].Model.Key != s.Model.Key {
			out = append(out, s)
		}
	}
	return out
}

// snapshotFile tells files of snapshots in a folder by their names.
var snapshotFile = regexp.MustCompile(`\.jsonl?(\.gz|\.zst|\.xz)?$`)

// Read reads the snapshots of a file or of the files of a folder, in order. What is no
// Snapshot is an error: the wrong file must not look like an empty one.
func Read(name string) ([]Snapshot, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	files := []string{name}
	if info.IsDir() {
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("snapshots: %w", err)
		}
		files = nil
		for _, e := range entries {
			if !e.IsDir() && snapshotFile.MatchString(e.Name()) {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
	}
	var list []Snapshot
	for _, file := range files {
		some, err := readFile(file)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
	sortSnapshots(list)
	// The same snapshot of two files is one.
	return slices.CompactFunc(list, func(a, b Snapshot) bool {
		return a.Model.Key == b.Model.Key &&
			a.Model.Snapshot() == b.Model.Snapshot()
	}), nil
}

// Day writes a day since 1970-01-01 as 2006-01-02.
func Day(n int64) string { return time.UnixMilli(n * baselines.DayMS).UTC().Format(time.DateOnly) }

// ParseDay reads a UTC day.
func ParseDay(s string) (int64, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("%q is no day; write it as 2026-11-20", terminal.Visible(s, 40))
	}
	return t.UnixMilli() / baselines.DayMS, nil
}
