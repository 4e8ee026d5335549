package rules

// fit makes room until the window holds no more than so many numbers: first steps of time become
// wider, then fewer events are kept as they were and fewer hashes.
func (w *window) fit(lets []*Let, room, keep int) {
	for w.numbers() > room {
		steps := len(w.steps) + len(w.sums)
		for _, list := range w.peaks {
			steps += 2 * len(list)
		}
		wide := -1 // the quantile that has most; it is not exact anyhow
		for j, h := range w.hists {
			if h.Len() > keptBins && (wide < 0 || h.Len() > w.hists[wide].Len()) {
				wide = j
			}
		}
		switch {
		case wide >= 0:
			w.hists[wide].Widen()
		case w.folded && steps > 4096:
			w.widen()
		case w.tight < maxTight:
			w.tight++
			w.fold(lets, max(keep>>w.tight, 16))
			for _, s := range w.seen {
				s.Thin(w.tight)
			}
		case w.folded && steps > 64:
			w.widen()
		default:
			if !w.folded { // there was nothing to make room of
				w.tight = 0
			}
			return
		}
	}
}

// tighten halves what the window holds.
func (w *window) tighten(lets []*Let, keep int) {
	if len(lets) > 0 && !w.ready {
		w.begin(lets, lets[0].shape)
	}
	w.fit(lets, w.numbers()/2, keep)
}

// widen makes steps of time twice as wide.
func (w *window) widen() {
	w.width *= 2
	k, n := len(w.totals), 0
	for i := range w.steps {
		at := w.start(w.steps[i].at)
		if n > 0 && w.steps[n-1].at == at {
			w.steps[n-1].n += w.steps[i].n
			for j := range k {
				w.sums[(n-1)*k+j].add(w.sums[i*k+j])
			}
			continue
		}
		w.steps[n] = step{at, w.steps[i].n}
		copy(w.sums[n*k:(n+1)*k], w.sums[i*k:(i+1)*k])
		n++
	}
	w.steps, w.sums = w.steps[:n], w.sums[:n*k]
	for j, list := range w.peaks {
		n := 0
		for _, p := range list {
			p.at = w.end(p.at)
			if n > 0 && list[n-1].at == p.at {
				continue // the earlier is the higher one
			}
			list[n] = p
			n++
		}
		w.peaks[j] = list[:n]
	}
}
