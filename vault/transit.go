package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/muster-cip/muster"
)

// Doer makes one HTTP exchange: *outbound.Client.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// TransitConfig of a Transit. All but Namespace are required.
type TransitConfig struct {
	URL       string                 // of the server: https://vault.internal:8200
	Mount     string                 // path of the secrets engine: "transit"
	Key       string                 // name of the key; of a type with associated data (aes256-gcm96, the default)
	Namespace string                 // X-Vault-Namespace; "" for none
	Token     func() (string, error) // read at each call, so that an agent may renew it
	Client    Doer
}

// Transit is a root key in HashiCorp Vault's or OpenBao's transit secrets engine.
// The key turns by a new version of it; ended versions are trimmed, so that what
// they wrapped opens nowhere.
//
// Its policy needs update on encrypt/KEY and decrypt/KEY, for the turn of an epoch on
// keys/KEY/rotate, and from then on at every start on keys/KEY/config and keys/KEY/trim.
// Source: the engine's HTTP API, as documented by HashiCorp and OpenBao.
type Transit struct{ c TransitConfig }

var transitName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$`)

// NewTransit makes a Transit; it calls nobody yet.
func NewTransit(c TransitConfig) (*Transit, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, muster.Errorf(muster.CodeInvalid, "the URL of the transit server is not https://host:port")
	case !transitName.MatchString(c.Mount), !transitName.MatchString(c.Key), strings.Contains(c.Key, "/"):
		return nil, muster.Errorf(muster.CodeInvalid, "mount and key of the transit server are names: letters, digits, dot, dash, underscore")
	case c.Token == nil || c.Client == nil:
		return nil, muster.Errorf(muster.CodeInvalid, "a transit server needs Token and Client")
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	return &Transit{c}, nil
}

// ID names mount and key, not the server: it may move.
func (t *Transit) ID() string { return "transit/" + t.c.Mount + "/" + t.c.Key }

// Wrap encrypts under the key's newest version.
func (t *Transit) Wrap(ctx context.Context, plain, ad []byte) ([]byte, error) {
	var out struct {
		Ciphertext string `json:"ciphertext"`
	}
	if err := t.call(ctx, "encrypt/"+t.c.Key, map[string]any{"plaintext": plain, "associated_data": ad}, &out); err != nil {
		return nil, err
	}
	if _, err := transitVersion([]byte(out.Ciphertext)); err != nil {
		return nil, err
	}
	return []byte(out.Ciphertext), nil
}

// Unwrap opens what Wrap made.
func (t *Transit) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	if _, err := transitVersion(wrapped); err != nil {
		return nil, err
	}
	var out struct {
		Plaintext string `json:"plaintext"`
	}
	if err := t.call(ctx, "decrypt/"+t.c.Key, map[string]any{"ciphertext": string(wrapped), "associated_data": ad}, &out); err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(out.Plaintext)
	if err != nil || len(plain) == 0 {
		return nil, errors.New("the transit server's answer holds no plaintext")
	}
	return plain, nil
}

// Next makes a new version of the key.
func (t *Transit) Next(ctx context.Context) error {
	return t.call(ctx, "keys/"+t.c.Key+"/rotate", map[string]any{}, nil)
}

// Shed forbids versions before the oldest that wraps need, then trims them: the
// server deletes their key material.
func (t *Transit) Shed(ctx context.Context, wraps [][]byte) error {
	oldest := 0
	for _, w := range wraps {
		v, err := transitVersion(w)
		if err != nil {
			return err
		}
		if oldest == 0 || v < oldest {
			oldest = v
		}
	}
	if oldest < 2 {
		return nil
	}
	// The server trims up to the lesser of the two, and neither may be zero.
	if err := t.call(ctx, "keys/"+t.c.Key+"/config", map[string]any{"min_decryption_version": oldest, "min_encryption_version": oldest}, nil); err != nil {
		return err
	}
	return t.call(ctx, "keys/"+t.c.Key+"/trim", map[string]any{"min_available_version": oldest}, nil)
}

// transitVersion reads the key version that a ciphertext names: vault:v3:...
func transitVersion(ciphertext []byte) (int, error) {
	rest, ok := bytes.CutPrefix(ciphertext, []byte("vault:v"))
	digits, _, more := bytes.Cut(rest, []byte(":"))
	v, err := strconv.Atoi(string(digits))
	if !ok || !more || err != nil || v < 1 {
		return 0, errors.New("this was not wrapped by a transit server")
	}
	return v, nil
}

const maxKMSAnswer = 64 << 10

// transitHints are what to do about a status, where it is not the wrapped key that is wrong.
var transitHints = map[int]string{
	http.StatusForbidden:          "is the token in kms.transit.token_file still good, and may it update that path?",
	http.StatusNotFound:           "is the engine mounted at kms.transit.mount, and is the key of kms.transit.key in it?",
	http.StatusServiceUnavailable: "is the server sealed, or not started yet?",
}

// call posts to the engine. Byte slices go as base64, as encoding/json has them and
// the engine wants them. The server's own words are kept out of the error: they may
// repeat what was sent.
func (t *Transit) call(ctx context.Context, path string, in map[string]any, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.c.URL+"/v1/"+t.c.Mount+"/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	token, err := t.c.Token()
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", token)
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("Content-Type", "application/json")
	if t.c.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", t.c.Namespace)
	}
	res, err := t.c.Client.Do(req)
	if err != nil {
		return fmt.Errorf("the transit server: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxKMSAnswer))
	if err != nil {
		return fmt.Errorf("the transit server: %w", err)
	}
	if res.StatusCode/100 != 2 {
		return &muster.Error{
			Code: muster.CodeUnavailable, Message: "the transit server does not do as it is asked", Hint: transitHints[res.StatusCode],
			Cause: fmt.Errorf("it answered %d to %s", res.StatusCode, path),
		}
	}
	if out == nil {
		return nil
	}
	envelope := struct {
		Data any `json:"data"`
	}{out}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return errors.New("the transit server's answer is not the documented JSON")
	}
	return nil
}
