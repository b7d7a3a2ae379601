package vaulttest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Transit is a server that answers as the transit secrets engine is documented to, with
// one key of type aes256-gcm96; or one that stands for a service.
type Transit struct {
	URL, Mount, Key, Token string

	service *transitService // nil: it answers itself

	mu       sync.Mutex
	versions map[int]cipher.AEAD
	newest   int
	minimum  struct{ decrypt, encrypt, available int }
}

// NewTransit starts one; it ends with the test. With MUSTER_TEST_TRANSIT=http://TOKEN@host:port
// it is the engine of that Vault or OpenBao, mounted anew, with a token that may do what
// docs/operate.md asks for and nothing else.
func NewTransit(t testing.TB) *Transit {
	if at := os.Getenv("MUSTER_TEST_TRANSIT"); at != "" {
		return newTransitService(t, at)
	}
	s := &Transit{Mount: "transit", Key: "muster", Token: "s." + rand.Text(), versions: map[int]cipher.AEAD{}}
	s.turn()
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *Transit) turn() {
	s.newest++
	s.versions[s.newest] = newAEAD()
}

func newAEAD() cipher.AEAD {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// Renew ends the token and makes another.
func (s *Transit) Renew(t testing.TB) {
	t.Helper()
	if s.service != nil {
		s.Token = s.service.renew(t, s.Token)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Token = "s." + rand.Text()
}

// Versions is how many versions of the key are kept.
func (s *Transit) Versions(t testing.TB) int {
	t.Helper()
	if s.service != nil {
		return s.service.versions(t, s.Key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.versions)
}

func (s *Transit) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fail := func(status int, text string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"errors": []string{text}})
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/transit/")
	if !ok || r.Method != http.MethodPost {
		fail(http.StatusNotFound, "no handler for route")
		return
	}
	if r.Header.Get("X-Vault-Token") != s.Token {
		fail(http.StatusForbidden, "permission denied")
		return
	}
	var in struct {
		Plaintext  string `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
		AD         string `json:"associated_data"`
		Decrypt    *int   `json:"min_decryption_version"`
		Encrypt    *int   `json:"min_encryption_version"`
		Available  *int   `json:"min_available_version"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(http.StatusBadRequest, "error parsing JSON")
		return
	}
	ad, err := base64.StdEncoding.DecodeString(in.AD)
	if err != nil {
		fail(http.StatusBadRequest, "failed to base64-decode associated_data")
		return
	}
	answer := func(data map[string]any) { json.NewEncoder(w).Encode(map[string]any{"data": data}) }
	switch path {
	case "encrypt/" + s.Key:
		plain, err := base64.StdEncoding.DecodeString(in.Plaintext)
		if err != nil {
			fail(http.StatusBadRequest, "failed to base64-decode plaintext")
			return
		}
		sealed := s.versions[s.newest].Seal(nil, nil, plain, ad)
		answer(map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", s.newest, base64.StdEncoding.EncodeToString(sealed)), "key_version": s.newest})
	case "decrypt/" + s.Key:
		parts := strings.SplitN(in.Ciphertext, ":", 3)
		if len(parts) != 3 || parts[0] != "vault" {
			fail(http.StatusBadRequest, "invalid ciphertext: no prefix")
			return
		}
		version, _ := strconv.Atoi(strings.TrimPrefix(parts[1], "v"))
		aead := s.versions[version]
		if aead == nil || version < s.minimum.decrypt {
			fail(http.StatusBadRequest, "ciphertext or signature version is disallowed by policy (too old)")
			return
		}
		sealed, _ := base64.StdEncoding.DecodeString(parts[2])
		plain, err := aead.Open(nil, nil, sealed, ad)
		if err != nil {
			fail(http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		answer(map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)})
	case "keys/" + s.Key + "/rotate":
		s.turn()
		w.WriteHeader(http.StatusNoContent)
	case "keys/" + s.Key + "/config":
		if in.Decrypt == nil || in.Encrypt == nil || *in.Decrypt > s.newest || *in.Encrypt > s.newest || *in.Decrypt < s.minimum.available {
			fail(http.StatusBadRequest, "cannot set min decryption version")
			return
		}
		s.minimum.decrypt, s.minimum.encrypt = *in.Decrypt, *in.Encrypt
		w.WriteHeader(http.StatusNoContent)
	case "keys/" + s.Key + "/trim":
		if in.Available == nil || s.minimum.decrypt == 0 || s.minimum.encrypt == 0 || *in.Available > min(s.minimum.decrypt, s.minimum.encrypt) {
			fail(http.StatusBadRequest, "min_available_version is not allowed")
			return
		}
		s.minimum.available = *in.Available
		for v := range s.versions {
			if v < *in.Available {
				delete(s.versions, v)
			}
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		fail(http.StatusNotFound, "no handler for route")
	}
}
