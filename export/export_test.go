package export_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/export"
	"github.com/muster-cip/muster/gate"
	"github.com/muster-cip/muster/internal/pgtest"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/register"
	"github.com/muster-cip/muster/review"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

const (
	sdn  = "ofac.sdn"
	year = 365 * 24 * time.Hour
)

// person is an application of somebody of their own mail and telephone.
func person(reference, name string, n int) *muster.Application {
	app := roomtest.Person(reference)
	app.Customer.Name.Full = name
	app.Customer.Email, app.Customer.Phone = fmt.Sprintf("p%d@example.com.ng", n), fmt.Sprintf("+23480312345%02d", n)
	return app
}

// traffic is a house in which something of everything happened.
func traffic(h *house) {
	h.Helper()
	ctx := h.Context()
	h.Lists.Put(sdn, roomtest.Listed("1001", "Chidinma OKAFOR"), roomtest.Listed("1002", "Torvald LINDQVIST"))
	one := func(a *onboard.Answer, err error) *onboard.Answer {
		h.Helper()
		if err != nil {
			h.Fatal(err, roomtest.Faulted(err))
		}
		return a
	}
	// In use, with papers; corrected.
	a := h.Apply(person("ada-1", "Guadalupe Villanueva", 1))
	h.Contact(a.Application, "")
	h.Document(a.Application, "", roomtest.Passport("NG", "A01234567"))
	b := h.Apply(person("bola-1", "Haruto Yamaguchi", 2))
	v := one(h.Onboard.Correct(ctx, h.Anna, b.Application, b.Version, []byte(`{"customer":{"address":{"locality":"Abuja"}}}`)))
	// A company with owners, one of them with papers.
	c := h.Apply(roomtest.Company("fjord-1"))
	h.Document(c.Application, h.Subjects(c.Application)["/beneficial_owners/0"], roomtest.Passport("NO", "N7777771"))
	// A reseller with a sub-lessee.
	r := h.Apply(person("reseller-1", "Aylin Demirtas", 3))
	h.Contact(r.Application, "")
	sub := person("sublessee-1", "Przemyslaw Kowalczyk", 4)
	sub.Parent = &muster.Parent{Account: "reseller-1", Relation: muster.RelationSubLessee}
	h.Apply(sub)
	// A false hit and a true one.
	for name, state := range map[string]muster.HitState{"Chidinma Okafor": muster.HitFalse, "Torvald Lindqvist": muster.HitTrue} {
		x := h.Apply(person(strings.ToLower(name[:7]), name, len(name)))
		for _, hit := range roomtest.View(h.Rooms, func(ctx context.Context, tx *store.Tx) ([]*muster.HitRecord, error) {
			app, err := tx.Application(ctx, x.Application)
			if err != nil {
				return nil, err
			}
			return tx.HitsOf(ctx, app.Customer)
		}) {
			for _, by := range []muster.Principal{h.Anna, h.Bea} {
				now, done, err := h.Review.ResolveHit(ctx, by, hit.ID, hit.Version, review.HitFinding{Finding: state, Reason: "looked at papers"})
				if err != nil {
					h.Fatal(err)
				}
				if hit = now; done {
					break
				}
			}
		}
	}
	// Closed, held, withdrawn, erased, waiting for a person.
	x := h.Apply(person("ended-1", "Ifeoma Adeyemi", 21))
	h.Contact(x.Application, "")
	h.end("ended-1")
	if _, err := h.retain.Place(ctx, h.Anna.Operator, muster.Hold{Customer: h.customer("ended-1"), Ground: muster.HoldLitigation, Case: "2026/17", Review: h.Clock.Now().Add(5 * year)}); err != nil {
		h.Fatal(err)
	}
	y := h.Apply(person("withdrawn-1", "Ngozi Balogun", 22))
	one(h.Onboard.Withdraw(ctx, h.Anna, y.Application, y.Version))
	z := h.Apply(person("erased-1", "Oluwaseun Eze", 23))
	h.Contact(z.Application, "")
	h.end("erased-1")
	h.erase(h.customer("erased-1"))
	w := person("waits-1", "Sade Bankole", 24)
	w.Payment.Country, w.Access.IP = "KZ", "51.174.0.10"
	if got := h.Apply(w); got.State != muster.AppReview {
		h.Fatalf("%s", got.State)
	}
	if v.State != muster.AppNeeds {
		h.Fatalf("%s", v.State)
	}
	// Taken over from a book: one in use, one closed for abuse.
	imp, _, err := h.Onboard.OpenImport(ctx, h.Anna, onboard.ImportOrder{Cohort: "spring", Due: h.Clock.Now().AddDate(0, 3, 0), Share: 10, Source: strings.Repeat("ab", 32)})
	if err != nil {
		h.Fatal(err, roomtest.Faulted(err))
	}
	book := func(app *muster.Application, more string) string {
		return `{"type":"customer","customer":{"application":` + string(roomtest.JSON(app)) + more + `}}`
	}
	lines := book(person("book-1", "Zainab Musa", 31), `,"since":"2024-01-01"`) + "\n" +
		book(person("abuse-1", "Chike Obi", 32), `,"state":"closed","closed":"2025-05-01","ground":"abuse"`)
	if out, err := h.Onboard.TakeLines(ctx, h.Anna, imp.ID, 1, []byte(lines)); err != nil || out.Taken != 2 {
		h.Fatalf("%+v, %v %v", out, err, roomtest.Faulted(err))
	}
	if _, err := h.Onboard.EndImport(ctx, h.Anna, imp.ID); err != nil {
		h.Fatal(err)
	}
	// A special measure on companies of Norway, in force.
	p, err := h.Register.Propose(ctx, h.Anna.Operator, register.MeasureProposal{Kind: muster.ActEnact, Source: determination})
	if err != nil {
		h.Fatal(err, roomtest.Faulted(err))
	}
	if p, err = h.Register.Approve(ctx, h.Bea.Operator, p.ID); err != nil {
		h.Fatal(err)
	}
	h.Clock.Move(register.Lead + time.Second)
	for done := false; !done; {
		if done, err = h.Register.Apply(ctx, p.ID); err != nil {
			h.Fatal(err)
		}
	}
}

