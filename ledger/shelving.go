package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// What the sealer does with volumes. The order of things is what keeps them whole:
//
//   - An object is put, and read back, before the transaction commits that names it. A
//     crash between the two leaves an object without a row.
//   - An object is deleted after the transaction that has taken the last chunk out of it,
//     and Keep later: questions that have read its name, and backups that name it, find it.
//     A crash before or after the deletion leaves a row that says gone, and it is done again.
//   - No name comes twice, so that a deletion that comes late hits nothing that lives.

// tend moves chunks to volumes or back, writes volumes with holes anew, and clears away
// what nothing names. It returns how many volumes it wrote.
func (s *Sealer) tend(ctx context.Context) (written int, err error) {
	if s.Shelf == nil {
		return 0, nil
	}
	if s.Shelf.Fill {
		if written, err = s.shelve(ctx); err != nil {
			return written, err
		}
	}
	mended, err := s.mendVolumes(ctx)
	if err != nil {
		return written + mended, err
	}
	return written + mended, s.clear(ctx)
}

// Tend is what a compaction does with volumes, by itself. CodeConflict where another
// process has the lease.
func (s *Sealer) Tend(ctx context.Context) (written int, err error) {
	if err := s.lead(ctx); err != nil {
		return 0, err
	}
	return s.tend(ctx)
}

// space is the newest place of our own, made where there is none.
func (s *Sealer) space(ctx context.Context) (name string, err error) {
	return name, s.DB.InTx(ctx, func(tx Tx) error {
		name, err = currentSpace(ctx, tx)
		return err
	})
}

func currentSpace(ctx context.Context, tx Tx) (string, error) {
	all, err := tx.Spaces(ctx)
	if err != nil {
		return "", err
	}
	// Not one that is shared with the store that this one was copied from, however new a
	// clock made it: that one deletes there what its own rows do not name.
	for _, x := range slices.Backward(all) {
		if x.Ours {
			return x.Name, nil
		}
	}
	return newSpace(ctx, tx)
}

func newSpace(ctx context.Context, tx Tx) (string, error) {
	name := make([]byte, 8)
	rand.Read(name)
	return hex.EncodeToString(name), tx.AddSpace(ctx, hex.EncodeToString(name), tx.Now())
}

// Divide gives a restored store a place of its own in the storage: what it writes and
// clears away is apart from what the store that it was copied from does.
func Divide(ctx context.Context, db DB) error {
	return db.InTx(ctx, func(tx Tx) error {
		all, err := tx.Spaces(ctx)
		if err != nil || len(all) == 0 {
			return err
		}
		if err := tx.OwnSpaces(ctx, false); err != nil {
			return err
		}
		_, err = newSpace(ctx, tx)
		return err
	})
}

// Claim says that the store that this one was restored from is no more: what lies in the
// places of both, and is not used, may be deleted.
func Claim(ctx context.Context, db DB) error {
	return db.InTx(ctx, func(tx Tx) error { return tx.OwnSpaces(ctx, true) })
}

// shelve moves merged chunks of quarters that are over into volumes.
func (s *Sealer) shelve(ctx context.Context) (written int, err error) {
	for k := range Leases + 1 {
		quarters, err := s.quarters(ctx, k)
		if err != nil {
			return written, err
		}
		for _, q := range quarters {
			if !s.Clock().After(q.end().Add(settle)) {
				continue
			}
			for from, through := levelRange(k, q, merged); ; written++ {
				last, err := s.shelveSome(ctx, from, through)
				if err != nil {
					return written, err
				}
				if last == 0 {
					break
				}
				from = last + 1
			}
		}
	}
	return written, nil
}

// shelveSome writes one volume, and returns the last chunk in it; 0: there was too little.
func (s *Sealer) shelveSome(ctx context.Context, from, through int64) (last int64, err error) {
	if err := s.lead(ctx); err != nil {
		return 0, err
	}
	var list []Chunk
	bytes := int64(0)
	if err := s.DB.View(ctx, func(tx Tx) error {
		list, bytes = nil, 0
		return tx.LooseChunks(ctx, from, through, volumeChunks, func(c Chunk) error {
			if bytes < s.Shelf.Size {
				list = append(list, c)
				bytes += int64(len(c.Blob))
			}
			return nil
		})
	}); err != nil || bytes < s.Shelf.Least {
		return 0, err
	}
	v, placed, err := s.pack(ctx, list)
	if err != nil {
		return 0, err
	}
	next := s.state
	next.Generation = v.ID
	return list[len(list)-1].ID, s.tx(ctx, "shelve", next, func(tx Tx) error { return place(ctx, tx, 0, v, placed) })
}

