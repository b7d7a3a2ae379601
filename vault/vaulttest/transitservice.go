package vaulttest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/muster-cip/muster/outbound"
)

// transitService is a Vault or an OpenBao that somebody started for tests, and a place
// in it that goes with the test.
type transitService struct {
	url, root string // root: the token that may make and remove that place
	place     string // name of the mount and of the policy
	client    *outbound.Client
}

func newTransitService(t testing.TB, at string) *Transit {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil || u.User == nil {
		t.Fatal("MUSTER_TEST_TRANSIT is a URL with a token: http://TOKEN@host:port")
	}
	s := &transitService{root: u.User.Username(), place: "muster-test-" + strings.ToLower(rand.Text())}
	u.User = nil
	s.url = u.String()
	if s.client, err = outbound.New(outbound.Config{Allow: []string{u.Host}}); err != nil {
		t.Fatal(err)
	}
	const key = "muster"
	s.ask(t, http.MethodPost, "sys/mounts/"+s.place, map[string]any{"type": "transit"}, nil)
	t.Cleanup(func() {
		s.ask(t, http.MethodDelete, "sys/mounts/"+s.place, nil, nil)
		s.ask(t, http.MethodDelete, "sys/policies/acl/"+s.place, nil, nil)
	})
	s.ask(t, http.MethodPost, s.place+"/keys/"+key, map[string]any{}, nil)
	var policy strings.Builder
	for _, path := range []string{"encrypt/" + key, "decrypt/" + key, "keys/" + key + "/rotate", "keys/" + key + "/config", "keys/" + key + "/trim"} {
		fmt.Fprintf(&policy, "path %q { capabilities = [\"update\"] }\n", s.place+"/"+path)
	}
	s.ask(t, http.MethodPost, "sys/policies/acl/"+s.place, map[string]any{"policy": policy.String()}, nil)
	return &Transit{URL: s.url, Mount: s.place, Key: key, Token: s.renew(t, ""), service: s}
}

// renew ends a token, if there is one, and makes another.
func (s *transitService) renew(t testing.TB, token string) string {
	t.Helper()
	if token != "" {
		s.ask(t, http.MethodPost, "auth/token/revoke", map[string]any{"token": token}, nil)
	}
	var made struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	s.ask(t, http.MethodPost, "auth/token/create", map[string]any{"policies": []string{s.place}, "no_default_policy": true, "ttl": "1h"}, &made)
	return made.Auth.Token
}

// versions is how many versions of the key there are that can be used.
func (s *transitService) versions(t testing.TB, key string) int {
	t.Helper()
	var got struct {
		Data struct {
			Latest    int `json:"latest_version"`
			Available int `json:"min_available_version"`
		} `json:"data"`
	}
	s.ask(t, http.MethodGet, s.place+"/keys/"+key, nil, &got)
	return got.Data.Latest - cmp.Or(got.Data.Available, 1) + 1
}

// ask makes one call with the token that may do everything.
func (s *transitService) ask(t testing.TB, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(method, s.url+"/v1/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", s.root)
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s %v\n%s", method, path, res.Status, err, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatal(err)
		}
	}
}
