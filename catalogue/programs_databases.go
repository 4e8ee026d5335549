package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// clients of databases carry SQL.
func clients(s *shell, name string, args []word, in stdin) (a act) {
	ops, options := operands(args, "hHpPUudcefQSDtTLRoOv",
		"host port username user dbname command execute file query server port password database eval output host")
	if h, ok := option(options, "h", "host", "server", "S", "H"); ok &&
		(strings.ContainsAny(h, ".:$") || h != "" && !isPath(h)) {
		if !(name == "sqlite3" || name == "duckdb") {
			s.reach(h)
		}
	}
	for _, x := range args {
		if strings.Contains(x.text, "://") && event.IsURL(x.text) {
			s.reach(x.text)
		}
	}
	if strings.Contains(name, "dump") {
		return act{event.Read, name}
	}
	if name == "redis-cli" {
		for _, x := range ops {
			switch event.Lower(x.text) {
			case "del", "unlink", "flushall", "flushdb":
				return act{event.Delete, x.text}
			case "get", "keys", "scan", "info", "ttl", "type", "exists", "hgetall", "lrange", "smembers", "ping",
				"dbsize", "mget", "hget":
				return act{event.Read, x.text}
			case "set", "hset", "lpush", "rpush", "sadd", "expire", "incr", "mset":
				return act{event.Write, x.text}
			}
		}
		return act{event.Exec, name}
	}
	if name == "mongosh" || name == "mongo" || name == "pg_restore" {
		if v, ok := option(options, "eval"); ok {
			s.code(v)
		}
		return act{event.Exec, name}
	}
	sql := func(v string, known bool) {
		c, by := statement(v, true)
		if !known && stronger(event.Exec, c) {
			c, by = event.Exec, "a variable for SQL"
		}
		a.add(act{c, by})
	}
	for _, o := range options {
		switch o[0] {
		case "c", "command", "e", "execute", "Q", "q", "query":
			if o[1] != "" && !(name == "mysql" && o[0] == "c") {
				sql(o[1], !strings.Contains(o[1], "$"))
			}
		case "f", "file":
			s.path(o[1])
			a.add(act{event.Exec, "a script"})
		}
	}
	switch name {
	case "sqlite3", "sqlite", "duckdb":
		if len(ops) > 0 {
			s.path(ops[0].text)
		}
		for _, x := range ops[min(1, len(ops)):] {
			if strings.HasPrefix(x.text, ".") {
				switch w, _, _ := strings.Cut(x.text[1:], " "); w {
				case "tables", "schema", "databases", "indexes", "headers", "mode", "show", "dump":
					a.add(act{event.Read, w})
				default:
					a.add(act{event.Exec, w})
				}
				continue
			}
			sql(x.text, x.known)
		}
	case "bq", "cockroach":
		for i, x := range ops {
			if i > 0 && strings.Contains(x.text, " ") {
				sql(x.text, x.known)
			}
		}
	}
	if in.known && a.class == event.NoClass {
		sql(in.text, true)
	}
	if a.class == event.NoClass {
		if _, list := option(options, "l", "list"); list && name == "psql" {
			return act{event.Read, name}
		}
		return act{event.Exec, name}
	}
	return a
}
