package vault_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

const operator = "opr_01jzxk4m2v7c8d9e0f1g2h3j4k"

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func config(store vault.KeyStore, kms vault.KMS) vault.Config {
	return vault.Config{Deployment: "dep", KMS: kms, Store: store, Clock: func() time.Time { return start }, PoolSize: 8, Create: true}
}

func open(t testing.TB, c vault.Config) *vault.Vault {
	t.Helper()
	v, err := vault.Open(context.Background(), c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { v.Close(context.Background()) })
	return v
}

// setup is a vault over a fresh store.
func setup(t testing.TB) (*vault.Vault, *vaulttest.Store, *vaulttest.KMS) {
	store, kms := vaulttest.NewStore(), vaulttest.NewKMS()
	return open(t, config(store, kms)), store, kms
}

func take(t testing.TB, v *vault.Vault) vault.Key {
	t.Helper()
	k, err := v.TakeKey(context.Background())
	if err != nil {
		t.Fatalf("TakeKey: %v", err)
	}
	return k
}

func session(v *vault.Vault) *vault.Session {
	return v.UseForDecision(muster.Ref{Kind: "application", ID: "app_1"})
}

// seen opens one item through a session.
func seen(v *vault.Vault, it vault.Item) ([]byte, error) {
	return session(v).Open(context.Background(), it)
}

func code(t testing.TB, err error, want muster.Code) {
	t.Helper()
	if muster.ErrorCode(err) != want {
		t.Fatalf("error %v, want code %s", err, want)
	}
}

func commit(name string, salt, data []byte) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d %s %x %s", len(name), name, salt, data))
}

func TestSealedValueOpensInItsOwnPlaceOnly(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	key, other := take(t, v), take(t, v)
	rapid.Check(t, func(t *rapid.T) {
		place := vault.Place{
			Subject:  rapid.StringN(0, 30, -1).Draw(t, "subject"),
			Record:   rapid.StringN(0, 30, -1).Draw(t, "record"),
			Field:    rapid.StringN(1, 30, -1).Draw(t, "field"),
			Revision: rapid.IntRange(0, 1000).Draw(t, "revision"),
		}
		plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plain")
		sealed, err := v.Seal(key, place, plain)
		if err != nil {
			t.Fatal(err)
		}
		if over := len(sealed) - len(plain); over < 30 || over > 93 {
			t.Fatalf("%d bytes longer", over)
		}
		got, err := seen(v, vault.Item{Place: place, KeyID: key.ID(), Sealed: sealed})
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %x, %v", got, err)
		}
		// No other place, no other key, no other byte.
		wrong := []vault.Item{
			{Place: vault.Place{Subject: place.Subject + "x", Record: place.Record, Field: place.Field, Revision: place.Revision}},
			{Place: vault.Place{Subject: place.Subject, Record: place.Record + "x", Field: place.Field, Revision: place.Revision}},
			{Place: vault.Place{Subject: place.Subject, Record: place.Record, Field: place.Field + "x", Revision: place.Revision}},
			{Place: vault.Place{Subject: place.Subject, Record: place.Record, Field: place.Field, Revision: place.Revision + 1}},
			{Place: vault.Place{Subject: place.Subject, Record: place.Record, Field: place.Field, Revision: place.Revision - 1}},
			{Place: vault.Place{Subject: place.Subject + place.Record, Record: "", Field: place.Field, Revision: place.Revision}, KeyID: key.ID()},
			{Place: place, KeyID: other.ID()},
		}
		if place.Record == "" {
			wrong = append(wrong[:5], wrong[6])
		}
		bit := rapid.IntRange(0, len(sealed)*8-1).Draw(t, "bit")
		flipped := bytes.Clone(sealed)
		flipped[bit/8] ^= 1 << (bit % 8)
		wrong = append(wrong, vault.Item{Place: place, KeyID: key.ID(), Sealed: flipped})
		for i, it := range wrong {
			if it.KeyID == "" {
				it.KeyID = key.ID()
			}
			if it.Sealed == nil {
				it.Sealed = sealed
			}
			if got, err := seen(v, it); err == nil {
				t.Fatalf("wrong place %d opened as %x", i, got)
			}
		}
	})
}

func TestOtherDeploymentIsAnErrorAtOpen(t *testing.T) {
	t.Parallel()
	_, store, kms := setup(t)
	c := config(store, kms)
	c.Deployment = "another"
	_, err := vault.Open(t.Context(), c)
	code(t, err, muster.CodeUnavailable) // which is what a KMS says that opens nothing
}

