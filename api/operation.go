package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
)

// endpoint puts a route's handler behind the mux and its shapes into the document.
type endpoint func(a *API, rt *route, o huma.Operation)

// op is a handler with typed input and output, read and checked by the library.
// docs state what its types do not show.
func op[I, O any](fn func(ctx context.Context, in *I) (*O, error), docs ...func(r huma.Registry, o *huma.Operation)) endpoint {
	return func(a *API, _ *route, o huma.Operation) {
		for _, doc := range docs {
			doc(a.huma.OpenAPI().Components.Schemas, &o)
		}
		huma.Register(a.huma, o, func(ctx context.Context, in *I) (*O, error) {
			out, err := fn(ctx, in)
			if err != nil {
				callOf(ctx).fail(err) // what the library writes now is dropped
				return nil, nil
			}
			return out, nil
		})
	}
}

// raw is a handler that reads and writes bytes itself: where the body must reach
// the service as it came, where the answer is no JSON, and where every
// microsecond counts. doc states its shapes.
func raw(fn func(c *call, r *http.Request) error, doc func(r huma.Registry, o *huma.Operation)) endpoint {
	return func(a *API, rt *route, o huma.Operation) {
		doc(a.huma.OpenAPI().Components.Schemas, &o)
		var queries []string
		for _, p := range o.Parameters {
			if p.In == "query" {
				queries = append(queries, p.Name)
			}
		}
		a.huma.OpenAPI().AddOperation(&o)
		a.mount(rt, func(_ http.ResponseWriter, r *http.Request) {
			c := callOf(r.Context())
			err := onlyQueries(r, queries)
			if err == nil {
				err = fn(c, r)
			}
			if err != nil {
				c.fail(err)
			}
		})
	}
}

// onlyQueries refuses query parameters that a raw route does not know, as the
// library does for the others.
func onlyQueries(r *http.Request, known []string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return muster.Errorf(muster.CodeMalformed, "the query cannot be read")
	}
	for name := range q {
		if !slices.Contains(known, name) {
			return muster.Invalid(muster.Fault{Code: "unknown_parameter", Detail: "unknown query parameter"})
		}
	}
	return nil
}

// body reads the whole body, at most the route's bound. types are the media
// types that it may say it is; none said is the first.
func (c *call) body(r *http.Request, types ...string) ([]byte, error) {
	if ct := r.Header.Get("Content-Type"); ct != "" && ct != types[0] {
		if t, _, err := mime.ParseMediaType(ct); err != nil || !slices.Contains(types, t) {
			return nil, &muster.Error{
				Code: muster.CodeMalformed, Message: "the body's Content-Type is not one that this route takes", Hint: "send " + types[0],
			}
		}
	}
	bound := c.route.bound()
	if r.ContentLength > bound {
		return nil, errTooLarge
	}
	data := make([]byte, 0, max(r.ContentLength, 511)+1) // one more, so that the end is seen without growing
	for {
		n, err := r.Body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > bound:
			return nil, errTooLarge
		case errors.Is(err, io.EOF) && len(data) == 0:
			return nil, muster.Errorf(muster.CodeMalformed, "a body is required")
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, muster.Errorf(muster.CodeMalformed, "the body did not come whole")
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

var errTooLarge = muster.Errorf(muster.CodeTooLarge, "the body is larger than this route takes")

// json answers with v.
func (c *call) json(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return muster.Errorf(muster.CodeInternal, "the answer cannot be written: %w", err)
	}
	return c.bytes(status, "application/json", b)
}

// bytes answers with b.
func (c *call) bytes(status int, contentType string, b []byte) error {
	c.Header()["Content-Type"] = []string{contentType}
	c.WriteHeader(status)
	_, _ = c.Write(b) // a client that went away is no error of ours
	return nil
}

// jsonFormat reads and writes bodies for the library.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, _ = w.Write(b)
		return nil
	},
	Unmarshal: func(data []byte, v any) error {
		if tooDeep(data) {
			return errors.New("nested too deep")
		}
		return json.Unmarshal(data, v)
	},
}

// tooDeep reports whether JSON nests past muster.MaxNesting. It is asked before
// anything recursive sees the bytes, and need not be right about what is not JSON.
func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch b := data[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			if depth++; depth > muster.MaxNesting {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}
