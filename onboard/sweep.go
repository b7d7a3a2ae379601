package onboard

import (
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/vault"
)

// A sweep compares everybody on file with what changed in a list. It goes through
// the book page by page and writes down, after each, how far it is: killed at any
// instant it goes on there, and a page that is done twice does no harm, because
// deciding anew where nothing moved writes nothing.

// Stages of a sweep, in order.
const (
	stageListed = "listed" // hits on the entries that changed or went
	stageBook   = "book"   // everybody on file
	stageTail   = "tail"   // who was decided while processes still had the list of before
	stageDone   = "done"
)

const (
	sweepSlack = 3 * time.Second  // before the deadline: no further page is begun
	tailBefore = time.Minute      // a decision that began so long before the snapshot may have been made without it
	tailAfter  = 90 * time.Second // and one this long after it is made with it: every process loads lists once a second
)

// SweepState is what became of one try.
type SweepState struct {
	Done  bool
	After time.Duration // not done: look again after that; 0: at once
	Code  string        // why
}

// Sweep goes on with the sweep that a job asks for, for as long as ctx lets it.
func (s *Service) Sweep(ctx context.Context, job *muster.Job) (SweepState, error) {
	var order muster.SweepOrder
	if err := json.Unmarshal(job.Payload, &order); err != nil || order.List == "" {
		return SweepState{}, muster.Errorf(muster.CodeInvalid, "the job of a sweep names no list")
	}
	w := s.watch()
	if order.To != "" && !holds(w, order.List, order.To) && (holds(w, order.List, order.From) || w == nil) {
		return SweepState{After: time.Second, Code: "not_loaded"}, nil // this process has the list of before
	}
	r, err := s.sweepRecord(ctx, job, muster.SweepRecord{Kind: muster.SweepChange, List: order.List, From: order.From, To: order.To, Stage: stageListed})
	if err != nil || r.Stage == stageDone {
		return SweepState{Done: true}, err
	}
	if w == nil || order.To == "" { // nothing of the list is known any more: hits on it stay as they are
		r.Stage = stageDone
		return SweepState{Done: true}, s.checkpoint(ctx, job, r)
	}
	touched, removed, err := s.Lists.Touched(ctx, order)
	if err != nil {
		return SweepState{}, err
	}
	x := &sweep{Service: s, job: job, r: r, w: w}
	enforce, observe := s.Programme.At(s.Clock())
	x.packs = slices.Concat(enforce, observe)
	return x.run(ctx, touched, removed)
}

func (s *Service) watch() *Watch {
	if s.Lists == nil {
		return nil
	}
	return s.Lists.Watch()
}

func holds(w *Watch, list, digest string) bool {
	return w != nil && slices.ContainsFunc(w.Refs, func(r muster.ListRef) bool { return r.List == list && r.Digest == digest })
}

// sweepRecord finds the record of a job's sweep, or makes it.
func (s *Service) sweepRecord(ctx context.Context, job *muster.Job, fresh muster.SweepRecord) (r *muster.SweepRecord, err error) {
	id := sweepID(job.ID)
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if r, err = tx.Sweep(ctx, id); muster.ErrorCode(err) != muster.CodeNotFound {
			return err
		}
		x := fresh
		r = &x
		r.ID, r.Made = id, tx.Now()
		if r.Total, err = tx.CountCustomers(ctx); err != nil {
			return err
		}
		return tx.PutSweep(ctx, r)
	})
	return r, err
}

// sweepID is the id of the sweep that a job does.
func sweepID(job string) string { return muster.PrefixSweep + job[len(job)-26:] }

// checkpoint writes down how far a sweep is.
func (s *Service) checkpoint(ctx context.Context, job *muster.Job, r *muster.SweepRecord) error {
	return s.DB.InTx(ctx, func(tx Tx) error {
		if r.Stage == stageDone && r.Ended.IsZero() {
			r.Ended = tx.Now()
		}
		return tx.PutSweep(ctx, r)
	})
}

// sweep is one try.
type sweep struct {
	*Service
	job   *muster.Job
	r     *muster.SweepRecord
	w     *Watch
	packs []*policy.Pack

	starter string // operator who asked for it, "" where time did
}

