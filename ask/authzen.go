package ask

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

// AuthZEN is the Authorization API 1.0 of the OpenID Foundation over HTTPS: one
// evaluation, several, and the document that says where they are. Searches are not
// offered: a gate that lists its accounts would be a register of customers.
//
// Its handlers return an error where there is no answer; whoever mounts them writes
// it: 400 for a request that is none. An answer is always 200.
type AuthZEN struct {
	Gate   Gate
	Clock  muster.Clock
	Record *Recorder // nil: nothing is counted or recorded
}

// Paths of the specification (10.1, 9.2).
const (
	EvaluationPath  = "/access/v1/evaluation"
	EvaluationsPath = "/access/v1/evaluations"
	DiscoveryPath   = "/.well-known/authzen-configuration"
)

// Bounds of a request.
const (
	maxEvaluation  = 64 << 10
	maxEvaluations = 1 << 20
	maxItems       = 1000
)

// work is what a request needs, used again by the next.
type work struct {
	reader reader
	body   body
	in     []byte
	out    []byte
	req    gate.Request
	ans    gate.Answer
}

var works = sync.Pool{New: func() any { return &work{in: make([]byte, 0, 2048), out: make([]byte, 0, 1024)} }}

// tooLargeToKeep is from where on a buffer is not kept for the next request.
const tooLargeToKeep = 64 << 10

func (w *work) free() {
	if cap(w.in) > tooLargeToKeep || cap(w.out) > tooLargeToKeep || cap(w.reader.spare) > tooLargeToKeep {
		return
	}
	w.req, w.body, w.ans = gate.Request{}, body{}, gate.Answer{} // their strings lie in w.in
	works.Put(w)
}

// Shared, so that an answer allocates none of them. Nothing may write into them.
var (
	headerJSON    = []string{"application/json"}
	headerNoStore = []string{"no-store"}
)

// Evaluation answers POST /access/v1/evaluation (AuthZEN 6).
func (z *AuthZEN) Evaluation(w http.ResponseWriter, r *http.Request) error {
	k := works.Get().(*work)
	defer k.free()
	if err := k.read(r, maxEvaluation); err != nil {
		return err
	}
	k.out = k.out[:0]
	if err := z.single(k); err != nil {
		return err
	}
	return k.write(w, r)
}

// Evaluations answers POST /access/v1/evaluations (AuthZEN 7): without evaluations it
// is the single one.
func (z *AuthZEN) Evaluations(w http.ResponseWriter, r *http.Request) error {
	k := works.Get().(*work)
	defer k.free()
	if err := k.read(r, maxEvaluations); err != nil {
		return err
	}
	k.out = k.out[:0]
	if k.body.count == 0 {
		if err := z.single(k); err != nil {
			return err
		}
		return k.write(w, r)
	}
	if k.body.count > maxItems {
		return malformed("evaluations has more than " + strconv.Itoa(maxItems) + " items")
	}
	stopAt, stops := false, true
	switch k.body.semantic {
	case "", "execute_all":
		stops = false
	case "deny_on_first_deny":
	case "permit_on_first_permit":
		stopAt = true
	default:
		return malformed("options.evaluations_semantic is none of execute_all, deny_on_first_deny, permit_on_first_permit")
	}
	now := z.Clock()
	k.out = append(k.out, `{"evaluations":[`...)
	n := 0
	err := k.body.items(&k.reader, func(q *question, fault error) bool {
		if n++; n > 1 {
			k.out = append(k.out, ',')
		}
		if fault == nil {
			fault = q.fault()
		}
		allowed := false
		if fault != nil { // of one item: it is denied, the others are answered (7.2.1)
			k.out = append(k.out, `{"decision":false,"context":{"error":{"status":400,"message":`...)
			k.out = append(appendString(k.out, fault.Error()), "}}}"...)
		} else {
			allowed = z.answer(k, q, now)
		}
		return !stops || allowed != stopAt
	})
	if err != nil {
		return malformed(err.Error())
	}
	k.out = append(k.out, "]}"...)
	return k.write(w, r)
}

func (z *AuthZEN) single(k *work) error {
	if err := k.body.fault(); err != nil {
		return malformed(err.Error())
	}
	z.answer(k, &k.body.question, z.Clock())
	return nil
}

func (z *AuthZEN) answer(k *work, q *question, now time.Time) bool {
	k.req = q.request()
	k.ans = z.Gate.Decide(&k.req, now)
	z.Record.note(authZEN, k.req.Action, &k.ans, now)
	k.out = appendAnswer(k.out, &k.ans)
	return k.ans.Allow
}

func malformed(what string) error {
	return &muster.Error{Code: muster.CodeMalformed, Message: what, Hint: "OpenID AuthZEN Authorization API 1.0 says what a request is"}
}

// read reads a request's body and what it says.
func (k *work) read(r *http.Request, bound int) error {
	if ct := r.Header.Get("Content-Type"); ct != "" && ct != "application/json" {
		if t, _, err := mime.ParseMediaType(ct); err != nil || t != "application/json" {
			return malformed("the Content-Type is application/json")
		}
	}
	var err error
	if k.in, err = readBody(k.in[:0], r, bound); err != nil {
		return err
	}
	k.body = body{}
	k.reader = reader{data: k.in, spare: k.reader.spare[:0]}
	if err := k.body.read(&k.reader); err != nil {
		return malformed(err.Error())
	}
	return nil
}

var errTooLarge = muster.Errorf(muster.CodeTooLarge, "the body is larger than this route takes")

// readBody reads a body of at most bound bytes into b.
func readBody(b []byte, r *http.Request, bound int) ([]byte, error) {
	if r.ContentLength > int64(bound) {
		return b, errTooLarge
	}
	if n := int(r.ContentLength) + 1; n > cap(b) { // one more, so that the end is seen without growing
		b = make([]byte, 0, n)
	}
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > bound:
			return b, errTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, malformed("the body did not come whole")
		case len(b) == cap(b):
			b = append(b, 0)[:len(b)]
		}
	}
}

func (k *work) write(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = headerJSON, headerNoStore
	Echo(h, r)
	_, _ = w.Write(k.out) // a client that went away is no error of ours
	return nil
}

// Echo returns the caller's request id as it came (AuthZEN 10.1.2): to the caller alone,
// and only where it is a short word; it is written nowhere else.
func Echo(h http.Header, r *http.Request) {
	id := r.Header["X-Request-Id"]
	if len(id) != 1 || len(id[0]) == 0 || len(id[0]) > 128 {
		return
	}
	for i := range len(id[0]) {
		if c := id[0][i]; c <= ' ' || c > '~' {
			return
		}
	}
	h["X-Request-Id"] = id
}

// Discovery answers GET /.well-known/authzen-configuration (AuthZEN 9) for a gate that is
// reached at base, such as https://gate.example.net. Without a base it is what the
// request was sent to: good behind a proxy only where that hands Host on.
func Discovery(base string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		at := base
		if at == "" {
			at = "https://" + r.Host
		}
		b := appendString([]byte(`{"policy_decision_point":`), at)
		b = appendString(append(b, `,"access_evaluation_endpoint":`...), at+EvaluationPath)
		b = appendString(append(b, `,"access_evaluations_endpoint":`...), at+EvaluationsPath)
		b = append(b, '}')
		h := w.Header()
		h["Content-Type"] = headerJSON
		Echo(h, r)
		_, _ = w.Write(b)
		return nil
	}
}
