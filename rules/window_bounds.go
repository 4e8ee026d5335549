package rules

// fit makes room until the window holds no more than so many numbers. First the buckets of quantiles
// become wider, which are not exact anyhow, then all buckets; then fewer samples and hashes are kept.
func (w *window) fit(lets []*Let, room, keep int) {
	for w.numbers() > room {
		steps := len(w.buckets) + len(w.sums)
		for _, list := range w.peaks {
			steps += 2 * len(list)
		}
		wide := -1 // the quantile that has most bins
		for j, h := range w.quantiles {
			if h.Len() > maxBins && (wide < 0 || h.Len() > w.quantiles[wide].Len()) {
				wide = j
			}
		}
		switch {
		case wide >= 0:
			w.quantiles[wide].Widen()
		case w.folded && steps > 4096:
			w.widen()
		case w.shrinks < maxShrinks:
			w.shrinks++
			w.fold(lets, max(keep>>w.shrinks, 16))
			for _, s := range w.distinct {
				s.Thin(w.shrinks)
			}
		case w.folded && steps > 64:
			w.widen()
		default:
			if !w.folded { // there was nothing to take room from
				w.shrinks = 0
			}
			return
		}
	}
}

// shrink halves what the window holds.
func (w *window) shrink(lets []*Let, keep int) {
	if len(lets) > 0 && !w.ready {
		w.rebuild(lets, lets[0].shape)
	}
	w.fit(lets, w.numbers()/2, keep)
}

// widen makes buckets twice as wide.
func (w *window) widen() {
	w.width *= 2
	k, n := len(w.totals), 0
	for i := range w.buckets {
		at := w.start(w.buckets[i].at)
		if n > 0 && w.buckets[n-1].at == at {
			w.buckets[n-1].n += w.buckets[i].n
			for j := range k {
				w.sums[(n-1)*k+j].add(w.sums[i*k+j])
			}
			continue
		}
		w.buckets[n] = bucket{at, w.buckets[i].n}
		copy(w.sums[n*k:(n+1)*k], w.sums[i*k:(i+1)*k])
		n++
	}
	w.buckets, w.sums = w.buckets[:n], w.sums[:n*k]
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
