package catalogue

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Amounts as text: digits, separators, signs and codes of currencies.

// currencySigns are signs that mean one currency. $ means many, so it stands here only with "US".
var currencySigns = []struct{ sign, code string }{
	{"US$", "USD"}, {"€", "EUR"}, {"£", "GBP"}, {"₹", "INR"}, {"₩", "KRW"}, {"₽", "RUB"}, {"₺", "TRY"}, {"₪", "ILS"},
	{"₫", "VND"}, {"₴", "UAH"}, {"฿", "THB"},
}

// parseAmount reads 12.50, 1,234.56, 1.234,56, EUR 12,50, 12.50 EUR, €12.50 and 1.25e3 into
// millionths. The currency is "" if the text has none; it aliases s or a constant. A number that
// can be read in two ways (1,234) is not ok.
func parseAmount(s string) (micro int64, currency string, ok bool) {
	if micro, ok = parseDigits(s); ok {
		return micro, "", true
	}
	s = strings.TrimSpace(s)
	if len(s) > 128 || s == "" {
		return 0, "", false
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) {
		s = strings.TrimSpace(strings.Map(plainDigit, s))
	}
	negative := s[0] == '-'
	if negative {
		s = strings.TrimSpace(s[1:])
	}
	for _, c := range currencySigns {
		if rest, found := strings.CutPrefix(s, c.sign); found {
			s, currency = strings.TrimSpace(rest), c.code
			break
		}
		if rest, found := strings.CutSuffix(s, c.sign); found {
			s, currency = strings.TrimSpace(rest), c.code
			break
		}
	}
	if currency == "" {
		if c := currencyWord(s, 0); c != "" {
			s, currency = strings.TrimSpace(s[3:]), c
		} else if c := currencyWord(s, len(s)-3); c != "" {
			s, currency = strings.TrimSpace(s[:len(s)-3]), c
		} else if rest, found := strings.CutPrefix(s, "$"); found {
			s = rest // dollars of an unknown country
		}
	}
	if s != "" && s[0] == '-' && !negative {
		negative, s = true, s[1:]
	}
	mantissa, exponent, found := strings.Cut(s, "e")
	if !found {
		mantissa, exponent, found = strings.Cut(s, "E")
	}
	micro, ok = parseDecimal(mantissa)
	if found && ok { // JSON numbers may have exponents
		micro, ok = shiftDecimal(micro, exponent)
	}
	if negative {
		micro = -micro
	}
	return micro, currency, ok
}

// plainDigit maps digits of any script, signs in full width and special spaces to ASCII.
func plainDigit(r rune) rune {
	switch {
	case r < 0x80:
		return r
	case r == 0x2212: // minus
		return '-'
	case r == 0xa0 || r == 0x202f || r == 0x2009:
		return ' '
	case 0xff01 <= r && r <= 0xff5e:
		return r - 0xff01 + '!'
	case r == 0x66b:
		return '.'
	case unicode.IsDigit(r): // digits come in ranges of ten that begin with zero
		for _, t := range unicode.Nd.R16 {
			if rune(t.Lo) <= r && r <= rune(t.Hi) {
				return '0' + (r-rune(t.Lo))%10
			}
		}
		for _, t := range unicode.Nd.R32 {
			if rune(t.Lo) <= r && r <= rune(t.Hi) {
				return '0' + (r-rune(t.Lo))%10
			}
		}
	}
	return r
}

// currencyWord is the currency that three letters of s from i on name, in any case; "" if they are
// part of a longer word.
func currencyWord(s string, i int) string {
	if i < 0 || len(s) <= 3 || i > 0 && isWordByte(s[i-1]) && !isDigit(s[i-1]) || i == 0 && isWordByte(s[3]) &&
		!isDigit(s[3]) {
		return ""
	}
	c := s[i : i+3]
	if IsCurrency(c) {
		return c
	}
	if c = strings.ToUpper(c); IsCurrency(c) {
		return c
	}
	return ""
}

// shiftDecimal multiplies by a power of ten. Places beyond the millionth are cut off.
func shiftDecimal(micro int64, exponent string) (int64, bool) {
	n, err := strconv.Atoi(exponent)
	if err != nil {
		return 0, false
	}
	for ; n < 0 && micro != 0; n++ {
		micro /= 10
	}
	for ; n > 0 && micro != 0; n-- {
		if micro > math.MaxInt64/10 {
			return 0, false
		}
		micro *= 10
	}
	return micro, true
}

// parseDigits reads the usual form fast: up to 12 digits, and a point with up to six more.
func parseDigits(s string) (micro int64, ok bool) {
	if len(s) > 15 {
		return 0, false
	}
	point := len(s)
	for i := range len(s) {
		switch c := s[i] - '0'; {
		case c <= 9:
			micro = micro*10 + int64(c)
		case s[i] == '.' && point == len(s) && i > 0 && i < len(s)-1 && len(s)-i <= 7:
			point = i
		default:
			return 0, false
		}
	}
	places := max(0, len(s)-point-1)
	if s == "" || len(s)-places > 12 {
		return 0, false
	}
	for ; places < 6; places++ {
		micro *= 10
	}
	return micro, true
}

// parseDecimal reads digits with a decimal point or comma and with separators of thousands. Places
// beyond the sixth are cut off.
func parseDecimal(s string) (micro int64, ok bool) {
	point := -1 // where the decimals begin
	dots, commas := strings.Count(s, "."), strings.Count(s, ",")
	lastDot, lastComma := strings.LastIndexByte(s, '.'), strings.LastIndexByte(s, ',')
	switch {
	case dots > 0 && commas > 0:
		point = max(lastDot, lastComma)
		if dots > 1 && commas > 1 || lastDot > lastComma && dots > 1 || lastComma > lastDot && commas > 1 {
			return 0, false
		}
	case dots == 1:
		point = lastDot
	case commas == 1:
		if len(s)-lastComma-1 == 3 {
			return 0, false // 1,234: a thousand, or one and a bit
		}
		point = lastComma
	}
	var v int64
	digits, group := 0, -1 // group: digits since a separator of thousands
	end := len(s)
	if point >= 0 {
		end = point
	}
	for i := range end {
		switch c := s[i]; {
		case isDigit(c):
			if v > (math.MaxInt64/1_000_000-9)/10 {
				return 0, false
			}
			v = v*10 + int64(c-'0')
			digits++
			if group >= 0 {
				group++
			}
		case c == '.' || c == ',' || c == '\'' || c == ' ' || c == '_':
			if digits == 0 || group >= 0 && group != 3 || group < 0 && digits > 3 {
				return 0, false
			}
			group = 0
		default:
			return 0, false
		}
	}
	if digits == 0 || group >= 0 && group != 3 {
		return 0, false
	}
	v *= 1_000_000
	if point >= 0 {
		unit := int64(100_000)
		if point == len(s)-1 {
			return 0, false
		}
		for _, c := range []byte(s[point+1:]) {
			if !isDigit(c) {
				return 0, false
			}
			v += int64(c-'0') * unit
			unit /= 10
		}
	}
	return v, true
}
