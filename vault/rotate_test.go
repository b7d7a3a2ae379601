package vault_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

var errCut = errors.New("the power went")

// cut makes the store's n-th write fail, before or after it landed, and every
// later one: the process is gone.
func cut(store *vaulttest.Store, n int, after bool) {
	seen := 0
	store.Fail(func(_ string, landed bool) error {
		if !landed {
			seen++
		}
		if seen > n || seen == n && landed == after {
			return errCut
		}
		return nil
	})
}

// file is what one customer's file leaves in the main store.
type file struct {
	item   vault.Item
	handle [16]byte
}

func write(t *testing.T, v *vault.Vault, n int) []file {
	t.Helper()
	files := make([]file, n)
	for i := range files {
		k := take(t, v)
		p := vault.Place{Subject: fmt.Sprint("sub_", i), Record: "app_1", Field: "claims", Revision: 1}
		sealed, err := v.Seal(k, p, fmt.Append(nil, "value ", i))
		if err != nil {
			t.Fatal(err)
		}
		files[i] = file{vault.Item{Place: p, KeyID: k.ID(), Sealed: sealed}, v.HandleFor(vault.KindEmail, k)}
	}
	return files
}

func checkFiles(t *testing.T, v *vault.Vault, files []file) {
	t.Helper()
	for i, f := range files {
		if got, err := seen(v, f.item); err != nil || string(got) != fmt.Sprint("value ", i) {
			t.Fatalf("file %d: %q, %v", i, got, err)
		}
		if got, err := v.Resolve(t.Context(), vault.KindEmail, [][16]byte{f.handle}); err != nil || got[f.handle] != f.item.KeyID {
			t.Fatalf("handle %d leads to %v, %v", i, got, err)
		}
	}
}

// roots are the KMS that rotations are tried with; reopen is a new process's.
func roots(t *testing.T) map[string]func() vault.KMS {
	memory := vaulttest.NewKMS()
	return map[string]func() vault.KMS{
		"a KMS that does not turn": func() vault.KMS { return memory },
		"a key file": func() vault.KMS {
			path := filepath.Join(t.TempDir(), "root.key")
			k, err := vault.CreateKeyFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return k
		},
	}
}

func again(t *testing.T, kms vault.KMS) vault.KMS {
	t.Helper()
	f, ok := kms.(*vault.KeyFile)
	if !ok {
		return kms
	}
	k, err := vault.OpenKeyFile(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRotationCutAtAnyWriteIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	for name, root := range roots(t) {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				for _, after := range []bool{false, true} {
					kms, store := root(), vaulttest.NewStore()
					v := open(t, config(store, kms))
					files := write(t, v, 3)
					cut(store, n, after)
					err := v.Rotate(t.Context(), nil)
					store.Fail(nil)
					if err == nil {
						if n < 4 {
							t.Fatalf("a rotation of %d writes", n-1)
						}
						return
					}
					if !errors.Is(err, errCut) {
						t.Fatalf("write %d after %v: %v", n, after, err)
					}
					// The process that goes on, and a new one.
					checkFiles(t, v, files)
					w := open(t, config(store, again(t, kms)))
					checkFiles(t, w, files)
					if _, err := w.Verify(t.Context()); err != nil {
						t.Fatal(err)
					}
					if err := w.Rotate(t.Context(), nil); err != nil {
						t.Fatalf("write %d after %v: not taken up: %v", n, after, err)
					}
					x := open(t, config(store, again(t, kms)))
					checkFiles(t, x, files)
					rep, err := x.Verify(t.Context())
					if err != nil || rep.BadKeys != 0 || rep.Pending || len(rep.Epochs) != 1 || rep.Epochs[0].Epoch < 2 {
						t.Fatalf("write %d after %v: %+v, %v", n, after, rep, err)
					}
				}
			}
		})
	}
}

func TestRotationStopsWhereProgressSaysSoAndGoesOn(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	files := write(t, v, 20)
	if err := v.Rotate(t.Context(), func(int) error { return errCut }); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if epoch, pending := v.Epoch(); epoch != 2 || !pending {
		t.Fatalf("epoch %d, pending %v", epoch, pending)
	}
	more := write(t, v, 20) // while it is pending
	if err := v.Rotate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if epoch, pending := v.Epoch(); epoch != 2 || pending {
		t.Fatalf("epoch %d, pending %v", epoch, pending)
	}
	checkFiles(t, v, files)
	checkFiles(t, v, more)
}

func TestEndOfAnEpochMakesErasureFinalInOldBackups(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.key")
	root, err := vault.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	store := vaulttest.NewStore()
	v := open(t, config(store, root))
	files := write(t, v, 2)
	backup := store.Copy()
	if err := v.Destroy(t.Context(), []string{files[0].item.KeyID}); err != nil {
		t.Fatal(err)
	}
	if _, err := seen(v, files[0].item); muster.ErrorCode(err) != muster.CodeGone {
		t.Fatalf("erased, and: %v", err)
	}
	// Until the epoch ends, the backup of the key store with the root key opens it.
	if got, err := seen(open(t, config(backup.Copy(), again(t, root))), files[0].item); err != nil || string(got) != "value 0" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := v.Rotate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	_, err = vault.Open(t.Context(), config(backup, again(t, root)))
	code(t, err, muster.CodeConflict)
	var e *muster.Error
	if !errors.As(errors.Unwrap(err), &e) || e.Hint == "" {
		t.Fatalf("the error does not say that the backup is too old: %v", err)
	}
	if got, err := seen(open(t, config(store, again(t, root))), files[1].item); err != nil || string(got) != "value 1" {
		t.Fatalf("the survivor: %q, %v", got, err)
	}
}

