package catalogue

import (
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/wayward-sec/wayward/event"
)

// What arguments say: by their names, what part they play (classifyArg), and by their values, what
// kind of thing they are (shapeOf).

// shape is what a value looks like.
type valueShape uint8

const (
	anyShape valueShape = iota
	emailShape
	urlShape
	ibanShape
	cardShape
	phoneShape
	hostShape
	channelShape
	pathShape
	idShape
)

// shapeNames are the words of evidence.
var shapeNames = [...]string{"", "an e-mail address", "a URL", "an IBAN", "a card number", "a phone number", "a host",
	"a channel", "a path", "an id"}

// shapeKinds are the words of destination.kind.
var shapeKinds = [...]string{"", "email", "url", "iban", "card", "phone", "host", "channel", "", ""}

func (s valueShape) String() string { return shapeNames[s] }

// shapeOf tells what a value looks like. What looks like two things is the narrower one.
func shapeOf(s string) valueShape {
	switch {
	case s == "" || len(s) > event.MaxString:
		return anyShape
	case plainEmail(s) > 0:
		return emailShape
	case isURL(s):
		return urlShape
	case isEmail(s):
		return emailShape
	case isIBAN(s):
		return ibanShape
	case isCard(s):
		return cardShape
	case isPhone(s):
		return phoneShape
	case s[0] == '#' && len(s) > 1 && strings.IndexByte(s, ' ') < 0:
		return channelShape
	case isPath(s):
		return pathShape
	case isHostName(s):
		return hostShape
	case isIdentifier(s):
		return idShape
	}
	return anyShape
}

// plainEmail returns the place of the @ of one address of the usual letters, or 0.
func plainEmail(s string) int {
	at := strings.IndexByte(s, '@')
	if at <= 0 || at > 64 {
		return 0
	}
	for i := range at {
		if !usual[s[i]] && s[i] != '+' {
			return 0
		}
	}
	dot := 0
	for i := at + 1; i < len(s); i++ {
		if !usual[s[i]] {
			return 0
		}
		if s[i] == '.' {
			dot = i
		}
	}
	if dot <= at+1 || dot == len(s)-1 {
		return 0
	}
	return at
}

// usual are the letters of plain host names, and of most that stands before an @.
var usual = func() (t [256]bool) {
	for c := range t {
		t[c] = isWordByte(byte(c)) && c < 0x80 || c == '.' || c == '-' || c == '_'
	}
	return t
}()

