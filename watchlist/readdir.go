package watchlist

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/lists/bis"
	"github.com/muster-cip/muster/lists/csl"
	"github.com/muster-cip/muster/lists/eu"
	"github.com/muster-cip/muster/lists/ofac"
	"github.com/muster-cip/muster/lists/own"
	"github.com/muster-cip/muster/lists/uk"
	"github.com/muster-cip/muster/lists/un"
)

// Report says what became of every file that was looked at.
type Report struct {
	Editions []*lists.Edition // that were read, those of Entries first
	Refused  []Refusal
	Skipped  []string // files that are of no list
}

// Refusal is a file, or a set of files, that looked like a list and is not taken.
type Refusal struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Bounds of what is read at once.
const (
	maxFiles = 10_000
	maxBytes = 512 << 20
)

// ReadDir reads every list below the root of fsys, whatever its files are called, and
// returns the entries of the newest edition of each list. The report has every edition;
// those that are not the newest are in it and not among the entries. A broken row is
// counted there. An error: nothing could be read at all, or a folder holds two editions
// of a list and nothing tells which is newer.
func ReadDir(fsys fs.FS) ([]muster.ListEntry, *Report, error) {
	files, skipped, err := load(fsys)
	if err != nil {
		return nil, nil, err
	}
	rep := Read(files)
	rep.Skipped = append(rep.Skipped, skipped...)
	newest, err := Newest(rep.Editions)
	if err != nil {
		return nil, rep, err
	}
	if len(newest) == 0 {
		e := &muster.Error{Code: muster.CodeInvalid, Message: "there is no list here that can be read"}
		if len(rep.Refused) > 0 {
			e.Message += ": " + rep.Refused[0].Reason
		}
		return nil, rep, e
	}
	var entries []muster.ListEntry
	for _, ed := range newest {
		entries = append(entries, ed.Entries...)
	}
	return entries, rep, nil
}

// load reads the files below the root, within bounds.
func load(fsys fs.FS) (files []lists.File, skipped []string, err error) {
	total := int64(0)
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir(), strings.HasPrefix(d.Name(), "."):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() && info.Mode()&fs.ModeSymlink == 0 {
			skipped = append(skipped, p)
			return nil
		}
		data, err := readBounded(fsys, p)
		if errors.Is(err, errTooLarge) {
			data, err = append(data[:1024:1024], make([]byte, lists.MaxFile)...), nil // refused by name, later
		}
		if err != nil {
			return err
		}
		if total += int64(len(data)); total > maxBytes || len(files) >= maxFiles {
			return muster.Errorf(muster.CodeTooLarge, "more files, or larger ones, than lists come in: %d MiB and %d files at most", maxBytes>>20, maxFiles)
		}
		files = append(files, lists.File{Path: p, Data: data})
		return nil
	})
	var e *muster.Error
	if err != nil && !errors.As(err, &e) {
		err = muster.Errorf(muster.CodeNotFound, "the folder of lists cannot be read: %w", err)
	}
	return files, skipped, err
}

var errTooLarge = errors.New("too large")

func readBounded(fsys fs.FS, p string) ([]byte, error) {
	f, err := fsys.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, lists.MaxFile+1))
	if err == nil && len(data) > lists.MaxFile {
		err = errTooLarge
	}
	return data, err
}

// Read finds out what each file is by its content, puts those that belong together
// into sets by folder, and reads them.
func Read(files []lists.File) *Report {
	rep := &Report{}
	type setKey struct{ dir, list string }
	sets := map[setKey]ofac.Set{}
	var order []setKey
	for _, f := range files {
		text, err := lists.Text(f)
		if err != nil {
			rep.refuse(f.Path, err)
			continue
		}
		list, part, ok := ofac.DetectCSV(f, text)
		if !ok {
			rep.single(f, text)
			continue
		}
		k := setKey{path.Dir(f.Path), list}
		if sets[k] == nil {
			sets[k] = ofac.Set{}
			order = append(order, k)
		}
		if other, there := sets[k][part]; there {
			rep.Refused = append(rep.Refused, Refusal{f.Path, "this and " + other.Path + " are the same part of one set: keep one"})
			continue
		}
		sets[k][part] = f
	}
	for _, k := range order {
		ed, err := ofac.ReadCSV(k.list, sets[k])
		rep.take(sets[k].Path(), ed, err)
	}
	for _, ed := range rep.Editions {
		if ed.AsOf.IsZero() {
			ed.AsOf = dateInPath(ed.Files)
		}
	}
	return rep
}