func TestCopyOfTheRootKeyFromLongAgoOpensThePresent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "root.key")
	root, err := vault.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	paper := again(t, root)
	store := vaulttest.NewStore()
	v := open(t, config(store, root))
	files := write(t, v, 2)
	for range 3 {
		if err := v.Rotate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	checkFiles(t, open(t, config(store, paper)), files)
}

func TestDestroyedKeyIsNotBroughtBackByARotation(t *testing.T) {
	t.Parallel()
	v, store, _ := setup(t)
	files := write(t, v, 3)
	n := store.Len()
	// Destroyed between the scan and the write of the re-wrapped rows.
	if err := v.Rotate(t.Context(), func(int) error { return v.Destroy(t.Context(), []string{files[0].item.KeyID}) }); err != nil {
		t.Fatal(err)
	}
	if store.Len() != n-1 {
		t.Fatalf("%d keys", store.Len())
	}
	rows, err := store.Keys(t.Context(), []string{files[1].item.KeyID})
	if err != nil || len(rows) != 1 {
		t.Fatal(err)
	}
	if err := v.Destroy(t.Context(), []string{files[1].item.KeyID}); err != nil {
		t.Fatal(err)
	}
	rows[0].Epoch++
	if err := store.Rewrap(t.Context(), rows); err != nil || store.Len() != n-2 {
		t.Fatalf("a re-wrap inserted a row: %v", err)
	}
}

func TestOtherProcessGoesOnOverARotation(t *testing.T) {
	t.Parallel()
	v, store, kms := setup(t)
	c := config(store, kms)
	c.Shared, c.PoolSize = true, 4
	w := open(t, c)
	files := write(t, w, 1)
	if err := v.Rotate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	// Its pool holds keys of the old epoch, which were re-wrapped; new ones go
	// under the new epoch.
	files = append(files[:0], write(t, w, 20)...)
	checkFiles(t, v, files)
	checkFiles(t, open(t, config(store, kms)), files)
}

func TestVerifySaysWhichKeysAreBad(t *testing.T) {
	t.Parallel()
	v, store, _ := setup(t)
	files := write(t, v, 3)
	rep, err := v.Verify(t.Context())
	if err != nil || rep.BadKeys != 0 || len(rep.Epochs) != 1 || rep.Epochs[0].Keys != store.Len() || len(rep.Named) < 20 {
		t.Fatalf("%+v, %v", rep, err)
	}
	rows, err := store.Keys(t.Context(), []string{files[0].item.KeyID, files[1].item.KeyID})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), []string{rows[0].ID, rows[1].ID}); err != nil {
		t.Fatal(err)
	}
	rows[0].Wrapped, rows[1].Wrapped = rows[1].Wrapped, rows[0].Wrapped // one in the other's place
	if err := store.AddKeys(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	rep, err = v.Verify(t.Context())
	if err != nil || rep.BadKeys != 2 || len(rep.Bad) != 2 {
		t.Fatalf("%+v, %v", rep, err)
	}
	v.Forget(rep.Bad)
	if _, err := seen(v, files[0].item); muster.ErrorCode(err) != muster.CodeInternal {
		t.Fatalf("a key in another's place: %v", err)
	}
}

func TestSetMovesToAnotherRootKey(t *testing.T) {
	t.Parallel()
	v, store, old := setup(t)
	files := write(t, v, 2)
	next := vaulttest.NewKMS()
	if err := v.MoveRoot(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	checkFiles(t, v, files)
	checkFiles(t, open(t, config(store, next)), files)
	_, err := vault.Open(t.Context(), config(store, old))
	code(t, err, muster.CodeConflict)
}

// turning is a key file whose Shed can fail, before or after the file is written.
type turning struct {
	*vault.KeyFile
	fail, after bool
}

func (k *turning) Shed(ctx context.Context, wraps [][]byte) error {
	if !k.fail {
		return k.KeyFile.Shed(ctx, wraps)
	}
	if k.after {
		if err := k.KeyFile.Shed(ctx, wraps); err != nil {
			return err
		}
	}
	return errCut
}

func TestRootKeyThatDidNotTurnTurnsAtTheNextStart(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		root, err := vault.CreateKeyFile(filepath.Join(t.TempDir(), "root.key"))
		if err != nil {
			t.Fatal(err)
		}
		kms, store := &turning{KeyFile: root, after: after}, vaulttest.NewStore()
		v := open(t, config(store, kms))
		files := write(t, v, 2)
		backup := store.Copy()
		kms.fail = true
		if err := v.Rotate(t.Context(), nil); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		checkFiles(t, open(t, config(store, again(t, root))), files)
		_, err = vault.Open(t.Context(), config(backup, again(t, root)))
		code(t, err, muster.CodeConflict)
	}
}
