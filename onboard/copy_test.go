package onboard_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// Of others, of checks, of staff: nothing of it is in a company's copy or receipt.
var planted = []string{
	"Kari Nordmann", "kari@fjorddata.example", "+4791234567", "Ola Hansen", "Storgata 5", // owners
	"Payer Holding", "FINGER-7731", // somebody else's money
	"SDN-90417", "FJORD DATA LISTED", "ofac.sdn", // a hit
	"looked forged at first", "telephoned the register", // staff
}

// watched is a company with owners, papers, somebody else's money, a hit and a finding
// of staff. reseller is the account above it.
func watched(t *testing.T, o roomtest.Options) (b *bundle, a *onboard.Answer) {
	t.Helper()
	b = setupWith(t, o)
	b.Lists.Put(sdn, roomtest.Listed("SDN-90417", "FJORD DATA LISTED"), roomtest.Listed("SDN-2", "Fjord Data AS"))
	app := roomtest.Company("app-1")
	app.Payment.PayerName, app.Payment.Fingerprint = "Payer Holding Ltd", "FINGER-7731"
	a = b.Apply(app)
	ids := b.Subjects(a.Application)
	b.Document(a.Application, ids["/customer"], strings.Replace(roomtest.Extract("NO"), `"type"`, `"note":"looked forged at first","type"`, 1))
	b.Document(a.Application, ids["/beneficial_owners/0"], roomtest.Passport("NO", "N7777771"))
	for _, h := range roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.HitRecord, error) {
		return tx.HitsOf(ctx, b.customerOf(a.Application))
	}) {
		for _, by := range []muster.Principal{b.Anna, b.Bea} {
			now, done, err := b.Review.ResolveHit(b.Context(), by, h.ID, h.Version, review.HitFinding{Finding: muster.HitFalse, Reason: "telephoned the register"})
			if err != nil {
				t.Fatal(err)
			}
			if h = now; done {
				break
			}
		}
	}
	return b, a
}

func (b *bundle) copyOf(customer, subject string) *onboard.Copy {
	b.Helper()
	c, err := b.Onboard.Copy(b.Context(), b.Bea, onboard.CopyRequest{Customer: customer, Subject: subject, Case: "request-1"})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *bundle) customerOf(application string) string {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (string, error) {
		app, err := tx.Application(ctx, application)
		if err != nil {
			return "", err
		}
		return app.Customer, nil
	})
}

func TestACopyTellsOfThatPersonAlone(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} }, "postgres": onPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, a := watched(t, o(t))
			customer, ids := b.customerOf(a.Application), b.Subjects(a.Application)
			c := b.copyOf(customer, "")
			text := string(asJSON(t, c))
			for _, own := range []string{"Fjord Data AS", "post@fjorddata.example", "923609016", "R-1", `"means":"card"`, `"class":"identity"`, "app-1"} {
				if !strings.Contains(text, own) {
					t.Errorf("their own %q is not in it: %s", own, text)
				}
			}
			p, err := policy.Compile([]byte(roomtest.Pack(t, packs.Default)))
			if err != nil {
				t.Fatal(err)
			}
			never := slices.Concat(planted, []string{"N7777771", ids["/beneficial_owners/0"], ids["/beneficial_owners/1"], "score", "threshold", "likeness", "hit_", "opr_", "rev_"})
			for _, r := range p.Document().Rules {
				if strings.Contains(r.ID, "_") {
					never = append(never, r.ID)
				}
			}
			receipts := ""
			for _, d := range c.Decisions {
				data, err := b.Onboard.Bundle(b.Context(), b.Bea, d.Decision, tlog.AudienceCustomer)
				if err != nil {
					t.Fatal(err)
				}
				parsed, err := tlog.ParseBundle(data)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tlog.VerifyBundle(data, tlog.VerifyOptions{Checkpoint: []byte(parsed.Checkpoint), Verifier: b.Verifier}); err != nil {
					t.Error(err)
				}
				receipts += opened(t, data)
			}
			if receipts == "" {
				t.Fatal("there is no receipt")
			}
			for _, word := range never {
				if strings.Contains(text, word) {
					t.Errorf("the copy has %q", word)
				}
				if strings.Contains(receipts, word) {
					t.Errorf("a receipt has %q", word)
				}
			}
			// The search finds what is there: in what staff and an examiner may see.
			whole, err := b.Onboard.Reveal(b.Context(), b.Bea, a.Application, onboard.RevealRequest{Purpose: "review", Case: "case-1"})
			if err != nil {
				t.Fatal(err)
			}
			all := string(asJSON(t, whole))
			for _, d := range c.Decisions {
				data, err := b.Onboard.Bundle(b.Context(), b.Bea, d.Decision, tlog.AudienceExaminer)
				if err != nil {
					t.Fatal(err)
				}
				all += opened(t, data)
			}
			for _, word := range []string{"Kari Nordmann", "Payer Holding", "FINGER-7731", "SDN-2", "ofac.sdn", ids["/beneficial_owners/0"], "listed_likeness", "threshold"} {
				if !strings.Contains(all, word) {
					t.Errorf("positive control: %q is nowhere", word)
				}
			}

			owner := b.copyOf(customer, ids["/beneficial_owners/0"])
			text = string(asJSON(t, owner))
			for _, own := range []string{"Kari Nordmann", "N7777771"} {
				if !strings.Contains(text, own) {
					t.Errorf("an owner's own %q is not in it", own)
				}
			}
			for _, word := range []string{"Ola Hansen", "Fjord Data", "923609016", "Payer", `"outcome"`, "app-1"} {
				if strings.Contains(text, word) {
					t.Errorf("an owner's copy has %q", word)
				}
			}
			if len(owner.Accounts) != 0 || owner.Role != muster.RoleOwner {
				t.Errorf("%+v", owner)
			}
			if got := b.Audit(); got.ByType["reveal"] < 2 || !got.Clean() {
				t.Errorf("%+v", got)
			}
		})
	}
}

