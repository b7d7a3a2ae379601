package screen

import (
	"cmp"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/match"
)

// lowest is the floor of any search: what scores less says nothing.
const lowest = 0.05

// The bounds of one search.
const (
	maxSpellings = 12 // names of one query
	defaultLimit = 10
	mostLimit    = 100
)

// word is one word of the query.
type word struct {
	match.Word
	base     float32 // what it would weigh if it were of no class
	org, per float32 // what it weighs against a firm, and against a person
	found    []alike // of the lists
	known    bool    // it is a word of the lists as it stands
	formal   bool    // in a firm's name it is as good as a legal form: one mistyped, or too short to tell
	unknown  bool    // no word of the lists is it, or nearly it
}

// unit is a word of the query, or two or three joined, and what is like it.
type unit struct {
	at, n  uint8
	weight float32
	found  []alike
	loose  bool // what it is like counts in full: it is nobody's name as it stands
}

// record says that a unit meets words of a name.
type record struct {
	next int32
	sim  float32
	unit uint8
	at   uint8
	n    uint8
}

// board is what is known of one name during one search.
type board struct {
	turn  uint32
	head  int32
	bound float32 // how much weight of the query it can have matched
	unit  int16   // whose gain was added last
	gain  float32
}

// scratch is the memory of one search, used again by the next.
type scratch struct {
	finder
	raw     []match.Word
	words   []word
	units   []unit
	arena   []alike
	boards  []board
	turn    uint32
	touched []uint32
	records []record
	simOf   []float32 // by word, where simTurn is the turn of a unit
	simTurn []uint32
	simNow  uint32
	best    []scored
	bestOf  map[int32]int
	joinBuf []byte
	align   aligner
	bounds  []boundOf
}

type boundOf struct {
	name  uint32
	bound float32
}

// scored is the best name of one entry.
type scored struct {
	entry int32
	name  uint32
	score float32
}

// Search finds the entries that the query comes close to, best first. It is safe for
// concurrent use and takes bounded time whatever the query holds.
func (x *Index) Search(q *muster.ScreeningQuery, o Options) []muster.Candidate {
	limit := o.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, mostLimit)
	w := DefaultWeights()
	if o.Weights != nil {
		w = *o.Weights
	}
	s := x.scratch.Get().(*scratch)
	defer x.scratch.Put(s)
	s.best = s.best[:0]
	if s.bestOf == nil {
		s.bestOf = map[int32]int{}
	}
	clear(s.bestOf)
	// Other fields can lift a name over the floor, and so can rounding.
	floor := max(lowest, float32(o.Floor-w.most(q)-0.5/roundTo))
	for i, n := range q.Names {
		if i >= maxSpellings {
			break
		}
		x.searchName(s, n, floor, limit)
	}
	out := make([]muster.Candidate, 0, min(limit, len(s.best)+2))
	exact := x.lookUp(q)
	for _, b := range s.best {
		c := x.candidate(q, &w, b, exact)
		if c.Score >= max(o.Floor, lowest) {
			out = append(out, c)
		}
	}
	for _, f := range exact {
		if _, named := s.bestOf[f.entry]; !named {
			out = append(out, x.candidate(q, &w, scored{entry: f.entry}, exact))
		}
	}
	slices.SortFunc(out, func(a, b muster.Candidate) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.Name, a.Name), strings.Compare(a.List, b.List), strings.Compare(a.Entry, b.Entry))
	})
	if len(out) > limit {
		out = out[:limit]
	}
	return out
}

// searchName searches one spelling and keeps the best name of each entry.
func (x *Index) searchName(s *scratch, text string, floor float32, limit int) {
	if !x.prepare(s, text) {
		return
	}
	x.gather(s, floor)
	x.rank(s, floor, limit)
}

// prepare reads the query into words and units and looks them up in the vocabulary.
func (x *Index) prepare(s *scratch, text string) bool {
	v := x.words
	s.reset(len(v.text))
	s.raw = match.Words(s.raw[:0], text)
	s.words, s.units, s.arena = s.words[:0], s.units[:0], s.arena[:0]
	for _, m := range s.raw {
		s.words = append(s.words, x.look(s, m))
	}
	if len(s.words) == 0 {
		return false
	}
	for i := range s.words {
		w := &s.words[i]
		s.units = append(s.units, unit{at: uint8(i), n: 1, weight: max(w.org, w.per), found: w.found, loose: !w.known})
	}
	for n := 2; n <= 3; n++ {
		for i := 0; i+n <= len(s.words); i++ {
			x.joined(s, i, n)
		}
	}
	// LogarcheoS.A.S.: letters that belong to the word before them.
	for i := range s.words {
		n := 1
		for i+n < len(s.words) && n < 6 && len(s.words[i+n].Text) == 1 {
			n++
		}
		if n > 3 {
			x.joined(s, i, n)
		}
	}
	return true
}

