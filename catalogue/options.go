package catalogue

import "strings"

// Options and operands of commands.

// operands separates the words that are no options from the options, as pairs of name and value.
// letters and long are the short and long options that take the next word; long has blanks between
// them.
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

// fromFirstOperand are the words from the first operand on: the command of programs that run
// another one. letters and long are as in operands.
func fromFirstOperand(args []word, letters, long string) []word {
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

// option is the value of the first option with one of the names, and whether there is one.
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

// optionInWords is option for words that operands did not separate. It knows only options with a
// value.
func optionInWords(args []word, names ...string) (string, bool) {
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

// wordAt is the text of word i; "" if there is none.
func wordAt(args []word, i int) string {
	if i < len(args) {
		return args[i].text
	}
	return ""
}

// joinWords is the words with blanks between them. known: all of them are.
func joinWords(args []word) (string, bool) {
	parts, known := make([]string, len(args)), true
	for i, x := range args {
		parts[i] = x.text
		known = known && x.known
	}
	return strings.Join(parts, " "), known
}
