// Package staff knows the operators, their tokens, and when two of them are needed.
//
// Rules of this room:
//   - Every token belongs to a named operator; two tokens of one are one person.
//   - A token's secret is shown once and kept as a keyed hash.
//   - No token leads to a scope that it does not carry. What a release brings is
//     granted from the machine's own command line, by who holds the keys anyway.
//   - Four eyes means two operators. Where only one exists, that is a recorded
//     mode: what needs two waits for a delay instead. Going back from two to one
//     is break-glass, and has a leaf of its own.
package staff

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/tlog"
)

// Tx is what this room needs of a transaction.
type Tx interface {
	journal.Tx
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
	PutOperator(ctx context.Context, r *muster.OperatorRecord) error
	PutToken(ctx context.Context, r *muster.TokenRecord) error
	Token(ctx context.Context, id string) (*muster.TokenRecord, error)
	Tokens(ctx context.Context, operator string) ([]*muster.TokenRecord, error) // "": of all, also those that ended
	RenewToken(ctx context.Context, id string, was, is []byte) error            // another MAC of the same secret
}

// DB opens transactions.
type DB interface {
	InTx(ctx context.Context, fn func(Tx) error) error
}

// MAC is the keyed hash under which secrets are kept: under the version of its key in
// use, and under every live one, that first.
type MAC interface {
	TokenMAC(secret []byte) []byte
	TokenMACs(secret []byte) [][]byte
}

// Tokens finds a token and its operator by the token's keyed hash. CodeNotFound
// where there is none.
type Tokens interface {
	TokenByMAC(ctx context.Context, mac []byte) (*muster.TokenRecord, *muster.OperatorRecord, error)
}

// Config of a Service; all are required.
type Config struct {
	DB      DB
	Tokens  Tokens
	Clock   muster.Clock
	Journal *journal.Journal
	MAC     MAC
	Mode    string        // of the deployment: part of every secret, so that a sandbox token is known on sight
	Delay   time.Duration // what a solo operator waits where two are needed
}

// Service is the room's verbs.
type Service struct{ Config }

// New makes a Service.
func New(c Config) *Service { return &Service{c} }

const (
	maxName      = 100
	longestToken = 400 * 24 * time.Hour
)

// Add adds an operator. The name is how colleagues know the person; it stands in
// the record beside what they did.
func (s *Service) Add(ctx context.Context, by, name string) (*muster.OperatorRecord, error) {
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxName {
		return nil, muster.Invalid(muster.Fault{Pointer: "/name", Code: "length", Detail: "a name has 1 to 100 bytes"})
	}
	var r *muster.OperatorRecord
	err := s.DB.InTx(ctx, func(tx Tx) error {
		all, err := tx.Operators(ctx)
		if err != nil {
			return err
		}
		for _, o := range all {
			if o.Name == name {
				return muster.Errorf(muster.CodeConflict, "an operator of that name exists")
			}
		}
		r = &muster.OperatorRecord{ID: muster.NewID(muster.PrefixOperator, tx.Now()), Name: name, Made: tx.Now()}
		if err := tx.PutOperator(ctx, r); err != nil {
			return err
		}
		if by == "" {
			by = r.ID // the first
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Operator, by, about(r.ID), change{"added", enabled(all) + 1})
		return err
	})
	return r, err
}

// Disable ends an operator: all tokens of theirs are dead at once. Disabling the
// second-last needs breakGlass, for it ends four eyes; the last cannot be disabled.
func (s *Service) Disable(ctx context.Context, by, id string, breakGlass bool) error {
	return s.DB.InTx(ctx, func(tx Tx) error {
		all, err := tx.Operators(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(o muster.OperatorRecord) bool { return o.ID == id })
		switch n := enabled(all); {
		case i < 0:
			return muster.Errorf(muster.CodeNotFound, "no such operator")
		case !all[i].Disabled.IsZero():
			return nil
		case n == 1:
			return muster.Errorf(muster.CodeForbidden, "the last operator cannot be disabled")
		case n == 2 && !breakGlass:
			return &muster.Error{
				Code: muster.CodeForbidden, Message: "this leaves one operator, and nothing could have four eyes",
				Hint: "add another operator first, or say break_glass: it is recorded",
			}
		case n == 2:
			if _, err := s.Journal.Enter(ctx, tx, tlog.BreakGlass, by, about(id), change{"solo", 1}); err != nil {
				return err
			}
		}
		all[i].Disabled = tx.Now()
		if err := tx.PutOperator(ctx, &all[i]); err != nil {
			return err
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Operator, by, about(id), change{"disabled", enabled(all)})
		return err
	})
}