func TestWrongRootKeyIsAnErrorAtOpen(t *testing.T) {
	t.Parallel()
	_, store, kms := setup(t)
	_, err := vault.Open(t.Context(), config(store, vaulttest.NewKMS()))
	code(t, err, muster.CodeConflict)
	var e *muster.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, kms.ID()) || e.Hint == "" {
		t.Fatalf("the error does not name the root key that is wanted: %v", err)
	}
	// And where the id is the same but the key is not.
	_, err = vault.Open(t.Context(), config(store, sameID{vaulttest.NewKMS(), kms.ID()}))
	code(t, err, muster.CodeUnavailable)
	// And where the wraps are not authenticated at all.
	store2 := vaulttest.NewStore()
	open(t, config(store2, xorKMS(1)))
	open(t, config(store2, xorKMS(1)))
	_, err = vault.Open(t.Context(), config(store2, xorKMS(2)))
	code(t, err, muster.CodeConflict)
	if !strings.Contains(err.Error(), "check value") {
		t.Fatalf("not caught by the check value: %v", err)
	}
}

type sameID struct {
	*vaulttest.KMS
	id string
}

func (k sameID) ID() string { return k.id }

// xorKMS is a KMS that authenticates nothing.
type xorKMS byte

func (k xorKMS) ID() string { return "xor" }
func (k xorKMS) Wrap(_ context.Context, p, _ []byte) ([]byte, error) {
	out := bytes.Clone(p)
	for i := range out {
		out[i] ^= byte(k)
	}
	return out, nil
}

func (k xorKMS) Unwrap(ctx context.Context, w, ad []byte) ([]byte, error) { return k.Wrap(ctx, w, ad) }

func TestLostKeyOfTheSetIsAnErrorAtOpen(t *testing.T) {
	t.Parallel()
	_, store, kms := setup(t)
	set, err := store.LoadSet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range set.Rows {
		damaged := set
		damaged.Rows = append(append([]vault.NamedRow{}, set.Rows[:i]...), set.Rows[i+1:]...)
		s := vaulttest.NewStore()
		if err := s.SwapSet(t.Context(), 0, damaged); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(t.Context(), config(s, kms)); muster.ErrorCode(err) != muster.CodeConflict {
			t.Fatalf("without %s: %v", set.Rows[i].Name, err)
		}
	}
	// A key store that is lost altogether is not made anew unless asked.
	c := config(vaulttest.NewStore(), kms)
	c.Create = false
	_, err = vault.Open(t.Context(), c)
	code(t, err, muster.CodeNotFound)
}

func TestKeyPrintsItsIDAndNothingElse(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	k := take(t, v)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		if got := fmt.Sprintf(verb, k); got != k.ID() {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	if !strings.Contains(log.String(), `"key":"`+k.ID()+`"`) {
		t.Errorf("slog prints %s", log.String())
	}
	if got := fmt.Sprintf("%v %+v %#v", v.SnapshotKey(), v.SnapshotKey(), v.SnapshotKey()); got != "ed25519 signer ed25519 signer ed25519 signer" {
		t.Errorf("signer prints %q", got)
	}
}

func BenchmarkApplication(b *testing.B) {
	c := config(vaulttest.NewStore(), vaulttest.NewKMS())
	c.PoolSize = 256
	v := open(b, c)
	claims := bytes.Repeat([]byte("claims.."), 128)
	common, own := bytes.Repeat([]byte("c"), 700), bytes.Repeat([]byte("s"), 500)
	ctx := context.Background()
	cheap := func(string, []byte, []byte) [32]byte { return [32]byte{} }
	b.ReportAllocs()
	for b.Loop() {
		k, err := v.TakeKey(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Seal(k, vault.Place{Subject: "sub_01jzxk4m2v7c8d9e0f1g2h3j4k", Record: "app_01jzxk4m2v7c8d9e0f1g2h3j4k", Field: "claims", Revision: 1}, claims); err != nil {
			b.Fatal(err)
		}
		if _, err := v.SealFacts("dec_01jzxk4m2v7c8d9e0f1g2h3j4k", []vault.Part{{Name: vault.CommonPart, Data: common}, {Name: "sub_01jzxk4m2v7c8d9e0f1g2h3j4k", Key: k, Data: own}}, cheap); err != nil {
			b.Fatal(err)
		}
		for _, kind := range []vault.Kind{vault.KindEmail, vault.KindPhone, vault.KindIP, vault.KindCard, vault.KindDevice} {
			_ = v.Digest(kind, 1, "ada.lovelace@example.org")
			_ = v.HandleFor(kind, k)
		}
	}
}
