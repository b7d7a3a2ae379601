package store

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/muster-cip/muster"
)

const applicationColumns = `id, reference, mac, customer, account, state, revision, received, updated, decision, version, shadow`

func scanApplication(r row) (*muster.ApplicationRecord, error) {
	x := &muster.ApplicationRecord{}
	return x, r.scan(&x.ID, &x.Reference, &x.MAC, &x.Customer, &x.Account, &x.State, &x.Revision, &x.Received, &x.Updated,
		&x.Decision, &x.Version, &x.Shadow)
}

// Application finds an application by its id, else by its reference.
func (tx *Tx) Application(ctx context.Context, idOrReference string) (*muster.ApplicationRecord, error) {
	if strings.HasPrefix(idOrReference, muster.PrefixApplication) {
		r, err := one(ctx, tx, "application", scanApplication, `SELECT `+applicationColumns+` FROM applications WHERE id = ?`, idOrReference)
		if muster.ErrorCode(err) != muster.CodeNotFound {
			return r, err
		}
	}
	return one(ctx, tx, "application", scanApplication, `SELECT `+applicationColumns+` FROM applications WHERE reference = ?`, idOrReference)
}

// ApplicationsOf lists a customer's applications, oldest first.
func (tx *Tx) ApplicationsOf(ctx context.Context, customer string) ([]*muster.ApplicationRecord, error) {
	return all(ctx, tx, scanApplication, `SELECT `+applicationColumns+` FROM applications WHERE customer = ? ORDER BY id`, customer)
}

