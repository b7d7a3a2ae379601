package vault

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Keys of the ledger. A period's key is destroyed when the period's records have to
// go, whoever still holds a copy of them: an hour of unsealed batches, a day of
// quarantine, a quarter of sealed records, a month of the index. They are rows of the
// key store like a subject's, under ids that name the period, so that they are wrapped,
// rotated, verified, backed up and destroyed with them.
//
// What is sealed for one subject and quarter is under a key derived from both: erasing
// the subject kills it, and so does the destruction of the quarter.

// PeriodUse is what a period's key is for.
type PeriodUse string

const (
	UseHot         PeriodUse = "hot"          // batches not sealed yet, by hour
	UseQuarantine  PeriodUse = "quarantine"   // records of unknown accounts, by day of arrival
	UseAccess      PeriodUse = "access"       // sealed access records, by quarter
	UseLease       PeriodUse = "lease"        // sealed leases, by quarter
	UseAccessIndex PeriodUse = "access_index" // digests of the addresses that accounts came from, by month
	UseLeaseIndex  PeriodUse = "lease_index"  // digests of the provider's own addresses, by month
)

// PeriodUses lists them all.
var PeriodUses = []PeriodUse{UseHot, UseQuarantine, UseAccess, UseLease, UseAccessIndex, UseLeaseIndex}

// Period names one key: what it is for, and which period of UTC.
type Period struct {
	Use  PeriodUse
	Name string // "2026-11-26t07", "2026-11-26", "2026q4", "2026-11": of one use they sort by time
}

// PeriodAt is the period of a use that t falls in.
func PeriodAt(use PeriodUse, t time.Time) Period {
	t = t.UTC()
	switch use {
	case UseHot:
		return Period{use, t.Format("2006-01-02t15")}
	case UseQuarantine:
		return Period{use, t.Format("2006-01-02")}
	case UseAccess, UseLease:
		return Period{use, t.Format("2006") + "q" + strconv.Itoa((int(t.Month())+2)/3)}
	case UseAccessIndex, UseLeaseIndex:
		return Period{use, t.Format("2006-01")}
	}
	panic("vault: no such use of a period's key: " + string(use))
}

const periodPrefix = "per_"

func (p Period) id() string { return periodPrefix + string(p.Use) + "_" + p.Name }

// PeriodKey is the open key of one period. It seals; it opens nothing outside this
// package. It prints its name and nothing else.
type PeriodKey struct {
	period Period
	o      *openKey
	tag    cipher.Block // of an index
}

// Period is the period that the key belongs to.
func (k PeriodKey) Period() Period { return k.period }

// Format prints the key's name under every verb.
func (k PeriodKey) Format(s fmt.State, _ rune) { io.WriteString(s, k.period.id()) }

