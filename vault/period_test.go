package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
	"github.com/muster-cip/muster/vault/vaulttest"
)

var november = time.Date(2026, 11, 26, 7, 59, 59, 0, time.UTC)

type record func(vault.Entry) error

func (r record) Record(_ context.Context, e vault.Entry) error { return r(e) }

func periodSession(t *testing.T, v *vault.Vault) *vault.Session {
	t.Helper()
	s, err := v.Use(t.Context(), vault.Job{Name: "ledger.test", Purpose: "test", Scope: "all"}, record(func(vault.Entry) error { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPeriodsAreNamedByTime(t *testing.T) {
	t.Parallel()
	for use, want := range map[vault.PeriodUse]string{
		vault.UseHot: "2026-11-26t07", vault.UseQuarantine: "2026-11-26", vault.UseAccess: "2026q4", vault.UseLease: "2026q4",
		vault.UseAccessIndex: "2026-11", vault.UseLeaseIndex: "2026-11",
	} {
		if got := vault.PeriodAt(use, november.In(time.FixedZone("", 3600*14))); got.Name != want {
			t.Errorf("%s: %s, want %s", use, got.Name, want)
		}
	}
}

func TestPeriodKeys(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	v := vaulttest.New(t)
	hot := vault.PeriodAt(vault.UseHot, november)
	place := vault.Place{Record: "batch", Field: "hot"}

	t.Run("a key is the same until it is destroyed, then what it sealed is gone", func(t *testing.T) {
		if err := v.MakePeriods(ctx, hot, vault.PeriodAt(vault.UseHot, november.Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
		k, err := v.PeriodKey(ctx, hot)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.MakePeriods(ctx, hot); err != nil {
			t.Fatal(err)
		}
		sealed := v.SealPeriod(k, place, []byte("a batch"))
		s := periodSession(t, v)
		if got, err := s.OpenPeriod(ctx, hot, place, sealed); err != nil || string(got) != "a batch" {
			t.Fatalf("%q, %v", got, err)
		}
		if _, err := s.OpenPeriod(ctx, hot, vault.Place{Record: "other", Field: "hot"}, sealed); err == nil {
			t.Fatal("it opened in another's place")
		}
		all, err := v.Periods(ctx, vault.UseHot)
		if err != nil || len(all) != 2 || all[0] != hot {
			t.Fatalf("%v, %v", all, err)
		}
		if err := v.DestroyPeriods(ctx, hot); err != nil {
			t.Fatal(err)
		}
		if _, err := s.OpenPeriod(ctx, hot, place, sealed); muster.ErrorCode(err) != muster.CodeGone {
			t.Fatalf("%v, want gone", err)
		}
		if _, err := v.PeriodKey(ctx, hot); err != nil { // made anew
			t.Fatal(err)
		}
		if _, err := s.OpenPeriod(ctx, hot, place, sealed); err == nil {
			t.Fatal("a new key opened what the old one sealed")
		}
	})

	t.Run("it prints nothing but its name", func(t *testing.T) {
		k, err := v.PeriodKey(ctx, hot)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%v %+v %#v %x", k, k, k, k); bytes.Contains([]byte(got), []byte("0x")) || len(got) > 120 {
			t.Fatal(got)
		}
	})

	t.Run("a tag is of its month and of its index", func(t *testing.T) {
		seen := map[uint64]bool{}
		for _, p := range []vault.Period{
			vault.PeriodAt(vault.UseAccessIndex, november), vault.PeriodAt(vault.UseLeaseIndex, november),
			vault.PeriodAt(vault.UseAccessIndex, november.AddDate(0, 1, 0)),
		} {
			k, err := v.PeriodKey(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			again, err := v.PeriodKey(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			tag := k.Tag([16]byte{1})
			if seen[tag] || tag != again.Tag([16]byte{1}) || tag == k.Tag([16]byte{2}) {
				t.Fatal("tags are alike, or change")
			}
			seen[tag] = true
		}
	})
}

func TestSpanDiesWithEither(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, how := range []string{"the subject is erased", "the quarter is destroyed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			v := vaulttest.New(t)
			subject, err := v.TakeKey(ctx)
			if err != nil {
				t.Fatal(err)
			}
			other, err := v.TakeKey(ctx)
			if err != nil {
				t.Fatal(err)
			}
			p := vault.PeriodAt(vault.UseAccess, november)
			quarter, err := v.PeriodKey(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			k, err := v.Span(subject, quarter)
			if err != nil {
				t.Fatal(err)
			}
			place := vault.SpanPlace{Subject: "sub_1", Row: 7, Header: []byte{1, 2}}
			sealed := v.SealSpan(k, place, []byte("records"))
			s := periodSession(t, v)
			open := func(id string, p vault.Period, place vault.SpanPlace) ([]byte, error) {
				o, err := s.OpenSpans(ctx, id, p)
				if err != nil {
					return nil, err
				}
				return o.Open(nil, place, sealed)
			}
			if got, err := open(subject.ID(), p, place); err != nil || string(got) != "records" {
				t.Fatalf("%q, %v", got, err)
			}
			for what, err := range map[string]error{
				"another subject's key": func() error { _, err := open(other.ID(), p, place); return err }(),
				"another subject":       func() error { p2 := place; p2.Subject = "sub_2"; _, err := open(subject.ID(), p, p2); return err }(),
				"another row":           func() error { p2 := place; p2.Row = 8; _, err := open(subject.ID(), p, p2); return err }(),
				"another header":        func() error { p2 := place; p2.Header = []byte{1, 3}; _, err := open(subject.ID(), p, p2); return err }(),
			} {
				if err == nil {
					t.Errorf("it opened under %s", what)
				}
			}
			// Rotation does not touch what was sealed.
			if err := v.Rotate(ctx, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := open(subject.ID(), p, place); err != nil {
				t.Fatalf("after a rotation: %v", err)
			}
			if how == "the subject is erased" {
				err = v.Destroy(ctx, []string{subject.ID()})
			} else {
				err = v.DestroyPeriods(ctx, p)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := open(subject.ID(), p, place); muster.ErrorCode(err) != muster.CodeGone {
				t.Fatalf("%v, want gone", err)
			}
		})
	}
}

func TestQuestionIsRecordedFirst(t *testing.T) {
	t.Parallel()
	v := vaulttest.New(t)
	ask := vault.RevealRequest{Operator: "opr_00000000000000000000000000", Purpose: vault.PurposeAbuse, Case: "case-1"}
	var got []vault.Entry
	if _, err := v.Question(t.Context(), ask, "ledger.came_from", "1h", record(func(e vault.Entry) error { got = append(got, e); return nil })); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Type != vault.EntryLookup || got[0].Job != "ledger.came_from" || got[0].Case != "case-1" {
		t.Fatalf("%+v", got)
	}
	if _, err := v.Question(t.Context(), ask, "ledger.came_from", "1h", record(func(vault.Entry) error { return errors.New("full") })); err == nil {
		t.Fatal("a question whose leaf failed was let through")
	}
	ask.Case = ""
	if _, err := v.Question(t.Context(), ask, "ledger.came_from", "1h", record(func(vault.Entry) error { return nil })); err == nil {
		t.Fatal("a question without a case was let through")
	}
}
