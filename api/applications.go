package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// Applications takes, corrects, withdraws and shows applications (onboard.Service).
type Applications interface {
	Apply(ctx context.Context, by muster.Principal, body []byte) (*onboard.Answer, error)
	Correct(ctx context.Context, by muster.Principal, id string, version int64, patch []byte) (*onboard.Answer, error)
	Withdraw(ctx context.Context, by muster.Principal, id string, version int64) (*onboard.Answer, error)
	View(ctx context.Context, idOrReference string) (*onboard.View, error)
}

// Verification gathers evidence (onboard.Service).
type Verification interface {
	Challenge(ctx context.Context, by muster.Principal, id string, r onboard.ChallengeRequest) (*onboard.ChallengeAnswer, error)
	Respond(ctx context.Context, by muster.Principal, challenge, code string) (*onboard.Answer, error)
	Record(ctx context.Context, by muster.Principal, id string, in onboard.EvidenceInput) (*onboard.Answer, error)
}

// Reveals is the door through which clear values leave (onboard.Service).
type Reveals interface {
	Reveal(ctx context.Context, by muster.Principal, id string, r onboard.RevealRequest) (*onboard.Revealed, error)
}

// Files lists what is on file, without personal values (store.DB). Lists come in
// the order of their ids, after page.After, at most page.Limit.
type Files interface {
	ListApplications(ctx context.Context, state string, page muster.Page) ([]*muster.ApplicationRecord, error) // state "": all
	ListCustomers(ctx context.Context, page muster.Page) ([]*muster.CustomerRecord, error)
	Customer(ctx context.Context, id string) (*muster.CustomerRecord, error)
	AccountsOf(ctx context.Context, customer string) ([]*muster.AccountRecord, error)
	Account(ctx context.Context, idOrReference string) (*muster.AccountRecord, error)
}

// apply is the hot path: the bytes go to the service as they came, which checks
// them once and against far more than a schema could say.
func (a *API) apply(c *call, r *http.Request) error {
	body, err := c.body(r, "application/json")
	if err != nil {
		return err
	}
	answer, err := a.Applications.Apply(r.Context(), c.by, body)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if answer.Created {
		status = http.StatusCreated
	}
	c.Header()["Etag"] = []string{etag(answer.Version)}
	return c.json(status, answer)
}

func applyDoc(r huma.Registry, o *huma.Operation) {
	takes[muster.Application](r, o, "application/json")
	answer := answerSchema(r)
	gives(o, http.StatusCreated, "application/json", answer, "ETag")
	gives(o, http.StatusOK, "application/json", answer, "ETag")
	o.Responses["200"].Description = "The same application was here already: its first answer, or a later decision's."
}

func answerSchema(r huma.Registry) *huma.Schema { return schemaOf[onboard.Answer](r) }

func (a *API) correct(c *call, r *http.Request) error {
	v, err := version(r.Header.Get("If-Match"))
	if err != nil {
		return err
	}
	id, err := pathName(r, "application")
	if err != nil {
		return err
	}
	body, err := c.body(r, "application/merge-patch+json", "application/json")
	if err != nil {
		return err
	}
	answer, err := a.Applications.Correct(r.Context(), c.by, id, v, body)
	if err != nil {
		return err
	}
	c.Header()["Etag"] = []string{etag(answer.Version)}
	return c.json(http.StatusOK, answer)
}

func correctDoc(r huma.Registry, o *huma.Operation) {
	o.Parameters = append(o.Parameters, pathParam("application", "id or reference"), &huma.Param{
		Name: "If-Match", In: "header", Description: "the ETag of what you saw", Schema: &huma.Schema{Type: huma.TypeString},
	})
	patch := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true,
		Description: "A JSON Merge Patch (RFC 7396) on the application's own shape; null takes a claim back.",
	}
	o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/merge-patch+json": {Schema: patch}, "application/json": {Schema: patch},
	}}
	gives(o, http.StatusOK, "application/json", answerSchema(r), "ETag")
}

// ApplicationPath names an application.
type ApplicationPath struct {
	Application string `path:"application" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$" doc:"id or reference"`
}

