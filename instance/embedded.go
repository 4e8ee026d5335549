package instance

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// prepareEmbedded creates the topics of the embedded broker. After an unclean stop its transactions
// cannot be trusted to be whole, so all that the engine wrote to itself is thrown away and made
// again from agent.events; findings may then repeat, with equal ids. Breakers stay as they are.
func prepareEmbedded(ctx context.Context, c *config.Config, options []kgo.Opt, own *broker.Embedded, storeDir string,
	log *slog.Logger) error {
	cl, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var resume *pipeline.Resume
	if !own.Clean() {
		log.Warn("the last stop was not clean: state is rebuilt from " + c.Topics.Events +
			", findings may repeat with equal ids")
		groups := []string{c.Group + "-ingress", c.Group + "-behaviour", c.Group + "-relation"}
		if resume, err = pipeline.ReadResume(ctx, options, c.Topics, c.Group); err != nil {
			return err
		}
		if storeDir != "" { // first: once the topics are discarded the next stop is clean
			if err := os.RemoveAll(storeDir); err != nil {
				return fmt.Errorf("discarding state: %w", err)
			}
		}
		if err := own.DiscardInternal(ctx, c.Topics.Discardable(), groups); err != nil {
			return err
		}
	}
	adm := kadm.NewClient(cl)
	changes, err := broker.PlanTopics(ctx, adm, c.Topics.Specs(true, 1))
	if err != nil {
		return err
	}
	if err := broker.ApplyTopics(ctx, adm, changes, func(broker.Change) {}); err != nil || resume == nil {
		return err
	}
	return resume.Write(ctx, options, c.Topics)
}
