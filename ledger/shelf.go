package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
)

// Chunk is a chunk's row. Where Volume is not 0, Blob is its head alone, and the Size
// bytes after the head are those of the volume from Start on.
type Chunk struct {
	ID    int64
	Blob  []byte
	Start int64
	Size  int64

	Volume int64
}

// Volume is an object that holds many chunks, back to back, in no order that means anything.
type Volume struct {
	ID    int64  // the generation that made it: never used again
	Name  string // of the object: space, slash, SHA-256 of its bytes
	Size  int64  // bytes
	Made  time.Time
	Holed time.Time // since when it is known to hold bytes of chunks that are gone; zero: it does not
	Gone  time.Time // since when no chunk lies in it; zero: some do

	Chunks int64 // that lie in it
	Used   int64 // bytes of theirs
}

// Space is the part of the storage that one life of this store writes to. A restored
// copy gets a space of its own, so that original and copy do not clear away what is the
// other's.
type Space struct {
	Name string
	Made time.Time
	Ours bool // what is not used there may be deleted
}

// VolumeTx is what the sealed end needs of a transaction for volumes.
type VolumeTx interface {
	// LooseChunks are chunks of a range of ids that lie in no volume, rising.
	LooseChunks(ctx context.Context, from, through int64, limit int, each func(Chunk) error) error
	VolumeChunks(ctx context.Context, volume int64, each func(Chunk) error) error
	// PlaceChunk says where a chunk lies from now on; CodeStale where it was not in the
	// volume was (0: in none).
	PlaceChunk(ctx context.Context, was int64, c Chunk) error
	Volumes(ctx context.Context) ([]Volume, error)
	VolumeNames(ctx context.Context) (map[int64]string, error)
	// PutVolume writes a volume, or Holed and Gone of one that is there.
	PutVolume(ctx context.Context, v Volume) error
	DropVolume(ctx context.Context, id int64) error
	Spaces(ctx context.Context) ([]Space, error)
	AddSpace(ctx context.Context, name string, made time.Time) error
	OwnSpaces(ctx context.Context, ours bool) error
}

// Objects keeps bytes under names: objects.S3 or objects.Dir.
type Objects interface {
	Put(ctx context.Context, name string, data []byte) error
	Get(ctx context.Context, name string) ([]byte, error)
	Part(ctx context.Context, name string, from, size int64) ([]byte, error)
	Delete(ctx context.Context, name string) error
}

// ShelfConfig of a Shelf. Objects and Clock are required.
type ShelfConfig struct {
	Objects Objects
	// List calls each for the objects of a prefix that ends in a slash: name, bytes,
	// when they were put. nil: objects that no row names are never cleared away.
	List  func(ctx context.Context, prefix string, each func(name string, size int64, made time.Time) error) error
	Clock muster.Clock

	Prefix string        // of every name; "" or ending in a slash
	Fill   bool          // chunks of quarters that are over go there; else those that are there come back
	Keep   time.Duration // an object that nothing names any more is kept so long: backups may name it
	Cache  int64         // bytes of chunks that are remembered. 0: 64 MiB

	Size  int64 // of a volume, about. 0: 4 MiB
	Least int64 // chunks of less stay where they are. 0: 256 KiB
}

const (
	volumeChunks  = 4096 // in one volume at most: each is a row of one transaction
	saltBytes     = 16   // in front of a volume, so that no name comes twice
	holedFor      = 7 * 24 * time.Hour
	orphanAge     = 24 * time.Hour // of an object without a row, longer than any transaction
	readAhead     = 64 << 10       // bytes of an account and quarter that are fetched with what is asked for
	fetchAtOnce   = 2 << 20        // wanted by one reading before it is broken off and they are fetched
	fetchMost     = 64 << 20       // for one question
	joinGap       = 32 << 10       // between parts of one volume that are fetched as one
	joinMost      = 1 << 20        // in one request
	fetchParallel = 8
	fetchWithin   = 20 * time.Second // or the storage is away
)

