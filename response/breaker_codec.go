package response

import (
	"encoding/binary"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/event/wire"
)

// Append encodes the breaker.
func (b *Breaker) Append(d []byte) []byte {
	d = append(d, byte(b.Scope.Type))
	d = binary.AppendUvarint(d, uint64(b.Epoch))
	flags := byte(0)
	if b.Mode == event.Enforce {
		flags |= 1
	}
	if b.Missed {
		flags |= 2
	}
	d = append(d, byte(b.Action), flags, byte(b.Ack))
	for _, v := range []int64{b.Since, b.At, b.Until, b.Length, b.Rate.Calls, b.Rate.PerSeconds, b.Issued, b.AckBy,
		b.Applied, b.calls, b.reportAt} {
		d = binary.AppendVarint(d, v)
	}
	d = binary.AppendUvarint(d, uint64(len(b.Rate.Classes)))
	for _, c := range b.Rate.Classes {
		d = append(d, byte(c))
	}
	for _, s := range []string{b.Scope.ID, b.Scope.Tenant, b.Scope.Agent, b.Finding, b.Reason, b.Issuer.Type,
		b.Issuer.Rule, b.Issuer.Version, b.Issuer.By, b.Persona, b.Command} {
		d = wire.AppendString(d, s)
	}
	return wire.AppendRef(wire.AppendRef(d, b.trigger), b.firstCall)
}

// Decode reads what Append wrote.
func (b *Breaker) Decode(r *wire.Reader) {
	*b = Breaker{Scope: event.Scope{Type: event.ScopeType(r.Byte())}, Epoch: int64(r.Uvarint()),
		Action: event.Action(r.Byte()), Mode: event.DryRun}
	flags := r.Byte()
	if flags&1 != 0 {
		b.Mode = event.Enforce
	}
	b.Missed = flags&2 != 0
	b.Ack = event.AckStatus(r.Byte())
	for _, v := range []*int64{&b.Since, &b.At, &b.Until, &b.Length, &b.Rate.Calls, &b.Rate.PerSeconds, &b.Issued,
		&b.AckBy, &b.Applied, &b.calls, &b.reportAt} {
		*v = r.Varint()
	}
	unknown := false
	for range r.Len() {
		c := event.Class(r.Byte())
		unknown = unknown || c > event.Delegate
		b.Rate.Classes = append(b.Rate.Classes, c)
	}
	for _, s := range []*string{&b.Scope.ID, &b.Scope.Tenant, &b.Scope.Agent, &b.Finding, &b.Reason, &b.Issuer.Type,
		&b.Issuer.Rule, &b.Issuer.Version, &b.Issuer.By, &b.Persona, &b.Command} {
		*s = r.String()
	}
	b.trigger, b.firstCall = wire.ReadRef(r), wire.ReadRef(r)
	if r.Err == nil && (unknown || !b.Scope.Type.Known() || b.Action > event.Kill || b.Ack > event.Expired) {
		r.Err = wire.ErrShort
	}
}
