package programme

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/journal"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/vault"
)

// Past reads decisions on file, in the order of their ids.
type Past interface {
	DecisionsSince(ctx context.Context, t time.Time, page muster.Page) ([]*muster.DecisionRecord, error)
}

// Draft is a pack to be tried on past decisions.
type Draft struct {
	Source string    `json:"source" doc:"the pack, YAML"`
	Since  time.Time `json:"since,omitzero" doc:"decisions from then on; absent: all"`

	Rescreen bool `json:"rescreen,omitempty" doc:"compare names with the watch lists in effect anew: for a draft that changes weights, or goes below the floor that was kept"`
}

// Rescreener puts a screening made now into recorded facts, of the claims that they
// were computed from (package onboard).
type Rescreener interface {
	RescreenFacts(ctx context.Context, session *vault.Session, customer string, facts *muster.Facts, packs []*policy.Pack) error
}

// replayPage is how many decisions are read and opened together.
const replayPage = 1000

// ReplayDraft decides recorded facts again under a draft beside the other packs in
// effect, and writes nothing but the two leaves of the use: what comes out is
// counts and decision ids.
func (s *Service) ReplayDraft(ctx context.Context, by string, d Draft) (*policy.ReplayReport, error) {
	draft, err := Compile([]byte(d.Source))
	if err != nil {
		return nil, err
	}
	packs, _ := s.Programme.At(s.Clock())
	packs = slices.DeleteFunc(packs, func(p *policy.Pack) bool { return p.ID() == draft.ID() })
	packs = append(packs, draft)
	scope := "all decisions"
	if !d.Since.IsZero() {
		scope = "decisions since " + d.Since.UTC().Format(time.RFC3339)
	}
	session, err := s.Vault.Use(ctx, vault.Job{Name: "policy.replay", Purpose: "replay", Scope: scope, Starter: by}, s.Journal)
	if err != nil {
		return nil, err
	}
	var failed error
	report := policy.Replay(packs, s.recorded(ctx, session, d, packs, &failed))
	if err := session.End(ctx, report.Decided); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	return &report, nil
}

// recorded yields decisions with their facts. An error ends it and is left in failed.
func (s *Service) recorded(ctx context.Context, session *vault.Session, d Draft, packs []*policy.Pack, failed *error) iter.Seq[policy.Recorded] {
	wanted, screens := policy.ScreeningWanted(packs)
	return func(yield func(policy.Recorded) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for ahead := s.readAhead(ctx, session, d.Since, ""); ; {
			page := <-ahead
			rows, err := page.rows, page.err
			if err == nil && len(rows) == replayPage {
				ahead = s.readAhead(ctx, session, d.Since, rows[len(rows)-1].ID)
			}
			if err == nil && len(rows) > 0 {
				var opened []policy.Recorded
				if opened, err = openAll(ctx, session, rows); err == nil {
					for i, r := range opened {
						if len(r.Decision.Packs) == 0 {
							continue // who came with a book: nobody has decided yet
						}
						if screens && r.Facts != nil && d.Rescreen {
							err = s.Rescreener.RescreenFacts(ctx, session, rows[i].Customer, r.Facts, packs)
						} else if screens && r.Facts != nil && !wanted.Reaches(r.Facts) {
							err = errRescreen
						}
						if err != nil {
							break
						}
						if !yield(r) {
							return
						}
					}
				}
			}
			if err != nil {
				*failed = err
				return
			}
			if len(rows) < replayPage {
				return
			}
		}
	}
}

// page is decisions that were read, with their keys at hand.
type page struct {
	rows []*muster.DecisionRecord
	err  error
}

// readAhead reads the page behind after while its caller works on the one before.
func (s *Service) readAhead(ctx context.Context, session *vault.Session, since time.Time, after string) <-chan page {
	read := make(chan page, 1)
	go func() {
		rows, err := s.Past.DecisionsSince(ctx, since, muster.Page{After: after, Limit: replayPage})
		if err == nil {
			err = warm(ctx, session, rows)
		}
		read <- page{rows, err}
	}()
	return read
}

// warm reads the keys of a page of decisions at once.
func warm(ctx context.Context, session *vault.Session, rows []*muster.DecisionRecord) error {
	var keys []string
	for _, r := range rows {
		list, err := vault.FactsCommitments(r.Facts)
		if err != nil {
			return err
		}
		for _, c := range list {
			if c.KeyID != "" && !c.Erased {
				keys = append(keys, c.KeyID)
			}
		}
	}
	return session.Warm(ctx, keys)
}

var errRescreen = muster.Invalid(muster.Fault{
	Pointer: "/rescreen", Code: "needs_rescreening",
	Detail: "the draft changes weights of the matcher, or goes below the floor to which candidates were kept: replay it with rescreen (muster policy replay --rescreen), which opens every name once more",
})

// openAll opens a page of decisions on all cores.
func openAll(ctx context.Context, session *vault.Session, rows []*muster.DecisionRecord) ([]policy.Recorded, error) {
	out := make([]policy.Recorded, len(rows))
	group, ctx := errgroup.WithContext(ctx)
	share := (len(rows) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for from := 0; from < len(rows); from += share {
		group.Go(func() error {
			for i := from; i < min(from+share, len(rows)); i++ {
				if err := openOne(ctx, session, rows[i], &out[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return out, group.Wait()
}

func openOne(ctx context.Context, session *vault.Session, r *muster.DecisionRecord, out *policy.Recorded) error {
	var err error
	if out.Decision, err = journal.Decided(r); err != nil {
		return err
	}
	opened, err := session.OpenFacts(ctx, r.ID, r.Facts)
	if err != nil {
		return err
	}
	facts, erased, err := journal.Facts(opened)
	if err != nil {
		return err
	}
	if erased == 0 { // what is out of reach stays so: half the facts decide nothing
		out.Facts = facts
	}
	return nil
}
