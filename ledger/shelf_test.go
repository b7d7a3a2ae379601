package ledger_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/s3test"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/store"
)

// storage is objects.S3 or objects.Dir.
type storage interface {
	ledger.Objects
	List(ctx context.Context, prefix string, each func(objects.Info) error) error
}

// dated is a storage whose objects are as old as the test's clock says.
type dated struct {
	storage
	clock muster.Clock

	mu   sync.Mutex
	made map[string]time.Time
}

func (d *dated) Put(ctx context.Context, name string, data []byte) error {
	d.mu.Lock()
	d.made[name] = d.clock()
	d.mu.Unlock()
	return d.storage.Put(ctx, name, data)
}

func (d *dated) list(ctx context.Context, prefix string, each func(name string, size int64, made time.Time) error) error {
	return d.List(ctx, prefix, func(i objects.Info) error {
		d.mu.Lock()
		made := d.made[i.Name]
		d.mu.Unlock()
		return each(i.Name, i.Size, made)
	})
}

// onStorages runs a test with chunks in rows, in a directory and in S3. Long ones are about
// rows alone, but in the long version: the short ones have the storages.
func onStorages(t *testing.T, long bool, test func(b *sealBundle)) {
	sqlite := func(t *testing.T) *hotBundle {
		dir := t.TempDir()
		return setupHot(t, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")})
	}
	postgres := func(t *testing.T) *hotBundle {
		dsn := pgtest.Database(t)
		return setupHot(t, store.Config{DSN: dsn}, store.Config{DSN: dsn, Schema: "ledger"})
	}
	for name, setup := range map[string]func(t *testing.T) *sealBundle{
		"SQLite":                func(t *testing.T) *sealBundle { return setupSealed(sqlite(t)) },
		"PostgreSQL":            func(t *testing.T) *sealBundle { return setupSealed(postgres(t)) },
		"SQLite and directory":  func(t *testing.T) *sealBundle { return setupShelved(sqlite(t), objects.NewDir(t.TempDir())) },
		"PostgreSQL and bucket": func(t *testing.T) *sealBundle { b, _ := onS3(t, postgres(t)); return b },
	} {
		if long && strings.Contains(name, " and ") && os.Getenv("MUSTER_SOAK") == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			test(b)
			if b.kept != nil && len(b.kept.made) == 0 {
				t.Error("no chunk ever went to the storage")
			}
		})
	}
}

func onS3(t *testing.T, h *hotBundle) (*sealBundle, *s3test.Server) {
	server := s3test.Start(t)
	return setupShelved(h, server.Objects(t, objects.S3Config{Prefix: "p/", Clock: muster.SystemClock, Pause: time.Millisecond, Tries: 3})), server
}