// change is the body of an operator's entry.
type change struct {
	What    string `json:"what"`
	Enabled int    `json:"enabled"` // operators after it; 1 is the solo mode
}

func about(id string) muster.Ref { return muster.Ref{Kind: "operator", ID: id} }

func enabled(all []muster.OperatorRecord) (n int) {
	for _, o := range all {
		if o.Disabled.IsZero() {
			n++
		}
	}
	return n
}

// Grant is a token to be made.
type Grant struct {
	Operator string         `json:"operator"`
	Name     string         `json:"name" doc:"what it is for"`
	Scopes   []muster.Scope `json:"scopes"`
	Days     int            `json:"days" minimum:"1" maximum:"400" doc:"lifetime"`
}

func (g *Grant) check() error {
	var faults []muster.Fault
	if g.Days < 1 || time.Duration(g.Days)*24*time.Hour > longestToken {
		faults = append(faults, muster.Fault{Pointer: "/days", Code: "range", Detail: "1 to 400 days"})
	}
	if len(g.Scopes) == 0 {
		faults = append(faults, muster.Fault{Pointer: "/scopes", Code: "empty", Detail: "a token carries at least one scope"})
	}
	for _, sc := range g.Scopes {
		if !slices.Contains(muster.Scopes, sc) {
			faults = append(faults, muster.Fault{Pointer: "/scopes", Code: "unknown_scope", Detail: "no such scope"})
		}
	}
	if len(g.Name) > maxName {
		faults = append(faults, muster.Fault{Pointer: "/name", Code: "length", Detail: "at most 100 bytes"})
	}
	if faults != nil {
		return muster.Invalid(faults...)
	}
	return nil
}

// Create makes a token and returns its secret, which nobody can see again. by grants no
// scope that they do not carry, whatever anybody else carries.
func (s *Service) Create(ctx context.Context, by muster.Principal, g Grant) (*muster.TokenRecord, string, error) {
	if err := g.check(); err != nil {
		return nil, "", err
	}
	for _, sc := range g.Scopes {
		if !by.May(sc) {
			return nil, "", errNotCarried
		}
	}
	return s.newToken(ctx, by.Operator, "", g)
}

// CreateOnMachine is Create for the machine's own command line, which holds the stores
// and the root key: it makes the first token, and one with the scopes that a release
// brings (decision 0080). Its entry names no operator as the maker.
func (s *Service) CreateOnMachine(ctx context.Context, g Grant) (*muster.TokenRecord, string, error) {
	if err := g.check(); err != nil {
		return nil, "", err
	}
	return s.newToken(ctx, "", "machine", g)
}

