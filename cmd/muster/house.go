package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ask"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/programme"
	"github.com/muster-cip/muster/register"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/rotate"
	"github.com/muster-cip/muster/staff"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/verify/contact"
	"github.com/muster-cip/muster/verify/document"
	"github.com/muster-cip/muster/watch"
	"github.com/muster-cip/muster/watchlist"
)

// house is a deployment, opened: its stores and rooms, wired. Nothing runs yet.
type house struct {
	conf  Config
	clock muster.Clock
	log   *slog.Logger
	self  string // this process, among all that share the store

	reading reading

	db     *store.DB
	keys   *store.Keys
	ledger *store.Ledger
	meta   *muster.Meta

	vault     *vault.Vault
	journal   *journal.Journal
	checker   *validate.Checker
	programme *programme.Programme
	activate  *programme.Service
	staff     *staff.Service
	onboard   *onboard.Service
	review    *review.Service
	register  *register.Register
	retain    *retain.Service
	turns     *rotate.Service // of keys
	listeners *listeners
	lists     *watchlist.Service
	centre    *gate.Centre
	gate      *gate.Gate // of the centre
	asked     *ask.Recorder
	watching  *watching
	lookups   *onboard.Lookups

	out  *outbound.Client // the one way outside
	book *watch.Book      // the log's tiles and heads

	hot   *ledger.Hot // what takes access records and leases; nil unless it serves
	where *where      // where addresses are
	asks  *ledger.Questions

	storage storage // of tiles and chunks outside the databases; nil: there is none
	shelf   *ledger.Shelf
	stored  storageState
	drift   drift
}

// options of opening.
type options struct {
	create bool // first start: make keys and the deployment's own record
	clock  muster.Clock
	log    *slog.Logger
	commit func(store.Commit)

	stored func(what, outcome string, took time.Duration) // hears of each request to the storage
}

// openHouse opens stores and wires the rooms. Close it.
func openHouse(ctx context.Context, c Config, o options) (_ *house, err error) {
	h := &house{conf: c, clock: o.clock, log: o.log, self: processName()}
	if h.clock == nil {
		h.clock = muster.SystemClock
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			h.close(context.WithoutCancel(ctx))
		}
	}()
	if err := h.openStores(ctx, o); err != nil {
		return nil, err
	}
	if h.storage, err = c.openStorage(h.clock, o.stored); err != nil {
		return nil, err
	}
	if err := h.openShelf(); err != nil {
		return nil, err
	}
	if err := h.openMeta(ctx, o.create); err != nil {
		return nil, err
	}
	kms, err := openRootKey(ctx, &c)
	if err != nil {
		return nil, err
	}
	if h.vault, err = vault.Open(ctx, vault.Config{
		Deployment: h.meta.Deployment, KMS: kms, Store: h.keys, Clock: h.clock, Shared: c.Database != "", Create: o.create,
		PoolSize: 1024, // a refill is a sync of its own, beside the main store's
	}); err != nil {
		return nil, err
	}
	return h, h.wire(ctx)
}

func (h *house) openStores(ctx context.Context, o options) (err error) {
	data := store.Config{Clock: h.clock, Logger: h.log, Observe: o.commit}
	keys := store.Config{Clock: h.clock, Logger: h.log}
	if h.conf.Database == "" {
		data.Path, keys.Path = filepath.Join(h.conf.Data, "muster.db"), filepath.Join(h.conf.Keys, "keys.db")
	} else {
		if data.DSN, err = secretFile(h.conf.Database); err != nil {
			return err
		}
		if keys.DSN, err = secretFile(h.conf.KeyDatabase); err != nil {
			return err
		}
	}
	// A key store that is away must not be made anew: what is sealed would look lost.
	if _, missing := os.Stat(keys.Path); keys.Path != "" && missing != nil && !o.create {
		return &muster.Error{
			Code: muster.CodeNotFound, Message: "there is no key store at " + keys.Path,
			Hint: "restore it from its backup; nothing was changed",
		}
	}
	if h.db, err = store.Open(ctx, data); err != nil {
		return err
	}
	if err := h.openLedger(ctx, data); err != nil {
		return err
	}
	h.keys, err = store.OpenKeys(ctx, keys)
	return err
}

