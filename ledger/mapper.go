package ledger

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/strictyaml"
)

// Mappers are data: a file says how a line of somebody's log, or a document of somebody's
// webhook, becomes records. docs/formats/mapper.md is the specification.

//go:embed mappers/*.yaml
var mapperFiles embed.FS

// Mapper turns lines or documents into records. Safe for concurrent use.
type Mapper struct {
	Name   string
	Leases bool // makes leases, else access records
	JSON   bool // reads JSON documents, else lines of text

	patterns []*regexp.Regexp
	times    []string
	where    []condition
	records  []mapping
}

type condition struct {
	name   string
	values []string
}

type mapping struct {
	when   []condition
	fields []mapped
}

type mapped struct {
	name string
	text []piece
}

// piece is literal text, or the value of a name.
type piece struct {
	literal string
	name    string // a group of the pattern, or a JSON Pointer
	host    bool   // an address without its prefix length
}

// Bounds of a mapper and of what it reads.
const (
	MaxMapperBytes   = 64 << 10
	MaxDocumentBytes = 256 << 10 // a line, or a document
	maxMapperRecords = 8
	maxPatterns      = 16
)

// mapperForm is the file.
type mapperForm struct {
	Format   int                 `yaml:"format"`
	Name     string              `yaml:"name"`
	About    string              `yaml:"about"`
	Record   string              `yaml:"record"` // access | lease
	Input    string              `yaml:"input"`  // text | json
	Patterns []string            `yaml:"patterns"`
	Times    []string            `yaml:"times"` // layouts of Go; none: RFC 3339
	Where    map[string][]string `yaml:"where"`
	Records  []struct {
		When map[string][]string `yaml:"when"`
		Set  map[string]string   `yaml:"set"`
	} `yaml:"records"`
}

// MapperNames lists the mappers that come with the program.
func MapperNames() []string {
	files, err := fs.Glob(mapperFiles, "mappers/*.yaml")
	if err != nil {
		panic("ledger: " + err.Error()) // the pattern is a constant
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	return files
}

// EmbeddedMapper is one of MapperNames.
func EmbeddedMapper(name string) (*Mapper, error) {
	if !slices.Contains(MapperNames(), name) {
		return nil, &muster.Error{Code: muster.CodeNotFound, Message: "there is no such mapper", Hint: "there are " + strings.Join(MapperNames(), ", ") + "; others are a file"}
	}
	data, err := mapperFiles.ReadFile("mappers/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	return ParseMapper(data)
}

// ParseMapper reads a mapper's file. It is strict: an unknown key, a field that the
// record does not have, a name that no pattern has, is an error.
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
	m := &Mapper{Name: f.Name, Leases: f.Record == "lease", JSON: f.Input == "json", times: f.Times}
	switch {
	case f.Format != 1:
		return wrong("format is 1")
	case f.Name == "" || len(f.Name) > 32 || !muster.IsReference(f.Name):
		return wrong("name is a word of at most 32 letters, digits, dots, dashes and underscores")
	case f.Record != "lease" && f.Record != "access":
		return wrong("record is access or lease")
	case f.Input != "text" && f.Input != "json":
		return wrong("input is text or json")
	case m.JSON == (len(f.Patterns) > 0) || len(f.Patterns) > maxPatterns:
		return wrong("text is read by patterns, at most 16, and json by none")
	case len(f.Records) == 0 || len(f.Records) > maxMapperRecords:
		return wrong("records are 1 to 8")
	}
	groups := map[string]bool{}
	for _, p := range f.Patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return wrong("a pattern is no regular expression of RE2")
		}
		m.patterns = append(m.patterns, re)
		for _, g := range re.SubexpNames() {
			groups[g] = true
		}
	}
	named := func(name string) bool {
		if m.JSON {
			return strings.HasPrefix(name, "/")
		}
		return name != "" && groups[name]
	}
	var ok bool
	if m.where, ok = conditions(f.Where, named); !ok {
		return wrong("where names something that no pattern has, or that is no JSON Pointer")
	}
	for _, r := range f.Records {
		var x mapping
		if x.when, ok = conditions(r.When, named); !ok {
			return wrong("when names something that no pattern has, or that is no JSON Pointer")
		}
		for name, text := range r.Set {
			if !m.has(name) {
				return wrong("the record has no field " + name)
			}
			pieces, err := template(text, named)
			if err != nil {
				return wrong(name + " " + err.Error())
			}
			x.fields = append(x.fields, mapped{name, pieces})
		}
		slices.SortFunc(x.fields, func(a, b mapped) int { return strings.Compare(a.name, b.name) })
		m.records = append(m.records, x)
	}
	return m, nil
}

