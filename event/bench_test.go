package event

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
)

// stream makes n distinct tool calls of about 640 bytes; escapes puts two escaped strings into
// each.
func stream(n int, escapes bool) [][]byte {
	tools := []string{"fs.read", "fs.write", "http.get", "http.post", "sql.query", "shell.exec", "mail.send",
		"vec.search", "git.push", "secrets.get"}
	classes := []string{"read", "write", "read", "send", "read", "exec", "send", "read", "write", "read"}
	r := rand.New(rand.NewSource(1))
	out := make([][]byte, n)
	for i := range out {
		k := r.Intn(len(tools))
		user, table := fmt.Sprintf("u-%05d", r.Intn(100000)), fmt.Sprintf("crm.accounts.%d", r.Intn(100))
		if escapes {
			user, table = fmt.Sprintf(`acme\\j\u00f6rg.%03d`, r.Intn(1000)), fmt.Sprintf(`crm\/\"accounts\".%d`,
				r.Intn(100))
		}
		out[i] = fmt.Appendf(nil,
			`{"v":1,"id":"01J9Z%021d","time":%d,"kind":"tool_call","tenant":"acme-%d","persona":"billing-bot-%04d",`+
				`"agent":{"id":"agent-%06x","version":"1.%d.0","model":"m-4-large"},"user":"%s","session":"s-%016x",`+
				`"tool":{"name":"%s","server":"mcp-%s","class":"%s"},`+
				`"args":{"path":"/var/data/customers/%d/export-%04d.csv","limit":%d,"recursive":%v,"tags":["pii","export","q%d"],"query":"select id, name from accounts where region = 'eu'"},`+
				`"resource":{"type":"table","id":"%s","labels":["pii"]},"result":{"outcome":"ok","records":%d,"bytes":%d},`+
				`"cost":{"usd":"0.%06d","input_tokens":%d},"duration_ms":%.2f}`,
			i, 1767225600000+int64(i)*7, r.Intn(5), r.Intn(10000), r.Intn(1<<20), r.Intn(9), user, r.Int63(), tools[k],
			tools[k][:2], classes[k],
			r.Intn(1000), r.Intn(10000), r.Intn(5000), r.Intn(2) == 0, r.Intn(4), table, r.Intn(1000), r.Intn(1<<20),
			r.Intn(1000000), r.Intn(9000), r.Float64()*200)
	}
	return out
}

func benchmarkDecode(b *testing.B, records [][]byte) {
	var d Decoder
	events := make([]Event, 256) // a batch, as the shard keeps it
	b.SetBytes(int64(len(bytes.Join(records, nil)) / len(records)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%len(events) == 0 {
			d.Reset()
		}
		if err := d.Decode(records[i%len(records)], &events[i%len(events)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkDecode(b *testing.B)        { benchmarkDecode(b, stream(1000, false)) }
func BenchmarkDecodeEscapes(b *testing.B) { benchmarkDecode(b, stream(1000, true)) }

func BenchmarkDecodeWithoutID(b *testing.B) {
	records := stream(1000, false)
	for i, p := range records {
		records[i] = bytes.Replace(p, []byte(`"id":"01J9Z`), []byte(`"xx":"01J9Z`), 1)
	}
	benchmarkDecode(b, records)
}
