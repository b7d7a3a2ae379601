package onboard_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/verify/contact"
)

func (b *bundle) respond(challenge, code string) (*onboard.Answer, error) {
	return b.Onboard.Respond(b.Context(), b.Anna, challenge, code)
}

func (b *bundle) challenge(application string) (*onboard.ChallengeAnswer, error) {
	return b.Onboard.Challenge(b.Context(), b.Anna, application, onboard.ChallengeRequest{Method: contact.Email})
}

// wrong is a code of six digits that is not code.
func wrong(code string) string {
	if code[0] == '9' {
		return "1" + code[1:]
	}
	return "9" + code[1:]
}

func TestCodes(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (b *bundle, application, challenge, code string) {
		b = setup(t)
		a := b.Apply(roomtest.Person("app-1"))
		challenge, code = b.Challenge(a.Application, "", contact.Email)
		return b, a.Application, challenge, code
	}
	left := func(b *bundle, challenge string) int {
		return roomtest.View(b.Rooms, func(ctx ctx, tx *store.Tx) (*muster.ChallengeRecord, error) { return tx.Challenge(ctx, challenge) }).Left
	}
	t.Run("a wrong code spends an attempt, and stays spent though the next write fails", func(t *testing.T) {
		t.Parallel()
		b, _, challenge, code := start(t)
		_, err := b.respond(challenge, wrong(code))
		b.fails(err, muster.CodeInvalid, "/code wrong_code")
		if n := left(b, challenge); n != contact.Attempts-1 {
			t.Errorf("%d left", n)
		}
		b.Faults.FailWrite(1) // nothing of the evidence is written
		_, err = b.respond(challenge, code)
		b.fails(err, muster.CodeUnavailable)
		b.Faults.Off()
		if n := left(b, challenge); n != contact.Attempts-2 {
			t.Errorf("%d left: the attempt was taken back", n)
		}
		if _, err := b.respond(challenge, code); err != nil {
			t.Error(err)
		}
	})
	t.Run("what is no code costs nothing", func(t *testing.T) {
		t.Parallel()
		b, _, challenge, code := start(t)
		_, err := b.respond(challenge, "12345")
		b.fails(err, muster.CodeInvalid, "/code not_a_code")
		if n := left(b, challenge); n != contact.Attempts {
			t.Errorf("%d left", n)
		}
		if _, err := b.respond(challenge, " "+code[:3]+"-"+code[3:]); err != nil {
			t.Error(err)
		}
	})
	t.Run("after five wrong ones the right one is too late", func(t *testing.T) {
		t.Parallel()
		b, _, challenge, code := start(t)
		for range contact.Attempts {
			_, err := b.respond(challenge, wrong(code))
			b.fails(err, muster.CodeInvalid)
		}
		_, err := b.respond(challenge, code)
		b.fails(err, muster.CodeRateLimited)
	})
	t.Run("after ten minutes it is too late", func(t *testing.T) {
		t.Parallel()
		b, _, challenge, code := start(t)
		b.Clock.Move(contact.Lifetime)
		_, err := b.respond(challenge, code)
		b.fails(err, muster.CodeRateLimited)
		_, err = b.Onboard.ToSend(b.Context(), challenge)
		b.fails(err, muster.CodeGone)
	})
	t.Run("a code that was sent again voids the one before", func(t *testing.T) {
		t.Parallel()
		b, _, challenge, code := start(t)
		m, err := b.Onboard.ToSend(b.Context(), challenge)
		if err != nil {
			t.Fatal(err)
		}
		if m.To != "chidinma.okafor@example.com.ng" || m.Reference != challenge || m.Locale != "en" {
			t.Errorf("to %q, reference %s, locale %s", m.To, m.Reference, m.Locale)
		}
		if m.Code != code { // one in a million
			_, err = b.respond(challenge, code)
			b.fails(err, muster.CodeInvalid, "/code wrong_code")
		}
		if _, err := b.respond(challenge, m.Code); err != nil {
			t.Error(err)
		}
		_, err = b.Onboard.ToSend(b.Context(), challenge)
		b.fails(err, muster.CodeGone) // it is met
	})
	t.Run("a code that nobody drew is not met by any", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		c, err := b.challenge(b.Apply(roomtest.Person("app-1")).Application)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []string{"000000", "123456"} {
			_, err := b.respond(c.Challenge, code)
			b.fails(err, muster.CodeInvalid, "/code wrong_code")
		}
	})
	t.Run("of many right answers at once one is evidence", func(t *testing.T) {
		t.Parallel()
		b, id, challenge, code := start(t)
		var wait sync.WaitGroup
		var good atomic.Int32
		for range contact.Attempts {
			wait.Go(func() {
				switch _, err := b.respond(challenge, code); muster.ErrorCode(err) {
				case "":
					good.Add(1)
				case muster.CodeConflict, muster.CodeRateLimited:
				default:
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if n := len(b.look(id).Subjects[0].Evidence); good.Load() != 1 || n != 1 {
			t.Errorf("%d were taken, %d are evidence", good.Load(), n)
		}
		b.Clean()
	})
	t.Run("five an hour and ten a day to one address, whoever asks", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		one, two := b.Apply(roomtest.Person("app-1")), b.Apply(roomtest.Person("app-2")) // the same mailbox
		other := roomtest.Person("app-3")
		other.Customer.Email = "somebody@example.com.ng"
		third := b.Apply(other)
		for i := range 5 {
			id := one.Application
			if i%2 == 1 {
				id = two.Application
			}
			if _, err := b.challenge(id); err != nil {
				t.Fatal(i, err)
			}
		}
		_, err := b.challenge(two.Application)
		if e := b.fails(err, muster.CodeRateLimited); e.RetryAfter <= 0 || e.RetryAfter > time.Hour {
			t.Errorf("try again after %v", e.RetryAfter)
		}
		if _, err := b.challenge(third.Application); err != nil {
			t.Error("another address, the same domain:", err)
		}
		b.Clock.Move(time.Hour + time.Second)
		for range 5 {
			if _, err := b.challenge(one.Application); err != nil {
				t.Fatal(err)
			}
		}
		b.Clock.Move(time.Hour + time.Second)
		_, err = b.challenge(one.Application)
		b.fails(err, muster.CodeRateLimited)
		b.Clock.Move(day)
		if _, err := b.challenge(one.Application); err != nil {
			t.Error(err)
		}
	})
	t.Run("nothing is sent to an address that was not stated", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		app := roomtest.Person("app-1")
		app.Customer.Email = ""
		_, err := b.challenge(b.Apply(app).Application)
		b.fails(err, muster.CodeInvalid, "/method claim_absent")
		_, err = b.Onboard.Challenge(b.Context(), b.Anna, "app-1", onboard.ChallengeRequest{Method: "contact.pigeon"})
		b.fails(err, muster.CodeInvalid, "/method unknown_method")
		_, err = b.Onboard.Challenge(b.Context(), b.Anna, "app-1", onboard.ChallengeRequest{Method: contact.Email, Subject: "sub_other"})
		b.fails(err, muster.CodeInvalid, "/subject unknown_subject")
	})
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	sandbox := func(t *testing.T) *bundle {
		return setupWith(t, roomtest.Options{Mode: muster.ModeSandbox, Packs: []string{roomtest.Pack(t, "us-iaas-cip"), roomtest.Pack(t, "sandbox")}})
	}
	magic := func(o string) *muster.Application {
		app := roomtest.Person("app-" + o)
		app.Customer.Email = o + "+1@sandbox.muster.example"
		return app
	}
	t.Run("an address chooses the outcome", func(t *testing.T) {
		t.Parallel()
		b := sandbox(t)
		for outcome, account := range map[muster.Outcome]string{
			muster.OutcomeOpen: muster.AccActive, muster.OutcomeLimit: muster.AccLimited, muster.OutcomeCollect: muster.AccPending,
			muster.OutcomeVerify: muster.AccPending, muster.OutcomeReview: muster.AccPending, muster.OutcomeSuspend: muster.AccSuspended,
			muster.OutcomeRefuse: muster.AccClosed, muster.OutcomeClose: muster.AccClosed,
		} {
			a := b.Apply(magic(string(outcome)))
			if a.Decision.Outcome != outcome || a.AccountState != account || a.Decision.Mode != muster.ModeSandbox {
				t.Errorf("%s: %s, account %s, mode %s", outcome, a.Decision.Outcome, a.AccountState, a.Decision.Mode)
			}
		}
		usual := roomtest.Person("app-1") // asks for nothing
		usual.Customer.Phone = "+2348031234577"
		b.is(b.Apply(usual), muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		b.Clean()
	})
	t.Run("six zeros are every code", func(t *testing.T) {
		t.Parallel()
		b := sandbox(t)
		c, err := b.challenge(b.Apply(roomtest.Person("app-1")).Application)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.respond(c.Challenge, contact.SandboxCode); err != nil {
			t.Error(err)
		}
	})
	t.Run("the pack that shows outcomes opens nothing by itself", func(t *testing.T) {
		t.Parallel()
		for _, mode := range []string{muster.ModeProduction, muster.ModeSandbox} {
			b := setupWith(t, roomtest.Options{Mode: mode, Packs: []string{roomtest.Pack(t, "sandbox")}})
			_, err := b.post(roomtest.Person("app-1"))
			b.fails(err, muster.CodeUnavailable)
		}
	})
	t.Run("in production neither does", func(t *testing.T) {
		t.Parallel()
		b := setupWith(t, roomtest.Options{Packs: []string{roomtest.Pack(t, "us-iaas-cip"), roomtest.Pack(t, "sandbox")}})
		a := b.Apply(magic("open"))
		b.is(a, muster.AppNeeds, muster.AccLimited, muster.OutcomeVerify)
		challenge, code := b.Challenge(a.Application, "", contact.Email)
		if code != contact.SandboxCode {
			_, err := b.respond(challenge, contact.SandboxCode)
			b.fails(err, muster.CodeInvalid, "/code wrong_code")
		}
	})
}
