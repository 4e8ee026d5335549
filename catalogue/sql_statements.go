package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What one statement of SQL does, by its first word.

// sqlStatement is one statement, taken apart.
type sqlStatement struct {
	*sqlReader
	tokens []token
	first  string // its first word
}

// sqlRule is a row: what statements that begin with one of its words do. Exactly one of complete,
// decide and classify says how.
type sqlRule struct {
	words string
	class event.Class
	// complete reports whether the statement has more than its first word of SQL. If it does not,
	// the row holds only of texts that are certain to be SQL.
	complete func(s sqlStatement) bool
	// decide is complete for statements whose class depends on more than the first word.
	decide func(s sqlStatement) (c event.Class, complete bool)
	// classify decides alone, and names the word that decided.
	classify func(s sqlStatement) (event.Class, string)
	// bracketed: a query in brackets behind the first word counts too.
	bracketed bool
	// example is a statement that this row alone reads as it should be read.
	example string
}

// sqlRules has the row of each first word. It is filled by init, since rows refer to functions that
// refer to it.
var sqlRules map[string]*sqlRule

func init() { sqlRules = indexSQLRules(sqlRuleRows()) }

func indexSQLRules(rows []sqlRule) map[string]*sqlRule {
	rules := map[string]*sqlRule{}
	for i := range rows {
		for word := range strings.FieldsSeq(rows[i].words) {
			rules[word] = &rows[i]
		}
	}
	return rules
}

func sqlRuleRows() []sqlRule {
	never := func(sqlStatement) bool { return false }
	ofObject := func(s sqlStatement) bool { return s.object(1) }
	return []sqlRule{
		// What is looked up.
		{words: "select values with from table", classify: sqlStatement.query, example: "VALUES (1)"},
		{words: "explain describe desc", classify: sqlStatement.explain, example: "EXPLAIN SELECT 1"},
		{words: "show list help", class: event.Read, complete: never, example: "SHOW TABLES"},
		{words: "pragma", decide: sqlStatement.pragma, example: "PRAGMA table_info(t)"},

		// Rows of tables.
		{words: "delete", class: event.Delete, complete: func(s sqlStatement) bool {
			return s.word(1) == "from" || s.named() && s.has("from")
		}, example: "DELETE FROM t"},
		{words: "truncate", class: event.Delete, complete: func(s sqlStatement) bool {
			return s.word(1) == "table" || s.named() && len(s.tokens) <= 6 && s.object(1)
		}, example: "TRUNCATE TABLE t"},
		{words: "update", class: event.Write, complete: func(s sqlStatement) bool {
			return s.named() && s.has("set")
		}, example: "UPDATE t SET a = 1"},
		{words: "insert replace upsert", classify: sqlStatement.insert, example: "INSERT INTO t VALUES (1)"},
		{words: "merge", classify: sqlStatement.merge, example: "MERGE INTO t USING u ON a = b"},
		{words: "lock unlock", class: event.Write, complete: func(s sqlStatement) bool {
			return s.word(1) == "table" || s.word(1) == "tables" || s.named() && s.has("mode")
		}, example: "LOCK TABLE t"},

		// Tables, and what else a database has.
		{words: "create", classify: sqlStatement.create, example: "CREATE TABLE t (a int)"},
		{words: "alter", decide: sqlStatement.alter, example: "ALTER TABLE t DROP COLUMN a"},
		{words: "drop", class: event.Delete, complete: func(s sqlStatement) bool {
			return s.word(1) == "owned" || s.object(1)
		}, example: "DROP TABLE t"},
		{words: "purge", class: event.Delete, complete: ofObject, example: "PURGE TABLE t"},
		{words: "undrop reindex vacuum cluster optimize repair refresh rename checkpoint discard reset flush",
			class: event.Write, complete: ofObject, example: "REINDEX TABLE t"},
		{words: "comment label", class: event.Write, complete: func(s sqlStatement) bool {
			return s.word(1) == "on" || s.word(2) == "label"
		}, example: "COMMENT ON TABLE t IS 'x'"},
		{words: "analyze analyse", classify: sqlStatement.analyze, example: "ANALYZE TABLE t"},
		{words: "set", decide: sqlStatement.set, example: "SET ROLE admin"},

		// Rights.
		{words: "grant revoke deny", class: event.Grant, complete: func(s sqlStatement) bool {
			return (s.has("to") || s.has("from")) && (s.has("on") || s.named() && len(s.tokens) <= 5)
		}, example: "GRANT ALL ON t TO bob"},
		{words: "reassign", class: event.Grant, complete: func(s sqlStatement) bool {
			return s.word(1) == "owned"
		}, example: "REASSIGN OWNED BY a TO b"},

		// Data is carried in or out.
		{words: "copy", bracketed: true, decide: sqlStatement.copy, example: "COPY t TO '/tmp/x'"},
		{words: "unload export backup", bracketed: true, class: event.Send, complete: func(s sqlStatement) bool {
			return (s.has("to") || s.word(1) == "data" && s.has("as")) &&
				(s.kind(1) == '(' || s.word(1) == "data" || s.word(1) == "database" || s.word(1) == "table")
		}, example: "BACKUP DATABASE d TO 'x'"},
		{words: "load", bracketed: true, decide: func(s sqlStatement) (event.Class, bool) {
			if s.word(1) == "data" || s.word(1) == "xml" {
				return event.Write, true
			}
			return event.Exec, false // of a library
		}, example: "LOAD DATA INFILE 'x' INTO TABLE t"},
		{words: "get", bracketed: true, class: event.Read, complete: func(s sqlStatement) bool {
			return strings.HasPrefix(s.word(1), "@")
		}, example: "GET @stage file"},
		{words: "put", bracketed: true, class: event.Write, complete: func(s sqlStatement) bool {
			return s.word(1) == "file"
		}, example: "PUT file @stage"},
		{words: "restore import", bracketed: true, class: event.Write, complete: func(s sqlStatement) bool {
			w := s.word(1)
			return w == "database" || w == "table" || w == "into" || w == "foreign"
		}, example: "RESTORE DATABASE d"},

		// Code of the database is run.
		{words: "call", class: event.Exec, complete: func(s sqlStatement) bool {
			return s.named() && (len(s.tokens) == 2 && strings.ContainsAny(s.word(1), "_$") || s.kind(2) == '(' ||
				s.kind(2) == '.')
		}, example: "CALL clean_up()"},
		{words: "exec execute", class: event.Exec, complete: sqlStatement.executes, example: "EXEC sp_who"},
		{words: "do", class: event.Exec, complete: func(s sqlStatement) bool {
			return s.kind(1) == textToken || s.word(1) == "language" || s.kind(2) == '('
		}, example: "DO 'x'"},
		{words: "prepare deallocate handler kill shutdown attach detach signal", classify: sqlStatement.prepare,
			example: "ATTACH DATABASE 'x' AS y"},

		// Blocks and transactions: what is done in them counts.
		{words: "declare begin if while loop for end else return open fetch close start commit rollback savepoint " +
			"release abort use go listen unlisten notify", classify: sqlStatement.block,
			example: "BEGIN DELETE FROM t; END"},
	}
}

