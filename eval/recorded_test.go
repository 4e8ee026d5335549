package eval

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/fleet"
)

func TestRecordedSessionsBecomeStreams(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, packed bool) {
		var b bytes.Buffer
		if packed {
			z, err := xz.NewWriter(&b)
			if err != nil {
				t.Fatal(err)
			}
			z.Write([]byte(text))
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			b.WriteString(text)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("lab.truth.jsonl", `{"session":"s1","label":"benign","agent":"a","p2":"train"}
{"session":"s2","label":"attack","agent":"b","p2":"test"}
{"session":"s3","label":"unclear","agent":"b","p2":"test"}
{"session":"s4","label":"benign","agent":"b","p2":"-"}
{"session":"s5","label":"benign","agent":"b","p2":"test"}
`, false)
	session := func(id, agent string) string {
		e := `","time":%,"kind":"tool_call","tenant":"acme","session":"` + id + `","agent":{"id":"` + agent +
			`"},"tool":{"name":"read"},"result":{"content":"a < b"}}`
		return `{"session":"` + id + `","agent":"` + agent + `","events":[{"id":"` + id + `-0` +
			string(bytes.ReplaceAll([]byte(e), []byte("%"), []byte("0"))) + `,{"id":"` + id + `-1` +
			string(bytes.ReplaceAll([]byte(e), []byte("%"), []byte("1500"))) + "]}\n"
	}
	write("lab.sessions.jsonl.xz", session("s1", "a")+session("s2", "b")+session("s3", "b")+session("s4", "b")+
		session("s5", "b"), true)
	r, err := OpenRecorded(dir, "lab")
	if err != nil {
		t.Fatal(err)
	}
	if len(r) != 3 {
		t.Fatalf("%d sessions", len(r))
	}
	lines, n := r.Lines(14, 1, func(s *RecordedSession) bool { return s.Part == "test" })
	if n != 2 {
		t.Errorf("%d sessions of the test", n)
	}
	var d event.Decoder
	last, ids := int64(fleet.Start+14*dayMS), map[string]int64{}
	for line := range bytes.Lines(lines) {
		var e event.Event
		if err := d.Decode(bytes.TrimSpace(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Time < last || e.Time > fleet.Start+28*dayMS {
			t.Errorf("event %s at %d", e.ID, e.Time)
		}
		last = e.Time
		ids[string([]byte(e.ID))] = e.Time
	}
	if len(ids) != 4 || ids["s2-1"]-ids["s2-0"] != 1500 || ids["s5-1"]-ids["s5-0"] != 1500 {
		t.Errorf("%v", ids)
	}
	again, _ := r.Lines(14, 1, func(s *RecordedSession) bool { return s.Part == "test" })
	if !bytes.Equal(lines, again) {
		t.Error("the same again is another stream")
	}

	write("logs.xz", `{"label":"benign","tools":["E1","E2"]}
{"label":"unsafe","tools":["E3"]}
`, true)
	traces, err := OpenTraces(filepath.Join(dir, "logs.xz"))
	if err != nil || len(traces) != 2 || traces[1].Label != "unsafe" || len(traces[0].Keys) != 2 {
		t.Errorf("%v, %v", traces, err)
	}
	if _, err := OpenRecorded(dir, "none"); err == nil {
		t.Error("what does not exist was read")
	}
}