// Shelf keeps chunks in volumes. Safe for concurrent use.
type Shelf struct {
	ShelfConfig

	mu    sync.Mutex
	names map[int64]string
	cache map[spanKey][]byte
	order []spanKey // of the cache, oldest first
	kept  int64
}

// spanKey names a part of a volume: what is there does not change.
type spanKey struct{ volume, start int64 }

// NewShelf checks its configuration.
func NewShelf(c ShelfConfig) (*Shelf, error) {
	if c.Objects == nil || c.Clock == nil {
		return nil, muster.Errorf(muster.CodeInvalid, "ledger: ShelfConfig has something missing")
	}
	for _, d := range []struct {
		n    *int64
		dflt int64
	}{{&c.Cache, 64 << 20}, {&c.Size, 4 << 20}, {&c.Least, 256 << 10}} {
		if *d.n == 0 {
			*d.n = d.dflt
		}
	}
	return &Shelf{ShelfConfig: c, names: map[int64]string{}, cache: map[spanKey][]byte{}}, nil
}

// view runs fn on one snapshot of the store. No connection is held while the storage is
// waited for: chunks that are not at hand are noted and left out, fetched when the
// snapshot is closed, and fn runs again, on a new one. What fn did before is then void: it
// begins by forgetting it.
func (s *Shelf) view(ctx context.Context, db DB, fn func(Tx) error) error {
	have := map[spanKey][]byte{}
	fetched, again := int64(0), false
	for {
		r := &reading{shelf: s, have: have}
		err := db.View(ctx, func(tx Tx) error {
			r.Tx = tx
			return fn(r)
		})
		if len(r.want) == 0 {
			if code := muster.ErrorCode(err); len(have) > 0 && (code == muster.CodeInternal || code == muster.CodeMalformed) {
				// What was fetched does not open: perhaps it came wrong, and comes right now.
				s.forget(have)
				if again {
					return &muster.Error{
						Code: muster.CodeUnavailable, Message: "the storage gives other bytes for a chunk than were written", Cause: err,
						Hint: "muster storage check --read says of which volumes",
					}
				}
				again = true
				continue
			}
			return err
		}
		if s == nil {
			return errNoShelf()
		}
		for _, c := range r.want {
			fetched += c.Size
		}
		if fetched > fetchMost {
			return &muster.Error{Code: muster.CodeTooLarge, Message: "too much has to be fetched for that interval", Hint: "ask for a shorter one"}
		}
		if err := s.fetch(ctx, func(ctx context.Context) (all map[int64]string, err error) {
			return all, db.View(ctx, func(tx Tx) error {
				all, err = tx.VolumeNames(ctx)
				return err
			})
		}, r.want, have); err != nil {
			return err
		}
	}
}

// stream is view for what cannot run twice, because it has given away what it found: one
// snapshot, which stays open while the storage is waited for. For long readings, of which
// there are few at once.
func (s *Shelf) stream(ctx context.Context, db DB, fn func(Tx) error) error {
	return db.View(ctx, func(tx Tx) error {
		return fn(&reading{Tx: tx, shelf: s, have: map[spanKey][]byte{}, waits: true})
	})
}

func errNoShelf() error {
	return &muster.Error{
		Code: muster.CodeUnavailable, Message: "chunks of the ledger lie in a storage that the configuration does not name",
		Hint: "name it in storage; with storage.chunks false what is there is brought back",
	}
}

// reading is a transaction that knows what of the volumes is at hand.
type reading struct {
	Tx
	shelf  *Shelf
	have   map[spanKey][]byte
	want   []Chunk
	wanted int64
	waits  bool // see stream
}

// errEnough ends a reading of which more is missing than is fetched at once.
var errEnough = muster.Errorf(muster.CodeInternal, "chunks were to be fetched and were not")

// note says that a chunk is missing.
func (r *reading) note(c Chunk) {
	c.Blob = nil
	r.want = append(r.want, c)
	r.wanted += c.Size
}

