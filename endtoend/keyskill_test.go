package endtoend

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/rotate"
	"github.com/muster-cip/muster/synthetic"
)

// row reads one value from a file of the deployment's; "" where there is none, or where
// the file is busy.
func (d *deployment) row(file, q string, args ...any) string {
	d.Helper()
	var v sql.NullString
	if err := d.sqlite(file).QueryRow(q, args...).Scan(&v); err != nil {
		return ""
	}
	return v.String
}

// sqlite opens a file of the deployment's beside who uses it.
func (d *deployment) sqlite(file string) *sql.DB {
	d.Helper()
	if d.files[file] == nil {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(d.dir, file)+"?_pragma=busy_timeout(5000)")
		if err != nil {
			d.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		d.Cleanup(func() { db.Close() })
		if d.files == nil {
			d.files = map[string]*sql.DB{}
		}
		d.files[file] = db
	}
	return d.files[file]
}

// leasesOver has what a dead process took be due for the next: time would do it.
func (d *deployment) leasesOver() {
	d.Helper()
	for _, q := range []string{`UPDATE jobs SET run_at = 1 WHERE holder <> ''`, `UPDATE leases SET expires = 1 WHERE holder <> ''`} {
		d.change("data", q)
	}
}

// hurryTurns has turns of keys not wait for processes that may not have looked yet, as on
// SQLite, where there are none: here nobody serves while they turn. It ends with the test.
func (d *deployment) hurryTurns() {
	d.Helper()
	if d.dsn == "" {
		return
	}
	conn, err := pgx.Connect(d.Context(), d.dsn)
	if err != nil {
		d.Fatal(err)
	}
	over := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		defer conn.Close(context.Background())
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
			for _, q := range []string{
				`UPDATE rotations SET due = 1 WHERE due > 1 AND stage NOT IN ('keeping', 'done')`,
				`UPDATE jobs SET run_at = 1 WHERE run_at > 1 AND holder = '' AND kind = '` + muster.JobRotate + `'
					AND EXISTS (SELECT 1 FROM rotations WHERE id = jobs.ref AND stage NOT IN ('keeping', 'done'))`,
			} {
				if _, err := conn.Exec(context.Background(), q); err != nil {
					d.Errorf("%s: %v", q, err)
					return
				}
			}
		}
	})
	d.Cleanup(func() { close(over); work.Wait() })
}

// killAt runs a command and kills it once at reports true; ended: it was over before.
func (d *deployment) killAt(at func() bool, args ...string) (ended bool) {
	d.Helper()
	var out bytes.Buffer
	c := exec.Command(d.binary, args...)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		d.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- c.Wait() }()
	late := time.After(roundLasts)
	for !at() {
		select {
		case err := <-gone:
			if err != nil {
				d.Fatalf("muster %v: %v\n%s", args, err, out.Bytes())
			}
			return true
		case <-late:
			_ = c.Process.Kill()
			d.Fatalf("muster %v does not come to where it is to be killed\n%s", args, out.Bytes())
		default:
		}
	}
	_ = c.Process.Kill()
	return <-gone == nil
}

// TestTurningKeysIsKilled: the command that gives keys new versions is killed in the
// middle of the turn of each kind of key, and so are both kinds of backup. The next one
// goes on, and everything opens, counts and answers as before.
func TestTurningKeysIsKilled(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{"sqlite": {}, "postgres": {postgres: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turningKeysIsKilled(t, s)
		})
	}
}

