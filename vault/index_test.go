package vault_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

func TestDigestsDifferByKindNormaliserValueAndDeployment(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	w, _, _ := setup(t)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.String().Draw(t, "value")
		seen := map[string]string{}
		for _, kind := range vault.Kinds {
			for norm := uint8(1); norm <= 2; norm++ {
				d := v.Digest(kind, norm, value)
				if len(d) != vault.DigestSize || d[0] != 1 || d[1] != norm || !bytes.Equal(d, v.Digest(kind, norm, value)) {
					t.Fatalf("digest %x", d)
				}
				if bytes.Equal(d, w.Digest(kind, norm, value)) || bytes.Equal(d, v.Digest(kind, norm, value+"x")) {
					t.Fatal("digest of another vault or value is the same")
				}
				if other, twice := seen[string(d[2:])]; twice {
					t.Fatalf("%s and %s have one digest", kind, other)
				}
				seen[string(d[2:])] = string(kind)
			}
		}
	})
}

func TestHandlesResolveUnderTheirKindOnly(t *testing.T) {
	t.Parallel()
	v, store, _ := setup(t)
	a, b := take(t, v), take(t, v)
	all := map[[16]byte]bool{}
	for _, kind := range vault.Kinds {
		ha, hb := v.HandleFor(kind, a), v.HandleFor(kind, b)
		if all[ha] || all[hb] {
			t.Fatal("rows under two kinds can be joined")
		}
		all[ha], all[hb] = true, true
		got, err := v.Resolve(t.Context(), kind, [][16]byte{ha, hb, {1}, ha})
		if err != nil || len(got) != 2 || got[ha] != a.ID() || got[hb] != b.ID() {
			t.Fatalf("%v, %v", got, err)
		}
	}
	got, err := v.Resolve(t.Context(), vault.KindEmail, [][16]byte{v.HandleFor(vault.KindPhone, a)})
	if err != nil || len(got) != 0 {
		t.Fatalf("a handle of another kind leads to %v, %v", got, err)
	}
	// What the key store holds of the handle is none of the rows' handles.
	rows, err := store.Keys(t.Context(), []string{a.ID()})
	if err != nil || all[rows[0].Handle] {
		t.Fatalf("the key store holds a row's handle: %v", err)
	}
	// A destroyed key leaves a handle that leads nowhere.
	h := v.HandleFor(vault.KindEmail, a)
	if err := v.Destroy(t.Context(), []string{a.ID()}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Resolve(t.Context(), vault.KindEmail, [][16]byte{h}); err != nil || len(got) != 0 {
		t.Fatalf("the handle of a destroyed key leads to %v, %v", got, err)
	}
}

func TestNewPRFKeyKeepsTheOldOneReadable(t *testing.T) {
	t.Parallel()
	v, store, kms := setup(t)
	was := v.Digest(vault.KindEmail, 1, "a@example.org")
	phone := v.Digest(vault.KindPhone, 1, "+1")
	to, err := v.Next("prf/email")
	if err != nil || to["prf/email"] != 2 {
		t.Fatalf("%v, %v", to, err)
	}
	if err := v.Prepare(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	// Known and not used: every process reads the new version before one writes it.
	for _, v := range []*vault.Vault{v, open(t, config(store, kms))} {
		if now := v.Digest(vault.KindEmail, 1, "a@example.org"); !bytes.Equal(now, was) {
			t.Fatalf("a version that only waits is used: %x", now)
		}
		if all := v.Digests(vault.KindEmail, 1, "a@example.org"); len(all) != 2 || !bytes.Equal(all[0], was) || all[1][0] != 2 {
			t.Fatalf("digests %x", all)
		}
	}
	for range 2 { // what is done twice is done once
		if err := errors.Join(v.Promote(t.Context(), to), v.Prepare(t.Context(), to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []*vault.Vault{v, open(t, config(store, kms))} {
		now := v.Digest(vault.KindEmail, 1, "a@example.org")
		if now[0] != 2 || bytes.Equal(now[2:], was[2:]) {
			t.Fatalf("the new digest is %x", now)
		}
		all := v.Digests(vault.KindEmail, 1, "a@example.org")
		if len(all) != 2 || !bytes.Equal(all[0], now) || !bytes.Equal(all[1], was) {
			t.Fatalf("digests %x", all)
		}
		if !bytes.Equal(phone, v.Digest(vault.KindPhone, 1, "+1")) {
			t.Fatal("another kind's digest changed")
		}
	}
	if err := v.Retire(t.Context(), vault.Target{"prf/email": 3}); err != nil || len(v.Digests(vault.KindEmail, 1, "a")) != 2 {
		t.Fatalf("a version was retired for one that is not there: %v", err)
	}
	if err := v.Retire(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if all := v.Digests(vault.KindEmail, 1, "a@example.org"); len(all) != 1 {
		t.Fatalf("digests %x", all)
	}
	for _, name := range []string{"epoch", "check", "prf/none", ""} {
		if _, err := v.Next(name); err == nil {
			t.Errorf("%q took a new version", name)
		}
	}
}

func TestSecretsAndMACsOutliveANewVersion(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	place := vault.Place{Record: "dec_1", Field: "c2"}
	sealed := v.SealCompliance(place, []byte("salt"))
	hook, conf := v.SealWebhookSecret("whk_1", []byte("hook")), v.SealConfig("smtp", []byte("conf"))
	code, body, token := v.CodeMAC("chl_1", "123456"), v.RequestMAC([]byte("body")), v.TokenMAC([]byte("token"))
	check := func(when string) {
		t.Helper()
		for _, f := range []func() ([]byte, error){
			func() ([]byte, error) { return v.OpenCompliance(place, sealed) },
			func() ([]byte, error) { return v.OpenWebhookSecret("whk_1", hook) },
			func() ([]byte, error) { return v.OpenConfig("smtp", conf) },
		} {
			if _, err := f(); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
		if !v.CodeEqual(code, "chl_1", "123456") || !v.RequestEqual(body, []byte("body")) || !v.TokenEqual(token, []byte("token")) {
			t.Fatalf("%s: a MAC does not hold", when)
		}
		if v.CodeEqual(code, "chl_2", "123456") || v.CodeEqual(code, "chl_1", "123457") || v.CodeEqual(nil, "chl_1", "123456") ||
			v.CodeEqual(code[:32], "chl_1", "123456") || v.TokenEqual(body, []byte("body")) || v.RequestEqual(body, []byte("bodi")) {
			t.Fatalf("%s: a MAC holds for something else", when)
		}
	}
	check("before")
	for _, name := range []string{"compliance", "webhook", "config", "code", "request", "token"} {
		turn(t, v, name)
	}
	check("after")
	if bytes.Equal(v.TokenMAC([]byte("token")), token) {
		t.Fatal("the new version is not used")
	}
	if _, err := v.OpenConfig("imap", conf); err == nil {
		t.Fatal("a secret opens under another name")
	}
	if _, err := v.OpenCompliance(vault.Place{Record: "dec_2", Field: "c2"}, sealed); err == nil {
		t.Fatal("a salt opens in another place")
	}
	again, err := v.Renew("config", "smtp", conf)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := v.Renew("config", "smtp", again); err != nil || !bytes.Equal(same, again) {
		t.Fatalf("sealed anew for nothing: %v", err)
	}
	if _, err := v.Renew("config", "imap", conf); err == nil {
		t.Fatal("a secret was sealed anew in another place")
	}
	if err := v.Retire(t.Context(), vault.Target{"config": 2}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.OpenConfig("smtp", again); err != nil || string(got) != "conf" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := v.OpenConfig("smtp", conf); err == nil {
		t.Fatal("a retired version opens")
	}
}

// turn gives a key a new version and puts it in use.
func turn(t *testing.T, v *vault.Vault, names ...string) vault.Target {
	t.Helper()
	to, err := v.Next(names...)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Prepare(t.Context(), to), v.Promote(t.Context(), to)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestHandlesTurnInPlace(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	key, gone := take(t, v), take(t, v)
	was, lost := v.HandleFor(vault.KindEmail, key), v.HandleFor(vault.KindEmail, gone)
	if err := v.Destroy(t.Context(), []string{gone.ID()}); err != nil {
		t.Fatal(err)
	}
	to := turn(t, v, "handle")
	is := v.HandleFor(vault.KindEmail, key)
	if all := v.HandlesFor(vault.KindEmail, key); is == was || len(all) != 2 || all[0] != is || all[1] != was {
		t.Fatalf("handles %x, was %x", all, was)
	}
	ids, err := v.Resolve(t.Context(), vault.KindEmail, [][16]byte{was, is, lost})
	if err != nil || len(ids) != 2 || ids[was] != key.ID() || ids[is] != key.ID() {
		t.Fatalf("lead to %v, %v", ids, err)
	}
	next, err := v.Rehandle(t.Context(), vault.KindEmail, [][16]byte{was, is, lost})
	if err != nil || len(next) != 1 || next[was] != is {
		t.Fatalf("become %v, %v", next, err)
	}
	if err := v.Retire(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if ids, err := v.Resolve(t.Context(), vault.KindEmail, [][16]byte{was, is}); err != nil || len(ids) != 1 || ids[is] != key.ID() {
		t.Fatalf("after the old key is gone: %v, %v", ids, err)
	}
}

// A process that was stopped looks at the set again before it writes with it.
func TestSharedSetIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, kms := vaulttest.NewStore(), vaulttest.NewKMS()
		c := config(store, kms)
		c.Shared = true
		a, b := open(t, c), open(t, c)
		to := turn(t, a, "prf/email")
		if n := b.Digest(vault.KindEmail, 1, "x")[0]; n != 1 {
			t.Fatalf("version %d: the other process has been told before it looked", n)
		}
		time.Sleep(5 * time.Second)
		if n := b.Digest(vault.KindEmail, 1, "x")[0]; int(n) != to["prf/email"] {
			t.Fatalf("version %d after five seconds", n)
		}
		for _, v := range []*vault.Vault{a, b} {
			if err := v.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestLogSignersSignNotes(t *testing.T) {
	t.Parallel()
	v, store, kms := setup(t)
	const origin = "log.example.org/muster"
	one, err := v.LogSigners(origin)
	if err != nil || len(one) != 1 {
		t.Fatal(one, err)
	}
	if again, _ := open(t, config(store, kms)).LogSigners(origin); again[0].Public != one[0].Public {
		t.Fatal("the key is another after a restart")
	}
	to, _ := v.Next("log")
	if err := v.Prepare(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	both, err := v.LogSigners(origin)
	if err != nil || len(both) != 2 || both[0].Public != one[0].Public {
		t.Fatal(both, err)
	}
	msg, err := note.Sign(&note.Note{Text: origin + "\n0\n\n"}, both[0], both[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range both {
		verifier, err := note.NewVerifier(s.Public)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(msg, note.VerifierList(verifier)); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Promote(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if now, _ := v.LogSigners(origin); len(now) != 2 || now[0].Public != both[1].Public {
		t.Fatal("the new key does not come first", now)
	}
	if _, err := v.LogSigners("no name+"); err == nil {
		t.Fatal("a name with a plus sign was taken")
	}
}