// chunks reads chunks by a range of ids, rising, wherever they lie. Where some are not
// at hand, it leaves them out, and what is made of the others is void: see view.
func chunks(ctx context.Context, tx Tx, from, through int64, each func(id int64, blob []byte) error) error {
	return chunksOf(ctx, tx, from, through, nil, each)
}

// chunksOf is chunks, without those that useful, which sees their heads, says no to.
func chunksOf(ctx context.Context, tx Tx, from, through int64, useful func(id int64, head []byte) (bool, error), each func(id int64, blob []byte) error) error {
	r, _ := tx.(*reading)
	if r != nil && r.waits {
		return r.wait(ctx, from, through, useful, each)
	}
	short, last := false, int64(0)
	if err := tx.Chunks(ctx, from, through, func(c Chunk) error {
		if useful != nil {
			if ok, err := useful(c.ID, c.Blob); err != nil || !ok {
				return err
			}
		}
		if c.Volume == 0 {
			return each(c.ID, c.Blob)
		}
		if r == nil {
			return errNoShelf()
		}
		body, ok := r.body(c)
		if !ok {
			short, last = true, c.ID
			r.note(c)
			return nil
		}
		return each(c.ID, append(c.Blob[:len(c.Blob):len(c.Blob)], body...))
	}); err != nil || !short {
		return err
	}
	// What the account has further in that quarter is asked for next, more often than not.
	key := parseChunkID(last)
	_, end := chunkRange(key.kind, key.quarter, key.level, key.account)
	ahead := int64(0)
	if err := tx.Chunks(ctx, through+1, end, func(c Chunk) error {
		if c.Volume == 0 || ahead+c.Size > readAhead {
			return nil
		}
		if _, ok := r.body(c); !ok {
			ahead += c.Size
			r.note(c)
		}
		return nil
	}); err != nil {
		return err
	}
	if r.wanted > fetchAtOnce {
		return errEnough
	}
	return nil
}

