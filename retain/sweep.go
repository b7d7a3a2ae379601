package retain

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Cursor is how far a day's run has come. It is kept between slices.
type Cursor struct {
	Step   string    `json:"step"` // requests | editions | files | records | proofs | own | strays | indexes; "" at the beginning
	After  string    `json:"after,omitempty"`
	Kind   int       `json:"kind,omitempty"` // of the blind index
	Digest []byte    `json:"digest,omitempty"`
	Handle []byte    `json:"handle,omitempty"`
	Began  time.Time `json:"began"`
	Swept  Swept     `json:"swept"`
}

// Swept is what a day's run did.
type Swept struct {
	Files   int64 `json:"files"`   // of which something went
	Records int64 `json:"records"` // that are kept one by one
	Proofs  int64 `json:"proofs"`  // pieces of evidence whose details went: they had proved
	Owned   int64 `json:"owned"`   // pieces of evidence that came under a key of their own
	Index   int64 `json:"index"`   // rows of the blind indexes that led nowhere
	Waits   int64 `json:"waits"`   // files that wait for two operators: too many on one day

	Editions int64            `json:"editions"` // of watch lists, that nothing referred to any more
	Classes  map[string]int64 `json:"classes"`  // as a preview counts them
}

// erased counts an erasure that was carried out.
func (s *Swept) erased(e *muster.Erasure) {
	s.Files += int64(len(e.Items))
	for _, it := range e.Items {
		for _, class := range it.Classes {
			s.add(class, 1)
		}
	}
}

func (s *Swept) add(class string, n int64) {
	if n > 0 {
		if s.Classes == nil {
			s.Classes = map[string]int64{}
		}
		s.Classes[class] += n
	}
}

// Slice does a part of a day's run, until about the given instant, and returns where
// to go on. done is true at the end of the day's run. First it finishes what a part
// before it, or who did that part, left begun.
func (s *Service) Slice(ctx context.Context, c Cursor, until time.Time) (Cursor, bool, error) {
	if err := s.Resume(ctx); err != nil {
		return c, false, err
	}
	if c.Step == "" {
		c = Cursor{Step: "requests", Began: s.Clock()}
	}
	for !s.Clock().After(until) && ctx.Err() == nil {
		var err error
		switch c.Step {
		case "requests":
			err = s.requests(ctx, &c)
			c.Step = "editions"
		case "editions":
			err = s.editions(ctx, &c)
		case "files":
			err = s.files(ctx, &c, until)
			if err == nil && c.Step != "files" { // the cursor is kept: nobody walks the files again
				return c, false, ctx.Err()
			}
		case "records":
			err = s.records(ctx, &c)
		case "proofs":
			err = s.proofs(ctx, &c)
		case "own":
			err = s.own(ctx, &c)
		case "strays":
			err = s.strays(ctx, &c)
		case "indexes":
			err = s.indexes(ctx, &c)
		default:
			return c, true, nil
		}
		if err != nil {
			return c, false, err
		}
	}
	return c, c.Step == "end", ctx.Err()
}

// Run does a whole day's run, for commands and tests.
func (s *Service) Run(ctx context.Context) (Swept, error) {
	c, done := Cursor{}, false
	for !done {
		var err error
		if c, done, err = s.Slice(ctx, c, s.Clock().Add(time.Hour)); err != nil {
			return c.Swept, err
		}
	}
	return c.Swept, nil
}

// Resume finishes what was begun: after a crash, before anything is served, and
// before each part of a day's run.
func (s *Service) Resume(ctx context.Context) error {
	if err := s.each(ctx, muster.ErasureBegun, func(e *muster.Erasure) error { return s.finish(ctx, e) }); err != nil {
		return err
	}
	return s.endKeys(ctx)
}

