package edge

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/gate"
)

// Cache keeps the last snapshot and the changes after it in one file, as the centre
// signed them, sealed record by record: AES-256-GCM with a nonce drawn for each,
// under a key that HKDF-SHA-256 makes of the edge's credential and a salt of the
// file's own. Whoever has the disk and not the credential reads nothing; whoever
// has both can change nothing, for each message is verified again when it is read.
// A cache that cannot be read is as none: the edge fetches a snapshot.
//
// The file: magic, salt, then records of a length (4 bytes), a nonce and a
// ciphertext. The associated data of a record are the file's head and the record's
// number, so that records stay where they are. A last record that is cut short is
// what a crash left, and is dropped.
type Cache struct {
	Path   string
	Secret string // the credential

	file    *os.File // open to append; nil: nothing is cached yet
	aead    cipher.AEAD
	head    []byte
	records uint64
	base    int64 // bytes of the snapshot
	grown   int64 // bytes of changes after it
}

const (
	cacheMagic = "MEDGE\x00\x00\x01" // format version 1 last
	saltSize   = 16
	cacheChunk = 1 << 20 // of plain text a record
)

func (c *Cache) open(head []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(c.Secret), head[len(cacheMagic):], "muster edge cache 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func associated(head []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(head), n)
}

// sealer writes what it is given in sealed records.
type sealer struct {
	w    io.Writer
	aead cipher.AEAD
	head []byte
	n    uint64
	size int64
	buf  []byte
}

func (s *sealer) Write(p []byte) (n int, err error) {
	for n = len(p); len(p) > 0; {
		part := p[:min(len(p), cacheChunk-len(s.buf))]
		p = p[len(part):]
		if s.buf = append(s.buf, part...); len(s.buf) == cacheChunk {
			if err := s.end(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// end writes what is left as a record.
func (s *sealer) end() error {
	if len(s.buf) == 0 {
		return nil
	}
	out := make([]byte, 4, 4+len(s.buf)+s.aead.Overhead())
	out = s.aead.Seal(out, nil, s.buf, associated(s.head, s.n))
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	s.buf = s.buf[:0]
	s.n++
	s.size += int64(len(out))
	_, err := s.w.Write(out)
	return err
}

// Put replaces what is cached by a snapshot.
func (c *Cache) Put(m *gate.Message) error {
	c.Close()
	head := append([]byte(cacheMagic), make([]byte, saltSize)...)
	rand.Read(head[len(cacheMagic):])
	aead, err := c.open(head)
	if err != nil {
		return err
	}
	s := &sealer{aead: aead, head: head}
	if err := durable.Write(c.Path, 0o600, func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		s.w = w
		if _, err := m.WriteTo(s); err != nil {
			return err
		}
		return s.end()
	}); err != nil {
		return err
	}
	return c.reopen(aead, head, s.n, s.size, 0, int64(len(head))+s.size)
}

// reopen opens the file to append at its good end.
func (c *Cache) reopen(aead cipher.AEAD, head []byte, records uint64, base, grown, end int64) error {
	f, err := os.OpenFile(c.Path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(end); err != nil {
		f.Close()
		return err
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		f.Close()
		return err
	}
	c.file, c.aead, c.head, c.records, c.base, c.grown = f, aead, head, records, base, grown
	return nil
}

// Add appends a change. It is not synced: what a power cut takes is fetched again.
func (c *Cache) Add(m *gate.Message) error {
	if c.file == nil {
		return nil
	}
	var b bytes.Buffer
	s := &sealer{w: &b, aead: c.aead, head: c.head, n: c.records}
	if _, err := m.WriteTo(s); err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	if _, err := c.file.Write(b.Bytes()); err != nil {
		c.Close() // its end is not known any more: the next snapshot begins it anew
		return err
	}
	c.records, c.grown = s.n, c.grown+s.size
	return nil
}

// Full says that the changes have outgrown the snapshot: a new one is worth fetching.
func (c *Cache) Full() bool { return c.file != nil && c.grown > max(c.base, 8<<20) }

// Close lets the file go. What is cached stays.
func (c *Cache) Close() {
	if c.file != nil {
		c.file.Close() // what it holds is not relied on
		c.file = nil
	}
}

// unsealer reads records back as one stream.
type unsealer struct {
	r     *bufio.Reader
	aead  cipher.AEAD
	head  []byte
	n     uint64
	size  int64 // of whole records read
	plain []byte
}

var errCache = muster.Errorf(muster.CodeMalformed, "the cache cannot be opened with this credential, or is damaged")

func (u *unsealer) Read(p []byte) (int, error) {
	for len(u.plain) == 0 {
		var length [4]byte
		if _, err := io.ReadFull(u.r, length[:]); err != nil {
			return 0, io.EOF // whole, or torn in a length
		}
		n := binary.BigEndian.Uint32(length[:])
		if n > cacheChunk+64 {
			return 0, errCache
		}
		sealed := make([]byte, n)
		if _, err := io.ReadFull(u.r, sealed); err != nil {
			return 0, io.EOF // torn
		}
		plain, err := u.aead.Open(nil, nil, sealed, associated(u.head, u.n))
		if err != nil {
			return 0, errCache
		}
		u.plain = plain
		u.n++
		u.size += int64(n) + 4
	}
	n := copy(p, u.plain)
	u.plain = u.plain[n:]
	return n, nil
}

// Load hands every message to each, the snapshot first, until each fails or the
// file ends, and stays open to append after the last that each took.
func (c *Cache) Load(each func(*gate.Message) error) error {
	c.Close()
	f, err := os.Open(c.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(cacheMagic)+saltSize)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(cacheMagic)]) != cacheMagic {
		return errCache
	}
	aead, err := c.open(head)
	if err != nil {
		return err
	}
	u := &unsealer{r: bufio.NewReaderSize(f, 1<<16), aead: aead, head: head}
	var records uint64
	var base, size int64
	for first := true; ; first = false {
		m, err := gate.ReadMessage(u, 0)
		if err == nil {
			err = each(m)
		}
		switch {
		case err != nil && first:
			if errors.Is(err, io.EOF) {
				err = errCache
			}
			return err
		case err != nil: // the end, or what a crash or a stranger left: the rest is dropped
			return c.reopen(aead, head, records, base, size-base, int64(len(head))+size)
		}
		if records, size = u.n, u.size; first {
			base = size
		}
	}
}
