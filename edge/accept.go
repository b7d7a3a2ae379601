package edge

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// Refusal is why a message is not believed.
type Refusal string

const (
	Forged          Refusal = "forged"           // not signed by the key that is trusted here
	OtherDeployment Refusal = "other_deployment" // signed, for another deployment
	Malformed       Refusal = "malformed"        // damaged, cut short, of an unknown version
	TooOld          Refusal = "too_old"          // past its bound: a replay, a centre that stopped, or clocks that differ
	FromFuture      Refusal = "from_future"      // as far ahead: clocks differ
	LowerEpoch      Refusal = "lower_epoch"      // of before a restore that is known here
	Replayed        Refusal = "replayed"         // an older state of this epoch, from then
	RolledBack      Refusal = "rolled_back"      // an older state of this epoch, signed after the one that is held
	Forked          Refusal = "forked"           // another state under the same number
	Inconsistent    Refusal = "inconsistent"     // what came out is not what the head says
)

// Refusals lists them, for metrics.
var Refusals = []Refusal{Forged, OtherDeployment, Malformed, TooOld, FromFuture, LowerEpoch, Replayed, RolledBack, Forked, Inconsistent}

func (r Refusal) Error() string { return "a message of the gate was refused: " + string(r) }

// Two answers of take that are no refusals.
var (
	errBehind   = errors.New("edge: there are changes in between that did not come")
	errNewEpoch = errors.New("edge: there is a new epoch: its snapshot is wanted")
)

// belief is what the edge holds and goes by.
type belief struct {
	keys       Keys
	deployment string // "" until one was believed
	snap       *gate.Snapshot
	head       gate.Head
}

// Keys are those that may sign the centre's messages: more than one while the centre
// turns its own. They are asked for at each message.
type Keys func() []ed25519.PublicKey

func (k Keys) signed(m *gate.Message) bool {
	return slices.ContainsFunc(k(), func(key ed25519.PublicKey) bool { return m.Verify(key, "") == nil })
}

// take decides on one message. On nil the belief is what the message says, or was
// that already; told says that it brought something new. On any error nothing has changed.
func (b *belief) take(m *gate.Message, now time.Time) (told bool, err error) {
	h := &m.Head
	if !b.keys.signed(m) {
		return false, Forged
	}
	switch age := now.Sub(h.Time); {
	case b.deployment != "" && h.Deployment != b.deployment:
		return false, OtherDeployment
	case age > h.Bound:
		return false, TooOld
	case -age > h.Bound:
		return false, FromFuture
	}
	return b.follow(m)
}

// follow decides on a message whose signature and age are good, or whose age does not
// count: one of the cache.
func (b *belief) follow(m *gate.Message) (told bool, err error) {
	h := &m.Head
	switch {
	case b.snap == nil && m.Kind != gate.KindSnapshot:
		return false, errBehind
	case b.snap == nil:
		return true, b.adopt(m)
	case h.Epoch < b.snap.Epoch:
		return false, LowerEpoch
	case h.Epoch > b.snap.Epoch && m.Kind != gate.KindSnapshot:
		return false, errNewEpoch
	case h.Epoch > b.snap.Epoch:
		return true, b.adopt(m)
	case h.Seq < b.snap.Seq && h.Time.After(b.head.Time):
		return false, RolledBack
	case h.Seq < b.snap.Seq:
		return false, Replayed
	case h.Seq == b.snap.Seq && h.Digest != b.snap.Digest():
		return false, Forked
	case h.Seq == b.snap.Seq:
		// The same state: its head makes it fresh, unless a later one already has.
		if !h.Time.After(b.head.Time) {
			return false, nil
		}
		b.head = *h
		return true, nil
	case m.Kind == gate.KindHead:
		return false, errBehind
	case m.Kind == gate.KindSnapshot:
		return true, b.adopt(m)
	}
	next, err := b.snap.Apply(m)
	switch muster.ErrorCode(err) {
	case "":
		b.snap, b.head = next, *h
		return true, nil
	case muster.CodeStale:
		return false, errBehind
	case muster.CodeMalformed:
		return false, Malformed
	}
	return false, Inconsistent
}

// adopt takes a snapshot whole.
func (b *belief) adopt(m *gate.Message) error {
	s, err := m.Snapshot()
	switch muster.ErrorCode(err) {
	case "":
	case muster.CodeMalformed, muster.CodeTooLarge:
		return Malformed
	default:
		return Inconsistent
	}
	b.deployment, b.snap, b.head = m.Head.Deployment, s, m.Head
	return nil
}
