package oracle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTheOracleOfBaselinesHasTeeth(t *testing.T) {
	event := func(id string, at int64) []byte {
		return fmt.Appendf(nil, `{"id":%q,"time":%d,"tenant":"acme","persona":"clerk","agent":{"id":"a"}}`, id, at)
	}
	sent := [][]byte{event("1", 5*DayMS+1), event("2", 5*DayMS+2), event("2", 5*DayMS+2), event("3", 6*DayMS)}
	body := []byte("a snapshot")
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:8])
	rec := func(key, value string) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: []byte(value)} }
	var good []*kgo.Record
	for owner := range 4 {
		good = append(good, rec(fmt.Sprintf("c|4|%d|-9223372036854775808|4|0|1", owner),
			fmt.Sprintf(`{"owner":%d,"of":4,"from":-9223372036854775808,"to":4}`, owner)))
	}
	good = append(good, rec("s|acme|clerk||5|"+hash+"|0|1", "a snapshot"),
		rec("s|acme|*||5|"+hash+"|0|1", "a snapshot"),
		rec("c|4|0|5|5|0|1",
			`{"owner":0,"of":4,"from":5,"to":5,"snapshots":[{"tenant":"acme","persona":"*","day":5,"hash":"`+hash+
				`","events":2},{"tenant":"acme","persona":"clerk","day":5,"hash":"`+hash+`","events":2}]}`))
	for owner := 1; owner < 4; owner++ {
		good = append(good,
			rec(fmt.Sprintf("c|4|%d|5|5|0|1", owner), fmt.Sprintf(`{"owner":%d,"of":4,"from":5,"to":5}`, owner)))
	}
	weigh := func(records []*kgo.Record) Balance {
		var b Balance
		WeighBaselines(&b, sent, nil, 5, records)
		return b
	}
	if b := weigh(good); b.Bad() != 0 || b.Baselines != 2 {
		t.Fatalf("what is right: %+v", b)
	}
	for name, change := range map[string]func(l []*kgo.Record) []*kgo.Record{
		"a snapshot is missing": func(l []*kgo.Record) []*kgo.Record { return slices.Delete(l, 4, 5) },
		"a snapshot came twice": func(l []*kgo.Record) []*kgo.Record { return slices.Insert(l, 4, l[4]) },
		"a snapshot was changed": func(l []*kgo.Record) []*kgo.Record {
			l[4] = rec(string(l[4].Key), "another one")
			return l
		},
		"a day is missing": func(l []*kgo.Record) []*kgo.Record { return l[:len(l)-1] },
		"a day came twice": func(l []*kgo.Record) []*kgo.Record { return append(l, l[len(l)-1]) },
		"an event was lost": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), strings.Replace(string(l[6].Value), `"events":2`, `"events":1`, 1))
			return l
		},
		"an event counted twice": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), strings.Replace(string(l[6].Value), `"events":2`, `"events":3`, 1))
			return l
		},
		"a persona is nobody's": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), strings.Replace(string(l[6].Value), `clerk`, `clark`, 1))
			return l
		},
		"a list that is no list": func(l []*kgo.Record) []*kgo.Record {
			l[6] = rec(string(l[6].Key), "nothing")
			return l
		},
		"a shard that says nothing": func(l []*kgo.Record) []*kgo.Record {
			return slices.DeleteFunc(l, func(r *kgo.Record) bool { return strings.HasPrefix(string(r.Key), "c|4|2|") })
		},
	} {
		if b := weigh(change(slices.Clone(good))); b.Bad() == 0 {
			t.Errorf("%s, and the oracle does not see it", name)
		}
	}
}
