// Package roomtest wires the rooms of one deployment on a real store, for the
// tests of onboard, review, staff, programme and journal.
//
// Rules of this room:
//   - Everything is real but the root key, the clock and the way of a code, which
//     nobody sends: Code draws it as the sender would.
//   - One deployment a test, alone in its folder or database; tests run in parallel.
//   - Time moves when a test moves it.
package roomtest

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/programme"
	"github.com/muster-cip/muster/register"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/staff"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
	"github.com/muster-cip/muster/verify/contact"
	"github.com/muster-cip/muster/verify/document"
)

// Start is the time at which a deployment begins.
var Start = time.Date(2026, 11, 2, 9, 20, 0, 0, time.UTC)

// SoloDelay is what a solo operator waits where two are needed.
const SoloDelay = 72 * time.Hour

// Options of a deployment. The zero value is production on SQLite with the
// default pack and two operators.
type Options struct {
	Store   store.Config // zero: SQLite in a folder of the test's
	Mode    string       // "": production
	Packs   []string     // sources; nil: the default pack
	Solo    bool         // one operator
	Listens bool         // somebody listens to events
}

// Rooms is one deployment, wired.
type Rooms struct {
	testing.TB
	DB        *store.DB
	Clock     *Clock
	KeyStore  *vaulttest.Store
	KMS       *vaulttest.KMS
	Vault     *vault.Vault
	Journal   *journal.Journal
	Programme *programme.Programme
	Activate  *programme.Service
	Staff     *staff.Service
	Onboard   *onboard.Service
	Review    *review.Service
	Register  *register.Register
	Config    onboard.Config

	Anna, Bea muster.Principal // operators; where Solo, both are one
	Folder    string           // of the log's tiles
	Path      string           // of the SQLite file, "" of PostgreSQL
	Publisher *tlog.Publisher
	Verifier  note.Verifier
	Key       string // the log's, public
	Faults    *Faults
	Lists     *Lists // watch lists; none until a test puts one into effect
}

// Clock stands until it is moved.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// Now is a muster.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Move lets time pass.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Setup opens a deployment; it is closed when the test ends.
func Setup(t testing.TB, o Options) *Rooms {
	t.Helper()
	ctx := t.Context()
	r := &Rooms{TB: t, Clock: &Clock{at: Start}, KeyStore: vaulttest.NewStore(), KMS: vaulttest.NewKMS(), Folder: t.TempDir(), Faults: &Faults{}, Lists: &Lists{}}
	if o.Mode == "" {
		o.Mode = muster.ModeProduction
	}
	if o.Packs == nil {
		o.Packs = []string{Pack(t, packs.Default)}
	}
	if o.Store.Path == "" && o.Store.DSN == "" {
		o.Store.Path = filepath.Join(t.TempDir(), "muster.db")
	}
	o.Store.Clock, r.Path = r.Clock.Now, o.Store.Path
	var err error
	if r.DB, err = store.Open(ctx, o.Store); err != nil {
		t.Fatal(err)
	}
	if r.Vault, err = vault.Open(ctx, vault.Config{
		Deployment: "test", KMS: r.KMS, Store: r.KeyStore, PoolSize: 16, Create: true, Clock: r.Clock.Now,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Vault.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := r.DB.Close(); err != nil {
			t.Error(err)
		}
	})
	checker, err := validate.New()
	if err != nil {
		t.Fatal(err)
	}
	r.Journal = journal.New(r.Vault, store.As[journal.Tx](r.DB))
	reads := Reads{r.DB}
	r.Programme = programme.New(r.DB)
	r.Staff = staff.New(staff.Config{
		DB: store.As[staff.Tx](r.DB), Tokens: reads, Clock: r.Clock.Now, Journal: r.Journal, MAC: r.Vault, Mode: o.Mode, Delay: SoloDelay,
	})
	r.Activate = programme.NewService(programme.Config{
		DB: store.As[programme.Tx](r.DB), Journal: r.Journal, Staff: r.Staff, Programme: r.Programme,
		Vault: r.Vault, Past: reads, Clock: r.Clock.Now,
	})
	r.log()
	r.Register = register.New(register.Config{
		DB: store.As[register.Tx](r.DB), Vault: r.Vault, Journal: r.Journal, Staff: r.Staff, Programme: r.Programme, Clock: r.Clock.Now, Listeners: listens(o.Listens),
	})
	r.Config = onboard.Config{
		DB: room{store.As[onboard.Tx](r.DB), r.Faults}, Vault: r.Vault, Journal: r.Journal, Checker: checker,
		Programme: r.Programme, Staff: r.Staff, Listeners: listens(o.Listens), Proofs: proofs{r}, Lists: r.Lists, Clock: r.Clock.Now, Mode: o.Mode,
		CustomerURL: "https://provider.example/verify/{application}", Ways: ways(), Measures: r.Register,
	}
	r.Onboard = onboard.New(r.Config)
	r.Activate.Rescreener = r.Onboard
	r.Register.Decider, r.Register.Profiles = r.Onboard, profiles{r}
	r.Review = review.New(review.Config{
		DB: store.As[review.Tx](r.DB), Staff: r.Staff, Programme: r.Programme, Finder: finder{r},
	})
	r.Anna = r.operator("Anna")
	r.Bea = r.Anna
	if !o.Solo {
		r.Bea = r.operator("Bea")
	}
	var compiled []*policy.Pack
	for _, src := range o.Packs {
		p, err := policy.Compile([]byte(src))
		if err != nil {
			t.Fatal(err)
		}
		compiled = append(compiled, p)
	}
	if err := r.Activate.First(ctx, r.Anna.Operator, compiled...); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Rooms) operator(name string) muster.Principal {
	o, err := r.Staff.Add(r.Context(), "", name)
	if err != nil {
		r.Fatal(err)
	}
	return muster.Principal{Operator: o.ID, Token: "tok_" + name, Scopes: muster.Scopes}
}

