package ledger

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Tail answers for what is not sealed yet: see Hot.
type Tail interface {
	Tail(ctx context.Context, s *vault.Session, tx HotTx, want Want, each func(*Batch) error) error
}

// QuestionsConfig of the questions. All but Shelf are required.
type QuestionsConfig struct {
	DB        DB
	Vault     *vault.Vault
	Recorder  vault.Recorder
	Tail      Tail
	Directory Directory
	Clock     muster.Clock
	Shelf     *Shelf // nil: all chunks are in the store
}

// Questions answers from sealed chunks and the unsealed tail, in one snapshot. Each
// question is a reveal: its leaf is durable before anything is opened. Accounts in answers
// are ids. Whether the operator may ask is the caller's to look at before. Safe for
// concurrent use.
type Questions struct{ QuestionsConfig }

// NewQuestions checks its configuration.
func NewQuestions(c QuestionsConfig) (*Questions, error) {
	if c.DB == nil || c.Vault == nil || c.Recorder == nil || c.Tail == nil || c.Directory == nil || c.Clock == nil {
		return nil, muster.Errorf(muster.CodeInvalid, "ledger: QuestionsConfig has something missing")
	}
	return &Questions{c}, nil
}

// Ask says who asks, and why.
type Ask struct {
	Operator string
	Purpose  vault.Purpose
	Case     string
}

// Bounds of questions. Longer ones are asked in parts, each with its leaf.
const (
	MaxCameFrom = 31 * 24 * time.Hour
	MaxUsed     = 12 * MaxCameFrom
	MaxShares   = 3 * MaxCameFrom
	MaxWithin   = 24 * time.Hour
	MaxPage     = 1000

	maxFound     = 100_000 // records that one question may find
	maxAddresses = 2_000   // of an account whose company is asked for
	// CommonAddress is the number of accounts from which on an address says nothing about
	// those behind it: they are counted and not named.
	CommonAddress = 100
)

// AccessPage is some of the access records of an answer, in the order of time.
type AccessPage struct {
	Records []muster.AccessRecord
	Next    string // of the next page; "" at the end
}

// session is the reveal of one question.
func (q *Questions) session(ctx context.Context, a Ask, name, scope string) (*vault.Session, error) {
	return q.Vault.Question(ctx, vault.RevealRequest{Operator: a.Operator, Purpose: a.Purpose, Case: a.Case}, "ledger."+name, scope, q.Recorder)
}

func scopeOf(from, until time.Time) string {
	const hour = "2006-01-02T15"
	return from.UTC().Format(hour) + " to " + until.UTC().Format(hour)
}

func checkInterval(from, until time.Time, most time.Duration) error {
	if from.IsZero() || !from.Before(until) {
		return muster.Invalid(muster.Fault{Pointer: "/from", Code: "range", Detail: "an interval has a beginning and a later end"})
	}
	if until.Sub(from) > most {
		return muster.Invalid(muster.Fault{Pointer: "/until", Code: "too_long", Detail: "the interval is longer than a question may ask for: ask in parts"})
	}
	if from.Before(quarter(0).start()) || until.After(quarter(farAhead).start()) {
		return muster.Invalid(muster.Fault{Pointer: "/from", Code: "range", Detail: "not a time that records have"})
	}
	return nil
}

// CameFrom asks who came from an address in [From, Until). Of IPv6, Prefix can be a
// network of 64 bits or more; of IPv4 it is one address.
type CameFrom struct {
	Prefix      netip.Prefix
	From, Until time.Time
	After       string
	Limit       int
}

// CameFrom answers with access records of any account.
func (q *Questions) CameFrom(ctx context.Context, ask Ask, c CameFrom) (page AccessPage, err error) {
	if err := checkInterval(c.From, c.Until, MaxCameFrom); err != nil {
		return page, err
	}
	p := c.Prefix.Masked()
	if !p.IsValid() || p.Addr().Is4() && p.Bits() != 32 || p.Addr().Is6() && p.Bits() < 64 {
		return page, muster.Invalid(muster.Fault{Pointer: "/ip", Code: "address", Detail: "an IPv4 address, or an IPv6 address or network of at least 64 bits"})
	}
	s, err := q.session(ctx, ask, "came_from", scopeOf(c.From, c.Until))
	if err != nil {
		return page, err
	}
	w := window{from: c.From, until: c.Until, addr: p.Contains}
	var found []muster.AccessRecord
	if err := q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		found = nil
		spots, err := q.spots(ctx, tx, s, Access, []netip.Prefix{hostPrefix(p.Addr())}, c.From, c.Until)
		if err != nil {
			return err
		}
		holders, err := q.numbered(ctx, tx, s, spots)
		if err != nil {
			return err
		}
		for _, spot := range spots {
			h, ok := holders[spot.number]
			if !ok {
				continue
			}
			if found, err = q.records(ctx, tx, s, h, spot.quarter, w, found); err != nil {
				return err
			}
		}
		found, err = q.tail(ctx, tx, s, Want{IP: p.Addr()}, w, "", found)
		return err
	}); err != nil {
		return page, err
	}
	return cutPage(found, c.After, c.Limit)
}

