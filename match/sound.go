package match

// How a word sounds, roughly, and how far two words are from each other.
//
// A word is read into sounds: one byte each, digraphs as one, doubled letters once.
// Sounds that romanisation systems and usage exchange cost little to exchange; a
// slip of the finger costs one. The costs are in hundredths of a slip.

// The sounds that have no letter of their own.
const (
	soundSH = 'S'
	soundCH = 'C'
	soundZH = 'Z'
	soundJ  = 'J' // dj, dzh
	soundKH = 'X'
	soundGH = 'G'
	soundTH = 'T'
	soundDH = 'D'
	soundTS = 'Q'
	soundEI = 'E' // ei, ai, ay, ey
	soundOU = 'O' // ou, oo
	soundAU = 'A' // au, aw
)

// AppendSounds appends the sounds of a word of [a-z0-9].
func AppendSounds(dst []byte, s string) []byte {
	start := len(dst)
	put := func(b byte) {
		if n := len(dst); n > start && dst[n-1] == b && (b < '0' || b > '9') {
			return
		}
		dst = append(dst, b)
	}
	for i := 0; i < len(s); {
		at := func(k int) byte {
			if i+k < len(s) {
				return s[i+k]
			}
			return 0
		}
		c, d, e := s[i], at(1), at(2)
		n := 2
		switch {
		case c == 's' && d == 'h' && e == 'c' && at(3) == 'h':
			put(soundSH)
			n = 4
		case c == 's' && d == 'c' && e == 'h':
			put(soundSH)
			n = 3
		case c == 't' && d == 's' && e == 'c' && at(3) == 'h':
			put(soundCH)
			n = 4
		case c == 't' && d == 'c' && e == 'h':
			put(soundCH)
			n = 3
		case c == 'd' && d == 'z' && e == 'h':
			put(soundJ)
			n = 3
		case c == 'd' && d == 'j':
			put(soundJ)
		case c == 's' && d == 'h':
			put(soundSH)
		case c == 'c' && d == 'h':
			put(soundCH)
		case c == 'z' && d == 'h':
			put(soundZH)
		case c == 'k' && d == 'h':
			put(soundKH)
		case c == 'g' && d == 'h':
			put(soundGH)
		case c == 't' && d == 'h':
			put(soundTH)
		case c == 'd' && d == 'h':
			put(soundDH)
		case c == 'p' && d == 'h':
			put('f')
		case c == 'c' && d == 'k':
			put('k')
		case c == 't' && (d == 's' || d == 'z'):
			put(soundTS)
		case (c == 'e' || c == 'a') && (d == 'i' || d == 'y') && !vowel(e):
			put(soundEI)
		case c == 'o' && (d == 'u' || d == 'o'):
			put(soundOU)
		case c == 'a' && (d == 'u' || d == 'w' && !vowel(e)):
			put(soundAU)
		case (c == 'i' || c == 'e') && d == 'e' && e == 0, c == 'e' && d == 'e':
			put('i')
		case c == 'i' && (d == 'y' || d == 'j') && !vowel(e), c == 'y' && d == 'i', c == 'i' && d == 'i', c == 'y' && d == 'y' && !vowel(e):
			put('i')
		case c == 'q' && d == 'u':
			put('k')
			n = 1
			if e == 'e' || e == 'i' {
				n = 2
			}
		case c == 'x':
			put('k')
			put('s')
			n = 1
		case c == 'y' && !vowel(d):
			put('i')
			n = 1
		default:
			put(c)
			n = 1
		}
		i += n
	}
	return dst
}

func vowel(c byte) bool {
	switch c {
	case 'a', 'e', 'i', 'o', 'u', soundEI, soundOU, soundAU:
		return true
	}
	return false
}

const slip = 100

// exchange is what it costs to have one sound for another, drop what it costs to
// have it or not.
var (
	exchange = makeExchange()
	drop     = makeDrop()
)

