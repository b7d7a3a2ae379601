// Package book reads a provider's existing book: customers, their accounts and what
// was seen of them, leases and access records, one a line. docs/formats/book.md is
// the specification.
//
// Rules of this room:
//   - It is pure: lines in, what they say or what is wrong with them out.
//   - A line is taken whole or not at all. What is wrong is named by line and field,
//     never with the value.
//   - The claims of a customer are an application's, in the shape of every other
//     one; package validate looks at their values.
package book

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-cip/muster"
)

// Bounds of a book.
const (
	MaxLineBytes = 512 << 10
	MaxBytes     = 8 << 20 // of the lines that are sent together
	MaxLines     = 5_000   // likewise
	MaxAccounts  = 200     // of one customer, beside the first
	MaxEvidence  = 100     // of one customer
)

// Types of line.
const (
	TypeCustomer = "customer"
	TypeLease    = "lease"
	TypeAccess   = "access"
)

// Grounds on which an account was closed.
const (
	GroundLeft  = "left"
	GroundAbuse = "abuse" // it counts for later applications that share a value
)

// Line is one line of a book. One of Customer, Lease and Access is there.
type Line struct {
	Type     string          `json:"type"`
	Line     int             `json:"line,omitempty"` // its number where it comes from; absent: counted on
	Customer *Customer       `json:"customer,omitempty"`
	Lease    json.RawMessage `json:"lease,omitempty"`  // a record of the ledger: muster.LeaseRecord
	Access   json.RawMessage `json:"access,omitempty"` // likewise: muster.AccessRecord
}

// Customer is one customer of the provider's as they stand.
type Customer struct {
	Application json.RawMessage `json:"application"`     // claims, references and parent: muster.Application
	Since       Instant         `json:"since,omitzero"`  // when the first account was opened; absent: not known
	State       string          `json:"state,omitempty"` // of the first account: active | closing | closed; absent: active
	Closed      Instant         `json:"closed,omitzero"` // of one that is closed
	Ground      string          `json:"ground,omitempty"`
	Accounts    []Account       `json:"accounts,omitempty"` // further ones
	Evidence    []Evidence      `json:"evidence,omitempty"` // what was seen before
}

// Account is a further account of a customer.
type Account struct {
	Account string  `json:"account"` // the provider's reference
	Tag     string  `json:"tag,omitempty"`
	Since   Instant `json:"since,omitzero"`
	State   string  `json:"state,omitempty"`
	Closed  Instant `json:"closed,omitzero"`
	Ground  string  `json:"ground,omitempty"`
}

// Evidence is what was seen of one person before the book was taken in.
type Evidence struct {
	Subject    string                      `json:"subject,omitempty"` // JSON Pointer into the application; absent: /customer
	Method     string                      `json:"method"`
	Kind       muster.EvidenceKind         `json:"kind"` // documentary | non_documentary
	Attributes map[string]muster.Finding   `json:"attributes"`
	Shows      map[string][]muster.Country `json:"shows,omitempty"`
	Assurance  muster.Assurance            `json:"assurance"`
	At         Instant                     `json:"at"`
	Expires    Instant                     `json:"expires,omitzero"`
	Details    json.RawMessage             `json:"details,omitempty"` // what was seen; sealed, and nothing reads it
}

// Instant is a time, or a day, which is its beginning in UTC.
type Instant struct {
	time.Time
	wrong bool // it is neither: a fault of its member, which the decoder does not name
}

// UnmarshalJSON reads RFC 3339, or YYYY-MM-DD.
func (i *Instant) UnmarshalJSON(b []byte) error {
	var s string
	i.wrong = true
	if json.Unmarshal(b, &s) != nil {
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			i.Time, i.wrong = muster.Instant(t), false
			return nil
		}
	}
	return nil
}

// absent reports whether the line says nothing of it.
func (i Instant) absent() bool { return i.IsZero() && !i.wrong }

