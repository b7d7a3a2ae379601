package rotate

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

const (
	sealedAtOnce = 200
	indexAtOnce  = 500
)

// place is how far the moving of rows is. Rows are gone through until a pass finds
// none to move: one that was written under the old version while the first pass was
// past it is found by the second.
type place struct {
	Pass   int    `json:"pass"`
	Moved  int64  `json:"moved"`            // in this pass
	Before int64  `json:"before,omitempty"` // rows under older versions when it, or at its beginning the pass before it, began
	Part   int    `json:"part"`             // table, or kind
	After  string `json:"after,omitempty"`
	Digest []byte `json:"digest,omitempty"`
	Handle []byte `json:"handle,omitempty"`
}

// move moves a page of rows; over: none is left.
func (w *work) move(ctx context.Context) (over bool, err error) {
	var p place
	if w.r.Place != "" {
		if err := json.Unmarshal([]byte(w.r.Place), &p); err != nil {
			return false, muster.Errorf(muster.CodeInternal, "the place of a rotation is not what it should be: %w", err)
		}
	}
	switch w.r.Name {
	case "compliance":
		return w.reseal(ctx, &p, "decisions", "entries")
	case "webhook":
		return w.reseal(ctx, &p, "webhooks")
	case "config":
		return w.reseal(ctx, &p, "list_snapshots", "list_events")
	case "handle":
		return w.rehandle(ctx, &p)
	case "request":
		return w.reindex(ctx, &p, nil, true)
	}
	var kinds []vault.Kind
	for key := range w.r.Targets {
		if kind, ok := strings.CutPrefix(key, "prf/"); ok {
			kinds = append(kinds, vault.Kind(kind))
		}
	}
	if kinds == nil {
		return true, nil // nothing of it outlives its time
	}
	return w.reindex(ctx, &p, kinds, false)
}

// at writes a page down, and that it is done.
func (w *work) at(ctx context.Context, p *place, write func(Tx) error) error {
	data, err := json.Marshal(p)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "the place of a rotation cannot be written: %w", err)
	}
	w.r.Place = string(data)
	return w.save(ctx, write)
}

// nextPass begins to go through everything again, unless the last pass moved nothing.
func (w *work) nextPass(ctx context.Context, p *place) (over bool, err error) {
	if p.Moved == 0 {
		return true, nil
	}
	w.r.Left = 0
	return false, w.at(ctx, &place{Pass: p.Pass + 1}, nil)
}