// openMeta reads the deployment's own record, or makes it at first start. Mode
// and origin are fixed by it: a configuration that says otherwise is an error.
func (h *house) openMeta(ctx context.Context, create bool) error {
	err := h.db.InTx(ctx, func(tx *store.Tx) (err error) {
		h.meta, err = tx.Meta(ctx)
		if muster.ErrorCode(err) != muster.CodeNotFound || !create {
			return err
		}
		h.meta = &muster.Meta{
			Deployment: muster.NewID("dep_", tx.Now()), Mode: h.conf.Mode, Origin: h.conf.Origin, Made: tx.Now(),
		}
		return tx.PutMeta(ctx, h.meta)
	})
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return &muster.Error{Code: muster.CodeNotFound, Message: "there is no deployment here yet", Hint: "muster init makes one"}
	}
	if err != nil {
		return err
	}
	if h.meta.Mode != h.conf.Mode || h.meta.Origin != h.conf.Origin {
		return muster.Errorf(muster.CodeInvalid, "this deployment is %s with origin %s since its first start; the configuration says otherwise", h.meta.Mode, h.meta.Origin)
	}
	return nil
}

// wire makes the rooms. Each gets the store as it declared it.
func (h *house) wire(ctx context.Context) (err error) {
	h.journal = journal.New(h.vault, store.As[journal.Tx](h.db))
	if h.checker, err = validate.New(); err != nil {
		return err
	}
	reads := &reads{h.db}
	h.programme = programme.New(reads)
	delay, err := time.ParseDuration(h.conf.SoloDelay)
	if err != nil {
		return err
	}
	h.staff = staff.New(staff.Config{
		DB: store.As[staff.Tx](h.db), Tokens: reads, Clock: h.clock, Journal: h.journal, MAC: h.vault, Mode: h.meta.Mode, Delay: delay,
	})
	h.activate = programme.NewService(programme.Config{
		DB: store.As[programme.Tx](h.db), Journal: h.journal, Staff: h.staff, Programme: h.programme,
		Vault: h.vault, Past: reads, Clock: h.clock,
	})
	if h.out, err = outbound.New(outbound.Config{Allow: h.conf.Out.Allow}); err != nil {
		return err
	}
	if h.book, err = h.openBook(h.out); err != nil {
		return err
	}
	h.listeners = &listeners{db: h.db}
	h.watching = &watching{clock: h.clock}
	h.centre = gate.NewCentre(gate.CentreConfig{
		Store: h.db.Gate(), Deployment: h.meta.Deployment, Key: h.gateKey, Signer: h.vault.SnapshotKey(), Clock: h.clock,
		Bound: gateBound(h.conf), Rules: h.programme.GateRules, Log: h.log,
	})
	h.gate = h.centre.Gate()
	h.asked = ask.NewRecorder(ask.RecorderConfig{Sink: ownAnswers{asked{h}}, Clock: h.clock, Log: h.log})
	h.register = register.New(register.Config{
		DB: store.As[register.Tx](h.db), Vault: h.vault, Journal: h.journal, Staff: h.staff, Programme: h.programme, Clock: h.clock, Listeners: h.listeners,
	})
	h.onboard = onboard.New(onboard.Config{
		DB: store.As[onboard.Tx](h.db), Vault: h.vault, Journal: h.journal, Checker: h.checker, Programme: h.programme, Staff: h.staff,
		Listeners: h.listeners, Proofs: h.book, Lists: h.watching, Clock: h.clock, Mode: h.meta.Mode, CustomerURL: h.conf.CustomerURL, Ways: h.ways(),
		Measures: h.register,
	})
	h.register.Decider, h.register.Profiles = h.onboard, profiles{h.onboard}
	h.review = review.New(review.Config{
		DB: store.As[review.Tx](h.db), Staff: h.staff, Programme: h.programme, Finder: finder{h.onboard},
	})
	if h.lists, err = h.openLists(); err != nil {
		return err
	}
	if err := h.lists.Load(ctx); err != nil {
		return err
	}
	h.watching.from = h.lists
	h.activate.Rescreener = h.onboard
	h.lookups = onboard.NewLookups(h.onboard)
	if h.retain, err = h.openRetain(); err != nil {
		return err
	}
	settle := settleAlone
	if h.conf.Database != "" {
		settle = settleShared
	}
	if h.turns, err = h.openRotate(settle); err != nil {
		return err
	}
	if err := h.watching.load(ctx); err != nil {
		return err
	}
	return h.load(ctx)
}

