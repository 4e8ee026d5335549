package catalogue

import (
	"strings"
	"testing"
)

func TestShapesOfValues(t *testing.T) {
	for s, want := range map[string]valueShape{
		"jane@acme.com": emailShape, "Jane Doe <jane@acme.com>": emailShape, "a@x.com, b@y.org": emailShape,
		`"Doe, Jane" <j@x.com>; b@y.org`: emailShape,
		"mailto:jane@acme.com":           emailShape, "jane+tag@mail.acme.co.uk": emailShape,
		"write to jane@acme.com please": anyShape, "@acme.com": anyShape, "jane@localhost": anyShape,
		"a@b@c.com": anyShape, "jane@acme.com.": emailShape, "a@.com": anyShape,
		"https://acme.com/x?y=1": urlShape, "ftp://acme.com": urlShape, "www.acme.com/x": urlShape,
		"s3://bucket/key": urlShape, "see https://acme.com": anyShape, "://x": anyShape,
		"DE89370400440532013000": ibanShape, "DE89 3704 0044 0532 0130 00": ibanShape,
		"gb82 west 1234 5698 7654 32": ibanShape, "DE89370400440532013001": idShape, "US122000000121212121212": idShape,
		"4111111111111111": cardShape, "4111 1111 1111 1111": cardShape, "378282246310005": cardShape,
		"4111111111111112": idShape, "0000000000000000": idShape, "1234567890123": idShape,
		"+49 30 901820": phoneShape, "(030) 901820-5": phoneShape, "555-010-9999": phoneShape, "5550109999": idShape,
		"2026-11-20": idShape, "12": idShape,
		"/etc/passwd": pathShape, "./a.txt": pathShape, "~/x": pathShape, `C:\temp\a`: pathShape,
		"acme.com": hostShape, "10.0.0.1": hostShape, "db-1.internal.acme.io:5432": hostShape, "report.pdf": anyShape,
		"v1.2": idShape, "1.5": idShape, "localhost": anyShape, "e.g.": anyShape,
		"#general": channelShape, "# a heading": anyShape, "ord_00417": idShape,
		"550e8400-e29b-41d4-a716-446655440000": idShape, "hello": anyShape, "": anyShape,
		strings.Repeat("a", 2000) + "@x.com": anyShape,
	} {
		if got := shapeOf(s); got != want {
			t.Errorf("%.60q: got %q, want %q", s, got, want)
		}
	}
}

func TestAmountsAreReadOrNot(t *testing.T) {
	for s, want := range map[string]string{
		"12": "12000000", "12.5": "12500000", "0.000001": "1", "-3.20": "-3200000", "1,234.56": "1234560000",
		"1.234,56": "1234560000", "12,50": "12500000", "1'234.50": "1234500000",
		"1 234,50": "1234500000", "1,234,567.89": "1234567890000", "12.50 EUR": "12500000 EUR",
		"EUR 12,50": "12500000 EUR", "€12.50": "12500000 EUR", "12 €": "12000000 EUR",
		"£1,000.00": "1000000000 GBP", "US$5": "5000000 USD", "$5": "5000000", "-€5": "-5000000 EUR",
		"€-5": "-5000000 EUR", "53.300000000000004": "53300000", "USD5": "5000000 USD",
		" 7 ": "7000000", "1,234": "", "12,345,67": "", "1e3": "1000000000", "5.25E+2": "525000000",
		"1234e-2 EUR": "12340000 EUR", "-2e1": "-20000000", "1e": "", "e3": "", "1e3e3": "", "1e99": "", "1e-99": "0",
		"1e1.5": "", "5.00000000000000000000000000000000000000000001": "5000000", "": "", "about 5": "",
		"5 usd": "5000000 USD", "eur 5": "5000000 EUR", "5use": "5000000 USE", "5 euro": "", "about 5 eur": "",
		"0x10": "", "--5": "", "5.": "", ".5": "", "1,23,456.00": "", "€": "",
		"9999999999999999999": "", "1.234.567": "1234567000000", "922337203684": "922337203684000000",
		"9223372036855": "", "NaN": "", "12 EUR USD": "", "1..2": "", strings.Repeat("9", 100): "",
	} {
		got := ""
		if micro, currency, ok := parseAmount(s); ok {
			got = strings.TrimSpace(format(micro) + " " + currency)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func format(n int64) string {
	var b []byte
	neg := n < 0
	for n != 0 || len(b) == 0 {
		d := n % 10
		if d < 0 {
			d = -d
		}
		b = append([]byte{byte('0' + d)}, b...)
		n /= 10
	}
	if neg {
		return "-" + string(b)
	}
	return string(b)
}

func TestCardsAreMasked(t *testing.T) {
	for s, want := range map[string]string{"4111111111111111": "411111******1111",
		"4111 1111-1111 1111": "411111******1111", "378282246310005": "378282*****0005"} {
		if got := string(maskCard(nil, s)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
