package ask

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// Envoy is envoy.service.auth.v3.Authorization: what Envoy's ext_authz filter asks
// before it lets a request on.
//
// Where the words of a question are looked for, first found first:
//  1. the route's context_extensions ("action", "product", ...): the operator's own
//     configuration;
//  2. dynamic metadata of the namespace "muster": what a filter before this one found,
//     such as the account in a token's claims;
//  3. request headers x-muster-account and so on. A customer can send those too:
//     Envoy must remove them at its edge and set them itself.
type Envoy struct {
	authv3.UnimplementedAuthorizationServer
	Gate   Gate
	Clock  muster.Clock
	Record *Recorder
	Admit  func(ctx context.Context, authorization string) error // nil: whoever reaches it may ask
}

// Namespace of dynamic metadata, in both directions.
const metadataNamespace = "muster"

// strip are the request headers that do not travel on to the service.
var strip = []string{account.lower, action.lower, product.lower, region.lower, gpu.lower, instances.lower}

// Check answers one request of Envoy's.
func (e *Envoy) Check(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	if e.Admit != nil {
		var token string
		if md := metadata.ValueFromIncomingContext(ctx, "authorization"); len(md) == 1 {
			token = md[0]
		}
		if err := e.Admit(ctx, token); err != nil {
			return nil, grpcError(err)
		}
	}
	now := e.Clock()
	at := r.GetAttributes()
	extensions, headers := at.GetContextExtensions(), at.GetRequest().GetHttp().GetHeaders()
	found := at.GetMetadataContext().GetFilterMetadata()[metadataNamespace].GetFields()
	req, ok := requestOf(func(n *name) string {
		if v := extensions[n.word]; v != "" {
			return v
		}
		if v := found[n.word].GetStringValue(); v != "" {
			return v
		}
		return headers[n.lower]
	})
	if !ok {
		return denied(codes.Unauthenticated, typev3.StatusCode_Unauthorized, &gate.Answer{Status: muster.GateDeny, Code: "no_account"}), nil
	}
	a := e.Gate.Decide(&req, now)
	e.Record.note(envoy, req.Action, &a, now)
	if !a.Allow {
		return denied(codes.PermissionDenied, typev3.StatusCode_Forbidden, &a), nil
	}
	if a.Status == muster.GateAllow && a.Code == "" && !a.WouldDeny {
		return allowed, nil
	}
	on := &authv3.OkHttpResponse{HeadersToRemove: strip}
	for name, value := range answerHeaders(&a) {
		on.Headers = append(on.Headers, set(name, value))
	}
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(codes.OK)}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: on},
		DynamicMetadata: about(&a),
	}, nil
}

// allowed is the answer where there is nothing to say: the same for nearly all, and
// written by nobody once it is made.
var allowed = &authv3.CheckResponse{
	Status: &rpcstatus.Status{Code: int32(codes.OK)},
	HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
		HeadersToRemove: strip, Headers: []*corev3.HeaderValueOption{set("X-Muster-Status", string(muster.GateAllow))},
	}},
}

// denied is a refusal: the customer's words in the body, the operator's in metadata,
// which Envoy writes into its access log and hands to no customer.
func denied(code codes.Code, http typev3.StatusCode, a *gate.Answer) *authv3.CheckResponse {
	d := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: http}, Body: refusal(a),
		Headers: []*corev3.HeaderValueOption{set("Content-Type", "application/json"), set("Cache-Control", "no-store")},
	}
	for name, value := range answerHeaders(a) {
		d.Headers = append(d.Headers, set(name, value))
	}
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{Code: int32(code)}, HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: d},
		DynamicMetadata: about(a),
	}
}

// refusal is the body that a customer's program reads.
func refusal(a *gate.Answer) string {
	b := appendMember([]byte(`{"status":"`+string(a.Status)+`"`), `,"code":`, a.Code)
	b = appendMember(b, `,"reason":`, a.Customer)
	if !a.Until.IsZero() {
		b = append(b, `,"until":"`...)
		b = append(a.Until.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	}
	return string(append(b, '}'))
}

func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: http.CanonicalHeaderKey(name), Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// about is the answer as metadata, for filters after this one and the access log.
func about(a *gate.Answer) *structpb.Struct {
	f := map[string]*structpb.Value{"status": structpb.NewStringValue(string(a.Status))}
	for name, v := range map[string]string{"code": a.Code, "rule": a.Rule, "operator": a.Operator, "unblock": a.Unblock} {
		if v != "" {
			f[name] = structpb.NewStringValue(v)
		}
	}
	if a.Decision != (gate.DecisionID{}) {
		f["decision"] = structpb.NewStringValue(a.Decision.String())
	}
	if a.WouldDeny {
		f["would_deny"] = structpb.NewBoolValue(true)
	}
	if !a.Until.IsZero() {
		f["until"] = structpb.NewStringValue(a.Until.UTC().Format(time.RFC3339Nano))
	}
	if a.Status == muster.GateLimited && a.Verdict != nil {
		var limits map[string]any
		if json.Unmarshal(appendLimits(nil, &a.Verdict.Limits), &limits) == nil {
			if s, err := structpb.NewStruct(limits); err == nil {
				f["obligations"] = structpb.NewStructValue(s)
			}
		}
	}
	return &structpb.Struct{Fields: f}
}

// grpcError is an error of ours as gRPC has it.
func grpcError(err error) error {
	code := codes.Unavailable
	switch muster.ErrorCode(err) {
	case muster.CodeUnauthorized, muster.CodeRateLimited:
		code = codes.Unauthenticated
	case muster.CodeForbidden:
		code = codes.PermissionDenied
	}
	return status.Error(code, "the gate does not answer this caller")
}

// NewGRPC makes the server that Envoy asks.
func NewGRPC(e *Envoy) *grpc.Server {
	s := grpc.NewServer(grpc.MaxRecvMsgSize(1<<20), grpc.MaxConcurrentStreams(1000))
	authv3.RegisterAuthorizationServer(s, e)
	return s
}
