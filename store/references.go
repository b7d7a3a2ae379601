package store

import (
	"context"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// References says which of these references are in use, as an application's or an
// account's name.
func (tx *Tx) References(ctx context.Context, references []string) (map[string]*muster.ReferenceUse, error) {
	found := map[string]*muster.ReferenceUse{}
	err := tx.eachReference(ctx, references, `(SELECT mac FROM applications a WHERE a.reference = v.reference),
		coalesce((SELECT id FROM accounts a WHERE a.reference = v.reference), '')`, func(r row) error {
		u := &muster.ReferenceUse{}
		err := r.scan(&u.Reference, &u.MAC, &u.Account)
		if u.MAC != nil || u.Account != "" {
			found[u.Reference] = u
		}
		return err
	})
	return found, err
}

// AccountIDs leads from references to ids; unknown ones are absent.
func (a LedgerAccounts) AccountIDs(ctx context.Context, references []string) (map[string]string, error) {
	found := make(map[string]string, len(references))
	err := a.db.View(ctx, func(tx *Tx) error {
		return tx.eachReference(ctx, references, `coalesce((SELECT id FROM accounts a WHERE a.reference = v.reference), '')`, func(r row) error {
			var reference, id string
			err := r.scan(&reference, &id)
			if id != "" {
				found[reference] = id
			}
			return err
		})
	})
	return found, err
}

// eachReference asks for columns of every v.reference, once at the least: a row of those and of the
// reference before them. Each is looked up by itself. Asked for a list in one condition, PostgreSQL
// reads the whole table, and goes on doing so as it grows, where it planned the
// statement while the table was empty: on the day on which the book comes in.
func (tx *Tx) eachReference(ctx context.Context, references []string, columns string, fn func(row) error) error {
	references = slices.Compact(slices.Sorted(slices.Values(references)))
	for len(references) > 0 {
		width := 1 // of few lengths, so that few statements are prepared
		if len(references) > 1 {
			width = 200
		}
		args := make([]any, width)
		for i := range args {
			args[i] = references[min(i, len(references)-1)]
		}
		if err := tx.query(ctx, fn, `WITH v (reference) AS (VALUES (?)`+strings.Repeat(", (?)", width-1)+`) SELECT v.reference, `+columns+` FROM v`, args...); err != nil {
			return err
		}
		references = references[min(width, len(references)):]
	}
	return nil
}
