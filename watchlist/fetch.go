package watchlist

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/own"
	"github.com/muster-cip/muster/outbound"
)

// seen is what a publisher's server called a copy, so that the next request can ask
// whether there is another.
type seen struct {
	ETag     string `json:"etag,omitempty"`
	Modified string `json:"modified,omitempty"`
}

// fetching is how long one round may take: a lease as long keeps others from it.
const fetching = 10 * time.Minute

// retryAfter is how soon a source that failed is tried again: soon at first, and never
// later than it would be anyway.
func retryAfter(failures int, every time.Duration) time.Duration {
	d := 5 * time.Minute << min(max(failures-1, 0), 10)
	return min(d, every)
}

func (src Source) every() time.Duration {
	if src.Every <= 0 {
		return DefaultEvery
	}
	return src.Every
}

// Ask has sources fetched at the next look, a few seconds from now, by whichever
// process looks first; no name asks for all.
func (s *Service) Ask(ctx context.Context, names ...string) error {
	for _, name := range names {
		if !slices.ContainsFunc(s.Rules.Sources, func(src Source) bool { return src.Name == name }) {
			return muster.Errorf(muster.CodeNotFound, "no source of that name is configured")
		}
	}
	if len(s.Rules.Sources) == 0 {
		return &muster.Error{Code: muster.CodeNotFound, Message: "no source of lists is configured", Hint: "name some under lists: in the configuration, or muster lists import DIR"}
	}
	return s.DB.InTx(ctx, func(tx Tx) error {
		for _, src := range s.Rules.Sources {
			if len(names) > 0 && !slices.Contains(names, src.Name) {
				continue
			}
			row, err := sourceRow(ctx, tx, src.Name)
			if err != nil {
				return err
			}
			row.Wanted = tx.Now()
			if err := tx.PutListSource(ctx, row); err != nil {
				return err
			}
		}
		return nil
	})
}

func sourceRow(ctx context.Context, tx Tx, name string) (*muster.ListSource, error) {
	rows, err := tx.ListSources(ctx)
	for _, r := range rows {
		if r.Source == name {
			return r, err
		}
	}
	return &muster.ListSource{Source: name, Seen: "{}"}, err
}

// Look fetches what is due or asked for. It is called again and again; one process at
// a time does it. What went wrong with a source is in its row, and no error.
func (s *Service) Look(ctx context.Context) error {
	if len(s.Rules.Sources) == 0 {
		return nil
	}
	due, rows, err := s.due(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	var lease *muster.Lease
	err = s.DB.InTx(ctx, func(tx Tx) (err error) {
		lease, err = tx.Acquire(ctx, "lists", s.Holder, fetching)
		return err
	})
	if muster.ErrorCode(err) == muster.CodeConflict {
		return nil // another process is at it
	}
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(muster.WithFence(ctx, lease.Held()), fetching)
	defer cancel()
	for _, src := range due {
		if _, err := s.fetch(bounded, src, rows[src.Name]); err != nil {
			return err
		}
	}
	return s.DB.InTx(ctx, func(tx Tx) error { return tx.Release(ctx, lease) })
}

func (s *Service) due(ctx context.Context) (due []Source, rows map[string]*muster.ListSource, err error) {
	now := s.Clock()
	rows = map[string]*muster.ListSource{}
	err = s.DB.View(ctx, func(tx Tx) error {
		all, err := tx.ListSources(ctx)
		for _, r := range all {
			rows[r.Source] = r
		}
		return err
	})
	for _, src := range s.Rules.Sources {
		r := rows[src.Name]
		if r == nil {
			r = &muster.ListSource{Source: src.Name, Seen: "{}"}
			rows[src.Name] = r
		}
		at := r.Checked.Add(src.every())
		if r.Failures > 0 {
			at = r.Tried.Add(retryAfter(r.Failures, src.every()))
		}
		if !r.Wanted.IsZero() || !at.After(now) {
			due = append(due, src)
		}
	}
	return due, rows, err
}

// fetch gets a source's files and applies what is in them. A failure is written into
// the source's row; the error is of the store alone.
func (s *Service) fetch(ctx context.Context, src Source, row *muster.ListSource) ([]Arrived, error) {
	var marks map[string]seen
	if json.Unmarshal([]byte(row.Seen), &marks) != nil || marks == nil {
		marks = map[string]seen{}
	}
	files, fresh, err := s.get(ctx, src, marks, len(row.Lists) > 0)
	if err != nil {
		return nil, s.failed(ctx, src, reasonOf(err))
	}
	if files == nil {
		return nil, s.unchanged(ctx, src)
	}
	rep := Read(files)
	outs := refusals(rep)
	if len(outs) > 0 { // a page, or another format, where a list should be
		why := outs[0].Why
		if outs[0].State == Skipped {
			why = strings.Join(outs[0].Files, " ") + ": " + why
		}
		return outs, s.failed(ctx, src, why)
	}
	var arrivals []*arrival
	for _, ed := range rep.Editions {
		if slices.ContainsFunc(arrivals, func(a *arrival) bool { return a.List == ed.List }) {
			return outs, s.failed(ctx, src, "its files have two editions of "+ed.List)
		}
		arrivals = append(arrivals, &arrival{Edition: ed})
	}
	note := func(ctx context.Context, tx Tx, names []string) error {
		r, err := sourceRow(ctx, tx, src.Name)
		if err != nil {
			return err
		}
		r.Tried, r.Wanted, r.Reason = tx.Now(), time.Time{}, ""
		for _, a := range arrivals {
			if a.out.State == Refused {
				r.Failures++
				r.Reason = a.List + ": " + a.out.Why
				return tx.PutListSource(ctx, r)
			}
		}
		data, err := json.Marshal(fresh)
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "a source cannot be written: %w", err)
		}
		r.Checked, r.Failures, r.Seen, r.Lists = tx.Now(), 0, string(data), names
		return tx.PutListSource(ctx, r)
	}
	done, err := s.arrive(ctx, arrivals, how{how: "fetch", source: &src, note: note})
	return append(outs, done...), err
}