type answerOutput struct {
	ETag string `header:"ETag"`
	Body *onboard.Answer
}

func answered(answer *onboard.Answer, err error) (*answerOutput, error) {
	if err != nil {
		return nil, err
	}
	return &answerOutput{etag(answer.Version), answer}, nil
}

// ApplicationRow is an application in a list.
type ApplicationRow struct {
	Application string    `json:"application"`
	Reference   string    `json:"reference"`
	State       string    `json:"state" enum:"received,needs,review,approved,refused,expired,withdrawn"`
	Customer    string    `json:"customer"`
	Account     string    `json:"account" doc:"account id"`
	Decision    string    `json:"decision" doc:"id of the latest"`
	Received    time.Time `json:"received"`
	Updated     time.Time `json:"updated"`
}

func applicationRow(r *muster.ApplicationRecord) ApplicationRow {
	return ApplicationRow{r.ID, r.Reference, r.State, r.Customer, r.Account, r.Decision, r.Received, r.Updated}
}

type listApplicationsInput struct {
	Paging
	State string `query:"state" enum:"received,needs,review,approved,refused,expired,withdrawn"`
}

func (a *API) listApplications(ctx context.Context, in *listApplicationsInput) (*listOutput[ApplicationRow], error) {
	rows, err := a.Files.ListApplications(ctx, in.State, in.page())
	if err != nil {
		return nil, err
	}
	return list(&in.Paging, rows, applicationRow, func(r *muster.ApplicationRecord) string { return r.ID }, "state", in.State), nil
}

type viewOutput struct {
	ETag string `header:"ETag"`
	Body *onboard.View
}

func (a *API) getApplication(ctx context.Context, in *ApplicationPath) (*viewOutput, error) {
	v, err := a.Applications.View(ctx, in.Application)
	if err != nil {
		return nil, err
	}
	return &viewOutput{etag(v.Version), v}, nil
}

type withdrawInput struct {
	ApplicationPath
	Match
}

func (a *API) withdraw(ctx context.Context, in *withdrawInput) (*answerOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return answered(a.Applications.Withdraw(ctx, callOf(ctx).by, in.Application, v))
}

type challengeInput struct {
	ApplicationPath
	Body onboard.ChallengeRequest
}

type challengeOutput struct{ Body *onboard.ChallengeAnswer }

func (a *API) challenge(ctx context.Context, in *challengeInput) (*challengeOutput, error) {
	answer, err := a.Verification.Challenge(ctx, callOf(ctx).by, in.Application, in.Body)
	if err != nil {
		return nil, err
	}
	return &challengeOutput{answer}, nil
}

type respondInput struct {
	Challenge string `path:"challenge" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	Body      struct {
		Code string `json:"code" maxLength:"20" doc:"as it was sent"`
	}
}

func (a *API) respond(ctx context.Context, in *respondInput) (*answerOutput, error) {
	return answered(a.Verification.Respond(ctx, callOf(ctx).by, in.Challenge, in.Body.Code))
}

type evidenceInput struct {
	ApplicationPath
	Body onboard.EvidenceInput
}

func (a *API) recordEvidence(ctx context.Context, in *evidenceInput) (*answerOutput, error) {
	return answered(a.Verification.Record(ctx, callOf(ctx).by, in.Application, in.Body))
}

type revealInput struct {
	ApplicationPath
	Body onboard.RevealRequest
}

type revealOutput struct{ Body *onboard.Revealed }

func (a *API) reveal(ctx context.Context, in *revealInput) (*revealOutput, error) {
	out, err := a.Reveals.Reveal(ctx, callOf(ctx).by, in.Application, in.Body)
	if err != nil {
		return nil, err
	}
	return &revealOutput{out}, nil
}

// pathName is a raw route's name in the path, which has the form of a reference.
func pathName(r *http.Request, name string) (string, error) {
	v := r.PathValue(name)
	if !muster.IsReference(v) {
		return "", muster.Errorf(muster.CodeNotFound, "there is no such thing")
	}
	return v, nil
}
