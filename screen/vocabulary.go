package screen

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/muster-cip/muster/match"
)

// vocabulary is every word of the lists, and every two or three neighbours joined,
// with what is needed to find those that are spelled or sound like a given one. It
// is shared by an index and its subsets, so that both weigh a word alike.
type vocabulary struct {
	text    []string
	sounds  []span // into arena
	arena   []byte
	weight  []float32 // how much the word tells, in nats: rare words more
	plain   []bool    // a word of a name as it stands; else only joined
	letters []uint32  // which letters are in it
	byText  map[string]int32
	also    map[int32][]int32 // what a word of the lists may be too, or stand for
	hasAlso []bool
	// near is what find found for a plain word, once somebody has asked: the same words
	// are asked again and again. Filled while the index is searched, and never changed.
	near []atomic.Pointer[[]alike]

	deletes buckets // words with up to two letters left out
	keys    buckets // consonants of plain words
	joined  buckets // and of joined ones, for scripts without vowels
}

type span struct {
	at uint32
	n  uint8
}

func (v *vocabulary) soundsOf(w int32) []byte {
	s := v.sounds[w]
	return v.arena[s.at : s.at+uint32(s.n)]
}

// The limits of what is looked for.
const (
	minJoined  = 4    // letters of neighbours joined
	maxJoined  = 32   //
	custom     = 0.95 // names that are one by custom, abbreviations
	minSimilar = 0.56
	manyAlike  = 96 // words of one consonant key that are compared at most
)

// add returns the id of a word, new or not.
func (v *vocabulary) add(text string, plain bool) int32 {
	if w, ok := v.byText[text]; ok {
		v.plain[w] = v.plain[w] || plain
		return w
	}
	w := int32(len(v.text))
	v.byText[text] = w
	v.text = append(v.text, text)
	v.letters = append(v.letters, lettersIn(text))
	v.plain = append(v.plain, plain)
	at := len(v.arena)
	v.arena = match.AppendSounds(v.arena, text)
	v.sounds = append(v.sounds, span{uint32(at), uint8(len(v.arena) - at)})
	return w
}

// lettersIn is a bit for each letter, and one for all digits.
func lettersIn(s string) (set uint32) {
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' {
			set |= 1 << (c - 'a')
		} else {
			set |= 1 << 26
		}
	}
	return set
}

// finish makes the tables. entriesWith is in how many entries a word stands.
func (v *vocabulary) finish(entriesWith []int32, entries int) {
	var del, key, joined []pair
	var buf []byte
	for w, text := range v.text {
		n := slipsLookedFor(len(text), v.plain[w])
		del = appendDeletes(del, text, n, int32(w))
		buf = match.AppendKey(buf[:0], v.soundsOf(int32(w)))
		switch {
		case len(buf) == 0:
		case v.plain[w]:
			key = append(key, pair{hashBytes(buf), int32(w)})
		case len(text) <= 16:
			joined = append(joined, pair{hashBytes(buf), int32(w)})
		}
	}
	v.deletes, v.keys, v.joined = makeBuckets(del), makeBuckets(key), makeBuckets(joined)

	// A word is as common as all its spellings together.
	v.weight = make([]float32, len(v.text))
	v.hasAlso = make([]bool, len(v.text))
	for w := range v.also {
		v.hasAlso[w] = true
	}
	v.near = make([]atomic.Pointer[[]alike], len(v.text))
	n := max(float64(entries), fewEntries)
	for w := range v.text {
		with := float64(entriesWith[w])
		if v.plain[w] {
			ws := v.soundsOf(int32(w))
			buf = match.AppendKey(buf[:0], ws)
			if len(buf) >= 2 {
				for _, o := range v.keys.of(hash(string(buf))) {
					if o.id != int32(w) && match.SoundCost(ws, v.soundsOf(o.id), 70) <= 70 {
						with += float64(entriesWith[o.id])
					}
				}
			}
		}
		with += match.Common(v.text[w]) * n
		v.weight[w] = weightOf(with, n)
	}
}

// fewEntries keeps words of a short list from seeming common.
const fewEntries = 8000

const (
	leastWeight = 1.0
	mostWeight  = 7.5
)

func weightOf(with, entries float64) float32 {
	return float32(min(mostWeight, max(leastWeight, math.Log((entries+1)/(with+0.5)))))
}

// slipsLookedFor is how many slips are found in a word of n letters.
func slipsLookedFor(n int, plain bool) int {
	switch {
	case n <= 2:
		return 0
	case n <= 4 || !plain:
		return 1
	}
	return 2
}

// appendDeletes appends the word with up to n letters left out.
func appendDeletes(dst []pair, text string, n int, w int32) []pair {
	dst = append(dst, pair{hash(text), w})
	if n == 0 || len(text) > match.MaxWord {
		return dst
	}
	var buf [match.MaxWord]byte
	for i := range len(text) {
		if i > 0 && text[i] == text[i-1] {
			continue
		}
		b := append(append(buf[:0], text[:i]...), text[i+1:]...)
		dst = append(dst, pair{hashBytes(b), w})
		if n < 2 {
			continue
		}
		var second [match.MaxWord]byte
		for j := i; j < len(b); j++ {
			if j > i && b[j] == b[j-1] {
				continue
			}
			dst = append(dst, pair{hashBytes(append(append(second[:0], b[:j]...), b[j+1:]...)), w})
		}
	}
	return dst
}

