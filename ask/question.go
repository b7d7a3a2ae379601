package ask

import (
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/muster-cip/muster"
)

// thing is a subject, an action or a resource of a question. Its strings lie in
// the question's bytes: they are good until those are used again.
type thing struct {
	there     bool
	kind, id  string // an action's name is its id
	hasKind   bool
	hasID     bool
	product   string // properties that a limit can be about
	region    string
	gpu       string
	instances int
	mail      bool
	spend     muster.Money
}

// question is one evaluation (AuthZEN 5 and 6.1): who, what, on what. The context
// is read as JSON and looked at no further: nothing in it makes an answer.
type question struct {
	subject, action, resource thing
}

// body is what an evaluation or evaluations request says.
type body struct {
	question           // or the defaults of evaluations
	evaluations []byte // the array with its brackets, nil where there is none
	count       int    // of its items
	semantic    string
}

// shape is a fault of a question that is JSON and no question: which member.
type shape string

func (s shape) Error() string { return string(s) }

const (
	errNotJSON   shape = "the body is not JSON"
	errTooDeep   shape = "the body nests too deep"
	errTwice     shape = "a member stands there twice"
	errNotObject shape = "the body is one JSON object"
	errWrongType shape = "a member is not of its type: subject, action, resource, context, properties, options and spend are objects; type, id, name, product, region and gpu strings; instances and amount whole numbers; outbound_mail true or false; evaluations an array of objects"
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

// read reads a subject, an action or a resource into t.
func (t *thing) read(r *reader, idName string) error {
	there, err := r.object()
	if !there || err != nil {
		return err
	}
	t.there = true
	return r.each(func(name string) (known bool, bit uint, err error) {
		switch name {
		case "type":
			t.kind, err = r.needString()
			t.hasKind = true
			return true, 1, err
		case "properties":
			if there, err := r.object(); !there || err != nil {
				return true, 4, err
			}
			return true, 4, r.each(t.property(r))
		case idName:
			t.id, err = r.needString()
			t.hasID = true
			return true, 2, err
		}
		return false, 0, nil
	})
}

// property reads the properties that a limit can be about. One of these of another
// type than ours is an error: passed over, it would escape the limit.
func (t *thing) property(r *reader) func(string) (bool, uint, error) {
	return func(name string) (known bool, bit uint, err error) {
		into := (*string)(nil)
		switch name {
		case "product":
			into, bit = &t.product, 1
		case "region":
			into, bit = &t.region, 2
		case "gpu":
			into, bit = &t.gpu, 4
		case "instances":
			n, err := r.whole()
			t.instances = int(n)
			return true, 8, err
		case "outbound_mail":
			switch r.peek() {
			case 't':
				t.mail = true
				return true, 16, r.word("true")
			case 'f':
				return true, 16, r.word("false")
			}
			return true, 16, r.wrong()
		case "spend":
			if r.peek() != '{' {
				return true, 32, r.wrong()
			}
			return true, 32, r.each(t.money(r))
		default:
			return false, 0, nil
		}
		*into, err = r.needString()
		return true, bit, err
	}
}

func (t *thing) money(r *reader) func(string) (bool, uint, error) {
	return func(name string) (known bool, bit uint, err error) {
		switch name {
		case "amount":
			t.spend.Amount, err = r.whole()
			return true, 1, err
		case "currency":
			t.spend.Currency, err = r.needString()
			return true, 2, err
		}
		return false, 0, nil
	}
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

// member reads one of a question's own members.
func (q *question) member(r *reader, name string) (known bool, bit uint, err error) {
	switch name {
	case "subject":
		return true, 1, q.subject.read(r, "id")
	case "action":
		return true, 2, q.action.read(r, "name")
	case "resource":
		return true, 4, q.resource.read(r, "id")
	case "context":
		if there, err := r.object(); !there || err != nil {
			return true, 8, err
		}
		return true, 8, r.skip()
	}
	return false, 0, nil
}

// read reads a whole body. evaluations are passed over, and read by items.
func (b *body) read(r *reader) error {
	if r.peek() != '{' {
		if err := r.skip(); err != nil {
			return err
		}
		return errNotObject
	}
	err := r.each(func(name string) (known bool, bit uint, err error) {
		switch name {
		case "evaluations":
			switch r.peek() {
			case '[':
			case 'n':
				return true, 16, r.word("null")
			default:
				return true, 16, r.wrong()
			}
			from := r.at
			b.count, err = r.count()
			b.evaluations = r.data[from:r.at]
			return true, 16, err
		case "options":
			if there, err := r.object(); !there || err != nil {
				return true, 32, err
			}
			return true, 32, r.each(func(name string) (known bool, bit uint, err error) {
				if name != "evaluations_semantic" {
					return false, 0, nil
				}
				b.semantic, err = r.needString()
				return true, 1, err
			})
		}
		return b.member(r, name)
	})
	if err != nil {
		return err
	}
	if r.peek() != 0 || r.at != len(r.data) {
		return errNotJSON
	}
	return nil
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

// items reads each evaluation over the body's defaults (AuthZEN 7.1.1): a member of
// the evaluation stands for the whole default, and of a thing that leaves out its
// type or id the default's is taken. An item that is faulty is an answer of its own;
// fn says whether to go on.
func (b *body) items(r *reader, fn func(q *question, fault error) (goOn bool)) error {
	*r = reader{data: b.evaluations, depth: 1, spare: r.spare}
	empty, err := r.open('[')
	for more := !empty; err == nil && more; {
		from := r.at
		q, fault := b.item(r)
		if fault != nil { // it is JSON: count has passed over it
			*r = reader{data: r.data, at: from, depth: 2, spare: r.spare}
			if err = r.skip(); err != nil {
				return err
			}
		}
		if !fn(&q, fault) {
			return nil
		}
		more, err = r.more('[')
	}
	return err
}

func (b *body) item(r *reader) (q question, err error) {
	if r.peek() != '{' {
		return q, errWrongType
	}
	err = r.each(func(name string) (bool, uint, error) { return q.member(r, name) })
	q.subject.over(&b.subject)
	q.action.over(&b.action)
	q.resource.over(&b.resource)
	return q, err
}

func (t *thing) over(d *thing) {
	if !t.there {
		*t = *d
		return
	}
	if !t.hasKind {
		t.kind, t.hasKind = d.kind, d.hasKind
	}
	if !t.hasID {
		t.id, t.hasID = d.id, d.hasID
	}
}

// fault is what the question lacks: AuthZEN 5 makes these required.
func (q *question) fault() error {
	switch {
	case !q.subject.there:
		return shape("subject is required")
	case !q.subject.hasKind:
		return shape("subject.type is required")
	case !q.subject.hasID:
		return shape("subject.id is required")
	case !q.action.there:
		return shape("action is required")
	case !q.action.hasID:
		return shape("action.name is required")
	case !q.resource.there:
		return shape("resource is required")
	case !q.resource.hasKind:
		return shape("resource.type is required")
	case !q.resource.hasID:
		return shape("resource.id is required")
	}
	return nil
}
