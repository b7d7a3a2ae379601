package ledger

import (
	"encoding/binary"
	"time"
)

// seen knows digests again. It holds two generations: what is looked up is in the
// younger or the elder. A generation ends when it is as old as is to be remembered, or
// holds as many digests as may be; then the elder is forgotten. So a digest is known for
// at least that time, or for as long as it takes that many others to come.
type seen struct {
	remember time.Duration
	most     int
	young    digestSet
	elder    digestSet
	since    time.Time // of the young one
}

func newSeen(remember time.Duration, most int) *seen { return &seen{remember: remember, most: most} }

func (s *seen) has(d [16]byte) bool { return s.young.has(d) || s.elder.has(d) }

func (s *seen) add(d [16]byte, now time.Time) {
	if s.since.IsZero() {
		s.since = now
	}
	if s.young.n >= s.most || now.Sub(s.since) >= s.remember {
		s.elder, s.young, s.since = s.young, digestSet{}, now
	}
	s.young.add(d)
}

// digestSet is a set of digests. They are random already: their first bits are their
// hash. The digest of sixteen zeros, which nobody will meet, is not kept.
type digestSet struct {
	slots [][16]byte // a power of two, at most three quarters full
	n     int
}

func (s *digestSet) find(d *[16]byte) (at int, there bool) {
	mask := len(s.slots) - 1
	for at = int(binary.LittleEndian.Uint64(d[:])) & mask; ; at = (at + 1) & mask {
		switch s.slots[at] {
		case *d:
			return at, true
		case [16]byte{}:
			return at, false
		}
	}
}

func (s *digestSet) has(d [16]byte) bool {
	if s.n == 0 {
		return false
	}
	_, there := s.find(&d)
	return there
}

func (s *digestSet) add(d [16]byte) {
	if d == ([16]byte{}) {
		return
	}
	if 4*(s.n+1) > 3*len(s.slots) {
		old := s.slots
		s.slots = make([][16]byte, max(64, 2*len(old)))
		for i := range old {
			if old[i] != ([16]byte{}) {
				at, _ := s.find(&old[i])
				s.slots[at] = old[i]
			}
		}
	}
	if at, there := s.find(&d); !there {
		s.slots[at] = d
		s.n++
	}
}
