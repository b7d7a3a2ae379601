package retain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
)

// TestARequestIsAnsweredTheSameBesideAHold: a customer's own request is taken, agreed to
// and asked for again by the same words, the same number of writes and the same leaves,
// whatever holds and orders there are; and the copies before it ends are the same.
func TestARequestIsAnsweredTheSameBesideAHold(t *testing.T) {
	both(t, func(b *bundle) {
		ctx := b.Context()
		holds := []*muster.Hold{
			nil,
			{Ground: muster.HoldLitigation},
			{Ground: muster.HoldInvestigation, Class: muster.ClassIdentity, Undisclosed: true},
			{Ground: muster.HoldOrder, Class: muster.ClassLeases, Undisclosed: true, Withheld: true},
		}
		var answers, kinds, copies []string
		var customers []string
		writes := map[int]bool{}
		for i, h := range holds {
			x := b.customer(fmt.Sprintf("ref-%d", i), fmt.Sprintf("c%d@example.com.ng", i), fmt.Sprintf("+23480312345%02d", i+10))
			customers = append(customers, x.Customer)
			b.end(x.Reference)
			if h != nil {
				h.Customer, h.Case, h.Review = x.Customer, "2026/17", b.Clock.Now().Add(9*year)
				if _, err := b.retain.Place(ctx, b.Anna.Operator, *h); err != nil {
					b.Fatal(err)
				}
			}
			before := b.types()
			b.fail(0, 0)
			said := ""
			e, err := b.retain.Ask(ctx, "", x.Customer, muster.GroundRequest)
			for _, by := range []string{b.Anna.Operator, b.Bea.Operator} {
				if err == nil {
					said += b.same(e, x.Customer)
					e, err = b.retain.Agree(ctx, by, e.ID, e.Version)
				}
			}
			if err != nil {
				b.Fatal(err)
			}
			again, err := b.retain.Ask(ctx, "", x.Customer, muster.GroundRequest)
			if err != nil || again.ID != e.ID {
				b.Fatalf("%+v, %v", again, err)
			}
			answers = append(answers, said+b.same(e, x.Customer)+b.same(again, x.Customer))
			after := b.types()
			for kind, n := range before {
				after[kind] -= n
			}
			maps.DeleteFunc(after, func(_ string, n int) bool { return n == 0 })
			kinds = append(kinds, fmt.Sprint(after))
			writes[b.n] = true
			c, err := b.Onboard.Copy(ctx, b.Bea, onboard.CopyRequest{Customer: x.Customer, Case: "request-1"})
			if err != nil {
				b.Fatal(err)
			}
			text, err := json.Marshal([]any{c.Omitted, c.Kept, c.Sources, len(c.Claims), len(c.Evidence), len(c.Decisions), len(c.Accounts)})
			if err != nil {
				b.Fatal(err)
			}
			copies = append(copies, string(text))
		}
		for what, all := range map[string][]string{"answers": answers, "leaves": kinds, "copies": copies} {
			if len(slices.Compact(all)) != 1 {
				b.Errorf("%s differ: %v", what, all)
			}
		}
		if len(writes) != 1 {
			b.Errorf("transactions: %v", writes)
		}
		b.Clock.Move(2 * delay)
		b.run()
		for i, customer := range customers { // the order on leases keeps the keys that they lie under
			if left := b.left(customer); (left.keys == 0) != (holds[i] == nil) {
				b.Errorf("hold %d: %+v", i, left)
			}
		}
		b.Clean()
	})
}

// same is an erasure without what names it, or its time.
func (b *bundle) same(e *muster.Erasure, customer string) string {
	b.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		b.Fatal(err)
	}
	return strings.NewReplacer(e.ID, "ID", customer, "CUSTOMER").Replace(string(text))
}

// types counts entries by type.
func (b *bundle) types() map[string]int {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (map[string]int, error) {
		types := map[string]int{}
		all, err := tx.Entries(ctx, muster.Page{Limit: 1000})
		for _, e := range all {
			types[e.Type]++
		}
		return types, err
	})
}
