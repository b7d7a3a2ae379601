package onboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/screen"
	"github.com/muster-cip/muster/vault"
)

// Watch is the watch lists in effect at one instant, compiled. It does not change;
// another takes its place.
type Watch struct {
	Index *screen.Index
	Refs  []muster.ListRef // by id of the list
}

// Lists says which watch lists are in effect.
type Lists interface {
	Watch() *Watch // nil: none is
	// Touched lists the entries that a change of a list added or changed, and those it removed.
	Touched(ctx context.Context, o muster.SweepOrder) (touched, removed []string, err error)
}

// options of a search by what packs want.
func options(w policy.Wanted) screen.Options {
	o := screen.Options{Floor: w.Floor, Limit: muster.MaxCandidates}
	if len(w.Weights) > 0 {
		if weights, err := screen.WeightsOf(w.Weights); err == nil { // a pack with others is not activated
			o.Weights = &weights
		}
	}
	return o
}

// Screened is somebody to be compared: on the file by pointer, or the payer.
type Screened struct {
	Pointer string
	Of      string // muster.HitOfSubject | muster.HitOfPayer
	Query   muster.ScreeningQuery
}

// queries are those of an application: everybody on it, in the order of its
// subjects, then the payer where that is somebody else.
func queries(app *muster.Application) []Screened {
	var all []Screened
	for _, pl := range split(app, nil) {
		all = append(all, Screened{pl.pointer, muster.HitOfSubject, queryOf(&pl.piece)})
	}
	if payer, ok := payerOf(app, all); ok {
		all = append(all, payer)
	}
	return all
}

// payerOf is the payer's query where the payer is nobody on the application by name.
func payerOf(app *muster.Application, known []Screened) (Screened, bool) {
	if app.Payment == nil || strings.TrimSpace(app.Payment.PayerName) == "" {
		return Screened{}, false
	}
	name := app.Payment.PayerName
	for _, k := range known {
		if slices.ContainsFunc(k.Query.Names, func(n string) bool { return strings.EqualFold(spaced(n), spaced(name)) }) {
			return Screened{}, false
		}
	}
	q := muster.ScreeningQuery{Names: []string{name}}
	if c := app.Payment.Country; c != "" {
		q.Countries = []muster.Country{c}
	}
	return Screened{"/payment/payer_name", muster.HitOfPayer, q}, true
}

func spaced(s string) string { return strings.Join(strings.Fields(s), " ") }

// queryOf is one subject's query, from that subject's own piece of the claims. The
// means of payment goes with the customer.
func queryOf(p *piece) muster.ScreeningQuery {
	var q muster.ScreeningQuery
	name := func(n muster.Name) {
		for _, s := range append([]string{n.Full, n.Native}, n.Others...) {
			if strings.TrimSpace(s) != "" {
				q.Names = append(q.Names, s)
			}
		}
	}
	id := func(kind, value string, country muster.Country) {
		if value = strings.TrimSpace(value); value != "" {
			q.Identifiers = append(q.Identifiers, muster.ListedIdentifier{Kind: kind, Value: value, Country: country})
		}
	}
	contacts := func(email, phone string) {
		id(muster.IdentEmail, email, "")
		id(muster.IdentPhone, phone, "")
		if _, domain, ok := strings.Cut(email, "@"); ok {
			id(muster.IdentMailDomain, strings.ToLower(domain), "")
		}
	}
	switch {
	case p.Signatory != nil:
		q.Kind = muster.ListedIndividual
		name(p.Signatory.Name)
		contacts(p.Signatory.Email, p.Signatory.Phone)
	case p.Party != nil:
		q.Kind = muster.ListedIndividual
		if p.Party.IsEntity() {
			q.Kind = muster.ListedEntity
		}
		name(p.Party.Name)
		contacts(p.Party.Email, p.Party.Phone)
		if d, ok := muster.ParsePartialDate(p.Party.DateOfBirth); ok {
			q.Births = append(q.Births, d)
		}
		q.Nations = slices.Clone(p.Party.Nationalities)
		if a := p.Party.Address; a != nil && a.Country != "" {
			q.Countries = append(q.Countries, a.Country)
		}
		if f := p.Party.Formation; f != nil {
			if f.Country != "" && !slices.Contains(q.Countries, f.Country) {
				q.Countries = append(q.Countries, f.Country)
			}
			id(muster.IdentRegistration, f.RegistrationNumber, f.Country)
			id(muster.IdentLEI, f.LEI, "")
		}
		if n := p.Party.NationalID; n != nil {
			kind := muster.IdentNationalID
			if strings.Contains(strings.ToLower(n.Type), "passport") {
				kind = muster.IdentPassport
			}
			id(kind, n.Value, n.Country)
		}
	}
	if p.Rest == nil {
		return q
	}
	if pay := p.Rest.Payment; pay != nil {
		id(muster.IdentIBAN, pay.IBAN, "")
		id(muster.IdentCardBIN, pay.BIN, "")
		if pay.Wallet != nil {
			id(muster.IdentWallet, pay.Wallet.Address, "")
		}
	}
	if a := p.Rest.Access; a != nil {
		id(muster.IdentIPRange, a.IP, "")
	}
	return q
}

