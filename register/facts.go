package register

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/vault"
)

// page is how many accounts are read and opened together.
const page = 2000

// known is an account with its facts, opened. facts is nil where they cannot be:
// the customer, or somebody else on the file, is erased.
type known struct {
	account     *muster.AccountRecord
	application string // its state
	facts       *muster.Facts
	nobody      bool // nothing that is looked for is in the facts: they were not read further
}

// source reads a page of accounts.
type source func(ctx context.Context, tx Tx, p muster.Page) ([]muster.FactsRecord, error)

// everybody are all accounts that have not ended.
func everybody(ctx context.Context, tx Tx, p muster.Page) ([]muster.FactsRecord, error) {
	return tx.AccountFacts(ctx, p)
}

// under are the accounts that come under a determination.
func under(id string) source {
	return func(ctx context.Context, tx Tx, p muster.Page) ([]muster.FactsRecord, error) {
		return tx.FactsUnder(ctx, id, p)
	}
}

// each opens the facts of accounts page by page, from after an id on, until fn
// returns false: of a page, those that have not ended. What is opened stays in
// this process.
func (r *Register) each(ctx context.Context, session *vault.Session, from source, needles [][]byte, after string, fn func(list []known, last string) (bool, error)) error {
	type part struct {
		rows []muster.FactsRecord
		err  error
	}
	// The next page is read while one is opened.
	read := func(after string) <-chan part {
		out := make(chan part, 1)
		go func() {
			var p part
			p.err = r.DB.View(ctx, func(tx Tx) error {
				rows, err := from(ctx, tx, muster.Page{After: after, Limit: page})
				p.rows = rows
				return err
			})
			out <- p
		}()
		return out
	}
	coming := read(after)
	for {
		p := <-coming
		if p.err != nil || len(p.rows) == 0 {
			return p.err
		}
		last := p.rows[len(p.rows)-1].ID
		if len(p.rows) == page {
			coming = read(last)
		}
		list, err := openAll(ctx, session, p.rows, needles)
		if err != nil {
			return err
		}
		more, err := fn(list, last)
		if err != nil || !more || len(p.rows) < page {
			return err
		}
	}
}

// needles are what the text of facts has to contain for any of the measures to match:
// the code of a country, the entry of a list, in quotes as JSON has them. Most
// accounts have none, and need not be read. nil: read all.
func needles(measures ...*muster.Measure) (list [][]byte) {
	for _, m := range measures {
		for i := range m.Targets {
			t := &m.Targets[i]
			switch {
			case t.Country != "":
				for _, c := range t.Country.Parts() {
					list = append(list, []byte(`"`+string(c)+`"`))
				}
			case t.List != "":
				data, err := json.Marshal(t.Entry)
				if err != nil {
					return nil
				}
				list = append(list, data)
			default: // a customer is known by the account's row
				return nil
			}
		}
	}
	return list
}

// hay reports whether any part contains any needle.
func hay(opened []vault.OpenedPart, needles [][]byte) bool {
	return slices.ContainsFunc(opened, func(p vault.OpenedPart) bool {
		return slices.ContainsFunc(needles, func(n []byte) bool { return bytes.Contains(p.Data, n) })
	})
}

// openAll opens a page on all cores.
func openAll(ctx context.Context, session *vault.Session, rows []muster.FactsRecord, needles [][]byte) ([]known, error) {
	var keys []string
	for i := range rows {
		commitments, err := vault.FactsCommitments(rows[i].Facts)
		if err != nil {
			return nil, err
		}
		for _, c := range commitments {
			if c.KeyID != "" && !c.Erased {
				keys = append(keys, c.KeyID)
			}
		}
	}
	if err := session.Warm(ctx, keys); err != nil {
		return nil, err
	}
	out := make([]known, len(rows))
	group, ctx := errgroup.WithContext(ctx)
	share := (len(rows) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for from := 0; from < len(rows); from += share {
		group.Go(func() error {
			for i := from; i < min(from+share, len(rows)); i++ {
				a := &rows[i].AccountRecord
				out[i].account, out[i].application = a, rows[i].Application
				if a.State == muster.AccClosed || a.State == muster.AccClosing {
					continue
				}
				opened, err := session.OpenFacts(ctx, a.Decision, rows[i].Facts)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(opened, func(p vault.OpenedPart) bool { return p.Erased }) {
					continue
				}
				if err := journal.Clear(opened); err != nil {
					return err
				}
				if out[i].nobody = needles != nil && !hay(opened, needles); out[i].nobody {
					continue
				}
				if out[i].facts, _, err = journal.Join(opened); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return out, group.Wait()
}

// wantsArea reports whether a determination names a part of a country, and no area
// is on file of a customer in that country: facts from before areas were kept.
func wantsArea(d *muster.Determination, f *muster.Facts) bool {
	for i := range d.Targets {
		t := &d.Targets[i]
		if t.Region == "" {
			continue
		}
		for j := range f.Subjects {
			s := &f.Subjects[j]
			if s.Area == nil && s.Country.Jurisdiction() == t.Country.Jurisdiction() && !strings.HasPrefix(s.Pointer, "/signatories/") {
				return true
			}
		}
	}
	return false
}

// needles of all measures that are enacted.
func (b *book) needles() [][]byte {
	var list []*muster.Measure
	for _, m := range b.all {
		if !m.Enacted.IsZero() {
			list = append(list, m)
		}
	}
	return needles(list...)
}
