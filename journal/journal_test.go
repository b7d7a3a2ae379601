package journal_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/compact"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

type bundle struct{ *roomtest.Rooms }

// setup has a log of decisions, operators, packs and a reveal, published.
func setup(t *testing.T) *bundle {
	t.Helper()
	return filled(t, roomtest.Options{})
}

func filled(t *testing.T, o roomtest.Options) *bundle {
	t.Helper()
	b := &bundle{roomtest.Setup(t, o)}
	a := b.Apply(roomtest.Person("app-1"))
	b.Contact(a.Application, "")
	b.Document(a.Application, "", roomtest.Passport("NG", "A1"))
	b.Apply(roomtest.Company("app-2"))
	if _, err := b.Onboard.Bundle(b.Context(), b.Anna, a.Decision.ID, tlog.AudienceExaminer); err != nil {
		t.Fatal(err)
	}
	b.Clean()
	return b
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
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		b.Fatalf("%s: %d rows, %v", query, n, err)
	}
}

// decision is the first.
func (b *bundle) decision() *muster.DecisionRecord {
	b.Helper()
	return roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.DecisionRecord, error) {
		all, err := tx.DecisionsSince(ctx, roomtest.Start, muster.Page{Limit: 1000})
		if err != nil {
			return nil, err
		}
		return slices.MinFunc(all, func(a, b *muster.DecisionRecord) int { return int(a.Leaf - b.Leaf) }), nil
	})
}

