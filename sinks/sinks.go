// Package sinks turns findings and commands into bytes for others: OCSF records for Kafka and
// files, lines for people. It never knows Kafka, nor where a finding came from, so that a replay of
// a file and a topic get the same bytes. Begin reading at Formats, which encode findings, and at
// Kinds in sink.go: where a running instance delivers besides its topics.
package sinks

import (
	"fmt"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Encoder writes one finding at the end of dst, without a final newline. It keeps neither.
type Encoder interface {
	Append(dst []byte, f *event.Finding) []byte
}

// Format is a way to write findings that a user can ask for by name.
type Format struct {
	Name, Help string
	New        func(Settings) Encoder
}

// Formats are all there are, the default first. A new one is one file and one line here.
var Formats = []Format{
	{"ocsf", "OCSF 1.8.0 Detection Finding, one JSON object per line",
		func(s Settings) Encoder { return &OCSF{Version: s.Version} }},
	{"text", "short lines for people", func(s Settings) Encoder { return &Text{Colour: s.Colour} }},
}

// FormatOf returns the format that a word names.
func FormatOf(name string) (Format, error) {
	var names []string
	for _, f := range Formats {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, fmt.Errorf("format %q: unknown, use one of %s", name, strings.Join(names, ", "))
}
