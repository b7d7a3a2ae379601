package match

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// latin are letters that do not decompose to a letter of a-z and marks.
var latin = map[rune]string{
	'ß': "ss", 'ẞ': "ss", 'æ': "ae", 'Æ': "ae", 'œ': "oe", 'Œ': "oe", 'ø': "o", 'Ø': "o", 'ł': "l", 'Ł': "l", 'đ': "d", 'Đ': "d", 'ð': "d", 'Ð': "d",
	'þ': "th", 'Þ': "th", 'ı': "i", 'İ': "i", 'ŋ': "ng", 'Ŋ': "ng", 'ħ': "h", 'Ħ': "h", 'ŧ': "t", 'Ŧ': "t", 'ə': "a", 'Ə': "a", 'ĸ': "k", 'ƒ': "f",
	'ɓ': "b", 'Ɓ': "b", 'ɗ': "d", 'Ɗ': "d", 'ƙ': "k", 'Ƙ': "k", 'ƴ': "y", 'Ƴ': "y", 'ɛ': "e", 'Ɛ': "e", 'ɔ': "o", 'Ɔ': "o", 'ǝ': "e", 'Ǝ': "e", 'ɖ': "d", 'ŀ': "l", 'Ŀ': "l",
	'ơ': "o", 'Ơ': "o", 'ư': "u", 'Ư': "u", 'ʻ': "", 'ʼ': "", 'ʾ': "", 'ʿ': "", 'ˈ': "", 'ʹ': "", 'ʺ': "",
}

// quotes stand inside a word and part nothing: Sa'id, O’Neill, 'Abd.
func isQuote(r rune) bool {
	switch r {
	case '\'', '’', '‘', '`', '´', 'ʼ', 'ʻ', 'ʿ', 'ʾ', '′', '‛', 'ˊ', 'ˋ', '＇', '\u200c', '\u200d', '\u00ad', '\u0640', '"', '“', '”':
		return true
	}
	return false
}

// piece is a run of one script, folded, before it becomes words.
type piece struct {
	text   string
	script script
}

// Words splits a name into its words, appended to dst.
func Words(dst []Word, name string) []Word {
	if len(name) > maxInput {
		name = name[:maxInput]
		for len(name) > 0 && !utf8.ValidString(name[len(name)-1:]) && !utf8.RuneStart(name[len(name)-1]) {
			name = name[:len(name)-1]
		}
	}
	var stack [24]piece
	ps := pieces(stack[:0], name)
	start := len(dst)
	for i := 0; i < len(ps) && len(dst)-start < MaxWords; i++ {
		p := ps[i]
		if p.script != scriptLatin {
			from := len(dst)
			dst = native(dst, p)
			for k := from; k < len(dst); k++ {
				dst[k].Native = true
			}
			continue
		}
		if n, w := phrase(ps[i:]); n > 0 {
			dst = append(dst, w)
			i += n - 1
			continue
		}
		if n, form, raw := letters(ps[i:]); n > 0 {
			dst = append(dst, Word{Text: form, Raw: raw, Class: Legal, Organisational: true})
			i += n - 1
			continue
		}
		dst = latinWords(dst, p.text)
	}
	articles(dst[start:])
	dst = servants(dst, start)
	Surname(dst[start:])
	if len(dst)-start > MaxWords {
		dst = dst[:start+MaxWords]
	}
	return dst
}

// articles writes the Arabic article as "al" where it is written as it sounds before a
// sun letter: az-Zawahiri, as Safa, esh-Sharif, аз-Завахири.
func articles(ws []Word) {
	for i := 0; i+1 < len(ws); i++ {
		w := &ws[i]
		text := surfaceOf(w)
		if len(text) < 2 || len(text) > 3 || text[0] != 'a' && text[0] != 'e' || strings.IndexByte("dnrstz", text[1]) < 0 || !strings.HasPrefix(ws[i+1].Text, text[1:]) {
			continue
		}
		if text[1] == 'n' && len(ws[i+1].Text) < 5 {
			continue // An Ning, An Nam: Chinese and Korean
		}
		*w = Word{Text: "al", Raw: text, Class: Particle, Native: w.Native}
	}
}

