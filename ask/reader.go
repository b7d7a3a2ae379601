package ask

import (
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/muster-cip/muster"
)

// reader reads JSON (RFC 8259) once from front to back without copying it. It
// takes what encoding/json takes, of UTF-8, and no more; what it does not look for
// it checks and passes over.
type reader struct {
	data  []byte
	at    int
	depth int
	spare []byte // strings with escapes, decoded
}

// text is b as a string without copying: b must not be written again.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (r *reader) space() {
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// peek is the next byte past white space, 0 at the end.
func (r *reader) peek() byte {
	r.space()
	if r.at < len(r.data) {
		return r.data[r.at]
	}
	return 0
}

// open steps into an object or array, and reports whether it is empty.
func (r *reader) open(bracket byte) (empty bool, err error) {
	if r.peek() != bracket {
		return false, errWrongType
	}
	r.at++
	if r.depth++; r.depth > muster.MaxNesting {
		return false, errTooDeep
	}
	if r.peek() == bracket+2 { // '{' and '}', '[' and ']' lie two apart
		r.at++
		r.depth--
		return true, nil
	}
	return false, nil
}

// more steps past a comma, or out of an object or array.
func (r *reader) more(bracket byte) (bool, error) {
	switch r.peek() {
	case ',':
		r.at++
		return true, nil
	case bracket + 2:
		r.at++
		r.depth--
		return false, nil
	}
	return false, errNotJSON
}

// member reads a member's name and its colon.
func (r *reader) member() (string, error) {
	name, err := r.str()
	if err == nil && r.peek() != ':' {
		err = errNotJSON
	}
	r.at++
	return name, err
}

// str reads a string.
func (r *reader) str() (string, error) {
	if r.peek() != '"' {
		return "", errNotJSON
	}
	r.at++
	from, ascii := r.at, true
	for r.at < len(r.data) {
		switch b := r.data[r.at]; {
		case b == '"':
			s := r.data[from:r.at]
			r.at++
			if !ascii && !utf8.Valid(s) {
				return "", errNotJSON
			}
			return text(s), nil
		case b == '\\':
			return r.escaped(from)
		case b < ' ':
			return "", errNotJSON
		case b >= utf8.RuneSelf:
			ascii = false
		}
		r.at++
	}
	return "", errNotJSON
}

// escaped reads on in a string that has an escape at r.at.
func (r *reader) escaped(from int) (string, error) {
	start := len(r.spare)
	r.spare = append(r.spare, r.data[from:r.at]...)
	for r.at < len(r.data) {
		b := r.data[r.at]
		r.at++
		switch {
		case b == '"':
			s := r.spare[start:len(r.spare):len(r.spare)]
			if !utf8.Valid(s) {
				return "", errNotJSON
			}
			return text(s), nil
		case b < ' ':
			return "", errNotJSON
		case b != '\\':
			r.spare = append(r.spare, b)
			continue
		}
		if r.at == len(r.data) {
			break
		}
		b = r.data[r.at]
		r.at++
		switch b {
		case '"', '\\', '/':
			r.spare = append(r.spare, b)
		case 'b':
			r.spare = append(r.spare, '\b')
		case 'f':
			r.spare = append(r.spare, '\f')
		case 'n':
			r.spare = append(r.spare, '\n')
		case 'r':
			r.spare = append(r.spare, '\r')
		case 't':
			r.spare = append(r.spare, '\t')
		case 'u':
			c, ok := r.hex4()
			if !ok {
				return "", errNotJSON
			}
			if utf16.IsSurrogate(c) {
				low := rune(utf8.RuneError)
				if r.at+1 < len(r.data) && r.data[r.at] == '\\' && r.data[r.at+1] == 'u' {
					back := r.at
					r.at += 2
					if low, ok = r.hex4(); !ok {
						return "", errNotJSON
					}
					if utf16.DecodeRune(c, low) == utf8.RuneError {
						r.at = back // the second stands for itself
					}
				}
				c = utf16.DecodeRune(c, low) // one half alone is U+FFFD, as everywhere
			}
			r.spare = utf8.AppendRune(r.spare, c)
		default:
			return "", errNotJSON
		}
	}
	return "", errNotJSON
}

