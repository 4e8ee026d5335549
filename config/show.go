package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Value is a setting in effect.
type Value struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"from"`
	Origin
}

// Values are the settings that have a value, in the reference's order.
func (r *Reading) Values() (out []Value) {
	of := map[string]reflect.Value{}
	r.each(func(key string, v reflect.Value) { of[key] = v })
	for _, s := range settings {
		v := of[s.key]
		if !v.IsValid() {
			continue
		}
		x := Value{Key: s.key, Value: v.Interface(), From: "default", Origin: r.from[s.key]}
		if d, ok := x.Value.(time.Duration); ok {
			x.Value = FormatDuration(d)
		}
		switch {
		case x.Env != "":
			x.From = "environment"
		case x.File != "":
			x.From = "file"
		}
		out = append(out, x)
	}
	return out
}

// YAML is the config in effect as YAML, each value with its origin behind it.
func (r *Reading) YAML() string {
	var b strings.Builder
	group := ""
	for _, x := range r.Values() {
		group = openGroups(&b, group, x.Key)
		at := x.Origin.String()
		fmt.Fprintf(&b, "%s%s: %s  # %s\n", indent(x.Key), last(x.Key), flow(x.Value), at)
	}
	return b.String()
}

// openGroups writes the lines of the groups that a key lies in and the key before it did not, and
// returns the key's group.
func openGroups(b *strings.Builder, before, key string) string {
	group := strings.TrimSuffix(strings.TrimSuffix(key, last(key)), ".")
	if group == "" || group == before || strings.HasPrefix(before, group+".") {
		return group
	}
	openGroups(b, before, group)
	fmt.Fprintf(b, "%s%s:\n", indent(group), last(group))
	return group
}

func indent(key string) string { return strings.Repeat("  ", strings.Count(key, ".")) }

func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// flow is a value as YAML on one line.
func flow(v any) string {
	if d, ok := v.(time.Duration); ok {
		return FormatDuration(d)
	}
	var n yaml.Node
	if err := n.Encode(v); err != nil {
		panic(err) // settings are texts, numbers and lists of them
	}
	n.Style |= yaml.FlowStyle
	if x := reflect.ValueOf(v); x.Kind() == reflect.Slice && x.Len() == 0 {
		return "[]"
	}
	b, err := yaml.Marshal(&n)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(b))
}
