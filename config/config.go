// Package config reads the one file that says how wayward works: strictly, so that every mistake is
// reported with its file, line and column. Values come from the defaults, then the file, then the
// environment. It also prints the reference, docs/config.yaml.
//
// It knows the settings of every component, which lie next to their code, and never what anybody
// does with them: it opens nothing but the config file and the policies that it names.
//
// To add a setting: a field in the struct of its component, a line in settings.go, its default in
// Default, what it may be in check. Begin reading at Load.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/pipeline/broker"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/state"
)

// Config is everything that can be set. Each part is the settings of one component, which lie next
// to its code; settings.go says what each is for.
type Config struct {
	broker.Kafka `yaml:",inline"` // without brokers the embedded one

	Group    string   `yaml:"group"`
	Instance string   `yaml:"instance"`
	Stages   []string `yaml:"stages"`
	State    string   `yaml:"state"`
	DiskFree string   `yaml:"disk_free_min"`
	Policies string   `yaml:"policies"`
	Listen   string   `yaml:"listen"`
	Memory   string   `yaml:"memory"`

	Topics  broker.Topics      `yaml:"topics"`
	Ingress []pipeline.Ingress `yaml:"ingress"`

	Embedded struct {
		Port int `yaml:"port"`
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
		File string `yaml:"file"`
	} `yaml:"findings"`
	Sinks []sinks.Settings `yaml:"sinks"`
}

// Default is the config of an empty file.
func Default() Config {
	c := Config{Group: "wayward", State: "wayward-state", DiskFree: "auto", Listen: "127.0.0.1:9464",
		Topics: broker.DefaultTopics()}
	c.Embedded.Port = 29092
	c.Instance = "0"
	if h, err := os.Hostname(); err == nil && h != "" {
		c.Instance = h
	}
	var p pipeline.Config
	p.Defaults()
	e := &c.Engine
	e.MaxPoll, e.PageCap = p.MaxPoll, p.PageCap
	e.TransactionEvery, e.TransactionTimeout, e.SessionTimeout = p.TransactionEvery, p.TransactionTimeout,
		p.SessionTimeout
	e.CheckpointEvery, e.ChangelogEvery, e.MaxAhead = p.CheckpointEvery, p.ChangelogEvery, p.MaxAhead
	return c
}

// Load reads the config file, strictly; without a name it is what WAYWARD_CONFIG names, else
// all defaults. The environment comes on top.
func Load(name string) (Config, error) {
	r, err := Read(Path(name), os.Environ())
	if err != nil {
		return Config{}, err
	}
	if err := r.Err(); err != nil {
		return Config{}, err
	}
	c := r.Config
	c.Topics = c.Topics.Full()
	return c, nil
}

// Path is the config file to read: what the flag names, else what WAYWARD_CONFIG names; "" if
// neither does.
func Path(flag string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv("WAYWARD_CONFIG")
}

// check reports every value that cannot be. Each error begins with the key of its setting, so that
// its place can be shown.
func (c *Config) check() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if err := c.Kafka.Check(); err != nil {
		errs = append(errs, err)
	}
	if c.Group == "" {
		bad("group is empty: give it a name")
	}
	if c.Instance == "" || len(c.Instance) > 128 {
		bad("instance must have 1 to 128 characters")
	}
	for i, s := range c.Stages {
		if !slices.Contains(pipeline.Stages, s) {
			bad("stages[%d]: %q is unknown; there are %v", i, s, pipeline.Stages)
		}
	}
	if c.State == "" {
		bad("state is empty: name a directory")
	}
	if _, err := parseRoom(c.DiskFree); err != nil {
		bad("disk_free_min: %.40q is no size: %w", c.DiskFree, err)
	}
	if c.Listen != "off" {
		if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
			bad("listen: %q is not host:port: write 127.0.0.1:9464, or off", c.Listen)
		}
	}
	if _, err := parseMemory(c.Memory); err != nil {
		errs = append(errs, fmt.Errorf("memory: %w", err))
	}
	full := c.Topics.Full()
	for i, in := range c.Ingress {
		switch {
		case in.Topic == "":
			bad("ingress[%d]: topic is missing", i)
		case in.Topic == full.Events:
			bad("ingress[%d].topic: %s is what the ingress writes to: name the topic that producers write to", i,
				in.Topic)
		}
		if !slices.Contains(formats.Names(), in.Format) {
			bad("ingress[%d].format: %q is unknown; there are %v", i, in.Format, formats.Names())
		}
	}
	for i := range c.Sinks {
		for _, err := range Flatten(c.Sinks[i].Check()) {
			bad("sinks[%d]: %w", i, err)
		}
	}
	if c.Embedded.Port < 0 || c.Embedded.Port > 65535 {
		bad("embedded.port: %d is not between 0 and 65535", c.Embedded.Port)
	}
	if c.Engine.MaxPoll < 1 {
		bad("engine.max_poll: %d must be at least 1", c.Engine.MaxPoll)
	}
	if c.Engine.PageCap < 1 {
		bad("engine.page_cap: %d must be at least 1", c.Engine.PageCap)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"transaction_every", c.Engine.TransactionEvery}, {"transaction_timeout", c.Engine.TransactionTimeout},
		{"session_timeout", c.Engine.SessionTimeout},
		{"checkpoint_every", c.Engine.CheckpointEvery}, {"changelog_every", c.Engine.ChangelogEvery},
		{"max_ahead", c.Engine.MaxAhead}} {
		if d.d <= 0 {
			bad("engine.%s: %s must be above 0", d.name, FormatDuration(d.d))
		}
	}
	if err := c.Topics.Check(); err != nil {
		errs = append(errs, err)
	}
	if r := c.Topics.Retention.Internal; r < 2*c.Engine.ChangelogEvery {
		bad(
			"topics.retention.internal: %s is less than twice engine.changelog_every, %s: what lies between two copies of the state would be lost",
			FormatDuration(r), FormatDuration(c.Engine.ChangelogEvery))
	}
	return errors.Join(errs...)
}

// Disk watches what an instance writes to.
func (c *Config) Disk() *state.Disk {
	room, _ := parseRoom(c.DiskFree) // checked
	dirs := []string{c.StoreDir()}
	if c.Kafka.Embedded() {
		dirs = append(dirs, filepath.Join(c.State, "broker"))
	}
	return state.NewDisk(room, dirs...)
}

// StoreDir is where the pages are. What else is in the state directory is the embedded broker's.
func (c *Config) StoreDir() string { return filepath.Join(c.State, "store") }