// isEmail takes one address or a list of them, with or without names, and mailto:. What is no plain
// address is none.
func isEmail(s string) bool {
	if strings.IndexByte(s, '@') < 0 {
		return false
	}
	if len(s) > 7 && strings.EqualFold(s[:7], "mailto:") {
		s = s[7:]
	}
	found := false
	for s != "" {
		part := s
		if i := strings.IndexAny(s, ",;"); i >= 0 {
			part, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		if strings.IndexByte(part, '@') < 0 {
			continue // half of "Doe, Jane" <jane@acme.com>
		}
		if d := DomainOf(part); d == "" || strings.IndexByte(d, '.') <= 0 {
			return false
		}
		local := strings.TrimSpace(part)
		if i := strings.LastIndexByte(local, '<'); i >= 0 {
			local = local[i+1:]
		} else if strings.ContainsAny(local, " \t\n") {
			return false // a sentence that names an address
		}
		if local[0] == '@' {
			return false
		}
		found = true
	}
	return found
}

func isURL(s string) bool {
	return event.IsURL(s) || len(s) > 8 && strings.EqualFold(s[:4], "www.") && event.ReadHost(s[:hostEnd(s)]).Name != ""
}

func hostEnd(s string) int {
	if i := strings.IndexAny(s, "/?#:"); i >= 0 {
		return i
	}
	return len(s)
}

// isIBAN checks the form and ISO 7064's remainder of 97. Spaces between groups are fine.
func isIBAN(s string) bool {
	if len(s) < 15 || len(s) > 42 || !isUpper(s[0]&^0x20) || !isUpper(s[1]&^0x20) || !isDigit(s[2]) || !isDigit(s[3]) {
		return false
	}
	n, rest := 0, 0
	take := func(c byte) bool {
		switch {
		case isDigit(c):
			rest = (rest*10 + int(c-'0')) % 97
		case isUpper(c &^ 0x20):
			rest = (rest*100 + int(c&^0x20-'A') + 10) % 97
		default:
			return false
		}
		n++
		return true
	}
	for i := 4; i < len(s); i++ {
		if s[i] != ' ' && !take(s[i]) {
			return false
		}
	}
	for i := range 4 {
		take(s[i])
	}
	return rest == 1 && n >= 15 && n <= 34
}

// isCard wants 13 to 19 digits, in groups or not, that begin like a payment card and pass Luhn's
// check.
func isCard(s string) bool {
	var digits [19]byte
	n := 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			if n == len(digits) {
				return false
			}
			digits[n] = c - '0'
			n++
		case (c == ' ' || c == '-') && n > 0:
		default:
			return false
		}
	}
	if n < 13 || digits[0] < 2 || digits[0] > 6 {
		return false
	}
	sum := 0
	for i := range n {
		d := int(digits[n-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// isPhone wants 7 to 15 digits that begin with + or (, or stand in groups as in 555-010-9999; a
// plain number is not one.
func isPhone(s string) bool {
	if len(s) > 24 || len(s) < 7 {
		return false
	}
	digits, groups := 0, 1
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			digits++
		case c == '+' && i == 0 || c == '(' || c == ')':
		case (c == '-' || c == ' ' || c == '.') && i > 0:
			groups++
		default:
			return false
		}
	}
	// 2026-11-20 has three groups as well, but of four digits first.
	return digits >= 7 && digits <= 15 && (s[0] == '+' || s[0] == '(' || groups >= 3 &&
		!(len(s) > 4 && isDigits(s[:4]) && !isDigit(s[4])))
}

func isPath(s string) bool {
	return strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") ||
		strings.HasPrefix(s, "~/") ||
		len(s) > 3 && s[1] == ':' && (s[2] == '\\' || s[2] == '/')
}

// isHostName wants at least one dot and a last label that is no file's ending we know of, or four
// numbers.
func isHostName(s string) bool {
	if strings.IndexByte(s, '.') <= 0 || HostName(s) == "" || strings.Contains(s, "..") || s[len(s)-1] == '.' {
		return false
	}
	host := HostName(s)
	last := host[strings.LastIndexByte(host, '.')+1:]
	if isDigits(host) {
		return strings.Count(s, ".") == 3
	}
	for i := range len(last) {
		if !isUpper(last[i]&^0x20) && last[i] < 0x80 {
			return false
		}
	}
	return len(last) >= 2 && !fileEndings[event.Lower(last)]
}

var fileEndings = nounsOf(`txt md pdf doc docx xls xlsx csv tsv json yaml yml xml html htm png jpg jpeg gif svg zip gz tar py js ts go rs java c h cpp
	sh sql log ini toml cfg conf ppt pptx ipynb bak tmp exe dll rb php css mp3 mp4`)

// isIdentifier wants one word with a digit in it.
func isIdentifier(s string) bool {
	digit := false
	for i := range len(s) {
		c := s[i]
		digit = digit || isDigit(c)
		if !isWordByte(c) && c != '-' && c != '_' && c != '#' && c != ':' && c != '.' {
			return false
		}
	}
	return digit && len(s) <= 128
}

// maskCard shows of a card number what may be shown (PCI DSS 3.4): the first six and last four
// digits.
func maskCard(dst []byte, s string) []byte {
	n := 0
	for i := range len(s) {
		if isDigit(s[i]) {
			n++
		}
	}
	k := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			continue
		}
		if k < 6 || k >= n-4 {
			dst = append(dst, s[i])
		} else {
			dst = append(dst, '*')
		}
		k++
	}
	return dst
}

// currencySigns are signs that mean one currency. $ is many, but written without more it is taken
// as the US one only next to "US".
var currencySigns = []struct{ sign, code string }{
	{"US$", "USD"}, {"€", "EUR"}, {"£", "GBP"}, {"₹", "INR"}, {"₩", "KRW"}, {"₽", "RUB"}, {"₺", "TRY"}, {"₪", "ILS"},
	{"₫", "VND"}, {"₴", "UAH"}, {"฿", "THB"},
}

