package onboard

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// What was seen of evidence is sealed under a key of its own, so that it can go while the
// person stays, in old backups too (decision 0078). The row of the blind index by which
// it is found has that key's handle.

// sealDetails seals what was seen under a fresh key.
func (s *Service) sealDetails(key vault.Key, e *muster.EvidenceRecord, details []byte) (err error) {
	e.Key = key.ID()
	e.Sealed, err = s.Vault.Seal(key, detailsPlace(e), details)
	return err
}

// detailsItem is what was seen, as a door opens it; subject is the id of the subject's key.
func detailsItem(e *muster.EvidenceRecord, subject string) vault.Item {
	return vault.Item{KeyID: e.SealedUnder(subject), Place: detailsPlace(e), Sealed: e.Sealed}
}

// evidenceKeys are the keys of evidence that has one of its own and something under it.
func evidenceKeys(all []*muster.EvidenceRecord) (ids []string) {
	for _, e := range all {
		if e.Key != "" && len(e.Sealed) > 0 {
			ids = append(ids, e.Key)
		}
	}
	return ids
}

// indexOwn has the blind index lead from a value that evidence on r showed to that
// piece's key, and to no older one of r's that showed the same: who shows a document
// twice is counted once, from the first time on. all is the evidence on file, shared the
// key of r, under which the value lies where it was shown before evidence had keys.
func (s *Service) indexOwn(ctx context.Context, tx Tx, v value, r *muster.SubjectRecord, own, shared vault.Key, all []*muster.EvidenceRecord, at time.Time) error {
	if err := s.moveIndex(ctx, tx, v, r, own, shared, all); err != nil {
		return err
	}
	return tx.AddIndex(ctx, s.indexRow(v, r, own, at))
}

// moveIndex is the part of indexOwn that adds nothing: a value that is in no index stays so.
func (s *Service) moveIndex(ctx context.Context, tx Tx, v value, r *muster.SubjectRecord, own, shared vault.Key, all []*muster.EvidenceRecord) error {
	var ids []string
	var before []vault.Key
	for _, e := range all {
		if way, ok := s.Ways.Recorded[e.Method]; !ok || way.Value == nil || e.Subject != r.ID || e.Key == own.ID() {
			continue
		}
		switch {
		case e.Key == "":
			before = []vault.Key{shared}
		case len(e.Sealed) > 0:
			ids = append(ids, e.Key)
		}
	}
	keys, err := s.Vault.Keys(ctx, ids)
	if err != nil {
		return err
	}
	before = slices.AppendSeq(before, maps.Values(keys))
	row := s.indexRow(v, r, own, time.Time{})
	is := muster.IndexRow{Kind: row.Kind, Digest: row.Digest, Handle: row.Handle}
	for _, old := range before {
		was := s.indexRow(v, r, old, time.Time{})
		if was.Digests == nil {
			was.Digests, was.Handles = [][]byte{was.Digest}, [][]byte{was.Handle}
		}
		for _, d := range was.Digests {
			for _, h := range was.Handles {
				if err := tx.MoveIndex(ctx, muster.IndexRow{Kind: row.Kind, Digest: d, Handle: h}, is); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// OwnKeys gives evidence whose details lie under the person's key (as v0.1.0 seals
// them) a key of its own: a page after one, in one transaction, with a leaf at its start
// and end. last is where to go on, "" at the end; done is how many it sealed anew. What is in
// older backups stays as it was.
func (s *Service) OwnKeys(ctx context.Context, after string, limit int) (last string, done int, err error) {
	var page []*muster.SharedEvidence
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		subject, id, _ := strings.Cut(after, " ")
		page, err = tx.SharedEvidence(ctx, subject, id, limit)
		return err
	}); err != nil || len(page) == 0 {
		return "", 0, err
	}
	if len(page) == limit {
		last = page[limit-1].Subject + " " + page[limit-1].ID
	}
	people := make([]string, len(page))
	for i, e := range page {
		people[i] = e.Of.Key
	}
	shared, err := s.Vault.Keys(ctx, people)
	if err != nil {
		return "", 0, err
	}
	page = slices.DeleteFunc(page, func(e *muster.SharedEvidence) bool { _, ok := shared[e.Of.Key]; return !ok }) // it opens nowhere
	if len(page) == 0 {
		return last, 0, nil
	}
	session, err := s.Vault.Use(ctx, vault.Job{Name: muster.JobRetain, Purpose: "sealing", Scope: "evidence that has no key of its own"}, s.Journal)
	if err != nil {
		return "", 0, err
	}
	if done, err = s.ownPage(ctx, session, page, shared); err != nil {
		return "", 0, errors.Join(err, session.End(ctx, 0))
	}
	return last, done, session.End(ctx, done)
}

// owned is one piece of evidence, sealed anew.
type owned struct {
	*muster.SharedEvidence
	was         []byte
	own, shared vault.Key
	kind        vault.Kind
	value       string
}

func (s *Service) ownPage(ctx context.Context, session *vault.Session, page []*muster.SharedEvidence, shared map[string]vault.Key) (int, error) {
	keys, err := s.Vault.MakeKeys(ctx, len(page))
	if err != nil {
		return 0, err
	}
	var ready []owned
	var unused []string
	for i, e := range page {
		details, err := session.Open(ctx, detailsItem(&e.EvidenceRecord, e.Of.Key))
		if muster.ErrorCode(err) == muster.CodeGone {
			unused = append(unused, keys[i].ID()) // erased meanwhile
			continue
		}
		if err != nil {
			return 0, err
		}
		x := owned{SharedEvidence: e, was: e.Sealed, own: keys[i], shared: shared[e.Of.Key]}
		if way, ok := s.Ways.Recorded[e.Method]; ok && way.Value != nil {
			if kind, v, err := way.Value(details); err == nil {
				x.kind, x.value = kind, v
			} // what came with a book has a form of its own, and is in no index
		}
		if err := s.sealDetails(x.own, &e.EvidenceRecord, details); err != nil {
			return 0, err
		}
		ready = append(ready, x)
	}
	if err := s.DB.InTx(ctx, func(tx Tx) error {
		for i := range ready {
			if err := s.ownOne(ctx, tx, &ready[i]); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	return len(ready), s.Vault.Destroy(ctx, unused)
}

func (s *Service) ownOne(ctx context.Context, tx Tx, x *owned) error {
	all, err := tx.EvidenceOf(ctx, x.Of.Customer) // as it was: its value lies under the person's key
	if err != nil {
		return err
	}
	if err := tx.OwnEvidence(ctx, &x.EvidenceRecord, x.was); err != nil || x.value == "" {
		return err
	}
	return s.moveIndex(ctx, tx, value{x.kind, x.value}, &x.Of, x.own, x.shared, all)
}
