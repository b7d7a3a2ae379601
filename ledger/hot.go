package ledger

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// HotTx is what the hot end needs of a transaction of the ledger's store.
type HotTx interface {
	Now() time.Time
	HotHead(ctx context.Context) (HotHead, error)
	// TakeTurn returns the number of this transaction's turn, and holds other writers
	// off until it ends.
	TakeTurn(ctx context.Context) (int64, error)
	AddHot(ctx context.Context, r *HotRow) error
	HotRows(ctx context.Context, after int64, limit int) ([]HotRow, error)
	AddSeen(ctx context.Context, seq int64, digests []byte) error
	SeenSince(ctx context.Context, after int64, limit int) ([]SeenRow, error)
	ForgetSeen(ctx context.Context, before time.Time) error
	AddQuarantine(ctx context.Context, r *QuarantineRow) error
	Waiting(ctx context.Context, accounts [][16]byte, limit int) ([]QuarantineRow, error)
	DropQuarantine(ctx context.Context, seq int64) error
	ExpireQuarantine(ctx context.Context, before time.Time) (records int64, err error)
	QuarantineCount(ctx context.Context) (QuarantineCount, error)
	// ClosedHour is the last hour whose key may be gone: nothing is sealed under it, or
	// under one before it, any more. It stays so until this transaction ends.
	ClosedHour(ctx context.Context) (int64, error)
}

// HotDB opens transactions: see store.Ledger.
type HotDB interface {
	InTx(ctx context.Context, fn func(HotTx) error) error
	View(ctx context.Context, fn func(HotTx) error) error
}

// Accounts knows which accounts are on file.
type Accounts interface {
	// AccountIDs leads from the provider's references to ids; unknown ones are absent.
	AccountIDs(ctx context.Context, references []string) (map[string]string, error)
	// NewAccounts are the references of accounts whose id is past after, in rising
	// order, at most limit, and the last of these ids.
	NewAccounts(ctx context.Context, after string, limit int) (references []string, last string, err error)
}

// HotConfig of the hot end. The first five are required.
type HotConfig struct {
	DB       HotDB
	Vault    *vault.Vault
	Recorder vault.Recorder // of the sessions that open what is in quarantine
	Accounts Accounts
	Clock    muster.Clock
	Locate   func(netip.Addr) (muster.Country, muster.Network) // nil: nothing is known of an address

	MaxTail    int           // records that are not sealed yet; past it posts are put off. 0: 1,000,000
	MaxWaiting int           // records in quarantine; past it they are put off. 0: 1,000,000
	Remember   time.Duration // how long a record's id, or a batch, is known again, at least. 0: 24 h
	MaxSeen    int           // ...unless more digests than this come in that time. 0: 2,000,000
	Keep       time.Duration // how long quarantine keeps. 0: seven days
}

const (
	DefaultMaxTail    = 1_000_000
	defaultMaxWaiting = 1_000_000
	defaultRemember   = 24 * time.Hour
	defaultMaxSeen    = 2_000_000
	defaultKeep       = 7 * 24 * time.Hour

	maxGroup    = 20_000 // records of one commit
	maxQueued   = 400    // posts that wait for the writer
	maxAccounts = 1 << 18
)

// Hot takes batches, makes them durable and answers for them until the sealer has
// passed. One goroutine writes: what comes while a commit is synced shares the next.
// Safe for concurrent use.
type Hot struct {
	HotConfig
	queue   chan *post
	stop    chan struct{}
	stopped sync.Once
	done    sync.WaitGroup

	// Of the writer's goroutine alone.
	seen *seen
	last int64 // number of the last turn whose digests are in seen

	head atomic.Pointer[HotHead] // as of the last look
	wait atomic.Int64            // records in quarantine, as of the last look
	tail tail

	mu    sync.RWMutex
	known map[string]string // reference -> id; accounts are not renamed

	claimed string // id of the account up to which quarantine was looked through
}

// NewHot opens the hot end: it reads what was seen lately. Close it.
func NewHot(ctx context.Context, c HotConfig) (*Hot, error) {
	for _, m := range []struct {
		missing bool
		what    string
	}{{c.DB == nil, "DB"}, {c.Vault == nil, "Vault"}, {c.Recorder == nil, "Recorder"}, {c.Accounts == nil, "Accounts"}, {c.Clock == nil, "Clock"}} {
		if m.missing {
			return nil, muster.Errorf(muster.CodeInvalid, "ledger: HotConfig.%s is missing", m.what)
		}
	}
	for _, d := range []struct {
		n    *int
		dflt int
	}{{&c.MaxTail, DefaultMaxTail}, {&c.MaxWaiting, defaultMaxWaiting}, {&c.MaxSeen, defaultMaxSeen}} {
		if *d.n == 0 {
			*d.n = d.dflt
		}
	}
	if c.Remember == 0 {
		c.Remember = defaultRemember
	}
	if c.Keep == 0 {
		c.Keep = defaultKeep
	}
	if c.Locate == nil {
		c.Locate = func(netip.Addr) (muster.Country, muster.Network) { return "", 0 }
	}
	h := &Hot{
		HotConfig: c, queue: make(chan *post, maxQueued), stop: make(chan struct{}),
		seen: newSeen(c.Remember, c.MaxSeen), known: map[string]string{},
	}
	if err := h.look(ctx); err != nil {
		return nil, err
	}
	if err := h.recall(ctx); err != nil {
		return nil, err
	}
	h.last = max(h.last, h.head.Load().Seq) // digests of the turns between ran out
	h.done.Go(h.write)
	return h, nil
}

