package gate

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
)

// Request is what a provider asks: may this account do this? What is left empty is
// not held against limits.
type Request struct {
	Account string // the provider's own reference
	Action  string // muster.GateActions, or a word of the provider's

	Product      string       // that is ordered or used
	GPU          string       // class: muster.GPUClasses
	Region       string       //
	Instances    int          // of the account, once this is done
	OutboundMail bool         // it sends mail outward
	Spend        muster.Money // of the account in this calendar month, once this is done
}

// Answer is the gate's. Its words are constants or shared: it holds no memory of its own.
type Answer struct {
	Allow     bool
	WouldDeny bool // allowed because nothing is enforced: advice
	Known     bool // the account is in the snapshot
	Stale     bool // there is no snapshot, or its last head is older than its bound
	Status    muster.GateStatus
	Code      string // for programs: of the verdict, limit_..., unknown_account, stale
	Customer  string // words fit for the customer, "" where nothing is to be said
	Operator  string // words for staff
	Unblock   string // for staff: where it gets unblocked
	Rule      string // "pack/rule", or the determination

	Verdict  *muster.Verdict // what is known of the account, limits with it: read only; nil where it is not known
	Decision DecisionID      // that it rests on
	Until    time.Time       // until when this answer holds, unless a change comes before: the next instant of the profile, or the age at which the snapshot is stale; zero: ask again
	Hash     Hash            // of the account
	Epoch    uint64
	Seq      uint64
	As       time.Time // of the head: how old the knowledge is
}

// Fail is a fail table: a set of actions answered with allow, of those that
// muster.GateActions lists.
type Fail struct {
	Stale   ActionSet // where knowledge is old, or there is none
	Unknown ActionSet // where the account is not known
}

// ActionSet is a set of muster.GateActions.
type ActionSet uint16

// Actions makes a set. A word that is no action is left out.
func Actions(names ...string) (s ActionSet) {
	for _, n := range names {
		if i := action(n); i >= 0 {
			s |= 1 << i
		}
	}
	return s
}

// Has reports whether a word is in the set.
func (s ActionSet) Has(name string) bool {
	i := action(name)
	return i >= 0 && s&(1<<i) != 0
}

// action is the index of a word in muster.GateActions, -1 for none.
func action(name string) int { return slices.Index(muster.GateActions, name) }

// DefaultFail answers where there is no pack's table, as in a gate that has never had
// a snapshot: what runs goes on, and nothing new begins.
var DefaultFail = Fail{
	Stale:   Actions(muster.ActionUse, muster.ActionExportData),
	Unknown: Actions(muster.ActionUse, muster.ActionExportData),
}

// Gate answers from the latest snapshot that it was given. Safe for concurrent use;
// the zero value has no snapshot yet.
type Gate struct{ now atomic.Pointer[view] }

// view is a snapshot with the head that vouches for it.
type view struct {
	snap *Snapshot
	head Head
}

// Set puts a snapshot in force, with the head that came with it or after it.
func (g *Gate) Set(s *Snapshot, h *Head) { g.now.Store(&view{s, *h}) }

// Hear takes a head of the snapshot in force: it is fresh again, and the fail table
// is the head's. It returns false where the head is of another state.
func (g *Gate) Hear(h *Head) bool {
	v := g.now.Load()
	if v == nil || v.snap.Epoch != h.Epoch || v.snap.Seq != h.Seq || v.snap.digest != h.Digest {
		return false
	}
	return g.now.CompareAndSwap(v, &view{v.snap, *h})
}

// Load returns what is in force; nil and an empty head where nothing is.
func (g *Gate) Load() (*Snapshot, Head) {
	v := g.now.Load()
	if v == nil {
		return nil, Head{}
	}
	return v.snap, v.head
}

// Words of answers that no pack gives.
const (
	wordsLater   = "We cannot check this account right now. Please try again in a few minutes."
	wordsUnknown = "We do not know this account yet. Please finish signing up, or ask our support."
	wordsLimit   = "This is more than your account may use at present. Our support can tell you how to change that."

	opsNone    = "This gate has no snapshot yet; the pack's fail table answered."
	opsStale   = "This gate has heard nothing for longer than its bound; the pack's fail table answered."
	opsUnknown = "No account of this reference is on file; the pack's fail table answered."

	unblockFollow  = "see that the gate reaches the centre: muster doctor, and the gate's own log"
	unblockUnknown = "post an application for the account, or correct the reference"
	unblockLimit   = "the limits of the account's decision: GET /v1/decisions/{decision}"
)

