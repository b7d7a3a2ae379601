package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/muster-cip/muster/synthetic"
)

// importSettings are the parameters of a run.
type importSettings struct {
	Seed      uint64
	Customers int
	Rounds    int // of the baseline; the fastest counts
}

// importBench takes a provider's existing book in, by the command line as anybody
// would, and beside it inserts the same rows: those of the main store and the keys.
func importBench(ctx context.Context, r *run) error {
	s := importSettings{Seed: 20261126, Customers: pick(r.quick, 50_000, 400_000), Rounds: pick(r.quick, 2, 1)}
	if r.records > 0 {
		s.Customers = r.records
	}
	r.say("book: package synthetic, seed %d, %d customers without the invalid", s.Seed, s.Customers)
	r.say("baseline: every row of main store and keys, same driver, schema and settings, in as many transactions; fastest of %d", s.Rounds)
	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	book := filepath.Join(r.dir, "book.ndjson")
	size, err := writeBook(book, s)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.dir, "imported")
	d, err := newDeployment(ctx, bin, dir, "", "")
	if err != nil {
		return err
	}
	if _, err := d.start(ctx); err != nil {
		return err
	}
	defer d.stop()
	before, err := d.commits(ctx)
	if err != nil {
		return err
	}
	var spent time.Duration // by the command line
	take := func() (time.Duration, error) {
		c := exec.CommandContext(ctx, bin, "import", book, "--cohort", "all", "--due", "2090-01-01", "--server", "http://"+d.addr)
		c.Env = append(os.Environ(), "MUSTER_TOKEN="+d.token)
		began := time.Now()
		if out, err := c.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("muster import: %w\n%s", err, out)
		}
		spent = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		return time.Since(began), nil
	}
	idle, err := d.cpu()
	if err != nil {
		return err
	}
	took, err := take()
	if err != nil {
		return err
	}
	busy, err := d.cpu()
	if err != nil {
		return err
	}
	busy += spent - idle
	after, err := d.commits(ctx)
	if err != nil {
		return err
	}
	again, err := take()
	if err != nil {
		return err
	}
	_, most, err := d.memory()
	if err != nil {
		return err
	}
	d.stop()
	transactions := int(after.groups - before.groups)
	r.say("%d customers taken in %.1f s, %d bytes a line, %d transactions; resident at most %.0f MiB", s.Customers, took.Seconds(), size/int64(s.Customers), transactions, most)
	var baseline, least time.Duration
	rows := 0
	for _, store := range []string{filepath.Join("data", "muster.db"), filepath.Join("keys", "keys.db")} {
		schema, tables, err := readSQLite(ctx, filepath.Join(dir, store))
		if err != nil {
			return err
		}
		n, _ := volume(tables)
		rows += n
		var best, cpu time.Duration
		for i := range s.Rounds {
			path := filepath.Join(r.dir, fmt.Sprintf("baseline-%d-%s", i, filepath.Base(store)))
			began := ownCPU()
			took, err := insertSQLite(ctx, path, schema, tables, transactions)
			if err != nil {
				return err
			}
			if spent := ownCPU() - began; cpu == 0 || spent < cpu {
				cpu = spent
			}
			if best == 0 || took < best {
				best = took
			}
			os.Remove(path)
		}
		baseline += best
		least += cpu
	}
	r.say("baseline inserted %d rows (%.1f a customer) in %.1f s", rows, float64(rows)/float64(s.Customers), baseline.Seconds())
	r.note("import: customers taken", float64(s.Customers)/took.Seconds(), "customers/s")
	r.note("import: baseline, the same rows", float64(s.Customers)/baseline.Seconds(), "customers/s")
	r.note("import: the same file again", again.Seconds(), "s")
	r.note("import: CPU of server and command line", busy.Seconds(), "s")
	r.note("import: CPU of the baseline", least.Seconds(), "s")
	r.note("import: CPU against the baseline", busy.Seconds()/least.Seconds(), "")
	r.atMost("import: time against the baseline", took.Seconds()/baseline.Seconds(), "", 3)
	return nil
}

// cpu is what the server has computed so far, on all cores.
func (d *deployment) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("/proc says nothing of the server's time")
	}
	user, errUser := strconv.Atoi(fields[11]) // in hundredths of a second
	system, errSystem := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(errUser, errSystem)
}

// ownCPU is what this process has computed so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeBook writes the lines of so many customers who do not exist.
func writeBook(path string, s importSettings) (size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	people := synthetic.New(s.Seed)
	for i, n := 0, 0; n < s.Customers; i++ {
		if people.Class(i) == synthetic.Invalid {
			continue
		}
		n++
		app, err := json.Marshal(people.Next(i))
		if err != nil {
			return 0, err
		}
		k, err := fmt.Fprintf(w, `{"type":"customer","customer":{"application":%s,"since":"2020-01-01"}}`+"\n", app)
		if err != nil {
			return 0, err
		}
		size += int64(k)
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return size, f.Close()
}
