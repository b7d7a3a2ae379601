package watchlist_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/watchlist"
)

func TestAListTakesEffectWithItsLeafAndItsSweep(t *testing.T) {
	onBoth(t, func(b *bundle) {
		ctx := b.Context()
		one := b.imports(watchlist.Applied, sdn(1, 100))
		if one.Rows != 100 || one.Entries != 100 || one.Added != 100 {
			b.Fatalf("%+v", one)
		}
		b.imports(watchlist.Unchanged, sdn(1, 100))
		two := b.imports(watchlist.Applied, sdn(2, 101)) // one gone, two new
		if two.Added != 2 || two.Removed != 1 || two.Changed != 0 {
			b.Fatalf("%+v", two)
		}
		if digest, n := b.inEffect(b.Service, "ofac.sdn"); digest != two.Digest || n != 101 {
			b.Fatal(digest, n)
		}
		want := []string{
			fmt.Sprintf(`{"list":"ofac.sdn","from":"","to":%q}`, one.Digest),
			fmt.Sprintf(`{"list":"ofac.sdn","from":%q,"to":%q}`, one.Digest, two.Digest),
		}
		if got := b.sweeps(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			b.Fatalf("%q\nwant %q", got, want)
		}
		_, events, err := b.Snapshots(ctx, "ofac.sdn")
		if err != nil || len(events) != 2 || events[0].Digest != two.Digest || events[0].Before != one.Digest || events[0].Operator != "opr_1" {
			b.Fatalf("%+v, %v", events, err)
		}
		var size int64
		if err := b.db.View(ctx, func(tx *store.Tx) (err error) {
			size, err = tx.LogSize(ctx)
			return err
		}); err != nil || size != 2 {
			b.Fatalf("%d leaves, %v", size, err)
		}
		d, from, to, err := b.Diff(ctx, "ofac.sdn", one.Digest[:8], "")
		if err != nil || from != one.Digest || to != two.Digest || len(d.Added) != 2 || len(d.Removed) != 1 || d.Removed[0].ID != "1" {
			b.Fatalf("%+v %s %s %v", d, from, to, err)
		}
	})
}

func TestAnotherProcessSeesASnapshotAtItsNextLoad(t *testing.T) {
	onBoth(t, func(b *bundle) {
		other := b.service(b.db, watchlist.Rules{})
		out := b.imports(watchlist.Applied, sdn(1, 30))
		if digest, _ := b.inEffect(other, "ofac.sdn"); digest != "" {
			b.Fatal("seen before it was loaded")
		}
		if err := other.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		if digest, n := b.inEffect(other, "ofac.sdn"); digest != out.Digest || n != 30 {
			b.Fatal(digest, n)
		}
		before, _, _ := other.Current(b.Context())
		if !before[0].AsOf.Equal(b.clock()) {
			b.Errorf("an import without a date is as of %s", before[0].AsOf)
		}
		if err := other.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		if after, _, _ := other.Current(b.Context()); &after[0] != &before[0] {
			b.Error("what did not change was made anew")
		}
	})
}

func TestAListThatShrinksWaitsForAPerson(t *testing.T) {
	onBoth(t, func(b *bundle) {
		ctx := b.Context()
		one := b.imports(watchlist.Applied, sdn(1, 100))
		b.imports(watchlist.Applied, sdn(1, 90)) // ten per cent is within the bound
		b.imports(watchlist.Applied, sdn(1, 100))
		held := b.imports(watchlist.Held, sdn(1, 89))
		if held.Removed != 11 || !strings.Contains(held.Why, "11 entries less") {
			b.Fatalf("%+v", held)
		}
		if digest, _ := b.inEffect(b.Service, "ofac.sdn"); digest != one.Digest {
			b.Fatal("it took effect")
		}
		_, err := b.Approve(ctx, "opr_2", "ofac.sdn", one.Digest, "seen")
		code(b, err, muster.CodeStale)
		_, err = b.Approve(ctx, "opr_2", "ofac.sdn", held.Digest, " ")
		code(b, err, muster.CodeInvalid)
		if _, err := b.Approve(ctx, "opr_2", "ofac.sdn", held.Digest, "the delisting of today"); err != nil {
			b.Fatal(err)
		}
		if digest, n := b.inEffect(b.Service, "ofac.sdn"); digest != held.Digest || n != 89 {
			b.Fatal(digest, n)
		}
		_, err = b.Approve(ctx, "opr_2", "ofac.sdn", held.Digest, "again")
		code(b, err, muster.CodeConflict)
		_, events, err := b.Snapshots(ctx, "ofac.sdn")
		if err != nil || events[0].What != watchlist.Approved || events[0].Reason != "the delisting of today" || events[0].Operator != "opr_2" {
			b.Fatalf("%+v %v", events[0], err)
		}
	})
}

func TestADeclinedSnapshotIsNotAskedAboutAgain(t *testing.T) {
	onBoth(t, func(b *bundle) {
		b.imports(watchlist.Applied, sdn(1, 100))
		held := b.imports(watchlist.Held, sdn(1, 10))
		if _, err := b.Decline(b.Context(), "opr_2", "ofac.sdn", held.Digest, "the file was cut"); err != nil {
			b.Fatal(err)
		}
		if again := b.imports(watchlist.Refused, sdn(1, 10)); !strings.Contains(again.Why, "declined") {
			b.Fatalf("%+v", again)
		}
		b.imports(watchlist.Held, sdn(1, 11)) // another one is asked about
	})
}