// MakePeriods makes keys ahead, durable when it returns. Those that exist stay.
func (v *Vault) MakePeriods(ctx context.Context, periods ...Period) error {
	ids := make([]string, len(periods))
	for i, p := range periods {
		if !slices.Contains(PeriodUses, p.Use) || !word.MatchString(p.Name) {
			return muster.Errorf(muster.CodeInternal, "a period's key has no such name")
		}
		ids[i] = p.id()
	}
	for tries := 0; ; tries++ {
		have, err := v.Keys(ctx, ids)
		if err != nil {
			return err
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { _, ok := have[id]; return ok })
		if len(ids) == 0 {
			return nil
		}
		set := v.set.Load()
		rows := make([]KeyRow, len(ids))
		var key [32]byte
		for i, id := range ids {
			var handle [16]byte
			rand.Read(key[:])
			rand.Read(handle[:])
			rows[i] = v.wrapRow(set.epochs[set.epoch], id, handle, key[:])
		}
		clear(key[:])
		switch err := v.store.AddKeys(ctx, rows); {
		case err == nil:
			return nil
		case tries == 5:
			return err
		case muster.ErrorCode(err) == muster.CodeConflict: // another process made one of them
		case muster.ErrorCode(err) == muster.CodeStale: // another process turned the epoch
			if err := v.Refresh(ctx); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// PeriodKey opens a period's key for sealing, and makes it where there is none: a
// period that begins early must not stop anybody. A key that was destroyed comes back
// as another one, which opens nothing of the old. For what must not begin again
// (retention) the caller looks at the time first.
func (v *Vault) PeriodKey(ctx context.Context, p Period) (PeriodKey, error) {
	for {
		k, err := v.existing(ctx, p)
		if muster.ErrorCode(err) != muster.CodeGone {
			return k, err
		}
		if err := v.MakePeriods(ctx, p); err != nil {
			return PeriodKey{}, err
		}
	}
}

// existing is CodeGone where the key is destroyed or was never made.
func (v *Vault) existing(ctx context.Context, p Period) (PeriodKey, error) {
	k, err := v.Key(ctx, p.id())
	if err != nil {
		return PeriodKey{}, err
	}
	out := PeriodKey{period: p, o: k.o}
	if p.Use == UseAccessIndex || p.Use == UseLeaseIndex {
		out.tag, err = subBlock(k.o.part[:], "muster ledger tag")
	}
	return out, err
}

// Periods lists the periods of a use that have a key, oldest first.
func (v *Vault) Periods(ctx context.Context, use PeriodUse) ([]Period, error) {
	prefix := periodPrefix + string(use) + "_"
	var all []Period
	for after := prefix; ; {
		rows, err := v.store.Scan(ctx, 0, after, batch)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			name, ok := strings.CutPrefix(r.ID, prefix)
			if !ok {
				return all, nil
			}
			all = append(all, Period{use, name})
			after = r.ID
		}
		if len(rows) < batch {
			return all, nil
		}
	}
}

// DestroyPeriods shreds periods' keys; see Destroy.
func (v *Vault) DestroyPeriods(ctx context.Context, periods ...Period) error {
	ids := make([]string, len(periods))
	for i, p := range periods {
		ids[i] = p.id()
	}
	return v.Destroy(ctx, ids)
}

// SealPeriod seals what belongs to a period and to nobody alone: a batch, a block of
// the index. 29 bytes longer than plain, which is not padded: a batch's length says how
// many records it has, and its row says so too.
func (v *Vault) SealPeriod(k PeriodKey, place Place, plain []byte) []byte {
	out := make([]byte, 1, 1+len(plain)+28)
	out[0] = sealFormat
	var ad [192]byte
	return k.o.seal.Seal(out, nil, plain, v.placeAD(ad[:0], "muster period", place))
}

// OpenPeriod opens what SealPeriod made. CodeGone where the period's key is destroyed.
func (s *Session) OpenPeriod(ctx context.Context, p Period, place Place, sealed []byte) ([]byte, error) {
	if err := s.count(1); err != nil {
		return nil, err
	}
	k, err := s.v.existing(ctx, p)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 1+28 || sealed[0] != sealFormat {
		return nil, muster.Errorf(muster.CodeMalformed, "a sealed value has an unknown form")
	}
	var ad [192]byte
	plain, err := k.o.seal.Open(nil, nil, sealed[1:], s.v.placeAD(ad[:0], "muster period", place))
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a sealed value does not open in this place (%s, field %s, revision %d)", place.Record, place.Field, place.Revision)
	}
	return plain, nil
}

// Tag is the digest of an address in the index of a month: AES-256 of one block under
// a key of the month, cut to 64 bits. A block cipher is a pseudo-random function of
// a value that fills exactly one block, and costs a tenth of an HMAC; a busy month has
// 10^8 of them. Tags of two months cannot be joined, and when the month's key is
// destroyed they are noise.
func (k PeriodKey) Tag(address [16]byte) uint64 {
	if k.tag == nil {
		panic("vault: a tag under the key of something that is no index")
	}
	var out [16]byte
	k.tag.Encrypt(out[:], address[:])
	return binary.BigEndian.Uint64(out[:])
}

// SpanPlace is where one chunk of sealed records belongs. All of it is associated data.
type SpanPlace struct {
	Subject string
	Row     int64  // the key of its row, which names record kind, account and quarter
	Header  []byte // what lies in front of it in the clear: format, generation, length of the span
}

func (v *Vault) spanAD(dst []byte, p Period, place SpanPlace) []byte {
	dst = fields(dst, "muster ledger span", v.deployment, place.Subject, string(p.Use), p.Name)
	dst = binary.BigEndian.AppendUint64(dst, uint64(place.Row))
	return append(dst, place.Header...)
}

// SpanKey is the key of one subject's records of one quarter.
type SpanKey struct {
	period Period
	aead   cipher.AEAD
}

// Span derives the key of a subject and quarter. It needs both for ever after.
func (v *Vault) Span(subject Key, quarter PeriodKey) (SpanKey, error) {
	if subject.o == nil || quarter.o == nil || quarter.period.Use != UseAccess && quarter.period.Use != UseLease {
		return SpanKey{}, muster.Errorf(muster.CodeInternal, "a span needs a subject and a quarter")
	}
	secret := append(append(make([]byte, 0, 64), subject.o.part[:]...), quarter.o.part[:]...)
	defer clear(secret)
	aead, err := subAEAD(secret, "muster ledger span")
	return SpanKey{quarter.period, aead}, err
}

// SealSpan appends the sealed chunk to place.Header: nonce (12), ciphertext, tag (16).
func (v *Vault) SealSpan(k SpanKey, place SpanPlace, plain []byte) []byte {
	var ad [192]byte
	out := make([]byte, len(place.Header), len(place.Header)+len(plain)+28)
	copy(out, place.Header)
	return k.aead.Seal(out, nil, plain, v.spanAD(ad[:0], k.period, place))
}

// SpanOpener opens the chunks of one subject and quarter within a session.
type SpanOpener struct {
	s *Session
	k SpanKey
}

// OpenSpans makes the opener. CodeGone where the subject or the quarter is destroyed.
func (s *Session) OpenSpans(ctx context.Context, keyID string, quarter Period) (SpanOpener, error) {
	if err := s.count(0); err != nil {
		return SpanOpener{}, err
	}
	q, err := s.v.existing(ctx, quarter)
	if err != nil {
		return SpanOpener{}, err
	}
	subject, err := s.v.Key(ctx, keyID)
	if err != nil {
		return SpanOpener{}, err
	}
	k, err := s.v.Span(subject, q)
	return SpanOpener{s, k}, err
}

// Open opens a chunk that begins with place.Header, into dst where it has room.
func (o SpanOpener) Open(dst []byte, place SpanPlace, sealed []byte) ([]byte, error) {
	if err := o.s.count(1); err != nil {
		return nil, err
	}
	body, ok := bytes.CutPrefix(sealed, place.Header)
	if !ok || len(body) < 28 {
		return nil, muster.Errorf(muster.CodeMalformed, "a sealed chunk is too short")
	}
	var ad [192]byte
	plain, err := o.k.aead.Open(dst[:0], nil, body, o.s.v.spanAD(ad[:0], o.k.period, place))
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a sealed chunk does not open in this place (row %d)", place.Row)
	}
	return plain, nil
}

// Question is a reveal whose values are found while it is answered: who came from an
// address, where an account was used. Its leaf, durable before anything is opened, names
// the question and its scope, and neither address nor account; one covers a page.
// r.Items is empty. Whether the operator may is the caller's to ask before.
func (v *Vault) Question(ctx context.Context, r RevealRequest, name, scope string, rec Recorder) (*Session, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if rec == nil || len(r.Items) > 0 || !word.MatchString(name) || !scopeText.MatchString(scope) {
		return nil, muster.Errorf(muster.CodeInternal, "a question states its name and scope, and has a recorder")
	}
	e := Entry{
		Type: EntryLookup, ID: muster.NewID(muster.PrefixRequest, v.clock()), Operator: r.Operator,
		Purpose: r.Purpose, Case: r.Case, Job: name, Scope: scope,
	}
	if err := rec.Record(ctx, e); err != nil {
		return nil, err
	}
	return &Session{v: v, start: e}, nil
}

// PeriodKey opens an existing key within a session, for the digests of a question.
// CodeGone where it is destroyed.
func (s *Session) PeriodKey(ctx context.Context, p Period) (PeriodKey, error) {
	if err := s.count(0); err != nil {
		return PeriodKey{}, err
	}
	return s.v.existing(ctx, p)
}
