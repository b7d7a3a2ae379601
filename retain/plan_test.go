package retain

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
)

func compiled(t *testing.T, ids ...string) (all []*policy.Pack) {
	t.Helper()
	for _, id := range ids {
		src, ok := packs.Source(id)
		if !ok {
			t.Fatalf("no pack %s", id)
		}
		p, err := policy.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// What is due by one comparison is what is due by computing every period's end, under
// any packs and at any instant.
func TestDueIsWhatKeepSays(t *testing.T) {
	t.Parallel()
	all := compiled(t, "us-iaas-cip", "in-cert-in")
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-12*3600, 14*3600).Draw(t, "zone"))
		base := time.Date(2026, 1, 1, 0, 0, 0, 0, zone)
		moment := func(name string, none bool) time.Time {
			if none && rapid.Bool().Draw(t, name+" is absent") {
				return time.Time{}
			}
			// Whole days often: the edges are at midnight.
			d := time.Duration(rapid.IntRange(0, 4000).Draw(t, name)) * 24 * time.Hour
			return base.Add(d + time.Duration(rapid.SampledFrom([]int{0, 0, 1, -1, 43200}).Draw(t, name+" seconds"))*time.Second)
		}
		f := &muster.FileAge{Made: base, Opened: true, Closed: moment("closed", true), Last: moment("last", false)}
		accessed := moment("accessed", true)
		ids := all
		if rapid.Bool().Draw(t, "one pack") {
			ids = all[:1]
		}
		for _, p := range ids {
			f.Applied = append(f.Applied, p.Ref().Digest[:muster.PackMark])
		}
		p := newPlan(moment("now", false), zone, all, nil)
		for _, class := range wholeFile {
			k, ok := policy.Keep(ids, class, map[string]time.Time{
				"closed": f.Closed, "last_accessed": accessed, "made": f.Made, "last_event": f.Last,
			}, zone)
			want := ok && len(k.Waits) == 0 && !k.Until.After(p.at)
			pack, got := p.over(f, class, accessed)
			if got != want {
				t.Fatalf("%s: due %v, and Keep says %v: %+v", class, got, want, k)
			}
			if got && pack != k.Pack.ID+" "+k.Pack.Edition {
				t.Fatalf("%s: %q, and Keep names %+v", class, pack, k.Pack)
			}
		}
	})
}

// A file whose packs are not all known is kept as long as any pack says.
func TestUnknownPackKeepsLongest(t *testing.T) {
	t.Parallel()
	all := compiled(t, "us-iaas-cip", "in-cert-in")
	closed := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	f := &muster.FileAge{Opened: true, Made: closed, Closed: closed, Applied: []string{all[0].Ref().Digest[:muster.PackMark], "0123456789ab"}}
	three := closed.Add(3 * 366 * 24 * time.Hour)
	if _, due := newPlan(three, time.UTC, all, nil).over(f, muster.ClassIdentity, time.Time{}); due {
		t.Error("due under the pack that is known alone")
	}
	f.Applied = f.Applied[:1]
	if _, due := newPlan(three, time.UTC, all, nil).over(f, muster.ClassIdentity, time.Time{}); !due {
		t.Error("not due under the one pack that decided")
	}
}

// Spans of access records and leases go when computing every period's end says so.
func TestSpansAreOverWhenKeepSays(t *testing.T) {
	t.Parallel()
	all := compiled(t, "us-iaas-cip", "in-cert-in")
	rapid.Check(t, func(t *rapid.T) {
		base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		moment := func(name string) time.Time {
			return base.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, name)) * 24 * time.Hour)
		}
		f := &muster.FileAge{Made: base, Opened: true, Last: base, Live: rapid.Bool().Draw(t, "live"), Closed: moment("closed")}
		ids := rapid.SampledFrom([][]*policy.Pack{all, all[:1], all[1:]}).Draw(t, "packs")
		for _, p := range ids {
			f.Applied = append(f.Applied, p.Ref().Digest[:muster.PackMark])
		}
		now, end, accessed := moment("now"), moment("end"), moment("accessed")
		anchors := map[string]time.Time{"closed": f.Closed, "last_accessed": accessed, "last_event": end, "made": end}
		if f.Live {
			delete(anchors, "closed")
		}
		class := rapid.SampledFrom([]string{muster.ClassAccess, muster.ClassLeases}).Draw(t, "class")
		k, ok := policy.Keep(ids, class, anchors, time.UTC)
		want := ok && len(k.Waits) == 0 && !k.Until.After(now)
		if got := newPlan(now, time.UTC, all, nil).spanOver(f, class, end, accessed); got != want {
			t.Fatalf("%s is over: %v, Keep says %v", class, got, want)
		}
		if newPlan(now, time.UTC, all, []*muster.Hold{{Ground: "litigation"}}).spanOver(f, class, end, accessed) {
			t.Fatal("a hold did not hold")
		}
	})
}

// A pack, or an earlier edition of one, that decided on a file and speaks of evidence
// alone keeps what was for proof only; so do packs that are not known any more.
func TestProofIsKeptByAPackThatSpeaksOfEvidenceAlone(t *testing.T) {
	t.Parallel()
	all := compiled(t, "us-iaas-cip", "in-cert-in")
	us, in := all[0].Ref().Digest[:muster.PackMark], all[1].Ref().Digest[:muster.PackMark]
	at := time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC)
	p := newPlan(at, time.UTC, all, nil)
	for _, c := range []struct {
		applied []string
		taken   time.Time
		want    bool
	}{
		{[]string{us}, at.AddDate(0, 0, -61), true},
		{[]string{us}, at.AddDate(0, 0, -60), false},
		{[]string{us, in}, at.AddDate(0, 0, -90), false},
		{[]string{in}, at.AddDate(0, 0, -90), false},
		{[]string{us, "000000000000"}, at.AddDate(0, 0, -90), false},
		{nil, at.AddDate(0, 0, -90), false},
	} {
		if _, ok := p.proofOver(&muster.FileAge{Applied: c.applied}, c.taken); ok != c.want {
			t.Errorf("%v, taken %s: %v", c.applied, c.taken, ok)
		}
	}
}
