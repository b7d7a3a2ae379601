package lists

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/muster-cip/muster"
)

// suffixes stand behind a name in reading order, wherever a list puts them.
var suffixes = []string{"jr", "jr.", "sr", "sr.", "ii", "iii", "iv"}

// Name makes a name of one string. An individual's "FAMILY, Given Middle" becomes
// "Given Middle FAMILY", with the parts kept; a comma in any other name stays.
func Name(kind muster.ListedKind, raw string, role muster.NameRole, q muster.NameQuality) muster.ListedName {
	n := muster.ListedName{Full: Clean(raw), Role: role, Quality: q}
	family, rest, apart := strings.Cut(n.Full, ",")
	if kind == muster.ListedIndividual && apart {
		var given, after []string
		for part := range strings.SplitSeq(rest, ",") {
			switch part = strings.TrimSpace(part); {
			case part == "":
			case slices.Contains(suffixes, strings.ToLower(part)):
				after = append(after, part)
			default:
				given = append(given, part)
			}
		}
		n.Family, n.Given = strings.TrimSpace(family), strings.Join(given, " ")
		n.Full = Words(append([]string{n.Given, n.Family}, after...)...)
	}
	n.Script = Script(n.Full)
	return n
}

// Parts makes a name of its parts.
func Parts(given, family string, role muster.NameRole, q muster.NameQuality) muster.ListedName {
	n := muster.ListedName{Given: Clean(given), Family: Clean(family), Role: role, Quality: q}
	n.Full = Words(n.Given, n.Family)
	if n.Given == "" {
		n.Family = "" // one string, whatever it is
	}
	n.Script = Script(n.Full)
	return n
}

// Words joins what is not empty with spaces.
func Words(parts ...string) string { return joined(" ", parts) }

// Commas joins what is not empty with commas.
func Commas(parts ...string) string { return joined(", ", parts) }

func joined(sep string, parts []string) string {
	var out []string
	for _, p := range parts {
		if p = Clean(p); p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

// AddName appends a name that the entry does not have yet.
func AddName(e *muster.ListEntry, n muster.ListedName) {
	if n.Full == "" || slices.ContainsFunc(e.Names, func(o muster.ListedName) bool { return o.Full == n.Full && o.Role != muster.NameNative }) {
		return
	}
	e.Names = append(e.Names, n)
}

var scripts = []struct {
	code  string
	table *unicode.RangeTable
}{
	{"Arab", unicode.Arabic},
	{"Cyrl", unicode.Cyrillic},
	{"Jpan", unicode.Hiragana},
	{"Jpan", unicode.Katakana},
	{"Hani", unicode.Han},
	{"Kore", unicode.Hangul},
	{"Hebr", unicode.Hebrew},
	{"Grek", unicode.Greek},
	{"Thai", unicode.Thai},
	{"Deva", unicode.Devanagari},
	{"Beng", unicode.Bengali},
	{"Geor", unicode.Georgian},
	{"Armn", unicode.Armenian},
	{"Mymr", unicode.Myanmar},
	{"Ethi", unicode.Ethiopic},
	{"Taml", unicode.Tamil},
	{"Khmr", unicode.Khmer},
	{"Laoo", unicode.Lao},
	{"Sinh", unicode.Sinhala},
	{"Thaa", unicode.Thaana},
}

// Script is the ISO 15924 code of the script that a name is written in; "" is Latin.
func Script(s string) string {
	found := ""
	for _, r := range s {
		if r < 0x370 {
			continue
		}
		for _, sc := range scripts {
			if unicode.Is(sc.table, r) {
				if sc.code == "Jpan" {
					return sc.code // Han with kana beside it is Japanese
				}
				if found == "" {
					found = sc.code
				}
				break
			}
		}
	}
	return found
}

var alsoKnown = regexp.MustCompile(`(?i)\s*(\(?)\s*\b(a\.k\.a\.|a/k/a|a\.k\.a|also known as|f\.k\.a\.|f/k/a|formerly known as|n\.k\.a\.)[:,]?\s+|\s*(\()\s*(aka|fka)\b[:,.]?\s+`)

// maxName bounds what names are looked for in: no publisher's field of names is longer,
// and each name in it costs another look.
const maxName = 4096

// AlsoKnown takes other names out of one string: "A (a.k.a. B; C) D" is A D, B and C.
func AlsoKnown(s string) (name string, others []muster.ListedName) {
	s = Clean(s)
	if len(s) > maxName {
		return s, nil
	}
	m := alsoKnown.FindStringSubmatchIndex(s)
	if m == nil || m[0] == 0 {
		return s, nil
	}
	name = s[:m[0]]
	tail := s[m[1]:]
	mark := strings.ToLower(s[m[0]:m[1]])
	if strings.Contains(mark, "(") {
		if end := closing(tail); end >= 0 {
			name, tail = Words(name, tail[end+1:]), tail[:end]
		}
	}
	role := muster.NameAlias
	if strings.Contains(mark, "f") {
		role = muster.NameFormer
	}
	for part := range strings.SplitSeq(tail, ";") {
		if inner, more := AlsoKnown("x " + strings.Trim(part, " ,")); inner != "x" || len(more) > 0 {
			if inner = strings.TrimPrefix(strings.TrimPrefix(inner, "x"), " "); inner != "" {
				others = append(others, muster.ListedName{Full: inner, Role: role, Quality: muster.NameStrong, Script: Script(inner)})
			}
			others = append(others, more...)
		}
	}
	return strings.Trim(name, " ,;"), others
}

// closing is where the bracket that was opened before s is closed; -1: nowhere.
func closing(s string) int {
	depth := 1
	for i, r := range s {
		switch r {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
