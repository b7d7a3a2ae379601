package store

import (
	"context"
	"fmt"
)

// asked is a query and what is done with its rows.
type asked struct {
	q    string
	args []any
	each func(row) error
}

// ask is query for several, in one round trip.
func (tx *Tx) ask(ctx context.Context, questions []asked) error {
	if err := tx.check(ctx, false); err != nil || len(questions) == 0 {
		return err
	}
	for _, q := range questions {
		bind(q.args)
	}
	if err := tx.c.queries(tx.under(ctx), questions); err != nil {
		return tx.fail(err)
	}
	return nil
}

// about adds a question to q: text, with the condition that column is one of ids, which
// rise, in it.
// The bounds, which say nothing more, are for PostgreSQL: of a table that it has no
// statistics of it takes a list of ids for half of all rows, and reads it whole.
func about[T any](q *[]asked, ids []string, column, text string, scan func(row) (T, error), each func(T)) {
	_ = inLists(ids, func(marks string, args []any) error {
		condition := column + ` IN ` + marks + ` AND ` + column + ` >= ? AND ` + column + ` <= ?`
		*q = append(*q, asked{fmt.Sprintf(text, condition), append(args, args[0], args[len(args)-1]), func(r row) error {
			x, err := scan(r)
			if err == nil {
				each(x)
			}
			return err
		}})
		return nil
	})
}
