package catalogue

import (
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What a verb means with a noun: send_money pays, transfer_to_agent delegates, pay_status reads.

// refinement is a row: with such nouns, the verb makes the call another class. What a row leaves
// out may be anything. Rows of one verb exclude each other, so their order does not matter, except
// for rows with otherwise set.
type refinement struct {
	verbs     string
	noun      nouns // what is acted on is one of these
	but       nouns // and none of these
	among     nouns // any of several nouns is one of these
	after     nouns // a noun behind a preposition is one of these
	notAfter  nouns // and none of these
	otherwise bool  // no row above fits

	class event.Class // what the call is; NoClass: the name leaves it open
	with  deciding
	// example is the name of a tool that no other row reads correctly.
	example string
}

// deciding says which word evidence shows beside the verb.
type deciding uint8

const (
	theNoun  deciding = iota // what is acted on
	noWord                   // none
	thePlace                 // the noun behind the preposition
)

// noNoun is the set of no noun: a name without any fits it.
var noNoun = nouns{"": true}

// union has the words of several sets.
func union(sets ...nouns) nouns {
	all := nouns{}
	for _, set := range sets {
		for w := range set {
			all[w] = true
		}
	}
	return all
}

// without has the words of a set but some.
func (n nouns) without(words string) nouns {
	rest := union(n)
	for w := range strings.FieldsSeq(words) {
		delete(rest, w)
	}
	return rest
}

var refinements = []refinement{
	// Money moves.
	{verbs: "make create do issue process schedule initiate submit execute perform place complete start trigger",
		noun: paymentNouns, class: event.Pay, example: "create_refund"},
	{verbs: "run", noun: nounsOf(`payroll`), class: event.Pay, example: "run_payroll"},
	{verbs: "place submit", noun: nounsOf(`order`), class: event.Pay, example: "place_order"},
	{verbs: "send", noun: union(moneyNouns, paymentNouns), class: event.Pay, example: "send_money"},
	{verbs: "move", noun: moneyNouns, class: event.Pay, example: "move_funds"},
	{verbs: "settle credit debit sell invest trade tip bid deposit wire charge refund pay", noun: reportNouns,
		class: event.Read, example: "pay_status"},

	// Rights are given. An invitation into a space that stays open (a team, a channel) gives access;
	// an invitation to an event is a message.
	{verbs: "create make", noun: rights.without(`member role`), class: event.Grant, example: "create_permission"},
	{verbs: "update set change add modify edit insert put alter adjust register configure enable", noun: rights,
		class: event.Grant, example: "set_role"},
	{verbs: "add insert put", noun: persons, but: rights, after: spaces, class: event.Grant, with: thePlace,
		example: "add_user_to_group"},
	{verbs: "invite", noun: union(persons, rights, spaces), notAfter: events, class: event.Grant, with: noWord,
		example: "invite_user"},
	{verbs: "invite", after: spaces, but: events, notAfter: events, otherwise: true, class: event.Grant, with: noWord,
		example: "invite_to_channel"},
	{verbs: "assign reassign", noun: rights, class: event.Grant, example: "assign_role"},
	{verbs: "assign reassign", noun: nounsOf(`label tag category seat value priority`), class: event.Write,
		example: "assign_label"},

	// Work is delegated.
	{verbs: "execute run start", noun: agents.without(`person queue team`), class: event.Delegate,
		example: "run_agent"},
	{verbs: "call invoke ask spawn launch message", noun: agents.without(`person support`),
		class: event.Delegate, example: "call_agent"},
	{verbs: "contact", noun: agents.without(`person`), class: event.Delegate, example: "contact_support"},
	{verbs: "transfer", noun: nounsOf(`ownership admin`), class: event.Grant, example: "transfer_ownership"},
	{verbs: "transfer", among: agents, otherwise: true, class: event.Delegate, with: noWord,
		example: "transfer_agent"},
	{verbs: "transfer", after: agents, otherwise: true, class: event.Delegate, with: noWord,
		example: "transfer_to_human"},
	{verbs: "transfer", noun: nounsOf(`call chat conversation ticket`), otherwise: true, class: event.Delegate,
		with: noWord, example: "transfer_call"},
	{verbs: "transfer", noun: union(readable, nounsOf(`data`)), otherwise: true, class: event.Send,
		example: "transfer_file"},
	{verbs: "transfer", but: union(moneyNouns, paymentNouns, noNoun, nounsOf(`balance account amount`)), otherwise: true,
		class: event.Write, example: "transfer_inventory"},

	// Calls of functions, and of people.
	{verbs: "make", noun: nounsOf(`call`), class: event.Send, example: "make_call"},
	{verbs: "call", noun: machines, class: event.Exec, example: "call_api"},
	{verbs: "call", but: union(persons, noNoun, nounsOf(`phone number`)), otherwise: true, example: "call_it"},

	// What a thing, a record or a talk is done to.
	{verbs: "start stop", noun: states, class: event.Write, example: "start_conversation"},
	{verbs: "reply respond answer", noun: talks, class: event.Write, with: noWord, example: "reply_ticket"},
	{verbs: "reply respond answer", after: talks, otherwise: true, class: event.Write, with: noWord,
		example: "reply_to_ticket"},
	{verbs: "open", noun: readable, class: event.Read, example: "open_file"},
	{verbs: "open", but: union(states, nounsOf(`account issue pr request position`)), otherwise: true,
		example: "open_door"},
	{verbs: "resolve", noun: symbols, class: event.Read, example: "resolve_hostname"},
	{verbs: "checkout", noun: nounsOf(`branch repo commit git revision`), class: event.Write,
		example: "git_checkout_branch"},
	{verbs: "accept", noun: nounsOf(`offer quote request term proposal bid`), class: event.Approve,
		example: "accept_offer"},
	{verbs: "promote", but: union(persons, noNoun), class: event.Exec, example: "promote_release"},
	{verbs: "push", noun: nounsOf(`notification message alert`), class: event.Send, example: "push_notification"},

	// Nouns more often than verbs.
	{verbs: "issue", noun: noNoun, example: "issue"},
	{verbs: "file", but: nounsOf(`claim complaint tax dispute case`), example: "file_photo"},
}

// refinementsOf are the rows of each verb.
var refinementsOf = indexRefinements(refinements)

func indexRefinements(rows []refinement) map[string][]*refinement {
	of := map[string][]*refinement{}
	for i := range rows {
		for verb := range strings.FieldsSeq(rows[i].verbs) {
			of[verb] = append(of[verb], &rows[i])
		}
	}
	return of
}

// fits reports whether a row is about these nouns. tail are those behind a preposition.
func (f *refinement) fits(r *reading, tail []string) bool {
	head, behind := r.head(), reading{nouns: tail}
	return (f.noun == nil || f.noun[head]) && !f.but[head] && (f.among == nil || r.has(f.among)) &&
		(f.after == nil || behind.has(f.after)) && !behind.has(f.notAfter)
}

// refine changes the class of a verb by its noun and by the nouns behind a preposition.
func refine(r *reading, tail []string) {
	for _, f := range refinementsOf[r.verb] {
		if !f.fits(r, tail) {
			continue
		}
		r.class, r.effect, r.certain = f.class, effects[f.class], f.class != event.NoClass
		switch {
		case !r.certain || f.with == noWord:
		case f.with == theNoun:
			r.qualifier = r.head()
		case f.with == thePlace:
			r.qualifier = tail[len(tail)-1]
		}
		return
	}
}
