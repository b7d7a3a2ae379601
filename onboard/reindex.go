package onboard

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Digests of values can be made anew only from the values. While a key of digests
// turns, Reindex opens what everybody on file ever stated, a page of customers at a
// time, and moves each row of an index that it finds under an older digest, as it
// is: in one statement, so that whoever counts sees it once, under one or the other.

// reindexPage is how many customers are opened and moved in one transaction: others
// wait for it.
const reindexPage = 100

// Reindexed is what one page came to.
type Reindexed struct {
	Last string // the last customer of the page; "": there was none
	Rows int    // values that were looked at
}

// ReindexTx is what a page writes in.
type ReindexTx interface {
	MoveIndex(ctx context.Context, was, is muster.IndexRow) error
	RelistHit(ctx context.Context, id string, was, is []byte) error
	RenewRequest(ctx context.Context, application string, was, is []byte) error
}

// Reindex looks at the page of customers after one, for the kinds of value whose key
// turns, and where requests is set for the MACs of applications. What it returns
// writes what is to change, in a transaction of the caller's.
func (s *Service) Reindex(ctx context.Context, session *vault.Session, after string, kinds []vault.Kind, requests bool) (Reindexed, func(context.Context, ReindexTx) error, error) {
	var files []*shelfFile
	var out Reindexed
	if err := s.DB.View(ctx, func(tx Tx) error {
		files, out = nil, Reindexed{}
		ids, err := tx.CustomersAfter(ctx, muster.Page{After: after, Limit: reindexPage})
		if err != nil {
			return err
		}
		for _, id := range ids {
			f, err := readShelf(ctx, tx, id)
			if err != nil {
				return err
			}
			files, out.Last = append(files, f), id
		}
		return nil
	}); err != nil {
		return out, nil, err
	}
	x := &reindex{Service: s, session: session, kinds: map[vault.Kind]bool{}, requests: requests}
	for _, k := range kinds {
		x.kinds[k] = true
	}
	for _, f := range files {
		if err := x.file(ctx, f); err != nil {
			return out, nil, err
		}
	}
	out.Rows = len(x.writes)
	return out, func(ctx context.Context, tx ReindexTx) error {
		for _, w := range x.writes {
			if err := w(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// shelfFile is all that a customer's file has values in.
type shelfFile struct {
	subjects []*muster.SubjectRecord
	claims   map[string][]*muster.ClaimsRecord // by subject, every revision
	evidence []*muster.EvidenceRecord
	hits     []*muster.HitRecord
	apps     []*muster.ApplicationRecord
}

func readShelf(ctx context.Context, tx Tx, customer string) (f *shelfFile, err error) {
	f = &shelfFile{claims: map[string][]*muster.ClaimsRecord{}}
	if f.subjects, err = tx.Subjects(ctx, customer); err != nil {
		return nil, err
	}
	for _, r := range f.subjects {
		if f.claims[r.ID], err = tx.ClaimsOf(ctx, r.ID); err != nil {
			return nil, err
		}
	}
	if f.evidence, err = tx.EvidenceOf(ctx, customer); err != nil {
		return nil, err
	}
	if f.hits, err = tx.HitsOf(ctx, customer); err != nil {
		return nil, err
	}
	f.apps, err = tx.ApplicationsOf(ctx, customer)
	return f, err
}

// reindex makes the writes of one page.
type reindex struct {
	*Service
	session  *vault.Session
	kinds    map[vault.Kind]bool
	requests bool
	writes   []func(context.Context, ReindexTx) error
}

func (x *reindex) file(ctx context.Context, f *shelfFile) error {
	ids := make([]string, 0, len(f.subjects))
	for _, r := range f.subjects {
		ids = append(ids, r.Key)
	}
	ids = append(ids, evidenceKeys(f.evidence)...)
	if err := x.session.Warm(ctx, ids); err != nil {
		return err
	}
	keys, err := x.Vault.Keys(ctx, ids)
	if err != nil {
		return err
	}
	stated := map[string][]piece{} // by subject
	var first []place              // what was sent at first
	for _, r := range f.subjects {
		for _, c := range f.claims[r.ID] {
			var p piece
			if ok, err := x.open(ctx, keys, vault.Item{KeyID: r.Key, Place: claimsPlace(r.ID, c.Revision), Sealed: c.Sealed}, &p); err != nil {
				return err
			} else if !ok {
				continue
			}
			stated[r.ID] = append(stated[r.ID], p)
			if c.Revision == 1 && r.Pointer != "" {
				first = append(first, place{r.Pointer, p})
			}
		}
	}
	countries := countriesOf(f, stated)
	for _, r := range f.subjects {
		key, ok := keys[r.Key]
		if !ok {
			continue // erased: its rows lead nowhere, and go
		}
		for i := range stated[r.ID] {
			for _, v := range x.valuesIn(&stated[r.ID][i], countries) {
				x.value(r, key, v)
			}
		}
		if err := x.found(ctx, f, keys, r); err != nil {
			return err
		}
	}
	if err := x.listed(ctx, f, keys); err != nil {
		return err
	}
	return x.sent(f, first)
}

// open opens a sealed value; false where it is erased.
func (x *reindex) open(ctx context.Context, keys map[string]vault.Key, it vault.Item, into any) (bool, error) {
	if _, ok := keys[it.KeyID]; !ok || len(it.Sealed) == 0 {
		return false, nil
	}
	data, err := x.session.Open(ctx, it)
	if muster.ErrorCode(err) == muster.CodeGone {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if p, ok := into.(*piece); ok {
		return true, decodePiece(data, p)
	}
	*into.(*[]byte) = data
	return true, nil
}

// countriesOf are those of every address that the customer stated: a signatory's
// telephone in national form is read with the customer's.
func countriesOf(f *shelfFile, stated map[string][]piece) []muster.Country {
	countries := []muster.Country{""}
	for _, r := range f.subjects {
		for _, p := range stated[r.ID] {
			if r.Role == muster.RoleCustomer && p.Party != nil && p.Party.Address != nil {
				countries = append(countries, p.Party.Address.Country)
			}
		}
	}
	return countries
}

// valuesIn lists the look-up values of one subject's piece, as valuesOf does of the
// application that it was a part of.
func (x *reindex) valuesIn(p *piece, countries []muster.Country) (all []value) {
	switch {
	case p.Rest != nil && p.Party != nil:
		app := *p.Rest
		app.Customer = *p.Party
		all = valuesOf(x.Checker.Normal(&app, x.Clock()), 0)
		for _, v := range all { // as abuseRows has them, where there are any
			all = append(all, value{vault.KindAbuse, string(v.kind) + "|" + v.value})
		}
		return all
	case p.Party != nil:
		app := &muster.Application{Customer: muster.Party{Kind: muster.Entity}, Owners: []muster.Party{*p.Party}}
		return valuesOf(x.Checker.Normal(app, x.Clock()), 1)
	case p.Signatory != nil:
		for _, c := range countries {
			app := &muster.Application{Customer: muster.Party{Address: &muster.Address{Country: c}}, Signatories: []muster.Signatory{*p.Signatory}}
			all = append(all, valuesOf(x.Checker.Normal(app, x.Clock()), 1)...)
		}
	}
	return all
}

// value moves whatever rows there are of a value of a subject.
func (x *reindex) value(r *muster.SubjectRecord, key vault.Key, v value) {
	if !x.kinds[v.kind] {
		return
	}
	is := x.indexRow(v, r, key, time.Time{})
	for _, d := range is.Digests {
		if bytes.Equal(d, is.Digest) || d[0] > is.Digest[0] { // a version that waits has no rows
			continue
		}
		for _, h := range is.Handles {
			was := muster.IndexRow{Kind: is.Kind, Digest: d, Handle: h}
			next := muster.IndexRow{Kind: is.Kind, Digest: is.Digest, Handle: h}
			x.writes = append(x.writes, func(ctx context.Context, tx ReindexTx) error { return tx.MoveIndex(ctx, was, next) })
		}
	}
}

// found moves the rows of what methods of verification found.
func (x *reindex) found(ctx context.Context, f *shelfFile, keys map[string]vault.Key, r *muster.SubjectRecord) error {
	for _, e := range f.evidence {
		way, ok := x.Ways.Recorded[e.Method]
		if !ok || way.Value == nil || e.Subject != r.ID {
			continue
		}
		var details []byte
		if ok, err := x.open(ctx, keys, detailsItem(e, r.Key), &details); err != nil {
			return err
		} else if !ok {
			continue
		}
		kind, v, err := way.Value(details)
		if err != nil {
			return err
		}
		if v != "" {
			x.value(r, keys[e.SealedUnder(r.Key)], value{kind, v})
		}
	}
	return nil
}

// listed gives hits another digest of their entry.
func (x *reindex) listed(ctx context.Context, f *shelfFile, keys map[string]vault.Key) error {
	if !x.kinds[vault.KindListed] {
		return nil
	}
	of := map[string]*muster.SubjectRecord{}
	for _, r := range f.subjects {
		of[r.ID] = r
	}
	for _, h := range f.hits {
		r := of[h.Subject]
		if r == nil {
			continue
		}
		var data []byte
		if ok, err := x.open(ctx, keys, vault.Item{KeyID: r.Key, Place: hitPlace(h, "found"), Sealed: h.Found}, &data); err != nil {
			return err
		} else if !ok {
			continue
		}
		var s seen
		if err := json.Unmarshal(data, &s); err != nil {
			return muster.Errorf(muster.CodeInternal, "a sealed hit is not what it should be: %w", err)
		}
		if is := x.Listed(h.List, s.Entry)[0]; !bytes.Equal(is, h.Listed) {
			x.writes = append(x.writes, func(ctx context.Context, tx ReindexTx) error { return tx.RelistHit(ctx, h.ID, h.Listed, is) })
		}
	}
	return nil
}

// sent gives an application another MAC of what was sent at first, where that can be
// put together again.
func (x *reindex) sent(f *shelfFile, first []place) error {
	if !x.requests || len(f.apps) != 1 {
		return nil
	}
	app := f.apps[0]
	whole, err := unite(first)
	if err != nil {
		return nil //nolint:nilerr // a piece is erased: what was sent cannot be known again
	}
	canonical, err := json.Marshal(whole)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "an application cannot be written: %w", err)
	}
	if is := x.Vault.RequestMAC(canonical); x.Vault.RequestEqual(app.MAC, canonical) && !bytes.Equal(is, app.MAC) {
		x.writes = append(x.writes, func(ctx context.Context, tx ReindexTx) error { return tx.RenewRequest(ctx, app.ID, app.MAC, is) })
	}
	return nil
}
