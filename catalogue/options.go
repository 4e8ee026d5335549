package catalogue

import "strings"

// Options and operands of commands.

// operands are the words that are no options. valued are the options that take the next word:
// letters, and long ones between blanks.
func operands(args []word, letters, long string) (rest []word, options [][2]string) {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		next := func() string {
			if i+1 < len(args) {
				i++
				return args[i].text
			}
			return ""
		}
		switch {
		case v == "--":
			return append(rest, args[i+1:]...), options
		case len(v) < 2 || v[0] != '-':
			rest = append(rest, args[i])
		case strings.HasPrefix(v, "--"):
			name, value, ok := strings.Cut(v, "=")
			if !ok && strings.Contains(" "+long+" ", " "+name[2:]+" ") {
				value = next()
			}
			options = append(options, [2]string{name[2:], value})
		default:
			if strings.Contains(" "+long+" ", " "+v[1:]+" ") { // -destroy, -connect
				options = append(options, [2]string{v[1:], next()})
				continue
			}
			for k := 1; k < len(v); k++ {
				value, takes := "", strings.IndexByte(letters, v[k]) >= 0
				if takes {
					if value = v[k+1:]; value == "" {
						value = next()
					}
				}
				options = append(options, [2]string{v[k : k+1], value})
				if takes {
					break
				}
			}
		}
	}
	return rest, options
}

// behind are the words from the first operand on, as of programs that run another one.
func behind(args []word, letters, long string) []word {
	for i := 0; i < len(args); i++ {
		v := args[i].text
		switch {
		case v == "--":
			return args[i+1:]
		case len(v) < 2 || v[0] != '-':
			return args[i:]
		case strings.HasPrefix(v, "--"):
			if !strings.Contains(v, "=") && strings.Contains(" "+long+" ", " "+v[2:]+" ") {
				i++
			}
		default:
			for k := 1; k < len(v); k++ {
				if strings.IndexByte(letters, v[k]) >= 0 {
					if k == len(v)-1 {
						i++
					}
					break
				}
			}
		}
	}
	return nil
}

func option(options [][2]string, names ...string) (string, bool) {
	for _, o := range options {
		for _, n := range names {
			if o[0] == n {
				return o[1], true
			}
		}
	}
	return "", false
}

func option2(args []word, names ...string) (string, bool) {
	for i, x := range args {
		for _, n := range names {
			if x.text == n && i+1 < len(args) {
				return args[i+1].text, true
			}
			if v, ok := strings.CutPrefix(x.text, n+"="); ok {
				return v, true
			}
		}
	}
	return "", false
}

func text(args []word, i int) string {
	if i < len(args) {
		return args[i].text
	}
	return ""
}

func joined(args []word) (string, bool) {
	parts, known := make([]string, len(args)), true
	for i, x := range args {
		parts[i] = x.text
		known = known && x.known
	}
	return strings.Join(parts, " "), known
}