// Decide answers r at an instant. It allocates nothing.
func (g *Gate) Decide(r *Request, now time.Time) (a Answer) {
	v := g.now.Load()
	if v == nil {
		a.Stale = true
		a.fail(DefaultFail.Stale.Has(r.Action), false, "no_snapshot", wordsLater, opsNone, unblockFollow)
		return a
	}
	s, h := v.snap, &v.head
	a.Hash, a.Epoch, a.Seq, a.As = s.key.Hash(r.Account), s.Epoch, s.Seq, h.Time
	a.Stale = now.Sub(h.Time) > h.Bound
	e := s.find(&a.Hash)
	if e == nil {
		if a.Stale {
			a.fail(h.Fail.Stale.Has(r.Action), h.Observe, "stale", wordsLater, opsStale, unblockFollow)
		} else {
			a.fail(h.Fail.Unknown.Has(r.Action), h.Observe, "unknown_account", wordsUnknown, opsUnknown, unblockUnknown)
			a.Until = h.Time.Add(h.Bound)
		}
		return a
	}
	a.Known, a.Decision = true, e.decision
	p := s.known.get(e.profile)
	at := now
	if at.Before(h.Time) { // a clock that went back ends nothing early and begins nothing anew
		at = h.Time
	}
	verdict, next := p.at(at.UnixMicro())
	a.judge(r, verdict)
	if !a.Stale {
		a.Until = h.Time.Add(h.Bound)
		if end := time.UnixMicro(next); next != 0 && end.Before(a.Until) {
			a.Until = end.UTC()
		}
		return a
	}
	if a.Allow && !a.WouldDeny {
		row := h.Fail.Stale.Has(r.Action)
		if p.measure && r.Action != muster.ActionUse && r.Action != muster.ActionExportData {
			row = row && h.Fail.Stale.Has(muster.ActionOrderByMeasure)
		}
		if !row {
			a.fail(false, h.Observe, "stale", wordsLater, opsStale, unblockFollow)
		}
	}
	return a
}

// fail answers by the fail table.
func (a *Answer) fail(allow, observe bool, code, customer, operator, unblock string) {
	a.Allow, a.Status, a.Code, a.Operator = allow, muster.GateAllow, code, operator
	if allow {
		return
	}
	a.Status, a.Customer, a.Unblock = muster.GateDeny, customer, unblock
	a.Allow, a.WouldDeny = observe, observe
}

// judge answers by what is known of the account.
func (a *Answer) judge(r *Request, v *muster.Verdict) {
	a.Verdict, a.Status = v, v.Status
	a.Code, a.Rule, a.Customer, a.Operator, a.Unblock = v.Code, v.Rule, v.Customer, v.Operator, v.Unblock
	switch v.Status {
	case muster.GateDeny:
		a.Allow = slices.Contains(v.Except, r.Action)
	case muster.GateLimited:
		limit := past(r, &v.Limits)
		if a.Allow = limit == ""; !a.Allow {
			a.Status, a.Code, a.Customer, a.Unblock = muster.GateDeny, limit, wordsLimit, unblockLimit
		}
	default:
		a.Allow = true
	}
	if v.Observed && !a.Allow {
		a.Allow, a.WouldDeny = true, true
	}
}

// past names the first limit that r goes past, "" for none.
func past(r *Request, l *muster.Limits) string {
	switch {
	case r.Product != "" && len(l.Products) > 0 && !slices.Contains(l.Products, r.Product),
		r.Product != "" && slices.Contains(l.Deny, r.Product):
		return "limit_product"
	case l.GPU != "" && r.GPU != "" && rankGPU(r.GPU) > rankGPU(l.GPU), l.GPU == "none" && r.Action == muster.ActionAddGPU:
		return "limit_gpu"
	case r.Region != "" && len(l.Regions) > 0 && !slices.Contains(l.Regions, r.Region):
		return "limit_region"
	case l.Instances != nil && r.Instances > *l.Instances:
		return "limit_instances"
	case l.OutboundMail == "closed" && r.OutboundMail:
		return "limit_outbound_mail"
	case l.Spend != nil && r.Spend.Amount > 0 && (r.Spend.Currency != l.Spend.Currency || r.Spend.Amount > l.Spend.Amount):
		return "limit_spend" // an amount in another currency cannot be shown to be within it
	}
	return ""
}

// rankGPU is a class's place in the order; an unknown class is past them all.
func rankGPU(class string) int {
	if i := slices.Index(muster.GPUClasses, class); i >= 0 {
		return i
	}
	return len(muster.GPUClasses)
}
