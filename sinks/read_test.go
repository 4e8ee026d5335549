package sinks

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestOnlyFindingsOfOursAreRead(t *testing.T) {
	for _, bad := range []string{"", "{}", "[]", "null",
		`{"class_uid":2004,"unmapped":{"wayward":{"schema":"wayward.finding/v2"}}}`,
		`{"type_uid":600301,"activity_id":1,"unmapped":{"wayward":{"schema":"wayward.finding/v1"}}}`} {
		if _, _, err := Read([]byte(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

func TestAnyFindingComesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	o := &OCSF{Version: "0.1.0"}
	for i := range 500 {
		f := randomFinding(r, 12)
		record := o.Append(nil, &f)
		if err := check(record); err != nil {
			t.Fatalf("finding %d: %v\n%.2000s", i, err, record)
		}
		got, truncated, err := Read(record)
		if err != nil || truncated {
			t.Fatalf("finding %d: truncated %v, error %v\n%.2000s", i, truncated, err, record)
		}
		if diff := cmp.Diff(cleaned(f), got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("finding %d (-want +got):\n%s", i, diff)
		}
	}
}
