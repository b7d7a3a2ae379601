package rotate_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/rotate"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

const settle = 10 * time.Second

type bundle struct {
	*roomtest.Rooms
	turns  *rotate.Service
	config rotate.Config
}

// both runs a test on both stores.
func both(t *testing.T, fn func(*bundle)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(setup(t, roomtest.Options{}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(setup(t, roomtest.Options{Store: store.Config{DSN: pgtest.Database(t)}}))
	})
}

func setup(t *testing.T, o roomtest.Options) *bundle {
	t.Helper()
	b := &bundle{Rooms: roomtest.Setup(t, o)}
	b.config = rotate.Config{
		DB: store.As[rotate.Tx](b.DB), Vault: b.Vault, Journal: b.Journal, Clock: b.Clock.Now, Book: shelf{b.Onboard}, Log: &handing{b: b},
		Hash: func(version int, reference string) ([16]byte, error) {
			keys, _ := b.Vault.GateKeys()
			key, ok := keys[version]
			if !ok {
				return [16]byte{}, muster.Errorf(muster.CodeUnavailable, "no such version")
			}
			return (*gate.Key)(&key).Hash(reference), nil
		},
		Epoch: func(ctx context.Context, _ time.Time) (int, int64, bool, error) {
			var n int
			err := b.Vault.Rotate(ctx, func(keys int) error { n = keys; return nil })
			epoch, _ := b.Vault.Epoch()
			return epoch, int64(n), err == nil, err
		},
		Settle: settle, Quarantine: 7 * 24 * time.Hour,
	}
	b.turns = rotate.New(b.config)
	b.Publisher.Keys = b.logKeys
	return b
}

type shelf struct{ onboard *onboard.Service }

func (s shelf) Reindex(ctx context.Context, session *vault.Session, after string, kinds []vault.Kind, requests bool) (string, func(context.Context, rotate.Tx) error, error) {
	out, write, err := s.onboard.Reindex(ctx, session, after, kinds, requests)
	return out.Last, func(ctx context.Context, tx rotate.Tx) error { return write(ctx, tx.(*store.Tx)) }, err
}

// handing is the log of a test; cmd/muster tries the real one.
type handing struct{ b *bundle }

func (h *handing) HandOver(ctx context.Context) (muster.Handover, error) {
	signers, err := h.b.Vault.LogSigners("test.muster.example/log")
	if err != nil || len(signers) != 2 {
		return muster.Handover{}, fmt.Errorf("%d signers: %w", len(signers), err)
	}
	head, err := h.b.Publisher.Publish(ctx)
	if err != nil {
		return muster.Handover{}, err
	}
	note, err := tlog.SignHandover(head, signers[1].Public, signers[0], signers[1])
	return muster.Handover{KeyVersion: signers[0].Version, Public: signers[0].Public, Note: note}, err
}

func (h *handing) SignedBy(ctx context.Context, version int) (bool, error) {
	head, err := h.b.Publisher.Publish(ctx)
	if err != nil {
		return false, err
	}
	keys, err := h.b.logKeys()
	if err != nil || len(keys.Verifiers) != 2 {
		return false, fmt.Errorf("%d keys: %w", len(keys.Verifiers), err)
	}
	if keys.Signers[1].(vault.LogSigner).Version != version {
		return false, fmt.Errorf("version %d does not wait", version)
	}
	_, err = tlog.OpenCheckpoint(head.Signed, keys.Verifiers[1])
	return err == nil, nil
}

// logKeys are those of the log that the vault has.
func (b *bundle) logKeys() (keys tlog.Keys, err error) {
	signers, err := b.Vault.LogSigners("test.muster.example/log")
	if err != nil {
		return keys, err
	}
	for _, s := range signers {
		v, err := tlog.NewLogVerifier(s.Public)
		if err != nil {
			return keys, err
		}
		keys.Signers, keys.Verifiers = append(keys.Signers, s), append(keys.Verifiers, v)
	}
	return keys, nil
}

// step takes the jobs of turns that are due, and tries each once. It returns the
// first error, and whether there were any.
func (b *bundle) step(s *rotate.Service) (any bool, err error) {
	b.Helper()
	ctx := context.Background()
	var jobs []*muster.Job
	if err := b.DB.InTx(ctx, func(tx *store.Tx) error {
		jobs, err = tx.Claim(ctx, []string{muster.JobRotate}, "test", 100, time.Minute)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	for _, j := range jobs {
		done, after, _, e := s.Step(muster.WithFence(ctx, j.Held()), j)
		if e != nil && err == nil {
			err = e
		}
		if e := b.DB.InTx(ctx, func(tx *store.Tx) error {
			if done {
				return tx.Finish(ctx, j.ID, j.Fence)
			}
			return tx.Retry(ctx, j.ID, j.Fence, tx.Now().Add(after), "")
		}); e != nil {
			b.Fatal(e)
		}
	}
	return len(jobs) > 0, err
}

// finish lets time pass until every turn is done.
func (b *bundle) finish() {
	b.Helper()
	for range 1000 {
		worked, err := b.step(b.turns)
		if err != nil {
			b.Fatal(err)
		}
		if list, err := b.turns.Rotations(b.Context(), false); err != nil {
			b.Fatal(err)
		} else if len(list) == 0 {
			return
		}
		if b.Clock.Move(settle); !worked {
			b.Clock.Move(time.Hour)
		}
	}
	list, _ := b.turns.Rotations(b.Context(), false)
	for _, r := range list {
		b.Errorf("%+v", r)
	}
	b.Fatal("they are not done")
}

// begin begins a turn.
func (b *bundle) begin(name string, overlap time.Duration) {
	b.Helper()
	if _, err := b.turns.Begin(b.Context(), b.Anna.Operator, name, overlap); err != nil {
		b.Fatal(err)
	}
}

// unlike is another person in everything, on the same device.
func unlike(i int) *muster.Application {
	app := roomtest.Person(fmt.Sprintf("app-%d", i))
	app.Customer.Phone = fmt.Sprintf("+23480312%05d", i)
	app.Customer.Email = fmt.Sprintf("c%d@example.com.ng", i)
	app.Payment.Fingerprint = fmt.Sprintf("fp_%d", i)
	app.Device = "device-one"
	return app
}

// sharing counts those who share the device, as an application asks.
func (b *bundle) sharing(v *vault.Vault) int64 {
	b.Helper()
	return b.counted(muster.HandleCount{Kind: "device", Digests: v.Digests(vault.KindDevice, 1, "device-one")})
}

func (b *bundle) counted(q muster.HandleCount) int64 {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (int64, error) {
		n, err := tx.CountHandles(ctx, q)
		if err != nil {
			return 0, err
		}
		return n[0], nil
	})
}

// rows counts the rows of the indexes under versions before one.
func (b *bundle) rows(version int) (n int64) {
	b.Helper()
	for _, k := range vault.Kinds {
		n += roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.IndexBefore(ctx, string(k), version) })
	}
	return n
}
