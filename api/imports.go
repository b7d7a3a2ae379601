package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// Imports takes a provider's existing book (onboard.Service).
type Imports interface {
	OpenImport(ctx context.Context, by muster.Principal, o onboard.ImportOrder) (r *muster.ImportRecord, opened bool, err error)
	TakeLines(ctx context.Context, by muster.Principal, id string, first int, body []byte) (*onboard.ImportLines, error)
	EndImport(ctx context.Context, by muster.Principal, id string) (*muster.ImportRecord, error)
	Cohorts(ctx context.Context) ([]muster.CohortCount, error)
	Cohort(ctx context.Context, name string) (*muster.CohortCount, error)
	ChangeCohort(ctx context.Context, by muster.Principal, name string, version int64, o onboard.CohortOrder) (c *muster.CohortCount, done bool, err error)
	AgreeCohort(ctx context.Context, by muster.Principal, name string, version int64) (*muster.CohortCount, error)
	Adopted(ctx context.Context, account string) (*onboard.Adopted, error) // nil: it was not taken over
}

// ImportList reads imports (store.DB).
type ImportList interface {
	Import(ctx context.Context, id string) (*muster.ImportRecord, error)
	ListImports(ctx context.Context, page muster.Page) ([]*muster.ImportRecord, error)
}

// ImportView is one file of a provider's book on its way in.
type ImportView struct {
	Import  string               `json:"import"`
	Cohort  string               `json:"cohort"`
	Source  string               `json:"source" doc:"SHA-256 of the file"`
	By      string               `json:"by" doc:"operator"`
	Made    time.Time            `json:"made"`
	Ended   time.Time            `json:"ended,omitzero"`
	Place   int                  `json:"place" doc:"the last line up to which all are done"`
	Taken   int                  `json:"taken" doc:"lines whose content is on file because of it"`
	There   int                  `json:"there" doc:"lines that were on file before"`
	Refused int                  `json:"refused" doc:"lines at fault"`
	Later   int                  `json:"later" doc:"of these, lines whose account above is not there: sent again behind it they are taken"`
	Lines   []muster.RefusedLine `json:"lines" nullable:"false" doc:"the first thousand that were refused, with fields and no values"`
}

func importView(r *muster.ImportRecord) ImportView {
	return ImportView{
		r.ID, r.Cohort, r.Source, r.By, r.Made, r.Ended, r.Place, r.Taken, r.There, r.Refused, r.Report.Later,
		append([]muster.RefusedLine{}, r.Report.Lines...),
	}
}

// Cohort is a part of the customers who were there before.
type Cohort struct {
	Cohort  string    `json:"cohort"`
	Due     time.Time `json:"due" doc:"from when on its members are decided"`
	Share   int       `json:"share" doc:"per cent of them on one day"`
	Made    time.Time `json:"made"`
	By      string    `json:"by" doc:"operator"`
	Adopted int       `json:"adopted" doc:"members"`
	Decided int       `json:"decided" doc:"of these"`
	Today   int       `json:"today" doc:"of these, today (UTC), because it is due: what the share bounds"`
	Version int64     `json:"version" doc:"the ETag, for If-Match"`

	Change *CohortChange `json:"change,omitempty" doc:"what waits for a second operator"`
}

// CohortChange is what one operator proposed.
type CohortChange struct {
	Due   time.Time `json:"due"`
	Share int       `json:"share"`
	Case  string    `json:"case"`
	By    string    `json:"by" doc:"operator"`
	At    time.Time `json:"at"`
}

func cohortOf(c *muster.CohortCount) Cohort {
	x := Cohort{c.Name, c.Due, c.Share, c.Made, c.By, c.Adopted, c.Decided, c.Today, c.Version, nil}
	if c.Change != nil {
		change := CohortChange(*c.Change)
		x.Change = &change
	}
	return x
}

type openImportInput struct{ Body onboard.ImportOrder }

type importOutput struct{ Body ImportView }

func (a *API) openImport(ctx context.Context, in *openImportInput) (*importOutput, error) {
	r, _, err := a.Imports.OpenImport(ctx, callOf(ctx).by, in.Body)
	if err != nil {
		return nil, err
	}
	return &importOutput{importView(r)}, nil
}

