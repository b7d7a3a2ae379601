//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// inode is a file's place on its disk.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
