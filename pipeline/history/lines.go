package history

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/wayward-sec/wayward/event"
)

// Lines is a source of JSONL: one event a line, plain or compressed with gzip, zstd or xz (told by
// the first bytes, not by the name).
type Lines struct {
	r      io.Reader
	close  []func()
	count  *counter
	free   chan *Chunk
	rest   []byte // begun line of the chunk before
	at     int64
	middle int64 // event time in the middle of the first events; 0: not known
	err    error
	drop   bool // in the middle of a line that is too long
	hint   string
	begun  bool
	Size   int64 // bytes of the source; 0: not known
	Buffer int   // bytes that are read at a time
}

// counter counts what is read of the source, compressed as it is.
type counter struct {
	io.Reader
	n    atomic.Int64
	tail []byte // the last two bytes, but for padding
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	c.tail = append(c.tail, bytes.TrimRight(p[max(0, n-64):n], "\x00")...)
	c.tail = c.tail[max(0, len(c.tail)-2):]
	return n, err
}

// wholeXZ takes the end of a file for what it is: the xz reader does not mind one that is cut off
// between two blocks.
type wholeXZ struct {
	io.Reader
	count *counter
}

func (x wholeXZ) Read(p []byte) (int, error) {
	n, err := x.Reader.Read(p)
	if errors.Is(err, io.EOF) && string(x.count.tail) != "YZ" {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// OpenLines opens a file, or standard input if the name is -.
func OpenLines(name string) (*Lines, error) {
	l := &Lines{free: make(chan *Chunk, 4), at: 1, Buffer: 1 << 20}
	var in io.Reader = os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("input: %w", err)
		}
		l.close = append(l.close, func() { f.Close() })
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			l.Size = info.Size()
		} else if err == nil && info.IsDir() {
			l.Close()
			return nil, fmt.Errorf("input: %s is a directory; give a file, or - for standard input", name)
		}
		in = f
	}
	l.count = &counter{Reader: in}
	b := bufio.NewReaderSize(l.count, 1<<20)
	head, _ := b.Peek(6)
	l.r = b
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, l.broken(name, "gzip", err)
		}
		l.r = z
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, l.broken(name, "zstd", err)
		}
		l.close = append(l.close, z.Close)
		l.r = z
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		z, err := xz.NewReader(b)
		if err != nil {
			return nil, l.broken(name, "xz", err)
		}
		l.r = wholeXZ{z, l.count}
	}
	first := bufio.NewReaderSize(l.r, headBytes)
	head, _ = first.Peek(headBytes)
	l.r, l.middle = first, middleOf(head)
	return l, nil
}

// headBytes is how much of a file is looked at to tell which time it is about.
const headBytes = 256 << 10

// middleOf is the median of the event times in the first lines of a file; 0 if none decodes. A file
// has no broker that stamps its records, and when it is replayed says nothing of when it was
// written.
func middleOf(head []byte) int64 {
	var d event.Decoder
	var e event.Event
	var times []int64
	for line := range bytes.Lines(head) {
		if d.Decode(bytes.TrimRight(line, "\r\n"), &e) == nil {
			times = append(times, e.Time)
		}
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[(len(times)-1)/2]
}

// Hint says what to do if the records do not decode: what the source looks like, judged by its
// beginning. "" if it looks like an event a line.
func (l *Lines) Hint() string { return l.hint }

// begin looks at the beginning of the text: a byte order mark is no part of the first record.
func (l *Lines) begin(text []byte) []byte {
	l.begun = true
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	first, _, whole := bytes.Cut(bytes.TrimLeft(text, " \t\r\n"), []byte{'\n'})
	switch first = bytes.TrimSpace(first); {
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		l.hint = "this is UTF-16, and events are UTF-8; write it anew: iconv -f UTF-16 -t UTF-8 FILE"
	case len(first) > 0 && first[0] == '[':
		l.hint = "this is one JSON array, and events are read one a line; make lines of it: jq -c '.[]' FILE"
	case whole && len(first) > 0 && first[0] == '{' && (len(first) == 1 || !bytes.HasSuffix(first, []byte{'}'})):
		l.hint = "this looks like events that are spread over several lines, and they are read one a line; write each on one: jq -c . FILE"
	}
	return text
}

func (l *Lines) broken(name, format string, err error) error {
	l.Close()
	return fmt.Errorf("input: %s begins like %s but is not: %w", name, format, err)
}

// Close closes the file.
func (l *Lines) Close() {
	for _, f := range slices.Backward(l.close) {
		f()
	}
	l.close = nil
}

// Done implements Source.
func (l *Lines) Done(c *Chunk) {
	select {
	case l.free <- c:
	default:
	}
}

// Next implements Source. A line longer than an event may be is cut, so that it is reported as what
// it is, and skipped to its end.
func (l *Lines) Next(ctx context.Context) (*Chunk, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.err != nil {
		return nil, l.err
	}
	var c *Chunk
	select {
	case c = <-l.free:
	default:
		c = &Chunk{}
	}
	buf := append(c.Lines[:0], l.rest...)
	l.rest = l.rest[:0]
	buf = slices.Grow(buf, l.Buffer)
	for begun := true; l.err == nil && (begun || len(buf) < l.Buffer); begun = false {
		// at least once, or a line longer than the buffer would never end
		n, err := l.r.Read(buf[len(buf):cap(buf)])
		if l.drop {
			end := bytes.IndexByte(buf[len(buf):len(buf)+n], '\n')
			if end < 0 {
				n = 0
			} else { // the newline that ends the cut line is already there
				n = copy(buf[len(buf):cap(buf)], buf[len(buf)+end+1:len(buf)+n])
				l.drop = false
			}
		}
		buf = buf[:len(buf)+n]
		if err != nil {
			l.err = err
		}
		if !l.drop && len(buf) > event.MaxSize && bytes.LastIndexByte(buf[len(buf)-event.MaxSize-1:], '\n') < 0 {
			start := bytes.LastIndexByte(buf, '\n') + 1
			buf = append(buf[:start+event.MaxSize+1], '\n')
			l.drop = true
			break
		}
	}
	if !l.begun && (len(buf) > 3 || l.err != nil) {
		buf = l.begin(buf)
	}
	if l.err != nil && !errors.Is(l.err, io.EOF) {
		l.err = fmt.Errorf("input: after line %d: %w; is the file cut off?",
			l.at+int64(bytes.Count(buf, []byte{'\n'}))-1, l.err)
		if len(buf) == 0 {
			return nil, l.err
		}
	}
	if l.err == nil && !l.drop {
		cut := bytes.LastIndexByte(buf, '\n') + 1
		l.rest = append(l.rest, buf[cut:]...)
		buf = buf[:cut]
	}
	if len(buf) == 0 {
		if l.err != nil {
			return nil, l.err
		}
		c.Lines = buf
		l.Done(c)
		return l.Next(ctx)
	}
	c.Lines, c.Records, c.At, c.Stamp, c.Read = buf, nil, l.at, l.middle, l.count.n.Load()
	l.at += int64(bytes.Count(buf, []byte{'\n'}))
	return c, nil
}
