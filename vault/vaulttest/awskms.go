package vaulttest

import (
	"crypto/cipher"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// AWSKMS is a server that answers Encrypt and Decrypt as AWS KMS is documented to.
// It looks for a signature and does not check it.
type AWSKMS struct {
	URL, Key string

	aead cipher.AEAD
}

// NewAWSKMS starts one; it ends with the test.
func NewAWSKMS(t testing.TB) *AWSKMS {
	s := &AWSKMS{Key: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", aead: newAEAD()}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *AWSKMS) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	fail := func(code string) {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": "of the service"})
	}
	signature := r.Header.Get("Authorization")
	if !strings.HasPrefix(signature, "AWS4-HMAC-SHA256 Credential=") || !strings.Contains(signature, "/kms/aws4_request") {
		fail("MissingAuthenticationTokenException")
		return
	}
	var in struct {
		KeyID      string `json:"KeyId"`
		Plaintext  []byte
		Ciphertext []byte            `json:"CiphertextBlob"`
		Context    map[string]string `json:"EncryptionContext"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail("ValidationException")
		return
	}
	if in.KeyID != s.Key {
		fail("NotFoundException")
		return
	}
	var pairs []string
	for k, v := range in.Context {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	ad := []byte(strings.Join(pairs, ","))
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": s.aead.Seal(nil, nil, in.Plaintext, ad), "KeyId": s.Key})
	case "TrentService.Decrypt":
		plain, err := s.aead.Open(nil, nil, in.Ciphertext, ad)
		if err != nil {
			fail("InvalidCiphertextException")
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain, "KeyId": s.Key})
	default:
		fail("UnknownOperationException")
	}
}
