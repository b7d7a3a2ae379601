package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
)

// client speaks to one process.
type client struct {
	t     testing.TB
	base  string
	token string
	http  *http.Client
	seen  func(method, path string, status int, answer []byte) // nil: nobody looks
}

func newClient(t testing.TB, base, token string) *client {
	return &client{t: t, base: base, token: token, http: &http.Client{
		Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true},
	}}
}

// as is the same client with another token.
func (c *client) as(token string) *client {
	other := *c
	other.token = token
	return &other
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// try sends a request. An error means that no whole answer came.
func (c *client) try(method, path string, body []byte, headers ...string) (*answer, error) {
	req, err := http.NewRequest(method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if c.seen != nil {
		c.seen(method, path, res.StatusCode, data)
	}
	return &answer{res.StatusCode, res.Header, data}, nil
}

// do wants one of the statuses; body may be a value, []byte or nil.
func (c *client) do(method, path string, body, out any, want int, headers ...string) *answer {
	c.t.Helper()
	var data []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		data = b
	default:
		var err error
		if data, err = json.Marshal(b); err != nil {
			c.t.Fatal(err)
		}
	}
	a, err := c.try(method, path, data, headers...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != want {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, want, a.body)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, a.body)
		}
	}
	return a
}

func (c *client) get(path string, out any) *answer {
	c.t.Helper()
	return c.do("GET", path, nil, out, http.StatusOK)
}

// read is get for many goroutines: it does not end the test.
func (c *client) read(path string, out any) error {
	a, err := c.try("GET", path, nil)
	switch {
	case err != nil:
		return err
	case a.status != http.StatusOK:
		return fmt.Errorf("%d: %s", a.status, a.body)
	case out == nil:
		return nil
	}
	return json.Unmarshal(a.body, out)
}

// walk reads a whole list, page by page.
func walk[T any](c *client, path string) (all []T) {
	c.t.Helper()
	for after := ""; ; {
		var page struct {
			Items []T    `json:"items"`
			After string `json:"after"`
		}
		c.get(path+"?limit=200"+after, &page)
		all = append(all, page.Items...)
		if page.After == "" {
			return all
		}
		after = "&after=" + page.After
	}
}

var errRefused = errors.New("the application is at fault")

// apply posts an application. errRefused: it is at fault, which is an answer too.
func (c *client) apply(app any) (*onboard.Answer, error) {
	body, err := json.Marshal(app)
	if err != nil {
		return nil, err
	}
	a, err := c.try("POST", "/v1/applications", body)
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK, http.StatusCreated:
		out := &onboard.Answer{}
		return out, json.Unmarshal(a.body, out)
	case http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("%w: %s", errRefused, a.body)
	}
	return nil, fmt.Errorf("%d: %s", a.status, a.body)
}

// served are the tiles as servers serve them, one after another.
type served struct {
	servers []*client
	turn    int
}

func (s *served) Tile(_ context.Context, path string) ([]byte, error) {
	s.turn++
	a, err := s.servers[s.turn%len(s.servers)].try("GET", "/"+path, nil)
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusNotFound:
		return nil, muster.Errorf(muster.CodeNotFound, "no such tile")
	case a.status != http.StatusOK:
		return nil, fmt.Errorf("%s: %d", path, a.status)
	}
	return a.body, nil
}

func (s *served) PutTile(context.Context, string, []byte) error { return errors.ErrUnsupported }

func unmarshal(t testing.TB, data []byte, out any) bool {
	t.Helper()
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return true
}