const determination = `format: 1
id: test-1
title: Conditions on accounts of a country of the test
kind: jurisdiction
authority: An authority of the test
citation: Test Determination 1
status: in force
measure: prohibit
targets: [{country: NO}]
by: [address, nationality, ip]
published: 2026-11-02
effective: 2027-06-01
until: 2028-05-31
words:
  customer: A government measure does not let us serve this account.
  appeal: If this is a mistake, write to appeals@provider.example.
`

func (h *house) customer(reference string) string {
	h.Helper()
	return roomtest.View(h.Rooms, func(ctx context.Context, tx *store.Tx) (string, error) {
		a, err := tx.Account(ctx, reference)
		if err != nil {
			return "", err
		}
		return a.Customer, nil
	})
}

func (h *house) end(reference string) {
	h.Helper()
	for _, to := range []string{muster.AccClosing, muster.AccClosed} {
		a := roomtest.View(h.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.AccountRecord, error) {
			return tx.Account(ctx, reference)
		})
		if _, err := h.Onboard.MoveAccount(h.Context(), h.Anna, reference, a.Version, onboard.Move{To: to, Reason: "it ended"}); err != nil {
			h.Fatal(err)
		}
	}
}

// erase erases a file before its time.
func (h *house) erase(customer string) {
	h.Helper()
	e, err := h.retain.Ask(h.Context(), h.Anna.Operator, customer, muster.GroundRequest)
	if err != nil {
		h.Fatal(err)
	}
	for _, by := range []muster.Principal{h.Bea} {
		if e, err = h.retain.Agree(h.Context(), by.Operator, e.ID, e.Version); err != nil {
			h.Fatal(err)
		}
	}
	h.Clock.Move(time.Hour)
	if s, err := h.retain.Run(h.Context()); err != nil {
		h.Fatal(s, err)
	}
}

// answers is what a house says when it is asked: without anything of its own.
type answers struct {
	Views    map[string]*onboard.View
	Accounts map[string]muster.AccountRecord
	Gate     map[string]string
	Shares   map[string][]string // subjects, by kind and value
	Previews map[string]retainPreview
	Hits     map[string]muster.HitRecord
	Holds    []muster.Hold
	Under    map[string][]muster.MatchRecord
	Files    map[string]muster.FileAge
}

type retainPreview struct {
	Files, Due, Held, Live int64
	Classes                map[string]int64
}

