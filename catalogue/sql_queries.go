package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// classifyQuery returns what a query does: what it changes on the way, and which functions it
// calls.
func (r *sqlReader) classifyQuery(t []token) (c event.Class, word string) {
	c, word = event.Read, "select"
	for i := range t {
		found, by := event.NoClass, ""
		switch t[i].kind {
		case wordToken:
			found, by = r.classifyQueryWord(t, i)
		case nameToken:
			if isCall(t, i) && (i == 0 || !beforeNamesWithColumns[t[i-1].text]) && !isColumnList(t, i) {
				found, by = event.Exec, "function"
			}
		}
		if stronger(found, c) {
			c, word = found, by
		}
	}
	return c, word
}

// beforeStatements are the words behind which a query has a statement of its own: behind a bracket,
// the brackets of WITH, or in a block.
var beforeStatements = nounsOf("( ) as then materialized begin do else each row")

func isCall(t []token, i int) bool { return i+1 < len(t) && t[i+1].kind == '(' }

// classifyQueryWord returns what the query does by word i; NoClass where the word changes nothing.
func (r *sqlReader) classifyQueryWord(t []token, i int) (event.Class, string) {
	var before, beforeThat, after token
	if i > 0 {
		before = t[i-1]
	}
	if i > 1 {
		beforeThat = t[i-2]
	}
	if i+1 < len(t) {
		after = t[i+1]
	}
	starts := i == 0 || beforeStatements[before.text]
	named := after.kind == wordToken || after.kind == nameToken
	switch word := t[i].text; word {
	case "delete":
		if starts && after.kind != '(' && (after.text == "from" || t[0].text == "with" || before.text == "(") {
			return event.Delete, word
		}
	case "update":
		switch {
		case before.text == "for", before.text == "key" && beforeThat.text == "no":
			return event.Write, "for update"
		case starts && named:
			return event.Write, word
		}
	case "share":
		if before.text == "for" || before.text == "key" && beforeThat.text == "for" {
			return event.Write, "for share"
		}
	case "insert", "merge", "replace":
		if starts && (after.text == "into" || named) && after.kind != '(' || word == "merge" && i == 0 {
			return event.Write, word
		}
	case "truncate", "drop":
		if starts && i > 0 && after.kind == wordToken {
			return event.Delete, word
		}
	case "into":
		switch {
		case after.text == "outfile", after.text == "dumpfile":
			return event.Send, "into " + after.text
		case before.text == "insert", before.text == "merge", before.text == "replace", before.text == "overwrite":
		case after.kind == wordToken && strings.HasPrefix(after.text, "@"), after.kind == '@', after.kind == ':':
			return event.Exec, "into"
		default:
			return event.Write, "select into"
		}
	case "procedure":
		if t[0].text == "select" && after.kind == wordToken {
			return event.Exec, word
		}
	default:
		switch {
		case after.kind != '(':
		case harmlessFunctions[word]:
			if before.text == "." && i > 1 && !systemSchemas[beforeThat.text] {
				return event.Exec, "function"
			}
		case !sqlKeywords[word] && !beforeNamesWithColumns[before.text] && !isColumnList(t, i):
			return event.Exec, "function"
		}
	}
	return event.NoClass, ""
}

// isColumnList reports whether a name before a bracket is that of a table with its columns: WITH x
// (a, b) AS (…), INSERT INTO x (a, b).
func isColumnList(t []token, i int) bool {
	if i > 0 && (t[i-1].text == "." || t[i-1].kind == ')') && i > 1 && beforeNamesWithColumns[t[max(0, i-3)].text] {
		return true
	}
	depth := t[i+1].depth
	for j := i + 2; j < min(len(t), i+maxLookahead); j++ {
		if t[j].kind == ')' && t[j].depth == depth {
			return j+2 < len(t) && t[j+1].text == "as" && (t[j+2].kind == '(' || t[j+2].text == "materialized" ||
				t[j+2].text == "not") && (i == 1 || t[i-1].kind == ',' || t[i-1].text == "recursive")
		}
	}
	return false
}
