package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wayward-sec/wayward/formats"
	"github.com/wayward-sec/wayward/pipeline"
	"github.com/wayward-sec/wayward/policy"
	"github.com/wayward-sec/wayward/sinks"
	"github.com/wayward-sec/wayward/state"
)

// config is the config file. Each part is the settings of one component, which lie next to its
// code; settings.go says what each is for.
type config struct {
	pipeline.Kafka `yaml:",inline"` // without brokers the embedded one

	Group    string   `yaml:"group"`
	Instance string   `yaml:"instance"`
	Stages   []string `yaml:"stages"`
	State    string   `yaml:"state"`
	DiskFree string   `yaml:"disk_free_min"`
	Policies string   `yaml:"policies"`
	Listen   string   `yaml:"listen"`
	Memory   string   `yaml:"memory"`

	Topics  pipeline.Topics    `yaml:"topics"`
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

func defaultConfig() config {
	c := config{Group: "wayward", State: "wayward-state", DiskFree: "auto", Listen: "127.0.0.1:9464",
		Topics: pipeline.DefaultTopics()}
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

// loadConfig reads the config file, strictly; without a name it is what WAYWARD_CONFIG names, else
// all defaults. The environment comes on top.
func loadConfig(name string) (config, error) {
	r, err := readConfig(configName(name), os.Environ())
	if err != nil {
		return config{}, err
	}
	if err := r.err(); err != nil {
		return config{}, err
	}
	c := r.config
	c.Topics = c.Topics.Full()
	return c, nil
}

// configName is the config file to read; "": none.
func configName(flag string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv("WAYWARD_CONFIG")
}

// check reports every value that cannot be. Each error begins with the key of its setting, so that
// its place can be shown.
func (c *config) check() error {
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
		for _, err := range flat(c.Sinks[i].Check()) {
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
			bad("engine.%s: %s must be above 0", d.name, showDuration(d.d))
		}
	}
	if err := c.Topics.Check(); err != nil {
		errs = append(errs, err)
	}
	if r := c.Topics.Retention.Internal; r < 2*c.Engine.ChangelogEvery {
		bad(
			"topics.retention.internal: %s is less than twice engine.changelog_every, %s: what lies between two copies of the state would be lost",
			showDuration(r), showDuration(c.Engine.ChangelogEvery))
	}
	return errors.Join(errs...)
}

// parseRoom reads 512MiB or 2GiB in bytes; 0 is auto.
func parseRoom(s string) (int64, error) {
	if s == "auto" {
		return 0, nil
	}
	for unit, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "KB": 1e3,
		"MB": 1e6, "GB": 1e9, "TB": 1e12} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			x, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
			if err != nil || !(x > 0) || x*float64(bytes) > 1<<50 {
				break
			}
			return int64(x * float64(bytes)), nil
		}
	}
	return 0, errors.New("write it as 512MiB or 2GiB, or auto")
}

// beside are the sinks beside the topics. findings.file is the short form of a file.
func (c *config) beside(stdout io.Writer) []sinks.Settings {
	all := slices.Clone(c.Sinks)
	if c.Findings.File != "" {
		all = append(all, sinks.Settings{Type: "file", Path: c.Findings.File})
	}
	for i := range all {
		all[i].Version, all[i].Out, all[i].Colour = versionOf(), stdout, sinks.Colour(stdout)
	}
	return all
}

// disk watches what an instance writes to.
func (c *config) disk() *state.Disk {
	room, _ := parseRoom(c.DiskFree) // checked
	dirs := []string{c.storeDir()}
	if c.Kafka.Embedded() {
		dirs = append(dirs, filepath.Join(c.State, "broker"))
	}
	return state.NewDisk(room, dirs...)
}

// loadPolicies reads a folder of policies; without a directory the built-in limits apply.
func loadPolicies(dir string) (*policy.Set, error) { return loadShadowed(dir, "") }

// loadShadowed likewise, and the rules of a second folder beside them, in shadow.
func loadShadowed(dir, shadow string) (*policy.Set, error) {
	if dir == "" && shadow == "" {
		return policy.Default(), nil
	}
	if dir == "" {
		return nil, errors.New("rules in shadow need policies to be beside: set policies in the config")
	}
	for _, d := range []string{dir, cmp.Or(shadow, dir)} {
		if _, err := os.Stat(d); err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
	}
	set, errs := policy.LoadShadow(dir, shadow)
	if len(errs) > 0 {
		return nil, fmt.Errorf("policies:\n%w", errors.Join(errs...))
	}
	return set, nil
}