func (m *Mapper) has(field string) bool {
	var bit uint32
	if m.Leases {
		bit, _ = leaseFields(new(muster.LeaseRecord), field, "", false)
	} else {
		bit, _ = accessFields(new(muster.AccessRecord), field, "", false)
	}
	return bit != 0
}

func conditions(in map[string][]string, named func(string) bool) (out []condition, ok bool) {
	for name, values := range in {
		if !named(name) || len(values) == 0 {
			return nil, false
		}
		out = append(out, condition{name, values})
	}
	return out, true
}

// template cuts "vm-{id}" into its pieces.
func template(text string, named func(string) bool) (out []piece, err error) {
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			return append(out, piece{literal: text}), nil
		}
		if open > 0 {
			out = append(out, piece{literal: text[:open]})
		}
		name, rest, closed := strings.Cut(text[open+1:], "}")
		if !closed {
			return nil, errors.New("has a { without its }")
		}
		name, host := strings.CutSuffix(name, "|host")
		if !named(name) {
			return nil, errors.New("names something that no pattern has, or that is no JSON Pointer")
		}
		out = append(out, piece{name: name, host: host})
		text = rest
	}
	return out, nil
}

// Map reads one line, or one document, and adds what it says to b: nothing where it is
// about something else. A line that is meant and cannot be a record is an error, whose
// faults name fields and no values.
func (m *Mapper) Map(b *Batch, line []byte, now time.Time) error {
	if len(line) > MaxDocumentBytes {
		return muster.Errorf(muster.CodeTooLarge, "a line, or a document, has at most %d bytes", MaxDocumentBytes)
	}
	value, ok, err := m.read(line)
	if err != nil || !ok || !all(m.where, value) {
		return err
	}
	for i := range m.records {
		if !all(m.records[i].when, value) {
			continue
		}
		var faults []muster.Fault
		var made bool
		if m.Leases {
			var r muster.LeaseRecord
			if made, faults = fill(m, &m.records[i], &r, value, now, leaseFields, (*muster.LeaseRecord).Faults); made && faults == nil {
				b.Leases = append(b.Leases, r)
			}
		} else {
			var r muster.AccessRecord
			if made, faults = fill(m, &m.records[i], &r, value, now, accessFields, (*muster.AccessRecord).Faults); made && faults == nil {
				b.Access = append(b.Access, r)
			}
		}
		if faults != nil {
			return muster.Invalid(faults...)
		}
	}
	return nil
}

// values leads from a name to its text, "" where there is none.
type values func(name string) string

func all(conditions []condition, value values) bool {
	for _, c := range conditions {
		if !slices.Contains(c.values, value(c.name)) {
			return false
		}
	}
	return true
}

// read finds the names of a line; ok is false where no pattern matches.
func (m *Mapper) read(line []byte) (v values, ok bool, err error) {
	if m.JSON {
		if tooDeep(line) {
			return nil, false, muster.Errorf(muster.CodeMalformed, "the document is nested deeper than %d levels", maxNesting)
		}
		var doc any
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&doc); err != nil || d.More() {
			return nil, false, muster.Errorf(muster.CodeMalformed, "the line is not one JSON document")
		}
		return func(name string) string { return at(doc, name) }, true, nil
	}
	line = bytes.TrimRight(line, "\r\n")
	for _, re := range m.patterns {
		if found := re.FindSubmatchIndex(line); found != nil {
			return func(name string) string {
				if i := re.SubexpIndex(name); i >= 0 && found[2*i] >= 0 {
					return string(line[found[2*i]:found[2*i+1]])
				}
				return ""
			}, true, nil
		}
	}
	return nil, false, nil
}

