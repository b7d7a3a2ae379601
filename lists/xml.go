package lists

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// Node is one element of an XML file, with what is in it.
type Node struct {
	Name  string
	Attrs []xml.Attr
	Text  string // of its own, cleaned
	Kids  []*Node
	Line  int
}

// Bounds of one entry. The longest that is published has some hundreds of elements.
const (
	maxDepth = 12
	maxNodes = 20_000
)

// Elements reads an XML file whose root element is root, and calls each for the root
// itself, without what is in it, and for every element below it whose name is in want,
// whole. Entities of a DTD are not expanded: one that is used is an error. A file that
// is cut off, or not well formed anywhere, is refused.
func Elements(f File, text []byte, root string, want []string, each func(*Node)) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(_ string, _ io.Reader) (io.Reader, error) {
		return nil, errEncoding
	}
	depth := 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			if depth == 0 {
				break
			}
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return notXML(f, d, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			line, _ := d.InputPos()
			switch {
			case depth == 0 && t.Name.Local != root:
				return Refused(f.Path, "its root element is not %s", root)
			case depth == 0:
				each(&Node{Name: root, Attrs: slices.Clone(t.Attr), Line: line})
				depth++
			case slices.Contains(want, t.Name.Local):
				left := maxNodes
				n, err := element(d, t, 0, &left)
				if err != nil {
					return notXML(f, d, err)
				}
				n.Line = line
				each(n)
			default:
				if depth++; depth > maxDepth {
					return Refused(f.Path, "line %d: elements are nested too deep", line)
				}
			}
		case xml.EndElement:
			depth--
		}
	}
	return nil
}

// Whole reads an XML file whose elements want are an entry each, and whose root says
// in an attribute when it was made, RFC 3339. An entry whose number an earlier one has
// is kept under another.
func Whole(f File, text []byte, ed *Edition, root, made string, want []string, entry func(*Node) muster.ListEntry) (*Edition, error) {
	ids := IDs{}
	if err := Elements(f, text, root, want, func(n *Node) {
		if n.Name == root {
			ed.AsOf, _ = time.Parse(time.RFC3339, n.Attr(made))
			ed.AsOf = ed.AsOf.UTC().Truncate(time.Second)
			return
		}
		ed.Rows++
		e := entry(n)
		if e.ID == "" || len(e.Names) == 0 {
			ed.Broken.Add(f.Path, n.Line, "an entry without reference number or name")
			return
		}
		if was := e.ID; ids.Take(&e) {
			ed.Note("%s:%d: an earlier entry has the number %s; kept as %s", f.Path, n.Line, was, e.ID)
		}
		ed.Entries = append(ed.Entries, e)
	}); err != nil {
		return nil, err
	}
	if ed.Rows == 0 {
		return nil, Refused(f.Path, "no entry is in it")
	}
	return ed, nil
}

var errEncoding = errors.New("wrong encoding")

var errTooMuch = errors.New("one entry has too many elements, or they are nested too deep")

func element(d *xml.Decoder, start xml.StartElement, depth int, left *int) (*Node, error) {
	if *left--; *left < 0 || depth > maxDepth {
		return nil, errTooMuch
	}
	n := &Node{Name: start.Name.Local, Attrs: slices.Clone(start.Attr)}
	var text strings.Builder
	for {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			kid, err := element(d, t, depth+1, left)
			if err != nil {
				return nil, err
			}
			n.Kids = append(n.Kids, kid)
		case xml.CharData:
			if text.Len()+len(t) > MaxField {
				return nil, errTooMuch
			}
			text.Write(t)
		case xml.EndElement:
			n.Text = Clean(text.String())
			return n, nil
		}
	}
}

// notXML refuses a file by where reading stopped; the decoder's own words are of its
// syntax, and may quote the file.
func notXML(f File, d *xml.Decoder, err error) error {
	line, _ := d.InputPos()
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &syntax) && strings.Contains(syntax.Msg, "unexpected EOF"):
		return Refused(f.Path, "the file was cut off in line %d", line)
	case strings.Contains(err.Error(), errEncoding.Error()):
		return Refused(f.Path, "it says that it is not UTF-8: wrong encoding")
	case errors.As(err, &syntax):
		return Refused(f.Path, "line %d is not well-formed XML", syntax.Line)
	}
	return Refused(f.Path, "line %d: %v", line, err)
}

// Root is the name of the root element of what looks like XML; "" where it does not.
func Root(text []byte) string {
	head := bytes.TrimSpace(text[:min(len(text), 64<<10)])
	if !bytes.HasPrefix(head, []byte("<")) {
		return ""
	}
	d := xml.NewDecoder(bytes.NewReader(head))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		t, err := d.Token()
		if err != nil {
			return ""
		}
		if s, ok := t.(xml.StartElement); ok {
			return s.Name.Local
		}
	}
}

// Attr is an attribute, cleaned.
func (n *Node) Attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return Clean(a.Value)
		}
	}
	return ""
}

// All are the elements at the end of a path below n.
func (n *Node) All(path ...string) []*Node {
	if len(path) == 0 {
		return []*Node{n}
	}
	var out []*Node
	for _, k := range n.Kids {
		if path[0] == "*" || k.Name == path[0] {
			out = append(out, k.All(path[1:]...)...)
		}
	}
	return out
}

// Value is the text of the first element at the end of a path that has one.
func (n *Node) Value(path ...string) string {
	for _, k := range n.All(path...) {
		if k.Text != "" {
			return k.Text
		}
	}
	return ""
}

// Values are the texts of all elements at the end of a path, without empty ones.
func (n *Node) Values(path ...string) (out []string) {
	for _, k := range n.All(path...) {
		Add(&out, k.Text)
	}
	return out
}
