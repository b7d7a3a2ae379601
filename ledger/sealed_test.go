package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

// sealBundle is a whole ledger: hot end, sealer, questions.
type sealBundle struct {
	*hotBundle
	room   store.LedgerRoom[ledger.Tx]
	sealer *ledger.Sealer
	ask    *ledger.Questions
	ids    map[string]string // reference -> account id
	keys   map[string]string // reference -> key id
	fault  func(what string, after bool) error
	keep   ledger.Retention

	kept  *dated // where volumes lie; nil: all chunks stay in the store
	shelf *ledger.Shelf
	fill  bool
	size  int64 // of volumes
}

var asking = ledger.Ask{Operator: "opr_00000000000000000000000000", Purpose: vault.PurposeAbuse, Case: "case-1"}

func setupSealed(b *hotBundle) *sealBundle { return setupShelved(b, nil) }

func setupShelved(b *hotBundle, o storage) *sealBundle {
	b.Helper()
	x := &sealBundle{hotBundle: b, fill: true, size: 4 << 10, room: store.LedgerAs[ledger.Tx](b.ledger), ids: map[string]string{}, keys: map[string]string{}}
	for _, reference := range []string{"P-1", "P-2", "P-3", "P-4"} {
		x.person(reference)
	}
	if o != nil {
		x.kept = &dated{storage: o, clock: b.clock, made: map[string]time.Time{}}
	}
	x.restart()
	return x
}

