package tlog

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/muster-cip/muster"
)

// memory is leaves, tiles and heads in memory; fail makes a named step fail.
type memory struct {
	mu     sync.Mutex
	leaves [][]byte
	tiles  map[string][]byte
	top    []byte
	seen   map[string][]byte
	reads  int64 // leaves read
	fail   func(step string) error
}

func newMemory() *memory {
	return &memory{tiles: map[string][]byte{}, seen: map[string][]byte{}, fail: func(string) error { return nil }}
}

func (m *memory) Leaves(_ context.Context, from, to int64) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = min(from, int64(len(m.leaves))), min(to, int64(len(m.leaves)))
	m.reads += to - from
	return m.leaves[from:to], m.fail("leaves")
}

func (m *memory) Tile(_ context.Context, path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.tiles[path]
	if !ok {
		return nil, muster.Errorf(muster.CodeNotFound, "no such tile")
	}
	return data, nil
}

func (m *memory) PutTile(_ context.Context, path string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("before tile"); err != nil {
		return err
	}
	if old, ok := m.tiles[path]; ok && !bytes.Equal(old, data) {
		return muster.Errorf(muster.CodeConflict, "tile is there with other bytes")
	}
	m.tiles[path] = bytes.Clone(data)
	return m.fail("after tile")
}

func (m *memory) Head(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.top, nil
}

func (m *memory) SetHead(_ context.Context, old, new []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("before head"); err != nil {
		return err
	}
	if !bytes.Equal(m.top, old) {
		return muster.Errorf(muster.CodeConflict, "the head has moved")
	}
	m.top = new
	return m.fail("after head")
}

func (m *memory) Seen(_ context.Context, origin string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[origin], nil
}

func (m *memory) SetSeen(_ context.Context, origin string, old, new []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fail("before seen"); err != nil {
		return err
	}
	if !bytes.Equal(m.seen[origin], old) {
		return muster.Errorf(muster.CodeConflict, "another checkpoint was faster")
	}
	m.seen[origin] = new
	return m.fail("after seen")
}

// append adds n leaves, each different from every other.
func (m *memory) append(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		i := len(m.leaves)
		l := Leaf{Type: Reveal, Hour: int64(490_000 + i/100)}
		l.C1 = CommitPart("n", make([]byte, SaltBytes), []byte{byte(i >> 16), byte(i >> 8), byte(i)})
		m.leaves = append(m.leaves, l.Marshal())
	}
}

// log is one log with its key.
type log struct {
	*memory
	signer   note.Signer
	verifier note.Verifier
	public   string
	*Publisher
	prover *Prover
}

const testOrigin = "muster.example/log"

// tb is what testing.TB and rapid.T share.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func setup(t tb) *log {
	t.Helper()
	private, public, err := GenerateLogKey(testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	l := &log{memory: newMemory(), public: public}
	if l.signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	if l.verifier, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	l.Publisher, err = NewPublisher(PublisherConfig{
		Leaves: l.memory, Tiles: l.memory, Heads: l.memory, Keys: OneKey(l.signer, l.verifier),
	})
	if err != nil {
		t.Fatal(err)
	}
	l.prover = NewProver(l.memory)
	return l
}

// grow appends n leaves and publishes.
func (l *log) grow(t tb, n int) Checkpoint {
	t.Helper()
	l.append(n)
	c, err := l.Publish(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testClock stands at a fixed time.
func testClock() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC) }

func wantCode(t testing.TB, err error, code muster.Code) {
	t.Helper()
	if muster.ErrorCode(err) != code {
		t.Fatalf("got error %v, want code %q", err, code)
	}
}
