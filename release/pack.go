package main

import (
	"archive/tar"
	"io"
	"io/fs"
	"time"

	"github.com/klauspost/compress/gzip"
)

// entry is one file of an archive. Everything is said, so that nothing comes from the
// machine that packs: a path with slashes, a mode (with fs.ModeDir for a directory,
// fs.ModeSticky where it matters), who owns it, the bytes.
type entry struct {
	path     string
	mode     fs.FileMode
	uid, gid int
	data     []byte
}

// pack writes entries in their order, all of one time.
func pack(w io.Writer, at time.Time, entries []entry) error {
	t := tar.NewWriter(w)
	for _, e := range entries {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: e.path, Size: int64(len(e.data)), Mode: int64(e.mode.Perm()), Uid: e.uid, Gid: e.gid,
			ModTime: at, Format: tar.FormatUSTAR,
		}
		if e.mode.IsDir() {
			h.Typeflag, h.Name = tar.TypeDir, e.path+"/"
		}
		if e.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(e.data); err != nil {
			return err
		}
	}
	return t.Close()
}

// packGzip is pack, compressed; the header of gzip carries neither name nor time.
func packGzip(w io.Writer, at time.Time, entries []entry) error {
	z, err := gzip.NewWriterLevel(w, gzip.DefaultCompression)
	if err != nil {
		return err
	}
	if err := pack(z, at, entries); err != nil {
		return err
	}
	return z.Close()
}
