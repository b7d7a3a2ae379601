package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// Every database is held against the same behaviour.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, muster.Clock) *store.DB{"sqlite": openSQLiteAt, "postgres": openPostgresAt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range conformance {
				t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
					t.Parallel()
					now := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
					c.run(&bundle{T: t, db: open(t, now.read), clock: now})
				})
			}
		})
	}
}

var conformance = []struct {
	name string
	run  func(*bundle)
}{
	{"records come back as they went in", recordsComeBack},
	{"what is not there is not found", notFound},
	{"an older version is stale and changes nothing", staleVersions},
	{"an older version undoes what was written beside it", staleUndoes},
	{"of 64 posts of one reference one is taken", uniqueReferences},
	{"references lead to what they name", references},
	{"a transaction that fails undoes itself alone", isolation},
	{"a failed write ends its transaction", poisoned},
	{"a panic comes out where it belongs", panics},
	{"a request that ended is not begun", endedRequest},
	{"a view is a snapshot and does not write", views},
	{"leaves are dense and in the order of commits", leaves},
	{"an audit sees what is missing", audit},
	{"the head moves from its own value only", heads},
	{"a tile never changes and a full one stands for its parts", tiles},
	{"handles are counted once and by role and time", handles},
	{"a key of evidence goes once", evidenceKeys},
	{"attempts end", attempts},
	{"jobs go to one holder and come back after the lease", jobs},
	{"two holders never have the same job", jobRace},
	{"dead jobs rest until they are replayed", deadJobs},
	{"a lease has one holder and a rising fence", leases},
	{"what a process had that is gone is others' at once", presences},
	{"lists are complete under inserts", pages},
	{"a batch of gate records counts once", gateBatches},
	{"of a pack the latest approved edition is active", active},
	{"tokens lead to operators", tokens},
	{"webhooks and deliveries", webhooks},
	{"an answer is kept once and expires", idempotency},
	{"a deployment is made once", deployment},
	{"counts and sizes", counts},
	{"time does not go back", steadyTime},
	{"the gate's rows are numbered in the order of commits", gateRows},
	{"who follows the gate misses nothing", gateOrder},
	{"an epoch is past every epoch that was", gateEpoch},
	{"a profile goes when nobody has it", gateSweep},
	{"a hold keeps a decision as it says", heldDecisions},
	{"an edition goes when nothing refers to it", editions},
	{"what is gone of files is noted of all or none", notedGone},
	{"what the gate answered goes by its age", gateAges},
}

