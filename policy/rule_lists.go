package policy

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/wayward-sec/wayward/event"
)

// Bounds of lists.
const (
	maxList     = 100_000 // entries
	maxListFile = 4 << 20 // bytes
)

// lists reads lists of texts into into. A member @file stands for the lines of a file beside the
// rule. It returns the lists with the contents of files in them.
func (c *collector) lists(bad report, src *source, raw json.RawMessage, into map[string][]string) json.RawMessage {
	all := members(bad, "lists", raw)
	if all == nil {
		return raw
	}
	for _, m := range all {
		var list []string
		if json.Unmarshal(m.raw, &list) != nil {
			var one string
			if json.Unmarshal(m.raw, &one) != nil {
				bad("lists."+m.name, "a list holds texts; write [a, b], or @file")
				continue
			}
			list = []string{one}
		}
		var out []string
		for _, s := range list {
			file, is := strings.CutPrefix(s, "@")
			if !is {
				out = append(out, s)
				continue
			}
			if src.folder == "" || filepath.IsAbs(file) || strings.Contains(file, "..") {
				bad("lists."+m.name, "%s is not beside the rule; use a file in its folder or below", event.Quote(file))
				continue
			}
			info, err := os.Stat(filepath.Join(src.folder, file))
			if err == nil && (!info.Mode().IsRegular() || info.Size() > maxListFile) {
				err = errors.New("not a file of at most 4 MiB")
			}
			var text []byte
			if err == nil {
				text, err = os.ReadFile(filepath.Join(src.folder, file))
			}
			if err != nil {
				bad("lists."+m.name, "%s: %v; make it a file that can be read", event.Quote(file), cause(err))
				continue
			}
			if !utf8.Valid(text) {
				bad("lists."+m.name, "%s is not UTF-8; save the file as UTF-8", event.Quote(file))
				continue
			}
			entries := listEntries(string(text))
			if len(entries) == 0 {
				c.warn(src, "R210", "lists."+m.name, "%s has no entry, so nothing is in the list; write one a line",
					event.Quote(file))
			}
			for _, e := range entries {
				if before, _, found := strings.Cut(e, " #"); found {
					c.warn(src, "R210", "lists."+m.name,
						"the # in %s of %s is part of the entry, not a comment; if %s is meant, put the comment on a line of its own",
						event.Quote(e), event.Quote(file), event.Quote(strings.TrimSpace(before)))
					break
				}
			}
			out = append(out, entries...)
		}
		if len(out) > maxList {
			bad("lists."+m.name, "more than %d entries; leave some out", maxList)
		}
		into[m.name] = sorted(out)
	}
	return canonical(into)
}

// listEntries are the lines of a file of a list, without the blanks around them. A comment is a
// line that begins with # and a blank, or has only #s: #general is a channel, and a # further on
// may be part of a URL.
func listEntries(text string) (out []string) {
	for line := range strings.Lines(text) {
		// A byte order mark may stand in the middle, where files were put together.
		line = strings.TrimSpace(strings.TrimLeft(line, byteOrderMark))
		switch rest := strings.TrimLeft(line, "#"); {
		case rest == "", rest != line && (rest[0] == ' ' || rest[0] == '\t'):
			continue
		}
		out = append(out, line)
	}
	return out
}

// byteOrderMark is what editors and spreadsheets on Windows write in front of UTF-8.
const byteOrderMark = "\ufeff"