// screenOn compares everybody on a file whose claims are open with the lists in
// effect and writes the facts. It needs no store. f learns what was compared.
func screenOn(w *Watch, wanted policy.Wanted, f *file, facts *muster.Facts) {
	f.watch, f.compared = w, map[string]*muster.ScreeningQuery{}
	o := options(wanted)
	facts.Payment.Screening = nil
	at := map[string]int{}
	for i := range facts.Subjects {
		facts.Subjects[i].Screening = nil
		at[facts.Subjects[i].Pointer] = i
	}
	for _, x := range queries(f.claims) {
		out := search(w, wanted, &x.Query, o)
		if x.Of == muster.HitOfPayer {
			facts.Payment.Screening = out
			f.compared[x.Of] = &x.Query
			continue
		}
		if i, ok := at[x.Pointer]; ok {
			facts.Subjects[i].Screening = out
			f.compared[facts.Subjects[i].ID] = &x.Query
		}
	}
}

func search(w *Watch, wanted policy.Wanted, q *muster.ScreeningQuery, o screen.Options) *muster.Screening {
	return &muster.Screening{
		Lists: w.Refs, Matcher: screen.Version, Weights: muster.WeightsText(wanted.Weights), Floor: wanted.Floor, Candidates: w.Index.Search(q, o),
	}
}

// watching is the lists in effect and what packs ask of them; nil where no list is
// in effect or no pack asks.
func (s *Service) watching(packs []*policy.Pack) (*Watch, policy.Wanted) {
	wanted, asked := policy.ScreeningWanted(packs)
	if !asked || s.Lists == nil {
		return nil, wanted
	}
	return s.Lists.Watch(), wanted
}

// fresh reports whether a screening says what one made now would: same lists, same
// matcher, same weights, no higher floor.
func fresh(s *muster.Screening, w *Watch, wanted policy.Wanted) bool {
	return s != nil && s.Matcher == screen.Version && s.Floor <= wanted.Floor && s.Weights == muster.WeightsText(wanted.Weights) &&
		slices.EqualFunc(s.Lists, w.Refs, func(a, b muster.ListRef) bool { return a.List == b.List && a.Digest == b.Digest })
}

// screen brings the screening in facts up to the lists in effect and loads the
// hits on file. Claims that are not open yet are opened only where the lists, or
// what packs ask, have changed since; or where again is set.
func (s *Service) screen(ctx context.Context, tx Tx, f *file, facts *muster.Facts, packs []*policy.Pack, again bool) error {
	if err := s.loadHits(ctx, tx, f); err != nil {
		return err
	}
	w, wanted := s.watching(packs)
	if w == nil {
		facts.Payment.Screening = nil
		for i := range facts.Subjects {
			facts.Subjects[i].Screening = nil
		}
		return nil
	}
	f.watch = w
	stale := again
	for i := range facts.Subjects {
		stale = stale || !fresh(facts.Subjects[i].Screening, w, wanted)
	}
	if !stale {
		return nil
	}
	if f.claims == nil {
		session := s.Vault.UseForDecision(muster.Ref{Kind: "application", ID: f.app.ID})
		var err error
		if f.claims, _, _, err = openClaims(ctx, tx, f, session.Open); err != nil {
			return err
		}
	}
	screenOn(w, wanted, f, facts)
	return nil
}

// hit is a hit on file, opened.
type hit struct {
	*muster.HitRecord
	entry   string
	finding *found
	dirty   bool // to be written
	moved   bool // its state is another
}

// seen is what is sealed of a hit when it is opened.
type seen struct {
	Entry string `json:"entry"`
}

// found is what is sealed of a person's finding on a hit.
type found struct {
	Reason string                 `json:"reason"`
	Entry  string                 `json:"entry"` // digest of what of the entry is material
	Query  *muster.ScreeningQuery `json:"query"` // what was compared
}

// loadHits reads and opens the hits of a file. Those of somebody erased stay closed.
func (s *Service) loadHits(ctx context.Context, tx Tx, f *file) error {
	if f.hits != nil {
		return nil
	}
	rows, err := tx.HitsOf(ctx, f.app.Customer)
	if err != nil {
		return err
	}
	f.hits = make([]*hit, 0, len(rows))
	session := s.Vault.UseForDecision(muster.Ref{Kind: "application", ID: f.app.ID})
	for _, r := range rows {
		h := &hit{HitRecord: r}
		if err := openHit(ctx, session, f.keys[r.Subject], h); err != nil {
			if muster.ErrorCode(err) == muster.CodeGone {
				continue
			}
			return err
		}
		f.hits = append(f.hits, h)
	}
	return nil
}

