package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/store"
)

// ingestBench sends access records to a Muster on SQLite and beside it copies the same
// into a PostgreSQL table with the two indexes that answer the same questions.
func ingestBench(ctx context.Context, r *run) error {
	n := pick(r.quick, 400_000, 2_000_000)
	y := newYear(accountsFor(n), 3)
	r.say("%d access records of a generated year (%d accounts), in the order of time; NDJSON over HTTP keep-alive; an answer means committed and synced", n, y.accounts)
	r.say("accounts are on file without persons: the sealer, which runs beside, reads every batch and finds no key to seal it under")
	var records []muster.AccessRecord
	for i := range y.accounts {
		records = append(records, y.records(i)...)
	}
	slices.SortFunc(records, func(a, b muster.AccessRecord) int { return a.At.Compare(b.At) })
	records = records[:min(n, len(records))]

	bin, err := build(ctx, r.dir)
	if err != nil {
		return err
	}
	d, err := newDeployment(ctx, bin, filepath.Join(r.dir, "ingest"), "", "")
	if err != nil {
		return err
	}
	if err := d.prepareIngest(ctx, y); err != nil {
		return err
	}
	if _, err := d.start(ctx); err != nil {
		return err
	}
	defer d.stop()
	rate := map[int]float64{}
	rest := records
	for _, s := range []struct{ batch, records, connections int }{
		{1, min(len(records)/20, 20_000), 64},
		{100, len(records) / 5, 8},
		{1000, len(records), 4},
	} {
		part := rest[:min(s.records, len(rest))]
		rest = rest[len(part):]
		var reqs [][]byte
		for batch := range slices.Chunk(part, s.batch) {
			reqs = append(reqs, batchRequest(d, batch))
		}
		got, err := post(ctx, d.addr, reqs, s.connections, 0, true)
		if err != nil {
			return err
		}
		if got.refused+got.failed > 0 {
			return fmt.Errorf("%d batches of %d were not taken", got.refused+got.failed, len(reqs))
		}
		rate[s.batch] = float64(len(part)) / got.took.Seconds()
		slices.Sort(got.lone)
		what := fmt.Sprintf("batches of %d, %d connections", s.batch, s.connections)
		if s.batch == 1000 {
			r.atLeast(what, rate[s.batch], "records/s", 300_000)
		} else {
			r.note(what, rate[s.batch], "records/s")
		}
		r.note("  acknowledged, p50", milliseconds(got.lone[len(got.lone)/2]), "ms")
		r.note("  p99", milliseconds(got.lone[len(got.lone)*99/100]), "ms")
	}
	d.stop()
	return copyBeside(ctx, r, records, rate[1000])
}

// prepareIngest puts accounts on file and lifts the bound on what is not sealed.
func (d *deployment) prepareIngest(ctx context.Context, y *year) error {
	f, err := os.OpenFile(filepath.Join(d.dir, "muster.yaml"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("ledger:\n  unsealed_records: 100000000\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{Path: filepath.Join(d.dir, "data", "muster.db")})
	if err != nil {
		return err
	}
	err = db.InTx(ctx, func(tx *store.Tx) error {
		for i := range y.accounts {
			a := &muster.AccountRecord{ID: muster.NewID(muster.PrefixAccount, tx.Now()), Reference: y.id(i), Customer: "cus_bench", State: muster.AccActive}
			if err := tx.PutAccount(ctx, a); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// batchRequest is a batch as bytes on the wire.
func batchRequest(d *deployment, batch []muster.AccessRecord) []byte {
	var body, b bytes.Buffer
	e := json.NewEncoder(&body)
	for i := range batch {
		x := batch[i]
		x.Country, x.Network = "", 0 // which Muster finds
		_ = e.Encode(&x)             // strings, numbers and times
	}
	fmt.Fprintf(&b, "POST /v1/access-records HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", d.addr, d.token, body.Len())
	b.Write(body.Bytes())
	return b.Bytes()
}

func copyBeside(ctx context.Context, r *run, records []muster.AccessRecord, rate float64) error {
	p, err := startPostgres(ctx)
	if errors.Is(err, errNoPostgres) {
		r.say("nothing beside: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer p.stop()
	c, err := pgx.Connect(ctx, p.dsn("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	took, err := copyAccess(ctx, c, records, 1000)
	if err != nil {
		return err
	}
	beside := float64(len(records)) / took.Seconds()
	r.note("PostgreSQL, COPY of 1,000 at a time, two indexes", beside, "records/s")
	r.atLeast("  Muster's batches of 1,000 to that", rate/beside, "times", 3)
	return nil
}
