package ledger_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/objects"
	"github.com/muster-cip/muster/store"
)

// TestKilledAtChild is not a test: it is the process that TestKilledBetweenObjectAndRow
// has killed. It takes records, seals and compacts, and kills itself at a named point.
func TestKilledAtChild(t *testing.T) {
	point := os.Getenv("MUSTER_KILLED_AT")
	if point == "" {
		t.Skip("started by TestKilledBetweenObjectAndRow")
	}
	what, after, _ := strings.Cut(point, " ")
	later, err := time.ParseDuration(os.Getenv("MUSTER_KILLED_LATER"))
	if err != nil {
		t.Fatal(err)
	}
	k := &killed{later: later, back: os.Getenv("MUSTER_KILLED_BACK") != ""}
	k.fault = func(at string, landed bool) error {
		if at == what && landed == (after == "after") {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			select {}
		}
		return nil
	}
	if err := k.open(t.Context(), os.Getenv("MUSTER_KILLED_DIR"), ""); err != nil {
		t.Fatal(err)
	}
	if n, _ := strconv.Atoi(os.Getenv("MUSTER_KILLED_RECORDS")); n > 0 {
		var b ledger.Batch
		for i := range n {
			b.Access = append(b.Access, killedRecord(i))
		}
		if _, err := k.hot.Take(t.Context(), &ledger.Arrival{Batch: b, From: "opr_1", Body: "one"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.sealer.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.sealer.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	t.Fatal("it never came to", point)
}

// TestKilledBetweenObjectAndRow kills a process between object and row, in either
// order: every record is there, what has no row is cleared away, and what was to be deleted is.
func TestKilledBetweenObjectAndRow(t *testing.T) {
	t.Parallel()
	const n = 1400 // of a quarter that is over
	for _, c := range []struct {
		at             string
		back           bool // a volume that is there comes back
		later          time.Duration
		objects, after int // that are there after the kill; and once it was cleared
	}{
		{at: "put before", objects: 0, after: 1},
		{at: "put after", objects: 1, after: 1},
		{at: "shelve after", objects: 1, after: 1},
		{at: "unpack before", back: true, objects: 1, after: 0},
		{at: "unpack after", back: true, objects: 1, after: 0},
		{at: "delete before", back: true, later: 2 * time.Hour, objects: 1, after: 0},
		{at: "delete after", back: true, later: 2 * time.Hour, objects: 0, after: 0},
	} {
		t.Run(c.at, func(t *testing.T) {
			t.Parallel()
			ctx, dir := t.Context(), t.TempDir()
			open := func(k *killed) *killed {
				if err := k.open(ctx, dir, ""); err != nil {
					t.Fatal(err)
				}
				return k
			}
			first := open(&killed{whole: true})
			first.people(t)
			records := n
			if c.back {
				var b ledger.Batch
				for i := range n {
					b.Access = append(b.Access, killedRecord(i))
				}
				if _, err := first.hot.Take(ctx, &ledger.Arrival{Batch: b, From: "opr_1", Body: "one"}); err != nil {
					t.Fatal(err)
				}
				tend(t, first)
				if strings.HasPrefix(c.at, "delete") {
					first.close(ctx)
					first = open(&killed{whole: true, back: true}) // now, so that it is kept long enough later
					tend(t, first)
				}
				records = 0
			}
			first.close(ctx)
			child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledAtChild$")
			child.Env = append(os.Environ(), "MUSTER_KILLED_DIR="+dir, "MUSTER_KILLED_AT="+c.at, "MUSTER_KILLED_LATER="+c.later.String(), "MUSTER_KILLED_RECORDS="+strconv.Itoa(records))
			if c.back {
				child.Env = append(child.Env, "MUSTER_KILLED_BACK=1")
			}
			out, _ := child.CombinedOutput()
			if !child.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
				t.Fatalf("the child ended by itself:\n%s", out)
			}
			if have := countObjects(t, dir); have != c.objects {
				t.Errorf("%d objects after the kill, want %d", have, c.objects)
			}
			k := open(&killed{whole: true, back: c.back})
			if got := countKilled(t, k, n); got != n {
				t.Errorf("%d records", got)
			}
			tend(t, k)
			k.close(ctx)
			for _, later := range []time.Duration{26 * time.Hour, 52 * time.Hour} { // orphans are a day old; then what came back was kept long enough
				k = open(&killed{whole: true, back: c.back, later: later})
				tend(t, k)
				k.close(ctx)
			}
			k = open(&killed{whole: true, back: c.back})
			defer k.close(ctx)
			if got := countKilled(t, k, n); got != n {
				t.Errorf("%d records in the end", got)
			}
			if have := countObjects(t, dir); have != c.after {
				t.Errorf("%d objects in the end, want %d", have, c.after)
			}
			v, err := k.shelf.Verify(ctx, store.LedgerAs[ledger.Tx](k.ledger), true)
			if err != nil || len(v.Missing) > 0 || int(v.Volumes) != c.after {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}

func tend(t *testing.T, k *killed) {
	t.Helper()
	if _, err := k.sealer.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := k.sealer.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
}

func countObjects(t *testing.T, dir string) (n int) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "objects")); err != nil {
		return 0
	}
	o := objects.NewDir(dir)
	if err := o.List(t.Context(), "objects/", func(objects.Info) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}
