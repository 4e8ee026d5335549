package event

import (
	"strings"
	"testing"
)

func TestHostsAreReadAsClientsReadThem(t *testing.T) {
	const sure, unsure = true, false
	for _, c := range []struct {
		url, name, other string
		sure             bool
	}{
		{"https://shop.example/a?b#c", "shop.example", "", sure},
		{"HTTPS://Shop.EXAMPLE.:8443", "Shop.EXAMPLE", "", sure},
		{" \x00https://shop.example/c ", "shop.example", "", sure},
		{"\u00a0\ufeffhttps://shop.example", "shop.example", "", sure},
		{"ht\ntps://shop.example", "shop.example", "", unsure},
		{"https://shop.exa\tmple/c", "shop.example", "", unsure},
		{"https://shop.example/c\nd", "shop.example", "", sure},
		{"https://shop.example/c?d=some secret text", "shop.example", "", sure},
		{"https://shop.example/ https://other.example/", "shop.example", "", unsure},
		{"https://shop.example/\nhttps://other.example/", "shop.example", "", unsure},
		{"//shop.example/x", "shop.example", "", sure},
		{"shop.example/x", "shop.example", "", sure},
		{"shop.example:81", "shop.example", "", sure},
		{"https:shop.example", "shop.example", "", unsure},
		{"https:/shop.example", "shop.example", "", unsure},
		{`https:\\shop.example\x`, "shop.example", "", unsure},
		{"https:////shop.example", "shop.example", "", unsure},
		{`https://shop.example\@other.example/`, "shop.example", "other.example", unsure},
		{`https://other.example\.shop.example/`, "other.example", "", unsure},
		{"https://user:pw@shop.example/", "shop.example", "", sure},
		{"https://a@other.example@shop.example/", "shop.example", "other.example", unsure},
		{"https://shop.example x@other.example/", "other.example", "shop.example", unsure},
		{"git+ssh://git@shop.example:22/x", "shop.example", "", sure},
		{"jdbc:postgresql://shop.example/db", "shop.example", "", sure},
		{"view-source:https://shop.example/", "shop.example", "", sure},
		{"file:///etc/passwd", "", "", unsure},
		{"http://2130706433/", "127.0.0.1", "", sure},
		{"http://0x7f.1/", "127.0.0.1", "", sure},
		{"http://0X7F000001/", "127.0.0.1", "", sure},
		{"http://0251.0376.0251.0376/", "169.254.169.254", "", sure},
		{"http://010.0.0.1/", "8.0.0.1", "10.0.0.1", unsure},
		{"http://09.0.0.1/", "", "9.0.0.1", unsure},
		{"http://1.2.3.4.5/", "", "", unsure},
		{"http://256.1.1.1/", "", "", unsure},
		{"http://169.254.43518/", "169.254.169.254", "", sure},
		{"http://[::ffff:169.254.169.254]/", "169.254.169.254", "", sure},
		{"http://[0:0:0:0:0:FFFF:a9fe:a9fe]:80/", "169.254.169.254", "", sure},
		{"http://[FE80::1%25eth0]/", "fe80::1", "", sure},
		{"http://[fe80::1", "", "", unsure},
		{"http://169.254.169.254./", "169.254.169.254", "", sure},
		{"http://１６９．２５４．１６９．２５４/", "169.254.169.254", "", sure},
		{"http://shop。example/", "shop.example", "", sure},
		{"http://Bücher.example/", "xn--bcher-kva.example", "", sure},
		{"http://bu\u0308cher.example/", "xn--bcher-kva.example", "", sure},
		{"http://XN--bcher-kva.example/", "XN--bcher-kva.example", "", sure},
		{"http://faß.example/", "xn--fa-hia.example", "fass.example", unsure},
		{"http://%73hop.example/", "shop.example", "", sure},
		{"http://shop.example%2f.other.example/", "shop.example", "", unsure},
		{"http://shop.example%40other.example/", "shop.example", "", unsure},
		{"<https://shop.example/>", "shop.example", "", unsure},
		{` "https://shop.example" `, "shop.example", "", unsure},
		{"('https://shop.example/x')", "shop.example", "", unsure},
		{"<//shop.example", "shop.example", "", unsure},
		{"https://shop.example,https://other.example", "shop.example", "", unsure},
		{"https://shop.example/;https://other.example/", "shop.example", "", unsure},
		{"https://shop.example/|https://other.example/", "shop.example", "", unsure},
		{"https://shop.example/a,b;c|d?e=https://other.example/", "shop.example", "", sure},
		{"jar:https://shop.example!/x", "shop.example", "", unsure},
		{"https://shop.example%20/", "shop.example", "", unsure},
		{"http://[64:ff9b::169.254.169.254]/", "169.254.169.254", "", unsure},
		{"http://[2002:a9fe:a9fe::]/", "169.254.169.254", "", unsure},
		{"http://[::a9fe:a9fe]/", "169.254.169.254", "", unsure},
		{"http://[::1]/", "::1", "", sure},
		{"http://shop.example／.other.example", "", "", unsure},
		{"http://shop\u200b.example/", "shop.example", "", sure},
		{"https://shop.example:99999/", "", "", unsure},
		{"https://shop.example:/", "shop.example", "", sure},
		{"https://a..b/", "", "", unsure},
		{"https://", "", "", unsure},
		{"", "", "", unsure},
	} {
		if h := ReadURL(c.url); h != (Host{c.name, c.other, c.sure}) {
			t.Errorf("%q: got %+v, want %q, %q, %v", c.url, h, c.name, c.other, c.sure)
		}
	}
	for _, s := range []string{"see https://shop.example", "note: call me", "http: a protocol", "a:b", "C:\\x", "12:30",
		"// a comment"} {
		if IsURL(s) {
			t.Errorf("%q is no URL", s)
		}
	}
}

// FuzzReadURL wants that a host is read once and for all: whoever reads the result again finds the
// same, and only what can be a host is one.
func FuzzReadURL(f *testing.F) {
	for _, s := range []string{"https://a.b/c", `http:\\a@b\c`, "//[::1]:80", "0x7f.1", "a@b@c", "http://ｆ.example／x",
		"http://%41", "ς 0", "<https://a.b,https://c.d>", "jdbc:x://y", " \ta\n.b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := ReadURL(s)
		for _, name := range []string{h.Name, h.Other} {
			if name == "" {
				continue
			}
			if strings.ContainsAny(name, "/\\@?#%[] \t\n") {
				t.Fatalf("%q: %q", s, name)
			}
			if again := ReadHost(name); again.Name != name || !again.Sure {
				t.Fatalf("%q: %q is read as %+v", s, name, again)
			}
		}
		if h.Sure && (h.Name == "" || h.Other != "") {
			t.Fatalf("%q: %+v", s, h)
		}
		IsURL(s)
	})
}
