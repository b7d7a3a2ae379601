package api

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/watchlist"
)

// Lists is how watch lists arrive and where they stand (watchlist.Service).
type Lists interface {
	Import(ctx context.Context, by string, files []lists.File) ([]watchlist.Arrived, error)
	Ask(ctx context.Context, sources ...string) error
	Approve(ctx context.Context, by, list, digest, reason string) (*muster.ListState, error)
	Decline(ctx context.Context, by, list, digest, reason string) (*muster.ListState, error)
	Rollback(ctx context.Context, by, list, digest, reason string) (*muster.ListState, error)
}

// ListStands is where they stand (watchlist.Service).
type ListStands interface {
	Status(ctx context.Context) ([]watchlist.Standing, []watchlist.SourceStanding, error)
	Snapshots(ctx context.Context, list string) ([]*muster.ListSnapshot, []*muster.ListEvent, error)
	Whole(ctx context.Context, list, part string) (digest string, err error)
	Entry(ctx context.Context, list, digest, id string) (*muster.ListEntry, error)
	Diff(ctx context.Context, list, from, to string) (d lists.Difference, fromDigest, toDigest string, err error)
}

// ListsStatus is where all lists stand.
type ListsStatus struct {
	Items   []watchlist.Standing       `json:"items" nullable:"false"`
	Sources []watchlist.SourceStanding `json:"sources" nullable:"false" doc:"that the configuration names"`
}

type listsStatusOutput struct{ Body ListsStatus }

func (a *API) listLists(ctx context.Context, _ *struct{}) (*listsStatusOutput, error) {
	all, sources, err := a.ListStands.Status(ctx)
	return &listsStatusOutput{ListsStatus{listed(all), listed(sources)}}, err
}

// ListPath names a watch list in a path.
type ListPath struct {
	List string `path:"list" maxLength:"64" pattern:"^[a-z0-9-]+[.][a-z0-9-]+$" doc:"such as ofac.sdn"`
}

// ListSnapshot is a snapshot on the wire.
type ListSnapshot struct {
	Digest   string    `json:"digest"`
	AsOf     time.Time `json:"as_of,omitzero" doc:"its publisher's date"`
	Made     time.Time `json:"made" doc:"when it came"`
	Entries  int       `json:"entries"`
	Rows     int       `json:"rows"`
	Broken   int       `json:"broken"`
	Orphans  int       `json:"orphans"`
	How      string    `json:"how" enum:"fetch,import"`
	Operator string    `json:"operator,omitempty"`

	Reading watchlist.Reading `json:"reading" doc:"files, what was broken by line, notes"`
}