// classify returns what one statement does.
func (r *sqlReader) classify(t []token) (event.Class, string) {
	if r.nesting++; r.nesting > maxSQLDepth {
		return event.Exec, "deeper than is read"
	}
	defer func() { r.nesting-- }()
	for len(t) > 0 && (t[0].kind == '(' || t[0].kind == ')' || t[0].kind == ',') {
		t = t[1:]
	}
	if len(t) == 0 {
		return event.NoClass, ""
	}
	if t[0].kind != wordToken {
		return r.unsure("not a statement")
	}
	rule := sqlRules[t[0].text]
	if rule == nil {
		return r.unsure(t[0].text)
	}
	return rule.read(sqlStatement{r, t, t[0].text})
}

// read applies a row to a statement.
func (rule *sqlRule) read(s sqlStatement) (event.Class, string) {
	if rule.classify != nil {
		return rule.classify(s)
	}
	inner, by := event.NoClass, ""
	if rule.bracketed && s.kind(1) == '(' {
		inner, by = s.classifyQuery(s.tokens[1:])
	}
	c, complete := rule.class, false
	if rule.decide != nil {
		c, complete = rule.decide(s)
	} else {
		complete = rule.complete(s)
	}
	if stronger(inner, c) {
		return inner, by
	}
	return s.ifComplete(complete || inner != event.NoClass, c)
}

// unsure notes a statement that is not understood. It has no class.
func (r *sqlReader) unsure(word string) (event.Class, string) {
	if r.certain && r.notUnderstood == "" {
		r.notUnderstood = word
	}
	return event.NoClass, ""
}

// ifComplete is the class of a statement that is complete, or of a text that is certain to be SQL.
func (s sqlStatement) ifComplete(complete bool, c event.Class) (event.Class, string) {
	if complete || s.certain {
		return c, s.first
	}
	return event.NoClass, ""
}

