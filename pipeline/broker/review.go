package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TopicProblems is one error for all that is the matter with the topics.
type TopicProblems []Change

// Error lists them, one a line, each with what to do.
func (p TopicProblems) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s with the topics:", countOf(int64(len(p)), "problem", "problems"))
	for _, c := range p {
		b.WriteString("\n  ")
		if !c.Fatal {
			b.WriteString("(warning) ")
		}
		b.WriteString(c.What)
	}
	return b.String()
}

// Fatal returns those changes that wayward cannot run with as one error; nil: there are none.
func Fatal(changes []Change) error {
	if p := slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return !c.Fatal }); len(p) > 0 {
		return TopicProblems(p)
	}
	return nil
}

// ReviewTopics judges the topics as a start of the engine does: what is fatal,
// and what it can run with but should be told to the operator.
func ReviewTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) ([]Change, error) {
	found, err := describeTopics(ctx, adm, specs)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, s := range specs {
		p, ok := found[s.Name]
		if !ok {
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeCreate, Fatal: true, Spec: s,
				What: fmt.Sprintf("topic %s is missing: run wayward topics apply, or correct topics in the config",
					s.Name)})
			continue
		}
		if c, ok := s.wrongPartitions(p); ok {
			changes = append(changes, c)
		}
		if c, ok := s.fewCopies(p); ok {
			changes = append(changes, c)
		}
		if p.configErr != nil {
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeWrong, Spec: s,
				What: fmt.Sprintf(
					"the settings of topic %s cannot be read, so they are not checked (%v): grant DescribeConfigs on it",
					s.Name, p.configErr)})
			continue
		}
		differs := func(key, format string, fatal bool) {
			have, want := p.configs[key], s.Configs[key]
			changes = append(changes, Change{Topic: s.Name, Kind: ChangeConfig, Setting: key, Have: have, Want: want,
				Fatal: fatal, Spec: s,
				What: fmt.Sprintf(format, s.Name, readableSetting(key, have), readableSetting(key, want)) +
					": run wayward topics apply"})
		}
		if want := s.Configs["cleanup.policy"]; want != "" && p.configs["cleanup.policy"] != want {
			differs("cleanup.policy",
				"topic %s has cleanup.policy %s and needs %s, else records that state depends on are deleted", true)
		}
		if want := s.Configs["message.timestamp.type"]; want != "" && p.configs["message.timestamp.type"] != want {
			differs("message.timestamp.type",
				"topic %s has message.timestamp.type %s and should have %s, else a producer's wrong clock is believed",
				false)
		}
		have, want := configNumber(p.configs["retention.ms"]), configNumber(s.Configs["retention.ms"])
		if s.Configs["retention.ms"] != "" && have >= 0 && (want < 0 || have < want) {
			differs("retention.ms", "topic %s keeps records for %s, the config says %s", false)
		}
		if configNumber(p.configs["max.message.bytes"]) < configNumber(s.Configs["max.message.bytes"]) {
			differs("max.message.bytes",
				"topic %s takes records up to %s and should take %s, else a busy transaction may not fit", false)
		}
	}
	return changes, nil
}

// CheckTopics returns an error if wayward cannot run with the topics as they
// are: one for everything there is to mend, warnings too, to be done in one go.
// Warnings alone are no error; ReviewTopics tells them.
func CheckTopics(ctx context.Context, adm *kadm.Client, specs []TopicSpec) error {
	changes, err := ReviewTopics(ctx, adm, specs)
	if err != nil {
		return err
	}
	if Fatal(changes) == nil {
		return nil
	}
	return TopicProblems(changes)
}
