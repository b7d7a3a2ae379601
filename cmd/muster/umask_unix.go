//go:build unix

package main

import "syscall"

// ownFilesOnly has every file that this process makes readable by its owner alone,
// the database's own files among them, which no code of ours names.
func ownFilesOnly() { syscall.Umask(0o077) }
