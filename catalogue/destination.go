package catalogue

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wayward-sec/wayward/event"
)

// const stands at the end of a list of receivers that goes on, moreURLs at that of a list of URLs.
// They are no address, so no list of domains lets them pass.
const (
	moreMark     = ",…@…"
	moreURLsMark = " mailto:…@…"
)

// destination says where the call goes; reached is what its command lines name.
func (k *argReader) destination(d *event.Destination, reached []string) {
	k.moreReceivers = k.moreReceivers || k.incomplete
	if k.receivers == 0 && len(reached) == 0 { // where it goes may stand in what was not read
		*d = event.Destination{Value: moreMark[1:], External: d.External}
		return
	}
	v, shape, target := "", urlShape, ""
	if k.receivers > 0 {
		v, target = k.text(k.receiver.span), k.receiver.arg.target
		if at := plainEmail(v); at > 0 && k.receivers == 1 && len(reached) == 0 && len(v) <= event.MaxString && !k.moreReceivers {
			// most are
			*d = event.Destination{Kind: cmp.Or(k.t.entry.Destination.Kind, "email"), Value: v,
				Domain: k.x.lowered(v[at+1:]), External: d.External}
			return
		}
		shape = k.shape(k.receiver.arg, v)
	}
	switch {
	case k.receivers == 1 && len(reached) == 0 && !k.moreReceivers && len(v) > event.MaxString &&
		(shape == urlShape || event.IsURL(v)):
		// what was cut off is no part of the host, or there would be none
		v, shape = event.Clip(v, event.MaxString), urlShape
	case k.receivers+len(reached) > 1 || k.receivers == 0 || k.moreReceivers || len(v) > event.MaxString:
		v, shape = k.joinReceivers(v, shape, reached)
	}
	switch {
	case k.t.entry.Destination.Kind != "":
		d.Kind = k.t.entry.Destination.Kind
	case shape == emailShape, shape == urlShape, shape == ibanShape, shape == cardShape, shape == hostShape,
		shape == phoneShape, shape == channelShape:
		d.Kind = shapeKinds[shape]
	default:
		d.Kind = target
	}
	d.Value = v
	switch shape {
	case emailShape:
		if strings.IndexAny(v, ",;") < 0 {
			d.Domain = k.x.lowered(DomainOf(strings.TrimPrefix(v, "mailto:")))
		}
	case urlShape:
		if d.Domain = k.x.lowered(HostOfURL(v)); IsMailto(v) {
			d.Domain = ""
		}
	case hostShape:
		d.Domain = k.x.lowered(HostName(v))
	case ibanShape:
		d.Value = k.plainIBAN(v)
	case cardShape:
		d.Value = k.masked(v)
	}
}

// joinReceivers joins several receivers: addresses with commas, as lists of them are written; URLs, hosts
// and both together with blanks, as nextURL reads them. Of what does not fit one receiver of each
// domain is kept, and what is not is not forgotten: more stands for it.
func (k *argReader) joinReceivers(first string, shape valueShape, reached []string) (string, valueShape) {
	// Texts are taken out first: they would land in the room of the list.
	var texts [maxReceivers]string
	n := k.receivers
	emails, urls := len(reached) == 0, true
	for i := range n {
		if i == 0 {
			texts[0] = first
		} else {
			texts[i] = k.text(k.x.receivers[i])
		}
		switch k.shape(k.receiver.arg, event.Clip(texts[i], event.MaxString)) {
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
	sep, mark := byte(','), moreMark
	if urls && !emails {
		sep, mark = ' ', moreURLsMark
	}
	b := k.x.room(event.MaxString)
	most := event.MaxString - len(mark)
	whole, distinct := !k.moreReceivers, false
	var seen [64]uint64
	marks := 0
	add := func(v string) {
		if distinct {
			m := domainMark(v)
			if slices.Contains(seen[:marks], m) {
				return
			}
			if marks < len(seen) {
				seen[marks] = m
				marks++
			}
		}
		if len(b) > 0 && len(b) < most {
			b = append(b, sep)
		}
		if sep == ' ' {
			b = appendURL(b, v, k.shapeOfListed(v), most)
			whole = whole && len(b) <= most
			return
		}
		if shapeOf(v) == cardShape {
			v = "card" // of several none is shown
		}
		fit := event.Clip(v, max(0, most-len(b)))
		whole = whole && len(fit) == len(v)
		b = append(b, fit...)
	}
	all := func() {
		for _, v := range texts[:n] {
			if distinct && emails {
				for part := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == ';' }) {
					if strings.IndexByte(part, '@') >= 0 {
						add(strings.TrimSpace(part))
					}
				}
				continue
			}
			add(v)
		}
		for _, v := range reached {
			add(v)
		}
	}
	if all(); !whole && sep == ',' && emails || !whole && sep == ' ' {
		b, distinct = b[:0], true
		all()
		whole = false
	}
	if len(b) > most {
		b = append(b[:0], event.Clip(alias(b), most)...)
	}
	if !whole {
		b = append(b, mark...)
	}
	switch {
	case emails:
		shape = emailShape
	case urls:
		shape = urlShape
	default:
		shape = anyShape // only of addresses is a list a list; of others no one host could be named
	}
	return alias(k.x.keep(b)), shape
}

// shapeOfListed is the shape of a text of a list of URLs: of an argument, or of what a command line
// names.
func (k *argReader) shapeOfListed(v string) valueShape {
	if s := shapeOf(v); s == emailShape {
		return s
	}
	return shapeOfEndpoint(v, true)
}

// appendURL writes a receiver so that a list can hold it: without blanks, and with what tells it
// from the one before.
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

// plainIBAN is an IBAN without spaces, in capitals: however it is written, it is one beneficiary.
func (k *argReader) plainIBAN(v string) string {
	b := k.x.room(len(v))
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
	return alias(k.x.keep(b))
}
