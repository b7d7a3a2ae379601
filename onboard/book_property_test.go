package onboard_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/store"
)

// TestAnyBookIsTakenOnce: whatever the book, however it is cut into calls and in
// whatever order accounts stand above and below, sent until nothing more is taken it
// leaves each customer on file once, and a second time changes nothing.
func TestAnyBookIsTakenOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		name := func(i int) string { return fmt.Sprintf("r%d-%d", run, i) }
		n := rapid.IntRange(1, 12).Draw(t, "customers")
		// Whom each stands below: itself for nobody, one that is not there for n.
		above := rapid.SliceOfN(rapid.IntRange(0, n), n, n).Draw(t, "above")
		order := rapid.Permutation(indexes(n)).Draw(t, "order")
		var lines []string
		for _, i := range order {
			app := roomtest.Person(name(i))
			if above[i] != i {
				app.Parent = &muster.Parent{Account: name(above[i]), Relation: muster.RelationSubLessee}
			}
			lines = append(lines, customerLine(app, rapid.SampledFrom([]string{"", `,"since":"2020-01-01"`, `,"state":"closed","closed":"2024-01-01","ground":"abuse"`}).Draw(t, "more")))
		}
		// Who can be taken: all the way up there is somebody who stands below nobody.
		want := 0
		for i := range above {
			at, steps := i, 0
			for ; at < n && above[at] != at && steps <= n; steps++ {
				at = above[at]
			}
			if at < n && above[at] == at {
				want++
			}
		}
		before := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (int, error) { return tx.CountCustomers(ctx) })
		id := b.openImport(fmt.Sprintf("c%d", run), roomtest.Start.Add(day), 0)
		send := func() (taken int) {
			for from := 0; from < len(lines); {
				k := rapid.IntRange(1, len(lines)-from).Draw(t, "together")
				out, err := b.Onboard.TakeLines(b.Context(), b.Anna, id, from+1, []byte(strings.Join(lines[from:from+k], "\n")))
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range out.Refused {
					if len(r.Faults) != 1 || r.Faults[0].Code != "unknown_account" {
						t.Fatalf("%+v", r)
					}
				}
				taken, from = taken+out.Taken, from+k
			}
			return taken
		}
		total := 0
		for more := -1; more != 0; {
			more = send()
			total += more
		}
		r := b.endImport(id)
		after := roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (int, error) { return tx.CountCustomers(ctx) })
		if total != want || after-before != want || r.Taken != want || r.Refused != n-want || r.Report.Later != n-want || r.Place != n {
			t.Fatalf("%d of %d taken, %d customers more, %+v", total, want, after-before, r)
		}
	})
	b.Clean()
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
