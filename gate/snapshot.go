package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/muster-cip/muster"
)

// The table: entries sorted by hash, cut by their first bits into shards of a few
// dozen. A look-up goes to its shard and, hashes being even, guesses its place in
// it to within a cache line or two. A change copies one shard, one page of the
// directory and the root: some ten kilobytes, however large the whole.

// entry is one account: 36 bytes, no pointers.
type entry struct {
	hash     Hash
	decision DecisionID
	profile  uint32
}

const entrySize = HashSize + 16 + 4

type shard []entry

const (
	pageBits = 8
	pageSize = 1 << pageBits
	fullest  = 96 // entries a shard, on average, after which the table is cut anew
	leanest  = 24 // at which it is cut
)

type page [pageSize]shard

// Snapshot is what the gate knows at one sequence number. It does not change.
type Snapshot struct {
	Deployment string
	Epoch, Seq uint64

	key    Key
	digest Digest
	n      int
	shift  uint // a hash's first 64 bits >> shift is its shard
	root   []*page
	shared *interner
	known  profiles // of shared, as long as this snapshot's indexes reach
	look   uint32   // how many profiles there may be before those that nobody has are looked for
}

// Len is the number of accounts.
func (s *Snapshot) Len() int { return s.n }

// Digest sums the state up.
func (s *Snapshot) Digest() Digest { return s.digest }

// Key is the key of the accounts' hashes.
func (s *Snapshot) Key() *Key { return &s.key }

// Digest is the sum, modulo 2^256, of the SHA-256 of every account's hash, decision
// and profile: a function of what is known, whatever the order in which it came.
type Digest [sha256.Size]byte

func (d *Digest) add(x Digest, minus bool) {
	var carry uint64
	for i := len(d) - 8; i >= 0; i -= 8 {
		a, b := binary.BigEndian.Uint64(d[i:]), binary.BigEndian.Uint64(x[i:])
		if minus {
			a, carry = bits.Sub64(a, b, carry)
		} else {
			a, carry = bits.Add64(a, b, carry)
		}
		binary.BigEndian.PutUint64(d[i:], a)
	}
}

func (e *entry) digest(profile ProfileID) Digest {
	var buf [HashSize + 16 + len(profile)]byte
	copy(buf[:], e.hash[:])
	copy(buf[HashSize:], e.decision[:])
	copy(buf[HashSize+16:], profile[:])
	return sha256.Sum256(buf[:])
}

// ProfileID names a profile by its content.
type ProfileID [16]byte

// profile is a profile as it is looked up.
type profile struct {
	id      ProfileID
	raw     []byte // canonical
	steps   []step
	measure bool // a special measure is in it, now or to come
}

type step struct {
	from    int64 // microseconds; the first is the beginning of time
	verdict *muster.Verdict
}

// at returns the step that holds at an instant, and when the next one begins (0: none).
func (p *profile) at(micros int64) (v *muster.Verdict, next int64) {
	i := 1
	for i < len(p.steps) && p.steps[i].from <= micros {
		i++
	}
	if i < len(p.steps) {
		next = p.steps[i].from
	}
	return p.steps[i-1].verdict, next
}

// Bounds of a profile: what a decoder takes.
const (
	maxProfile = 64 << 10
	maxSteps   = 256
)

// EncodeProfile is the one canonical form of a profile, and its name.
func EncodeProfile(p muster.Profile) ([]byte, ProfileID, error) {
	if err := checkProfile(p); err != nil {
		return nil, ProfileID{}, err
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, ProfileID{}, muster.Errorf(muster.CodeInternal, "a profile cannot be written: %w", err)
	}
	if len(raw) > maxProfile {
		return nil, ProfileID{}, muster.Errorf(muster.CodeInternal, "a profile is larger than it may be")
	}
	return raw, nameProfile(raw), nil
}

func nameProfile(raw []byte) (id ProfileID) {
	sum := sha256.Sum256(raw)
	copy(id[:], sum[:])
	return id
}

