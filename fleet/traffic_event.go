package fleet

import "strconv"

// event appends the next event of a session.
func (s *Traffic) event(dst []byte, c *trafficSession) []byte {
	a := &s.agents[c.agent]
	s.now(a)
	size := s.o.Size/2 + int(s.below(uint32(s.o.Size))) + min(max(s.debt, -s.o.Size), s.o.Size/2)
	skipOptional := s.debt < -s.o.Size/4
	start := len(dst)
	draw := s.rng.Uint64()
	if !c.opened {
		c.opened = true
		dst = s.opening(dst, "message", a, c)
		return s.message(dst, c, start+size)
	}
	if c.step > 0 && draw&7 == 0 && s.Attack == NoAttack {
		dst = s.opening(dst, "model_call", a, c)
		return s.modelCall(dst, draw>>3)
	}
	t := c.flow.tool(c, draw>>3)
	c.step++
	if s.Attack != NoAttack {
		s.running[s.Attack].left--
	}
	dst = s.opening(dst, "tool_call", a, c)
	return s.call(dst, a, c, t, skipOptional, start+size)
}

// plain appends a record of the fixed workload: 20 calls make a session, and each session has the
// next user.
func (s *Traffic) plain(dst []byte) []byte {
	start := len(dst)
	i := s.pick.draw(s.rng.Uint64())
	a := &s.agents[i]
	s.now(a)
	n := a.count
	a.count++
	g := &s.groups[a.group]
	flow := &trafficPersonas[g.persona].flows[n/20%2]
	number := uint32(i)*2654435761 + n/20
	c := trafficSession{id: mix(s.runSalt + uint64(i)<<32 + uint64(n/20)), flow: flow, agent: int32(i),
		user: g.base + number%g.users, subject: number % 10_000_000, budget: recordsPerSession}
	t := flow.body[int(n%20)%len(flow.body)]
	dst = s.opening(dst, "tool_call", a, &c)
	return s.call(dst, a, &c, t, true, start+s.o.Size)
}

// now sets s.Time and s.Key for the next record of an agent.
func (s *Traffic) now(a *trafficAgent) {
	at := s.clock / 1000
	if s.o.Disorder > 0 {
		step := (at - a.seen) / 2
		a.lag += min(max(a.goal-a.lag, -step), step)
		if a.lag == a.goal && s.below(16) == 0 {
			a.goal = int64(s.rng.Uint64() % uint64(s.o.Disorder*1000+1))
		}
		a.seen = at
		at -= a.lag
	}
	s.Time = s.o.Start + at/1000
	from := a.idAt - int32(len(s.tenants[s.groups[a.group].tenant])) - 1
	s.Key = s.keys[from:a.key:a.key]
}

// opening appends what all kinds of events have in common.
func (s *Traffic) opening(dst []byte, kind string, a *trafficAgent, c *trafficSession) []byte {
	g := &s.groups[a.group]
	p := &trafficPersonas[g.persona]
	dst = append(dst, `{"v":1,"id":"e`...)
	dst = appendHex(dst, mix(s.idSalt+s.made)) // mix is a bijection: ids never repeat within a stream
	dst = append(dst, `","time":`...)
	if g.tenant%3 == 1 && !s.o.Plain {
		dst = strconv.AppendInt(dst, s.Time, 10) // the second tenant's gateway writes epoch milliseconds
	} else {
		dst = s.appendTime(dst)
	}
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, kind...)
	dst = append(dst, '"')
	dst = append(dst, g.head...)
	dst = append(dst, s.keys[a.idAt:a.key]...)
	dst = append(dst, p.agent...)
	dst = appendPerson(dst, c.user)
	dst = append(dst, `","session":"s`...)
	dst = appendHex(dst, c.id)
	dst = append(dst, `","intent":"`...)
	dst = append(dst, c.flow.intent...)
	return append(dst, '"')
}

// message appends what the user asked for. It names what the session is about, so that the values
// in later calls come from somewhere.
func (s *Traffic) message(dst []byte, c *trafficSession, end int) []byte {
	dst = append(dst, `,"message":{"role":"user","text":"`...)
	dst = append(dst, c.flow.says...)
	dst = append(dst, ' ')
	dst = appendID(dst, c.flow.body[0], c.subject)
	dst = append(dst, ". "...)
	dst = s.fill(dst, end-len(dst)-len(`"}}`))
	return append(dst, `"}}`...)
}

// modelCall appends a call of the model, with what it cost.
func (s *Traffic) modelCall(dst []byte, draw uint64) []byte {
	in, out := 900+draw&0xfff, 60+draw>>12&0x1ff
	dst = append(dst, `,"cost":{"usd":"`...)
	dst = appendDecimal(dst, (in*3+out*15)*s.price>>20, 6)
	dst = append(dst, `","input_tokens":`...)
	dst = strconv.AppendUint(dst, in, 10)
	dst = append(dst, `,"output_tokens":`...)
	dst = strconv.AppendUint(dst, out, 10)
	dst = append(dst, `,"cached_tokens":`...)
	dst = strconv.AppendUint(dst, in/2, 10)
	dst = append(dst, `},"duration_ms":`...)
	dst = strconv.AppendUint(dst, 300+out*8, 10)
	return append(dst, '}')
}

