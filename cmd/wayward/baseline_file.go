package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/terminal"
)

// snapshotSchema names the form of an exported snapshot.
const snapshotSchema = "wayward.baseline/v1"

// maxSnapshot bounds the encoded model of a file: what is larger was not written by us.
const maxSnapshot = 64 << 20

// envelope is a snapshot in a file: the model as it is stored, and what a person wants to know of
// it. On reading the model alone counts.
type envelope struct {
	Schema  string `json:"schema"`
	Summary head   `json:"summary"`
	Model   []byte `json:"model"` // base64
}

func envelopeOf(s snapshot) envelope { return envelope{snapshotSchema, headOf(s), s.m.Append(nil)} }

// open reads the model. Its hash must be what the summary says, so that a file that was cut or
// edited is found out.
func (e *envelope) open() (*baselines.Model, error) {
	if e.Schema != snapshotSchema {
		return nil, fmt.Errorf("schema %q, this program reads %q", terminal.Visible(e.Schema, 60), snapshotSchema)
	}
	m, err := decodeModel(e.Model)
	if err != nil {
		return nil, err
	}
	if m.Hash() != e.Summary.Hash || dayOf(m.Day) != e.Summary.Day || m.Tenant != e.Summary.Tenant ||
		m.Persona != e.Summary.Persona || m.Fork != e.Summary.Fork {
		return nil, fmt.Errorf(
			"the model is %s of %s %s, and its summary says %s/%s of %s %s: the file was changed; export it anew",
			m.Snapshot(), terminal.Visible(m.Tenant, 60), terminal.Visible(m.Persona, 60),
			terminal.Visible(e.Summary.Day, 20), terminal.Visible(e.Summary.Hash, 20), terminal.Visible(e.Summary.Tenant, 60),
			terminal.Visible(e.Summary.Persona, 60))
	}
	return m, nil
}

func decodeModel(b []byte) (*baselines.Model, error) {
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

// readSnapshotFile reads the snapshots of one file, one JSON object after the other.
func readSnapshotFile(name string) ([]snapshot, error) {
	lines, err := history.OpenLines(name) // it knows compressed files
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	defer lines.Close()
	d := json.NewDecoder(&lineReader{src: lines})
	var list []snapshot
	for n := 1; ; n++ {
		var e envelope
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
		list = append(list, snapshot{m, len(e.Model), name})
	}
}

// lineReader gives the lines of a source as a stream.
type lineReader struct {
	src  *history.Lines
	rest []byte
	n    int
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

// writeSnapshots writes snapshots to a file, one a line; - is standard output. Nobody else may read
// the file: it says how a company works.
func writeSnapshots(stdout io.Writer, file string, list []snapshot) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, s := range list {
		if err := e.Encode(envelopeOf(s)); err != nil {
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

// writeModels likewise, of models that come from no file.
func writeModels(stdout io.Writer, file string, models []*baselines.Model) error {
	var list []snapshot
	for _, m := range models {
		list = append(list, snapshot{m, len(m.Append(nil)), ""})
	}
	return writeSnapshots(stdout, file, list)
}

// readModels reads the newest snapshot of each baseline of a file.
func readModels(file string) (models []*baselines.Model, err error) {
	list, err := readSnapshots(file)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("snapshots: %s holds none", file)
	}
	for _, s := range newestEach(list) {
		models = append(models, s.m)
	}
	return models, err
}

func newBaselineExport() *cobra.Command {
	var o snapshots
	var all bool
	var out string
	cmd := &cobra.Command{Use: "export [PERSONA]", Short: "Write snapshots to a file", Args: cobra.MaximumNArgs(1),
		Long: "export writes snapshots as JSON, one a line: what list says of each, and the model as it is stored, in base64. It holds counts, rates, hashes and the names\n" +
			"of tools, servers, resource types and destination domains; no content, and no names of users, subjects or addresses. import and --from read it.",
		Example: "  wayward baseline export --config wayward.yaml --out snapshots.jsonl\n" +
			"  wayward baseline export support --tenant acme --day 2026-11-20 --config wayward.yaml --out support.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := o.readMany(cmd, first(args), all)
			if err != nil {
				return err
			}
			if err := writeSnapshots(cmd.OutOrStdout(), out, list); err != nil {
				return err
			}
			if out != "-" {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s in %s\n", terminal.Plural(int64(len(list)), "snapshot"), out)
			}
			return nil
		}}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.day, "day", "", "of this UTC `day`, such as 2026-11-20; the newest without")
	cmd.Flags().BoolVar(&all, "all", false, "every day, not the newest alone")
	cmd.Flags().StringVar(&out, "out", "-", "`file` to write; - is standard output")
	return cmd
}
