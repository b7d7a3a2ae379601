package journal

import (
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/compact"
	"github.com/muster-cip/muster/tlog"
	"github.com/muster-cip/muster/vault"
)

// What is stored and committed to is written by encoding/json, whose bytes it stays, and
// read by the mirror of encoding/json/v2: who goes through all that was decided spends
// most of the time there, and that takes a third of it.

// Decided reads what a record says of its decision, without the words of its packs.
func Decided(r *muster.DecisionRecord) (d muster.Decision, err error) {
	if err := jsonv2.Unmarshal(r.Body, &d); err != nil {
		return d, muster.Errorf(muster.CodeInternal, "a stored decision is not what it should be: %w", err)
	}
	return d, nil
}

// Parts are facts taken apart for sealing: what is common, then each subject's
// own under that subject's key.
type Parts struct {
	sealed []vault.Part      // packed: rows stay small
	clear  map[string][]byte // by name: what commitments are to
}

// Take takes facts apart. keys is by subject id.
func Take(f *muster.Facts, keys map[string]vault.Key) (*Parts, error) {
	p := &Parts{clear: make(map[string][]byte, 1+len(f.Subjects))}
	add := func(kind compact.Kind, name string, key vault.Key, v any) error {
		data, err := json.Marshal(v)
		if err != nil {
			return muster.Errorf(muster.CodeInternal, "facts cannot be written: %w", err)
		}
		p.clear[name] = data
		p.sealed = append(p.sealed, vault.Part{Name: name, Key: key, Data: compact.Pack(kind, data)})
		return nil
	}
	common := *f
	common.Subjects = nil
	if err := add(compact.Facts, vault.CommonPart, vault.Key{}, &common); err != nil {
		return nil, err
	}
	for i := range f.Subjects {
		s := &f.Subjects[i]
		if err := add(compact.Subject, s.ID, keys[s.ID], s); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// commit is the commitment to a part as it reads, not as it is packed.
func (p *Parts) commit(name string, salt, _ []byte) [32]byte {
	return tlog.CommitPart(name, salt, p.clear[name])
}

// Clear unpacks opened parts in place: their Data becomes what commitments are to.
func Clear(opened []vault.OpenedPart) error {
	for i := range opened {
		if opened[i].Erased {
			continue
		}
		var err error
		if opened[i].Data, err = compact.Unpack(opened[i].Data); err != nil {
			return err
		}
	}
	return nil
}

// Facts puts opened parts together. Parts that were erased are left out, and counted.
func Facts(opened []vault.OpenedPart) (f *muster.Facts, erased int, err error) {
	if err := Clear(opened); err != nil {
		return nil, 0, err
	}
	return Join(opened)
}

// Join is Facts for parts that Clear unpacked already.
func Join(opened []vault.OpenedPart) (f *muster.Facts, erased int, err error) {
	f = &muster.Facts{}
	for _, p := range opened {
		switch {
		case p.Erased:
			erased++
		case p.Name == vault.CommonPart:
			err = jsonv2.Unmarshal(p.Data, f)
		default:
			var s muster.SubjectFacts
			if err = jsonv2.Unmarshal(p.Data, &s); err == nil {
				f.Subjects = append(f.Subjects, s)
			}
		}
		if err != nil {
			return nil, 0, muster.Errorf(muster.CodeInternal, "sealed facts are not what they should be: %w", err)
		}
	}
	return f, erased, nil
}
