package api

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/muster-cip/muster"
)

// ProblemType is the stable type of problems of a code.
func ProblemType(code muster.Code) string { return "urn:muster:problem:" + string(code) }

// Problem is an error on the wire: RFC 9457, application/problem+json.
type Problem struct {
	Type      string         `json:"type" doc:"urn:muster:problem: and the code; stable"`
	Title     string         `json:"title" doc:"the same for every problem of this type"`
	Status    int            `json:"status" doc:"HTTP status"`
	Detail    string         `json:"detail" doc:"what happened this time; never a value that was sent"`
	Code      muster.Code    `json:"code" doc:"stable, for programs"`
	RequestID string         `json:"request_id" doc:"name it when you ask about this"`
	Errors    []muster.Fault `json:"errors,omitempty" doc:"every field at fault, all at once"`
	Hint      string         `json:"hint,omitempty" doc:"what to do next"`
}

// kinds is the one table from codes to statuses and titles.
var kinds = map[muster.Code]struct {
	status int
	title  string
}{
	muster.CodeMalformed:    {http.StatusBadRequest, "The request cannot be read"},
	muster.CodeInvalid:      {http.StatusUnprocessableEntity, "Some values are at fault"},
	muster.CodeUnauthorized: {http.StatusUnauthorized, "A token is needed"},
	muster.CodeForbidden:    {http.StatusForbidden, "This is not permitted"},
	muster.CodeNotFound:     {http.StatusNotFound, "There is no such thing"},
	muster.CodeNoMethod:     {http.StatusMethodNotAllowed, "The route does not take this method"},
	muster.CodeConflict:     {http.StatusConflict, "It conflicts with what is there"},
	muster.CodeIllegalMove:  {http.StatusConflict, "Its state does not allow this"},
	muster.CodeStale:        {http.StatusPreconditionFailed, "It has changed since"},
	muster.CodeNeedsMatch:   {http.StatusPreconditionRequired, "If-Match is needed"},
	muster.CodeGone:         {http.StatusGone, "It is gone"},
	muster.CodeTooLarge:     {http.StatusRequestEntityTooLarge, "The body is too large"},
	muster.CodeRateLimited:  {http.StatusTooManyRequests, "Too many requests"},
	muster.CodeUnavailable:  {http.StatusServiceUnavailable, "A part is away"},
	muster.CodeNoSpace:      {http.StatusInsufficientStorage, "The disk is full"},
	muster.CodeInternal:     {http.StatusInternalServerError, "The fault is ours"},
}

// retryUnavailable is said where an unavailable part does not say when to come back.
const retryUnavailable = 2 * time.Second

// problemOf is err as it may be shown.
func problemOf(err error, requestID string) (Problem, time.Duration) {
	var e *muster.Error
	if !errors.As(err, &e) {
		e = muster.Errorf(muster.CodeInternal, "something went wrong")
	}
	kind, ok := kinds[e.Code]
	if !ok {
		e = muster.Errorf(muster.CodeInternal, "something went wrong")
		kind = kinds[e.Code]
	}
	p := Problem{
		Type: ProblemType(e.Code), Title: kind.title, Status: kind.status, Detail: e.Message, Code: e.Code,
		RequestID: requestID, Errors: e.Faults, Hint: e.Hint,
	}
	if e.Code == muster.CodeInternal && p.Hint == "" {
		p.Hint = "try again; if it stays, tell the operator of this server the request_id"
	}
	after := e.RetryAfter
	if after == 0 && e.Code == muster.CodeUnavailable {
		after = retryUnavailable
	}
	return p, after
}

// writeProblem answers with the call's error. It is the only function that
// writes one.
func (a *API) writeProblem(c *call) {
	p, after := problemOf(c.err, c.id)
	if c.route.traits&bare != 0 && p.Status != http.StatusUnauthorized {
		p.Status = http.StatusForbidden
	}
	if c.torn {
		return
	}
	h := c.ResponseWriter.Header()
	for _, name := range []string{"ETag", "Link", "Location", "Content-Length"} { // of the answer that does not come
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="muster"`)
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{}`) // cannot be: strings and numbers only
	}
	c.status = p.Status
	c.ResponseWriter.WriteHeader(p.Status)
	c.ResponseWriter.Write(body)
}