// bundle is what one case has.
type bundle struct {
	*testing.T
	db    *store.DB
	clock *clock
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (b *bundle) tx(fn func(*store.Tx) error) {
	b.Helper()
	if err := b.db.InTx(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) fails(code muster.Code, fn func(*store.Tx) error) {
	b.Helper()
	if err := b.db.InTx(b.Context(), fn); muster.ErrorCode(err) != code {
		b.Fatalf("the error is %v, want code %s", err, code)
	}
}

func (b *bundle) view(fn func(*store.Tx) error) {
	b.Helper()
	if err := b.db.View(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}

// same reads want back in a view.
func same[T any](b *bundle, want T, get func(context.Context, *store.Tx) (T, error)) {
	b.Helper()
	b.view(func(tx *store.Tx) error {
		b.Helper()
		got, err := get(b.Context(), tx)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			b.Error(diff)
		}
		return err
	})
}

func recordsComeBack(b *bundle) {
	ctx, now := b.Context(), b.clock.at.Add(123456*time.Microsecond)
	app := &muster.ApplicationRecord{
		ID: "app_1", Reference: "Ref.1", MAC: []byte{1}, Customer: "cus_1", Account: "acc_1", State: muster.AppNeeds,
		Revision: 2, Received: now, Updated: now.Add(time.Hour), Decision: "dec_1", Shadow: true,
	}
	cus := &muster.CustomerRecord{ID: "cus_1", Kind: muster.Entity, Made: now}
	acc := &muster.AccountRecord{
		ID: "acc_1", Reference: "A-1", Customer: "cus_1", Parent: "acc_0", Relation: muster.RelationSubLessee,
		State: muster.AccLimited, InterimSince: now, Opened: now, Decision: "dec_1",
	}
	subjects := []*muster.SubjectRecord{
		{ID: "sub_1", Customer: "cus_1", Role: muster.RoleCustomer, Pointer: "/customer", Key: "key_1", Revision: 1, Changed: map[string]int{"email": 2}},
		{ID: "sub_2", Customer: "cus_1", Role: muster.RoleOwner, Key: "key_2", Revision: 1, Erased: now},
	}
	claims := []*muster.ClaimsRecord{{Subject: "sub_1", Revision: 1, At: now, By: "opr_1", Sealed: []byte("a")}, {Subject: "sub_1", Revision: 2, At: now, Sealed: []byte("b")}}
	evidence := []*muster.EvidenceRecord{
		{Evidence: muster.Evidence{
			ID: "evd_2", Subject: "sub_1", Method: "document.manual", Kind: muster.Documentary, Revision: 1,
			Attributes: map[string]muster.Finding{"name": muster.Supports}, Shows: map[string][]muster.Country{"nationality": {"NG"}},
			Assurance: muster.AssuranceHigh, At: now, Expires: now.Add(time.Hour), Producer: "opr_1",
		}, Application: "app_1", Sealed: []byte("seen"), Key: "key_3"},
		{Evidence: muster.Evidence{
			ID: "evd_1", Subject: "sub_2", Method: "resolution", Kind: muster.Resolution, Rules: []string{"p/r"},
			At: now.Add(time.Second), Producer: "opr_2",
		}, Application: "app_1"},
	}
	challenge := &muster.ChallengeRecord{
		ID: "chl_1", Application: "app_1", Subject: "sub_1", Method: "contact.email", Revision: 1, MAC: []byte{2},
		Target: []byte{3}, Made: now, Expires: now.Add(time.Hour), Left: 5,
	}
	decision := &muster.DecisionRecord{
		ID: "dec_1", About: muster.Ref{Kind: "application", ID: "app_1"}, Application: "app_1", Customer: "cus_1",
		At: now, Outcome: muster.OutcomeVerify, Observed: true, Body: []byte("{}"), Facts: []byte("f"), Salt: []byte("s"),
	}
	review := &muster.ReviewRecord{
		ID: "rev_1", Application: "app_1", Customer: "cus_1", Decision: "dec_1", Rules: []string{"p/r"},
		State: muster.ReviewProposed, Opened: now, Proposal: []byte("{}"), Proposer: "opr_1",
	}
	entry := &muster.EntryRecord{ID: "ent_1", Type: "reveal", At: now, Operator: "opr_1", About: muster.Ref{Kind: "application", ID: "app_1"}, Body: []byte("{}"), Salt: []byte("s")}
	b.tx(func(tx *store.Tx) error {
		return errors.Join(tx.PutApplication(ctx, app), tx.PutCustomer(ctx, cus), tx.PutAccount(ctx, acc), tx.PutSubjects(ctx, subjects...),
			tx.AddClaims(ctx, claims...), tx.AddEvidence(ctx, evidence[0]), tx.AddEvidence(ctx, evidence[1]), tx.AddChallenge(ctx, challenge),
			tx.AddDecision(ctx, decision), tx.PutReview(ctx, review), tx.AddEntry(ctx, entry),
			tx.Append(ctx, []byte("leaf of ent_1"), "ent_1"), tx.Append(ctx, []byte("leaf of dec_1"), "dec_1"))
	})
	if app.Version != 1 || cus.Version != 1 || acc.Version != 1 || review.Version != 1 {
		b.Error("a version was not raised")
	}
	decision.Leaf = 1
	for _, name := range []string{"app_1", "Ref.1"} {
		same(b, app, func(ctx context.Context, tx *store.Tx) (*muster.ApplicationRecord, error) {
			return tx.Application(ctx, name)
		})
	}
	for _, name := range []string{"acc_1", "A-1"} {
		same(b, acc, func(ctx context.Context, tx *store.Tx) (*muster.AccountRecord, error) { return tx.Account(ctx, name) })
	}
	same(b, cus, func(ctx context.Context, tx *store.Tx) (*muster.CustomerRecord, error) {
		return tx.Customer(ctx, "cus_1")
	})
	same(b, []*muster.ApplicationRecord{app}, func(ctx context.Context, tx *store.Tx) ([]*muster.ApplicationRecord, error) {
		return tx.ApplicationsOf(ctx, "cus_1")
	})
	same(b, []*muster.AccountRecord{acc}, func(ctx context.Context, tx *store.Tx) ([]*muster.AccountRecord, error) {
		return tx.AccountsOf(ctx, "cus_1")
	})
	same(b, []*muster.AccountRecord{acc}, func(ctx context.Context, tx *store.Tx) ([]*muster.AccountRecord, error) {
		return tx.AccountsUnder(ctx, "acc_0", muster.Page{Limit: 9})
	})
	same(b, subjects, func(ctx context.Context, tx *store.Tx) ([]*muster.SubjectRecord, error) {
		return tx.Subjects(ctx, "cus_1")
	})
	for revision, want := range map[int]*muster.ClaimsRecord{0: claims[1], 1: claims[0], 2: claims[1]} {
		same(b, want, func(ctx context.Context, tx *store.Tx) (*muster.ClaimsRecord, error) {
			return tx.Claims(ctx, "sub_1", revision)
		})
	}
	same(b, claims, func(ctx context.Context, tx *store.Tx) ([]*muster.ClaimsRecord, error) {
		return tx.ClaimsOf(ctx, "sub_1")
	})
	same(b, evidence, func(ctx context.Context, tx *store.Tx) ([]*muster.EvidenceRecord, error) {
		return tx.EvidenceOf(ctx, "cus_1")
	})
	same(b, challenge, func(ctx context.Context, tx *store.Tx) (*muster.ChallengeRecord, error) {
		return tx.Challenge(ctx, "chl_1")
	})
	same(b, decision, func(ctx context.Context, tx *store.Tx) (*muster.DecisionRecord, error) {
		return tx.Decision(ctx, "dec_1")
	})
	same(b, review, func(ctx context.Context, tx *store.Tx) (*muster.ReviewRecord, error) {
		return tx.OpenReview(ctx, "app_1")
	})
	same(b, review, func(ctx context.Context, tx *store.Tx) (*muster.ReviewRecord, error) { return tx.Review(ctx, "rev_1") })
	same(b, entry, func(ctx context.Context, tx *store.Tx) (*muster.EntryRecord, error) { return tx.Entry(ctx, "ent_1") })
	same(b, []*muster.EntryRecord{entry}, func(ctx context.Context, tx *store.Tx) ([]*muster.EntryRecord, error) {
		return tx.Entries(ctx, muster.Page{Limit: 9})
	})
	same(b, 1, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.LeafOf(ctx, "dec_1") })

	subjects[1].Pointer, acc.State, app.State, cus.Kind, review.State = "/owners/0", muster.AccActive, muster.AppApproved, muster.Individual, muster.ReviewResolved
	b.tx(func(tx *store.Tx) error {
		return errors.Join(tx.PutSubjects(ctx, subjects[1]), tx.PutAccount(ctx, acc), tx.PutApplication(ctx, app), tx.PutCustomer(ctx, cus),
			tx.PutReview(ctx, review), tx.FinishChallenge(ctx, "chl_1"))
	})
	challenge.Done = true
	same(b, subjects, func(ctx context.Context, tx *store.Tx) ([]*muster.SubjectRecord, error) {
		return tx.Subjects(ctx, "cus_1")
	})
	same(b, acc, func(ctx context.Context, tx *store.Tx) (*muster.AccountRecord, error) {
		return tx.Account(ctx, "acc_1")
	})
	same(b, app, func(ctx context.Context, tx *store.Tx) (*muster.ApplicationRecord, error) {
		return tx.Application(ctx, "app_1")
	})
	same(b, cus, func(ctx context.Context, tx *store.Tx) (*muster.CustomerRecord, error) {
		return tx.Customer(ctx, "cus_1")
	})
	same(b, challenge, func(ctx context.Context, tx *store.Tx) (*muster.ChallengeRecord, error) {
		return tx.Challenge(ctx, "chl_1")
	})
	b.view(func(tx *store.Tx) error {
		if _, err := tx.OpenReview(ctx, "app_1"); muster.ErrorCode(err) != muster.CodeNotFound {
			b.Error("a resolved review is open:", err)
		}
		return nil
	})
}

func notFound(b *bundle) {
	ctx := b.Context()
	for name, get := range map[string]func(*store.Tx) error{
		"application": func(tx *store.Tx) error { _, err := tx.Application(ctx, "app_x"); return err },
		"customer":    func(tx *store.Tx) error { _, err := tx.Customer(ctx, "x"); return err },
		"account":     func(tx *store.Tx) error { _, err := tx.Account(ctx, "x"); return err },
		"claims":      func(tx *store.Tx) error { _, err := tx.Claims(ctx, "x", 0); return err },
		"challenge":   func(tx *store.Tx) error { _, err := tx.Challenge(ctx, "x"); return err },
		"spend":       func(tx *store.Tx) error { _, err := tx.SpendAttempt(ctx, "x"); return err },
		"code":        func(tx *store.Tx) error { return tx.SetCode(ctx, "x", []byte{1}) },
		"decision":    func(tx *store.Tx) error { _, err := tx.Decision(ctx, "x"); return err },
		"review":      func(tx *store.Tx) error { _, err := tx.Review(ctx, "x"); return err },
		"entry":       func(tx *store.Tx) error { _, err := tx.Entry(ctx, "x"); return err },
		"leaf":        func(tx *store.Tx) error { _, err := tx.LeafOf(ctx, ""); return err },
		"checkpoint":  func(tx *store.Tx) error { _, err := tx.Checkpoint(ctx, 0); return err },
		"token":       func(tx *store.Tx) error { _, _, err := tx.TokenByMAC(ctx, []byte{0}); return err },
		"pack":        func(tx *store.Tx) error { _, err := tx.Pack(ctx, "x"); return err },
		"activation":  func(tx *store.Tx) error { _, err := tx.Activation(ctx, "x"); return err },
		"webhook":     func(tx *store.Tx) error { _, err := tx.Webhook(ctx, "x"); return err },
		"job":         func(tx *store.Tx) error { _, err := tx.JobByID(ctx, "x"); return err },
		"replay":      func(tx *store.Tx) error { return tx.Replay(ctx, "x") },
	} {
		if err := b.db.InTx(ctx, get); muster.ErrorCode(err) != muster.CodeNotFound {
			b.Errorf("%s: %v", name, err)
		}
	}
}

func staleVersions(b *bundle) {
	ctx := b.Context()
	r := &muster.CustomerRecord{ID: "cus_1", Kind: muster.Individual}
	b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, r) })
	old := *r
	b.tx(func(tx *store.Tx) error { r.Kind = muster.Entity; return tx.PutCustomer(ctx, r) })
	b.fails(muster.CodeStale, func(tx *store.Tx) error { return tx.PutCustomer(ctx, &old) })
	if old.Version != 1 || r.Version != 2 {
		b.Error("versions are", old.Version, r.Version)
	}
	b.fails(muster.CodeConflict, func(tx *store.Tx) error { return tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1"}) })
	same(b, r, func(ctx context.Context, tx *store.Tx) (*muster.CustomerRecord, error) {
		return tx.Customer(ctx, "cus_1")
	})
}

// staleUndoes: that a row was overtaken shows with the commit at the earliest, where
// nothing was read after it. Nothing of the transaction is kept, nor of its leaves.
func staleUndoes(b *bundle) {
	ctx := b.Context()
	r := &muster.CustomerRecord{ID: "cus_1", Kind: muster.Individual}
	b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, r) })
	old := *r
	b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, r) })
	for name, fn := range map[string]func(tx *store.Tx, beside *muster.CustomerRecord) error{
		"before": func(tx *store.Tx, beside *muster.CustomerRecord) error {
			stale := old
			return errors.Join(tx.PutCustomer(ctx, &stale), tx.PutCustomer(ctx, beside), tx.Append(ctx, []byte("leaf"), ""))
		},
		"after": func(tx *store.Tx, beside *muster.CustomerRecord) error {
			stale := old
			return errors.Join(tx.PutCustomer(ctx, beside), tx.Append(ctx, []byte("leaf"), ""), tx.PutCustomer(ctx, &stale))
		},
	} {
		id := "cus_" + name
		b.fails(muster.CodeStale, func(tx *store.Tx) error {
			return fn(tx, &muster.CustomerRecord{ID: id, Kind: muster.Individual})
		})
		b.fails(muster.CodeNotFound, func(tx *store.Tx) error { _, err := tx.Customer(ctx, id); return err })
	}
	if n, err := b.db.Log().Size(ctx); err != nil || n != 0 {
		b.Errorf("%d leaves were kept, %v", n, err)
	}
}

