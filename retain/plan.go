package retain

import (
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
)

// plan says what is due at one instant. It reads times and states alone.
type plan struct {
	at    time.Time
	zone  *time.Location
	packs map[string]*policy.Pack // by mark
	all   []*policy.Pack
	rules map[string][]rule // by marks of the packs, joined, and class
	holds []*muster.Hold
}

// rule is one pack's period for one class: due where the latest anchor is not after
// the limit. Ends of periods rise with their triggers, so one comparison says what
// computing every end would say.
type rule struct {
	pack   *policy.Pack
	from   []string
	period policy.Period
	limit  time.Time
}

func newPlan(at time.Time, zone *time.Location, packs []*policy.Pack, holds []*muster.Hold) *plan {
	p := &plan{at: at, zone: zone, packs: map[string]*policy.Pack{}, all: packs, rules: map[string][]rule{}, holds: holds}
	for _, x := range packs {
		p.packs[x.Ref().Digest[:muster.PackMark]] = x
	}
	return p
}

// rulesOf are the periods of a class under the packs that decided on a file. A file
// whose packs are not known is kept as long as any pack says.
func (p *plan) rulesOf(applied []string, class string) []rule {
	key := class
	for _, a := range applied {
		key += " " + a
	}
	found, ok := p.rules[key]
	if ok {
		return found
	}
	packs := p.all
	if known := p.named(applied); len(known) == len(applied) && len(known) > 0 {
		packs = known
	}
	for _, x := range packs {
		for _, r := range x.Document().Retention {
			if r.Class != class {
				continue
			}
			period, err := policy.ParsePeriod(r.Period)
			if err != nil {
				continue // no pack with it compiles
			}
			found = append(found, rule{x, r.From, period, latestTrigger(period, p.at, p.zone)})
		}
	}
	p.rules[key] = found
	return found
}

func (p *plan) named(marks []string) (packs []*policy.Pack) {
	for _, m := range marks {
		if x := p.packs[m]; x != nil {
			packs = append(packs, x)
		}
	}
	return packs
}

// latestTrigger is the last second whose period has ended at t.
func latestTrigger(period policy.Period, t time.Time, zone *time.Location) time.Time {
	low, high := int64(0), t.Unix()+1 // ended at low, not at high
	for high-low > 1 {
		mid := low + (high-low)/2
		if period.End(time.Unix(mid, 0), zone).After(t) {
			high = mid
		} else {
			low = mid
		}
	}
	// An instant later in that second has not ended where the period is exact.
	return time.Unix(low, 0)
}

// due is one class of one file.
type due struct {
	class string
	pack  string // whose period was the longest: id and edition
	held  bool
}

// wholeFile are the classes of a file of whom an account was in use. There are no
// images yet: nothing keeps a picture of a document.
var wholeFile = []string{muster.ClassIdentity, muster.ClassClaims, muster.ClassEvidence, muster.ClassHits}

// underKey are classes of what lies under the keys of a file's people, or goes with them:
// none of it can be read once they are destroyed.
var underKey = []string{
	muster.ClassClaims, muster.ClassEvidence, muster.ClassUSProof, muster.ClassImages, muster.ClassHits, muster.ClassAccess, muster.ClassLeases,
}

// classesOf are the classes by which a file goes.
func classesOf(f *muster.FileAge) []string {
	switch {
	case f.Opened:
		return wholeFile
	case f.Refused:
		return []string{muster.ClassRefused}
	}
	return []string{muster.ClassAbandoned}
}

// of says what of a file is due.
func (p *plan) of(f *muster.FileAge, accessed time.Time) (found []due) {
	if f.Live {
		return nil // something of it is in use, or may come to be
	}
	for _, class := range classesOf(f) {
		if slices.Contains(f.Gone, class) {
			continue
		}
		pack, ok := p.over(f, class, accessed)
		if ok && (class != muster.ClassIdentity || p.keyOver(f, accessed)) {
			found = append(found, due{class, pack, p.held(f, class)})
		}
	}
	return found
}

// keyOver reports whether no pack has anything else kept that lies under the keys of a
// file's people. Of records with times of their own the last is not after the end.
func (p *plan) keyOver(f *muster.FileAge, accessed time.Time) bool {
	if accessed.IsZero() {
		accessed = f.Closed
	}
	ended := *f
	for _, t := range []time.Time{f.Closed, accessed} {
		if t.After(ended.Last) {
			ended.Last = t
		}
	}
	for _, class := range []string{muster.ClassEvidence, muster.ClassHits, muster.ClassAccess, muster.ClassLeases} {
		if slices.Contains(f.Gone, class) || len(p.rulesOf(f.Applied, class)) == 0 {
			continue
		}
		if _, over := p.over(&ended, class, accessed); !over {
			return false
		}
	}
	return true
}

// over reports whether every pack's period for a class is over, and whose was the longest.
func (p *plan) over(f *muster.FileAge, class string, accessed time.Time) (pack string, ok bool) {
	var longest time.Time
	for _, r := range p.rulesOf(f.Applied, class) {
		anchor := latestOf(f, r.from, accessed)
		if anchor.IsZero() || anchor.After(r.limit) {
			return "", false
		}
		if end := r.period.End(anchor, p.zone); pack == "" || end.After(longest) {
			longest, pack = end, r.pack.Ref().ID+" "+r.pack.Ref().Edition
		}
	}
	return pack, pack != ""
}

// latestOf is the latest of the anchors that have happened. The end of the
// relationship has to have happened where it is named.
func latestOf(f *muster.FileAge, names []string, accessed time.Time) (latest time.Time) {
	for _, name := range names {
		var t time.Time
		switch name {
		case "closed":
			if t = f.Closed; t.IsZero() {
				return time.Time{}
			}
		case "last_accessed":
			t = accessed
		case "refused":
			if f.Refused {
				t = f.Last
			}
		case "last_event":
			t = f.Last
		case "made":
			t = f.Made
		}
		if t.After(latest) {
			latest = t
		}
	}
	return latest
}

// held reports whether a hold keeps a class of a file, or what cannot be read without it;
// or a true hit the file: a list has its own period, and what a person found is not undone
// by forgetting it.
func (p *plan) held(f *muster.FileAge, class string) bool {
	if f.Hit && (f.HitUntil.IsZero() || p.at.Before(f.HitUntil)) {
		return true
	}
	classes := []string{class}
	switch class {
	case muster.ClassIdentity, muster.ClassRefused, muster.ClassAbandoned: // the people's keys go
		classes = append(classes, underKey...)
	case muster.ClassEvidence: // its rows go
		classes = append(classes, muster.ClassUSProof)
	}
	return slices.ContainsFunc(p.holds, func(h *muster.Hold) bool {
		return slices.ContainsFunc(classes, func(c string) bool { return h.Holds(f, c) })
	})
}
