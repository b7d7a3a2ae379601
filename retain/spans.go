package retain

import (
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
)

// SpansOver reports of which customers the records of a class that lie before end are
// not kept any more: access records and leases, which the ledger keeps by quarter. What
// a pack anchors at an event is anchored at theirs.
func (s *Service) SpansOver(ctx context.Context, class string, end time.Time, customers []string) (map[string]bool, error) {
	p, err := s.planAt(ctx, s.Clock())
	if err != nil {
		return nil, err
	}
	customers = slices.Compact(slices.Sorted(slices.Values(customers)))
	var files []muster.FileAge
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		files, err = tx.TheseFiles(ctx, customers...)
		return err
	}); err != nil {
		return nil, err
	}
	if len(files) < len(customers) {
		return nil, muster.Errorf(muster.CodeNotFound, "a customer of an account is not there")
	}
	var accessed map[string]time.Time
	if err := s.looks(ctx, func(used *looking) (err error) {
		accessed, err = used.of(ctx, files)
		return err
	}); err != nil {
		return nil, err
	}
	over := make(map[string]bool, len(files))
	for i := range files {
		over[files[i].Customer] = p.spanOver(&files[i], class, end, accessed[files[i].Customer])
	}
	return over, nil
}

// spanOver reports whether every pack's period for records before end is over, and no
// hold keeps them.
func (p *plan) spanOver(f *muster.FileAge, class string, end, accessed time.Time) bool {
	rules := p.rulesOf(f.Applied, class)
	if len(rules) == 0 || p.held(f, class) {
		return false
	}
	span := *f
	span.Made, span.Last = end, end
	if f.Live {
		span.Closed = time.Time{} // one of several accounts ended
	}
	for _, r := range rules {
		if anchor := latestOf(&span, r.from, accessed); anchor.IsZero() || anchor.After(r.limit) {
			return false
		}
	}
	return true
}