// reasonOf is what of an error may be shown: our own words, and never a URL.
func reasonOf(err error) string {
	var e *muster.Error
	switch {
	case errors.As(err, &e):
		return e.Message
	case errors.Is(err, outbound.ErrAddress), errors.Is(err, outbound.ErrURL), errors.Is(err, outbound.ErrRedirect), errors.Is(err, outbound.ErrTooLarge):
		return err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	}
	return "the publisher's server cannot be reached"
}

func (s *Service) failed(ctx context.Context, src Source, reason string) error {
	return s.DB.InTx(ctx, func(tx Tx) error {
		r, err := sourceRow(ctx, tx, src.Name)
		if err != nil {
			return err
		}
		r.Tried, r.Wanted, r.Reason = tx.Now(), time.Time{}, reason
		r.Failures++
		return tx.PutListSource(ctx, r)
	})
}

// unchanged notes that the publisher has what we have: its lists are fresh.
func (s *Service) unchanged(ctx context.Context, src Source) error {
	err := s.DB.InTx(ctx, func(tx Tx) error {
		r, err := sourceRow(ctx, tx, src.Name)
		if err != nil {
			return err
		}
		r.Tried, r.Wanted, r.Checked, r.Failures, r.Reason = tx.Now(), time.Time{}, tx.Now(), 0, ""
		for _, list := range r.Lists {
			st, err := tx.ListState(ctx, list)
			if err != nil {
				return err
			}
			// What waits for a person is what the publisher has; what is in effect is not.
			if st.Source == src.Name && st.Held == "" && st.Digest != "" {
				st.Fresh = tx.Now()
				if err := tx.PutListState(ctx, st); err != nil {
					return err
				}
			}
		}
		return tx.PutListSource(ctx, r)
	})
	if err != nil {
		return err
	}
	return s.Load(ctx)
}