func surfaceOf(w *Word) string {
	if w.Raw != "" {
		return w.Raw
	}
	return w.Text
}

// Surname makes a name of a title that stands last, for there it is the family's: Umair Sheikh.
func Surname(ws []Word) {
	if len(ws) < 2 {
		return
	}
	if w := &ws[len(ws)-1]; w.Class == Title && !w.Organisational && !afterNames[w.Text] {
		w.Organisational, w.Person = true, Plain
	}
}

// afterNames are titles that stand behind a name.
var afterNames = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq("jr snr sr senior junior phd md esq esquire") {
		m[w] = true
	}
	return m
}()

// servants joins Abd Allah, which is one name and usually written as one word.
func servants(ws []Word, from int) []Word {
	for i := from; i+1 < len(ws); i++ {
		if ws[i].Text == "abdul" && ws[i+1].Text == "allah" {
			ws[i] = Word{Text: "abdullah", Native: ws[i].Native}
			ws = append(ws[:i+1], ws[i+2:]...)
		}
	}
	return ws
}

// pieces cuts name where its words end and where its script changes.
func pieces(dst []piece, name string) []piece {
	plain := true
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if !plain {
		name = norm.NFKC.String(name)
	}
	buf := make([]byte, 0, len(name)+8)
	type cut struct {
		from, to int
		script   script
	}
	var stack [24]cut
	cuts := stack[:0]
	from, now := 0, scriptNone
	end := func() {
		if len(buf) > from {
			to := len(buf)
			if to-from > MaxWord && now == scriptLatin {
				to = from + MaxWord
			}
			cuts = append(cuts, cut{from, to, now})
		}
		from, now = len(buf), scriptNone
	}
	for _, r := range name {
		if len(cuts) >= 2*MaxWords {
			break
		}
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if now != scriptLatin && now != scriptNone {
				end()
			}
			now = scriptLatin
			buf = append(buf, byte(r))
		case r >= 'A' && r <= 'Z':
			if now != scriptLatin && now != scriptNone {
				end()
			}
			now = scriptLatin
			buf = append(buf, byte(r)+'a'-'A')
		case r == '&' || r == '+':
			end()
			buf = append(buf, "and"...)
			now = scriptLatin
			end()
		case r < utf8.RuneSelf:
			if !isQuote(r) {
				end()
			}
		case isQuote(r), unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r):
		default:
			if s, ok := latin[r]; ok {
				if now != scriptLatin && now != scriptNone {
					end()
				}
				if s != "" {
					now = scriptLatin
				}
				buf = append(buf, s...)
				continue
			}
			s := scriptOf(r)
			if s == scriptNone {
				end()
				continue
			}
			if s == scriptLatin {
				if base := baseLetter(r); base != 0 {
					if now != scriptLatin && now != scriptNone {
						end()
					}
					now = scriptLatin
					buf = append(buf, base)
				}
				continue // a letter that has no base is passed over, and parts nothing
			}
			if s != now && now != scriptNone {
				end()
			}
			now = s
			buf = utf8.AppendRune(buf, unicode.ToLower(r))
		}
	}
	end()
	text := string(buf)
	for _, c := range cuts {
		dst = append(dst, piece{text[c.from:c.to], c.script})
	}
	return dst
}

// baseLetter is the letter of a-z below the marks of r, else 0.
func baseLetter(r rune) byte {
	var b [utf8.UTFMax]byte
	n := utf8.EncodeRune(b[:], r)
	d := norm.NFD.Properties(b[:n]).Decomposition()
	if len(d) == 0 || d[0] >= utf8.RuneSelf {
		return 0
	}
	c := d[0] | 0x20
	if c < 'a' || c > 'z' {
		return 0
	}
	return c
}

// letters finds a legal form in single letters: S.A., S A S, A/S. It answers how
// many pieces the form takes.
func letters(ps []piece) (n int, form, raw string) {
	var buf [6]byte
	for n < len(ps) && n < len(buf) && len(ps[n].text) == 1 && ps[n].script == scriptLatin {
		buf[n] = ps[n].text[0]
		n++
	}
	if n < 2 || n < len(ps) && len(ps[n].text) == 1 {
		return 0, "", "" // A.B.C. is no AB
	}
	if form, ok := legalForms[string(buf[:n])]; ok {
		return n, form, string(buf[:n])
	}
	return 0, "", ""
}

