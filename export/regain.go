package export

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
	"github.com/muster-cip/muster/tlog"
)

// Regained is what became of a part of an archive.
type Regained struct {
	Lines int `json:"lines"` // of the part
	Taken int `json:"taken"` // that were not here yet
}

// regainEntry is the body of the entry that says so.
type regainEntry struct {
	What   string         `json:"what"` // regained
	Counts map[string]int `json:"counts"`
	Taken  int            `json:"taken"`
}

// fileStart is how a file's line begins, as it is written.
var fileStart = []byte(`{"type":"file",`)

// Regain takes lines in that an export gave: those of one part, or some of them in
// their order. What is here already stays as it is. Parts come in the archive's order:
// a decision is read by its pack, a measure by its determination.
func (s *Service) Regain(ctx context.Context, by string, part []byte) (*Regained, error) {
	r := &Regained{}
	counts := map[string]int{}
	var files [][]byte
	for i, text := range bytes.Split(bytes.TrimRight(part, "\n"), []byte("\n")) {
		l := line{typeFile}
		if !bytes.HasPrefix(text, fileStart) { // a file is long, and will be read by who takes it
			if err := json.Unmarshal(text, &l); err != nil {
				return nil, badLine(i, "is not a line of an export")
			}
		}
		r.Lines++
		counts[l.Type]++
		if l.Type == typeFile {
			files = append(files, text)
			continue
		}
		taken, err := s.regainLine(ctx, by, l.Type, text)
		if err != nil {
			return nil, muster.Errorf(codeOr(err), "line %d: %w", i+1, err)
		}
		if taken {
			r.Taken++
		}
	}
	if len(files) > 0 {
		if err := s.Load(ctx); err != nil { // what came in parts before, here or by another process
			return nil, err
		}
		taken, err := s.Files.Regain(ctx, files)
		if err != nil {
			return nil, err
		}
		r.Taken += taken
	}
	return r, s.DB.InTx(ctx, func(tx Tx) error {
		_, err := s.Journal.Enter(ctx, tx, tlog.Import, by, muster.Ref{}, regainEntry{"regained", counts, r.Taken})
		return err
	})
}

func codeOr(err error) muster.Code {
	if code := muster.ErrorCode(err); code != "" {
		return code
	}
	return muster.CodeInternal
}

func badLine(i int, detail string) error {
	return muster.Errorf(muster.CodeMalformed, "line %d %s", i+1, detail)
}

// read reads a line's members.
func read[T any](text []byte) (x T, err error) {
	if json.Unmarshal(text, &x) != nil {
		return x, muster.Errorf(muster.CodeMalformed, "a member is not what it should be")
	}
	return x, nil
}

func (s *Service) regainLine(ctx context.Context, by, typ string, text []byte) (taken bool, err error) {
	if typ == typeList {
		x, err := read[listLine](text)
		if err != nil || s.Lists == nil {
			return false, err
		}
		x.Edition.Entries = x.Entries
		return true, s.Lists.Bring(ctx, by, []lists.Edition{x.Edition})
	}
	err = s.DB.InTx(ctx, func(tx Tx) (err error) {
		taken, err = s.regainRecord(ctx, tx, typ, text)
		return err
	})
	return taken, err
}

