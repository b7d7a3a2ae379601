package vault

import (
	"context"
	"slices"

	"github.com/muster-cip/muster"
)

// A static key turns in three steps, each of which may be done twice:
//
//	Prepare  every process learns a version that nobody uses yet
//	Promote  it is what is written, sealed and signed with; older ones still open
//	Retire   the older ones are destroyed
//
// Between the first two the caller waits until every process has the version:
// otherwise one would write what another does not find. Before the last it has
// brought up to the new version whatever is to outlive the old one.

// Turns reports whether the key of a name takes new versions. The epoch's key does by
// Rotate, the check value's never.
func Turns(name string) bool {
	return name != nameCheck && name != nameEpoch && slices.Contains(staticNames(), name)
}

// Target is the version of each name that a turn leads to.
type Target map[string]int

// Next is the target of a turn of names that begins now: where a version waits to
// be used already, that one.
func (v *Vault) Next(names ...string) (Target, error) {
	set := v.keys()
	to := Target{}
	for _, n := range names {
		if !Turns(n) {
			return nil, muster.Errorf(muster.CodeInvalid, "the key %q takes no new versions", n)
		}
		to[n] = set.newest(n) + 1
		if to[n] > 255 {
			return nil, muster.Errorf(muster.CodeConflict, "the key %q has had all its 255 versions", n)
		}
	}
	return to, nil
}

// Prepare makes the versions of a target, for nobody to use yet.
func (v *Vault) Prepare(ctx context.Context, to Target) error {
	return v.turn(ctx, to, func(k *keyset, name string, version int) bool {
		next := ref{prefixNext + name, version}
		if _, there := k.plain[next]; there || k.newest(name) != version-1 {
			return false
		}
		k.add(next.name, version)
		return true
	})
}

// Promote puts the versions of a target in use.
func (v *Vault) Promote(ctx context.Context, to Target) error {
	return v.turn(ctx, to, func(k *keyset, name string, version int) bool {
		next := ref{prefixNext + name, version}
		p, there := k.plain[next]
		if !there {
			return false
		}
		k.drop(next.name, version)
		k.plain[ref{name, version}] = p
		return true
	})
}

// Retire destroys what is older than a target that is in use. What it sealed does not
// open any more, and its digests lead nowhere.
func (v *Vault) Retire(ctx context.Context, to Target) error {
	return v.turn(ctx, to, func(k *keyset, name string, version int) (changed bool) {
		if _, used := k.plain[ref{name, version}]; !used {
			return false
		}
		for _, r := range k.refs() {
			if r.name == name && r.version < version {
				k.drop(name, r.version)
				changed = true
			}
		}
		return changed
	})
}

// turn changes the set where edit changes anything.
func (v *Vault) turn(ctx context.Context, to Target, edit func(k *keyset, name string, version int) bool) error {
	err := v.change(ctx, func(k *keyset) error {
		changed := false
		for name, version := range to {
			if !Turns(name) {
				return muster.Errorf(muster.CodeInvalid, "the key %q takes no new versions", name)
			}
			changed = edit(k, name, version) || changed
		}
		if !changed {
			return errSame
		}
		return nil
	})
	if err == errSame {
		return nil
	}
	return err
}

var errSame = muster.Errorf(muster.CodeConflict, "nothing changed")

// Static is one static key, as it stands.
type Static struct {
	Name     string
	Versions []int // that open or compare, rising; the last is in use
	Next     int   // the version that waits to be used; 0: none
}

// Statics lists the keys of the set but the epochs'.
func (v *Vault) Statics() []Static {
	set := v.keys()
	var all []Static
	for _, n := range staticNames() {
		s := Static{Name: n}
		for _, r := range set.refs() {
			switch r.name {
			case n:
				s.Versions = append(s.Versions, r.version)
			case prefixNext + n:
				s.Next = r.version
			}
		}
		all = append(all, s)
	}
	return all
}
