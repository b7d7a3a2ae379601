package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/muster-cip/muster"
)

// build registers every route of the table, and makes the document from them.
func (a *API) build(routes []*route) error {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[muster.Percent](), reflect.TypeFor[float64]()) // it writes itself as a number
	byID := make(map[string]*route, len(routes))
	known := map[string]bool{}
	a.huma = huma.NewAPI(huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Muster", Version: "1",
				Description: "Customer identification for providers of infrastructure: from an application to a recorded decision.",
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "A token of an operator: muster_<mode>_ and its secret."},
				},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}, // json: of problem+json
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{a.stopEcho(known)},
	}, adapter{a, byID})

	problem := registry.Schema(reflect.TypeFor[Problem](), true, "")
	for _, rt := range routes {
		if byID[rt.id] != nil || rt.scope == "" {
			return fmt.Errorf("api: route %s %s: its id is taken or it names no permission", rt.method, rt.path)
		}
		byID[rt.id] = rt
		rt.serve(a, rt, rt.operation(problem))
	}
	a.mux.HandleFunc("/", a.notFound)

	// The library's own error shapes are never sent: see stopEcho.
	delete(registry.Map(), "ErrorModel")
	delete(registry.Map(), "ErrorDetail")
	learn(a.huma.OpenAPI(), known)
	loosen(a.huma.OpenAPI())
	var err error
	a.document, err = json.MarshalIndent(a.huma.OpenAPI(), "", " ")
	return err
}

// adapter lets the library register handlers where the table has a row, and nowhere else.
type adapter struct {
	api  *API
	byID map[string]*route
}

func (d adapter) Handle(o *huma.Operation, h func(huma.Context)) {
	rt := d.byID[o.OperationID]
	if rt == nil {
		panic("api: " + o.Path + " is not in the table of routes") // while building, never while serving
	}
	d.api.mount(rt, func(w http.ResponseWriter, r *http.Request) { h(humago.NewContext(o, r, w)) })
}

func (d adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.api.ServeHTTP(w, r) }

// operation is the route's part of the document, without its shapes.
func (rt *route) operation(problem *huma.Schema) huma.Operation {
	o := huma.Operation{
		Method: rt.method, Path: strings.ReplaceAll(rt.path, "...}", "}"), OperationID: rt.id, Summary: rt.says,
		DefaultStatus: rt.status, MaxBodyBytes: rt.bound() + 1, BodyReadTimeout: 10 * time.Second,
		Tags: []string{rt.tag()}, Responses: map[string]*huma.Response{},
	}
	if rt.scope != Public {
		scopes := []string{}
		if rt.scope != Anyone {
			scopes = append(scopes, string(rt.scope))
		}
		o.Security = []map[string][]string{{"token": scopes}}
		o.Description = "Scope: `" + string(rt.scope) + "`."
	}
	if rt.traits&once != 0 {
		limit := maxIdempotencyKey
		o.Parameters = append(o.Parameters, &huma.Param{
			Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &limit},
			Description: "The same key and body within 24 hours give the first answer again, without a secret; the same key with another body is refused.",
		})
	}
	for _, code := range muster.Codes {
		if rt.mayAnswer(code) {
			kind := kinds[code]
			status := strconv.Itoa(kind.status)
			description := kind.title
			if r := o.Responses[status]; r != nil {
				description = r.Description + "; or: " + kind.title
			}
			o.Responses[status] = &huma.Response{
				Description: description,
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: problem}},
			}
		}
	}
	return o
}

// mayAnswer reports whether a problem of that code can come from the route.
func (rt *route) mayAnswer(code muster.Code) bool {
	writes := rt.method != get
	switch code {
	case muster.CodeUnauthorized, muster.CodeRateLimited:
		return rt.scope != Public || writes
	case muster.CodeForbidden:
		return rt.scope != Public && rt.scope != Anyone || writes
	case muster.CodeNotFound:
		return strings.Contains(rt.path, "{") || writes
	case muster.CodeGone:
		return strings.Contains(rt.path, "{") || rt.id == "followGate"
	case muster.CodeConflict, muster.CodeIllegalMove, muster.CodeTooLarge, muster.CodeNoSpace:
		return writes
	case muster.CodeStale, muster.CodeNeedsMatch:
		return rt.traits&match != 0
	case muster.CodeNoMethod:
		return false // said of a method that is not in the document
	}
	return true
}

// tag is the first word of the path that names something.
func (rt *route) tag() string {
	if rest, ok := strings.CutPrefix(rt.path, "/v1/"); ok {
		word, _, _ := strings.Cut(rest, "/")
		return word
	}
	if rt.path == "/checkpoint" || strings.HasPrefix(rt.path, "/tile/") {
		return "log"
	}
	return "service"
}

// learn collects the names that the document has: those a problem may repeat.
func learn(doc *huma.OpenAPI, known map[string]bool) {
	for _, s := range doc.Components.Schemas.Map() {
		for name := range s.Properties {
			known[name] = true
		}
	}
	for _, item := range doc.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
			if o == nil {
				continue
			}
			for _, p := range o.Parameters {
				known[p.Name] = true
			}
		}
	}
}

// loosen lets shapes that only answers have grow: a client that checks answers
// against the document must not break at a field that is new.
func loosen(doc *huma.OpenAPI) {
	schemas, taken := doc.Components.Schemas.Map(), map[string]bool{}
	var take func(s *huma.Schema)
	take = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
			if taken[name] {
				return
			}
			taken[name] = true
			s = schemas[name]
		}
		take(s.Items)
		for _, p := range s.Properties {
			take(p)
		}
	}
	for _, item := range doc.Paths {
		for _, o := range []*huma.Operation{item.Post, item.Patch} {
			if o != nil && o.RequestBody != nil {
				for _, m := range o.RequestBody.Content {
					take(m.Schema)
				}
			}
		}
	}
	for name, s := range schemas {
		if strict, ok := s.AdditionalProperties.(bool); ok && !strict && !taken[name] {
			s.AdditionalProperties = nil
		}
	}
}

// pathParam documents a raw route's path parameter.
func pathParam(name, says string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Description: says, Schema: &huma.Schema{Type: huma.TypeString}}
}

// takes documents a raw route's body.
func takes[T any](r huma.Registry, o *huma.Operation, types ...string) {
	o.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{}}
	for _, t := range types {
		o.RequestBody.Content[t] = &huma.MediaType{Schema: schemaOf[T](r)}
	}
}

// gives documents a raw route's answer.
func gives(o *huma.Operation, status int, contentType string, s *huma.Schema, headers ...string) {
	res := &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{contentType: {Schema: s}}}
	for _, h := range headers {
		if res.Headers == nil {
			res.Headers = map[string]*huma.Param{}
		}
		res.Headers[h] = &huma.Header{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	o.Responses[strconv.Itoa(status)] = res
}

// schemaOf is T's schema, by reference.
func schemaOf[T any](r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[T](), true, "") }