func (h *house) answers() *answers {
	h.Helper()
	ctx := h.Context()
	x := &answers{
		Views: map[string]*onboard.View{}, Accounts: map[string]muster.AccountRecord{}, Gate: map[string]string{}, Shares: map[string][]string{},
		Previews: map[string]retainPreview{}, Hits: map[string]muster.HitRecord{}, Under: map[string][]muster.MatchRecord{}, Files: map[string]muster.FileAge{},
	}
	roomtest.View(h.Rooms, func(ctx context.Context, tx *store.Tx) (bool, error) {
		apps, err := tx.Applications(ctx, "", muster.Page{Limit: 100})
		if err != nil {
			return false, err
		}
		profiles, key := map[string]string{}, gate.Key(h.GateKey())
		if err := tx.GateProfiles(ctx, func(body []byte) error {
			sum := sha256.Sum256(body)
			profiles[string(sum[:16])] = string(body)
			return nil
		}); err != nil {
			return false, err
		}
		said := map[string]string{}
		if err := tx.GateAccounts(ctx, func(hash, profile []byte, decision string) error {
			said[string(hash)] = profiles[string(profile)] + decision
			return nil
		}); err != nil {
			return false, err
		}
		for _, a := range apps {
			v, err := h.Onboard.View(ctx, a.ID)
			if err != nil {
				return false, err
			}
			v.Version = 0
			x.Views[a.Reference] = v
			acc, err := tx.Account(ctx, a.Account)
			if err != nil {
				return false, err
			}
			hash := key.Hash(acc.Reference)
			x.Gate[acc.Reference] = said[string(hash[:])]
			rows, err := tx.MatchesOf(ctx, acc.ID)
			if err != nil {
				return false, err
			}
			x.Under[acc.Reference] = rows
			acc.Version = 0
			x.Accounts[acc.Reference] = *acc
			hits, err := tx.HitsOf(ctx, a.Customer)
			if err != nil {
				return false, err
			}
			for _, hit := range hits {
				one := *hit
				one.Listed, one.Found, one.Finding, one.Version = nil, nil, nil, 0
				x.Hits[hit.ID] = one
			}
			age, err := tx.FileAge(ctx, a.Customer)
			if err != nil {
				return false, err
			}
			x.Files[a.Reference] = *age
		}
		holds, err := tx.Holds(ctx, false, muster.Page{Limit: 100})
		for _, hold := range holds {
			one := *hold
			one.Version = 0
			x.Holds = append(x.Holds, one)
		}
		return true, err
	})
	people := h.people()
	for _, v := range [][2]string{
		{"email", "p1@example.com.ng"},
		{"email", "kari@fjorddata.example"},
		{"phone", "+2348031234502"},
		{"document", "NG|passport|A01234567"},
		{"registration", "NO|923609016"},
		{"ip", "102.89.23.10"},
		{"card", "tok_ada-1"},
		{"email", "p23@example.com.ng"},
		{"email", "nobody@example.com"},
	} {
		found := []string{}
		for subject := range h.share(vault.Kind(v[0]), v[1]) {
			found = append(found, people[subject])
		}
		slices.Sort(found)
		x.Shares[v[0]+" "+v[1]] = found
	}
	for _, at := range []time.Duration{0, 200 * 24 * time.Hour, 3 * year} {
		p, err := h.retain.Preview(ctx, roomtest.Start.Add(24*time.Hour).Add(at))
		if err != nil {
			h.Fatal(err)
		}
		y := retainPreview{p.Files, p.Due, p.Held, p.Live, map[string]int64{}}
		for class, c := range p.Classes {
			if class != muster.ClassReveals && class != muster.ClassNotices { // of this house
				y.Classes[class] = c.Due*1000 + c.Held
			}
		}
		x.Previews[at.String()] = y
	}
	return x
}

// people are subject ids by key id.
func (h *house) people() map[string]string {
	h.Helper()
	return roomtest.View(h.Rooms, func(ctx context.Context, tx *store.Tx) (map[string]string, error) {
		all := map[string]string{}
		customers, err := tx.CustomersAfter(ctx, muster.Page{Limit: 100})
		for _, c := range customers {
			some, err := tx.Subjects(ctx, c)
			if err != nil {
				return nil, err
			}
			for _, r := range some {
				all[r.Key] = r.ID
			}
		}
		return all, err
	})
}