// look looks one word of the query up.
func (x *Index) look(s *scratch, m match.Word) word {
	v := x.words
	w := word{Word: m}
	id, listed := v.byText[m.Text]
	listed = listed && v.plain[id]
	// What is like a word depends on the word alone, unless it is read from another script.
	again := listed && !m.Native && m.Sound == nil && m.Class != match.Initial
	if again {
		if near := v.near[id].Load(); near != nil {
			w.found = *near
			x.weighWord(&w, id, listed)
			return w
		}
	}
	s.next()
	if m.Class != match.Initial && (m.Sound == nil || !x.reads.noSounds) {
		v.find(&s.finder, m.Text, 1, false, x.reads.noSounds)
		if !x.reads.noSounds {
			most := float32(custom)
			if m.Native || m.Short {
				most = 1 // a reading, or what an abbreviation stands for
			}
			for _, a := range m.Also {
				v.find(&s.finder, a, most, false, false)
			}
			if m.Sound != nil {
				v.findSound(&s.finder, m.Sound, false)
			}
		}
	} else if id, ok := v.byText[m.Text]; ok { // an initial meets itself
		s.found = append(s.found, alike{id, 1})
	}
	w.found = s.keep(s.found)
	if again {
		near := slices.Clone(w.found)
		v.near[id].Store(&near)
	}
	x.weighWord(&w, id, listed)
	return w
}

// weighWord says what a word of the query weighs, once what is like it was found.
func (x *Index) weighWord(w *word, id int32, listed bool) {
	v, m := x.words, &w.Word
	w.base = mostWeight
	w.unknown = true
	for _, a := range w.found {
		if a.sim >= 0.88 && v.plain[a.word] {
			w.base = min(w.base, v.weight[a.word])
			w.unknown = false
		}
	}
	org := w.base
	class := classIn(*m, true)
	per := w.base
	if listed || m.Class == match.Number { // a number is never another one mistyped
		w.known = true
	} else if share := match.Common(m.Text); share > 0 {
		w.known = true
		w.base = min(w.base, weightOf(share*fewEntries, fewEntries))
		org, per = min(org, w.base), min(per, w.base)
	}
	if w.unknown && len(m.Text) <= 3 { // too short to tell much: as often as not a legal form, or a particle, mistyped
		org = min(org, float32(len(m.Text))*natsShort)
		w.formal = true
		if len(m.Text) <= 2 {
			per = min(per, float32(len(m.Text))*natsShort)
		}
	}
	if !w.known && class == match.Plain && match.NearLegal(m.Text) {
		class = match.Legal
		w.formal = true
	}
	w.org = classWeight(class, org)
	w.per = classWeight(classIn(*m, false), per)
}

// keep copies what was found into the arena of this search.
func (s *scratch) keep(found []alike) []alike {
	from := len(s.arena)
	s.arena = append(s.arena, found...)
	return s.arena[from:len(s.arena):len(s.arena)]
}

// joined looks up neighbours as one word.
func (x *Index) joined(s *scratch, at, n int) {
	b := s.joinBuf[:0]
	var weight float32
	exact, sound := false, false
	for _, w := range s.words[at : at+n] {
		b = append(b, surface(w.Word)...)
		weight += max(w.org, w.per)
		exact = exact || w.Class == match.Initial
		sound = sound || w.Sound != nil
	}
	s.joinBuf = b
	if sound && !x.reads.noSounds {
		x.joinedSound(s, at, n, weight)
		return
	}
	if len(b) < minJoined || len(b) > maxJoined || n == 3 && len(b) > 20 {
		return
	}
	s.next()
	x.words.find(&s.finder, string(b), 1, true, true)
	if s.words[at].Native && !x.reads.noSounds {
		x.readings(s, at, n)
	}
	if exact { // a letter beside a word is not a slip in it
		s.found = slices.DeleteFunc(s.found, func(a alike) bool { return a.sim < 0.99 })
	}
	if len(s.found) > 0 {
		s.units = append(s.units, unit{uint8(at), uint8(n), weight, s.keep(s.found), true})
	}
}