// parseAmount reads 12.50, 1,234.56, 1.234,56, EUR 12,50, 12.50 EUR, €12.50 and 1.25e3 into
// millionths; the currency is "" if the text has none, and aliases s or a constant. What can be
// read in two ways (1,234) is not read.
func parseAmount(s string) (micro int64, currency string, ok bool) {
	if micro, ok = parseDigits(s); ok {
		return micro, "", true
	}
	s = strings.TrimSpace(s)
	if len(s) > 128 || s == "" {
		return 0, "", false
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) {
		s = strings.TrimSpace(strings.Map(plainDigit, s))
	}
	negative := s[0] == '-'
	if negative {
		s = strings.TrimSpace(s[1:])
	}
	for _, c := range currencySigns {
		if rest, found := strings.CutPrefix(s, c.sign); found {
			s, currency = strings.TrimSpace(rest), c.code
			break
		}
		if rest, found := strings.CutSuffix(s, c.sign); found {
			s, currency = strings.TrimSpace(rest), c.code
			break
		}
	}
	if currency == "" {
		if c := currencyWord(s, 0); c != "" {
			s, currency = strings.TrimSpace(s[3:]), c
		} else if c := currencyWord(s, len(s)-3); c != "" {
			s, currency = strings.TrimSpace(s[:len(s)-3]), c
		} else if rest, found := strings.CutPrefix(s, "$"); found {
			s = rest // dollars, whose is not said
		}
	}
	if s != "" && s[0] == '-' && !negative {
		negative, s = true, s[1:]
	}
	mantissa, exponent, found := strings.Cut(s, "e")
	if !found {
		mantissa, exponent, found = strings.Cut(s, "E")
	}
	micro, ok = parseDecimal(mantissa)
	if found && ok { // JSON may say so, and a limit is not got round by it
		micro, ok = shift(micro, exponent)
	}
	if negative {
		micro = -micro
	}
	return micro, currency, ok
}

// plainDigit is a digit of any script as programs read it, and signs in full width; all else as it
// is.
func plainDigit(r rune) rune {
	switch {
	case r < 0x80:
		return r
	case r == 0x2212: // minus
		return '-'
	case r == 0xa0 || r == 0x202f || r == 0x2009:
		return ' '
	case 0xff01 <= r && r <= 0xff5e:
		return r - 0xff01 + '!'
	case r == 0x66b:
		return '.'
	case unicode.IsDigit(r): // they come in tens, the lowest of which is nought
		for _, t := range unicode.Nd.R16 {
			if rune(t.Lo) <= r && r <= rune(t.Hi) {
				return '0' + (r-rune(t.Lo))%10
			}
		}
		for _, t := range unicode.Nd.R32 {
			if rune(t.Lo) <= r && r <= rune(t.Hi) {
				return '0' + (r-rune(t.Lo))%10
			}
		}
	}
	return r
}

// currencyWord is the currency that three letters of s say from i on, whatever their case; "" if
// they are none.
func currencyWord(s string, i int) string {
	if i < 0 || len(s) <= 3 || i > 0 && isWordByte(s[i-1]) && !isDigit(s[i-1]) || i == 0 && isWordByte(s[3]) &&
		!isDigit(s[3]) {
		return ""
	}
	c := s[i : i+3]
	if IsCurrency(c) {
		return c
	}
	if c = strings.ToUpper(c); IsCurrency(c) {
		return c
	}
	return ""
}

// shift multiplies by a power of ten; what is below a millionth is cut off.
func shift(micro int64, exponent string) (int64, bool) {
	n, err := strconv.Atoi(exponent)
	if err != nil {
		return 0, false
	}
	for ; n < 0 && micro != 0; n++ {
		micro /= 10
	}
	for ; n > 0 && micro != 0; n-- {
		if micro > math.MaxInt64/10 {
			return 0, false
		}
		micro *= 10
	}
	return micro, true
}

// parseDigits reads what most amounts are: a few digits, with a point and up to six more or
// without.
func parseDigits(s string) (micro int64, ok bool) {
	if len(s) > 15 {
		return 0, false
	}
	point := len(s)
	for i := range len(s) {
		switch c := s[i] - '0'; {
		case c <= 9:
			micro = micro*10 + int64(c)
		case s[i] == '.' && point == len(s) && i > 0 && i < len(s)-1 && len(s)-i <= 7:
			point = i
		default:
			return 0, false
		}
	}
	places := max(0, len(s)-point-1)
	if s == "" || len(s)-places > 12 {
		return 0, false
	}
	for ; places < 6; places++ {
		micro *= 10
	}
	return micro, true
}

