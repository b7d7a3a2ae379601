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
	files := make([]muster.FileAge, 0, len(customers))
	if err := s.DB.View(ctx, func(tx Tx) error {
		files = files[:0]
		for _, c := range customers {
			f, err := tx.FileAge(ctx, c)
			if err != nil {
				return err
			}
			files = append(files, *f)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	accessed, err := s.accessed(ctx, files)
	if err != nil {
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