// share are the keys of who has a value.
func (h *house) share(kind vault.Kind, v string) map[string]bool {
	h.Helper()
	handles := roomtest.View(h.Rooms, func(ctx context.Context, tx *store.Tx) (list [][16]byte, err error) {
		for _, d := range h.Vault.Digests(kind, 1, v) {
			some, err := tx.Handles(ctx, string(kind), d, 100)
			if err != nil {
				return nil, err
			}
			for _, x := range some {
				list = append(list, [16]byte(x))
			}
		}
		return list, nil
	})
	found, err := h.Vault.Resolve(h.Context(), kind, handles)
	if err != nil {
		h.Fatal(err)
	}
	keys := map[string]bool{}
	for _, id := range found {
		keys[id] = true
	}
	return keys
}

func TestWhatWasGivenGivesTheSameAnswers(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]func(*testing.T) (from, to roomtest.Options){
		"sqlite to sqlite": func(*testing.T) (from, to roomtest.Options) { return from, to },
		"postgres to sqlite": func(t *testing.T) (from, to roomtest.Options) {
			from.Store.DSN = pgtest.Database(t)
			return from, to
		},
		"sqlite to postgres": func(t *testing.T) (from, to roomtest.Options) {
			to.Store.DSN = pgtest.Database(t)
			return from, to
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := o(t)
			a, b := setup(t, from), setup(t, to)
			traffic(a)
			parts := a.archive()
			b.Clock.Move(a.Clock.Now().Sub(b.Clock.Now()))
			taken := b.regain(parts)
			if taken < 15 {
				t.Errorf("%d records were taken", taken)
			}
			b.Lists.Put(sdn, roomtest.Listed("1001", "Chidinma OKAFOR"), roomtest.Listed("1002", "Torvald LINDQVIST"))
			want := a.answers()
			if d := cmp.Diff(want, b.answers(), cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("the answers differ (-given +taken):\n%s", d)
			}
			if n := len(want.Views); n < 11 || len(want.Hits) != 2 || len(want.Holds) != 1 || len(want.Under["fjord-1"]) != 1 || len(want.Shares["document NG|passport|A01234567"]) != 1 || len(want.Shares["email p23@example.com.ng"]) != 0 {
				t.Errorf("the traffic is not what it should be: %d views, %+v", n, want.Shares)
			}
			if again := b.regain(parts); again > 1 { // packs are written over themselves
				t.Errorf("%d records were taken twice", again)
			}
			if d := cmp.Diff(want, b.answers(), cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("taken twice, the answers differ:\n%s", d)
			}
			b.sameFrom(a, want)
			a.Clean()
			b.Clean()
		})
	}
}

