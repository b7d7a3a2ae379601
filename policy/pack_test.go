package policy

import (
	"errors"
	"testing"

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
