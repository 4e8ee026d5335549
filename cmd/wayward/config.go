package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
)

// config is the config file. Each part is the settings of one component, which lie next to its code; the zero value of everything is its default.
type config struct {
	pipeline.Kafka `yaml:",inline"` // brokers, tls, sasl; without brokers the embedded one

	Group    string   `yaml:"group"`    // prefix of consumer groups and transactional ids
	Instance string   `yaml:"instance"` // name of this instance in the group: unique, and the same after a restart
	Stages   []string `yaml:"stages"`   // of this instance; all by default
	State    string   `yaml:"state"`    // directory of this instance's state
	Policies string   `yaml:"policies"` // directory with personas/ and limits/
	Listen   string   `yaml:"listen"`   // address of /metrics, /healthz and /readyz; "off": none

	Topics  pipeline.Topics    `yaml:"topics"`
	Ingress []pipeline.Ingress `yaml:"ingress"`

	Embedded struct {
		Port int `yaml:"port"` // of the embedded broker, on loopback
	} `yaml:"embedded"`

	Engine struct {
		MaxPoll            int           `yaml:"max_poll"`
		TransactionEvery   time.Duration `yaml:"transaction_every"`
		TransactionTimeout time.Duration `yaml:"transaction_timeout"`
		SessionTimeout     time.Duration `yaml:"session_timeout"`
		CheckpointEvery    time.Duration `yaml:"checkpoint_every"`
		ChangelogEvery     time.Duration `yaml:"changelog_every"`
		MaxAhead           time.Duration `yaml:"max_ahead"`
		PageCap            int           `yaml:"page_cap"`
	} `yaml:"engine"`

	Findings struct {
		File string `yaml:"file"` // also append findings to this file, OCSF, one a line; committed ones only
	} `yaml:"findings"`
}

func defaultConfig() config {
	c := config{Group: "wayward", State: "wayward-state", Listen: "127.0.0.1:9464", Topics: pipeline.DefaultTopics()}
	c.Embedded.Port = 29092
	c.Instance = "0"
	if h, err := os.Hostname(); err == nil && h != "" {
		c.Instance = h
	}
	return c
}

// unknownKey is how the YAML library reports a setting that does not exist.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)

// loadConfig reads the config file, strictly; without a name it is all defaults.
func loadConfig(name string) (config, error) {
	c := defaultConfig()
	if name == "" {
		return c, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		what := unknownKey.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "there is no setting $1")
		return c, fmt.Errorf("config %s: %s", name, strings.TrimPrefix(what, "unmarshal errors:\n  "))
	}
	// Paths are the file's, not those of whoever starts the engine.
	dir := filepath.Dir(name)
	for _, p := range []*string{&c.State, &c.Policies, &c.Findings.File} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if err := c.check(name); err != nil {
		return c, err
	}
	c.Topics = c.Topics.Full()
	return c, nil
}

func (c *config) check(name string) error {
	var errs []error
	bad := func(format string, a ...any) {
		errs = append(errs, fmt.Errorf("config %s: "+format, append([]any{name}, a...)...))
	}
	if c.Group == "" {
		bad("group is empty")
	}
	if c.Instance == "" || len(c.Instance) > 128 {
		bad("instance must have 1 to 128 characters")
	}
	known := map[string]bool{}
	for _, s := range pipeline.Stages {
		known[s] = true
	}
	for _, s := range c.Stages {
		if !known[s] {
			bad("stages: %q is unknown; there are %v", s, pipeline.Stages)
		}
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"transaction_every", c.Engine.TransactionEvery}, {"transaction_timeout", c.Engine.TransactionTimeout}, {"session_timeout", c.Engine.SessionTimeout},
		{"checkpoint_every", c.Engine.CheckpointEvery}, {"changelog_every", c.Engine.ChangelogEvery}, {"max_ahead", c.Engine.MaxAhead}} {
		if d.d < 0 {
			bad("engine.%s is negative", d.name)
		}
	}
	if err := c.Topics.Check(); err != nil {
		errs = append(errs, fmt.Errorf("config %s: %w", name, err))
	}
	return errors.Join(errs...)
}

// loadPolicies reads personas and limits; without a directory the built-in limits apply.
func loadPolicies(dir string) (*policy.Set, error) {
	if dir == "" {
		return policy.Default(), nil
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	set, errs := policy.Load(dir)
	if len(errs) > 0 {
		return nil, fmt.Errorf("policies:\n%w", errors.Join(errs...))
	}
	return set, nil
}
