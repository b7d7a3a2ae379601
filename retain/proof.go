package retain

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/tlog"
)

// proofsAtOnce are how many pieces of evidence are looked at in one transaction.
const proofsAtOnce = 500

// shown is the anchor of us_proof: when the evidence was taken.
const shown = "shown"

// ownedAtOnce are how many pieces of evidence come under a key of their own in one
// transaction: others wait for it.
const ownedAtOnce = 200

// proof is a piece of evidence that has proved.
type proof struct {
	muster.Proof
	file *muster.FileAge
	pack string // whose period was the longest
	held bool
}

// proofPage is one page of them.
type proofPage struct {
	found []proof
	next  string // "" at the end
}

// due are those that go.
func (p *proofPage) due() (list []muster.Proof) {
	for _, x := range p.found {
		if !x.held {
			list = append(list, x.Proof)
		}
	}
	return list
}

// proofsTaken is the time after which evidence is no proof that has proved under any
// pack; false where no pack speaks of it.
func (p *plan) proofsTaken() (latest time.Time, ok bool) {
	for _, r := range p.rulesOf(nil, muster.ClassUSProof) {
		if r.limit.After(latest) {
			latest = r.limit
		}
		ok = true
	}
	return latest, ok
}

// proofOver reports whether every pack that decided on a file lets a proof taken then
// go, and whose period was the longest. A pack that speaks of evidence alone keeps it.
func (p *plan) proofOver(f *muster.FileAge, taken time.Time) (pack string, ok bool) {
	packs := p.named(f.Applied)
	if len(packs) != len(f.Applied) || len(packs) == 0 {
		packs = p.all
	}
	for _, x := range packs {
		speaks := func(class string) bool {
			return slices.ContainsFunc(x.Document().Retention, func(r policy.Retention) bool { return r.Class == class })
		}
		if speaks(muster.ClassEvidence) && !speaks(muster.ClassUSProof) {
			return "", false
		}
	}
	var longest time.Time
	for _, r := range p.rulesOf(f.Applied, muster.ClassUSProof) {
		if !slices.Equal(r.from, []string{shown}) || taken.After(r.limit) {
			return "", false
		}
		if end := r.period.End(taken, p.zone); pack == "" || end.After(longest) {
			longest, pack = end, r.pack.Ref().ID+" "+r.pack.Ref().Edition
		}
	}
	return pack, pack != ""
}

// provedOf reads one page of proofs after a key, and says what of it is due.
func (p *plan) provedOf(ctx context.Context, tx Tx, taken time.Time, after string) (*proofPage, error) {
	found, next, err := tx.Proofs(ctx, taken, muster.Page{After: after, Limit: proofsAtOnce})
	if err != nil {
		return nil, err
	}
	page := &proofPage{next: next}
	files, us, err := filesOf(ctx, tx, found)
	if err != nil {
		return nil, err
	}
	for _, x := range found {
		f := files[x.Customer]
		if f == nil {
			return nil, muster.Errorf(muster.CodeInternal, "evidence is of a customer who is not there")
		}
		if !us[x.Subject] {
			continue
		}
		pack, ok := p.proofOver(f, x.Taken)
		if !ok {
			continue
		}
		page.found = append(page.found, proof{x, f, pack, p.held(f, muster.ClassUSProof) || p.held(f, muster.ClassEvidence)})
	}
	return page, nil
}

// filesOf reads the files that proofs belong to, and the subjects of each whose status
// is us in every decision under which the file stands that speaks of them.
func filesOf(ctx context.Context, tx Tx, found []muster.Proof) (files map[string]*muster.FileAge, us map[string]bool, err error) {
	files, us = map[string]*muster.FileAge{}, map[string]bool{}
	var customers []string
	for _, x := range found {
		customers = append(customers, x.Customer)
	}
	customers = slices.Compact(slices.Sorted(slices.Values(customers)))
	ages, err := tx.TheseFiles(ctx, customers...)
	if err != nil {
		return nil, nil, err
	}
	for i := range ages {
		files[ages[i].Customer] = &ages[i]
	}
	standing, err := tx.Standing(ctx, customers...)
	if err != nil {
		return nil, nil, err
	}
	for _, bodies := range standing {
		for _, body := range bodies {
			var d muster.Decision
			if err := json.Unmarshal(body, &d); err != nil {
				return nil, nil, muster.Errorf(muster.CodeInternal, "a stored decision is not what it should be: %w", err)
			}
			for id, status := range d.Foreign {
				before, known := us[id]
				us[id] = status == muster.StatusUS && (before || !known)
			}
		}
	}
	return files, us, nil
}

// proofs drops what was seen for proof only, once it has proved: a page a call. The
// details go with an entry in one transaction, which is the intent where they have keys of
// their own; then these go, synced, and an entry says so.
func (s *Service) proofs(ctx context.Context, c *Cursor) error {
	p, err := s.planAt(ctx, s.Clock())
	if err != nil {
		return err
	}
	taken, ok := p.proofsTaken()
	if !ok {
		c.Step, c.After = "own", ""
		return nil
	}
	var page *proofPage
	var due []muster.Proof
	if err := s.DB.InTx(ctx, func(tx Tx) error {
		if p.holds, err = holds(ctx, tx); err != nil { // one may have been placed meanwhile
			return err
		}
		if page, err = p.provedOf(ctx, tx, taken, c.After); err != nil {
			return err
		}
		if due = page.due(); len(due) == 0 {
			return nil
		}
		if err := tx.DropProofs(ctx, due...); err != nil {
			return err
		}
		entry := erasureEntry{What: "done", Ground: muster.GroundExpired, Classes: map[string]int{}}
		files := map[string]bool{}
		for _, x := range due {
			files[x.Customer] = true
			if x.Under != "" {
				entry.What = "begun"
				entry.Keys++
			}
		}
		entry.Files, entry.Classes[muster.ClassUSProof] = len(files), len(files)
		_, err := s.Journal.Enter(ctx, tx, tlog.Erasure, "", muster.Ref{}, entry)
		return err
	}); err != nil {
		return err
	}
	if err := s.endKeys(ctx); err != nil {
		return err
	}
	c.Swept.Proofs += int64(len(due))
	c.Swept.add(muster.ClassUSProof, int64(len(due)))
	if c.After = page.next; c.After == "" {
		c.Step = "own"
	}
	return nil
}

