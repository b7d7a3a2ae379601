package main

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
)

// quarter is the start of the quarter of t.
func quarter(t time.Time) time.Time {
	return time.Date(t.Year(), (t.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC)
}

// chunks cuts an account's records as the ledger does.
func chunks(records []muster.AccessRecord, each func(base time.Time, chunk []muster.AccessRecord)) {
	for len(records) > 0 {
		base := quarter(records[0].At)
		n := min(len(records), 512)
		if i := slices.IndexFunc(records[:n], func(r muster.AccessRecord) bool { return !quarter(r.At).Equal(base) }); i >= 0 {
			n = i
		}
		each(records[0].At.Truncate(time.Hour), records[:n])
		records = records[n:]
	}
}

// ledgerTrain makes the starting probabilities of the chunk format anew, from
// accounts that no other bench generates. It is how ledger/access.v1 was made.
func ledgerTrain(_ context.Context, r *run) error {
	y := newYear(4000, 77)
	var all [][]muster.AccessRecord
	var bases []time.Time
	add := func(base time.Time, chunk []muster.AccessRecord) {
		all, bases = append(all, chunk), append(bases, base)
	}
	counts := map[string]int{}
	for i := range y.accounts {
		class := y.class(i)
		if limit := map[string]int{"person": 400, "script": 12, "api": 6}[class]; counts[class] >= limit {
			continue
		}
		counts[class]++
		records := y.records(i)
		if class != "person" {
			records = records[:min(len(records), 20_000)]
		}
		chunks(records, add)
	}
	table := ledger.TrainAccess(func(i int) time.Time { return bases[i] }, all)
	if err := os.WriteFile("ledger/access.v1", table, 0o600); err != nil {
		return err
	}
	r.say("ledger/access.v1: %d bytes from %d chunks", len(table), len(all))
	return nil
}

func ledgerPayload(_ context.Context, r *run) error {
	y := newYear(1000, 1)
	size, n := map[string]int{}, map[string]int{}
	began := time.Now()
	var spent time.Duration
	var buf []byte
	modes := map[string][4]int{}
	for i := range y.accounts {
		class := y.class(i)
		if class == "person" && i%4 != 0 {
			continue
		}
		records := y.records(i)
		n[class] += len(records)
		t := time.Now()
		chunks(records, func(base time.Time, chunk []muster.AccessRecord) {
			buf = ledger.EncodeAccess(buf[:0], base, chunk)
			size[class] += len(buf)
			m := modes[class]
			m[buf[0]&3]++
			modes[class] = m
		})
		spent += time.Since(t)
	}
	total, bytes := 0, 0
	for c := range n {
		w := 1
		if c == "person" {
			w = 4
		}
		total, bytes = total+w*n[c], bytes+w*size[c]
		r.say("%s: %d records, %.3f B/record; modes %v", c, n[c], float64(size[c])/float64(n[c]), modes[c])
	}
	all := n["person"] + n["script"] + n["api"]
	r.say("mix %d: %.3f B/record; %.2f M records/s; %s", total, float64(bytes)/float64(total), float64(all)/spent.Seconds()/1e6, time.Since(began))
	return nil
}
