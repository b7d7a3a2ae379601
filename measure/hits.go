package measure

import (
	"slices"

	"github.com/muster-cip/muster"
)

// found reports whether a person found that the subject is this entry of a list.
func found(s *muster.SubjectFacts, list, entry string) bool {
	return slices.ContainsFunc(s.Hits, func(h muster.HitFacts) bool {
		return h.List == list && h.Entry == entry && h.State == muster.HitTrue
	})
}
