package onboard

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/vault"
)

// Regain takes files in that an export gave, as lines: each as it was, under its ids,
// with keys, digests and leaves of this house. A customer who is there already stays as
// they are, so that the same files again change nothing; a reference that another customer
// has is a conflict, and nothing is taken of the files that are written with it, nor of
// those after. Nothing is decided, and nobody is told.
func (s *Service) Regain(ctx context.Context, lines [][]byte) (taken int, err error) {
	files := make([]*File, len(lines))
	if err := spread(ctx, len(lines), importShare, func(i int) (err error) {
		files[i], err = readFile(lines[i])
		return err
	}); err != nil {
		return 0, err
	}
	err = inTurn(ctx, slices.Collect(slices.Chunk(files, importChunk)), s.draftFiles, func(drafts []*regained) error {
		some, err := s.writeFiles(ctx, drafts)
		taken += some
		return err
	})
	return taken, err
}

func readFile(text []byte) (*File, error) {
	f := &File{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, muster.Errorf(muster.CodeMalformed, "a file is not what it should be")
	}
	if f.Customer.ID == "" || len(f.Subjects) == 0 {
		return nil, muster.Invalid(muster.Fault{Pointer: "/customer", Code: "required", Detail: "a file has its customer and at least one subject"})
	}
	return f, nil
}

// draftFiles makes keys for everybody on files, and seals, on all cores; those who are
// there already are left out.
func (s *Service) draftFiles(ctx context.Context, files []*File) (drafts []*regained, err error) {
	if err := s.DB.View(ctx, func(tx Tx) error {
		files, err = absent(ctx, tx, files, func(f *File) string { return f.Customer.ID })
		return err
	}); err != nil || len(files) == 0 {
		return nil, err
	}
	at := make([]int, len(files)+1)
	for i, f := range files {
		at[i+1] = at[i] + f.keysFor()
	}
	keys, err := s.Vault.MakeKeys(ctx, at[len(files)])
	if err != nil {
		return nil, err
	}
	drafts = make([]*regained, len(files))
	return drafts, spread(ctx, len(files), importShare, func(i int) (err error) {
		drafts[i], err = s.draftFile(ctx, files[i], keys[at[i]:at[i+1]])
		return err
	})
}

