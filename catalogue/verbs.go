package catalogue

import (
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// What the names of tools mean. A name is a short English sentence without grammar: get_order,
// orders.list, deleteUser, mcp__crm__customer-search. It is split into words, the verb is found by
// its place, and the noun behind it may change what the verb means (send_money, get_payment).

// tier is where in a name a word is a verb.
type tier uint8

const (
	sure   tier = iota + 1 // wherever it stands: delete, fetch
	mostly                 // in the first or last place: list, run, check
	seldom                 // in the first place, if no other verb follows: order, mail, report
)

type verb struct {
	class  event.Class
	effect event.SideEffect // mostly that of its class
	tier   tier
}

// effects are the usual side effects of each class.
var effects = [...]event.SideEffect{
	event.Read: event.NoSideEffect, event.Write: event.Reversible, event.Delete: event.Irreversible,
	event.Send: event.Irreversible,
	event.Exec: event.UnknownEffect, event.Pay: event.Irreversible, event.Approve: event.UnknownEffect,
	event.Grant:    event.Reversible,
	event.Delegate: event.Reversible,
}

var verbs = map[string]verb{}

func init() {
	for _, v := range []struct {
		class event.Class
		tier  tier
		words string
	}{
		{event.Read, sure, `
			get fetch retrieve find search lookup show read describe inspect browse verify validate compare
			analyze analyse summarize summarise extract parse detect examine explore discover grep locate
			crawl scrape navigate calculate compute convert translate estimate predict classify recommend
			suggest measure whois nslookup traceroute obtain enumerate`},
		{event.Read, seldom, `is has can what which who how when where`},
		{event.Read, mostly, `
			exists list query check view count download export watch monitor track trace tail diff select
			peek poll ping preview scan filter sort probe visit dump evaluate ls cat stat dig pull audit
			load ask`},
		{event.Write, sure, `
			create update modify edit add insert append write save upsert rename replace unarchive enable
			disable activate deactivate enroll reserve reschedule alter adjust amend configure attach detach
			unlink subscribe unsubscribe follow unfollow generate compose initialize initialise init reopen
			renew extend redeem submit cancel acknowledge ack dismiss increment decrement remember memorize
			setup login logout signin signup signout authenticate checkin backup unblock unlock unmute unpin
			unstar unlike untag unflag unassign unshare recreate revoke demote make prepare customize
			normalize upvote downvote`},
		{event.Write, mostly, `
			set put move copy patch merge mark archive restore register change upload import sync fork clone
			commit push close lock block ban mute kick hold release upgrade downgrade apply claim complete
			finish pause resume snooze resolve open unset reset process confirm do perform initiate request
			place remap switch toggle react vote accept fill enter migrate turnon turnoff optin optout join
			leave rebook`},
		{event.Write, seldom, `
			order book schedule tag label flag pin star like bookmark comment note log record store file
			draft link review return exchange ship input invoice bill cache index rent rate issue`},
		{event.Delete, sure, `
			delete remove destroy purge erase wipe truncate terminate discard expunge decommission offboard
			uninstall rmdir forget cleanup`},
		{event.Delete, mostly, `drop clear rm del prune evict trash unregister deregister`},
		{event.Send, sure, `
			send publish notify broadcast announce respond deliver transmit tweet retweet resend remind emit
			speak`},
		{event.Send, mostly, `share forward invite reply answer dispatch say`},
		{event.Send, seldom, `post email mail message dm text sms fax page alert call report contact chat`},
		{event.Exec, sure, `
			invoke launch spawn restart reboot shutdown rerun deploy redeploy undeploy rollback provision
			install compile sudo`},
		{event.Exec, mostly, `execute run exec eval start stop kill scale trigger build test debug rebuild`},
		{event.Exec, seldom, `bash shell powershell terminal cmd python ssh repl command script`},
		{event.Pay, sure, `buy rebuy repurchase withdraw disburse remit reimburse donate repay prepay payout`},
		{event.Pay, mostly, `pay purchase checkout`},
		{event.Pay, seldom, `transfer refund charge wire deposit credit debit tip sell invest trade bid settle`},
		{event.Approve, sure, `approve reject authorize authorise decline deny ratify countersign`},
		{event.Approve, mostly, `sign endorse veto`},
		{event.Grant, sure, `grant permit elevate impersonate`},
		{event.Grant, mostly, `allow promote`},
		{event.Grant, seldom, `whitelist allowlist`},
		{event.Delegate, sure, `delegate assign reassign handoff handover`},
		{event.Delegate, mostly, `escalate`},
	} {
		for word := range strings.FieldsSeq(v.words) {
			verbs[word] = verb{class: v.class, tier: v.tier, effect: effects[v.class]}
		}
	}
	for word, effect := range map[string]event.SideEffect{
		"cancel": event.Irreversible, "trash": event.Reversible, "uninstall": event.Reversible,
		"unregister": event.Reversible,
		"deregister": event.Reversible, "submit": event.UnknownEffect, "do": event.UnknownEffect,
		"process": event.UnknownEffect,
		"apply":   event.UnknownEffect, "commit": event.UnknownEffect, "evaluate": event.UnknownEffect,
		"confirm": event.UnknownEffect,
	} {
		v := verbs[word]
		v.effect = effect
		verbs[word] = v
	}
}

// nouns is a set of words, in the singular.
type nouns map[string]bool

func nounsOf(words string) nouns {
	n := nouns{}
	for w := range strings.FieldsSeq(words) {
		n[w] = true
	}
	return n
}

var (
	// prepositions end what a verb acts on. Behind them stands by what, for whom, from where.
	prepositions = nounsOf(`
		by for from with in on of to at via and or without per about using as into onto within between after
		before through`)
	// particles make one verb of two words: look up, log in, hand off.
	particles = nounsOf(`up in out off over back down on`)
	// lightVerbs say little: the next word says what is done.
	lightVerbs = nounsOf(`run execute perform do process start trigger`)
	// fillers say nothing about what is touched.
	fillers = nounsOf(`
		all any my the a an new current own single multiple bulk batch many each every other recent latest
		direct pending logged active existing`)
	// prefixWords say nothing in front of a name.
	prefixWords = nounsOf(`api tool mcp service client admin internal external auto async bulk batch my the`)
	// reportNouns make a tool a read if it is named after them: order_status. A word before them is a
	// noun, not a verb.
	reportNouns = nounsOf(`
		status state detail info information history list count total balance rate price policy statistic
		stat summary metadata schema overview forecast weather version health timeline usage log metric
		report time date id availability statement quota`)
	// runners make a tool exec if it is named after them: code_interpreter.
	runners = nounsOf(`interpreter execution executor repl terminal console shell bash runner`)

	persons = nounsOf(`
		user customer patient client member employee passenger guest student applicant candidate person
		people contact subscriber citizen driver claimant policyholder cardholder borrower debtor payer
		buyer seller lead staff worker resident owner author colleague friend traveler traveller donor voter
		holder`)
	paymentNouns = nounsOf(`
		payment transfer transaction refund payout withdrawal deposit charge purchase donation disbursement
		remittance reimbursement payroll trade bid`)
	moneyNouns = nounsOf(`money fund cash payment`)
	rights     = nounsOf(`
		permission role access acl privilege membership entitlement admin administrator collaborator member
		ownership grant iam`)
	spaces = nounsOf(`
		channel group team workspace org organization organisation repo repository project role company room
		server guild club space`)
	agents = nounsOf(`
		agent subagent human operator representative rep department support queue assistant supervisor team
		desk person specialist`)
	machines = nounsOf(`function api tool endpoint method procedure lambda service webhook url http`)
	events   = nounsOf(`meeting event call appointment interview webinar party conference`)
	talks    = nounsOf(`ticket issue case comment review`)
	readable = nounsOf(`
		file document doc url page webpage link folder image website site tab browser pdf email message
		attachment`)
	symbols = nounsOf(`dns domain host hostname name url path reference address symbol type library`)
	states  = nounsOf(`
		conversation chat session trial subscription return timer meeting order ticket case claim dispute
		project task`)

	secretNouns    = nounsOf(`password passwd secret credential passphrase apikey vault otp token`)
	financialNouns = nounsOf(`
		payment refund invoice transaction iban balance bank card billing payroll salary payout ledger loan
		expense money fund mortgage tax creditcard`)
	privateNouns = nounsOf(`
		customer user patient employee passenger person people contact profile student applicant candidate
		ssn passport identity medical guest subscriber citizen`)

	// things are types of resources that an argument may be named after: repo, table, ticket. A first
	// word that is none of them may be the name of a product.
	things = nounsOf(`
		account address airline agent alert app appointment article artifact asset attachment backup balance
		bank basket bill board booking bot branch bucket budget build calendar campaign card cart case
		category certificate channel claim cluster collection column comment commit company configuration
		container contract conversation coupon course credential dashboard data database dataset deal
		deployment device directory disk dispute doc document domain door driver drive email endpoint
		environment event expense feature feed field file flight folder form function gist group host hotel
		image incident index instance inventory invoice issue item job key label lease ledger license link
		list loan location log machine mail mailbox meeting member menu merchant message metric milestone
		model module monitor namespace network node note notebook notification object offer order org
		organization package page partition password patient payment permission phone photo pipeline plan
		playlist pod policy post process product profile project promotion property pull queue quote record
		refund region release reminder repo repository report request reservation resource restaurant review
		role room route rule sandbox schema script secret server service session sheet shipment site
		snapshot song space spreadsheet stack store stream subscription summary survey system table tag
		target task team template test text thread ticket token topic track transaction transcript transfer
		trip user vault vehicle vendor version video view vm volume warehouse webhook website wiki workflow
		workspace zone`)
)

// maxWords bounds the words of a name that are read.
const maxWords = 24

// phrase is the name of a tool, split into words.
type phrase struct {
	// segments have dots, slashes, colons or double underscores between them. Words are in lower
	// case.
	segments [][]string
}

// phraseOf splits a name. All segments are kept, since the verb may be in front (delete.user). A
// first word that is part of the server's name is dropped (git_star of the server github).
func phraseOf(s, server string) phrase {
	var p phrase
	left := maxWords
	rest := strings.ReplaceAll(s, "__", "/")
	for part := range strings.FieldsFuncSeq(rest, func(r rune) bool {
		return r == '.' || r == '/' || r == ':' ||
			r == '#'
	}) {
		words := splitWords(part, left)
		left -= len(words)
		if len(words) > 1 && len(words[0]) > 2 && strings.Contains(event.Lower(server), words[0]) {
			words = words[1:]
		}
		if len(words) > 0 {
			p.segments = append(p.segments, words)
		}
	}
	return p
}

// splitWords splits snake_case, kebab-case, camelCase and HTTPServer into words in lower case, at
// most that many.
func splitWords(s string, most int) []string {
	var words []string
	add := func(w string) {
		if w != "" && len(words) < most {
			words = append(words, event.Lower(w))
		}
	}
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case !isWordByte(c):
			add(s[start:i])
			start = i + 1
		case i > start && isUpper(c) && (!isUpper(s[i-1]) || i+1 < len(s) && isLower(s[i+1])):
			add(s[start:i])
			start = i
		}
	}
	add(s[start:])
	return words
}

