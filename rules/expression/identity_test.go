package expression

import (
	"fmt"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

// A rule may write a user, an owner, a credential, a persona or an approver in any spelling.
func TestARuleNamesPeopleInAnySpelling(t *testing.T) {
	decoded := func(user string) *event.Event {
		var d event.Decoder
		e := &event.Event{}
		p := fmt.Appendf(nil,
			`{"time":1767225600000,"kind":"message","tenant":"acme","agent":{"id":"a","owner":%[1]q,"credential":%[1]q},"user":%[1]q,"persona":%[1]q,"resource":{"owner":%[1]q},"approval":{"by":%[1]q,"requested_by":%[1]q},"subject":"ANA ","intent":"Ana"}`,
			user)
		if err := d.Decode(p, e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	list := []string{"Bob", "Ana"}
	long := []string{"Ana"}
	for i := range 600 {
		long = append(long, fmt.Sprint("Name", i))
	}
	scope := &Scope{Event: true, Names: map[string]Name{"lists.people": {Type: Texts, List: &list},
		"lists.long": {Type: Texts, List: &long}, "params.who": {Type: Text, Const: &Value{S: "ANA"}}}}
	for src, want := range map[string]bool{
		`user == "Ana"`:                          true,
		`"ANA" == user`:                          true,
		`user != "Ana"`:                          false,
		`user in ["bob", " Ana"]`:                true,
		`user in lists.people`:                   true,
		`user in lists.long`:                     true,
		`not (user in lists.people)`:             false,
		`user == params.who`:                     true,
		`user == subject`:                        true,
		`subject == user`:                        true,
		`identity(subject) == identity("Ana")`:   true,
		`subject != agent.owner`:                 false,
		`user == agent.owner`:                    true,
		`user startsWith "An"`:                   true,
		`user endsWith "NA"`:                     true,
		`user contains "N"`:                      true,
		`user matches "^A.A$"`:                   true,
		`glob(user, "A*")`:                       true,
		`distance("ANA", user) == 0`:             true,
		`persona == "Ana"`:                       true,
		`agent.credential == "ANA"`:              true,
		`approval.by == "ANA"`:                   true,
		`approval.requested_by in ["Ana"]`:       true,
		`resource.owner == "aNA"`:                true,
		`user == "Anna"`:                         false,
		`user in ["Anna", "Bob"]`:                false,
		`intent == "ana"`:                        false,
		`agent.id == "A"`:                        false,
		`tenant == "Acme"`:                       false,
		`user == "" or user startsWith "ana "`:   false,
		`len(user) == 3 and lower(user) == user`: true,
	} {
		for _, user := range []string{"Ana", "ana ", "ANA"} {
			x, err := Compile(src, scope, Bool)
			if err != nil {
				t.Errorf("%s: %v", src, err)
				break
			}
			e := decoded(user)
			c := &Context{E: e, Persona: e.Persona}
			got, err := x.IsTrue(c)
			if err != nil || got != want {
				t.Errorf("%s of %q: %t, %v, want %t", src, user, got, err, want)
			}
			if x.VM != "" {
				t.Errorf("%s runs on expr's machine: %s", src, x.VM)
			}
			x.isTrue = nil // and as expr's machine has it
			if vm, err := x.IsTrue(c); err != nil || vm != want {
				t.Errorf("%s of %q on expr's machine: %t, %v, want %t", src, user, vm, err, want)
			}
		}
	}
}
