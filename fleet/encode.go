// Package fleet makes up agents at work. Traffic is an endless stream at a rate that is asked for:
// generate, bench and demo send it. Weeks is a stream of some weeks of office life, with attacks
// whose truth is known: package eval measures detectors on it. The same options give the same
// bytes.
//
// The package must never know a detector, a policy or Kafka, and no detector knows what is made
// here. Begin with Traffic.Next in traffic.go and Weeks.Next in weeks.go; encode.go holds what both
// are built from.
package fleet

import (
	"math/rand/v2"
	"strconv"
)

// mix is the finaliser of splitmix64: a bijection, so that a counter gives numbers that look drawn
// and never repeat.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func appendHex(dst []byte, x uint64) []byte {
	const digits = "0123456789abcdef"
	var text [16]byte
	for i := 15; i >= 0; i-- {
		text[i] = digits[x&15]
		x >>= 4
	}
	return append(dst, text[:]...)
}

// appendPadded appends x with at least width digits, at most 20.
func appendPadded(dst []byte, x uint64, width int) []byte {
	var text [20]byte
	i := len(text)
	for x > 0 || i > len(text)-width {
		i--
		text[i] = '0' + byte(x%10)
		x /= 10
	}
	return append(dst, text[i:]...)
}

// hash mixes numbers into one.
func hash(list ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, v := range list {
		h = mix(h + v)
	}
	return h
}

// HashText hashes a text (FNV-1a).
func HashText(t string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(t) {
		h = (h ^ uint64(t[i])) * 1099511628211
	}
	return h
}

// PCG returns a generator of its own for each list of numbers.
func PCG(list ...uint64) rand.PCG {
	return *rand.NewPCG(hash(append(list, 1)...), hash(append(list, 2)...))
}

// appendDecimal appends v with its last places behind the point.
func appendDecimal(dst []byte, v uint64, places int) []byte {
	unit := uint64(1)
	for range places {
		unit *= 10
	}
	dst = strconv.AppendUint(dst, v/unit, 10)
	return appendPadded(append(dst, '.'), v%unit, places)
}