// call appends a tool call, filled up to end if it is shorter.
func (s *Traffic) call(dst []byte, a *trafficAgent, c *trafficSession, t *trafficTool, skipOptional bool,
	end int) []byte {
	draw := s.rng.Uint64()
	tenant := s.tenants[s.groups[a.group].tenant]
	if !skipOptional {
		dst = append(dst, `,"trace":{"id":"`...)
		dst = appendHex(dst, c.id)
		dst = appendHex(dst, mix(c.id))
		dst = append(dst, `"},"source":{"name":"gateway-1","trusted":true}`...)
	}
	dst = append(dst, t.head...)
	dst = appendID(dst, t, c.subject)
	dst = append(dst, t.labels...)
	if t.customer {
		dst = append(dst, `,"subject":"cus_`...)
		dst = appendPadded(dst, uint64(c.subject), 8)
		dst = append(dst, '"')
	}
	dst = t.appendDestination(dst, c, tenant)
	if t.cents > 0 {
		cents := t.centsFrom + draw&0xffff*t.cents>>16
		dst = append(dst, `,"amount":{"value":"`...)
		dst = strconv.AppendUint(dst, cents/100, 10)
		dst = append(dst, '.')
		dst = appendPadded(dst, cents%100, 2)
		dst = append(dst, `","currency":"EUR"}`...)
	}
	draw >>= 16

	// One call in 64 fails, one in 128 finds nothing, one in 256 is denied by the gateway; tools of
	// attacks have their own odds.
	records := int32(0)
	switch chance := uint32(draw&0xff) | s.noErrors; {
	case chance < t.fails:
		dst = append(dst, `,"result":{"outcome":"error","error":"upstream timeout"}`...)
	case chance < t.misses:
		dst = append(dst, `,"result":{"outcome":"not_found","records":0,"bytes":0}`...)
	case chance < t.denied:
		dst = append(dst,
			`,"result":{"outcome":"denied","error":"scope missing"},"policy":{"verdict":"deny","id":"gw-scope"}`...)
	default:
		dst = append(dst, `,"result":{"outcome":"ok"`...)
		if t.most > 0 {
			records = min(t.least+int32((draw>>8&0xfff)*uint64(t.most-t.least+1)>>12), c.budget)
			c.budget -= records
			dst = append(dst, `,"records":`...)
			dst = strconv.AppendInt(dst, int64(records), 10)
		}
		dst = append(dst, `,"bytes":`...)
		dst = strconv.AppendUint(dst, 120+uint64(records)*310+draw>>20&0xff, 10)
		if !skipOptional || t.returns == foreignIBAN { // an attack stays whole
			dst = t.appendContent(dst, c, tenant)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"duration_ms":`...)
	dst = strconv.AppendUint(dst, t.millis+draw>>28&0xff*t.millis>>8, 10)
	dst = append(dst, t.args...)
	dst = appendID(dst, t, c.subject)
	if c.step > 1 && t.class == "read" && s.Attack == NoAttack {
		// who works does not ask the very same again and again
		dst = append(dst, `","page":"`...)
		dst = strconv.AppendUint(dst, uint64(c.step), 10)
	}
	if t.to != nowhere {
		dst = append(dst, `","to":"`...)
		dst = t.to.append(dst, c, tenant)
	}
	dst = append(dst, t.filler...)
	dst = s.fill(dst, end-len(dst)-len(`"}}`))
	return append(dst, `"}}`...)
}

// fill appends n bytes of plain words.
func (s *Traffic) fill(dst []byte, n int) []byte {
	for n > 0 {
		at := 1 + int(s.below(uint32(len(s.text)-1024)))
		for s.text[at-1] != ' ' {
			at++
		}
		part := s.text[at:min(at+n, len(s.text))]
		dst = append(dst, part...)
		n -= len(part)
	}
	return dst
}

// appendTime appends s.Time as RFC 3339, in quotes. A day's date is kept: it changes seldom and is
// dear to make.
func (s *Traffic) appendTime(dst []byte) []byte {
	const dayMS = 24 * 60 * 60 * 1000
	day := s.Time / dayMS
	if day != s.day {
		s.day = day
		// The civil date of a day number, after Howard Hinnant, "chrono-compatible low-level date
		// algorithms".
		z := day + 719468
		era := z / 146097
		doe := z - era*146097
		yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
		doy := doe - (365*yoe + yoe/4 - yoe/100)
		mp := (5*doy + 2) / 153
		month, year := mp+3, yoe+era*400
		if month > 12 {
			month, year = month-12, year+1
		}
		text := appendPadded(s.dayText[:0], uint64(year), 4)
		text = appendPadded(append(text, '-'), uint64(month), 2)
		appendPadded(append(text, '-'), uint64(doy-(153*mp+2)/5+1), 2)
	}
	ms := uint32(s.Time - day*dayMS)
	sec := ms / 1000
	ms -= sec * 1000
	h, m := sec/3600, sec/60%60
	sec %= 60
	dst = append(dst, '"')
	dst = append(dst, s.dayText[:]...)
	return append(dst, 'T', '0'+byte(h/10), '0'+byte(h%10), ':', '0'+byte(m/10), '0'+byte(m%10), ':',
		'0'+byte(sec/10), '0'+byte(sec%10), '.', '0'+byte(ms/100), '0'+byte(ms/10%10), '0'+byte(ms%10), 'Z', '"')
}
