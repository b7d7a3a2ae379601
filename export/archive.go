package export

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/vault"
)

// Parts of an archive are cut at whole lines, so that each can be posted as it is.
const (
	partBytes = 3 << 20
	partLines = 10_000
)

// Archive writes the archive of an export that was agreed, sealed for its recipients.
func (s *Service) Archive(ctx context.Context, by, id string, to io.Writer) error {
	r, recipients, err := s.ready(ctx, id)
	if err != nil {
		return err
	}
	session, err := s.Vault.Disclose(ctx, vault.RevealRequest{Operator: by, Purpose: vault.PurposeExport, Case: r.Case}, "export", "everything on file, export "+r.ID, s.Journal)
	if err != nil {
		return err
	}
	w := &writer{now: s.Clock(), counts: map[string]int64{}}
	if err := s.write(ctx, by, r, recipients, session, w, to); err != nil {
		return err // the leaf of the beginning stands, without one of the end
	}
	if err := session.End(ctx, int(w.counts["files"])); err != nil {
		return err
	}
	return s.DB.InTx(ctx, func(tx Tx) error {
		now, err := tx.Export(ctx, r.ID)
		if err != nil {
			return err
		}
		now.State, now.Taken, now.Files = muster.ExportTaken, tx.Now(), w.counts["files"]
		return tx.PutExport(ctx, now)
	})
}

func (s *Service) write(ctx context.Context, by string, r *muster.ExportRecord, recipients []age.Recipient, session *vault.Session, w *writer, to io.Writer) error {
	sealed, err := age.Encrypt(to, recipients...)
	if err != nil {
		return broken(err)
	}
	w.tar = tar.NewWriter(sealed)
	manifest, err := marshal(Manifest{Format, r.ID, s.Meta.Deployment, s.Meta.Mode, s.Meta.Origin, s.Clock().UTC().Format(time.RFC3339), s.Program})
	if err != nil {
		return err
	}
	if err := w.member("manifest.json", manifest, 0); err != nil {
		return err
	}
	if err := s.DB.View(ctx, func(tx Tx) error {
		for _, step := range []func(context.Context, Tx, *writer) error{s.programme, s.measures, s.keeping, s.lists} {
			if err := step(ctx, tx, w); err != nil {
				return err
			}
		}
		if err := s.files(ctx, tx, session, w); err != nil {
			return err
		}
		if err := s.uses(ctx, tx, by, r, w); err != nil {
			return err
		}
		return s.log(ctx, tx, w)
	}); err != nil {
		return err
	}
	contents, err := marshal(Contents{Format, w.members, w.counts})
	if err != nil {
		return err
	}
	if err := w.member("contents.json", contents, 0); err != nil {
		return err
	}
	if err := w.tar.Close(); err != nil {
		return broken(err)
	}
	return broken(sealed.Close())
}

func broken(err error) error {
	if err == nil {
		return nil
	}
	return muster.Errorf(muster.CodeUnavailable, "the archive cannot be written: %w", err)
}

// writer writes members.
type writer struct {
	tar     *tar.Writer
	now     time.Time
	members []Member
	counts  map[string]int64

	folder string // of the part that is being filled
	number int
	part   bytes.Buffer
	lines  int64
}

func (w *writer) member(name string, data []byte, lines int64) error {
	sum := sha256.Sum256(data)
	w.members = append(w.members, Member{name, lines, int64(len(data)), hex.EncodeToString(sum[:])})
	if err := w.tar.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600, ModTime: w.now.UTC().Truncate(time.Second), Format: tar.FormatPAX}); err != nil {
		return broken(err)
	}
	_, err := w.tar.Write(data)
	return broken(err)
}

// put adds a line to a folder.
func (w *writer) put(folder string, v any) error {
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = marshal(v); err != nil {
			return err
		}
	}
	if folder != w.folder {
		if err := w.end(); err != nil {
			return err
		}
		w.folder, w.number = folder, 0
	}
	if w.lines > 0 && (w.lines == partLines || w.part.Len()+len(data) > partBytes) {
		if err := w.cut(); err != nil {
			return err
		}
	}
	w.part.Write(data)
	w.part.WriteByte('\n')
	w.lines++
	w.counts[folder]++
	return nil
}