// ListEvent is a change of which snapshot is in effect.
type ListEvent struct {
	Event    string    `json:"event" doc:"id of the entry in the record"`
	At       time.Time `json:"at"`
	What     string    `json:"what" enum:"applied,held,approved,declined,rolled_back,kept"`
	Digest   string    `json:"digest"`
	Before   string    `json:"before,omitempty"`
	Operator string    `json:"operator,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

// ListHistory is what became of one list.
type ListHistory struct {
	List      string         `json:"list"`
	Snapshots []ListSnapshot `json:"snapshots" nullable:"false" doc:"newest first"`
	Events    []ListEvent    `json:"events" nullable:"false" doc:"newest first, at most 200"`
}

type listHistoryOutput struct{ Body ListHistory }

func (a *API) getList(ctx context.Context, in *ListPath) (*listHistoryOutput, error) {
	snaps, events, err := a.ListStands.Snapshots(ctx, in.List)
	if err != nil {
		return nil, err
	}
	out := &listHistoryOutput{ListHistory{in.List, []ListSnapshot{}, []ListEvent{}}}
	for _, s := range snaps {
		var reading watchlist.Reading
		if err := json.Unmarshal(s.Report, &reading); err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "what is kept of a snapshot cannot be read: %w", err)
		}
		reading.Files = listed(reading.Files)
		out.Body.Snapshots = append(out.Body.Snapshots, ListSnapshot{s.Digest, s.AsOf, s.Made, s.Entries, s.Rows, s.Broken, s.Orphans, s.How, s.Operator, reading})
	}
	for _, e := range events {
		out.Body.Events = append(out.Body.Events, ListEvent{e.ID, e.At, e.What, e.Digest, e.Before, e.Operator, e.Reason})
	}
	return out, nil
}

type listEntryInput struct {
	ListPath
	Entry  string `path:"entry" maxLength:"100" pattern:"^[A-Za-z0-9._#-]+$"`
	Digest string `query:"digest" maxLength:"64" pattern:"^[0-9a-f]{8,64}$" doc:"of a snapshot, or its beginning; absent: the one in effect"`
}

type listEntryOutput struct{ Body muster.ListEntry }

func (a *API) getListEntry(ctx context.Context, in *listEntryInput) (*listEntryOutput, error) {
	digest := in.Digest
	if digest != "" {
		var err error
		if digest, err = a.ListStands.Whole(ctx, in.List, digest); err != nil {
			return nil, err
		}
	}
	e, err := a.ListStands.Entry(ctx, in.List, digest, in.Entry)
	if err != nil {
		return nil, err
	}
	return &listEntryOutput{redacted(*e)}, nil
}

// redacted is an entry without what only a reveal may show: a list of the provider's
// own names persons whom nobody published. What it is, who answers for it and until
// when stays, and what kinds of numbers it has.
func redacted(e muster.ListEntry) muster.ListEntry {
	if e.Own == nil {
		return e
	}
	out := muster.ListEntry{List: e.List, ID: e.ID, Kind: e.Kind, Own: &muster.OwnEntry{Action: e.Own.Action, Owner: e.Own.Owner, Expires: e.Own.Expires}}
	for _, id := range e.Identifiers {
		out.Identifiers = append(out.Identifiers, muster.ListedIdentifier{Kind: id.Kind})
	}
	return out
}

// ListChange is an entry that is in both snapshots, and not the same.
type ListChange struct {
	Entry  string           `json:"entry"`
	Fields []string         `json:"fields" nullable:"false" doc:"that differ"`
	Old    muster.ListEntry `json:"old"`
	New    muster.ListEntry `json:"new"`
}

// ListDiff is what became of a list between two snapshots.
type ListDiff struct {
	List    string             `json:"list"`
	From    string             `json:"from"`
	To      string             `json:"to"`
	Added   []muster.ListEntry `json:"added" nullable:"false"`
	Removed []muster.ListEntry `json:"removed" nullable:"false"`
	Changed []ListChange       `json:"changed" nullable:"false"`
}

type listDiffInput struct {
	ListPath
	From string `query:"from" maxLength:"64" pattern:"^[0-9a-f]{8,64}$" doc:"digest of a snapshot, or its beginning; absent: the one before, or the one in effect where to is another"`
	To   string `query:"to" maxLength:"64" pattern:"^[0-9a-f]{8,64}$" doc:"absent: the one in effect"`
}

type listDiffOutput struct{ Body ListDiff }

func (a *API) diffList(ctx context.Context, in *listDiffInput) (*listDiffOutput, error) {
	d, from, to, err := a.ListStands.Diff(ctx, in.List, in.From, in.To)
	if err != nil {
		return nil, err
	}
	out := &listDiffOutput{ListDiff{in.List, from, to, []muster.ListEntry{}, []muster.ListEntry{}, []ListChange{}}}
	for _, e := range d.Added {
		out.Body.Added = append(out.Body.Added, redacted(e))
	}
	for _, e := range d.Removed {
		out.Body.Removed = append(out.Body.Removed, redacted(e))
	}
	for _, c := range d.Changed {
		out.Body.Changed = append(out.Body.Changed, ListChange{c.New.ID, c.Fields, redacted(c.Old), redacted(c.New)})
	}
	return out, nil
}

// ImportOutcome is what became of each list that was brought.
type ImportOutcome struct {
	Items []watchlist.Arrived `json:"items" nullable:"false"`
}

// importFor bounds one import: its body is larger, and takes longer, than any other.
const importFor = 5 * time.Minute

func (a *API) importLists(c *call, r *http.Request) error {
	rc := http.NewResponseController(c.ResponseWriter)
	until := time.Now().Add(importFor)
	_ = rc.SetReadDeadline(until) // a writer that cannot is a test's
	_ = rc.SetWriteDeadline(until)
	data, err := c.body(r, "application/x-tar")
	if err != nil {
		return err
	}
	files, err := untar(data)
	if err != nil {
		return err
	}
	outs, err := a.Lists.Import(r.Context(), c.by.Operator, files)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, ImportOutcome{listed(outs)})
}

// Bounds of an archive. All lists that are published come to a third of it.
const (
	maxArchive     = 256 << 20
	maxImportFiles = 1000
)

// untar reads the files of an archive that is in memory. Nothing is unpacked to disk
// and nothing is compressed; a sparse file counts by what it would become.
func untar(data []byte) (files []lists.File, err error) {
	malformed := func(detail string) error { return muster.Errorf(muster.CodeMalformed, "%s", detail) }
	t := tar.NewReader(bytes.NewReader(data))
	left := int64(len(data))
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, malformed("the body is not a tar archive, or not a whole one")
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if left -= h.Size; h.Size < 0 || left < 0 || len(files) >= maxImportFiles {
			return nil, malformed("the archive holds more than its own size, or more than a thousand files")
		}
		text, err := io.ReadAll(io.LimitReader(t, h.Size))
		if err != nil || int64(len(text)) != h.Size {
			return nil, malformed("the archive is cut off")
		}
		files = append(files, lists.File{Path: strings.TrimPrefix(path.Clean("/"+strings.ToValidUTF8(h.Name, "?")), "/"), Data: text})
	}
	if len(files) == 0 {
		return nil, malformed("the archive holds no file")
	}
	return files, nil
}

func importListsDoc(r huma.Registry, o *huma.Operation) {
	o.RequestBody = &huma.RequestBody{
		Required: true, Description: "A tar archive of list files. Folders are kept apart; what each file is, its content says.",
		Content: map[string]*huma.MediaType{"application/x-tar": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
	gives(o, http.StatusOK, "application/json", schemaOf[ImportOutcome](r))
}

type updateListsInput struct {
	Body struct {
		Sources []string `json:"sources,omitempty" maxItems:"50" nullable:"false" doc:"absent: all"`
	}
}

type updateListsOutput struct {
	Body struct {
		Asked time.Time `json:"asked" doc:"a source whose tried is not before this has been fetched since"`
	}
}

func (a *API) updateLists(ctx context.Context, in *updateListsInput) (*updateListsOutput, error) {
	out := &updateListsOutput{}
	out.Body.Asked = a.Clock()
	return out, a.Lists.Ask(ctx, in.Body.Sources...)
}

type approveListInput struct {
	ListPath
	Body struct {
		Digest  string `json:"digest" pattern:"^[0-9a-f]{8,64}$" doc:"of the held snapshot that you saw, or its beginning"`
		Decline bool   `json:"decline,omitempty" doc:"give it up instead"`
		Reason  string `json:"reason" minLength:"1" maxLength:"500"`
	}
}

type rollbackListInput struct {
	ListPath
	Body struct {
		Digest string `json:"digest,omitempty" pattern:"^[0-9a-f]{8,64}$" doc:"of the snapshot to go back to, or its beginning; absent: the one before"`
		Reason string `json:"reason" minLength:"1" maxLength:"500"`
	}
}

// ListState is which snapshot of a list is in effect.
type ListState struct {
	List   string    `json:"list"`
	Digest string    `json:"digest,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

type listStateOutput struct{ Body ListState }

func listStateOf(s *muster.ListState) *listStateOutput {
	return &listStateOutput{ListState{s.List, s.Digest, s.Since}}
}

func (a *API) approveList(ctx context.Context, in *approveListInput) (*listStateOutput, error) {
	do := a.Lists.Approve
	if in.Body.Decline {
		do = a.Lists.Decline
	}
	s, err := do(ctx, callOf(ctx).by.Operator, in.List, in.Body.Digest, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return listStateOf(s), nil
}

func (a *API) rollbackList(ctx context.Context, in *rollbackListInput) (*listStateOutput, error) {
	digest := in.Body.Digest
	if digest != "" {
		var err error
		if digest, err = a.ListStands.Whole(ctx, in.List, digest); err != nil {
			return nil, err
		}
	}
	s, err := a.Lists.Rollback(ctx, callOf(ctx).by.Operator, in.List, digest, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return listStateOf(s), nil
}
