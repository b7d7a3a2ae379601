package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/loopback"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/s3test"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

// bucketed is a deployment whose tiles and chunks are to lie in a bucket.
type bucketed struct {
	*kept
	server *s3test.Server
	keys   string // the file of the bucket's keys
	plain  string // its configuration without a storage
	at     time.Time
	wrote  int
}

func setupBucketed(t *testing.T, c Config) *bucketed {
	t.Helper()
	b := &bucketed{kept: setupKept(t, c), server: s3test.Start(t), at: time.Now().UTC().AddDate(0, 0, -200).Truncate(24 * time.Hour).Add(12 * time.Hour)}
	b.plain = b.config
	b.keys = b.server.Keys(t)
	b.config = b.with("bucket.yaml", "tiles: true\n  chunks: true")
	return b
}

func (b *bucketed) with(name, lines string) string {
	b.Helper()
	return with(b.T, b.plain, name, fmt.Sprintf("out:\n  allow: [%q]\nstorage:\n  s3:\n    endpoint: %s\n    bucket: %s\n    prefix: prod/\n    path_style: true\n    credentials_file: %s\n  %s\n",
		b.server.Host(), b.server.URL, b.server.Bucket, b.keys, lines))
}

// fill brings records of a quarter that is over, and has them shelved.
func (b *bucketed) fill(n int) {
	b.Helper()
	b.open(b.config, func(h *house) {
		ctx := b.Context()
		if err := h.openHot(ctx); err != nil {
			b.Fatal(err)
		}
		var batch ledger.Batch
		for i := range n {
			batch.Access = append(batch.Access, muster.AccessRecord{
				Account: "ada-1", IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Action: "login", At: b.at.Add(time.Duration(b.wrote+i) * time.Second),
			})
		}
		if _, err := h.hot.Take(ctx, &ledger.Arrival{Batch: batch, From: "opr_1", Body: fmt.Sprint(b.wrote)}); err != nil {
			b.Fatal(err)
		}
		b.wrote += n
		h.shelf.Least = 1
		s, err := h.sealer(false)
		if err != nil {
			b.Fatal(err)
		}
		if _, err = s.Seal(ctx); err == nil {
			_, err = s.Compact(ctx, true)
		}
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(ctx); err != nil {
			b.Fatal(err)
		}
	})
}

// finds asks for all records that were filled in.
func (b *bucketed) finds(config string) {
	b.Helper()
	b.open(config, func(h *house) {
		if err := h.openHot(b.Context()); err != nil {
			b.Fatal(err)
		}
		ids, err := h.db.LedgerAccounts().AccountIDs(b.Context(), []string{"ada-1"})
		if err != nil {
			b.Fatal(err)
		}
		page, err := h.asks.Used(b.Context(), ledger.Ask{Operator: b.operator(h).Operator, Purpose: vault.PurposeAbuse, Case: "c-1"}, ledger.Used{
			Account: ids["ada-1"], From: b.at, Until: b.at.Add(time.Hour), Limit: ledger.MaxPage,
		})
		if err != nil || len(page.Records) != b.wrote {
			b.Errorf("%d records, want %d: %v", len(page.Records), b.wrote, err)
		}
	})
}

// objects are the names of what is in the bucket, below the prefix.
func (b *bucketed) objects() (names []string) {
	b.Helper()
	s := b.server.Objects(b.T, objects.S3Config{Prefix: "prod/", Clock: muster.SystemClock})
	for _, prefix := range []string{"ledger/", "log/", "canary/"} {
		if err := s.List(b.Context(), prefix, func(i objects.Info) error { names = append(names, i.Name); return nil }); err != nil {
			b.Fatal(err)
		}
	}
	return names
}

func (b *bucketed) volume() string {
	b.Helper()
	for _, name := range b.objects() {
		if strings.HasPrefix(name, "ledger/") {
			return name
		}
	}
	b.Fatal("there is no volume")
	return ""
}

