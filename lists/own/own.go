// Package own reads the lists that a provider keeps itself, as CSV or as NDJSON. The
// format is documented in docs/formats/lists.md.
//
// Such a list holds personal data: no fault repeats a value of it.
package own

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// Prefix of the ids of these lists: own.blocked.
const Prefix = "own."

// Actions of an entry.
const (
	Allow = "allow"
	Deny  = "deny"
)

// row is one entry as the file has it. In CSV, several values of one field are
// separated by "; ".
type row struct {
	ID       string `json:"id"`
	Action   string `json:"action"`
	Owner    string `json:"owner"`
	Reason   string `json:"reason"`
	Expires  string `json:"expires"`
	Kind     string `json:"kind"`
	Names    values `json:"names"`
	Births   values `json:"births"`
	Nations  values `json:"nations"`
	Domains  values `json:"mail_domains"`
	Ranges   values `json:"ip_ranges"`
	Networks values `json:"networks"`
	BINs     values `json:"card_bins"`
	Digests  values `json:"document_digests"`
	Wallets  values `json:"wallets"`
}

// values are one string or an array of them.
type values []string

func (v *values) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*v = values{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(v))
}

var required = []string{"id", "action", "owner", "reason"}

var columns = []string{
	"id", "action", "owner", "reason", "expires", "kind", "names", "births", "nations",
	"mail_domains", "ip_ranges", "networks", "card_bins", "document_digests", "wallets",
}

// Detect reports whether text is such a list.
func Detect(text []byte) bool {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
		var first map[string]any
		return json.Unmarshal(line, &first) == nil && first["action"] != nil && first["owner"] != nil
	}
	_, ok := lists.HeaderOf(lists.NewRows(text, ','), 1, required...)
	return ok
}

var notInName = regexp.MustCompile(`[^a-z0-9-]+`)

// ListOf is the id of the list in a file: own. and the file's name up to its first
// point.
func ListOf(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".")
	base = strings.Trim(notInName.ReplaceAllString(strings.ToLower(base), "-"), "-")
	if base == "" {
		base = "list"
	}
	return Prefix + base[:min(len(base), 40)]
}

// Read reads the file. An own list has no rows to spare: a row that cannot be read is
// a fault like any other's, and which bound refuses the snapshot is the caller's.
func Read(f lists.File, text []byte) (*lists.Edition, error) {
	r := &reader{ed: &lists.Edition{List: ListOf(f.Path), Format: "own-csv", Files: []string{f.Path}}, file: f.Path, ids: lists.IDs{}}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		r.ed.Format = "own-ndjson"
		r.ndjson(text)
	} else if err := r.csv(f, text); err != nil {
		return nil, err
	}
	return r.ed, nil
}

type reader struct {
	ed   *lists.Edition
	file string
	ids  lists.IDs
}

// maxLine bounds one line of NDJSON.
const maxLine = 1 << 20

func (r *reader) ndjson(text []byte) {
	line := 0
	for raw := range bytes.Lines(text) {
		line++
		if raw = bytes.TrimSpace(raw); len(raw) == 0 {
			continue
		}
		r.ed.Rows++
		if len(raw) > maxLine {
			r.ed.Broken.Add(r.file, line, "the line is too long")
			continue
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		var x row
		if d.Decode(&x) != nil || d.More() {
			r.ed.Broken.Add(r.file, line, "not one JSON object of the fields that an own list has")
			if raw[len(raw)-1] != '}' {
				r.ed.Cut = fmt.Sprintf("%s: line %d breaks off", r.file, line)
			}
			continue
		}
		r.ed.Cut = ""
		r.take(line, x)
	}
}

func (r *reader) csv(f lists.File, text []byte) error {
	rows := lists.NewRows(text, ',')
	col, ok := lists.HeaderOf(rows, 1, required...)
	if !ok {
		return lists.Refused(f.Path, "the first line does not name the columns %s", strings.Join(required, ", "))
	}
	for name := range col {
		if !slices.Contains(columns, name) {
			return lists.Refused(f.Path, "a column of the header is not one that an own list has; there are %s", strings.Join(columns, ", "))
		}
	}
	for rows.Next() {
		r.ed.Cut = ""
		switch {
		case lists.Blank(rows.Fields) && rows.Fault == "":
			continue
		case rows.Fault != "", len(rows.Fields) != len(col):
			r.ed.Rows++
			reason := rows.Fault
			if reason == "" {
				reason = fmt.Sprintf("%d fields where %d are expected", len(rows.Fields), len(col))
			}
			if rows.Open || len(rows.Fields) < len(col) {
				r.ed.Cut = fmt.Sprintf("%s was cut off in its last row (line %d)", r.file, rows.Line)
			}
			r.ed.Broken.Add(r.file, rows.Line, "%s", reason)
			rows.Retreat()
			continue
		}
		r.ed.Rows++
		get := func(name string) string { return col.Get(rows.Fields, name) }
		multi := func(name string) values { return col.Multi(rows.Fields, name, ";") }
		r.take(rows.Line, row{
			ID: get("id"), Action: get("action"), Owner: get("owner"), Reason: get("reason"), Expires: get("expires"), Kind: get("kind"),
			Names: multi("names"), Births: multi("births"), Nations: multi("nations"), Domains: multi("mail_domains"), Ranges: multi("ip_ranges"),
			Networks: multi("networks"), BINs: multi("card_bins"), Digests: multi("document_digests"), Wallets: multi("wallets"),
		})
	}
	return nil
}

var (
	idForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	domain = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)
	asn    = regexp.MustCompile(`^AS[1-9][0-9]{0,9}$`)
	bin    = regexp.MustCompile(`^[0-9]{6,8}$`)
	digest = regexp.MustCompile(`^[0-9a-f]{32,128}$`)
)