// single reads a file that is a list, or several, by itself.
func (r *Report) single(f lists.File, text []byte) {
	var ed *lists.Edition
	var err error
	switch root := lists.Root(text); {
	case root == ofac.RootXML:
		ed, err = ofac.ReadXML(f, text)
	case root == un.Root:
		ed, err = un.Read(f, text)
	case root == eu.Root:
		ed, err = eu.Read(f, text)
	case root == uk.Root:
		ed, err = uk.ReadXML(f, text)
	case root != "":
		err = lists.Refused(f.Path, "XML of no list that is known: its root element is not one of %s", strings.Join([]string{ofac.RootXML, un.Root, eu.Root, uk.Root}, ", "))
	case csl.Detect(text):
		var eds []*lists.Edition
		if eds, err = csl.Read(f, text); err == nil {
			r.Editions = append(r.Editions, eds...)
			return
		}
	case bis.Detect(text):
		ed, err = bis.Read(f, text)
	case uk.DetectCSV(text):
		ed, err = uk.ReadCSV(f, text)
	case own.Detect(text):
		ed, err = own.Read(f, text)
	default:
		r.Skipped = append(r.Skipped, f.Path)
		return
	}
	r.take(f.Path, ed, err)
}

func (r *Report) refuse(file string, err error) {
	why := err.Error()
	var e *muster.Error
	if errors.As(err, &e) {
		why = e.Message
	}
	r.Refused = append(r.Refused, Refusal{file, why})
}

func (r *Report) take(file string, ed *lists.Edition, err error) {
	if err != nil {
		r.refuse(file, err)
		return
	}
	r.Editions = append(r.Editions, ed)
}

// isoInPath finds 2026-01-31, 2026-01 or 2026 in a name.
var isoInPath = regexp.MustCompile(`(?:^|[^\d])((?:19|20)\d\d)(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01]))?)?(?:[^\d]|$)`)

// dateInPath is the last date in the name of a file, else of a folder above it.
func dateInPath(files []string) time.Time {
	for _, f := range files {
		parts := strings.Split(f, "/")
		for _, p := range slices.Backward(parts) {
			if m := isoInPath.FindStringSubmatch(p); m != nil {
				t, err := time.Parse("2006-01-02", m[1]+"-"+cmp.Or(m[2], "01")+"-"+cmp.Or(m[3], "01"))
				if err == nil {
					return t
				}
			}
		}
	}
	return time.Time{}
}

// Newest picks the newest edition of each list, by the date in its files, else in their
// names. Where two have none, or the same, nothing tells which: an error.
func Newest(editions []*lists.Edition) ([]*lists.Edition, error) {
	var out []*lists.Edition
	for _, ed := range editions {
		i := slices.IndexFunc(out, func(o *lists.Edition) bool { return o.List == ed.List })
		switch {
		case i < 0:
			out = append(out, ed)
		case ed.AsOf.After(out[i].AsOf):
			out[i] = ed
		}
	}
	for _, ed := range out {
		for _, o := range editions {
			if o != ed && o.List == ed.List && o.AsOf.Equal(ed.AsOf) {
				return nil, &muster.Error{
					Code: muster.CodeConflict, Message: "two editions of " + ed.List + ", and nothing says which is newer: " + ed.Files[0] + " and " + o.Files[0],
					Hint: "name one file or folder, or put a date such as 2026-01-31 into the names",
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *lists.Edition) int { return strings.Compare(a.List, b.List) })
	return out, nil
}