func makeExchange() *[128][128]uint8 {
	var t [128][128]uint8
	for i := range t {
		for j := range t[i] {
			if i != j {
				t[i][j] = slip
			}
		}
	}
	set := func(cost uint8, pairs ...string) {
		for _, p := range pairs {
			t[p[0]][p[1]] = cost
			t[p[1]][p[0]] = cost
		}
	}
	for _, a := range "aeiouEOA" {
		for _, b := range "aeiouEOA" {
			if a != b {
				t[a][b] = 45
			}
		}
	}
	set(10, "Oo", "Ou", "Ei", "Ee", "JZ", "Jj", "vw", "Dd", "Tt", "kq", "ZC")
	set(15, "ou", "ei", "iy", "jy", "AO", "Ea", "Gg", "Xh", "XK", "kc")
	set(20, "ae", "Aa", "Ao", "sz", "Xk", "Zj", "Dz", "cs", "wu", "wO", "Gq", "Ei", "yE", "Qc", "Qs")
	set(30, "ao", "zZ", "Ts", "Xq", "Qz", "jg", "jZ", "vf", "Jg", "Jz", "cQ", "bp", "ye", "vu", "wo", "yi")
	set(35, "qg", "CJ", "Cj", "TD", "kg", "GX", "cC", "Zz", "ij", "rG")
	set(50, "SC", "Ss", "dt", "bv", "fw", "Sj", "SZ", "XC", "Cc", "kC")
	set(60, "hG", "mn", "lr", "fp", "jh")
	return &t
}

func makeDrop() *[128]uint8 {
	var t [128]uint8
	for i := range t {
		t[i] = slip
	}
	for _, c := range "aeiouEOA" {
		t[c] = 45
	}
	t['h'], t['y'], t['w'], t['e'], t['j'] = 25, 35, 45, 35, 60
	return &t
}

// SoundCost is how far two words are by their sounds, in hundredths of a slip; more
// than most, where it is more than most.
func SoundCost(a, b []byte, most int) int {
	if len(a) > MaxWord || len(b) > MaxWord {
		return most + 1
	}
	if d := len(a) - len(b); d*25 > most || -d*25 > most {
		return most + 1
	}
	var rows [2][MaxWord + 1]int32
	prev, cur := &rows[0], &rows[1]
	for j, c := range b {
		prev[j+1] = prev[j] + int32(drop[c&127])
	}
	for _, c := range a {
		c &= 127
		dc := int32(drop[c])
		cur[0] = prev[0] + dc
		low := cur[0]
		ex := &exchange[c]
		for j, d := range b {
			d &= 127
			v := prev[j] + int32(ex[d])
			if w := prev[j+1] + dc; w < v {
				v = w
			}
			if w := cur[j] + int32(drop[d]); w < v {
				v = w
			}
			cur[j+1] = v
			if v < low {
				low = v
			}
		}
		if low > int32(most) {
			return most + 1
		}
		prev, cur = cur, prev
	}
	cost := int(prev[len(b)])
	if len(a) > 0 && len(b) > 0 && exchange[a[0]&127][b[0]&127] > 50 && a[0] != 'h' && b[0] != 'h' {
		cost += 25 // the first letter is seldom wrong
	} else if len(a) > 0 && len(b) > 0 && a[0] != b[0] && vowel(a[0]) && vowel(b[0]) && exchange[a[0]][b[0]] > 15 {
		cost += 15
	}
	return cost
}

// Slips is the number of single letters left out, added, changed or exchanged with
// their neighbour (optimal string alignment) between two words, up to most; most+1
// where there are more.
func Slips(a, b string, most int) int {
	if a == b {
		return 0
	}
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > most || len(b) > 3*MaxWord {
		return most + 1
	}
	if len(a) == 0 {
		return len(b)
	}
	if len(b) == 1 {
		return 1
	}
	if len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0] {
		return 1
	}
	var rows [3][3*MaxWord + 1]uint8
	two, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = uint8(j)
	}
	for i := range len(a) {
		cur[0] = uint8(i + 1)
		low := cur[0]
		for j := range len(b) {
			v := prev[j]
			if a[i] != b[j] {
				v++
			}
			v = min(v, prev[j+1]+1, cur[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				v = min(v, two[j-1]+1)
			}
			cur[j+1] = v
			low = min(low, v)
		}
		if int(low) > most {
			return most + 1
		}
		two, prev, cur = prev, cur, two
	}
	return min(int(prev[len(b)]), most+1)
}