// reseal seals secrets of tables under the new version. One that does not open is
// left, and counted: it did not open before either.
func (w *work) reseal(ctx context.Context, p *place, tables ...string) (over bool, err error) {
	if p.Part == len(tables) {
		return w.nextPass(ctx, p)
	}
	table, to := tables[p.Part], w.r.Targets[w.r.Name]
	var rows []muster.SealedRow
	if err := w.DB.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.SealedBefore(ctx, table, to, p.After, sealedAtOnce)
		return err
	}); err != nil {
		return false, err
	}
	if len(rows) == 0 {
		p.Part, p.After = p.Part+1, ""
		return false, w.at(ctx, p, nil)
	}
	fresh := make([][]byte, len(rows))
	for i, x := range rows {
		f, err := w.Vault.Renew(w.r.Name, x.Place, x.Sealed)
		if err != nil {
			w.r.Left++
			continue
		}
		fresh[i] = f
		p.Moved++
		w.r.Done++
	}
	p.After = rows[len(rows)-1].Place
	return false, w.at(ctx, p, func(tx Tx) error {
		for i, x := range rows {
			if fresh[i] == nil {
				continue
			}
			if err := tx.Reseal(ctx, table, x.Place, x.Sealed, fresh[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// rehandle enciphers the handles of the blind indexes under the new version. One that
// leads nowhere is left to the day's run of retention.
func (w *work) rehandle(ctx context.Context, p *place) (over bool, err error) {
	if p.Part == len(vault.Kinds) {
		return w.nextPass(ctx, p)
	}
	kind := vault.Kinds[p.Part]
	var rows []muster.IndexRow
	if err := w.DB.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.IndexPage(ctx, string(kind), muster.IndexRow{Digest: p.Digest, Handle: p.Handle}, indexAtOnce)
		return err
	}); err != nil {
		return false, err
	}
	if len(rows) == 0 {
		p.Part, p.Digest, p.Handle = p.Part+1, nil, nil
		return false, w.at(ctx, p, nil)
	}
	handles := make([][16]byte, 0, len(rows))
	for _, r := range rows {
		handles = append(handles, [16]byte(r.Handle))
	}
	next, err := w.Vault.Rehandle(ctx, kind, handles)
	if err != nil {
		return false, err
	}
	last := rows[len(rows)-1]
	p.Digest, p.Handle = last.Digest, last.Handle
	p.Moved += int64(len(next))
	w.r.Done += int64(len(next))
	return false, w.at(ctx, p, func(tx Tx) error {
		for i, r := range rows {
			h, ok := next[handles[i]]
			if !ok {
				continue
			}
			if err := tx.MoveIndex(ctx, r, muster.IndexRow{Kind: r.Kind, Digest: r.Digest, Handle: h[:]}); err != nil {
				return err
			}
		}
		return nil
	})
}

// reindex makes the digests of what is on file anew, and MACs of applications where
// requests is set. What is left when a pass finds nothing more to move are digests of
// values that are kept nowhere any more: they go.
func (w *work) reindex(ctx context.Context, p *place, kinds []vault.Kind, requests bool) (over bool, err error) {
	if p.After == "" {
		left, err := w.before(ctx, kinds, requests)
		if err != nil {
			return false, err
		}
		if left == 0 {
			return true, nil
		}
		if p.Pass > 0 && left == p.Before {
			w.r.Left = left
			return true, w.drop(ctx, kinds, requests)
		}
		p.Before = left
	}
	if w.session == nil {
		from := p.After
		if from == "" {
			from = "the first"
		}
		if w.session, err = w.Vault.Use(ctx, vault.Job{
			Name: muster.JobRotate, Purpose: "rotation", Scope: "everybody on file, from " + from, Starter: w.r.Operator,
		}, w.Journal); err != nil {
			return false, err
		}
	}
	last, write, err := w.Book.Reindex(ctx, w.session, p.After, kinds, requests)
	if err != nil {
		return false, err
	}
	w.opened++
	if last == "" {
		left, err := w.before(ctx, kinds, requests)
		if err != nil {
			return false, err
		}
		w.r.Done += p.Before - left
		return false, w.at(ctx, &place{Pass: p.Pass + 1, Before: p.Before}, nil)
	}
	p.After = last
	return false, w.at(ctx, p, func(tx Tx) error { return write(ctx, tx) })
}

// before counts what is still under older versions.
func (w *work) before(ctx context.Context, kinds []vault.Kind, requests bool) (n int64, err error) {
	err = w.DB.View(ctx, func(tx Tx) error {
		n = 0
		for _, k := range kinds {
			rows, err := tx.IndexBefore(ctx, string(k), w.r.Targets["prf/"+string(k)])
			if err != nil {
				return err
			}
			n += rows
		}
		if !requests {
			return nil
		}
		rows, err := tx.RequestsBefore(ctx, w.r.Targets["request"])
		n += rows
		return err
	})
	return n, err
}

func (w *work) drop(ctx context.Context, kinds []vault.Kind, requests bool) error {
	return w.save(ctx, func(tx Tx) error {
		for _, k := range kinds {
			if err := tx.DropIndexBefore(ctx, string(k), w.r.Targets["prf/"+string(k)]); err != nil {
				return err
			}
		}
		if !requests {
			return nil
		}
		return tx.DropRequestsBefore(ctx, w.r.Targets["request"])
	})
}
