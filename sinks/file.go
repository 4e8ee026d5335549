package sinks

import (
	"errors"
	"fmt"
	"os"

	"github.com/wayward-sec/wayward/event"
)

// file appends records to a file, one a line. It is written out after each batch, so that a reader
// of a pipe need not wait.
type file struct {
	f     *os.File
	lines *JSONL
}

func checkFile(s *Settings) error {
	if s.Path == "" {
		return errors.New("path is missing: name the file")
	}
	return nil
}

func openFile(s Settings) (Sink, error) {
	f, err := os.OpenFile(s.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &file{f, NewJSONL(f, s.encoder())}, nil
}

// Findings implements Sink.
func (x *file) Findings(fs []*event.Finding) error {
	for _, f := range fs {
		if err := x.lines.Deliver(f); err != nil {
			return err
		}
	}
	return x.lines.Flush()
}

// Commands implements Sink.
func (x *file) Commands(cs []event.Command) error {
	for i := range cs {
		if err := x.lines.command(&cs[i]); err != nil {
			return err
		}
	}
	return x.lines.Flush()
}

// Close implements Sink.
func (x *file) Close() error {
	if err := errors.Join(x.lines.Close(), x.f.Close()); err != nil {
		return fmt.Errorf("%s: %w", x.f.Name(), err)
	}
	return nil
}
