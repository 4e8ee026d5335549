package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/suggest"
)

// recorded writes a stream of tool calls, each given as its part of the event.
func recorded(t *testing.T, calls ...string) string {
	t.Helper()
	var b bytes.Buffer
	for i, c := range calls {
		fmt.Fprintf(&b, `{"time":%d,"kind":"tool_call","tenant":"acme","agent":{"id":"a"},%s}`+"\n",
			1_767_600_000_000+i, c)
	}
	name := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

var someCalls = []string{
	`"tool":{"name":"get_customer","server":"crm"},"args":{"customer_id":"c-17"}`,
	`"tool":{"name":"get_customer","server":"crm"},"args":{"customer_id":"c-18"}`,
	`"tool":{"name":"get_customer","server":"crm"},"phase":"attempt","args":{"customer_id":"c-18"}`,
	`"tool":{"name":"send_money","class":"write"},"args":{"to":"DE89370400440532013000","amount":"5.00","currency":"EUR"}`,
	`"tool":{"name":"frobnicate\n\u001b[31m"},"args":{"x":"secret value"}`,
}

func TestToolsClassifySaysWhatIsKnown(t *testing.T) {
	file := recorded(t, someCalls...)
	code, out, errs := wayward(t, "tools", "classify", file)
	if code != 0 || errs != "" {
		t.Fatal(code, errs)
	}
	want := `TOOL SERVER CLASS CALLS SHARE RESOURCE SUBJECT DESTINATION AMOUNT CLASS KNOWN FROM
get_customer crm read 2 50.0 % customer customer_id customer_id verb "get" in the name
frobnicate\n\x1b[31m ? 1 25.0 %
send_money write 1 25.0 % money iban to EUR amount declared

3 tools, 4 calls; the class of 75.0 % of the calls is known
declared write, but the catalogue says pay: send_money, 1 calls
1 tools are not known; name them in tools/*.yaml of the policies (wayward tools draft writes one to edit):
frobnicate\n\x1b[31m, 1 calls
`
	var lines []string // the width of columns is not what matters
	for line := range strings.Lines(out) {
		lines = append(lines, strings.Join(strings.Fields(line), " ")+"\n")
	}
	if diff := cmp.Diff(want, strings.Join(lines, "")); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(out, "\x1b") || strings.Contains(out, "c-17") || strings.Contains(out, "secret value") {
		t.Error("names are not made safe, or values of arguments are shown")
	}
}

func TestToolsClassifyInJSON(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tools"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tools", "t.yaml"),
		[]byte("tools:\n- {names: [\"frob*\"], class: exec}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := wayward(t, "tools", "classify", recorded(t, someCalls...), "--output", "json",
		"--ignore-declared", "--policies", dir)
	if code != 0 {
		t.Fatal(code, errs)
	}
	var got []toolLine
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	var brief []string
	for _, l := range got {
		brief = append(brief, fmt.Sprintf("%q %s class=%s declared=%s inferred=%s calls=%d %v %d", l.Name, l.Server,
			l.Class, l.Declared, l.Inferred, l.Calls, l.Classes, len(l.Evidence)))
	}
	want := []string{
		`"get_customer" crm class=read declared= inferred=read calls=2 map[read:2] 5`,
		`"frobnicate\n\x1b[31m"  class=exec declared= inferred=exec calls=1 map[exec:1] 1`,
		`"send_money"  class=pay declared=write inferred=pay calls=1 map[pay:1] 5`,
	}
	if diff := cmp.Diff(want, brief); diff != "" {
		t.Error(diff)
	}
	if v := got[1].Evidence[0]; v.From != filepath.Join(dir, "tools", "t.yaml")+":2:3" {
		t.Errorf("evidence without its place: %+v", v)
	}
	if _, again, _ := wayward(t, "tools", "classify", recorded(t, someCalls...), "--output", "json",
		"--ignore-declared", "--policies", dir); again != out {
		t.Error("another order")
	}
}

func TestWhatIsSaidOfToolsOutlivesTheirEvents(t *testing.T) {
	var calls []string
	for i := range 30_000 { // several chunks, each read into the memory of one before
		kind := "order"
		if i%2 == 1 {
			kind = "parcel"
		}
		calls = append(calls,
			fmt.Sprintf(`"resource":{"type":%q,"id":"%d"},"tool":{"name":"look_%s"},"attrs":{"filler":%q}`, kind, i,
				kind, strings.Repeat(kind, i%7)))
	}
	_, out, _ := wayward(t, "tools", "classify", recorded(t, calls...), "--output", "json")
	var got []toolLine
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	for _, l := range got {
		if len(l.Evidence) != 1 || l.Evidence[0].Value != strings.TrimPrefix(l.Name, "look_") ||
			l.Evidence[0].Calls != 15_000 {
			t.Errorf("%s: %+v", l.Name, l.Evidence)
		}
	}
}

