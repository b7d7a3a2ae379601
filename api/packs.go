package api

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/programme"
)

// Programme proposes and approves activations of packs (programme.Service).
// Approving takes another
// operator than proposing, but for the delay of a solo one.
type Programme interface {
	Propose(ctx context.Context, by string, p programme.Proposal) (*muster.ActivationRecord, error)
	Approve(ctx context.Context, by, id string) (*muster.ActivationRecord, error)
	ReplayDraft(ctx context.Context, by string, d programme.Draft) (*policy.ReplayReport, error)
}

// PackList lists packs and activations (store.DB). Source is left out of lists.
type PackList interface {
	ListPacks(ctx context.Context, page muster.Page) ([]*muster.PackRecord, error) // after: a digest
	Pack(ctx context.Context, digest string) (*muster.PackRecord, error)
	Activations(ctx context.Context) ([]muster.ActivationRecord, error)
}

// Activation is a pack edition that decides from an instant on.
type Activation struct {
	Activation string    `json:"activation"`
	Pack       string    `json:"pack"`
	Digest     string    `json:"digest"`
	Effective  time.Time `json:"effective,omitzero"`
	Proposer   string    `json:"proposer" doc:"operator id"`
	Approver   string    `json:"approver,omitempty" doc:"operator id; absent until approved"`
	Observe    bool      `json:"observe"`
	Retire     bool      `json:"retire"`
	Made       time.Time `json:"made"`
	Approved   time.Time `json:"approved,omitzero"`
}

func activationOf(r *muster.ActivationRecord) Activation {
	return Activation{r.ID, r.Pack, r.Digest, r.Effective, r.Proposer, r.Approver, r.Observe, r.Retire, r.Made, r.Approved}
}

// PackRow is a pack's edition, with its activations.
type PackRow struct {
	muster.PackRef
	Made        time.Time    `json:"made"`
	Activations []Activation `json:"activations" nullable:"false"`
}

func (a *API) listPacks(ctx context.Context, in *Paging) (*listOutput[PackRow], error) {
	rows, err := a.Packs.ListPacks(ctx, in.page())
	if err != nil {
		return nil, err
	}
	all, err := a.Packs.Activations(ctx)
	if err != nil {
		return nil, err
	}
	shape := func(r *muster.PackRecord) PackRow {
		row := PackRow{muster.PackRef{ID: r.ID, Edition: r.Edition, Digest: r.Digest}, r.Made, []Activation{}}
		for i := range all {
			if all[i].Digest == r.Digest {
				row.Activations = append(row.Activations, activationOf(&all[i]))
			}
		}
		return row
	}
	return list(in, rows, shape, func(r *muster.PackRecord) string { return r.Digest }), nil
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (a *API) getPackSource(c *call, r *http.Request) error {
	name := r.PathValue("digest")
	if !digest.MatchString(name) {
		return muster.Errorf(muster.CodeNotFound, "there is no such pack")
	}
	p, err := a.Packs.Pack(r.Context(), name)
	if err != nil {
		return err
	}
	c.Header().Set("ETag", `"`+p.Digest+`"`)
	return c.bytes(http.StatusOK, "application/yaml", p.Source)
}

func packSourceDoc(_ huma.Registry, o *huma.Operation) {
	o.Parameters = append(o.Parameters, pathParam("digest", "SHA-256 of the bytes, hex"))
	gives(o, http.StatusOK, "application/yaml", &huma.Schema{Type: huma.TypeString}, "ETag")
}

type proposeInput struct{ Body programme.Proposal }

type activationOutput struct{ Body Activation }

func (a *API) proposeActivation(ctx context.Context, in *proposeInput) (*activationOutput, error) {
	r, err := a.Programme.Propose(ctx, callOf(ctx).by.Operator, in.Body)
	if err != nil {
		return nil, err
	}
	return &activationOutput{activationOf(r)}, nil
}

type draftInput struct{ Body programme.Draft }

type reportOutput struct{ Body *policy.ReplayReport }

func (a *API) replayDecisions(ctx context.Context, in *draftInput) (*reportOutput, error) {
	report, err := a.Programme.ReplayDraft(ctx, callOf(ctx).by.Operator, in.Body)
	return &reportOutput{report}, err
}

type approveInput struct {
	Activation string `path:"activation" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

func (a *API) approveActivation(ctx context.Context, in *approveInput) (*activationOutput, error) {
	r, err := a.Programme.Approve(ctx, callOf(ctx).by.Operator, in.Activation)
	if err != nil {
		return nil, err
	}
	return &activationOutput{activationOf(r)}, nil
}
