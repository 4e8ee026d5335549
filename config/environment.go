package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/event/spelling"
)

// environment applies WAYWARD_A__B, which is setting a.b. Kubernetes makes variables of its own out
// of a service's name (WAYWARD_PORT), so one that is no setting is only wrong if it has the two
// underscores, which nothing else has.
func (r *Reading) environment(environ []string) {
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		env, value, _ := strings.Cut(kv, "=")
		name, ours := strings.CutPrefix(env, "WAYWARD_")
		if !ours {
			continue
		}
		at := Origin{Env: env}
		key := strings.ReplaceAll(strings.ToLower(name), "__", ".")
		v, group := r.find(key)
		switch {
		case v.IsValid():
			r.set(nodeOf(v, value), key, v, func(*yaml.Node) Origin { return at })
		case strings.Contains(name, "__") && !group:
			what := fmt.Sprintf("there is no setting %q", key)
			var keys []string
			for _, s := range settings {
				keys = append(keys, s.key)
			}
			if near := spelling.Nearest(key, keys); near != "" {
				what += fmt.Sprintf("; did you mean WAYWARD_%s?", strings.ToUpper(strings.ReplaceAll(near, ".", "__")))
			}
			r.bad(at, "%s", what)
		}
	}
}

// find returns a setting to be set, making the groups it lies in. Of a group there is none.
func (r *Reading) find(key string) (found reflect.Value, group bool) {
	known := false
	r.each(func(k string, _ reflect.Value) {
		known = known || k == key
		group = group || strings.HasPrefix(k, key+".")
	})
	if !known {
		return reflect.Value{}, group
	}
	v := reflect.ValueOf(&r.Config).Elem()
	for name := range strings.SplitSeq(key, ".") {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		fields := fieldsOf(v)
		v = fields[slices.IndexFunc(fields, func(f field) bool { return f.name == name })].v
	}
	return v, false
}

// nodeOf is the text of a variable as YAML would have it: text as it is, lists of texts also with
// commas.
func nodeOf(v reflect.Value, text string) *yaml.Node {
	if v.Kind() == reflect.String {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String &&
		!strings.HasPrefix(strings.TrimSpace(text), "[") {
		list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, s := range strings.Split(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s})
			}
		}
		return list
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	}
	return doc.Content[0]
}
