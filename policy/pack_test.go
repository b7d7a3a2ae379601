package policy

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/packs"
)

func load(t testing.TB, id string) *Pack {
	t.Helper()
	src, err := packs.FS.ReadFile(id + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(src)
	if err != nil {
		report(t, err)
	}
	return p
}
func report(t testing.TB, err error) {
	t.Helper()
	var e *muster.Error
	if errors.As(err, &e) {
		for _, f := range e.Faults {
			t.Log(f.Code, f.Detail)
		}
	}
	t.Fatal(err)
}

func TestCompileDefault(t *testing.T) {
	p := load(t, packs.Default)
	f, _ := p.doc.Examples[0].Given.Facts()
	t.Logf("%+v", Decide([]*Pack{p}, f))
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for _, id := range []string{packs.Default} {
		p := load(t, id)
		for i := range p.doc.Examples {
			e := &p.doc.Examples[i]
			t.Run(id+"/"+e.Name, func(t *testing.T) {
				for _, line := range p.Run(e) {
					t.Error(line)
				}
			})
		}
	}
}

// Strip and Fill undo each other, and the ordinary decision is small.
func TestStripFill(t *testing.T) {
	t.Parallel()
	p := load(t, packs.Default)
	for i := range p.doc.Examples {
		e := &p.doc.Examples[i]
		f, err := e.Given.Facts()
		if err != nil {
			t.Fatal(err)
		}
		d := Decide([]*Pack{p}, f)
		d.ID = muster.NewID(muster.PrefixDecision, f.At)
		body, err := json.Marshal(Strip(d))
		if err != nil {
			t.Fatal(err)
		}
		var back muster.Decision
		if err := json.Unmarshal(body, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, Fill(back, []*Pack{p}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", e.Name, diff)
		}
		if len(f.Subjects) == 1 && len(body) > 700 {
			t.Errorf("%s: %d bytes: %s", e.Name, len(body), body)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := load(b, packs.Default)
	f, _ := p.doc.Examples[0].Given.Facts()
	ps := []*Pack{p}
	b.ReportAllocs()
	for b.Loop() {
		Decide(ps, f)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(p.conds)), "ns/cond")
	b.ReportMetric(float64(len(p.conds)), "conds")
	b.ReportMetric(float64(len(p.rules)+len(p.reqs)+len(p.fields)+len(p.opening)), "rules")
}
