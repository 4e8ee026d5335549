package pipeline

import (
	"cmp"
	"encoding/binary"
	"strings"

	"github.com/wayward-sec/wayward/baselines"
	"github.com/wayward-sec/wayward/event/wire"
)

type keyDay struct {
	baselines.Key
	day int64
}

func (k keyDay) compare(o keyDay) int {
	return cmp.Or(compareKeys(k.Key, o.Key), cmp.Compare(k.day, o.day))
}

func compareKeys(a, b baselines.Key) int {
	return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Persona, b.Persona),
		strings.Compare(a.Fork, b.Fork))
}

// appendDelta encodes what one source has learned for a facts record.
func appendDelta(b []byte, k keyDay, delta []byte) []byte {
	b = append(b, deltaTag)
	b = wire.AppendString(wire.AppendString(wire.AppendString(b, k.Tenant), k.Persona), k.Fork)
	return wire.AppendString(binary.AppendVarint(b, k.day), string(delta))
}
