package store_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

var n atomic.Int64

// application writes what a new application writes, and reads what it reads.
func application(ctx context.Context, tx *store.Tx, seq int64, blob []byte) error {
	now := tx.Now()
	ref := fmt.Sprintf("bench-%d", seq)
	if _, err := tx.Application(ctx, ref); muster.ErrorCode(err) != muster.CodeNotFound {
		return fmt.Errorf("want not found, got %v", err)
	}
	var questions []muster.HandleCount
	for _, kind := range []string{"card", "phone", "email", "device"} {
		questions = append(questions, muster.HandleCount{
			Kind: kind, Digests: [][]byte{blob[seq%100 : seq%100+18]}, Roles: []muster.SubjectRole{muster.RoleCustomer}, Since: now.AddDate(0, 0, -1),
		})
	}
	if _, err := tx.CountHandles(ctx, questions...); err != nil {
		return err
	}
	cus, app, acc := muster.NewID(muster.PrefixCustomer, now), muster.NewID(muster.PrefixApplication, now), muster.NewID(muster.PrefixAccount, now)
	sub, dec := muster.NewID(muster.PrefixSubject, now), muster.NewID(muster.PrefixDecision, now)
	var rows []muster.IndexRow
	for _, kind := range []string{"card", "phone", "email", "device", "ip"} {
		d := make([]byte, 34)
		rand.Read(d)
		rows = append(rows, muster.IndexRow{Kind: kind, Digest: d[:18], Handle: d[18:], Role: muster.RoleCustomer, Made: now})
	}
	if err := tx.AddIndex(ctx, rows...); err != nil {
		return err
	}
	if err := tx.AddDecision(ctx, &muster.DecisionRecord{
		ID: dec, About: muster.Ref{Kind: "application", ID: app}, Application: app, Customer: cus,
		At: now, Outcome: "verify", Body: blob[:2000], Facts: blob[:1500], Salt: blob[:60],
	}); err != nil {
		return err
	}
	if err := tx.Append(ctx, blob[:80], dec); err != nil {
		return err
	}
	if err := tx.PutCustomer(ctx, &muster.CustomerRecord{ID: cus, Kind: muster.Individual, Made: now}); err != nil {
		return err
	}
	if err := tx.PutSubjects(ctx, &muster.SubjectRecord{ID: sub, Customer: cus, Role: muster.RoleCustomer, Pointer: "/customer", Key: sub, Revision: 1}); err != nil {
		return err
	}
	if err := tx.AddClaims(ctx, &muster.ClaimsRecord{Subject: sub, Revision: 1, At: now, By: "opr_x", Sealed: blob[:900]}); err != nil {
		return err
	}
	if err := tx.PutAccount(ctx, &muster.AccountRecord{ID: acc, Reference: ref, Customer: cus, State: muster.AccPending, Decision: dec}); err != nil {
		return err
	}
	return tx.PutApplication(ctx, &muster.ApplicationRecord{
		ID: app, Reference: ref, MAC: blob[:32], Customer: cus, Account: acc,
		State: muster.AppNeeds, Revision: 1, Received: now, Updated: now, Decision: dec,
	})
}

func benchmark(b *testing.B, db *store.DB) {
	blob := make([]byte, 4096)
	rand.Read(blob)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			seq := n.Add(1)
			if err := db.InTx(b.Context(), func(tx *store.Tx) error { return application(b.Context(), tx, seq, blob) }); err != nil {
				b.Error(err)
			}
		}
	})
	s := db.Stats()
	b.ReportMetric(float64(s.Transactions)/float64(s.Groups), "tx/group")
	b.ReportMetric(float64(s.Ran.Microseconds())/float64(s.Transactions), "µs-run/tx")
	b.ReportMetric(float64(s.Synced.Microseconds())/float64(s.Transactions), "µs-sync/tx")
	sizes, err := db.TableSizes(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var total int64
	for _, v := range sizes {
		total += v
	}
	b.ReportMetric(float64(total)/float64(s.Transactions), "B/tx")
}

func BenchmarkApplicationSQLite(b *testing.B) { benchmark(b, openSQLite(b)) }

func BenchmarkApplicationPostgres(b *testing.B) { benchmark(b, openPostgres(b)) }
