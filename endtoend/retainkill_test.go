package endtoend

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
)

// TestRetentionIsKilled: the process is killed in the middle of each pass of a day's run:
// where a tombstone is to cover decisions that are deleted in the same transaction, in
// what the gate answered, in the drop of what was seen at its intent, at its
// key and at the word that it is gone, and in the walk of the indexes. The next goes on;
// what went, went once and whole, and the log knows it.
func TestRetentionIsKilled(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]setup{"sqlite": {}, "postgres": {postgres: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			d := s.make(t)
			customer, key := d.oldBook()
			shared := func() string { return d.value("data", `SELECT count(*) FROM blind`) }
			rows, decisions := shared(), d.value("data", `SELECT count(*) FROM decisions`)
			for _, at := range []struct{ store, table, event, when, order string }{
				{"data", "leaves", "INSERT", `NEW.ref = ''`, `UPDATE decisions SET at = 1 WHERE customer = '` + customer + `'`},
				{"data", "gate_records", "DELETE", `OLD.last = 1`, `INSERT INTO gate_records (id, account, source, protocol, action, answer, code, rule, decision, first, last, count)
					SELECT 'gtr_1', hash, '', 'authzen', 'use', 'deny', '', '', '', 1, 1, 1 FROM gate_accounts LIMIT 1`},
				{"data", "evidence", "UPDATE", `NEW.dropped > 0`, `UPDATE evidence SET at = 1 WHERE sealed_under = '` + key + `'`},
				{"keys", "subject_keys", "DELETE", `OLD.id = '` + key + `'`, ""},
				{"data", "evidence_keys", "UPDATE", `NEW.gone > 0`, ""},
				{"data", "blind", "DELETE", `1 = 1`, ""},
			} {
				if at.order != "" {
					d.change("data", at.order)
				}
				d.killedIn(at.store, at.table, at.event, at.when)
				t.Log(at.table, time.Since(began))
				if d.value("data", `SELECT count(*) FROM decisions WHERE at = 1`) == "0" { // else their rows are not what their leaves say
					d.audit()
				}
			}
			d.retain()
			p := d.start(nil)
			eventually(t, roundLasts, "the run is over", func() bool {
				return d.value("data", `SELECT count(*) FROM jobs WHERE kind = '`+muster.JobRetain+`' AND holder = '' AND payload IS NULL`) == "1"
			})
			p.stop()
			for q, want := range map[string]string{
				`SELECT count(*) FROM decisions WHERE at = 1`:                                             "0",
				`SELECT count(*) FROM gate_records WHERE last = 1`:                                        "0",
				`SELECT count(*) FROM evidence WHERE sealed_under = '` + key + `' AND length(sealed) > 0`: "0",
				`SELECT count(*) FROM evidence_keys WHERE due > 0 AND gone > 0`:                           "1",
				`SELECT count(*) FROM subjects WHERE erased > 0`:                                          "1",
				`SELECT count(*) FROM entries WHERE type = 'erasure'`:                                     "4", // of the file and of what was seen: begun, done
			} {
				if got := d.value("data", q); got != want {
					t.Errorf("%s: %s, want %s", q, got, want)
				}
			}
			if d.value("keys", `SELECT count(*) FROM subject_keys WHERE id = '`+key+`'`) != "0" {
				t.Error("the key of what was seen is there")
			}
			if now := shared(); now == rows {
				t.Error("nothing of the index went")
			}
			a := d.audit()
			t.Logf("decisions %s before; %+v", decisions, a)
			if a.ByType["tombstone"] != 1 {
				t.Errorf("%d tombstones", a.ByType["tombstone"])
			}
		})
	}
}

// oldBook is a person shown to be of the United States, and one who withdrew long ago.
func (d *deployment) oldBook() (customer, key string) {
	d.Helper()
	p := d.start(nil)
	app := roomtest.Person("us-1")
	app.Customer.Nationalities = []muster.Country{"US"}
	a, err := p.apply(app)
	if err != nil {
		d.Fatal(err)
	}
	p.do("POST", "/v1/applications/"+a.Application+"/evidence", onboard.EvidenceInput{Method: "document.manual", Input: []byte(roomtest.Passport("US", "P-1"))}, nil,
		http.StatusCreated, "Idempotency-Key", "document-1")
	app = roomtest.Person("gone-1")
	app.Customer.Email, app.Customer.Phone = "gone@example.com.ng", "+2348031234509"
	app.Payment.Country, app.Access.IP = "KZ", "51.174.0.10" // three countries: nothing is in use
	gone, err := p.apply(app)
	if err != nil {
		d.Fatal(err)
	}
	var v api.Account
	p.get("/v1/accounts/"+gone.Account, &v)
	p.do("POST", "/v1/applications/"+gone.Application+"/withdrawal", nil, nil, http.StatusOK, "If-Match", fmt.Sprintf(`"%d"`, gone.Version))
	p.stop()
	d.change("data", `UPDATE applications SET updated = 1 WHERE customer = '`+v.Customer+`'`)
	return v.Customer, d.value("data", `SELECT sealed_under FROM evidence WHERE sealed_under <> '' AND method = 'document.manual'`)
}

