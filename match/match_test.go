package match_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/muster-cip/muster/internal/quickest"
	"github.com/muster-cip/muster/match"
)

func words(s string) string {
	var out []string
	for _, w := range match.Words(nil, s) {
		out = append(out, w.Text)
	}
	return strings.Join(out, " ")
}

// TestWords: what differs in form only is the same.
func TestWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                               "",
		" .,-'\"":                        "",
		"José Ángel NÚÑEZ":               "jose angel nunez",
		"Jose\u0301":                     "jose",
		"Łukasz Weiß-Müller":             "lukasz weiss muller",
		"Nguyễn Văn Đức":                 "nguyen van duc",
		"İsmail ŞAHİN":                   "ismail sahin",
		"'Abd al-Salam Sa'id":            "abdul al salam said",
		"Abdulsalam":                     "abdul salam",
		"ABDEL-SALAM":                    "abdul salam",
		"Abdurrahman":                    "abdul rahman",
		"Abdullah":                       "abdullah",
		"Najmuddin Faraj":                "najm din faraj",
		"Nur al-Din":                     "nur al din",
		"Ayman az-Zawahiri":              "ayman al zawahiri",
		"Айман аз-Завахири":              "ayman al zavakhiri",
		"As Safa":                        "al safa",
		"esh-Sharif":                     "al sharif",
		"An Ning":                        "an ning",
		"ＡＣＭＥ　ＬＴＤ":                       "acme ltd",
		"Sanchi2":                        "sanchi 2",
		"A.B.C. Trading":                 "a b c trading",
		"Veranillo S.A. de C.V.":         "veranillo sa",
		"Veranillo S.A.":                 "veranillo jsc",
		"OOO Roga i Kopyta":              "llc roga i kopyta",
		"Roga Limited Liability Company": "roga llc",
		"Smith & Sons":                   "smith and sons",
		"Путин":                          "putin",
		"Щербаков Юрий":                  "shcherbakov yuriy",
		"김정은":                            "kim jong un",
		"李方伟":                            "li fang wei",
		"Τσίπρας":                        "tsipras",
		"やまだ":                            "yamada",
		"丹东鸿祥实业发展有限公司":                   "dan dong hong xiang industrial development ltd",
		"Ivan\u202e\u200bov":             "ivanov",
		strings.Repeat("x", 100):         strings.Repeat("x", match.MaxWord),
		strings.TrimSpace(strings.Repeat("a ", 2)): "a a",
	} {
		if got := words(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestSameNameInTwoScripts: real names, as the press of both languages has them. The
// right Latin word is nearer to the native one than any other of the table.
func TestSameNameInTwoScripts(t *testing.T) {
	t.Parallel()
	pairs := [][2]string{
		{"محمد", "muhammad"},
		{"حسين", "hussein"},
		{"خالد", "khalid"},
		{"يوسف", "youssef"},
		{"إبراهيم", "ibrahim"},
		{"سليمان", "suleiman"},
		{"جمال", "gamal"},
		{"قذافي", "gaddafi"},
		{"صدام", "saddam"},
		{"نصرالله", "nasrallah"},
		{"ظواهري", "zawahiri"},
		{"احمدی", "ahmadi"},
		{"خامنه", "khamene"},
		{"روحانی", "rouhani"},
		{"قاسم", "qasem"},
		{"پرویز", "parviz"},
		{"ژاله", "zhaleh"},
		{"گیلانی", "gilani"},
		{"نتانیاهو", "netanyahu"},
	}
	for _, p := range pairs {
		w := match.Words(nil, p[0])
		if len(w) != 1 || w[0].Sound == nil {
			t.Fatalf("%s is %v", p[0], w)
		}
		own := match.SoundSimilarity(w[0].Sound, p[1])
		if own < 0.85 {
			t.Errorf("%s and %s: %.2f", p[0], p[1], own)
		}
		for _, o := range pairs {
			if o != p && match.SoundSimilarity(w[0].Sound, o[1]) >= own {
				t.Errorf("%s is nearer to %s than to %s", p[0], o[1], p[1])
			}
		}
	}
}

// TestSimilarity: spellings of one name are nearer than names that look alike.
func TestSimilarity(t *testing.T) {
	t.Parallel()
	sim := func(a, b string) float32 {
		return match.Similarity(a, b, match.AppendSounds(nil, a), match.AppendSounds(nil, b))
	}
	for _, p := range [][2]string{
		{"mohammed", "muhammad"}, {"hussein", "husayn"}, {"yusuf", "youssouf"}, {"qadhafi", "gaddafi"}, {"aleksandr", "alexander"}, {"sergey", "sergei"}, {"yevgeniy", "evgeny"}, {"dzhabrailov", "jabrailov"}, {"khodorkovskiy", "khodorkovsky"}, {"cherif", "sharif"}, {"djamel", "jamal"},
	} {
		if s := sim(p[0], p[1]); s < 0.8 {
			t.Errorf("%s and %s are one name: %.2f", p[0], p[1], s)
		}
	}
	for _, p := range [][2]string{{"smith", "jones"}, {"chen", "shin"}, {"reza", "rita"}, {"ivanov", "petrov"}, {"garcia", "gomez"}, {"ali", "eli"}, {"li", "lu"}} {
		if s := sim(p[0], p[1]); s > 0.88 {
			t.Errorf("%s and %s are two names: %.2f", p[0], p[1], s)
		}
	}
	// More slips than are counted are no likeness, however long the words are.
	for _, p := range [][2]string{{"development", "deutschland"}, {"constantinov", "chernomyrdin"}, {"mohammed", "morrison"}} {
		if s := sim(p[0], p[1]); s != 0 {
			t.Errorf("%s and %s begin alike, and no more: %.2f", p[0], p[1], s)
		}
	}
}

func TestSlips(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		n    int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "acb", 1}, {"abcdef", "abxdef", 1}, {"abcdef", "bcdef", 1}, {"abcdef", "abcdefg", 1}, {"ab", "ba", 1}, {"abcd", "badc", 2}, {"kitten", "sitting", 3}, {"abcdef", "uvwxyz", 3}, {"cabb", "bcca", 3}, {"aabc", "bcaa", 3}} {
		if got, back := match.Slips(c.a, c.b, 2), match.Slips(c.b, c.a, 2); got != c.n || back != c.n {
			t.Errorf("%q %q: %d, and %d back, want %d", c.a, c.b, got, back, c.n)
		}
	}
}

