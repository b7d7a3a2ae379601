package programme_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/programme"
	"github.com/muster-cip/muster/store"
)

type bundle struct{ *roomtest.Rooms }

func setup(t *testing.T) *bundle { return &bundle{roomtest.Setup(t, roomtest.Options{})} }

func (b *bundle) fails(err error, code muster.Code) {
	b.Helper()
	var e *muster.Error
	if !errors.As(err, &e) || e.Code != code {
		b.Fatalf("error %v, want %s", err, code)
	}
}

// edition is the default pack under another edition.
func edition(t *testing.T, name string) string {
	src := strings.Replace(roomtest.Pack(t, packs.Default), `edition: "2027-01"`, `edition: "`+name+`"`, 1)
	if !strings.Contains(src, name) {
		t.Fatal("the edition is not where it was")
	}
	return src
}

// activate proposes and approves.
func (b *bundle) activate(p programme.Proposal) *muster.ActivationRecord {
	b.Helper()
	a, err := b.Activate.Propose(b.Context(), b.Anna.Operator, p)
	if err != nil {
		b.Fatal(err)
	}
	if a, err = b.Activate.Approve(b.Context(), b.Bea.Operator, a.ID); err != nil {
		b.Fatal(err)
	}
	return a
}

func (b *bundle) at(when time.Time) (enforce, observe string) {
	name := func(list []*policy.Pack) string {
		var s []string
		for _, p := range list {
			s = append(s, p.ID()+" "+p.Edition())
		}
		return strings.Join(s, ", ")
	}
	e, o := b.Programme.At(when)
	return name(e), name(o)
}

func (b *bundle) holds(when time.Time, enforce, observe string) {
	b.Helper()
	if e, o := b.at(when); e != enforce || o != observe {
		b.Errorf("at %v: enforces %q, observes %q; want %q, %q", when, e, o, enforce, observe)
	}
}

const first = "us-iaas-cip 2027-01"

func TestLatestApprovedEditionDecidesFromItsInstantOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := b.Clock.Now()
	b.holds(now.Add(-time.Microsecond), "", "")
	b.holds(now, first, "")
	late, early := now.Add(48*time.Hour), now.Add(24*time.Hour)
	b.activate(programme.Proposal{Source: edition(t, "3"), Effective: late})
	b.activate(programme.Proposal{Source: edition(t, "2"), Effective: early}) // approved later, effective before
	b.holds(early.Add(-time.Microsecond), first, "")
	b.holds(early, "us-iaas-cip 2", "")
	b.holds(late.Add(-time.Microsecond), "us-iaas-cip 2", "")
	b.holds(late, "us-iaas-cip 3", "")
	// Another process that loads the same store has the same programme.
	other := programme.New(b.DB)
	if err := other.Load(b.Context()); err != nil {
		t.Fatal(err)
	}
	if e, _ := other.At(late); len(e) != 1 || e[0].Edition() != "3" {
		t.Errorf("%v", e)
	}
	b.Clean()
}

func TestActivationTakesTwoOperators(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: edition(t, "2")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Programme.Load(b.Context()); err != nil {
		t.Fatal(err)
	}
	b.holds(b.Clock.Now().Add(time.Hour), first, "")
	_, err = b.Activate.Approve(b.Context(), b.Anna.Operator, a.ID)
	b.fails(err, muster.CodeForbidden)
	if a, err = b.Activate.Approve(b.Context(), b.Bea.Operator, a.ID); err != nil {
		t.Fatal(err)
	}
	if a.Approver != b.Bea.Operator || a.Proposer != b.Anna.Operator {
		t.Errorf("%+v", a)
	}
	b.holds(b.Clock.Now().Add(programme.ActivationLead-time.Microsecond), first, "")
	b.holds(b.Clock.Now().Add(programme.ActivationLead), "us-iaas-cip 2", "")
	_, err = b.Activate.Approve(b.Context(), b.Bea.Operator, a.ID)
	b.fails(err, muster.CodeConflict)
	_, err = b.Activate.Approve(b.Context(), b.Bea.Operator, "act_nobody")
	b.fails(err, muster.CodeNotFound)
	if got := b.Audit(); !got.Clean() || got.ByType["pack"] != 3 {
		t.Errorf("%+v", got)
	}
}

func TestSoloOperatorApprovesAfterADelay(t *testing.T) {
	t.Parallel()
	b := &bundle{roomtest.Setup(t, roomtest.Options{Solo: true})}
	a, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: edition(t, "2")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Activate.Approve(b.Context(), b.Anna.Operator, a.ID)
	b.fails(err, muster.CodeForbidden)
	b.Clock.Move(roomtest.SoloDelay)
	if _, err = b.Activate.Approve(b.Context(), b.Anna.Operator, a.ID); err != nil {
		t.Fatal(err)
	}
}