// requests carries out what is approved and due. A file of which a hold keeps something
// waits whole.
func (s *Service) requests(ctx context.Context, c *Cursor) error {
	p, err := s.planAt(ctx, s.Clock())
	if err != nil {
		return err
	}
	return s.each(ctx, muster.ErasureApproved, func(e *muster.Erasure) error {
		if ok, err := s.mayBegin(ctx, p, e); err != nil || !ok {
			return err
		}
		if err := s.begin(ctx, e); err != nil {
			return err
		}
		err := s.finish(ctx, e)
		if err == nil {
			c.Swept.erased(e)
		}
		return err
	})
}

// mayBegin reports whether an erasure that was agreed to is due, and nothing keeps any
// file of it.
func (s *Service) mayBegin(ctx context.Context, p *plan, e *muster.Erasure) (ok bool, err error) {
	if e.Ground == muster.GroundMass || e.Due.After(p.at) {
		return false, nil
	}
	for _, it := range e.Items {
		var f *muster.FileAge
		if err := s.DB.View(ctx, func(tx Tx) (err error) {
			f, err = tx.FileAge(ctx, it.Customer)
			return err
		}); err != nil {
			return false, err
		}
		if f.Live || slices.ContainsFunc(it.Classes, func(class string) bool { return p.held(f, class) }) {
			return false, nil
		}
	}
	return true, nil
}

// each calls fn for every erasure of a state; fn may change it.
func (s *Service) each(ctx context.Context, state string, fn func(*muster.Erasure) error) error {
	page := muster.Page{Limit: 100}
	for {
		var some []*muster.Erasure
		if err := s.DB.View(ctx, func(tx Tx) (err error) {
			some, err = tx.Erasures(ctx, state, page)
			return err
		}); err != nil {
			return err
		}
		for _, e := range some {
			if err := fn(e); err != nil {
				return err
			}
		}
		if len(some) < page.Limit {
			return nil
		}
		page.After = some[len(some)-1].ID
	}
}

// files erases what is due of the files after the cursor, until about the given
// instant: erasures of at most filesAtOnce files. While the rows of one go, the keys of
// the next do, and the one after is looked for and begun, so that both stores have work
// and their syncs are waited for together. A crash leaves three begun at most, which
// Resume finishes.
func (s *Service) files(ctx context.Context, c *Cursor, until time.Time) error {
	if c.After == "" {
		wait, n, err := s.waits(ctx)
		if err != nil {
			return err
		}
		if wait {
			c.Swept.Waits, c.Step = n, "records"
			return nil
		}
	}
	type carried struct {
		of    *muster.Erasure
		ended chan error // how it ended
	}
	var under []carried              // the oldest first
	settle := func(most int) error { // waits until at most so many are carried out
		var first error
		for ; len(under) > most; under = under[1:] {
			err := <-under[0].ended
			if err == nil {
				c.Swept.erased(under[0].of)
			}
			first = cmp.Or(first, err)
		}
		return first
	}
	at, end := c.After, false
	for more := true; more; more = !end && !s.Clock().After(until) {
		var e *muster.Erasure
		var err error
		e, at, end, err = s.due(ctx, at)
		if err == nil && len(e.Items) > 0 {
			err = s.begin(ctx, e)
		}
		if err = cmp.Or(settle(1), err); err != nil {
			return cmp.Or(err, settle(0))
		}
		if len(e.Items) > 0 {
			x := carried{e, make(chan error, 1)}
			under = append(under, x)
			go func() { x.ended <- s.finish(ctx, e) }()
		}
	}
	if err := settle(0); err != nil {
		return err
	}
	if c.After = at; end {
		c.Step, c.After = "records", ""
		return s.massOver(ctx)
	}
	return nil
}

