package edge

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// cached is a cache of a snapshot and three changes, and the states on the way.
func cached(t testing.TB) (c *centre, path string, states []gate.Digest) {
	t.Helper()
	c = newCentre(t, 3000)
	path = filepath.Join(t.TempDir(), "cache")
	k := &Cache{Path: path, Secret: token}
	defer k.Close()
	if err := k.Put(came(t, raw(t, c.whole(c.snap)))); err != nil {
		t.Fatal(err)
	}
	states = append(states, c.snap.Digest())
	for i, who := range []string{"a", "b", "c"} {
		c.put(who, muster.GateDeny)
		if err := k.Add(c.delta(i)); err != nil {
			t.Fatal(err)
		}
		states = append(states, c.snap.Digest())
	}
	return c, path, states
}

// load is what an edge believes after it has read a cache.
func load(t testing.TB, c *centre, k *Cache) (*belief, error) {
	t.Helper()
	b := &belief{keys: c.keys()}
	err := k.Load(func(m *gate.Message) error {
		if !b.keys.signed(m) {
			return Forged
		}
		_, err := b.follow(m)
		return err
	})
	return b, err
}

func TestTheCacheGivesBackTheLastState(t *testing.T) {
	t.Parallel()
	c, path, states := cached(t)
	for range 2 { // and goes on where it was
		k := &Cache{Path: path, Secret: token}
		b, err := load(t, c, k)
		if err != nil || b.snap.Digest() != states[len(states)-1] {
			t.Fatal(err)
		}
		c.put("d", muster.GateDeny)
		if err := k.Add(c.delta(len(c.changes) - 1)); err != nil {
			t.Fatal(err)
		}
		states = append(states, c.snap.Digest())
		k.Close()
	}
}

func TestTheCacheIsSealed(t *testing.T) {
	t.Parallel()
	c, path, _ := cached(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hash, key := c.snap.Key().Hash("r-17"), *c.snap.Key()
	plain := raw(t, c.whole(c.snap))
	for what, secret := range map[string][]byte{"an account": hash[:8], "the hash key": key[:16], "the deployment": []byte("dep_1"), "the credential": []byte(token)} {
		if bytes.Contains(data, secret) {
			t.Errorf("%s is in it", what)
		}
		if what != "the credential" && !bytes.Contains(plain, secret) {
			t.Errorf("positive control: %s is not in the snapshot either", what)
		}
	}
	if _, err := load(t, c, &Cache{Path: path, Secret: "another"}); muster.ErrorCode(err) != muster.CodeMalformed {
		t.Error(err)
	}
}

func TestATornCacheGivesAnEarlierStateAndGoesOn(t *testing.T) {
	t.Parallel()
	c, path, states := cached(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	dir := t.TempDir()
	for gone := 0; gone <= len(data); gone += 1 + gone/9 { // every part of the end, some of the middle
		cut := len(data) - gone
		at := filepath.Join(dir, "cache")
		if err := os.WriteFile(at, data[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		k := &Cache{Path: at, Secret: token}
		b, err := load(t, c, k)
		if b.snap == nil {
			if err == nil {
				t.Fatalf("cut at %d: nothing was read and nothing is wrong", cut)
			}
			continue
		}
		i := -1
		for j, s := range states {
			if s == b.snap.Digest() {
				i = j
			}
		}
		if err != nil || i < 0 {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		seen[i] = true
		for n := i; n < len(c.changes); n++ { // it goes on from there
			if err := k.Add(c.delta(n)); err != nil {
				t.Fatal(err)
			}
		}
		k.Close()
		if b, err := load(t, c, k); err != nil || b.snap.Digest() != states[len(states)-1] {
			t.Fatalf("cut at %d, gone on from %d: %v", cut, i, err)
		}
		k.Close()
	}
	if !seen[len(states)-1] || len(seen) < 2 {
		t.Errorf("the cuts met %v alone", seen)
	}
}

func TestADamagedCacheGivesAStateOfTheCentresOrNone(t *testing.T) {
	t.Parallel()
	c, path, states := cached(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "cache")
	for i := 0; i < len(data); i += 1 + i/13 {
		bad := bytes.Clone(data)
		bad[i] ^= 0x40
		if err := os.WriteFile(at, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		k := &Cache{Path: at, Secret: token}
		b, err := load(t, c, k)
		k.Close()
		if b.snap == nil {
			if err == nil {
				t.Errorf("byte %d: nothing was read and nothing is wrong", i)
			}
			continue
		}
		ok := false
		for _, s := range states {
			ok = ok || s == b.snap.Digest()
		}
		if !ok {
			t.Errorf("byte %d: a state that the centre never had", i)
		}
	}
}

func TestAChangeWithoutASnapshotIsNotCached(t *testing.T) {
	t.Parallel()
	c := newCentre(t, 5)
	c.put("a", muster.GateDeny)
	k := &Cache{Path: filepath.Join(t.TempDir(), "cache"), Secret: token}
	if err := k.Add(c.delta(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(k.Path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file was made")
	}
	if b, err := load(t, c, k); err != nil || b.snap != nil {
		t.Error(err)
	}
}

// FuzzCache: whatever lies where the cache should be, reading it ends, and gives
// nothing that the centre did not sign.
func FuzzCache(f *testing.F) {
	c, path, _ := cached(f)
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:40])
	f.Add([]byte(cacheMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		at := filepath.Join(t.TempDir(), "cache")
		if err := os.WriteFile(at, data, 0o600); err != nil {
			t.Fatal(err)
		}
		k := &Cache{Path: at, Secret: token}
		b, err := load(t, c, k)
		k.Close()
		if b.snap == nil && err == nil {
			t.Fatal("nothing was read and nothing is wrong")
		}
	})
}
