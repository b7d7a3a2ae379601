package objects_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/s3test"
	"github.com/muster-cip/muster/objects"
)

// store is all that callers ask.
type store interface {
	Put(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	Part(ctx context.Context, name string, from, size int64) ([]byte, error)
	Delete(ctx context.Context, name string) error
	List(ctx context.Context, prefix string, each func(objects.Info) error) error
	Clear(ctx context.Context, prefix string) error
	Swap(ctx context.Context, name string, old, next []byte) error
	Check(ctx context.Context, name string, data []byte) error
}

func onEach(t *testing.T, test func(t *testing.T, s store)) {
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		test(t, objects.NewDir(filepath.Join(t.TempDir(), "deep", "er")))
	})
	t.Run("S3", func(t *testing.T) {
		t.Parallel()
		test(t, s3test.Start(t).Objects(t, quick("prod/")))
	})
	t.Run("S3 without a prefix", func(t *testing.T) {
		t.Parallel()
		test(t, s3test.Start(t).Objects(t, quick("")))
	})
	t.Run("S3 without conditions", func(t *testing.T) {
		t.Parallel()
		server := s3test.Start(t)
		server.Fail(older)
		test(t, server.Objects(t, quick("p/")))
	})
}

// older is a server that does not know conditions of a put.
func older(r *http.Request) s3test.Fault {
	if r.Method == http.MethodPut && r.Header.Get("If-None-Match")+r.Header.Get("If-Match") != "" {
		return s3test.Unknown
	}
	return s3test.None
}

func quick(prefix string) objects.S3Config {
	return objects.S3Config{Prefix: prefix, Clock: muster.SystemClock, Pause: time.Millisecond}
}

func wants(t *testing.T, err error, code muster.Code) {
	t.Helper()
	if muster.ErrorCode(err) != code || (err == nil) != (code == "") {
		t.Fatalf("got %v, want code %q", err, code)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s store) {
		ctx := t.Context()
		_, err := s.Get(ctx, "a/b")
		wants(t, err, muster.CodeNotFound)
		_, err = s.Part(ctx, "a/b", 0, 1)
		wants(t, err, muster.CodeNotFound)
		data := []byte("the quick brown fox")
		wants(t, s.Put(ctx, "a/b", data), "")
		wants(t, s.Put(ctx, "a/b", data), "") // again
		wants(t, s.Put(ctx, "a/b", []byte("other")), muster.CodeConflict)
		wants(t, s.Put(ctx, "a/c.p/7", nil), muster.CodeMalformed)
		got, err := s.Get(ctx, "a/b")
		if wants(t, err, ""); !bytes.Equal(got, data) {
			t.Fatalf("got %q", got)
		}
		got, err = s.Part(ctx, "a/b", 4, 5)
		if wants(t, err, ""); string(got) != "quick" {
			t.Fatalf("got %q", got)
		}
		_, err = s.Part(ctx, "a/b", 15, 5)
		wants(t, err, muster.CodeUnavailable) // shorter than is known
		_, err = s.Part(ctx, "a/b", 400, 5)
		wants(t, err, muster.CodeUnavailable)
		for i := range 12 {
			wants(t, s.Put(ctx, fmt.Sprintf("list/%02d", i), []byte{byte(i)}), "")
		}
		var names []string
		wants(t, s.List(ctx, "list/", func(i objects.Info) error {
			names = append(names, i.Name)
			if i.Size != 1 || time.Since(i.Made).Abs() > time.Hour {
				t.Errorf("%+v", i)
			}
			return nil
		}), "")
		if slices.Sort(names); len(names) != 12 || names[3] != "list/03" {
			t.Fatal(names)
		}
		wants(t, s.List(ctx, "nothing/", func(objects.Info) error { t.Error("something"); return nil }), "")
		stop := muster.Errorf(muster.CodeGone, "enough")
		wants(t, s.List(ctx, "list/", func(objects.Info) error { return stop }), muster.CodeGone)
		wants(t, s.Delete(ctx, "a/b"), "")
		wants(t, s.Delete(ctx, "a/b"), "")
		_, err = s.Get(ctx, "a/b")
		wants(t, err, muster.CodeNotFound)

		wants(t, s.Clear(ctx, "list/"), "")
		wants(t, s.Clear(ctx, "list/"), "")
		wants(t, s.List(ctx, "list/", func(objects.Info) error { t.Error("still there"); return nil }), "")
		wants(t, s.Put(ctx, "list/00", data), "") // in a place that was cleared
		wants(t, s.Clear(ctx, ""), muster.CodeMalformed)

		wants(t, s.Swap(ctx, "head", []byte("x"), []byte("y")), muster.CodeConflict)
		wants(t, s.Swap(ctx, "head", nil, []byte("one")), "")
		wants(t, s.Swap(ctx, "head", nil, []byte("two")), muster.CodeConflict)
		wants(t, s.Swap(ctx, "head", []byte("one"), []byte("two")), "")
		if got, _ = s.Get(ctx, "head"); string(got) != "two" {
			t.Fatalf("got %q", got)
		}
		for _, bad := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".hidden", "a b", "a\x00", strings.Repeat("x", 300), "ü"} {
			wants(t, s.Put(ctx, bad, data), muster.CodeMalformed)
			_, err := s.Get(ctx, bad)
			wants(t, err, muster.CodeMalformed)
			wants(t, s.Delete(ctx, bad), muster.CodeMalformed)
		}
		wants(t, s.Put(ctx, "large", make([]byte, objects.MaxBytes+1)), muster.CodeTooLarge)
		wants(t, s.Check(ctx, "canary/1", []byte("sings")), "")
	})
}