// opened is what can be read in a bundle: its words, and the texts that stand there in
// base64. Salts, commitments, proofs and signatures are left out: any short word comes up
// in their letters by chance.
func opened(t *testing.T, bundle []byte) string {
	t.Helper()
	b, err := tlog.ParseBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b.Decision.Data)
	for i, p := range b.Facts {
		text += string(p.Data)
		b.Facts[i] = tlog.Part{Name: p.Name, Why: p.Why}
	}
	for i, p := range b.Packs {
		text += string(p.Data)
		b.Packs[i].Data = nil
	}
	b.Key, b.Leaf, b.Decision, b.Proof, b.Checkpoint, b.Consistency = "", nil, tlog.Opened{}, nil, "", nil
	return text + string(asJSON(t, b))
}

// order places a hold as staff would.
func (b *bundle) place(h muster.Hold) *muster.Hold {
	b.Helper()
	h.ID, h.Placed, h.By, h.Ground, h.Case, h.Undisclosed = muster.NewID(muster.PrefixHold, b.Clock.Now()), b.Clock.Now(), b.Anna.Operator, muster.HoldOrder, "SEALED-88", true
	b.tx(func(tx *store.Tx) error { return tx.PutHold(b.Context(), &h) })
	return &h
}

// Whatever holds and orders there are, a copy differs by the records that an order
// covers and by nothing else, and its words by nothing at all.
func TestAnOrderLeavesNoTraceInACopy(t *testing.T) {
	t.Parallel()
	b, a := watched(t, roomtest.Options{})
	customer := b.customerOf(a.Application)
	began := b.Clock.Now()
	b.Clock.Move(time.Hour)
	ids := b.Subjects(a.Application)
	b.Document(a.Application, ids["/customer"], strings.Replace(roomtest.Extract("NO"), "R-1", "R-SECRET", 1)) // what an authority brought
	b.Clock.Move(time.Hour)
	plain := b.copyOf(customer, "")
	if n := len(plain.Evidence); n != 2 || !strings.Contains(string(asJSON(t, plain)), "R-SECRET") {
		t.Fatalf("%d pieces of evidence", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		class := rapid.SampledFrom(append([]string{""}, muster.RecordClasses...)).Draw(t, "class")
		withheld := slices.Contains(muster.WithheldClasses, class) && rapid.Bool().Draw(t, "withheld")
		whose := rapid.SampledFrom([]string{customer, "", "cus_other"}).Draw(t, "whose")
		h := muster.Hold{Customer: whose, Class: class, Withheld: withheld && whose != ""}
		if rapid.Bool().Draw(t, "period") {
			h.From, h.Until = began.Add(time.Minute), began.Add(time.Duration(rapid.IntRange(2, 100).Draw(t, "minutes"))*time.Minute)
		}
		placed := b.place(h)
		got := b.copyOf(customer, "")
		want := *plain
		cut := func(class string, at time.Time) bool { return placed.Withholds(customer, class, at) }
		want.Claims = slices.DeleteFunc(slices.Clone(plain.Claims), func(x onboard.CopiedClaims) bool { return cut(muster.ClassClaims, x.At) })
		want.Evidence = slices.DeleteFunc(slices.Clone(plain.Evidence), func(x onboard.CopiedEvidence) bool { return cut(muster.ClassEvidence, x.At) })
		want.Decisions = slices.DeleteFunc(slices.Clone(plain.Decisions), func(x onboard.CopiedDecision) bool { return cut(muster.ClassDecisions, x.At) })
		if d := cmp.Diff(&want, got); d != "" {
			t.Fatal(d)
		}
		text, _ := json.Marshal(got)
		for _, word := range []string{placed.ID, placed.Case, "hold", "undisclosed"} {
			if strings.Contains(string(text), word) {
				t.Fatalf("the copy has %q", word)
			}
		}
		for _, d := range plain.Decisions {
			if class != muster.ClassDecisions {
				break
			}
			_, err := b.Onboard.Bundle(b.Context(), b.Bea, d.Decision, tlog.AudienceCustomer)
			if under := cut(muster.ClassDecisions, d.At); under != (muster.ErrorCode(err) == muster.CodeNotFound) {
				t.Fatalf("a receipt: %v, under an order: %v", err, under)
			}
		}
		placed.Lifted = b.Clock.Now()
		b.tx(func(tx *store.Tx) error { return tx.PutHold(b.Context(), placed) })
		if d := cmp.Diff(plain, b.copyOf(customer, "")); d != "" {
			t.Fatalf("lifted: %s", d)
		}
	})
	// And one that is certain to cover something.
	b.place(muster.Hold{Customer: customer, Class: muster.ClassEvidence, Withheld: true, From: began.Add(time.Minute)})
	if text := string(asJSON(t, b.copyOf(customer, ""))); strings.Contains(text, "R-SECRET") || !strings.Contains(text, "R-1") {
		t.Error("what the order covers is in the copy, or more than it covers is not")
	}
}