// openLists wires the watch lists. They have a client of their own: a list is larger
// than any other answer, and publishers send from one address to another.
func (h *house) openLists() (*watchlist.Service, error) {
	rules, err := h.conf.Lists.rules()
	if err != nil {
		return nil, err
	}
	client, err := outbound.New(outbound.Config{Allow: h.conf.Out.Allow, Timeout: 5 * time.Minute, MaxBytes: lists.MaxFile, Redirects: 3})
	if err != nil {
		return nil, err
	}
	if err := rules.Check(client); err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "the configuration is wrong: %s", err)
	}
	return watchlist.New(watchlist.Config{
		DB: store.As[watchlist.Tx](h.db), Journal: h.journal, Seals: h.vault, Client: client, Clock: h.clock, Holder: h.self, Rules: rules,
	})
}

// processName names this process among all that share the store. In containers two may
// have one host name and one process number: the end is by chance.
func processName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s.%d.%s", host, os.Getpid(), strings.ToLower(rand.Text()[:8]))
}

// load brings what is kept in memory up to the store: packs and listeners.
// Every process does so at least once a second.
func (h *house) load(ctx context.Context) error {
	if err := h.programme.Load(ctx); err != nil {
		return err
	}
	if err := h.register.Load(ctx); err != nil {
		return err
	}
	if err := h.lists.Load(ctx); err != nil {
		return err
	}
	return h.listeners.load(ctx)
}

// close lets go of everything, in reverse.
func (h *house) close(ctx context.Context) {
	if h.lookups != nil {
		if err := h.lookups.Sweep(ctx, true); err != nil {
			h.log.Warn("the end of a look-up cannot be recorded", "error", err)
		}
	}
	if h.hot != nil {
		h.hot.Close()
	}
	if h.vault != nil {
		if err := h.vault.Close(ctx); err != nil {
			h.log.Warn("the vault did not close cleanly", "error", err)
		}
	}
	if h.keys != nil {
		if err := h.keys.Close(); err != nil {
			h.log.Warn("the key store did not close cleanly", "error", err)
		}
	}
	if h.ledger != nil {
		if err := h.ledger.Close(); err != nil {
			h.log.Warn("the ledger did not close cleanly", "error", err)
		}
	}
	if h.db != nil {
		if err := h.db.Close(); err != nil {
			h.log.Warn("the store did not close cleanly", "error", err)
		}
	}
}

