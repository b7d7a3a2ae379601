package api

import (
	"context"
	"net/netip"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/vault"
)

// Questions answers from the ledger (ledger.Questions). Each records a leaf before it
// opens anything.
type Questions interface {
	CameFrom(ctx context.Context, ask ledger.Ask, c ledger.CameFrom) (ledger.AccessPage, error)
	Used(ctx context.Context, ask ledger.Ask, u ledger.Used) (ledger.AccessPage, error)
	Places(ctx context.Context, ask ledger.Ask, u ledger.Used) ([]ledger.Place, error)
	Held(ctx context.Context, ask ledger.Ask, h ledger.Held) (ledger.HeldAnswer, error)
	Shares(ctx context.Context, ask ledger.Ask, c ledger.Shares) (ledger.SharesAnswer, error)
	LastAccess(ctx context.Context, ask ledger.Ask, account string) (time.Time, error)
}

// Traces says whose an account was (onboard.Service).
type Traces interface {
	MayReveal(purpose string) error
	Trace(ctx context.Context, account string, at time.Time) (*onboard.Traced, error)
	RevealAt(ctx context.Context, by muster.Principal, application string, at time.Time, r onboard.RevealRequest) (*onboard.Revealed, error)
}

// Why is in every question: it is a reveal.
type Why struct {
	Purpose string `json:"purpose" doc:"support | review | examiner | court | subject_access | abuse; one that a pack in effect names"`
	Case    string `json:"case" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"reference of the case or request; no personal data"`
}

func (a *API) ask(ctx context.Context, w Why) (ledger.Ask, error) {
	return ledger.Ask{Operator: callOf(ctx).by.Operator, Purpose: vault.Purpose(w.Purpose), Case: w.Case}, a.Traces.MayReveal(w.Purpose)
}

// Address is an address in a question.
type Address string

func (s Address) addr() (netip.Addr, error) {
	x, err := netip.ParseAddr(string(s))
	if err != nil || x.Zone() != "" {
		return x, muster.Invalid(muster.Fault{Pointer: "/ip", Code: "address", Detail: "an IPv4 or IPv6 address"})
	}
	return x.Unmap(), nil
}