// phrase finds what takes several words: "limited liability company".
func phrase(ps []piece) (int, Word) {
	for _, p := range phrases[ps[0].text] {
		if len(p.words) > len(ps) {
			continue
		}
		same := true
		for i, w := range p.words {
			if ps[i].text != w {
				same = false
				break
			}
		}
		if same {
			return len(p.words), Word{Text: p.form, Raw: p.raw, Class: Legal, Organisational: true}
		}
	}
	return 0, Word{}
}

// latinWords makes words of one folded Latin run.
func latinWords(dst []Word, s string) []Word {
	if len(s) == 1 {
		if s[0] >= '0' && s[0] <= '9' {
			return append(dst, Word{Text: s, Class: Number})
		}
		if s == "y" || s == "e" { // "and", in Spanish, Portuguese and Italian firms
			return append(dst, Word{Text: s, Class: Particle, Person: Initial, Organisational: true})
		}
		return append(dst, Word{Text: s, Class: Initial})
	}
	if i := strings.IndexAny(s, "0123456789"); i >= 0 {
		// A number written close to its word: Sanchi2.
		if tail := s[i:]; i >= 3 && strings.Trim(tail, "0123456789") == "" {
			return append(latinWords(dst, s[:i]), Word{Text: tail, Class: Number})
		}
		return append(dst, Word{Text: s, Class: Number})
	}
	if w, ok := known[s]; ok {
		return append(dst, w)
	}
	if also, ok := sameNames[s]; ok {
		return append(dst, Word{Text: s, Also: also})
	}
	if head, ok := faith(s); ok {
		return append(latinWords(dst, head), wordDin)
	}
	if head, tail, ok := compound(s); ok {
		dst = append(dst, head)
		if w, ok := known[tail]; ok {
			return append(dst, w)
		}
		return append(dst, Word{Text: tail})
	}
	return append(dst, Word{Text: s})
}

var (
	wordAbd = Word{Text: "abdul"}
	wordAbu = Word{Text: "abu", Class: Particle}
	wordDin = Word{Text: "din"}
)

// faith takes apart Nureddin, Najmuddin, Salahudin.
func faith(s string) (string, bool) {
	t := strings.TrimSuffix(s, "e")
	for _, end := range []string{"uddin", "eddin", "iddin", "addin", "udin", "edin"} {
		if head, ok := strings.CutSuffix(t, end); ok && len(head) >= 3 && !strings.HasPrefix(head, "abd") {
			return head, true
		}
	}
	return "", false
}

// compound takes apart what Arabic names write joined or apart at will:
// Abdulrahman, Abd al-Rahman; Nureddin, Nur al-Din; Abubakar, Abu Bakr.
func compound(s string) (Word, string, bool) {
	if len(s) >= 7 && strings.HasPrefix(s, "abd") {
		rest := s[3:]
		for _, v := range []string{"ou", "oo", "u", "e", "a", "o", "i", ""} {
			tail, ok := strings.CutPrefix(rest, v)
			if !ok || len(tail) < 4 {
				continue
			}
			c := tail[0]
			switch {
			case c == 'l' && v != "" && (tail[1] != 'l' || len(tail) > 5) && !strings.HasPrefix(tail, "la"):
				return wordAbd, strings.TrimLeft(tail[1:], "l"), true
			case c == 'l' && v == "" && !strings.HasPrefix(tail, "la") && !strings.HasPrefix(tail, "ll"):
				return wordAbd, tail[1:], true
			case c == tail[1] && strings.IndexByte("rsnztd", c) >= 0: // the article before a sun letter
				return wordAbd, tail[1:], true
			case c == 's' && strings.HasPrefix(tail, "shsh"):
				return wordAbd, tail[2:], true
			case v != "" && strings.IndexByte("rsn", c) >= 0 && len(tail) >= 5: // Abdurahman
				return wordAbd, tail, true
			}
		}
	}
	return Word{}, "", false
}