// Parse reads one line, without its end. now is for times that lie ahead. The error is
// invalid, with every fault of the line's own; the application in it is not looked into.
func Parse(text []byte, now time.Time) (*Line, error) {
	one := func(pointer, code, detail string) (*Line, error) {
		return nil, muster.Invalid(muster.Fault{Pointer: pointer, Code: code, Detail: detail})
	}
	switch {
	case len(text) > MaxLineBytes:
		return one("", "length", "a line is longer than it may be")
	case !utf8.Valid(text):
		return one("", "utf8", "is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	x := &Line{}
	if err := d.Decode(x); err != nil {
		var wrong *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrong):
			return one(pointerOf(wrong.Field), "type", "has a value of another type")
		case strings.HasPrefix(err.Error(), "json: unknown field"):
			return one("", "unknown_field", "has a member that is not in its shape") // its name is the caller's text
		}
		return one("", "json", "is not one JSON object of the shape of a line")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return one("", "json", "more than one JSON value in a line")
	}
	if faults := x.faults(now); len(faults) > 0 {
		return nil, muster.Invalid(faults...)
	}
	return x, nil
}

// Number is what a line says that its number is, also one that is at fault or broken
// off behind it; 0: it does not say.
func Number(text []byte) int {
	var x struct {
		Line int `json:"line"`
	}
	if json.Unmarshal(text, &x) == nil {
		return max(x.Line, 0)
	}
	d := json.NewDecoder(bytes.NewReader(text)) // as muster import writes it: the first member
	for _, want := range []json.Token{json.Delim('{'), "line"} {
		if t, err := d.Token(); err != nil || t != want {
			return 0
		}
	}
	if d.Decode(&x.Line) != nil {
		return 0
	}
	return max(x.Line, 0)
}

// pointerOf makes a JSON Pointer of the path that encoding/json names.
func pointerOf(path string) string {
	if path == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(path, ".", "/")
}

func (x *Line) faults(now time.Time) []muster.Fault {
	f := &faults{now: now}
	if x.Line < 0 {
		f.add("/line", "unknown_value", "is a number from 1 on")
	}
	parts := map[string]bool{TypeCustomer: x.Customer != nil, TypeLease: x.Lease != nil, TypeAccess: x.Access != nil}
	has, known := parts[x.Type]
	if !known {
		f.add("/type", "unknown_value", "is none of customer, lease, access")
		return f.list
	}
	for name, there := range parts {
		if there && name != x.Type {
			f.add("/"+name, "misplaced", "belongs to a line of another type")
		}
	}
	switch {
	case !has:
		f.add("/"+x.Type, "required", "is what a line of this type says")
	case x.Customer != nil:
		x.Customer.faults(f)
	}
	slices.SortFunc(f.list, func(a, b muster.Fault) int { return strings.Compare(a.Pointer+a.Code, b.Pointer+b.Code) })
	return f.list
}

// faults collects what is wrong with one line.
type faults struct {
	now  time.Time
	list []muster.Fault
}

const maxFaults = 50

func (f *faults) add(pointer, code, detail string) {
	if len(f.list) < maxFaults {
		f.list = append(f.list, muster.Fault{Pointer: pointer, Code: code, Detail: detail})
	}
}

func (c *Customer) faults(f *faults) {
	const at = "/customer"
	if len(c.Application) == 0 {
		f.add(at+"/application", "required", "holds the claims of this customer")
	}
	f.standing(at, c.Since, c.State, c.Closed, c.Ground)
	if len(c.Accounts) > MaxAccounts {
		f.add(at+"/accounts", "too_many", "at most 200")
		return
	}
	for i := range c.Accounts {
		a, p := &c.Accounts[i], at+"/accounts/"+strconv.Itoa(i)
		if !muster.IsReference(a.Account) {
			f.add(p+"/account", "reference", "is not a reference: 1 to 64 letters, digits, dots, underscores and dashes")
		}
		if a.Tag != "" && !muster.IsTag(a.Tag) {
			f.add(p+"/tag", "tag", "is no tag: 1 to 32 lower-case letters, digits, dots, underscores and dashes")
		}
		f.standing(p, a.Since, a.State, a.Closed, a.Ground)
	}
	if len(c.Evidence) > MaxEvidence {
		f.add(at+"/evidence", "too_many", "at most 100")
		return
	}
	for i := range c.Evidence {
		c.Evidence[i].faults(f, at+"/evidence/"+strconv.Itoa(i))
	}
}