func openHit(ctx context.Context, session *vault.Session, key vault.Key, h *hit) error {
	if key.ID() == "" {
		return muster.Errorf(muster.CodeGone, "this subject is erased")
	}
	data, err := session.Open(ctx, vault.Item{KeyID: key.ID(), Place: hitPlace(h.HitRecord, "found"), Sealed: h.Found})
	if err != nil {
		return err
	}
	var s seen
	if err := json.Unmarshal(data, &s); err != nil {
		return muster.Errorf(muster.CodeInternal, "a sealed hit is not what it should be: %w", err)
	}
	h.entry = s.Entry
	if h.Finding == nil {
		return nil
	}
	if data, err = session.Open(ctx, vault.Item{KeyID: key.ID(), Place: hitPlace(h.HitRecord, "finding"), Sealed: h.Finding}); err != nil {
		return err
	}
	h.finding = &found{}
	if err := json.Unmarshal(data, h.finding); err != nil {
		return muster.Errorf(muster.CodeInternal, "a sealed finding is not what it should be: %w", err)
	}
	return nil
}

// hitPlace is where a part of a hit is sealed. A finding has a revision: an older
// one does not open in a newer one's place.
func hitPlace(r *muster.HitRecord, field string) vault.Place {
	p := vault.Place{Subject: r.Subject, Record: r.ID, Field: field}
	if field == "finding" {
		p.Revision = r.Findings
	}
	return p
}

// sealHit seals v under the subject's key for its place.
func (s *Service) sealHit(f *file, r *muster.HitRecord, field string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a hit cannot be written: %w", err)
	}
	return s.Vault.Seal(f.keys[r.Subject], hitPlace(r, field), data)
}

// listedNormaliser is the version of the spelling of list and entry behind the
// digest of a hit.
const listedNormaliser = 1

// Listed is the digest under which the hits on an entry are found, newest key first.
func (s *Service) Listed(list, entry string) [][]byte {
	return s.Vault.Digests(vault.KindListed, listedNormaliser, list+"|"+entry)
}

// judgeHits brings the hits on file up to the screening in facts, before the packs
// decide: what is new is opened, what no longer holds is moot, what was found false
// of an entry or of claims that have changed since is open again. Facts learn what
// persons found.
func (s *Service) judgeHits(f *file, facts *muster.Facts, packs []*policy.Pack, now time.Time) error {
	facts.Payment.Hits = nil
	for i := range facts.Subjects {
		facts.Subjects[i].Hits = nil
	}
	if f.watch != nil {
		if err := s.openHits(f, facts, policy.Hits(packs, facts), now); err != nil {
			return err
		}
	}
	at := map[string]*[]muster.HitFacts{}
	for i := range facts.Subjects {
		at[facts.Subjects[i].ID] = &facts.Subjects[i].Hits
	}
	for _, h := range f.hits {
		if h.State != muster.HitTrue && h.State != muster.HitFalse {
			continue
		}
		to := at[h.Subject]
		if h.Of == muster.HitOfPayer {
			to = &facts.Payment.Hits
		}
		if to == nil && h.State == muster.HitTrue { // somebody who has left the file: it is the customer's all the same
			to = at[facts.Subjects[0].ID]
		}
		if to != nil {
			*to = append(*to, muster.HitFacts{Hit: h.ID, List: h.List, Entry: h.entry, State: h.State})
		}
	}
	return nil
}

func (s *Service) openHits(f *file, facts *muster.Facts, hits []policy.Found, now time.Time) error {
	type pair struct{ subject, of, list, entry string }
	is := map[pair]*policy.Found{}
	for i := range hits {
		h := &hits[i]
		is[pair{facts.Subjects[h.Subject].ID, h.Of, h.Candidate.List, h.Candidate.Entry}] = h
	}
	loaded := map[string]bool{}
	for _, l := range f.watch.Refs {
		loaded[l.List] = true
	}
	for _, h := range f.hits {
		at := pair{h.Subject, h.Of, h.List, h.entry}
		x := is[at]
		delete(is, at)
		if !loaded[h.List] {
			continue // nothing is known of it now
		}
		s.judgeHit(f, h, x, now)
	}
	// In the order of the facts, so that ids rise with it.
	for i := range hits {
		x := &hits[i]
		subject := facts.Subjects[x.Subject].ID
		if is[pair{subject, x.Of, x.Candidate.List, x.Candidate.Entry}] != x {
			continue
		}
		r := &muster.HitRecord{
			ID: muster.NewID(muster.PrefixHit, now), Customer: f.app.Customer, Application: f.app.ID, Subject: subject, Of: x.Of,
			List: x.Candidate.List, Listed: s.Listed(x.Candidate.List, x.Candidate.Entry)[0], State: muster.HitOpen,
			Score: thousandths(x.Candidate.Score), Opened: now, Changed: now,
		}
		var err error
		if r.Found, err = s.sealHit(f, r, "found", seen{x.Candidate.Entry}); err != nil {
			return err
		}
		f.hits = append(f.hits, &hit{HitRecord: r, entry: x.Candidate.Entry, dirty: true, moved: true})
	}
	return nil
}

