package pipeline

import (
	"errors"
	"testing"
	"time"

	"github.com/wayward-sec/wayward/pipeline/broker"
)

func TestTopicsThatComeOneAfterTheOtherAreWaitedFor(t *testing.T) {
	l := newLab(t)
	if _, err := l.adm.DeleteTopics(t.Context(), l.topics.ChangelogRelation); err != nil {
		t.Fatal(err)
	}
	c := l.config("a", l.store(""))
	c.Changelog = true
	e := l.start(c)
	l.until("it says what it waits for", l.says("waiting for its topics"))
	if err := broker.ApplyTopics(t.Context(), l.adm, planned(t, l.adm, l.topics.Specs(false, 1)),
		func(broker.Change) {}); err != nil {
		t.Fatal(err)
	}
	l.produce(400)
	l.drained()
	l.exact()
	if err := e.end(); err != nil {
		t.Error(err)
	}

	if _, err := l.adm.DeleteTopics(t.Context(), l.topics.ChangelogRelation); err != nil {
		t.Fatal(err)
	}
	c.Metrics = l.config("b", nil).Metrics
	since := time.Now()
	err := Run(t.Context(), c)
	if problems, ok := errors.AsType[broker.TopicProblems](err); !ok || len(problems) != 1 ||
		time.Since(since) > 4*broker.SomeTopicsMissing {
		t.Errorf("after %s: %v", time.Since(since), err)
	}
}