// parseDecimal reads digits with a decimal point or comma and with separators of thousands. Places
// beyond the sixth are cut off.
func parseDecimal(s string) (micro int64, ok bool) {
	point := -1 // where the decimals begin
	dots, commas := strings.Count(s, "."), strings.Count(s, ",")
	lastDot, lastComma := strings.LastIndexByte(s, '.'), strings.LastIndexByte(s, ',')
	switch {
	case dots > 0 && commas > 0:
		point = max(lastDot, lastComma)
		if dots > 1 && commas > 1 || lastDot > lastComma && dots > 1 || lastComma > lastDot && commas > 1 {
			return 0, false
		}
	case dots == 1:
		point = lastDot
	case commas == 1:
		if len(s)-lastComma-1 == 3 {
			return 0, false // 1,234: a thousand, or one and a bit
		}
		point = lastComma
	}
	var v int64
	digits, group := 0, -1 // group: digits since a separator of thousands
	end := len(s)
	if point >= 0 {
		end = point
	}
	for i := range end {
		switch c := s[i]; {
		case isDigit(c):
			if v > (math.MaxInt64/1_000_000-9)/10 {
				return 0, false
			}
			v = v*10 + int64(c-'0')
			digits++
			if group >= 0 {
				group++
			}
		case c == '.' || c == ',' || c == '\'' || c == ' ' || c == '_':
			if digits == 0 || group >= 0 && group != 3 || group < 0 && digits > 3 {
				return 0, false
			}
			group = 0
		default:
			return 0, false
		}
	}
	if digits == 0 || group >= 0 && group != 3 {
		return 0, false
	}
	v *= 1_000_000
	if point >= 0 {
		unit := int64(100_000)
		if point == len(s)-1 {
			return 0, false
		}
		for _, c := range []byte(s[point+1:]) {
			if !isDigit(c) {
				return 0, false
			}
			v += int64(c-'0') * unit
			unit /= 10
		}
	}
	return v, true
}

// role is what part an argument plays, as scores: of two arguments that could be the resource, the
// higher one is. 0: none.
type role struct {
	resource, subject, destination uint8
	amount, currency, env          uint8
	operation                      operation

	kind   string    // of the resource
	target string    // kind of the destination, whatever the value looks like
	needs  shapeSet  // shapes, one of which a destination must have; 0: any
	labels labelBits // what the argument says of the data

	unit string // the currency of an amount that its name says: amount_eur

	bare  bool // a destination may be a host without anything that shows it, such as 2130706433
	cents bool // the amount is in the currency's smallest unit
}

func (r *role) none() bool {
	return r.resource|r.subject|r.destination|r.amount|r.currency|r.env == 0 && r.operation == noOperation &&
		r.labels == 0
}

type shapeSet uint16

func shapes(list ...valueShape) (s shapeSet) {
	for _, x := range list {
		s |= 1 << x
	}
	return s
}

// reachable are shapes of addresses: whoever has one can be sent something.
var reachable = shapes(emailShape, urlShape, ibanShape, cardShape, phoneShape, hostShape, channelShape)

// labelBits are the words of resource.labels that names tell.
type labelBits uint8

const (
	secretLabel labelBits = 1 << iota
	financialLabel
	privateLabel
)

// labelLists has the words of every set of labels, so that an event costs no memory.
var labelLists = [...][]string{
	nil, {"secret"}, {"financial"}, {"financial", "secret"}, {"pii"}, {"pii", "secret"}, {"financial", "pii"},
	{"financial", "pii", "secret"},
}

func labelsOf(words []string) (b labelBits) {
	for _, w := range words {
		if secrets[w] {
			b |= secretLabel
		}
		if wealth[w] {
			b |= financialLabel
		}
		if privacy[w] {
			b |= privateLabel
		}
	}
	return b
}

