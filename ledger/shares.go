package ledger

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Shares asks which accounts came from addresses that an account came from, in [From, Until).
type Shares struct {
	Account     string
	From, Until time.Time
	Limit       int
}

// Shared is one account and what it has in common.
type Shared struct {
	Account   string
	Addresses []SharedAddress // the rarest first
}

// SharedAddress is an address, and how common it is.
type SharedAddress struct {
	Network  netip.Prefix // an IPv4 address, or a /64 of IPv6
	Accounts int          // that came from it in that time, the two among them
	SameDays int          // on which both did
	Last     time.Time    // that the other did
}

// SharesAnswer names the accounts, those with the rarest address first. Addresses of
// many accounts (an office, a carrier's translation) say nothing about those behind them and
// are only counted.
type SharesAnswer struct {
	Shared []Shared
	Common int // addresses of CommonAddress accounts or more, whose accounts are not named
	Cut    bool
}

// Shares answers from the index, and opens the records of those it names.
func (q *Questions) Shares(ctx context.Context, ask Ask, c Shares) (answer SharesAnswer, err error) {
	if err := checkInterval(c.From, c.Until, MaxShares); err != nil {
		return answer, err
	}
	if c.Limit <= 0 || c.Limit > 100 {
		c.Limit = 20
	}
	s, err := q.session(ctx, ask, "shares", c.Account+" "+scopeOf(c.From, c.Until))
	if err != nil {
		return answer, err
	}
	err = q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		answer = SharesAnswer{}
		holders, err := tx.HoldersOf(ctx, []string{c.Account})
		if err != nil {
			return err
		}
		w := window{from: c.From, until: c.Until}
		own, err := q.tail(ctx, tx, s, Want{Account: c.Account}, w, c.Account, nil)
		if err != nil {
			return err
		}
		if len(holders) > 0 {
			if own, err = q.walk(ctx, tx, s, holders[0], w, "", maxFound, own); err != nil {
				return err
			}
		}
		return q.shares(ctx, tx, s, c, own, &answer)
	})
	return answer, err
}

// company is who came from one address.
type company struct {
	own    map[int64]bool            // days of the account itself
	others map[string]map[int64]bool // days of others, by account id; of the index until verified
}

// companies are those of each address of an account.
type companies map[netip.Prefix]*company

func (c companies) add(p netip.Prefix, account string) {
	if c[p].others[account] == nil {
		c[p].others[account] = map[int64]bool{}
	}
}

// addressesOf are those of an account's records, with its days, and whether there are more
// than a question looks at.
func addressesOf(own []muster.AccessRecord) (at companies, cut bool) {
	at = companies{}
	for i := range own {
		p := hostPrefix(own[i].IP)
		x := at[p]
		if x == nil {
			if len(at) >= maxAddresses {
				cut = true
				continue
			}
			x = &company{own: map[int64]bool{}, others: map[string]map[int64]bool{}}
			at[p] = x
		}
		x.own[own[i].At.Unix()/86400] = true
	}
	return at, cut
}

func (q *Questions) shares(ctx context.Context, tx Tx, s *vault.Session, c Shares, own []muster.AccessRecord, answer *SharesAnswer) error {
	at, cut := addressesOf(own)
	answer.Cut = cut
	if err := q.sealedOthers(ctx, tx, s, c, at); err != nil {
		return err
	}
	unsealed, err := q.unsealedOthers(ctx, tx, s, c, at)
	if err != nil {
		return err
	}
	// The rarest address of each account decides its place.
	rarest := map[string]int{}
	for _, x := range at {
		n := len(x.others) + 1
		if n >= CommonAddress {
			answer.Common++
			continue
		}
		for account := range x.others {
			if r, ok := rarest[account]; !ok || n < r {
				rarest[account] = n
			}
		}
	}
	accounts := slices.SortedFunc(maps.Keys(rarest), func(a, b string) int { return cmp.Or(cmp.Compare(rarest[a], rarest[b]), cmp.Compare(a, b)) })
	for _, account := range accounts {
		if len(answer.Shared) == c.Limit {
			answer.Cut = true
			break
		}
		one, err := q.verify(ctx, tx, s, c, account, at, unsealed[account])
		if err != nil {
			return err
		}
		if len(one.Addresses) > 0 {
			answer.Shared = append(answer.Shared, one)
		}
	}
	return nil
}

