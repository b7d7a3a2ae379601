package main

import (
	_ "embed" // names in their own script
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"

	"github.com/muster-cip/muster"
)

// The queries that measure a matcher, made from a list with a seed. They are made by
// rules and hand-written lists of their own: nothing here reads a table of match or
// screen, so that these are not judged by themselves.

// question is one query; want is the entry that it is about, "" for a clean name.
type question struct {
	class, origin string
	text          string
	kind          muster.ListedKind
	want          string // id
}

//go:embed screennative.tsv
var nativeNames string

// positives are how many of each class are made, at most.
var positives = []struct {
	class string
	n     int
}{
	{"exact", 150},
	{"alias", 170},
	{"weak-alias", 40},
	{"typo-1", 170},
	{"typo-2", 125},
	{"token-order", 110},
	{"spacing", 105},
	{"initial", 70},
	{"abbreviation", 70},
	{"honorific-added", 65},
	{"dropped-middle-name", 90},
	{"suffix-dropped", 100},
	{"diacritics", 85},
	{"transliteration-variant", 140},
}

// makeQuestions makes the positives of a list. part 0 and 1 take either half of the
// hand-written names, so that one can be looked at and the other judges.
func makeQuestions(entries []muster.ListEntry, seed uint64, part int) []question {
	r := rand.New(rand.NewPCG(seed, 1))
	var out []question
	for _, p := range positives {
		made := 0
		for _, i := range r.Perm(len(entries)) {
			if made == p.n {
				break
			}
			e := &entries[i]
			if text := distort(r, p.class, e); text != "" {
				out = append(out, question{class: p.class, text: text, kind: e.Kind, want: e.ID})
				made++
			}
		}
	}
	there := map[string]muster.ListedKind{}
	for i := range entries {
		there[entries[i].ID] = entries[i].Kind
	}
	i := 0
	for line := range strings.Lines(nativeNames) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		if len(cells) != 3 {
			continue
		}
		i++
		if kind, ok := there[cells[0]]; ok && i%2 == part {
			out = append(out, question{class: cells[1], text: cells[2], kind: kind, want: cells[0]})
		}
	}
	return out
}