// Requests that fail for a while end well; what stays down is said to be unavailable.
func TestS3Faults(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := s3test.Start(t)
	s := server.Objects(t, quick("p/"))
	data := bytes.Repeat([]byte("0123456789"), 1000)
	wants(t, s.Put(ctx, "there", data), "")
	for name, f := range map[string]s3test.Fault{"busy": s3test.Busy, "answer lost": s3test.After} {
		server.Next(http.MethodPut, 2, f)
		if err := s.Put(ctx, "put-"+strings.ReplaceAll(name, " ", "-"), data); err != nil {
			t.Errorf("put, %s: %v", name, err)
		}
	}
	for name, f := range map[string]s3test.Fault{"busy": s3test.Busy, "cut": s3test.Cut} {
		server.Next(http.MethodGet, 2, f)
		if got, err := s.Get(ctx, "there"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("get, %s: %d bytes, %v", name, len(got), err)
		}
		server.Next(http.MethodGet, 1, f)
		if got, err := s.Part(ctx, "there", 10, 20); err != nil || !bytes.Equal(got, data[10:30]) {
			t.Errorf("part, %s: %q, %v", name, got, err)
		}
	}
	server.Once(http.MethodGet, s3test.Short)
	if got, err := s.Part(ctx, "there", 10, 20); err != nil || !bytes.Equal(got, data[10:30]) {
		t.Errorf("part, short: %q, %v", got, err)
	}
	server.Once(http.MethodGet, s3test.Wrong) // what was put does not read back
	wants(t, s.Put(ctx, "wrong", data), muster.CodeConflict)

	for name, f := range map[string]s3test.Fault{"busy": s3test.Busy, "denied": s3test.Denied, "cut": s3test.Cut, "stranger": s3test.Stranger} {
		server.Fail(func(*http.Request) s3test.Fault { return f })
		_, err := s.Get(ctx, "there")
		if wants(t, err, muster.CodeUnavailable); strings.Contains(err.Error(), server.Host()) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error names what it should not: %v", name, err)
		}
		wants(t, s.Put(ctx, "never-"+name, data), muster.CodeUnavailable)
		wants(t, s.List(ctx, "x/", func(objects.Info) error { return nil }), muster.CodeUnavailable)
	}
	hung, cancel := context.WithCancel(ctx)
	defer cancel()
	server.Fail(func(*http.Request) s3test.Fault {
		cancel() // once it has come: one that comes late would count among those below
		return s3test.Hang
	})
	_, err := s.Get(hung, "there")
	wants(t, err, muster.CodeUnavailable)
	server.Fail(nil)
	before := server.Asked(http.MethodGet)
	server.Fail(func(*http.Request) s3test.Fault { return s3test.Denied })
	if _, err := s.Get(ctx, "there"); err == nil || server.Asked(http.MethodGet) != before+1 {
		t.Error("wrong keys were tried again", err)
	}
	server.Fail(nil)
	gone := server.Objects(t, objects.S3Config{Bucket: "another", Clock: muster.SystemClock, Pause: time.Millisecond})
	_, err = gone.Get(ctx, "there") // the bucket is gone, and nobody takes that for an absent object
	wants(t, err, muster.CodeUnavailable)
	wants(t, gone.Delete(ctx, "there"), muster.CodeUnavailable)
	wants(t, gone.Put(ctx, "there", data), muster.CodeUnavailable)
}

