package ask

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// Nginx answers the subrequests of nginx's auth_request: 204 where the account may,
// 403 where it may not, 401 where the subrequest names no account. nginx knows no
// other answer: anything else is an error to it.
//
// The subrequest says what is asked in headers that nginx sets itself
// (proxy_set_header), so that a customer's own headers of these names never arrive.
type Nginx struct {
	Gate   Gate
	Clock  muster.Clock
	Record *Recorder
}

// Headers of a question. Action is use where none is said.
const (
	HeaderAccount   = "X-Muster-Account"
	HeaderAction    = "X-Muster-Action"
	HeaderProduct   = "X-Muster-Product"
	HeaderRegion    = "X-Muster-Region"
	HeaderGPU       = "X-Muster-Gpu"
	HeaderInstances = "X-Muster-Instances"
)

// Ask answers one subrequest. CodeUnauthorized: it names no account.
func (n *Nginx) Ask(w http.ResponseWriter, r *http.Request) error {
	now := n.Clock()
	h := w.Header()
	h["Cache-Control"] = headerNoStore
	req, ok := requestOf(func(n *name) string {
		if v := r.Header[n.header]; len(v) > 0 {
			return v[0]
		}
		return ""
	})
	if !ok {
		return &muster.Error{
			Code: muster.CodeUnauthorized, Message: "the question names no account, or a number in it is none",
			Hint: "nginx sets " + HeaderAccount + " by proxy_set_header",
		}
	}
	a := n.Gate.Decide(&req, now)
	n.Record.note(nginx, req.Action, &a, now)
	for name, value := range answerHeaders(&a) {
		h.Set(name, value)
	}
	if a.Allow {
		w.WriteHeader(http.StatusNoContent)
	} else {
		w.WriteHeader(http.StatusForbidden)
	}
	return nil
}

// name is a word of a question under its names: in Envoy's extensions and metadata,
// as a header, and as Envoy has headers.
type name struct{ word, header, lower string }

var (
	account   = name{"account", HeaderAccount, "x-muster-account"}
	action    = name{"action", HeaderAction, "x-muster-action"}
	product   = name{"product", HeaderProduct, "x-muster-product"}
	region    = name{"region", HeaderRegion, "x-muster-region"}
	gpu       = name{"gpu", HeaderGPU, "x-muster-gpu"}
	instances = name{"instances", HeaderInstances, "x-muster-instances"}
)

// requestOf is a question in words; false where it names no account, or a number
// is none: passed over, that would escape a limit.
func requestOf(get func(n *name) string) (r gate.Request, ok bool) {
	r = gate.Request{Account: get(&account), Action: get(&action), Product: get(&product), Region: get(&region), GPU: get(&gpu)}
	if r.Action == "" {
		r.Action = muster.ActionUse
	}
	if n := get(&instances); n != "" {
		v, err := strconv.ParseUint(n, 10, 31)
		if err != nil {
			return r, false
		}
		r.Instances = int(v)
	}
	return r, r.Account != ""
}

// answerHeaders says of an answer what a proxy may hand on: nothing that is for the
// operator alone. Words are percent-encoded where they are not plain ASCII.
func answerHeaders(a *gate.Answer) map[string]string {
	h := map[string]string{"X-Muster-Status": string(a.Status)}
	set := func(name, value string) {
		if value != "" {
			h[name] = value
		}
	}
	set("X-Muster-Code", a.Code)
	if a.WouldDeny {
		set("X-Muster-Would-Deny", "true")
	}
	if !a.Until.IsZero() {
		set("X-Muster-Until", a.Until.UTC().Format(time.RFC3339Nano))
	}
	if a.Status == muster.GateLimited && a.Verdict != nil {
		set("X-Muster-Obligations", headerText(string(appendLimits(nil, &a.Verdict.Limits))))
	}
	set("X-Muster-Reason", headerText(a.Customer))
	return h
}

// headerText is s as a header's value may stand: printable ASCII as it is, the rest
// percent-encoded in UTF-8, the per cent sign too.
func headerText(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] <= '~' && s[i] != '%'
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		}
	}
	return b.String()
}
