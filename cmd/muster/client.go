package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// client calls the HTTP API, as the command line and the demo do.
type client struct {
	base, token string
	http        *http.Client
}

func newClient(base, token string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usageError{errors.New("the server is an http or https URL, such as http://127.0.0.1:8420")}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	return &client{strings.TrimSuffix(base, "/"), token, &http.Client{Transport: transport, Timeout: 60 * time.Second}}, nil
}

// problem is an error answer (RFC 9457), as far as a client reads it.
type problem struct {
	Code      muster.Code    `json:"code"`
	Detail    string         `json:"detail"`
	Title     string         `json:"title"`
	Hint      string         `json:"hint"`
	RequestID string         `json:"request_id"`
	Errors    []muster.Fault `json:"errors"`
}

const maxAnswer = 64 << 20

// call sends a request and decodes its answer into out: *[]byte takes it as it is.
// headers are pairs. A problem comes back as *muster.Error.
func (c *client) call(ctx context.Context, method, path string, body, out any, headers ...string) (http.Header, error) {
	var r io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		r = bytes.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, r)
	if err != nil {
		return nil, err
	}
	if method == http.MethodPatch {
		contentType = "application/merge-patch+json"
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType) // headers may say another
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, &muster.Error{Code: muster.CodeUnavailable, Message: "the server does not answer", Cause: err, Hint: "is muster serve running, and is --server its address?"}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, &muster.Error{Code: muster.CodeUnavailable, Message: "the answer broke off", Cause: err}
	}
	if res.StatusCode >= 300 {
		return res.Header, asError(res.StatusCode, data)
	}
	switch o := out.(type) {
	case nil:
	case *[]byte:
		*o = data
	default:
		if err := json.Unmarshal(data, out); err != nil {
			return nil, fmt.Errorf("the answer is not what it should be: %w", err)
		}
	}
	return res.Header, nil
}

func asError(status int, data []byte) error {
	var p problem
	if json.Unmarshal(data, &p) != nil || p.Code == "" {
		return muster.Errorf(muster.CodeUnavailable, "the server answered %d, not in its own words: is there a proxy before it?", status)
	}
	e := &muster.Error{Code: p.Code, Message: p.Detail, Faults: p.Errors, Hint: p.Hint}
	if e.Message == "" {
		e.Message = p.Title
	}
	return e
}

// slow is the same client for what takes as long as it takes: its end is ctx.
func (c *client) slow() *client {
	patient := *c.http
	patient.Timeout = 0
	return &client{c.base, c.token, &patient}
}
