package watch

import (
	"context"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/verify/contact"
)

// Challenges open what is to be sent, at the time of sending (package onboard).
type Challenges interface {
	// ToSend is the message of a challenge. CodeNotFound, CodeGone, CodeConflict,
	// CodeInvalid and CodeIllegalMove: there is nothing to send any more (answered,
	// expired, erased, or the address is no longer claimed).
	ToSend(ctx context.Context, challenge string) (*contact.Message, error)
}

// SendCode is the duty of JobSendCode. A message is not begun with less than need left
// of the try.
func SendCode(challenges Challenges, sender contact.Sender, need time.Duration) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		m, err := challenges.ToSend(ctx, job.Ref)
		if v, failed := opened(err); failed {
			return v
		}
		// After it was opened: that too takes time.
		if !enough(ctx, need) {
			return Again("late", 0)
		}
		switch code := muster.ErrorCode(sender.Send(ctx, *m)); code {
		case "":
			return Done("")
		case muster.CodeInvalid:
			return Dead("refused")
		default:
			return Again(string(code), 0)
		}
	}
}

// Applications look again at an application whose time has come (package onboard).
type Applications interface {
	// Due decides or expires it. The codes of Challenges say that nothing is left to do.
	Due(ctx context.Context, application string) error
}

// ApplicationDue is the duty of JobDue.
func ApplicationDue(a Applications) Handler {
	return func(ctx context.Context, job *muster.Job) Verdict {
		v, _ := opened(a.Due(ctx, job.Ref))
		return v
	}
}

// opened turns an error of onboard into a verdict; failed is false where there was none.
func opened(err error) (v Verdict, failed bool) {
	switch code := muster.ErrorCode(err); code {
	case "":
		return Done(""), false
	case muster.CodeNotFound, muster.CodeGone, muster.CodeConflict, muster.CodeInvalid, muster.CodeIllegalMove:
		return Done(string(code)), true
	default:
		// CodeStale too: somebody else changed it meanwhile, and what they left may be due.
		return Again(string(code), 0), true
	}
}
