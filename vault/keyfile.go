package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

const (
	keyFileHead   = "muster root key 1\n"
	keyFileLimit  = 4 << 10
	wrapFormat    = 1
	maxGeneration = 100_000 // 8,000 years of epochs; bounds the steps that a hostile wrap can ask for
)

// KeyFile is the root key in a file: the KMS of a deployment that has none.
//
// The key turns by a one-way step (HKDF): generation n leads to n+1 and never
// back. So an older copy of the file, kept on paper, always opens the present key
// store, while the file in use does not open the key stores of ended epochs. Whoever
// wants erasure to be final against the paper copy too renews it at each turn. A file
// that cannot be written (a mounted secret, a systemd credential) stays where it is
// and steps forward in memory: see Sheds.
type KeyFile struct {
	path       string
	credential bool
	writable   bool

	mu   sync.Mutex
	id   string
	base uint32   // generation in the file
	key  [32]byte // of base
	wrap uint32   // generation that Wrap uses; at least the highest seen
}

// CreateKeyFile makes a new root key at path, mode 0600. It never replaces a file.
func CreateKeyFile(path string) (*KeyFile, error) {
	k := &KeyFile{path: path, writable: true}
	var id [8]byte
	rand.Read(id[:])
	rand.Read(k.key[:])
	k.id = hex.EncodeToString(id[:])
	if err := writeSynced(path, k.encode(), false); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, &muster.Error{Code: muster.CodeConflict, Message: "there is a root key file at " + path + " already", Hint: "a root key is never replaced in place: everything sealed under it would be lost"}
		}
		return nil, muster.Errorf(muster.CodeUnavailable, "the root key file %s cannot be written: %w", path, err)
	}
	return k, nil
}

// OpenKeyFile opens the root key at path. The file must be readable by its owner
// alone, or by a group of this process besides, and be written by its owner alone.
func OpenKeyFile(path string) (*KeyFile, error) { return openKeyFile(path, false) }

// OpenCredential opens the root key that systemd passed as the credential name
// (LoadCredential=, systemd.exec(5)).
func OpenCredential(name string) (*KeyFile, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, &muster.Error{Code: muster.CodeNotFound, Message: "systemd passed no credentials: CREDENTIALS_DIRECTORY is not set", Hint: "add LoadCredential=" + filepath.Base(name) + ":PATH to the unit"}
	}
	if name != filepath.Base(name) || name == ".." || name == "." {
		return nil, muster.Errorf(muster.CodeInvalid, "a credential's name has no path in it")
	}
	return openKeyFile(filepath.Join(dir, name), true)
}

func openKeyFile(path string, credential bool) (*KeyFile, error) {
	k := &KeyFile{path: path, credential: credential}
	b, err := readKeyFile(path, credential)
	if err != nil {
		return nil, err
	}
	// A mounted secret is not ours to write: a link, a group's, or in a directory
	// that is read-only.
	const writeOK = 2 // access(2)
	info, err := os.Lstat(path)
	k.writable = !credential && err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o040 == 0 &&
		syscall.Access(filepath.Dir(path), writeOK) == nil
	if k.id, k.base, k.key, err = parseKeyFile(b); err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "%s is not a root key file: %w", path, err)
	}
	k.wrap = k.base
	return k, nil
}

// ID names the key, the same over all generations.
func (k *KeyFile) ID() string { return "file:" + k.id }

// Path is where the file is.
func (k *KeyFile) Path() string { return k.path }

// String names the key; a KeyFile never prints its key.
func (k *KeyFile) String() string { return k.ID() }

// Format prints the id under every verb.
func (k *KeyFile) Format(s fmt.State, _ rune) { io.WriteString(s, k.ID()) }

// Sheds reports whether Shed can destroy old generations, so that ended epochs
// are final in backups of the key store too.
func (k *KeyFile) Sheds() bool { return k.writable }

