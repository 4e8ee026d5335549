package sinks

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// JSONL writes findings to a file or pipe in the order in which they come.
type JSONL struct {
	enc Encoder
	w   *bufio.Writer
	buf []byte
}

// NewJSONL writes to w, which stays the caller's to close.
func NewJSONL(w io.Writer, enc Encoder) *JSONL {
	return &JSONL{enc: enc, w: bufio.NewWriterSize(w, 64<<10)}
}

// Deliver writes one finding, perhaps only to the buffer.
func (j *JSONL) Deliver(f *event.Finding) error {
	j.buf = append(j.enc.Append(j.buf[:0], f), '\n')
	if _, err := j.w.Write(j.buf); err != nil {
		return fmt.Errorf("write finding %q: %w", f.UID, err)
	}
	return nil
}

// command writes a command as it stands on its topic, likewise.
func (j *JSONL) command(c *event.Command) error {
	j.buf = append(c.Append(j.buf[:0]), '\n')
	if _, err := j.w.Write(j.buf); err != nil {
		return fmt.Errorf("write command %q: %w", c.ID, err)
	}
	return nil
}

// Flush writes what is in the buffer: a live engine calls it after each batch, so that a reader of
// the pipe need not wait for 64 KiB.
func (j *JSONL) Flush() error {
	if err := j.w.Flush(); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	return nil
}

// Close writes what is in the buffer.
func (j *JSONL) Close() error { return j.Flush() }

// Sorted writes findings at the end, by (time, uid, order of arrival): a file replay gives the same
// bytes however many workers it has. The findings wait in a temporary file; memory holds some 80
// bytes for each.
type Sorted struct {
	enc   Encoder
	out   io.Writer
	file  *os.File
	w     *bufio.Writer
	buf   []byte
	index []line
	size  int64
}

type line struct {
	time, offset int64
	length       int
	uid          string
}

// NewSorted writes to w when closed; w stays the caller's to close.
func NewSorted(w io.Writer, enc Encoder) *Sorted { return &Sorted{enc: enc, out: w} }

// Deliver keeps one finding for later.
func (s *Sorted) Deliver(f *event.Finding) error {
	if s.file == nil {
		file, err := os.CreateTemp("", "wayward-findings-*")
		if err != nil {
			return fmt.Errorf("keep findings for sorting: %w", err)
		}
		// Without a name nothing is left behind, however we end. Where an open file cannot be
		// removed, Close does it.
		os.Remove(file.Name())
		s.file, s.w = file, bufio.NewWriterSize(file, 64<<10)
	}
	s.buf = append(s.enc.Append(s.buf[:0], f), '\n')
	if _, err := s.w.Write(s.buf); err != nil {
		return fmt.Errorf("keep finding %q for sorting in %s: %w", f.UID, s.file.Name(), err)
	}
	// Cloned, since the string may be part of something larger.
	s.index = append(s.index, line{f.Time, s.size, len(s.buf), strings.Clone(f.UID)})
	s.size += int64(len(s.buf))
	return nil
}

// Close writes all findings in order and deletes the temporary file. A second call does nothing.
func (s *Sorted) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.write()
	err = errors.Join(err, s.file.Close())
	os.Remove(s.file.Name())
	s.file, s.index = nil, nil
	return err
}

func (s *Sorted) write() error {
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("keep findings for sorting in %s: %w", s.file.Name(), err)
	}
	slices.SortStableFunc(s.index, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.time, b.time), strings.Compare(a.uid, b.uid))
	})
	out := bufio.NewWriterSize(s.out, 64<<10)
	for _, l := range s.index {
		s.buf = slices.Grow(s.buf[:0], l.length)[:l.length]
		if _, err := s.file.ReadAt(s.buf, l.offset); err != nil {
			return fmt.Errorf("read finding %q back from %s: %w", l.uid, s.file.Name(), err)
		}
		if _, err := out.Write(s.buf); err != nil {
			return fmt.Errorf("write finding %q: %w", l.uid, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	return nil
}
