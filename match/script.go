package match

import "unicode"

type script uint8

const (
	scriptNone script = iota // parts words
	scriptLatin
	scriptCyrillic
	scriptGreek
	scriptArabic
	scriptHebrew
	scriptHan
	scriptHangul
	scriptKana
	scriptOther // letters that are not read here
)

func scriptOf(r rune) script {
	switch {
	case r >= 0x0400 && r <= 0x052f:
		return scriptCyrillic
	case r >= 0x0370 && r <= 0x03ff:
		return scriptGreek
	case r >= 0x0590 && r <= 0x05ff:
		if unicode.IsLetter(r) {
			return scriptHebrew
		}
		return scriptNone
	case r >= 0x0600 && r <= 0x06ff, r >= 0x0750 && r <= 0x077f, r >= 0x08a0 && r <= 0x08ff:
		if unicode.IsLetter(r) {
			return scriptArabic
		}
		return scriptNone
	case r >= 0x4e00 && r <= 0x9fff, r >= 0x3400 && r <= 0x4dbf, r == '〇':
		return scriptHan
	case r >= 0xac00 && r <= 0xd7a3:
		return scriptHangul
	case r >= 0x3041 && r <= 0x30ff && unicode.IsLetter(r):
		return scriptKana
	case unicode.Is(unicode.Latin, r):
		return scriptLatin
	case unicode.IsLetter(r):
		return scriptOther
	}
	return scriptNone
}