func (x *sweep) run(ctx context.Context, touched, removed []string) (SweepState, error) {
	if x.r.Stage == stageListed {
		if err := x.listed(ctx, touched, removed); err != nil {
			return SweepState{}, err
		}
	}
	if x.r.Stage == stageBook {
		wanted, asked := policy.ScreeningWanted(x.packs)
		over := !asked || len(touched) == 0
		if !over {
			var err error
			if over, err = x.book(ctx, x.changed(touched), wanted); err != nil {
				return SweepState{}, err
			}
		}
		if !over {
			return SweepState{Code: "going_on"}, nil
		}
		x.r.Stage = stageTail
		if err := x.checkpoint(ctx, x.job, x.r); err != nil {
			return SweepState{}, err
		}
	}
	if wait := x.r.Made.Add(tailAfter).Sub(x.Clock()); wait > 0 {
		return SweepState{After: wait, Code: "waiting"}, nil
	}
	if err := x.tail(ctx); err != nil {
		return SweepState{}, err
	}
	return SweepState{Done: true}, nil
}

// listed looks at the hits on entries that changed or went: one may be moot, or be
// open again.
func (x *sweep) listed(ctx context.Context, touched, removed []string) error {
	if x.r.From != "" {
		digests := map[string]bool{}
		for _, id := range slices.Concat(touched, removed) {
			for _, d := range x.Listed(x.r.List, id) {
				digests[string(d)] = true
			}
		}
		var hits []muster.HitRecord
		if err := x.DB.View(ctx, func(tx Tx) (err error) {
			hits, err = tx.HitsOn(ctx, x.r.List)
			return err
		}); err != nil {
			return err
		}
		var customers []string
		for _, h := range hits {
			if digests[string(h.Listed)] && !slices.Contains(customers, h.Customer) {
				customers = append(customers, h.Customer)
			}
		}
		if err := x.rescreen(ctx, customers); err != nil {
			return err
		}
	}
	x.r.Stage = stageBook
	return x.checkpoint(ctx, x.job, x.r)
}

func (x *sweep) rescreen(ctx context.Context, customers []string) error {
	for _, c := range customers {
		decided, err := x.Rescreen(ctx, c)
		switch code := muster.ErrorCode(err); {
		case code == muster.CodeNotFound, code == muster.CodeGone: // erased meanwhile
		case err != nil:
			return err
		case decided:
			x.r.Affected++
		}
	}
	return nil
}

// changed is an index of the entries that changed. It scores as the whole one does.
func (x *sweep) changed(ids []string) *screen.Index {
	if x.r.From == "" && len(x.w.Refs) == 1 {
		return x.w.Index
	}
	in := make(map[string]bool, len(ids))
	for _, id := range ids {
		in[id] = true
	}
	return x.w.Index.Subset(func(e *muster.ListEntry) bool { return e.List == x.r.List && in[e.ID] })
}

