package ledger

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-cip/muster"
)

// maxFaults bounds the answer to a batch that is wrong in every line.
const maxFaults = 100

// NDJSON: one record a line, a JSON object of the members of muster.AccessRecord or
// muster.LeaseRecord, spelled as there, each at most once, every value a string or a
// whole number. Lines of white space alone are skipped.
//
// Two readers read the same language. scan takes a line of the usual shape (no
// escapes, no signs outside ASCII) without copying it. What it does not take goes to
// reread, which is slow, takes everything that may be taken and finds every fault.
// A test holds them to each other and both to encoding/json.

// ParseAccess reads a batch of access records, whole or not at all: the error names
// every line and field at fault, and no value. The records share the text's memory.
func ParseAccess(text string, now time.Time) ([]muster.AccessRecord, error) {
	return parse(text, now, accessFields, (*muster.AccessRecord).Faults)
}

// ParseLeases is ParseAccess for leases.
func ParseLeases(text string, now time.Time) ([]muster.LeaseRecord, error) {
	return parse(text, now, leaseFields, (*muster.LeaseRecord).Faults)
}

// fields sets one member of a record from its text. It returns the member's bit, 0
// where there is no such member, and what is wrong with the value, nil if nothing.
type fields[R any] func(r *R, name, value string, number bool) (bit uint32, wrong *muster.Fault)

func parse[R any](text string, now time.Time, set fields[R], check func(*R, time.Time) []muster.Fault) ([]R, error) {
	if len(text) > muster.MaxBatchBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "a batch has at most %d bytes", muster.MaxBatchBytes)
	}
	rows := make([]R, 0, min(strings.Count(text, "\n")+1, muster.MaxBatchRecords))
	var faults []muster.Fault
	for number := 1; text != ""; number++ {
		line := text
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = ""
		}
		if blank(line) {
			continue
		}
		if len(rows) == muster.MaxBatchRecords {
			return nil, muster.Errorf(muster.CodeTooLarge, "a batch has at most %d records", muster.MaxBatchRecords)
		}
		rows = append(rows, *new(R))
		r := &rows[len(rows)-1]
		if scan(line, r, set) {
			if wrong := check(r, now); wrong == nil {
				continue
			}
			*r = *new(R)
		}
		faults = append(faults, atLine(number, reread(line, r, now, set, check))...)
		if len(faults) >= maxFaults {
			return nil, muster.Invalid(faults[:maxFaults]...)
		}
	}
	if faults != nil {
		return nil, muster.Invalid(faults...)
	}
	if len(rows) == 0 {
		return nil, muster.Errorf(muster.CodeMalformed, "there is no record in this batch")
	}
	return rows, nil
}

// atLine puts the line before each pointer: /17/ip is the field ip of line 17.
func atLine(number int, faults []muster.Fault) []muster.Fault {
	for i := range faults {
		faults[i].Pointer = "/" + strconv.Itoa(number) + faults[i].Pointer
	}
	return faults
}