// Applications lists applications in the order of their ids, of one state or ("") of all.
func (tx *Tx) Applications(ctx context.Context, state string, p muster.Page) ([]*muster.ApplicationRecord, error) {
	if state == "" {
		return all(ctx, tx, scanApplication, `SELECT `+applicationColumns+` FROM applications WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
	}
	return all(ctx, tx, scanApplication, `SELECT `+applicationColumns+` FROM applications WHERE state = ? AND id > ? ORDER BY id LIMIT ?`,
		state, p.After, p.Limit)
}

// PutApplication inserts or updates by version. CodeConflict: the reference is taken.
func (tx *Tx) PutApplication(ctx context.Context, r *muster.ApplicationRecord) error {
	tx.tail.write(r.Reference)
	return tx.put(ctx, &r.Version,
		`INSERT INTO applications (reference, mac, customer, account, state, revision, received, updated, decision, shadow, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE applications SET reference = ?, mac = ?, customer = ?, account = ?, state = ?, revision = ?, received = ?, updated = ?,
			decision = ?, shadow = ?, version = ? WHERE id = ? AND version = ?`,
		r.ID, r.Reference, r.MAC, r.Customer, r.Account, r.State, r.Revision, r.Received, r.Updated, r.Decision, r.Shadow)
}

const customerColumns = `id, kind, made, applied, gone, version`

func scanCustomer(r row) (*muster.CustomerRecord, error) {
	x := &muster.CustomerRecord{}
	var applied, gone string
	err := r.scan(&x.ID, (*string)(&x.Kind), &x.Made, &applied, &gone, &x.Version)
	x.Applied, x.Gone = strings.Fields(applied), strings.Fields(gone)
	return x, err
}

// Customer finds a customer.
func (tx *Tx) Customer(ctx context.Context, id string) (*muster.CustomerRecord, error) {
	return one(ctx, tx, "customer", scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE id = ?`, id)
}

// Customers lists customers in the order of their ids.
func (tx *Tx) Customers(ctx context.Context, p muster.Page) ([]*muster.CustomerRecord, error) {
	return all(ctx, tx, scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// PutCustomer inserts or updates by version.
func (tx *Tx) PutCustomer(ctx context.Context, r *muster.CustomerRecord) error {
	return tx.put(ctx, &r.Version,
		`INSERT INTO customers (kind, made, applied, gone, version, id) VALUES (?, ?, ?, ?, ?, ?)`,
		`UPDATE customers SET kind = ?, made = ?, applied = ?, gone = ?, version = ? WHERE id = ? AND version = ?`,
		r.ID, string(r.Kind), r.Made, strings.Join(r.Applied, " "), strings.Join(r.Gone, " "))
}

const accountColumns = `id, reference, customer, parent, relation, state, interim_since, opened, closed, decision, version, tag, beneath`

func scanAccount(r row) (*muster.AccountRecord, error) {
	x := &muster.AccountRecord{}
	return x, r.scan(&x.ID, &x.Reference, &x.Customer, &x.Parent, (*string)(&x.Relation), &x.State, &x.InterimSince, &x.Opened,
		&x.Closed, &x.Decision, &x.Version, &x.Tag, &x.Beneath)
}

// Account finds an account by its id, else by its reference.
func (tx *Tx) Account(ctx context.Context, idOrReference string) (*muster.AccountRecord, error) {
	if strings.HasPrefix(idOrReference, muster.PrefixAccount) {
		r, err := one(ctx, tx, "account", scanAccount, `SELECT `+accountColumns+` FROM accounts WHERE id = ?`, idOrReference)
		if muster.ErrorCode(err) != muster.CodeNotFound {
			return r, err
		}
	}
	return one(ctx, tx, "account", scanAccount, `SELECT `+accountColumns+` FROM accounts WHERE reference = ?`, idOrReference)
}

// AccountsOf lists a customer's accounts, oldest first.
func (tx *Tx) AccountsOf(ctx context.Context, customer string) ([]*muster.AccountRecord, error) {
	return all(ctx, tx, scanAccount, `SELECT `+accountColumns+` FROM accounts WHERE customer = ? ORDER BY id`, customer)
}

// AccountsUnder lists the accounts whose parent this account is.
func (tx *Tx) AccountsUnder(ctx context.Context, parent string, p muster.Page) ([]*muster.AccountRecord, error) {
	return all(ctx, tx, scanAccount, `SELECT `+accountColumns+` FROM accounts WHERE parent = ? AND parent <> '' AND id > ? ORDER BY id LIMIT ?`,
		parent, p.After, p.Limit)
}

// Accounts lists accounts in the order of their ids.
func (tx *Tx) Accounts(ctx context.Context, p muster.Page) ([]*muster.AccountRecord, error) {
	return all(ctx, tx, scanAccount, `SELECT `+accountColumns+` FROM accounts WHERE id > ? ORDER BY id LIMIT ?`, p.After, p.Limit)
}

// PutAccount inserts or updates by version. CodeConflict: the reference is taken.
func (tx *Tx) PutAccount(ctx context.Context, r *muster.AccountRecord) error {
	tx.tail.write(r.Reference)
	return tx.put(ctx, &r.Version,
		`INSERT INTO accounts (reference, customer, parent, relation, state, interim_since, opened, closed, decision, tag, beneath, version, id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		`UPDATE accounts SET reference = ?, customer = ?, parent = ?, relation = ?, state = ?, interim_since = ?, opened = ?, closed = ?,
			decision = ?, tag = ?, beneath = ?, version = ? WHERE id = ? AND version = ?`,
		r.ID, r.Reference, r.Customer, r.Parent, string(r.Relation), r.State, r.InterimSince, r.Opened, r.Closed, r.Decision, r.Tag, r.Beneath)
}

const subjectColumns = `id, customer, role, pointer, sealed_under, revision, changed, erased`

func scanSubject(r row) (*muster.SubjectRecord, error) {
	x := &muster.SubjectRecord{}
	var changed string
	if err := r.scan(&x.ID, &x.Customer, (*string)(&x.Role), &x.Pointer, &x.Key, &x.Revision, &changed, &x.Erased); err != nil {
		return nil, err
	}
	return x, fromJSON(changed, &x.Changed)
}

// Subjects lists the subjects of a customer, in the order in which they were made.
func (tx *Tx) Subjects(ctx context.Context, customer string) ([]*muster.SubjectRecord, error) {
	return all(ctx, tx, scanSubject, `SELECT `+subjectColumns+` FROM subjects WHERE customer = ? ORDER BY id`, customer)
}

// PutSubjects inserts or replaces.
func (tx *Tx) PutSubjects(ctx context.Context, rs ...*muster.SubjectRecord) error {
	rows := make([][]any, len(rs))
	for i, r := range rs {
		changed, err := toJSON(r.Changed, len(r.Changed))
		if err != nil {
			return err
		}
		rows[i] = []any{r.Customer, r.ID, string(r.Role), r.Pointer, r.Key, r.Revision, changed, r.Erased}
	}
	return tx.insert(ctx, rows, `subjects (customer, id, role, pointer, sealed_under, revision, changed, erased)`,
		` ON CONFLICT (customer, id) DO UPDATE SET role = excluded.role, pointer = excluded.pointer, sealed_under = excluded.sealed_under,
			revision = excluded.revision, changed = excluded.changed, erased = excluded.erased`)
}

const claimsColumns = `subject, revision, at, operator, sealed`

func scanClaims(r row) (*muster.ClaimsRecord, error) {
	x := &muster.ClaimsRecord{}
	return x, r.scan(&x.Subject, &x.Revision, &x.At, &x.By, &x.Sealed)
}

// Claims reads one revision of a subject's claims; revision 0 is the latest.
func (tx *Tx) Claims(ctx context.Context, subject string, revision int) (*muster.ClaimsRecord, error) {
	if revision == 0 {
		return one(ctx, tx, "claims", scanClaims, `SELECT `+claimsColumns+` FROM claims WHERE subject = ? ORDER BY revision DESC LIMIT 1`, subject)
	}
	return one(ctx, tx, "claims", scanClaims, `SELECT `+claimsColumns+` FROM claims WHERE subject = ? AND revision = ?`, subject, revision)
}

// ClaimsOf lists every revision of a subject's claims, oldest first.
func (tx *Tx) ClaimsOf(ctx context.Context, subject string) ([]*muster.ClaimsRecord, error) {
	return all(ctx, tx, scanClaims, `SELECT `+claimsColumns+` FROM claims WHERE subject = ? ORDER BY revision`, subject)
}

// AddClaims inserts. CodeConflict: the revision is there.
func (tx *Tx) AddClaims(ctx context.Context, rs ...*muster.ClaimsRecord) error {
	rows := make([][]any, len(rs))
	for i, r := range rs {
		rows[i] = []any{r.Subject, r.Revision, r.At, r.By, r.Sealed}
	}
	return tx.insert(ctx, rows, `claims (`+claimsColumns+`)`, "")
}

// toJSON is v as text, "" where it has no members.
func toJSON(v any, members int) (string, error) {
	if members == 0 {
		return "", nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return "", muster.Errorf(muster.CodeInternal, "a column cannot be written: %w", err)
	}
	return string(data), nil
}

// fromJSON is the reverse of toJSON.
func fromJSON(text string, v any) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return muster.Errorf(muster.CodeInternal, "a column is not what it should be: %w", err)
	}
	return nil
}
