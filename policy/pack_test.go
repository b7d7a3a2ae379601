package policy

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/packs"
)

// load compiles an embedded pack or one of testdata/packs.
func load(t testing.TB, id string) *Pack {
	t.Helper()
	src, err := packs.FS.ReadFile(id + ".yaml")
	if errors.Is(err, fs.ErrNotExist) {
		src, err = os.ReadFile(filepath.Join("testdata", "packs", id+".yaml"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, string(src))
}

func compile(t testing.TB, src string) *Pack {
	t.Helper()
	p, err := Compile([]byte(src))
	if err != nil {
		t.Fatal(err, faults(err))
	}
	return p
}

// faults are the details of an error.
func faults(err error) string {
	var e *muster.Error
	if !errors.As(err, &e) {
		return ""
	}
	var out []string
	for _, f := range e.Faults {
		out = append(out, f.Code+" "+f.Detail)
	}
	return strings.Join(out, "\n")
}

var allPacks = []string{packs.Default, "in-cert-in", "dk-domain"}

func facts(t testing.TB, e *Example) *muster.Facts {
	t.Helper()
	f, err := e.Given.Facts()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEmbeddedPacksPassTheirOwnCheck(t *testing.T) {
	t.Parallel()
	for _, id := range allPacks {
		r := Check(load(t, id))
		for _, f := range r.Findings {
			t.Errorf("%s: %s: %s: %s", id, f.Code, f.Where, f.Detail)
		}
		if r.Examples == 0 {
			t.Errorf("%s: no examples ran", id)
		}
	}
}

// Strip and Fill undo each other, and an ordinary decision is small.
func TestStripFill(t *testing.T) {
	t.Parallel()
	us, in := load(t, packs.Default), load(t, "in-cert-in")
	for _, ps := range [][]*Pack{{us}, {in}, {us, in}} {
		for i := range us.doc.Examples {
			e := &us.doc.Examples[i]
			f := facts(t, e)
			d := Decide(ps, f)
			d.ID = muster.NewID(muster.PrefixDecision, f.At)
			body, err := json.Marshal(Strip(d))
			if err != nil {
				t.Fatal(err)
			}
			var back muster.Decision
			if err := json.Unmarshal(body, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d, Fill(back, ps), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s", e.Name, diff)
			}
			if diff := cmp.Diff(d, Fill(d, ps), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: filling a full decision changed it: %s", e.Name, diff)
			}
			if len(f.Subjects) == 1 && len(ps) == 1 && len(f.Measures) == 0 && len(body) > 700 { // what a determination says stands in no pack
				t.Errorf("%s: %d bytes: %s", e.Name, len(body), body)
			}
		}
	}
}

// BenchmarkDecide prints time and allocations of a decision by the default pack,
// in all and a rule.
func BenchmarkDecide(b *testing.B) {
	p := load(b, packs.Default)
	rules := float64(p.Rules())
	for i := range p.doc.Examples {
		e := &p.doc.Examples[i]
		f, ps := facts(b, e), []*Pack{p}
		b.Run(strings.ReplaceAll(e.Name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(ps, f)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rules, "ns/rule")
			b.ReportMetric(testing.AllocsPerRun(10, func() { Decide(ps, f) })/rules, "allocs/rule")
		})
	}
}
