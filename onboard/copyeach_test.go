package onboard_test

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// TestACopyAndReceiptsBesideRecordsOfEveryKind: of a hit that is true, of a case and its
// reason, of a note on papers, of what the gate denied, of an authority that looked, and of
// holds and orders, nothing is in what the person is given.
func TestACopyAndReceiptsBesideRecordsOfEveryKind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := b.Context()
	b.Lists.Put(sdn, roomtest.Listed("SDN-90417", "Chidinma Okafor"))
	app := roomtest.Person("app-1")
	app.Payment.Country, app.Access.IP = "KZ", "51.174.0.10" // three countries: a person looks
	a := b.Apply(app)
	customer := b.customerOf(a.Application)
	b.Document(a.Application, "", strings.Replace(roomtest.Passport("NG", "A-771"), `"type"`, `"note":"the photo is odd","type"`, 1))
	view := func(fn func(*store.Tx) error) {
		t.Helper()
		roomtest.View(b.Rooms, func(_ context.Context, tx *store.Tx) (bool, error) { return true, fn(tx) })
	}
	both := func(do func(by muster.Principal) (done bool, err error)) {
		t.Helper()
		for _, by := range []muster.Principal{b.Anna, b.Bea} {
			if done, err := do(by); err != nil {
				t.Fatal(err)
			} else if done {
				return
			}
		}
		t.Fatal("two operators did not end it")
	}
	var hits []*muster.HitRecord
	var cases []*muster.ReviewRecord
	view(func(tx *store.Tx) error {
		files, err := tx.FileRecords(ctx, customer)
		if err == nil {
			hits, cases = files[0].Hits, files[0].Reviews
		}
		return err
	})
	if len(hits) != 1 || len(cases) == 0 {
		t.Fatalf("%d hits, %d cases", len(hits), len(cases))
	}
	both(func(by muster.Principal) (bool, error) {
		now, done, err := b.Review.ResolveHit(ctx, by, hits[0].ID, hits[0].Version, review.HitFinding{Finding: muster.HitTrue, Reason: "DOSSIER-5 names the mother"})
		hits[0] = now
		return done, err
	})
	for _, c := range cases {
		both(func(by muster.Principal) (bool, error) {
			var now *muster.ReviewRecord
			view(func(tx *store.Tx) (err error) { now, err = tx.Review(ctx, c.ID); return err })
			if now.State == muster.ReviewResolved || now.State == muster.ReviewMoot {
				return true, nil
			}
			_, done, err := b.Review.Resolve(ctx, by, now.ID, now.Version, review.Finding{Finding: review.Clear, Reason: "sounded nervous on the telephone"})
			return done, err
		})
	}
	key := gate.Key(b.GateKey())
	hash := key.Hash("app-1")
	b.tx(func(tx *store.Tx) error {
		return tx.PutGateBatch(ctx, "", &muster.GateBatch{Run: "gtn_1", N: 1, At: tx.Now(), Records: []muster.GateRecord{{
			ID: "gtr_" + strings.Repeat("0", 26), Account: hex.EncodeToString(hash[:]), Protocol: muster.ProtocolAuthZEN, Action: muster.ActionUse,
			Answer: muster.AnswerDeny, Code: "suspended", Rule: "us-iaas-cip/listed_true", First: tx.Now(), Last: tx.Now(), Count: 7,
		}}})
	})
	if _, err := b.Onboard.Reveal(ctx, b.Bea, a.Application, onboard.RevealRequest{Purpose: string(vault.PurposeCourt), Case: "COURT-4711"}); err != nil {
		t.Fatal(err)
	}
	b.place(muster.Hold{Customer: customer})
	b.place(muster.Hold{Customer: customer, Class: muster.ClassLeases, Withheld: true})

	c := b.copyOf(customer, "")
	given := string(asJSON(t, c))
	for _, d := range c.Decisions {
		data, err := b.Onboard.Bundle(ctx, b.Bea, d.Decision, tlog.AudienceCustomer)
		if err != nil {
			t.Fatal(err)
		}
		given += opened(t, data)
	}
	for _, word := range []string{"A-771", "chidinma", "app-1", `"omitted"`} {
		if !strings.Contains(given, word) {
			t.Errorf("their own %q is not in it", word)
		}
	}
	for _, word := range []string{
		"SDN-90417", "ofac", "DOSSIER-5", "hit_", "sounded nervous", "rev_", "the photo is odd", "gtr_", hex.EncodeToString(hash[:]), "listed_true", "suspended by",
		"COURT-4711", `"court"`, "SEALED-88", "hld_", "opr_", "ent_",
	} {
		if strings.Contains(given, word) {
			t.Errorf("the copy or a receipt has %q", word)
		}
	}
	// All of it is on record.
	view(func(tx *store.Tx) error {
		entries, err := tx.Entries(ctx, muster.Page{Limit: 1000})
		bodies := ""
		for _, e := range entries {
			bodies += string(e.Body)
		}
		if !strings.Contains(bodies, "COURT-4711") {
			t.Error("the authority's look is not on record")
		}
		if hits, e := tx.HitsOf(ctx, customer); e != nil || hits[0].State != muster.HitTrue {
			t.Errorf("%+v, %v", hits, e)
		}
		if denied, e := tx.GateRecords(ctx, hash[:], muster.Page{Limit: 10}); e != nil || len(denied) != 1 {
			t.Errorf("%d records of the gate, %v", len(denied), e)
		}
		return err
	})
}
