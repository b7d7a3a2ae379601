package retain

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
)

// Preview is what would go at an instant.
type Preview struct {
	At      time.Time            `json:"at"`
	Files   int64                `json:"files"`   // looked at
	Due     int64                `json:"due"`     // of which something would go
	Held    int64                `json:"held"`    // of which a hold keeps something that would go
	Live    int64                `json:"live"`    // in use
	Waits   bool                 `json:"waits"`   // more than the share of a day: two operators have to agree
	Classes map[string]ClassPlan `json:"classes"` //
}

// ClassPlan is what would go of one class.
type ClassPlan struct {
	Due   int64            `json:"due"` // files; records of classes that are kept one by one
	Held  int64            `json:"held"`
	Packs map[string]int64 `json:"packs,omitempty"` // whose period was the longest
}

// filesInAPage is how many files are read at a time where all are looked at; where
// some of them are erased, no more are read than one erasure holds.
const filesInAPage = 5000

// Preview says what would go at that instant, by class. Nothing is written.
func (s *Service) Preview(ctx context.Context, at time.Time) (*Preview, error) {
	out := &Preview{At: at, Classes: map[string]ClassPlan{}}
	p, err := s.planAt(ctx, at)
	if err != nil {
		return nil, err
	}
	err = s.pages(ctx, "", filesInAPage, func(x *page) (bool, error) {
		out.Files += x.looked
		out.Live += x.looked - int64(len(x.files))
		for i := range x.files {
			f := &x.files[i]
			if f.Live {
				out.Live++
			}
			out.add(p.of(f, x.accessed[f.Customer]))
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	out.Waits = s.tooMany(out.Due, out.Files)
	if err := s.previewProofs(ctx, p, out); err != nil {
		return nil, err
	}
	return out, s.DB.View(ctx, func(tx Tx) error {
		for _, class := range kept {
			made, ended, ok := p.limits(class)
			if !ok {
				continue
			}
			var n int64
			var err error
			switch class {
			case muster.ClassDecisions:
				n, err = tx.CountOldDecisions(ctx, made, ended)
			case muster.ClassReveals:
				n, err = tx.CountOldEntries(ctx, typeReveal, made)
			case muster.ClassNotices:
				n, err = tx.CountOldDeliveries(ctx, made)
			}
			if err != nil {
				return err
			}
			c := ClassPlan{Due: n}
			if p.heldWhole(class) {
				c = ClassPlan{Held: n}
			}
			out.Classes[class] = c
		}
		return nil
	})
}

func (v *Preview) add(all []due) {
	some, held := false, false
	for _, d := range all {
		c := v.Classes[d.class]
		if d.held {
			c.Held++
			held = true
		} else {
			c.Due++
			some = true
		}
		if c.Packs == nil {
			c.Packs = map[string]int64{}
		}
		c.Packs[d.pack]++
		v.Classes[d.class] = c
	}
	if some {
		v.Due++
	}
	if held {
		v.Held++
	}
}

// smallDay is how many files may go on a day whatever their share is.
const smallDay = 100

func (s *Service) tooMany(n, files int64) bool {
	return n > smallDay && float64(n) > s.Share*float64(files)
}

// planAt makes the plan of an instant: packs and holds as they are now.
func (s *Service) planAt(ctx context.Context, at time.Time) (p *plan, err error) {
	err = s.DB.View(ctx, func(tx Tx) error {
		all, err := holds(ctx, tx)
		p = newPlan(at, s.Zone, s.Programme.Ever(), all)
		return err
	})
	return p, err
}

// page is some of all files: those of which no account is in use, which are all that
// anything can go of, and when they were last used.
type page struct {
	files    []muster.FileAge
	accessed map[string]time.Time // by customer
	looked   int64                // files of the page, those in use among them
	last     string               // customer up to whom it goes
}

// pages walks all files after a customer, so many at a time, each page in a view of its
// own; each returns false to stop.
func (s *Service) pages(ctx context.Context, after string, size int, each func(*page) (bool, error)) (err error) {
	used := looking{from: s.Accessed}
	defer func() {
		if e := used.end(ctx); err == nil {
			err = e
		}
	}()
	for {
		x := &page{}
		if err := s.DB.View(ctx, func(tx Tx) (err error) {
			x.files, x.looked, x.last, err = tx.EndedFiles(ctx, muster.Page{After: after, Limit: size})
			return err
		}); err != nil || x.looked == 0 {
			return err
		}
		after = x.last
		if x.accessed, err = used.of(ctx, x.files); err != nil {
			return err
		}
		if more, err := each(x); err != nil || !more {
			return err
		}
	}
}

// looking is one look, opened where it is first needed.
type looking struct {
	from Accessed // nil: nothing is known
	look Look
}

// of asks when the ended ones among files were last used.
func (l *looking) of(ctx context.Context, files []muster.FileAge) (_ map[string]time.Time, err error) {
	var ended []string
	for i := range files {
		if !files[i].Live && files[i].Opened {
			ended = append(ended, files[i].Customer)
		}
	}
	if l.from == nil || len(ended) == 0 {
		return nil, nil
	}
	if l.look == nil {
		if l.look, err = l.from.Look(ctx); err != nil {
			return nil, err
		}
	}
	return l.look.LastAccessed(ctx, ended)
}

func (l *looking) end(ctx context.Context) error {
	if l.look == nil {
		return nil
	}
	return l.look.End(ctx)
}