func TestDistancesAreSymmetric(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-z]{1,12}`)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if match.Slips(a, b, 3) != match.Slips(b, a, 3) {
			t.Fatal("slips")
		}
		as, bs := match.AppendSounds(nil, a), match.AppendSounds(nil, b)
		if x, y := match.Similarity(a, b, as, bs), match.Similarity(b, a, bs, as); x != y || x < 0 || x > 1 {
			t.Fatal("similarity", x, y)
		}
		if a != b && match.Slips(a, b, 1) == 1 {
			return
		}
		if match.SoundCost(as, as, 300) != 0 {
			t.Fatal("a word differs from itself")
		}
	})
}

// FuzzWords: whatever comes in, words are bounded, of [a-z0-9], and the same again.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"", "José", "محمد عبدالرحمن", "Путин", "김정은", "李方伟有限公司", "S.A. de C.V.", "\xff\xfe", "abdulrahman", "ーっ", "Ⅷ", "a\u0301\u0301\u0301", strings.Repeat("الدين", 50), strings.Repeat("a b ", 500)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ws := match.Words(nil, s)
		if len(ws) > match.MaxWords {
			t.Fatalf("%d words", len(ws))
		}
		for _, w := range ws {
			for _, text := range append(slices.Clone(w.Also), w.Text) {
				if text == "" || len(text) > match.MaxWord && len(w.Raw) == 0 || !utf8.ValidString(text) || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
					t.Fatalf("a word is %q", text)
				}
			}
			match.SoundSimilarity(w.Sound, w.Text)
			match.AppendSoundKeys(nil, w.Sound)
			match.AppendKey(nil, match.AppendSounds(nil, w.Text))
		}
	})
}

// TestLongNamesTakeBoundedTime: a name is as long as somebody wants it to be.
func TestLongNamesTakeBoundedTime(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]string{
		"1,000 words": strings.Repeat("muhammad ", 1000), "one word of 10 kB": strings.Repeat("a", 10_000), "1 MB": strings.Repeat("محمد ", 100_000), "marks": "a" + strings.Repeat("\u0301", 10_000), "letters": strings.Repeat("s.a.", 5000),
	} {
		const most = 20 * time.Millisecond
		if took := quickest.Of(most, func() { match.Words(nil, s) }); took > most {
			t.Errorf("%s: %v", what, took)
		}
	}
}

// TestSurname: a title before a name is a title; last, it is the family's name.
func TestSurname(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]match.Class{"Sheikh Umair": match.Title, "Umair Sheikh": match.Plain, "Umair Khan Jr": match.Plain, "Sheikh": match.Title} {
		ws := match.Words(nil, in)
		w := ws[0]
		if in == "Umair Sheikh" || in == "Umair Khan Jr" {
			w = ws[1]
		}
		class := w.Class
		if w.Organisational {
			class = w.Person
		}
		if class != want {
			t.Errorf("%s in %q: class %d, want %d", w.Text, in, class, want)
		}
	}
	if ws := match.Words(nil, "Umair Khan Jr"); ws[2].Class != match.Title || ws[2].Organisational {
		t.Errorf("Jr stands behind a name: %+v", ws[2])
	}
}
