package ask

import (
	"context"
	"net"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// envoyClient is Envoy's generated client of a served gate.
func envoyClient(t testing.TB, e *Envoy) authv3.AuthorizationClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewGRPC(e)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return authv3.NewAuthorizationClient(c)
}

func check(extensions, headers map[string]string, found map[string]any) *authv3.CheckRequest {
	r := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: extensions,
		Request:           &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Method: "POST", Path: "/v1/instances", Headers: headers}},
	}}
	if found != nil {
		s, err := structpb.NewStruct(found)
		if err != nil {
			panic(err) // the test's own words
		}
		r.Attributes.MetadataContext = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"muster": s}}
	}
	return r
}

func TestEnvoy(t *testing.T) {
	t.Parallel()
	r, s := recorder(t, nil)
	client := envoyClient(t, &Envoy{Gate: gateFunc(provider), Clock: clock, Record: r})
	create := map[string]string{"action": "add_resources", "product": "vm"}

	t.Run("an allowed account goes on, and our headers do not", func(t *testing.T) {
		res, err := client.Check(t.Context(), check(create, map[string]string{"x-muster-account": "r-open"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		if codes.Code(res.GetStatus().GetCode()) != codes.OK || res.GetOkResponse() == nil {
			t.Fatal(res)
		}
		if got := strings.Join(res.GetOkResponse().GetHeadersToRemove(), " "); !strings.Contains(got, "x-muster-account") {
			t.Error(got)
		}
		if h := envoyHeaders(res.GetOkResponse().GetHeaders()); h["X-Muster-Status"] != "allow" {
			t.Error(h)
		}
	})
	t.Run("limits come back as obligations, to the service and to filters", func(t *testing.T) {
		res, err := client.Check(t.Context(), check(create, map[string]string{"x-muster-account": "r-limited"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		h := envoyHeaders(res.GetOkResponse().GetHeaders())
		if h["X-Muster-Status"] != "limited" || !strings.Contains(h["X-Muster-Obligations"], `"instances":2`) {
			t.Error(h)
		}
		limits, _ := res.GetDynamicMetadata().AsMap()["obligations"].(map[string]any)
		if limits["gpu"] != "none" || limits["instances"] != 2.0 {
			t.Error(res.GetDynamicMetadata().AsMap())
		}
	})
	t.Run("a denial has the customer's words in its body and the operator's in metadata alone", func(t *testing.T) {
		res, err := client.Check(t.Context(), check(create, map[string]string{"x-muster-account": "r-denied"}, nil))
		if err != nil {
			t.Fatal(err)
		}
		d := res.GetDeniedResponse()
		if codes.Code(res.GetStatus().GetCode()) != codes.PermissionDenied || d.GetStatus().GetCode() != 403 || !strings.Contains(d.GetBody(), "Identität") {
			t.Fatal(res)
		}
		if text := d.String(); strings.Contains(text, "review queue") || strings.Contains(text, "interim_over") {
			t.Errorf("the customer sees what is for the operator: %s", text)
		}
		if m := res.GetDynamicMetadata().AsMap(); m["unblock"] != "review queue" || m["rule"] != "us-iaas-cip/interim_over" || m["decision"] != (gate.DecisionID{1, 2, 3}).String() {
			t.Error(m)
		}
	})
	t.Run("what the operator configured stands above metadata, metadata above headers", func(t *testing.T) {
		res, err := client.Check(t.Context(), check(nil, map[string]string{"x-muster-account": "r-open"}, map[string]any{"account": "r-denied"}))
		if err != nil || res.GetDeniedResponse() == nil {
			t.Fatal(res, err)
		}
		res, err = client.Check(t.Context(), check(map[string]string{"account": "r-open"}, nil, map[string]any{"account": "r-denied"}))
		if err != nil || res.GetOkResponse() == nil {
			t.Fatal(res, err)
		}
	})
	t.Run("no account, or a number that is none, is 401", func(t *testing.T) {
		for _, q := range []*authv3.CheckRequest{
			{},
			check(create, nil, nil),
			check(create, map[string]string{"x-muster-account": "r-limited", "x-muster-instances": "3x"}, nil),
		} {
			res, err := client.Check(t.Context(), q)
			if err != nil || res.GetDeniedResponse().GetStatus().GetCode() != 401 || codes.Code(res.GetStatus().GetCode()) != codes.Unauthenticated {
				t.Error(res, err)
			}
		}
	})
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.batches[0].Records); n != 2 { // r-denied by add_resources and by use
		t.Errorf("%d records: %v", n, s.batches[0].Records)
	}
}

func TestEnvoyWithoutATokenGetsNoAnswer(t *testing.T) {
	t.Parallel()
	client := envoyClient(t, &Envoy{Gate: gateFunc(provider), Clock: clock, Admit: func(_ context.Context, token string) error {
		switch token {
		case "Bearer good":
			return nil
		case "":
			return muster.Errorf(muster.CodeUnauthorized, "no")
		}
		return muster.Errorf(muster.CodeForbidden, "no")
	}})
	q := check(nil, map[string]string{"x-muster-account": "r-open"}, nil)
	for token, want := range map[string]codes.Code{"": codes.Unauthenticated, "Bearer other": codes.PermissionDenied, "Bearer good": codes.OK} {
		ctx := t.Context()
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", token)
		}
		if _, err := client.Check(ctx, q); status.Code(err) != want {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func envoyHeaders(list []*corev3.HeaderValueOption) map[string]string {
	m := map[string]string{}
	for _, h := range list {
		m[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	return m
}