// Wrap encrypts plain (AES-256-GCM) under the newest generation.
func (k *KeyFile) Wrap(_ context.Context, plain, ad []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// Another process on this host may have turned the file; a wrap under a
	// generation that it has destroyed would be lost at the next start.
	if b, err := readKeyFile(k.path, k.credential); err == nil {
		if id, base, key, err := parseKeyFile(b); err == nil && id == k.id && base > k.base {
			k.base, k.key = base, key
			k.wrap = max(k.wrap, base)
		}
	}
	aead, err := k.at(k.wrap)
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint32([]byte{wrapFormat}, k.wrap)
	return aead.Seal(head, nil, plain, fields(nil, "root", string(head), string(ad))), nil
}

// Unwrap opens what Wrap made.
func (k *KeyFile) Unwrap(_ context.Context, wrapped, ad []byte) ([]byte, error) {
	gen, err := generation(wrapped)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	aead, err := k.at(gen)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, wrapped[5:], fields(nil, "root", string(wrapped[:5]), string(ad)))
	if err != nil {
		return nil, muster.Errorf(muster.CodeConflict, "the root key %s does not open this", k.ID())
	}
	k.wrap = max(k.wrap, gen)
	return plain, nil
}

// Next turns the key for wraps from now on; the file changes in Shed only.
func (k *KeyFile) Next(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wrap >= maxGeneration {
		return muster.Errorf(muster.CodeInternal, "the root key has turned too often")
	}
	k.wrap++
	return nil
}

// Shed moves the file forward to the oldest generation that wraps need. Where the
// file cannot be written it does nothing.
func (k *KeyFile) Shed(_ context.Context, wraps [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	oldest := k.wrap
	for _, w := range wraps {
		gen, err := generation(w)
		if err != nil {
			return err
		}
		oldest = min(oldest, gen)
	}
	if !k.writable || len(wraps) == 0 || oldest <= k.base {
		return nil
	}
	was, wasKey := k.base, k.key
	k.key, k.base = step(k.key, oldest-k.base), oldest
	if err := writeSynced(k.path, k.encode(), true); err != nil {
		k.base, k.key = was, wasKey
		return muster.Errorf(muster.CodeUnavailable, "the root key file %s cannot be written: %w", k.path, err)
	}
	return nil
}

// at is the cipher of a generation. k.mu is held.
func (k *KeyFile) at(gen uint32) (cipher.AEAD, error) {
	if gen < k.base {
		return nil, &muster.Error{
			Code:    muster.CodeConflict,
			Message: fmt.Sprintf("the key store is older than the root key %s: its epoch has ended and its root key is destroyed", k.ID()),
			Hint:    "restore a backup of the key store that was made after the last rotation, or the copy of the root key of that time",
		}
	}
	key := step(k.key, gen-k.base)
	key, err := hkdf32(key[:], "muster root wrap")
	if err != nil {
		return nil, err
	}
	return newAEAD(key[:])
}

// step turns key n times.
func step(key [32]byte, n uint32) [32]byte {
	for range n {
		next, err := hkdf32(key[:], "muster root turn")
		if err != nil {
			panic("vault: 32 bytes of HKDF-SHA-256 cannot fail") // an invariant of the library
		}
		key = next
	}
	return key
}

func generation(wrapped []byte) (uint32, error) {
	if len(wrapped) < 5+28 || wrapped[0] != wrapFormat {
		return 0, muster.Errorf(muster.CodeMalformed, "a wrapped key has an unknown form")
	}
	gen := binary.BigEndian.Uint32(wrapped[1:])
	if gen > maxGeneration {
		return 0, muster.Errorf(muster.CodeMalformed, "a wrapped key has an unknown form")
	}
	return gen, nil
}

func (k *KeyFile) encode() []byte {
	return fmt.Appendf(nil, "%sid %s\ngeneration %d\nkey %s\n", keyFileHead, k.id, k.base, base64.StdEncoding.EncodeToString(k.key[:]))
}

func parseKeyFile(b []byte) (id string, gen uint32, key [32]byte, err error) {
	bad := func(what string) (string, uint32, [32]byte, error) { return "", 0, [32]byte{}, errors.New(what) }
	rest, ok := bytes.CutPrefix(b, []byte(keyFileHead))
	if !ok {
		return bad("the first line is not that of a root key")
	}
	var enc string
	if n, _ := fmt.Sscanf(string(rest), "id %16s\ngeneration %d\nkey %44s\n", &id, &gen, &enc); n != 3 {
		return bad("a line is missing")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(enc)
	if err != nil || len(raw) != 32 || gen > maxGeneration {
		return bad("the key is damaged") // the decoder's error would repeat bytes of the key
	}
	if h, err := hex.DecodeString(id); err != nil || len(h) != 8 {
		return bad("the id is damaged")
	}
	copy(key[:], raw)
	// One encoding only: a file that was edited or cut is refused.
	if !bytes.Equal((&KeyFile{id: id, base: gen, key: key}).encode(), b) {
		return bad("there is more in it than a root key")
	}
	return id, gen, key, nil
}

// readKeyFile reads path after looking at who else could: the look is at the open
// file, so that it cannot be exchanged in between.
func readKeyFile(path string, credential bool) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &muster.Error{Code: muster.CodeNotFound, Message: "there is no root key file at " + path, Hint: "put the root key back, or make a new deployment with muster init", Cause: err}
	}
	if err != nil {
		code := muster.CodeUnavailable
		if durable.Barred(err) {
			code = muster.CodeInvalid
		}
		return nil, muster.Errorf(code, "the root key file %s cannot be opened: %w", path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "the root key file %s cannot be read: %w", path, err)
	}
	if err := checkMode(path, info, credential); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, keyFileLimit))
	if err != nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "the root key file %s cannot be read: %w", path, err)
	}
	return b, nil
}