// writeFiles writes files in one transaction and says how many were not there.
func (s *Service) writeFiles(ctx context.Context, drafts []*regained) (taken int, err error) {
	if len(drafts) == 0 {
		return 0, nil
	}
	if err := s.DB.InTx(ctx, func(tx Tx) error {
		fresh, err := absent(ctx, tx, drafts, func(d *regained) string { return d.file.Customer.ID })
		if err != nil {
			return err
		}
		taken = len(fresh)
		for _, d := range fresh {
			if err := s.writeFile(ctx, tx, d); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	// Keys that stand for somebody erased are destroyed like theirs was.
	var gone []string
	for _, d := range drafts {
		gone = slices.AppendSeq(gone, maps.Keys(d.gone))
	}
	return taken, s.Vault.Destroy(ctx, gone)
}

// absent are those of a list whose customers are not there, each once.
func absent[T any](ctx context.Context, tx Tx, list []T, customer func(T) string) (rest []T, err error) {
	ids := make([]string, len(list))
	for i, x := range list {
		ids[i] = customer(x)
	}
	found, err := tx.TheseCustomers(ctx, ids...)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(list))
	for _, c := range found {
		there[c.ID] = true
	}
	for i, x := range list {
		if !there[ids[i]] {
			there[ids[i]] = true
			rest = append(rest, x)
		}
	}
	return rest, nil
}

// keysFor is how many keys a file takes: one for each person, one for each piece of
// evidence of which something was seen.
func (f *File) keysFor() int {
	n := len(f.Subjects)
	for i := range f.Evidence {
		if f.Evidence[i].Details != nil {
			n++
		}
	}
	return n
}

// regained is one file, sealed for this house.
type regained struct {
	file      *File
	keys      map[string]vault.Key // by subject id
	own       []vault.Key          // of evidence with details, those that are left
	shown     map[string]int       // rows of index, by what evidence showed of whom
	gone      map[string]bool      // keys of the erased
	claims    []*muster.ClaimsRecord
	evidence  []*muster.EvidenceRecord
	hits      []*muster.HitRecord
	decisions []*journal.Sealed
	index     []muster.IndexRow
	macs      map[string][]byte       // by application id
	until     map[string]time.Time    // by application id: how long its answer holds; zero: for good
	profiles  []*muster.ProfileRecord // of the accounts, in turn
}

// draftFile seals a file: keys are those of its subjects, in turn, then those of its
// evidence. Nothing is written, so it may be done for many at once.
func (s *Service) draftFile(ctx context.Context, f *File, keys []vault.Key) (*regained, error) {
	d := &regained{
		file: f, keys: map[string]vault.Key{}, own: keys[len(f.Subjects):], gone: map[string]bool{}, shown: map[string]int{}, macs: map[string][]byte{},
	}
	for i := range f.Subjects {
		r := &f.Subjects[i]
		r.Customer, r.Key = f.Customer.ID, keys[i].ID()
		d.keys[r.ID] = keys[i]
		if !r.Erased.IsZero() {
			d.gone[r.Key] = true
		}
		for k := range r.Claims {
			if err := s.draftClaims(d, r, &r.Claims[k]); err != nil {
				return nil, err
			}
		}
	}
	for i := range f.Evidence {
		if err := s.draftEvidence(d, &f.Evidence[i]); err != nil {
			return nil, err
		}
	}
	for i := range f.Hits {
		if err := s.draftHit(d, &f.Hits[i]); err != nil {
			return nil, err
		}
	}
	for i := range f.Decisions {
		if err := s.draftDecision(d, &f.Decisions[i]); err != nil {
			return nil, err
		}
	}
	if err := s.draftProfiles(ctx, d); err != nil {
		return nil, err
	}
	d.until = map[string]time.Time{}
	for i := range f.Applications {
		d.until[f.Applications[i].ID] = untilOf(f.Decisions, f.Applications[i].Decision)
	}
	return d, s.draftMACs(d)
}

func unknownSubject(pointer string) error {
	return muster.Invalid(muster.Fault{Pointer: pointer, Code: "unknown_subject", Detail: "is of nobody on this file"})
}

// draftClaims seals one revision, and makes the rows by which its values are found.
// Each person's values are theirs alone, so that what stands about others does not matter.
func (s *Service) draftClaims(d *regained, r *FiledSubject, c *FiledClaims) error {
	var p piece
	if err := decodePiece(c.Piece, &p); err != nil {
		return muster.Invalid(muster.Fault{Pointer: "/subjects/claims/piece", Code: "form", Detail: "is not a person's part of an application"})
	}
	sealed, err := s.Vault.Seal(d.keys[r.ID], claimsPlace(r.ID, c.Revision), c.Piece)
	if err != nil {
		return err
	}
	d.claims = append(d.claims, &muster.ClaimsRecord{Subject: r.ID, Revision: c.Revision, At: c.At, By: c.By, Sealed: sealed})
	checked := s.Checker.Normal(partOf(&p), c.At)
	for _, v := range valuesOf(checked, 0) {
		d.index = append(d.index, s.indexRow(v, &r.SubjectRecord, d.keys[r.ID], c.At))
	}
	if r.Role != muster.RoleCustomer {
		return nil
	}
	for _, a := range d.file.Adopted {
		i := slices.IndexFunc(d.file.Accounts, func(x muster.AccountRecord) bool { return x.ID == a.Account })
		if a.Ground == book.GroundAbuse && i >= 0 {
			d.index = append(d.index, s.abuseRows(checked, &r.SubjectRecord, d.keys[r.ID], d.file.Accounts[i].Closed)...)
		}
	}
	return nil
}

// partOf is an application of one person alone.
func partOf(p *piece) *muster.Application {
	app := &muster.Application{}
	if p.Rest != nil {
		*app = *p.Rest
	}
	switch {
	case p.Party != nil:
		app.Customer = *p.Party
	case p.Signatory != nil:
		app.Customer = muster.Party{Kind: muster.Individual, Name: p.Signatory.Name, Email: p.Signatory.Email, Phone: p.Signatory.Phone}
	}
	return app
}

func (s *Service) draftEvidence(d *regained, e *FiledEvidence) error {
	r := e.EvidenceRecord
	i := slices.IndexFunc(d.file.Subjects, func(x FiledSubject) bool { return x.ID == r.Subject })
	if i < 0 {
		return unknownSubject("/evidence/subject")
	}
	if e.Details != nil {
		own := d.own[0]
		d.own = d.own[1:]
		if err := s.sealDetails(own, &r, e.Details); err != nil {
			return err
		}
		if way, ok := s.Ways.Recorded[r.Method]; ok && way.Value != nil {
			kind, v, err := way.Value(e.Details)
			if err != nil {
				return err
			}
			if v != "" {
				d.showed(s.indexRow(value{kind, v}, &d.file.Subjects[i].SubjectRecord, own, r.At), r.Subject)
			}
		}
	}
	d.evidence = append(d.evidence, &r)
	return nil
}

// showed indexes what evidence showed: of the same shown again, the newer piece's row
// with the older one's day, as it came to be there.
func (d *regained) showed(row muster.IndexRow, subject string) {
	key := row.Kind + " " + string(row.Digest) + " " + subject
	if i, again := d.shown[key]; again {
		row.Made = d.index[i].Made
		d.index[i] = row
		return
	}
	d.shown[key] = len(d.index)
	d.index = append(d.index, row)
}

func (s *Service) draftHit(d *regained, h *FiledHit) error {
	r := h.HitRecord
	if _, ok := d.keys[r.Subject]; !ok {
		return unknownSubject("/hits/subject")
	}
	var saw seen
	if h.Entry != nil && json.Unmarshal(h.Entry, &saw) != nil {
		return muster.Invalid(muster.Fault{Pointer: "/hits/entry", Code: "form", Detail: "is not an entry of a list"})
	}
	r.Listed = s.Listed(r.List, saw.Entry)[0]
	for field, v := range map[string]struct {
		of json.RawMessage
		to *[]byte
	}{"found": {h.Entry, &r.Found}, "finding": {h.Finding, &r.Finding}} {
		if v.of == nil {
			continue
		}
		var err error
		if *v.to, err = s.Vault.Seal(d.keys[r.Subject], hitPlace(&r, field), v.of); err != nil {
			return err
		}
	}
	d.hits = append(d.hits, &r)
	return nil
}

// draftDecision seals a decision's facts and commits to it anew. Where everybody on
// it is erased, their commitments stand for nothing that can be opened.
func (s *Service) draftDecision(d *regained, x *FiledDecision) error {
	r := x.DecisionRecord
	r.Body = x.Body
	facts := x.Facts
	if facts == nil {
		i := max(0, slices.IndexFunc(d.file.Subjects, func(r FiledSubject) bool { return !r.Erased.IsZero() }))
		facts = &muster.Facts{Subjects: []muster.SubjectFacts{{ID: d.file.Subjects[i].ID}}}
	}
	for _, f := range facts.Subjects {
		if _, ok := d.keys[f.ID]; !ok {
			return unknownSubject("/decisions/facts/subjects")
		}
	}
	parts, err := journal.Take(facts, d.keys)
	if err != nil {
		return err
	}
	sealed, err := s.Journal.Seal(journal.Decision{Record: &r, Parts: parts})
	if err != nil {
		return err
	}
	if r.Facts, err = vault.EraseFacts(r.Facts, d.gone); err != nil {
		return err
	}
	d.decisions = append(d.decisions, sealed)
	return nil
}

// draftProfiles composes what the gate says of accounts, before their hashes.
func (s *Service) draftProfiles(ctx context.Context, d *regained) error {
	for i := range d.file.Accounts {
		a := &d.file.Accounts[i]
		var decision *muster.Decision
		if k := slices.IndexFunc(d.decisions, func(x *journal.Sealed) bool { return x.Record().ID == a.Decision }); k >= 0 {
			var err error
			if decision, err = s.fill(ctx, d.decisions[k].Record()); err != nil {
				return err
			}
		}
		var ts []muster.Transition
		if s.Measures != nil && s.Measures.Any() {
			ts = s.Measures.Transitions(a, d.under(a.ID))
		}
		p, err := composed(bare(a), decision, ts)
		if err != nil {
			return err
		}
		p.Fresh = true
		d.profiles = append(d.profiles, p)
	}
	return nil
}

// under is what an account comes under.
func (d *regained) under(account string) (rows []muster.MatchRecord) {
	for _, m := range d.file.Matches {
		if m.Account == account {
			rows = append(rows, m)
		}
	}
	return rows
}

// draftMACs are those by which the same application is known again, where all of it
// is still as it was first stated.
func (s *Service) draftMACs(d *regained) error {
	for i := range d.file.Applications {
		a := &d.file.Applications[i]
		whole := []byte(a.ID) // no request is this: the reference is taken, whatever comes
		if a.Revision == 1 && len(d.file.Applications) == 1 {
			var places []place
			for k := range d.file.Subjects {
				r := &d.file.Subjects[k]
				if len(r.Claims) == 0 || r.Pointer == "" {
					continue
				}
				var p piece
				if err := decodePiece(r.Claims[0].Piece, &p); err != nil {
					return err
				}
				places = append(places, place{r.Pointer, p})
			}
			app, err := unite(places)
			if err != nil {
				return err
			}
			if whole, err = json.Marshal(app); err != nil {
				return muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
			}
		}
		d.macs[a.ID] = s.Vault.RequestMAC(whole)
	}
	return nil
}

func (s *Service) writeFile(ctx context.Context, tx Tx, d *regained) error {
	f := d.file
	c := f.Customer
	if err := tx.PutCustomer(ctx, &c); err != nil {
		return err
	}
	if err := tx.AddIndex(ctx, d.index...); err != nil {
		return err
	}
	people := make([]*muster.SubjectRecord, len(f.Subjects))
	for i := range f.Subjects {
		people[i] = &f.Subjects[i].SubjectRecord
	}
	if err := tx.PutSubjects(ctx, people...); err != nil {
		return err
	}
	if err := tx.AddClaims(ctx, d.claims...); err != nil {
		return err
	}
	for _, e := range d.evidence {
		if err := tx.AddEvidence(ctx, e); err != nil {
			return err
		}
	}
	for _, x := range d.decisions {
		if err := s.Journal.Write(ctx, tx, x); err != nil {
			return err
		}
	}
	for _, h := range d.hits {
		h := *h
		if err := tx.PutHit(ctx, &h); err != nil {
			return err
		}
		if h.State == muster.HitTrue && h.Reported.IsZero() && !h.Due.IsZero() {
			if err := tx.Enqueue(ctx, &muster.Job{ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobHitDue, Ref: h.ID, RunAt: h.Due}); err != nil {
				return err
			}
		}
	}
	for _, r := range f.Reviews {
		if r.State == muster.ReviewProposed {
			r.State = muster.ReviewOpen
		}
		if err := tx.PutReview(ctx, &r); err != nil {
			return err
		}
	}
	return s.writeAccounts(ctx, tx, d)
}

// writeAccounts writes accounts with what the gate says of them, and applications with
// the instant at which they are looked at again.
func (s *Service) writeAccounts(ctx context.Context, tx Tx, d *regained) error {
	f := d.file
	for i := range f.Accounts {
		a := f.Accounts[i]
		if under := d.under(a.ID); len(under) > 0 {
			if err := tx.PutMatches(ctx, a.ID, under...); err != nil {
				return err
			}
		}
		if err := tx.PutAccount(ctx, &a); err != nil {
			if muster.ErrorCode(err) == muster.CodeConflict {
				return accountTaken(err)
			}
			return err
		}
		s.hashed(d.profiles[i], a.Reference)
		if err := tx.PutGate(ctx, d.profiles[i]); err != nil {
			return err
		}
	}
	for _, a := range f.Adopted {
		if err := tx.PutAdopted(ctx, &a); err != nil {
			return err
		}
	}
	for i := range f.Applications {
		a := f.Applications[i]
		a.MAC = d.macs[a.ID]
		if err := tx.PutApplication(ctx, &a); err != nil {
			return err
		}
		if f := d.lookedAt(&a); f != nil {
			until := d.until[a.ID]
			if !until.IsZero() && until.Before(tx.Now()) {
				until = tx.Now()
			}
			if err := s.lookAgain(ctx, tx, f, until); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookedAt is what is known of a file that says when an application is looked at again;
// nil where its claims are gone: that one is closed.
func (d *regained) lookedAt(a *muster.ApplicationRecord) *file {
	f := &file{app: a, evidence: d.evidence}
	for i := range d.file.Subjects {
		r := &d.file.Subjects[i]
		if r.Pointer == "" || !r.Erased.IsZero() {
			continue
		}
		if len(r.Claims) == 0 {
			return nil
		}
		f.claimsAt = r.Claims[len(r.Claims)-1].At
		break
	}
	return f
}

// untilOf is until when the answer of a decision holds; zero: for good.
func untilOf(all []FiledDecision, id string) time.Time {
	var d muster.Decision
	if i := slices.IndexFunc(all, func(x FiledDecision) bool { return x.ID == id }); i < 0 || json.Unmarshal(all[i].Body, &d) != nil {
		return time.Time{}
	}
	return d.Until
}