// distort makes a query of one class about one entry; "" where it has nothing of it.
func distort(r *rand.Rand, class string, e *muster.ListEntry) string {
	if len(e.Names) == 0 || e.Kind == muster.ListedAircraft {
		return ""
	}
	n := e.Names[0]
	individual := e.Kind == muster.ListedIndividual
	words := strings.Fields(n.Full)
	written := func(ws []string) string { return asWritten(r, strings.Join(ws, " ")) }
	switch class {
	case "exact":
		if n.Given != "" && r.IntN(2) == 0 {
			return n.Family + ", " + n.Given
		}
		return written(words)
	case "alias", "weak-alias":
		var of []muster.ListedName
		for _, a := range e.Names[1:] {
			if (a.Quality == muster.NameWeak) == (class == "weak-alias") && len(a.Full) > 3 && a.Script == "" {
				of = append(of, a)
			}
		}
		if len(of) == 0 {
			return ""
		}
		return written(strings.Fields(of[r.IntN(len(of))].Full))
	case "typo-1":
		if len(n.Full) < 6 {
			return ""
		}
		return written(mistype(r, words, 1))
	case "typo-2":
		if len(n.Full) < 9 {
			return ""
		}
		return written(mistype(r, words, 2))
	case "token-order":
		if len(words) < 2 {
			return ""
		}
		if n.Given != "" {
			return written(strings.Fields(n.Family + " " + n.Given))
		}
		w := slices.Clone(words)
		r.Shuffle(len(w), func(i, j int) { w[i], w[j] = w[j], w[i] })
		if slices.Equal(w, words) {
			w[0], w[len(w)-1] = w[len(w)-1], w[0]
		}
		return written(w)
	case "spacing":
		if len(words) >= 2 && r.IntN(3) > 0 {
			i := r.IntN(len(words) - 1)
			w := slices.Clone(words[:i])
			return written(append(append(w, words[i]+words[i+1]), words[i+2:]...))
		}
		i := r.IntN(len(words))
		if len(words[i]) < 6 {
			return ""
		}
		cut := 2 + r.IntN(len(words[i])-4)
		w := slices.Clone(words[:i])
		return written(append(append(w, words[i][:cut], words[i][cut:]), words[i+1:]...))
	case "initial":
		given := strings.Fields(n.Given)
		if !individual || len(given) == 0 || len(given[0]) < 2 || !unicode.IsLetter(rune(given[0][0])) {
			return ""
		}
		g := slices.Clone(given)
		k := r.IntN(len(g))
		if !unicode.IsLetter(rune(g[k][0])) {
			return ""
		}
		g[k] = g[k][:1] + pick(r.IntN(2) == 0, ".", "")
		return written(append(g, strings.Fields(n.Family)...))
	case "abbreviation":
		if individual {
			return ""
		}
		w, done := slices.Clone(words), false
		for i := range w {
			if a, ok := writtenShort[strings.Trim(strings.ToLower(w[i]), ".,()")]; ok {
				w[i] = a[r.IntN(len(a))]
				done = true
			}
		}
		if !done {
			return ""
		}
		return written(w)
	case "honorific-added":
		if !individual {
			return ""
		}
		return honorifics[r.IntN(len(honorifics))] + " " + written(words)
	case "dropped-middle-name":
		given := strings.Fields(n.Given)
		if !individual || len(given) < 2 || len(given[0]) < 3 {
			return ""
		}
		k := 1 + r.IntN(len(given)-1)
		return written(append(append(slices.Clone(given[:k]), given[k+1:]...), strings.Fields(n.Family)...))
	case "suffix-dropped":
		if individual || len(words) < 2 {
			return ""
		}
		last := strings.Trim(strings.ToLower(words[len(words)-1]), ".,")
		switch last {
		case "ltd", "limited", "llc", "inc", "corp", "gmbh", "co", "sarl", "s.a", "s.a.s", "company", "ltda", "corporation", "sal", "jsc", "ooo", "fze", "plc", "a.s", "srl":
			return written(words[:len(words)-1])
		}
		return ""
	case "diacritics":
		rs := []rune(n.Full)
		done := 0
		for i, c := range rs {
			if m, ok := marked[unicode.ToLower(c)]; ok && r.IntN(3) == 0 {
				k := []rune(m)
				x := k[r.IntN(len(k))]
				if unicode.IsUpper(c) {
					x = unicode.ToUpper(x)
				}
				rs[i] = x
				done++
			}
		}
		if done == 0 {
			return ""
		}
		return string(rs)
	case "transliteration-variant":
		if !individual {
			return ""
		}
		return respell(r, words)
	}
	return ""
}

func asWritten(r *rand.Rand, s string) string {
	switch r.IntN(4) {
	case 0:
		return strings.ToUpper(s)
	case 1:
		return strings.ToLower(s)
	}
	words := strings.Fields(strings.ToLower(s))
	for i, w := range words {
		rs := []rune(w)
		rs[0] = unicode.ToUpper(rs[0])
		words[i] = string(rs)
	}
	return strings.Join(words, " ")
}

// near are the keys beside a key.
var near = map[byte]string{
	'q': "wa", 'w': "qes", 'e': "wrd", 'r': "etf", 't': "ryg", 'y': "tuh", 'u': "yij", 'i': "uok", 'o': "ipl", 'p': "ol", 'a': "qsz", 's': "adwx", 'd': "sfec", 'f': "dgrv", 'g': "fhtb", 'h': "gjyn", 'j': "hkum", 'k': "jli", 'l': "ko", 'z': "xa", 'x': "zcs", 'c': "xvd", 'v': "cbf", 'b': "vng", 'n': "bmh", 'm': "nj",
}

