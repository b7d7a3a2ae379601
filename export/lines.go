package export

import (
	"encoding/json"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// Format is the one value of an archive's format.
const Format = "muster/export/v1"

// Types of lines.
const (
	typeFile          = "file"
	typePack          = "pack"
	typeActivation    = "activation"
	typeOperator      = "operator"
	typeDetermination = "determination"
	typeAct           = "measure_act"
	typeHold          = "hold"
	typeErasure       = "erasure"
	typeCohort        = "cohort"
	typeList          = "list"
)

type line struct {
	Type string `json:"type"`
}

type packLine struct {
	line
	muster.PackRecord
	Source string `json:"source"` // the YAML, as it was compiled
}

type activationLine struct {
	line
	muster.ActivationRecord
}

type operatorLine struct {
	line
	muster.OperatorRecord
}

type determinationLine struct {
	line
	muster.DeterminationRecord
	Source string `json:"source"` // as it was entered
}

type actLine struct {
	line
	muster.MeasureAct
	Cursor string `json:"cursor,omitempty"` // the last account that was brought up to it
}

type holdLine struct {
	line
	muster.Hold
}

type erasureLine struct {
	line
	muster.Erasure
}

type cohortLine struct {
	line
	muster.Cohort
}

type listLine struct {
	line
	lists.Edition
	Entries []muster.ListEntry `json:"entries"`
}

// Manifest is the first member of an archive.
type Manifest struct {
	Format     string `json:"format"`
	Export     string `json:"export"`
	Deployment string `json:"deployment"`
	Mode       string `json:"mode"`
	Origin     string `json:"origin"` // of the log
	Made       string `json:"made"`
	Program    string `json:"program"`
}

// Member is one part of an archive, in its last member.
type Member struct {
	Name   string `json:"name"`
	Lines  int64  `json:"lines"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Contents is the last member of an archive: without it, the archive was cut.
type Contents struct {
	Format  string           `json:"format"`
	Members []Member         `json:"members"`
	Counts  map[string]int64 `json:"counts"` // lines, by folder
}

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "a line of an export cannot be written: %w", err)
	}
	return b, nil
}