var (
	strongIDs = nounsOf(`id uuid guid identifier arn sku slug oid urn`)
	weakIDs   = nounsOf(`number no num key code ref reference name title handle sha hash`)
	// Numbers of the exchange itself, not of what it is about.
	plumbing = nounsOf(`request trace span correlation idempotency session page cursor call run transaction_token thread parent client context
		next previous prev start end limit offset max min sort order_by zip postal country area promo discount coupon language color status error room_type`)
	wrappers = nounsOf(
		`data body payload param parameter params input args argument request req options option fields field properties item record object attributes json`)
	paths      = nounsOf(`path file filename filepath directory dir folder folderpath pathname`)
	receivers  = nounsOf(`to recipient receiver addressee dest destination cc bcc`)
	payees     = nounsOf(`beneficiary payee creditor iban`)
	invitees   = nounsOf(`invitee attendee participant`)
	handlers   = nounsOf(`assignee agent department handler team`)
	links      = nounsOf(`url uri link href website webpage site domain endpoint webhook callback`)
	hooks      = nounsOf(`webhook callback endpoint`)
	hosts      = nounsOf(`host hostname ip server address machine node`)
	senders    = nounsOf(`from source sender src old previous current reply`)
	amounts    = nounsOf(`amount sum total`)
	prices     = nounsOf(`price cost payment value fee`)
	notAmounts = nounsOf(
		`max min maximum minimum limit discount percent percentage count tax tip range threshold below above from to size token`)
	environs   = nounsOf(`env environment stage`)
	operations = nounsOf(`action operation op verb act task subcommand`)
	methods    = nounsOf(`method`)
	// querie: what singular makes of queries
	queries    = nounsOf(`query querie q statement stmt graphql mutation document`)
	statements = nounsOf(`sql statement stmt query querie q command script text input code expression body content`)
	shellArgs  = nounsOf(
		`cmd cmdline commandline shell bash sh zsh powershell script terminal cmd1 exec program executable binary keystroke run entrypoint`)
	codes       = nounsOf(`code source snippet cell program notebook python javascript js expression`)
	argumentss  = nounsOf(`args arg argv argument arguments parameter param`)
	languages   = nounsOf(`language lang interpreter runtime kernel`)
	environment = nounsOf(`production prod live staging stage preprod development dev test testing qa sandbox uat`)
	idents      = nounsOf(`ssn passport dob birthdate birthday nationality`)
)