func (s *Service) newToken(ctx context.Context, by, from string, g Grant) (*muster.TokenRecord, string, error) {
	secret := "muster_" + s.Mode + "_" + newSecret()
	var r *muster.TokenRecord
	err := s.DB.InTx(ctx, func(tx Tx) error {
		all, err := tx.Operators(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(o muster.OperatorRecord) bool { return o.ID == g.Operator && o.Disabled.IsZero() }) {
			return muster.Invalid(muster.Fault{Pointer: "/operator", Code: "unknown", Detail: "no such operator, or a disabled one"})
		}
		r = &muster.TokenRecord{
			ID: muster.NewID(muster.PrefixToken, tx.Now()), Operator: g.Operator, Name: g.Name,
			MAC: s.MAC.TokenMAC([]byte(secret)), Scopes: g.Scopes, Made: tx.Now(),
			Expires: tx.Now().Add(time.Duration(g.Days) * 24 * time.Hour),
		}
		if err := tx.PutToken(ctx, r); err != nil {
			return err
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Token, by, muster.Ref{Kind: "token", ID: r.ID},
			created{What: "created", For: g.Operator, From: from, Scopes: g.Scopes})
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return r, secret, nil
}

// created is the body of a new token's entry.
type created struct {
	What   string         `json:"what"`
	For    string         `json:"for"`            // operator whose token it is
	From   string         `json:"from,omitempty"` // machine: nobody's token asked for it
	Scopes []muster.Scope `json:"scopes"`
}

var errNotCarried = &muster.Error{
	Code: muster.CodeForbidden, Message: "nobody grants a scope that they do not carry",
	Hint: "whoever carries it grants it; one that came with a release: muster operator grant, on the machine itself",
}

// Principal is who a token's secret stands for, now. CodeUnauthorized without a
// reason where it is unknown, expired or revoked, or its operator is disabled.
func (s *Service) Principal(ctx context.Context, secret string) (muster.Principal, error) {
	var t *muster.TokenRecord
	var o *muster.OperatorRecord
	err := error(muster.Errorf(muster.CodeNotFound, "there is no such token"))
	macs := s.MAC.TokenMACs([]byte(secret)) // more than one while their key turns
	for _, mac := range macs {
		if t, o, err = s.Tokens.TokenByMAC(ctx, mac); muster.ErrorCode(err) != muster.CodeNotFound {
			break
		}
	}
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return muster.Principal{}, muster.Errorf(muster.CodeUnauthorized, "this token is not good")
	}
	if err != nil {
		return muster.Principal{}, err
	}
	if now := s.Clock(); !t.Revoked.IsZero() || !now.Before(t.Expires) || !o.Disabled.IsZero() {
		return muster.Principal{}, muster.Errorf(muster.CodeUnauthorized, "this token is not good")
	}
	// The secret is here now and is kept nowhere: only its use brings a token up to a new
	// version of the key. A lower number is never put for a higher one: another process
	// may have the newer key in use already.
	if was := t.MAC; len(was) > 0 && was[0] < macs[0][0] {
		if err := s.DB.InTx(ctx, func(tx Tx) error { return tx.RenewToken(ctx, t.ID, was, macs[0]) }); err != nil {
			return muster.Principal{}, err
		}
	}
	return muster.Principal{Operator: t.Operator, Token: t.ID, Scopes: t.Scopes}, nil
}

// newSecret is 32 characters with 160 random bits.
func newSecret() string {
	var b [20]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// Revoke ends a token; every process refuses it within five seconds.
func (s *Service) Revoke(ctx context.Context, by, id string) error {
	return s.DB.InTx(ctx, func(tx Tx) error {
		r, err := tx.Token(ctx, id)
		if err != nil || !r.Revoked.IsZero() {
			return err
		}
		r.Revoked = tx.Now()
		if err := tx.PutToken(ctx, r); err != nil {
			return err
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Token, by, muster.Ref{Kind: "token", ID: id}, struct {
			What string `json:"what"`
		}{"revoked"})
		return err
	})
}

// FourEyes says whether by may complete what proposer proposed at that time:
// another operator may at once; in the solo mode the same one after the delay.
func (s *Service) FourEyes(ctx context.Context, tx interface {
	Now() time.Time
	Operators(ctx context.Context) ([]muster.OperatorRecord, error)
}, proposer, by string, proposed time.Time,
) error {
	if by != proposer {
		return nil
	}
	all, err := tx.Operators(ctx)
	if err != nil {
		return err
	}
	if enabled(all) > 1 {
		return &muster.Error{Code: muster.CodeForbidden, Message: "this takes two operators", Hint: "another operator completes it"}
	}
	if wait := s.Delay - tx.Now().Sub(proposed); wait > 0 {
		return &muster.Error{
			Code: muster.CodeForbidden, Message: "a solo operator completes this after a delay",
			Hint: "try again after " + proposed.Add(s.Delay).Format(time.RFC3339), RetryAfter: wait,
		}
	}
	return nil
}
