package catalogue

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// Marks at the end of a list of receivers, or of URLs, that is not complete. They are no address,
// so no list of domains allows them.
const (
	moreMark     = ",…@…"
	moreURLsMark = " mailto:…@…"
)

// destination fills in where the call goes. reached is what its command lines name.
func (r *argReader) destination(d *event.Destination, reached []string) {
	r.moreReceivers = r.moreReceivers || r.incomplete
	if r.receivers == 0 && len(reached) == 0 { // only the part that was not read may say
		*d = event.Destination{Value: moreMark[1:], External: d.External}
		return
	}
	v, shape, target := "", urlShape, ""
	if r.receivers > 0 {
		v, target = r.text(r.receiver.span), r.receiver.arg.target
		if at := plainEmail(v); at > 0 && r.receivers == 1 && len(reached) == 0 && len(v) <= event.MaxString &&
			!r.moreReceivers { // the usual case
			*d = event.Destination{Kind: cmp.Or(r.t.entry.Destination.Kind, "email"), Value: v,
				Domain: r.x.lowered(v[at+1:]), External: d.External}
			return
		}
		shape = r.shape(r.receiver.arg, v)
	}
	switch {
	case r.receivers == 1 && len(reached) == 0 && !r.moreReceivers && len(v) > event.MaxString &&
		(shape == urlShape || event.IsURL(v)):
		// The host stands in front: what is cut off is no part of it.
		v, shape = event.Clip(v, event.MaxString), urlShape
	case r.receivers+len(reached) > 1 || r.receivers == 0 || r.moreReceivers || len(v) > event.MaxString:
		v, shape = r.joinReceivers(v, reached)
	}
	switch {
	case r.t.entry.Destination.Kind != "":
		d.Kind = r.t.entry.Destination.Kind
	case shape == emailShape, shape == urlShape, shape == ibanShape, shape == cardShape, shape == hostShape,
		shape == phoneShape, shape == channelShape:
		d.Kind = shapeKinds[shape]
	default:
		d.Kind = target
	}
	d.Value = v
	switch shape {
	case emailShape:
		if !strings.ContainsAny(v, ",;") {
			d.Domain = r.x.lowered(DomainOf(strings.TrimPrefix(v, "mailto:")))
		}
	case urlShape:
		if d.Domain = r.x.lowered(HostOfURL(v)); IsMailto(v) {
			d.Domain = ""
		}
	case hostShape:
		d.Domain = r.x.lowered(HostName(v))
	case ibanShape:
		d.Value = r.plainIBAN(v)
	case cardShape:
		d.Value = r.masked(v)
	}
}

// joinReceivers joins several receivers: addresses with commas, as lists of them are written; URLs,
// hosts and both together with blanks, as NextURL reads them. If they do not fit, one receiver of
// each domain is kept, and a mark at the end says that there are more.
func (r *argReader) joinReceivers(first string, reached []string) (string, valueShape) {
	// Texts are unescaped before the list begins: they use the same memory.
	var texts [maxReceivers]string
	emails, urls := len(reached) == 0, true
	for i := range r.receivers {
		if texts[i] = first; i > 0 {
			texts[i] = r.text(r.x.receivers[i])
		}
		switch r.shape(r.receiver.arg, event.Clip(texts[i], event.MaxString)) {
		case emailShape:
		case urlShape, hostShape:
			emails = false
		default:
			if isEmail(texts[i]) { // longer than one text may be
				break
			}
			emails, urls = false, false
		}
	}
	if len(reached) > 0 {
		urls = true
	}
	l := receiverList{separator: ',', complete: !r.moreReceivers}
	mark, shape := moreMark, anyShape // a list of other things names no host
	switch {
	case emails:
		shape = emailShape
	case urls:
		shape, mark, l.separator = urlShape, moreURLsMark, ' '
	}
	l.b, l.most = r.x.room(event.MaxString), event.MaxString-len(mark)
	l.addAll(texts[:r.receivers], reached, false)
	if !l.complete && (emails || urls) {
		l.b, l.distinct = l.b[:0], true
		l.addAll(texts[:r.receivers], reached, emails)
		l.complete = false
	}
	if len(l.b) > l.most {
		l.b = append(l.b[:0], event.Clip(alias(l.b), l.most)...)
	}
	if !l.complete {
		l.b = append(l.b, mark...)
	}
	return alias(r.x.keep(l.b)), shape
}

// receiverList is a list of receivers that is being written.
type receiverList struct {
	b         []byte
	most      int // bytes
	separator byte
	complete  bool
	distinct  bool // one receiver of each domain is enough
	domains   [64]uint64
	seen      int // of domains
}

// addAll adds the receivers of arguments and of command lines. split: an argument may hold several.
func (l *receiverList) addAll(texts, reached []string, split bool) {
	for _, v := range texts {
		if !split {
			l.add(v)
			continue
		}
		for part := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ';' }) {
			if strings.IndexByte(part, '@') >= 0 {
				l.add(strings.TrimSpace(part))
			}
		}
	}
	for _, v := range reached {
		l.add(v)
	}
}

func (l *receiverList) add(v string) {
	if l.distinct {
		d := domainMark(v)
		if slices.Contains(l.domains[:l.seen], d) {
			return
		}
		if l.seen < len(l.domains) {
			l.domains[l.seen] = d
			l.seen++
		}
	}
	if len(l.b) > 0 && len(l.b) < l.most {
		l.b = append(l.b, l.separator)
	}
	if l.separator == ' ' {
		l.b = appendURL(l.b, v, shapeOfListed(v), l.most)
		l.complete = l.complete && len(l.b) <= l.most
		return
	}
	if shapeOf(v) == cardShape {
		v = "card" // of several none is shown
	}
	fit := event.Clip(v, max(0, l.most-len(l.b)))
	l.complete = l.complete && len(fit) == len(v)
	l.b = append(l.b, fit...)
}

// shapeOfListed is the shape of one receiver in a list of URLs.
func shapeOfListed(v string) valueShape {
	if s := shapeOf(v); s == emailShape {
		return s
	}
	return shapeOfEndpoint(v, true)
}

// appendURL appends a receiver as a list of URLs holds it: with // or mailto: in front, and without
// blanks.
func appendURL(b []byte, v string, shape valueShape, most int) []byte {
	v = strings.TrimSpace(v)
	switch {
	case shape == emailShape && !IsMailto(v):
		b = append(b, "mailto:"...)
	case shape != emailShape && !event.IsURL(v):
		b = append(b, "//"...)
	}
	for i := 0; i < len(v) && len(b) <= most; i++ {
		switch c := v[i]; {
		case c == ' ' && shape != emailShape:
			b = append(b, "%20"...)
		case c < ' ', c == ' ':
		default:
			b = append(b, c)
		}
	}
	return b
}

// plainIBAN is an IBAN without spaces, in capitals, so that one account has one spelling.
func (r *argReader) plainIBAN(v string) string {
	b := r.x.room(len(v))
	for i := range len(v) {
		if c := v[i]; isLower(c) {
			b = append(b, c-'a'+'A')
		} else if c != ' ' {
			b = append(b, c)
		}
	}
	if len(b) == len(v) && string(b) == v {
		return v
	}
	return alias(r.x.keep(b))
}
