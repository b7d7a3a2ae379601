package match

import "strings"

// kanaRows is modified Hepburn.
var kanaRows = map[rune]string{
	'あ': "a", 'い': "i", 'う': "u", 'え': "e", 'お': "o", 'か': "ka", 'き': "ki", 'く': "ku", 'け': "ke", 'こ': "ko", 'さ': "sa", 'し': "shi", 'す': "su", 'せ': "se", 'そ': "so",
	'た': "ta", 'ち': "chi", 'つ': "tsu", 'て': "te", 'と': "to", 'な': "na", 'に': "ni", 'ぬ': "nu", 'ね': "ne", 'の': "no", 'は': "ha", 'ひ': "hi", 'ふ': "fu", 'へ': "he", 'ほ': "ho",
	'ま': "ma", 'み': "mi", 'む': "mu", 'め': "me", 'も': "mo", 'や': "ya", 'ゆ': "yu", 'よ': "yo", 'ら': "ra", 'り': "ri", 'る': "ru", 'れ': "re", 'ろ': "ro", 'わ': "wa", 'を': "o", 'ん': "n",
	'が': "ga", 'ぎ': "gi", 'ぐ': "gu", 'げ': "ge", 'ご': "go", 'ざ': "za", 'じ': "ji", 'ず': "zu", 'ぜ': "ze", 'ぞ': "zo", 'だ': "da", 'ぢ': "ji", 'づ': "zu", 'で': "de", 'ど': "do",
	'ば': "ba", 'び': "bi", 'ぶ': "bu", 'べ': "be", 'ぼ': "bo", 'ぱ': "pa", 'ぴ': "pi", 'ぷ': "pu", 'ぺ': "pe", 'ぽ': "po", 'ゔ': "vu",
	'ぁ': "a", 'ぃ': "i", 'ぅ': "u", 'ぇ': "e", 'ぉ': "o",
}

var kanaSmall = map[rune]string{'ゃ': "ya", 'ゅ': "yu", 'ょ': "yo"}

func kana(s string) string {
	var b strings.Builder
	double := false
	for _, r := range s {
		if b.Len() > MaxWord {
			break
		}
		if r >= 'ァ' && r <= 'ヶ' {
			r -= 'ァ' - 'ぁ'
		}
		if y, ok := kanaSmall[r]; ok {
			t := strings.TrimSuffix(b.String(), "i")
			b.Reset()
			if strings.HasSuffix(t, "sh") || strings.HasSuffix(t, "ch") || strings.HasSuffix(t, "j") {
				y = y[1:]
			}
			b.WriteString(t + y)
			continue
		}
		if r == 'っ' {
			double = true
			continue
		}
		t := kanaRows[r]
		if double && t != "" {
			b.WriteByte(t[0])
			double = false
		}
		b.WriteString(t)
	}
	return b.String()
}