// classifyArg says what part an argument plays in the calls of a tool of some class that acts on
// nouns. words is its name taken apart, after the names of the objects that it lies in; own is how
// many of them are its own.
func classifyArg(words []string, own int, class event.Class, acts *reading, t *Tool) role {
	var r role
	for len(words) > own && wrappers[singular(words[0])] {
		words = words[1:]
	}
	if len(words) == 0 {
		return r
	}
	last := singular(words[len(words)-1])
	front := words[:len(words)-1] // what it is of
	of := ""
	if len(front) > 0 {
		of = singular(front[len(front)-1])
	}
	first := singular(words[0])
	in := func(set nouns) bool {
		for _, w := range words {
			if set[singular(w)] {
				return true
			}
		}
		return false
	}
	head := acts.head()
	from := senders[first] || in(senders) && class == event.Pay
	r.resource, r.kind = resourceArg(last, of, acts, words)
	if from && r.resource > 3 {
		r.resource = 3
	}
	for i, w := range words { // parts of it: order_id is the order, item_ids and items.id are not
		if singular(w) == w {
			continue
		}
		if r.resource = min(r.resource, 4); i < len(words)-1 && class == event.Write && of != head {
			r.resource = 0
		}
	}
	r.subject = subjectArg(last, of, head, class)

	// Where it goes. A read has no receiver: what it calls its destination is what it looks for.
	to := receivers[first] || receivers[last] || first == "target" && of != ""
	if class != event.Read && !from {
		switch {
		case to || payees[first] || payees[last]:
			r.destination = 9
			if last == "name" || last == "title" { // an address beside it says more
				r.destination = 4
			}
		case invitees[first] || invitees[last]:
			r.destination, r.needs = 8, reachable
		case (class == event.Send || class == event.Grant) &&
			(last == "email" || last == "mail" || of == "email" && last == "address"):
			r.destination, r.needs = 7, shapes(emailShape)
		case class == event.Send && (last == "phone" || last == "mobile" || of == "phone" && last == "number"):
			r.destination, r.target = 6, "phone"
		case (class == event.Send || class == event.Grant) && (last == "channel" || of == "channel"):
			r.destination, r.target = 7, "channel"
		case class == event.Pay && (last == "account" || of == "account" || last == "iban" || last == "wallet" ||
			of == "wallet"):
			r.destination = 6
		case (class == event.Send || class == event.Grant) && (persons[last] || persons[of] || last == "username"):
			r.destination, r.target = 5, "user"
		case class == event.Delegate && (handlers[last] || handlers[of]):
			r.destination, r.target = 6, "agent"
		}
		switch class {
		case event.Send, event.Pay, event.Grant, event.Delegate:
		default:
			if !moves[head] {
				// book_flight(destination: "JFK") sends nothing, update_payment(recipient) does
				r.needs = reachable
			}
		}
		switch {
		case r.destination == 0:
		case in(nounsOfChannel):
			r.target = "channel"
		case persons[last] && last != "recipient" && last != "participant" && last != "attendee":
			r.target = "user"
		}
	}
	if r.destination == 0 && (links[last] || links[of] && (strongIDs[last] || last == "address")) {
		switch {
		case class == event.Read || class == event.Exec || class == event.NoClass:
			r.destination, r.needs = 6, shapes(urlShape, hostShape)
		case class == event.Send || hooks[last]:
			r.destination, r.needs = 7, shapes(urlShape, hostShape)
		default: // what is posted, put and deleted goes somewhere, too
			r.destination, r.needs = 4, shapes(urlShape, hostShape)
		}
		r.bare = links[last]
	}
	if r.destination == 0 && hosts[last] && (class != event.Read || last != "address") {
		r.bare = last != "address"
		r.destination, r.needs = 4, shapes(hostShape, urlShape)
	}
	if r.destination == 0 && (last == "repo" || last == "repository") && class == event.Send {
		r.destination, r.target = 3, "repo"
	}
	if r.destination > 0 && (class == event.Send || class == event.Grant) {
		// whom it goes to is neither what nor whom it is about
		r.subject, r.resource = 0, 0
	}

	if class != event.Read && !in(notAmounts) {
		switch {
		case last == "cent" || last == "pence" || last == "minor" || of == "minor" && (last == "unit" || amounts[last]):
			if in(amounts) || in(prices) {
				r.amount, r.cents = 9, true
			}
		case last == "amount":
			r.amount = 9
		case amounts[last]:
			r.amount = 6
		case amounts[first] && last == "value":
			r.amount = 8
		case (amounts[first] || amounts[of]) && currencyWords[last]:
			r.amount, r.unit = 8, strings.ToUpper(last)
		case class == event.Pay && prices[last]:
			r.amount = 4
		}
	}
	switch {
	case last == "currency", of == "currency" && (last == "code" || last == "id"), of == "iso" && last == "currency":
		r.currency = 9
	case environs[last]:
		r.env = 9
	}
	r.operation = operationArg(words, own, first, last, of, t)
	if secrets[last] && !(last == "token" && plumbing[of]) && !(last == "token" && of == "") || (last == "key") &&
		(of == "api" || of == "private" || of == "access" || of == "secret" || of == "ssh") || last == "cvv" ||
		last == "pin" {
		r.labels |= secretLabel
	}
	if last == "cvv" || of == "card" || last == "card" || last == "iban" {
		r.labels |= financialLabel
	}
	switch r.operation {
	case bySQL, byQuery, byShell, byCode: // what is done is not what it is done to
		r.resource = 0
	}
	if r.labels&secretLabel != 0 { // never kept as an id of anything
		return role{labels: r.labels}
	}
	if in(idents) || of == "date" && last == "birth" || first == "date" && last == "birth" {
		r.labels |= privateLabel
	}
	return r
}

// operationArg tells how an argument says what is done, if it does.
func operationArg(words []string, own int, first, last, of string, t *Tool) operation {
	single := own == 1 && len(words) == 1
	switch {
	case first == "sql", last == "sql", (last == "statement" || last == "stmt") && t.database:
		return bySQL
	case single && operations[last], last == "action" || last == "operation", of == "action" &&
		(last == "type" || last == "name"), of == "operation" && (last == "type" || last == "name"):
		return byWord
	case methods[last] && (len(words) == 1 || of == "http" || of == "request" || of == "rpc"), of == "method" &&
		last == "name":
		return byMethod
	case single && last == "mode" && t.class == event.NoClass:
		return byWord
	case t.database && own == 1 && statements[last], queries[last] && own == 1 &&
		(!asking[t.reading.verb] || t.reading.verb == "query"):
		return byQuery
	case last == "command" || of == "command" && last == "line":
		if len(words) == 1 {
			return byCommand
		}
		return byShell
	case t.shells && single && (argumentss[last] || words[len(words)-1] == "args"):
		return byArguments
	case t.shells && single && languages[last]:
		return byLanguage
	case (t.shells || last == "cmd" || last == "cmdline" || last == "commandline" || last == "bash") && shellArgs[last]:
		return byShell
	case t.shells && own == 1 && (codes[last] || last == "input" || last == "text" || last == "content"):
		return byCode
	case own == 1 && last == "code" && (t.class == event.Exec || t.class == event.NoClass && t.reading.verb == "" &&
		t.reading.has(runners)):
		return byCode
	}
	return noOperation
}