// names are the objects that are there.
func (b *sealBundle) names() (all []string) {
	b.Helper()
	if err := b.kept.List(b.t.Context(), "ledger/", func(i objects.Info) error {
		all = append(all, strings.TrimPrefix(i.Name, "ledger/"))
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// volumes are the rows, and those of them that chunks lie in.
func (b *sealBundle) volumes() (all []ledger.Volume, used []string) {
	b.Helper()
	if err := b.room.View(b.t.Context(), func(tx ledger.Tx) (err error) {
		all, err = tx.Volumes(b.t.Context())
		return err
	}); err != nil {
		b.Fatal(err)
	}
	for _, v := range all {
		if v.Chunks > 0 {
			used = append(used, v.Name)
		}
	}
	slices.Sort(used)
	return all, used
}

// tidied: once what is not used was kept long enough, the storage holds what rows name
// and nothing else.
func (b *sealBundle) tidied() {
	b.Helper()
	if b.kept == nil {
		return
	}
	for range 3 {
		b.move(49 * time.Hour)
		b.compact(false)
	}
	_, used := b.volumes()
	if there := b.names(); !slices.Equal(there, used) {
		b.Errorf("%d objects are there and %d are used:\n%v\n%v", len(there), len(used), there, used)
	}
	v, err := b.shelf.Verify(b.t.Context(), b.room, true)
	if err != nil || len(v.Missing) > 0 || int(v.Volumes) != len(used) {
		b.Errorf("%+v, %v", v, err)
	}
}

// shelved is a ledger of a quarter in volumes, one that runs, and a tail.
func (b *sealBundle) shelved(seed uint64) model {
	b.Helper()
	b.size, b.shelf.Size = 512, 512
	r, m := rand.New(rand.NewPCG(seed, 1)), model{}
	b.take(b.batch(r, m, 900, "P-1", "P-2", "P-3"))
	b.seal()
	b.compact(true)
	b.take(b.batch(r, m, 20, "P-1"))
	if _, used := b.volumes(); len(used) < 2 {
		b.Fatal("there are no volumes", used)
	}
	return m
}

func TestStorageThatFails(t *testing.T) {
	t.Parallel()
	b, server := onS3(t, setupHot(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")}, store.Config{Path: filepath.Join(t.TempDir(), "ledger.db")}))
	ctx := t.Context()
	m := b.shelved(21)
	ask := func(from time.Time, days int) ([]muster.AccessRecord, error) {
		page, err := b.ask.Used(ctx, asking, ledger.Used{Account: b.ids["P-2"], From: from, Until: from.AddDate(0, 0, days), Limit: ledger.MaxPage})
		return page.Records, err
	}
	q4 := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	for name, f := range map[string]s3test.Fault{"busy": s3test.Busy, "denied": s3test.Denied, "cut": s3test.Cut, "short": s3test.Short} {
		server.Fail(func(*http.Request) s3test.Fault { return f })
		b.restart()
		if _, err := ask(began, 30); muster.ErrorCode(err) != muster.CodeUnavailable {
			t.Errorf("%s: a quarter in the storage: %v", name, err)
		}
		if got, err := ask(q4, 50); err != nil || len(got) == 0 {
			t.Errorf("%s: the quarter that runs: %d records, %v", name, len(got), err)
		}
	}
	// What fails once ends well; what comes wrong once comes right.
	for name, f := range map[string]s3test.Fault{"busy": s3test.Busy, "cut": s3test.Cut, "short": s3test.Short, "wrong": s3test.Wrong} {
		b.restart()
		server.Once(http.MethodGet, f)
		if got, err := ask(began, 30); err != nil || len(got) == 0 {
			t.Errorf("%s once: %d records, %v", name, len(got), err)
		}
	}
	b.restart()
	server.Fail(func(r *http.Request) s3test.Fault { return s3test.Wrong })
	if _, err := ask(began, 30); muster.ErrorCode(err) != muster.CodeUnavailable || !strings.Contains(err.Error(), "other bytes") {
		t.Errorf("wrong bytes: %v", err)
	}
	server.Fail(nil)
	b.check(m)

	// An object that is gone is named, and nothing is taken for absent.
	_, used := b.volumes()
	if err := b.kept.Delete(ctx, "ledger/"+used[0]); err != nil {
		t.Fatal(err)
	}
	v, err := b.shelf.Verify(ctx, b.room, false)
	if err != nil || len(v.Missing) != 1 || v.Missing[0].Volume != used[0] {
		t.Errorf("%+v, %v", v, err)
	}
	b.restart()
	failed := 0
	for _, p := range []string{"P-1", "P-2", "P-3"} {
		_, err := b.ask.Used(ctx, asking, ledger.Used{Account: b.ids[p], From: began, Until: q4, Limit: ledger.MaxPage})
		if err != nil {
			failed++
			if muster.ErrorCode(err) != muster.CodeUnavailable || !strings.Contains(err.Error(), used[0]) {
				t.Error(err)
			}
		}
	}
	if failed == 0 {
		t.Error("no question missed the volume that is gone")
	}
	// A deployment whose configuration forgot the storage says so.
	b.kept, b.shelf = nil, nil
	b.restart()
	if _, err := ask(began, 30); muster.ErrorCode(err) != muster.CodeUnavailable || !strings.Contains(err.Error(), "does not name") {
		t.Error(err)
	}
}

func TestQuestionsOfVolumesAskTheStorageOnce(t *testing.T) {
	t.Parallel()
	b, server := onS3(t, setupHot(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")}, store.Config{Path: filepath.Join(t.TempDir(), "ledger.db")}))
	b.shelved(22)
	ask := func() {
		if _, err := b.ask.CameFrom(t.Context(), asking, ledger.CameFrom{
			Prefix: netip.MustParsePrefix("198.51.100.3/32"), From: began, Until: began.AddDate(0, 0, 31), Limit: ledger.MaxPage,
		}); err != nil {
			t.Fatal(err)
		}
	}
	b.shelf.Cache = 1 << 20
	before := server.Asked(http.MethodGet)
	ask()
	first := server.Asked(http.MethodGet) - before
	_, used := b.volumes()
	if first == 0 || first > len(used) {
		t.Errorf("%d requests for %d volumes", first, len(used))
	}
	ask()
	if again := server.Asked(http.MethodGet) - before - first; again != 0 {
		t.Errorf("%d requests for what is remembered", again)
	}
}

// An account that is erased while a volume is written does not come back with it.
func TestErasedWhileItIsShelved(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"put", "shelve", "unpack"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := setupShelved(setupHot(t, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")}), objects.NewDir(filepath.Join(dir, "objects")))
			r, m := rand.New(rand.NewPCG(23, 1)), model{}
			b.take(b.batch(r, m, 600, "P-1", "P-2", "P-3"))
			b.seal()
			if at == "unpack" {
				b.compact(true)
				b.fill = false
				b.restart()
			}
			erased := false
			b.fault = func(what string, after bool) error {
				if what == at && !after && !erased {
					erased = true
					return ledger.Erase(t.Context(), b.room, []string{b.ids["P-2"]})
				}
				return nil
			}
			if _, err := b.sealer.Compact(t.Context(), true); err != nil && muster.ErrorCode(err) != muster.CodeStale {
				t.Fatal(err)
			}
			if !erased {
				t.Fatal("nothing was shelved")
			}
			if err := b.vault.Destroy(t.Context(), []string{b.keys["P-2"]}); err != nil {
				t.Fatal(err)
			}
			m[b.ids["P-2"]] = nil
			b.compact(true)
			b.check(m)
			b.tidied()
		})
	}
}

// What is erased leaves a hole; the volume is written anew without it, others' bytes as
// they were, and the old object goes when it was kept long enough, not before.
func TestHolesAreWrittenAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := setupShelved(setupHot(t, store.Config{Path: filepath.Join(dir, "muster.db")}, store.Config{Path: filepath.Join(dir, "ledger.db")}), objects.NewDir(filepath.Join(dir, "objects")))
	m := b.shelved(24)
	before := b.names()
	if err := errors.Join(b.vault.Destroy(t.Context(), []string{b.keys["P-1"]}), ledger.Erase(t.Context(), b.room, []string{b.ids["P-1"]})); err != nil {
		t.Fatal(err)
	}
	m[b.ids["P-1"]] = nil
	b.seal()
	b.compact(false) // holes are seen, and large ones mended
	there, kept := b.names(), 0
	now, used := b.volumes()
	for _, v := range now {
		if v.Chunks > 0 && 4*(v.Size-16-v.Used) >= v.Size {
			t.Errorf("a volume of %d bytes has %d that are used, and was left", v.Size, v.Used)
		}
	}
	for _, name := range before {
		if !slices.Contains(used, name) && slices.Contains(there, name) {
			kept++
		}
	}
	if kept == 0 {
		t.Error("an object went as soon as nothing named it")
	}
	b.move(8 * 24 * time.Hour)
	b.compact(false)
	all, _ := b.volumes()
	for _, v := range all {
		if v.Chunks > 0 && v.Used+16 != v.Size {
			t.Errorf("a volume of %d bytes has %d that are used", v.Size, v.Used)
		}
	}
	b.check(m)
	b.tidied()
	b.check(m)
}

// Back from the storage, and there again.
func TestBackFromTheStorage(t *testing.T) {
	t.Parallel()
	b, _ := onS3(t, setupHot(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")}, store.Config{Path: filepath.Join(t.TempDir(), "ledger.db")}))
	m := b.shelved(25)
	before := b.names()
	b.fill = false
	b.restart()
	b.compact(false)
	if _, used := b.volumes(); len(used) != 0 {
		t.Fatal("chunks are still in volumes", used)
	}
	b.check(m)
	b.tidied()
	b.fill = true
	b.restart()
	b.compact(false)
	b.check(m)
	for _, name := range b.names() {
		if slices.Contains(before, name) {
			t.Error("a name came twice: a deletion that comes late would hit it")
		}
	}
	b.tidied()
}

// A copy of a store (a restore elsewhere) and its original share a bucket: neither
// clears away what is the other's, until the copy claims it.
func TestCopyAndOriginalShareABucket(t *testing.T) {
	t.Parallel()
	b, _ := onS3(t, setupHot(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")}, store.Config{Path: filepath.Join(t.TempDir(), "ledger.db")}))
	ctx := t.Context()
	m := b.shelved(26)
	// Of the original after the copy was made: no row here names it.
	theirs := "ledger/" + strings.Split(b.names()[0], "/")[0] + "/" + strings.Repeat("ab", 32)
	if err := b.kept.Put(ctx, theirs, []byte("of the original")); err != nil {
		t.Fatal(err)
	}
	// Its clock is ahead of the copy's.
	ahead := strings.Repeat("f", 16)
	if err := b.room.InTx(ctx, func(tx ledger.Tx) error { return tx.AddSpace(ctx, ahead, b.clock().Add(time.Hour)) }); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Divide(ctx, b.room); err != nil {
		t.Fatal(err)
	}
	b.restart()
	old := b.names()
	if err := errors.Join(b.vault.Destroy(ctx, []string{b.keys["P-1"]}), ledger.Erase(ctx, b.room, []string{b.ids["P-1"]})); err != nil {
		t.Fatal(err)
	}
	m[b.ids["P-1"]] = nil
	b.seal()
	for range 5 {
		b.move(8 * 24 * time.Hour)
		b.compact(false)
	}
	b.check(m)
	there := b.names()
	for _, name := range old {
		if !slices.Contains(there, name) {
			t.Error("the copy deleted what the original has", name)
		}
	}
	if len(there) == len(old) {
		t.Error("the copy wrote nothing of its own")
	}
	for _, name := range there {
		if strings.HasPrefix(name, ahead) {
			t.Error("the copy wrote where the original deletes", name)
		}
	}
	if err := ledger.Claim(ctx, b.room); err != nil {
		t.Fatal(err)
	}
	b.tidied()
	b.check(m)
}

// A holder that put an object and lost its lease meanwhile names it nowhere: the other
// has gone on, and nothing is there twice.
func TestStaleHolderShelvesNothing(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	b, _ := onS3(t, setupHot(t, store.Config{DSN: dsn}, store.Config{DSN: dsn, Schema: "ledger"}))
	r, m := rand.New(rand.NewPCG(27, 1)), model{}
	b.take(b.batch(r, m, 600, "P-1", "P-2"))
	b.seal()
	stale := b.sealer
	overtaken := false
	b.fault = func(what string, after bool) error {
		if what == "put" && after && !overtaken {
			overtaken = true
			b.restart() // another process; the lease of the first has run out
			b.compact(true)
		}
		return nil
	}
	if _, err := stale.Compact(t.Context(), true); muster.ErrorCode(err) != muster.CodeStale {
		t.Fatal("the stale holder went on:", err)
	}
	_, used := b.volumes()
	if len(used) == 0 || len(b.names()) != len(used)+1 {
		t.Errorf("%d objects, %d of them used", len(b.names()), len(used))
	}
	b.check(m)
	b.tidied()
}

// Rows say no to whoever looked at them before they changed.
func TestRowsOfVolumesAreFenced(t *testing.T) {
	t.Parallel()
	b := setupShelved(setupHot(t, store.Config{Path: filepath.Join(t.TempDir(), "muster.db")}, store.Config{Path: filepath.Join(t.TempDir(), "ledger.db")}), objects.NewDir(t.TempDir()))
	b.shelved(28)
	ctx := t.Context()
	all, _ := b.volumes()
	var some ledger.Chunk
	if err := b.room.View(ctx, func(tx ledger.Tx) error {
		return tx.VolumeChunks(ctx, all[0].ID, func(c ledger.Chunk) error { some = c; return nil })
	}); err != nil {
		t.Fatal(err)
	}
	for what, fn := range map[string]func(tx ledger.Tx) error{
		"a chunk that is elsewhere":       func(tx ledger.Tx) error { return tx.PlaceChunk(ctx, 0, some) },
		"a chunk that is gone":            func(tx ledger.Tx) error { return tx.PlaceChunk(ctx, 0, ledger.Chunk{ID: 1}) },
		"a volume with chunks is dropped": func(tx ledger.Tx) error { return tx.DropVolume(ctx, all[0].ID) },
	} {
		if err := b.room.InTx(ctx, fn); muster.ErrorCode(err) != muster.CodeStale {
			t.Errorf("%s: %v", what, err)
		}
	}
}
