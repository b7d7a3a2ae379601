package watchlist

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/own"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/tlog"
)

// Tx is what this room needs of a transaction.
type Tx interface {
	journal.Tx
	Enqueue(ctx context.Context, jobs ...*muster.Job) error
	Acquire(ctx context.Context, name, holder string, ttl time.Duration) (*muster.Lease, error)
	Release(ctx context.Context, l *muster.Lease) error

	ListSnapshot(ctx context.Context, list, digest string) (*muster.ListSnapshot, error)
	ListSnapshots(ctx context.Context, list string) ([]*muster.ListSnapshot, error)
	AddListSnapshot(ctx context.Context, x *muster.ListSnapshot) error
	ListBody(ctx context.Context, list, digest string) ([]byte, error)
	ListStates(ctx context.Context) ([]*muster.ListState, error)
	ListState(ctx context.Context, list string) (*muster.ListState, error)
	PutListState(ctx context.Context, x *muster.ListState) error
	AddListEvent(ctx context.Context, x *muster.ListEvent) error
	ListEvents(ctx context.Context, list string, limit int) ([]*muster.ListEvent, error)
	ListSources(ctx context.Context) ([]*muster.ListSource, error)
	PutListSource(ctx context.Context, x *muster.ListSource) error
}

// DB opens transactions, and views that write nothing.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Seals keep what an own list says from whoever has only the store (*vault.Vault).
type Seals interface {
	SealConfig(name string, secret []byte) []byte
	OpenConfig(name string, sealed []byte) ([]byte, error)
	RequestMAC(body []byte) []byte
}

// Config of a Service. DB, Journal, Seals, Client, Clock and Holder are required.
type Config struct {
	DB      DB
	Journal *journal.Journal
	Seals   Seals
	Client  *outbound.Client // bounds what one answer may hold
	Clock   muster.Clock
	Holder  string // this process, among all that share the store
	Rules   Rules
}

// Rules are the bounds that a provider sets.
type Rules struct {
	MaxAge    time.Duration // of what is in effect, before it counts as stale; 0: DefaultMaxAge
	MaxShrink int           // per cent of its entries that a list may lose at once; 0: DefaultMaxShrink
	MaxBroken int           // per cent of its rows that may be broken; 0: DefaultMaxBroken
	Skip      []string      // ids of lists that are not taken: csl.sdn where ofac.sdn is
	Sources   []Source
}

// Bounds where the configuration says nothing.
const (
	DefaultMaxAge    = 72 * time.Hour
	DefaultMaxShrink = 10
	DefaultMaxBroken = 1
	DefaultEvery     = 6 * time.Hour
)

// Source is where lists are fetched from: the URLs of one set of files.
type Source struct {
	Name       string        // for people and commands: ofac, un, own.blocked
	URLs       []string      //
	Every      time.Duration // 0: DefaultEvery
	MaxAge     time.Duration // of its lists; 0: that of Rules
	MinEntries int           // of each of its lists; fewer are refused
}

// Service is the room's verbs.
type Service struct {
	Config
	zw *zstd.Encoder
	zr *zstd.Decoder

	loading sync.Mutex // one Load at a time
	now     atomic.Pointer[inEffect]
}

// New makes a Service.
func New(c Config) (*Service, error) {
	r := &c.Rules
	if r.MaxAge <= 0 {
		r.MaxAge = DefaultMaxAge
	}
	if r.MaxShrink <= 0 {
		r.MaxShrink = DefaultMaxShrink
	}
	if r.MaxBroken <= 0 {
		r.MaxBroken = DefaultMaxBroken
	}
	s := &Service{Config: c}
	var err error
	if s.zw, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, err
	}
	if s.zr, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30)); err != nil {
		return nil, err
	}
	s.now.Store(&inEffect{lists: map[string]*listInEffect{}})
	return s, nil
}

// What became of a list that arrived.
const (
	Applied   = "applied"
	Unchanged = "unchanged"
	Held      = "held"    // waits for a person
	Kept      = "kept"    // an older edition, or one without a date beside one that has it: not put into effect
	Refused   = "refused" // changes nothing
	Skipped   = "skipped" // the configuration says that it is not taken

	Approved   = "approved"
	Declined   = "declined"
	RolledBack = "rolled_back"
)

