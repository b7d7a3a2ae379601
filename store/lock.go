package store

import (
	"errors"
	"os"
	"syscall"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
)

// lockFile is the right of one process to a SQLite file. The kernel gives it up with
// the process, however that ends.
type lockFile struct{ f *os.File }

func takeLock(path string) (*lockFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, muster.Errorf(fileCode(err), "the store's lock file cannot be opened: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &muster.Error{
			Code: muster.CodeConflict, Message: "another process has this store open", Cause: err,
			Hint: "SQLite is for exactly one process: stop the other one, or use PostgreSQL",
		}
	}
	return &lockFile{f}, nil
}

// fileCode is the code of a file that cannot be opened or made.
func fileCode(err error) muster.Code {
	if durable.Barred(err) {
		return muster.CodeInvalid
	}
	return muster.CodeUnavailable
}

// release unlocks before it closes: a child that was forked a moment ago has the
// file too until it executes, and closing alone would leave the lock with it.
func (l *lockFile) release() error {
	return errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
}