var (
	nounsOfChannel = nounsOf(`channel`)
	// currencyWords are codes of currencies that are no other words, too.
	currencyWords = nounsOf(`usd eur gbp chf jpy cny inr aud cad nzd sek nok dkk pln czk huf ron bgn brl mxn zar krw sgd hkd thb idr myr php vnd twd
		ils aed sar qar kwd bhd omr jod tnd egp ngn kes ghs uah kzt clp cop ars uyu isk rub btc eth`)
)

// resourceArg tells how well an argument names what is touched, and what kind of thing that is.
func resourceArg(last, of string, acts *reading, words []string) (score uint8, kind string) {
	head := acts.head()
	last, of = noun(last), noun(of)
	switch {
	case links[last]:
		return 0, "" // where it goes
	case persons[of] && !persons[head] && head != "":
		return 0, "" // whom it is about
	case (weakIDs[last] || last == head) && asking[acts.verb]:
		return 0, "" // what is looked for
	case plumbing[of] && (strongIDs[last] || weakIDs[last]) || plumbing[last]:
		return 0, ""
	case strongIDs[last] && of == "":
		return 8, head
	case strongIDs[last] && of == head:
		return 9, of
	case strongIDs[last]:
		return 5, of
	case weakIDs[last] && of != "" && of == head:
		return 7, of
	case weakIDs[last] && things[of] && !(of == "phone" || of == "test"):
		return 3, of
	case paths[last] && (of == "" || of == "file" || of == "folder" || of == "local" || of == "full" ||
		of == "absolute" || of == "relative"):
		if last == "folder" || head == "folder" {
			return 6, "folder"
		}
		return 6, "file"
	case last == head && len(words) == 1:
		return 6, last
	case (last == "name" || last == "title") && len(words) == 1 && head != "":
		return 2, head
	case things[last] && (len(words) == 1 || last == head) && !messages[last], things[last] && senders[words[0]] &&
		last != "email":
		return 3, last
	}
	return 0, ""
}

// asking are verbs whose arguments say what is looked for, not which one it is.
var asking = nounsOf(`search find query list discover explore suggest recommend filter enumerate`)

// messages are things that an argument of that name holds the text of, or says by the way.
var messages = nounsOf(`message comment note text email summary description body post review list form data query date event feedback address
	phone price label password token role permission item field object link key test release stack view model version target tag location account menu metric
	rule test function script module team zone video photo image log report system`)

// subjectArg tells how well an argument names whom the data is about.
func subjectArg(last, of, head string, class event.Class) uint8 {
	switch {
	case persons[of] && (strongIDs[last] || weakIDs[last]):
		return 7
	case persons[last]:
		return 6
	case last == "username" || last == "userid":
		return 6
	case persons[of] && (last == "email" || last == "phone" || last == "username"):
		return 5
	case persons[head] && of == "" && strongIDs[last]:
		return 5
	case last == "email" && class != event.Send:
		return 3
	}
	return 0
}

// vocabulary has every word that gives the name of an argument a part: names without any of them
// mean nothing.
var vocabulary = func() nouns {
	all := nouns{}
	for _, set := range []nouns{strongIDs, weakIDs, plumbing, paths, receivers, payees, invitees, handlers, links,
		hooks, hosts, senders, amounts, prices, notAmounts,
		environs, operations, methods, queries, statements, shellArgs, codes, argumentss, languages, idents, persons,
		things, secrets, currencyWords, nounsOfChannel} {
		for w := range set {
			all[w] = true
		}
	}
	for w := range nounsOf(
		`target email mail phone mobile username userid cent pence amount value minor unit currency iso line mode type http request rpc key cvv pin card iban wallet date birth args queries`) {
		all[w] = true
	}
	return all
}()
