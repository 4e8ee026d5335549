package event

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestOneIdentityInEverySpelling(t *testing.T) {
	for want, spellings := range map[string][]string{
		"ana@acme.example": {"Ana@acme.example", "ANA@ACME.EXAMPLE", " ana@acme.example", "ana@acme.example\n",
			"\tAna@Acme.Example \r\n", "ana\u200b@acme.example", "\ufeffana@acme.example",
			"\u00a0ana@acme.example\u2003", "\uff21na\uff20acme.example", "ana@acme\u00ad.example",
			"\u202eana@acme.example", "ana@acme.example\x00"},
		"jörg":              {"JÖRG", "Jo\u0308rg", "jörg ", "JO\u0308RG"},
		"strasse":           {"straße", "STRASSE", "STRAßE", "STRA\u1e9eE"},
		"σισυφοσ":           {"ΣΊΣΥΦΟΣ"[0:0] + "ΣΙΣΥΦΟΣ", "σισυφος"},
		"анна":              {"Анна", "АННА", "анна"},
		"k-1":               {"\u212a-1", "K-1", "k-1"},
		"file":              {"ﬁle", "FILE"},
		"이지은":               {"이지은", "\u110b\u1175\u110c\u1175\u110b\u1173\u11ab"},
		"ガ":                 {"ガ", "カ\u3099", "ｶﾞ"},
		"":                  {"", " ", "\t\n", "\u200b", "\u3000"},
		"a.na+x@acme":       {"A.na+X@acme"},
		"two  words inside": {" Two  Words inside "},
	} {
		for _, s := range spellings {
			if got := Identity(s); got != want {
				t.Errorf("%q is %q, want %q", s, got, want)
			}
			e, err := decode(`{"time":1767225600000,"kind":"approval","tenant":"Acme","agent":{"id":"Bot ","owner":` +
				quotedText(s) + `,"credential":` + quotedText(s) + `},"persona":` + quotedText(s) + `,"user":` +
				quotedText(s) +
				`,"approval":{"by":` + quotedText(s) + `,"requested_by":` + quotedText(s) + `},"resource":{"owner":` +
				quotedText(s) + `}}`)
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range []string{e.Persona, e.User, e.Agent.Owner, e.Agent.Credential, e.Approval.By,
				e.Approval.RequestedBy, e.Resource.Owner} {
				if got != want {
					t.Errorf("%q is read as %q, want %q", s, got, want)
				}
			}
			if e.Tenant != "Acme" || e.Agent.ID != "Bot " {
				t.Errorf("tenant %q, agent %q: they are compared as sent", e.Tenant, e.Agent.ID)
			}
		}
	}
	for _, pair := range [][2]string{{"ana", "anna"}, {"ana", "аna"}, {"a.na", "ana"}, {"ana+1", "ana"},
		{"ana 1", "ana1"}} {
		if SameIdentity(pair[0], pair[1]) {
			t.Errorf("%q and %q are taken for one", pair[0], pair[1])
		}
	}
}

// quote writes a text as JSON, nothing but what must be is escaped.
func quotedText(s string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00",
		`\u0000`).Replace(s) + `"`
}

func TestAnOrdinaryIdentityCostsNoMemory(t *testing.T) {
	for _, s := range []string{"ana@acme.example", "u-00017", "acme\\jörg.001", "анна", "billing bot"} {
		if n := testing.AllocsPerRun(100, func() { Identity(s) }); n != 0 {
			t.Errorf("%q costs %v allocations", s, n)
		}
	}
	var d Decoder
	var e Event
	p := []byte(
		`{"time":1767225600000,"kind":"message","tenant":"acme","agent":{"id":"a","owner":"CRM"},"user":" Ana@Acme.Example","persona":"Clerk"}`)
	if n := testing.AllocsPerRun(1000, func() {
		d.Reset()
		if err := d.Decode(p, &e); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("capitals cost %v allocations", n)
	}
}

func FuzzIdentity(f *testing.F) {
	for _, s := range []string{"Ana", " ana ", "straße", "Jo\u0308rg", "ﷺ", "\u0345\u03b1", "ŉ", "\u1e9e", "İ",
		"\u200b\u0301", strings.Repeat("ﷺ", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > MaxString || !utf8.ValidString(s) {
			return
		}
		once := Identity(s)
		if again := Identity(once); again != once {
			t.Errorf("%q is %q and then %q", s, once, again)
		}
		if len(once) > MaxString {
			t.Errorf("%q has %d bytes", s, len(once))
		}
		if slow := identitySlow(s); slow != once {
			t.Errorf("%q is %q, the long way %q", s, once, slow)
		}
		for _, other := range []string{" " + s, s + "\n", "\u200b" + s} {
			if got := Identity(other); len(s) < MaxString/20 && got != once && !strings.HasPrefix(s, "\u0301") {
				t.Errorf("%q is %q, %q is %q", s, once, other, got)
			}
		}
	})
}
