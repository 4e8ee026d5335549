package policy

import (
	"strings"
	"testing"
	"time"
)

func TestTenantsHaveAZoneAndAShareOfTheState(t *testing.T) {
	s := loaded(t,
		map[string]string{"tenants/a.yaml": "tenants: [{name: globex, pages: 500}, {name: acme, zone: Europe/Berlin}]",
			"tenants/b.yaml": "tenants: [{name: initech, zone: UTC}]"})
	for name, want := range map[string]string{"acme": "Europe/Berlin", "globex": "UTC", "initech": "UTC",
		"nobody": "UTC", "": "UTC"} {
		if got := s.Zone(name).String(); got != want {
			t.Errorf("%q is in %s, want %s", name, got, want)
		}
	}
	if acme, globex := s.Tenant("acme"), s.Tenant("globex"); acme.Pages != 0 || globex.Pages != 500 ||
		globex.Zone != nil || s.Tenant("nobody") != nil || s.Tenant("") != nil {
		t.Errorf("acme %+v, globex %+v", acme, globex)
	}
	// Summer and winter: a day of a zone has 23, 24 or 25 hours.
	for date, hours := range map[string]time.Duration{"2026-03-29": 23, "2026-10-25": 25, "2026-07-01": 24} {
		day, err := time.ParseInLocation(time.DateOnly, date, s.Zone("acme"))
		if err != nil {
			t.Fatal(err)
		}
		if got := day.AddDate(0, 0, 1).Sub(day); got != hours*time.Hour {
			t.Errorf("%s has %v", date, got)
		}
	}
	again, err := Parse(s.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if again.Zone("acme").String() != "Europe/Berlin" || again.Tenant("globex").Pages != 500 ||
		again.Hash() != s.Hash() {
		t.Errorf("over the wire: %s", again.Bytes())
	}
}

func TestTheSameTenantsInAnotherOrderAreTheSameSet(t *testing.T) {
	hash := func(files map[string]string) string { return loaded(t, files).Hash() }
	one := hash(map[string]string{"tenants/a.yaml": "tenants: [{name: b, zone: UTC}, {name: a, pages: 100}]"})
	if hash(map[string]string{"tenants/z.yaml": "tenants: [{name: a, pages: 100}]",
		"tenants/y.yaml": "tenants: [{zone: UTC, name: b}] # comment"}) != one {
		t.Error("they are not")
	}
	if hash(
		map[string]string{"tenants/a.yaml": "tenants: [{name: b, zone: Asia/Tokyo}, {name: a, pages: 100}]"}) == one {
		t.Error("and so are others")
	}
}

func TestATenantIsDescribedOnce(t *testing.T) {
	dir := folder(t, map[string]string{"tenants/a.yaml": "tenants:\n- {name: acme, zone: UTC}\n",
		"tenants/b.yaml": "tenants:\n- {name: acme, pages: 100}\n"})
	_, errs := Load(dir)
	if got, want := texts(errs,
		dir), "tenants/b.yaml:2:10: tenant \"acme\" is already at tenants/a.yaml:2:3; remove one\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestATenantMayHaveThePersonasNameAndTheLimits(t *testing.T) {
	s := loaded(t, map[string]string{"tenants/a.yaml": "tenants: [{name: x}]",
		"personas/a.yaml": "personas: [{name: x}, {name: x, tenant: tenant}]",
		"limits/a.yaml":   "limits: [{id: x, scope: session, measure: count, max: 1}]"})
	if s.Tenant("x") == nil || s.Persona("", "x") == nil || len(s.Limits()) != 1 {
		t.Errorf("%s", s.Bytes())
	}
}

func FuzzTenantsOfASet(f *testing.F) {
	f.Add(`{"name":"acme","zone":"Europe/Berlin","pages":"500"}`)
	f.Add(`{"name":"a","zone":"../../etc/passwd"}`)
	f.Fuzz(func(t *testing.T, def string) {
		s, err := Parse([]byte(`{"v":1,"personas":[],"limits":[],"tenants":[` + def + `]}`))
		if err != nil {
			return
		}
		again, err := Parse(s.Bytes())
		if err != nil || again.Hash() != s.Hash() {
			t.Fatalf("%v: %s", err, s.Bytes())
		}
		for _, x := range s.tenants {
			if x.Name == "" || len(x.Name) > 64 || strings.ContainsAny(x.Name, "|% ") {
				t.Fatalf("a tenant is called %q", x.Name)
			}
		}
	})
}