// tooDeep is asked before anything recursive sees the bytes.
func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// at is the text at a JSON Pointer (RFC 6901): of a string, number or truth, else "".
func at(doc any, pointer string) string {
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch x := doc.(type) {
		case map[string]any:
			doc = x[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(x) {
				return ""
			}
			doc = x[i]
		default:
			return ""
		}
	}
	switch x := doc.(type) {
	case string:
		return x
	case json.Number:
		return x.String()
	case bool:
		return strconv.FormatBool(x)
	}
	return ""
}

// fill makes one record; made is false where a name in it has no value.
func fill[R any](m *Mapper, x *mapping, r *R, value values, now time.Time, set fields[R], check func(*R, time.Time) []muster.Fault) (made bool, faults []muster.Fault) {
	for _, f := range x.fields {
		var b strings.Builder
		for _, p := range f.text {
			text := p.literal
			if p.name != "" {
				if text = value(p.name); text == "" {
					return false, nil
				}
			}
			if p.host {
				text = host(text)
			}
			b.WriteString(text)
		}
		text, number := b.String(), false
		switch f.name {
		case "at", "from", "until":
			text = m.time(text, now)
		case "port", "port_from", "port_to":
			number = true
		}
		if _, wrong := set(r, f.name, text, number); wrong != nil {
			faults = append(faults, muster.Fault{Pointer: "/" + f.name, Code: wrong.Code, Detail: wrong.Detail})
		}
	}
	bad := len(faults)
	for _, f := range check(r, now) {
		if !slices.ContainsFunc(faults[:bad], func(o muster.Fault) bool { return o.Pointer == f.Pointer }) {
			faults = append(faults, f)
		}
	}
	return true, faults
}

// host is an address without its prefix length.
func host(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr().String()
	}
	return s
}

// time is s by the first layout that fits, as RFC 3339; s itself where none does. A
// layout without a year means the latest year that is not more than a day ahead; one
// without a zone is UTC.
func (m *Mapper) time(s string, now time.Time) string {
	for _, layout := range m.times {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if t.Year() == 0 {
			for year := now.UTC().Year() + 1; ; year-- {
				in := time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
				if in.Day() == t.Day() && !in.After(now.Add(muster.MaxAhead)) || year < now.Year()-8 { // 29 February comes every fourth or eighth year
					t = in
					break
				}
			}
		}
		return t.UTC().Format(time.RFC3339Nano)
	}
	return s
}

// Parse maps a body of lines, or of JSON documents: one, or one a line. Like the others
// it is taken whole or refused whole; lines about something else say nothing, so that a
// batch may come to no record at all.
func (m *Mapper) Parse(body []byte, now time.Time) (*Batch, error) {
	if len(body) > muster.MaxBatchBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "a batch has at most %d bytes", muster.MaxBatchBytes)
	}
	b := &Batch{}
	if m.JSON && !tooDeep(body) && json.Valid(body) {
		return b, m.Map(b, body, now)
	}
	var faults []muster.Fault
	number := 0
	for line := range bytes.Lines(body) {
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := m.Map(b, line, now); err != nil {
			faults = append(faults, atLine(number, FaultsOf(err))...)
		}
		if b.Records() > muster.MaxBatchRecords {
			return nil, muster.Errorf(muster.CodeTooLarge, "a batch has at most %d records", muster.MaxBatchRecords)
		}
		if len(faults) >= maxFaults {
			return nil, muster.Invalid(faults[:maxFaults]...)
		}
	}
	if faults != nil {
		return nil, muster.Invalid(faults...)
	}
	return b, nil
}

// FaultsOf are the faults of an error, or one that stands for it.
func FaultsOf(err error) []muster.Fault {
	var e *muster.Error
	switch {
	case !errors.As(err, &e):
		return []muster.Fault{{Code: "internal", Detail: "it could not be read"}}
	case e.Faults == nil:
		return []muster.Fault{{Code: string(e.Code), Detail: e.Message}}
	}
	return e.Faults
}