// spot is where records of an account can be.
type spot struct {
	quarter quarter
	number  int64
}

// spots are those that the index leads to, in order, each once.
func (q *Questions) spots(ctx context.Context, tx Tx, s *vault.Session, k Kind, prefixes []netip.Prefix, from, until time.Time) ([]spot, error) {
	set := map[spot]bool{}
	for m := monthOf(from); m <= monthOf(until.Add(-1)); m++ {
		days := daysBetween(m, from, until.Add(-1))
		if err := find(ctx, tx, s, k, m, prefixes, func(_ int, p posting) {
			if p.days&days != 0 {
				set[spot{m.quarter(), int64(p.number)}] = true
			}
		}); err != nil {
			return nil, err
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b spot) int { return cmp.Or(cmp.Compare(a.quarter, b.quarter), cmp.Compare(a.number, b.number)) }), nil
}

// numbered leads numbers to holders whose key exists, and loads their keys at once.
func (q *Questions) numbered(ctx context.Context, tx Tx, s *vault.Session, spots []spot) (map[int64]Holder, error) {
	var numbers []int64
	for _, x := range spots {
		numbers = append(numbers, x.number)
	}
	slices.Sort(numbers)
	rows, err := tx.HoldersNumbered(ctx, slices.Compact(numbers))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = rows[i].KeyID
	}
	if err := s.Warm(ctx, ids); err != nil {
		return nil, err
	}
	holders := make(map[int64]Holder, len(rows))
	for _, h := range rows {
		holders[h.Number] = h
	}
	return holders, nil
}

