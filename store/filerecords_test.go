package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
)

// counting counts what is asked of a connection.
type counting struct {
	conn
	statements, trips int
}

func (c *counting) query(ctx context.Context, q string, args []any, each func(row) error) error {
	c.statements++
	c.trips++
	return c.conn.query(ctx, q, args, each)
}

func (c *counting) queries(ctx context.Context, asked []asked) error {
	c.statements += len(asked)
	c.trips++
	return c.conn.queries(ctx, asked)
}

// Whole files, in the order in which they are named, are what each kind of row says of
// them one by one; and however many they are, they are asked for in two round trips.
func TestFileRecords(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string]func() Config{
		"sqlite":   func() Config { return Config{Path: t.TempDir() + "/muster.db"} },
		"postgres": func() Config { return Config{DSN: pgtest.Database(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := Open(t.Context(), conf())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			const customers = 300 // more than one list of ids holds
			ids := make([]string, customers)
			if err := db.InTx(t.Context(), func(tx *Tx) error {
				for i := range ids {
					ids[i] = fmt.Sprintf("cus_%03d", i)
					if err := manyKinds(t.Context(), tx, ids[i], i%3); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			named := []string{ids[7], ids[299], ids[0]}
			for i := range ids {
				if i != 7 && i != 299 && i != 0 {
					named = append(named, ids[i])
				}
			}
			if err := db.View(t.Context(), func(tx *Tx) error {
				c := &counting{conn: tx.c}
				tx.c = c
				files, err := tx.FileRecords(t.Context(), named...)
				if err != nil {
					return err
				}
				if c.trips != 2 || c.statements > 40 {
					t.Errorf("%d statements in %d round trips", c.statements, c.trips)
				}
				tx.c = c.conn
				for i, f := range files {
					if i%20 > 2 { // of some, by turns
						continue
					}
					if err := sameFile(t.Context(), tx, named[i], f); err != nil {
						t.Errorf("%s: %v", named[i], err)
					}
				}
				if _, err := tx.FileRecords(t.Context(), ids[0], "cus_nobody"); muster.ErrorCode(err) != muster.CodeNotFound {
					t.Errorf("of somebody who is not there: %v", err)
				}
				none, err := tx.FileRecords(t.Context())
				if len(none) > 0 {
					t.Error("files of nobody")
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// manyKinds writes a file with two accounts, applications and subjects, and n of each kind
// of row that stands under those.
func manyKinds(ctx context.Context, tx *Tx, customer string, n int) error {
	at := tx.Now()
	id := func(kind string, i int) string { return fmt.Sprintf("%s_%s_%d", kind, customer, i) }
	if err := tx.PutCustomer(ctx, &muster.CustomerRecord{ID: customer, Kind: muster.Individual, Made: at}); err != nil {
		return err
	}
	for i := range 2 {
		if err := tx.PutAccount(ctx, &muster.AccountRecord{ID: id("acc", i), Reference: id("ref", i), Customer: customer, State: muster.AccActive}); err != nil {
			return err
		}
		if err := tx.PutApplication(ctx, &muster.ApplicationRecord{ID: id("app", i), Reference: id("ref", i), MAC: []byte{1}, Customer: customer, Account: id("acc", i), State: muster.AppApproved, Revision: 1, Received: at, Updated: at}); err != nil {
			return err
		}
		if err := tx.PutSubjects(ctx, &muster.SubjectRecord{ID: id("sub", i), Customer: customer, Role: muster.RoleCustomer, Key: id("key", i), Revision: 1}); err != nil {
			return err
		}
	}
	for k := range 2 * n { // by turns of the one and of the other
		i := k % 2
		if err := tx.AddClaims(ctx, &muster.ClaimsRecord{Subject: id("sub", i), Revision: 1 + k/2, At: at, Sealed: []byte{byte(k)}}); err != nil {
			return err
		}
		if err := tx.AddEvidence(ctx, &muster.EvidenceRecord{
			Evidence: muster.Evidence{ID: id("evd", 9-k), Subject: id("sub", i), Method: "code", Kind: muster.Resolution, Revision: 1, At: at.Add(time.Duration(k) * time.Second)}, Application: id("app", i),
		}); err != nil {
			return err
		}
		if err := tx.AddDecision(ctx, &muster.DecisionRecord{ID: id("dec", k), Application: id("app", i), Customer: customer, At: at, Body: []byte(`{}`), Facts: []byte{1}, Salt: []byte{2}}); err != nil {
			return err
		}
		if err := tx.PutReview(ctx, &muster.ReviewRecord{ID: id("rev", k), Application: id("app", i), Customer: customer, State: muster.ReviewOpen, Opened: at}); err != nil {
			return err
		}
		if err := tx.PutHit(ctx, &muster.HitRecord{ID: id("hit", k), Customer: customer, Subject: id("sub", i), Listed: []byte{3}, State: muster.HitOpen, Opened: at, Changed: at}); err != nil {
			return err
		}
	}
	for i := range n {
		if err := tx.PutAdopted(ctx, &muster.AdoptedRecord{Account: id("acc", i), Cohort: "spring"}); err != nil {
			return err
		}
		if err := tx.PutMatches(ctx, id("acc", i), muster.MatchRecord{Account: id("acc", i), Determination: "b"}, muster.MatchRecord{Account: id("acc", i), Determination: "a"}); err != nil {
			return err
		}
	}
	return nil
}

// sameFile holds a file against what is read of it one kind and one id at a time.
func sameFile(ctx context.Context, tx *Tx, customer string, f *muster.FileRecord) error {
	same := func(what string, got, want []string) error {
		if !slices.Equal(got, want) {
			return fmt.Errorf("%s: %v, one by one %v", what, got, want)
		}
		return nil
	}
	accounts, err := tx.AccountsOf(ctx, customer)
	if err != nil {
		return err
	}
	applications, err := tx.ApplicationsOf(ctx, customer)
	if err != nil {
		return err
	}
	subjects, err := tx.Subjects(ctx, customer)
	if err != nil {
		return err
	}
	evidence, err := tx.EvidenceOf(ctx, customer)
	if err != nil {
		return err
	}
	decisions, err := tx.DecisionsOf(ctx, customer, "", muster.Page{Limit: 100})
	if err != nil {
		return err
	}
	hits, err := tx.HitsOf(ctx, customer)
	if err != nil {
		return err
	}
	var adopted, matches, reviews, claims, claimed []string
	for _, a := range accounts {
		if x, err := tx.Adopted(ctx, a.ID); err == nil {
			adopted = append(adopted, x.Account)
		}
		rows, err := tx.MatchesOf(ctx, a.ID)
		if err != nil {
			return err
		}
		matches = append(matches, texts(rows, func(x muster.MatchRecord) string { return x.Account + x.Determination })...)
	}
	for _, a := range applications {
		some, err := all(ctx, tx, scanReview, `SELECT `+reviewColumns+` FROM reviews WHERE application = ?`, a.ID)
		if err != nil {
			return err
		}
		reviews = append(reviews, texts(some, func(x *muster.ReviewRecord) string { return x.ID })...)
	}
	slices.Sort(reviews)
	revision := func(x *muster.ClaimsRecord) string { return fmt.Sprint(x.Subject, x.Revision, x.Sealed) }
	for _, p := range subjects {
		some, err := tx.ClaimsOf(ctx, p.ID)
		if err != nil {
			return err
		}
		claims, claimed = append(claims, texts(some, revision)...), append(claimed, texts(f.Claims[p.ID], revision)...)
	}
	unlogged := func(x *muster.DecisionRecord) string {
		return fmt.Sprint(x.ID, x.Application, string(x.Body), x.Facts, x.Salt)
	}
	return cmp.Or(
		same("customer", []string{f.Customer.ID}, []string{customer}),
		same("accounts", texts(f.Accounts, spell), texts(accounts, spell)),
		same("applications", texts(f.Applications, spell), texts(applications, spell)),
		same("subjects", texts(f.Subjects, spell), texts(subjects, spell)),
		same("evidence", texts(f.Evidence, spell), texts(evidence, spell)),
		same("hits", texts(f.Hits, spell), texts(hits, spell)),
		same("decisions", texts(f.Decisions, unlogged), texts(decisions, unlogged)),
		same("adopted", texts(f.Adopted, func(x *muster.AdoptedRecord) string { return x.Account }), adopted),
		same("matches", texts(f.Matches, func(x muster.MatchRecord) string { return x.Account + x.Determination }), matches),
		same("reviews", texts(f.Reviews, func(x *muster.ReviewRecord) string { return x.ID }), reviews),
		same("claims", claimed, claims),
	)
}

func spell[T any](x *T) string { return fmt.Sprintf("%+v", *x) }

func texts[T any](list []T, text func(T) string) (all []string) {
	for _, x := range list {
		all = append(all, text(x))
	}
	return all
}