func TestObservedAndRetired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	india := roomtest.Pack(t, "in-cert-in")
	b.activate(programme.Proposal{Source: india, Observe: true})
	b.Clock.Move(time.Minute)
	b.holds(b.Clock.Now(), first, "in-cert-in 2027-01")
	b.activate(programme.Proposal{Source: india})
	b.Clock.Move(time.Minute)
	b.holds(b.Clock.Now(), "in-cert-in 2027-01, "+first, "")
	b.activate(programme.Proposal{Source: india, Retire: true})
	b.Clock.Move(time.Minute)
	b.holds(b.Clock.Now(), first, "")
}

func TestBrokenPackIsNotProposed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, src := range []string{"", "format: 1\nunknown: x\n", "\x00"} {
		if _, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: src}); err == nil {
			t.Errorf("%q was taken", src)
		}
	}
	n := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (int, error) {
		all, err := tx.Activations(ctx)
		return len(all), err
	})
	if n != 1 {
		t.Errorf("%d activations", n)
	}
}

func TestPackIsFoundByItsDigestThoughNotInEffect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, err := b.Activate.Propose(b.Context(), b.Anna.Operator, programme.Proposal{Source: edition(t, "2")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.Programme.Pack(b.Context(), a.Digest)
	if err != nil || p.Edition() != "2" {
		t.Error(p, err)
	}
	_, err = b.Programme.Pack(b.Context(), strings.Repeat("0", 64))
	b.fails(err, muster.CodeNotFound)
}

func TestReplayWritesTheTwoLeavesOfItsUse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Apply(roomtest.Person("app-1"))
	three := roomtest.Person("app-2")
	three.Payment.Country, three.Access.IP = "KZ", "51.174.0.10"
	b.Apply(three)
	gone := b.Apply(roomtest.Company("app-3"))
	id := b.Subjects(gone.Application)["/beneficial_owners/0"]
	key := roomtest.View(b.Rooms, func(ctx context.Context, tx *store.Tx) (key string, err error) {
		app, err := tx.Application(ctx, gone.Application)
		if err != nil {
			return "", err
		}
		all, err := tx.Subjects(ctx, app.Customer)
		for _, s := range all {
			if s.ID == id {
				key = s.Key
			}
		}
		return key, err
	})
	if err := b.Vault.Destroy(b.Context(), []string{key}); err != nil {
		t.Fatal(err)
	}
	before := b.Audit()
	draft := strings.Replace(edition(t, "draft"), "  - id: three_countries\n    title: Address, access and payment are in three different countries\n    when: >-\n", "  - id: three_countries\n    title: Address, access and payment are in three different countries\n    when: >-\n      false &&\n", 1)
	report, err := b.Activate.ReplayDraft(b.Context(), b.Anna.Operator, programme.Draft{Source: draft})
	if err != nil {
		t.Fatal(err)
	}
	if report.Decided != 2 || len(report.Changed) != 1 || report.Changed[0].Was != muster.OutcomeReview || report.Changed[0].Is != muster.OutcomeVerify {
		t.Errorf("%+v", report)
	}
	after := b.Audit()
	if after.Size != before.Size+2 || after.ByType["use_start"] != 1 || after.ByType["use_end"] != 1 || after.ByType["decision"] != before.ByType["decision"] {
		t.Errorf("%+v, before %+v", after, before)
	}
	same, err := b.Activate.ReplayDraft(b.Context(), b.Anna.Operator, programme.Draft{Source: edition(t, "draft")})
	if err != nil || len(same.Changed) != 0 {
		t.Errorf("%+v, %v", same, err)
	}
	none, err := b.Activate.ReplayDraft(b.Context(), b.Anna.Operator, programme.Draft{Source: draft, Since: b.Clock.Now().Add(time.Hour)})
	if err != nil || none.Decided != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	b.Clean()
}

// undecided is a past in which the newest decision was made by no pack, as of a
// customer who came with a provider's book.
type undecided struct{ programme.Past }

func (u undecided) DecisionsSince(ctx context.Context, t time.Time, page muster.Page) ([]*muster.DecisionRecord, error) {
	rows, err := u.Past.DecisionsSince(ctx, t, page)
	if err != nil || len(rows) == 0 {
		return rows, err
	}
	last := rows[len(rows)-1]
	var d muster.Decision
	if err := json.Unmarshal(last.Body, &d); err != nil {
		return nil, err
	}
	d.Packs = nil
	last.Body, err = json.Marshal(&d)
	return rows, err
}

func TestReplayPassesOverWhatNobodyDecided(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Apply(roomtest.Person("app-1"))
	b.Apply(roomtest.Person("app-2"))
	for want, past := range map[int]programme.Past{2: b.Activate.Past, 1: undecided{b.Activate.Past}} {
		s := *b.Activate
		s.Past = past
		report, err := s.ReplayDraft(b.Context(), b.Anna.Operator, programme.Draft{Source: edition(t, "draft")})
		if err != nil || report.Decided != want {
			t.Errorf("%d: %+v, %v", want, report, err)
		}
	}
}
