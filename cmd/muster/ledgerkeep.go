package main

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/retain"
	"github.com/muster-cip/muster/vault"
)

// ledgerKeep joins retention and the ledger: the packs' periods say which quarters of an
// account may go, and the ledger says when a customer last used an account.
type ledgerKeep struct{ h *house }

var (
	_ ledger.Retention = ledgerKeep{}
	_ retain.Accessed  = ledgerKeep{}
)

// MayGo reports which accounts' records of a kind, that lie before end, are kept no more.
func (k ledgerKeep) MayGo(ctx context.Context, kind ledger.Kind, end time.Time, accounts []string) (map[string]bool, error) {
	of, err := k.h.db.LedgerAccounts().AccountCustomers(ctx, accounts)
	if err != nil {
		return nil, err
	}
	customers := make([]string, 0, len(of))
	for _, c := range of {
		customers = append(customers, c)
	}
	class := muster.ClassAccess
	if kind == ledger.Leases {
		class = muster.ClassLeases
	}
	over, err := k.h.retain.SpansOver(ctx, class, end, customers)
	if err != nil {
		return nil, err
	}
	may := make(map[string]bool, len(accounts))
	for _, a := range accounts {
		may[a] = of[a] != "" && over[of[a]]
	}
	return may, nil
}

// Look begins to ask when customers last used an account. Where the ledger is not asked
// nothing may be taken to be unused: that is an error and not an absence.
func (k ledgerKeep) Look(ctx context.Context) (retain.Look, error) {
	if k.h.asks == nil {
		return nil, muster.Errorf(muster.CodeUnavailable, "the ledger is not open: nobody knows when accounts were last used")
	}
	s, err := k.h.vault.Use(ctx, vault.Job{Name: "ledger.last_access", Purpose: "retention", Scope: "ended customers whose periods are computed"}, k.h.journal)
	if err != nil {
		return nil, err
	}
	return &accessLook{h: k.h, s: s}, nil
}

// accessLook is one look: of a preview, or of a part of a day's run.
type accessLook struct {
	h     *house
	s     *vault.Session
	found int
}

// LastAccessed is when customers last used an account.
func (l *accessLook) LastAccessed(ctx context.Context, customers []string) (map[string]time.Time, error) {
	of, err := l.h.db.LedgerAccounts().CustomerAccounts(ctx, customers)
	if err != nil {
		return nil, err
	}
	var accounts []string
	for _, list := range of {
		accounts = append(accounts, list...)
	}
	if len(accounts) == 0 {
		return nil, nil
	}
	last, err := l.h.asks.LastAccesses(ctx, l.s, accounts)
	if err != nil {
		return nil, err
	}
	found := map[string]time.Time{}
	for customer, list := range of {
		for _, a := range list {
			if last[a].After(found[customer]) {
				found[customer] = last[a]
			}
		}
	}
	l.found += len(found)
	return found, nil
}

// End records how many were found.
func (l *accessLook) End(ctx context.Context) error { return l.s.End(ctx, l.found) }
