package event

import "strings"

// AppendKey appends the key of an agent's records, tenant|agent.id, with | and % inside the parts
// percent-encoded: no two agents share one.
func AppendKey(dst []byte, tenant, agent string) []byte {
	return AppendKeyPart(append(AppendKeyPart(dst, tenant), '|'), agent)
}

// Plain reports whether a part of a key stands in it as it is.
func Plain(s string) bool { return strings.IndexByte(s, '|') < 0 && strings.IndexByte(s, '%') < 0 }

// AppendKeyPart appends one part of a key, with | and % percent-encoded (docs/producers.md).
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
