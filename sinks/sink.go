package sinks

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Sink is a place beside the topics where a running instance delivers what it has committed. One
// goroutine at a time.
type Sink interface {
	Findings([]*event.Finding) error
	Commands([]event.Command) error
	Close() error
}

// Settings are one entry of sinks in the config file, and what the process knows besides.
type Settings struct {
	Type   string `yaml:"type"`   // name of a kind
	Path   string `yaml:"path"`   // of a file
	Format string `yaml:"format"` // of findings, see Formats; the first without
	// Records is what is delivered: findings, commands. Findings alone without.
	Records []string `yaml:"records"`

	Version string    `yaml:"-"` // of wayward
	Colour  bool      `yaml:"-"`
	Out     io.Writer `yaml:"-"` // standard output
}

// Wants reports whether a kind of record is to be delivered.
func (s *Settings) Wants(record string) bool {
	if len(s.Records) == 0 {
		return record == "findings"
	}
	return slices.Contains(s.Records, record)
}

// encoder is the format of findings; Check has seen that there is one.
func (s *Settings) encoder() Encoder {
	if s.Format == "" {
		return Formats[0].New(*s)
	}
	f, _ := FormatOf(s.Format)
	return f.New(*s)
}

// Kind is a sink that a config can ask for by name.
type Kind struct {
	Name, Help string
	Check      func(*Settings) error // of an entry of the config; nil: nothing can be wrong with it
	Open       func(Settings) (Sink, error)
}

// Kinds are all there are. A new one is a file of its own and a line here.
var Kinds = []Kind{
	{"file", "append to a file, one record a line", checkFile, openFile},
	{"terminal", "lines for people on standard output", nil, openTerminal},
}

// Check reports what an entry of the config says wrong, without opening anything.
func (s *Settings) Check() error {
	k, err := kindNamed(s.Type)
	if err != nil {
		return err
	}
	var errs []error
	if s.Format != "" {
		_, err := FormatOf(s.Format)
		errs = append(errs, err)
	}
	for _, r := range s.Records {
		if r != "findings" && r != "commands" {
			errs = append(errs, fmt.Errorf("records: %q is unknown, use findings and commands", r))
		}
	}
	if k.Check != nil {
		errs = append(errs, k.Check(s))
	}
	return errors.Join(errs...)
}

func kindNamed(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("type %q: unknown, use one of %s", name, strings.Join(names, ", "))
}

// Fan hands what was committed to sinks, each at its own pace. A sink that is too slow blocks nothing:
// what does not fit into its queue is dropped, which is logged. The topics have all of it.
type Fan struct{ sinks []*queue }

// queue is what waits for one sink.
type queue struct {
	sink     Sink
	settings Settings
	in       chan batch
	done     chan struct{}
	log      *slog.Logger
}

type batch struct {
	findings []*event.Finding
	commands []event.Command
}

// queued is how many batches may wait for a sink.
const queued = 1024

// Open opens a sink as the settings say and adds it.
func (f *Fan) Open(s Settings, log *slog.Logger) error {
	k, err := kindNamed(s.Type)
	if err != nil {
		return err
	}
	sink, err := k.Open(s)
	if err != nil {
		return fmt.Errorf("sink %s: %w", s.Type, err)
	}
	f.Add(sink, s, log)
	return nil
}

// Add adds a sink that is open; Close closes it.
func (f *Fan) Add(sink Sink, s Settings, log *slog.Logger) {
	q := &queue{sink: sink, settings: s, in: make(chan batch, queued), done: make(chan struct{}), log: log}
	f.sinks = append(f.sinks, q)
	go q.run()
}

func (q *queue) run() {
	defer close(q.done)
	for b := range q.in {
		var err error
		if len(b.findings) > 0 {
			err = q.sink.Findings(b.findings)
		} else {
			err = q.sink.Commands(b.commands)
		}
		if err != nil {
			q.log.Error("sink", "err", err)
		}
	}
}

func (q *queue) put(b batch) {
	select {
	case q.in <- b:
	default:
		q.log.Warn("a sink of this process is too slow: left out, the topic has them",
			"records", len(b.findings)+len(b.commands))
	}
}

// Findings hands findings on. It does not block.
func (f *Fan) Findings(fs []*event.Finding) {
	for _, q := range f.sinks {
		if q.settings.Wants("findings") {
			q.put(batch{findings: slices.Clone(fs)})
		}
	}
}

// Commands hands commands on. It does not block.
func (f *Fan) Commands(cs []event.Command) {
	for _, q := range f.sinks {
		if q.settings.Wants("commands") {
			q.put(batch{commands: slices.Clone(cs)})
		}
	}
}

// Close delivers what waits and closes all sinks.
func (f *Fan) Close() error {
	var errs []error
	for _, q := range f.sinks {
		close(q.in)
		<-q.done
		errs = append(errs, q.sink.Close())
	}
	f.sinks = nil
	return errors.Join(errs...)
}
