package api

import (
	"net/url"
	"strconv"

	"github.com/muster-cip/muster"
)

// Paging asks for a part of a list.
type Paging struct {
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"at most so many"`
	After string `query:"after" maxLength:"100" pattern:"^[A-Za-z0-9._-]+$" doc:"the cursor of the last answer"`
}

// page asks the store for one row more than is wanted, which says whether there are more.
func (in *Paging) page() muster.Page { return muster.Page{After: in.After, Limit: in.Limit + 1} }

// Page is a part of a list.
type Page[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	After string `json:"after,omitempty" doc:"cursor of the next part; absent on the last"`
}

// listOutput is a part of a list, with the way to the next.
type listOutput[T any] struct {
	Link string `header:"Link" doc:"rel=next, relative (RFC 8288)"`
	Body Page[T]
}

// list makes the answer of rows. key is a row's cursor; filters are the other
// query parameters, name and value by turns, which the link keeps.
func list[R, T any](in *Paging, rows []R, shape func(R) T, key func(R) string, filters ...string) *listOutput[T] {
	out := &listOutput[T]{Body: Page[T]{Items: make([]T, 0, len(rows))}}
	more := len(rows) > in.Limit
	if more {
		rows = rows[:in.Limit]
	}
	for _, r := range rows {
		out.Body.Items = append(out.Body.Items, shape(r))
	}
	if more {
		out.Body.After = key(rows[len(rows)-1])
		q := url.Values{"limit": {strconv.Itoa(in.Limit)}, "after": {out.Body.After}}
		for i := 0; i < len(filters); i += 2 {
			if filters[i+1] != "" {
				q.Set(filters[i], filters[i+1])
			}
		}
		out.Link = "<?" + q.Encode() + `>; rel="next"`
	}
	return out
}

// etag is a version as If-Match takes it.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// Match is the version that an edit builds on.
type Match struct {
	IfMatch string `header:"If-Match" maxLength:"100" doc:"the ETag of what you saw"`
}

func (in *Match) version() (int64, error) { return version(in.IfMatch) }

func version(ifMatch string) (int64, error) {
	if ifMatch == "" {
		return 0, &muster.Error{
			Code: muster.CodeNeedsMatch, Message: "an edit names what it builds on",
			Hint: "get it, and send its ETag as If-Match",
		}
	}
	if n := len(ifMatch); n > 2 && ifMatch[0] == '"' && ifMatch[n-1] == '"' {
		if v, err := strconv.ParseInt(ifMatch[1:n-1], 10, 64); err == nil && v > 0 {
			return v, nil
		}
	}
	return 0, &muster.Error{Code: muster.CodeStale, Message: "If-Match is no ETag of this", Hint: "get it again"}
}

// listed is s, and an empty list where there is none: null is no list.
func listed[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
