package expression

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/expr-lang/expr/ast"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/jsonscan"
)

// cachedArgument is an argument of the event that was read before: many rules ask for the same one.
type cachedArgument struct{ path, value string }

// argument is the value at a path of the call's arguments: of a text what it says, of a number or a
// bool how it is written, else "".
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
	if len(c.args) < maxCachedArguments {
		c.args = append(c.args, cachedArgument{path, v})
	}
	return v
}

const maxCachedArguments = 8

// argumentOf walks a path: names with dots between them, and behind a name [0] for an element of a
// list or [*] for any element. A list without brackets stands for any element, too, as in the
// catalogue: items.id is items[*].id. Of several values the first that is not "" counts.
func argumentOf(raw []byte, path string) string {
	key, rest := cutKey(path)
	return under(jsonscan.Member(raw, key), rest)
}

// under is the value at the rest of a path, below raw.
func under(raw []byte, rest string) string {
	for raw != nil {
		switch {
		case rest == "":
			return scalar(raw)
		case rest[0] == '.':
			if raw[0] == '[' {
				return anyOf(raw, rest)
			}
			key, more := cutKey(rest[1:])
			raw, rest = jsonscan.Member(raw, key), more
			continue
		}
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 || raw[0] != '[' {
			return ""
		}
		number := rest[1:end]
		if rest = rest[end+1:]; number == "*" {
			return anyOf(raw, rest)
		}
		n := 0
		for i := range len(number) {
			if n = n*10 + int(number[i]-'0'); number[i]-'0' > 9 || n > maxIndex {
				return ""
			}
		}
		if number == "" {
			return ""
		}
		var e []byte
		i := 1
		for ; n >= 0; n-- {
			if e, i = jsonscan.Element(raw, i); e == nil {
				return ""
			}
		}
		raw = e
	}
	return ""
}

// anyOf is the first value that is not "" at the rest of a path below any element of a list.
func anyOf(raw []byte, rest string) string {
	for i := 1; ; {
		var e []byte
		if e, i = jsonscan.Element(raw, i); e == nil {
			return ""
		}
		if v := under(e, rest); v != "" {
			return v
		}
	}
}

// cutKey takes the name off the front of a path.
func cutKey(path string) (key, rest string) {
	for i := range len(path) {
		if path[i] == '.' || path[i] == '[' {
			return path[:i], path[i:]
		}
	}
	return path, ""
}

// Bounds of paths in rules.
const (
	maxIndex   = 9999
	maxPathKey = 256
)

// CheckPath says what is wrong with a path into the arguments of a call; "": nothing. Rules and the
// catalogue of tools write paths alike, with bounds of their own: levels is the most steps of a path,
// index the highest index, key the most bytes of a name.
func CheckPath(path string, levels, index, key int) string {
	n := 0
	for part := range strings.SplitSeq(path, ".") {
		if n++; n > levels {
			return "lies deeper than " + strconv.Itoa(levels) + " levels"
		}
		name, rest, list := strings.Cut(part, "[")
		switch {
		case name == "":
			return "has an empty name"
		case strings.ContainsAny(name, `"\\`):
			return "has a quote or a backslash in a name"
		case strings.Contains(name, "]"):
			return "has a bracket that was not opened"
		case len(name) > key || !utf8.ValidString(name) ||
			strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
			return "has a name that is longer than " + strconv.Itoa(key) + " bytes or cannot be seen"
		}
		for list {
			if n++; n > levels {
				return "lies deeper than " + strconv.Itoa(levels) + " levels"
			}
			var number string
			number, rest, list = strings.Cut(rest, "]")
			if !list {
				return "has a bracket that is not closed"
			}
			if at, err := strconv.Atoi(number); number != "*" &&
				(err != nil || at < 0 || at > index || strconv.Itoa(at) != number) {
				return "has something else than a number up to " + strconv.Itoa(index) + " or * in brackets"
			}
			if rest == "" {
				break
			}
			if rest[0] != '[' {
				return "has something between ] and the next dot"
			}
			rest = rest[1:]
		}
	}
	return ""
}

// scalar is the text of a JSON value that is neither object, list nor null; else "".
func scalar(b []byte) string {
	switch {
	case len(b) == 0, b[0] == '{', b[0] == '[', b[0] == 'n':
		return ""
	case b[0] != '"':
		return alias(b)
	}
	end, escaped := jsonscan.EndOfString(b, 1)
	if end < 0 {
		return ""
	}
	if !escaped {
		return alias(b[1:end])
	}
	out, ok := jsonscan.Unquote(nil, b[:end+1])
	if !ok {
		return ""
	}
	return string(out)
}

// alias is the text over bytes that do not change while it is used: those of the event.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// argsDigest is the SHA-256 of the arguments in canonical form, whatever digest the event declares:
// calls with the same arguments have the same one. It is computed once for an event.
func argsDigest(x *Context) string {
	if len(bytes.TrimSpace(x.E.Args)) == 0 {
		return x.E.ArgsDigest
	}
	if len(x.digest) == 0 {
		args := x.E.Args
		if form, ok := x.form.Form(args); ok {
			args = form
		}
		sum := sha256.Sum256(args)
		x.digest = hex.AppendEncode(x.digest, sum[:])
	}
	return alias(x.digest)
}

// QuotesArgument tells whether the value of the expression may hold the text of an argument of the
// call. A hash of it does not.
func (x *Expr) QuotesArgument() bool {
	found := false
	if x.Type == Text {
		walk(x.node, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallNode); ok {
				switch path(call.Callee) {
				case "hash":
					return false
				case "arg":
					found = true
				}
			}
			return !found
		})
	}
	return found
}

// HasArgument tells whether a call has something at the path of an argument.
func HasArgument(e *event.Event, path string) bool { return argumentOf(e.Args, path) != "" }
