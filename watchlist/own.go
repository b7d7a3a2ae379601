package watchlist

import (
	"context"
	"strings"

	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/own"
)

// Own are the provider's own lists that are in effect, whole: nobody else has them.
func (s *Service) Own(ctx context.Context) (all []lists.Edition, err error) {
	if err := s.Load(ctx); err != nil {
		return nil, err
	}
	now := s.now.Load()
	for _, r := range now.refs {
		if l := now.lists[r.List]; strings.HasPrefix(r.List, own.Prefix) {
			all = append(all, lists.Edition{List: r.List, Format: "own", AsOf: l.dated, Rows: len(l.entries), Entries: l.entries})
		}
	}
	return all, nil
}

// Bring takes lists that Own gave, as a person's import.
func (s *Service) Bring(ctx context.Context, by string, editions []lists.Edition) error {
	var arrivals []*arrival
	for i := range editions {
		if strings.HasPrefix(editions[i].List, own.Prefix) {
			arrivals = append(arrivals, &arrival{Edition: &editions[i]})
		}
	}
	_, err := s.arrive(ctx, arrivals, how{by: by, how: "import"})
	return err
}
