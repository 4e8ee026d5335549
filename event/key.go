package event

import (
	"strings"
	"unsafe"
)

// alias is the text over bytes that do not change while it is used.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// AppendKey appends the key of an agent's records, tenant|agent.id, with | and % inside the parts
// percent-encoded: no two agents share one.
func AppendKey(dst []byte, tenant, agent string) []byte {
	return AppendKeyPart(append(AppendKeyPart(dst, tenant), '|'), agent)
}

// Plain reports whether a part of a key stands in it as it is.
func Plain(s string) bool { return strings.IndexByte(s, '|') < 0 && strings.IndexByte(s, '%') < 0 }

// AppendKeyPart appends one part of a key, with | and % percent-encoded (EVENTS §1).
func AppendKeyPart(dst []byte, s string) []byte {
	if Plain(s) {
		return append(dst, s...)
	}
	for i := range len(s) {
		switch c := s[i]; c {
		case '|':
			dst = append(dst, "%7C"...)
		case '%':
			dst = append(dst, "%25"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// KeyPart reads what AppendKeyPart wrote.
func KeyPart(s string) string {
	return strings.NewReplacer("%7C", "|", "%25", "%").Replace(s)
}
