package muster

import "time"

// Rotation is one turn of a key, or of several that turn together.
type Rotation struct {
	ID       string
	Name     string // what turns: see package rotate
	Stage    RotationStage
	Targets  map[string]int // versions of the keys of the set that it leads to
	Operator string         // who asked for it
	Asked    time.Time
	Due      time.Time     // when the next stage may begin
	Overlap  time.Duration // for how long both are good, of a key that others hold too
	Place    string        // how far the work of its stage is
	Done     int64         // rows brought up to the new version
	Left     int64         // rows that nothing could bring up to it, and that went
	Ended    time.Time
	Version  int64
}

// RotationStage is how far a turn is.
type RotationStage string

// Stages, in order.
const (
	RotationAsked   RotationStage = "asked"
	RotationKnown   RotationStage = "known"   // every process learns the new version; nobody uses it
	RotationUsed    RotationStage = "used"    // it is used; older versions still open
	RotationMoving  RotationStage = "moving"  // what is to outlive the old version is brought up to the new one
	RotationKeeping RotationStage = "keeping" // the old version is kept for what runs out by itself
	RotationDone    RotationStage = "done"    // the old version is destroyed
)

// SealedRow is a secret that is sealed under a key of the set, in its place.
type SealedRow struct {
	Place  string // an id, or a name
	Sealed []byte
}

// Handover is how the log's key was handed over to the next version.
type Handover struct {
	KeyVersion int    // that was handed over
	Public     string // its public half
	Note       []byte // a checkpoint that names the next, signed by both
	Made       time.Time
}