func turningKeysIsKilled(t *testing.T, s setup) {
	d := s.make(t)
	hooks := newHooks(t)
	d.configure(map[string]any{"out": map[string]any{"allow": []string{hooks.Listener.Addr().String()}}})
	p, l, r := d.start(nil), newLoad(t, 51), dice(t)
	p.do("POST", "/v1/webhooks", map[string]any{"url": hooks.URL + "/hook"}, nil, http.StatusCreated)
	for i := range 80 {
		if err := l.post(p.client, i); err != nil {
			t.Fatal(err)
		}
	}
	var somebody *onboard.Answer
	gate := map[string]bool{}
	for i, a := range l.known {
		eventually(t, serving, "the gate knows the account", func() (known bool) {
			gate[a.Reference], known = p.mayUse(a.Reference)
			return known
		})
		if l.people.Class(i) == synthetic.Complete && somebody == nil {
			somebody = a
		}
	}
	line := fmt.Sprintf(`{"id":"r-1","account":%q,"ip":"192.0.2.7","at":"2026-06-01T00:00:00Z","action":"login"}`+"\n", somebody.Account)
	p.do("POST", "/v1/access-records", []byte(line), nil, http.StatusOK, "Content-Type", "application/x-ndjson")

	// Backups beside the server: killed once a part is there, made again, opened.
	identity := filepath.Join(t.TempDir(), "identity")
	to := strings.TrimSpace(string(d.muster("backup", "identity", identity)))
	for _, kind := range []string{"data", "keys"} {
		dir := filepath.Join(t.TempDir(), kind)
		make := []string{"backup", kind, dir, "--config", d.config(), "--recipient", to}
		ended := d.killAt(func() bool {
			parts, _ := filepath.Glob(filepath.Join(dir, "parts", "*", "*"))
			return len(parts) > 0
		}, make...)
		sets, _ := filepath.Glob(filepath.Join(dir, "sets", "*.json"))
		if !ended && len(sets) > 0 {
			t.Logf("the backup of %s was whole when it was killed", kind)
		}
		d.muster(make...)
		if out := d.muster("backup", "check", dir, "--kind", kind, "--identity", identity); !bytes.Contains(out, []byte("reads back and opens")) {
			t.Errorf("a copy after one that was killed: %s", out)
		}
	}
	p.stop()

	names := slices.DeleteFunc(rotate.Names(), func(n string) bool { return strings.HasPrefix(n, "prf/") })
	d.hurryTurns()
	killed := slices.Clone(names)
	if s.postgres && !soak() { // where each command takes longer, some of them
		r.Shuffle(len(killed), func(i, j int) { killed[i], killed[j] = killed[j], killed[i] })
		killed = killed[:4]
	}
	stage := func(name string) string {
		return d.value("data", `SELECT coalesce(max(stage), '') FROM rotations WHERE name = '`+name+`'`)
	}
	for _, name := range killed {
		stages := []string{"asked", "known", "used", "moving"}
		from := r.IntN(len(stages))
		epoch := d.value("keys", `SELECT epoch FROM key_set`)
		at := func() bool { return slices.Contains(stages[from:], stage(name)) }
		middle := func() bool { return slices.Contains(stages, stage(name)) }
		// However late the kill comes, the turn does not end before it.
		store, table, when := "data", "rotations", `NEW.name = '`+name+`' AND NEW.stage = 'keeping'`
		if name == "epoch" { // its turn is in the store of keys: a new epoch, and keys under the old one
			at = func() bool { return d.value("keys", `SELECT epoch FROM key_set`) != epoch }
			middle = func() bool { return d.value("keys", `SELECT count(*) FROM subject_keys WHERE epoch = `+epoch) != "0" }
			store, table, when = "keys", "subject_keys", `NEW.epoch > OLD.epoch`
		}
		_, letGo := d.stand(store, table, "UPDATE", when)
		if d.killAt(at, "keys", "rotate", name, "--overlap", "0s", "--config", d.config()) || !middle() {
			t.Errorf("the turn of %s was not killed in the middle", name)
		}
		letGo()
	}
	d.audit()

	// Once more while all of them go on together, and then to the end.
	d.leasesOver()
	left := func() string {
		return d.value("data", `SELECT count(*) FROM rotations WHERE stage NOT IN ('keeping', 'done')`)
	}
	were := left()
	d.killAt(func() bool { return left() != were }, "keys", "rotate", "all", "--overlap", "0s", "--config", d.config())
	d.audit()
	d.leasesOver()
	d.muster("keys", "rotate", "all", "--overlap", "0s", "--config", d.config())
	if out := d.muster("keys", "verify", "--config", d.config()); !bytes.Contains(out, []byte("every key opens")) {
		t.Errorf("keys verify: %s", out)
	}

	p = d.start(nil)
	var keys api.KeysAnswer
	p.get("/v1/keys?all=true", &keys)
	for _, x := range keys.Rotations {
		if x.Stage != "keeping" && x.Stage != "done" {
			t.Errorf("the turn of %s ended as %s", x.Key, x.Stage)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(keys.Rotations, func(x api.Rotation) bool { return x.Key == name }) {
			t.Errorf("there is no turn of %s", name)
		}
	}
	for i, a := range l.known {
		if err := l.post(p.client, i); err != nil { // the same again is the same application
			t.Fatal(err)
		}
		if now, known := p.mayUse(a.Reference); now != gate[a.Reference] || !known {
			t.Errorf("the gate said %v of %s, and %v once the keys had turned; it knows it: %v", gate[a.Reference], a.Reference, now, known)
		}
	}
	l.check(d, p.client)
	var shown onboard.Revealed
	p.do("POST", "/v1/applications/"+somebody.Application+"/reveal", map[string]any{"purpose": "support", "case": "T-1"}, &shown, http.StatusOK)
	var used struct{ Items []api.AccessSeen }
	p.do("POST", "/v1/ledger/where-used", map[string]any{
		"purpose": "abuse", "case": "T-1", "account": somebody.Account, "from": "2026-05-01T00:00:00Z", "until": "2026-07-01T00:00:00Z",
	}, &used, http.StatusOK)
	if len(used.Items) != 1 {
		t.Errorf("%d access records of one", len(used.Items))
	}
	was := hooks.count()
	fresh := 0
	eventually(t, time.Minute, "an event under the webhook's secret", func() bool {
		if fresh < 20 {
			if err := l.post(p.client, 80+fresh); err != nil {
				t.Fatal(err)
			}
			fresh++
		}
		return hooks.count() > was
	})
	p.stop()
	d.audit()
	t.Logf("the turns of %s were killed in the middle", strings.Join(killed, ", "))
}

// mayUse is what the gate answers, and whether it knows the account.
func (c *client) mayUse(account string) (yes, known bool) {
	c.t.Helper()
	var says struct {
		Decision bool
		Context  struct{ ID string }
	}
	c.do("POST", "/access/v1/evaluation", map[string]any{
		"subject": map[string]any{"type": "account", "id": account}, "action": map[string]any{"name": "use"}, "resource": map[string]any{"type": "account", "id": account},
	}, &says, http.StatusOK)
	return says.Decision, says.Context.ID != "unknown_account"
}
