package detectors

import (
	"encoding/binary"
	"testing"
	"unsafe"
)

func TestNumbersThatAreCopiedAsBytesHaveNoGaps(t *testing.T) {
	for name, s := range map[string]struct {
		v    any
		size uintptr
	}{
		"firsts":         {firsts{}, unsafe.Sizeof(firsts{})},
		"agentNumbers":   {agentNumbers{}, unsafe.Sizeof(agentNumbers{})},
		"sessionNumbers": {sessionNumbers{}, unsafe.Sizeof(sessionNumbers{})},
		"burning":        {burning{}, unsafe.Sizeof(burning{})},
	} {
		if n := binary.Size(s.v); n != int(s.size) {
			t.Errorf("%s has %d bytes of numbers in %d bytes of memory: fill the gap with a blank field", name, n, s.size)
		}
	}
}