// Similarity of two words, 0 to 1. as and bs are their sounds.
func Similarity(a, b string, as, bs []byte) float32 {
	if a == b {
		return 1
	}
	n := max(len(a), len(b))
	cost := SoundCost(as, bs, 300)
	if s := slip * Slips(a, b, 3); s < cost { // more than three are past the bound below
		if a[0] != b[0] {
			s += 25
		}
		cost = min(cost, s)
	}
	if cost > 300 {
		return 0
	}
	// In a short word the same difference tells more.
	return max(0, 1-0.0085*float32(cost)*(0.7+1.6/float32(n))/float32(n))
}

// AppendKey appends the consonants of a word as they are told apart in every script:
// what Latin spellings of one name share with each other, and with the same name
// written without vowels. Vowels, h, w and y are left out.
func AppendKey(dst []byte, sounds []byte) []byte {
	last := byte(0)
	for _, c := range sounds {
		k := keyOf[c&127]
		if k == 0 {
			last = 0
			continue
		}
		if k != last {
			dst = append(dst, k)
		}
		last = k
	}
	return dst
}

var keyOf = func() (t [128]byte) {
	for _, row := range []string{"bb", "pp", "ffv", "kkqXGgc", "ttT", "ddD", "sszQ", "SSC", "jjJZ", "ll", "mm", "nn", "rr"} {
		for _, c := range row[1:] {
			t[c] = row[0]
		}
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = byte(c)
	}
	return t
}()

// AppendSoundKeys appends the keys that a word without vowels may have in Latin.
func AppendSoundKeys(dst [][]byte, sound []Letter) [][]byte {
	keys := [][]byte{nil}
	for _, l := range sound {
		var next [][]byte
		for _, k := range keys {
			seen := [128]bool{}
			for _, s := range l {
				var buf [4]byte
				x := byte(0)
				if ss := AppendSounds(buf[:0], s); len(ss) > 0 {
					x = keyOf[ss[0]&127]
				}
				if seen[x] {
					continue
				}
				seen[x] = true
				if len(next) >= 12 {
					break
				}
				if x == 0 {
					next = append(next, k)
					continue
				}
				next = append(next, append(append([]byte(nil), k...), x))
			}
		}
		keys = next
	}
	return append(dst, keys...)
}

// SoundSimilarity says how well a Latin word can be a spelling of letters that do not
// write how they sound, 0 to 1: vowels and doubled letters between them are free.
func SoundSimilarity(sound []Letter, s string) float32 {
	if len(sound) == 0 || len(s) == 0 || len(s) > MaxWord || len(sound) > MaxWord {
		return 0
	}
	const far = 1 << 14
	var rows [2][MaxWord + 4]int32
	prev, cur := &rows[0], &rows[1]
	skip := func(j int) int32 { // what it costs that s[j] is written by no letter
		c := s[j]
		switch {
		case j > 0 && c == s[j-1]:
			return 5
		case vowel(c):
			return 4
		case c == 'h' || c == 'y':
			return 35
		}
		return slip
	}
	prev[0] = 0
	for j := range len(s) {
		prev[j+1] = prev[j] + skip(j)
	}
	for _, l := range sound {
		for j := range len(s) + 1 {
			cur[j] = far
		}
		for k, form := range l {
			cost := int32(min(k*3, 15))
			for j := 0; j+len(form) <= len(s); j++ {
				if s[j:j+len(form)] == form {
					cur[j+len(form)] = min(cur[j+len(form)], prev[j]+cost)
				}
			}
		}
		for j := range len(s) + 1 {
			cur[j] = min(cur[j], prev[j]+slip) // a letter that is not there
			if j < len(s) {
				cur[j+1] = min(cur[j+1], prev[j]+slip) // another letter
			}
		}
		for j := range len(s) {
			cur[j+1] = min(cur[j+1], cur[j]+skip(j))
		}
		prev, cur = cur, prev
	}
	cost := float32(prev[len(s)])
	return max(0, 1-0.006*cost/float32(max(len(sound), 2)))
}