// sealedOthers adds who the index says came from the addresses.
func (q *Questions) sealedOthers(ctx context.Context, tx Tx, s *vault.Session, c Shares, at companies) error {
	prefixes := slices.SortedFunc(maps.Keys(at), func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	numbers := map[netip.Prefix]map[int64]bool{}
	var spots []spot
	for m := monthOf(c.From); m <= monthOf(c.Until.Add(-1)); m++ {
		days := daysBetween(m, c.From, c.Until.Add(-1))
		if err := find(ctx, tx, s, Access, m, prefixes, func(i int, p posting) {
			if p.days&days == 0 {
				return
			}
			set := numbers[prefixes[i]]
			if set == nil {
				set = map[int64]bool{}
				numbers[prefixes[i]] = set
			}
			set[int64(p.number)] = true
			spots = append(spots, spot{m.quarter(), int64(p.number)})
		}); err != nil {
			return err
		}
	}
	holders, err := q.numbered(ctx, tx, s, spots)
	if err != nil {
		return err
	}
	for p, set := range numbers {
		for n := range set {
			if h, ok := holders[n]; ok && h.Account != c.Account {
				at.add(p, h.Account)
			}
		}
	}
	return nil
}

// unsealedOthers adds those of the tail, and returns their records by account.
func (q *Questions) unsealedOthers(ctx context.Context, tx Tx, s *vault.Session, c Shares, at companies) (map[string][]muster.AccessRecord, error) {
	unsealed := map[string][]muster.AccessRecord{}
	if err := q.Tail.Tail(ctx, s, tx, Want{}, func(b *Batch) error {
		for _, r := range b.Access {
			if p := hostPrefix(r.IP); at[p] != nil && r.Account != c.Account && !r.At.Before(c.From) && r.At.Before(c.Until) {
				unsealed[r.Account] = append(unsealed[r.Account], r)
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	here, err := q.present(ctx, slices.Collect(maps.Keys(unsealed)))
	if err != nil {
		return nil, err
	}
	for account, list := range unsealed {
		if !here[account] {
			delete(unsealed, account)
			continue
		}
		for i := range list {
			at.add(hostPrefix(list[i].IP), account)
		}
	}
	return unsealed, nil
}

// verify opens the records of an account that the index named: a tag can be another
// address's, once in a thousand.
func (q *Questions) verify(ctx context.Context, tx Tx, s *vault.Session, c Shares, account string, at companies, records []muster.AccessRecord) (Shared, error) {
	out := Shared{Account: account}
	w := window{from: c.From, until: c.Until, addr: func(a netip.Addr) bool {
		x := at[hostPrefix(a)]
		return x != nil && len(x.others)+1 < CommonAddress
	}}
	holders, err := tx.HoldersOf(ctx, []string{account})
	if err != nil {
		return out, err
	}
	if len(holders) > 0 {
		for k := quarterOf(c.From); k <= quarterOf(c.Until.Add(-1)); k++ {
			if records, err = q.records(ctx, tx, s, holders[0], k, w, records); err != nil {
				return out, err
			}
		}
	}
	last := map[netip.Prefix]time.Time{}
	for i := range records {
		r := &records[i]
		p := hostPrefix(r.IP)
		if !w.addr(r.IP) {
			continue
		}
		at[p].others[account][r.At.Unix()/86400] = true
		if r.At.After(last[p]) {
			last[p] = r.At
		}
	}
	for p, t := range last {
		x := at[p]
		both := 0
		for day := range x.others[account] {
			if x.own[day] {
				both++
			}
		}
		out.Addresses = append(out.Addresses, SharedAddress{Network: p, Accounts: len(x.others) + 1, SameDays: both, Last: t})
	}
	slices.SortFunc(out.Addresses, func(a, b SharedAddress) int {
		return cmp.Or(cmp.Compare(a.Accounts, b.Accounts), cmp.Compare(b.SameDays, a.SameDays), a.Network.Addr().Compare(b.Network.Addr()))
	})
	return out, nil
}
