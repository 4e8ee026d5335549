package config

import (
	"fmt"
	"reflect"
	"strings"
)

const referenceHead = `# The configuration of wayward: every setting, what it is for, and its default. A line that begins with #, without a space behind it, is a setting that
# has no default, with an example. Printed by wayward config reference; wayward config check reports every mistake.
#
# An environment variable beats this file: WAYWARD_ENGINE__MAX_POLL=1000 sets engine.max_poll. Relative paths are relative to this file.
# Durations are written as 20ms, 10s, 5m, 12h or 7d.
`

// Reference is a complete config file, with comments.
func Reference() string {
	defaults := Reading{Config: Default()}
	of := map[string]reflect.Value{}
	defaults.each(func(key string, v reflect.Value) { of[key] = v })
	var b strings.Builder
	b.WriteString(referenceHead)
	off := "" // the group that is commented out as a whole
	for _, s := range settings {
		v, leaf := of[s.key]
		if off != "" && !strings.HasPrefix(s.key, off+".") {
			off = ""
		}
		in := indent(s.key)
		comment, name := in, in // what stands before the comment, and before the setting
		switch {
		case off != "":
			comment, name = "#"+in, "#"+in
		case !leaf && isOff(of, s.key):
			off, name = s.key, in+"#"
		case s.example != "":
			name = in + "#"
		}
		if in == "" {
			b.WriteString("\n")
		}
		doc := s.doc
		if s.unit != "" {
			doc += " Unit: " + s.unit + "."
		}
		for _, line := range wrapped(doc, 150-len(in)) {
			fmt.Fprintf(&b, "%s# %s\n", comment, line)
		}
		switch {
		case !leaf:
			fmt.Fprintf(&b, "%s%s:\n", name, last(s.key))
		case s.example != "":
			fmt.Fprintf(&b, "%s%s: %s\n", name, last(s.key), s.example)
		default:
			fmt.Fprintf(&b, "%s%s: %s\n", name, last(s.key), flow(v.Interface()))
		}
	}
	return b.String()
}

// isOff tells whether a group is not set, or everything in it has only an example: then it is
// commented out as a whole.
func isOff(of map[string]reflect.Value, group string) bool {
	for _, s := range settings {
		if _, leaf := of[s.key]; leaf && strings.HasPrefix(s.key, group+".") && s.example == "" {
			return false
		}
	}
	return true
}

// wrapped breaks a text into lines.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
