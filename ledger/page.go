package ledger

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-cip/muster"
)

// AccessPage is some of the access records of an answer, in the order of time.
type AccessPage struct {
	Records []muster.AccessRecord
	Next    string // of the next page; "" at the end
}

// cutPage sorts what was found and cuts the page after a cursor: the time of the last
// record in milliseconds, and how many records of that millisecond came before.
func cutPage(found []muster.AccessRecord, after string, limit int) (page AccessPage, err error) {
	if limit <= 0 || limit > MaxPage {
		limit = 100
	}
	slices.SortFunc(found, func(a, b muster.AccessRecord) int {
		return cmp.Or(compareAccess(&a, &b), cmp.Compare(a.Account, b.Account))
	})
	start := 0
	if after != "" {
		ms, skip, err := parseCursor(after)
		if err != nil {
			return page, err
		}
		start, _ = slices.BinarySearchFunc(found, ms, func(r muster.AccessRecord, ms int64) int { return cmp.Compare(r.At.UnixMilli(), ms) })
		start = min(start+skip, len(found))
	}
	end := min(start+limit, len(found))
	page.Records = found[start:end]
	if end < len(found) {
		ms := found[end-1].At.UnixMilli()
		first, _ := slices.BinarySearchFunc(found, ms, func(r muster.AccessRecord, ms int64) int { return cmp.Compare(r.At.UnixMilli(), ms) })
		page.Next = strconv.FormatInt(ms, 10) + "." + strconv.Itoa(end-first)
	}
	return page, nil
}

func parseCursor(s string) (ms int64, skip int, err error) {
	a, b, ok := strings.Cut(s, ".")
	ms, err1 := strconv.ParseInt(a, 10, 64)
	skip, err2 := strconv.Atoi(b)
	if !ok || err1 != nil || err2 != nil || skip < 0 {
		return 0, 0, muster.Invalid(muster.Fault{Pointer: "/after", Code: "format", Detail: "not a cursor of this question"})
	}
	return ms, skip, nil
}