// readings looks up neighbours of another script as one word, in each way that they
// may be read. Each way is taken whole: a reading of one system does not stand beside
// one of another.
func (x *Index) readings(s *scratch, at, n int) {
	for k := range maxReadings {
		b, other := s.joinBuf[:0], false
		for _, w := range s.words[at : at+n] {
			text := w.Text
			if k < len(w.Also) {
				text, other = w.Also[k], true
			} else if len(w.Also) > 0 {
				text = w.Also[len(w.Also)-1]
			}
			b = append(b, text...)
		}
		s.joinBuf = b
		if !other || len(b) > maxJoined {
			return
		}
		x.words.find(&s.finder, string(b), 1, true, true)
	}
}

const maxReadings = 3

// joinedSound looks up neighbours of a script without vowels as one word.
func (x *Index) joinedSound(s *scratch, at, n int, weight float32) {
	var sound []match.Letter
	for _, w := range s.words[at : at+n] {
		if w.Sound != nil {
			sound = append(sound, w.Sound...)
			continue
		}
		for i := range len(w.Text) {
			sound = append(sound, match.Letter{w.Text[i : i+1]})
		}
	}
	s.next()
	x.words.findSound(&s.finder, sound, true)
	if len(s.found) > 0 {
		s.units = append(s.units, unit{uint8(at), uint8(n), weight, s.keep(s.found), true})
	}
}

// gain is what a similarity is worth when pairs compete: near 1 it is taken as it is,
// lower it says little.
func gain(sim float32) float32 {
	switch {
	case sim >= 0.85:
		return sim
	case sim >= minSimilar:
		return max(0.05, 0.85-(0.85-sim)*2.5)
	}
	return 0
}

// gather finds names by the units, rare words first. A name that could not come to
// the floor any more is not taken up.
func (x *Index) gather(s *scratch, floor float32) {
	if len(s.boards) < len(x.names) {
		s.boards = make([]board, len(x.names))
		s.turn = 0
	}
	s.turn++
	if s.turn == 0 {
		clear(s.boards)
		s.turn = 1
	}
	s.touched, s.records = s.touched[:0], s.records[:0]
	slices.SortStableFunc(s.units, func(a, b unit) int { return cmp.Compare(b.weight, a.weight) })
	total, initials, letters := s.least()
	odds := oddsOf(floor)
	left := letters
	for _, u := range s.units {
		left += u.weight
	}
	for k := range s.units {
		u := &s.units[k]
		taken := bound(total, left, initials, true) >= odds
		left -= u.weight
		if !taken && len(s.touched) == 0 {
			break
		}
		walked := 1 << 30 // postings of a word that are walked at most
		if !taken && x.postingsOf(u) > 8*len(s.touched) {
			walked = fewPostings
			x.scan(s, k)
		}
		for _, a := range u.found {
			if int(x.start[a.word+1]-x.start[a.word]) > walked {
				continue
			}
			for _, p := range x.posts[x.start[a.word]:x.start[a.word+1]] {
				b := &s.boards[p.name]
				if b.turn != s.turn {
					if !taken {
						continue
					}
					*b = board{turn: s.turn, head: -1, unit: -1}
					s.touched = append(s.touched, p.name)
				}
				s.record(b, k, u, a.sim, p.at, p.n)
			}
		}
	}
}

// least is the least that the query weighs against anybody, how many of its words are
// initials, and what they weigh.
func (s *scratch) least() (total, initials, letters float32) {
	mistyped := float32(0)
	for i := range s.words {
		w := &s.words[i]
		total += min(w.org, w.per)
		if i > 0 && len(s.words) > 2 && patronymic(w.Text) { // it may be more than the list knows
			letters += (1 - addedFather) * w.per
		}
		if w.mistyped() { // one may yet be a slip (leftOver)
			mistyped = max(mistyped, w.org, w.per)
		}
		if classIn(w.Word, false) == match.Initial {
			initials++
			letters += w.per
		}
	}
	return total, initials, letters + mistyped
}

// weigh is what a word weighs against a firm, or against a person.
func (w *word) weigh(org bool) float32 {
	if org {
		return w.org
	}
	return w.per
}

func (s *scratch) record(b *board, k int, u *unit, sim float32, at, n uint8) {
	s.records = append(s.records, record{b.head, sim, uint8(k), at, n})
	b.head = int32(len(s.records) - 1)
	g := u.weight
	if !u.loose {
		g *= gain(sim)
	}
	if b.unit == int16(k) {
		if g <= b.gain {
			return
		}
		b.bound -= b.gain
	}
	b.unit, b.gain = int16(k), g
	b.bound += g
}