// ImportPath names an import.
type ImportPath struct {
	Import string `path:"import" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
}

func (a *API) getImport(ctx context.Context, in *ImportPath) (*importOutput, error) {
	r, err := a.ImportList.Import(ctx, in.Import)
	if err != nil {
		return nil, err
	}
	return &importOutput{importView(r)}, nil
}

func (a *API) endImport(ctx context.Context, in *ImportPath) (*importOutput, error) {
	r, err := a.Imports.EndImport(ctx, callOf(ctx).by, in.Import)
	if err != nil {
		return nil, err
	}
	return &importOutput{importView(r)}, nil
}

func (a *API) listImports(ctx context.Context, in *Paging) (*listOutput[ImportView], error) {
	rows, err := a.ImportList.ListImports(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return list(in, rows, importView, func(r *muster.ImportRecord) string { return r.ID }), nil
}

type listCohortsOutput struct {
	Body struct {
		Items []Cohort `json:"items" nullable:"false"`
	}
}

func (a *API) listCohorts(ctx context.Context, _ *struct{}) (*listCohortsOutput, error) {
	rows, err := a.Imports.Cohorts(ctx)
	if err != nil {
		return nil, err
	}
	out := &listCohortsOutput{}
	out.Body.Items = make([]Cohort, 0, len(rows))
	for i := range rows {
		out.Body.Items = append(out.Body.Items, cohortOf(&rows[i]))
	}
	return out, nil
}

// CohortPath names a cohort.
type CohortPath struct {
	Cohort string `path:"cohort" maxLength:"32" pattern:"^[a-z0-9._-]+$"`
}

type cohortOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   Cohort
}

func cohortAnswer(c *muster.CohortCount, done bool, err error) (*cohortOutput, error) {
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if !done {
		status = http.StatusAccepted
	}
	return &cohortOutput{status, etag(c.Version), cohortOf(c)}, nil
}

func (a *API) getCohort(ctx context.Context, in *CohortPath) (*cohortOutput, error) {
	c, err := a.Imports.Cohort(ctx, in.Cohort)
	return cohortAnswer(c, true, err)
}

type changeCohortInput struct {
	CohortPath
	Match
	Body onboard.CohortOrder
}

func (a *API) changeCohort(ctx context.Context, in *changeCohortInput) (*cohortOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return cohortAnswer(a.Imports.ChangeCohort(ctx, callOf(ctx).by, in.Cohort, v, in.Body))
}

func changeCohortDoc(r huma.Registry, o *huma.Operation) {
	gives(o, http.StatusAccepted, "application/json", schemaOf[Cohort](r), "ETag")
	o.Responses["202"].Description = "A later date is kept as a proposal and waits for a second operator."
}

type agreeCohortInput struct {
	CohortPath
	Match
}

func (a *API) agreeCohort(ctx context.Context, in *agreeCohortInput) (*cohortOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	c, err := a.Imports.AgreeCohort(ctx, callOf(ctx).by, in.Cohort, v)
	return cohortAnswer(c, true, err)
}

// importLines takes the bytes as they came: they are many, and each line is read once.
func (a *API) importLines(c *call, r *http.Request) error {
	id, err := pathName(r, "import")
	if err != nil {
		return err
	}
	first := 1
	if s := r.URL.Query().Get("line"); s != "" {
		if first, err = strconv.Atoi(s); err != nil || first < 1 {
			return muster.Invalid(muster.Fault{Code: "format", Detail: "query parameter line: a number from 1 on"})
		}
	}
	rc := http.NewResponseController(c.ResponseWriter)
	until := time.Now().Add(importFor)
	_ = rc.SetReadDeadline(until) // a writer that cannot is a test's
	_ = rc.SetWriteDeadline(until)
	body, err := c.unpacked(r, ndjson, "application/jsonl", "application/json") // one line is JSON
	if err != nil {
		return err
	}
	out, err := a.Imports.TakeLines(r.Context(), c.by, id, first, body)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

func importLinesDoc(r huma.Registry, o *huma.Operation) {
	o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{ndjson: {Schema: &huma.Schema{
		Type: huma.TypeString, Description: "Lines of a book (docs/formats/book.md), at most 5,000 and 8 MiB, plain or in gzip. Each is taken or refused by itself.",
	}}}}
	first := 1.0
	o.Parameters = append(o.Parameters, pathParam("import", "id"), &huma.Param{
		Name: "line", In: "query", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &first}, Description: "number of the first line, for the report; absent: 1",
	})
	gives(o, http.StatusOK, "application/json", schemaOf[onboard.ImportLines](r))
	o.Responses["200"].Description = "What was taken is durable. Lines that were taken before are there, and change nothing."
}
