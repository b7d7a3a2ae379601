package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/muster-cip/muster"
)

const (
	maxBytes  = 64 << 10
	maxDepth  = 8
	maxFaults = 100
)

// object is a JSON object as it was sent: string, bool, json.Number, nil,
// []any or object.
type object map[string]any

var errDuplicate = errors.New("a member twice")

// read parses one JSON object. What it refuses could not be spoken of by pointers.
func read(raw []byte) (object, error) {
	if len(raw) > maxBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "the input of %s has at most %d bytes", Manual, maxBytes)
	}
	// Checked first: the decoder would replace what is no UTF-8, and lone surrogates.
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil, muster.Errorf(muster.CodeMalformed, "the input is not one JSON value in UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := value(d, 0)
	if errors.Is(err, errDuplicate) {
		return nil, muster.Errorf(muster.CodeMalformed, "the input states a member twice")
	}
	if err != nil {
		return nil, muster.Errorf(muster.CodeMalformed, "the input is nested too deep")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, muster.Errorf(muster.CodeMalformed, "the input is not one JSON value")
	}
	o, ok := v.(object)
	if !ok {
		return nil, muster.Invalid(muster.Fault{Pointer: "/input", Code: "wrong_type", Detail: "is not an object"})
	}
	return o, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if depth == maxDepth {
		return nil, errors.New("too deep")
	}
	if delim == '[' {
		list := []any{}
		for d.More() {
			v, err := value(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	o := object{}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := k.(string)
		if _, twice := o[name]; twice {
			return nil, errDuplicate
		}
		if o[name], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return o, err
}

// faults gathers what is wrong.
type faults []muster.Fault

func (f *faults) add(pointer, code, detail string) {
	if len(*f) < maxFaults {
		*f = append(*f, muster.Fault{Pointer: "/input" + pointer, Code: code, Detail: detail})
	}
}

// below is the pointer of a member, or of the object itself where the member's
// name could be somebody's data.
func below(pointer, name string) string {
	if len(name) > 40 || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		return pointer
	}
	return pointer + "/" + name
}

// text reads a member that is a text; null is absent.
func (f *faults) text(o object, name string) string {
	switch v := o[name].(type) {
	case nil:
		return ""
	case string:
		return v
	}
	f.add("/"+name, "wrong_type", "is not a text")
	return ""
}

func (f *faults) flag(o object, name string) bool {
	switch v := o[name].(type) {
	case nil:
		return false
	case bool:
		return v
	}
	f.add("/"+name, "wrong_type", "is not true or false")
	return false
}

func (f *faults) members(o object, name string) object {
	switch v := o[name].(type) {
	case nil:
		return nil
	case object:
		return v
	}
	f.add("/"+name, "wrong_type", "is not an object")
	return nil
}