// post writes what an application does where its reference is new, as package onboard does.
func post(ctx context.Context, db *store.DB, reference string) (id string, taken bool, err error) {
	err = db.InTx(ctx, func(tx *store.Tx) error {
		taken = false
		old, err := tx.Application(ctx, reference)
		if err == nil {
			id = old.ID
			return nil
		}
		if muster.ErrorCode(err) != muster.CodeNotFound {
			return err
		}
		id, taken = muster.NewID(muster.PrefixApplication, tx.Now()), true
		dec := muster.NewID(muster.PrefixDecision, tx.Now())
		return errors.Join(
			tx.AddDecision(ctx, &muster.DecisionRecord{ID: dec, Application: id, Customer: "cus", At: tx.Now()}),
			tx.Append(ctx, []byte(reference), dec),
			tx.PutApplication(ctx, &muster.ApplicationRecord{ID: id, Reference: reference, Decision: dec, State: muster.AppNeeds}))
	})
	return id, taken, err
}

func uniqueReferences(b *bundle) { raceReferences(b, b.db) }

// references asks for one, for many, for some twice, and for some that name nothing.
func references(b *bundle) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error {
		for _, app := range []string{"a", "both"} {
			if err := tx.PutApplication(ctx, &muster.ApplicationRecord{ID: "app_" + app, Reference: app, MAC: []byte(app), Customer: "cus_1", State: muster.AppNeeds}); err != nil {
				return err
			}
		}
		for i := range 300 {
			if err := tx.PutAccount(ctx, &muster.AccountRecord{ID: fmt.Sprintf("acc_%d", i), Reference: fmt.Sprintf("b%d", i), Customer: "cus_1", State: muster.AccActive}); err != nil {
				return err
			}
		}
		return tx.PutAccount(ctx, &muster.AccountRecord{ID: "acc_both", Reference: "both", Customer: "cus_1", State: muster.AccActive})
	})
	names := []string{"nothing", "a", "both", "b7", "both"}
	want := map[string]*muster.ReferenceUse{
		"a": {Reference: "a", MAC: []byte("a")}, "both": {Reference: "both", MAC: []byte("both"), Account: "acc_both"}, "b7": {Reference: "b7", Account: "acc_7"},
	}
	ids := map[string]string{"both": "acc_both", "b7": "acc_7"}
	ask := func() {
		b.Helper()
		same(b, want, func(ctx context.Context, tx *store.Tx) (map[string]*muster.ReferenceUse, error) {
			return tx.References(ctx, names)
		})
		same(b, ids, func(ctx context.Context, _ *store.Tx) (map[string]string, error) {
			return b.db.LedgerAccounts().AccountIDs(ctx, names)
		})
	}
	ask()
	for i := range 300 {
		name := fmt.Sprintf("b%d", i)
		names = append(names, name, "no"+name)
		want[name], ids[name] = &muster.ReferenceUse{Reference: name, Account: fmt.Sprintf("acc_%d", i)}, fmt.Sprintf("acc_%d", i)
	}
	ask()
	names = nil
	clear(want)
	clear(ids)
	ask()
	names, want["a"] = []string{"a"}, &muster.ReferenceUse{Reference: "a", MAC: []byte("a")}
	ask()
}