// Arrived is what became of one list that arrived.
type Arrived struct {
	List    string       `json:"list,omitempty"`
	State   string       `json:"state" enum:"applied,unchanged,held,kept,refused,skipped"`
	Why     string       `json:"why,omitempty"`
	Digest  string       `json:"digest,omitempty"`
	AsOf    time.Time    `json:"as_of,omitzero"`
	Files   []string     `json:"files,omitempty"`
	Rows    int          `json:"rows"`
	Entries int          `json:"entries"`
	Broken  int          `json:"broken"`
	Orphans int          `json:"orphans"`
	Flaws   []lists.Flaw `json:"flaws,omitempty" doc:"the first of what is broken or an orphan, by line"`
	Notes   []string     `json:"notes,omitempty"`
	Added   int          `json:"added"`
	Removed int          `json:"removed"`
	Changed int          `json:"changed"`
}

// Reading is what a snapshot keeps of how it was read.
type Reading struct {
	Format  string      `json:"format"`
	Files   []string    `json:"files" nullable:"false"`
	Broken  lists.Tally `json:"broken,omitzero"`
	Orphans lists.Tally `json:"orphans,omitzero"`
	Cut     string      `json:"cut,omitempty" doc:"why it is not whole"`
	Notes   []string    `json:"notes,omitempty"`
}

// arrival is one edition on its way to be a snapshot.
type arrival struct {
	*lists.Edition
	snap *muster.ListSnapshot
	out  Arrived
	keep bool   // for comparison only
	hold string // why a person decides whatever is in effect, "" nobody needs to

	// What the edition was compared with, and what came of it: done before the
	// transaction, and again in it only where another snapshot took effect meanwhile.
	against string
	why     string // a person decides, "" nobody needs to
}

// Import takes lists from files that a person has.
func (s *Service) Import(ctx context.Context, by string, files []lists.File) ([]Arrived, error) {
	rep := Read(files)
	outs := refusals(rep)
	if len(rep.Editions) == 0 {
		return outs, nil
	}
	arrivals, late := s.newest(rep.Editions)
	outs = append(outs, late...)
	done, err := s.arrive(ctx, arrivals, how{by: by, how: "import"})
	return append(outs, done...), err
}

func refusals(rep *Report) (outs []Arrived) {
	for _, r := range rep.Refused {
		o := Arrived{State: Refused, Why: r.Reason}
		if r.File != "" {
			o.Files = []string{r.File}
		}
		outs = append(outs, o)
	}
	for _, f := range rep.Skipped {
		outs = append(outs, Arrived{State: Skipped, Files: []string{f}, Why: "no list that is known"})
	}
	return outs
}

// newest orders the editions of an import: the newest of each list is to take effect,
// older ones are kept, and where several have no date nobody can tell.
func (s *Service) newest(editions []*lists.Edition) (arrivals []*arrival, outs []Arrived) {
	best := map[string]*lists.Edition{}
	for _, ed := range editions {
		if b := best[ed.List]; b == nil || ed.AsOf.After(b.AsOf) {
			best[ed.List] = ed
		}
	}
	for _, ed := range editions {
		b := best[ed.List]
		a := &arrival{Edition: ed, keep: ed != b}
		// Two of one date, the newest among them, leave nothing to choose by.
		if b.AsOf.Equal(ed.AsOf) && slices.ContainsFunc(editions, func(o *lists.Edition) bool { return o != ed && o.List == ed.List && o.AsOf.Equal(ed.AsOf) }) {
			o := arrivedOf(ed)
			o.State, o.Why = Refused, "several editions of this list came, and nothing says which is the newest: import it alone, or put a date such as 2026-01-31 into its name"
			outs = append(outs, o)
			continue
		}
		arrivals = append(arrivals, a)
	}
	return arrivals, outs
}

func arrivedOf(ed *lists.Edition) Arrived {
	o := Arrived{
		List: ed.List, AsOf: ed.AsOf, Files: ed.Files, Rows: ed.Rows, Entries: len(ed.Entries),
		Broken: ed.Broken.Count, Orphans: ed.Orphans.Count, Notes: ed.Notes,
	}
	o.Flaws = append(append(o.Flaws, ed.Broken.Shown...), ed.Orphans.Shown...)
	return o
}

// how says how lists came.
type how struct {
	by     string // operator, "" Muster itself
	how    string // fetch | import
	source *Source
	// note writes what became of the source, in the transaction that applies its lists.
	note func(ctx context.Context, tx Tx, lists []string) error
}

