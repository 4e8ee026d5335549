package authoring

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/policy"
)

// Format writes rules with their keys in the usual order and with the same indentation. Their
// meaning does not change.
func Format(text []byte) ([]byte, error) {
	d := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	order := map[string]int{}
	for i, k := range policy.RuleKeys() {
		order[k] = i
	}
	for {
		var doc yaml.Node
		if err := d.Decode(&doc); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if len(doc.Content) == 1 && doc.Content[0].Kind == yaml.MappingNode {
			n := doc.Content[0]
			type pair [2]*yaml.Node
			var pairs []pair
			for i := 0; i+1 < len(n.Content); i += 2 {
				pairs = append(pairs, pair{n.Content[i], n.Content[i+1]})
			}
			place := func(p pair) int {
				if i, known := order[p[0].Value]; known {
					return i
				}
				return len(order)
			}
			slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(place(a), place(b)) })
			n.Content = n.Content[:0]
			for _, p := range pairs {
				n.Content = append(n.Content, p[0], p[1])
			}
		}
		if err := e.Encode(&doc); err != nil {
			return nil, err
		}
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	return []byte(strings.TrimLeft(b.String(), "\n")), nil
}
