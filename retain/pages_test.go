package retain_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
)

// TestEndedFilesAPageAtATime: pages of every size look at every file once, and read
// the same ones, alike to one by one.
func TestEndedFilesAPageAtATime(t *testing.T) {
	both(t, func(b *bundle) {
		ended := map[string]bool{}
		for i := range 5 {
			x := b.customer(fmt.Sprintf("ref-%d", i), fmt.Sprintf("p%d@example.com.ng", i), fmt.Sprintf("+23480312345%02d", i))
			if i%2 == 1 {
				b.end(x.Reference)
				ended[x.Customer] = true
			}
		}
		x := b.look(b.Apply(stranger("waits-1")).Application) // an account that never began, and may
		for size := 1; size <= 7; size++ {
			var found []muster.FileAge
			total := int64(0)
			for after := ""; ; {
				n := int64(0)
				roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (_ bool, err error) {
					var files []muster.FileAge
					files, n, after, err = tx.EndedFiles(ctx, muster.Page{After: after, Limit: size})
					found = append(found, files...)
					return true, err
				})
				if total += n; n == 0 {
					break
				}
			}
			if total != 6 || len(found) != 3 {
				t.Fatalf("pages of %d: %d files, %d of them read", size, total, len(found))
			}
			for _, f := range found {
				one := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.FileAge, error) { return tx.FileAge(ctx, f.Customer) })
				if fmt.Sprint(*one) != fmt.Sprint(f) {
					t.Errorf("in a page %+v, by itself %+v", f, *one)
				}
				if f.Live == ended[f.Customer] || f.Live != (f.Customer == x.Customer) || f.Closed.IsZero() == ended[f.Customer] {
					t.Errorf("%+v, ended %v", f, ended[f.Customer])
				}
			}
		}
	})
}

// TestProofsAPageAtATime: what waits for a person takes the place of what does not, and
// hides nothing behind it.
func TestProofsAPageAtATime(t *testing.T) {
	both(t, func(b *bundle) {
		var want []string
		for i := range 4 {
			x := b.proven(fmt.Sprintf("us-%d", i), "US", fmt.Sprintf("u%d@example.com", i), fmt.Sprintf("+1202555010%d", i))
			if i%2 == 0 {
				want = append(want, x.Customer)
				continue
			}
			if err := b.DB.InTx(b.Context(), func(tx *store.Tx) error {
				r, err := tx.Application(b.Context(), x.ID)
				if err != nil {
					return err
				}
				r.State = muster.AppReview
				return tx.PutApplication(b.Context(), r)
			}); err != nil {
				t.Fatal(err)
			}
		}
		slices.Sort(want)
		for size := 1; size <= 5; size++ {
			var got []string
			pages := 0
			for after := ""; pages == 0 || after != ""; pages++ {
				roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (_ bool, err error) {
					var found []muster.Proof
					found, after, err = tx.Proofs(ctx, b.Clock.Now().Add(year), muster.Page{After: after, Limit: size})
					for _, x := range found {
						got = append(got, x.Customer)
					}
					return true, err
				})
			}
			if slices.Sort(got); !slices.Equal(got, want) || pages != 4/size+1 {
				t.Errorf("pages of %d: %v of %v in %d pages", size, got, want, pages)
			}
		}
	})
}

// looks is an Accessed that counts.
type looks struct{ begun, asked, ended int }

func (l *looks) Look(context.Context) (retain.Look, error) { l.begun++; return l, nil }
func (l *looks) End(context.Context) error                 { l.ended++; return nil }
func (l *looks) LastAccessed(_ context.Context, customers []string) (map[string]time.Time, error) {
	l.asked += len(customers)
	return nil, nil
}

// TestOneLookIsRecordedOnce: a preview asks about everybody who ended in one look, and
// where nobody did in none.
func TestOneLookIsRecordedOnce(t *testing.T) {
	b := setup(t)
	l := &looks{}
	b.retain.Accessed = l
	preview := func(want looks) {
		t.Helper()
		if _, err := b.retain.Preview(b.Context(), b.Clock.Now()); err != nil {
			t.Fatal(err)
		}
		if *l != want {
			t.Errorf("%+v, want %+v", *l, want)
		}
	}
	b.customer("ref-0", "p0@example.com.ng", "+2348031234500")
	preview(looks{})
	for i := 1; i <= 2; i++ {
		b.customer(fmt.Sprintf("ref-%d", i), fmt.Sprintf("p%d@example.com.ng", i), fmt.Sprintf("+23480312345%02d", i))
		b.end(fmt.Sprintf("ref-%d", i))
	}
	preview(looks{1, 2, 1})
}
