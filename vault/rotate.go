package vault

import (
	"context"
	"slices"
	"time"
)

// batch is how many subject keys are read at a time.
const batch = 50_000

// ahead is how many keys are ready before a write that others wait for begins, for who
// needs one meanwhile.
const ahead = 2048

// Rotate ends the epoch: it makes a new epoch key, wraps every surviving subject key
// under it, destroys the old epoch key, and has the root key turned where the KMS
// can. After a crash or error at any point it is called again and goes on; it never
// begins a second epoch before the first is done. progress gets the keys re-wrapped
// so far and may stop it with an error. One process at a time (the caller holds a lease).
//
// From then on a key destroyed in the old epoch is destroyed in backups of the key
// store too, and a backup of the key store from before does not open: take one after.
func (v *Vault) Rotate(ctx context.Context, progress func(done int) error) error {
	turner, _ := v.kms.(Turner)
	if err := v.Refresh(ctx); err != nil {
		return err
	}
	if turner != nil {
		if err := turner.Next(ctx); err != nil {
			return err
		}
	}
	if len(v.set.Load().epochs) == 1 {
		was := v.set.Load().epoch
		if err := v.change(ctx, func(k *keyset) error {
			if k.epoch == was { // otherwise another process was faster
				k.add(nameEpoch, was+1)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	done, most := 0, v.store.AtOnce()
	set := v.set.Load()
	for _, e := range set.ended() {
		for after := ""; ; {
			rows, err := v.store.Scan(ctx, e, after, most)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				break
			}
			after = rows[len(rows)-1].ID
			for i := range rows {
				handle, key, err := v.unwrapRow(set, &rows[i])
				if err != nil {
					return err
				}
				rows[i] = v.wrapRow(set.epochs[set.epoch], rows[i].ID, handle, key)
				clear(key)
			}
			if len(rows) == most && !v.shared { // processes that share a store write beside one another
				if err := v.fill(ctx, ahead); err != nil {
					return err
				}
			}
			began := time.Now()
			if err := v.store.Rewrap(ctx, rows); err != nil {
				return err
			}
			done += len(rows)
			if took := time.Since(began); len(rows) == most {
				if !v.shared { // where few writes are made a longer rest brings nobody anything
					took /= 2
				}
				rest(ctx, took)
			}
			if progress != nil {
				if err := progress(done); err != nil {
					return err
				}
			}
		}
	}
	// The store refuses this while a row is still under an ended epoch. Every wrap is
	// made anew, so that nothing needs the old root key.
	if err := v.change(ctx, func(k *keyset) error {
		for r := range k.plain {
			if r.name == nameEpoch && r.version < set.epoch {
				k.drop(r.name, r.version)
			}
		}
		if turner != nil {
			clear(k.wrapped)
		}
		return nil
	}); err != nil {
		return err
	}
	return v.shed(ctx)
}

// rest leaves others some time of the disk and the processor.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(min(d, 2*time.Second)):
	}
}

// ended is the epochs before the present one, oldest first.
func (k *keyset) ended() []int {
	var list []int
	for n := range k.epochs {
		if n != k.epoch {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// Epoch is the number of the present epoch, and whether a rotation waits to be
// finished.
func (v *Vault) Epoch() (epoch int, pending bool) {
	set := v.set.Load()
	return set.epoch, len(set.epochs) > 1
}

// MoveRoot wraps the whole set under another root key: another key file, or a KMS
// in its place. Subject keys do not change. It wants the key store for itself: no
// other process, and nothing else in this one. The old root key is needed no more once
// it returns, but for older backups.
func (v *Vault) MoveRoot(ctx context.Context, to KMS) error {
	v.setMu.Lock()
	from := v.kms
	if err := v.refresh(ctx); err != nil {
		v.setMu.Unlock()
		return err
	}
	v.kms = to
	v.setMu.Unlock()
	if err := v.change(ctx, func(k *keyset) error { clear(k.wrapped); return nil }); err != nil {
		v.kms = from
		return err
	}
	return nil
}

// Report is what Verify found.
type Report struct {
	Root    string        `json:"root"` // id of the root key
	Set     int           `json:"set"`  // version of the set
	Named   []NamedReport `json:"named"`
	Epochs  []EpochReport `json:"epochs"`
	Bad     []string      `json:"bad,omitempty"` // ids of the first 1000 subject keys that do not open
	BadKeys int           `json:"bad_keys"`
	Pending bool          `json:"pending"` // a rotation is not finished
	Sheds   bool          `json:"sheds"`   // the root key turns with the epoch
}

// NamedReport is one static key.
type NamedReport struct {
	Name     string `json:"name"`
	Versions []int  `json:"versions"`
}

// EpochReport counts the subject keys of one epoch.
type EpochReport struct {
	Epoch int `json:"epoch"`
	Keys  int `json:"keys"`
}

// Verify loads the set anew, unwraps every key and says which do not open. It opens
// no value. An error means that it could not be carried out, or that the set itself does not hold.
func (v *Vault) Verify(ctx context.Context) (Report, error) {
	stored, err := v.store.LoadSet(ctx)
	if err != nil {
		return Report{}, err
	}
	set, err := v.unwrapSet(ctx, stored)
	if err != nil {
		return Report{}, err
	}
	rep := Report{Root: v.kms.ID(), Set: set.version, Pending: len(set.epochs) > 1}
	switch k := v.kms.(type) {
	case interface{ Sheds() bool }:
		rep.Sheds = k.Sheds()
	case Turner:
		rep.Sheds = true
	}
	for _, r := range set.refs() {
		if r.name == nameEpoch {
			continue
		}
		if n := len(rep.Named); n > 0 && rep.Named[n-1].Name == r.name {
			rep.Named[n-1].Versions = append(rep.Named[n-1].Versions, r.version)
		} else {
			rep.Named = append(rep.Named, NamedReport{r.name, []int{r.version}})
		}
	}
	counts := map[int]int{}
	for n := range set.epochs {
		counts[n] = 0
	}
	for after := ""; ; {
		rows, err := v.store.Scan(ctx, 0, after, batch)
		if err != nil {
			return Report{}, err
		}
		if len(rows) == 0 {
			break
		}
		after = rows[len(rows)-1].ID
		for i := range rows {
			counts[rows[i].Epoch]++
			_, key, err := v.unwrapRow(set, &rows[i])
			clear(key)
			if err != nil {
				rep.BadKeys++
				if len(rep.Bad) < 1000 {
					rep.Bad = append(rep.Bad, rows[i].ID)
				}
			}
		}
	}
	for n, keys := range counts {
		rep.Epochs = append(rep.Epochs, EpochReport{n, keys})
	}
	slices.SortFunc(rep.Epochs, func(a, b EpochReport) int { return a.Epoch - b.Epoch })
	return rep, nil
}
