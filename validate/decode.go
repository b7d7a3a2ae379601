package validate

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/muster-cip/muster"
)

const (
	// maxFaults bounds an answer to a body that is wrong in every place.
	maxFaults = 200
	// maxElements bounds the elements of all arrays of one body together.
	maxElements = 10_000
)

// Decode reads one application: JSON (RFC 8259) of at most
// muster.MaxApplicationBytes and muster.MaxNesting levels, UTF-8, members
// spelled as in muster.Application, each at most once. A member that is null, or
// a list that is empty, is absent.
//
// Errors: too_large; malformed for what is no such JSON (not even one fault can
// be named then); invalid with every unknown member and every value of a wrong
// type, sorted by pointer. Values are otherwise not looked at: that is
// Checker.Application.
func Decode(body []byte) (*muster.Application, error) {
	app, faults, err := decode(body)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		return nil, invalid(faults)
	}
	return app, nil
}

func decode(body []byte) (*muster.Application, []muster.Fault, error) {
	if len(body) > muster.MaxApplicationBytes {
		return nil, nil, muster.Errorf(muster.CodeTooLarge, "an application has at most %d bytes", muster.MaxApplicationBytes)
	}
	if !utf8.Valid(body) {
		return nil, nil, muster.Errorf(muster.CodeMalformed, "the body is not UTF-8")
	}
	if deeper(body, muster.MaxNesting) {
		return nil, nil, muster.Errorf(muster.CodeMalformed, "the body is nested deeper than %d levels", muster.MaxNesting)
	}
	if !json.Valid(body) {
		return nil, nil, muster.Errorf(muster.CodeMalformed, "the body is not one JSON value")
	}
	d := decoder{in: body, shapes: shapes()}
	d.space()
	if d.peek() != '{' {
		return nil, nil, muster.Errorf(muster.CodeMalformed, "the body is not a JSON object")
	}
	app := new(muster.Application)
	d.value(reflect.ValueOf(app).Elem())
	if d.err != nil {
		return nil, nil, d.err
	}
	return app, d.faults, nil
}

// invalid sorts faults by pointer, so that an answer does not depend on the
// order of checks.
func invalid(faults []muster.Fault) *muster.Error {
	slices.SortStableFunc(faults, func(a, b muster.Fault) int {
		if c := strings.Compare(a.Pointer, b.Pointer); c != 0 {
			return c
		}
		return strings.Compare(a.Code, b.Code)
	})
	faults = slices.CompactFunc(faults, func(a, b muster.Fault) bool { return a.Pointer == b.Pointer && a.Code == b.Code })
	if len(faults) > maxFaults {
		faults = faults[:maxFaults]
	}
	return muster.Invalid(faults...)
}

// deeper reports whether objects and arrays nest deeper than max. It needs no
// valid JSON, so that a hostile body never reaches a recursive parser.
func deeper(body []byte, max int) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > max {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// shape is which members a struct has: name on the wire -> index of the field.
type shape map[string]int

// shapes are drawn from muster.Application itself, so that a member added there
// is read here.
var shapes = sync.OnceValue(func() map[reflect.Type]shape {
	all := map[reflect.Type]shape{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice:
			visit(t.Elem())
		case reflect.Struct:
			if _, seen := all[t]; seen || t == timeType {
				return
			}
			s := shape{}
			all[t] = s
			for i := range t.NumField() {
				name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
				s[name] = i
				visit(t.Field(i).Type)
			}
		}
	}
	visit(reflect.TypeFor[muster.Application]())
	return all
})

var (
	timeType    = reflect.TypeFor[time.Time]()
	percentType = reflect.TypeFor[muster.Percent]()
)

// decoder walks bytes that json.Valid has passed: it has no syntax errors left
// to find, only duplicate members and values of the wrong type.
type decoder struct {
	in       []byte
	at       int
	shapes   map[reflect.Type]shape
	path     []step // of the value being read; joined only for a fault
	elements int
	faults   []muster.Fault
	err      error
}

