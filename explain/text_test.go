package explain

import (
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestEachOutcomeIsExplained(t *testing.T) {
	for _, c := range []struct {
		f    event.Finding
		want string
	}{
		{event.Finding{Alert: true}, "certain"},
		{event.Finding{}, "nobody is called"},
		{event.Finding{Alert: true, Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3}},
			"1 in 1,000,000 is rarer than the budget's 1 in 1,000"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3, State: "learning"}}, "still learning"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3, State: "suspect"}},
			"approves it or rolls it back"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-2, Alpha: 1e-3, State: "active"}},
			"not rarer than the budget's 1 in 1,000"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-2, State: "active"}}, "nothing for"},
		{event.Finding{Anomaly: &event.Anomaly{P: 1e-6, Alpha: 1e-3, State: "active"}}, "of this kind alone"},
	} {
		if got := Outcome(&c.f); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s, want %s", c.f, got, c.want)
		}
	}
}
