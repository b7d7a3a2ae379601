package store

import (
	"os"
	"time"
)

// easer has what a large commit writes sent to the disk in pieces while it goes on, and
// so for the pages that a checkpoint moves from the log into the file. Else the sync at
// the end hands the disk tens of megabytes at once, and a sync of another file, an
// application's, waits behind them. It promises nothing: SQLite syncs as before, and
// finds little left to do.
type easer struct {
	// Open as long as any connection is: a process that closes a file loses the locks
	// that SQLite has on it. There are none on the log.
	file *os.File
	log  string
	send func(f *os.File, at, n int64)
}

const (
	easeAfter = 5 * time.Millisecond // most commits have ended by then
	easeEvery = time.Millisecond
	easePiece = 1 << 20 // bytes that another sync may have before it
)

func newEaser(path string) (*easer, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &easer{f, path + "-wal", sendToDisk}, nil
}

// during is do, eased. The nil easer leaves it as it is.
func (e *easer) during(do func() error) error {
	if e == nil {
		return do()
	}
	over, idle := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(idle)
		e.flow(over)
	}()
	defer func() { <-idle }()
	defer close(over)
	return do()
}

func (e *easer) flow(over <-chan struct{}) {
	select {
	case <-over:
		return
	case <-time.After(easeAfter):
	}
	log, err := os.OpenFile(e.log, os.O_RDWR, 0)
	if err != nil {
		return // nobody misses it: the syncs are SQLite's
	}
	defer log.Close()
	for {
		for _, f := range []*os.File{log, e.file} {
			info, err := f.Stat()
			if err != nil {
				return
			}
			for at := int64(0); at < info.Size(); at += easePiece {
				select {
				case <-over:
					return
				default:
				}
				e.send(f, at, easePiece)
			}
		}
		select {
		case <-over:
			return
		case <-time.After(easeEvery):
		}
	}
}

func (e *easer) close() error {
	if e == nil {
		return nil
	}
	return e.file.Close()
}
