package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster-cip/muster"
)

// files are those that are read: of a folder the lines, or what the mapper knows, in
// the order of its tables: customers stand before what is theirs. Each is looked at
// before anything is sent.
func (g *importing) files(path string) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		files, err = g.folder(path)
	case g.m != nil && g.m.Of(path) == nil:
		err = muster.Errorf(muster.CodeInvalid, "the mapper has no table for a file of that name")
	default:
		files = []string{path}
	}
	for i := 0; err == nil && i < len(files); i++ {
		err = readable(files[i], g.m != nil)
	}
	return files, err
}

// folder lists the files of a folder that are read, and says which are not.
func (g *importing) folder(path string) (files []string, err error) {
	entries, err := os.ReadDir(path) // by name
	if err != nil {
		return nil, err
	}
	all := 0
	add := func(fits func(name string) bool) {
		for _, e := range entries {
			if !e.IsDir() && fits(e.Name()) {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	why := "their names do not end in .ndjson"
	if g.m == nil {
		add(func(name string) bool { return strings.HasSuffix(name, ".ndjson") })
	} else {
		why = "the mapper has no table for their names"
		for _, t := range g.m.Tables {
			add(func(name string) bool { return g.m.Of(name) == t })
		}
	}
	for _, e := range entries {
		if !e.IsDir() {
			all++
		}
	}
	switch {
	case len(files) == 0:
		return nil, &muster.Error{Code: muster.CodeNotFound, Message: "there is no file in that folder that could be read", Hint: why}
	case len(files) < all:
		fmt.Fprintf(g.err, "%d files of %d are passed over: %s\n", all-len(files), all, why)
	}
	return files, nil
}

const byteOrderMark = "\xef\xbb\xbf" // of UTF-8: it is passed over

// readable refuses a file of which no line could be read, and says what it is.
func readable(path string, table bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	start := string(head[:n])
	const unpack = "unpack it first"
	for _, x := range []struct{ start, is, hint string }{
		{"\x1f\x8b", "is packed by gzip", unpack},
		{"BZh", "is packed by bzip2", unpack},
		{"\xfd7zXZ", "is packed by xz", unpack},
		{"\x28\xb5\x2f\xfd", "is packed by zstd", unpack},
		{"PK\x03\x04", "is a ZIP archive or a spreadsheet", "unpack it, or save the sheet as CSV and name a --mapper"},
		{"\xff\xfe", "is UTF-16", "save it as UTF-8"},
		{"\xfe\xff", "is UTF-16", "save it as UTF-8"},
	} {
		if strings.HasPrefix(start, x.start) {
			return &muster.Error{Code: muster.CodeInvalid, Message: path + " " + x.is, Hint: x.hint}
		}
	}
	switch text := strings.TrimSpace(strings.TrimPrefix(start, byteOrderMark)); {
	case table:
	case strings.HasPrefix(text, "["):
		return &muster.Error{Code: muster.CodeInvalid, Message: path + " is one JSON array", Hint: "put each of its objects on a line of its own"}
	case strings.EqualFold(filepath.Ext(path), ".csv") && !strings.HasPrefix(text, "{"):
		return &muster.Error{Code: muster.CodeInvalid, Message: path + " is a table", Hint: "--mapper says how its rows become lines"}
	}
	return nil
}
