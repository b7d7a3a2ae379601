package retain_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

// due are keys of evidence of which it is written down that they go.
func (b *bundle) due() []muster.EvidenceKey {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]muster.EvidenceKey, error) {
		return tx.EvidenceKeysDue(ctx, 100)
	})
}

// ended are those that go or are gone.
func (b *bundle) ended() []string {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]string, error) {
		return tx.EndedEvidenceKeys(ctx, muster.Page{Limit: 100})
	})
}

// documents are the rows of the blind index of documents.
func (b *bundle) documents() []muster.IndexRow {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]muster.IndexRow, error) {
		return tx.IndexPage(ctx, "document", muster.IndexRow{}, 100)
	})
}

func (b *bundle) person(customer string) *muster.SubjectRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.SubjectRecord, error) {
		return tx.Subjects(ctx, customer)
	})[0]
}

// seen is what a person's copy says of a document of theirs.
func (b *bundle) seen(customer string) map[string]any {
	b.Helper()
	c, err := b.Onboard.Copy(b.Context(), b.Bea, onboard.CopyRequest{Customer: customer, Case: "request-1"})
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range c.Evidence {
		if e.Method == "document.manual" {
			return e.Seen
		}
	}
	return nil
}

func TestKeyOfWhatWasSeenGoesWithItAndThePersonsStays(t *testing.T) {
	both(t, func(b *bundle) {
		us := b.proven("us-1", "US", "amy@example.com", "+2348031234504")
		ng := b.proven("ng-1", "NG", "bola@example.com.ng", "+2348031234505")
		e, other, person := b.proof(us.Customer), b.proof(ng.Customer), b.person(us.Customer)
		if e.Key == "" || e.Key == person.Key || !b.alive(e.Key) || b.seen(us.Customer)["number"] != "P-us-1" {
			b.Fatalf("key %q, of the person %q, seen %v", e.Key, person.Key, b.seen(us.Customer))
		}
		if n := len(b.documents()); n != 2 {
			b.Fatalf("%d documents in the index", n)
		}
		b.until(b.over(e))
		if n := b.dropped(); n != 1 {
			b.Fatalf("%d went", n)
		}
		if b.alive(e.Key) || !b.alive(person.Key) || !b.alive(other.Key) {
			b.Errorf("alive: of what was seen %v, of the person %v, of another %v", b.alive(e.Key), b.alive(person.Key), b.alive(other.Key))
		}
		// In a copy of the rows from before, nothing that is left opens it.
		for _, key := range []string{e.Key, person.Key, other.Key} {
			items := []vault.Item{{KeyID: key, Place: vault.Place{Subject: e.Subject, Record: e.ID, Field: "details"}, Sealed: e.Sealed}}
			values, err := b.Vault.Reveal(b.Context(), vault.RevealRequest{
				Operator: b.Bea.Operator, Purpose: vault.PurposeSubjectAccess, Case: "request-2", Items: items,
			}, b.Journal)
			if err == nil && values[0] != nil {
				b.Errorf("%s opens what was dropped", key)
			}
		}
		if rows := b.documents(); len(rows) != 1 {
			b.Errorf("%d documents in the index", len(rows))
		}
		if ended, due := b.ended(), b.due(); len(ended) != 1 || ended[0] != e.Key || len(due) != 0 {
			b.Errorf("ended %v, due %v", ended, due)
		}
		b.Clean()
	})
}

// What a hold keeps can still be read: the person's key stays for whatever lies under it.
func TestErasureTakesTheKeysOfWhatWasSeen(t *testing.T) {
	for class, kept := range map[string]struct {
		keys int
		seen bool
	}{
		"": {0, false}, muster.ClassIdentity: {1, false}, muster.ClassEvidence: {1, true}, muster.ClassUSProof: {1, true}, muster.ClassAccess: {1, false},
		muster.ClassNotices: {0, false},
	} {
		t.Run("a hold keeps "+class, func(t *testing.T) {
			both(t, func(b *bundle) {
				ng := b.proven("ng-1", "NG", "bola@example.com.ng", "+2348031234505")
				key := b.proof(ng.Customer).Key
				b.end("ng-1")
				b.Clock.Move(3 * year)
				if class != "" {
					if _, err := b.retain.Place(b.Context(), b.Anna.Operator, muster.Hold{
						Customer: ng.Customer, Class: class, Ground: muster.HoldLitigation, Case: "1", Review: b.Clock.Now().Add(year),
					}); err != nil {
						b.Fatal(err)
					}
				}
				b.run()
				if got := b.left(ng.Customer); got.keys != kept.keys || b.alive(key) != kept.seen {
					b.Errorf("%+v, of what was seen %v", got, b.alive(key))
				}
				if ended := b.ended(); kept.seen != (len(ended) == 0) || len(ended) > 0 && ended[0] != key {
					b.Errorf("ended: %v", ended)
				}
				b.Clean()
			})
		})
	}
}

