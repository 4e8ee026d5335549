package event

import (
	"strings"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

// skip checks the value at i, which is inside depth containers, and passes over it.
func (d *Decoder) skip(p []byte, i, depth int) int {
	outer := depth
	var objects uint64 // one bit for each container entered here, the innermost lowest: 1 is an object
	for {
		if i >= len(p) {
			return d.fail(notJSON, i, "a value")
		}
		switch c := p[i]; c {
		case '"':
			end, _, reason := jsonscan.String(p, i+1)
			if reason != "" {
				return d.fail(reason, end, "a string")
			}
			i = end + 1
		case '{', '[':
			if depth == MaxDepth {
				return d.fail(tooDeep, i, "at most 32 levels")
			}
			depth++
			objects <<= 1
			i = jsonscan.Space(p, i+1)
			if c == '{' {
				objects |= 1
				if i < len(p) && p[i] == '}' {
					break // out of the switch: the closing is seen below
				}
				if i = d.unnamed(p, i); i < 0 {
					return i
				}
				continue
			}
			if i < len(p) && p[i] == ']' {
				break
			}
			continue
		case 't', 'f', 'n':
			w := "true"
			if c == 'f' {
				w = "false"
			} else if c == 'n' {
				w = "null"
			}
			if !jsonscan.Literal(p, i, w) {
				return d.fail(notJSON, i, "a value")
			}
			i += len(w)
		default:
			end, _ := jsonscan.Number(p, i)
			if end < 0 {
				return d.fail(notJSON, i, "a value")
			}
			i = end
		}
		for { // behind a value
			if depth == outer {
				return i
			}
			i = jsonscan.Space(p, i)
			if i >= len(p) {
				return d.fail(notJSON, i, "a comma or an end")
			}
			if p[i] == ',' {
				i = jsonscan.Space(p, i+1)
				if objects&1 != 0 {
					if i = d.unnamed(p, i); i < 0 {
						return i
					}
				}
				break
			}
			if p[i] != "]}"[objects&1] {
				return d.fail(notJSON, i, "a comma or an end")
			}
			i++
			depth--
			objects >>= 1
		}
	}
}

// unnamed passes over a field name and its colon.
func (d *Decoder) unnamed(p []byte, i int) int {
	if i >= len(p) || p[i] != '"' {
		return d.fail(notJSON, i, "a field name")
	}
	end, _, reason := jsonscan.String(p, i+1)
	if reason != "" {
		return d.fail(reason, end, "a string")
	}
	i = jsonscan.Space(p, end+1)
	if i >= len(p) || p[i] != ':' {
		return d.fail(notJSON, i, "a colon")
	}
	return jsonscan.Space(p, i+1)
}

func (d *Decoder) string(p []byte, i int, s *string) int {
	if i >= len(p) || p[i] != '"' {
		return d.absent(p, i, "a string")
	}
	end, escaped, reason := jsonscan.String(p, i+1)
	if reason != "" {
		return d.fail(reason, end, "a string")
	}
	b := p[i+1 : end]
	if escaped {
		if len(b) > 6*MaxString { // no escape is longer than six bytes
			return d.fail(tooLong, i, "at most 1024 bytes")
		}
		t := d.text.take(len(b))
		n := len(jsonscan.Unescape(t[:0], b))
		d.text.giveBack(len(b) - n)
		b = t[:n]
	}
	if len(b) > MaxString {
		return d.fail(tooLong, i, "at most 1024 bytes")
	}
	*s = alias(b)
	return end + 1
}

// noLabels is an explicitly empty list of labels, which the catalogue does not add to.
var noLabels = []string{}

func (d *Decoder) strings(p []byte, i int, list *[]string) int {
	if i >= len(p) || p[i] != '[' {
		return d.absent(p, i, "an array of strings")
	}
	i = jsonscan.Space(p, i+1)
	if i < len(p) && p[i] == ']' {
		if *list == nil {
			*list = noLabels
		}
		return i + 1
	}
	all := d.labels.take(MaxLabels)
	n := 0
	for {
		if n == MaxLabels {
			return d.fail(tooLong, i, "at most 32 labels")
		}
		if i < len(p) && p[i] == 'n' {
			return d.fail(wrongType, i, "a string")
		}
		if i = d.string(p, i, &all[n]); i < 0 {
			return i
		}
		all[n] = trim(all[n])
		n++
		i = jsonscan.Space(p, i)
		if i < len(p) && p[i] == ',' {
			i = jsonscan.Space(p, i+1)
			continue
		}
		if i >= len(p) || p[i] != ']' {
			return d.fail(notJSON, i, "a comma or an end")
		}
		d.labels.giveBack(MaxLabels - n)
		if len(*list) > 0 { // of a list that came twice no label may be lost
			*list = append((*list)[:len(*list):len(*list)], all[:n]...)
		} else {
			*list = all[:n:n]
		}
		return i + 1
	}
}

// word reads a string that must be one of words; the first, empty, is never on the wire.
func word[W ~uint8](d *Decoder, p []byte, i int, words []string, w *W) int {
	var s string
	end := d.string(p, i, &s)
	if end < 0 || p[i] == 'n' {
		return end
	}
	if k := Word(words, s); k > 0 {
		*w = W(k)
		return end
	}
	return d.fail(unknownWord, i, "one of "+strings.Join(words[1:], ", "))
}

func (d *Decoder) tenant(p []byte, i int, s *string) int {
	end := d.string(p, i, s)
	if end < 0 || p[i] == 'n' {
		return end
	}
	if len(*s) == 0 || len(*s) > 64 {
		return d.fail(badTenant, i, "1 to 64 bytes")
	}
	for k := 0; k < len(*s); k++ {
		if c := (*s)[k]; c|0x20-'a' > 'z'-'a' && c-'0' > 9 && c != '.' && c != '_' && c != '-' {
			return d.fail(badTenant, i, "only A-Z a-z 0-9 . _ -")
		}
	}
	return end
}

func (d *Decoder) version(p []byte, i int) int {
	var v int64
	var has Has
	end := d.count(p, i, &v, &has, 1)
	if end < 0 && d.fault.Reason == outOfRange || has != 0 && v != 1 {
		d.fault = DecodeError{}
		return d.fail(unknownVersion, i, "version 1")
	}
	return end
}

func (d *Decoder) bool(p []byte, i int, t *Tri) int {
	if jsonscan.Literal(p, i, "true") {
		*t = Yes
		return i + 4
	}
	if jsonscan.Literal(p, i, "false") {
		*t = No
		return i + 5
	}
	return d.absent(p, i, "true or false")
}

func (d *Decoder) object(p []byte, i, depth int, raw *[]byte) int {
	if i >= len(p) || p[i] != '{' {
		return d.absent(p, i, "an object")
	}
	return d.any(p, i, depth, raw)
}

// quoted keeps a string as it is written, of any length.
func (d *Decoder) quoted(p []byte, i int, raw *[]byte) int {
	if i >= len(p) || p[i] != '"' {
		return d.absent(p, i, "a string")
	}
	return d.any(p, i, 0, raw)
}

func (d *Decoder) any(p []byte, i, depth int, raw *[]byte) int {
	end := d.skip(p, i, depth)
	if end >= 0 && p[i] != 'n' {
		*raw = p[i:end:end]
	}
	return end
}
