package programme_test

import (
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/programme"
)

func replace(t *testing.T, src string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(src, pairs[i]) != 1 {
			t.Fatalf("the pack has %d times %q", strings.Count(src, pairs[i]), pairs[i])
		}
		src = strings.Replace(src, pairs[i], pairs[i+1], 1)
	}
	return src
}

// Facts keep candidates down to a floor: another threshold is tried on them, and
// what they cannot answer is refused with the way out.
func TestDraftWithAnotherThreshold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := roomtest.Listed("1", "Chidinma Okafor")
	e.Births, e.Nations = []muster.PartialDate{{Year: 1950}}, []muster.Country{"KZ"}
	b.Lists.Put("ofac.sdn", e, roomtest.Listed("2", "Somebody Else"))
	app := roomtest.Person("app-1")
	app.Customer.DateOfBirth = "1990-01-02"
	b.Apply(app) // comes close, and the birth speaks against it
	draft := func(pairs ...string) programme.Draft {
		return programme.Draft{Source: replace(t, edition(t, "draft"), pairs...)}
	}
	moves := func(d programme.Draft) int {
		t.Helper()
		r, err := b.Activate.ReplayDraft(b.Context(), b.Anna.Operator, d)
		if err != nil {
			t.Fatal(err)
		}
		return r.RulesNew["us-iaas-cip/listed_likeness"]
	}
	if n := moves(draft()); n != 0 {
		t.Errorf("%d likenesses under the same threshold", n)
	}
	if n := moves(draft("threshold: 0.8\n", "threshold: 0.62\n")); n != 1 {
		t.Errorf("%d likenesses under a lower threshold, want 1", n)
	}
	for name, d := range map[string]programme.Draft{
		"below the floor": draft("threshold: 0.8\n", "threshold: 0.5\n", "floor: 0.6\n", "floor: 0.5\n"),
		"other weights":   draft("floor: 0.6\n", "floor: 0.6\n  weights: {birth_disagrees: 0}\n"),
	} {
		_, err := b.Activate.ReplayDraft(b.Context(), b.Anna.Operator, d)
		b.fails(err, muster.CodeInvalid)
		if !strings.Contains(strings.Join(roomtest.Faulted(err), " "), "needs_rescreening") {
			t.Errorf("%s: %v", name, roomtest.Faulted(err))
		}
		d.Rescreen = true
		if n := moves(d); n != 1 {
			t.Errorf("%s, rescreened: %d likenesses, want 1", name, n)
		}
	}
	_, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: draft("floor: 0.6\n", "floor: 0.6\n  weights: {birthday: 0}\n").Source})
	b.fails(err, muster.CodeInvalid)
	b.Clean()
}