// ways is the table of methods of verification. A new method is its own folder
// below verify/ and a row here.
func (h *house) ways() onboard.Ways {
	sandbox := h.meta.Mode == muster.ModeSandbox
	return onboard.Ways{
		Contact: map[string]onboard.Contact{
			contact.Email: {Method: contact.EmailMethod, Ready: sandbox || h.conf.Mail.Server != "", Kind: vault.KindEmail, Address: func(n *validate.NormalSubject) string { return n.Email }},
			contact.Phone: {Method: contact.PhoneMethod, Ready: sandbox || h.conf.SMS.URL != "", Kind: vault.KindPhone, Address: func(n *validate.NormalSubject) string { return n.Phone }},
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

// finder lets package review write findings through package onboard.
type finder struct{ onboard *onboard.Service }

func (f finder) Resolve(ctx context.Context, tx review.Tx, r *muster.ReviewRecord, by muster.Principal, x review.Finding) error {
	_, err := f.onboard.Resolve(ctx, tx.(*store.Tx), r, by, x.Finding == review.Clear, x.Rules, x.Reason, x.Expires)
	return err
}

func (f finder) ResolveHit(ctx context.Context, tx review.Tx, r *muster.HitRecord, by muster.Principal, x review.HitOutcome) error {
	return f.onboard.ResolveHit(ctx, tx.(*store.Tx), r, by, onboard.HitFinding(x))
}

func (f finder) Enter(ctx context.Context, tx review.Tx, t tlog.LeafType, by muster.Principal, about muster.Ref, body any) error {
	_, err := f.onboard.Journal.Enter(ctx, tx.(*store.Tx), t, by.Operator, about, body)
	return err
}

// openBook wires the log outside the transaction.
func (h *house) openBook(client *outbound.Client) (*watch.Book, error) {
	tiles, announcer, err := h.openTiles()
	if err != nil {
		return nil, err
	}
	p, err := tlog.NewPublisher(tlog.PublisherConfig{
		Leaves: &reads{h.db}, Tiles: tiles, Heads: heads{h.db}, Keys: h.logKeys,
	})
	if err != nil {
		return nil, err
	}
	c := watch.BookConfig{Publisher: p, Announcer: announcer, Key: h.logKey, SendTo: h.conf.SendOut, Client: client, Clock: h.clock}
	for _, w := range h.conf.Witnesses {
		v, err := tlog.NewCosignatureVerifier(w.Key)
		if err != nil {
			return nil, err
		}
		c.Witnesses = append(c.Witnesses, tlog.WitnessClient{Prefix: w.URL, Witness: v, HTTP: client})
	}
	return watch.NewBook(c), nil
}

// openTiles opens where tiles lie, and where the head is put beside them, if anywhere.
func (h *house) openTiles() (tlog.TileStore, watch.Announcer, error) {
	if h.conf.Storage.Tiles {
		tiles := tlog.NewObjectTiles(h.storage, prefixLog)
		return tiles, tiles, nil
	}
	if h.conf.Database != "" {
		return h.db.Tiles(), nil, nil // processes that share a database share its tiles
	}
	dir := filepath.Join(h.conf.Data, "log")
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	return tlog.NewDirTiles(dir), nil, nil
}

// gateKey is a version of the key of the gate's hashes.
func (h *house) gateKey(version int) (gate.Key, error) {
	keys, _ := h.vault.GateKeys()
	k, ok := keys[version]
	if !ok {
		return gate.Key{}, muster.Errorf(muster.CodeUnavailable, "version %d of the gate's key is not here", version)
	}
	return k, nil
}

// logKeys are the live versions of the log's key, that in use first.
func (h *house) logKeys() (k tlog.Keys, err error) {
	signers, err := h.vault.LogSigners(h.meta.Origin)
	if err != nil {
		return k, err
	}
	for _, s := range signers {
		v, err := tlog.NewLogVerifier(s.Public)
		if err != nil {
			return k, err
		}
		k.Signers, k.Verifiers = append(k.Signers, s), append(k.Verifiers, v)
	}
	return k, nil
}

func (h *house) logKey() (string, error) {
	signers, err := h.vault.LogSigners(h.meta.Origin)
	if err != nil {
		return "", err
	}
	return signers[0].Public, nil
}

// heads keeps the one signed head in the store, and every head that was.
type heads struct{ db *store.DB }

func (h heads) Head(ctx context.Context) (signed []byte, err error) {
	return view(ctx, h.db, func(tx *store.Tx) ([]byte, error) { return tx.Head(ctx) })
}

func (h heads) SetHead(ctx context.Context, old, next []byte) error {
	size, err := tlog.UnverifiedSize(next)
	if err != nil {
		return err
	}
	return h.db.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.SetHead(ctx, old, next); err != nil {
			return err
		}
		return tx.PutCheckpoint(ctx, &muster.CheckpointRecord{Size: size, Signed: next, Made: tx.Now()})
	})
}

// profiles lets package register tell the gate through package onboard.
type profiles struct{ onboard *onboard.Service }

func (p profiles) PutProfile(ctx context.Context, tx register.Tx, a *muster.AccountRecord, ts []muster.Transition) error {
	return p.onboard.PutProfile(ctx, tx.(*store.Tx), a, ts)
}
