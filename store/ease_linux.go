package store

import (
	"os"
	"syscall"
)

// sendToDisk writes out what of so many bytes from at on is changed in memory only, and
// waits for it. Neither the file's length nor the disk's own cache is made durable by it.
func sendToDisk(f *os.File, at, n int64) {
	const waitBefore, write, waitAfter = 1, 2, 4 // sync_file_range(2)
	// An error that it might tell is kept for the sync as well.
	_ = syscall.SyncFileRange(int(f.Fd()), at, n, waitBefore|write|waitAfter)
}
