package rotate_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	_ "modernc.org/sqlite"

	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// TestAuditHoldsHandoversAgainstTheirLeaves turns the log's key twice, and alters what is
// kept of it behind everybody's back.
func TestAuditHoldsHandoversAgainstTheirLeaves(t *testing.T) {
	t.Parallel()
	const (
		uncovered = "no leaf commits to it"
		missing   = "the hand-over that it commits to is missing"
		elsewhere = "leads to a key that is not the next"
	)
	for name, c := range map[string]struct {
		do    func(*bundle)
		finds []string // each in one finding; nothing else is found
	}{
		"nothing was": {func(*bundle) {}, nil},
		"one is gone": {func(b *bundle) { b.sql(`DELETE FROM handovers WHERE key_version = 2`) }, []string{missing, elsewhere}},
		"one was slipped in": {func(b *bundle) {
			old, next := stranger(b), stranger(b)
			b.sql(`INSERT INTO handovers (key_version, public, note, made) VALUES (9, ?, ?, 1)`, old.public, handOver(b, old, next))
		}, []string{uncovered, elsewhere, elsewhere}}, // also what came before it
		"one leads to another's key": {func(b *bundle) {
			old, next := stranger(b), stranger(b) // whose old key somebody stole
			b.sql(`UPDATE handovers SET public = ?, note = ? WHERE key_version = 2`, old.public, handOver(b, old, next))
		}, []string{uncovered, missing, elsewhere, elsewhere}},
		"one was not signed by its key": {func(b *bundle) {
			b.sql(`UPDATE handovers SET note = ? WHERE key_version = 2`, handOver(b, stranger(b), stranger(b)))
		}, []string{uncovered, missing, "no signature"}},
		"one is over a head of another log": {func(b *bundle) {
			keys, err := b.logKeys()
			if err != nil {
				b.Fatal(err)
			}
			old := stranger(b)
			note, err := tlog.SignHandover(tlog.Checkpoint{Size: 1}, keys.Signers[0].(vault.LogSigner).Public, old, keys.Signers[0])
			if err != nil {
				b.Fatal(err)
			}
			b.sql(`UPDATE handovers SET public = ?, note = ? WHERE key_version = 2`, old.public, note)
		}, []string{uncovered, missing, elsewhere, "not over a head of this log"}},
		"one says another key": {func(b *bundle) {
			b.sql(`UPDATE handovers SET public = ? WHERE key_version = 1`, stranger(b).public)
		}, []string{"no signature"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, roomtest.Options{})
			for range 2 {
				b.begin("log", 0)
				b.finish()
			}
			keys, err := b.logKeys()
			if err != nil {
				t.Fatal(err)
			}
			b.Verifier = keys.Verifiers[0]
			b.Clean()
			c.do(b)
			found := b.AuditOnly().Findings
			left := slices.Clone(found)
			for _, want := range c.finds {
				i := slices.IndexFunc(left, func(f string) bool { return strings.Contains(f, want) })
				if i < 0 {
					t.Fatalf("the audit finds %q, want %q", found, want)
				}
				left = slices.Delete(left, i, i+1)
			}
			if len(left) > 0 {
				t.Errorf("the audit also finds %q", left)
			}
		})
	}
}

// logKey is a key that the vault does not know.
type logKey struct {
	note.Signer
	public string
}

func stranger(b *bundle) logKey {
	b.Helper()
	private, public, err := tlog.GenerateLogKey("test.muster.example/log")
	if err != nil {
		b.Fatal(err)
	}
	s, err := note.NewSigner(private)
	if err != nil {
		b.Fatal(err)
	}
	return logKey{s, public}
}

func handOver(b *bundle, old, next logKey) []byte {
	b.Helper()
	signed, err := tlog.SignHandover(tlog.Checkpoint{}, next.public, old, next)
	if err != nil {
		b.Fatal(err)
	}
	return signed
}

// sql writes to the store behind everybody's back.
func (b *bundle) sql(query string, args ...any) {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+b.Path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	r, err := db.Exec(query, args...)
	if err != nil {
		b.Fatal(err)
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		b.Fatalf("%d rows, %v", n, err)
	}
}