// of is the file, or the database, of a store: data or keys.
func (d *deployment) of(store string) (file, dsn string) {
	if store == "keys" {
		return "keys/keys.db", d.keyDSN
	}
	return "data/muster.db", d.dsn
}

// value reads one value of a store, as text.
func (d *deployment) value(store, q string) string {
	d.Helper()
	file, dsn := d.of(store)
	if dsn == "" {
		return d.row(file, q)
	}
	return pgtest.One[string](d, dsn, `SELECT x::text FROM (`+q+`) AS y(x)`)
}

// change changes a store by hand.
func (d *deployment) change(store, q string) {
	d.Helper()
	file, dsn := d.of(store)
	if dsn != "" {
		pgtest.Exec(d, dsn, q)
		return
	}
	if _, err := d.sqlite(file).Exec(q); err != nil {
		d.Fatalf("%s: %v", q, err)
	}
}

// retain has a day's run be due, whoever took it before.
func (d *deployment) retain() {
	d.Helper()
	d.change("data", `UPDATE jobs SET run_at = 1, holder = '' WHERE kind = '`+muster.JobRetain+`'`)
}

// killedIn serves, with a day's run due, until a transaction is about to write to a table, and
// kills the server there. Whether that transaction lands is chance on PostgreSQL; on SQLite
// it is undone.
func (d *deployment) killedIn(store, table, event, when string) {
	d.Helper()
	d.retain()
	stands, letGo := d.stand(store, table, event, when)
	if d.killAt(stands, "serve", "--config", d.config(), "--listen", "127.0.0.1:0") {
		d.Fatal("the server ended by itself")
	}
	letGo()
	if d.dsn == "" {
		return
	}
	for _, dsn := range []string{d.dsn, d.keyDSN} {
		eventually(d, roundLasts, "the connections of the dead are gone", func() bool {
			return pgtest.One[int64](d, dsn, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`) == 0
		})
	}
}

// stand has whoever is about to write so to a table stand there, in the middle of the
// transaction, until letGo. stands reports that somebody does.
func (d *deployment) stand(store, table, event, when string) (stands func() bool, letGo func()) {
	d.Helper()
	file, dsn := d.of(store)
	if dsn == "" {
		d.change(store, `CREATE VIEW endless AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) AS x FROM n`)
		d.change(store, fmt.Sprintf(`CREATE TRIGGER stand BEFORE %s ON %s WHEN %s BEGIN SELECT x FROM endless; END`, event, table, when))
		beside, err := sql.Open("sqlite", "file:"+filepath.Join(d.dir, file)+"?_pragma=busy_timeout(1000)&_txlock=immediate")
		if err != nil {
			d.Fatal(err)
		}
		stands = func() bool { // nobody else writes for as long as that
			tx, err := beside.Begin()
			if err == nil {
				_ = tx.Rollback()
			}
			return err != nil && strings.Contains(err.Error(), "locked")
		}
		return stands, func() {
			d.Helper()
			beside.Close()
			d.change(store, `DROP TRIGGER stand`)
			d.change(store, `DROP VIEW endless`)
		}
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		d.Fatal(err)
	}
	run := func(q string) {
		d.Helper()
		if _, err := conn.Exec(ctx, q); err != nil {
			d.Fatalf("%s: %v", q, err)
		}
	}
	run(`SELECT pg_advisory_lock(46)`)
	run(`CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock(46); RETURN coalesce(NEW, OLD); END $$`)
	run(fmt.Sprintf(`CREATE TRIGGER stand BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION stand()`, event, table, when))
	self := int64(conn.PgConn().PID())
	stands = func() bool {
		return pgtest.One[int64](d, dsn, `SELECT count(*) FROM pg_stat_activity WHERE $1::int = ANY (pg_blocking_pids(pid))`, self) > 0
	}
	return stands, func() {
		d.Helper()
		run(`SELECT pg_advisory_unlock(46)`)
		run(`DROP FUNCTION stand() CASCADE`) // once the transaction of who stood there has ended
		conn.Close(ctx)
	}
}