// restart is a new process of sealer and questions: the lease of the one before has run out.
func (b *sealBundle) restart() {
	b.Helper()
	b.move(2 * time.Minute)
	var err error
	if b.kept != nil {
		if b.shelf, err = ledger.NewShelf(ledger.ShelfConfig{
			Objects: b.kept, List: b.kept.list, Clock: b.clock, Prefix: "ledger/", Fill: b.fill, Keep: 48 * time.Hour, Size: b.size, Least: 1, Cache: 4 << 10,
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.sealer, err = ledger.NewSealer(ledger.SealerConfig{
		DB: b.room, Vault: b.vault, Recorder: b.conf.Recorder, Directory: b.main.LedgerAccounts(), Clock: b.clock, Slice: 100, Retention: b.keep, Shelf: b.shelf,
		Fault: func(what string, after bool) error {
			if b.fault == nil {
				return nil
			}
			return b.fault(what, after)
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ask, err = ledger.NewQuestions(ledger.QuestionsConfig{
		DB: b.room, Vault: b.vault, Recorder: b.conf.Recorder, Tail: b.hot, Directory: b.main.LedgerAccounts(), Clock: b.clock, Shelf: b.shelf,
	})
	if err != nil {
		b.Fatal(err)
	}
}

// person is an account with a customer whose subject has a key.
func (b *sealBundle) person(reference string) {
	b.Helper()
	ctx := b.t.Context()
	key, err := b.vault.TakeKey(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.ids[reference] = muster.NewID(muster.PrefixAccount, b.clock())
	b.keys[reference] = key.ID()
	if err := b.main.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.PutAccount(ctx, &muster.AccountRecord{ID: b.ids[reference], Reference: reference, Customer: "cus_" + reference, State: muster.AccActive}); err != nil {
			return err
		}
		return tx.PutSubjects(ctx, &muster.SubjectRecord{ID: "sub_" + reference, Customer: "cus_" + reference, Role: muster.RoleCustomer, Pointer: "/customer", Key: key.ID(), Revision: 1})
	}); err != nil {
		b.Fatal(err)
	}
}

func (b *sealBundle) take(batch ledger.Batch) {
	b.Helper()
	b.serial++
	if _, err := b.hot.Take(b.t.Context(), &ledger.Arrival{Batch: batch, From: "opr_1", Body: fmt.Sprint("batch", b.serial)}); err != nil {
		b.Fatal(err)
	}
}

func (b *sealBundle) seal() {
	b.Helper()
	if _, err := b.sealer.Seal(b.t.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *sealBundle) compact(all bool) {
	b.Helper()
	if _, err := b.sealer.Compact(b.t.Context(), all); err != nil {
		b.Fatal(err)
	}
}

var (
	sameAccess = cmp.Options{sameAddr, samePrefix}
	began      = time.Date(2026, 8, 20, 0, 0, 0, 0, time.UTC)
)

// model is what was acknowledged, by account id.
type model map[string][]muster.AccessRecord

func order(a, b muster.AccessRecord) int {
	return compareStrings(fmt.Sprint(a.At.UnixMilli(), a), fmt.Sprint(b.At.UnixMilli(), b))
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// check asks for everything, page by page, and for who came from each address.
func (b *sealBundle) check(m model) {
	b.Helper()
	ctx := b.t.Context()
	from, until := began, began.AddDate(0, 0, 200)
	byIP := map[netip.Addr][]muster.AccessRecord{}
	b.checkWhole(m)
	for id, list := range m {
		var got []muster.AccessRecord
		for after := ""; ; {
			page, err := b.ask.Used(ctx, asking, ledger.Used{Account: id, From: from, Until: until, After: after, Limit: 97})
			if err != nil {
				b.Fatal(err)
			}
			got = append(got, page.Records...)
			if after = page.Next; after == "" {
				break
			}
		}
		want := slices.Clone(list)
		slices.SortFunc(want, order)
		slices.SortFunc(got, order)
		if d := cmp.Diff(want, got, sameAccess); d != "" {
			b.Fatalf("account %s: %d records, want %d\n%.2000s", id, len(got), len(want), d)
		}
		for _, r := range list {
			byIP[r.IP] = append(byIP[r.IP], r)
		}
	}
	for ip, want := range byIP {
		p := netip.PrefixFrom(ip, ip.BitLen())
		var got []muster.AccessRecord
		for at := from; at.Before(until); at = at.AddDate(0, 0, 31) {
			page, err := b.ask.CameFrom(ctx, asking, ledger.CameFrom{Prefix: p, From: at, Until: at.AddDate(0, 0, 31), Limit: ledger.MaxPage})
			if err != nil {
				b.Fatal(err)
			}
			if page.Next != "" {
				b.Fatal("the test has too many records of one address")
			}
			got = append(got, page.Records...)
		}
		slices.SortFunc(want, order)
		slices.SortFunc(got, order)
		if d := cmp.Diff(want, got, sameAccess); d != "" {
			b.Fatalf("address: %d records, want %d\n%.2000s", len(got), len(want), d)
		}
	}
}

// checkWhole reads everything of all accounts at once.
func (b *sealBundle) checkWhole(m model) {
	b.Helper()
	page := slices.Sorted(maps.Keys(m))
	got := model{}
	last := time.Time{}
	if err := b.ask.Whole(b.t.Context(), asking, "all accounts", ledger.Whole{
		Next: func() (now []string, err error) {
			n := min(2, len(page))
			now, page = page[:n], page[n:]
			return now, nil
		},
		Access: func(r *muster.AccessRecord) error {
			if list := got[r.Account]; len(list) > 0 && r.At.Before(last) {
				b.Fatalf("account %s: not in the order of time", r.Account)
			}
			last = r.At
			got[r.Account] = append(got[r.Account], *r)
			return nil
		},
	}); err != nil {
		b.Fatal(err)
	}
	for id, list := range m {
		want := slices.Clone(list)
		slices.SortFunc(want, order)
		slices.SortFunc(got[id], order)
		if d := cmp.Diff(want, got[id], sameAccess); d != "" {
			b.Fatalf("whole, account %s: %d records, want %d\n%.2000s", id, len(got[id]), len(want), d)
		}
	}
}

// batch draws records of the accounts given over about 100 days, and adds them to m.
func (b *sealBundle) batch(r *rand.Rand, m model, n int, references ...string) ledger.Batch {
	var batch ledger.Batch
	for range n {
		reference := references[r.IntN(len(references))]
		rec := muster.AccessRecord{
			Account: reference, Action: muster.AccessActions[r.IntN(5)], Surface: []string{"web", ""}[r.IntN(2)], Port: uint16(r.IntN(3) * 1000),
			At: began.Add(time.Duration(r.Int64N(95*86400*1000)) * time.Millisecond), Actor: []string{"", "root"}[r.IntN(2)],
		}
		if r.IntN(3) == 0 {
			rec.IP = netip.MustParseAddr(fmt.Sprintf("2001:db8::%x:%x", r.IntN(2), r.IntN(3)))
		} else {
			rec.IP = netip.AddrFrom4([4]byte{198, 51, 100, byte(r.IntN(12))})
		}
		batch.Access = append(batch.Access, rec)
		rec.Account = b.ids[reference]
		m[rec.Account] = append(m[rec.Account], rec)
	}
	return batch
}

func TestEveryRecordIsFoundOnce(t *testing.T) {
	t.Parallel()
	onStorages(t, true, func(b *sealBundle) {
		r := rand.New(rand.NewPCG(1, 2))
		m := model{}
		for step := range 12 {
			b.take(b.batch(r, m, 60, "P-1", "P-2", "P-3"))
			if step == 4 {
				b.take(b.batch(r, m, 900, "P-2")) // a burst of one account
			}
			switch step % 4 {
			case 1:
				b.seal()
			case 2:
				b.seal()
				b.compact(step > 6)
			}
			if step%3 == 0 {
				b.restart()
				b.check(m)
			}
		}
		b.seal()
		b.check(m)
		b.compact(true)
		b.check(m)
		last, err := b.ask.LastAccess(t.Context(), asking, b.ids["P-1"])
		want := slices.MaxFunc(m[b.ids["P-1"]], func(x, y muster.AccessRecord) int { return x.At.Compare(y.At) }).At
		if err != nil || !last.Equal(want) {
			t.Fatalf("last access %v, want %v; %v", last, want, err)
		}
	})
}

// Each transaction of sealer and compaction fails before and after it landed; a new
// process goes on, and every record is there once.
func TestCrashesOfTheSealer(t *testing.T) {
	t.Parallel()
	onStorages(t, true, func(b *sealBundle) {
		r := rand.New(rand.NewPCG(3, 4))
		m := model{}
		crash := errors.New("crash")
		for at := 0; ; at++ {
			b.take(b.batch(r, m, 40, "P-1", "P-2"))
			n := 0
			b.fault = func(string, bool) error {
				if n++; n == at+1 {
					return crash
				}
				return nil
			}
			_, err := b.sealer.Seal(t.Context())
			if err == nil {
				_, err = b.sealer.Compact(t.Context(), true)
			}
			b.fault = nil
			if err == nil {
				if at < 6 {
					t.Fatalf("only %d places to crash at", at)
				}
				break
			}
			if !errors.Is(err, crash) {
				t.Fatal(err)
			}
			b.restart()
			b.check(m)
		}
		b.check(m)
		b.tidied()
	})
}

func TestErasedIsGoneAtOnceAndOthersUntouched(t *testing.T) {
	t.Parallel()
	onStorages(t, false, func(b *sealBundle) {
		ctx := t.Context()
		r := rand.New(rand.NewPCG(5, 6))
		m := model{}
		b.take(b.batch(r, m, 300, "P-1", "P-2", "P-3"))
		b.seal()
		b.compact(true)
		b.take(b.batch(r, m, 50, "P-1", "P-2")) // not sealed yet
		before := b.chunks()
		how := map[string]func(){
			"P-1": func() { // the key and the ledger
				if err := b.vault.Destroy(ctx, []string{b.keys["P-1"]}); err != nil {
					t.Fatal(err)
				}
				if err := ledger.Erase(ctx, b.room, []string{b.ids["P-1"]}); err != nil {
					t.Fatal(err)
				}
			},
			"P-3": func() { // the key alone: the sweep finds it
				if err := b.vault.Destroy(ctx, []string{b.keys["P-3"]}); err != nil {
					t.Fatal(err)
				}
			},
		}
		for _, reference := range []string{"P-1", "P-3"} {
			how[reference]()
			m[b.ids[reference]] = nil
			b.check(m)
		}
		untouched := 0
		for id, blob := range b.chunks() {
			if was, ok := before[id]; !ok || !strings.HasPrefix(was, blob) {
				t.Error("a chunk of somebody else was written again")
			}
			untouched++
		}
		if untouched == 0 {
			t.Fatal("no chunk is left")
		}
		was := b.postings()
		b.seal()
		b.compact(false)
		b.check(m)
		if now := b.postings(); now >= was {
			t.Errorf("%d postings after compaction, %d before", now, was)
		}
		holders := 0
		if err := b.room.View(ctx, func(tx ledger.Tx) error {
			list, err := tx.HoldersAfter(ctx, 0, 10)
			holders = len(list)
			return err
		}); err != nil || holders != 1 {
			t.Fatalf("%d holders are left: %v", holders, err)
		}
	})
}

func (b *sealBundle) chunks() map[int64]string {
	b.Helper()
	found := map[int64]string{}
	if err := b.room.View(b.t.Context(), func(tx ledger.Tx) error {
		return tx.Chunks(b.t.Context(), 0, 1<<62-1, func(c ledger.Chunk) error { found[c.ID] = string(c.Blob); return nil })
	}); err != nil {
		b.Fatal(err)
	}
	return found
}

func (b *sealBundle) postings() (n int64) {
	b.Helper()
	if err := b.room.View(b.t.Context(), func(tx ledger.Tx) error {
		runs, err := tx.Runs(b.t.Context(), 0, 1<<40)
		n = 0
		for _, r := range runs {
			n += r.Postings
		}
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return n
}

func TestHoursClose(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *hotBundle) {
		b := setupSealed(h)
		m := model{}
		r := rand.New(rand.NewPCG(7, 8))
		b.take(b.batch(r, m, 10, "P-1"))
		b.seal()
		b.move(time.Hour)
		b.take(b.batch(r, m, 10, "P-1"))
		b.seal()
		hours, err := b.vault.Periods(t.Context(), vault.UseHot)
		if err != nil || len(hours) != 1 {
			t.Fatalf("hours with a key: %v, %v", hours, err)
		}
		b.check(m)
	})
}

// retention keeps what came since an instant.
type retention struct{ since time.Time }

func (r retention) MayGo(_ context.Context, _ ledger.Kind, end time.Time, accounts []string) (map[string]bool, error) {
	m := map[string]bool{}
	for _, a := range accounts {
		m[a] = !end.After(r.since)
	}
	return m, nil
}

func TestAgedOut(t *testing.T) {
	t.Parallel()
	onStorages(t, false, func(b *sealBundle) {
		m := model{}
		r := rand.New(rand.NewPCG(9, 10))
		b.take(b.batch(r, m, 300, "P-1", "P-2"))
		b.seal()
		b.compact(true)
		b.keep = retention{time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)}
		b.restart()
		b.compact(false)
		for id := range m {
			m[id] = slices.DeleteFunc(m[id], func(r muster.AccessRecord) bool { return r.At.Before(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)) })
		}
		b.check(m)
		for _, use := range []vault.PeriodUse{vault.UseAccess, vault.UseAccessIndex} {
			periods, err := b.vault.Periods(t.Context(), use)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range periods {
				if p.Name < "2026-10" {
					t.Errorf("the key %v of a time of which nothing is left", p)
				}
			}
		}
	})
}

func lease(reference, prefix, from, until string) muster.LeaseRecord {
	l := muster.LeaseRecord{Account: reference, Resource: "address", Prefix: netip.MustParsePrefix(prefix), From: when(from), Source: "dhcp", Precision: "0s"}
	if !l.Prefix.IsSingleIP() {
		l.Resource = "prefix"
	}
	if until != "" {
		l.Until = when(until)
	}
	return l
}

func when(s string) time.Time {
	t, err := time.Parse("2006-01-02T15:04:05Z", s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestWhoHeld(t *testing.T) {
	t.Parallel()
	onStorages(t, false, func(b *sealBundle) {
		nat := func(reference string, port uint16) muster.LeaseRecord {
			l := lease(reference, "203.0.113.9/32", "2026-11-01T00:00:00Z", "2026-11-30T00:00:00Z")
			l.PortFrom, l.PortTo = port, port+999
			return l
		}
		b.take(ledger.Batch{Leases: []muster.LeaseRecord{
			lease("P-1", "203.0.113.7/32", "2026-05-02T00:00:00Z", ""), // open over three quarters, then ended
			lease("P-2", "2001:db8:77::/48", "2026-11-01T00:00:00Z", ""),
			lease("P-3", "203.0.113.8/32", "2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"),
			nat("P-1", 1000), nat("P-2", 2000),
		}})
		type question struct {
			ip   string
			port uint16
			at   string
			want string
		}
		questions := []question{
			{"203.0.113.7", 0, "2026-05-01T23:59:59Z", ""},
			{"203.0.113.7", 0, "2026-05-02T00:00:00Z", "P-1"},
			{"203.0.113.7", 443, "2026-08-15T12:00:00Z", "P-1"},
			{"203.0.113.7", 0, "2026-11-26T08:00:00Z", "P-1"},
			{"2001:db8:77:1::5", 0, "2026-11-15T00:00:00Z", "P-2"},
			{"2001:db8:78:1::5", 0, "2026-11-15T00:00:00Z", ""},
			{"203.0.113.8", 0, "2026-11-20T10:59:59Z", "P-3"},
			{"203.0.113.8", 0, "2026-11-20T11:00:00Z", ""},
			{"203.0.113.9", 1500, "2026-11-15T00:00:00Z", "P-1"},
			{"203.0.113.9", 2000, "2026-11-15T00:00:00Z", "P-2"},
			{"203.0.113.9", 0, "2026-11-15T00:00:00Z", "P-1 P-2"},
			{"203.0.113.9", 9000, "2026-11-15T00:00:00Z", ""},
		}
		check := func(stage string, questions []question) {
			t.Helper()
			for _, q := range questions {
				got, err := b.ask.Held(t.Context(), asking, ledger.Held{IP: netip.MustParseAddr(q.ip), Port: q.port, At: when(q.at)})
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, x := range got.Holdings {
					for reference, id := range b.ids {
						if id == x.Lease.Account {
							names = append(names, reference)
						}
					}
				}
				slices.Sort(names)
				text := ""
				for i, n := range names {
					if i > 0 {
						text += " "
					}
					text += n
				}
				if text != q.want {
					t.Errorf("%s: %s port %d at %s: %q, want %q", stage, q.ip, q.port, q.at, text, q.want)
				}
			}
		}
		check("not sealed", questions)
		b.seal()
		check("sealed", questions)
		b.compact(true)
		check("merged", questions)
		gap, err := b.ask.Held(t.Context(), asking, ledger.Held{IP: netip.MustParseAddr("203.0.113.8"), At: when("2026-11-20T12:00:00Z")})
		if err != nil || len(gap.Holdings) != 0 || !gap.Before.Equal(when("2026-11-20T11:00:00Z")) || !gap.After.IsZero() {
			t.Errorf("a gap is not stated: %+v, %v", gap, err)
		}
		near, err := b.ask.Held(t.Context(), asking, ledger.Held{IP: netip.MustParseAddr("203.0.113.8"), At: when("2026-11-20T11:05:00Z"), Within: 10 * time.Minute})
		if err != nil || len(near.Holdings) != 1 || near.Holdings[0].Exact {
			t.Errorf("give or take: %+v, %v", near, err)
		}

		// Two months go by: the new year's quarter knows the open lease, before and after
		// it was carried.
		b.move(when("2027-01-20T00:00:00Z").Sub(b.clock()))
		later := []question{{"203.0.113.7", 0, "2027-01-15T00:00:00Z", "P-1"}, {"2001:db8:77:1::5", 0, "2027-01-15T00:00:00Z", "P-2"}}
		b.restart()
		check("before it is carried", later)
		b.compact(false)
		check("carried", append(later, questions...))

		// Its end is told late: it holds in the quarters that took it to be open.
		b.take(ledger.Batch{Leases: []muster.LeaseRecord{lease("P-1", "203.0.113.7/32", "2026-05-02T00:00:00Z", "2026-07-01T00:00:00Z")}})
		ended := []question{
			{"203.0.113.7", 0, "2026-06-30T23:59:59Z", "P-1"},
			{"203.0.113.7", 0, "2026-07-01T00:00:00Z", ""},
			{"203.0.113.7", 0, "2026-11-26T08:00:00Z", ""},
			{"203.0.113.7", 0, "2027-01-15T00:00:00Z", ""},
		}
		check("ended, not sealed", ended)
		b.seal()
		check("ended, sealed", ended)
		b.compact(true)
		check("ended, merged", ended)
	})
}

func TestWhoSharesAddresses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *hotBundle) {
		b := setupSealed(h)
		rec := func(reference, ip string, day int) muster.AccessRecord {
			return muster.AccessRecord{Account: reference, IP: netip.MustParseAddr(ip), At: began.AddDate(0, 0, day), Action: "login"}
		}
		b.take(ledger.Batch{Access: []muster.AccessRecord{
			rec("P-1", "198.51.100.1", 1), rec("P-1", "198.51.100.2", 1), rec("P-1", "2001:db8::1", 3),
			rec("P-2", "198.51.100.1", 1), rec("P-3", "198.51.100.1", 2),
			rec("P-2", "2001:db8::ffff", 3), // the same /64
			rec("P-4", "198.51.100.99", 1),
		}})
		want := ledger.SharesAnswer{Shared: []ledger.Shared{
			{Account: b.ids["P-2"], Addresses: []ledger.SharedAddress{
				{Network: netip.MustParsePrefix("2001:db8::/64"), Accounts: 2, SameDays: 1, Last: began.AddDate(0, 0, 3)},
				{Network: netip.MustParsePrefix("198.51.100.1/32"), Accounts: 3, SameDays: 1, Last: began.AddDate(0, 0, 1)},
			}},
			{Account: b.ids["P-3"], Addresses: []ledger.SharedAddress{
				{Network: netip.MustParsePrefix("198.51.100.1/32"), Accounts: 3, SameDays: 0, Last: began.AddDate(0, 0, 2)},
			}},
		}}
		check := func() {
			t.Helper()
			got, err := b.ask.Shares(t.Context(), asking, ledger.Shares{Account: b.ids["P-1"], From: began, Until: began.AddDate(0, 0, 30)})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, sameAccess); d != "" {
				t.Fatal(d)
			}
		}
		check()
		b.seal()
		check()
		places, err := b.ask.Places(t.Context(), asking, ledger.Used{Account: b.ids["P-1"], From: began, Until: began.AddDate(0, 0, 30)})
		if err != nil || len(places) != 3 {
			t.Fatalf("%+v, %v", places, err)
		}
	})
}

func TestAccountsAndCustomersLeadToEachOther(t *testing.T) {
	t.Parallel()
	onBoth(t, func(h *hotBundle) {
		b := setupSealed(h)
		accounts := b.main.LedgerAccounts()
		of, err := accounts.AccountCustomers(t.Context(), []string{b.ids["P-1"], b.ids["P-2"], b.ids["P-1"], "acc_none"})
		if err != nil || len(of) != 2 || of[b.ids["P-1"]] != "cus_P-1" {
			t.Fatalf("%v, %v", of, err)
		}
		by, err := accounts.CustomerAccounts(t.Context(), []string{"cus_1", "cus_P-2", "cus_1", "cus_none"})
		if err != nil || len(by) != 2 || len(by["cus_1"]) != 3 || !slices.Equal(by["cus_P-2"], []string{b.ids["P-2"]}) {
			t.Fatalf("%v, %v", by, err)
		}
	})
}

func TestQuestionsAreBoundedAndRecorded(t *testing.T) {
	t.Parallel()
	b := setupSealed(setupHot(t, store.Config{Path: t.TempDir() + "/muster.db"}, store.Config{Path: t.TempDir() + "/ledger.db"}))
	ctx := t.Context()
	ip := netip.MustParsePrefix("198.51.100.1/32")
	for what, err := range map[string]error{
		"too long": func() error {
			_, err := b.ask.CameFrom(ctx, asking, ledger.CameFrom{Prefix: ip, From: began, Until: began.AddDate(1, 0, 0)})
			return err
		}(),
		"a wide prefix": func() error {
			_, err := b.ask.CameFrom(ctx, asking, ledger.CameFrom{Prefix: netip.MustParsePrefix("198.51.100.0/24"), From: began, Until: began.Add(1)})
			return err
		}(),
		"no case": func() error {
			_, err := b.ask.CameFrom(ctx, ledger.Ask{Operator: asking.Operator, Purpose: asking.Purpose}, ledger.CameFrom{Prefix: ip, From: began, Until: began.Add(1)})
			return err
		}(),
		"a cursor": func() error {
			_, err := b.ask.Used(ctx, asking, ledger.Used{Account: "acc_1", From: began, Until: began.Add(1), After: "x"})
			return err
		}(),
	} {
		if muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	leaves := func() (n int64) {
		if err := b.main.View(ctx, func(tx *store.Tx) error {
			list, err := tx.Leaves(ctx, 0, 1000)
			n = int64(len(list))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := leaves()
	if _, err := b.ask.CameFrom(ctx, asking, ledger.CameFrom{Prefix: ip, From: began, Until: began.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if got := leaves(); got != before+1 {
		t.Errorf("a question left %d leaves, want 1", got-before)
	}
}

// The lease of a process that said that it was there, and is no more, is taken up before
// its end, and what that one writes when it comes back is refused. Whoever never said so is waited for.
func TestTheLeaseOfWhoIsGoneIsTakenUp(t *testing.T) {
	t.Parallel()
	b := setupSealed(setupHot(t, store.Config{Path: t.TempDir() + "/muster.db"}, store.Config{Path: t.TempDir() + "/ledger.db"}))
	r, m := rand.New(rand.NewPCG(31, 1)), model{}
	away := map[string]bool{}
	named := func(name string) *ledger.Sealer {
		t.Helper()
		s, err := ledger.NewSealer(ledger.SealerConfig{
			DB: b.room, Vault: b.vault, Recorder: b.conf.Recorder, Directory: b.main.LedgerAccounts(), Clock: b.clock,
			Holder: name, Gone: func(_ context.Context, holder string) (bool, error) { return away[holder], nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	sealed := func(s *ledger.Sealer) (int, muster.Code) {
		t.Helper()
		b.take(b.batch(r, m, 20, "P-1"))
		done, err := s.Seal(t.Context())
		return done.Records, muster.ErrorCode(err)
	}
	one, other, silent := named("one"), named("other"), named("")
	if n, code := sealed(one); n == 0 {
		t.Fatal(code)
	}
	if _, code := sealed(other); code != muster.CodeConflict {
		t.Errorf("beside one that is there: %q", code)
	}
	away["one"] = true
	if n, code := sealed(other); n == 0 {
		t.Errorf("one is gone: %q", code)
	}
	away["one"] = false
	if _, code := sealed(one); code != muster.CodeConflict {
		t.Errorf("one that came back: %q", code)
	}
	away["other"] = true
	if n, code := sealed(silent); n == 0 {
		t.Errorf("the other is gone: %q", code)
	}
	if _, code := sealed(one); code != muster.CodeConflict {
		t.Errorf("beside one that never said that it was there: %q", code)
	}
	b.move(2 * time.Minute)
	if n, code := sealed(one); n == 0 {
		t.Errorf("its lease is over: %q", code)
	}
	b.restart()
	b.check(m)
}

// A burst of one account within an hour, and a crowd of accounts with one record each.
func TestBurstAndCrowd(t *testing.T) {
	t.Parallel()
	b := setupSealed(setupHot(t, store.Config{Path: t.TempDir() + "/muster.db"}, store.Config{Path: t.TempDir() + "/ledger.db"}))
	ctx := t.Context()
	crowd := 3000
	if os.Getenv("MUSTER_SOAK") != "" {
		crowd = 1_000_000
	}
	burst := 150_000
	var list []muster.AccessRecord
	for i := range burst {
		list = append(list, muster.AccessRecord{
			Account: "P-1", IP: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), At: began.Add(time.Duration(i) * 20 * time.Millisecond), Action: "api",
		})
	}
	for part := range slices.Chunk(list, 10_000) {
		b.take(ledger.Batch{Access: part})
	}
	var err error
	if b.sealer, err = ledger.NewSealer(ledger.SealerConfig{
		DB: b.room, Vault: b.vault, Recorder: b.conf.Recorder, Directory: crowded{b.main.LedgerAccounts(), b}, Clock: b.clock, Alone: true,
	}); err != nil {
		t.Fatal(err)
	}
	b.move(2 * time.Minute)
	b.seal()
	b.compact(true)
	page, err := b.ask.CameFrom(ctx, asking, ledger.CameFrom{Prefix: netip.MustParsePrefix("198.51.3.7/32"), From: began, Until: began.Add(2 * time.Hour)})
	if err != nil || len(page.Records) != (burst+65535-3*256-7)/65536 {
		t.Fatalf("%d records of the burst, %v", len(page.Records), err)
	}

	// The crowd's records come straight into the hot end: their accounts are not on file.
	list = list[:0]
	accounts := map[string]string{}
	for i := range crowd {
		id := fmt.Sprintf("acc_crowd%d", i)
		accounts[id] = id
		list = append(list, muster.AccessRecord{Account: id, IP: netip.AddrFrom4([4]byte{203, 0, byte(i % 7), byte(i)}), At: began.Add(time.Duration(i) * time.Second), Action: "login"})
	}
	conf := b.conf
	conf.Accounts = everybody{}
	b.open(conf)
	for part := range slices.Chunk(list, 10_000) {
		b.take(ledger.Batch{Access: part})
	}
	b.seal()
	b.restart()
	var numbers int64
	if err := b.room.View(ctx, func(tx ledger.Tx) error {
		st, err := tx.State(ctx)
		numbers = st.NextNumber - 1
		return err
	}); err != nil || numbers != int64(crowd)+1 {
		t.Fatalf("%d accounts have a number, %v", numbers, err)
	}
	found := 0
	for after := ""; ; {
		page, err := b.ask.CameFrom(ctx, asking, ledger.CameFrom{Prefix: netip.MustParsePrefix("203.0.3.3/32"), From: began, Until: began.AddDate(0, 0, 13), After: after, Limit: ledger.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Records)
		if after = page.Next; after == "" {
			break
		}
	}
	want := 0
	for _, r := range list {
		if r.IP == netip.MustParseAddr("203.0.3.3") && r.At.Before(began.AddDate(0, 0, 13)) {
			want++
		}
	}
	if found != want || want == 0 {
		t.Fatalf("%d records of the crowd, want %d", found, want)
	}
}

// everybody is on file.
type everybody struct{}

func (everybody) AccountIDs(_ context.Context, references []string) (map[string]string, error) {
	m := map[string]string{}
	for _, r := range references {
		m[r] = r
	}
	return m, nil
}

func (everybody) NewAccounts(context.Context, string, int) ([]string, string, error) {
	return nil, "", nil
}

// crowded knows everybody: the crowd shares one person's key.
type crowded struct {
	store.LedgerAccounts
	b *sealBundle
}

func (c crowded) AccountHolders(ctx context.Context, accounts []string) ([]ledger.Holder, error) {
	list, err := c.LedgerAccounts.AccountHolders(ctx, accounts)
	for _, a := range accounts {
		if strings.HasPrefix(a, "acc_crowd") {
			list = append(list, ledger.Holder{Account: a, Subject: "sub_crowd", KeyID: c.b.keys["P-2"]})
		}
	}
	return list, err
}
