package export_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/export"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// house is one deployment with its export room.
type house struct {
	*roomtest.Rooms
	export *export.Service
	retain *retain.Service
	uses   export.Uses

	meanwhile func() // called once, when everything but the files was read; nil: not
}

func setup(t *testing.T, o roomtest.Options) *house {
	t.Helper()
	h := &house{Rooms: roomtest.Setup(t, o)}
	h.wire()
	return h
}

func (h *house) wire() {
	h.export = export.New(export.Config{
		DB: store.As[export.Tx](h.DB), Files: files{h}, Uses: h.uses, Journal: h.Journal, Vault: h.Vault, Staff: h.Staff, Clock: h.Clock.Now,
		Meta: muster.Meta{Deployment: "test", Mode: muster.ModeProduction, Origin: "example.com/log"}, Program: "dev", Load: h.load,
	})
	h.retain = retain.New(retain.Config{
		DB: store.As[retain.Tx](h.DB), Programme: h.Programme, Keys: h.Vault, Staff: h.Staff, Journal: h.Journal, Clock: h.Clock.Now, Share: 1,
	})
}

type files struct{ *house }

func (f files) Give(ctx context.Context, tx export.Tx, s *vault.Session, customers []string) ([][]byte, error) {
	if do := f.meanwhile; do != nil {
		f.meanwhile = nil
		do()
	}
	return f.Onboard.GiveLines(ctx, tx.(*store.Tx), s, customers)
}

func (f files) Regain(ctx context.Context, lines [][]byte) (int, error) {
	return f.Onboard.Regain(ctx, lines)
}

// archive asks, agrees and takes, and opens what came.
func (h *house) archive() []part {
	h.Helper()
	id := h.identity()
	r, err := h.export.Ask(h.Context(), h.Anna.Operator, "move-1", []string{id.Recipient().String()})
	if err != nil {
		h.Fatal(err)
	}
	var out bytes.Buffer
	if err := h.export.Archive(h.Context(), h.Anna.Operator, r.ID, &out); muster.ErrorCode(err) != muster.CodeIllegalMove || out.Len() > 0 {
		h.Fatalf("taken by one operator: %v", err)
	}
	if _, err := h.export.Agree(h.Context(), h.Anna.Operator, r.ID, r.Version); muster.ErrorCode(err) != muster.CodeForbidden {
		h.Fatalf("one operator agreed with themselves: %v", err)
	}
	if _, err := h.export.Agree(h.Context(), h.Bea.Operator, r.ID, r.Version); err != nil {
		h.Fatal(err)
	}
	if err := h.export.Archive(h.Context(), h.Bea.Operator, r.ID, &out); err != nil {
		h.Fatal(err)
	}
	if _, err := age.Decrypt(bytes.NewReader(out.Bytes()), h.identity()); err == nil {
		h.Fatal("somebody else opens it")
	}
	return h.parts(&out, id)
}

func (h *house) identity() *age.X25519Identity {
	h.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		h.Fatal(err)
	}
	return id
}

// agreed is an export that can be taken, and the identity that opens it.
func (h *house) agreed() (*muster.ExportRecord, *age.X25519Identity) {
	h.Helper()
	id := h.identity()
	r, err := h.export.Ask(h.Context(), h.Anna.Operator, "move-1", []string{id.Recipient().String()})
	if err != nil {
		h.Fatal(err)
	}
	if r, err = h.export.Agree(h.Context(), h.Bea.Operator, r.ID, r.Version); err != nil {
		h.Fatal(err)
	}
	return r, id
}

// parts opens a sealed archive.
func (h *house) parts(sealed io.Reader, id age.Identity) (parts []part) {
	h.Helper()
	clear, err := age.Decrypt(sealed, id)
	if err != nil {
		h.Fatal(err)
	}
	for t := tar.NewReader(clear); ; {
		head, err := t.Next()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			h.Fatal(err)
		}
		data, err := io.ReadAll(t)
		if err != nil {
			h.Fatal(err)
		}
		parts = append(parts, part{head.Name, data})
	}
}

// part is a member of an archive.
type part struct {
	name string
	data []byte
}

// regain takes in what can be, in the order of the archive, and says how many were new.
func (h *house) regain(parts []part) (taken int) {
	h.Helper()
	for _, p := range parts {
		switch strings.Split(p.name, "/")[0] {
		case "programme", "measures", "keeping", "lists", "files":
		default:
			continue
		}
		if path.Ext(p.name) != ".ndjson" {
			h.Fatal(p.name)
		}
		r, err := h.export.Regain(h.Context(), h.Anna.Operator, p.data)
		if err != nil {
			h.Fatalf("%s: %v", p.name, err)
		}
		taken += r.Taken
	}
	if err := h.load(h.Context()); err != nil {
		h.Fatal(err)
	}
	return taken
}

func (h *house) load(ctx context.Context) error {
	if err := h.Programme.Load(ctx); err != nil {
		return err
	}
	return h.Register.Load(ctx)
}
