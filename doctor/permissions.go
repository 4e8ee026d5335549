package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// checkPermissions asks what this user may do, without doing it.
func (x *examination) checkPermissions(ctx context.Context) {
	before := len(x.results)
	read, write := kmsg.ACLOperationRead, kmsg.ACLOperationWrite
	type right struct {
		topic string
		ops   []kmsg.ACLOperation
	}
	var rights []right
	for _, s := range x.specs {
		r := right{s.Name, []kmsg.ACLOperation{read, write}}
		switch s.Name {
		case x.config.Topics.Events:
			if r.ops = r.ops[:1]; len(x.config.Ingress) > 0 {
				r.ops = append(r.ops, write)
			}
		case x.config.Topics.Acks, x.config.Topics.Feedback:
			r.ops = r.ops[:1]
		case x.config.Topics.Alerts, x.config.Topics.DLQ, x.config.Topics.Commands, x.config.Topics.Breakers,
			x.config.Topics.Inventory:
			r.ops = r.ops[1:]
		}
		rights = append(rights, r)
	}
	for _, in := range x.config.Ingress {
		rights = append(rights, right{in.Topic, []kmsg.ACLOperation{read}})
	}
	silent, absent := 0, []string{}
	for _, r := range rights {
		td, err := x.admin.ListTopics(kadm.WithAuthorizedOps(ctx), r.topic)
		if err == nil {
			err = td[r.topic].Err
		}
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			if slices.ContainsFunc(x.config.Ingress, func(in pipeline.Ingress) bool { return in.Topic == r.topic }) {
				x.problem("topic %s of the ingress is missing: create it, or correct ingress",
					r.topic)
			}
			continue // checkTopics has said so
		case err != nil:
			x.problem("topic %s: %s", r.topic, broker.Explain(err))
			continue
		}
		have := td[r.topic].AuthorizedOperations
		if len(have) == 0 {
			silent++
			continue
		}
		x.checkRights("topic "+r.topic, have, r.ops)
	}
	for _, stage := range pipeline.Stages {
		if len(x.config.Stages) > 0 && !slices.Contains(x.config.Stages, stage) {
			continue
		}
		group := x.config.Group + "-" + stage
		described, err := x.admin.DescribeGroups(ctx, group)
		if err == nil {
			err = described[group].Err
		}
		have := described[group].AuthorizedOperations
		switch {
		case errors.Is(err, kerr.GroupIDNotFound):
			absent = append(absent, group)
		case err != nil:
			x.problem("consumer group %s: %s", group, broker.Explain(err))
		case len(have) == 0:
			silent++
		default:
			x.checkRights("consumer group "+group, have, []kmsg.ACLOperation{read})
		}
	}
	// Nothing tells what one may do with a transactional id but asking for one. Not an instance's:
	// that would end its transaction.
	id := x.config.Group + "-doctor"
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &id, int32(x.config.Engine.TransactionTimeout.Milliseconds())
	resp, err := req.RequestWith(ctx, x.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		x.problem("transactional id %s: %s", id, broker.Explain(err))
	}
	if len(x.results) == before {
		x.fine("may use %d topics, consumer groups and transactional ids, as far as the brokers say", len(rights))
	}
	if len(absent) > 0 {
		x.unknown(
			"consumer groups %s do not exist yet, and of such Kafka does not say who may read them: grant Read on the prefix %s-",
			strings.Join(absent, ", "), x.config.Group)
	}
	if silent > 0 {
		x.unknown(
			"the brokers do not say what this user may do with %d topics and groups: look for errors in the log of wayward run",
			silent)
	}
}

// checkRights reports what this user lacks.
func (x *examination) checkRights(what string, have, want []kmsg.ACLOperation) {
	var lacks []string
	for _, op := range want {
		if !slices.Contains(have, op) && !slices.Contains(have, kmsg.ACLOperationAll) {
			lacks = append(lacks, op.String())
		}
	}
	if len(lacks) > 0 {
		x.problem("%s: this user may not %s: grant it on the broker", what,
			strings.Join(lacks, " and "))
	}
}
