package match

import (
	"strings"
	"unicode/utf8"
)

// Letter is what one letter of another script may be in Latin: the spellings that
// romanisation systems and usage give it. "" means that it may be left out.
type Letter []string

// native makes words of a run in another script.
func native(dst []Word, p piece) []Word {
	switch p.script {
	case scriptCyrillic:
		return append(dst, cyrillicWord(p.text))
	case scriptGreek:
		return append(dst, Word{Text: spell(p.text, greek)}.orNothing())
	case scriptArabic:
		return arabicWords(dst, p.text)
	case scriptHebrew:
		return append(dst, soundWord(p.text, hebrew).orNothing())
	case scriptHan:
		return hanWords(dst, p.text)
	case scriptHangul:
		return hangulWords(dst, p.text)
	case scriptKana:
		return append(dst, Word{Text: kana(p.text)}.orNothing())
	}
	return append(dst, Word{Text: hexWord(p.text), Class: Plain})
}

// orNothing keeps a word from being empty.
func (w Word) orNothing() Word {
	if w.Text == "" {
		w.Text = "0"
	}
	if len(w.Text) > MaxWord {
		w.Text = w.Text[:MaxWord]
	}
	return w
}

// hexWord makes a word of letters that are not read here, so that the same word
// still meets itself.
func hexWord(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, r := range s {
		if b.Len() > MaxWord-5 {
			break
		}
		b.WriteByte('u')
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte(digits[r>>shift&15])
		}
	}
	return b.String()
}

func spell(s string, table map[rune]string) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() > MaxWord {
			break
		}
		b.WriteString(table[r])
	}
	return b.String()
}

// cyrillic is BGN/PCGN 1947 for Russian, with the letters of Ukrainian,
// Belarusian, Serbian, Macedonian and Kazakh by their own BGN/PCGN systems.
var cyrillic = map[rune]string{
	'а': "a", 'б': "b", 'в': "v", 'г': "g", 'д': "d", 'е': "e", 'ё': "e", 'ж': "zh", 'з': "z", 'и': "i", 'й': "y", 'к': "k", 'л': "l", 'м': "m",
	'н': "n", 'о': "o", 'п': "p", 'р': "r", 'с': "s", 'т': "t", 'у': "u", 'ф': "f", 'х': "kh", 'ц': "ts", 'ч': "ch", 'ш': "sh", 'щ': "shch", 'ъ': "",
	'ы': "y", 'ь': "", 'э': "e", 'ю': "yu", 'я': "ya",
	'і': "i", 'ї': "yi", 'є': "ye", 'ґ': "g", 'ў': "w",
	'ђ': "dj", 'ј': "j", 'љ': "lj", 'њ': "nj", 'ћ': "c", 'џ': "dz", 'ѓ': "gj", 'ќ': "kj", 'ѕ': "dz",
	'ә': "a", 'ғ': "gh", 'қ': "q", 'ң': "ng", 'ө': "o", 'ұ': "u", 'ү': "u", 'һ': "h", 'ҳ': "h", 'ҷ': "j", 'ӣ': "i", 'ӯ': "u", 'ӏ': "",
}