// fails runs a command that has to fail, and say why.
func (b *bucketed) fails(want string, args ...string) {
	b.Helper()
	code, out, errs := session(b.Context(), args...)
	if code == exitOK || !strings.Contains(out+errs, want) {
		b.Errorf("muster %s: code %d, want %q in\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
}

func (b *bucketed) says(want string, args ...string) {
	b.Helper()
	if out := b.run(args...); !strings.Contains(out, want) {
		b.Errorf("muster %s: want %q in\n%s", strings.Join(args, " "), want, out)
	}
}

// TestStorage takes a deployment through its life with a bucket: filled, audited, looked
// after, backed up, damaged, restored beside the original, and brought back.
func TestStorage(t *testing.T) {
	t.Parallel()
	b := setupBucketed(t, Config{})
	b.fill(500)
	b.finds(b.config)
	volume := b.volume()
	b.says("1 volumes with", "storage", "check", "--read", "--config", b.config)
	b.says("1 volumes (", "storage", "move", "--config", b.config)
	b.says("clean: every leaf", "log", "audit", "--config", b.config)
	has := strings.Join(b.objects(), "\n")
	for _, want := range []string{"log/checkpoint", "log/tile/entries/000.p/", "log/tile/0/000.p/"} {
		if !strings.Contains(has, want) {
			t.Errorf("%s is not in the bucket:\n%s", want, has)
		}
	}
	_, doctor, _ := session(t.Context(), "doctor", "--config", b.config)
	for _, want := range []string{"an object was put, read back and deleted", "storage: clock", "all 1 that rows name are in the storage"} {
		if !strings.Contains(doctor, want) {
			t.Errorf("the doctor does not say %q:\n%s", want, doctor)
		}
	}
	dir := filepath.Join(t.TempDir(), "data")
	b.says("1 volumes of the ledger are named", "backup", "data", dir, "--config", b.config, "--recipients-file", b.recipients)
	b.says("the 1 volumes of the ledger that it names are in the storage", "backup", "check", dir, "--identity", b.identity, "--storage-of", b.config)
	keys := b.backup("keys")
	b.fails("names no storage", "backup", "data", filepath.Join(t.TempDir(), "none"), "--config", b.plain, "--recipients-file", b.recipients)

	// A restore beside the original: it reads what is there and clears nothing away.
	into := filepath.Join(t.TempDir(), "e")
	b.says("the 1 volumes of the ledger are in the storage", "restore", "--data", dir, "--keys", keys, "--identity", b.identity,
		"--root-key", filepath.Join(b.dir, "keys", "root.key"), "--into", into)
	restored := filepath.Join(into, "muster.yaml")
	b.finds(restored)
	b.open(restored, func(h *house) {
		if h.conf.Storage.Tiles {
			t.Error("a restored deployment writes tiles where the original does")
		}
		spaces, err := spacesOf(h, t)
		if err != nil || len(spaces) != 2 || spaces[0].Ours || !spaces[1].Ours {
			t.Errorf("%+v, %v", spaces, err)
		}
	})
	b.says("are this one's", "storage", "claim", "--config", restored)
	b.open(restored, func(h *house) {
		if spaces, err := spacesOf(h, t); err != nil || !spaces[0].Ours {
			t.Errorf("%+v, %v", spaces, err)
		}
	})

	// What is lost is said by everybody.
	bucket := b.server.Objects(t, objects.S3Config{Prefix: "prod/", Clock: muster.SystemClock})
	got, err := bucket.Get(t.Context(), volume)
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.Delete(t.Context(), volume); err != nil {
		t.Fatal(err)
	}
	b.fails("it is not there", "storage", "check", "--config", b.config)
	b.fails("are not in the storage", "doctor", "--config", b.config)
	b.fails("are not in the storage", "backup", "data", dir, "--config", b.config, "--recipients-file", b.recipients)
	b.fails("are not in the storage", "backup", "check", dir, "--identity", b.identity, "--storage-of", b.config)
	b.says("MISSING: 1 of 1", "restore", "--data", dir, "--keys", keys, "--identity", b.identity,
		"--root-key", filepath.Join(b.dir, "keys", "root.key"), "--into", filepath.Join(t.TempDir(), "e"))
	got[len(got)/2] ^= 1
	put := b.server.Objects(t, objects.S3Config{Prefix: "prod/", Clock: muster.SystemClock})
	if err := put.Put(t.Context(), volume, got); err != nil {
		t.Fatal(err)
	}
	b.fails("is not what was written", "storage", "check", "--read", "--config", b.config)
	if err := put.Delete(t.Context(), volume); err != nil {
		t.Fatal(err)
	}
	got[len(got)/2] ^= 1
	if err := put.Put(t.Context(), volume, got); err != nil {
		t.Fatal(err)
	}

	// A storage that is down: who looks is told, and what is in the database goes on.
	b.server.Fail(func(*http.Request) s3test.Fault { return s3test.Denied })
	b.fails("the storage refuses these keys", "doctor", "--config", b.config)
	b.server.Fail(nil)

	back := b.with("back.yaml", "tiles: false\n  chunks: false")
	b.says("0 chunks lie in 0 volumes", "storage", "move", "--config", back)
	b.finds(b.plain)
	b.says("clean: every leaf", "log", "audit", "--config", b.plain)
}

func spacesOf(h *house, t *testing.T) (spaces []ledger.Space, err error) {
	return spaces, store.LedgerAs[ledger.Tx](h.ledger).View(t.Context(), func(tx ledger.Tx) error {
		spaces, err = tx.Spaces(t.Context())
		return err
	})
}

func TestStorageOnPostgres(t *testing.T) {
	t.Parallel()
	dsn := func() string {
		path := filepath.Join(t.TempDir(), "dsn")
		if err := os.WriteFile(path, []byte(pgtest.Database(t)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := setupBucketed(t, Config{Database: dsn(), KeyDatabase: dsn()})
	b.fill(300)
	b.finds(b.config)
	b.says("clean: every leaf", "log", "audit", "--config", b.config)
	b.says("1 volumes with", "storage", "check", "--read", "--config", b.config)
	dir := filepath.Join(t.TempDir(), "data")
	b.says("1 volumes of the ledger are named", "backup", "data", dir, "--config", b.config, "--recipients-file", b.recipients)
}

// TestServeWithoutItsStorage: a server whose storage is away takes applications, says
// that it is degraded, and publishes what it has once the storage is back.
func TestServeWithoutItsStorage(t *testing.T) {
	t.Parallel()
	listen := loopback.Address(t)
	server := s3test.Start(t)
	made, root, err := initialise(t.Context(), t.TempDir(), Config{Mode: muster.ModeSandbox, Listen: listen, Origin: "sandbox.muster.example/log"}, "Ada", []string{"us-iaas-cip", "sandbox"})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateHouse{T: t, conf: made.Config, root: root}
	g.conf.Out.Allow = []string{server.Host()}
	g.conf.Storage = StorageConfig{Tiles: true, S3: S3Config{Endpoint: server.URL, Bucket: server.Bucket, PathStyle: true, Credentials: server.Keys(t)}}
	server.Fail(func(*http.Request) s3test.Fault { return s3test.Denied })
	g.start()
	if g.api, err = newClient("http://"+listen, root); err != nil {
		t.Fatal(err)
	}
	g.person("r-1", "open")
	var status struct{ Degraded []string }
	g.until("degraded", func() bool {
		g.must(g.api.call(t.Context(), http.MethodGet, "/v1/status", nil, &status))
		return slices.Contains(status.Degraded, "storage")
	})
	server.Fail(nil)
	o := server.Objects(t, objects.S3Config{Clock: muster.SystemClock})
	g.until("the head is published", func() bool {
		head, err := o.Get(t.Context(), "log/checkpoint")
		return err == nil && strings.HasPrefix(string(head), "sandbox.muster.example/log\n")
	})
}

func TestStorageConfig(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		"storage:\n  directory: /x\n  s3:\n    bucket: b\n":                                                  "not both",
		"storage:\n  tiles: true\n":                                                                          "names a directory",
		"storage:\n  s3:\n    endpoint: https://s3.example.net\n":                                            "needs Bucket",
		"storage:\n  s3:\n    endpoint: s3.example.net\n    bucket: b\n":                                     "a URL of scheme and host",
		"storage:\n  s3:\n    endpoint: https://s3.example.net\n    bucket: b\n    prefix: x\n":              "ends in a slash",
		"storage:\n  directory: /x\n  keep: 3m\n":                                                            "storage.keep",
		"storage:\n  s3:\n    endpoint: https://s3.example.net\n    bucket: b\n    secret_access_key: abc\n": "unknown field",
	} {
		path := filepath.Join(t.TempDir(), "muster.yaml")
		if err := os.WriteFile(path, []byte("origin: muster.example.net/log\n"+lines), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readConfig(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", lines, err, want)
		}
	}
	// A private endpoint has to be allowed.
	server := s3test.Start(t)
	c := Config{Storage: StorageConfig{S3: S3Config{Endpoint: server.URL, Bucket: server.Bucket, PathStyle: true}}}
	s, err := c.openStorage(muster.SystemClock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "a"); err == nil || server.Asked(http.MethodGet) > 0 {
		t.Error("a private address that nobody allowed was asked", err)
	}
}
