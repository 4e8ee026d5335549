package rules

import (
	"unsafe"

	"github.com/wayward-sec/wayward/event"
)

// found is an argument that was asked for: mostly many rules ask for the same.
type found struct{ path, value string }

// argument is a value out of the call's arguments, by a dotted path: of a text what it says, of a number or a truth value how it is written, else "".
func argument(c *Context, path string) string {
	if c == nil || c.E == nil {
		return ""
	}
	for i := range c.args {
		if c.args[i].path == path {
			return c.args[i].value
		}
	}
	v := argumentOf(c.E.Args, path)
	if len(c.args) < maxFound {
		c.args = append(c.args, found{path, v})
	}
	return v
}

const maxFound = 8

func argumentOf(raw []byte, path string) string {
	for raw != nil {
		key, rest, more := cutDot(path)
		if raw = member(raw, key); !more {
			return scalar(raw)
		}
		path = rest
	}
	return ""
}

func cutDot(s string) (head, rest string, more bool) {
	for i := range len(s) {
		if s[i] == '.' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// member is the value of a key of an object, of JSON that the decoder has found to be right; nil: there is none. Of two the last counts, as for most who read JSON.
func member(b []byte, key string) (found []byte) {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return nil
	}
	for i++; ; i++ {
		if i = space(b, i); i >= len(b) || b[i] != '"' {
			return found
		}
		end, escaped := event.EndOfString(b, i+1)
		if end < 0 {
			return found
		}
		same := string(b[i+1:end]) == key
		if escaped {
			name, ok := event.Unquote(nil, b[i:end+1])
			same = ok && string(name) == key
		}
		if i = space(b, end+1); i >= len(b) || b[i] != ':' {
			return found
		}
		from := space(b, i+1)
		if i = endOfValue(b, from); i < 0 {
			return found
		}
		if same {
			found = b[from:i]
		}
		if i = space(b, i); i >= len(b) || b[i] != ',' {
			return found
		}
	}
}

func endOfValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			end, _ := event.EndOfString(b, i+1)
			if end < 0 {
				return -1
			}
			if i = end; depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			} else if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

func scalar(b []byte) string {
	switch {
	case len(b) == 0, b[0] == '{', b[0] == '[', b[0] == 'n':
		return ""
	case b[0] != '"':
		return alias(b)
	}
	end, escaped := event.EndOfString(b, 1)
	if end < 0 {
		return ""
	}
	if !escaped {
		return alias(b[1:end])
	}
	out, ok := event.Unquote(nil, b[:end+1])
	if !ok {
		return ""
	}
	return string(out)
}

// alias is the text over bytes that do not change while it is used: those of the event.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