// due is an erasure, not begun, of what is due of the files after a customer; next is
// where to go on, and end that there are no more files.
func (s *Service) due(ctx context.Context, after string) (e *muster.Erasure, next string, end bool, err error) {
	p, err := s.planAt(ctx, s.Clock())
	if err != nil {
		return nil, "", false, err
	}
	e, next, end = &muster.Erasure{Ground: muster.GroundExpired, Due: p.at}, after, true
	err = s.looks(ctx, func(used *looking) error {
		return s.pages(ctx, used, after, filesAtOnce, func(x *page) (bool, error) {
			for i := range x.files {
				f := &x.files[i]
				it := muster.ErasureItem{Customer: f.Customer}
				for _, d := range p.of(f, x.accessed[f.Customer]) {
					if !d.held {
						it.Classes, it.Pack = append(it.Classes, d.class), d.pack
					}
				}
				next = f.Customer
				if len(it.Classes) > 0 {
					e.Items = append(e.Items, it)
				}
				if len(e.Items) == s.together {
					end = false
					return false, nil
				}
			}
			next = x.last
			return true, nil
		})
	})
	return e, next, end, err
}

// waits reports whether more is due than may go on a day without two operators, and
// asks them where nobody did yet.
func (s *Service) waits(ctx context.Context) (bool, int64, error) {
	v, err := s.Preview(ctx, s.Clock())
	if err != nil || !v.Waits {
		return false, 0, err
	}
	wait := true
	err = s.DB.InTx(ctx, func(tx Tx) error {
		asked := false
		for _, state := range []string{muster.ErasureProposed, muster.ErasureApproved} {
			some, err := tx.Erasures(ctx, state, muster.Page{Limit: 1000})
			if err != nil {
				return err
			}
			for _, e := range some {
				if e.Ground == muster.GroundMass {
					asked, wait = true, wait && state != muster.ErasureApproved
				}
			}
		}
		if asked {
			return nil
		}
		e := &muster.Erasure{
			ID: muster.NewID(muster.PrefixErasure, tx.Now()), State: muster.ErasureProposed, Ground: muster.GroundMass, Proposed: tx.Now(),
		}
		if err := tx.PutErasure(ctx, e); err != nil {
			return err
		}
		return s.enterErasure(ctx, tx, "", "proposed", e)
	})
	return wait, v.Due, err
}

// massOver ends what allowed a day on which much expired.
func (s *Service) massOver(ctx context.Context) error {
	return s.each(ctx, muster.ErasureApproved, func(e *muster.Erasure) error {
		if e.Ground != muster.GroundMass {
			return nil
		}
		return s.DB.InTx(ctx, func(tx Tx) error {
			e.State, e.Done = muster.ErasureDone, tx.Now()
			if err := tx.PutErasure(ctx, e); err != nil {
				return err
			}
			return s.enterErasure(ctx, tx, e.Approver, "done", e)
		})
	})
}

const indexAtOnce = 2000

// indexes drops rows of the blind indexes whose handle leads nowhere: the key that it
// led to was destroyed. One page a call.
func (s *Service) indexes(ctx context.Context, c *Cursor) error {
	if c.Kind >= len(vault.Kinds) {
		c.Step = "end"
		return nil
	}
	kind := vault.Kinds[c.Kind]
	var rows []muster.IndexRow
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.IndexPage(ctx, string(kind), muster.IndexRow{Digest: c.Digest, Handle: c.Handle}, indexAtOnce)
		return err
	}); err != nil {
		return err
	}
	if len(rows) == 0 {
		c.Kind, c.Digest, c.Handle = c.Kind+1, nil, nil
		return nil
	}
	handles := make([][16]byte, 0, len(rows))
	for _, r := range rows {
		handles = append(handles, [16]byte(r.Handle))
	}
	lead, err := s.Keys.Resolve(ctx, kind, handles)
	if err != nil {
		return err
	}
	last := rows[len(rows)-1]
	c.Digest, c.Handle = bytes.Clone(last.Digest), bytes.Clone(last.Handle)
	rows = slices.DeleteFunc(rows, func(r muster.IndexRow) bool { return lead[[16]byte(r.Handle)] != "" })
	if len(rows) == 0 {
		return nil
	}
	c.Swept.Index += int64(len(rows))
	return s.DB.InTx(ctx, func(tx Tx) error { return tx.DropIndex(ctx, rows...) })
}