func TestToolsWithoutACallSaySo(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(empty,
		[]byte(`{"time":1767600000000,"kind":"session","phase":"start","tenant":"t","agent":{"id":"a"}}`+"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := wayward(t, "tools", "classify", empty, "--output", "json")
	if code != 3 || out != "[]\n" || !strings.Contains(errs, "there is no tool call") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code, out, _ := wayward(t, "tools", "draft", empty); code != 3 || out != "" {
		t.Errorf("%d %q", code, out)
	}
	if code, _, errs := wayward(t, "tools", "classify", empty, "--output", "xml"); code != 2 ||
		!strings.Contains(errs, "use table or json") {
		t.Errorf("%d %q", code, errs)
	}
	if code, _, _ := wayward(t, "tools", "classify", empty+"x"); code != 2 {
		t.Errorf("a file that is not there: %d", code)
	}
}

func TestADraftLoadsAndSaysTheSame(t *testing.T) {
	calls := append(slices.Clone(someCalls),
		`"tool":{"name":"mail.send","server":"mail"},"args":{"recipients":[{"address":"a@x.com"}],"weird \" key":{"id":1},"a.b":{"order_id":2}}`,
		`"tool":{"name":"query_database"},"args":{"query":"delete from t"}`,
		`"tool":{"name":"* # [x]: get","server":"'"},"args":{}`,
		`"tool":{"name":"manage"},"args":{"action":"remove","user_id":"u"}`)
	file := recorded(t, calls...)
	dir := t.TempDir()
	draft := filepath.Join(dir, "tools", "seen.yaml")
	if err := os.Mkdir(filepath.Dir(draft), 0o755); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := wayward(t, "tools", "draft", file, "-o", draft); code != 0 {
		t.Fatal(errs)
	}
	text, err := os.ReadFile(draft)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("secret value")) || bytes.Contains(text, []byte("c-17")) ||
		bytes.Contains(text, []byte("\x1b")) {
		t.Errorf("values of arguments are written:\n%s", text)
	}
	set, errs := policy.Load(dir)
	if len(errs) > 0 {
		t.Fatalf("%v\n%s", errs, text)
	}
	before, after := suggest.NewToolCache(policy.Default().Catalogue()), suggest.NewToolCache(set.Catalogue())
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	entries := strings.Count(string(text), "\n  - names:")
	if entries != 6 {
		t.Errorf("%d entries:\n%s", entries, text)
	}
	var decoder event.Decoder
	for line := range bytes.Lines(b) {
		var x, y event.Event
		if err := errors.Join(decoder.Decode(line, &x), decoder.Decode(line, &y)); err != nil {
			t.Fatal(err)
		}
		before.Of(&x).Complete(&x, &before.Scratch)
		after.Of(&y).Complete(&y, &after.Scratch)
		if diff := cmp.Diff(x, y); diff != "" {
			t.Errorf("%s: %s\n%s", line, diff, text)
		}
	}
	if code, _, errs := wayward(t, "tools", "draft", file, "-o", draft); code != 2 ||
		!strings.Contains(errs, "name a new file") {
		t.Errorf("an edited file is written over: %d %s", code, errs)
	}
}

// TestClassesOfRecordedCalls measures the catalogue on data that is not in the repository:
//
//	WAYWARD_DATA=/path/to/data go test ./cmd/wayward -run ClassesOfRecordedCalls -v
//
// For tau the class that each event declares is taken away and asked for; for the others a class
// must be found at all.
func TestClassesOfRecordedCalls(t *testing.T) {
	dir := os.Getenv("WAYWARD_DATA")
	if dir == "" {
		t.Skip("WAYWARD_DATA is not set")
	}
	for _, data := range []struct {
		name  string
		least float64
	}{{"tau.dev", 0.90}, {"agentdyn.dev", 0.95}, {"agentdojo.dev", 0.95}} {
		t.Run(data.name, func(t *testing.T) {
			f, err := os.Open(filepath.Join(dir, data.name+".sessions.jsonl.xz"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := xz.NewReader(bufio.NewReader(f))
			if err != nil {
				t.Fatal(err)
			}
			cat := suggest.NewToolCache(policy.Default().Catalogue())
			var decoder event.Decoder
			calls, right := 0, 0
			from, wrong := map[string]int{}, map[string]int{}
			sessions := json.NewDecoder(z)
			for {
				var s struct {
					Events []json.RawMessage `json:"events"`
				}
				if err := sessions.Decode(&s); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				for _, b := range s.Events {
					var e event.Event
					if err := decoder.Decode(b, &e); err != nil {
						t.Fatal(err)
					}
					if e.Kind != event.ToolCall || e.Tool.Name == "think" || e.Tool.Name == "calculate" {
						continue
					}
					recorded := e.Tool.Class
					e.Tool.Class = event.NoClass
					tool := cat.Of(&e)
					for _, v := range tool.Explain(&e) {
						if v.Field == "class" {
							kind, _, _ := strings.Cut(v.From, " ")
							from[kind]++
						}
					}
					tool.Complete(&e, &cat.Scratch)
					calls++
					cancelled := strings.Contains(strings.ToLower(e.Tool.Name), "cancel") &&
						(e.Tool.Class == event.Write || e.Tool.Class == event.Delete)
					if e.Tool.Class != event.NoClass && (recorded == event.NoClass || recorded == e.Tool.Class ||
						cancelled) {
						right++
					} else {
						wrong[fmt.Sprintf("%s: recorded %q, found %q", e.Tool.Name, recorded, e.Tool.Class)]++
					}
				}
				decoder.Reset()
				cat.Scratch.Reset()
			}
			rate := float64(right) / float64(calls)
			t.Logf("%d of %d calls, %.2f %%; known from %v", right, calls, 100*rate, from)
			var rest []string
			for what, n := range wrong {
				rest = append(rest, fmt.Sprintf("%6d %s", n, what))
			}
			slices.Sort(rest)
			for _, line := range slices.Backward(rest) {
				t.Log(line)
			}
			if rate < data.least {
				t.Errorf("%.2f %% is below %.0f %%", 100*rate, 100*data.least)
			}
		})
	}
}