// step is one part of a pointer: a member, or an element where it is "".
type step struct {
	member string
	index  int
}

// fault is about the value being read.
func (d *decoder) fault(code, detail string) {
	if len(d.faults) > maxFaults {
		return
	}
	var pointer []byte
	for _, s := range d.path {
		pointer = append(append(pointer, '/'), s.member...)
		if s.member == "" {
			pointer = strconv.AppendInt(pointer, int64(s.index), 10)
		}
	}
	d.faults = append(d.faults, muster.Fault{Pointer: string(pointer), Code: code, Detail: detail})
}

// below reads a value one step down.
func (d *decoder) below(s step, v reflect.Value) {
	d.path = append(d.path, s)
	d.value(v)
	d.path = d.path[:len(d.path)-1]
}

func (d *decoder) peek() byte { return d.in[d.at] }

func (d *decoder) space() {
	for d.at < len(d.in) {
		switch d.in[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// value reads one value into v, or past it where v is the zero Value.
func (d *decoder) value(v reflect.Value) {
	d.space()
	if d.err != nil {
		return
	}
	switch c := d.peek(); c {
	case 'n':
		d.at += len("null")
		if n := len(d.path); n > 0 && d.path[n-1].member == "" && v.IsValid() {
			d.fault("wrong_type", "is null where a value is needed")
		}
		return
	case '{':
		d.object(v)
		return
	case '[':
		d.array(v)
		return
	}
	if v.IsValid() && v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		v = p.Elem()
	}
	start := d.at
	switch c := d.peek(); c {
	case '"':
		s := d.str()
		if v.IsValid() {
			d.setString(v, s)
		}
	case 't', 'f':
		d.at += len("true")
		if c == 'f' {
			d.at++
		}
		if !v.IsValid() {
			return
		}
		if v.Kind() != reflect.Bool {
			d.wrong(v)
			return
		}
		v.SetBool(c == 't')
	default:
		for d.at < len(d.in) && strings.IndexByte("+-.0123456789eE", d.in[d.at]) >= 0 {
			d.at++
		}
		if v.IsValid() {
			d.setNumber(v, string(d.in[start:d.at]))
		}
	}
}

func (d *decoder) setString(v reflect.Value, s string) {
	switch {
	case v.Type() == timeType:
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			d.fault("time", "is not a time as in RFC 3339, such as 2026-01-31T09:15:00Z")
			return
		}
		v.Set(reflect.ValueOf(t))
	case v.Kind() == reflect.String:
		v.SetString(s)
	default:
		d.wrong(v)
	}
}

func (d *decoder) setNumber(v reflect.Value, raw string) {
	switch {
	case v.Type() == percentType:
		p, err := muster.ParsePercent(raw)
		if err != nil {
			d.fault("share", "is not a share: a decimal number of at most three digits and six places, in per cent")
			return
		}
		v.SetInt(int64(p))
	case v.Kind() == reflect.Int:
		n, err := strconv.ParseInt(raw, 10, 32)
		if err != nil {
			d.fault("wrong_type", "is not a whole number in range")
			return
		}
		v.SetInt(n)
	default:
		d.wrong(v)
	}
}

func (d *decoder) object(v reflect.Value) {
	if v.IsValid() && v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct {
		p := reflect.New(v.Type().Elem())
		v.Set(p)
		v = p.Elem()
	}
	var members shape
	if v.IsValid() {
		var ok bool
		if members, ok = d.shapes[v.Type()]; !ok {
			d.wrong(v)
			v = reflect.Value{}
		}
	}
	// A few members are told apart by looking along a list; a hostile object with
	// very many is not.
	var few [24]string
	seen := few[:0]
	var many map[string]bool
	d.at++ // {
	for {
		d.space()
		if d.peek() == '}' {
			d.at++
			return
		}
		if d.peek() == ',' {
			d.at++
			d.space()
		}
		key := d.str()
		switch {
		case d.err != nil:
			return
		case many != nil:
			if many[key] {
				d.duplicate()
				return
			}
			many[key] = true
		case slices.Contains(seen, key):
			d.duplicate()
			return
		case len(seen) < len(few):
			seen = append(seen, key)
		default:
			many = map[string]bool{key: true}
			for _, k := range seen {
				many[k] = true
			}
		}
		d.space()
		d.at++ // :
		if !v.IsValid() {
			d.value(reflect.Value{})
		} else if i, ok := members[key]; ok {
			d.below(step{member: key}, v.Field(i))
		} else {
			d.unknown(key)
			d.value(reflect.Value{})
		}
		if d.err != nil {
			return
		}
	}
}

func (d *decoder) duplicate() {
	d.err = muster.Errorf(muster.CodeMalformed, "an object states a member twice")
}

// unknown names a member only where its name can hardly be somebody's data.
func (d *decoder) unknown(key string) {
	if isMemberName(key) {
		d.path = append(d.path, step{member: key})
		d.fault("unknown_member", "is not a member of an application")
		d.path = d.path[:len(d.path)-1]
		return
	}
	d.fault("unknown_member", "has a member that is not one of an application")
}

func isMemberName(key string) bool {
	if len(key) == 0 || len(key) > 40 {
		return false
	}
	for i := range len(key) {
		if c := key[i]; c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func (d *decoder) array(v reflect.Value) {
	if v.IsValid() && v.Kind() != reflect.Slice {
		d.wrong(v)
		v = reflect.Value{}
	}
	d.at++ // [
	for i := 0; ; i++ {
		d.space()
		if d.peek() == ']' {
			d.at++
			return
		}
		if d.peek() == ',' {
			d.at++
			d.space()
		}
		if d.elements++; d.elements > maxElements {
			d.err = muster.Errorf(muster.CodeTooLarge, "the lists of an application have at most %d elements together", maxElements)
			return
		}
		if !v.IsValid() {
			d.value(reflect.Value{})
		} else {
			v.Grow(1)
			v.SetLen(i + 1)
			v.Index(i).SetZero()
			d.below(step{index: i}, v.Index(i))
		}
		if d.err != nil {
			return
		}
	}
}

func (d *decoder) wrong(v reflect.Value) {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	want := "an object"
	switch {
	case t == timeType:
		want = "a text with a time as in RFC 3339"
	case t == percentType, t.Kind() == reflect.Int:
		want = "a number"
	case t.Kind() == reflect.String:
		want = "a text"
	case t.Kind() == reflect.Bool:
		want = "true or false"
	case t.Kind() == reflect.Slice:
		want = "a list"
	}
	d.fault("wrong_type", "is not "+want)
}

// str reads a string. An escaped lone surrogate names no character: such a body
// is malformed, because what would be stored is not what was sent.
func (d *decoder) str() string {
	start := d.at + 1
	end := start + bytes.IndexByte(d.in[start:], '"')
	if raw := d.in[start:end]; bytes.IndexByte(raw, '\\') < 0 {
		d.at = end + 1
		return string(raw)
	}
	for end = start; d.in[end] != '"'; end++ {
		if d.in[end] == '\\' {
			end++
		}
	}
	d.at = end + 1
	raw := d.in[start-1 : d.at]
	if loneSurrogate(raw) {
		d.err = muster.Errorf(muster.CodeMalformed, "a text has half of a surrogate pair")
		return ""
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		d.err = muster.Errorf(muster.CodeMalformed, "a text cannot be read: %w", err)
	}
	return s
}

func loneSurrogate(raw []byte) bool {
	unit := func(i int) (uint64, bool) {
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
		return n, err == nil
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		n, ok := unit(i)
		if !ok {
			i++ // another escape
			continue
		}
		i += 5
		if n < 0xD800 || n > 0xDFFF {
			continue
		}
		low, ok := unit(i + 1)
		if n > 0xDBFF || !ok || low < 0xDC00 || low > 0xDFFF {
			return true
		}
		i += 6
	}
	return false
}