func TestAListRollsBack(t *testing.T) {
	onBoth(t, func(b *bundle) {
		ctx := b.Context()
		one := b.imports(watchlist.Applied, sdn(1, 100))
		_, err := b.Rollback(ctx, "opr_2", "ofac.sdn", "", "wrong file")
		code(b, err, muster.CodeNotFound)
		two := b.imports(watchlist.Applied, sdn(1, 101))
		b.move(time.Hour)
		if _, err := b.Rollback(ctx, "opr_2", "ofac.sdn", "", "wrong file"); err != nil {
			b.Fatal(err)
		}
		if digest, n := b.inEffect(b.Service, "ofac.sdn"); digest != one.Digest || n != 100 {
			b.Fatal(digest, n)
		}
		if _, err := b.Rollback(ctx, "opr_2", "ofac.sdn", two.Digest, "right after all"); err != nil {
			b.Fatal(err)
		}
		if digest, _ := b.inEffect(b.Service, "ofac.sdn"); digest != two.Digest {
			b.Fatal(digest)
		}
		_, err = b.Rollback(ctx, "opr_2", "ofac.sdn", two.Digest, "again")
		code(b, err, muster.CodeConflict)
		_, err = b.Rollback(ctx, "opr_2", "ofac.sdn", strings.Repeat("0", 64), "none")
		code(b, err, muster.CodeNotFound)
		if got := len(b.sweeps()); got != 4 {
			b.Errorf("%d sweeps for four changes", got)
		}
		if all, _, err := b.Status(ctx); err != nil || all[0].Age < 3600 {
			b.Errorf("going back made the list younger: %+v %v", all, err)
		}
	})
}

func TestWhatIsNoListChangesNothing(t *testing.T) {
	onBoth(t, func(b *bundle) {
		good := b.imports(watchlist.Applied, sdn(1, 100))
		whole := sdn(1, 100).Data
		bad := make([]byte, 0, len(whole))
		for i, line := range bytes.SplitAfter(whole, []byte("\n")) {
			if i%20 == 0 && len(line) > 0 {
				line = append([]byte(`"`), line...)
			}
			bad = append(bad, line...)
		}
		for name, f := range map[string]lists.File{
			"an HTML page":      {Path: "sdn.csv", Data: []byte("\n<!DOCTYPE html><html><title>Service unavailable</title></html>")},
			"a zip":             {Path: "sdn.zip", Data: []byte("PK\x03\x04\x14\x00")},
			"gzip":              {Path: "sdn.csv", Data: []byte("\x1f\x8b\x08\x00")},
			"UTF-16":            {Path: "sdn.csv", Data: []byte("\xff\xfe1\x00,\x00")},
			"Latin-1":           {Path: "sdn.csv", Data: bytes.Replace(whole, []byte("DOE 7"), []byte("D\xd6E"), 1)},
			"NUL bytes":         {Path: "sdn.csv", Data: append([]byte("1,\x00\n"), whole...)},
			"nothing":           {Path: "sdn.csv", Data: []byte(" \n")},
			"too many broken":   {Path: "sdn.csv", Data: bad},
			"XML of another":    {Path: "a.xml", Data: []byte("<rss><channel/></rss>")},
			"XML cut off":       {Path: "a.xml", Data: []byte("<sdnList><sdnEntry><uid>1</uid><lastName>A</lastName></sdnEntry>")},
			"XML with entities": {Path: "a.xml", Data: []byte(`<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><sdnList><sdnEntry><uid>1</uid><lastName>&b;</lastName></sdnEntry></sdnList>`)},
			"aliases alone":     {Path: "alt.csv", Data: []byte("36,12,\"aka\",\"AERO\",-0- \r\n")},
		} {
			outs, err := b.Import(b.Context(), "opr_1", []lists.File{f})
			if err != nil || len(outs) != 1 || outs[0].State != watchlist.Refused || outs[0].Why == "" {
				b.Errorf("%s: %+v, %v", name, outs, err)
			}
		}
		if digest, n := b.inEffect(b.Service, "ofac.sdn"); digest != good.Digest || n != 100 {
			b.Fatal(digest, n)
		}
	})
}

func TestBrokenRowsAreCountedAndShownWithTheirLine(t *testing.T) {
	t.Parallel()
	b := setup(t, store.Config{Path: t.TempDir() + "/muster.db"}, watchlist.Rules{})
	out := b.imports(watchlist.Applied, sdn(1, 200, `999,"TOO","SHORT"`, `1000,"DOE, Last","individual","SDGT",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- `))
	if out.Entries != 201 || out.Broken != 1 || len(out.Flaws) != 1 || out.Flaws[0].Line != 201 || out.Flaws[0].File != "sdn.csv" {
		t.Fatalf("%+v", out)
	}
	if strings.Contains(out.Flaws[0].Reason, "TOO") {
		t.Error("the fault repeats the row")
	}
}