// cut ends a part, and end a folder.
func (w *writer) cut() error {
	if w.lines == 0 {
		return nil
	}
	w.number++
	err := w.member(fmt.Sprintf("%s/%06d.ndjson", w.folder, w.number), w.part.Bytes(), w.lines)
	w.part.Reset()
	w.lines = 0
	return err
}

func (w *writer) end() error { return w.cut() }

func (s *Service) programme(ctx context.Context, tx Tx, w *writer) error {
	operators, err := tx.Operators(ctx)
	if err != nil {
		return err
	}
	for _, o := range operators {
		if err := w.put("programme", operatorLine{line{typeOperator}, o}); err != nil {
			return err
		}
	}
	packs, err := tx.Packs(ctx)
	if err != nil {
		return err
	}
	for _, p := range packs {
		if err := w.put("programme", packLine{line{typePack}, *p, string(p.Source)}); err != nil {
			return err
		}
	}
	activations, err := tx.Activations(ctx)
	if err != nil {
		return err
	}
	for _, a := range activations {
		if err := w.put("programme", activationLine{line{typeActivation}, a}); err != nil {
			return err
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	for _, p := range packs {
		if err := w.member("packs/"+p.ID+"-"+p.Digest[:12]+".yaml", p.Source, 0); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) measures(ctx context.Context, tx Tx, w *writer) error {
	all, err := tx.Determinations(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := w.put("measures", determinationLine{line{typeDetermination}, *d, string(d.Source)}); err != nil {
			return err
		}
	}
	acts, err := tx.MeasureActs(ctx)
	if err != nil {
		return err
	}
	for _, a := range acts {
		if err := w.put("measures", actLine{line{typeAct}, a, a.Cursor}); err != nil {
			return err
		}
	}
	return nil
}

const page = 500

func (s *Service) keeping(ctx context.Context, tx Tx, w *writer) error {
	for p := (muster.Page{Limit: page}); ; {
		some, err := tx.Holds(ctx, false, p)
		if err != nil {
			return err
		}
		for _, h := range some {
			if err := w.put("keeping", holdLine{line{typeHold}, *h}); err != nil {
				return err
			}
		}
		if len(some) < page {
			break
		}
		p.After = some[len(some)-1].ID
	}
	for p := (muster.Page{Limit: page}); ; {
		some, err := tx.Erasures(ctx, "", p)
		if err != nil {
			return err
		}
		for _, e := range some {
			if err := w.put("keeping", erasureLine{line{typeErasure}, *e}); err != nil {
				return err
			}
		}
		if len(some) < page {
			break
		}
		p.After = some[len(some)-1].ID
	}
	cohorts, err := tx.Cohorts(ctx)
	if err != nil {
		return err
	}
	for _, c := range cohorts {
		if err := w.put("keeping", cohortLine{line{typeCohort}, *c}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) lists(ctx context.Context, _ Tx, w *writer) error {
	if s.Lists == nil {
		return nil
	}
	own, err := s.Lists.Own(ctx)
	if err != nil {
		return err
	}
	for _, ed := range own {
		if err := w.put("lists", listLine{line{typeList}, ed, ed.Entries}); err != nil {
			return err
		}
	}
	return nil
}

// filesTogether is how many files are read and opened together, and held in memory.
const filesTogether = 256

func (s *Service) files(ctx context.Context, tx Tx, session *vault.Session, w *writer) error {
	for p := (muster.Page{Limit: filesTogether}); ; {
		ids, err := tx.CustomersAfter(ctx, p)
		if err != nil {
			return err
		}
		lines, err := s.Files.Give(ctx, tx, session, ids)
		if err != nil {
			return err
		}
		for _, text := range lines {
			if err := w.put("files", text); err != nil {
				return err
			}
		}
		if len(ids) < filesTogether {
			return nil
		}
		p.After = ids[len(ids)-1]
	}
}

// uses writes leases and access records as they are sent in: each account's leases and
// records stand together, so the parts of the two kinds are filled side by side.
func (s *Service) uses(ctx context.Context, tx Tx, by string, r *muster.ExportRecord, w *writer) error {
	if s.Uses == nil {
		return nil
	}
	ask := ledger.Ask{Operator: by, Purpose: vault.PurposeExport, Case: r.Case}
	for _, kind := range []string{"leases", "access"} {
		references := map[string]string{}
		p := muster.Page{Limit: page}
		done := false
		whole := ledger.Whole{Next: func() ([]string, error) {
			if done {
				return nil, nil
			}
			some, err := tx.Accounts(ctx, p)
			if err != nil {
				return nil, err
			}
			clear(references)
			ids := make([]string, 0, len(some))
			for _, a := range some {
				references[a.ID] = a.Reference
				ids = append(ids, a.ID)
			}
			if done = len(some) < page; !done {
				p.After = ids[len(ids)-1]
			}
			return ids, nil
		}}
		if kind == "leases" {
			whole.Lease = func(l *muster.LeaseRecord) error {
				x := *l
				x.Account = references[l.Account]
				return w.put(kind, &x)
			}
		} else {
			whole.Access = func(a *muster.AccessRecord) error {
				x := *a
				x.Account, x.Country, x.Network = references[a.Account], "", 0 // found anew where it is taken in
				return w.put(kind, &x)
			}
		}
		if err := s.Uses.Whole(ctx, ask, kind+" of all accounts, export "+r.ID, whole); err != nil {
			return err
		}
	}
	return nil
}

// leafLine is one leaf of the log, entryLine the record of one that is no decision.
type leafLine struct {
	Index int64  `json:"index"`
	Leaf  []byte `json:"leaf"`
}

type entryLine struct {
	ID       string     `json:"id"`
	Type     string     `json:"type"`
	At       time.Time  `json:"at"`
	Operator string     `json:"operator,omitempty"`
	About    muster.Ref `json:"about"`
	Body     string     `json:"body"` // JSON, as it is committed to
	Salt     []byte     `json:"salt"`
	Leaf     int64      `json:"leaf"`
}

type headLine struct {
	Size   int64     `json:"size"`
	Made   time.Time `json:"made"`
	Signed string    `json:"signed"`
}

// log writes the log as it stood: it proves what was, and is not taken in. Tiles are a
// function of its leaves.
func (s *Service) log(ctx context.Context, tx Tx, w *writer) error {
	size, err := tx.LogSize(ctx)
	if err != nil {
		return err
	}
	for from := int64(0); from < size; from += page {
		leaves, err := tx.Leaves(ctx, from, min(from+page, size))
		if err != nil {
			return err
		}
		for i, leaf := range leaves {
			if err := w.put("log/leaves", leafLine{from + int64(i), leaf}); err != nil {
				return err
			}
		}
	}
	for p := (muster.Page{Limit: page}); ; {
		some, err := tx.Entries(ctx, p)
		if err != nil {
			return err
		}
		for _, e := range some {
			salt, err := s.Journal.Salt(e.ID, e.Salt)
			if err != nil {
				return err
			}
			if err := w.put("log/entries", entryLine{e.ID, e.Type, e.At, e.Operator, e.About, string(e.Body), salt, e.Leaf}); err != nil {
				return err
			}
		}
		if len(some) < page {
			break
		}
		p.After = some[len(some)-1].ID
	}
	for after := int64(0); ; {
		heads, err := tx.Checkpoints(ctx, after, page)
		if err != nil {
			return err
		}
		for _, h := range heads {
			if err := w.put("log/checkpoints", headLine{h.Size, h.Made, string(h.Signed)}); err != nil {
				return err
			}
			after = h.Size
		}
		if len(heads) < page {
			return w.end()
		}
	}
}
