package store

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/muster-cip/muster"
)

const lockByte = 1 << 30 // where SQLite's locks lie in a file (sqlite.org/fileformat2.html, 1.4)

// Snapshot is a SQLite file as it is at one instant, while another process may write
// it: a reader does not keep the writer out. Equal pages are equal bytes, so that
// copies of a file that changed little are little apart.
//
// It is read past SQLite, which would copy each page three times. What makes that
// safe is a reading transaction that is open until Close (sqlite.org/walformat.html):
//   - Nobody moves a page into the file that was committed after it began.
//   - A page that was committed before, and may be moved meanwhile, is in the
//     write-ahead log. Each page that the log names is read through SQLite.
//   - The log does not begin anew, unless all of it was in the file already.
//
// The danger: a process that closes a file loses its locks on it (POSIX), those of
// other connections too. A process that has the same file open for writing makes no
// Snapshot of it.
type Snapshot struct {
	path   string
	file   *os.File
	page   int64 // bytes
	pages  int64
	logged map[int64]bool // numbers of the pages that the write-ahead log names

	mu sync.Mutex // of what follows
	c  *sqliteConn
}

// OpenSnapshot opens a file as it is now.
func OpenSnapshot(ctx context.Context, path string) (_ *Snapshot, err error) {
	s := &Snapshot{path: path}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.c, err = newSQLiteConn(path, true); err != nil {
		return nil, err
	}
	if err := s.c.begin(ctx, true); err != nil {
		return nil, err
	}
	// The first statement that reads is the instant.
	for _, ask := range []struct {
		q  string
		to *int64
	}{{`SELECT count(*) FROM sqlite_schema`, new(int64)}, {`PRAGMA page_size`, &s.page}, {`PRAGMA page_count`, &s.pages}} {
		if err := s.c.query(ctx, ask.q, nil, func(r row) error { return r.scan(ask.to) }); err != nil {
			return nil, err
		}
	}
	if s.pages == 0 {
		return nil, muster.Errorf(muster.CodeUnavailable, "the store at %s is empty", path)
	}
	real, err := filepath.EvalSymlinks(path) // the log lies beside the file itself
	if err != nil {
		return nil, err
	}
	if s.file, err = os.Open(real); err != nil {
		return nil, err
	}
	s.logged = map[int64]bool{}
	return s, s.readLog(real + "-wal")
}

// readLog finds the pages that the write-ahead log names. It may name ones that were
// committed after the instant: SQLite knows which.
func (s *Snapshot) readLog(path string) error {
	log, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer log.Close()
	const headBytes, frameBytes = 32, 24 // of the log, and of each page in it
	var head [headBytes]byte
	if _, err := log.ReadAt(head[:], 0); err != nil {
		return end(err)
	}
	salt := binary.BigEndian.Uint64(head[16:])
	for at := int64(headBytes); ; at += frameBytes + s.page {
		var frame [frameBytes]byte
		if _, err := log.ReadAt(frame[:], at); err != nil {
			return end(err)
		}
		if binary.BigEndian.Uint64(frame[8:]) != salt { // from before the log began anew: in the file
			return nil
		}
		s.logged[int64(binary.BigEndian.Uint32(frame[:]))] = true
	}
}

// end is nil where a file ended.
func end(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Size is the file's size in bytes.
func (s *Snapshot) Size() int64 { return s.pages * s.page }

// ReadAt reads whole pages: off and the length of p are multiples of 64 KiB, the
// largest that a page can have. Several may read at once.
func (s *Snapshot) ReadAt(p []byte, off int64) (int, error) {
	var ends error
	if left := max(0, s.Size()-off); left < int64(len(p)) {
		p, ends = p[:left], io.EOF
	}
	n, err := s.file.ReadAt(p, off)
	if err != nil && err != io.EOF {
		return 0, err
	}
	for at := int64(0); at < int64(len(p)); at += s.page {
		page, number := p[at:at+s.page], (off+at)/s.page+1
		switch {
		case s.logged[number]:
			if err := s.readPage(number, page); err != nil {
				return int(at), err
			}
		case off+at == lockByte: // nobody's page, and what lies there may be anything
			clear(page)
		case at+s.page > int64(n):
			return int(at), muster.Errorf(muster.CodeUnavailable, "the store at %s is shorter than it says", s.path)
		}
	}
	return len(p), ends
}

// readPage reads a page through SQLite.
func (s *Snapshot) readPage(number int64, into []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	// The background context: a page is read in a moment.
	err := s.c.query(context.Background(), `SELECT data FROM sqlite_dbpage WHERE pgno = ?`, []any{number}, func(r row) error {
		b, _ := r.(sqliteRow)[0].([]byte)
		n = copy(into, b)
		return nil
	})
	if err == nil && n != len(into) {
		err = muster.Errorf(muster.CodeUnavailable, "a page of the store at %s cannot be read", s.path)
	}
	return err
}

// Close ends it.
func (s *Snapshot) Close() error {
	var errs []error
	if s.c != nil {
		s.c.rollback(context.Background())
		errs = append(errs, s.c.close())
	}
	if s.file != nil { // last: whoever closes a file loses the locks on it
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}