func checkMode(path string, info fs.FileInfo, credential bool) error {
	refuse := func(why string) error {
		return &muster.Error{Code: muster.CodeForbidden, Message: fmt.Sprintf("the root key file %s is refused (mode %04o): %s", path, info.Mode().Perm(), why), Hint: "chmod 0600 " + path}
	}
	if !info.Mode().IsRegular() {
		return refuse("it is not a regular file")
	}
	perm := info.Mode().Perm()
	if perm&0o007 != 0 {
		return refuse("every user of this machine can open it")
	}
	if perm&0o030 != 0 {
		return refuse("its group can write it")
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return refuse("its owner cannot be told")
	}
	if uid := os.Geteuid(); int(st.Uid) != uid && st.Uid != 0 {
		return refuse("another user owns it")
	}
	// systemd opens a credential to the service by an ACL, whose mask shows as the
	// group's bits; its directory is the service's own.
	if perm&0o040 != 0 && !credential {
		groups, err := os.Getgroups()
		if err != nil {
			return refuse("the groups of this process cannot be told")
		}
		if int(st.Gid) != os.Getegid() && !slices.Contains(groups, int(st.Gid)) {
			return refuse("a group that is not this process's own can read it")
		}
	}
	return nil
}

// writeSynced writes a file of mode 0600 that is there whole, after a crash too,
// or not at all: temporary file, sync, rename (or link, where none may be
// replaced), sync of the directory.
func writeSynced(path string, b []byte, replace bool) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".root-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil || !replace {
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if replace {
		err = os.Rename(f.Name(), path)
	} else {
		err = os.Link(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// hkdf32 derives a key for one use. Every secret here is uniformly random already,
// so the extract step is left out (RFC 5869, section 3.3).
func hkdf32(secret []byte, info string) (out [32]byte, err error) {
	b, err := hkdf.Expand(sha256.New, secret, info, 32)
	copy(out[:], b)
	return out, err
}

// newAEAD is AES-256-GCM with a random nonce in front: 28 bytes of overhead, at
// most 2^32 messages a key (NIST SP 800-38D, section 8.3).
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// fields encodes a list of strings so that no two lists have the same bytes:
// each with its length in front.
func fields(dst []byte, list ...string) []byte {
	for _, s := range list {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}