// Pack is the source of an embedded pack.
func Pack(t testing.TB, id string) string {
	t.Helper()
	src, ok := packs.Source(id)
	if !ok {
		t.Fatalf("no embedded pack %s", id)
	}
	return string(src)
}

func (r *Rooms) log() {
	signers, err := r.Vault.LogSigners("test.muster.example/log")
	if err != nil {
		r.Fatal(err)
	}
	r.Key = signers[0].Public
	if r.Verifier, err = tlog.NewLogVerifier(r.Key); err != nil {
		r.Fatal(err)
	}
	if r.Publisher, err = tlog.NewPublisher(tlog.PublisherConfig{
		Leaves: r.DB.Log(), Tiles: tlog.NewDirTiles(r.Folder), Heads: r.DB.Log(), Keys: tlog.OneKey(signers[0], r.Verifier),
	}); err != nil {
		r.Fatal(err)
	}
}

// GateKey is the key of the gate's hashes in use.
func (r *Rooms) GateKey() [32]byte {
	keys, use := r.Vault.GateKeys()
	return keys[use]
}

// Audit publishes what is new and checks the whole log.
func (r *Rooms) Audit() *journal.Audit {
	r.Helper()
	if _, err := r.Publisher.Publish(r.Context()); err != nil {
		r.Fatal(err)
	}
	return r.AuditOnly()
}