func (s *Service) regainRecord(ctx context.Context, tx Tx, typ string, text []byte) (taken bool, err error) {
	switch typ {
	case typeOperator:
		return regainOperator(ctx, tx, text)
	case typePack:
		x, err := read[packLine](text)
		if err != nil {
			return false, err
		}
		x.PackRecord.Source = []byte(x.Source)
		return true, tx.PutPack(ctx, &x.PackRecord)
	case typeActivation:
		return s.regainActivation(ctx, tx, text)
	case typeDetermination, typeAct:
		return regainMeasure(ctx, tx, typ, text)
	case typeHold:
		x, err := read[holdLine](text)
		if err != nil {
			return false, err
		}
		_, here := tx.Hold(ctx, x.ID)
		return absent(here, func() error { return tx.PutHold(ctx, &x.Hold) })
	case typeErasure:
		x, err := read[erasureLine](text)
		if err != nil {
			return false, err
		}
		_, here := tx.Erasure(ctx, x.ID)
		return absent(here, func() error { return tx.PutErasure(ctx, &x.Erasure) })
	case typeCohort:
		x, err := read[cohortLine](text)
		if err != nil {
			return false, err
		}
		_, here := tx.Cohort(ctx, x.Name)
		return absent(here, func() error {
			if err := tx.PutCohort(ctx, &x.Cohort); err != nil {
				return err
			}
			return tx.Enqueue(ctx, &muster.Job{
				ID: muster.NewID(muster.PrefixMessage, tx.Now()), Kind: muster.JobCohort, Ref: x.Name, RunAt: later(x.Due, tx.Now()),
			})
		})
	}
	return false, muster.Errorf(muster.CodeInvalid, "has a type that is not known here")
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// absent writes what was not found.
func absent(found error, write func() error) (bool, error) {
	switch muster.ErrorCode(found) {
	case muster.CodeNotFound:
		return true, write()
	case "":
		return false, nil
	}
	return false, found
}

// regainOperator keeps who did things by name. They are disabled: who works here, the
// people here say.
func regainOperator(ctx context.Context, tx Tx, text []byte) (bool, error) {
	x, err := read[operatorLine](text)
	if err != nil {
		return false, err
	}
	all, err := tx.Operators(ctx)
	if err != nil {
		return false, err
	}
	for _, o := range all {
		if o.ID == x.ID {
			return false, nil
		}
	}
	if x.Disabled.IsZero() {
		x.Disabled = tx.Now()
	}
	return true, tx.PutOperator(ctx, &x.OperatorRecord)
}

// regainActivation keeps what decided when. Packs that this house began with began
// later than what comes in: where the last word there is another edition, it is said
// again here, from now on.
func (s *Service) regainActivation(ctx context.Context, tx Tx, text []byte) (bool, error) {
	x, err := read[activationLine](text)
	if err != nil {
		return false, err
	}
	all, err := tx.Activations(ctx)
	if err != nil {
		return false, err
	}
	own := false // an activation of this pack that came of no export, and later
	for _, a := range all {
		if a.ID == x.ID {
			return false, nil
		}
		own = own || a.Pack == x.Pack && a.Effective.After(x.Effective)
	}
	if err := tx.PutActivation(ctx, &x.ActivationRecord); err != nil {
		return false, err
	}
	if !own || x.Approver == "" || x.Effective.After(tx.Now()) {
		return true, nil
	}
	again := x.ActivationRecord
	again.ID, again.Effective = muster.NewID(muster.PrefixActivation, tx.Now()), tx.Now()
	return true, tx.PutActivation(ctx, &again)
}

func regainMeasure(ctx context.Context, tx Tx, typ string, text []byte) (bool, error) {
	if typ == typeDetermination {
		x, err := read[determinationLine](text)
		if err != nil {
			return false, err
		}
		all, err := tx.Determinations(ctx)
		if err != nil {
			return false, err
		}
		for _, d := range all {
			if d.ID == x.ID {
				return false, nil
			}
		}
		x.DeterminationRecord.Source = []byte(x.Source)
		return true, tx.AddDetermination(ctx, &x.DeterminationRecord)
	}
	x, err := read[actLine](text)
	if err != nil {
		return false, err
	}
	all, err := tx.MeasureActs(ctx)
	if err != nil {
		return false, err
	}
	for _, a := range all {
		if a.ID == x.ID {
			return false, nil
		}
	}
	x.MeasureAct.Cursor = x.Cursor
	return true, tx.PutMeasureAct(ctx, &x.MeasureAct)
}