// records appends the wanted records of an account and quarter.
func (q *Questions) records(ctx context.Context, tx Tx, s *vault.Session, h Holder, at quarter, w window, dst []muster.AccessRecord) ([]muster.AccessRecord, error) {
	opener, err := s.OpenSpans(ctx, h.KeyID, at.period(Access))
	if muster.ErrorCode(err) == muster.CodeGone {
		return dst, nil
	}
	if err != nil {
		return dst, err
	}
	var plain []byte
	for level := range 2 {
		from, through := chunkRange(Access, at, level, h.Number)
		if w.until.Before(at.end()) {
			last := max(0, int(w.until.Sub(at.start())/time.Hour))
			through = chunkID(Access, at, level, h.Number, last, maxCounter)
		}
		if err := chunksOf(ctx, tx, from, through, func(id int64, blob []byte) (bool, error) {
			head, _, err := parseChunkHead(blob)
			return parseChunkID(id).base().Add(time.Duration(head.hours+1) * time.Hour).After(w.from), err
		}, func(id int64, blob []byte) error {
			_, size, err := parseChunkHead(blob)
			if err != nil {
				return err
			}
			base := parseChunkID(id).base()
			if plain, err = opener.Open(plain, vault.SpanPlace{Subject: h.Subject, Row: id, Header: blob[:size]}, blob); err != nil {
				return err
			}
			n := len(dst)
			if dst, err = decodeAccess(dst, base, plain, w); err != nil {
				return err
			}
			for i := n; i < len(dst); i++ {
				dst[i].Account = h.Account
			}
			return tooMany(len(dst))
		}); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func tooMany(n int) error {
	if n > maxFound {
		return &muster.Error{Code: muster.CodeTooLarge, Message: "there are too many records in that interval", Hint: "ask for a shorter one"}
	}
	return nil
}

// tail appends the wanted records that are not sealed yet, of one account or of any.
func (q *Questions) tail(ctx context.Context, tx Tx, s *vault.Session, want Want, w window, account string, dst []muster.AccessRecord) ([]muster.AccessRecord, error) {
	n := len(dst)
	if err := q.Tail.Tail(ctx, s, tx, want, func(b *Batch) error {
		for i := range b.Access {
			r := &b.Access[i]
			if r.At.Before(w.from) || !r.At.Before(w.until) || w.addr != nil && !w.addr(r.IP) || account != "" && r.Account != account {
				continue
			}
			dst = append(dst, *r)
		}
		return tooMany(len(dst))
	}); err != nil {
		return dst, err
	}
	var accounts []string
	for _, r := range dst[n:] {
		accounts = append(accounts, r.Account)
	}
	here, err := q.present(ctx, accounts)
	if err != nil {
		return dst, err
	}
	kept := dst[:n]
	for _, r := range dst[n:] {
		if here[r.Account] {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// present are the accounts that are not erased: what is in the tail of one that is
// leads nowhere either, though its hour's key still opens it.
func (q *Questions) present(ctx context.Context, accounts []string) (map[string]bool, error) {
	slices.Sort(accounts)
	accounts = slices.Compact(accounts)
	here := make(map[string]bool, len(accounts))
	if len(accounts) == 0 {
		return here, nil
	}
	holders, err := q.Directory.AccountHolders(ctx, accounts)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(holders))
	for i := range holders {
		ids[i] = holders[i].KeyID
	}
	keys, err := q.Vault.Keys(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, h := range holders {
		_, ok := keys[h.KeyID]
		here[h.Account] = ok
	}
	return here, nil
}

// cutPage sorts what was found and cuts the page after a cursor: the time of the last
// record in milliseconds, and how many records of that millisecond came before.
func cutPage(found []muster.AccessRecord, after string, limit int) (page AccessPage, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = 100
	}
	slices.SortFunc(found, func(a, b muster.AccessRecord) int {
		return cmp.Or(compareAccess(&a, &b), cmp.Compare(a.Account, b.Account))
	})
	start := 0
	if after != "" {
		ms, skip, err := parseCursor(after)
		if err != nil {
			return page, err
		}
		start, _ = slices.BinarySearchFunc(found, ms, func(r muster.AccessRecord, ms int64) int { return cmp.Compare(r.At.UnixMilli(), ms) })
		start = min(start+skip, len(found))
	}
	end := min(start+limit, len(found))
	page.Records = found[start:end]
	if end < len(found) {
		ms := found[end-1].At.UnixMilli()
		first, _ := slices.BinarySearchFunc(found, ms, func(r muster.AccessRecord, ms int64) int { return cmp.Compare(r.At.UnixMilli(), ms) })
		page.Next = strconv.FormatInt(ms, 10) + "." + strconv.Itoa(end-first)
	}
	return page, nil
}

func parseCursor(s string) (ms int64, skip int, err error) {
	a, b, ok := strings.Cut(s, ".")
	ms, err1 := strconv.ParseInt(a, 10, 64)
	skip, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || skip < 0 {
		return 0, 0, muster.Invalid(muster.Fault{Pointer: "/after", Code: "format", Detail: "not a cursor of this question"})
	}
	return ms, skip, nil
}

// Used asks where an account was used in [From, Until): from anywhere, or from a
// network, or from a country.
type Used struct {
	Account     string
	From, Until time.Time
	Network     netip.Prefix   // the zero prefix: any
	Country     muster.Country // "": any
	After       string
	Limit       int
}

func (u *Used) window() window {
	w := window{from: u.From, until: u.Until}
	if u.Network.IsValid() {
		w.addr = u.Network.Masked().Contains
	}
	return w
}

// Used answers with the account's access records.
func (q *Questions) Used(ctx context.Context, ask Ask, u Used) (page AccessPage, err error) {
	found, err := q.used(ctx, ask, "used", u, true)
	if err != nil {
		return page, err
	}
	return cutPage(found, u.After, u.Limit)
}

// Place is one network that an account was used from.
type Place struct {
	Network netip.Prefix // an IPv4 address, or a /64 of IPv6
	Country muster.Country
	Hints   muster.Network
	Records int
	First   time.Time
	Last    time.Time
}

// Places answers with the networks and countries that an account was used from, those
// with most records first.
func (q *Questions) Places(ctx context.Context, ask Ask, u Used) ([]Place, error) {
	found, err := q.used(ctx, ask, "places", u, false)
	if err != nil {
		return nil, err
	}
	type key struct {
		p netip.Prefix
		c muster.Country
		n muster.Network
	}
	by := map[key]*Place{}
	for i := range found {
		r := &found[i]
		k := key{hostPrefix(r.IP), r.Country, r.Network}
		p := by[k]
		if p == nil {
			p = &Place{Network: k.p, Country: k.c, Hints: k.n, First: r.At, Last: r.At}
			by[k] = p
		}
		p.Records++
		if r.At.Before(p.First) {
			p.First = r.At
		}
		if r.At.After(p.Last) {
			p.Last = r.At
		}
	}
	list := make([]Place, 0, len(by))
	for _, p := range by {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), a.First.Compare(b.First), a.Network.Addr().Compare(b.Network.Addr()), cmp.Compare(a.Country, b.Country))
	})
	return list[:min(len(list), MaxPage)], nil
}

// used reads an account's records; with paged, no more than a page past the cursor needs.
func (q *Questions) used(ctx context.Context, ask Ask, name string, u Used, paged bool) (found []muster.AccessRecord, err error) {
	if err := checkInterval(u.From, u.Until, MaxUsed); err != nil {
		return nil, err
	}
	w := u.window()
	if paged && u.After != "" {
		ms, _, err := parseCursor(u.After)
		if err != nil {
			return nil, err
		}
		if t := time.UnixMilli(ms); t.After(w.from) {
			w.from = t
		}
	}
	limit := maxFound
	if paged {
		limit = MaxPage + 1
	}
	s, err := q.session(ctx, ask, name, u.Account+" "+scopeOf(u.From, u.Until))
	if err != nil {
		return nil, err
	}
	err = q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		found = nil
		holders, err := tx.HoldersOf(ctx, []string{u.Account})
		if err != nil {
			return err
		}
		if found, err = q.tail(ctx, tx, s, Want{Account: u.Account}, w, u.Account, found); err != nil {
			return err
		}
		if len(holders) > 0 {
			if found, err = q.walk(ctx, tx, s, holders[0], w, u.Country, limit, found); err != nil {
				return err
			}
		}
		if u.Country != "" {
			found = slices.DeleteFunc(found, func(r muster.AccessRecord) bool { return r.Country != u.Country })
		}
		return nil
	})
	return found, err
}