// raceReferences posts each of a few references from 64 places at once.
func raceReferences(b *bundle, dbs ...*store.DB) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids, taken := map[string]string{}, map[string]int{}
	for i := range 64 {
		wg.Go(func() {
			for j := range 6 {
				ref := fmt.Sprintf("ref-%d", (i+j)%6)
				id, new, err := post(b.Context(), dbs[i%len(dbs)], ref)
				mu.Lock()
				if err != nil {
					b.Error(err)
				}
				if ids[ref] == "" {
					ids[ref] = id
				}
				if ids[ref] != id {
					b.Errorf("%s has two ids", ref)
				}
				if new {
					taken[ref]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for ref, n := range taken {
		if n != 1 {
			b.Errorf("%s was taken %d times", ref, n)
		}
	}
	same(b, 6, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.LogSize(ctx) })
	same(b, nil, func(ctx context.Context, tx *store.Tx) ([]string, error) { return tx.Leafless(ctx, 10) })
}

func isolation(b *bundle) {
	ctx := b.Context()
	own := errors.New("of the caller's own")
	b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_taken"}) })
	var wg sync.WaitGroup
	for i := range 120 {
		wg.Go(func() {
			r := &muster.CustomerRecord{ID: fmt.Sprintf("cus_%d", i)}
			err := b.db.InTx(ctx, func(tx *store.Tx) error {
				if err := errors.Join(tx.PutCustomer(ctx, r), tx.Append(ctx, []byte(r.ID), r.ID)); err != nil {
					return err
				}
				switch i % 4 {
				case 0: // fails after what it wrote was sent
					if _, err := tx.Customer(ctx, r.ID); err != nil {
						return err
					}
					return own
				case 1: // fails in the database
					return tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_taken"})
				case 2: // fails while its writes wait
					return own
				}
				return nil
			})
			switch {
			case i%4 == 3 && (err != nil || r.Version != 1):
				b.Errorf("%d: %v, version %d", i, err, r.Version)
			case i%4 == 1 && (muster.ErrorCode(err) != muster.CodeConflict || r.Version != 0):
				b.Errorf("%d: %v, version %d", i, err, r.Version)
			case i%2 == 0 && (!errors.Is(err, own) || r.Version != 0):
				b.Errorf("%d: %v, version %d", i, err, r.Version)
			}
		})
	}
	wg.Wait()
	b.view(func(tx *store.Tx) error {
		all, err := tx.Customers(ctx, muster.Page{Limit: 1000})
		for _, r := range all {
			var i int
			if n, _ := fmt.Sscanf(r.ID, "cus_%d", &i); n == 1 && i%4 != 3 {
				b.Errorf("%s is there though its transaction failed", r.ID)
			}
		}
		if len(all) != 31 {
			b.Errorf("%d customers", len(all))
		}
		return err
	})
	same(b, 30, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.LogSize(ctx) })
}

func poisoned(b *bundle) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1"}) })
	b.fails(muster.CodeConflict, func(tx *store.Tx) error {
		_ = tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1"})
		_ = tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_2"})
		return nil
	})
	b.view(func(tx *store.Tx) error {
		if _, err := tx.Customer(ctx, "cus_2"); muster.ErrorCode(err) != muster.CodeNotFound {
			b.Error("a write after the failure was kept:", err)
		}
		return nil
	})
	var kept *store.Tx
	b.tx(func(tx *store.Tx) error { kept = tx; return nil })
	if _, err := kept.Customer(ctx, "cus_1"); muster.ErrorCode(err) != muster.CodeInternal {
		b.Error("a transaction was of use after its end:", err)
	}
}

func panics(b *bundle) {
	ctx := b.Context()
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				b.Error("recovered", p)
			}
		}()
		_ = b.db.InTx(ctx, func(tx *store.Tx) error {
			_ = tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1"})
			panic("mine")
		})
	}()
	b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1"}) })
}