// stopEcho is a transformer of the library's answers. It catches the library's
// own errors, which repeat rejected values and names, before they are written,
// and fails the call with what may be said of them.
func (a *API) stopEcho(known map[string]bool) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) {
		m, ok := v.(*huma.ErrorModel)
		if !ok {
			return v, nil
		}
		callOf(ctx.Context()).fail(translate(m, known))
		return nil, nil
	}
}

// translate says what may be said of the library's error: which of our own
// fields are at fault, and what we expect of them. known are the names of fields
// that our document has; no other name is repeated.
func translate(m *huma.ErrorModel, known map[string]bool) error {
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		return muster.Errorf(muster.CodeTooLarge, "the body is larger than this route takes")
	case http.StatusUnsupportedMediaType:
		return &muster.Error{Code: muster.CodeMalformed, Message: "the body's Content-Type is not one that this route takes", Hint: "send application/json"}
	case http.StatusRequestTimeout:
		return muster.Errorf(muster.CodeMalformed, "the body did not come in time")
	case http.StatusBadRequest:
		if len(m.Errors) == 0 {
			return muster.Errorf(muster.CodeMalformed, "a body is required")
		}
		return muster.Errorf(muster.CodeMalformed, "the body is not JSON as this route takes it: one document, no deeper than %d levels", muster.MaxNesting)
	case http.StatusInternalServerError:
		return muster.Errorf(muster.CodeMalformed, "the body could not be read")
	}
	var faults []muster.Fault
	for _, d := range m.Errors {
		place, rest, _ := strings.Cut(d.Location, ".")
		fault := muster.Fault{Code: "invalid", Detail: safeDetail(d.Message)}
		switch place {
		case "path":
			return muster.Errorf(muster.CodeNotFound, "there is no such thing")
		case "query", "header":
			fault.Pointer = "" // not in the document
			if known[rest] {
				fault.Detail = place + " parameter " + rest + ": " + fault.Detail
			}
			if strings.HasPrefix(d.Message, "unknown query") {
				fault.Code = "unknown_parameter"
			}
		default:
			fault.Pointer = pointer(rest, known)
			if d.Message == validation.MsgUnexpectedProperty {
				fault.Code, fault.Detail = "unknown_field", "this object has a field that is not in its shape"
			}
			if name := missing(d.Message); known[name] {
				fault.Pointer, fault.Code, fault.Detail = fault.Pointer+"/"+name, "required", "is needed"
			}
		}
		faults = append(faults, fault)
	}
	return muster.Invalid(faults...)
}

// missing is the property that the library says is absent, "" for another message.
func missing(msg string) string {
	before, after, ok := strings.Cut(validation.MsgExpectedRequiredProperty, "%s")
	name, fits := strings.CutPrefix(msg, before)
	if name, tail := strings.CutSuffix(name, after); ok && fits && tail {
		return name
	}
	return ""
}

// safeDetail keeps of the library's messages what our own schema made. What
// follows a colon is an underlying parser's text, which quotes its input.
func safeDetail(msg string) string {
	switch {
	case strings.HasPrefix(msg, "expected "):
		msg, _, _ = strings.Cut(msg, ":")
		return msg
	case strings.HasPrefix(msg, "unknown query"), strings.HasPrefix(msg, "required "), strings.HasPrefix(msg, "invalid integer"):
		return msg
	}
	return "not what is expected here"
}

// pointer is the library's path as JSON Pointer, up to the first name that is not ours.
func pointer(location string, known map[string]bool) string {
	var b strings.Builder
	for seg := range strings.SplitSeq(strings.ReplaceAll(location, "[", ".["), ".") {
		index := strings.TrimSuffix(strings.TrimPrefix(seg, "["), "]")
		if _, err := strconv.ParseUint(index, 10, 16); (err != nil || len(seg) != len(index)+2) && !known[seg] {
			break
		}
		b.WriteString("/" + index)
	}
	return b.String()
}
