package catalogue

import "strings"

// IsCurrency reports whether a text is three capitals, as codes of currencies are.
func IsCurrency(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return len(s) == 3
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789.") == "" }