// word is token i if it is a word or a name, in lower case; otherwise "".
func (s sqlStatement) word(i int) string {
	if i < len(s.tokens) && (s.tokens[i].kind == wordToken || s.tokens[i].kind == nameToken) {
		return event.Lower(s.tokens[i].text)
	}
	return ""
}

// kind is the kind of token i; 0 if there is none.
func (s sqlStatement) kind(i int) byte {
	if i < len(s.tokens) {
		return s.tokens[i].kind
	}
	return 0
}

// has reports whether a word stands behind the first.
func (s sqlStatement) has(word string) bool {
	for _, x := range s.tokens[1:] {
		if x.kind == wordToken && x.text == word {
			return true
		}
	}
	return false
}

// named reports whether a word or a name stands behind the first word.
func (s sqlStatement) named() bool { return s.kind(1) == wordToken || s.kind(1) == nameToken }

// object reports whether token i is a kind of object that a database has, or a word before one.
func (s sqlStatement) object(i int) bool { return sqlObjects[s.word(i)] || sqlModifiers[s.word(i)] }

func (s sqlStatement) query() (event.Class, string) {
	complete := true
	switch s.first {
	case "with":
		complete = s.named() && (s.has("as") || s.has("select"))
	case "values":
		complete = s.kind(1) == '('
	case "from":
		complete = s.has("select")
	case "table":
		complete = s.named() && len(s.tokens) == 2
	}
	if !complete {
		return s.unsure(s.first)
	}
	return s.classifyQuery(s.tokens)
}

// explain reads, unless it runs the statement to measure it.
func (s sqlStatement) explain() (event.Class, string) {
	if s.first == "explain" && !s.named() && s.kind(1) != '(' {
		return s.unsure(s.first)
	}
	if s.has("analyze") || s.has("analyse") {
		for i, x := range s.tokens {
			if i > 0 && x.kind == wordToken && x.depth == 0 && sqlStarts[x.text] {
				return s.sqlReader.classify(s.tokens[i:])
			}
		}
		return event.Exec, s.first
	}
	return s.ifComplete(len(s.tokens) <= 4 || sqlStarts[s.word(1)] || s.kind(1) == '(', event.Read)
}

func (s sqlStatement) pragma() (event.Class, bool) {
	for _, x := range s.tokens {
		if x.kind == '=' {
			return event.Write, true
		}
	}
	if s.kind(2) == '(' && !readPragmas[s.word(1)] {
		return event.Write, true
	}
	return event.Read, true
}

func (s sqlStatement) insert() (event.Class, string) {
	if s.first == "insert" && s.has("directory") {
		return event.Send, s.first // Hive writes files elsewhere
	}
	complete := s.word(1) == "into" ||
		s.named() && (s.has("values") || s.has("select") || s.word(1) == "overwrite")
	c, word := s.ifComplete(complete, event.Write)
	if inner, by := s.classifyQuery(s.tokens[1:]); c != event.NoClass && stronger(inner, c) {
		return inner, by
	}
	return c, word
}

func (s sqlStatement) merge() (event.Class, string) {
	for i, x := range s.tokens {
		if x.kind == wordToken && x.text == "then" && s.word(i+1) == "delete" {
			return event.Delete, "delete"
		}
	}
	return s.ifComplete(s.word(1) == "into" || s.named() && s.has("using"), event.Write)
}

// givesRights reports whether what a statement creates or alters is about rights.
func (s sqlStatement) givesRights() bool {
	for i := 1; i < min(len(s.tokens), 5); i++ {
		switch w := s.word(i); {
		case w == "user", w == "role", w == "login", w == "privileges", w == "grant",
			w == "policy" && s.first == "create", w == "default" && s.word(i+1) == "privileges":
			return true
		case sqlObjects[w]:
			return false
		}
	}
	return false
}

// create counts what a trigger or a function will do.
func (s sqlStatement) create() (event.Class, string) {
	c := event.Write
	if s.givesRights() {
		c = event.Grant
	}
	if s.object(1) {
		if inner, by := s.classifyQuery(s.tokens[1:]); inner == event.Delete || inner == event.Send {
			return inner, by
		}
	}
	return s.ifComplete(s.object(1), c)
}

func (s sqlStatement) alter() (event.Class, bool) {
	switch {
	case s.has("owner"), !s.has("drop") && s.givesRights():
		return event.Grant, s.object(1)
	case s.has("drop"):
		return event.Delete, s.object(1)
	}
	return event.Write, s.object(1)
}