// A storage that puts nothing and says 200 is found out.
func TestWhatIsPutIsReadBack(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := server.Objects(t, quick(""))
	server.Once(http.MethodPut, s3test.Lost)
	wants(t, s.Put(t.Context(), "a", []byte("b")), muster.CodeNotFound)
}

// More objects than a page of a list has, one page of which does not come at first.
func TestS3ListsPageByPage(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	s := server.Objects(t, quick("p/"))
	const n = 1100
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return s.Put(t.Context(), fmt.Sprintf("list/%04d", i), []byte("x")) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	asked := 0
	server.Fail(func(*http.Request) s3test.Fault {
		if asked++; asked == 2 {
			return s3test.Busy
		}
		return s3test.None
	})
	next := 0
	wants(t, s.List(t.Context(), "list/", func(i objects.Info) error {
		if i.Name != fmt.Sprintf("list/%04d", next) {
			t.Fatalf("object %d is %s", next, i.Name)
		}
		next++
		return nil
	}), "")
	server.Fail(nil)
	if next != n || asked != 3 {
		t.Errorf("%d objects of %d in %d requests", next, n, asked)
	}
}

// Keys that are not those of the bucket are refused, and it is said that they are. Of
// the servers only a service looks at them.
func TestServiceRefusesOtherKeys(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	if !server.Service {
		t.Skip("MUSTER_TEST_S3 names no service")
	}
	for name, keys := range map[string]objects.Keys{"unknown": {ID: "nobody", Secret: server.Secret}, "wrong secret": {ID: server.ID, Secret: "wrong"}} {
		c := quick("")
		c.Keys = func() (objects.Keys, error) { return keys, nil }
		before := server.Asked(http.MethodPut)
		err := server.Objects(t, c).Put(t.Context(), "a", []byte("b"))
		if wants(t, err, muster.CodeUnavailable); !strings.Contains(err.Error(), "the storage refuses") || server.Asked(http.MethodPut) != before+1 {
			t.Errorf("%s: %v, %d tries", name, err, server.Asked(http.MethodPut)-before)
		}
	}
}

// Two that put at once: the same bytes are fine, other bytes are a conflict for one.
func TestS3PutsAtOnce(t *testing.T) {
	t.Parallel()
	s := s3test.Start(t).Objects(t, quick(""))
	answers := make(chan error, 16)
	for i := range cap(answers) {
		go func() { answers <- s.Put(t.Context(), "same", []byte{byte(i % 2)}) }()
	}
	conflicts := 0
	for range cap(answers) {
		if err := <-answers; err != nil {
			wants(t, err, muster.CodeConflict)
			conflicts++
		}
	}
	if conflicts != cap(answers)/2 {
		t.Errorf("%d conflicts of %d puts of two contents", conflicts, cap(answers))
	}
}

func TestS3Config(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for _, c := range []objects.S3Config{{Prefix: "no-slash"}, {Prefix: "/x/"}, {Prefix: "../"}, {Encryption: "rot13"}} {
		c.Clock = muster.SystemClock
		_, err := server.Open(c)
		wants(t, err, muster.CodeInvalid)
	}
	_, err := objects.NewS3(objects.S3Config{Endpoint: "ftp://x"})
	wants(t, err, muster.CodeInvalid)
}
