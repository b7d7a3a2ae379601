package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

// kept is a deployment with one customer who left, and what opens its backups.
type kept struct {
	*testing.T
	dir, config, recipients, identity string
	customer, application, key        string
}

func setupKept(t *testing.T, c Config) *kept {
	t.Helper()
	k := &kept{T: t, dir: t.TempDir()}
	c.Mode, c.Listen, c.SoloDelay = muster.ModeProduction, "127.0.0.1:8420", "0s"
	if _, _, err := initialise(t.Context(), k.dir, c, "Ada", []string{"us-iaas-cip"}); err != nil {
		t.Fatal(err)
	}
	k.config = with(t, filepath.Join(k.dir, "muster.yaml"), "short.yaml", "")
	raw, err := os.ReadFile(k.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.config, bytes.Replace(raw, []byte("delay: 72h"), []byte("delay: 0s"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	k.identity, k.recipients = filepath.Join(t.TempDir(), "id.key"), filepath.Join(t.TempDir(), "recipients")
	code, out, errs := session(t.Context(), "backup", "identity", k.identity)
	if code != exitOK {
		t.Fatalf("%s%s", out, errs)
	}
	if err := os.WriteFile(k.recipients, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	k.open(k.config, func(h *house) {
		by := k.operator(h)
		a, err := h.onboard.Apply(t.Context(), by, roomtest.JSON(roomtest.Person("ada-1")))
		if err != nil {
			t.Fatal(err)
		}
		k.application = a.Application
		row := look(k, h, func(ctx context.Context, tx *store.Tx) (*muster.AccountRecord, error) {
			return tx.Account(ctx, "ada-1")
		})
		k.customer = row.Customer
		for _, to := range []string{muster.AccClosing, muster.AccClosed} {
			if row, err = h.onboard.MoveAccount(t.Context(), by, "ada-1", row.Version, onboard.Move{To: to, Reason: "left"}); err != nil {
				t.Fatal(err)
			}
		}
		people := look(k, h, func(ctx context.Context, tx *store.Tx) ([]*muster.SubjectRecord, error) {
			return tx.Subjects(ctx, k.customer)
		})
		k.key = people[0].Key
	})
	return k
}

func (k *kept) open(config string, fn func(*house)) {
	k.Helper()
	c, err := readConfig(config)
	if err != nil {
		k.Fatal(err)
	}
	h, err := openHouse(k.Context(), c, options{})
	if err != nil {
		k.Fatal(err)
	}
	defer h.close(context.WithoutCancel(k.Context()))
	fn(h)
}

func look[T any](k *kept, h *house, fn func(context.Context, *store.Tx) (T, error)) T {
	k.Helper()
	out, err := view(k.Context(), h.db, func(tx *store.Tx) (T, error) { return fn(k.Context(), tx) })
	if err != nil {
		k.Fatal(err)
	}
	return out
}

func (k *kept) operator(h *house) muster.Principal {
	k.Helper()
	all := look(k, h, func(ctx context.Context, tx *store.Tx) ([]muster.OperatorRecord, error) { return tx.Operators(ctx) })
	return muster.Principal{Operator: all[0].ID, Token: "tok_1", Scopes: muster.Scopes}
}

// run runs a command that has to go well.
func (k *kept) run(args ...string) string {
	k.Helper()
	code, out, errs := session(k.Context(), args...)
	if code != exitOK {
		k.Fatalf("muster %s: code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func (k *kept) backup(kind string) string {
	k.Helper()
	dir := filepath.Join(k.TempDir(), kind)
	k.run("backup", kind, dir, "--config", k.config, "--recipients-file", k.recipients)
	return dir
}

// erase erases the customer, as two operators would.
func (k *kept) erase() {
	k.Helper()
	k.open(k.config, func(h *house) {
		if err := h.openHot(k.Context()); err != nil { // that says when accounts were last used
			k.Fatal(err)
		}
		by := k.operator(h).Operator
		e, err := h.retain.Ask(k.Context(), by, k.customer, muster.GroundRequest)
		if err != nil {
			k.Fatal(err)
		}
		if _, err := h.retain.Agree(k.Context(), by, e.ID, e.Version); err != nil {
			k.Fatal(err)
		}
		if _, err := h.retain.Run(k.Context()); err != nil {
			k.Fatal(err)
		}
		k.gone(h)
	})
}

func (k *kept) gone(h *house) {
	k.Helper()
	if _, err := h.vault.Key(k.Context(), k.key); muster.ErrorCode(err) != muster.CodeGone {
		k.Fatalf("the key of the erased is there: %v", err)
	}
}

// An erasure that is newer than the copy of the keys is done again before anything is
// served; and once the epoch has turned, the copies from before it open nowhere.
func TestRestoreDoesNotResurrect(t *testing.T) {
	t.Parallel()
	k := setupKept(t, Config{})
	dataBefore, keysBefore := k.backup("data"), k.backup("keys")
	k.erase()
	dataAfter := k.backup("data")
	root := filepath.Join(k.dir, "keys", "root.key")

	// Between them, the old copy of the keys would open the person: it is shed first.
	into := filepath.Join(t.TempDir(), "e")
	out := k.run("restore", "--data", dataAfter, "--keys", keysBefore, "--identity", k.identity, "--root-key", root, "--into", into)
	if !strings.Contains(out, "erased again: the keys of 1 persons") {
		t.Errorf("%s", out)
	}
	k.open(filepath.Join(into, "muster.yaml"), k.gone)
	k.run("log", "audit", "--config", filepath.Join(into, "muster.yaml"))

	// A control: before the epoch turns, copies of data and keys from before bring her back.
	control := filepath.Join(t.TempDir(), "c")
	k.run("restore", "--data", dataBefore, "--keys", keysBefore, "--identity", k.identity, "--root-key", root, "--into", control)
	k.open(filepath.Join(control, "muster.yaml"), func(h *house) {
		if _, err := h.vault.Key(t.Context(), k.key); err != nil {
			t.Fatalf("the control shows nothing: %v", err)
		}
	})

	k.run("keys", "rotate", "--config", k.config)
	late := filepath.Join(t.TempDir(), "l")
	code, _, errs := session(t.Context(), "restore", "--data", dataBefore, "--keys", keysBefore, "--identity", k.identity, "--root-key", root, "--into", late)
	if code != exitError || exists(filepath.Join(late, "muster.yaml")) || exists(filepath.Join(late, "keys")) {
		t.Errorf("the old keys still open: code %d\n%s", code, errs)
	}
}

// shows has a customer of the United States show a passport, and gives the sealed
// piece of evidence.
func (k *kept) shows() (item vault.Item, person string) {
	k.Helper()
	k.open(k.config, func(h *house) {
		app := roomtest.Person("us-1")
		app.Customer.Email, app.Customer.Phone, app.Customer.Nationalities = "amy@example.com", "+2348031234509", []muster.Country{"US"}
		by := k.operator(h)
		a, err := h.onboard.Apply(k.Context(), by, roomtest.JSON(app))
		if err != nil {
			k.Fatal(err)
		}
		a, err = h.onboard.Record(k.Context(), by, a.Application, onboard.EvidenceInput{
			Method: "document.manual", Input: []byte(roomtest.Passport("US", passport)),
		})
		if err != nil || a.State != muster.AppApproved {
			k.Fatalf("%+v, %v", a, err)
		}
		row := look(k, h, func(ctx context.Context, tx *store.Tx) (*muster.AccountRecord, error) { return tx.Account(ctx, "us-1") })
		people := look(k, h, func(ctx context.Context, tx *store.Tx) ([]*muster.SubjectRecord, error) {
			return tx.Subjects(ctx, row.Customer)
		})
		all := look(k, h, func(ctx context.Context, tx *store.Tx) ([]*muster.EvidenceRecord, error) {
			return tx.EvidenceOf(ctx, row.Customer)
		})
		item = vault.Item{KeyID: all[0].Key, Place: vault.Place{Subject: all[0].Subject, Record: all[0].ID, Field: "details"}, Sealed: all[0].Sealed}
		person = people[0].Key
	})
	return item, person
}

const passport = "C01X00T47"

// opens tries every key of a deployment on a sealed value, and reports whether one
// opens it to the passport.
func (k *kept) opens(config string, item vault.Item) (found bool, keys []string) {
	k.Helper()
	k.open(config, func(h *house) {
		rows, err := h.keys.Scan(k.Context(), 0, "", 10_000)
		if err != nil {
			k.Fatal(err)
		}
		for _, r := range rows {
			keys = append(keys, r.ID)
			item.KeyID = r.ID
			values, err := h.vault.Reveal(k.Context(), vault.RevealRequest{
				Operator: k.operator(h).Operator, Purpose: vault.PurposeSubjectAccess, Case: "search", Items: []vault.Item{item},
			}, h.journal)
			found = found || err == nil && bytes.Contains(values[0], []byte(passport))
		}
	})
	return found, keys
}

// What was seen of a person and dropped does not come back with older copies, while the
// person stays: the copies of the keys from before it open until the epoch turns, as of
// an erasure.
func TestRestoreDoesNotBringBackWhatWasSeen(t *testing.T) {
	t.Parallel()
	k := setupKept(t, Config{})
	item, person := k.shows()
	dataBefore, keysBefore := k.backup("data"), k.backup("keys")
	k.open(k.config, func(h *house) {
		if err := h.openHot(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.retain.Clock = func() time.Time { return time.Now().Add(62 * 24 * time.Hour) }
		if s, err := h.retain.Run(t.Context()); err != nil || s.Proofs != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
	})
	dataAfter, keysAfter := k.backup("data"), k.backup("keys")
	root := filepath.Join(k.dir, "keys", "root.key")
	restored := func(data, keys string) (config, out string) {
		into := filepath.Join(t.TempDir(), "r")
		out = k.run("restore", "--data", data, "--keys", keys, "--identity", k.identity, "--root-key", root, "--into", into)
		return filepath.Join(into, "muster.yaml"), out
	}
	search := func(why, data, keys string, want bool, says string) {
		t.Helper()
		config, out := restored(data, keys)
		found, all := k.opens(config, item)
		if found != want || !slices.Contains(all, person) || slices.Contains(all, item.KeyID) != want || !strings.Contains(out, says) {
			t.Errorf("%s: found %v, among %d keys that of the person %v\n%s", why, found, len(all), slices.Contains(all, person), out)
		}
	}
	search("a control: copies from before it", dataBefore, keysBefore, true, "and of 0 pieces of evidence")
	search("older data, newer keys", dataBefore, keysAfter, false, "and of 0 pieces of evidence")
	search("newer data, older keys", dataAfter, keysBefore, false, "and of 1 pieces of evidence")

	k.run("keys", "rotate", "--config", k.config)
	late := filepath.Join(t.TempDir(), "l")
	if code, _, errs := session(t.Context(), "restore", "--data", dataBefore, "--keys", keysBefore, "--identity", k.identity, "--root-key", root, "--into", late); code != exitError {
		t.Errorf("the old keys still open: code %d\n%s", code, errs)
	}
	search("older data, keys of the new epoch", dataBefore, k.backup("keys"), false, "and of 0 pieces of evidence")
}

// An older key store that somebody brought by another way than a restore has keys that
// were destroyed: the turn of the epoch does not carry them on.
func TestTurnOfTheEpochCarriesNothingDestroyed(t *testing.T) {
	t.Parallel()
	k := setupKept(t, Config{})
	item, person := k.shows()
	ended := []string{k.key, item.KeyID}
	var rows []vault.KeyRow
	k.open(k.config, func(h *house) {
		var err error
		if rows, err = h.keys.Keys(t.Context(), ended); err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
	})
	k.erase()
	k.open(k.config, func(h *house) {
		if err := h.db.InTx(t.Context(), func(tx *store.Tx) error { return tx.DueEvidenceKeys(t.Context(), item.KeyID) }); err != nil {
			t.Fatal(err)
		}
		if err := h.retain.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := h.keys.Keys(t.Context(), ended); err != nil || len(left) != 0 {
			t.Fatal(left, err)
		}
		if err := h.keys.AddKeys(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	})
	k.run("keys", "rotate", "--config", k.config)
	k.open(k.config, func(h *house) {
		left, err := h.keys.Keys(t.Context(), append(ended, person))
		if err != nil || len(left) != 1 || left[0].ID != person {
			t.Errorf("%+v, %v", left, err)
		}
	})
}

// The doctor says when a key of what was dropped is still there; the next start destroys it.
func TestDoctorSeesKeysOfWhatWasDropped(t *testing.T) {
	t.Parallel()
	k := setupKept(t, Config{})
	item, _ := k.shows()
	const says = "1 keys of what was dropped"
	if _, out, _ := session(t.Context(), "doctor", "--config", k.config); strings.Contains(out, says) {
		t.Errorf("before: %s", out)
	}
	k.open(k.config, func(h *house) {
		if err := h.db.InTx(t.Context(), func(tx *store.Tx) error { return tx.DueEvidenceKeys(t.Context(), item.KeyID) }); err != nil {
			t.Fatal(err)
		}
	})
	if _, out, _ := session(t.Context(), "doctor", "--config", k.config); !strings.Contains(out, says) {
		t.Errorf("it says nothing: %s", out)
	}
	k.open(k.config, func(h *house) {
		if err := h.retain.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.vault.Key(t.Context(), item.KeyID); muster.ErrorCode(err) != muster.CodeGone {
			t.Errorf("it is there: %v", err)
		}
	})
	if _, out, _ := session(t.Context(), "doctor", "--config", k.config); strings.Contains(out, says) {
		t.Errorf("after: %s", out)
	}
}

func TestBackupOfPostgres(t *testing.T) {
	t.Parallel()
	backupOfPostgres(t, func() string { return dsnFile(t, pgtest.Database(t)) })
}

// dsnFile is a file with a DSN in it.
func dsnFile(t *testing.T, dsn string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(path, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// backupOfPostgres backs a deployment up and restores it, in databases whose DSNs are in
// the files that database makes.
func backupOfPostgres(t *testing.T, database func() string) {
	t.Helper()
	k := setupKept(t, Config{Database: database(), KeyDatabase: database()})
	data, keys := k.backup("data"), k.backup("keys")
	into := filepath.Join(t.TempDir(), "e")
	out := k.run("restore", "--data", data, "--keys", keys, "--identity", k.identity, "--root-key", filepath.Join(k.dir, "keys", "root.key"),
		"--into", into, "--database", database(), "--key-database", database())
	if !strings.Contains(out, "erased again: the keys of 0 persons") {
		t.Errorf("%s", out)
	}
	config := filepath.Join(into, "muster.yaml")
	k.run("log", "audit", "--config", config)
	k.open(config, func(h *house) {
		r, err := h.onboard.Reveal(t.Context(), k.operator(h), k.application, onboard.RevealRequest{Purpose: "support", Case: "c-1"})
		if err != nil || r.Application.Customer.Name.Full != "Chidinma Okafor" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// What is broken or another's is refused with a reason, and leaves nothing behind.
func TestRestoreRefusesWhatIsBroken(t *testing.T) {
	t.Parallel()
	k := setupKept(t, Config{})
	data, keys := k.backup("data"), k.backup("keys")
	other := setupKept(t, Config{})
	otherKeys := other.backup("keys")
	root := filepath.Join(k.dir, "keys", "root.key")
	try := func(why, data, keys, root, want string) {
		t.Helper()
		into := filepath.Join(t.TempDir(), "e")
		code, _, errs := session(t.Context(), "restore", "--data", data, "--keys", keys, "--identity", k.identity, "--root-key", root, "--into", into)
		if code != exitError || !strings.Contains(errs, want) || exists(filepath.Join(into, "muster.yaml")) {
			t.Errorf("%s: code %d: %s", why, code, errs)
		}
	}
	try("keys of another deployment", data, otherKeys, root, "and the keys of")
	try("another root key", data, keys, filepath.Join(other.dir, "keys", "root.key"), "root key")
	try("data for keys", keys, data, root, "holds backups of keys")
	parts, err := filepath.Glob(filepath.Join(data, "parts", "*", "*.age"))
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	raw, err := os.ReadFile(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	for why, at := range map[string]int{"header": len("age-encryption.org/v1\n-> X25519 "), "content": len(raw) - 1} {
		broken := bytes.Clone(raw)
		broken[at] ^= 1
		if err := os.WriteFile(parts[0], broken, 0o600); err != nil {
			t.Fatal(err)
		}
		try("a part whose "+why+" was altered", data, keys, root, "not what was written")
	}
	if err := os.Remove(parts[0]); err != nil {
		t.Fatal(err)
	}
	try("a part that is lost", data, keys, root, "no such file")
}
