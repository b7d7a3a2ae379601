package outbound

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of a signed message (Standard Webhooks 1.0.0, "Webhook headers").
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes (Standard Webhooks, "Signature scheme")
	maxSecret    = 64
	maxSecrets   = 4
)

// Secret signs messages to one receiver. It prints as its prefix only.
type Secret struct{ key []byte }

// NewSecret makes a secret of 32 random bytes.
func NewSecret() Secret {
	key := make([]byte, 32)
	rand.Read(key)
	return Secret{key}
}

// Text is the secret as the receiver needs it: whsec_ and base64. It is shown once.
func (s Secret) Text() string { return secretPrefix + base64.StdEncoding.EncodeToString(s.key) }

// Format prints the prefix alone, under every verb.
func (s Secret) Format(w fmt.State, _ rune) { io.WriteString(w, secretPrefix+"...") }

// ParseSecrets reads secrets as Text writes them, separated by white space, the
// newest first: while one is being rotated, both sign. The error tells nothing of them.
func ParseSecrets(text string) ([]Secret, error) {
	var all []Secret
	for _, f := range strings.Fields(text) {
		raw, ok := strings.CutPrefix(f, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(raw)
		if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret {
			return nil, errors.New("a webhook secret is whsec_ and the base64 of 24 to 64 bytes")
		}
		all = append(all, Secret{key})
	}
	if len(all) == 0 || len(all) > maxSecrets {
		return nil, errors.New("a receiver has one to four webhook secrets")
	}
	return all, nil
}

// FormatSecrets is what ParseSecrets reads.
func FormatSecrets(secrets []Secret) string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Text()
	}
	return strings.Join(texts, " ")
}

// Sign sets the three headers for body: one signature for each secret,
// v1 = HMAC-SHA256 of "id.timestamp.body", separated by a space. id has no full
// stop; at is cut to the second and is the time of this attempt.
func Sign(h http.Header, secrets []Secret, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(id + "." + stamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, stamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}
