package export_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
)

// filesOf are the files of an archive by the reference of their first account, and the
// size of the log as it stands in there.
func filesOf(t *testing.T, parts []part) (files map[string]*onboard.File, log int) {
	t.Helper()
	files = map[string]*onboard.File{}
	for _, p := range parts {
		if strings.HasPrefix(p.name, "log/leaves/") {
			log += bytes.Count(p.data, []byte("\n"))
		}
		if !strings.HasPrefix(p.name, "files/") {
			continue
		}
		for line := range bytes.Lines(p.data) {
			f := &onboard.File{}
			if err := json.Unmarshal(line, f); err != nil {
				t.Fatal(err)
			}
			files[f.Accounts[0].Reference] = f
		}
	}
	return files, log
}

// What changes while an archive is written is not in it, but for an erasure: nothing
// opens what its keys opened, and the archive says so.
func TestAnArchiveIsOfOneInstant(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) roomtest.Options{
		"sqlite": func(*testing.T) (o roomtest.Options) { return o },
		"postgres": func(t *testing.T) (o roomtest.Options) {
			o.Store.DSN = pgtest.Database(t)
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t, o(t))
			bola := h.Apply(person("bola-1", "Haruto Yamaguchi", 2))
			ended := h.Apply(person("ended-1", "Oluwaseun Eze", 23))
			h.Contact(ended.Application, "")
			h.end("ended-1")
			before := h.Audit().Size
			h.meanwhile = func() {
				h.Apply(person("new-1", "Kemi Olawale", 3))
				if _, err := h.Onboard.Correct(h.Context(), h.Anna, bola.Application, bola.Version, []byte(`{"customer":{"address":{"locality":"Abuja"}}}`)); err != nil {
					t.Fatal(err)
				}
				h.erase(h.customer("ended-1"))
			}
			parts := h.archive()
			files, size := filesOf(t, parts)
			if files["new-1"] != nil || len(files) != 2 {
				t.Errorf("%d files, of them somebody who came later: %v", len(files), files["new-1"] != nil)
			}
			if f := files["bola-1"]; len(f.Subjects[0].Claims) != 1 || f.Applications[0].Revision != 1 || len(f.Decisions) != 1 || bytes.Contains(f.Subjects[0].Claims[0].Piece, []byte("Abuja")) {
				t.Errorf("a later correction is on the file: %d decisions, %+v", len(f.Decisions), f.Applications[0])
			}
			gone := files["ended-1"]
			if who := gone.Subjects[0]; who.Erased.IsZero() || len(who.Claims) != 0 || len(who.Changed) != 0 {
				t.Errorf("erased meanwhile: %+v", who)
			}
			for _, d := range gone.Decisions {
				if d.Facts != nil {
					t.Error("the facts of somebody erased meanwhile are there")
				}
			}
			for _, p := range parts {
				if bytes.Contains(p.data, []byte("Oluwaseun")) || bytes.Contains(p.data, []byte("p23@example.com.ng")) {
					t.Errorf("%s has somebody who was erased meanwhile", p.name)
				}
			}
			if asked := int64(3); int64(size) != before+asked { // asked, agreed, and that it is taken
				t.Errorf("the log has %d leaves in the archive and had %d", size, before)
			}
			to := setup(t, roomtest.Options{})
			to.Clock.Move(h.Clock.Now().Sub(to.Clock.Now()))
			to.regain(parts)
			if f, _ := filesOf(t, to.archive()); len(f) != 2 || f["ended-1"].Subjects[0].Erased.IsZero() {
				t.Errorf("taken in, it is %d files, of which one is of somebody erased", len(f))
			}
			h.Clean()
			to.Clean()
		})
	}
}

// leaving is a client who leaves after so many bytes.
type leaving struct {
	bytes.Buffer
	left int
}

func (w *leaving) Write(b []byte) (int, error) {
	if len(b) > w.left {
		return 0, errors.New("the client has left")
	}
	w.left -= len(b)
	return w.Buffer.Write(b)
}

func TestAnExportThatBrokeOffCanBeTakenAgain(t *testing.T) {
	t.Parallel()
	h := setup(t, roomtest.Options{})
	traffic(h)
	var whole leaving
	whole.left = 1 << 30
	r, id := h.agreed()
	if err := h.export.Archive(h.Context(), h.Anna.Operator, r.ID, &whole); err != nil {
		t.Fatal(err)
	}
	broken, opens := h.agreed()
	began := h.Audit().ByType
	cuts := []int{0, whole.Len() / 3, whole.Len() - 1}
	for _, left := range cuts { // more often than there are connections to read by
		for range 3 {
			err := h.export.Archive(h.Context(), h.Anna.Operator, broken.ID, &leaving{left: left})
			if muster.ErrorCode(err) != muster.CodeUnavailable {
				t.Errorf("left after %d bytes of %d: %v", left, whole.Len(), err)
			}
		}
	}
	a := h.Audit()
	if begun, ended := a.ByType["reveal"]-began["reveal"], a.ByType["use_end"]-began["use_end"]; begun != 3*len(cuts) || ended != 0 {
		t.Errorf("%d begun and %d ended are in the log", begun, ended)
	}
	var again bytes.Buffer
	if err := h.export.Archive(h.Context(), h.Anna.Operator, broken.ID, &again); err != nil {
		t.Fatal(err)
	}
	want, _ := filesOf(t, h.parts(&whole.Buffer, id))
	if got, _ := filesOf(t, h.parts(&again, opens)); len(got) != len(want) || len(got) == 0 {
		t.Errorf("%d files, and %d before", len(got), len(want))
	}
	h.Clean()
}