// pack puts whole chunks into a new volume, whose object is there when it returns.
func (s *Sealer) pack(ctx context.Context, list []Chunk) (v Volume, placed []Chunk, err error) {
	data := make([]byte, saltBytes, s.Shelf.Size+s.Shelf.Size/8)
	rand.Read(data)
	v = Volume{ID: s.state.Generation + 1, Made: s.Clock()}
	for _, c := range list {
		_, size, err := parseChunkHead(c.Blob)
		if err != nil {
			return v, nil, err
		}
		placed = append(placed, Chunk{ID: c.ID, Blob: c.Blob[:size], Volume: v.ID, Start: int64(len(data)), Size: int64(len(c.Blob) - size)})
		data = append(data, c.Blob[size:]...)
	}
	space, err := s.space(ctx)
	if err != nil {
		return v, nil, err
	}
	sum := sha256.Sum256(data)
	v.Name, v.Size = space+"/"+hex.EncodeToString(sum[:]), int64(len(data))
	return v, placed, s.outside(ctx, "put", func() error { return s.Shelf.Objects.Put(ctx, s.Shelf.Prefix+v.Name, data) })
}

// outside is something done to the storage, between two transactions.
func (s *Sealer) outside(_ context.Context, what string, fn func() error) error {
	if s.Fault != nil {
		if err := s.Fault(what, false); err != nil {
			return err
		}
	}
	if err := fn(); err != nil {
		return err
	}
	if s.Fault != nil {
		return s.Fault(what, true)
	}
	return nil
}

// place writes where chunks lie that lay in the volume was.
func place(ctx context.Context, tx Tx, was int64, v Volume, list []Chunk) error {
	if v.ID != 0 {
		if err := tx.PutVolume(ctx, v); err != nil {
			return err
		}
	}
	for _, c := range list {
		if err := tx.PlaceChunk(ctx, was, c); err != nil {
			return err
		}
	}
	return nil
}

// mendVolumes looks at what is still used of each volume. One of which nothing is, is
// gone. One that holds bytes of chunks that are gone (erased, aged, merged again) is
// written anew, without them, where they are a quarter of it, or after a week.
func (s *Sealer) mendVolumes(ctx context.Context) (written int, err error) {
	var all []Volume
	if err := s.DB.View(ctx, func(tx Tx) error {
		all, err = tx.Volumes(ctx)
		return err
	}); err != nil {
		return 0, err
	}
	var failed error // of one volume: the others are looked after all the same
	for _, v := range all {
		if !v.Gone.IsZero() {
			continue
		}
		if err := s.lead(ctx); err != nil {
			return written, err
		}
		now := s.Clock()
		hole := v.Size - saltBytes - v.Used
		switch {
		case v.Chunks == 0:
			v.Gone = now
			err = s.tx(ctx, "gone", s.state, func(tx Tx) error { return tx.PutVolume(ctx, v) })
		case !s.Shelf.Fill, hole > 0 && (4*hole >= v.Size || !v.Holed.IsZero() && now.Sub(v.Holed) > holedFor):
			if err = s.unpack(ctx, v); err == nil && s.Shelf.Fill {
				written++
			}
		case hole > 0 && v.Holed.IsZero():
			v.Holed = now
			err = s.tx(ctx, "holed", s.state, func(tx Tx) error { return tx.PutVolume(ctx, v) })
		default:
			continue
		}
		if err != nil {
			if muster.ErrorCode(err) != muster.CodeUnavailable {
				return written, err
			}
			failed = err
		}
	}
	return written, failed
}