func blank(line string) bool {
	for i := range len(line) {
		if c := line[i]; c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// scan reads a line of the usual shape into r and reports whether it was one. r may be
// half filled where it was not.
func scan[R any](line string, r *R, set fields[R]) bool {
	if len(line) > muster.MaxRecordBytes {
		return false
	}
	i := skip(line, 0)
	if i == len(line) || line[i] != '{' {
		return false
	}
	i = skip(line, i+1)
	var seen uint32
	for {
		name, next, ok := plain(line, i)
		if !ok {
			return false
		}
		i = skip(line, next)
		if i == len(line) || line[i] != ':' {
			return false
		}
		i = skip(line, i+1)
		if i == len(line) {
			return false
		}
		var value string
		number := line[i] != '"'
		if number {
			value, next, ok = whole(line, i)
		} else {
			value, next, ok = plain(line, i)
		}
		if !ok {
			return false
		}
		bit, wrong := set(r, name, value, number)
		if bit == 0 || wrong != nil || seen&bit != 0 {
			return false
		}
		seen |= bit
		i = skip(line, next)
		if i == len(line) {
			return false
		}
		if line[i] == ',' {
			i = skip(line, i+1)
			continue
		}
		return line[i] == '}' && skip(line, i+1) == len(line)
	}
}

func skip(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// plain reads a string without escapes, of ASCII without control characters, that
// begins at i. next is behind it.
func plain(s string, i int) (text string, next int, ok bool) {
	if i >= len(s) || s[i] != '"' {
		return "", 0, false
	}
	i++
	for j := i; j < len(s); j++ {
		switch c := s[j]; {
		case c == '"':
			return s[i:j], j + 1, true
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			return "", 0, false
		}
	}
	return "", 0, false
}

// whole reads a whole number of JSON without sign, fraction or exponent.
func whole(s string, i int) (text string, next int, ok bool) {
	j := i
	for j < len(s) && '0' <= s[j] && s[j] <= '9' {
		j++
	}
	if j == i || j-i > 5 || s[i] == '0' && j-i > 1 {
		return "", 0, false
	}
	return s[i:j], j, true
}

// reread reads any line and lists its faults; nil: r is good.
func reread[R any](line string, r *R, now time.Time, set fields[R], check func(*R, time.Time) []muster.Fault) []muster.Fault {
	one := func(code, detail string) []muster.Fault { return []muster.Fault{{Code: code, Detail: detail}} }
	if len(line) > muster.MaxRecordBytes {
		return one("length", "a line is longer than a record may be")
	}
	if !utf8.ValidString(line) {
		return one("utf8", "not UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return one("json", "not one JSON object")
	}
	var faults []muster.Fault
	var seen uint32
	faulty := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return one("json", "not one JSON object")
		}
		text, number, flat, err := value(d)
		if err != nil {
			return one("json", "not one JSON object")
		}
		var bit uint32
		wrong := &muster.Fault{Code: "type", Detail: "a string or a whole number, as documented"}
		if flat {
			bit, wrong = set(r, name, text, number)
		} else {
			bit, _ = set(new(R), name, "", false) // is it a name of ours?
		}
		switch {
		case bit == 0:
			// The name is the caller's text: it is not repeated.
			faults = append(faults, muster.Fault{Code: "unknown_field", Detail: "has a member that is not in its shape"})
		case seen&bit != 0:
			faults = append(faults, muster.Fault{Pointer: "/" + name, Code: "twice", Detail: "stands there twice"})
		case wrong != nil:
			faulty["/"+name] = true
			faults = append(faults, muster.Fault{Pointer: "/" + name, Code: wrong.Code, Detail: wrong.Detail})
		}
		seen |= bit
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return one("json", "not one JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return one("json", "more than one JSON value in a line")
	}
	for _, f := range check(r, now) {
		if !faulty[f.Pointer] { // what could not be read is not missing as well
			faults = append(faults, f)
		}
	}
	return faults
}

// value reads the next value; flat where it is a string or a number. A line is short,
// and tokens need no recursion: depth does no harm.
func value(d *json.Decoder) (text string, number, flat bool, err error) {
	depth := 0
	for {
		t, err := d.Token()
		if err != nil {
			return "", false, false, err
		}
		if nest, ok := t.(json.Delim); ok {
			if nest == '{' || nest == '[' {
				depth++
			} else if depth--; depth == 0 {
				return "", false, false, nil
			}
			continue
		}
		if depth > 0 {
			continue
		}
		switch t := t.(type) {
		case string:
			return t, false, true, nil
		case json.Number:
			return t.String(), true, true, nil
		}
		return "", false, false, nil
	}
}

// What may be wrong with one value alone.
var (
	wantText     = &muster.Fault{Code: "type", Detail: "is a string"}
	wantAddress  = &muster.Fault{Code: "address", Detail: "an IPv4 or IPv6 address, without zone"}
	wantPrefix   = &muster.Fault{Code: "address", Detail: "an address, or a prefix such as 192.0.2.0/24"}
	wantPort     = &muster.Fault{Code: "port", Detail: "a number from 1 to 65535"}
	wantTime     = &muster.Fault{Code: "time", Detail: "RFC 3339 with its zone, such as 2026-01-02T03:04:05.678Z"}
	wantNotEmpty = &muster.Fault{Code: "empty", Detail: "is left out rather than empty"}
)

func accessFields(r *muster.AccessRecord, name, value string, number bool) (uint32, *muster.Fault) {
	text := func(bit uint32, to *string) (uint32, *muster.Fault) {
		switch {
		case number:
			return bit, wantText
		case value == "":
			return bit, wantNotEmpty
		}
		*to = value
		return bit, nil
	}
	switch name {
	case "id":
		return text(1<<0, &r.ID)
	case "account":
		return text(1<<1, &r.Account)
	case "actor":
		return text(1<<2, &r.Actor)
	case "ip":
		if number {
			return 1 << 3, wantText
		}
		var wrong *muster.Fault
		r.IP, wrong = address(value)
		return 1 << 3, wrong
	case "port":
		var wrong *muster.Fault
		r.Port, wrong = port(value, number)
		return 1 << 4, wrong
	case "at":
		var wrong *muster.Fault
		r.At, wrong = instant(value, number)
		return 1 << 5, wrong
	case "action":
		return text(1<<6, &r.Action)
	case "surface":
		return text(1<<7, &r.Surface)
	case "device":
		return text(1<<8, &r.Device)
	}
	return 0, nil
}

func leaseFields(r *muster.LeaseRecord, name, value string, number bool) (uint32, *muster.Fault) {
	text := func(bit uint32, to *string) (uint32, *muster.Fault) {
		switch {
		case number:
			return bit, wantText
		case value == "":
			return bit, wantNotEmpty
		}
		*to = value
		return bit, nil
	}
	var wrong *muster.Fault
	switch name {
	case "id":
		return text(1<<0, &r.ID)
	case "account":
		return text(1<<1, &r.Account)
	case "resource":
		return text(1<<2, &r.Resource)
	case "prefix":
		if number {
			return 1 << 3, wantText
		}
		r.Prefix, wrong = prefix(value)
		return 1 << 3, wrong
	case "name":
		return text(1<<4, &r.Name)
	case "port_from":
		r.PortFrom, wrong = port(value, number)
		return 1 << 5, wrong
	case "port_to":
		r.PortTo, wrong = port(value, number)
		return 1 << 6, wrong
	case "from":
		r.From, wrong = instant(value, number)
		return 1 << 7, wrong
	case "until":
		r.Until, wrong = instant(value, number)
		return 1 << 8, wrong
	case "source":
		return text(1<<9, &r.Source)
	case "precision":
		return text(1<<10, &r.Precision)
	}
	return 0, nil
}

// address reads an address; IPv4 in IPv6 is IPv4.
func address(s string) (netip.Addr, *muster.Fault) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, wantAddress
	}
	return a.Unmap(), nil
}

func prefix(s string) (netip.Prefix, *muster.Fault) {
	if !strings.Contains(s, "/") {
		a, wrong := address(s)
		if wrong != nil {
			return netip.Prefix{}, wantPrefix
		}
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, wantPrefix
	}
	return p, nil
}

func port(s string, number bool) (uint16, *muster.Fault) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || !number {
		return 0, wantPort
	}
	return uint16(n), nil
}

