package api

import (
	"archive/tar"
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/watchlist"
)

// watched stands for the watch lists.
type watched struct{ *house }

func (w watched) Import(_ context.Context, by string, files []lists.File) ([]watchlist.Arrived, error) {
	return []watchlist.Arrived{{List: "ofac.sdn", State: watchlist.Applied}}, w.did(by, files)
}

func (w watched) Ask(_ context.Context, sources ...string) error { return w.did(sources) }

var stands = &muster.ListState{List: "ofac.sdn", Digest: strings.Repeat("a", 64)}

func (w watched) Approve(_ context.Context, _, list, digest, reason string) (*muster.ListState, error) {
	return stands, w.did("approve", list, digest, reason)
}

func (w watched) Decline(_ context.Context, _, list, digest, reason string) (*muster.ListState, error) {
	return stands, w.did("decline", list, digest, reason)
}

func (w watched) Rollback(_ context.Context, _, list, digest, reason string) (*muster.ListState, error) {
	return stands, w.did(list, digest, reason)
}

func (w watched) Status(context.Context) ([]watchlist.Standing, []watchlist.SourceStanding, error) {
	return nil, nil, w.did()
}

func (w watched) Snapshots(_ context.Context, list string) ([]*muster.ListSnapshot, []*muster.ListEvent, error) {
	return []*muster.ListSnapshot{{List: list, Report: []byte(`{"format":"ofac-csv"}`)}}, nil, w.did(list)
}

func (w watched) Whole(_ context.Context, _, part string) (string, error) {
	return part + strings.Repeat("0", 64-len(part)), nil
}

var ownEntry = muster.ListEntry{
	List: "own.blocked", ID: "r1", Names: []muster.ListedName{{Full: "Canary"}}, Identifiers: []muster.ListedIdentifier{{Kind: "mail_domain", Value: "canary.example"}},
	Own: &muster.OwnEntry{Action: "deny", Owner: "ada", Reason: "Canary"},
}

func (w watched) Entry(_ context.Context, list, digest, id string) (*muster.ListEntry, error) {
	if list == "own.blocked" {
		return &ownEntry, w.did(list, digest, id)
	}
	return &muster.ListEntry{List: list, ID: id}, w.did(list, digest, id)
}

func (w watched) Diff(_ context.Context, list, from, to string) (lists.Difference, string, string, error) {
	return lists.Difference{Added: []muster.ListEntry{ownEntry}}, from, to, w.did(list, from, to)
}

// anArchive is a body that importLists takes.
func anArchive(files ...string) string {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, f := range append(files, "a/sdn.csv") {
		t.WriteHeader(&tar.Header{Name: f, Mode: 0o600, Size: 3, Typeflag: tar.TypeReg})
		t.Write([]byte("1,2"))
	}
	t.Close()
	return b.String()
}

func TestAnArchiveOfLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	got := b.do("POST", "/v1/lists/imports", anArchive("../../etc/passwd"), "Content-Type", "application/x-tar")
	if got.StatusCode != http.StatusOK || !strings.Contains(got.body, `"state":"applied"`) {
		t.Fatalf("%d %s", got.StatusCode, got.body)
	}
	files := b.saw[1].([]lists.File)
	if len(files) != 2 || files[0].Path != "etc/passwd" || string(files[1].Data) != "1,2" {
		t.Fatalf("%+v", files)
	}
	whole := anArchive()
	sparse := whole[:124] + "77777777777" + whole[135:] // its header claims eight gigabytes
	for name, body := range map[string]string{"cut off": whole[:514], "no archive": "PK\x03\x04 something else entirely", "a bomb": sparse, "empty": strings.Repeat("\x00", 1024)} {
		if p := b.do("POST", "/v1/lists/imports", body, "Content-Type", "application/x-tar").problem(t); p.Code != muster.CodeMalformed {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add([]byte(anArchive()))
	f.Add([]byte(anArchive()[:600]))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := untar(data)
		if err != nil && muster.ErrorCode(err) != muster.CodeMalformed {
			t.Fatal(err)
		}
		all := 0
		for _, x := range files {
			all += len(x.Data)
			if strings.HasPrefix(x.Path, "/") || strings.Contains(x.Path, "..") && !strings.Contains(strings.ReplaceAll(x.Path, "/..", "/"), "..") {
				t.Errorf("the path leads out: %q", x.Path)
			}
		}
		if all > len(data) {
			t.Error("more came out than was in it")
		}
	})
}

// TestAnOwnListsEntriesAreRedacted: who may read is not who may see persons whom
// nobody published.
func TestAnOwnListsEntriesAreRedacted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/v1/lists/own.blocked/entries/r1", "/v1/lists/own.blocked/diff?from=aaaaaaaa"} {
		got := b.do("GET", path, "")
		if got.StatusCode != http.StatusOK || strings.Contains(strings.ToLower(got.body), "canary") || !strings.Contains(got.body, `"deny"`) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	if got := b.do("GET", "/v1/lists/ofac.sdn/entries/2677%232", ""); got.StatusCode != http.StatusOK || b.saw[2] != "2677#2" {
		t.Errorf("%d %v", got.StatusCode, b.saw)
	}
	b.do("POST", "/v1/lists/ofac.sdn/approval", `{"digest":"`+strings.Repeat("b", 64)+`","decline":true,"reason":"cut"}`)
	if b.saw[0] != "decline" {
		t.Errorf("%v", b.saw)
	}
}
