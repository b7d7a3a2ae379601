package book

import (
	"bytes"
	"embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/strictyaml"
)

// Mappers are data: a file says how the rows of a billing panel's export become lines
// of a book. docs/formats/book.md is the specification.

//go:embed mappers/*.yaml
var mapperFiles embed.FS

// Mapper reads the tables that a billing panel exports. Safe for concurrent use.
type Mapper struct {
	Name   string
	Tables []*Table
}

// Table is one kind of file.
type Table struct {
	File  string // pattern of its name, lower case
	typ   string
	comma rune
	dates []string
	words map[string]map[string]string
	lines []mapping
}

type mapping struct {
	when   []condition
	fields []mapped
}

// condition holds where a column has one of its values; "*" is any.
type condition struct {
	column string
	values []string
}

type mapped struct {
	path []string
	text []piece
}

// piece is literal text, or the value of a column.
type piece struct{ literal, column string }

// Bounds of a mapper.
const (
	MaxMapperBytes = 64 << 10
	maxTables      = 16
	maxMappings    = 16
	maxColumns     = 500
)

// mapperForm is the file.
type mapperForm struct {
	Format int    `yaml:"format"`
	Name   string `yaml:"name"`
	About  string `yaml:"about"`
	Tables []struct {
		File      string                       `yaml:"file"`
		Line      string                       `yaml:"line"`
		Delimiter string                       `yaml:"delimiter"`
		Dates     []string                     `yaml:"dates"` // layouts of Go
		Words     map[string]map[string]string `yaml:"words"`
		Lines     []struct {
			When map[string][]string `yaml:"when"`
			Set  map[string]string   `yaml:"set"`
		} `yaml:"lines"`
	} `yaml:"tables"`
}

// MapperNames lists the mappers that come with the program.
func MapperNames() []string {
	files, err := mapperFiles.ReadDir("mappers")
	if err != nil {
		panic("book: " + err.Error()) // it is embedded
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(f.Name(), ".yaml")
	}
	return names
}

// EmbeddedMapper is the source of one of MapperNames.
func EmbeddedMapper(name string) ([]byte, error) {
	if !slices.Contains(MapperNames(), name) {
		return nil, &muster.Error{Code: muster.CodeNotFound, Message: "there is no such mapper", Hint: "there are " + strings.Join(MapperNames(), ", ") + "; others are a file"}
	}
	return mapperFiles.ReadFile("mappers/" + name + ".yaml")
}

// ParseMapper reads a mapper's file. It is strict: an unknown key, or a type of line
// that there is not, is an error. Whether a line has a field, the line's reader says.
func ParseMapper(data []byte) (*Mapper, error) {
	if len(data) > MaxMapperBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "a mapper has at most %d bytes", MaxMapperBytes)
	}
	var f mapperForm
	if err := strictyaml.Decode(data, &f, "a mapper"); err != nil {
		return nil, err
	}
	wrong := func(what string) (*Mapper, error) {
		return nil, muster.Errorf(muster.CodeInvalid, "the mapper is wrong: %s", what)
	}
	switch {
	case f.Format != 1:
		return wrong("format is 1")
	case f.Name == "" || len(f.Name) > 32 || !muster.IsReference(f.Name):
		return wrong("name is a word of at most 32 letters, digits, dots, dashes and underscores")
	case len(f.Tables) == 0 || len(f.Tables) > maxTables:
		return wrong("tables are 1 to 16")
	}
	m := &Mapper{Name: f.Name}
	for _, x := range f.Tables {
		t := &Table{File: strings.ToLower(x.File), typ: x.Line, comma: ',', dates: x.Dates, words: x.Words}
		if _, err := path.Match(t.File, ""); err != nil || t.File == "" {
			return wrong("file is the pattern of a name, such as clients*.csv")
		}
		if !slices.Contains([]string{TypeCustomer, TypeLease, TypeAccess}, t.typ) {
			return wrong("line is customer, lease or access")
		}
		if x.Delimiter != "" {
			r := []rune(x.Delimiter)
			if len(r) != 1 || r[0] == '"' || r[0] == '\n' || r[0] == '\r' {
				return wrong("delimiter is one character")
			}
			t.comma = r[0]
		}
		if len(x.Lines) == 0 || len(x.Lines) > maxMappings {
			return wrong("lines are 1 to 16")
		}
		for _, l := range x.Lines {
			var y mapping
			for column, values := range l.When {
				y.when = append(y.when, condition{column, values})
			}
			for name, text := range l.Set {
				pieces, ok := template(text)
				if !ok {
					return wrong("a name in a text stands between { and }")
				}
				y.fields = append(y.fields, mapped{strings.Split(name, "."), pieces})
			}
			slices.SortFunc(y.fields, func(a, b mapped) int { return slices.CompareFunc(a.path, b.path, compareSteps) })
			t.lines = append(t.lines, y)
		}
		m.Tables = append(m.Tables, t)
	}
	return m, nil
}

// compareSteps puts numbers in their order, so that lists are filled from their start.
func compareSteps(a, b string) int {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX == nil && errY == nil {
		return x - y
	}
	return strings.Compare(a, b)
}

func template(text string) (pieces []piece, ok bool) {
	for text != "" {
		literal, rest, open := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return nil, false
		}
		if literal != "" {
			pieces = append(pieces, piece{literal: literal})
		}
		if !open {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || strings.TrimSpace(name) == "" {
			return nil, false
		}
		pieces = append(pieces, piece{column: strings.TrimSpace(name)})
		text = after
	}
	return pieces, true
}