func TestAFileThatWasCutIsHeld(t *testing.T) {
	t.Parallel()
	b := setup(t, store.Config{Path: t.TempDir() + "/muster.db"}, watchlist.Rules{})
	f := sdn(1, 200)
	f.Data = f.Data[:len(f.Data)-30]
	if out := b.imports(watchlist.Held, f); !strings.Contains(out.Why, "cut off in its last row (line 200") {
		t.Fatalf("%+v", out)
	}
	if digest, _ := b.inEffect(b.Service, "ofac.sdn"); digest != "" {
		t.Fatal("it took effect")
	}
}

func TestOlderEditionsAreKeptAndDoNotTakeEffect(t *testing.T) {
	t.Parallel()
	b := setup(t, store.Config{Path: t.TempDir() + "/muster.db"}, watchlist.Rules{})
	at := func(dir string, n int) lists.File {
		f := sdn(1, n)
		f.Path = dir + "/sdn.csv"
		return f
	}
	outs, err := b.Import(t.Context(), "opr_1", []lists.File{at("2026-02-01", 102), at("2026-01-01", 100), at("undated", 50)})
	if err != nil || len(outs) != 3 {
		t.Fatalf("%+v %v", outs, err)
	}
	states := map[int]string{}
	for _, o := range outs {
		states[o.Entries] = o.State
	}
	if states[102] != watchlist.Applied || states[100] != watchlist.Kept || states[50] != watchlist.Kept {
		t.Fatal(states)
	}
	if _, n := b.inEffect(b.Service, "ofac.sdn"); n != 102 {
		t.Fatal(n)
	}
	if stale := b.Stale(b.clock()); !slices.Equal(stale, []string{"ofac.sdn"}) {
		t.Errorf("a list of February is not stale in November: %v", stale)
	}
	if out := b.imports(watchlist.Held, at("2026-01-15", 101)); !strings.Contains(out.Why, "older") {
		t.Errorf("%+v", out)
	}
}

func TestASourceThatVanishesFromTheScreeningListIsHeld(t *testing.T) {
	t.Parallel()
	b := setup(t, store.Config{Path: t.TempDir() + "/muster.db"}, watchlist.Rules{})
	header := "_id,source,entity_number,type,programs,name,alt_names,source_list_url\n"
	el, uvl := "a1,Entity List (EL) - BIS,,,,Acme Ltd,,u\n", "b1,Unverified List (UVL) - BIS,,,,Other Ltd,,u\n"
	file := func(rows string) lists.File { return lists.File{Path: "consolidated.csv", Data: []byte(header + rows)} }
	if outs, err := b.Import(t.Context(), "opr_1", []lists.File{file(el + uvl)}); err != nil || len(outs) != 2 || outs[0].State != watchlist.Applied || outs[1].State != watchlist.Applied {
		t.Fatalf("%+v %v", outs, err)
	}
	outs, err := b.Import(t.Context(), "opr_1", []lists.File{file(el)})
	if err != nil || len(outs) != 2 || outs[0].State != watchlist.Unchanged || outs[1].State != watchlist.Held || outs[1].List != "csl.uvl" {
		t.Fatalf("%+v %v", outs, err)
	}
	if _, n := b.inEffect(b.Service, "csl.uvl"); n != 1 {
		t.Error("the list is gone")
	}
}

// TestAnOwnListIsSealed: whoever has the store learns neither names nor reasons, and
// cannot try names out against the digest.
func TestAnOwnListIsSealed(t *testing.T) {
	onBoth(t, func(b *bundle) {
		f := lists.File{Path: "blocked.csv", Data: []byte("id,action,owner,reason,names,mail_domains\nr1,deny,ada,canary-reason,Canary Person,canary.example\n")}
		out := b.imports(watchlist.Applied, f)
		if out.List != "own.blocked" {
			b.Fatalf("%+v", out)
		}
		_, entries, err := b.Current(b.Context())
		if err != nil || len(entries) != 1 || entries[0].Names[0].Full != "Canary Person" {
			b.Fatalf("%+v %v", entries, err)
		}
		canonical, err := lists.Canonical(entries)
		if err != nil {
			b.Fatal(err)
		}
		if out.Digest == lists.Digest(canonical) {
			b.Error("the digest of an own list can be tried out without the key")
		}
		err = b.db.View(b.Context(), func(tx *store.Tx) error {
			body, err := tx.ListBody(b.Context(), "own.blocked", out.Digest)
			if err != nil {
				return err
			}
			if bytes.Contains(body, []byte("anary")) || bytes.HasPrefix(body, []byte("\x28\xb5\x2f\xfd")) {
				b.Error("the body is not sealed")
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		fresh := b.service(b.db, watchlist.Rules{})
		if err := fresh.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		if _, n := b.inEffect(fresh, "own.blocked"); n != 1 {
			b.Error("another process cannot open it")
		}
		b.move(1000 * time.Hour)
		if stale := b.Stale(b.clock()); len(stale) != 0 {
			b.Errorf("%v: an own list is as old as its owner likes", stale)
		}
	})
}
