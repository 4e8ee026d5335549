package rarity

import (
	"testing"

	"github.com/wayward-sec/wayward/detectors/detectorstest"

	"github.com/wayward-sec/wayward/event"
)

func TestWhatThePersonaDeclaresIsNotRare(t *testing.T) {
	s := detectorstest.Taught(t,
		`{"v":1,"personas":[{"name":"refunds","default":"deny","tools":{"allow":["refund","get_order","wire*"]},"destinations":{"allow":["*","new.example"]}}]}`,
		20, 30)
	s.Observe(detectorstest.Pays(detectorstest.Work(31, 1, "declared"), "new.example"))
	e := detectorstest.Work(31, 1, "tool")
	e.Tool = event.Tool{Name: "wire_back", Class: event.Read}
	s.Observe(e)
	if got := s.Rare(); len(got) > 0 {
		t.Fatal(got[0].Why)
	}
	s.Observe(detectorstest.Pays(detectorstest.Work(31, 1, "not named"), "other.example"))
	if got := s.Rare(); len(got) != 1 {
		t.Error("a domain that only * names is taken for declared")
	}
}

func TestRegisteredToolIsNotRare(t *testing.T) {
	register := func(s *detectorstest.School, trusted event.Tri) {
		e := detectorstest.Work(30, 1, "audit")
		e.Kind, e.Tool = event.Audit, event.Tool{}
		e.Audit, e.Source.Trusted = event.AuditOf{Action: "tool_registered", Target: "shop|ship"}, trusted
		s.Observe(e)
	}
	for trusted, want := range map[event.Tri]int{event.Yes: 0, event.No: 1} {
		s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
		register(s, trusted)
		e := detectorstest.Work(31, 1, "e")
		e.Tool = event.Tool{Name: "ship", Server: "shop", Class: event.Write}
		s.Observe(e)
		if got := s.Rare(); len(got) != want {
			t.Errorf("registered by a source that is trusted %v: %d findings", trusted, len(got))
		}
	}
}

// What somebody announced surprises nobody: at once the agent under whose name the announcement
// stands, from the next day on all agents of the tenant.
func TestWhatIsAnnouncedIsNotRare(t *testing.T) {
	ship := func(e event.Event) event.Event {
		e.Tool = event.Tool{Name: "ship", Server: "shop", Class: event.Write}
		return e
	}
	redefined := func(e event.Event) event.Event {
		e.Tool.DefinitionHash = "sha256:aaaaaaaaaaaaaaaa"
		return e
	}
	announce := func(s *detectorstest.School, persona string, day int64, trusted event.Tri, a event.AuditOf) {
		e := detectorstest.Work(day, 1, "audit")
		e.Kind, e.Tool, e.Persona = event.Audit, event.Tool{}, persona
		if persona != "refunds" {
			e.Agent.ID = "admin"
		}
		e.Audit, e.Source.Trusted = a, trusted
		s.Observe(e)
	}
	registered := event.AuditOf{Action: "tool_registered", Target: "shop|ship"}
	changed := event.AuditOf{Action: "config_change", Target: "shop|get_order",
		Before: []byte(`{"definition_hash":"sha256:0123456789abcdef"}`),
		After:  []byte(`{"tool":{"definition_hash":"sha256:aaaaaaaaaaaaaaaa","hash_version":"1"}}`)}
	other := event.AuditOf{Action: "config_change", Target: "shop|get_order",
		After: []byte(`{"definition_hash":"sha256:bbbb","hash_version":"1"}`)}
	for name, c := range map[string]struct {
		by      string
		audit   event.AuditOf
		trusted event.Tri
		use     func(event.Event) event.Event
		after   int64 // days
		want    int
	}{
		"a tool, on the same day":            {"refunds", registered, event.Unknown, ship, 0, 0},
		"a tool, by a source to be spoofed":  {"refunds", registered, event.No, ship, 0, 1},
		"a tool, by an admin the day before": {"admins", registered, event.Yes, ship, 1, 0},
		"a definition, on the same day":      {"refunds", changed, event.Yes, redefined, 0, 0},
		"a definition, by a source likewise": {"refunds", changed, event.No, redefined, 0, 1},
		"another definition than comes":      {"refunds", other, event.Yes, redefined, 0, 1},
		"no definition is said": {"refunds",
			event.AuditOf{Action: "config_change", Target: "shop|get_order", After: []byte(`[1]`)}, event.Yes,
			redefined, 0, 1},
		"a definition, days later": {"refunds", changed, event.Yes, redefined, 5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := detectorstest.Taught(t, detectorstest.NoPolicy, 20, 30)
			s.Wide = true
			announce(s, c.by, 30, c.trusted, c.audit)
			e := c.use(detectorstest.Work(30+c.after, 1, "e"))
			e.Time += 60_000
			s.Observe(e)
			if got := s.Rare(); len(got) != c.want {
				t.Errorf("%d findings, want %d: %+v", len(got), c.want, got)
			}
		})
	}
}