// cyrillicWord spells a word by BGN/PCGN, and beside it as passports (ICAO 9303)
// and newspapers do, and as Ukrainian where its letters say so.
func cyrillicWord(s string) Word {
	w := Word{Text: spell(s, cyrillic)}.orNothing()
	ukrainian := strings.ContainsAny(s, "іїєґ")
	var b strings.Builder
	prev := rune(0)
	for _, r := range s {
		if b.Len() > MaxWord {
			break
		}
		vowelBefore := prev == 0 || strings.ContainsRune("аеёиоуыэюяіїєьъ", prev)
		switch {
		case r == 'ё':
			b.WriteString("yo")
		case r == 'е' && vowelBefore && !ukrainian:
			b.WriteString("ye")
		case r == 'х':
			b.WriteString("h")
		case r == 'й':
			b.WriteString("i")
		case r == 'г' && ukrainian:
			b.WriteString("h")
		case r == 'и' && ukrainian:
			b.WriteString("y")
		case r == 'ю':
			b.WriteString("iu")
		case r == 'я':
			b.WriteString("ia")
		case r == 'ц':
			b.WriteString("c")
		case r == 'в' && prev != 0:
			b.WriteString("v")
		default:
			b.WriteString(cyrillic[r])
		}
		prev = r
	}
	w = w.also(b.String())
	if strings.Contains(s, "дж") { // Djamal, Jamal: how Arabic and Turkic names are written in Cyrillic
		w = w.also(strings.ReplaceAll(w.Text, "dzh", "j"))
	}
	if strings.HasSuffix(s, "ий") || strings.HasSuffix(s, "ый") {
		w = w.also(strings.TrimSuffix(strings.TrimSuffix(w.Text, "iy"), "yy") + "y")
	}
	if strings.Contains(s, "кс") {
		w = w.also(strings.ReplaceAll(w.Text, "ks", "x"))
	}
	if k, ok := cyrillicForms[s]; ok {
		return Word{Text: k, Class: Legal, Organisational: true}
	}
	return w
}

// also adds another spelling, if it is one.
func (w Word) also(s string) Word {
	if s == "" || s == w.Text || len(w.Also) >= 6 {
		return w
	}
	if len(s) > MaxWord {
		s = s[:MaxWord]
	}
	for _, a := range w.Also {
		if a == s {
			return w
		}
	}
	w.Also = append(w.Also, s)
	return w
}

// cyrillicForms are the legal forms that Cyrillic writes short.
var cyrillicForms = map[string]string{
	"ооо": "llc", "оао": "jsc", "зао": "jsc", "пао": "jsc", "ао": "jsc", "тов": "llc", "тоо": "llc", "ип": "sole", "чп": "sole", "гуп": "state", "фгуп": "state", "ат": "jsc", "тдв": "llc", "ад": "jsc", "доо": "llc", "оод": "llc", "еоод": "llc",
}

// greek is ELOT 743 without its digraphs, which usage writes either way.
var greek = map[rune]string{
	'α': "a", 'ά': "a", 'β': "v", 'γ': "g", 'δ': "d", 'ε': "e", 'έ': "e", 'ζ': "z", 'η': "i", 'ή': "i", 'θ': "th", 'ι': "i", 'ί': "i", 'ϊ': "i", 'ΐ': "i",
	'κ': "k", 'λ': "l", 'μ': "m", 'ν': "n", 'ξ': "x", 'ο': "o", 'ό': "o", 'π': "p", 'ρ': "r", 'σ': "s", 'ς': "s", 'τ': "t", 'υ': "y", 'ύ': "y", 'ϋ': "y",
	'φ': "f", 'χ': "ch", 'ψ': "ps", 'ω': "o", 'ώ': "o",
}