func isUpper(c byte) bool    { return 'A' <= c && c <= 'Z' }
func isLower(c byte) bool    { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool    { return '0' <= c && c <= '9' }
func isWordByte(c byte) bool { return isUpper(c) || isLower(c) || isDigit(c) || c >= 0x80 }

// singular removes the plural of a noun, as far as its ending shows it.
func singular(w string) string {
	switch {
	case len(w) < 4 || strings.HasSuffix(w, "ss") || strings.HasSuffix(w, "us") || strings.HasSuffix(w, "is"):
		if w == "ids" {
			return "id"
		}
		return w
	case strings.HasSuffix(w, "ies") && len(w) > 4:
		return w[:len(w)-3] + "y"
	case strings.HasSuffix(w, "sses"), strings.HasSuffix(w, "xes"), strings.HasSuffix(w, "ches"),
		strings.HasSuffix(w, "shes"):
		return w[:len(w)-2]
	case strings.HasSuffix(w, "s"):
		return w[:len(w)-1]
	}
	return w
}

// sameNouns maps synonyms to one word.
var sameNouns = map[string]string{"repository": "repo", "directory": "folder", "dir": "folder", "doc": "document",
	"mail": "email", "organisation": "organization", "org": "organization"}

// noun is a word as a type of resources: singular, and one word for synonyms.
func noun(w string) string {
	w = singular(w)
	if s := sameNouns[w]; s != "" {
		return s
	}
	return w
}

// reading is what the name of a tool means.
type reading struct {
	class     event.Class
	effect    event.SideEffect
	certain   bool     // the word hardly means anything else
	verb      string   // the word that decided; "" if none did
	qualifier string   // the noun that changed what it means
	nouns     []string // what is acted on, in the singular, the head last
}

// head is the noun that is acted on, or "".
func (r *reading) head() string {
	if len(r.nouns) == 0 {
		return ""
	}
	return r.nouns[len(r.nouns)-1]
}

// has reports whether one of the nouns is in a set.
func (r *reading) has(set nouns) bool {
	for _, n := range r.nouns {
		if set[n] {
			return true
		}
	}
	return false
}

// read returns what a name means. The last segment with a verb counts, since servers and modules
// stand in front.
func (p phrase) read() reading {
	for i := len(p.segments) - 1; i >= 0; i-- {
		if r, ok := readSegment(p.segments[i]); ok {
			if len(r.nouns) == 0 { // git.merge, users.list
				for j := len(p.segments) - 1; j >= 0; j-- {
					if n := nounsIn(p.segments[j]); j != i && len(n) > 0 &&
						(things[n[len(n)-1]] || persons[n[len(n)-1]]) {
						r.nouns = n
						break
					}
				}
			}
			return r
		}
	}
	// Without a verb, what the tool is named after: order_status, code_interpreter.
	if n := len(p.segments); n > 0 {
		words := clause(p.segments[n-1])
		last := singular(words[len(words)-1])
		switch {
		case last == "post" && slices.ContainsFunc(words, func(w string) bool { return protocols[w] }):
			return reading{class: event.Write, effect: effects[event.Write], verb: last,
				nouns: subject(nounsIn(words[:len(words)-1]))}
		case runners[last]:
			return reading{class: event.Exec, verb: last}
		case reportNouns[last]:
			return reading{class: event.Read, effect: event.NoSideEffect, verb: last, nouns: subject(nounsIn(words))}
		}
		return reading{nouns: nounsIn(words)}
	}
	return reading{}
}

// protocols are words next to which post is a method.
var protocols = nounsOf(`http https rest api request curl webhook`)

// clause is what stands before the first preposition.
func clause(words []string) []string {
	for i := 1; i < len(words); i++ {
		if prepositions[words[i]] && !(i == 1 && particles[words[1]] && verbs[words[0]+words[1]].tier != 0) {
			return words[:i]
		}
	}
	return words
}

// nounsIn are the words that name resources, in the singular.
func nounsIn(words []string) []string {
	var out []string
	for _, w := range words {
		if w = singular(w); !fillers[w] && !prepositions[w] && !isDigits(w) {
			out = append(out, noun(w))
		}
	}
	return out
}

// readSegment finds the verb of one segment and what it acts on.
func readSegment(words []string) (reading, bool) {
	for len(words) > 1 && prefixWords[words[0]] {
		words = words[1:]
	}
	main := clause(words)
	at, width := verbIn(main)
	if at < 0 {
		return reading{}, false
	}
	word := strings.Join(main[at:at+width], "")
	v := verbs[word]
	r := reading{class: v.class, effect: v.effect, certain: v.tier == sure, verb: word}
	object := main[at+width:]
	if len(object) == 0 {
		object = main[:at]
	}
	r.nouns = nounsIn(object)
	tail := nounsIn(words[len(main):])
	refine(&r, tail)
	if len(r.nouns) == 0 { // reply_to_ticket
		r.nouns = tail
	}
	r.nouns = subject(r.nouns)
	return r, true
}

// subject drops report nouns from the end: order details are about an order.
func subject(nouns []string) []string {
	for n := len(nouns); n > 1 && (reportNouns[nouns[n-1]] || nouns[n-1] == "type"); n-- {
		nouns = nouns[:n-1]
	}
	return nouns
}

// verbIn returns the place of the verb and how many words it has; -1 if there is none.
func verbIn(words []string) (at, width int) {
	n := len(words)
	look := func(i int) tier {
		if i+1 < n && particles[words[i+1]] && verbs[words[i]+words[i+1]].tier != 0 {
			return verbs[words[i]+words[i+1]].tier
		}
		return verbs[words[i]].tier
	}
	span := func(i int) (int, int) {
		if i+1 < n && particles[words[i+1]] && verbs[words[i]+words[i+1]].tier != 0 {
			return i, 2
		}
		return i, 1
	}
	first, last := look(0), look(n-1)
	if first == sure {
		return span(0)
	}
	if n > 1 && last == sure && (first != mostly || lightVerbs[words[0]]) {
		// run_search, order_cancel; but mark_read
		return span(n - 1)
	}
	if first == mostly {
		return span(0)
	}
	for i := 1; i < n-1; i++ { // email_send_all, github_create_issue
		if look(i) == sure {
			return span(i)
		}
	}
	if n > 1 && last == mostly { // order_list
		return span(n - 1)
	}
	if first == seldom && !(n > 1 && reportNouns[singular(words[n-1])]) { // order_status is none
		return span(0)
	}
	// A first word that is no noun we know is the name of a product: slack_list_channels,
	// stripe_refund_payment.
	if n > 2 && first == 0 && !things[singular(words[0])] && !persons[singular(words[0])] && look(1) != 0 &&
		!(look(1) == seldom && reportNouns[singular(words[n-1])]) {
		return span(1)
	}
	for i := 1; i < n-1; i++ {
		if look(i) == mostly {
			return span(i)
		}
	}
	return -1, 0
}