// TestStrayKeysGo: v0.1.0, which may run beside, erases evidence and knows of no key but
// the person's.
func TestStrayKeysGo(t *testing.T) {
	both(t, func(b *bundle) {
		one := b.proven("ng-1", "NG", "bola@example.com.ng", "+2348031234505")
		two := b.proven("ng-2", "NG", "chi@example.com.ng", "+2348031234506")
		stays := b.proven("ng-3", "NG", "dayo@example.com.ng", "+2348031234507")
		keys := []string{b.proof(one.Customer).Key, b.proof(two.Customer).Key}
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.EraseEvidence(ctx, one.Customer) })
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.EraseIdentity(ctx, two.Customer) })
		b.run()
		for _, k := range keys {
			if b.alive(k) {
				b.Errorf("%s is there", k)
			}
		}
		if e := b.proof(stays.Customer); !b.alive(e.Key) || len(b.ended()) != 2 {
			b.Errorf("ended: %v", b.ended())
		}
		b.Clean()
	})
}

// share puts a document under the person's key, as v0.1.0 does.
func (b *bundle) share(customer, number string) {
	b.Helper()
	person, was := b.person(customer), b.proof(customer)
	key, err := b.Vault.Key(b.Context(), person.Key)
	if err != nil {
		b.Fatal(err)
	}
	values, err := b.Vault.Reveal(b.Context(), vault.RevealRequest{
		Operator: b.Bea.Operator, Purpose: vault.PurposeSubjectAccess, Case: "request-0",
		Items: []vault.Item{{KeyID: was.Key, Place: vault.Place{Subject: was.Subject, Record: was.ID, Field: "details"}, Sealed: was.Sealed}},
	}, b.Journal)
	if err != nil {
		b.Fatal(err)
	}
	old := *was
	old.ID, old.Key = muster.NewID(muster.PrefixEvidence, b.Clock.Now()), ""
	details := bytes.Replace(values[0], []byte("P-"), []byte(number), 1)
	if old.Sealed, err = b.Vault.Seal(key, vault.Place{Subject: old.Subject, Record: old.ID, Field: "details"}, details); err != nil {
		b.Fatal(err)
	}
	own, err := b.Vault.Key(b.Context(), was.Key)
	if err != nil {
		b.Fatal(err)
	}
	from, h := b.Vault.HandleFor(vault.KindDocument, own), b.Vault.HandleFor(vault.KindDocument, key)
	rows := b.documents() // in the order of digests, which is another in each run
	row := rows[slices.IndexFunc(rows, func(r muster.IndexRow) bool { return bytes.Equal(r.Handle, from[:]) })]
	b.inTx(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.EraseEvidence(ctx, customer); err != nil {
			return err
		}
		if err := tx.MoveIndex(ctx, row, muster.IndexRow{Kind: "document", Digest: row.Digest, Handle: h[:]}); err != nil {
			return err
		}
		return tx.AddEvidence(ctx, &old)
	})
}