func (r *reader) hex4() (c rune, ok bool) {
	if len(r.data)-r.at < 4 {
		return 0, false
	}
	for _, b := range r.data[r.at : r.at+4] {
		switch {
		case '0' <= b && b <= '9':
			b -= '0'
		case 'a' <= b && b <= 'f':
			b -= 'a' - 10
		case 'A' <= b && b <= 'F':
			b -= 'A' - 10
		default:
			return 0, false
		}
		c = c<<4 | rune(b)
	}
	r.at += 4
	return c, true
}

// skip checks a value and passes over it.
func (r *reader) skip() error {
	switch b := r.peek(); b {
	case '"':
		spare := len(r.spare)
		_, err := r.str()
		r.spare = r.spare[:spare]
		return err
	case '{', '[':
		empty, err := r.open(b)
		for more := !empty; err == nil && more; {
			if b == '{' {
				spare := len(r.spare)
				if _, err = r.member(); err != nil {
					break
				}
				r.spare = r.spare[:spare]
			}
			if err = r.skip(); err == nil {
				more, err = r.more(b)
			}
		}
		return err
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	default:
		return r.number()
	}
}

func (r *reader) word(w string) error {
	if len(r.data)-r.at < len(w) || text(r.data[r.at:r.at+len(w)]) != w {
		return errNotJSON
	}
	r.at += len(w)
	return nil
}

// number passes over a number (RFC 8259, 6).
func (r *reader) number() error {
	digits := func() (n int) {
		for ; r.at < len(r.data) && '0' <= r.data[r.at] && r.data[r.at] <= '9'; r.at++ {
			n++
		}
		return n
	}
	is := func(set string) bool {
		for i := range len(set) {
			if r.at < len(r.data) && r.data[r.at] == set[i] {
				r.at++
				return true
			}
		}
		return false
	}
	is("-")
	if !is("0") && digits() == 0 {
		return errNotJSON
	}
	if is(".") && digits() == 0 {
		return errNotJSON
	}
	if is("eE") {
		is("+-")
		if digits() == 0 {
			return errNotJSON
		}
	}
	return nil
}

// each reads an object; fn reads the value of a member that it knows, and reports
// false for others. A member that fn knows stands there once: two readers of one
// question must not see two questions.
func (r *reader) each(fn func(name string) (known bool, bit uint, err error)) error {
	empty, err := r.open('{')
	var seen uint
	for more := !empty; err == nil && more; {
		var name string
		if name, err = r.member(); err != nil {
			return err
		}
		known, bit, err := fn(name)
		switch {
		case err != nil:
			return err
		case !known:
			err = r.skip()
		case seen&bit != 0:
			return errTwice
		}
		if err != nil {
			return err
		}
		seen |= bit
		if more, err = r.more('{'); err != nil {
			return err
		}
	}
	return err
}

// needString reads a string, or says that the member is of another type.
func (r *reader) needString() (string, error) {
	if r.peek() != '"' {
		return "", r.wrong()
	}
	return r.str()
}

// object reports whether the next value is an object; null is none, as if the
// member were not there.
func (r *reader) object() (bool, error) {
	switch r.peek() {
	case '{':
		return true, nil
	case 'n':
		return false, r.word("null")
	}
	return false, r.wrong()
}

// wrong passes over a value that is of the wrong type.
func (r *reader) wrong() error {
	if err := r.skip(); err != nil {
		return err
	}
	return errWrongType
}

// whole reads a whole number from 0 on, of at most 15 digits.
func (r *reader) whole() (n int64, err error) {
	r.space()
	from := r.at
	if err := r.skip(); err != nil {
		return 0, err
	}
	b := r.data[from:r.at]
	if len(b) > 15 {
		return 0, errWrongType
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errWrongType
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// count passes over an array and counts its items.
func (r *reader) count() (n int, err error) {
	empty, err := r.open('[')
	for more := !empty; err == nil && more; n++ {
		if err = r.skip(); err == nil {
			more, err = r.more('[')
		}
	}
	return n, err
}