func endedRequest(b *bundle) {
	ctx, cancel := context.WithCancel(b.Context())
	err := b.db.InTx(ctx, func(tx *store.Tx) error {
		cancel()
		return tx.PutCustomer(ctx, &muster.CustomerRecord{ID: "cus_1"})
	})
	if muster.ErrorCode(err) != muster.CodeUnavailable || !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
	if err := b.db.InTx(ctx, func(*store.Tx) error { b.Error("it was run"); return nil }); muster.ErrorCode(err) != muster.CodeUnavailable {
		b.Error(err)
	}
	same(b, nil, func(ctx context.Context, tx *store.Tx) ([]*muster.CustomerRecord, error) {
		return tx.Customers(ctx, muster.Page{Limit: 9})
	})
}

func views(b *bundle) {
	ctx := b.Context()
	r := &muster.CustomerRecord{ID: "cus_1"}
	b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, r) })
	b.view(func(tx *store.Tx) error {
		before, err := tx.Customer(ctx, "cus_1")
		if err != nil {
			return err
		}
		b.tx(func(tx *store.Tx) error { return tx.PutCustomer(ctx, r) })
		after, err := tx.Customer(ctx, "cus_1")
		if err != nil {
			return err
		}
		if before.Version != after.Version {
			b.Error("the snapshot moved")
		}
		for _, err := range []error{
			tx.PutCustomer(ctx, r), tx.Append(ctx, nil, ""), tx.Enqueue(ctx, &muster.Job{ID: "x"}),
			func() error { _, err := tx.Acquire(ctx, "x", "x", time.Second); return err }(),
		} {
			if muster.ErrorCode(err) != muster.CodeInternal {
				b.Error("a view wrote:", err)
			}
		}
		return nil
	})
}

