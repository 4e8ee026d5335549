package event

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The texts in docs/commands.md are what implementers check theirs against.
func TestDocumentedSignatureIsRight(t *testing.T) {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	key := ed25519.NewKeyFromSeed(seed)
	f := Feedback{ID: "b5c1", Time: 1795185600000, Tenant: "acme", Type: RestoreFeedback,
		Scope: Scope{AgentScope, "agt-7731", "acme", ""}, By: "alice", Reason: "looked at it: a new campaign"}
	f.Sign(key)
	page, err := os.ReadFile("../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"what is signed": string(f.signed()), "the record": string(f.Append(nil)),
		"the public key": base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey)),
	} {
		if !bytes.Contains(page, []byte(text)) {
			t.Errorf("docs/commands.md lacks %s:\n%s", what, text)
		}
	}
}

// An import carries a model, so it may be larger than all else that people write.
func TestAnImportMayBeLargeAndNothingElse(t *testing.T) {
	f := Feedback{ID: "b1", Time: 1, Tenant: "acme", Type: BaselineFeedback,
		Scope: Scope{Type: PersonaScope, ID: "support", Tenant: "acme"}, By: "alice",
		Baseline: &BaselineOrder{Op: "import", Hash: "0123456789abcdef", Model: make([]byte, MaxImport)}}
	got, err := ParseFeedback(f.Append(nil))
	if diff := cmp.Diff(f, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%.300s", err, diff)
	}
	for want, change := range map[string]func(b *BaselineOrder){
		"at most 384 KiB":                  func(b *BaselineOrder) { b.Model = make([]byte, MaxImport+1) },
		"at most 64 KiB":                   func(b *BaselineOrder) { b.Op = "freeze" },
		"baseline.model belongs to import": func(b *BaselineOrder) { b.Model = nil },
		"baseline.hash is missing":         func(b *BaselineOrder) { b.Hash = "" },
		"baseline.day belongs to rollback": func(b *BaselineOrder) { b.Day = "2026-11-20" },
	} {
		g, b := f, *f.Baseline
		change(&b)
		g.Baseline = &b
		if _, err := ParseFeedback(g.Append(nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestOnlyTheKeyThatSignedFits(t *testing.T) {
	r := made{rand.New(rand.NewPCG(7, 8))}
	seed := func(b byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
	}
	alice, bob := seed(1), seed(2)
	public := alice.Public().(ed25519.PublicKey)
	f := theFeedback()
	if f.Verify(public) {
		t.Error("unsigned feedback passes")
	}
	f.Sign(alice)
	if !f.Verify(public) {
		t.Error("signed feedback does not pass")
	}
	for name, key := range map[string]ed25519.PublicKey{"another's": bob.Public().(ed25519.PublicKey),
		"a short": public[:31], "no": nil, "a long": append(bytes.Clone(public), 0)} {
		if f.Verify(key) {
			t.Errorf("it passes under %s key", name)
		}
	}
	for name, sig := range map[string][]byte{"none": nil, "short": f.Signature[:63],
		"long": append(bytes.Clone(f.Signature), 0), "zero": make([]byte, 64),
		"a bare one": ed25519.Sign(alice, f.Append(nil))} {
		g := f
		if g.Signature = sig; g.Verify(public) {
			t.Errorf("it passes with a signature that is %s", name)
		}
	}
	for range 300 {
		f := r.feedback()
		f.Sign(alice)
		for bit := range 8 * len(f.Signature) {
			if bit%37 == 0 { // some
				g := f
				g.Signature = bytes.Clone(f.Signature)
				if g.Signature[bit/8] ^= 1 << (bit % 8); g.Verify(public) {
					t.Fatalf("bit %d of the signature does not count", bit)
				}
			}
		}
	}
}

func TestEveryFieldIsSigned(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	f := theFeedback()
	f.Verdict = "unclear" // not sensible, but all fields are there
	f.Baseline = &BaselineOrder{"rollback", "a1b2c3d4", "2026-11-20", "0123456789abcdef", "item", []byte("model")}
	f.Sign(key)
	changed := 0
	var change func(path string, v reflect.Value)
	check := func(path string) {
		if changed++; f.Verify(public) {
			t.Errorf("%s may be changed", path)
		}
	}
	change = func(path string, v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		defer v.Set(old)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				change(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Pointer:
			v.SetZero()
			check(path)
			v.Set(old)
			change(path, v.Elem())
		case reflect.String:
			for _, s := range []string{v.String() + "x", v.String()[min(1, v.Len()):], strings.ToUpper(v.String()),
				""} {
				if v.SetString(s); s != old.String() {
					check(path)
				}
			}
		case reflect.Int64:
			for _, d := range []int64{1, -1, 1000} {
				v.SetInt(old.Int() + d)
				check(path)
			}
		case reflect.Uint8:
			v.SetUint(old.Uint() - 1)
			check(path)
		case reflect.Slice:
			if path == ".Signature" {
				return
			}
			v.Set(old.Slice(0, 1))
			check(path)
			v.Set(reflect.AppendSlice(old, old))
			check(path)
			v.SetZero()
			check(path)
			for i := range old.Len() {
				v.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, 0), old)) // a copy
				v.Index(i).SetUint(old.Index(i).Uint() ^ 1)
				check(path)
			}
		default:
			t.Fatalf("%s: what to do with a %s?", path, v.Kind())
		}
	}
	change("", reflect.ValueOf(&f).Elem())
	if changed < 40 || !f.Verify(public) {
		t.Errorf("%d changes tried, and then it passes: %t", changed, f.Verify(public))
	}
}

// What names a user or a persona in another spelling is about the same, and still what was signed.
func TestASignedSpellingIsTheSameScope(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	for _, typ := range []ScopeType{UserScope, PersonaScope} {
		f := Feedback{ID: "b5c1", Time: 1795185600000, Tenant: "acme", Type: RestoreFeedback,
			Scope: Scope{typ, " Ana@Acme.example", "acme", ""}, By: "alice"}
		f.Sign(key)
		got, err := ParseFeedback(f.Append(nil))
		if err != nil || got.Scope.ID != "ana@acme.example" || !got.Verify(public) {
			t.Errorf("%+v, %v, verified %t", got, err, got.Verify(public))
		}
		if again, err := ParseFeedback(got.Append(nil)); err != nil || !again.Verify(public) {
			t.Errorf("passed on it is %+v, %v", again, err)
		}
		got.Scope.ID, got.SignedID = "bob", ""
		if got.Verify(public) {
			t.Error("the name may be changed")
		}
	}
	a := Ack{CommandID: "c2", Tenant: "acme", Scope: Scope{UserScope, "ANA", "acme", ""}, Epoch: 2, Time: 1795185185001,
		Status: Applied, By: "gw-1"}
	if got, err := ParseAck(a.Append(nil)); err != nil || got.Scope.ID != "ana" {
		t.Errorf("%+v, %v", got, err)
	}
	if s := (Scope{AgentScope, "Bot", "acme", ""}).Identified(); s.ID != "Bot" {
		t.Error("an agent is compared as sent")
	}
}

func TestTheFormOfASignedRecordDoesNotCount(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	f := theFeedback()
	f.Sign(key)
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(f.Append(nil), &fields); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 10))
	for range 50 {
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		var b strings.Builder
		for i, name := range names {
			fmt.Fprintf(&b, "%s\n\t%q : %s", map[bool]string{true: "{", false: ","}[i == 0], name, fields[name])
		}
		text := strings.ReplaceAll(b.String()+`, "new": [1]}`, "<until>", `\u003cuntil\u003e`)
		got, err := ParseFeedback([]byte(text))
		if err != nil || !got.Verify(key.Public().(ed25519.PublicKey)) {
			t.Fatalf("%v in %s", err, text)
		}
	}
	// What the record leaves out because the scope says it, or the other way round, is the same
	// record.
	short := strings.Replace(string(f.Append(nil)), `"id":"s-1","tenant":"acme"`, `"id":"s-1"`, 1)
	if got, err := ParseFeedback([]byte(short)); err != nil || !got.Verify(key.Public().(ed25519.PublicKey)) {
		t.Errorf("%v in %s", err, short)
	}
}

func FuzzParseFeedback(f *testing.F) {
	f.Add([]byte(exampleFeedback + "}"))
	f.Add([]byte(exampleFeedback + `,"signature":"` + strings.Repeat("AAAA", 21) + `AA=="}`))
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := ParseFeedback(b)
		if err != nil {
			return
		}
		if x.Verify(key.Public().(ed25519.PublicKey)) {
			t.Fatal("signed by nobody, and it passes")
		}
		x.Sign(key)
		again, err := ParseFeedback(x.Append(nil))
		if diff := cmp.Diff(x, again); err != nil || diff != "" || !again.Verify(key.Public().(ed25519.PublicKey)) {
			t.Fatalf("%v (-first +second):\n%s", err, diff)
		}
	})
}
