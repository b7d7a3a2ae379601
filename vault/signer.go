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

// LogSigner signs the log's checkpoints as origin (a note key's name, without "+"
// and white space), and returns the verifier key to be published (C2SP signed-note,
// Ed25519).
func (v *Vault) LogSigner(origin string) (note.Signer, string, error) {
	key := v.set.Load().log
	verifier, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, "", muster.Errorf(muster.CodeInvalid, "the log's origin is no name of a key: %w", err)
	}
	parts := strings.Split(verifier, "+") // name+hash+key
	if len(parts) < 3 {
		return nil, "", muster.Errorf(muster.CodeInternal, "the log's verifier key has an unknown form")
	}
	const ed25519Algorithm = 1
	secret := fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", parts[0], parts[1],
		base64.StdEncoding.EncodeToString(append([]byte{ed25519Algorithm}, key.Seed()...)))
	signer, err := note.NewSigner(secret)
	if err != nil {
		// The library's error does not repeat the key, but nothing here depends on that.
		return nil, "", muster.Errorf(muster.CodeInvalid, "the log's origin is no name of a key")
	}
	return signer, verifier, nil
}

// LogKey signs with the log's Ed25519 key what is not a checkpoint in note format
// (cosignatures with time).
func (v *Vault) LogKey() crypto.Signer { return signer{v.set.Load().log} }

// SnapshotKey signs gate snapshots (Ed25519).
func (v *Vault) SnapshotKey() crypto.Signer { return signer{v.set.Load().snapshot} }

// GateKey is the key under which the gate hashes account references. It is the one
// key that leaves this room: whoever answers from a snapshot needs it.
func (v *Vault) GateKey() [32]byte { return v.set.Load().gate }

// signer signs and prints nothing of its key.
type signer struct{ key ed25519.PrivateKey }

func (s signer) Public() crypto.PublicKey { return s.key.Public() }

func (s signer) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(rand, message, opts)
}

func (s signer) Format(f fmt.State, _ rune) { io.WriteString(f, "ed25519 signer") }