// arrive judges editions and applies all that may be in one transaction.
func (s *Service) arrive(ctx context.Context, arrivals []*arrival, h how) ([]Arrived, error) {
	var ready []*arrival
	for _, a := range arrivals {
		a.out = arrivedOf(a.Edition)
		if a.out.State, a.out.Why = s.judge(a, h); a.out.State == "" {
			if err := s.pack(a, h); err != nil {
				return nil, err
			}
			l := s.now.Load().lists[a.List]
			if l == nil {
				l = &listInEffect{}
			}
			if !a.keep && l.ref.Digest != a.snap.Digest {
				s.compare(a, l.stated(), l.entries)
			}
			ready = append(ready, a)
		}
	}
	if gone, err := s.vanished(ctx, arrivals, h); err != nil {
		return nil, err
	} else if len(gone) > 0 {
		arrivals, ready = append(arrivals, gone...), append(ready, gone...)
	}
	err := s.DB.InTx(ctx, func(tx Tx) error {
		var names []string
		for _, a := range ready {
			if err := s.settle(ctx, tx, a, h); err != nil {
				return err
			}
			names = append(names, a.List)
		}
		if h.note != nil {
			return h.note(ctx, tx, names)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	outs := make([]Arrived, len(arrivals))
	for i, a := range arrivals {
		outs[i] = a.out
	}
	return outs, s.Load(ctx)
}

// fewOrphans are met in sets that are whole: files are published one after the other.
const fewOrphans = 10

// judge refuses what cannot be the list.
func (s *Service) judge(a *arrival, h how) (state, why string) {
	least := 1
	if h.source != nil {
		least = max(least, h.source.MinEntries)
	}
	switch n := len(a.Entries); {
	case slices.Contains(s.Rules.Skip, a.List):
		return Skipped, "the configuration skips it"
	case a.Broken.Count*100 > a.Rows*s.Rules.MaxBroken:
		return Refused, fmt.Sprintf("%d of %d rows are broken, and the bound is %d per cent", a.Broken.Count, a.Rows, s.Rules.MaxBroken)
	case n < least:
		return Refused, fmt.Sprintf("%d entries, and at least %d are plausible", n, least)
	case a.Cut != "" && h.how == "fetch":
		return Refused, a.Cut
	case a.Cut != "":
		a.hold = a.Cut
	case a.Orphans.Count > fewOrphans && a.Orphans.Count*100 > (a.Rows+a.Orphans.Count)*s.Rules.MaxShrink:
		a.hold = fmt.Sprintf("%d rows name entries that are not there: a file is not whole, or of another day", a.Orphans.Count)
	}
	return "", ""
}

// pack makes the snapshot of an edition.
func (s *Service) pack(a *arrival, h how) error {
	canonical, err := lists.Canonical(a.Entries)
	if err != nil {
		return err
	}
	rep, err := json.Marshal(Reading{a.Format, a.Files, a.Broken, a.Orphans, a.Cut, a.Notes})
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a report cannot be written: %w", err)
	}
	a.snap = &muster.ListSnapshot{
		List: a.List, Digest: lists.Digest(canonical), AsOf: a.AsOf, Entries: len(a.Entries), Rows: a.Rows,
		Broken: a.Broken.Count, Orphans: a.Orphans.Count, How: h.how, Operator: h.by, Report: rep,
		Body: s.zw.EncodeAll(canonical, nil),
	}
	if strings.HasPrefix(a.List, own.Prefix) {
		// A plain digest of a short list of persons could be tried out by whoever has the
		// store; and its rows are personal data.
		a.snap.Digest = hex.EncodeToString(s.Seals.RequestMAC(append([]byte("watch list "), canonical...))[1:])
		a.snap.Body = s.Seals.SealConfig(sealName(a.List, a.snap.Digest), a.snap.Body)
	}
	a.out.Digest = a.snap.Digest
	return nil
}

func sealName(list, digest string) string { return "list/" + list + "/" + digest }

// unpack opens a snapshot's body.
func (s *Service) unpack(list, digest string, body []byte) ([]muster.ListEntry, error) {
	if strings.HasPrefix(list, own.Prefix) {
		var err error
		if body, err = s.Seals.OpenConfig(sealName(list, digest), body); err != nil {
			return nil, err
		}
	}
	canonical, err := s.zr.DecodeAll(body, nil)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "the snapshot %s of %s cannot be unpacked", digest, list)
	}
	if !strings.HasPrefix(list, own.Prefix) && lists.Digest(canonical) != digest {
		return nil, muster.Errorf(muster.CodeInternal, "the snapshot %s of %s is not what its digest says", digest, list)
	}
	return lists.ParseCanonical(canonical)
}

