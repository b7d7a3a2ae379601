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

	Editions int64    `json:"editions"`                // of watch lists, that nothing on file refers to any more
	Silent   []string `json:"silent" nullable:"false"` // classes of which no pack speaks: they stay
}

// ClassPlan is what would go of one class.
type ClassPlan struct {
	Due   int64            `json:"due"` // files; records of classes that are kept one by one
	Held  int64            `json:"held"`
	Packs map[string]int64 `json:"packs,omitempty"` // whose period was the longest; "request" or "error" of what was agreed to go before
}

// filesInAPage is how many files are read at a time where all are looked at; where
// some of them are erased, no more are read than one erasure holds.
const filesInAPage = 5000

// Preview says what would go at that instant, by class. Nothing is written.
func (s *Service) Preview(ctx context.Context, at time.Time) (*Preview, error) {
	out := &Preview{At: at, Classes: map[string]ClassPlan{}, Silent: []string{}}
	p, err := s.planAt(ctx, at)
	if err != nil {
		return nil, err
	}
	for _, class := range muster.RecordClasses {
		if len(p.rulesOf(nil, class)) == 0 {
			out.Silent = append(out.Silent, class)
		}
	}
	if err := s.looks(ctx, func(used *looking) error {
		asked, err := s.previewRequests(ctx, p, out)
		if err != nil {
			return err
		}
		if err := s.previewFiles(ctx, p, used, asked, out); err != nil {
			return err
		}
		return s.previewProofs(ctx, p, used, asked, out)
	}); err != nil {
		return nil, err
	}
	return out, s.DB.View(ctx, func(tx Tx) error {
		old, err := tx.OldEditions(ctx, editionSlack)
		if err != nil {
			return err
		}
		out.Editions = int64(len(old))
		return p.previewRecords(ctx, tx, out)
	})
}

// previewRequests counts what was agreed to go before its time and is due by then, and
// says whose it is.
func (s *Service) previewRequests(ctx context.Context, p *plan, v *Preview) (asked map[string]bool, err error) {
	asked = map[string]bool{}
	return asked, s.each(ctx, muster.ErasureApproved, func(e *muster.Erasure) error {
		if ok, err := s.mayBegin(ctx, p, e); err != nil || !ok {
			return err
		}
		for _, it := range e.Items {
			var all []due
			for _, class := range it.Classes {
				all = append(all, due{class: class, pack: e.Ground})
			}
			v.add(all)
			asked[it.Customer] = true
		}
		return nil
	})
}

// previewFiles counts what goes of files because its time is over.
func (s *Service) previewFiles(ctx context.Context, p *plan, used *looking, asked map[string]bool, v *Preview) error {
	before := v.Due
	err := s.pages(ctx, used, "", filesInAPage, func(x *page) (bool, error) {
		v.Files += x.looked
		v.Live += x.looked - int64(len(x.files))
		for i := range x.files {
			f := &x.files[i]
			if f.Live {
				v.Live++
			}
			if !asked[f.Customer] {
				v.add(p.of(f, x.accessed[f.Customer]))
			}
		}
		return true, nil
	})
	v.Waits = s.tooMany(v.Due-before, v.Files)
	return err
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
func (s *Service) pages(ctx context.Context, used *looking, after string, size int, each func(*page) (bool, error)) (err error) {
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

// looks calls fn with a look that is ended after it.
func (s *Service) looks(ctx context.Context, fn func(*looking) error) error {
	used := &looking{from: s.Accessed}
	err := fn(used)
	if e := used.end(ctx); err == nil {
		err = e
	}
	return err
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