// Of says which table a file is, by its name; nil: none.
func (m *Mapper) Of(name string) *Table {
	for _, t := range m.Tables {
		if ok, _ := path.Match(t.File, strings.ToLower(path.Base(name))); ok { // the pattern was tried
			return t
		}
	}
	return nil
}

// Rows reads a table from r. The first row names the columns.
func (t *Table) Rows(r io.Reader) (*Rows, error) {
	c := csv.NewReader(r)
	c.Comma, c.ReuseRecord, c.LazyQuotes = t.comma, true, true
	head, err := c.Read()
	if err != nil || len(head) > maxColumns {
		return nil, muster.Errorf(muster.CodeMalformed, "the first row names the columns, at most %d", maxColumns)
	}
	x := &Rows{t: t, csv: c, at: make(map[string]int, len(head))}
	for i, name := range head {
		x.at[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))] = i
	}
	for _, l := range t.lines {
		for _, f := range l.fields {
			for _, p := range f.text {
				if _, ok := x.at[p.column]; !ok && p.column != "" {
					return nil, muster.Errorf(muster.CodeInvalid, "the table has no column %q, which the mapper reads", p.column)
				}
			}
		}
	}
	return x, nil
}

// Rows are the rows of one table, as lines of a book.
type Rows struct {
	t   *Table
	csv *csv.Reader
	at  map[string]int
}

// Next is the next line and its number in the table's file; io.EOF at the end. A row
// that is about something else is passed over. One that cannot be read is a line
// that the line's reader refuses: the rest goes on.
func (x *Rows) Next() (text []byte, number int, err error) {
	for {
		row, err := x.csv.Read()
		var bad *csv.ParseError
		switch {
		case errors.As(err, &bad):
			if errors.Is(bad.Err, csv.ErrFieldCount) {
				return []byte("{}"), bad.StartLine, nil
			}
			return nil, bad.StartLine, muster.Errorf(muster.CodeMalformed, "line %d is not one of a table", bad.StartLine)
		case err != nil:
			return nil, 0, err
		}
		number, _ := x.csv.FieldPos(0)
		if out := x.line(row, number); out != nil {
			return out, number, nil
		}
	}
}

// line makes the line of a row: by the first mapping whose conditions hold.
func (x *Rows) line(row []string, number int) []byte {
	for _, l := range x.t.lines {
		if !slices.ContainsFunc(l.when, func(c condition) bool { return !x.holds(row, c) }) {
			root := map[string]any{}
			for _, f := range l.fields {
				if text, ok := x.text(row, f); ok {
					put(root, f.path, typed(f.path[len(f.path)-1], text))
				}
			}
			var b bytes.Buffer
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(map[string]any{"type": x.t.typ, "line": number, x.t.typ: root}); err != nil {
				panic("book: maps of strings always encode: " + err.Error())
			}
			return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		}
	}
	return nil
}

func (x *Rows) value(row []string, column string) string {
	i, ok := x.at[column]
	if !ok || i >= len(row) {
		return ""
	}
	v := strings.ToValidUTF8(strings.TrimSpace(row[i]), "\ufffd")
	if word, ok := x.t.words[column][v]; ok {
		return word
	}
	return v
}

func (x *Rows) holds(row []string, c condition) bool {
	v := x.value(row, c.column)
	return slices.ContainsFunc(c.values, func(w string) bool { return w == v || w == "*" && v != "" })
}

// text is a field's text; false where a name in it has no value: the field is left out.
func (x *Rows) text(row []string, f mapped) (string, bool) {
	var b strings.Builder
	for _, p := range f.text {
		v := p.literal
		if p.column != "" {
			if v = x.value(row, p.column); v == "" {
				return "", false
			}
		}
		b.WriteString(v)
	}
	out := strings.TrimSpace(b.String())
	if out == "" {
		return "", false
	}
	if slices.Contains(timed, f.path[len(f.path)-1]) {
		return x.date(out)
	}
	return out, true
}

// timed are the fields whose text is a date in the table's own spelling.
var timed = []string{"since", "closed", "at", "expires", "from", "until", "date_of_birth"}

// date is a date as a line says it. A panel writes 0000-00-00 for none.
func (x *Rows) date(s string) (string, bool) {
	if strings.HasPrefix(s, "0000-00-00") {
		return "", false
	}
	for _, layout := range append(slices.Clone(x.t.dates), time.DateOnly) {
		t, err := time.Parse(layout, s)
		switch {
		case err != nil:
		case strings.Contains(layout, ":") || x.t.typ != TypeCustomer: // the ledger's records have times
			return t.UTC().Format(time.RFC3339), true
		default:
			return t.Format(time.DateOnly), true
		}
	}
	return s, true
}

// typed is a text as the field of that name has it.
func typed(name, text string) any {
	switch name {
	case "port", "port_from", "port_to":
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case "ownership_percent":
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return json.Number(text)
		}
	case "control":
		return text == "true"
	}
	return text
}

// put sets a value below root. A step that is a number is the next place of a list.
func put(root map[string]any, path []string, v any) {
	at := root
	for i, step := range path {
		if i == len(path)-1 {
			at[step] = v
			return
		}
		if _, err := strconv.Atoi(path[i+1]); err == nil {
			list, _ := at[step].([]any)
			if i+1 == len(path)-1 {
				at[step] = append(list, v)
				return
			}
			n, _ := strconv.Atoi(path[i+1])
			for len(list) <= n {
				list = append(list, map[string]any{})
			}
			at[step] = list
			next, ok := list[n].(map[string]any)
			if !ok {
				return
			}
			put(next, path[i+2:], v)
			return
		}
		next, ok := at[step].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[step] = next
		}
		at = next
	}
}
