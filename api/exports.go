package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/export"
)

// Exports gives everything out, and takes it in (export.Service).
type Exports interface {
	Ask(ctx context.Context, by, matter string, recipients []string) (*muster.ExportRecord, error)
	Agree(ctx context.Context, by, id string, version int64) (*muster.ExportRecord, error)
	Archive(ctx context.Context, by, id string, to io.Writer) error
	Regain(ctx context.Context, by string, part []byte) (*export.Regained, error)
}

// ExportList lists exports (store.DB), in the order of their ids.
type ExportList interface {
	ListExports(ctx context.Context, page muster.Page) ([]*muster.ExportRecord, error)
}

// Export is an export on the wire.
type Export struct {
	Export     string    `json:"export"`
	State      string    `json:"state" enum:"asked,agreed,taken"`
	Case       string    `json:"case"`
	Recipients []string  `json:"recipients" nullable:"false" doc:"age"`
	Asked      time.Time `json:"asked"`
	Operator   string    `json:"operator" doc:"who asked"`
	Agreed     time.Time `json:"agreed,omitzero"`
	Approver   string    `json:"approver,omitempty" doc:"who agreed"`
	Taken      time.Time `json:"taken,omitzero" doc:"whole, the last time"`
	Files      int64     `json:"files" doc:"customers, then"`
	Version    int64     `json:"version" doc:"the ETag, for If-Match"`
}

func exportOf(r *muster.ExportRecord) Export {
	return Export{r.ID, r.State, r.Case, r.Recipients, r.Asked, r.Operator, r.Agreed, r.Approver, r.Taken, r.Files, r.Version}
}

type exportOutput struct {
	ETag string `header:"ETag"`
	Body Export
}

func exportAnswer(r *muster.ExportRecord, err error) (*exportOutput, error) {
	if err != nil {
		return nil, err
	}
	return &exportOutput{etag(r.Version), exportOf(r)}, nil
}

func (a *API) listExports(ctx context.Context, in *Paging) (*listOutput[Export], error) {
	rows, err := a.ExportList.ListExports(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return list(in, rows, exportOf, func(r *muster.ExportRecord) string { return r.ID }), nil
}

type askExportInput struct {
	Body struct {
		Case       string   `json:"case" doc:"reference of the matter; no personal data"`
		Recipients []string `json:"recipients" doc:"age recipients, age1..., one to ten: who can open it"`
	}
}

func (a *API) askExport(ctx context.Context, in *askExportInput) (*exportOutput, error) {
	return exportAnswer(a.Exports.Ask(ctx, callOf(ctx).by.Operator, in.Body.Case, in.Body.Recipients))
}

type ExportPath struct {
	Export string `path:"export" maxLength:"64" pattern:"^[A-Za-z0-9._-]+$"`
	Match
}

func (a *API) agreeExport(ctx context.Context, in *ExportPath) (*exportOutput, error) {
	v, err := in.version()
	if err != nil {
		return nil, err
	}
	return exportAnswer(a.Exports.Agree(ctx, callOf(ctx).by.Operator, in.Export, v))
}

// takeExport streams. What has begun and fails breaks off: an archive without its end
// does not open whole.
func (a *API) takeExport(c *call, r *http.Request) error {
	id, err := pathName(r, "export")
	if err != nil {
		return err
	}
	c.Header().Set("Content-Type", "application/octet-stream")
	return a.Exports.Archive(r.Context(), c.by.Operator, id, patient{c})
}

// maxPart bounds a part of an archive: one line can be as large as a file with many owners.
const maxPart = 64 << 20

// patient gives each write its own time: a reader who stands still is let go.
type patient struct{ c *call }

func (p patient) Write(b []byte) (int, error) {
	p.c.until(time.Minute)
	return p.c.Write(b)
}

func takeExportDoc(_ huma.Registry, o *huma.Operation) {
	o.Parameters = append(o.Parameters, pathParam("export", "export id"))
	gives(o, http.StatusOK, "application/octet-stream", &huma.Schema{Type: huma.TypeString, Format: "binary", Description: "A tar archive, sealed by age for the recipients: docs/formats/export.md."})
}

// regain takes a part of an archive in. It takes as long as it takes: a part is up to
// ten thousand files.
func (a *API) regain(c *call, r *http.Request) error {
	until := time.Now().Add(importFor)
	rc := http.NewResponseController(c.ResponseWriter)
	_ = rc.SetReadDeadline(until) // a writer that cannot is a test's
	_ = rc.SetWriteDeadline(until)
	part, err := c.body(r, ndjson, "application/jsonl", "application/json")
	if err != nil {
		return err
	}
	out, err := a.Exports.Regain(r.Context(), c.by.Operator, part)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, out)
}

func regainDoc(r huma.Registry, o *huma.Operation) {
	o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{ndjson: {Schema: &huma.Schema{
		Type: huma.TypeString, Description: "Lines of one part of an archive: docs/formats/export.md.",
	}}}}
	gives(o, http.StatusOK, "application/json", schemaOf[export.Regained](r))
}
