package muster

import "time"

// ExportRecord is one giving out of everything on file, sealed for recipients.
type ExportRecord struct {
	ID         string
	State      string
	Case       string   // reference of the request or the matter, [A-Za-z0-9._-]{1,64}
	Recipients []string // age recipients
	Asked      time.Time
	Operator   string // who asked
	Agreed     time.Time
	Approver   string // who agreed
	Taken      time.Time
	Files      int64 // customers, when it was last taken whole
	Version    int64
}

// States of an export.
const (
	ExportAsked  = "asked"
	ExportAgreed = "agreed" // it can be taken, for a while
	ExportTaken  = "taken"  // whole, once at least
)
