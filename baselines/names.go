// Package baselines holds the numbers that detectors keep: windows, and what is learned of a
// persona. Integers wherever parts are merged. It must never know detectors, policies or Kafka.
// Begin reading at window.go for what is counted now, and at model.go for what is learned.
package baselines

import "strings"

// maxName bounds names of tools, servers, domains and the like in state, in bytes.
const MaxName = 128

// Name bounds a name that is kept: 128 bytes. What is longer keeps its hash apart and its
// beginning.
func Name(s string) string {
	if len(s) > MaxName {
		s = strings.ToValidUTF8(s[:MaxName], "")
	}
	return strings.Clone(s)
}
