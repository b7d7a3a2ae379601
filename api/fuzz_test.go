package api

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
)

// FuzzDepth holds the guess about nesting against a real reader, wherever the bytes are JSON.
func FuzzDepth(f *testing.F) {
	for _, s := range []string{`{}`, `"[[[["`, `{"a":["\"[",{"b":[]}]}`, strings.Repeat("[", 40) + strings.Repeat("]", 40), `"\\"`, "[" + `"\u005b"` + "]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		guess := tooDeep(data)
		if !json.Valid(data) {
			return
		}
		depth, deepest := 0, 0
		for dec := json.NewDecoder(bytes.NewReader(data)); ; {
			tok, err := dec.Token()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			switch tok {
			case json.Delim('{'), json.Delim('['):
				depth++
				deepest = max(deepest, depth)
			case json.Delim('}'), json.Delim(']'):
				depth--
			}
		}
		if guess != (deepest > muster.MaxNesting) {
			t.Errorf("%d levels, too deep: %v", deepest, guess)
		}
	})
}

// FuzzTranslate holds that no name comes back that is not ours, whatever the
// library says of where a fault lies.
func FuzzTranslate(f *testing.F) {
	known := map[string]bool{"url": true, "scopes": true}
	for _, s := range []string{"body.url", "body.scopes[3].url", "body.a.url", "query.url", "header.x", "path.id", "body.url[999999]", "body.[1]", "body..url"} {
		f.Add(s, "expected string")
		f.Add(s, "unexpected property")
	}
	f.Fuzz(func(t *testing.T, location, message string) {
		err := translate(&huma.ErrorModel{Status: 422, Errors: []*huma.ErrorDetail{{Location: location, Message: message, Value: location}}}, known)
		p, _ := problemOf(err, "")
		for _, fault := range p.Errors {
			for seg := range strings.SplitSeq(fault.Pointer, "/") {
				if !known[seg] && strings.Trim(seg, "0123456789+") != "" {
					t.Errorf("%q became pointer %q", location, fault.Pointer)
				}
			}
		}
	})
}

// FuzzHeaders holds that what callers put into headers is taken or refused, and never more.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"", `"7"`, `W/"7"`, all, "muster_sandbox_", "req_01hzzzzzzzzzzzzzzzzzzzzzzz", `"9223372036854775808"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := version(s); err == nil && etag(v) != s && !strings.HasPrefix(s, `"0`) && !strings.HasPrefix(s, `"+`) {
			t.Errorf("If-Match %q is version %d, whose ETag is %s", s, v, etag(v))
		}
		if isToken(s) && (len(s) > 128 || !strings.HasPrefix(s, "muster_")) {
			t.Errorf("%q is a token", s)
		}
		if id := requestID(s, now); id != s && !isID(id, muster.PrefixRequest) {
			t.Errorf("%q became request id %q", s, id)
		}
	})
}