func network(s, pointer string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	if x, err := netip.ParseAddr(s); err == nil && x.Zone() == "" {
		x = x.Unmap()
		return netip.PrefixFrom(x, x.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, muster.Invalid(muster.Fault{Pointer: pointer, Code: "address", Detail: "an address, or a prefix such as 2001:db8::/64"})
	}
	return p.Masked(), nil
}

// WhoHeld asks which account held one of the provider's own addresses.
type WhoHeld struct {
	Why
	IP       Address   `json:"ip" maxLength:"64"`
	Port     uint16    `json:"port,omitempty" doc:"where the address is shared by ranges of ports; left out: any"`
	At       time.Time `json:"at"`
	Within   int       `json:"within_seconds,omitempty" minimum:"0" maximum:"86400" doc:"give or take; leases state their own precision besides"`
	Identify bool      `json:"identify,omitempty" doc:"show the customers' values too, as they stood at that time: a reveal of its own for each"`
}

// HeldBy is one lease, and whose it was.
type HeldBy struct {
	Holder    *onboard.Traced   `json:"holder"`
	Person    *onboard.Revealed `json:"person,omitempty" doc:"as it stood then, where identify was asked for"`
	Resource  string            `json:"resource"`
	Prefix    string            `json:"prefix"`
	PortFrom  uint16            `json:"port_from,omitempty"`
	PortTo    uint16            `json:"port_to,omitempty"`
	From      time.Time         `json:"from"`
	Until     *time.Time        `json:"until,omitempty" doc:"absent: not ended as far as is known"`
	Source    string            `json:"source"`
	Precision string            `json:"precision" doc:"how far from and until can be off"`
	Exact     bool              `json:"exact" doc:"it held at that instant itself, not only give or take"`
}

// HeldAnswer is the answer to WhoHeld.
type HeldAnswer struct {
	Holdings []HeldBy   `json:"holdings" nullable:"false"`
	Before   *time.Time `json:"known_before,omitempty" doc:"the latest known end of a lease before that instant: from there on nothing is known"`
	After    *time.Time `json:"known_after,omitempty" doc:"the earliest known beginning after it"`
}

func (a *API) whoHeld(ctx context.Context, in *struct{ Body WhoHeld }) (*struct{ Body HeldAnswer }, error) {
	b := &in.Body
	ask, err := a.ask(ctx, b.Why)
	if err != nil {
		return nil, err
	}
	ip, err := b.IP.addr()
	if err != nil {
		return nil, err
	}
	found, err := a.Questions.Held(ctx, ask, ledger.Held{IP: ip, Port: b.Port, At: b.At.UTC(), Within: time.Duration(b.Within) * time.Second})
	if err != nil {
		return nil, err
	}
	out := HeldAnswer{Holdings: []HeldBy{}, Before: timeOrNil(found.Before), After: timeOrNil(found.After)}
	for _, h := range found.Holdings {
		l := &h.Lease
		x := HeldBy{
			Resource: l.Resource, Prefix: l.Prefix.String(), PortFrom: l.PortFrom, PortTo: l.PortTo, From: l.From, Until: timeOrNil(l.Until),
			Source: l.Source, Precision: l.Precision, Exact: h.Exact,
		}
		if x.Holder, err = a.Traces.Trace(ctx, l.Account, b.At); err != nil {
			return nil, err
		}
		if b.Identify && x.Holder.Application != "" {
			if x.Person, err = a.Traces.RevealAt(ctx, callOf(ctx).by, x.Holder.Application, b.At, onboard.RevealRequest{Purpose: b.Purpose, Case: b.Case}); err != nil {
				return nil, err
			}
		}
		out.Holdings = append(out.Holdings, x)
	}
	return &struct{ Body HeldAnswer }{out}, nil
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Interval is when, and which part of the answer.
type Interval struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until" doc:"exclusive"`
	After string    `json:"after,omitempty" maxLength:"40" doc:"the cursor of the last answer"`
	Limit int       `json:"limit,omitempty" minimum:"1" maximum:"1000" doc:"at most so many; left out: 100"`
}

// WhoCameFrom asks which accounts were used from an address.
type WhoCameFrom struct {
	Why
	Interval
	IP string `json:"ip" maxLength:"64" doc:"an IPv4 or IPv6 address, or an IPv6 network of 64 bits or more"`
}

// AccessSeen is one use of an account.
type AccessSeen struct {
	Account string         `json:"account" doc:"account id"`
	Actor   string         `json:"actor,omitempty"`
	IP      string         `json:"ip"`
	Port    uint16         `json:"port,omitempty"`
	At      time.Time      `json:"at"`
	Action  string         `json:"action"`
	Surface string         `json:"surface,omitempty"`
	Device  string         `json:"device,omitempty"`
	Country muster.Country `json:"country,omitempty" doc:"of the address, when it came"`
	Network []string       `json:"network,omitempty" doc:"what the provider's lists said of it: hosting, anonymiser, tor"`
}

// Accesses are uses, and the accounts in them.
type Accesses struct {
	Items    []AccessSeen      `json:"items" nullable:"false"`
	Accounts []*onboard.Traced `json:"accounts" nullable:"false" doc:"those in items, each once"`
	After    string            `json:"after,omitempty" doc:"cursor of the next part; absent on the last"`
}

type accessesOutput struct{ Body Accesses }

func (a *API) accesses(ctx context.Context, page ledger.AccessPage) (*accessesOutput, error) {
	out := &accessesOutput{Accesses{Items: make([]AccessSeen, 0, len(page.Records)), Accounts: []*onboard.Traced{}, After: page.Next}}
	done := map[string]bool{}
	for i := range page.Records {
		r := &page.Records[i]
		out.Body.Items = append(out.Body.Items, AccessSeen{r.Account, r.Actor, r.IP.String(), r.Port, r.At, r.Action, r.Surface, r.Device, r.Country, r.Network.Words()})
		if !done[r.Account] {
			done[r.Account] = true
			t, err := a.Traces.Trace(ctx, r.Account, r.At)
			if err != nil {
				return nil, err
			}
			out.Body.Accounts = append(out.Body.Accounts, t)
		}
	}
	return out, nil
}

func (a *API) whoCameFrom(ctx context.Context, in *struct{ Body WhoCameFrom }) (*accessesOutput, error) {
	b := &in.Body
	ask, err := a.ask(ctx, b.Why)
	if err != nil {
		return nil, err
	}
	p, err := network(b.IP, "/ip")
	if err != nil {
		return nil, err
	}
	page, err := a.Questions.CameFrom(ctx, ask, ledger.CameFrom{Prefix: p, From: b.From.UTC(), Until: b.Until.UTC(), After: b.After, Limit: b.Limit})
	if err != nil {
		return nil, err
	}
	return a.accesses(ctx, page)
}

// WhereUsed asks where an account was used.
type WhereUsed struct {
	Why
	Interval
	Account string         `json:"account" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"id or the provider's reference"`
	Network string         `json:"network,omitempty" maxLength:"64" doc:"only from there"`
	Country muster.Country `json:"country,omitempty" pattern:"^[A-Z]{2}$" doc:"only from there"`
}

func (a *API) used(ctx context.Context, b *WhereUsed) (ledger.Ask, ledger.Used, error) {
	ask, err := a.ask(ctx, b.Why)
	if err != nil {
		return ask, ledger.Used{}, err
	}
	p, err := network(b.Network, "/network")
	if err != nil {
		return ask, ledger.Used{}, err
	}
	account, err := a.Files.Account(ctx, b.Account)
	if err != nil {
		return ask, ledger.Used{}, err
	}
	return ask, ledger.Used{Account: account.ID, From: b.From.UTC(), Until: b.Until.UTC(), Network: p, Country: b.Country, After: b.After, Limit: b.Limit}, nil
}

func (a *API) whereUsed(ctx context.Context, in *struct{ Body WhereUsed }) (*accessesOutput, error) {
	ask, u, err := a.used(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	page, err := a.Questions.Used(ctx, ask, u)
	if err != nil {
		return nil, err
	}
	return a.accesses(ctx, page)
}

// UsedPlace is a network from which an account was used.
type UsedPlace struct {
	Network string         `json:"network" doc:"an IPv4 address, or a /64 of IPv6"`
	Country muster.Country `json:"country,omitempty"`
	Hints   []string       `json:"hints,omitempty" doc:"hosting, anonymiser, tor"`
	Records int            `json:"records"`
	First   time.Time      `json:"first"`
	Last    time.Time      `json:"last"`
}

type placesOutput struct {
	Body struct {
		Items []UsedPlace `json:"items" nullable:"false"`
	}
}

func (a *API) usedPlaces(ctx context.Context, in *struct{ Body WhereUsed }) (*placesOutput, error) {
	ask, u, err := a.used(ctx, &in.Body)
	if err != nil {
		return nil, err
	}
	places, err := a.Questions.Places(ctx, ask, u)
	if err != nil {
		return nil, err
	}
	out := &placesOutput{}
	out.Body.Items = []UsedPlace{}
	for _, p := range places {
		out.Body.Items = append(out.Body.Items, UsedPlace{p.Network.String(), p.Country, p.Hints.Words(), p.Records, p.First, p.Last})
	}
	return out, nil
}

// SharesAddresses asks which accounts came from addresses of this one.
type SharesAddresses struct {
	Why
	Account string    `json:"account" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"id or the provider's reference"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until" doc:"exclusive"`
	Limit   int       `json:"limit,omitempty" minimum:"1" maximum:"100" doc:"accounts at most; left out: 20"`
}

// SharedWith is an account, and the addresses that both came from.
type SharedWith struct {
	Account   *onboard.Traced `json:"account"`
	Addresses []SharedAddress `json:"addresses" nullable:"false" doc:"the rarest first"`
}

// SharedAddress is an address, and how common it is.
type SharedAddress struct {
	Network  string    `json:"network"`
	Accounts int       `json:"accounts" doc:"that came from it in that time, these two among them"`
	SameDays int       `json:"same_days"`
	Last     time.Time `json:"last" doc:"that the other account did"`
}

// SharedAddresses is the answer to SharesAddresses.
type SharedAddresses struct {
	Items  []SharedWith `json:"items" nullable:"false"`
	Common int          `json:"common" doc:"addresses of so many accounts that they say nothing about those behind them: counted only"`
	Cut    bool         `json:"cut" doc:"there are more than are listed"`
}

func (a *API) sharesAddresses(ctx context.Context, in *struct{ Body SharesAddresses }) (*struct{ Body SharedAddresses }, error) {
	b := &in.Body
	ask, err := a.ask(ctx, b.Why)
	if err != nil {
		return nil, err
	}
	account, err := a.Files.Account(ctx, b.Account)
	if err != nil {
		return nil, err
	}
	found, err := a.Questions.Shares(ctx, ask, ledger.Shares{Account: account.ID, From: b.From.UTC(), Until: b.Until.UTC(), Limit: b.Limit})
	if err != nil {
		return nil, err
	}
	out := SharedAddresses{Items: []SharedWith{}, Common: found.Common, Cut: found.Cut}
	for _, s := range found.Shared {
		x := SharedWith{Addresses: []SharedAddress{}}
		if x.Account, err = a.Traces.Trace(ctx, s.Account, b.Until); err != nil {
			return nil, err
		}
		for _, d := range s.Addresses {
			x.Addresses = append(x.Addresses, SharedAddress{d.Network.String(), d.Accounts, d.SameDays, d.Last})
		}
		out.Items = append(out.Items, x)
	}
	return &struct{ Body SharedAddresses }{out}, nil
}

// LastUse asks when an account was used last.
type LastUse struct {
	Why
	Account string `json:"account" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"id or the provider's reference"`
}

type lastUseOutput struct {
	Body struct {
		At *time.Time `json:"at,omitempty" doc:"absent: no record of it is kept"`
	}
}

func (a *API) lastAccess(ctx context.Context, in *struct{ Body LastUse }) (*lastUseOutput, error) {
	ask, err := a.ask(ctx, in.Body.Why)
	if err != nil {
		return nil, err
	}
	account, err := a.Files.Account(ctx, in.Body.Account)
	if err != nil {
		return nil, err
	}
	at, err := a.Questions.LastAccess(ctx, ask, account.ID)
	if err != nil {
		return nil, err
	}
	out := &lastUseOutput{}
	out.Body.At = timeOrNil(at)
	return out, nil
}
