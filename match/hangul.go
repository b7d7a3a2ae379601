package match

import "strings"

// Hangul by its arithmetic (Unicode, section 3.12). Each letter has what the Revised
// Romanization (2000), McCune-Reischauer and the usage of passports in North and
// South give it; the first is what most names in Latin lists have.
var (
	hangulInitial = [19]Letter{
		{"k", "g"}, {"kk", "gg"}, {"n"}, {"t", "d"}, {"tt", "dd"}, {"r", "l", "n", ""}, {"m"}, {"p", "b"}, {"pp", "bb"}, {"s", "sh"}, {"ss", "s"}, {""}, {"j", "ch", "c"}, {"jj"}, {"ch"}, {"k"}, {"t"}, {"p"}, {"h"},
	}
	hangulMedial = [21]Letter{
		{"a", "ah"}, {"ae", "ai", "e"}, {"ya"}, {"yae"}, {"o", "eo", "u", "oe"}, {"e", "ae"}, {"yo", "yeo", "you", "yu", "yeu"}, {"ye", "yae"}, {"o", "oh"}, {"wa", "oa"}, {"wae"}, {"oe", "oi", "we"}, {"yo"}, {"u", "oo", "woo", "ou"}, {"wo", "weo"}, {"we"}, {"wi", "ui"}, {"yu", "yoo", "you"}, {"u", "eu", "oo"}, {"ui", "eui", "i", "hui"}, {"i", "ee", "yi", "ih"},
	}
	hangulFinal = [28]Letter{
		{""}, {"k", "g", "c"}, {"k"}, {"k"}, {"n"}, {"n"}, {"n"}, {"t", "d"}, {"l", "r"}, {"k"}, {"m"}, {"l"}, {"l"}, {"l"}, {"p"}, {"l"}, {"m"}, {"p", "b"}, {"p"}, {"t", "s"}, {"t"}, {"ng"}, {"t"}, {"t"}, {"k"}, {"t"}, {"p"}, {"t"},
	}
	// hangulSurnames are spelled by custom.
	hangulSurnames = map[rune][]string{
		'이': {"ri", "lee", "yi", "rhee", "i"}, '리': {"ri", "lee", "yi", "rhee"}, '박': {"pak", "park", "bak"}, '최': {"choe", "choi", "choy"}, '김': {"kim", "gim"}, '정': {"jong", "jung", "chung", "chong", "jeong"},
		'조': {"jo", "cho", "jou"}, '강': {"kang", "gang"}, '윤': {"yun", "yoon"}, '장': {"jang", "chang"}, '임': {"im", "rim", "lim", "yim"}, '림': {"rim", "lim", "im"}, '한': {"han"}, '오': {"o", "oh"}, '서': {"so", "seo", "suh"}, '신': {"sin", "shin"},
		'권': {"kwon", "gwon"}, '황': {"hwang"}, '안': {"an", "ahn"}, '송': {"song"}, '류': {"ryu", "yu", "yoo"}, '유': {"yu", "yoo", "ryu"}, '전': {"jon", "jeon", "chon", "chun"}, '홍': {"hong"}, '고': {"ko", "go", "koh"}, '문': {"mun", "moon"}, '양': {"yang", "ryang"}, '량': {"ryang", "yang"}, '손': {"son"}, '배': {"pae", "bae"}, '백': {"paek", "baek", "paik"}, '허': {"ho", "heo", "huh"}, '노': {"no", "ro", "roh", "noh"}, '로': {"ro", "roh", "no"}, '남': {"nam"}, '심': {"sim", "shim"}, '주': {"ju", "chu", "joo"}, '현': {"hyon", "hyun"}, '렴': {"ryom", "yom"}, '염': {"ryom", "yom"}, '연': {"yon", "ryon"}, '련': {"ryon", "yon"}, '길': {"kil", "gil"}, '방': {"pang", "bang"}, '변': {"pyon", "byun", "byon"}, '태': {"thae", "tae"}, '계': {"kye"}, '차': {"cha"}, '구': {"ku", "koo", "gu"}, '진': {"jin", "chin"},
	}
	hangulDouble = []string{"남궁", "황보", "제갈", "사공", "선우", "독고"}
	hangulKnown  = []struct{ word, latin string }{
		{"은행", "bank"}, {"무역", "trading"}, {"회사", "company"}, {"총회사", "corporation"}, {"총국", "bureau"}, {"국제", "international"}, {"상사", "company"}, {"그룹", "group"},
	}
)

const hangulBase, hangulEnd = 0xac00, 0xd7a3

// hangulWords makes one word of each syllable: lists write given names joined and apart.
func hangulWords(dst []Word, s string) []Word {
	at, n := 0, 0
	for i, r := range s {
		if i < at {
			continue
		}
		for _, k := range hangulKnown {
			if strings.HasPrefix(s[i:], k.word) && n > 0 {
				dst = append(dst, Word{Text: k.latin, Class: Generic, Organisational: true})
				at = i + len(k.word)
				break
			}
		}
		if i < at {
			continue
		}
		w := hangulSyllable(r)
		if n == 0 {
			if also, ok := hangulSurnames[r]; ok && !startsWithAny(s, hangulDouble) {
				w.Text, w.Also = also[0], also[1:]
			}
		}
		dst = append(dst, w)
		n++
	}
	return dst
}

func startsWithAny(s string, heads []string) bool {
	for _, h := range heads {
		if strings.HasPrefix(s, h) {
			return true
		}
	}
	return false
}

func hangulSyllable(r rune) Word {
	if r < hangulBase || r > hangulEnd {
		return Word{Text: "0"}
	}
	i := int(r - hangulBase)
	a, b, c := hangulInitial[i/(21*28)], hangulMedial[i/28%21], hangulFinal[i%28]
	// The first two of each are the systems' own; what else is usage is left to the comparison by sound.
	w := Word{Text: a[0] + b[0] + c[0]}
	for _, x := range a[:min(2, len(a))] {
		for _, y := range b[:min(3, len(b))] {
			w = w.also(x + y + c[0])
		}
	}
	if w.Text == "" {
		w.Text = "0"
	}
	w.Sound = []Letter{a, b, c}
	return w
}
