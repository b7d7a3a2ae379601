package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	merkle "golang.org/x/mod/sumdb/tlog"

	"github.com/muster-cip/muster"
)

func newCosigner(t tb, name string) (*Cosigner, string) {
	t.Helper()
	private, public, err := GenerateWitnessKey(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCosigner(private, testClock)
	if err != nil {
		t.Fatal(err)
	}
	return c, public
}

// witnessed is a log and a witness that knows it, behind a real server.
type witnessed struct {
	*log
	state  *memory
	server *httptest.Server
	client *WitnessClient
	public string
}

func setupWitness(t *testing.T) *witnessed {
	t.Helper()
	w := &witnessed{log: setup(t), state: newMemory()}
	cosigner, public := newCosigner(t, "witness.example/w1")
	handler, err := NewWitness(WitnessConfig{Cosigner: cosigner, State: w.state, Logs: map[string][]note.Verifier{testOrigin: {w.verifier}}})
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(handler)
	t.Cleanup(w.server.Close)
	w.public = public
	w.client = &WitnessClient{Prefix: w.server.URL, Witness: cosigner.Verifier(), HTTP: w.server.Client()}
	return w
}

func (w *witnessed) post(t *testing.T, body []byte) (int, string, http.Header) {
	t.Helper()
	res, err := w.server.Client().Post(w.server.URL+"/add-checkpoint", "text/plain", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func (w *witnessed) proof(t *testing.T, old, new int64) merkle.TreeProof {
	t.Helper()
	p, err := w.prover.Consistency(context.Background(), old, new)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWitnessFollowsTheSpecification(t *testing.T) {
	t.Parallel()
	w := setupWitness(t)
	c5, c300, c301 := w.grow(t, 5), w.grow(t, 295), w.grow(t, 1)
	fork := setup(t)
	fork.signer, fork.verifier = w.signer, w.verifier
	fork.PublisherConfig.Keys = OneKey(w.signer, w.verifier)
	fork.append(300)
	fork.leaves[299][40] ^= 1
	f300 := fork.grow(t, 0)
	f301 := fork.grow(t, 1)
	stranger := setup(t).grow(t, 5)
	other, err := note.Sign(&note.Note{Text: "other.example/log\n0\n" + emptyRoot().String() + "\n"}, w.signer)
	if err != nil {
		t.Fatal(err)
	}

	steps := []struct {
		name   string
		old    int64
		proof  merkle.TreeProof
		signed []byte
		status int
		body   string // of a 409
	}{
		{"a guess past the truth", 3, nil, c5.Signed, 409, "0\n"},
		{"a first checkpoint", 0, nil, c5.Signed, 200, ""},
		{"the same again", 5, nil, c5.Signed, 200, ""},
		{"no proof", 5, nil, c300.Signed, 422, ""},
		{"a proof of other sizes", 5, w.proof(t, 5, 301), c300.Signed, 422, ""},
		{"an old size past the checkpoint", 301, nil, c300.Signed, 400, ""},
		{"an extension", 5, w.proof(t, 5, 300), c300.Signed, 200, ""},
		{"an old size of before", 5, w.proof(t, 5, 301), c301.Signed, 409, "300\n"},
		{"an old size of zero", 0, nil, c301.Signed, 409, "300\n"},
		{"another root at that size", 300, nil, f300.Signed, 409, "300\n"},
		{"a fork", 300, nil, f301.Signed, 422, ""},
		{"a fork with its proof", 300, mustConsistency(t, fork, 300, 301), f301.Signed, 422, ""},
		{"a smaller tree", 5, nil, c5.Signed, 409, "300\n"},
		{"another log", 0, nil, other, 404, ""},
		{"another key", 0, nil, stranger.Signed, 403, ""},
		{"an extension by one", 300, w.proof(t, 300, 301), c301.Signed, 200, ""},
	}
	for _, s := range steps {
		status, body, header := w.post(t, formatAddCheckpoint(s.old, s.proof, s.signed))
		if status != s.status {
			t.Fatalf("%s: status %d, want %d (%s)", s.name, status, s.status, body)
		}
		if status == 409 && (body != s.body || header.Get("Content-Type") != "text/x.tlog.size") {
			t.Fatalf("%s: 409 with %q, %s", s.name, body, header.Get("Content-Type"))
		}
		if status != 200 {
			continue
		}
		n, err := note.Open(append(bytes.Clone(s.signed), body...), note.VerifierList(w.verifier, w.client.Witness))
		if err != nil || len(n.Sigs) != 2 {
			t.Fatalf("%s: the answer is no cosignature: %v", s.name, err)
		}
	}
}

func mustConsistency(t *testing.T, l *log, old, new int64) merkle.TreeProof {
	t.Helper()
	p, err := l.prover.Consistency(context.Background(), old, new)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWitnessRefusesMalformedRequests(t *testing.T) {
	t.Parallel()
	w := setupWitness(t)
	c := string(w.grow(t, 5).Signed)
	hash := emptyRoot().String() + "\n"
	for name, body := range map[string]string{
		"nothing":               "",
		"no old size":           "\n" + c,
		"a leading zero":        "old 00\n\n" + c,
		"a sign":                "old +0\n\n" + c,
		"a size past the bound": "old 9223372036854775807\n\n" + c,
		"too many hashes":       "old 0\n" + strings.Repeat(hash, 64) + "\n" + c,
		"a short hash":          "old 0\nAAAA\n\n" + c,
		"no checkpoint":         "old 0\n\n",
		"no empty line":         "old 0\n" + c,
		"CRLF":                  "old 0\r\n\r\n" + c,
		"a huge size":           "old 0\n\n" + testOrigin + "\n9223372036854775807\n" + hash + "\n— x AAAAAAA=\n",
	} {
		if status, _, _ := w.post(t, []byte(body)); status != 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, _ := w.post(t, make([]byte, maxRequestBytes+1)); status != 413 {
		t.Errorf("too large: %d", status)
	}
	res, err := w.server.Client().Get(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 405 {
		t.Errorf("GET: %d", res.StatusCode)
	}
}

func TestWitnessDoesNotAnswerBeforeItRemembers(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"before seen", "after seen"} {
		w := setupWitness(t)
		c := w.grow(t, 5)
		w.state.fail = func(s string) error {
			if s == step {
				return errors.New("broken")
			}
			return nil
		}
		if status, body, _ := w.post(t, formatAddCheckpoint(0, nil, c.Signed)); status != 503 || strings.Contains(body, "—") {
			t.Fatalf("%s: %d %s", step, status, body)
		}
		w.state.fail = func(string) error { return nil }
		if _, err := w.client.Collect(context.Background(), w.prover, 0, c); err != nil {
			t.Fatalf("%s: afterwards: %v", step, err)
		}
	}
}

func TestWitnessUnderParallelRequestsNeverGoesBack(t *testing.T) {
	t.Parallel()
	w := setupWitness(t)
	var heads []Checkpoint
	for range 8 {
		heads = append(heads, w.grow(t, 10))
	}
	var wg sync.WaitGroup
	for _, c := range heads {
		wg.Go(func() {
			// A conflict is an honest answer; whoever is behind is told so.
			if _, err := w.client.Collect(context.Background(), w.prover, 0, c); err != nil && muster.ErrorCode(err) != muster.CodeConflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := w.client.Collect(context.Background(), w.prover, 0, heads[7]); err != nil {
		t.Fatal(err)
	}
	seen, err := OpenCheckpoint(w.state.seen[testOrigin], w.verifier)
	if err != nil || seen.Size != 80 {
		t.Fatalf("remembered %d, %v", seen.Size, err)
	}
}

func TestCollect(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := setupWitness(t)
	var last Checkpoint
	for _, guess := range []int64{0, 0, 999, 40} {
		last = w.grow(t, 20)
		signed, err := w.client.Collect(ctx, w.prover, guess, last)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := NewPolicy(1, w.public)
		if err != nil {
			t.Fatal(err)
		}
		if err := policy.Check(signed); err != nil {
			t.Fatal(err)
		}
		cs := policy.Cosignatures(signed)
		if len(cs) != 1 || cs[0].Witness != "witness.example/w1" || !cs[0].At.Equal(testClock()) {
			t.Fatalf("%+v", cs)
		}
		if wantCode(t, policy.Check(last.Signed), muster.CodeInvalid); len(policy.Cosignatures(last.Signed)) != 0 {
			t.Fatal("a bare checkpoint counts as cosigned")
		}
		if c, err := OpenCheckpoint(signed, w.verifier); err != nil || c.Root != last.Root {
			t.Fatal(err)
		}
	}
	fork := setup(t)
	fork.PublisherConfig.Keys = OneKey(w.signer, w.verifier)
	fork.append(80)
	fork.leaves[3][40] ^= 1
	_, err := w.client.Collect(ctx, fork.prover, 0, fork.grow(t, 0))
	wantCode(t, err, muster.CodeConflict)
}

func TestClientRefusesABadAnswer(t *testing.T) {
	t.Parallel()
	l := setup(t)
	c := l.grow(t, 3)
	cosigner, _ := newCosigner(t, "witness.example/w1")
	impostor, _ := newCosigner(t, "witness.example/w1")
	line, err := cosignatureLine(c.Signed, impostor)
	if err != nil {
		t.Fatal(err)
	}
	for answer, code := range map[string]muster.Code{
		"200":                muster.CodeInvalid,
		"200" + string(line): muster.CodeInvalid,
		"409":                muster.CodeUnavailable,
		"409-1\n":            muster.CodeUnavailable,
		"4097\n":             muster.CodeConflict,
		"404":                muster.CodeForbidden,
		"403":                muster.CodeForbidden,
		"422":                muster.CodeInvalid,
		"500":                muster.CodeUnavailable,
		"200" + strings.Repeat("x", maxAnswerBytes+1): muster.CodeUnavailable,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			var status int
			fmt.Sscanf(answer[:3], "%d", &status)
			rw.WriteHeader(status)
			io.WriteString(rw, answer[3:])
		}))
		client := &WitnessClient{Prefix: server.URL, Witness: cosigner.Verifier(), HTTP: server.Client()}
		_, err := client.AddCheckpoint(context.Background(), 0, nil, c.Signed)
		if muster.ErrorCode(err) != code {
			t.Errorf("%.20s: %v, want %s", answer, err, code)
		}
		server.Close()
	}
}

// The example of C2SP tlog-cosignature cannot be checked without its key; that
// the signed message is the specified one can.
func TestCosignatureMessage(t *testing.T) {
	t.Parallel()
	got := string(cosignedMessage(1679315147, []byte("example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")))
	want := "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	if got != want {
		t.Fatalf("got %q", got)
	}
}

func TestCosignReplacesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	l := setup(t)
	c := l.grow(t, 3)
	a, publicA := newCosigner(t, "a.example")
	b, publicB := newCosigner(t, "b.example")
	signed := c.Signed
	for _, w := range []*Cosigner{a, b, a, b} {
		var err error
		if signed, err = Cosign(signed, w); err != nil {
			t.Fatal(err)
		}
	}
	if n := bytes.Count(signed, []byte("— ")); n != 3 {
		t.Fatalf("%d signature lines:\n%s", n, signed)
	}
	policy, err := NewPolicy(2, publicA, publicB)
	if err != nil {
		t.Fatal(err)
	}
	if err := policy.Check(signed); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(signed)
	flipped[bytes.LastIndexByte(flipped, '=')-20] ^= 1
	wantCode(t, policy.Check(flipped), muster.CodeInvalid)
	if _, err := OpenCheckpoint(signed, l.verifier); err != nil {
		t.Fatal(err)
	}
}

func TestPolicyAndKeysAreChecked(t *testing.T) {
	t.Parallel()
	_, public := newCosigner(t, "a.example")
	_, err := NewPolicy(2, public)
	wantCode(t, err, muster.CodeInvalid)
	v, err := NewCosignatureVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewPolicy(1, public, keyText("b.example", v.key, v.key))
	wantCode(t, err, muster.CodeInvalid)
	for _, bad := range []string{"", "a", "a+00000000+AAAA", strings.Replace(public, "a.example", "b.example", 1), public + "x"} {
		_, err := NewCosignatureVerifier(bad)
		wantCode(t, err, muster.CodeInvalid)
		_, err = NewCosigner("PRIVATE+KEY+"+bad, testClock)
		wantCode(t, err, muster.CodeInvalid)
	}
	for _, bad := range []string{"", "a b", "a+b", "a\nb"} {
		_, _, err := GenerateWitnessKey(bad)
		wantCode(t, err, muster.CodeInvalid)
		_, _, err = GenerateLogKey(bad)
		wantCode(t, err, muster.CodeInvalid)
	}
}

func TestDirState(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	s, err := NewDirState(dir + "/witness")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Seen(ctx, "a/../b"); b != nil || err != nil {
		t.Fatal(b, err)
	}
	wantCode(t, s.SetSeen(ctx, "a", []byte("x"), []byte("1")), muster.CodeConflict)
	for _, step := range [][2]string{{"", "1"}, {"1", "2"}} {
		old := []byte(step[0])
		if step[0] == "" {
			old = nil
		}
		if err := s.SetSeen(ctx, "a", old, []byte(step[1])); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, s.SetSeen(ctx, "a", []byte("1"), []byte("3")), muster.CodeConflict)
	wantCode(t, s.SetSeen(ctx, "a", nil, []byte("3")), muster.CodeConflict)
	again, err := NewDirState(dir + "/witness")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := again.Seen(ctx, "a"); err != nil || string(b) != "2" {
		t.Fatalf("%q %v", b, err)
	}
}
