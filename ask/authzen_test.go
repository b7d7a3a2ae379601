package ask

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/gate"
)

var update = flag.Bool("update", false, "write the answers of testdata anew")

// TestAuthZEN sends every example of the specification, of its certification
// scenario, and ours. A file is a request and its answer; a new case is a new file.
func TestAuthZEN(t *testing.T) {
	t.Parallel()
	z := &AuthZEN{Gate: gateFunc(provider), Clock: clock}
	server := serve(t, map[string]func(http.ResponseWriter, *http.Request) error{
		"POST " + EvaluationPath: z.Evaluation, "POST " + EvaluationsPath: z.Evaluations,
		"GET " + DiscoveryPath: Discovery("https://gate.example.net"),
	})
	files, err := filepath.Glob("testdata/authzen/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatal(len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			c, err := txtar.ParseFile(path)
			if err != nil || len(c.Files) != 2 {
				t.Fatal(len(c.Files), err)
			}
			var method, where, contentType string
			if n, _ := fmt.Sscan(c.Files[0].Name, &method, &where, &contentType); n < 2 {
				t.Fatal("the first part is named METHOD PATH [CONTENT-TYPE]")
			}
			req, err := http.NewRequestWithContext(t.Context(), method, server.URL+where, bytes.NewReader(bytes.TrimSpace(c.Files[0].Data)))
			if err != nil {
				t.Fatal(err)
			}
			if contentType == "" {
				contentType = "application/json"
			}
			req.Header.Set("Content-Type", contentType)
			req.Header.Set("X-Request-ID", "bfe9eb29-ab87-4ca3-be83-a1d5d8305716")
			res, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode == http.StatusOK {
				if ct := res.Header.Get("Content-Type"); ct != "application/json" {
					t.Errorf("Content-Type %q", ct)
				}
				if id := res.Header.Get("X-Request-Id"); id != req.Header.Get("X-Request-Id") {
					t.Errorf("X-Request-ID %q is not the caller's", id)
				}
				var b bytes.Buffer
				if err := json.Indent(&b, body, "", "  "); err != nil {
					t.Fatalf("%v: %s", err, body)
				}
				body = append(b.Bytes(), '\n')
			}
			if *update {
				c.Files[1] = txtar.File{Name: res.Status, Data: body}
				if err := os.WriteFile(path, txtar.Format(c), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(c.Files[1].Name+"\n"+string(c.Files[1].Data), res.Status+"\n"+string(body)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRequestIDsOfOtherFormsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", strings.Repeat("a", 129), "a b", "a\x00b", "é"} {
		h := http.Header{}
		Echo(h, &http.Request{Header: http.Header{"X-Request-Id": {id}}})
		if len(h) != 0 {
			t.Errorf("%q is repeated", id)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	z := &AuthZEN{Gate: gateFunc(provider), Clock: clock}
	server := serve(t, map[string]func(http.ResponseWriter, *http.Request) error{"POST /": z.Evaluation})
	for _, body := range []io.Reader{
		strings.NewReader(`{"a": "` + strings.Repeat("x", maxEvaluation) + `"}`),
		io.MultiReader(strings.NewReader(`{"a": "` + strings.Repeat("x", maxEvaluation) + `"}`)), // of no stated length
	} {
		res, err := server.Client().Post(server.URL, "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Error(res.Status)
		}
	}
}

// TestAnAnswerIsJSON: what is written by hand is what encoding/json would write.
func TestAnAnswerIsJSON(t *testing.T) {
	t.Parallel()
	words := rapid.OneOf(rapid.Just(""), rapid.StringN(0, 12, 40), rapid.SampledFrom([]string{"vm", "a\"b", "<&>", "\u2028", "é\n", "\xff"}))
	limits := rapid.Custom(func(t *rapid.T) (l muster.Limits) {
		l.Products, l.Deny, l.Regions = rapid.SliceOfN(words, 0, 3).Draw(t, "products"), rapid.SliceOfN(words, 0, 3).Draw(t, "deny"), rapid.SliceOfN(words, 0, 3).Draw(t, "regions")
		l.GPU, l.OutboundMail = words.Draw(t, "gpu"), words.Draw(t, "mail")
		l.Instances, l.Days = rapid.Ptr(rapid.Int(), true).Draw(t, "instances"), rapid.Ptr(rapid.Int(), true).Draw(t, "days")
		if rapid.Bool().Draw(t, "spends") {
			l.Spend = &muster.Money{Amount: rapid.Int64().Draw(t, "amount"), Currency: words.Draw(t, "currency")}
		}
		return l
	})
	rapid.Check(t, func(t *rapid.T) {
		l := limits.Draw(t, "limits")
		want, err := json.Marshal(&l)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendLimits([]byte("x"), &l); string(got[1:]) != string(want) {
			t.Fatalf("%s, want %s", got[1:], want)
		}
		a := gate.Answer{
			Allow: rapid.Bool().Draw(t, "allow"), WouldDeny: rapid.Bool().Draw(t, "would"), Known: rapid.Bool().Draw(t, "known"), Stale: rapid.Bool().Draw(t, "stale"),
			Status: rapid.SampledFrom([]muster.GateStatus{"allow", "limited", "deny"}).Draw(t, "status"), Code: words.Draw(t, "code"), Customer: words.Draw(t, "customer"),
			Operator: words.Draw(t, "operator"), Unblock: words.Draw(t, "unblock"), Rule: words.Draw(t, "rule"), Verdict: &muster.Verdict{Limits: l},
		}
		if rapid.Bool().Draw(t, "until") {
			a.Until = now
		}
		var got struct {
			Decision *bool
			Context  struct {
				Status      string
				ID          string `json:"id"`
				WouldDeny   bool   `json:"would_deny"`
				Known       *bool
				Stale       bool
				Obligations *json.RawMessage
				User        map[string]string `json:"reason_user"`
				Admin       map[string]string `json:"reason_admin"`
			}
		}
		if err := json.Unmarshal(appendAnswer(nil, &a), &got); err != nil {
			t.Fatal(err)
		}
		c := got.Context
		same := func(got, want string) {
			if got != strings.ToValidUTF8(want, "\ufffd") {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		same(c.ID, a.Code)
		same(c.User["en"], a.Customer)
		same(c.Admin["en"], a.Operator)
		same(c.Admin["unblock"], a.Unblock)
		if got.Decision == nil || *got.Decision != a.Allow || c.WouldDeny != a.WouldDeny || (c.Known != nil) == a.Known || c.Stale != a.Stale || (c.Obligations != nil) != (a.Status == "limited") {
			t.Fatalf("%s", appendAnswer(nil, &a))
		}
		if c.Obligations != nil && string(*c.Obligations) != string(want) {
			t.Fatalf("%s", *c.Obligations)
		}
	})
}

func TestAnEvaluationAllocatesNothingOfItsOwn(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r, _ := recorder(t, nil)
	z := &AuthZEN{Gate: gateFunc(provider), Clock: clock, Record: r}
	body := []byte(`{"subject":{"type":"account","id":"r-open"},"action":{"name":"use"},"resource":{"type":"instance","id":"i-1"}}`)
	in := bytes.NewReader(nil)
	req := &http.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": headerJSON}, Body: io.NopCloser(in), ContentLength: int64(len(body))}
	w := &discard{header: http.Header{}}
	if n := testing.AllocsPerRun(200, func() {
		in.Reset(body)
		if err := z.Evaluation(w, req); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
