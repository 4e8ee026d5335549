package jsonscan

// What is here takes for granted that the JSON is right, as the decoder of events has found it to
// be.

// Member is the value of a key of an object; nil: there is none. Of two the last counts, as for
// most who read JSON.
func Member(b []byte, key string) (found []byte) {
	i := Space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return nil
	}
	for i++; ; i++ {
		if i = Space(b, i); i >= len(b) || b[i] != '"' {
			return found
		}
		end, escaped := EndOfString(b, i+1)
		if end < 0 {
			return found
		}
		same := string(b[i+1:end]) == key
		if escaped {
			name, ok := Unquote(nil, b[i:end+1])
			same = ok && string(name) == key
		}
		if i = Space(b, end+1); i >= len(b) || b[i] != ':' {
			return found
		}
		from := Space(b, i+1)
		if i = EndOfValue(b, from); i < 0 {
			return found
		}
		if same {
			found = b[from:i]
		}
		if i = Space(b, i); i >= len(b) || b[i] != ',' {
			return found
		}
	}
}

// EndOfValue returns the offset behind the value at i, or -1 if it breaks off.
func EndOfValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			end, _ := EndOfString(b, i+1)
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
	if depth > 0 {
		return -1
	}
	return i
}

// Element is the element of a list that begins at i, and where the next one does; nil: there is
// none.
func Element(b []byte, i int) (e []byte, next int) {
	from := Space(b, i)
	if from >= len(b) || b[from] == ']' {
		return nil, from
	}
	end := EndOfValue(b, from)
	if end < 0 {
		return nil, from
	}
	if next = Space(b, end); next < len(b) && b[next] == ',' {
		next++
	}
	return b[from:end], next
}
