package store

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/muster-cip/muster"
)

// FileRecords reads everything on customers' files, in the order in which they are named,
// each once. CodeNotFound: one of them is not there. Rows of a kind are asked for once,
// for all of them: PostgreSQL is asked in two round trips, however many they are.
func (tx *Tx) FileRecords(ctx context.Context, customers ...string) ([]*muster.FileRecord, error) {
	g := gathered{
		of: make(map[string]*muster.FileRecord, len(customers)), account: map[string]*muster.FileRecord{},
		application: map[string]*muster.FileRecord{}, subject: map[string]*muster.FileRecord{},
	}
	files := make([]*muster.FileRecord, len(customers))
	for i, id := range customers {
		files[i] = &muster.FileRecord{Claims: map[string][]*muster.ClaimsRecord{}}
		g.of[id] = files[i]
	}
	if err := tx.ask(ctx, g.named(slices.Sorted(slices.Values(customers)))); err != nil {
		return nil, err
	}
	for _, f := range files {
		if f.Customer == nil {
			return nil, muster.Errorf(muster.CodeNotFound, "there is no such customer")
		}
	}
	if err := tx.ask(ctx, g.below()); err != nil {
		return nil, err
	}
	for _, f := range files {
		arrange(f)
	}
	return files, nil
}

// gathered are files by the ids of what is on them.
type gathered struct{ of, account, application, subject map[string]*muster.FileRecord }

// named asks for what names its customer.
func (g *gathered) named(customers []string) (q []asked) {
	about(&q, customers, "id", `SELECT `+customerColumns+` FROM customers WHERE %s`, scanCustomer, func(x *muster.CustomerRecord) {
		g.of[x.ID].Customer = x
	})
	about(&q, customers, "customer", `SELECT `+accountColumns+` FROM accounts WHERE %s ORDER BY id`, scanAccount, func(x *muster.AccountRecord) {
		f := g.of[x.Customer]
		f.Accounts, g.account[x.ID] = append(f.Accounts, x), f
	})
	about(&q, customers, "customer", `SELECT `+applicationColumns+` FROM applications WHERE %s ORDER BY id`, scanApplication, func(x *muster.ApplicationRecord) {
		f := g.of[x.Customer]
		f.Applications, g.application[x.ID] = append(f.Applications, x), f
	})
	about(&q, customers, "customer", `SELECT `+subjectColumns+` FROM subjects WHERE %s ORDER BY id`, scanSubject, func(x *muster.SubjectRecord) {
		f := g.of[x.Customer]
		f.Subjects, g.subject[x.ID] = append(f.Subjects, x), f
	})
	about(&q, customers, "customer", `SELECT `+decisionFields+`, -1 FROM decisions d WHERE %s ORDER BY id`, scanDecision, func(x *muster.DecisionRecord) {
		f := g.of[x.Customer]
		f.Decisions = append(f.Decisions, x)
	})
	about(&q, customers, "customer", `SELECT `+hitColumns+` FROM hits WHERE %s ORDER BY id`, scanHit, func(x *muster.HitRecord) {
		f := g.of[x.Customer]
		f.Hits = append(f.Hits, x)
	})
	return q
}

// below asks for what names an account, an application or a subject.
func (g *gathered) below() (q []asked) {
	accounts, applications, subjects := slices.Sorted(maps.Keys(g.account)), slices.Sorted(maps.Keys(g.application)), slices.Sorted(maps.Keys(g.subject))
	about(&q, accounts, "account", `SELECT `+adoptedColumns+` FROM adopted WHERE %s`, scanAdopted, func(x *muster.AdoptedRecord) {
		f := g.account[x.Account]
		f.Adopted = append(f.Adopted, x)
	})
	about(&q, accounts, "account", `SELECT `+matchColumns+` FROM measure_matches WHERE %s`, scanMatch, func(x muster.MatchRecord) {
		f := g.account[x.Account]
		f.Matches = append(f.Matches, x)
	})
	about(&q, applications, "application", `SELECT `+reviewColumns+` FROM reviews WHERE %s`, scanReview, func(x *muster.ReviewRecord) {
		f := g.application[x.Application]
		f.Reviews = append(f.Reviews, x)
	})
	about(&q, subjects, "subject", `SELECT `+claimsColumns+` FROM claims WHERE %s ORDER BY revision`, scanClaims, func(x *muster.ClaimsRecord) {
		f := g.subject[x.Subject]
		f.Claims[x.Subject] = append(f.Claims[x.Subject], x)
	})
	about(&q, subjects, "subject", `SELECT `+evidenceColumns+` FROM evidence WHERE %s`, scanEvidence, func(x *muster.EvidenceRecord) {
		f := g.subject[x.Subject]
		f.Evidence = append(f.Evidence, x)
	})
	return q
}

// arrange puts in order what may have come in more than one answer. Accounts are in the
// order of their ids.
func arrange(f *muster.FileRecord) {
	slices.SortFunc(f.Adopted, func(a, b *muster.AdoptedRecord) int { return cmp.Compare(a.Account, b.Account) })
	slices.SortFunc(f.Matches, func(a, b muster.MatchRecord) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Determination, b.Determination))
	})
	slices.SortFunc(f.Reviews, func(a, b *muster.ReviewRecord) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Evidence, func(a, b *muster.EvidenceRecord) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
}
