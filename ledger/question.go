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
	return sortSpots(set), nil
}

func sortSpots(set map[spot]bool) []spot {
	return slices.SortedFunc(maps.Keys(set), func(a, b spot) int { return cmp.Or(cmp.Compare(a.quarter, b.quarter), cmp.Compare(a.number, b.number)) })
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
