package event

// Lower lowers ASCII letters and leaves the rest alone, so that it cannot change a text's length.
// It allocates only where there is a capital letter.
func Lower(s string) string {
	if !HasUpper(s) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// HasUpper tells whether an ASCII letter of s is a capital one.
func HasUpper(s string) bool {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}