// endKeys destroys keys of evidence of which it is written down that they go: synced,
// then said. It may be called again after any failure, and by several at once.
func (s *Service) endKeys(ctx context.Context) error {
	for {
		var due []muster.EvidenceKey
		if err := s.DB.View(ctx, func(tx Tx) (err error) {
			due, err = tx.EvidenceKeysDue(ctx, proofsAtOnce)
			return err
		}); err != nil || len(due) == 0 {
			return err
		}
		ids, of := make([]string, len(due)), map[string]string{}
		for i, k := range due {
			ids[i], of[k.ID] = k.ID, k.Customer
		}
		if err := s.Keys.Destroy(ctx, ids); err != nil {
			return err
		}
		if err := s.DB.InTx(ctx, func(tx Tx) error {
			ended, err := tx.EndEvidenceKeys(ctx, ids...)
			if err != nil || len(ended) == 0 { // another process was faster
				return err
			}
			files := map[string]bool{}
			for _, id := range ended {
				files[of[id]] = true
			}
			delete(files, "")
			_, err = s.Journal.Enter(ctx, tx, tlog.Erasure, "", muster.Ref{}, erasureEntry{
				What: "done", Ground: muster.GroundExpired, Files: len(files), Keys: len(ended),
			})
			return err
		}); err != nil {
			return err
		}
	}
}

// own gives a page of evidence that lies under the person's key one of its own.
func (s *Service) own(ctx context.Context, c *Cursor) (err error) {
	if s.Owner == nil {
		c.Step, c.After = "strays", ""
		return nil
	}
	last, done, err := s.Owner.OwnKeys(ctx, c.After, ownedAtOnce)
	if err != nil {
		return err
	}
	c.Swept.Owned += int64(done)
	if c.After = last; last == "" {
		c.Step = "strays"
	}
	return nil
}

// strays finds keys of evidence that is not on file any more: v0.1.0, beside which a
// release is brought in, erases people and knows of no keys but theirs. A page a call.
func (s *Service) strays(ctx context.Context, c *Cursor) error {
	var stray []string
	var last string
	if err := s.DB.View(ctx, func(tx Tx) error {
		stray, last = nil, ""
		page, err := tx.EvidenceKeys(ctx, muster.Page{After: c.After, Limit: indexAtOnce})
		for _, k := range page {
			if k.Stray {
				stray = append(stray, k.ID)
			}
		}
		if len(page) == indexAtOnce {
			last = page[len(page)-1].ID
		}
		return err
	}); err != nil {
		return err
	}
	if len(stray) > 0 {
		if err := s.DB.InTx(ctx, func(tx Tx) error { return tx.DueEvidenceKeys(ctx, stray...) }); err != nil {
			return err
		}
		if err := s.endKeys(ctx); err != nil {
			return err
		}
	}
	if c.After = last; last == "" {
		c.Step = "indexes"
	}
	return nil
}

// Strays finishes what strays does at once: after a restore, before anything is served.
func (s *Service) Strays(ctx context.Context) error {
	for c := (Cursor{Step: "strays"}); c.Step == "strays"; {
		if err := s.strays(ctx, &c); err != nil {
			return err
		}
	}
	return nil
}

// seenGoes reports whether what was seen goes with its file.
func (p *plan) seenGoes(f *muster.FileAge, accessed time.Time) bool {
	return slices.ContainsFunc(p.of(f, accessed), func(d due) bool {
		return !d.held && (d.class == muster.ClassIdentity || d.class == muster.ClassEvidence)
	})
}

// previewProofs counts what proofs would drop: what goes with its file before is not among it.
func (s *Service) previewProofs(ctx context.Context, p *plan, used *looking, asked map[string]bool, v *Preview) error {
	taken, ok := p.proofsTaken()
	if !ok {
		return nil
	}
	sum, after := ClassPlan{Packs: map[string]int64{}}, ""
	for {
		var page *proofPage
		if err := s.DB.View(ctx, func(tx Tx) (err error) {
			page, err = p.provedOf(ctx, tx, taken, after)
			return err
		}); err != nil {
			return err
		}
		files := make([]muster.FileAge, len(page.found))
		for i, x := range page.found {
			files[i] = *x.file
		}
		accessed, err := used.of(ctx, files)
		if err != nil {
			return err
		}
		for _, x := range page.found {
			switch {
			case asked[x.Customer], !v.Waits && p.seenGoes(x.file, accessed[x.Customer]):
				continue
			case x.held:
				sum.Held++
			default:
				sum.Due++
			}
			sum.Packs[x.pack]++
		}
		if after = page.next; after == "" {
			v.Classes[muster.ClassUSProof] = sum
			return nil
		}
	}
}