func checkProfile(p muster.Profile) error {
	if len(p.Steps) == 0 || len(p.Steps) > maxSteps {
		return muster.Errorf(muster.CodeInvalid, "a profile has 1 to %d steps", maxSteps)
	}
	for i, s := range p.Steps {
		if i == 0 && !s.From.IsZero() || i > 0 && !s.From.After(p.Steps[i-1].From) {
			return muster.Errorf(muster.CodeInvalid, "the steps of a profile rise from the beginning of time")
		}
		switch s.Status {
		case muster.GateAllow, muster.GateLimited, muster.GateDeny:
		default:
			return muster.Errorf(muster.CodeInvalid, "a step of a profile has an unknown status")
		}
	}
	return nil
}

// interner holds the profiles of a line of snapshots. It only grows; a snapshot
// sees as far as it did when it was made.
type interner struct {
	mu       sync.Mutex
	known    profiles
	byID     map[ProfileID]uint32
	verdicts map[string]*muster.Verdict
}

// profiles is a list that grows without moving what is in it.
type profiles struct {
	n     uint32
	pages []*[profilePage]profile
}

const profilePage = 256

func (p *profiles) get(i uint32) *profile { return &p.pages[i/profilePage][i%profilePage] }

func newInterner() *interner {
	return &interner{byID: map[ProfileID]uint32{}, verdicts: map[string]*muster.Verdict{}}
}

// take returns the index of a profile by its canonical form.
func (in *interner) take(raw []byte) (uint32, error) {
	id := nameProfile(raw)
	in.mu.Lock()
	defer in.mu.Unlock()
	if i, ok := in.byID[id]; ok {
		return i, nil
	}
	if len(raw) > maxProfile {
		return 0, muster.Errorf(muster.CodeMalformed, "a profile is larger than it may be")
	}
	var p muster.Profile
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return 0, muster.Errorf(muster.CodeMalformed, "a profile cannot be read")
	}
	if err := checkProfile(p); err != nil {
		return 0, err
	}
	x := profile{id: id, raw: bytes.Clone(raw), steps: make([]step, len(p.Steps))}
	for i := range p.Steps {
		s := &p.Steps[i]
		if x.steps[i].from = s.From.UnixMicro(); i == 0 {
			x.steps[i].from = 0
		}
		x.measure = x.measure || s.Measure
		text, err := json.Marshal(&s.Verdict)
		if err != nil {
			return 0, muster.Errorf(muster.CodeInternal, "a verdict cannot be written: %w", err)
		}
		v := in.verdicts[string(text)]
		if v == nil {
			v = &s.Verdict
			in.verdicts[string(text)] = v
		}
		x.steps[i].verdict = v
	}
	return in.put(x), nil
}

// put adds a profile that is not there.
func (in *interner) put(x profile) uint32 {
	i := in.known.n
	if i%profilePage == 0 {
		in.known.pages = append(slices.Clip(in.known.pages), new([profilePage]profile))
	}
	*in.known.get(i) = x
	in.known.n++
	in.byID[x.id] = i
	return i
}

// seen is the list as it is now.
func (in *interner) seen() profiles {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.known
}

// Change is what became of one account. Profile nil: it is not known any more.
type Change struct {
	Hash     Hash
	Decision DecisionID
	Profile  []byte // canonical (EncodeProfile)
}

// Builder makes a first snapshot of accounts in any order; of two of one account the
// later counts. It is for one goroutine.
type Builder struct {
	s       *Snapshot
	entries chunks
	last    Hash
	sorted  bool
}

// chunks are entries in portions, so that many are neither moved when more come nor
// held twice while they are laid out.
type chunks struct {
	of [][]entry
	n  int
}

const chunkSize = 1 << 15

func (c *chunks) add(e entry) {
	if c.n%chunkSize == 0 {
		c.of = append(c.of, make([]entry, 0, chunkSize))
	}
	last := &c.of[len(c.of)-1]
	*last = append(*last, e)
	c.n++
}

// take gives every entry in order, nil after the last, and lets go of what it gave.
func (c *chunks) take() func() *entry {
	i := 0
	return func() *entry {
		for len(c.of) > 0 && i == len(c.of[0]) {
			c.of[0] = nil
			c.of, i = c.of[1:], 0
		}
		if len(c.of) == 0 {
			return nil
		}
		i++
		return &c.of[0][i-1]
	}
}

// NewBuilder makes one.
func NewBuilder(deployment string, key Key) *Builder {
	return &Builder{s: &Snapshot{Deployment: deployment, key: key, shared: newInterner()}, sorted: true}
}

