package vault_test

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster/vault"
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
	n, err := v.RotateNamed(t.Context(), "prf/email")
	if err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
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
	if err := v.RetireNamed(t.Context(), "prf/email", 2); err == nil {
		t.Fatal("the version in use was retired")
	}
	if err := v.RetireNamed(t.Context(), "prf/email", 1); err != nil {
		t.Fatal(err)
	}
	if all := v.Digests(vault.KindEmail, 1, "a@example.org"); len(all) != 1 {
		t.Fatalf("digests %x", all)
	}
	for _, name := range []string{"handle", "epoch", "check", "log", "snapshot", "gate", "prf/none", ""} {
		if _, err := v.RotateNamed(t.Context(), name); err == nil {
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
		if _, err := v.RotateNamed(t.Context(), name); err != nil {
			t.Fatal(err)
		}
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
	if err := v.RetireNamed(t.Context(), "config", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := v.OpenConfig("smtp", conf); err == nil {
		t.Fatal("a retired version opens")
	}
}

func TestLogSignerSignsNotes(t *testing.T) {
	t.Parallel()
	v, store, kms := setup(t)
	signer, vkey, err := v.LogSigner("log.example.org/muster")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(&note.Note{Text: "log.example.org/muster\n0\n\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(msg, note.VerifierList(verifier)); err != nil {
		t.Fatal(err)
	}
	if _, again, _ := open(t, config(store, kms)).LogSigner("log.example.org/muster"); again != vkey {
		t.Fatal("the key is another after a restart")
	}
	if _, _, err := v.LogSigner("no name+"); err == nil {
		t.Fatal("a name with a plus sign was taken")
	}
}
