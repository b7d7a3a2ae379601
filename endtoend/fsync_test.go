package endtoend

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/muster-cip/muster/internal/pgtest"
)

// SIGKILL cannot see a write that was never synced: the kernel keeps it. These tests
// see the system calls instead.

// traceable skips where strace cannot trace, which a container may forbid.
func traceable(t testing.TB) {
	t.Helper()
	require(t, "strace", "strace")
	if out, err := exec.Command("strace", "-f", "-o", os.DevNull, "-e", traced, "true").CombinedOutput(); err != nil {
		missing(t, "strace may not trace here (ptrace is not permitted): "+string(out))
	}
}

// postTraced posts applications, several at a time, and returns the references of
// those that were acknowledged.
func postTraced(t *testing.T, c *client, seed uint64) []string {
	t.Helper()
	l := newLoad(t, seed)
	n := int64(80)
	if soak() {
		n = 2000
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := l.next.Add(1) - 1; i < n; i = l.next.Add(1) - 1 {
				if err := l.post(c, int(i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	var references []string
	for _, a := range l.known {
		references = append(references, a.Reference)
	}
	return references
}

func TestNoReplyBeforeItsSyncOnSQLite(t *testing.T) {
	t.Parallel()
	traceable(t)
	d := setup{}.make(t)
	file := filepath.Join(t.TempDir(), "trace")
	p := d.start([]string{"strace", "-f", "-y", "-I", "1", "-s", "8192", "-e", traced, "-e", "signal=none", "-o", file})
	references := postTraced(t, p.client, 21)
	p.end()
	log := filepath.Join(d.dir, "data", "muster.db-wal")
	holdTrace(t, file, references, func(path string) bool { return path == log }, sqliteCommit)
}

func TestNoReplyBeforeItsSyncOnPostgreSQL(t *testing.T) {
	traceable(t)
	d := setup{postgres: true}.make(t)
	file := filepath.Join(t.TempDir(), "trace")
	prefix := []string{"strace", "-f", "-y", "-I", "1", "-s", "1048576", "-e", traced, "-e", "signal=none", "-o", file}
	for _, pid := range family(t, pgtest.Postmaster(t)) {
		prefix = append(prefix, "-p", strconv.Itoa(pid))
	}
	p := d.start(prefix)
	references := postTraced(t, p.client, 22)
	p.end()
	holdTrace(t, file, references, func(path string) bool { return strings.Contains(path, "/pg_wal/") }, nil)
}

// family is a process and its children.
func family(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(data)) {
		child, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, child)
	}
	return all
}

// holdTrace holds a trace against the rule, and then the rule against the same trace
// with what it forbids.
func holdTrace(t *testing.T, file string, references []string, isLog func(string) bool, commit func(*event) bool) {
	t.Helper()
	read, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := endTrace(string(read))
	check := func(text string) proof { return checkSyncs(readTrace(text), references, isLog, commit) }
	p := check(text)
	if p.replies != len(references) || len(references) < 50 {
		t.Errorf("%d replies are in the trace, %d were acknowledged", p.replies, len(references))
	}
	for _, f := range p.faults {
		t.Error(f)
	}
	t.Logf("%d replies, %d bytes of trace", p.replies, len(text))

	// Without its syncs, with syncs that fail, and with each sync moved behind the
	// reply that it was for, the same trace has to be found wanting.
	var none, fail strings.Builder
	for line := range strings.Lines(text) {
		if !isSync(line) {
			none.WriteString(line)
		} else if failed, ok := strings.CutSuffix(line, "= 0\n"); ok {
			line = failed + "= -1 EIO (Input/output error)\n"
		}
		fail.WriteString(line)
	}
	for name, bad := range map[string]string{
		"no sync":          none.String(),
		"syncs that fail":  fail.String(),
		"sync after reply": replyFirst(text),
	} {
		if p := check(bad); len(p.faults) != len(references) {
			t.Errorf("control, %s: %d faults on %d replies", name, len(p.faults), len(references))
		}
	}
}

// replyFirst moves all replies to the front of the trace's syncs.
func replyFirst(text string) string {
	var replies, rest strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, `"HTTP/1.1 201`) {
			replies.WriteString(line)
		} else {
			rest.WriteString(line)
		}
	}
	return replies.String() + rest.String()
}

// TestTraceAnalysis holds the analysis against traces whose answer is known.
func TestTraceAnalysis(t *testing.T) {
	t.Parallel()
	const (
		frame  = `10 pwrite64(9</d/m.db-wal>, "\0\0\0\7\0\0\0\0\241\325\n\227\262\350d\31\276\5\340,G\265f9", 24, 65952) = 24` + "\n"
		ends   = `10 pwrite64(9</d/m.db-wal>, "\0\0\0\10\0\0\0\30\241\325\n\227\262\350d\31\276\5\340,G\265f9", 24, 65952) = 24` + "\n"
		page   = `10 pwrite64(9</d/m.db-wal>, "\n\0app_1syn-abcdef-0000001app_", 4096, 65976) = 4096` + "\n"
		synced = `10 fsync(9</d/m.db-wal>) = 0` + "\n"
		reply  = `11 write(33<socket:[2]>, "HTTP/1.1 201 Created\r\n\r\n{\"application\":\"app_1\",\"reference\":\"syn-abcdef-0000001\"", 900) = 900` + "\n"
		begun  = `10 fdatasync(9</d/m.db-wal> <unfinished ...>` + "\n"
		ended  = `10 <... fdatasync resumed>) = 0` + "\n"
	)
	for name, c := range map[string]struct {
		trace string
		good  bool
	}{
		"written, committed, synced, replied": {frame + page + ends + page + synced + reply, true},
		"a sync in two parts":                 {frame + page + ends + page + begun + ended + reply, true},
		"never synced":                        {frame + page + ends + page + reply, false},
		"synced before the commit":            {frame + page + synced + ends + page + reply, false},
		"the sync began before the commit":    {frame + page + begun + ends + page + ended + reply, false},
		"the tracer left in the reply":        {frame + page + ends + page + synced + strings.Replace(reply, ") = 900", " <detached ...>", 1), true},
		"the tracer was gone in the reply":    {frame + page + ends + page + synced + strings.TrimSuffix(reply, ") = 900\n"), true},
		"gone in the reply, never synced":     {frame + page + ends + page + strings.TrimSuffix(reply, ") = 900\n"), false},
		"the sync ends after the reply":       {frame + page + ends + page + begun + reply + ended, false},
		"the sync fails":                      {frame + page + ends + page + strings.Replace(synced, "= 0", "= -1 EIO (Input/output error)", 1) + reply, false},
		"another file is synced":              {frame + page + ends + page + strings.Replace(synced, "m.db-wal", "m.db", 1) + reply, false},
		"never written":                       {frame + ends + synced + reply, false},
	} {
		p := checkSyncs(readTrace(endTrace(c.trace)), []string{"syn-abcdef-0000001"}, func(path string) bool { return path == "/d/m.db-wal" }, sqliteCommit)
		if p.replies != 1 || (len(p.faults) == 0) != c.good {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
