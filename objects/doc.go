// Package objects keeps bytes under names outside the databases: in a directory, or
// in a bucket of S3-compatible storage.
//
// Rules of this room:
//   - It knows nothing of what the bytes are. What is put is sealed or public already.
//   - An object never changes: putting the same bytes again is nothing, other bytes
//     under a taken name are a conflict. The one exception is Swap, for a published head.
//   - When Put returns nil, the object outlives a power cut, and reads back.
//   - A failure that may pass is tried again a few times, with the same bytes under the
//     same name; then it is code unavailable. Nothing is taken to be gone but what the
//     storage says is not there.
//   - Names are chosen by callers and say nothing of a person: they stand in logs.
package objects

import (
	"regexp"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// MaxBytes of one object.
const MaxBytes = 16 << 20

// Info is what is known of an object without reading it.
type Info struct {
	Name string
	Size int64     // bytes
	Made time.Time // by the clock of the storage
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

// checkName refuses what could be read as another name, or as a place outside.
func checkName(name string) error {
	if len(name) > 256 || !goodName.MatchString(name) || strings.Contains(name, "..") {
		return muster.Errorf(muster.CodeMalformed, "not the name of an object")
	}
	return nil
}

func errNotThere() error { return muster.Errorf(muster.CodeNotFound, "there is no such object") }

func errOther(name string) error {
	return muster.Errorf(muster.CodeConflict, "object %s is there with other bytes", name)
}

func errSize() error {
	return muster.Errorf(muster.CodeTooLarge, "an object past its bound of %d MiB", MaxBytes>>20)
}

// checkSize refuses what is too large, and nothing at all, which some servers refuse.
func checkSize(data []byte) error {
	if len(data) == 0 {
		return muster.Errorf(muster.CodeMalformed, "an object has at least one byte")
	}
	if len(data) > MaxBytes {
		return errSize()
	}
	return nil
}

// errCut is a part that is not as long as it was asked for.
func errCut(name string) error {
	return muster.Errorf(muster.CodeUnavailable, "object %s is shorter than what is known of it", name)
}
