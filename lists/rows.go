package lists

import (
	"bytes"
	"strings"
)

// Rows reads records of fields separated by one byte, quoted as RFC 4180 says. It is
// not encoding/csv, because a stray quote must cost one line and not swallow the rows
// up to the next: a quoted field that is not closed within maxLines makes its own line
// broken, and reading goes on at the line after it.
type Rows struct {
	rest []byte
	sep  byte
	line int    // of what rest begins with
	own  []byte // what the record that Next read began with

	OneLine bool // the format has no line breaks within fields

	Line   int      // of the record that Next read
	Fields []string // valid until the next call
	Fault  string   // why the record cannot be used; "": it can
	Open   bool     // the fault is a quote that is never closed: at the end, the file was cut
}

// maxLines is how many lines one record may take.
const maxLines = 64

// MaxFields is how many fields one record may have.
const MaxFields = 512

// NewRows reads text that Text returned.
func NewRows(text []byte, sep byte) *Rows { return &Rows{rest: text, sep: sep, line: 1} }

// Next reads the next record that is not blank. False: there is none.
func (r *Rows) Next() bool {
	for len(r.rest) > 0 {
		r.Line, r.Fault, r.Open, r.Fields, r.own = r.line, "", false, r.Fields[:0], r.rest
		n, lines := r.record()
		if n < 0 { // an open quote: only the first line is given up
			r.Open = true
			r.Fault = "a quote is opened and not closed"
			n, lines = len(r.rest), 1
			if i := bytes.IndexByte(r.rest, '\n'); i >= 0 {
				n = i + 1
			}
		}
		r.rest = r.rest[n:]
		r.line += lines
		if r.Fault != "" || len(r.Fields) > 1 || len(r.Fields) == 1 && strings.TrimSpace(r.Fields[0]) != "" {
			return true
		}
	}
	return false
}

// Retreat gives all but the first line of the record back, to be read again: what ran
// over several lines was no record, but a quote too many.
func (r *Rows) Retreat() {
	if r.line <= r.Line+1 {
		return
	}
	if i := bytes.IndexByte(r.own, '\n'); i >= 0 {
		r.rest, r.line = r.own[i+1:], r.Line+1
	}
}

// record cuts one record off and returns how many bytes and lines it took; -1 where a
// quoted field does not end.
func (r *Rows) record() (n, lines int) {
	p := r.rest
	for {
		field, took, newlines, ok := r.field(p[n:])
		if !ok {
			return -1, 0
		}
		n += took
		lines += newlines
		switch {
		case len(field) > MaxField:
			r.Fault = "a field is too long"
		case len(r.Fields) >= MaxFields:
			r.Fault = "too many fields"
		default:
			r.Fields = append(r.Fields, field)
		}
		switch {
		case n == len(p):
			return n, lines
		case p[n] == r.sep:
			n++
		case p[n] == '\n':
			return n + 1, lines + 1
		case p[n] == '\r':
			n++
			if n < len(p) && p[n] == '\n' {
				n++
			}
			return n, lines + 1
		}
	}
}

// field reads up to the separator or the end of the record.
func (r *Rows) field(p []byte) (field string, n, newlines int, ok bool) {
	if len(p) == 0 || p[0] != '"' {
		for n < len(p) && p[n] != r.sep && p[n] != '\n' && p[n] != '\r' {
			n++
		}
		return string(p[:n]), n, 0, true
	}
	var b strings.Builder
	n = 1
	for {
		i := bytes.IndexAny(p[n:min(len(p), n+4*MaxField)], "\"\n")
		if i < 0 {
			return "", 0, 0, false
		}
		b.Write(p[n : n+i])
		n += i + 1
		if p[n-1] == '\n' {
			newlines++
			if r.OneLine || newlines >= maxLines || b.Len() > MaxField {
				return "", 0, 0, false
			}
			b.WriteByte('\n')
			continue
		}
		if n < len(p) && p[n] == '"' { // a doubled quote
			b.WriteByte('"')
			n++
			continue
		}
		break
	}
	// What follows a closing quote before the separator belongs to the field: lists have
	// been seen with "A" Co.
	for n < len(p) && p[n] != r.sep && p[n] != '\n' && p[n] != '\r' {
		b.WriteByte(p[n])
		n++
	}
	return b.String(), n, newlines, true
}
