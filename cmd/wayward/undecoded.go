package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/wayward-sec/wayward/event"
	"github.com/wayward-sec/wayward/terminal"
)

// undecoded counts the records of a file or topic that are no events. A command that met some ends
// with exit code 1 after it has done what it could: whoever pipes it on must not take a part for
// the whole.
type undecoded struct {
	n  int64
	by map[string]*undecodedReason
}

type undecodedReason struct {
	n, first int64
	err      error
}

// add notes a record: at is its line or offset.
func (u *undecoded) add(at int64, err error) {
	reason := "not an event"
	var fault *event.DecodeError
	if errors.As(err, &fault) {
		reason = fault.Reason
	}
	if u.by == nil {
		u.by = map[string]*undecodedReason{}
	}
	u.n++
	of := u.by[reason]
	if of == nil {
		of = &undecodedReason{first: at, err: err}
		u.by[reason] = of
	}
	of.n++
}

// report prints how many there were of each reason and where the first of each is; hint is what to
// do, if that is known.
func (u *undecoded) report(w io.Writer, place func(at int64) string, hint string) {
	for _, reason := range slices.SortedFunc(maps.Keys(u.by),
		func(a, b string) int { return cmp.Or(cmp.Compare(u.by[a].first, u.by[b].first), cmp.Compare(a, b)) }) {
		of := u.by[reason]
		what := "records did not decode"
		if of.n == 1 {
			what = "record did not decode"
		}
		fmt.Fprintf(w, "%d %s: %s; the first is %s: %v\n", of.n, what, reason, place(of.first),
			terminal.OneLine(of.err.Error()))
	}
	if u.n > 0 && hint != "" {
		fmt.Fprintln(w, hint)
	}
}

// code is nil, or what ends the command with 1.
func (u *undecoded) code() error {
	if u.n > 0 {
		return errSilent{1}
	}
	return nil
}