// arabic gives each letter the spellings of ALA-LC, of BGN/PCGN for Persian, and
// of usage in French and English. Short vowels are not written: see Sounds.
var arabic = map[rune]Letter{
	'ا': {"a", "", "e", "i", "u", "o", "aa"}, 'أ': {"a", "", "e", "i", "u", "o"}, 'إ': {"i", "e", "a", ""}, 'آ': {"a", "aa"}, 'ٱ': {"a", ""}, 'ء': {"", "a"}, 'ؤ': {"", "u", "o", "w"}, 'ئ': {"", "i", "y", "e"},
	'ب': {"b", "p"}, 'ت': {"t"}, 'ث': {"th", "s", "t"}, 'ج': {"j", "g", "dj", "zh"}, 'ح': {"h"}, 'خ': {"kh", "h", "k", "ch"}, 'د': {"d"}, 'ذ': {"dh", "z", "d", "th"},
	'ر': {"r"}, 'ز': {"z"}, 'س': {"s", "ss"}, 'ش': {"sh", "ch", "sch"}, 'ص': {"s", "ss"}, 'ض': {"d", "z", "dh", "dz"}, 'ط': {"t"}, 'ظ': {"z", "dh", "d", "th"}, 'ع': {"", "a", "e", "o", "i", "u"}, 'غ': {"gh", "g", "r"},
	'ف': {"f", "ph", "v"}, 'ق': {"q", "k", "g", "gh", "c", "kh"}, 'ك': {"k", "c"}, 'ل': {"l"}, 'م': {"m"}, 'ن': {"n"}, 'ه': {"h", "", "eh"}, 'ة': {"", "h", "t", "a", "at"},
	'و': {"w", "u", "o", "ou", "oo", "v", "au", "aw", "ow", ""}, 'ي': {"y", "i", "ee", "ai", "ei", "ay", "ey", "ie", "e", "yy", ""}, 'ى': {"a", "i", "y", "e"},
	'پ': {"p"}, 'چ': {"ch", "tch"}, 'ژ': {"zh", "j"}, 'گ': {"g"}, 'ک': {"k", "c"}, 'ی': {"y", "i", "ee", "ai", "ei", "ay", "ey", "ie", "e", ""}, 'ۀ': {"eh", "h"}, 'ھ': {"h"}, 'ہ': {"h", "a", ""}, 'ے': {"e", "ay", "ai"}, 'ٹ': {"t"}, 'ڈ': {"d"}, 'ڑ': {"r"}, 'ں': {"n"}, 'ۃ': {"", "t", "h"}, 'ڤ': {"v"}, 'ۆ': {"o"}, 'ێ': {"e"}, 'ە': {"e", "a"}, 'ځ': {"dz", "z"}, 'څ': {"ts"}, 'ښ': {"sh", "kh"}, 'ګ': {"g"}, 'ړ': {"r"}, 'ډ': {"d"}, 'ټ': {"t"}, 'ڼ': {"n"}, 'ې': {"e"}, 'ۍ': {"ay"},
}

// hebrew follows the rules of the Academy of the Hebrew Language (2006) and usage.
var hebrew = map[rune]Letter{
	'א': {"a", "", "e", "o", "i", "u"}, 'ב': {"b", "v"}, 'ג': {"g"}, 'ד': {"d"}, 'ה': {"h", "a", "", "e"}, 'ו': {"v", "o", "u", "w", "oo"}, 'ז': {"z"}, 'ח': {"ch", "h", "kh"}, 'ט': {"t"}, 'י': {"y", "i", "e", "ei", "ai", ""},
	'כ': {"k", "ch", "kh", "c"}, 'ך': {"ch", "kh", "k"}, 'ל': {"l"}, 'מ': {"m"}, 'ם': {"m"}, 'נ': {"n"}, 'ן': {"n"}, 'ס': {"s"}, 'ע': {"", "a", "e", "o", "i"}, 'פ': {"p", "f", "ph"}, 'ף': {"f", "ph", "p"}, 'צ': {"ts", "tz", "z"}, 'ץ': {"ts", "tz", "z"}, 'ק': {"k", "c", "q"}, 'ר': {"r"}, 'ש': {"sh", "s"}, 'ת': {"t", "th"},
}

// soundWord is a word whose vowels are not written.
func soundWord(s string, table map[rune]Letter) Word {
	var w Word
	var b strings.Builder
	for _, r := range s {
		l, ok := table[r]
		if !ok || len(w.Sound) >= MaxWord {
			continue
		}
		w.Sound = append(w.Sound, l)
		b.WriteString(l[0])
	}
	w.Text = b.String()
	return w
}