// mistype makes n slips of the finger, in words of four letters or more where there are such.
func mistype(r *rand.Rand, words []string, n int) []string {
	w := make([]string, len(words))
	for i := range words {
		w[i] = strings.ToLower(words[i])
	}
	for range n {
		var long []int
		for i := range w {
			if len(w[i]) >= 4 {
				long = append(long, i)
			}
		}
		k := r.IntN(len(w))
		if len(long) > 0 {
			k = long[r.IntN(len(long))]
		}
		b := []byte(w[k])
		i := r.IntN(len(b))
		switch r.IntN(4) {
		case 0: // another key
			keys := near[b[i]]
			if keys == "" {
				keys = "e"
			}
			b[i] = keys[r.IntN(len(keys))]
		case 1: // one too many
			c := byte('a' + r.IntN(26))
			if r.IntN(2) == 0 {
				c = b[i]
			}
			b = slices.Insert(b, i, c)
		case 2: // one too few
			if len(b) > 1 {
				b = slices.Delete(b, i, i+1)
			}
		default: // two exchanged
			if len(b) > 1 {
				i = min(i, len(b)-2)
				b[i], b[i+1] = b[i+1], b[i]
			}
		}
		w[k] = string(b)
	}
	return w
}

var marked = map[rune]string{'a': "áàâäãåā", 'e': "éèêëēę", 'i': "íîïī", 'o': "óòôöõøō", 'u': "úùûüū", 'n': "ñń", 'c': "çčć", 's': "šşś", 'z': "žź", 'g': "ğ", 'y': "ý"}

var honorifics = strings.Split("Mr.,Mr,Mrs.,Dr.,Dr,Prof.,Sheikh,Shaykh,Hajji,Haji,Mullah,General,Gen.,Colonel,Eng.,Sayyid,Sr.,Señor,Herr,Sir,Maulvi,Capt.,Don,Professor", ",")

var writtenShort = map[string][]string{
	"company": {"Co.", "Co"}, "corporation": {"Corp.", "Corp"}, "limited": {"Ltd", "Ltd."}, "international": {"Intl", "Int'l", "Intl."}, "general": {"Gen.", "Genl"}, "trading": {"Trdg", "Tradg."}, "industries": {"Inds.", "Ind."}, "industrial": {"Indl", "Indus."},
	"group": {"Grp", "Grp."}, "shipping": {"Shpg", "Shpg."}, "services": {"Svcs", "Svc", "Srvcs"}, "development": {"Dev.", "Devt"}, "investment": {"Inv.", "Invest."}, "organization": {"Org.", "Orgn"}, "national": {"Natl", "Nat'l"}, "engineering": {"Eng.", "Engg"}, "technology": {"Tech", "Tech."},
	"manufacturing": {"Mfg", "Mfg."}, "management": {"Mgmt", "Mgmt."}, "petroleum": {"Petr.", "Pet."}, "petrochemical": {"Petrochem", "Petchem"}, "export": {"Exp.", "Exp"}, "import": {"Imp.", "Imp"}, "enterprises": {"Ent.", "Entps"}, "enterprise": {"Ent.", "Entpr."}, "foundation": {"Fdn", "Found."},
	"association": {"Assn", "Assoc."}, "construction": {"Constr.", "Const."}, "university": {"Univ.", "Univ"}, "institute": {"Inst.", "Inst"}, "holding": {"Hldg", "Hold."}, "transport": {"Transp.", "Trans."}, "electronics": {"Elec.", "Electr."}, "chemical": {"Chem.", "Chem"}, "ministry": {"Min."}, "commercial": {"Comm.", "Coml"},
	"brothers": {"Bros", "Bros."}, "exchange": {"Exch.", "Exch"}, "republic": {"Rep."}, "islamic": {"Isl."}, "department": {"Dept", "Dept."}, "committee": {"Cttee", "Comm."}, "aviation": {"Avn", "Av."}, "insurance": {"Ins.", "Ins"}, "pharmaceutical": {"Pharm.", "Pharma"},
}