// standing checks how an account stands.
func (f *faults) standing(at string, since Instant, state string, closed Instant, ground string) {
	f.past(at+"/since", since)
	f.past(at+"/closed", closed)
	switch state {
	case "", muster.AccActive, muster.AccClosing, muster.AccClosed:
	default:
		f.add(at+"/state", "unknown_value", "is none of active, closing, closed")
	}
	switch {
	case state == muster.AccClosed && closed.absent():
		f.add(at+"/closed", "required", "says when an account that is closed was closed: how long records are kept hangs on it")
	case state != muster.AccClosed && !closed.IsZero():
		f.add(at+"/closed", "misplaced", "is of an account whose state is closed")
	case !closed.IsZero() && !since.IsZero() && closed.Before(since.Time):
		f.add(at+"/closed", "ends_before_start", "lies before since")
	}
	switch ground {
	case "":
	case GroundLeft, GroundAbuse:
		if state != muster.AccClosed {
			f.add(at+"/ground", "misplaced", "is of an account whose state is closed")
		}
	default:
		f.add(at+"/ground", "unknown_value", "is none of left, abuse")
	}
}

func (f *faults) time(at string, t Instant) {
	if t.wrong {
		f.add(at, "time", "a time is RFC 3339 with its zone, or YYYY-MM-DD")
	}
}

func (f *faults) past(at string, t Instant) {
	f.time(at, t)
	switch {
	case t.IsZero():
	case t.After(f.now.Add(24 * time.Hour)):
		f.add(at, "in_future", "lies ahead")
	case t.Year() < 1970:
		f.add(at, "date", "lies before 1970")
	}
}

// maxDetails bounds what was seen of one person once.
const maxDetails = 16 << 10

func (e *Evidence) faults(f *faults, at string) {
	if e.Method == "" || len(e.Method) > 64 || !muster.IsTag(strings.ReplaceAll(e.Method, ".", "-")) {
		f.add(at+"/method", "unknown_value", "is a word such as document.manual")
	}
	if e.Kind != muster.Documentary && e.Kind != muster.NonDocumentary {
		f.add(at+"/kind", "unknown_value", "is documentary or non_documentary")
	}
	if len(e.Attributes) == 0 {
		f.add(at+"/attributes", "required", "says what was found, by attribute")
	}
	for attribute, finding := range e.Attributes {
		if !slices.Contains(muster.Attributes, attribute) || attribute == muster.AttrIdentity {
			f.add(at+"/attributes", "unknown_field", "names an attribute that there is not")
		}
		if finding != muster.Supports && finding != muster.Contradicts && finding != muster.Open {
			f.add(at+"/attributes", "unknown_value", "a finding is supports, contradicts or open")
		}
	}
	for attribute, countries := range e.Shows {
		if !slices.Contains([]string{muster.AttrNationality, muster.AttrResidence, muster.AttrFormation, muster.AttrLocation}, attribute) {
			f.add(at+"/shows", "unknown_field", "names an attribute that shows no country")
		}
		if slices.ContainsFunc(countries, func(c muster.Country) bool {
			return len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z'
		}) {
			f.add(at+"/shows", "unknown_country", "is not a country code (ISO 3166-1 alpha-2, upper case)")
		}
	}
	switch e.Assurance {
	case muster.AssuranceLow, muster.AssuranceSubstantial, muster.AssuranceHigh:
	default:
		f.add(at+"/assurance", "unknown_value", "is none of low, substantial, high")
	}
	if e.At.absent() {
		f.add(at+"/at", "required", "says when it was seen")
	}
	f.past(at+"/at", e.At)
	f.time(at+"/expires", e.Expires)
	if !e.Expires.IsZero() && !e.Expires.After(e.At.Time) {
		f.add(at+"/expires", "ends_before_start", "lies before at")
	}
	if len(e.Details) > maxDetails {
		f.add(at+"/details", "too_long", "has at most 16 KiB")
	}
}