// vanished are the lists that came out of this source or format before and are not in
// it any more: a file that is cut at the right place, or a page of another kind, looks
// like that. They go to a person, as a list that lost everything.
func (s *Service) vanished(ctx context.Context, arrivals []*arrival, h how) (gone []*arrival, err error) {
	families := map[string]*arrival{} // csl. -> one of its editions
	for _, a := range arrivals {
		if family, _, ok := strings.Cut(a.List, "."); ok && a.Format == "csl-csv" && !a.keep {
			families[family+"."] = a
		}
	}
	for list, was := range s.now.Load().lists {
		family, _, _ := strings.Cut(list, ".")
		a := families[family+"."]
		there := slices.ContainsFunc(arrivals, func(a *arrival) bool { return a.List == list && !a.keep })
		if a == nil || there || len(was.entries) == 0 || slices.Contains(s.Rules.Skip, list) {
			continue
		}
		g := &arrival{Edition: &lists.Edition{List: list, Format: a.Format, Files: a.Files, AsOf: a.AsOf}, hold: "the file has nothing of this list any more"}
		g.out = arrivedOf(g.Edition)
		if err := s.pack(g, h); err != nil {
			return nil, err
		}
		gone = append(gone, g)
	}
	slices.SortFunc(gone, func(a, b *arrival) int { return strings.Compare(a.List, b.List) })
	return gone, nil
}

// settle writes one arrival: it takes effect, is held, kept, or nothing changes. It
// may run more than once.
func (s *Service) settle(ctx context.Context, tx Tx, a *arrival, h how) error {
	state, err := tx.ListState(ctx, a.List)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		state, err = &muster.ListState{List: a.List}, nil
	}
	if err != nil {
		return err
	}
	a.snap.Made = tx.Now()
	if a.keep && state.Digest != a.snap.Digest {
		a.out.State, a.out.Why = Kept, "another edition that came with it is newer"
		if a.AsOf.IsZero() {
			a.out.Why = "it has no date, and another edition that came with it has"
		}
		if err := tx.AddListSnapshot(ctx, a.snap); err != nil {
			return err
		}
		if err := tx.PutListState(ctx, state); err != nil {
			return err
		}
		return s.enter(ctx, tx, state, &muster.ListEvent{What: Kept, Digest: a.snap.Digest, Operator: h.by})
	}
	if state.Digest == a.snap.Digest {
		a.out.State = Unchanged
		if fresh := freshness(a, tx.Now(), h); fresh.After(state.Fresh) {
			state.Fresh = fresh
		}
		a.came(state, h)
		return tx.PutListState(ctx, state)
	}
	if h.how == "fetch" { // a person who brings it anew may
		no, err := givenUp(ctx, tx, a.List, a.snap.Digest)
		if err != nil {
			return err
		}
		if no {
			a.out.State, a.out.Why = Refused, "an operator declined this very snapshot, or rolled it back"
			return nil
		}
	}
	if state.Digest != a.against {
		if err := s.recompare(ctx, tx, a, state); err != nil {
			return err
		}
	}
	if err := tx.AddListSnapshot(ctx, a.snap); err != nil {
		return err
	}
	if a.why != "" {
		return s.keepBack(ctx, tx, a, state, h)
	}
	a.out.State, a.out.Why = Applied, ""
	a.came(state, h)
	return s.effect(ctx, tx, state, a.snap.Digest, freshness(a, tx.Now(), h), &muster.ListEvent{What: Applied, Operator: h.by})
}

// keepBack leaves what is in effect, and has a person decide.
func (s *Service) keepBack(ctx context.Context, tx Tx, a *arrival, state *muster.ListState, h how) error {
	no, err := givenUp(ctx, tx, a.List, a.snap.Digest)
	if err != nil {
		return err
	}
	if no {
		a.out.State, a.out.Why = Refused, "an operator declined this very snapshot"
		return nil
	}
	a.out.State, a.out.Why = Held, a.why
	if state.Held == a.snap.Digest {
		return nil // said already
	}
	state.Held, state.HeldAt, state.HeldWhy = a.snap.Digest, tx.Now(), a.why
	a.came(state, h)
	if err := tx.PutListState(ctx, state); err != nil {
		return err
	}
	return s.enter(ctx, tx, state, &muster.ListEvent{What: Held, Digest: a.snap.Digest, Operator: h.by, Reason: a.why})
}

// came notes which source a list comes from: that says how old it may be.
func (a *arrival) came(state *muster.ListState, h how) {
	if h.source != nil {
		state.Source = h.source.Name
	}
}