// walk appends an account's records from w.from on, in steps of a week, until it has
// at least limit of them or is through: so a page of a busy account does not open a year.
func (q *Questions) walk(ctx context.Context, tx Tx, s *vault.Session, h Holder, w window, country muster.Country, limit int, dst []muster.AccessRecord) ([]muster.AccessRecord, error) {
	have := 0
	step := 24 * time.Hour
	for from := w.from; from.Before(w.until) && have <= limit; {
		part := w
		part.from, part.until = from, from.Add(step)
		if end := quarterOf(from).end(); end.Before(part.until) {
			part.until = end
		}
		if w.until.Before(part.until) {
			part.until = w.until
		}
		n := len(dst)
		var err error
		if dst, err = q.records(ctx, tx, s, h, quarterOf(from), part, dst); err != nil {
			return dst, err
		}
		if country != "" {
			kept := slices.DeleteFunc(dst[n:], func(r muster.AccessRecord) bool { return r.Country != country })
			dst = dst[:n+len(kept)]
		}
		if have += len(dst) - n; len(dst) == n {
			step *= 4
		}
		from = part.until
	}
	return dst, nil
}

// Held asks who held one of the provider's own addresses at an instant, give or take
// Within. Port 0: any.
type Held struct {
	IP     netip.Addr
	Port   uint16
	At     time.Time
	Within time.Duration
}

// Holding is one answer: an account's lease.
type Holding struct {
	Lease muster.LeaseRecord
	Exact bool // not only give or take
}

// HeldAnswer is what is known. Where nobody held the address, Before and After say how
// near what is known comes: a gap is stated, not guessed.
type HeldAnswer struct {
	Holdings []Holding
	Before   time.Time // the latest known end of a lease before At; zero: none is known
	After    time.Time // the earliest known beginning after At; zero: none is known
}

