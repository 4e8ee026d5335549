package instance

import (
	"io"
	"slices"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/terminal"
)

// encoder writes findings as OCSF for the pipeline.
type encoder struct{ *sinks.OCSF }

// Record implements pipeline.Encoder.
func (e encoder) Record(f *event.Finding) (key, value []byte, headers []pipeline.Header) {
	for _, h := range e.Headers(f) {
		headers = append(headers, pipeline.Header{Key: h.Key, Value: h.Value})
	}
	return e.Key(nil, f), e.Append(nil, f), headers
}

// TerminalSink prints findings and commands on standard output.
func TerminalSink(stdout io.Writer) (*sinks.Terminal, sinks.Settings) {
	out := terminal.Raw(stdout)
	return sinks.NewTerminal(out, sinks.Colour(out)), sinks.Settings{Type: "terminal",
		Records: []string{"findings", "commands"}}
}

// sinksOf are the sinks that the config asks for. findings.file is the short form of a file.
func sinksOf(c *config.Config, version string, stdout io.Writer) []sinks.Settings {
	all := slices.Clone(c.Sinks)
	if c.Findings.File != "" {
		all = append(all, sinks.Settings{Type: "file", Path: c.Findings.File})
	}
	for i := range all {
		all[i].Version, all[i].Out, all[i].Colour = version, stdout, sinks.Colour(stdout)
	}
	return all
}