// get fetches all files of a source; nil where none of them changed. Files that did
// not change while another did are fetched again: a set is of one moment.
func (s *Service) get(ctx context.Context, src Source, marks map[string]seen, conditional bool) (files []lists.File, fresh map[string]seen, err error) {
	for attempt := range 2 {
		files, fresh = nil, map[string]seen{}
		same := 0
		for _, u := range src.URLs {
			key := lists.MadeID(u) // a URL may hold a token, and the store is not the place for it
			mark := marks[key]
			if !conditional || attempt > 0 {
				mark = seen{}
			}
			f, m, err := s.getOne(ctx, src, u, mark)
			if err != nil {
				return nil, nil, err
			}
			if f == nil {
				same++
				fresh[key] = mark
				continue
			}
			fresh[key] = m
			files = append(files, *f)
		}
		if same == len(src.URLs) {
			return nil, fresh, nil
		}
		if same == 0 {
			return files, fresh, nil
		}
	}
	return nil, nil, muster.Errorf(muster.CodeUnavailable, "the publisher's server says that nothing changed where nothing was asked")
}

func (s *Service) getOne(ctx context.Context, src Source, rawURL string, mark seen) (*lists.File, seen, error) {
	name := fileName(src, rawURL)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, seen{}, outbound.ErrURL
	}
	if mark.ETag != "" {
		req.Header.Set("If-None-Match", mark.ETag)
	}
	if mark.Modified != "" {
		req.Header.Set("If-Modified-Since", mark.Modified)
	}
	res, err := s.Client.Do(req)
	if err != nil {
		return nil, seen{}, err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && mark != (seen{}):
		return nil, mark, nil
	case res.StatusCode != http.StatusOK:
		return nil, seen{}, muster.Errorf(muster.CodeUnavailable, "%s: the publisher's server answered %d", name, res.StatusCode)
	}
	if enc := res.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, seen{}, muster.Errorf(muster.CodeUnavailable, "%s: the answer is packed, and nobody asked for that", name)
	}
	var b bytes.Buffer
	if n := res.ContentLength; n > 0 && n <= lists.MaxFile {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(res.Body, lists.MaxFile+1))
	switch {
	case errors.Is(err, outbound.ErrTooLarge) || n > lists.MaxFile:
		return nil, seen{}, muster.Errorf(muster.CodeTooLarge, "%s: larger than a list may be", name)
	case err != nil:
		return nil, seen{}, muster.Errorf(muster.CodeUnavailable, "%s: the answer broke off", name)
	case res.ContentLength >= 0 && n != res.ContentLength:
		return nil, seen{}, muster.Errorf(muster.CodeUnavailable, "%s: the answer broke off", name)
	}
	return &lists.File{Path: name, Data: b.Bytes()}, seen{clip(res.Header.Get("ETag")), clip(res.Header.Get("Last-Modified"))}, nil
}

func clip(s string) string {
	if len(s) > 200 {
		return "" // asked without a mark, next time
	}
	return s
}

// fileName is what a fetched file is called: the end of the URL's path, and for an own
// list the source's name, which names the list.
func fileName(src Source, rawURL string) string {
	if list, ok := strings.CutPrefix(src.Name, own.Prefix); ok {
		return list
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return src.Name
	}
	base := path.Base(u.Path)
	if base == "." || base == "/" || len(base) > 100 {
		return src.Name
	}
	return strings.ToLower(base)
}

// Check says what is wrong with the rules.
func (r Rules) Check(client *outbound.Client) error {
	names := map[string]bool{}
	for _, src := range r.Sources {
		switch {
		case src.Name == "" || len(src.Name) > 40 || names[src.Name]:
			return fmt.Errorf("a source of lists has a name of its own, of at most 40 bytes")
		case len(src.URLs) == 0 || len(src.URLs) > 10:
			return fmt.Errorf("the source %s has one to ten URLs", src.Name)
		case src.Every < 0 || src.MaxAge < 0 || src.MinEntries < 0:
			return fmt.Errorf("the bounds of the source %s are not negative", src.Name)
		}
		names[src.Name] = true
		for _, u := range src.URLs {
			if client != nil && client.CheckURL(u) != nil {
				return fmt.Errorf("a URL of the source %s cannot be called: https, or host:port in out.allow", src.Name)
			}
		}
	}
	if r.MaxAge < 0 || r.MaxShrink < 0 || r.MaxShrink > 100 || r.MaxBroken < 0 || r.MaxBroken > 100 {
		return fmt.Errorf("the bounds of lists are a duration and per cents of 0 to 100")
	}
	return nil
}
