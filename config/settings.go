package config

// setting describes one key of the config file, or a group of keys. Its default is what
// Default has there.
type setting struct {
	key  string // levels joined by dots
	doc  string
	unit string // of a number
	// example stands, commented out, where the default cannot: there is none, or it depends on the
	// machine.
	example string
	path    bool // a file or directory; relative to the config file that names it
}

// settings is every key of the config file, in the order of the reference. A test compares it with
// the fields of config.
var settings = []setting{
	{key: "brokers",
		doc:     "Some of the Kafka brokers, as host:port; the others are found. Without any, wayward brings a broker of its own on loopback, for laptops and tests.",
		example: "[kafka-1:9093, kafka-2:9093]"},
	{key: "tls",
		doc: "Encryption towards the brokers. An empty group, tls: {}, trusts what the system trusts. Files are read again for each connection, so they may be rotated."},
	{key: "tls.ca", doc: "Certificates of authorities, PEM: trusted instead of the system's.",
		example: "/etc/wayward/ca.pem", path: true},
	{key: "tls.cert", doc: "The client's certificate and its chain, PEM, for mTLS.", example: "/etc/wayward/client.pem",
		path: true},
	{key: "tls.key", doc: "The private key of that certificate, PEM, not encrypted.",
		example: "/etc/wayward/client.key", path: true},
	{key: "tls.server_name", doc: "The name in the brokers' certificates, if it is not the host.",
		example: "kafka.example"},
	{key: "sasl",
		doc: "Who wayward is to the brokers. The password has no place in this file: name a file or an environment variable that holds it."},
	{key: "sasl.mechanism", doc: "plain, scram-sha-256 or scram-sha-512.", example: "scram-sha-512"},
	{key: "sasl.username", doc: "The user's name.", example: "wayward"},
	{key: "sasl.password_file", doc: "File with the password alone. Read again for each connection.",
		example: "/run/secrets/kafka", path: true},
	{key: "sasl.password_env", doc: "Environment variable with the password, instead of a file.", example: `""`},
	{key: "sasl.allow_plaintext",
		doc:     "Allow mechanism plain without tls to another machine, where anybody on the way can read the password.",
		example: "false"},

	{key: "group",
		doc: "Prefix of consumer groups and transactional ids: the same for all instances that share the work."},
	{key: "instance",
		doc:     "Name of this instance: unique in the group, and the same after a restart. The host's name without.",
		example: "wayward-0"},
	{key: "stages", doc: "Stages that this instance runs: ingress, behaviour, relation. All without.",
		example: "[behaviour, relation]"},
	{key: "state", doc: "Directory of this instance's state, and of the embedded broker's data. It needs a local disk.",
		path: true},
	{key: "disk_free_min",
		doc: "Room to be kept free on the file system of state: with less, nothing is saved, /readyz says so, and the instance stops before the disk is full. As 512MiB or 2GiB; auto: a sixteenth of the file system, from 16 MiB to 256 MiB. Never less than a write may take."},
	{key: "policies",
		doc:     "Directory with personas/, limits/, tools/, inventory/, response/ and tenants/, those that are there. Without, three built-in limits apply.",
		example: "/etc/wayward/policies", path: true},
	{key: "listen",
		doc: "Address of /metrics, /healthz and /readyz. They ask for no password, so keep it on loopback or behind something that does. off: none."},
	{key: "memory",
		doc:     "Memory of this process. What has been idle longest is kept on disk alone once two fifths of it are in use, which costs time and changes nothing that is found; the rest is for the garbage collector and for buffers. At least 512MiB; off: no bound. Without: GOMEMLIMIT, else seven tenths of the cgroup's limit, else half of the machine.",
		example: "2GiB"},

	{key: "topics", doc: "Topics: wayward topics apply creates them like this."},
	{key: "topics.prefix", doc: "Put before every name, for several wayward on one cluster.", example: "staging."},
	{key: "topics.events", doc: "What agents do, keyed tenant|agent.id. Producers write it."},
	{key: "topics.alerts", doc: "Findings, OCSF. Read it with isolation.level=read_committed."},
	{key: "topics.dlq",
		doc: "Records that did not decode, and feedback that was refused, with the reason in the headers."},
	{key: "topics.commands",
		doc: "What gateways and playbooks are told to do, keyed by scope. Read it with isolation.level=read_committed."},
	{key: "topics.breakers",
		doc: "The present state of every scope that is stopped or slowed down. Compacted: a gateway reads it from the start."},
	{key: "topics.acks", doc: "What gateways answer. They write it."},
	{key: "topics.feedback", doc: "Verdicts, and signed trips and restores. People and playbooks write it."},
	{key: "topics.inventory", doc: "Agents, tools and servers as seen. Compacted."},
	{key: "topics.baselines", doc: "What was learned of each persona by the end of each day. Compacted."},
	{key: "topics.control", doc: "What behaviour shards are told. Internal."},
	{key: "topics.journal", doc: "What each transaction of a behaviour shard took. Internal."},
	{key: "topics.facts", doc: "What behaviour shards tell relation shards. Internal."},
	{key: "topics.sets", doc: "Policies by their hash. Internal, compacted."},
	{key: "topics.changelog_behaviour",
		doc: "Pages of behaviour shards, for an instance on a new machine. Internal, compacted."},
	{key: "topics.changelog_relation", doc: "Pages of relation shards, likewise."},
	{key: "topics.partitions",
		doc: "Partitions of events, and so the number of behaviour shards. Chosen once: to change it see wayward state rebuild."},
	{key: "topics.facts_partitions", doc: "Partitions of facts, and so the number of relation shards, likewise."},
	{key: "topics.replication", doc: "Copies of each record; 0: three if there are three brokers, else one."},
	{key: "topics.compression",
		doc: "Codec of what wayward writes: gzip, which every client reads, zstd, snappy, lz4 or none. wayward topics apply sets it on the topics that others read."},
	{key: "topics.retention",
		doc: "How long records are kept. Breakers, inventory, sets and changelogs are compacted and kept for ever."},
	{key: "topics.retention.events",
		doc: "State is made anew from events: keep them at least as long as the longest window."},
	{key: "topics.retention.alerts", doc: "Findings."},
	{key: "topics.retention.dlq", doc: "Records that did not decode."},
	{key: "topics.retention.commands", doc: "Commands and acks."},
	{key: "topics.retention.feedback", doc: "Feedback."},
	{key: "topics.retention.internal",
		doc: "Control, journal and facts: at least twice engine.changelog_every, and as long as an instance may be away."},

	{key: "ingress",
		doc:     "Topics of producers who cannot set the key tenant|agent.id: their records are brought over to topics.events. Formats: native.",
		example: "[{topic: raw.events, format: native}]"},

	{key: "embedded", doc: "The broker that wayward brings if there are no brokers."},
	{key: "embedded.port", doc: "Its port on loopback; 0: any that is free."},

	{key: "engine", doc: "How the engine works. The defaults suit most."},
	{key: "engine.max_poll", doc: "Most records that one transaction takes.", unit: "records"},
	{key: "engine.transaction_every",
		doc: "Least time between two transactions: longer is cheaper, shorter is faster."},
	{key: "engine.transaction_timeout",
		doc: "The broker aborts a transaction after so long. Also the longest that a dead instance's transaction holds up others."},
	{key: "engine.session_timeout",
		doc: "An instance that is silent for so long loses its partitions to the others. Not below the broker's group.min.session.timeout.ms, mostly 6s."},
	{key: "engine.checkpoint_every", doc: "How often state goes to the disk: a restart reads again what came since."},
	{key: "engine.changelog_every",
		doc: "How often state goes to the changelog topics, for an instance that comes without its disk."},
	{key: "engine.max_ahead",
		doc: "Event time by which a behaviour shard may run ahead of the relation stage before it waits."},
	{key: "engine.page_cap",
		doc:  "Agents, sessions and scopes that a tenant may have remembered, in each stage: the partitions share it equally, so no tenant can use up the memory of the others. Beyond it what was idle for an hour makes room, the longest idle first; without room an agent is judged by single events alone, and its findings say so. Sessions of one agent may take an eighth. A million take about 2 GB while all are at work, 600 MB put by, 40 MB and 1 GB of disk once they are on disk (see memory).",
		unit: "pages"},

	{key: "findings", doc: "Findings beside the topic."},
	{key: "findings.file", doc: "Append committed findings to this file, OCSF, one a line.", example: "findings.jsonl",
		path: true},
	{key: "sinks",
		doc:     "Where committed records go beside the topics, each of a type: file (with its path) or terminal. format: ocsf or text; records: findings, commands, or both; findings alone without. A sink that is too slow holds up nothing: the log says what it missed, and the topics have it.",
		example: "[{type: file, path: commands.jsonl, records: [commands]}]"},
}

// settingOf finds a setting by its key.
func settingOf(key string) (setting, bool) {
	for _, s := range settings {
		if s.key == key {
			return s, true
		}
	}
	return setting{}, false
}
