package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/muster-cip/muster"
)

const cohortColumns = `name, due, share, made, operator, change, version`

func scanCohort(r row) (*muster.Cohort, error) {
	x := &muster.Cohort{}
	var change string
	if err := r.scan(&x.Name, &x.Due, &x.Share, &x.Made, &x.By, &change, &x.Version); err != nil || change == "" {
		return x, err
	}
	x.Change = &muster.CohortChange{}
	return x, fromJSON(change, x.Change)
}

// Cohort finds a cohort.
func (tx *Tx) Cohort(ctx context.Context, name string) (*muster.Cohort, error) {
	return one(ctx, tx, "cohort", scanCohort, `SELECT `+cohortColumns+` FROM cohorts WHERE name = ?`, name)
}

// Cohorts lists them all, by name.
func (tx *Tx) Cohorts(ctx context.Context) ([]*muster.Cohort, error) {
	return all(ctx, tx, scanCohort, `SELECT `+cohortColumns+` FROM cohorts ORDER BY name`)
}

// PutCohort inserts or updates by version.
func (tx *Tx) PutCohort(ctx context.Context, x *muster.Cohort) error {
	change := ""
	if x.Change != nil {
		data, err := json.Marshal(x.Change)
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "a change of a cohort cannot be written: %w", err)
		}
		change = string(data)
	}
	return tx.put(ctx, &x.Version,
		`INSERT INTO cohorts (due, share, made, operator, change, version, name) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE cohorts SET due = ?, share = ?, made = ?, operator = ?, change = ?, version = ? WHERE name = ? AND version = ?`,
		x.Name, x.Due, x.Share, x.Made, x.By, change)
}

// CountCohort counts the members of a cohort, those that are decided, and those whom its
// date decided since a time. Who was closed when the book came in is no member.
func (tx *Tx) CountCohort(ctx context.Context, name string, since time.Time) (members, decided, lately int, err error) {
	err = tx.query(ctx, func(r row) error { return r.scan(&members, &decided, &lately) },
		`SELECT count(*), coalesce(sum(CASE WHEN decided > 0 THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN decided >= ? AND beside = 0 THEN 1 ELSE 0 END), 0)
			FROM adopted WHERE cohort = ? AND ground = ''`, max(micros(since), 1), name)
	return members, decided, lately, err
}

const adoptedColumns = `account, cohort, import, ground, decided, beside, version`

func scanAdopted(r row) (*muster.AdoptedRecord, error) {
	x := &muster.AdoptedRecord{}
	return x, r.scan(&x.Account, &x.Cohort, &x.Import, &x.Ground, &x.Decided, &x.Beside, &x.Version)
}

// Adopted finds what is kept of an account that was taken over, by its id.
func (tx *Tx) Adopted(ctx context.Context, account string) (*muster.AdoptedRecord, error) {
	return one(ctx, tx, "account that was taken over", scanAdopted, `SELECT `+adoptedColumns+` FROM adopted WHERE account = ?`, account)
}

// AdoptedWaiting lists the accounts of a cohort that nobody decided yet, by id.
func (tx *Tx) AdoptedWaiting(ctx context.Context, cohort string, p muster.Page) ([]*muster.AdoptedRecord, error) {
	return all(ctx, tx, scanAdopted, `SELECT `+adoptedColumns+` FROM adopted WHERE cohort = ? AND account > ? AND decided = 0 ORDER BY account LIMIT ?`,
		cohort, p.After, p.Limit)
}

// PutAdopted inserts or updates by version.
func (tx *Tx) PutAdopted(ctx context.Context, x *muster.AdoptedRecord) error {
	return tx.put(ctx, &x.Version,
		`INSERT INTO adopted (cohort, import, ground, decided, beside, version, account) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE adopted SET cohort = ?, import = ?, ground = ?, decided = ?, beside = ?, version = ? WHERE account = ? AND version = ?`,
		x.Account, x.Cohort, x.Import, x.Ground, x.Decided, x.Beside)
}

const importColumns = `id, cohort, source, operator, made, ended, place, taken, present, refused, report, version`

func scanImport(r row) (*muster.ImportRecord, error) {
	x := &muster.ImportRecord{}
	var report []byte
	if err := r.scan(&x.ID, &x.Cohort, &x.Source, &x.By, &x.Made, &x.Ended, &x.Place, &x.Taken, &x.There, &x.Refused, &report, &x.Version); err != nil {
		return nil, err
	}
	return x, fromJSON(string(report), &x.Report)
}

// Import finds an import.
func (tx *Tx) Import(ctx context.Context, id string) (*muster.ImportRecord, error) {
	return one(ctx, tx, "import", scanImport, `SELECT `+importColumns+` FROM imports WHERE id = ?`, id)
}

// ImportOf finds the import of a file into a cohort.
func (tx *Tx) ImportOf(ctx context.Context, cohort, source string) (*muster.ImportRecord, error) {
	return one(ctx, tx, "import", scanImport, `SELECT `+importColumns+` FROM imports WHERE cohort = ? AND source = ?`, cohort, source)
}

// Imports lists imports in the order of their ids.
func (tx *Tx) Imports(ctx context.Context, p muster.Page) ([]*muster.ImportRecord, error) {
	return all(ctx, tx, scanImport, `SELECT `+importColumns+` FROM imports WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// PutImport inserts or updates by version. CodeConflict: the file is on its way into
// that cohort already.
func (tx *Tx) PutImport(ctx context.Context, x *muster.ImportRecord) error {
	report, err := json.Marshal(&x.Report)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "a report cannot be written: %w", err)
	}
	return tx.put(ctx, &x.Version,
		`INSERT INTO imports (cohort, source, operator, made, ended, place, taken, present, refused, report, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE imports SET cohort = ?, source = ?, operator = ?, made = ?, ended = ?, place = ?, taken = ?, present = ?, refused = ?,
			report = ?, version = ? WHERE id = ? AND version = ?`,
		x.ID, x.Cohort, x.Source, x.By, x.Made, x.Ended, x.Place, x.Taken, x.There, x.Refused, report)
}