// take makes an entry of a row, or says what is wrong with it, without its values.
func (r *reader) take(line int, x row) {
	e, wrong := entry(r.ed.List, x)
	if wrong == "" && r.ids[e.ID] {
		wrong = "an earlier row has the same id"
	}
	if wrong != "" {
		r.ed.Broken.Add(r.file, line, "%s", wrong)
		return
	}
	r.ids[e.ID] = true
	r.ed.Entries = append(r.ed.Entries, e)
}

const maxText = 1000 // characters of owner and reason

func entry(list string, x row) (e muster.ListEntry, wrong string) {
	x.Owner, x.Reason = lists.Clean(x.Owner), lists.Clean(x.Reason)
	switch {
	case !idForm.MatchString(x.ID):
		return e, "id is not 1 to 64 of A-Z a-z 0-9 . _ -"
	case x.Action != Allow && x.Action != Deny:
		return e, "action is neither allow nor deny"
	case x.Owner == "" || len(x.Owner) > maxText:
		return e, "owner is empty or too long: somebody answers for each row"
	case x.Reason == "" || len(x.Reason) > maxText:
		return e, "reason is empty or too long"
	}
	e = muster.ListEntry{List: list, ID: x.ID, Kind: muster.ListedKind(x.Kind), Own: &muster.OwnEntry{Action: x.Action, Owner: x.Owner, Reason: x.Reason}}
	switch e.Kind {
	case "", muster.ListedIndividual, muster.ListedEntity, muster.ListedVessel, muster.ListedAircraft:
	default:
		return e, "kind is not individual, entity, vessel or aircraft"
	}
	if x.Expires != "" {
		at, err := time.Parse(time.DateOnly, x.Expires)
		if err != nil {
			at, err = time.Parse(time.RFC3339, x.Expires)
		}
		if err != nil {
			return e, "expires is neither a date such as 2026-12-31 nor a time of RFC 3339"
		}
		e.Own.Expires = at.UTC()
	}
	for _, n := range x.Names {
		role := muster.NameAlias
		if len(e.Names) == 0 {
			role = muster.NamePrimary
		}
		if len(n) > maxText {
			return e, "a name is too long"
		}
		lists.AddName(&e, lists.Name(e.Kind, n, role, muster.NameStrong))
	}
	for _, b := range x.Births {
		d, ok := lists.ParseDate(b)
		if !ok {
			return e, "a date of births cannot be read"
		}
		lists.Add(&e.Births, d)
	}
	for _, n := range x.Nations {
		c := lists.Country(n)
		if c == "" {
			return e, "nations has what is no country"
		}
		lists.Add(&e.Nations, c)
	}
	if wrong := identifiers(&e, x); wrong != "" {
		return e, wrong
	}
	if len(e.Names) == 0 && len(e.Identifiers) == 0 {
		return e, "nothing to find the row by: no name and no identifier"
	}
	return e, ""
}

func identifiers(e *muster.ListEntry, x row) (wrong string) {
	put := func(kind, value string) {
		lists.Add(&e.Identifiers, muster.ListedIdentifier{Kind: kind, Value: value})
	}
	for _, v := range x.Domains {
		v = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(v), "@"))
		if len(v) > 253 || !domain.MatchString(v) {
			return "mail_domains has what is no domain (in ASCII: xn--…)"
		}
		put(muster.IdentMailDomain, v)
	}
	for _, v := range x.Ranges {
		p, err := netip.ParsePrefix(strings.TrimSpace(v))
		if err != nil {
			a, err := netip.ParseAddr(strings.TrimSpace(v))
			if err != nil || a.Zone() != "" {
				return "ip_ranges has what is neither an address nor a range such as 192.0.2.0/24"
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p != p.Masked() {
			return "ip_ranges has a range with bits beyond its length"
		}
		put(muster.IdentIPRange, p.String())
	}
	for _, k := range []struct {
		kind, field string
		values      values
		form        *regexp.Regexp
		fold        func(string) string
	}{
		{muster.IdentNetwork, "networks has what is no AS number such as AS64496", x.Networks, asn, strings.ToUpper},
		{muster.IdentCardBIN, "card_bins has what is not six to eight digits", x.BINs, bin, strings.TrimSpace},
		{muster.IdentDocument, "document_digests has what is no digest in hex", x.Digests, digest, strings.ToLower},
	} {
		for _, v := range k.values {
			v = k.fold(strings.TrimSpace(v))
			if !k.form.MatchString(v) {
				return k.field
			}
			put(k.kind, v)
		}
	}
	for _, v := range x.Wallets {
		if v = strings.TrimSpace(v); v == "" || len(v) > 200 || strings.ContainsAny(v, " \t") {
			return "wallets has what is no address of a wallet"
		}
		put(muster.IdentWallet, v)
	}
	return ""
}