// Held answers from leases.
func (q *Questions) Held(ctx context.Context, ask Ask, h Held) (answer HeldAnswer, err error) {
	if h.Within < 0 || h.Within > MaxWithin {
		return answer, muster.Invalid(muster.Fault{Pointer: "/within", Code: "too_long", Detail: "at most a day"})
	}
	from, until := h.At.Add(-h.Within), h.At.Add(h.Within+time.Millisecond)
	if err := checkInterval(from, until, 3*MaxWithin); err != nil {
		return answer, err
	}
	ip := h.IP.Unmap()
	if !ip.IsValid() {
		return answer, muster.Invalid(muster.Fault{Pointer: "/ip", Code: "address", Detail: "is needed"})
	}
	s, err := q.session(ctx, ask, "held", scopeOf(from, until))
	if err != nil {
		return answer, err
	}
	by := map[string][]muster.LeaseRecord{}
	if err := q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		clear(by)
		st, err := tx.State(ctx)
		if err != nil {
			return err
		}
		set := map[spot]bool{}
		look := func(m month) error {
			return find(ctx, tx, s, Leases, m, st.lengths(ip), func(_ int, p posting) { set[spot{m.quarter(), int64(p.number)}] = true })
		}
		months := []month{monthOf(from)}
		if m := monthOf(until); m != months[0] {
			months = append(months, m)
		}
		if c := month(st.Carried); c < months[0] && st.Carried > 0 {
			months = append(months, c) // open leases are not in the index of a later month yet
		}
		for _, m := range months {
			if err := look(m); err != nil {
				return err
			}
		}
		spots := slices.SortedFunc(maps.Keys(set), func(a, b spot) int { return cmp.Or(cmp.Compare(a.quarter, b.quarter), cmp.Compare(a.number, b.number)) })
		holders, err := q.numbered(ctx, tx, s, spots)
		if err != nil {
			return err
		}
		for _, x := range spots {
			o, ok := holders[x.number]
			if !ok {
				continue
			}
			list, err := readLeases(ctx, tx, s, o, x.quarter)
			if muster.ErrorCode(err) == muster.CodeGone {
				continue
			}
			if err != nil {
				return err
			}
			by[o.Account] = append(by[o.Account], list...)
		}
		unsealed := map[string][]muster.LeaseRecord{}
		if err := q.Tail.Tail(ctx, s, tx, Want{IP: ip}, func(b *Batch) error {
			for _, l := range b.Leases {
				if l.Prefix.IsValid() && l.Prefix.Contains(ip) {
					unsealed[l.Account] = append(unsealed[l.Account], l)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		here, err := q.present(ctx, slices.Collect(maps.Keys(unsealed)))
		if err != nil {
			return err
		}
		for account, list := range unsealed {
			if here[account] {
				by[account] = append(by[account], list...) // the later word
			}
		}
		return nil
	}); err != nil {
		return answer, err
	}
	for _, account := range slices.Sorted(maps.Keys(by)) {
		for _, l := range joinLeases(by[account]) {
			if !l.Prefix.IsValid() || !l.Prefix.Contains(ip) || h.Port != 0 && l.PortTo != 0 && (h.Port < l.PortFrom || h.Port > l.PortTo) {
				continue
			}
			l.Account = account
			holds, exact := l.Holds(ip, h.Port, h.At, h.Within)
			switch {
			case holds:
				answer.Holdings = append(answer.Holdings, Holding{l, exact})
			case !l.Until.IsZero() && !l.Until.After(h.At) && l.Until.After(answer.Before):
				answer.Before = l.Until
			case l.From.After(h.At) && (answer.After.IsZero() || l.From.Before(answer.After)):
				answer.After = l.From
			}
		}
	}
	slices.SortStableFunc(answer.Holdings, func(a, b Holding) int {
		if a.Exact != b.Exact {
			if a.Exact {
				return -1
			}
			return 1
		}
		return b.Lease.From.Compare(a.Lease.From)
	})
	if len(answer.Holdings) > 0 {
		answer.Before, answer.After = time.Time{}, time.Time{}
	}
	return answer, nil
}

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

func (q *Questions) shares(ctx context.Context, tx Tx, s *vault.Session, c Shares, own []muster.AccessRecord, answer *SharesAnswer) error {
	at := map[netip.Prefix]*company{}
	for i := range own {
		p := hostPrefix(own[i].IP)
		x := at[p]
		if x == nil {
			if len(at) >= maxAddresses {
				answer.Cut = true
				continue
			}
			x = &company{own: map[int64]bool{}, others: map[string]map[int64]bool{}}
			at[p] = x
		}
		x.own[own[i].At.Unix()/86400] = true
	}
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
	add := func(p netip.Prefix, account string) {
		if account != c.Account && at[p].others[account] == nil {
			at[p].others[account] = map[int64]bool{}
		}
	}
	for p, set := range numbers {
		for n := range set {
			if h, ok := holders[n]; ok {
				add(p, h.Account)
			}
		}
	}
	unsealed := map[string][]muster.AccessRecord{}
	if err := q.Tail.Tail(ctx, s, tx, Want{}, func(b *Batch) error {
		for _, r := range b.Access {
			if p := hostPrefix(r.IP); at[p] != nil && r.Account != c.Account && !r.At.Before(c.From) && r.At.Before(c.Until) {
				unsealed[r.Account] = append(unsealed[r.Account], r)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	here, err := q.present(ctx, slices.Collect(maps.Keys(unsealed)))
	if err != nil {
		return err
	}
	for account, list := range unsealed {
		if !here[account] {
			delete(unsealed, account)
			continue
		}
		for i := range list {
			add(hostPrefix(list[i].IP), account)
		}
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

// verify opens the records of an account that the index named: a tag can be another
// address's, once in a thousand.
func (q *Questions) verify(ctx context.Context, tx Tx, s *vault.Session, c Shares, account string, at map[netip.Prefix]*company, records []muster.AccessRecord) (Shared, error) {
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

// LastAccess answers when an account was used last; the zero time where no record is.
func (q *Questions) LastAccess(ctx context.Context, ask Ask, account string) (time.Time, error) {
	s, err := q.session(ctx, ask, "last_access", account)
	if err != nil {
		return time.Time{}, err
	}
	last, err := q.LastAccesses(ctx, s, []string{account})
	return last[account], err
}

// LastAccesses is LastAccess for a job: the clock of retention. Accounts without a
// record are absent.
func (q *Questions) LastAccesses(ctx context.Context, s *vault.Session, accounts []string) (map[string]time.Time, error) {
	last := map[string]time.Time{}
	err := q.Shelf.view(ctx, q.DB, func(tx Tx) error {
		clear(last)
		holders, err := tx.HoldersOf(ctx, accounts)
		if err != nil {
			return err
		}
		for _, h := range holders {
			t, err := q.last(ctx, tx, s, h)
			if err != nil {
				return err
			}
			if !t.IsZero() {
				last[h.Account] = t
			}
		}
		want := Want{}
		if len(accounts) == 1 {
			want.Account = accounts[0]
		}
		asked := make(map[string]bool, len(accounts))
		for _, a := range accounts {
			asked[a] = true
		}
		unsealed := map[string]time.Time{}
		if err := q.Tail.Tail(ctx, s, tx, want, func(b *Batch) error {
			for i := range b.Access {
				if r := &b.Access[i]; asked[r.Account] && r.At.After(unsealed[r.Account]) {
					unsealed[r.Account] = r.At
				}
			}
			return nil
		}); err != nil {
			return err
		}
		here, err := q.present(ctx, slices.Collect(maps.Keys(unsealed)))
		for account, t := range unsealed {
			if here[account] && t.After(last[account]) {
				last[account] = t
			}
		}
		return err
	})
	return last, err
}

// last is the time of the last sealed record: from the latest quarter that has chunks
// of the account, those that can hold it.
func (q *Questions) last(ctx context.Context, tx Tx, s *vault.Session, h Holder) (last time.Time, err error) {
	for at := quarterOf(q.Clock().Add(muster.MaxAhead)); at >= 0; at-- {
		var rows []chunkRow
		before := missing(tx)
		for level := range 2 {
			from, through := chunkRange(Access, at, level, h.Number)
			if err := chunks(ctx, tx, from, through, func(id int64, blob []byte) error {
				rows = append(rows, chunkRow{id, blob})
				return nil
			}); err != nil {
				return last, err
			}
		}
		if missing(tx) > before {
			return last, nil
		}
		if len(rows) == 0 {
			first, err := tx.NextChunk(ctx, chunkID(Access, 0, 0, 0, 0, 0))
			if err != nil || first < 0 || parseChunkID(first).kind != Access || parseChunkID(first).quarter >= at {
				return last, err
			}
			continue
		}
		for _, row := range rows {
			head, _, err := parseChunkHead(row.blob)
			if err != nil {
				return last, err
			}
			key := parseChunkID(row.id)
			if !key.base().Add(time.Duration(head.hours+1) * time.Hour).After(last) {
				continue
			}
			plain, _, err := openChunk(ctx, s, h, row)
			if muster.ErrorCode(err) == muster.CodeGone {
				return last, nil
			}
			if err != nil {
				return last, err
			}
			records, err := decodeAccess(nil, key.base(), plain, window{})
			if err != nil {
				return last, err
			}
			if n := len(records); n > 0 && records[n-1].At.After(last) {
				last = records[n-1].At
			}
		}
		return last, nil
	}
	return last, nil
}