// AuditOnly checks the log as it is.
func (r *Rooms) AuditOnly() *journal.Audit {
	r.Helper()
	a, err := r.Journal.Audit(r.Context(), Reads{r.DB}, tlog.NewDirTiles(r.Folder), r.Verifier)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// Clean fails the test unless the audit finds nothing.
func (r *Rooms) Clean() {
	r.Helper()
	if a := r.Audit(); !a.Clean() {
		r.Errorf("the audit finds: %v", a.Findings)
	}
}

// proofs completes bundles against a head that is published first.
type proofs struct{ *Rooms }

func (p proofs) Complete(ctx context.Context, b *tlog.Bundle, sizes ...int64) error {
	cp, err := p.Publisher.Publish(ctx)
	if err != nil {
		return err
	}
	leaves, err := p.DB.Log().Leaves(ctx, b.Index, b.Index+1)
	if err != nil {
		return err
	}
	b.Leaf, b.Key = leaves[0], p.Key
	return tlog.NewProver(tlog.NewDirTiles(p.Folder)).Complete(ctx, b, cp, sizes...)
}

type listens bool

func (l listens) Any() bool { return bool(l) }

type finder struct{ *Rooms }

func (f finder) Resolve(ctx context.Context, tx review.Tx, r *muster.ReviewRecord, by muster.Principal, x review.Finding) error {
	_, err := f.Onboard.Resolve(ctx, tx.(*store.Tx), r, by, x.Finding == review.Clear, x.Rules, x.Reason, x.Expires)
	return err
}

func (f finder) ResolveHit(ctx context.Context, tx review.Tx, r *muster.HitRecord, by muster.Principal, x review.HitOutcome) error {
	return f.Onboard.ResolveHit(ctx, tx.(*store.Tx), r, by, onboard.HitFinding(x))
}

func (f finder) Enter(ctx context.Context, tx review.Tx, t tlog.LeafType, by muster.Principal, about muster.Ref, body any) error {
	_, err := f.Journal.Enter(ctx, tx.(*store.Tx), t, by.Operator, about, body)
	return err
}

func ways() onboard.Ways {
	return onboard.Ways{
		Contact: map[string]onboard.Contact{
			contact.Email: {Method: contact.EmailMethod, Ready: true, Kind: vault.KindEmail, Address: func(n *validate.NormalSubject) string { return n.Email }},
			contact.Phone: {Method: contact.PhoneMethod, Ready: true, Kind: vault.KindPhone, Address: func(n *validate.NormalSubject) string { return n.Phone }},
		},
		Recorded: map[string]onboard.Recorded{
			document.Manual: {Method: document.ManualMethod, Take: func(s onboard.Seen, input []byte) (*onboard.Found, error) {
				f, err := document.Take(document.Seen{Subject: s.Subject, Kind: s.Kind, Revision: s.Revision, Operator: s.Operator, Now: s.Now}, input)
				if err != nil {
					return nil, err
				}
				return &onboard.Found{Evidence: f.Evidence, Details: f.Details, Kind: vault.KindDocument, Value: f.Identity}, nil
			}, Value: func(details []byte) (vault.Kind, string, error) {
				number, err := document.Identity(details)
				return vault.KindDocument, number, err
			}},
		},
	}
}

// View reads the store in one snapshot.
func View[T any](r *Rooms, fn func(ctx context.Context, tx *store.Tx) (T, error)) T {
	r.Helper()
	out, err := read(r.Context(), r.DB, fn)
	if err != nil {
		r.Fatal(err)
	}
	return out
}

func read[T any](ctx context.Context, db *store.DB, fn func(ctx context.Context, tx *store.Tx) (T, error)) (out T, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		out, err = fn(ctx, tx)
		return err
	})
	return out, err
}

// Reads is the store as rooms read it outside a transaction.
type Reads struct{ DB *store.DB }

// TokenByMAC finds a token.
func (r Reads) TokenByMAC(ctx context.Context, mac []byte) (t *muster.TokenRecord, o *muster.OperatorRecord, err error) {
	err = r.DB.View(ctx, func(tx *store.Tx) error {
		t, o, err = tx.TokenByMAC(ctx, mac)
		return err
	})
	return t, o, err
}

// DecisionsSince lists decisions.
func (r Reads) DecisionsSince(ctx context.Context, t time.Time, page muster.Page) ([]*muster.DecisionRecord, error) {
	return read(ctx, r.DB, func(ctx context.Context, tx *store.Tx) ([]*muster.DecisionRecord, error) {
		return tx.DecisionsSince(ctx, t, page)
	})
}

// Leaves are the log's.
func (r Reads) Leaves(ctx context.Context, from, to int64) ([][]byte, error) {
	return r.DB.Log().Leaves(ctx, from, to)
}

// LogSize is the number of leaves.
func (r Reads) LogSize(ctx context.Context) (int64, error) { return r.DB.Log().Size(ctx) }

// Head is the signed head.
func (r Reads) Head(ctx context.Context) ([]byte, error) { return r.DB.Log().Head(ctx) }

// Handovers are of the log's key.
func (r Reads) Handovers(ctx context.Context) ([]muster.Handover, error) {
	return r.DB.LogHandovers(ctx)
}

// Leafless lists records without a leaf.
func (r Reads) Leafless(ctx context.Context, limit int) ([]string, error) {
	return read(ctx, r.DB, func(ctx context.Context, tx *store.Tx) ([]string, error) { return tx.Leafless(ctx, limit) })
}

// Rows are leaves with their records.
func (r Reads) Rows(ctx context.Context, from, to int64) ([]journal.Row, error) {
	rows, err := read(ctx, r.DB, func(ctx context.Context, tx *store.Tx) ([]store.AuditRow, error) { return tx.AuditRows(ctx, from, to) })
	out := make([]journal.Row, len(rows))
	for i, x := range rows {
		out[i] = journal.Row(x)
	}
	return out, err
}

type profiles struct{ *Rooms }

func (p profiles) PutProfile(ctx context.Context, tx register.Tx, a *muster.AccountRecord, ts []muster.Transition) error {
	return p.Onboard.PutProfile(ctx, tx.(*store.Tx), a, ts)
}