// Close waits for what is being written. Posts that wait are refused.
func (h *Hot) Close() {
	h.stopped.Do(func() { close(h.stop) })
	h.done.Wait()
}

// Arrival is a batch as a caller sent it.
type Arrival struct {
	Batch
	Key  string // of the caller, for one batch; "" for none: Body tells a batch sent again
	From string // whose key it is: operator id
	Body string // as it came
}

// Taken says what became of a batch. Each record of it is durable, or was.
type Taken struct {
	Accepted   int `json:"accepted" doc:"records that are durable now"`
	Duplicates int `json:"duplicates" doc:"records that were there already: their id was seen before, or the whole batch"`
	Waiting    int `json:"waiting" doc:"of the accepted, those whose account is not known yet"`
}

// post is a batch on its way through the writer.
type post struct {
	known, unknown Batch
	ids            [][16]byte // of known, then of unknown: zero where a record has none. nil: none has
	body, key      [16]byte   // key is zero where the caller gave none
	wait           [][16]byte // digests of the references in unknown

	// While the key of digests turns: the others under which what has this digest may be
	// known already. nil: there are none.
	also map[[16]byte][][16]byte

	receipt Taken
	err     error
	done    chan struct{}
}

func (p *post) records() int { return p.known.Records() + p.unknown.Records() }

// Take makes a batch durable. When it returns nil, it is.
func (h *Hot) Take(ctx context.Context, a *Arrival) (Taken, error) {
	if a.Records() == 0 {
		return Taken{}, muster.Errorf(muster.CodeMalformed, "there is no record in this batch")
	}
	if err := h.room(a.Records()); err != nil {
		return Taken{}, err
	}
	p, err := h.prepare(ctx, a)
	if err != nil {
		return Taken{}, err
	}
	if n := h.wait.Load(); p.unknown.Records() > 0 && n+int64(p.unknown.Records()) > int64(h.MaxWaiting) {
		return Taken{}, &muster.Error{
			Code: muster.CodeRateLimited, Message: "too many records of unknown accounts wait already", RetryAfter: time.Minute,
			Hint: "are these the references under which the accounts were applied for?",
		}
	}
	select {
	case h.queue <- p:
	default:
		return Taken{}, &muster.Error{Code: muster.CodeUnavailable, Message: "too many batches wait to be written", RetryAfter: time.Second}
	}
	select {
	case <-p.done:
		return p.receipt, p.err
	case <-h.stop:
		h.done.Wait() // it may have been written all the same
		select {
		case <-p.done:
			return p.receipt, p.err
		default:
			return Taken{}, muster.Errorf(muster.CodeUnavailable, "the ledger is closing")
		}
	}
}

// room refuses where the sealer is too far behind.
func (h *Hot) room(n int) error {
	if head := h.head.Load(); head.Records+int64(n) > int64(h.MaxTail) {
		return &muster.Error{
			Code: muster.CodeRateLimited, Message: "more records wait to be sealed than may", RetryAfter: 5 * time.Second,
			Hint: "send it again then; if it stays so, the operator of this server looks at muster doctor",
		}
	}
	return nil
}

// prepare does what can be done before the writer's turn: whose the records are, where
// their addresses are, digests.
func (h *Hot) prepare(ctx context.Context, a *Arrival) (*post, error) {
	p := &post{done: make(chan struct{})}
	keys := h.Vault.RecordKeys()
	p.body, p.key = batchDigests(keys[0], a)
	if len(keys) > 1 {
		p.also = map[[16]byte][][16]byte{}
		for _, k := range keys[1:] {
			body, key := batchDigests(k, a)
			p.also[p.body] = append(p.also[p.body], body)
			if a.Key != "" {
				p.also[p.key] = append(p.also[p.key], key)
			}
		}
	}
	ids, err := h.accounts(ctx, a)
	if err != nil {
		return nil, err
	}
	var access, leases recordIDs
	p.known.Access = make([]muster.AccessRecord, 0, len(a.Access))
	for i := range a.Access {
		r := &a.Access[i]
		r.Country, r.Network = h.Locate(r.IP)
		access.add(p, keys, "access", r.ID, ids[r.Account] != "")
		r.ID = ""
		if id := ids[r.Account]; id != "" {
			r.Account = id
			p.known.Access = append(p.known.Access, *r)
		} else {
			p.unknown.Access = append(p.unknown.Access, *r)
		}
	}
	for i := range a.Leases {
		r := &a.Leases[i]
		id := r.ID
		if id != "" && !r.Until.IsZero() { // the word of its end is a record of its own
			id += "\x00" + r.Until.Format(time.RFC3339Nano)
		}
		leases.add(p, keys, "lease", id, ids[r.Account] != "")
		r.ID = ""
		if id := ids[r.Account]; id != "" {
			r.Account = id
			p.known.Leases = append(p.known.Leases, *r)
		} else {
			p.unknown.Leases = append(p.unknown.Leases, *r)
		}
	}
	if access.any || leases.any {
		p.ids = append(append(append(append(p.ids, access.known...), leases.known...), access.unknown...), leases.unknown...)
	}
	p.wait = h.references(&p.unknown)
	return p, nil
}