func TestAuditOfAnHonestLogIsClean(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) roomtest.Options { return roomtest.Options{} },
		"postgres": func(t *testing.T) roomtest.Options {
			return roomtest.Options{Store: store.Config{DSN: pgtest.Database(t)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := filled(t, o(t))
			a := b.Audit()
			if !a.Clean() || a.Published != a.Size || a.ByType["decision"] != 5 || a.ByType["reveal"] != 3 /* two codes sent, one look */ || a.ByType["operator"] != 2 || a.ByType["pack"] != 1 {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestAuditFindsWhatWasDoneToTheRecord(t *testing.T) {
	t.Parallel()
	const someDecision, someEntry = `(SELECT MIN(id) FROM decisions)`, `(SELECT MIN(id) FROM entries)`
	for name, c := range map[string]struct {
		do   func(*bundle)
		find string
	}{
		"a decision's body was altered": {func(b *bundle) {
			d := b.decision()
			body := bytes.Replace(d.Body, []byte(`"interim":true`), []byte(`"interim":false`), 1)
			if bytes.Equal(body, d.Body) {
				b.Fatal("the body is not as expected")
			}
			b.sql(`UPDATE decisions SET body = ? WHERE id = ?`, compact.Pack(compact.Decision, body), d.ID)
		}, "not the decision that the leaf commits to"},
		"a decision's body is no decision": {func(b *bundle) { b.sql(`UPDATE decisions SET body = CAST('x' AS BLOB) WHERE id = ` + someDecision) }, "not a decision"},
		"a decision's row says otherwise":  {func(b *bundle) { b.sql(`UPDATE decisions SET outcome = 'refuse' WHERE id = ` + someDecision) }, "otherwise than its body"},
		"a decision's salt was altered":    {func(b *bundle) { b.sql(`UPDATE decisions SET salt = zeroblob(62) WHERE id = ` + someDecision) }, "leaf "},
		"a decision's facts are another's": {func(b *bundle) {
			b.sql(`UPDATE decisions SET facts = (SELECT facts FROM decisions WHERE id = (SELECT MAX(id) FROM decisions)) WHERE id = ` + someDecision)
		}, "facts are not those"},
		"a decision is gone": {func(b *bundle) { b.sql(`DELETE FROM decisions WHERE id = ` + someDecision) }, "its record is missing"},
		"a decision was slipped in": {func(b *bundle) {
			b.sql(`INSERT INTO decisions SELECT 'dec_extra', about_kind, about_id, application, customer, at, outcome, observed, body, facts, salt FROM decisions LIMIT 1`)
		}, "dec_extra: no leaf names it"},
		"an entry's body was altered": {func(b *bundle) {
			b.sql(`UPDATE entries SET body = CAST('{"what":"nothing"}' AS BLOB) WHERE id = ` + someEntry)
		}, "not the record that the leaf commits to"},
		"an entry's body is no JSON":    {func(b *bundle) { b.sql(`UPDATE entries SET body = CAST('{' AS BLOB) WHERE id = ` + someEntry) }, "not JSON"},
		"an entry names another person": {func(b *bundle) { b.sql(`UPDATE entries SET operator = 'opr_other' WHERE id = ` + someEntry) }, "not the record that the leaf commits to"},
		"an entry has another time":     {func(b *bundle) { b.sql(`UPDATE entries SET at = at + 1000000 WHERE id = ` + someEntry) }, "not the record that the leaf commits to"},
		"an entry is gone":              {func(b *bundle) { b.sql(`DELETE FROM entries WHERE type = 'reveal'`) }, "its record is missing"},
		"an entry was slipped in": {func(b *bundle) {
			b.sql(`INSERT INTO entries SELECT 'ent_extra', type, at, operator, about_kind, about_id, body, salt FROM entries LIMIT 1`)
		}, "ent_extra: no leaf names it"},
		"a leaf was altered": {func(b *bundle) {
			b.sql(`UPDATE leaves SET leaf = (SELECT leaf FROM leaves WHERE idx = 4) WHERE idx = 3`)
		}, "leaf 3"},
		"a leaf is no leaf": {func(b *bundle) { b.sql(`UPDATE leaves SET leaf = CAST('x' AS BLOB) WHERE idx = 3`) }, "leaf 3: is not a leaf"},
		"two leaves changed place": {func(b *bundle) {
			b.sql(`UPDATE leaves SET idx = -1 WHERE idx = 3`)
			b.sql(`UPDATE leaves SET idx = 3 WHERE idx = 4`)
			b.sql(`UPDATE leaves SET idx = 4 WHERE idx = -1`)
		}, "tiles"},
		"a leaf is gone": {func(b *bundle) { b.sql(`DELETE FROM leaves WHERE idx = 3`) }, "leaf 3"},
		"a leaf and its record are gone, and the rest moved up": {func(b *bundle) {
			b.sql(`DELETE FROM decisions WHERE id = (SELECT ref FROM leaves WHERE idx = 3)`)
			b.sql(`DELETE FROM leaves WHERE idx = 3`)
			b.sql(`UPDATE leaves SET idx = -idx WHERE idx > 3`)
			b.sql(`UPDATE leaves SET idx = -idx - 1 WHERE idx < 0`)
			b.sql(`UPDATE log_size SET size = size - 1`)
		}, "the signed head covers"},
		"the head is another's": {func(b *bundle) {
			_, public, err := tlog.GenerateLogKey("test.muster.example/log")
			if err != nil {
				b.Fatal(err)
			}
			if b.Verifier, err = tlog.NewLogVerifier(public); err != nil {
				b.Fatal(err)
			}
		}, "the signed head"},
		"a tile was altered": {func(b *bundle) { spoil(b, func(data []byte) []byte { data[len(data)/2] ^= 1; return data }) }, "tiles"},
		"a tile is gone":     {func(b *bundle) { spoil(b, nil) }, "tiles"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			c.do(b)
			a := b.AuditOnly()
			if !slices.ContainsFunc(a.Findings, func(f string) bool { return strings.Contains(f, c.find) }) {
				t.Errorf("the audit finds %q, want %q", a.Findings, c.find)
			}
		})
	}
}

// spoil changes, or removes, every tile of hashes.
func spoil(b *bundle, change func([]byte) []byte) {
	b.Helper()
	n := 0
	err := filepath.WalkDir(b.Folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(filepath.ToSlash(path), "/tile/0/") {
			return err
		}
		n++
		if change == nil {
			return os.Remove(path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		return os.WriteFile(path, change(data), 0o600)
	})
	if err != nil || n == 0 {
		b.Fatalf("%d tiles, %v", n, err)
	}
}

// A tombstone covers the leaf of a record that was erased, and that leaf alone.
func TestTombstoneCoversWhatWasErased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	index := b.decision().Leaf
	err := b.DB.InTx(b.Context(), func(tx *store.Tx) error {
		leaf := tlog.Leaf{Type: tlog.Tombstone, Hour: tlog.HourOf(tx.Now()), Covers: [][2]int64{{index, index + 1}}, Ground: "request", Operators: []string{b.Anna.Operator, b.Bea.Operator}}
		return tx.Append(b.Context(), leaf.Marshal(), "")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.sql(`DELETE FROM decisions WHERE id = (SELECT ref FROM leaves WHERE idx = ?)`, index)
	if a := b.Audit(); !a.Clean() || a.Tombstoned != 1 {
		t.Errorf("%+v", a)
	}
	b.sql(`DELETE FROM entries WHERE type = 'reveal'`)
	if a := b.Audit(); len(a.Findings) != 3 { // two codes sent, one look
		t.Errorf("%v", a.Findings)
	}
}

func TestPartsAndFactsAreOneAnothersInverse(t *testing.T) {
	t.Parallel()
	b := &bundle{roomtest.Setup(t, roomtest.Options{})}
	keys, err := b.Vault.TakeKeys(b.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	want := &muster.Facts{Format: 1, Event: "received", Counts: map[string]int64{"x": 2}, Subjects: []muster.SubjectFacts{{ID: "sub_1", Country: "NG"}, {ID: "sub_2", Share: 30_000_000}}}
	parts, err := journal.Take(want, map[string]vault.Key{"sub_1": keys[0], "sub_2": keys[1]})
	if err != nil {
		t.Fatal(err)
	}
	r := &muster.DecisionRecord{ID: "dec_1", About: muster.Ref{Kind: "application", ID: "app_1"}, At: roomtest.Start, Outcome: muster.OutcomeOpen}
	r.Body = []byte(`{"id":"dec_1","about":{"kind":"application","id":"app_1"},"at":"2026-11-02T09:20:00Z","outcome":"open"}`)
	if err := b.DB.InTx(b.Context(), func(tx *store.Tx) error {
		sealed, err := b.Journal.Seal(journal.Decision{Record: r, Parts: parts})
		if err != nil {
			return err
		}
		return b.Journal.Write(b.Context(), tx, sealed)
	}); err != nil {
		t.Fatal(err)
	}
	b.Clean()
	session := b.Vault.UseForDecision(muster.Ref{})
	opened, err := session.OpenFacts(b.Context(), "dec_1", r.Facts)
	if err != nil {
		t.Fatal(err)
	}
	got, erased, err := journal.Facts(opened)
	if err != nil || erased != 0 || len(got.Subjects) != 2 || got.Subjects[1].Share != 30_000_000 || got.Counts["x"] != 2 || got.Subjects[0].Country != "NG" {
		t.Errorf("%+v, %d, %v", got, erased, err)
	}
	if err := b.Vault.Destroy(b.Context(), []string{keys[1].ID()}); err != nil {
		t.Fatal(err)
	}
	if opened, err = session.OpenFacts(b.Context(), "dec_1", r.Facts); err != nil {
		t.Fatal(err)
	}
	if got, erased, err = journal.Facts(opened); err != nil || erased != 1 || len(got.Subjects) != 1 {
		t.Errorf("%+v, %d, %v", got, erased, err)
	}
}