// instant reads RFC 3339 and cuts to the millisecond. The usual form, in UTC with or
// without milliseconds, is read by hand.
func instant(s string, number bool) (time.Time, *muster.Fault) {
	if number || len(s) > 35 {
		return time.Time{}, wantTime
	}
	if t, ok := utc(s); ok {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || strings.Contains(s, ",") { // Go takes a comma before the fraction, RFC 3339 does not
		return time.Time{}, wantTime
	}
	return t.UTC().Truncate(time.Millisecond), nil
}

// utc reads 2026-01-02T03:04:05Z and 2026-01-02T03:04:05.678Z.
func utc(s string) (time.Time, bool) {
	if len(s) != 20 && len(s) != 24 || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	if s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	var bad uint32
	two := func(i int) int {
		a, b := uint32(s[i])-'0', uint32(s[i+1])-'0'
		if a > 9 || b > 9 {
			bad = 1
		}
		return int(a*10 + b)
	}
	year, month, day := two(0)*100+two(2), two(5), two(8)
	hour, minute, second := two(11), two(14), two(17)
	ms := 0
	if len(s) == 24 {
		last := uint32(s[22]) - '0'
		if s[19] != '.' || last > 9 {
			return time.Time{}, false
		}
		ms = two(20)*10 + int(last)
	}
	if bad != 0 || year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	// Days since 1970 in the proleptic Gregorian calendar, the year begun in March.
	y, m := year, month
	if m <= 2 {
		y, m = y-1, m+12
	}
	days := 365*y + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + day - 1 - 719468
	return time.Unix(int64(days)*86400+int64(hour*3600+minute*60+second), int64(ms)*1e6).UTC(), true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