// recordIDs are digests of record ids, apart by whether the account is known.
type recordIDs struct {
	known, unknown [][16]byte
	any            bool
}

func (ids *recordIDs) add(p *post, keys []vault.RecordKey, kind, id string, known bool) {
	var d [16]byte
	if id != "" {
		keys[0].Digest(&d, kind, []byte(id))
		ids.any = true
		for _, k := range keys[1:] {
			var other [16]byte
			k.Digest(&other, kind, []byte(id))
			p.also[d] = append(p.also[d], other)
		}
	}
	if known {
		ids.known = append(ids.known, d)
	} else {
		ids.unknown = append(ids.unknown, d)
	}
}

// batchDigests are of a batch's body and of its key, which is zero where it has none.
func batchDigests(k vault.RecordKey, a *Arrival) (body, key [16]byte) {
	k.Digest(&body, "batch", []byte(a.Body))
	if a.Key != "" {
		k.Digest(&key, "key", []byte(a.From+"\x00"+a.Key))
		k.Digest(&body, "keyed batch", []byte(string(key[:])+string(body[:])))
	}
	return body, key
}

// accounts leads from the references in a batch to ids; unknown ones are absent.
func (h *Hot) accounts(ctx context.Context, a *Arrival) (map[string]string, error) {
	ids := map[string]string{}
	var missing []string
	h.mu.RLock()
	look := func(reference string) {
		if _, done := ids[reference]; done {
			return
		}
		id := h.known[reference]
		ids[reference] = id
		if id == "" {
			missing = append(missing, reference)
		}
	}
	for i := range a.Access {
		look(a.Access[i].Account)
	}
	for i := range a.Leases {
		look(a.Leases[i].Account)
	}
	h.mu.RUnlock()
	if missing == nil {
		return ids, nil
	}
	found, err := h.Accounts.AccountIDs(ctx, missing)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known)+len(found) > maxAccounts {
		clear(h.known) // costs each one look-up
	}
	for reference, id := range found {
		ids[reference] = id
		h.known[string([]byte(reference))] = id // a copy: a reference is a part of its batch's text
	}
	return ids, nil
}

// references are the digests of the accounts in b, each once.
func (h *Hot) references(b *Batch) [][16]byte {
	var all [][16]byte
	key, done := h.Vault.RecordKeys()[0], map[string]bool{}
	add := func(reference string) {
		if !done[reference] {
			done[reference] = true
			var d [16]byte
			key.Digest(&d, "waiting account", []byte(reference))
			all = append(all, d)
		}
	}
	for i := range b.Access {
		add(b.Access[i].Account)
	}
	for i := range b.Leases {
		add(b.Leases[i].Account)
	}
	return all
}

// look reads how far the hot end and quarantine are.
func (h *Hot) look(ctx context.Context) error {
	return h.DB.View(ctx, func(tx HotTx) error {
		head, err := tx.HotHead(ctx)
		if err != nil {
			return err
		}
		h.head.Store(&head)
		count, err := tx.QuarantineCount(ctx)
		h.wait.Store(count.Records)
		return err
	})
}

// append adds all of o.
func (b *Batch) append(o *Batch) {
	if b.Access == nil && b.Leases == nil {
		*b = *o
		b.Access, b.Leases = b.Access[:len(b.Access):len(b.Access)], b.Leases[:len(b.Leases):len(b.Leases)]
		return
	}
	b.Access = append(b.Access, o.Access...)
	b.Leases = append(b.Leases, o.Leases...)
}

// appendIf adds those of o that keep says; it is asked once for each, in order.
func (b *Batch) appendIf(o *Batch, keep func() bool) {
	for i := range o.Access {
		if keep() {
			b.Access = append(b.Access, o.Access[i])
		}
	}
	for i := range o.Leases {
		if keep() {
			b.Leases = append(b.Leases, o.Leases[i])
		}
	}
}
