package event

import (
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/event/jsonscan"
)

func TestDecodeUnescapes(t *testing.T) {
	for raw, want := range map[string]string{
		``:                             "",
		`a`:                            "a",
		`\"\\\/\b\f\n\r\t`:             "\"\\/\b\f\n\r\t",
		`\u0000\u001f\u007f`:           "\x00\x1f\x7f",
		`\u00e9\u00E9é`:                "ééé",
		`\u20ac\uFFFF`:                 "€\uffff",
		`\ud83d\ude80 \uDBFF\uDFFF`:    "🚀 \U0010ffff",
		`\ud800\udc00\\u0041`:          "\U00010000\\u0041",
		`0123456\n`:                    "0123456\n",
		`01234567\n01234567\"`:         "01234567\n01234567\"",
		`日本語日本語\t日本語`:                  "日本語日本語\t日本語",
		`end in a backslash \\`:        "end in a backslash \\",
		`\\"`[:2] + `\\\\`:             `\\\`,
		`seven b`:                      "seven b",
		`eight by`:                     "eight by",
		`nine byte`:                    "nine byte",
		strings.Repeat(`\u0041`, 1024): strings.Repeat("A", 1024),
	} {
		e, err := decode(record(`,"intent":"` + raw + `","message":{"text":"` + raw + `"}`))
		if err != nil || e.Intent != want {
			t.Errorf("%q: got %q, %v, want %q", raw, e.Intent, err, want)
		}
		got, ok := jsonscan.Unquote([]byte("before "), e.Message.Text)
		if !ok || string(got) != "before "+want {
			t.Errorf("Unquote %q: got %q, %v", raw, got, ok)
		}
	}
	for _, raw := range []string{``, `"`, `a`, `"a`, `a"`, `"a"b"`, `"a" `, ` "a"`, `"\x"`, `"\"`, `"\ud800"`,
		"\"\xff\"", "\"\n\"", `'a'`} {
		if got, ok := jsonscan.Unquote([]byte("x"), []byte(raw)); ok || string(got) != "x" {
			t.Errorf("Unquote %q: got %q, %v, want it refused", raw, got, ok)
		}
	}
}

func TestEveryByteAtEveryPlaceOfAStringIsJudgedRight(t *testing.T) {
	for _, length := range []int{3, 8, 17} { // eight bytes are looked at together
		for at := range length {
			for c := range 256 {
				text := []byte(strings.Repeat("a", length))
				text[at] = byte(c)
				judge(t, []byte(record(`,"user":"`+string(text)+`","message":{"text":"`+string(text)+`"}`)))
			}
		}
	}
}

func TestDecodeReadsNumbers(t *testing.T) {
	for in, want := range map[string]int64{
		`"0"`: 0, `0`: 0, `-0`: 0, `"-0.00"`: 0, `"1"`: 1e6, `12.5`: 12500000, `"12.50"`: 12500000, `"0.000001"`: 1,
		`-0.000001`:      -1,
		`"0.1234560000"`: 123456, `"9223372036854.775807"`: 1<<63 - 1, `-9223372036854.775808`: -1 << 63,
		`"\u0031.5"`: 1500000,
		`0.1`:        100000, `"9223372036854.77580"`: 9223372036854775800,
	} {
		e, err := decode(record(`,"amount":{"value":` + in + `}`))
		if err != nil || e.Amount.Micro != want || e.Has != HasAmount {
			t.Errorf("amount %s: got %d, %b, %v, want %d", in, e.Amount.Micro, e.Has, err, want)
		}
	}
	for in, want := range map[string]float64{
		"0": 0, "-0": 0, "-0.0e5": 0, "1.5": 1.5, "0.1": 0.1, "123456789012.34": 123456789012.34,
		"0.30000000000000004": 0.30000000000000004, "1e3": 1000,
		"1E-3": 0.001, "1e-999": 0, "1.7976931348623157e308": 1.7976931348623157e308,
		"9007199254740993": 9007199254740992, "999999999999999": 999999999999999,
		"0.0000000000001": 1e-13,
	} {
		e, err := decode(record(`,"duration_ms":` + in))
		if err != nil || e.DurationMS != want || 1/e.DurationMS < 0 || e.Has != HasDuration {
			t.Errorf("duration %s: got %v, %v, want %v", in, e.DurationMS, err, want)
		}
	}
	r := rand.New(rand.NewSource(1))
	for range 20000 { // around the length at which the short way of reading gives up
		digits := strconv.FormatInt(1e13+r.Int63n(1e17), 10)
		in := digits[:1+r.Intn(4)] + "." + digits[5:5+r.Intn(len(digits)-5)] + "7"
		want, _ := strconv.ParseFloat(in, 64)
		if e, err := decode(record(`,"duration_ms":` + in)); err != nil || e.DurationMS != want {
			t.Fatalf("duration %s: got %v, %v, want %v", in, e.DurationMS, err, want)
		}
	}
	for in, want := range map[string]int64{"0": 0, "-0": 0, "7": 7, "9223372036854775807": 1<<63 - 1} {
		e, err := decode(record(`,"result":{"bytes":` + in + `}`))
		if err != nil || e.Result.Bytes != want || e.Has != HasBytes {
			t.Errorf("bytes %s: got %v, %v, want %v", in, e.Result.Bytes, err, want)
		}
	}
}

