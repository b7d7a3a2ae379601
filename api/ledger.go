package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/ledger"
)

// Intake takes batches of access records and leases (ledger.Hot).
type Intake interface {
	// Take returns nil once the batch is durable.
	Take(ctx context.Context, a *ledger.Arrival) (ledger.Taken, error)
}

const (
	ndjson   = "application/x-ndjson"
	protobuf = "application/x-protobuf"
)

func (a *API) addAccess(c *call, r *http.Request) error {
	return a.intake(c, r, false, func(x *ledger.Arrival, now time.Time) (err error) {
		x.Access, err = ledger.ParseAccess(x.Body, now)
		return err
	})
}

func (a *API) addLeases(c *call, r *http.Request) error {
	return a.intake(c, r, true, func(x *ledger.Arrival, now time.Time) (err error) {
		x.Leases, err = ledger.ParseLeases(x.Body, now)
		return err
	})
}

// addLogs is OTLP/HTTP (opentelemetry.io/docs/specs/otlp): the path, the two encodings
// and the empty answer are of that specification. A batch is refused whole all the same:
// no answer says partial success.
func (a *API) addLogs(c *call, r *http.Request) error {
	asJSON := r.Header.Get("Content-Type") != protobuf
	types := []string{"application/json"}
	if !asJSON {
		types[0] = protobuf
	}
	body, err := c.unpacked(r, types...)
	if err != nil {
		return err
	}
	batch, err := ledger.ParseOTLP(body, asJSON, a.Clock())
	if err != nil {
		return err
	}
	if _, err := a.take(c, r, &ledger.Arrival{Batch: *batch, Body: string(body)}); err != nil {
		return err
	}
	if asJSON {
		return c.bytes(http.StatusOK, "application/json", []byte("{}"))
	}
	return c.bytes(http.StatusOK, protobuf, nil)
}

// intake takes records as they are, or lines of whatever the mapper that the query names reads.
func (a *API) intake(c *call, r *http.Request, leases bool, parse func(*ledger.Arrival, time.Time) error) error {
	var mapper *ledger.Mapper
	types := []string{ndjson, "application/jsonl", "application/json"} // one record is JSON
	if r.URL.RawQuery != "" {
		if mapper = a.Mappers[r.URL.Query().Get("mapper")]; mapper == nil || mapper.Leases != leases {
			return muster.Invalid(muster.Fault{Code: "unknown_mapper", Detail: "query parameter mapper: there is none of this name for this kind of record"})
		}
		types = append(types, "text/plain")
	}
	body, err := c.unpacked(r, types...)
	if err != nil {
		return err
	}
	x := &ledger.Arrival{Body: string(body)}
	if mapper == nil {
		err = parse(x, a.Clock())
	} else {
		var b *ledger.Batch
		if b, err = mapper.Parse(body, a.Clock()); err == nil {
			if x.Batch = *b; b.Records() == 0 { // it was about something else
				return c.json(http.StatusOK, ledger.Taken{})
			}
		}
	}
	if err != nil {
		return err
	}
	receipt, err := a.take(c, r, x)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, receipt)
}

func (a *API) take(c *call, r *http.Request, x *ledger.Arrival) (ledger.Taken, error) {
	x.Key, x.From = r.Header.Get("Idempotency-Key"), c.by.Operator
	if x.Key != "" && !isKey(x.Key) {
		return ledger.Taken{}, muster.Invalid(muster.Fault{Code: "idempotency_key", Detail: "Idempotency-Key is 1 to 64 letters, digits, dots, dashes and underscores"})
	}
	return a.Intake.Take(r.Context(), x)
}

// unpacked is body, and what a body of Content-Encoding: gzip holds, within the same bound.
func (c *call) unpacked(r *http.Request, types ...string) ([]byte, error) {
	body, err := c.body(r, types...)
	if err != nil {
		return nil, err
	}
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		return body, nil
	case "gzip":
	default:
		return nil, &muster.Error{Code: muster.CodeMalformed, Message: "the body's Content-Encoding is not one that this route takes", Hint: "send it as it is, or in gzip"}
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, errNoGzip
	}
	bound := c.route.bound()
	plain, err := io.ReadAll(io.LimitReader(z, bound+1))
	switch {
	case int64(len(plain)) > bound:
		return nil, errTooLarge
	case err != nil:
		return nil, errNoGzip
	case len(plain) == 0:
		return nil, muster.Errorf(muster.CodeMalformed, "a body is required")
	}
	return plain, nil
}

var errNoGzip = muster.Errorf(muster.CodeMalformed, "the body is not gzip, as its Content-Encoding says")

func addAccessDoc(r huma.Registry, o *huma.Operation) { batchDoc[muster.AccessRecord](r, o) }
func addLeasesDoc(r huma.Registry, o *huma.Operation) { batchDoc[muster.LeaseRecord](r, o) }

func batchDoc[T any](r huma.Registry, o *huma.Operation) {
	takes[T](r, o, ndjson)
	o.RequestBody.Content[ndjson].Schema = &huma.Schema{
		Type: huma.TypeString, Description: "One record a line, each a JSON object; docs/integrate.md lists its members. At most 10,000 records and 4 MiB, plain or in gzip.",
	}
	keyDoc(o)
	o.Parameters = append(o.Parameters, &huma.Param{
		Name: "mapper", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
		Description: "The body is not records but lines of a log, or documents of a webhook, which this mapper reads (docs/formats/mapper.md).",
	})
	gives(o, http.StatusOK, "application/json", schemaOf[ledger.Taken](r))
	o.Responses["200"].Description = "Every record is durable. A batch that was sent before, by its Idempotency-Key or to the byte, and a record whose id was seen before, are not kept twice."
}

func addLogsDoc(_ huma.Registry, o *huma.Operation) {
	any := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "ExportLogsServiceRequest of OpenTelemetry; docs/integrate.md lists the attributes that are read."}
	o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: any}, protobuf: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
	keyDoc(o)
	gives(o, http.StatusOK, "application/json", &huma.Schema{Type: huma.TypeObject, Description: "ExportLogsServiceResponse: empty, every record is durable."})
}

func keyDoc(o *huma.Operation) {
	limit := maxIdempotencyKey
	o.Parameters = append(o.Parameters, &huma.Param{
		Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &limit},
		Description: "Names this batch for 24 hours. Without one, the same bytes are the same batch.",
	})
}
