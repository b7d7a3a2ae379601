package journal

import (
	"encoding/json"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// Parts takes facts apart for sealing: what is common, then each subject's own
// under that subject's key. keys is by subject id.
func Parts(f *muster.Facts, keys map[string]vault.Key) ([]vault.Part, error) {
	common := *f
	common.Subjects = nil
	data, err := json.Marshal(&common)
	if err != nil {
		return nil, muster.Errorf(muster.CodeInternal, "facts cannot be written: %w", err)
	}
	all := []vault.Part{{Name: vault.CommonPart, Data: data}}
	for i := range f.Subjects {
		s := &f.Subjects[i]
		if data, err = json.Marshal(s); err != nil {
			return nil, muster.Errorf(muster.CodeInternal, "facts cannot be written: %w", err)
		}
		all = append(all, vault.Part{Name: s.ID, Key: keys[s.ID], Data: data})
	}
	return all, nil
}

// Facts puts opened parts together. Parts that were erased are left out, and counted.
func Facts(opened []vault.OpenedPart) (f *muster.Facts, erased int, err error) {
	f = &muster.Facts{}
	for _, p := range opened {
		switch {
		case p.Erased:
			erased++
		case p.Name == vault.CommonPart:
			err = json.Unmarshal(p.Data, f)
		default:
			var s muster.SubjectFacts
			if err = json.Unmarshal(p.Data, &s); err == nil {
				f.Subjects = append(f.Subjects, s)
			}
		}
		if err != nil {
			return nil, 0, muster.Errorf(muster.CodeInternal, "sealed facts are not what they should be: %w", err)
		}
	}
	return f, erased, nil
}
