package vault

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
)

// LogSigner is one version of the log's key: it signs checkpoints as origin.
type LogSigner struct {
	note.Signer
	Version int
	Public  string // verifier key (C2SP signed-note, Ed25519), to be published
}

// LogSigners are the live versions of the log's key, that in use first; origin is the
// name of the log (a note key's name, without "+" and white space). There is more than
// one while the key is handed over: then each checkpoint is signed by all of them.
func (v *Vault) LogSigners(origin string) ([]LogSigner, error) {
	versions := v.keys().log
	use := inUse(versions).version
	var all []LogSigner
	for _, h := range versions {
		s, err := logSigner(origin, h.key)
		if err != nil {
			return nil, err
		}
		s.Version = h.version
		if h.version == use {
			all = append([]LogSigner{s}, all...)
		} else {
			all = append(all, s)
		}
	}
	return all, nil
}

func logSigner(origin string, key ed25519.PrivateKey) (s LogSigner, err error) {
	if s.Public, err = note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey)); err != nil {
		return s, muster.Errorf(muster.CodeInvalid, "the log's origin is no name of a key: %w", err)
	}
	parts := strings.Split(s.Public, "+") // name+hash+key
	if len(parts) < 3 {
		return s, muster.Errorf(muster.CodeInternal, "the log's verifier key has an unknown form")
	}
	const ed25519Algorithm = 1
	secret := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", parts[0], parts[1],
		base64.StdEncoding.EncodeToString(append([]byte{ed25519Algorithm}, key.Seed()...)))
	if s.Signer, err = note.NewSigner(secret); err != nil {
		// The library's error does not repeat the key, but nothing here depends on that.
		return s, muster.Errorf(muster.CodeInvalid, "the log's origin is no name of a key")
	}
	return s, nil
}

// SnapshotKey signs gate snapshots (Ed25519), with the version that is in use when it
// signs.
func (v *Vault) SnapshotKey() crypto.Signer { return signer{v} }

// SnapshotKeys are the public halves of the live versions, that in use first: a
// second one is announced to the edges before it is used.
func (v *Vault) SnapshotKeys() []ed25519.PublicKey {
	versions := v.keys().snapshot
	all := []ed25519.PublicKey{v.SnapshotKey().Public().(ed25519.PublicKey)}
	for _, h := range versions {
		if public := h.key.Public().(ed25519.PublicKey); !public.Equal(all[0]) {
			all = append(all, public)
		}
	}
	return all
}

// GateKeys are the live versions of the key under which the gate hashes account
// references, by number, and the one in use. It is the one key that leaves this room:
// whoever answers from a snapshot needs it.
func (v *Vault) GateKeys() (keys map[int][32]byte, use int) {
	versions := v.keys().gate
	keys = make(map[int][32]byte, len(versions))
	for _, h := range versions {
		keys[h.version] = h.key
	}
	return keys, inUse(versions).version
}

// signer signs and prints nothing of its key.
type signer struct{ v *Vault }

func (s signer) key() ed25519.PrivateKey { return inUse(s.v.keys().snapshot).key }

func (s signer) Public() crypto.PublicKey { return s.key().Public() }

func (s signer) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key().Sign(rand, message, opts)
}

func (s signer) Format(f fmt.State, _ rune) { io.WriteString(f, "ed25519 signer") }
