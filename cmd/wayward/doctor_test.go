package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/wayward-sec/wayward/doctor"
)

func TestDoctorPrintsForPeopleAndPrograms(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(broker.Close)
	conf := writeFile(t, "c.yaml", "brokers: ["+broker.ListenAddrs()[0]+"]\nlisten: \"off\"\n")
	code, out, _ := wayward(t, "doctor", "-c", conf)
	if code != 1 ||
		!strings.Contains(out, "problem  topics       topic agent.events is missing: run wayward topics apply") ||
		!strings.Contains(out, "fine     versions     1 brokers") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if code, _, errs := wayward(t, "doctor", "--output", "xml"); code != 2 ||
		!strings.Contains(errs, "use text or json") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, out, _ := wayward(t, "doctor", "-c", filepath.Join(t.TempDir(), "none.yaml")); code != 1 ||
		!strings.Contains(out, "no such file") {
		t.Errorf("exit %d\n%s", code, out)
	}
	idle := writeFile(t, "idle.yaml", "embedded: {port: 0}\nstate: s\nlisten: 127.0.0.1:0\n")
	code, out, _ = wayward(t, "doctor", "-c", idle, "--output", "json")
	var report struct {
		Version string
		Checks  []doctor.Result
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || report.Version == "" ||
		len(report.Checks) < 8 || report.Checks[0].Check != "config" || report.Checks[0].Status != doctor.Fine {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
}
