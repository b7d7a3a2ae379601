package watchlist_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/watchlist"
)

const killed = "MUSTER_TEST_KILLED_AT"

// TestImportsUntilKilled is the child of the test below: it imports, and says so, for
// ever.
func TestImportsUntilKilled(t *testing.T) {
	path := os.Getenv(killed)
	if path == "" {
		t.Skip("the child of TestAKillInTheMiddleOfAnImport")
	}
	b := setup(t, store.Config{Path: path}, watchlist.Rules{})
	for i := range 1_000_000 {
		out := b.imports(watchlist.Applied, sdn(1, 2000+i))
		fmt.Println("applied", out.Digest)
	}
}

// TestAKillInTheMiddleOfAnImport kills a process at any moment of its imports: what is
// in effect then is a whole snapshot, and each change has its event, its leaf and its
// sweep.
func TestAKillInTheMiddleOfAnImport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "muster.db")
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestImportsUntilKilled$", "-test.v")
	c.Env = append(os.Environ(), killed+"="+path)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var digest string
		if n, _ := fmt.Sscanf(lines.Text(), "applied %s", &digest); n == 1 {
			if said++; said == 4 {
				break // the next import is under way by now
			}
		}
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if said != 4 {
		t.Fatal("the child imported nothing")
	}

	ctx := t.Context()
	db, err := store.Open(ctx, store.Config{Path: path, Clock: func() time.Time { return began }}) // the child's: its jobs are due from then on
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.InTx(ctx, func(tx *store.Tx) error {
		state, err := tx.ListState(ctx, "ofac.sdn")
		if err != nil {
			return err
		}
		snap, err := tx.ListSnapshot(ctx, state.List, state.Digest)
		if err != nil {
			return err
		}
		snaps, err := tx.ListSnapshots(ctx, state.List)
		if err != nil {
			return err
		}
		events, err := tx.ListEvents(ctx, state.List, 1000)
		if err != nil {
			return err
		}
		leaves, err := tx.LogSize(ctx)
		if err != nil {
			return err
		}
		sweeps, err := tx.Claim(ctx, []string{muster.JobSweep}, "test", 1000, 1)
		if err != nil {
			return err
		}
		if n := len(events); n < said || len(snaps) != n || int(leaves) != n || len(sweeps) != n || snap.Entries != 1999+n || events[0].Digest != state.Digest {
			t.Errorf("%d acknowledged; %d events, %d snapshots, %d leaves, %d sweeps, %d entries in effect", said, n, len(snaps), leaves, len(sweeps), snap.Entries)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