// sameFrom goes on in both houses: who comes next is decided alike, somebody cleared
// stays cleared, a code typed back opens, and records go at the same time.
func (h *house) sameFrom(a *house, was *answers) {
	h.Helper()
	type next struct {
		State, Account string
		Outcome        muster.Outcome
		Rules, Needs   []string
		Counts         map[string]int64
	}
	say := func(x *house, answer *onboard.Answer) next {
		n := next{State: answer.State, Account: answer.AccountState, Outcome: answer.Decision.Outcome}
		for _, r := range answer.Decision.Reasons {
			n.Rules = append(n.Rules, r.Pack+"/"+r.Rule+" "+strings.Join(r.Subjects, " "))
		}
		for _, w := range answer.Decision.Needs {
			n.Needs = append(n.Needs, string(w.Kind)+" "+w.Pointer+" "+w.Attribute)
		}
		n.Counts = x.counts(answer.Decision.ID)
		return n
	}
	both := func(what string, do func(*house) next) {
		h.Helper()
		if d := cmp.Diff(do(a), do(h)); d != "" {
			h.Fatalf("%s (-given +taken):\n%s", what, d)
		}
	}
	both("somebody who shares a card, a telephone and an address", func(x *house) next {
		app := person("next-1", "Kemi Olawale", 2)
		app.Payment.Token = "tok_ada-1"
		return say(x, x.Apply(app))
	})
	both("somebody who shares a telephone with an account closed for abuse", func(x *house) next {
		app := person("next-3", "Bisi Alabi", 32)
		app.Customer.Email = "bisi@example.com.ng"
		n := say(x, x.Apply(app))
		if n.Counts["abusers_per_phone"] != 1 {
			x.Errorf("abuse was not counted: %v", n.Counts)
		}
		return n
	})
	both("a document that was shown before", func(x *house) next {
		one := x.Apply(person("next-2", "Femi Olawale", 41))
		return say(x, x.Document(one.Application, "", roomtest.Passport("NG", "A01234567")))
	})
	both("a code for somebody who waits", func(x *house) next {
		return say(x, x.Contact(was.Views["bola-1"].Application, ""))
	})
	both("the same application again", func(x *house) next { return say(x, x.Apply(person("ada-1", "Guadalupe Villanueva", 1))) })
	both("everybody compared again", func(x *house) next {
		n := next{Counts: map[string]int64{}}
		for reference := range was.Views {
			if len(was.Files[reference].Gone) > 0 {
				continue
			}
			decided, err := x.Onboard.Rescreen(x.Context(), x.customer(reference))
			if err != nil {
				x.Fatal(err)
			}
			if decided {
				n.Rules = append(n.Rules, reference)
			}
		}
		slices.Sort(n.Rules)
		for _, hit := range x.answers().Hits {
			n.Counts[string(hit.State)]++
		}
		return n
	})
	both("why a hit was found false", func(x *house) next {
		n := next{}
		for id, hit := range was.Hits {
			if hit.State != muster.HitFalse {
				continue
			}
			e, err := x.Onboard.ExplainHit(x.Context(), x.Anna, id, onboard.RevealRequest{Purpose: "review", Case: "c-1"})
			if err != nil {
				x.Fatal(err)
			}
			n.Rules = append(n.Rules, e.EntryID+" "+e.Reason)
		}
		return n
	})
	both("an entry that changed", func(x *house) next {
		entry := roomtest.Listed("1001", "Chidinma OKAFOR")
		entry.Births = []muster.PartialDate{{Year: 1971}}
		x.Lists.Put(sdn, entry, roomtest.Listed("1002", "Torvald LINDQVIST"))
		if _, err := x.Onboard.Rescreen(x.Context(), x.customer("chidinm")); err != nil {
			x.Fatal(err)
		}
		n := next{Counts: map[string]int64{}}
		for _, hit := range x.answers().Hits {
			n.Counts[string(hit.State)+hit.Again]++
		}
		if n.Counts["open"+muster.AgainEntry] != 1 {
			x.Errorf("%v", n.Counts)
		}
		return n
	})
	both("three years later", func(x *house) next {
		x.end("ada-1")
		x.Clock.Move(3 * year)
		s, err := x.retain.Run(x.Context())
		if err != nil {
			x.Fatal(err)
		}
		return next{Counts: map[string]int64{"files": s.Files}}
	})
}

// counts are those of a decision's facts.
func (h *house) counts(decision string) map[string]int64 {
	h.Helper()
	d := roomtest.View(h.Rooms, func(ctx context.Context, tx *store.Tx) (*muster.DecisionRecord, error) {
		return tx.Decision(ctx, decision)
	})
	opened, err := h.Vault.UseForDecision(d.About).OpenFacts(h.Context(), d.ID, d.Facts)
	if err != nil {
		h.Fatal(err)
	}
	f, _, err := journal.Facts(opened)
	if err != nil {
		h.Fatal(err)
	}
	return f.Counts
}

func TestAnArchiveSaysWhatIsInIt(t *testing.T) {
	t.Parallel()
	h := setup(t, roomtest.Options{})
	traffic(h)
	parts := h.archive()
	var c export.Contents
	if err := json.Unmarshal(parts[len(parts)-1].data, &c); err != nil || parts[0].name != "manifest.json" || parts[len(parts)-1].name != "contents.json" {
		t.Fatal(err)
	}
	if len(c.Members) != len(parts)-1 || c.Counts["files"] != 13 {
		t.Errorf("%d members of %d, %v", len(c.Members), len(parts), c.Counts)
	}
	for i, m := range c.Members {
		sum := sha256.Sum256(parts[i].data)
		if m.Name != parts[i].name || m.SHA256 != hex.EncodeToString(sum[:]) || m.Lines > 0 && int64(bytes.Count(parts[i].data, []byte("\n"))) != m.Lines {
			t.Errorf("%+v", m)
		}
	}
	// Who took what is in the log, before and after.
	a := h.Audit()
	if !a.Clean() || a.ByType["export"] != 2 || a.ByType["use_end"] < 1 || a.ByType["reveal"] < 1 {
		t.Errorf("%+v", a)
	}
	// The erased is nowhere in it.
	for _, p := range parts {
		if bytes.Contains(p.data, []byte("p23@example.com.ng")) || bytes.Contains(p.data, []byte("Oluwaseun Eze")) {
			t.Errorf("%s has somebody who was erased", p.name)
		}
	}
}