// Profile gives a profile its index, for Add.
func (b *Builder) Profile(raw []byte) (uint32, error) { return b.s.shared.take(raw) }

// Add adds an account with a profile of this builder.
func (b *Builder) Add(h Hash, d DecisionID, profile uint32) error {
	if profile >= b.s.shared.known.n {
		return muster.Errorf(muster.CodeMalformed, "an account names a profile that is not there")
	}
	if b.entries.n > 0 && bytes.Compare(b.last[:], h[:]) >= 0 {
		b.sorted = false
	}
	b.last = h
	b.entries.add(entry{h, d, profile})
	return nil
}

// Snapshot ends the building.
func (b *Builder) Snapshot(epoch, seq uint64) *Snapshot {
	s := b.s
	s.Epoch, s.Seq, s.known = epoch, seq, s.shared.seen()
	s.look = max(fewProfiles, 2*s.known.n) // a builder is given what accounts have
	if !b.sorted {
		b.sort()
	}
	next := b.entries.take()
	s.cut(b.entries.n, func() *entry {
		e := next()
		if e != nil {
			s.digest.add(e.digest(s.known.get(e.profile).id), false)
		}
		return e
	})
	return s
}

// sort puts entries in order and drops all but the last of each account.
func (b *Builder) sort() {
	all := slices.Concat(b.entries.of...)
	slices.SortStableFunc(all, func(x, y entry) int { return bytes.Compare(x.hash[:], y.hash[:]) })
	b.entries = chunks{}
	for i := range all {
		if i+1 == len(all) || all[i+1].hash != all[i].hash {
			b.entries.add(all[i])
		}
	}
}

// cut lays n entries out in shards; next gives them in order.
func (s *Snapshot) cut(n int, next func() *entry) {
	s.n = n
	wide := max(pageBits, bits.Len(uint(n/leanest))-1)
	s.shift = uint(64 - wide)
	s.root = make([]*page, 1<<(wide-pageBits))
	var own []entry
	e := next()
	for i := range s.root {
		s.root[i] = new(page)
		for j := range s.root[i] {
			own = own[:0]
			for ; e != nil && s.shardOf(&e.hash) == i<<pageBits|j; e = next() {
				own = append(own, *e)
			}
			if len(own) > 0 {
				s.root[i][j] = slices.Clone(own)
			}
		}
	}
}

func (s *Snapshot) shardOf(h *Hash) int { return int(binary.BigEndian.Uint64(h[:]) >> s.shift) }

// find looks an account up; nil where it is not known.
func (s *Snapshot) find(h *Hash) *entry {
	first := binary.BigEndian.Uint64(h[:])
	at := first >> s.shift
	return s.root[at>>pageBits][at%pageSize].find(h, first<<(64-s.shift))
}

// find looks a hash up; rest are the bits of it that vary within the shard, topmost first.
func (s shard) find(h *Hash, rest uint64) *entry {
	if len(s) == 0 {
		return nil
	}
	guess, _ := bits.Mul64(rest, uint64(len(s)))
	i := int(guess)
	switch c := bytes.Compare(h[:], s[i].hash[:]); {
	case c == 0:
		return &s[i]
	case c > 0:
		for i++; i < len(s); i++ {
			if c := bytes.Compare(h[:], s[i].hash[:]); c <= 0 {
				if c == 0 {
					return &s[i]
				}
				return nil
			}
		}
	default:
		for i--; i >= 0; i-- {
			if c := bytes.Compare(h[:], s[i].hash[:]); c >= 0 {
				if c == 0 {
					return &s[i]
				}
				return nil
			}
		}
	}
	return nil
}

// With is the state after changes, at a later sequence number. s stays as it is.
func (s *Snapshot) With(seq uint64, changes []Change) (*Snapshot, error) {
	edits := make([]edit, len(changes))
	for i, c := range changes {
		edits[i] = edit{entry: entry{hash: c.Hash, decision: c.Decision}, gone: c.Profile == nil}
		if c.Profile == nil {
			continue
		}
		var err error
		if edits[i].profile, err = s.shared.take(c.Profile); err != nil {
			return nil, err
		}
	}
	return s.with(seq, edits), nil
}

type edit struct {
	entry
	gone bool
}

