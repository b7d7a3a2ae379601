package store

import (
	"context"
	"strings"

	"github.com/muster-cip/muster"
)

const exportColumns = `id, state, matter, recipients, asked, operator, agreed, approver, taken, files, version`

func scanExport(r row) (*muster.ExportRecord, error) {
	x := &muster.ExportRecord{}
	var recipients string
	err := r.scan(&x.ID, &x.State, &x.Case, &recipients, &x.Asked, &x.Operator, &x.Agreed, &x.Approver, &x.Taken, &x.Files, &x.Version)
	x.Recipients = strings.Fields(recipients)
	return x, err
}

// Export finds an export.
func (tx *Tx) Export(ctx context.Context, id string) (*muster.ExportRecord, error) {
	return one(ctx, tx, "export", scanExport, `SELECT `+exportColumns+` FROM exports WHERE id = ?`, id)
}

// Exports lists exports in the order of their ids.
func (tx *Tx) Exports(ctx context.Context, p muster.Page) ([]*muster.ExportRecord, error) {
	return all(ctx, tx, scanExport, `SELECT `+exportColumns+` FROM exports WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// PutExport inserts or updates by version.
func (tx *Tx) PutExport(ctx context.Context, x *muster.ExportRecord) error {
	return tx.put(ctx, &x.Version,
		`INSERT INTO exports (state, matter, recipients, asked, operator, agreed, approver, taken, files, version, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE exports SET state = ?, matter = ?, recipients = ?, asked = ?, operator = ?, agreed = ?, approver = ?, taken = ?, files = ?, version = ? WHERE id = ? AND version = ?`,
		x.ID, x.State, x.Case, strings.Join(x.Recipients, " "), x.Asked, x.Operator, x.Agreed, x.Approver, x.Taken, x.Files)
}
