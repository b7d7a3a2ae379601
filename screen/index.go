package screen

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/match"
)

// Index is compiled list entries: immutable, and safe for concurrent use.
type Index struct {
	words   *vocabulary
	entries []muster.ListEntry
	at      map[Key]int32
	names   []name
	tokens  []token
	start   []uint32 // by word: where its postings begin
	posts   []posting
	idents  map[string][]ident
	ranges  []ipRange
	scratch *sync.Pool
	reads   reading
}

// reading is what a degraded build leaves out, so that the bench can show what it is worth.
type reading struct {
	noSounds bool // neither by consonants nor from other scripts
}

// name is one name of one entry.
type name struct {
	entry  int32
	index  uint16 // into the entry's names
	n      uint8  // tokens
	weak   bool
	org    bool // a firm, a ship: not a person
	tokens uint32
	weight float32 // of all tokens
}

// token is one word of a name.
type token struct {
	word   int32
	weight float32     // by how common it is, its class and the kind of its entry
	missed float32     // the share of its weight that counts where the query lacks it
	class  match.Class //
	first  byte        // its first letter
	role   tokenRole   //
}

type tokenRole uint8

const (
	roleAny tokenRole = iota
	roleGiven
	roleMiddle
	roleFamily
	roleSecondFamily
)

// posting says that a word, or joined neighbours, stand in a name.
type posting struct {
	name uint32
	at   uint8
	n    uint8
}

// What stands in an index at most: more are not lists.
const (
	maxEntries = 4 << 20
	maxNames   = 400 // of one entry
)

// Build compiles entries. The index keeps them: they must not be changed afterwards.
func Build(entries []muster.ListEntry) (*Index, error) {
	return build(entries, reading{})
}

// BuildDegraded is Build without phonetics and other scripts: what they are worth is
// the difference. It is for the bench.
func BuildDegraded(entries []muster.ListEntry) (*Index, error) {
	return build(entries, reading{noSounds: true})
}

func build(entries []muster.ListEntry, reads reading) (*Index, error) {
	if len(entries) > maxEntries {
		return nil, errors.New("screen: too many list entries for one index")
	}
	x := &Index{words: &vocabulary{byText: map[string]int32{}, also: map[int32][]int32{}}, reads: reads}
	type draft struct {
		name
		words []match.Word
		comma int // where the family name begins; -1 where that is not known
	}
	var (
		drafts []draft
		with   []int32 // by word: in how many entries it stands
		last   []int32 // by word: the last entry counted
		all    []match.Word
	)
	count := func(w int32, entry int) {
		for int(w) >= len(with) {
			with = append(with, 0)
			last = append(last, -1)
		}
		if last[w] != int32(entry) {
			last[w] = int32(entry)
			with[w]++
		}
	}
	for i := range entries {
		e := &entries[i]
		for j := range e.Names {
			if j >= maxNames {
				break
			}
			n := &e.Names[j]
			from := len(all)
			comma := -1
			if n.Given != "" && n.Family != "" {
				all = match.Words(all, n.Given)
				comma = len(all) - from
				all = match.Words(all, n.Family)
				if comma+1 == len(all)-from { // a family may be called Sheikh
					match.Surname(all[from:])
				}
			} else {
				all = match.Words(all, n.Full)
			}
			words := slices.Clip(all[from:])
			if len(words) > match.MaxWords {
				words = words[:match.MaxWords]
			}
			if len(words) == 0 {
				continue
			}
			org := e.Kind == muster.ListedEntity || e.Kind == muster.ListedVessel || e.Kind == muster.ListedAircraft
			if e.Kind == "" && comma < 0 {
				org = slices.ContainsFunc(words, func(w match.Word) bool { return w.Class == match.Legal })
			}
			drafts = append(drafts, draft{name{entry: int32(i), index: uint16(j), n: uint8(len(words)), weak: n.Quality == muster.NameWeak, org: org}, words, comma})
			for _, w := range words {
				id := x.words.add(w.Text, true)
				count(id, i)
				for _, a := range w.Also { // what it may stand for
					other := x.words.add(a, true)
					count(other, i)
					if !slices.Contains(x.words.also[id], other) {
						x.words.also[id] = append(x.words.also[id], other)
					}
				}
			}
		}
	}
	type joined struct {
		word int32
		posting
	}
	var joins []joined
	var b strings.Builder
	join := func(name int, at, n int, words ...match.Word) {
		b.Reset()
		for _, w := range words {
			b.WriteString(surface(w))
		}
		if b.Len() < minJoined || b.Len() > maxJoined {
			return
		}
		w := x.words.add(b.String(), false)
		for int(w) >= len(with) {
			with = append(with, 0)
			last = append(last, -1)
		}
		joins = append(joins, joined{w, posting{uint32(name), uint8(at), uint8(n)}})
	}
	for i := range drafts {
		ws := drafts[i].words
		for k, w := range ws {
			for _, a := range w.Also {
				joins = append(joins, joined{x.words.byText[a], posting{uint32(i), uint8(k), 1}})
			}
		}
		for k := 0; k+1 < len(ws); k++ {
			join(i, k, 2, ws[k], ws[k+1])
			if k+2 < len(ws) && len(surface(ws[k]))+len(surface(ws[k+1]))+len(surface(ws[k+2])) <= 14 {
				join(i, k, 3, ws[k], ws[k+1], ws[k+2])
			}
		}
	}
	x.words.finish(with, len(entries))
	for i := range drafts {
		d := &drafts[i]
		d.tokens = uint32(len(x.tokens))
		for k, w := range d.words {
			t := token{word: x.words.byText[w.Text], class: classIn(w, d.org), first: w.Text[0]}
			t.role, t.missed = place(k, len(d.words), d.comma, d.org)
			t.weight = classWeight(t.class, x.words.weight[t.word])
			x.tokens = append(x.tokens, t)
			d.weight += t.weight
		}
		x.names = append(x.names, d.name)
	}
	flat := make([]joined, 0, len(x.tokens)+len(joins))
	for i := range x.names {
		n := &x.names[i]
		for k := range int(n.n) {
			flat = append(flat, joined{x.tokens[int(n.tokens)+k].word, posting{uint32(i), uint8(k), 1}})
		}
	}
	flat = append(flat, joins...)
	x.start = make([]uint32, len(x.words.text)+1)
	for _, p := range flat {
		x.start[p.word+1]++
	}
	for i := 1; i < len(x.start); i++ {
		x.start[i] += x.start[i-1]
	}
	x.posts = make([]posting, len(flat))
	at := slices.Clone(x.start)
	for _, p := range flat {
		x.posts[at[p.word]] = p.posting
		at[p.word]++
	}
	x.take(entries)
	return x, nil
}

