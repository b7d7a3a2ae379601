package ask

import "github.com/muster-cip/muster"

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