type pair struct {
	hash uint32
	id   int32
}

// buckets find all pairs of a hash.
type buckets struct {
	shift uint
	start []uint32
	pairs []pair
}

func makeBuckets(ps []pair) buckets {
	b := buckets{shift: 32}
	for n := 1; n < len(ps)/4; n *= 2 {
		b.shift--
	}
	b.start = make([]uint32, 1<<(32-b.shift)+1)
	for _, p := range ps {
		b.start[uint64(p.hash)>>b.shift+1]++
	}
	for i := 1; i < len(b.start); i++ {
		b.start[i] += b.start[i-1]
	}
	b.pairs = make([]pair, len(ps))
	at := slices.Clone(b.start)
	for _, p := range ps {
		i := uint64(p.hash) >> b.shift
		b.pairs[at[i]] = p
		at[i]++
	}
	for i := range len(b.start) - 1 {
		run := b.pairs[b.start[i]:b.start[i+1]]
		slices.SortFunc(run, func(x, y pair) int {
			return cmp.Or(cmp.Compare(x.hash, y.hash), cmp.Compare(x.id, y.id))
		})
	}
	return b
}

func (b *buckets) of(h uint32) []pair {
	if len(b.start) == 0 {
		return nil
	}
	i := uint64(h) >> b.shift
	run := b.pairs[b.start[i]:b.start[i+1]]
	from := 0
	for from < len(run) && run[from].hash != h {
		from++
	}
	to := from
	for to < len(run) && run[to].hash == h {
		to++
	}
	return run[from:to]
}

// hash is FNV-1a with a last stir.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return stir(h)
}

func hashBytes(s []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range s {
		h = (h ^ uint32(c)) * 16777619
	}
	return stir(h)
}

func stir(h uint32) uint32 {
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	return h
}

// alike is a word of the lists and how like it is.
type alike struct {
	word int32
	sim  float32
}

// finder looks up words; it is part of the scratch of one search.
type finder struct {
	seen   []uint32 // by word: the turn in which it was seen
	turn   uint32
	found  []alike
	sounds []byte
	key    []byte
	keys   [][]byte
	del    []pair
}

func (f *finder) reset(words int) {
	if len(f.seen) < words {
		f.seen = make([]uint32, words)
		f.turn = 0
	}
}

func (f *finder) next() {
	f.turn++
	if f.turn == 0 {
		clear(f.seen)
		f.turn = 1
	}
	f.found = f.found[:0]
}

// find collects into f.found the words that are like text. joined texts meet plain
// words only, and only closely.
func (v *vocabulary) find(f *finder, text string, most float32, joined, plainOnly bool) {
	set := lettersIn(text)
	try := func(w int32, slips int) {
		if f.seen[w] == f.turn {
			return
		}
		if slips >= 0 && bits.OnesCount32(set^v.letters[w]) > 2*slips {
			return // more letters differ than slips can make
		}
		f.seen[w] = f.turn
		if joined && !v.plain[w] {
			return
		}
		if slips >= 0 && match.Slips(text, v.text[w], slips) > slips {
			f.seen[w] = f.turn - 1
			return
		}
		s := match.Similarity(text, v.text[w], f.sounds, v.soundsOf(w))
		s = min(s, most)
		if !v.plain[w] && s < 0.8 {
			return
		}
		if s >= minSimilar {
			f.found = append(f.found, alike{w, s})
		}
	}
	f.sounds = match.AppendSounds(f.sounds[:0], text)
	if w, ok := v.byText[text]; ok {
		try(w, -1)
	}
	slips := slipsLookedFor(len(text), !joined)
	if slips > 0 && len(text) <= match.MaxWord {
		f.del = appendDeletes(f.del[:0], text, slips, 0)
		for _, d := range f.del {
			for _, p := range v.deletes.of(d.hash) {
				try(p.id, slips)
			}
		}
	}
	if !plainOnly {
		f.key = match.AppendKey(f.key[:0], f.sounds)
		if len(f.key) >= 2 {
			for i, p := range v.keys.of(hashBytes(f.key)) {
				if i >= manyAlike*4 {
					break
				}
				try(p.id, -1)
			}
		}
	}
}

// findSound collects the words that may be spellings of letters without vowels.
func (v *vocabulary) findSound(f *finder, sound []match.Letter, joined bool) {
	f.keys = match.AppendSoundKeys(f.keys[:0], sound)
	for _, k := range f.keys {
		h := hashBytes(k)
		ps := v.keys.of(h)
		v.tryAll(f, sound, ps)
		if !joined {
			v.tryAll(f, sound, v.joined.of(h))
		}
	}
}

func (v *vocabulary) tryAll(f *finder, sound []match.Letter, ps []pair) {
	for i, p := range ps {
		if i >= manyAlike*4 {
			return
		}
		if f.seen[p.id] == f.turn {
			continue
		}
		f.seen[p.id] = f.turn
		if s := match.SoundSimilarity(sound, v.text[p.id]); s >= minSimilar {
			f.found = append(f.found, alike{p.id, s})
		}
	}
}
