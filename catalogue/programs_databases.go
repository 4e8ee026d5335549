package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Clients of databases.

// classifyDatabaseClient reads the SQL that a client carries.
func classifyDatabaseClient(s *shell, name string, args []word, in stdin) (a action) {
	ops, options := operands(args, "hHpPUudcefQSDtTLRoOv",
		"host port username user dbname command execute file query server port password database eval output host")
	if h, ok := option(options, "h", "host", "server", "S", "H"); ok && name != "sqlite3" && name != "duckdb" &&
		(strings.ContainsAny(h, ".:$") || h != "" && !isPath(h)) {
		s.reach(h)
	}
	for _, x := range args {
		if strings.Contains(x.text, "://") && event.IsURL(x.text) {
			s.reach(x.text)
		}
	}
	switch {
	case strings.Contains(name, "dump"):
		return action{event.Read, name}
	case name == "redis-cli":
		return classifyRedis(name, ops)
	case name == "mongosh", name == "mongo", name == "pg_restore":
		if v, ok := option(options, "eval"); ok {
			s.scanCode(v)
		}
		return action{event.Exec, name}
	}
	for _, o := range options {
		switch o[0] {
		case "c", "command", "e", "execute", "Q", "q", "query":
			if o[1] != "" && !(name == "mysql" && o[0] == "c") {
				a.add(classifySQLWord(word{o[1], !strings.Contains(o[1], "$")}))
			}
		case "f", "file":
			s.path(o[1])
			a.add(action{event.Exec, "a script"})
		}
	}
	switch name {
	case "sqlite3", "sqlite", "duckdb": // a file, then SQL or commands with a dot
		if len(ops) > 0 {
			s.path(ops[0].text)
		}
		for _, x := range ops[min(1, len(ops)):] {
			if command, ok := strings.CutPrefix(x.text, "."); ok {
				a.add(classifyDotCommand(command))
			} else {
				a.add(classifySQLWord(x))
			}
		}
	case "bq", "cockroach": // a verb, then SQL
		for i, x := range ops {
			if i > 0 && strings.Contains(x.text, " ") {
				a.add(classifySQLWord(x))
			}
		}
	}
	if in.known && a.class == event.NoClass {
		a.add(classifySQLWord(word{in.text, true}))
	}
	if a.class == event.NoClass {
		if _, list := option(options, "l", "list"); list && name == "psql" {
			return action{event.Read, name}
		}
		return action{event.Exec, name}
	}
	return a
}

// classifySQLWord reads a word that is SQL.
func classifySQLWord(x word) action {
	c, by := classifySQL(x.text, true)
	if !x.known && stronger(event.Exec, c) {
		c, by = event.Exec, "a variable for SQL"
	}
	return action{c, by}
}

// classifyDotCommand reads a command of SQLite's shell.
func classifyDotCommand(command string) action {
	switch w, _, _ := strings.Cut(command, " "); w {
	case "tables", "schema", "databases", "indexes", "headers", "mode", "show", "dump":
		return action{event.Read, w}
	default:
		return action{event.Exec, w}
	}
}

// classifyRedis reads the first word that is a known command.
func classifyRedis(name string, ops []word) action {
	for _, x := range ops {
		switch event.Lower(x.text) {
		case "del", "unlink", "flushall", "flushdb":
			return action{event.Delete, x.text}
		case "get", "keys", "scan", "info", "ttl", "type", "exists", "hgetall", "lrange", "smembers", "ping", "dbsize",
			"mget", "hget":
			return action{event.Read, x.text}
		case "set", "hset", "lpush", "rpush", "sadd", "expire", "incr", "mset":
			return action{event.Write, x.text}
		}
	}
	return action{event.Exec, name}
}