// respellings are how names are written by different systems and in different
// countries: each row is one name.
var respellings = `
muhammad mohammad mohammed mohamed mohamad muhammed mahomed
ahmad ahmed achmad akhmad
husayn hussein husain hussain hossein houssein husein
hasan hassan hasan hassen
yusuf youssef yousef yousuf yusef
ibrahim ebrahim ibraheem brahim
mahmud mahmoud mahmood mehmood
abdallah abdullah abdalla abdulla
khalid khaled haled
umar omar oumar
usama osama oussama
sulayman suleiman soliman sulaiman suleyman
mustafa mostafa moustapha moustafa
said saeed sayeed
jamal gamal djamal
tariq tarek tarik
nasir nasser naser
salih saleh salah
faysal faisal feisal
qadhafi gaddafi kadhafi
ali aly
aziz azeez
rahman rehman
karim kareem
rashid rachid rasheed
sharif cherif shareef
jaafar jafar jaffar
zawahiri zawahri dhawahiri
mehdi mahdi
aleksandr alexander alexandr oleksandr
aleksey alexei aleksei alexey
sergey sergei serguei serhiy
yuriy yuri yury iurii
dmitriy dmitri dmitry
andrey andrei andrej
nikolay nikolai nikolaj
vladimir volodymyr wladimir
yevgeniy evgeny evgeni yevgeny
mikhail mihail michail
igor ihor
oleg oleh
pavel pavlo
viktor victor
aleksandrovich alexandrovich
vasiliy vasily vasili
ilya ilia
yakov iakov
jose joseph
jorge george
zhang chang
xiao hsiao
zhou chou
qing ching
kim gim
pak park
ri lee yi
choe choi
jong jung chong
yong young
mehmet mohammed
huseyin hussein
`

var respelled = func() map[string][]string {
	m := map[string][]string{}
	for line := range strings.Lines(respellings) {
		row := strings.Fields(line)
		for i, w := range row {
			for j, o := range row {
				if i != j {
					m[w] = append(m[w], o)
				}
			}
		}
	}
	return m
}()

// endings and letters that systems write differently; each is tried where no row of
// respellings fits.
var letterings = [][2]string{
	{"skiy", "sky"}, {"sky", "skij"}, {"yev", "iev"}, {"evich", "yevich"}, {"ov", "ow"}, {"kh", "h"}, {"q", "k"}, {"dh", "d"}, {"gh", "g"}, {"ou", "u"}, {"oo", "u"}, {"ee", "i"}, {"sh", "ch"}, {"y", "i"}, {"iy", "y"}, {"ay", "ai"}, {"ey", "ei"}, {"aw", "au"}, {"zh", "j"}, {"dj", "j"}, {"ts", "tz"}, {"ya", "ia"}, {"yu", "iu"}, {"w", "v"}, {"ss", "s"}, {"mm", "m"}, {"ll", "l"}, {"i", "y"}, {"u", "ou"}, {"u", "o"}, {"j", "dj"}, {"k", "q"}, {"e", "i"},
}

// respell writes one or two words of a name as another system would.
func respell(r *rand.Rand, words []string) string {
	w := make([]string, len(words))
	changed, real := 0, 0
	for i := range words {
		w[i] = strings.ToLower(words[i])
		head := ""
		if rest, ok := strings.CutPrefix(w[i], "al-"); ok {
			head, w[i] = "al-", rest
		}
		w[i] = strings.Trim(w[i], "'")
		if o := respelled[w[i]]; len(o) > 0 {
			w[i] = o[r.IntN(len(o))]
			changed++
			real++
		}
		w[i] = head + w[i]
	}
	if real == 0 {
		return ""
	}
	if changed < 2 {
		for _, k := range r.Perm(len(w)) {
			if len(w[k]) < 5 || respelled[w[k]] != nil {
				continue
			}
			for _, l := range r.Perm(len(letterings)) {
				if x := strings.Replace(w[k], letterings[l][0], letterings[l][1], 1); x != w[k] && !strings.HasPrefix(w[k], letterings[l][0]) {
					w[k] = x
					break
				}
			}
			break
		}
	}
	return asWritten(r, strings.Join(w, " "))
}