func (s sqlStatement) analyze() (event.Class, string) {
	for i, x := range s.tokens {
		if i > 0 && x.kind == wordToken && sqlStarts[x.text] && x.text != "table" {
			return s.sqlReader.classify(s.tokens[i:])
		}
	}
	return s.ifComplete(s.word(1) == "table", event.Write)
}

func (s sqlStatement) set() (event.Class, bool) {
	switch w := s.word(1); w {
	case "role", "password":
		return event.Grant, true
	case "session":
		if s.word(2) == "authorization" {
			return event.Grant, true
		}
		return event.Write, true
	case "global", "local", "transaction", "names":
		return event.Write, true
	default:
		return event.Write, s.kind(2) == '=' || s.word(2) == "to" || strings.HasPrefix(w, "@")
	}
}

// copy sends what it copies out, and writes what it copies in.
func (s sqlStatement) copy() (c event.Class, complete bool) {
	to, from, into := -1, -1, -1
	for i, x := range s.tokens {
		if x.depth > 0 || x.kind != wordToken {
			continue
		}
		switch x.text {
		case "to":
			to = i
		case "from":
			from = i
		case "into":
			into = i
		}
	}
	complete = (to > 0 && to+1 < len(s.tokens) || from > 0) && len(s.tokens) <= 400
	switch {
	case to > 0:
		if w := s.word(to + 1); !s.certain && s.kind(min(to+1, len(s.tokens)-1)) == wordToken && w != "stdout" &&
			w != "program" {
			complete = false // "copy the file to me"
		}
		return event.Send, complete
	case into > 0 && (s.kind(into+1) == textToken || s.kind(into+1) == '@' ||
		s.kind(into+1) == wordToken && strings.HasPrefix(s.word(into+1), "@")):
		return event.Send, complete
	case from > 0 && !s.certain:
		w := s.word(from + 1)
		complete = complete && (s.kind(from+1) == textToken || w == "stdin" || w == "program" ||
			strings.HasPrefix(w, "@"))
	}
	return event.Write, complete
}

func (s sqlStatement) executes() bool {
	if s.kind(1) == '(' {
		return true
	}
	switch s.kind(2) {
	case '(', '.', textToken, numberToken:
		return s.named()
	}
	return s.named() && (len(s.tokens) == 2 || strings.HasPrefix(s.word(2), "@") || s.word(1) == "immediate")
}

// prepare is exec, or what the statement within does if that is worse.
func (s sqlStatement) prepare() (event.Class, string) {
	for i := 2; i < min(len(s.tokens), maxLookahead); i++ {
		if x := &s.tokens[i]; x.kind == wordToken && sqlStarts[x.text] {
			if c, by := s.sqlReader.classify(s.tokens[i:]); stronger(c, event.Exec) {
				return c, by
			}
		}
	}
	return s.ifComplete(s.first == "attach" && (s.word(1) == "database" || s.kind(1) == textToken) ||
		s.first == "prepare" && (s.has("as") || s.has("from")), event.Exec)
}

func (s sqlStatement) block() (event.Class, string) {
	c, by := s.classifyBlock(s.tokens)
	if c != event.NoClass || !s.certain && s.first != "begin" && s.first != "declare" {
		return c, by
	}
	switch s.first {
	case "declare", "if", "while", "loop", "for", "return", "else":
		return s.unsure(s.first)
	case "begin":
		if w := s.word(1); len(s.tokens) > 3 && w != "transaction" && w != "work" && w != "isolation" {
			return s.unsure(s.first)
		}
	case "notify":
		return event.Write, s.first
	}
	return event.NoClass, ""
}

// classifyBlock looks for statements within a block.
func (r *sqlReader) classifyBlock(t []token) (c event.Class, word string) {
	for i := 1; i < len(t); i++ {
		if t[i].kind != wordToken || !sqlStarts[t[i].text] || t[i].text == "table" || t[i].text == "values" {
			continue
		}
		switch t[i-1].text {
		case "begin", "then", "else", "do", "loop", "as", "for", "(", ")", "end", "is", "transaction", "work":
		default:
			if t[i-1].kind == wordToken && sqlKeywords[t[i-1].text] {
				continue
			}
		}
		if found, by := r.classify(t[i:]); stronger(found, c) {
			c, word = found, by
		}
		if c == event.Delete {
			break
		}
		if i > maxLookahead {
			break
		}
	}
	return c, word
}
