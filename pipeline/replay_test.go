package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/pipeline/history"
	"github.com/wayward-sec/wayward/policy"
)

// replayCommands is what a replay of a file would have asked for, one line each.
func replayCommands(t testing.TB, name string, set *policy.Set, workers, buffer int, flush bool) (out []string,
	sum Summary) {
	t.Helper()
	src, err := history.OpenLines(name)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if buffer > 0 {
		src.Buffer = buffer
	}
	r := Replay{Policy: set, Workers: workers, Flush: flush, Deliver: func(*event.Finding) error { return nil },
		Command: func(c *event.Command) error {
			if c.IssuedAt != 0 || c.NotAfter != 0 {
				t.Errorf("a replay has no wall clock: %+v", c)
			}
			out = append(out, fmt.Sprintf("%6d %s %s %d %s", c.Time-day0, c.Scope.Key(), c.Action, c.Epoch,
				c.Issuer.Type))
			return nil
		}}
	if sum, err = r.Run(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	return out, sum
}

func TestNeitherWorkersNorChunksShowInTheCommandsOfAReplay(t *testing.T) {
	for name, c := range map[string]struct {
		behind, agents int
		step           int64
	}{"a busy stream": {8000, 12, 300}, "disorder beyond L": {60_000, 12, 1200}, "a quiet stream": {0, 6, 30_000},
		"many agents": {3000, 300, 20}} {
		t.Run(name, func(t *testing.T) {
			g := stream(31, c.behind, c.agents)
			g.roles, g.step = roles, c.step
			path := write(t, "events.jsonl", fileOf(g, 4000))
			set := setOf(t, armed(true, ""))
			for _, flush := range []bool{false, true} {
				var want []string
				var sum Summary
				for i, x := range []struct{ workers, buffer int }{{1, 0}, {2, 0}, {8, 0}, {1, 500}, {2, 5000},
					{8, 40_000}} {
					got, s := replayCommands(t, path, set, x.workers, x.buffer, flush)
					if i == 0 {
						if want, sum = got, s; len(want) < 60 {
							t.Fatalf("only %d commands: the test proves nothing", len(want))
						}
						epochs := map[string]int{}
						for _, line := range want {
							f := strings.Fields(line)
							if epochs[f[1]]++; f[3] != fmt.Sprint(epochs[f[1]]) {
								t.Fatalf("%s: epoch %s, want %d", f[1], f[3], epochs[f[1]])
							}
						}
						continue
					}
					if diff := gocmp.Diff(want, got); diff != "" {
						t.Fatalf("flush %v, %d workers, chunks of %d (-one +another):\n%.3000s", flush, x.workers,
							x.buffer, diff)
					}
					if diff := gocmp.Diff(sum, s); diff != "" {
						t.Fatalf("flush %v, %d workers, chunks of %d (-one +another):\n%s", flush, x.workers, x.buffer,
							diff)
					}
				}
			}
		})
	}
}

// events are lines at seconds after day0.
func events(list ...string) []byte {
	var b []byte
	for i, e := range list {
		var at float64
		var agent, persona, tool string
		fmt.Sscan(e, &at, &agent, &persona, &tool)
		b = fmt.Appendf(b,
			`{"id":"e%02d","time":%d,"kind":"tool_call","tenant":"t1","agent":{"id":%q},"user":"u","session":"s1","persona":%q,"tool":{"name":%q}}`+
				"\n", i, day0+int64(at*1000), agent, persona, tool)
	}
	return b
}

func TestCommandsOfAReplay(t *testing.T) {
	for name, c := range map[string]struct {
		input       []byte
		want, flush []string // flush: nil: the same
	}{
		"an end comes with the watermark": {events("1 agent-1 clerk rm", "30 agent-2 clerk mail",
			"69 agent-2 clerk mail", "80 agent-2 clerk mail"),
			[]string{"  1000 t1|agent|agent-1 block 1 rule", " 61000 t1|agent|agent-1 restore 2 expiry"}, nil},
		"not before": {events("1 agent-1 clerk rm", "30 agent-2 clerk mail", "69 agent-2 clerk mail"),
			[]string{"  1000 t1|agent|agent-1 block 1 rule"}, nil},
		"what was over before an event is over when it comes, however long it was quiet": {events("1 agent-1 clerk rm",
			"2000 agent-1 clerk rm", "4000 agent-2 clerk mail"),
			[]string{"  1000 t1|agent|agent-1 block 1 rule", " 61000 t1|agent|agent-1 restore 2 expiry",
				"2000000 t1|agent|agent-1 block 3 rule", "2060000 t1|agent|agent-1 restore 4 expiry"}, nil},
		"a wide one, too": {events("1 agent-1 porter rm", "30 agent-2 clerk mail", "2000 agent-1 porter rm",
			"2100 agent-2 clerk mail", "4000 agent-2 clerk mail", "4010 agent-2 clerk mail"),
			[]string{"  1000 t1|user|u block 1 rule", "121000 t1|user|u restore 2 expiry",
				"2000000 t1|user|u block 3 rule", "2120000 t1|user|u restore 4 expiry"}, nil},
		"a wide order at the end is carried out": {events("1 agent-1 porter rm"),
			[]string{"  1000 t1|user|u block 1 rule"}, nil},
		"what the relation stage finds reaches the agent": {events("1 stranger clerk mail", "30 agent-2 clerk mail",
			"40 agent-2 clerk mail"),
			[]string{"  1000 t1|agent|stranger escalate 1 rule"}, nil},
		"at the end, if asked to flush": {events("1 stranger clerk mail"), nil,
			[]string{"  1000 t1|agent|stranger escalate 1 rule"}},
		"and with the last slice otherwise": {events("1 stranger clerk mail", "21 agent-2 clerk mail"),
			[]string{"  1000 t1|agent|stranger escalate 1 rule"}, nil},
		"late events that the last slice holds are heard of": {events("1 agent-2 clerk mail", "30 agent-2 clerk mail",
			"2 stranger clerk mail"), []string{"  2000 t1|agent|stranger escalate 1 rule"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "events.jsonl", c.input)
			set := setOf(t, armed(true, ""))
			for _, flush := range []bool{false, true} {
				want := c.want
				if flush && c.flush != nil {
					want = c.flush
				}
				if got, _ := replayCommands(t, path, set, 2, 0, flush); !slices.Equal(got, want) {
					t.Errorf("flush %v (-want +got):\n%s", flush, gocmp.Diff(want, got))
				}
			}
		})
	}
}