type usesOf struct {
	access []muster.AccessRecord
	leases []muster.LeaseRecord
	err    error
}

func (u *usesOf) Whole(_ context.Context, ask ledger.Ask, _ string, w ledger.Whole) error {
	if ask.Purpose != vault.PurposeSubjectAccess || u.err != nil {
		return u.err
	}
	page, err := w.Next()
	if err != nil || len(page) != 1 {
		return err
	}
	for _, r := range u.access {
		r.Account = page[0]
		if err := w.Access(&r); err != nil {
			return err
		}
	}
	for _, l := range u.leases {
		l.Account = page[0]
		if err := w.Lease(&l); err != nil {
			return err
		}
	}
	return nil
}

func TestACopyHasTheUseOfTheAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	uses := &usesOf{
		access: []muster.AccessRecord{{Actor: "colleague", At: roomtest.Start, Action: "login", Network: muster.NetworkTor}},
		leases: []muster.LeaseRecord{{Resource: "host", Name: "vm-1", From: roomtest.Start, Source: "ipam"}},
	}
	b.Config.Uses = uses
	b.Onboard = onboard.New(b.Config)
	a := b.Apply(roomtest.Person("app-1"))
	text := string(asJSON(t, b.copyOf(b.customerOf(a.Application), "")))
	for _, word := range []string{`"action":"login"`, `"name":"vm-1"`} {
		if !strings.Contains(text, word) {
			t.Errorf("%q is not in it", word)
		}
	}
	for _, word := range []string{"colleague", "tor", "ipam"} { // somebody else, a list, how we know
		if strings.Contains(strings.ReplaceAll(text, "signatories", ""), `"`+word+`"`) {
			t.Errorf("the copy has %q", word)
		}
	}
	uses.access = make([]muster.AccessRecord, 20_001)
	_, err := b.Onboard.Copy(b.Context(), b.Bea, onboard.CopyRequest{Customer: b.customerOf(a.Application), Case: "request-1"})
	b.fails(err, muster.CodeTooLarge)
	_, err = b.Onboard.Copy(b.Context(), b.Bea, onboard.CopyRequest{Customer: b.customerOf(a.Application), Case: "Chidinma Okafor"})
	b.fails(err, muster.CodeInvalid, "/case required")
	_, err = b.Onboard.Copy(b.Context(), b.Bea, onboard.CopyRequest{Customer: "cus_nobody", Case: "request-1"})
	b.fails(err, muster.CodeNotFound)
}
