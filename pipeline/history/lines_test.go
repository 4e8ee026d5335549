package history

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheBeginningOfAFile(t *testing.T) {
	const mark = "\ufeff"
	for name, c := range map[string]struct{ text, want, hint string }{
		"lines":                {"{}\n{}\n", "{}\n{}\n", ""},
		"a mark":               {mark + "{}\n{}\n", "{}\n{}\n", ""},
		"a mark alone":         {mark, "", ""},
		"a mark further on":    {"{}\n" + mark + "{}\n", "{}\n" + mark + "{}\n", ""},
		"an array":             {" \n[\n{},\n{}]\n", " \n[\n{},\n{}]\n", "jq -c '.[]' FILE"},
		"an array with a mark": {mark + "[{},{}]", "[{},{}]", "jq -c '.[]' FILE"},
		"printed nicely":       {"{\n \"a\": 1\n}\n", "{\n \"a\": 1\n}\n", "jq -c . FILE"},
		"UTF-16":               {"\xff\xfe{\x00}\x00\n\x00", "\xff\xfe{\x00}\x00\n\x00", "iconv"},
		"two bytes":            {"{}", "{}", ""},
		"nothing":              {"", "", ""},
	} {
		for _, packed := range []bool{false, true} {
			file := filepath.Join(t.TempDir(), "f")
			data := []byte(c.text)
			if packed {
				var b bytes.Buffer
				z := gzip.NewWriter(&b)
				z.Write(data)
				z.Close()
				data = b.Bytes()
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := OpenLines(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for {
				chunk, err := l.Next(context.Background())
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(name, err)
				}
				got.Write(chunk.Lines)
				l.Done(chunk)
			}
			if got.String() != c.want || (c.hint == "") != (l.Hint() == "") || !strings.Contains(l.Hint(), c.hint) {
				t.Errorf("%s: got %q, %q; want %q, %q", name, got.String(), l.Hint(), c.want, c.hint)
			}
			l.Close()
		}
	}
}