func TestOlderEvidenceComesUnderAKeyOfItsOwn(t *testing.T) {
	both(t, func(b *bundle) {
		us := b.proven("us-1", "US", "amy@example.com", "+2348031234504")
		b.share(us.Customer, "P-")
		old, person := b.proof(us.Customer), b.person(us.Customer)
		shown, rows := b.seen(us.Customer), b.documents()
		if old.Key != "" || shown["number"] != "P-us-1" || len(rows) != 1 {
			b.Fatalf("key %q, seen %v, %d rows", old.Key, shown, len(rows))
		}
		if s := b.run(); s.Owned != 1 {
			b.Fatalf("%+v", s)
		}
		e, now := b.proof(us.Customer), b.documents()
		if e.Key == "" || bytes.Equal(e.Sealed, old.Sealed) || b.seen(us.Customer)["number"] != "P-us-1" {
			b.Errorf("key %q, seen %v", e.Key, b.seen(us.Customer))
		}
		if len(now) != 1 || bytes.Equal(now[0].Handle, rows[0].Handle) || !bytes.Equal(now[0].Digest, rows[0].Digest) {
			b.Errorf("the index has %d rows", len(now))
		}
		if s := b.run(); s.Owned != 0 {
			b.Errorf("again: %+v", s)
		}
		// One whose person's key is gone, as with older keys than data, is left and writes nothing.
		ng := b.proven("ng-1", "NG", "bola@example.com.ng", "+2348031234505")
		b.share(ng.Customer, "P-")
		if err := b.Vault.Destroy(b.Context(), []string{b.person(ng.Customer).Key}); err != nil {
			b.Fatal(err)
		}
		size := func() int64 {
			return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.LogSize(ctx) })
		}
		b.run() // the key of the row before is a stray: that is said
		before := size()
		if s := b.run(); s.Owned != 0 || size() != before {
			b.Errorf("%+v, and %d leaves more", s, size()-before)
		}
		b.until(b.over(e))
		if n := b.dropped(); n != 1 || b.alive(e.Key) || !b.alive(person.Key) || len(b.documents()) != 0 {
			b.Errorf("%d went, %d rows of the index left", n, len(b.documents()))
		}
		b.Clean()
	})
}

// TestProofUnderThePersonsKeyGoesAsBefore: what v0.1.0 wrote on the very day.
func TestProofUnderThePersonsKeyGoesAsBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	us := b.proven("us-1", "US", "amy@example.com", "+2348031234504")
	b.share(us.Customer, "P-")
	b.until(b.over(b.proof(us.Customer)))
	if n := b.dropped(); n != 1 || !b.alive(b.person(us.Customer).Key) || len(b.ended()) != 1 { // that of the row before
		t.Errorf("%d went, ended %v", n, b.ended())
	}
	b.Clean()
}

// TestDocumentShownTwiceIsOne: of one person, in the index of documents.
func TestDocumentShownTwiceIsOne(t *testing.T) {
	both(t, func(b *bundle) {
		app := roomtest.Person("ng-1")
		a := b.Apply(app)
		b.Document(a.Application, "", roomtest.Passport("NG", "P-1"))
		first := b.documents()
		b.Clock.Move(48 * time.Hour)
		b.Document(a.Application, "", roomtest.Passport("NG", "P-1"))
		again := b.documents()
		if len(first) != 1 || len(again) != 1 || bytes.Equal(first[0].Handle, again[0].Handle) {
			b.Errorf("%d rows, then %d", len(first), len(again))
		}
		n := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]int64, error) {
			q := muster.HandleCount{Kind: "document", Digests: [][]byte{again[0].Digest}}
			late := q
			late.Since = b.Clock.Now().Add(-24 * time.Hour)
			return tx.CountHandles(ctx, q, late)
		})
		if n[0] != 1 || n[1] != 0 { // it was shown first two days ago
			b.Errorf("counted %d, and %d since yesterday", n[0], n[1])
		}
		b.Document(a.Application, "", strings.Replace(roomtest.Passport("NG", "P-1"), "P-1", "P-2", 1))
		if n := len(b.documents()); n != 2 {
			b.Errorf("another document: %d rows", n)
		}
	})
}

// TestKeysEndOnce: of several processes that finish the same, one says so.
func TestKeysEndOnce(t *testing.T) {
	both(t, func(b *bundle) {
		us := b.proven("us-1", "US", "amy@example.com", "+2348031234504")
		key := b.proof(us.Customer).Key
		b.inTx(func(ctx context.Context, tx *store.Tx) error { return tx.DueEvidenceKeys(ctx, key) })
		said := b.Audit().ByType["erasure"]
		var all sync.WaitGroup
		for range 4 {
			s := retain.New(retain.Config{DB: store.As[retain.Tx](b.DB), Programme: b.Programme, Keys: b.Vault, Journal: b.Journal, Clock: b.Clock.Now})
			all.Go(func() {
				if err := s.Resume(b.Context()); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
		if n := b.Audit().ByType["erasure"] - said; n != 1 || b.alive(key) || len(b.due()) != 0 {
			b.Errorf("%d entries", n)
		}
	})
}