// book goes through everybody on file; over: to its end.
func (x *sweep) book(ctx context.Context, index *screen.Index, wanted policy.Wanted) (over bool, err error) {
	o := options(wanted)
	o.Floor = max(o.Floor, wanted.Threshold) // what is no hit of any pack changes nothing here
	return x.pages(ctx, func(ctx context.Context, customers []customer) error {
		hit := make([]bool, len(customers))
		err := spread(ctx, len(customers), sweepShare, func(i int) error {
			for k := range customers[i].queries {
				if hits := index.Search(&customers[i].queries[k].Query, o); slices.ContainsFunc(hits, x.isHit) {
					hit[i] = true
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		var found []string
		for i, h := range hit {
			if h {
				found = append(found, customers[i].id)
			}
		}
		return x.rescreen(ctx, found)
	})
}

func (x *sweep) isHit(c muster.Candidate) bool {
	return slices.ContainsFunc(x.packs, func(p *policy.Pack) bool { return p.Document().Screening.IsHit(&c) })
}

// tail looks at who was decided around the time at which the snapshot took effect:
// a process may not have had it, and the book may have been past them.
func (x *sweep) tail(ctx context.Context) error {
	var customers []string
	if err := x.DB.View(ctx, func(tx Tx) (err error) {
		customers, err = tx.DecidedBetween(ctx, x.r.Made.Add(-tailBefore), x.r.Made.Add(tailAfter))
		return err
	}); err != nil {
		return err
	}
	if err := x.rescreen(ctx, customers); err != nil {
		return err
	}
	x.r.Stage = stageDone
	return x.checkpoint(ctx, x.job, x.r)
}

// customer is one customer of the book, opened: in memory only, for as long as a page.
type customer struct {
	id      string
	queries []Screened
}

// pages reads and opens the book from where the sweep is, a page at a time, and
// hands each to fn. While one is compared the next is read. over: to the book's end.
func (x *sweep) pages(ctx context.Context, fn func(context.Context, []customer) error) (over bool, err error) {
	session, err := x.Vault.Use(ctx, vault.Job{
		Name: x.job.Kind, Purpose: "screening", Scope: "everybody on file, from " + or(x.r.Place, "the first"), Starter: x.starter,
	}, x.Journal)
	if err != nil {
		return false, err
	}
	opened := 0
	defer func() {
		// The end is written down even where the try was cut off.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepSlack)
		defer cancel()
		if e := session.End(end, opened); e != nil && err == nil {
			err = e
		}
	}()
	b := &bookReader{x.DB, x.r.Place, x.SweepPage}
	next := b.read(ctx)
	for {
		page := <-next
		if page.err != nil || page.ids == 0 {
			return page.err == nil, page.err
		}
		enough := timeFor(ctx)
		if enough {
			next = b.read(ctx)
		}
		customers, err := openPage(ctx, session, page.rows)
		if err != nil {
			return false, err
		}
		if err := fn(ctx, customers); err != nil {
			return false, err
		}
		opened += len(page.rows)
		x.r.Place = page.last
		x.r.Done += page.ids
		if err := x.checkpoint(ctx, x.job, x.r); err != nil {
			return false, err
		}
		if !enough {
			return false, nil
		}
	}
}

// timeFor reports whether ctx leaves time for another page.
func timeFor(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > sweepSlack)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// bookReader reads the book ahead.
type bookReader struct {
	db    DB
	after string
	size  int
}

type bookPage struct {
	rows []muster.BookRow
	ids  int // customers, closed ones too
	last string
	err  error
}

// read begins to read the next page.
func (b *bookReader) read(ctx context.Context) <-chan bookPage {
	out := make(chan bookPage, 1)
	go func() {
		var p bookPage
		p.err = b.db.View(ctx, func(tx Tx) error {
			ids, err := tx.CustomersAfter(ctx, muster.Page{After: b.after, Limit: b.size})
			if err != nil || len(ids) == 0 {
				return err
			}
			p.ids, p.last = len(ids), ids[len(ids)-1]
			p.rows, err = tx.Book(ctx, b.after, p.last)
			return err
		})
		if p.err == nil && p.ids > 0 {
			b.after = p.last
		}
		out <- p
	}()
	return out
}

// openPage opens the claims of a page on all cores and makes the queries of each
// customer. Who was erased meanwhile is left out.
func openPage(ctx context.Context, session *vault.Session, rows []muster.BookRow) ([]customer, error) {
	keys := make([]string, len(rows))
	for i := range rows {
		keys[i] = rows[i].Key
	}
	if err := session.Warm(ctx, keys); err != nil {
		return nil, err
	}
	pieces := make([]piece, len(rows))
	if err := spread(ctx, len(rows), sweepShare, func(i int) error {
		r := &rows[i]
		data, err := session.Open(ctx, vault.Item{KeyID: r.Key, Place: claimsPlace(r.Subject, r.Revision), Sealed: r.Sealed})
		if err != nil {
			if muster.ErrorCode(err) == muster.CodeGone {
				return nil
			}
			return err
		}
		return decodePiece(data, &pieces[i])
	}); err != nil {
		return nil, err
	}
	var out []customer
	for i := range rows {
		r := &rows[i]
		if len(out) == 0 || out[len(out)-1].id != r.Customer {
			out = append(out, customer{id: r.Customer})
		}
		c := &out[len(out)-1]
		c.queries = append(c.queries, Screened{r.Pointer, muster.HitOfSubject, queryOf(&pieces[i])})
		if rest := pieces[i].Rest; rest != nil {
			if payer, ok := payerOf(rest, c.queries); ok {
				c.queries = append(c.queries, payer)
			}
		}
	}
	return out, nil
}

// sweepShare is how many of a page one core takes at a time.
const sweepShare = 64

// spread calls fn for 0..n-1 on all cores, share at a time.
func spread(ctx context.Context, n, share int, fn func(i int) error) error {
	var mu sync.Mutex
	at := 0
	group, ctx := errgroup.WithContext(ctx)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for {
				mu.Lock()
				from := at
				at += share
				mu.Unlock()
				if from >= n || ctx.Err() != nil {
					return ctx.Err()
				}
				for i := from; i < min(from+share, n); i++ {
					if err := fn(i); err != nil {
						return err
					}
				}
			}
		})
	}
	return group.Wait()
}