// take fills what is not about names.
func (x *Index) take(entries []muster.ListEntry) {
	x.entries = entries
	x.at = make(map[Key]int32, len(entries))
	for i := range entries {
		x.at[KeyOf(&entries[i])] = int32(i)
	}
	x.indexIdentifiers()
	x.scratch = &sync.Pool{New: func() any { return new(scratch) }}
}

// surface is a word as it stood.
func surface(w match.Word) string {
	if w.Raw != "" {
		return w.Raw
	}
	return w.Text
}

// classIn is the class of a word in a name of a firm, or of a person.
func classIn(w match.Word, org bool) match.Class {
	if w.Organisational && !org {
		return w.Person
	}
	return w.Class
}

// classWeight is what a word of a class weighs.
func classWeight(c match.Class, w float32) float32 {
	switch c {
	case match.Initial:
		return min(w, 1.2)
	case match.Particle:
		return min(w, 1) * 0.35
	case match.Title:
		return min(w, 1.5) * 0.3
	case match.Legal:
		return 0.2
	case match.Generic:
		return min(w*0.5, 1.6)
	case match.Plain, match.Number:
	}
	return w
}

// place is the role of a word in a name, and how much of its weight counts where the
// query has nothing for it.
func place(k, n, comma int, org bool) (tokenRole, float32) {
	switch {
	case org || n == 1:
		return roleAny, 1
	case comma < 0 && n == 2:
		return roleAny, 1
	case comma < 0 && k == 0:
		return roleGiven, 0.9
	case comma < 0 && k == n-1:
		return roleFamily, 1
	case comma < 0:
		return roleMiddle, 0.35
	case k == 0:
		return roleGiven, 0.9
	case k < comma:
		return roleMiddle, 0.3
	case k == comma:
		return roleFamily, 1
	}
	return roleSecondFamily, 0.6
}

// Len is how many entries are in the index.
func (x *Index) Len() int { return len(x.entries) }

// Entry is one entry, nil where it is not in the index. It must not be changed.
func (x *Index) Entry(list, id string) *muster.ListEntry {
	i, ok := x.at[Key{list, id}]
	if !ok {
		return nil
	}
	return &x.entries[i]
}

// Subset is an index of those entries that keep names. It scores as x does, because
// it weighs words by x: a sweep of what changed finds what a search of all would.
func (x *Index) Subset(keep func(*muster.ListEntry) bool) *Index {
	s := &Index{words: x.words, reads: x.reads}
	var entries []muster.ListEntry
	to := make([]int32, len(x.entries))
	for i := range x.entries {
		to[i] = -1
		if keep(&x.entries[i]) {
			to[i] = int32(len(entries))
			entries = append(entries, x.entries[i])
		}
	}
	names := make([]int32, len(x.names))
	for i, n := range x.names {
		names[i] = -1
		if to[n.entry] >= 0 {
			names[i] = int32(len(s.names))
			ts := x.tokens[n.tokens : n.tokens+uint32(n.n)]
			n.entry, n.tokens = to[n.entry], uint32(len(s.tokens))
			s.tokens = append(s.tokens, ts...)
			s.names = append(s.names, n)
		}
	}
	s.start = make([]uint32, len(x.start))
	for w := range len(x.start) - 1 {
		for _, p := range x.posts[x.start[w]:x.start[w+1]] {
			if names[p.name] >= 0 {
				p.name = uint32(names[p.name])
				s.posts = append(s.posts, p)
			}
		}
		s.start[w+1] = uint32(len(s.posts))
	}
	s.take(entries)
	return s
}