func leaves(b *bundle) { raceLeaves(b, b.db) }

// raceLeaves appends from many places and watches the log grow: whatever a reader
// sees is dense, and what it saw once stays.
func raceLeaves(b *bundle, dbs ...*store.DB) {
	const writers, each = 16, 20
	ctx := b.Context()
	stop := make(chan struct{})
	var watch, wg sync.WaitGroup
	watch.Go(func() {
		var seen [][]byte
		for {
			var got [][]byte
			b.view(func(tx *store.Tx) (err error) {
				size, err := tx.LogSize(ctx)
				if err != nil {
					return err
				}
				if got, err = tx.Leaves(ctx, 0, size+1000); err == nil && int64(len(got)) != size {
					b.Errorf("%d leaves, the size is %d", len(got), size)
				}
				return err
			})
			if len(got) < len(seen) || !slices.EqualFunc(seen, got[:len(seen)], slices.Equal) {
				b.Error("the log changed behind a reader")
			}
			seen = got
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := dbs[w%len(dbs)].InTx(ctx, func(tx *store.Tx) error {
					for k := range 1 + i%3 {
						if err := tx.Append(ctx, fmt.Appendf(nil, "%d/%d/%d", w, i, k), fmt.Sprintf("ref-%d-%d-%d", w, i, k)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	watch.Wait()
	b.view(func(tx *store.Tx) error {
		all, err := tx.Leaves(ctx, 0, 1<<40)
		last := map[int]int{}
		for n, leaf := range all {
			var w, i, k int
			fmt.Sscanf(string(leaf), "%d/%d/%d", &w, &i, &k)
			if at := i*10 + k + 1; at <= last[w] {
				b.Errorf("leaf %d of writer %d is out of order", n, w)
			} else {
				last[w] = at
			}
			if k > 0 && string(all[n-1]) != fmt.Sprintf("%d/%d/%d", w, i, k-1) {
				b.Error("the leaves of one transaction are not side by side")
			}
			if got, err := tx.LeafOf(ctx, fmt.Sprintf("ref-%d-%d-%d", w, i, k)); err != nil || got != int64(n) {
				b.Error(got, err)
			}
		}
		if want := writers * (7*1 + 7*2 + 6*3); len(all) != want {
			b.Errorf("%d leaves, want %d", len(all), want)
		}
		some, err2 := tx.Leaves(ctx, 5, 8)
		if !slices.EqualFunc(some, all[5:8], slices.Equal) {
			b.Error("a part of the log is not that part")
		}
		return errors.Join(err, err2)
	})
}

func audit(b *bundle) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error {
		return errors.Join(
			tx.AddDecision(ctx, &muster.DecisionRecord{ID: "dec_1"}), tx.Append(ctx, []byte("1"), "dec_1"),
			tx.AddEntry(ctx, &muster.EntryRecord{ID: "ent_1", Type: "reveal"}), tx.Append(ctx, []byte("2"), "ent_1"),
			tx.Append(ctx, []byte("3"), "dec_lost"), tx.Append(ctx, []byte("4"), ""), tx.Append(ctx, []byte("5"), ""),
			tx.AddDecision(ctx, &muster.DecisionRecord{ID: "dec_bare"}), tx.AddEntry(ctx, &muster.EntryRecord{ID: "ent_bare"}))
	})
	same(b, []store.AuditRow{
		{Index: 0, Leaf: []byte("1"), Ref: "dec_1", Decision: &muster.DecisionRecord{ID: "dec_1"}},
		{Index: 1, Leaf: []byte("2"), Ref: "ent_1", Entry: &muster.EntryRecord{ID: "ent_1", Type: "reveal", Leaf: 1}},
		{Index: 2, Leaf: []byte("3"), Ref: "dec_lost"},
		{Index: 3, Leaf: []byte("4")},
	}, func(ctx context.Context, tx *store.Tx) ([]store.AuditRow, error) { return tx.AuditRows(ctx, 0, 4) })
	same(b, []string{"dec_bare", "ent_bare"}, func(ctx context.Context, tx *store.Tx) ([]string, error) { return tx.Leafless(ctx, 10) })
	b.fails(muster.CodeConflict, func(tx *store.Tx) error { return tx.Append(ctx, []byte("again"), "dec_1") })
	same(b, 5, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.LogSize(ctx) })
}

func heads(b *bundle) {
	ctx, log := b.Context(), b.db.Log()
	if head, err := log.Head(ctx); head != nil || err != nil {
		b.Fatal(head, err)
	}
	for _, step := range []struct {
		old, next string
		code      muster.Code
	}{{"x", "a", muster.CodeConflict}, {"", "a", ""}, {"", "b", muster.CodeConflict}, {"a", "b", ""}, {"a", "c", muster.CodeConflict}} {
		if err := log.SetHead(ctx, []byte(step.old), []byte(step.next)); muster.ErrorCode(err) != step.code {
			b.Errorf("%q to %q: %v", step.old, step.next, err)
		}
	}
	if head, err := log.Head(ctx); string(head) != "b" || err != nil {
		b.Error(head, err)
	}
	one, two := muster.CheckpointRecord{Size: 1, Signed: []byte("1"), Made: b.clock.at}, muster.CheckpointRecord{Size: 20, Signed: []byte("2"), Made: b.clock.at}
	b.tx(func(tx *store.Tx) error { return errors.Join(tx.PutCheckpoint(ctx, &one), tx.PutCheckpoint(ctx, &two)) })
	two.Signed = []byte("2, cosigned")
	b.tx(func(tx *store.Tx) error { return tx.PutCheckpoint(ctx, &two) })
	same(b, &two, func(ctx context.Context, tx *store.Tx) (*muster.CheckpointRecord, error) {
		return tx.Checkpoint(ctx, 2)
	})
	same(b, []muster.CheckpointRecord{one, two}, func(ctx context.Context, tx *store.Tx) ([]muster.CheckpointRecord, error) {
		return tx.Checkpoints(ctx, 0, 10)
	})
}

func handles(b *bundle) {
	ctx, now := b.Context(), b.clock.at
	d := []byte("digest")
	row := func(h string, role muster.SubjectRole, age time.Duration) muster.IndexRow {
		return muster.IndexRow{Kind: "card", Digest: d, Handle: []byte(h), Role: role, Made: now.Add(-age)}
	}
	rows := []muster.IndexRow{
		row("a", muster.RoleCustomer, 0), row("b", muster.RoleCustomer, 48*time.Hour), row("c", muster.RoleOwner, 0), row("a", muster.RoleCustomer, 0),
		{Kind: "phone", Digest: d, Handle: []byte("z"), Role: muster.RoleCustomer, Made: now},
	}
	b.tx(func(tx *store.Tx) error { return errors.Join(tx.AddIndex(ctx, rows...), tx.AddIndex(ctx, rows[0])) })
	newer := []byte("digest under the newer key")
	b.tx(func(tx *store.Tx) error {
		return tx.AddIndex(ctx, muster.IndexRow{Kind: "card", Digest: newer, Handle: []byte("a"), Role: muster.RoleCustomer, Made: now})
	})
	one, both := [][]byte{d}, [][]byte{d, newer}
	customer := []muster.SubjectRole{muster.RoleCustomer}
	var questions []muster.HandleCount
	var want []int64
	for _, c := range []struct {
		digests [][]byte
		roles   []muster.SubjectRole
		since   time.Time
		want    int64
	}{
		{one, nil, time.Time{}, 3},
		{one, customer, time.Time{}, 2},
		{both, customer, time.Time{}, 2}, // nobody counts twice while a key rotates
		{one, customer, now.Add(-time.Hour), 1},
		{nil, nil, time.Time{}, 0},
		{one, []muster.SubjectRole{muster.RoleCustomer, muster.RoleOwner}, now, 2},
		{one, []muster.SubjectRole{muster.RoleSignatory}, time.Time{}, 0},
	} {
		q := muster.HandleCount{Kind: "card", Digests: c.digests, Roles: c.roles, Since: c.since}
		same(b, []int64{c.want}, func(ctx context.Context, tx *store.Tx) ([]int64, error) { return tx.CountHandles(ctx, q) })
		questions, want = append(questions, q), append(want, c.want)
	}
	same(b, want, func(ctx context.Context, tx *store.Tx) ([]int64, error) { return tx.CountHandles(ctx, questions...) })
	same(b, []int64{}, func(ctx context.Context, tx *store.Tx) ([]int64, error) { return tx.CountHandles(ctx) })
	same(b, [][]byte{[]byte("a"), []byte("b"), []byte("c")}, func(ctx context.Context, tx *store.Tx) ([][]byte, error) { return tx.Handles(ctx, "card", d, 10) })
	b.fails(muster.CodeInternal, func(tx *store.Tx) error { return tx.AddIndex(ctx, muster.IndexRow{Kind: "shoe size"}) })
}

func attempts(b *bundle) {
	ctx := b.Context()
	b.tx(func(tx *store.Tx) error {
		for _, r := range []muster.ChallengeRecord{{ID: "chl_1", Left: 3, Target: []byte("t")}, {ID: "chl_2", Left: 3, Target: []byte("t")}} {
			r.Made, r.Expires = tx.Now(), tx.Now().Add(time.Minute)
			if err := tx.AddChallenge(ctx, &r); err != nil {
				return err
			}
		}
		return nil
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var left []int
	refused := 0
	for range 10 {
		wg.Go(func() {
			n := 0
			err := b.db.InTx(ctx, func(tx *store.Tx) (err error) { n, err = tx.SpendAttempt(ctx, "chl_1"); return err })
			mu.Lock()
			defer mu.Unlock()
			switch muster.ErrorCode(err) {
			case "":
				left = append(left, n)
			case muster.CodeRateLimited:
				refused++
			default:
				b.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(left)
	if !slices.Equal(left, []int{0, 1, 2}) || refused != 7 {
		b.Error(left, refused)
	}
	same(b, 2, func(ctx context.Context, tx *store.Tx) (int, error) {
		return tx.ChallengesTo(ctx, []byte("t"), b.clock.at)
	})
	same(b, 0, func(ctx context.Context, tx *store.Tx) (int, error) {
		return tx.ChallengesTo(ctx, []byte("t"), b.clock.at.Add(time.Second))
	})
	b.tx(func(tx *store.Tx) error { return tx.SetCode(ctx, "chl_2", []byte("new")) })
	b.tx(func(tx *store.Tx) error { return tx.FinishChallenge(ctx, "chl_1") })
	b.fails(muster.CodeConflict, func(tx *store.Tx) error { return tx.FinishChallenge(ctx, "chl_1") })
	b.view(func(tx *store.Tx) error {
		c, err := tx.Challenge(ctx, "chl_2")
		if err == nil && (string(c.MAC) != "new" || c.Done) {
			b.Errorf("%+v", c)
		}
		return err
	})
	b.clock.move(time.Minute)
	b.fails(muster.CodeRateLimited, func(tx *store.Tx) error { _, err := tx.SpendAttempt(ctx, "chl_2"); return err })
	for _, c := range []struct {
		before time.Duration // now
		gone   int64
	}{{time.Hour, 0}, {0, 1}, {0, 1}, {0, 0}} { // expired, and older than that; one at a time
		b.tx(func(tx *store.Tx) error {
			n, err := tx.ExpireChallenges(ctx, tx.Now().Add(-c.before), 1)
			if n != c.gone {
				b.Errorf("%d went, want %d", n, c.gone)
			}
			return err
		})
	}
}

func steadyTime(b *bundle) {
	var first, second time.Time
	b.tx(func(tx *store.Tx) error { first = tx.Now(); return nil })
	b.clock.move(-time.Hour)
	b.tx(func(tx *store.Tx) error { second = tx.Now(); return nil })
	if second.Before(first) {
		b.Errorf("%v, then %v", first, second)
	}
}
