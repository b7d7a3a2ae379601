package muster

import "time"

// ListSnapshot is one snapshot of one list. It is written once and never changed.
type ListSnapshot struct {
	List     string
	Digest   string    // of the canonical form; of a list of the provider's own, a keyed one
	AsOf     time.Time // the publisher's date; zero where none is stated
	Made     time.Time // when it came
	Entries  int
	Rows     int    // that stood for an entry in its files
	Broken   int    // of them that could not be read
	Orphans  int    // rows of other files whose entry is not there
	How      string // fetch | import
	Operator string // who imported or asked; "" for Muster itself
	Report   []byte // JSON: files, faults by line, notes
	Body     []byte // the canonical form, packed; of a list of the provider's own, sealed
}

// ListState is where one list stands.
type ListState struct {
	List    string
	Digest  string    // of the snapshot in effect; "" none
	Since   time.Time // when it took effect
	Fresh   time.Time // when it was last known to be what the publisher has
	Source  string    // the configured source that it came from last, "" for imports alone
	Held    string    // digest of a snapshot that waits for a person, "" none
	HeldAt  time.Time
	HeldWhy string // in words; no value of a list
	Version int64
}

// ListEvent is one change of which snapshot of a list is in effect.
type ListEvent struct {
	ID       string // PrefixEntry: of the entry in the record
	List     string
	Version  int64 // of the list's state that it made: events of one list are in its order
	At       time.Time
	What     string // applied | held | approved | declined | rolled_back | kept
	Digest   string
	Before   string // digest in effect before
	Operator string
	Reason   string // in words; not kept in clear
	Sealed   []byte // the reason, sealed; nil where there is none
}

// ListSource is where one configured source of lists stands.
type ListSource struct {
	Source   string
	Seen     string    // JSON: by digest of URL, what the publisher's server calls the copy that was fetched
	Lists    []string  // that came of it last
	Wanted   time.Time // somebody asked for it then
	Tried    time.Time
	Checked  time.Time // when it last went well
	Failures int       // since then
	Reason   string    // of the last failure, in words; "" after one that went well
	Version  int64
}
