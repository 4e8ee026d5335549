// Package doctor finds out what keeps wayward from working here, and what to do about it: config,
// policies, disk, state, brokers, and the limits of this machine.
//
// It changes nothing, but for one transactional id of its own and a file that it makes and removes
// in the state directory. It must never need an engine that runs, nor disturb one.
//
// A check is one function and one line in the table checks. It looks at one thing and says at least
// one line about it. Begin reading at Examine.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/wayward-sec/wayward/config"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
)

// Result is one line of the report.
type Result struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	What   string `json:"what"` // and, behind a colon, what to do
}

// What a Status may be.
const (
	Fine    = "fine"
	Warning = "warning"
	Problem = "problem"
	Unknown = "unknown" // it cannot be told
)

// check is one thing to look at.
type check struct {
	name string
	run  func(*examination, context.Context)
	// needsBrokers leaves the check out where no Kafka answers.
	needsBrokers bool
}

// checks are in the order in which a start needs what they look at.
var checks = []check{
	{"config", (*examination).checkConfig, false},
	{"policies", (*examination).checkPolicies, false},
	{"disk", (*examination).checkDisk, false},
	{"state", (*examination).checkState, false},
	{"broker", (*examination).checkBroker, false},
	{"versions", (*examination).checkVersions, true},
	{"topics", (*examination).checkTopics, true},
	{"layout", (*examination).checkLayout, true},
	{"permissions", (*examination).checkPermissions, true},
	{"clock", (*examination).checkClock, true},
	{"routing", (*examination).checkRouting, true},
	{"event time", (*examination).checkEventTime, true},
	{"listen", (*examination).checkListener, false},
	{"files", (*examination).checkOpenFiles, false},
	{"memory", (*examination).checkMemory, false},
}

// examination is what the checks have found so far. Later ones build on earlier ones.
type examination struct {
	file    string
	results []Result
	current string // check that runs
	over    bool   // without a config there is nothing else to look at

	config  config.Config
	running bool             // an instance has the state open
	layout  *pipeline.Layout // by which the state was made; nil: not known

	// Of the brokers: nil and empty unless a Kafka answers.
	options  []kgo.Opt
	client   *kgo.Client
	admin    *kadm.Client
	deadline time.Time // for all checks of the brokers together
	specs    []broker.TopicSpec
	foreign  []string // topics that the brokers' clock does not stamp
}

// Examine runs all checks. The file is that of the config; "" is all defaults.
func Examine(ctx context.Context, file string) []Result {
	x := &examination{file: file}
	for _, c := range checks {
		if c.needsBrokers && x.admin == nil {
			continue
		}
		x.current = c.name
		if c.needsBrokers {
			limited, cancel := context.WithDeadline(ctx, x.deadline)
			c.run(x, limited)
			cancel()
		} else {
			c.run(x, ctx)
		}
		if x.over {
			break
		}
	}
	if x.client != nil {
		x.client.Close()
	}
	return x.results
}

func (x *examination) fine(format string, args ...any)    { x.add(x.current, Fine, format, args...) }
func (x *examination) warning(format string, args ...any) { x.add(x.current, Warning, format, args...) }
func (x *examination) problem(format string, args ...any) { x.add(x.current, Problem, format, args...) }
func (x *examination) unknown(format string, args ...any) { x.add(x.current, Unknown, format, args...) }

func (x *examination) add(check, status, format string, args ...any) {
	x.results = append(x.results, Result{check, status, fmt.Sprintf(format, args...)})
}
