package vault_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/outbound"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

// doer reaches the one server of the test, as a configuration would let it.
func doer(t testing.TB, server string) *outbound.Client {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	c, err := outbound.New(outbound.Config{Allow: []string{u.Host}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func transit(t testing.TB, s *vaulttest.Transit) *vault.Transit {
	t.Helper()
	k, err := vault.NewTransit(vault.TransitConfig{
		URL: s.URL, Mount: s.Mount, Key: s.Key, Client: doer(t, s.URL), Token: func() (string, error) { return s.Token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func awsKMS(t testing.TB, s *vaulttest.AWSKMS) *vault.AWSKMS {
	t.Helper()
	k, err := vault.NewAWSKMS(t.Context(), vault.AWSConfig{Key: s.Key, Region: "eu-central-1", Endpoint: s.URL, Client: doer(t, s.URL)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// awsCredentials are for servers of a test; nothing asks the machine for its own.
func awsCredentials(t *testing.T) {
	for _, set := range os.Environ() { // a profile, a bundle of certificates, an endpoint
		if name, _, _ := strings.Cut(set, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	for name, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
	} {
		t.Setenv(name, v)
	}
}

func TestEveryRootKeyKeepsItsPromise(t *testing.T) {
	awsCredentials(t)
	ends := map[string]func() vault.KMS{
		"file": func() vault.KMS {
			k, err := vault.CreateKeyFile(filepath.Join(t.TempDir(), "root.key"))
			if err != nil {
				t.Fatal(err)
			}
			return k
		},
		"transit": func() vault.KMS { return transit(t, vaulttest.NewTransit(t)) },
		"aws":     func() vault.KMS { return awsKMS(t, vaulttest.NewAWSKMS(t)) },
	}
	for name, fresh := range ends {
		t.Run(name, func(t *testing.T) {
			kms, other := fresh(), fresh()
			plain, ad := bytes.Repeat([]byte{7}, 64), []byte("place\x00one")
			wrapped, err := kms.Wrap(t.Context(), plain, ad)
			if err != nil {
				t.Fatal(err)
			}
			if len(wrapped) > 1024 || bytes.Contains(wrapped, plain[:16]) {
				t.Fatalf("%d bytes, or clear ones", len(wrapped))
			}
			if got, err := kms.Unwrap(t.Context(), wrapped, ad); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%x, %v", got, err)
			}
			for what, try := range map[string]func() ([]byte, error){
				"another place": func() ([]byte, error) { return kms.Unwrap(t.Context(), wrapped, []byte("place\x00two")) },
				"no place":      func() ([]byte, error) { return kms.Unwrap(t.Context(), wrapped, nil) },
				"another key":   func() ([]byte, error) { return other.Unwrap(t.Context(), wrapped, ad) },
				"altered": func() ([]byte, error) {
					b := bytes.Clone(wrapped)
					b[len(b)-5] ^= 1
					return kms.Unwrap(t.Context(), b, ad)
				},
				"cut off": func() ([]byte, error) { return kms.Unwrap(t.Context(), wrapped[:len(wrapped)/2], ad) },
				"nothing": func() ([]byte, error) { return kms.Unwrap(t.Context(), nil, ad) },
			} {
				if got, err := try(); err == nil {
					t.Errorf("%s: opened %x", what, got)
				} else if bytes.Contains([]byte(err.Error()), []byte("of the service")) {
					t.Errorf("%s: the error repeats the service's words: %v", what, err)
				}
			}
			// A whole vault stands on it, and opens again after its epoch has turned.
			store := vaulttest.NewStore()
			v := open(t, config(store, kms))
			files := write(t, v, 3)
			if err := v.Rotate(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			checkFiles(t, open(t, config(store, kms)), files)
		})
	}
}

func TestTransitTurnsWithTheEpoch(t *testing.T) {
	t.Parallel()
	server := vaulttest.NewTransit(t)
	store := vaulttest.NewStore()
	v := open(t, config(store, transit(t, server)))
	files := write(t, v, 3)
	backup := store.Copy()
	for range 3 {
		if err := v.Rotate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Versions(t); n != 1 {
		t.Fatalf("%d versions are left", n)
	}
	checkFiles(t, open(t, config(store, transit(t, server))), files)
	// What an old backup of the key store holds opens with no key that is left.
	_, err := vault.Open(t.Context(), config(backup, transit(t, server)))
	code(t, err, muster.CodeUnavailable)
}

// A token that was revoked or has run out is refused until its file has another.
func TestTransitTokenIsReplaced(t *testing.T) {
	t.Parallel()
	server := vaulttest.NewTransit(t)
	token := server.Token
	k, err := vault.NewTransit(vault.TransitConfig{
		URL: server.URL, Mount: server.Mount, Key: server.Key, Client: doer(t, server.URL), Token: func() (string, error) { return token, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := k.Wrap(t.Context(), []byte("key"), []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	server.Renew(t)
	if _, err := k.Unwrap(t.Context(), wrapped, []byte("place")); err == nil || !strings.Contains(err.Error(), "answered 403") || strings.Contains(err.Error(), token) {
		t.Errorf("with a token that is over: %v", err)
	}
	token = server.Token
	if got, err := k.Unwrap(t.Context(), wrapped, []byte("place")); err != nil || string(got) != "key" {
		t.Errorf("with the next token: %q, %v", got, err)
	}
}

// Who cannot start is told whether it is the token, the place or the server.
func TestTransitSaysWhatToDo(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	good := vaulttest.NewTransit(t)
	store := vaulttest.NewStore()
	open(t, config(store, transit(t, good)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(server.Close)
	k, err := vault.NewTransit(vault.TransitConfig{
		URL: server.URL, Mount: good.Mount, Key: good.Key, Client: doer(t, server.URL), Token: func() (string, error) { return "t", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for s, want := range map[int]string{http.StatusForbidden: "token", http.StatusNotFound: "mount", http.StatusServiceUnavailable: "sealed", http.StatusBadRequest: "start with the root key"} {
		status = s
		_, err := vault.Open(t.Context(), config(store, k))
		code(t, err, muster.CodeUnavailable)
		var own *muster.Error
		if !errors.As(err, &own) || !strings.Contains(own.Hint, want) {
			t.Errorf("%d: %v", s, err)
		}
	}
}

func TestTransitRefusesABadConfiguration(t *testing.T) {
	t.Parallel()
	good := vault.TransitConfig{URL: "https://v:8200", Mount: "transit", Key: "k", Client: doer(t, "http://v:8200"), Token: func() (string, error) { return "", nil }}
	if _, err := vault.NewTransit(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*vault.TransitConfig){
		"url": func(c *vault.TransitConfig) { c.URL = "v:8200" }, "query": func(c *vault.TransitConfig) { c.URL += "?x" },
		"mount": func(c *vault.TransitConfig) { c.Mount = "a/../b" }, "key": func(c *vault.TransitConfig) { c.Key = "a/b" },
		"client": func(c *vault.TransitConfig) { c.Client = nil }, "token": func(c *vault.TransitConfig) { c.Token = nil },
	} {
		c := good
		spoil(&c)
		if _, err := vault.NewTransit(c); muster.ErrorCode(err) != muster.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