// unpack takes what lives out of a volume: into a new one, or back into the store.
func (s *Sealer) unpack(ctx context.Context, v Volume) error {
	data, err := s.Shelf.whole(ctx, v)
	if err != nil {
		return err
	}
	var list []Chunk
	if err := s.DB.View(ctx, func(tx Tx) error {
		list = nil
		return tx.VolumeChunks(ctx, v.ID, func(c Chunk) error {
			if c.Start < saltBytes || c.Size < 0 || c.Start+c.Size > v.Size {
				return muster.Errorf(muster.CodeInternal, "a chunk's row points outside of its volume")
			}
			c.Blob = append(c.Blob[:len(c.Blob):len(c.Blob)], data[c.Start:c.Start+c.Size]...)
			list = append(list, c)
			return nil
		})
	}); err != nil {
		return err
	}
	placed, anew := list, Volume{}
	next := s.state
	if s.Shelf.Fill {
		if anew, placed, err = s.pack(ctx, list); err != nil {
			return err
		}
		next.Generation = anew.ID
	} else {
		for i := range placed {
			placed[i].Volume, placed[i].Start, placed[i].Size = 0, 0, 0
		}
	}
	v.Gone = s.Clock()
	return s.tx(ctx, "unpack", next, func(tx Tx) error {
		if err := place(ctx, tx, v.ID, anew, placed); err != nil {
			return err
		}
		return tx.PutVolume(ctx, v)
	})
}

// clear deletes objects that were kept long enough after nothing named them any more, and
// those that no row ever named. Places that are not ours it leaves alone.
func (s *Sealer) clear(ctx context.Context) error {
	if err := s.lead(ctx); err != nil {
		return err
	}
	var all []Volume
	var spaces []Space
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		if all, err = tx.Volumes(ctx); err == nil {
			spaces, err = tx.Spaces(ctx)
		}
		return err
	}); err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, x := range spaces {
		ours[x.Name] = x.Ours
	}
	named := map[string]bool{}
	for _, v := range all {
		named[v.Name] = true
		space, _, _ := strings.Cut(v.Name, "/")
		if v.Gone.IsZero() || v.Chunks > 0 || s.Clock().Sub(v.Gone) < s.Shelf.Keep || !ours[space] {
			continue
		}
		if err := s.outside(ctx, "delete", func() error { return s.Shelf.Objects.Delete(ctx, s.Shelf.Prefix+v.Name) }); err != nil {
			return err
		}
		if err := s.tx(ctx, "forget", s.state, func(tx Tx) error { return tx.DropVolume(ctx, v.ID) }); err != nil {
			return err
		}
	}
	if s.Shelf.List == nil {
		return nil
	}
	for space, mine := range ours {
		if !mine {
			continue
		}
		var orphans []string
		if err := s.Shelf.List(ctx, s.Shelf.Prefix+space+"/", func(name string, _ int64, made time.Time) error {
			if !named[strings.TrimPrefix(name, s.Shelf.Prefix)] && s.Clock().Sub(made) > orphanAge {
				orphans = append(orphans, name)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, name := range orphans {
			if err := s.lead(ctx); err != nil { // who lost the lease deletes nothing more
				return err
			}
			if err := s.Shelf.Objects.Delete(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Missing is a volume that is not in the storage as its row says.
type Missing struct {
	Volume string
	Chunks int64
	Why    string
}

// Verified is what Verify found.
type Verified struct {
	Volumes, Chunks int64 // that are named
	Bytes           int64
	Missing         []Missing
}

// Verify holds the volumes that chunks lie in against the storage; with read, byte for byte.
func (s *Shelf) Verify(ctx context.Context, db DB, read bool) (found Verified, err error) {
	var all []Volume
	if err := db.View(ctx, func(tx Tx) (err error) {
		all, err = tx.Volumes(ctx)
		return err
	}); err != nil {
		return found, err
	}
	sizes := map[string]int64{}
	listed := map[string]bool{}
	for _, v := range all {
		if v.Chunks == 0 {
			continue
		}
		found.Volumes++
		found.Chunks += v.Chunks
		found.Bytes += v.Size
		why := ""
		if read {
			_, err := s.whole(ctx, v)
			if err != nil && muster.ErrorCode(err) != muster.CodeUnavailable {
				return found, err
			}
			if err != nil {
				why = err.Error()
			}
		} else {
			space, _, _ := strings.Cut(v.Name, "/")
			if !listed[space] {
				if err := s.List(ctx, s.Prefix+space+"/", func(name string, size int64, _ time.Time) error {
					sizes[strings.TrimPrefix(name, s.Prefix)] = size
					return nil
				}); err != nil {
					return found, err
				}
				listed[space] = true
			}
			switch size, ok := sizes[v.Name]; {
			case !ok:
				why = "it is not there"
			case size != v.Size:
				why = "it has another size"
			}
		}
		if why != "" {
			found.Missing = append(found.Missing, Missing{v.Name, v.Chunks, why})
		}
	}
	return found, nil
}