// wait is chunksOf that fetches at once what is missing.
func (r *reading) wait(ctx context.Context, from, through int64, useful func(id int64, head []byte) (bool, error), each func(id int64, blob []byte) error) error {
	var list, far []Chunk
	if err := r.Chunks(ctx, from, through, func(c Chunk) error {
		if useful != nil {
			if ok, err := useful(c.ID, c.Blob); err != nil || !ok {
				return err
			}
		}
		if list = append(list, c); c.Volume != 0 {
			if _, ok := r.body(c); !ok {
				far = append(far, Chunk{ID: c.ID, Volume: c.Volume, Start: c.Start, Size: c.Size})
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if len(far) > 0 {
		if r.shelf == nil {
			return errNoShelf()
		}
		if err := r.shelf.fetch(ctx, r.Tx.VolumeNames, far, r.have); err != nil {
			return err
		}
	}
	for _, c := range list {
		blob := c.Blob
		if c.Volume != 0 {
			body, ok := r.body(c)
			if !ok {
				return errEnough
			}
			blob = append(blob[:len(blob):len(blob)], body...)
		}
		if err := each(c.ID, blob); err != nil {
			return err
		}
	}
	clear(r.have) // it is not run again
	return nil
}

// missing is how many chunks a transaction has left out so far.
func missing(tx Tx) int {
	if r, ok := tx.(*reading); ok {
		return len(r.want)
	}
	return 0
}

// body is what follows a chunk's head.
func (r *reading) body(c Chunk) ([]byte, bool) {
	key := spanKey{c.Volume, c.Start}
	body, ok := r.have[key]
	if !ok && r.shelf != nil {
		if body, ok = r.shelf.remembered(key); ok {
			r.have[key] = body // so that it is at hand in the next reading too
		}
	}
	return body, ok && int64(len(body)) == c.Size
}

func (s *Shelf) remembered(key spanKey) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.cache[key]
	return body, ok
}

// remember keeps a part, and forgets the oldest where there are too many.
func (s *Shelf) remember(key spanKey, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.cache[key]; ok {
		return
	}
	s.cache[key] = body
	s.order = append(s.order, key)
	s.kept += int64(len(body))
	for s.kept > s.Cache && len(s.order) > 0 {
		s.kept -= int64(len(s.cache[s.order[0]]))
		delete(s.cache, s.order[0])
		s.order = s.order[1:]
	}
}

// forget takes parts out of have and of the cache.
func (s *Shelf) forget(have map[spanKey][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range have {
		s.kept -= int64(len(s.cache[key]))
		delete(s.cache, key) // what is left of it in order takes away nothing later
	}
	clear(have)
}

// name is the object of a volume.
func (s *Shelf) name(ctx context.Context, names func(context.Context) (map[int64]string, error), volume int64) (string, error) {
	s.mu.Lock()
	name, ok := s.names[volume]
	s.mu.Unlock()
	if ok {
		return name, nil
	}
	all, err := names(ctx)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.names = all
	s.mu.Unlock()
	if name, ok = all[volume]; !ok {
		return "", muster.Errorf(muster.CodeUnavailable, "a chunk's volume has no row")
	}
	return name, nil
}

// part is a stretch of one volume that is fetched as one, and the chunks in it.
type part struct {
	volume, from, size int64
	chunks             []Chunk
}

// parts joins chunks that lie near each other.
func parts(list []Chunk) (all []part) {
	slices.SortFunc(list, func(a, b Chunk) int {
		if a.Volume != b.Volume {
			return int(a.Volume - b.Volume)
		}
		return int(a.Start - b.Start)
	})
	for _, c := range list {
		if n := len(all); n > 0 {
			p := &all[n-1]
			if end := c.Start + c.Size; p.volume == c.Volume && c.Start-(p.from+p.size) <= joinGap && end-p.from <= joinMost {
				p.size = max(p.size, end-p.from)
				p.chunks = append(p.chunks, c)
				continue
			}
		}
		all = append(all, part{c.Volume, c.Start, c.Size, []Chunk{c}})
	}
	return all
}

// fetch brings chunks into have and the cache.
func (s *Shelf) fetch(ctx context.Context, names func(context.Context) (map[int64]string, error), list []Chunk, have map[spanKey][]byte) error {
	var mu sync.Mutex
	all := parts(list)
	objects := make([]string, len(all))
	for i, p := range all {
		var err error
		if objects[i], err = s.name(ctx, names, p.volume); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchParallel)
	for i, p := range all {
		group.Go(func() error {
			name := objects[i]
			data, err := s.Objects.Part(ctx, s.Prefix+name, p.from, p.size)
			if muster.ErrorCode(err) == muster.CodeNotFound {
				return errVolumeMissing(name)
			}
			if err != nil {
				return err
			}
			for _, c := range p.chunks {
				at := c.Start - p.from
				// A copy: a chunk of a hundred bytes must not keep a megabyte alive.
				body := slices.Clone(data[at : at+c.Size])
				key := spanKey{c.Volume, c.Start}
				s.remember(key, body)
				mu.Lock()
				have[key] = body
				mu.Unlock()
			}
			return nil
		})
	}
	return group.Wait()
}

func errVolumeMissing(name string) error {
	return &muster.Error{
		Code: muster.CodeUnavailable, Message: "volume " + name + " of the ledger is not in the storage",
		Hint: "is storage the one that this deployment filled? muster storage check lists what is missing",
	}
}

// whole reads a volume and holds it against its name.
func (s *Shelf) whole(ctx context.Context, v Volume) ([]byte, error) {
	data, err := s.Objects.Get(ctx, s.Prefix+v.Name)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return nil, errVolumeMissing(v.Name)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != path.Base(v.Name) || int64(len(data)) != v.Size {
		return nil, &muster.Error{
			Code: muster.CodeUnavailable, Message: "volume " + v.Name + " of the ledger is not what was written",
			Hint: "bring it back from a copy of the bucket; nothing was changed",
		}
	}
	return data, nil
}