func (x *Index) postingsOf(u *unit) int {
	n := 0
	for _, a := range u.found {
		n += int(x.start[a.word+1] - x.start[a.word])
	}
	return n
}

// fewPostings are quicker walked than looked for in names.
const fewPostings = 16

// scan looks for the words of a unit in the names that are taken up already: cheaper
// than to walk all names with a common word.
func (x *Index) scan(s *scratch, k int) {
	u := &s.units[k]
	if len(s.simTurn) < len(x.words.text) {
		s.simTurn = make([]uint32, len(x.words.text))
		s.simOf = make([]float32, len(x.words.text))
		s.simNow = 0
	}
	s.simNow++
	if s.simNow == 0 {
		clear(s.simTurn)
		s.simNow = 1
	}
	for _, a := range u.found {
		if int(x.start[a.word+1]-x.start[a.word]) <= fewPostings {
			continue
		}
		if s.simTurn[a.word] != s.simNow || s.simOf[a.word] < a.sim {
			s.simTurn[a.word], s.simOf[a.word] = s.simNow, a.sim
		}
	}
	for _, n := range s.touched {
		nm := &x.names[n]
		b := &s.boards[n]
		for i := range int(nm.n) {
			w := x.tokens[int(nm.tokens)+i].word
			sim := float32(0)
			if s.simTurn[w] == s.simNow {
				sim = s.simOf[w]
			}
			if x.words.hasAlso[w] {
				for _, a := range x.words.also[w] {
					if s.simTurn[a] == s.simNow {
						sim = max(sim, s.simOf[a])
					}
				}
			}
			if sim > 0 {
				s.record(b, k, u, sim, uint8(i), 1)
			}
		}
	}
}

// rank scores the names that were taken up, most promising first, and stops where
// none of the rest can come among the best.
func (x *Index) rank(s *scratch, floor float32, limit int) {
	total, initials, letters := s.least()
	odds := oddsOf(floor)
	s.bounds = s.bounds[:0]
	for _, n := range s.touched {
		if b := bound(total, s.boards[n].bound+letters, initials, x.names[n].org); b >= odds {
			s.bounds = append(s.bounds, boundOf{n, b})
		}
	}
	slices.SortFunc(s.bounds, func(a, b boundOf) int {
		return cmp.Or(cmp.Compare(b.bound, a.bound), cmp.Compare(a.name, b.name))
	})
	least, most := odds, mostScored
	if floor < lowFloor {
		most = moreScored
	}
	for i, c := range s.bounds {
		if c.bound < least || i >= most {
			break
		}
		score := x.score(s, c.name, nil)
		if score < floor {
			continue
		}
		n := &x.names[c.name]
		if at, ok := s.bestOf[n.entry]; ok {
			if b := &s.best[at]; x.better(c.name, score, b.name, b.score) {
				b.score, b.name = score, c.name
			}
			continue
		}
		s.bestOf[n.entry] = len(s.best)
		s.best = append(s.best, scored{n.entry, c.name, score})
		if len(s.best)%limit == 0 {
			least = max(least, oddsOf(s.nth(limit)-keptBelow))
		}
	}
}

// better reports whether a name, with its score, says more for its entry than another of
// its names. Of two that say the same it is the one that its publisher does not call weak,
// then the first.
func (x *Index) better(a uint32, score float32, b uint32, than float32) bool {
	if wa, wb := x.names[a].weak, x.names[b].weak; wa != wb {
		if wa {
			score *= weaker
		} else {
			than *= weaker
		}
	}
	return score > than || score == than && a < b
}

const (
	weaker     = 0.98
	mostScored = 400  // the most promising
	moreScored = 2000 // for who asks for all that comes close: a file, not somebody who waits
	lowFloor   = 0.3
	keptBelow  = 0.15 // other fields can bring an entry up by this much
)

// nth is the score of the n-th best.
func (s *scratch) nth(n int) float32 {
	var top [mostLimit]float32
	k := 0
	for _, b := range s.best {
		i := k
		for i > 0 && top[i-1] < b.score {
			if i < n {
				top[i] = top[i-1]
			}
			i--
		}
		if i < n {
			top[i] = b.score
			k = min(k+1, n)
		}
	}
	if k < n {
		return 0
	}
	return top[n-1]
}