func thousandths(score float64) int { return int(score*1000 + 0.5) }

// judgeHit moves one hit. x is its candidate where that is a hit now, else nil.
func (s *Service) judgeHit(f *file, h *hit, x *policy.Found, now time.Time) {
	entry := f.watch.Index.Entry(h.List, h.entry)
	if gone := entry == nil; gone != h.Gone {
		h.Gone, h.dirty = gone, true
	}
	move := func(to muster.HitState, again string) {
		h.State, h.Again, h.Changed, h.dirty, h.moved = to, again, now, true, true
		h.Proposal, h.Proposer, h.Proposed = "", "", time.Time{}
	}
	if x != nil && h.Score != thousandths(x.Candidate.Score) {
		h.Score, h.dirty = thousandths(x.Candidate.Score), true
	}
	switch {
	case h.State == muster.HitOpen && x == nil:
		move(muster.HitMoot, "")
	case h.State == muster.HitMoot && x != nil:
		move(muster.HitOpen, h.Again)
	case h.State == muster.HitFalse && x != nil && h.finding != nil:
		who := h.Subject
		if h.Of == muster.HitOfPayer {
			who = h.Of
		}
		switch query := f.compared[who]; {
		case h.finding.Entry != "" && h.finding.Entry != material(entry):
			move(muster.HitOpen, muster.AgainEntry)
		case query != nil && h.finding.Query != nil && !sameQuery(query, h.finding.Query):
			move(muster.HitOpen, muster.AgainClaims)
		}
	}
}

// material is a digest of what of an entry a person goes by: who it is, and not
// why it is listed. It is of published data.
func material(e *muster.ListEntry) string {
	if e == nil {
		return ""
	}
	x := *e
	x.Programmes, x.Remarks, x.Listed, x.Own = nil, "", muster.PartialDate{}, nil
	data, err := json.Marshal(&x)
	if err != nil {
		panic("onboard: an entry of strings and numbers always encodes: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// Touched compares two snapshots of a list as far as a person goes by it: the ids of
// entries that came or changed, and of those that went.
func Touched(was, is []muster.ListEntry) (touched, removed []string) {
	before := make(map[string]string, len(was))
	for i := range was {
		before[was[i].ID] = material(&was[i])
	}
	for i := range is {
		id := is[i].ID
		if old, ok := before[id]; !ok || old != material(&is[i]) {
			touched = append(touched, id)
		}
		delete(before, id)
	}
	for i := range was {
		if _, gone := before[was[i].ID]; gone {
			removed = append(removed, was[i].ID)
			delete(before, was[i].ID)
		}
	}
	return touched, removed
}

// sameQuery reports whether two say the same of a person. Where they signed up
// from is nothing that a finding rests on.
func sameQuery(a, b *muster.ScreeningQuery) bool {
	return bytes.Equal(plainQuery(a), plainQuery(b))
}

func plainQuery(q *muster.ScreeningQuery) []byte {
	x := muster.ScreeningQuery{Kind: q.Kind, Births: q.Births, Countries: q.Countries, Nations: q.Nations}
	for _, n := range q.Names {
		x.Names = append(x.Names, strings.ToLower(spaced(n)))
	}
	for _, id := range q.Identifiers {
		switch id.Kind {
		case muster.IdentIPRange, muster.IdentCardBIN, muster.IdentMailDomain:
		default:
			x.Identifiers = append(x.Identifiers, id)
		}
	}
	data, err := json.Marshal(&x)
	if err != nil {
		panic("onboard: a query of strings and numbers always encodes: " + err.Error())
	}
	return data
}

// saveHits writes the hits that changed.
func saveHits(ctx context.Context, tx Tx, f *file) error {
	for _, h := range f.hits {
		if !h.dirty {
			continue
		}
		if err := tx.PutHit(ctx, h.HitRecord); err != nil {
			return err
		}
	}
	return nil
}

// moved reports whether a hit of the file came to be, or changed its state.
func (f *file) moved() bool {
	return slices.ContainsFunc(f.hits, func(h *hit) bool { return h.moved })
}
