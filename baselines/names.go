package baselines

import "strings"

// MaxName bounds names of tools, servers, domains and the like in state, in bytes.
const MaxName = 128

// Name bounds a name that is kept: 128 bytes. What is longer keeps its hash apart and its
// beginning.
func Name(s string) string {
	if len(s) > MaxName {
		s = strings.ToValidUTF8(s[:MaxName], "")
	}
	return strings.Clone(s)
}