func TestDecodeReadsTimes(t *testing.T) {
	utc := func(y int, m time.Month, d, h, min, s, ms int) int64 {
		return time.Date(y, m, d, h, min, s, ms*1e6, time.UTC).UnixMilli()
	}
	for in, want := range map[string]int64{
		`"1970-01-01T00:00:00.001Z"`:              firstTime,
		`"2026-11-20T14:33:04.812Z"`:              utc(2026, 11, 20, 14, 33, 4, 812),
		`"2026-11-20t14:33:04.8z"`:                utc(2026, 11, 20, 14, 33, 4, 800),
		`"2026-11-20T14:33:04.8129999999999999Z"`: utc(2026, 11, 20, 14, 33, 4, 812),
		`"1970-01-01T01:00:00.001+01:00"`:         firstTime,
		`"2026-01-01T00:30:00+01:00"`:             utc(2025, 12, 31, 23, 30, 0, 0),
		`"2026-12-31T20:30:00.5-05:45"`:           utc(2027, 1, 1, 2, 15, 0, 500),
		`"2026-11-20T14:33:04-00:00"`:             utc(2026, 11, 20, 14, 33, 4, 0),
		`"2024-02-29T00:00:00Z"`:                  utc(2024, 2, 29, 0, 0, 0, 0),
		`"2000-02-29T00:00:00Z"`:                  utc(2000, 2, 29, 0, 0, 0, 0),
		`"9999-12-31T23:59:59.999Z"`:              lastTime,
		`"2026-11-20\u005414:33:04Z"`:             utc(2026, 11, 20, 14, 33, 4, 0),
		"1795185185000":                           1795185185000,
		"100000000000":                            firstMillis,
		"253402300799999":                         lastTime,
	} {
		e, err := decode(strings.Replace(record(""), `"time":1767600000000`, `"time":`+in, 1))
		if err != nil || e.Time != want {
			t.Errorf("%s: got %d, %v, want %d", in, e.Time, err, want)
		}
	}
	for _, in := range []string{
		"", "now", "2026-11-20", "2026-11-20T14:33Z", "2026-11-20 14:33:04Z", "2026-11-20T14:33:04",
		"2026-11-20T14:33:04.Z", "2026-11-20T14:33:04,5Z",
		"2026-11-20T14:33:04+1:00", "2026-11-20T14:33:04+0100", "2026-11-20T14:33:04+24:00",
		"2026-11-20T14:33:04+01:60", "2026-11-20T14:33:04ZZ",
		"2026-11-20T14:33:04 Z", "2026-11-20T14:33:60Z", "2026-11-20T14:60:00Z", "2026-11-20T24:00:00Z",
		"2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z", "2200-02-29T00:00:00Z", "0000-01-01T00:00:00Z",
		"0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "+026-11-20T14:33:04Z", "2026-1a-20T14:33:04Z",
		"12026-11-20T14:33:04Z", "２026-11-20T14:33Z",
	} {
		_, err := decode(strings.Replace(record(""), `"time":1767600000000`, fmt.Sprintf(`"time":%q`, in), 1))
		var fault *DecodeError
		if !errors.As(err, &fault) || fault.Reason != badTime {
			t.Errorf("%q: got %v, want %s", in, err, badTime)
		}
	}
	// What is no time of an event, whoever wrote it: other units, and the zeros of languages.
	for in, want := range map[string]string{
		"1772442000": "epoch seconds; send milliseconds or RFC 3339", "99999999999": "epoch seconds",
		"1": "epoch seconds", "1772442000.25": "epoch seconds", "1.772442e9": "epoch seconds",
		"1772442000000000": "microseconds; send milliseconds", "253402300800000": "microseconds",
		"1772442000000000000": "nanoseconds", "9223372036854775808": "nanoseconds",
		"99999999999999999999": "nanoseconds",
		"0":                    "nobody set", "-0": "nobody set", "-1": "after 1970", "-62135596800000": "after 1970",
		"-99999999999999999999":  "after 1970",
		`"0001-01-01T00:00:00Z"`: "nobody set", `"1970-01-01T00:00:00Z"`: "nobody set",
		`"1969-12-31T23:59:59.9999Z"`: "after 1970", `"1970-01-01T00:30:00+01:00"`: "after 1970",
		`"1772442000"`: "RFC 3339",
	} {
		_, err := decode(strings.Replace(record(""), `"time":1767600000000`, `"time":`+in, 1))
		var fault *DecodeError
		if !errors.As(err, &fault) || fault.Reason != badTime || fault.Field != "time" ||
			!strings.Contains(fault.Want, want) {
			t.Errorf("%s: got %v, want %s that says %q", in, err, badTime, want)
		}
	}
	// An approval may have expired at any date, but its unit is found as that of time is.
	for in, want := range map[string]int64{`"0001-01-01T00:00:00Z"`: firstDate, `"1969-12-31T23:59:59Z"`: -1000,
		"1772442000000": 1772442000000, "1772442000": 0, "0": 0, "-1": 0} {
		e, err := strictly(record(`,"approval":{"expires":` + in + `}`))
		if want == 0 {
			var fault *DecodeError
			if !errors.As(err, &fault) || fault.Reason != badTime || fault.Field != "approval.expires" {
				t.Errorf("expires %s: got %v, want %s", in, err, badTime)
			}
		} else if err != nil || e.Approval.Expires != want {
			t.Errorf("expires %s: got %d, %v, want %d", in, e.Approval.Expires, err, want)
		}
	}
	// Every day of two leap cycles, against the standard library.
	for at := time.Date(1599, 12, 31, 12, 0, 0, 0, time.UTC); at.Year() < 2401; at = at.AddDate(0, 0, 1) {
		if ms, ok := rfc3339(at.Format(time.RFC3339)); !ok || ms != at.UnixMilli() {
			t.Fatalf("%v: got %d, %v", at, ms, ok)
		}
	}
}