func (s *Snapshot) with(seq uint64, edits []edit) *Snapshot {
	next := *s
	next.Seq, next.known = seq, s.shared.seen()
	if len(edits) == 0 {
		return &next
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	next.root = slices.Clone(s.root)
	copied := -1 // the last page that is ours already
	for i := 0; i < len(edits); {
		at, j := s.shardOf(&edits[i].hash), i
		for j < len(edits) && s.shardOf(&edits[j].hash) == at {
			j++
		}
		p := at >> pageBits
		if p != copied {
			fresh := *next.root[p]
			next.root[p], copied = &fresh, p
		}
		sh := &next.root[p][at%pageSize]
		*sh = next.merge(*sh, edits[i:j])
		i = j
	}
	if next.n > fullest<<(64-s.shift) {
		all := next.copied()
		next.cut(all.n, all.take())
	}
	if next.known.n > next.look {
		next.forget()
	}
	return &next
}

const fewProfiles = 8192

// used says which profiles an account has.
func (s *Snapshot) used() (used []bool, n uint32) {
	used = make([]bool, s.known.n)
	s.each(func(e *entry) {
		if !used[e.profile] {
			used[e.profile] = true
			n++
		}
	})
	return used, n
}

// Unused names profiles that no account has, at most so many.
func (s *Snapshot) Unused(most int) (ids []ProfileID) {
	used, _ := s.used()
	for i, is := range used {
		if !is && len(ids) < most {
			ids = append(ids, s.known.get(uint32(i)).id)
		}
	}
	return ids
}

// forget gives the snapshot an interner without the profiles that nobody has, where
// these are the most. It walks and writes the whole table, and so happens only each
// time the number of profiles has doubled. Verdicts stay where they are.
func (s *Snapshot) forget() {
	used, n := s.used()
	s.look = max(fewProfiles, 2*n)
	if n > s.known.n/2 {
		return
	}
	in := newInterner()
	moved := make([]uint32, s.known.n)
	for i, is := range used {
		if !is {
			continue
		}
		p := s.known.get(uint32(i))
		moved[i] = in.put(*p)
		for _, st := range p.steps {
			if text, err := json.Marshal(st.verdict); err == nil {
				in.verdicts[string(text)] = st.verdict
			}
		}
	}
	all := s.copied()
	next := all.take()
	s.cut(all.n, func() *entry {
		e := next()
		if e != nil {
			e.profile = moved[e.profile]
		}
		return e
	})
	s.shared, s.known = in, in.known
}

// merge is a shard after edits, both sorted; of two edits of one account the last counts.
func (s *Snapshot) merge(old shard, edits []edit) shard {
	out := make(shard, 0, len(old)+len(edits))
	for i := range edits {
		e := &edits[i]
		if i+1 < len(edits) && edits[i+1].hash == e.hash {
			continue
		}
		n := 0
		for n < len(old) && bytes.Compare(old[n].hash[:], e.hash[:]) < 0 {
			n++
		}
		out, old = append(out, old[:n]...), old[n:]
		if len(old) > 0 && old[0].hash == e.hash {
			s.digest.add(old[0].digest(s.known.get(old[0].profile).id), true)
			s.n--
			old = old[1:]
		}
		if !e.gone {
			s.digest.add(e.digest(s.known.get(e.profile).id), false)
			s.n++
			out = append(out, e.entry)
		}
	}
	return slices.Clip(append(out, old...))
}

// copied is every entry, in order.
func (s *Snapshot) copied() (all chunks) {
	s.each(func(e *entry) { all.add(*e) })
	return all
}

// Lookup is what is known of an account by its reference; false where it is not known.
func (s *Snapshot) Lookup(reference string) (muster.Profile, DecisionID, bool) {
	h := s.key.Hash(reference)
	e := s.find(&h)
	if e == nil {
		return muster.Profile{}, DecisionID{}, false
	}
	p := s.known.get(e.profile)
	out := muster.Profile{Steps: make([]muster.ProfileStep, len(p.steps))}
	for i, st := range p.steps {
		out.Steps[i].Verdict = *st.verdict
		if i > 0 {
			out.Steps[i].From = time.UnixMicro(st.from).UTC()
		}
	}
	return out, e.decision, true
}
