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

// proofPage is one page of what may have proved.
type proofPage struct {
	due   []muster.Proof
	held  int64
	packs map[string]int64 // whose period was the longest
	next  string           // "" at the end
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
	found, err := tx.Proofs(ctx, taken, muster.Page{After: after, Limit: proofsAtOnce})
	if err != nil {
		return nil, err
	}
	page := &proofPage{packs: map[string]int64{}}
	if len(found) == proofsAtOnce {
		page.next = found[len(found)-1].Key()
	}
	var f *muster.FileAge
	var us map[string]bool
	for _, x := range found {
		if f == nil || f.Customer != x.Customer {
			if f, err = tx.FileAge(ctx, x.Customer); err != nil {
				return nil, err
			}
			if us, err = shownUS(ctx, tx, x.Customer); err != nil {
				return nil, err
			}
		}
		if !us[x.Subject] {
			continue
		}
		pack, ok := p.proofOver(f, x.Taken)
		if !ok {
			continue
		}
		page.packs[pack]++
		if p.held(f, muster.ClassUSProof) || p.held(f, muster.ClassEvidence) {
			page.held++
		} else {
			page.due = append(page.due, x)
		}
	}
	return page, nil
}

// shownUS are the subjects of a file whose status is us in each decision under which
// it stands that speaks of them.
func shownUS(ctx context.Context, tx Tx, customer string) (map[string]bool, error) {
	bodies, err := tx.Standing(ctx, customer)
	if err != nil {
		return nil, err
	}
	us := map[string]bool{}
	for _, body := range bodies {
		var d muster.Decision
		if err := json.Unmarshal(body, &d); err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "a stored decision is not what it should be: %w", err)
		}
		for id, status := range d.Foreign {
			before, known := us[id]
			us[id] = status == muster.StatusUS && (before || !known)
		}
	}
	return us, nil
}

// proofs drops what was seen for proof only, once it has proved: a page a call, each
// with its entry in the same transaction.
func (s *Service) proofs(ctx context.Context, c *Cursor) error {
	p, err := s.planAt(ctx, s.Clock())
	if err != nil {
		return err
	}
	taken, ok := p.proofsTaken()
	if !ok {
		c.Step, c.After = "indexes", ""
		return nil
	}
	var page *proofPage
	if err := s.DB.InTx(ctx, func(tx Tx) error {
		if p.holds, err = holds(ctx, tx); err != nil { // one may have been placed meanwhile
			return err
		}
		if page, err = p.provedOf(ctx, tx, taken, c.After); err != nil || len(page.due) == 0 {
			return err
		}
		if err := tx.DropProofs(ctx, page.due...); err != nil {
			return err
		}
		files := map[string]bool{}
		for _, x := range page.due {
			files[x.Customer] = true
		}
		_, err := s.Journal.Enter(ctx, tx, tlog.Erasure, "", muster.Ref{}, erasureEntry{
			What: "done", Ground: muster.GroundExpired, Files: len(files), Classes: map[string]int{muster.ClassUSProof: len(files)},
		})
		return err
	}); err != nil {
		return err
	}
	c.Swept.Proofs += int64(len(page.due))
	if c.After = page.next; c.After == "" {
		c.Step = "indexes"
	}
	return nil
}

// previewProofs counts what proofs would drop.
func (s *Service) previewProofs(ctx context.Context, p *plan, v *Preview) error {
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
		sum.Due, sum.Held = sum.Due+int64(len(page.due)), sum.Held+page.held
		for pack, n := range page.packs {
			sum.Packs[pack] += n
		}
		if after = page.next; after == "" {
			v.Classes[muster.ClassUSProof] = sum
			return nil
		}
	}
}