// freshness is when we know the edition to have been what the publisher has: now where
// it was fetched; its own date where a person brought it.
func freshness(a *arrival, now time.Time, h how) time.Time {
	if h.how == "import" && !a.AsOf.IsZero() && a.AsOf.Before(now) {
		return a.AsOf
	}
	return now
}

// compare finds what changed against what is in effect, and whether a person has to
// look at it.
func (s *Service) compare(a *arrival, ref muster.ListRef, old []muster.ListEntry) {
	d := lists.Diff(old, a.Entries)
	a.out.Added, a.out.Removed, a.out.Changed = len(d.Added), len(d.Removed), len(d.Changed)
	a.against, a.why = ref.Digest, a.hold
	switch lost := len(old) - len(a.Entries); {
	case a.hold != "" || len(old) == 0:
	case !a.AsOf.IsZero() && a.AsOf.Before(ref.AsOf):
		a.why = "it is older than the one in effect"
	case lost*100 > len(old)*s.Rules.MaxShrink:
		a.why = fmt.Sprintf("it has %d entries less than the %d in effect, and the bound is %d per cent", lost, len(old), s.Rules.MaxShrink)
	case len(old) >= 20 && len(d.Removed)*2 > len(old):
		a.why = fmt.Sprintf("%d of the %d entries in effect are not in it: it may be another list", len(d.Removed), len(old))
	}
}

// recompare compares with what took effect between.
func (s *Service) recompare(ctx context.Context, tx Tx, a *arrival, state *muster.ListState) error {
	was, err := tx.ListSnapshot(ctx, a.List, state.Digest)
	if err != nil {
		return err
	}
	old, err := s.entries(ctx, tx, a.List, state.Digest)
	if err != nil {
		return err
	}
	s.compare(a, muster.ListRef{List: a.List, Digest: state.Digest, AsOf: was.AsOf}, old)
	return nil
}

// givenUp reports whether a person declined this very snapshot, or rolled it back, and
// nobody put it into effect since.
func givenUp(ctx context.Context, tx Tx, list, digest string) (bool, error) {
	events, err := tx.ListEvents(ctx, list, 200)
	for _, e := range events {
		if e.What == RolledBack && e.Before == digest {
			return true, err
		}
		if e.Digest == digest {
			return e.What == Declined, err
		}
	}
	return false, err
}

// effect puts a snapshot into effect, with its leaf, its line in the history and the
// job that screens those on file against what changed.
func (s *Service) effect(ctx context.Context, tx Tx, state *muster.ListState, digest string, fresh time.Time, e *muster.ListEvent) error {
	before := state.Digest
	state.Digest, state.Since, state.Fresh = digest, tx.Now(), fresh
	state.Held, state.HeldAt, state.HeldWhy = "", time.Time{}, ""
	if err := tx.PutListState(ctx, state); err != nil {
		return err
	}
	e.Digest, e.Before = digest, before
	if err := s.enter(ctx, tx, state, e); err != nil {
		return err
	}
	order, err := json.Marshal(muster.SweepOrder{List: state.List, From: before, To: digest})
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a job cannot be written: %w", err)
	}
	return tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixRequest, tx.Now()), Kind: muster.JobSweep, Ref: state.List, Payload: order})
}

// change is the body of a list's leaf: digests, and words of our own.
type change struct {
	What    string `json:"what"`
	Digest  string `json:"digest"`
	Before  string `json:"before,omitempty"`
	Entries int    `json:"entries"`
}

func (s *Service) enter(ctx context.Context, tx Tx, state *muster.ListState, e *muster.ListEvent) error {
	snap, err := tx.ListSnapshot(ctx, state.List, e.Digest)
	if err != nil {
		return err
	}
	r, err := s.Journal.Enter(ctx, tx, tlog.List, e.Operator, muster.Ref{Kind: "list", ID: state.List},
		change{e.What, e.Digest, e.Before, snap.Entries})
	if err != nil {
		return err
	}
	e.ID, e.List, e.Version, e.At = r.ID, state.List, state.Version, tx.Now()
	if e.Reason != "" { // what a person writes is not for whoever has the store
		e.Sealed = s.Seals.SealConfig("list event/"+e.ID, []byte(e.Reason))
	}
	return tx.AddListEvent(ctx, e)
}

func (s *Service) entries(ctx context.Context, tx Tx, list, digest string) ([]muster.ListEntry, error) {
	if l := s.now.Load().lists[list]; l != nil && l.ref.Digest == digest {
		return l.entries, nil
	}
	body, err := tx.ListBody(ctx, list, digest)
	if err != nil {
		return nil, err
	}
	return s.unpack(list, digest, body)
}
