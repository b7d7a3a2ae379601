package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/muster-cip/muster"
)

// kindNumber is how a kind of value stands in the blind index, in one byte and not
// ten: there are several rows for each person. A number is never reused.
func kindNumber(kind string) (int64, error) {
	switch kind {
	case "name":
		return 1, nil
	case "email":
		return 2, nil
	case "phone":
		return 3, nil
	case "ip":
		return 4, nil
	case "document":
		return 5, nil
	case "national_id":
		return 6, nil
	case "registration":
		return 7, nil
	case "card":
		return 8, nil
	case "bank_account":
		return 9, nil
	case "iban":
		return 10, nil
	case "wallet":
		return 11, nil
	case "device":
		return 12, nil
	case "address":
		return 13, nil
	case "listed": // has no rows here
		return 14, nil
	case "abuse":
		return 15, nil
	}
	return 0, muster.Errorf(muster.CodeInternal, "the blind index has no such kind")
}

// roleNumber is how a role stands in the blind index.
func roleNumber(role muster.SubjectRole) (int64, error) {
	switch role {
	case muster.RoleCustomer:
		return 1, nil
	case muster.RoleOwner:
		return 2, nil
	case muster.RoleSignatory:
		return 3, nil
	}
	return 0, muster.Errorf(muster.CodeInternal, "the blind index has no such role")
}

// AddIndex writes rows of the blind index; one that is there already is left.
func (tx *Tx) AddIndex(ctx context.Context, rows ...muster.IndexRow) error {
	var fresh [][]any
	for i := range rows {
		kind, err := kindNumber(rows[i].Kind)
		if err != nil {
			return err
		}
		role, err := roleNumber(rows[i].Role)
		if err != nil {
			return err
		}
		if len(rows[i].Digests)*len(rows[i].Handles) > 1 {
			there, err := tx.underOther(ctx, kind, &rows[i])
			if err != nil {
				return err
			}
			if there {
				continue
			}
		}
		tx.tail.write(string(rows[i].Digest))
		for _, d := range rows[i].Digests {
			tx.tail.write(string(d))
		}
		fresh = append(fresh, []any{kind, rows[i].Digest, rows[i].Handle, role, rows[i].Made})
	}
	return tx.insert(ctx, fresh, `blind (kind, digest, handle, role, made)`, ` ON CONFLICT DO NOTHING`)
}

// underOther reports whether the value of a row is there under another version of its keys.
func (tx *Tx) underOther(ctx context.Context, kind int64, r *muster.IndexRow) (bool, error) {
	args := []any{kind}
	for _, d := range r.Digests {
		args = append(args, d)
	}
	for _, h := range r.Handles {
		args = append(args, h)
	}
	n, err := one(ctx, tx, "count", scanInt, `SELECT count(*) FROM blind WHERE kind = ? AND digest IN (`+marks(len(r.Digests))+
		`) AND handle IN (`+marks(len(r.Handles))+`)`, args...)
	return n > 0, err
}

// CountHandles counts the distinct handles that each question asks for, in one
// statement. A value without digests has none.
func (tx *Tx) CountHandles(ctx context.Context, questions ...muster.HandleCount) ([]int64, error) {
	counts := make([]int64, len(questions))
	q, args, err := countQuery("", nil, questions)
	if err != nil || q == "" {
		return counts, err
	}
	return counts, tx.query(ctx, scanCount(nil, counts), q, args...)
}

// countQuery puts questions into one statement behind first, whose row is numbered -1;
// "" where nothing is to be asked.
func countQuery(first string, args []any, questions []muster.HandleCount) (string, []any, error) {
	var q strings.Builder
	q.WriteString(first)
	for i, x := range questions {
		if len(x.Digests) == 0 {
			continue
		}
		kind, err := kindNumber(x.Kind)
		if err != nil {
			return "", nil, err
		}
		if q.Len() > 0 {
			q.WriteString(" UNION ALL ")
		}
		distinct := "count(*)" // of one digest each handle has one row
		if len(x.Digests) > 1 {
			distinct = "count(DISTINCT handle)"
		}
		q.WriteString("SELECT " + strconv.Itoa(i) + ", " + distinct + " FROM blind WHERE kind = ? AND made >= ? AND digest IN (" + marks(len(x.Digests)) + ")")
		args = append(args, kind, x.Since)
		for _, d := range x.Digests {
			args = append(args, d)
		}
		if len(x.Roles) > 0 {
			q.WriteString(" AND role IN (" + marks(len(x.Roles)) + ")")
		}
		for _, role := range x.Roles {
			r, err := roleNumber(role)
			if err != nil {
				return "", nil, err
			}
			args = append(args, r)
		}
	}
	return q.String(), args, nil
}

// scanCount reads one row of countQuery into counts, or first.
func scanCount(first *int64, counts []int64) func(row) error {
	return func(r row) error {
		var i int
		var n int64
		err := r.scan(&i, &n)
		if err == nil && i < 0 {
			*first = n
		} else if err == nil {
			counts[i] = n
		}
		return err
	}
}

// marks is n placeholders.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// Handles lists the handles under a digest, for a search by value.
func (tx *Tx) Handles(ctx context.Context, kind string, digest []byte, limit int) ([][]byte, error) {
	n, err := kindNumber(kind)
	if err != nil {
		return nil, err
	}
	return all(ctx, tx, func(r row) (h []byte, err error) { return h, r.scan(&h) },
		`SELECT handle FROM blind WHERE kind = ? AND digest = ? ORDER BY handle LIMIT ?`, n, digest, limit)
}
