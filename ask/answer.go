package ask

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// Gate decides. *gate.Gate is one; a question costs it no allocation and no wait.
type Gate interface {
	Decide(r *gate.Request, now time.Time) gate.Answer
}

// request is the question as the gate takes it. AuthZEN's subject is the account by
// the provider's own reference, whatever type the caller gives it: gateways send
// "user" or "identity" and cannot be told otherwise.
func (q *question) request() gate.Request {
	r := gate.Request{Account: q.subject.id, Action: q.action.id}
	for _, t := range [...]*thing{&q.resource, &q.action} {
		if r.Product == "" {
			r.Product = t.product
		}
		if r.Region == "" {
			r.Region = t.region
		}
		if r.GPU == "" {
			r.GPU = t.gpu
		}
		if r.Instances == 0 {
			r.Instances = t.instances
		}
		if r.Spend.Currency == "" {
			r.Spend = t.spend
		}
		r.OutboundMail = r.OutboundMail || t.mail
	}
	return r
}

// appendAnswer writes a decision (AuthZEN 6.2): decision, and a context that says
// why in words for each audience, what is owed, and until when it holds.
func appendAnswer(b []byte, a *gate.Answer) []byte {
	if a.Allow {
		b = append(b, `{"decision":true,"context":{"status":"`...)
	} else {
		b = append(b, `{"decision":false,"context":{"status":"`...)
	}
	b = append(b, a.Status...)
	b = append(b, '"')
	b = appendMember(b, `,"id":`, a.Code)
	if a.WouldDeny {
		b = append(b, `,"would_deny":true`...)
	}
	if !a.Known {
		b = append(b, `,"known":false`...)
	}
	if a.Stale {
		b = append(b, `,"stale":true`...)
	}
	if a.Status == muster.GateLimited && a.Verdict != nil {
		b = append(b, `,"obligations":`...)
		b = appendLimits(b, &a.Verdict.Limits)
	}
	if !a.Until.IsZero() {
		b = append(b, `,"until":"`...)
		b = append(a.Until.UTC().AppendFormat(b, time.RFC3339Nano), '"')
	}
	if a.Customer != "" {
		b = append(b, `,"reason_user":{"en":`...)
		b = append(appendString(b, a.Customer), '}')
	}
	if a.Operator != "" || a.Unblock != "" || a.Rule != "" || a.Decision != (gate.DecisionID{}) {
		b = append(b, `,"reason_admin":{"en":`...)
		b = appendString(b, a.Operator)
		b = appendMember(b, `,"rule":`, a.Rule)
		if a.Decision != (gate.DecisionID{}) {
			b = appendMember(b, `,"decision":`, a.Decision.String())
		}
		b = append(appendMember(b, `,"unblock":`, a.Unblock), '}')
	}
	return append(b, "}}"...)
}

// appendMember writes a member that is left out where it says nothing.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, name...), value)
}

// appendLimits writes obligations as encoding/json writes muster.Limits; a test
// holds the two together.
func appendLimits(b []byte, l *muster.Limits) []byte {
	list := func(name string, values []string) {
		if len(values) == 0 {
			return
		}
		b = append(b, name...)
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, v)
		}
		b = append(b, ']', ',')
	}
	number := func(name string, n *int) {
		if n != nil {
			b = append(strconv.AppendInt(append(b, name...), int64(*n), 10), ',')
		}
	}
	word := func(name, v string) {
		if v != "" {
			b = append(appendString(append(b, name...), v), ',')
		}
	}
	b = append(b, '{')
	list(`"products":[`, l.Products)
	list(`"deny":[`, l.Deny)
	word(`"gpu":`, l.GPU)
	list(`"regions":[`, l.Regions)
	number(`"instances":`, l.Instances)
	word(`"outbound_mail":`, l.OutboundMail)
	if l.Spend != nil {
		b = strconv.AppendInt(append(b, `"spend":{"amount":`...), l.Spend.Amount, 10)
		b = append(appendString(append(b, `,"currency":`...), l.Spend.Currency), '}', ',')
	}
	number(`"days":`, l.Days)
	if b[len(b)-1] == ',' {
		b = b[:len(b)-1]
	}
	return append(b, '}')
}

// appendString writes a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string can always be written
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