// arabicWords takes the article off, and takes compounds apart as compound does.
func arabicWords(dst []Word, s string) []Word {
	if w, ok := arabicKnown[s]; ok {
		if w.Text == "" {
			return dst
		}
		return append(dst, w)
	}
	if rest, ok := strings.CutPrefix(s, "عبد"); ok && utf8.RuneCountInString(rest) >= 3 && rest != "الله" && rest != "اله" {
		dst = append(dst, wordAbd)
		s = rest
	}
	if rest, ok := strings.CutPrefix(s, "ال"); ok && utf8.RuneCountInString(rest) >= 2 {
		dst = append(dst, known["al"])
		s = rest
	}
	rest, din := strings.CutSuffix(s, "الدین")
	if !din {
		rest, din = strings.CutSuffix(s, "الدين")
	}
	if din && rest != "" {
		return append(append(dst, soundWord(rest, arabic).orNothing()), wordDin)
	}
	if w, ok := arabicKnown[s]; ok && w.Text != "" {
		return append(dst, w)
	}
	return append(dst, soundWord(s, arabic).orNothing())
}

// arabicKnown are words whose Latin form does not follow from their letters.
var arabicKnown = map[string]Word{
	"بن": {Text: "bin", Class: Particle}, "ابن": {Text: "ibn", Class: Particle}, "بنت": {Text: "bint", Class: Particle}, "ال": {Text: "al", Class: Particle}, "آل": {Text: "al", Class: Particle},
	"و": {Text: "and", Class: Particle}, "من": {Text: "of", Class: Particle}, "فی": {Text: "of", Class: Particle}, "في": {Text: "of", Class: Particle},
	"أبو": wordAbu, "ابو": wordAbu, "أبي": wordAbu, "عبد": wordAbd, "عبدالله": {Text: "abdullah"}, "الدين": wordDin, "الدین": wordDin, "دين": wordDin, "دین": wordDin, "الله": {Text: "allah"},
	"شركة": {Text: "company", Class: Generic, Organisational: true}, "شرکت": {Text: "company", Class: Generic, Organisational: true}, "مؤسسة": {Text: "foundation", Class: Generic, Organisational: true}, "موسسه": {Text: "institute", Class: Generic, Organisational: true}, "بانک": {Text: "bank"}, "بنك": {Text: "bank"}, "مصرف": {Text: "bank"},
	"جمعية": {Text: "association", Class: Generic, Organisational: true}, "مجموعة": {Text: "group", Class: Generic, Organisational: true}, "گروه": {Text: "group", Class: Generic, Organisational: true}, "سازمان": {Text: "organization", Class: Generic, Organisational: true}, "منظمة": {Text: "organization", Class: Generic, Organisational: true}, "صنایع": {Text: "industries", Class: Generic, Organisational: true}, "التجارية": {Text: "trading", Class: Generic, Organisational: true}, "بازرگانی": {Text: "trading", Class: Generic, Organisational: true}, "للتجارة": {Text: "trading", Class: Generic, Organisational: true}, "دانشگاه": {Text: "university"}, "جامعة": {Text: "university"}, "حزب": {Text: "hizb"}, "حركة": {Text: "movement"}, "جبهة": {Text: "front"}, "الدولية": {Text: "international", Class: Generic, Organisational: true}, "المحدودة": {Text: "ltd", Class: Legal, Organisational: true},
	"الشيخ": {Text: "sheikh", Class: Title}, "شيخ": {Text: "sheikh", Class: Title}, "دكتور": {Text: "dr", Class: Title}, "الدكتور": {Text: "dr", Class: Title}, "دکتر": {Text: "dr", Class: Title}, "السيد": {Text: "sayyid", Class: Title}, "سید": {Text: "sayyid", Class: Title}, "حاج": {Text: "haji", Class: Title}, "الحاج": {Text: "haji", Class: Title}, "ملا": {Text: "mullah", Class: Title}, "مولوی": {Text: "mawlawi", Class: Title}, "آیتالله": {Text: "ayatollah", Class: Title},
}
