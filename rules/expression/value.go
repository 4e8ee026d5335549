package expression

import (
	"fmt"
	"math"
	"strconv"
)

// Truth is a bool as a value.
func Truth(b bool) Value {
	if b {
		return Value{N: 1}
	}
	return Value{}
}

// Format writes a value of a type as people do.
func (v Value) Format(t Type) string {
	switch t {
	case Bool:
		return fmt.Sprint(v.N != 0)
	case Number:
		return formatNumber(v.N)
	}
	return fmt.Sprintf("%q", v.S)
}

// Type is the type of a value.
type Type uint8

// Types of values. Numbers are 64-bit floats, whole numbers too: what events count stays far below
// 2^53.
const (
	Bool Type = iota + 1
	Number
	Text
	Texts // a list, only to look into
)

var typeNames = [...]string{"", "bool", "number", "text", "list of texts"}

func (t Type) String() string { return typeNames[t] }

// Value is a bool (N is 0 or 1), a number (N) or a text (S). It does not know which: an expression has
// its type.
type Value struct {
	S string
	N float64
}

// formatNumber writes a number as people do: whole numbers without a point or an exponent, others
// with four digits behind it at most.
func formatNumber(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 1e15 {
		return strconv.FormatInt(int64(n), 10)
	}
	if math.Abs(n) >= 1e15 || math.Abs(n) < 1e-4 {
		return strconv.FormatFloat(n, 'g', 6, 64)
	}
	return strconv.FormatFloat(math.Round(n*1e4)/1e4, 'f', -1, 64)
}
