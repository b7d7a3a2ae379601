package match

import (
	_ "embed" // the table below
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// han.txt: one Mandarin reading (Hanyu Pinyin, ISO 7098, without tones) for each character.
//
//go:embed han.txt
var hanText string

const hanFirst, hanLast = 0x4e00, 0x9fff

type hanTable struct {
	syllables []string
	of        [hanLast - hanFirst + 1]uint16 // index into syllables, 0 where there is none
}

var readings = sync.OnceValue(func() *hanTable {
	t := &hanTable{syllables: []string{""}}
	for line := range strings.Lines(hanText) {
		syllable, chars, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || syllable == "#" {
			continue
		}
		t.syllables = append(t.syllables, strings.ReplaceAll(syllable, "v", "u"))
		for _, r := range chars {
			if r >= hanFirst && r <= hanLast {
				t.of[r-hanFirst] = uint16(len(t.syllables) - 1)
			}
		}
	}
	return t
})

func pinyin(r rune) string {
	if s, ok := hanName[r]; ok {
		return s
	}
	if r < hanFirst || r > hanLast {
		return ""
	}
	t := readings()
	return t.syllables[t.of[r-hanFirst]]
}

// hanName are characters that names read otherwise than the table.
var hanName = map[rune]string{
	'曾': "zeng", '单': "shan", '單': "shan", '解': "xie", '仇': "qiu", '查': "zha", '区': "ou", '區': "ou", '任': "ren", '盖': "ge", '缪': "miao", '繆': "miao", '重': "zhong", '长': "chang", '長': "chang", '乐': "le", '樂': "le", '行': "hang", '银': "yin", '朴': "piao", '覃': "qin", '秘': "bi", '冼': "xian", '翟': "zhai", '么': "yao", '尹': "yin", '沈': "shen", '瀋': "shen", '贾': "jia", '賈': "jia", '柏': "bai", '石': "shi", '叶': "ye", '葉': "ye", '大': "da", '都': "du", '参': "can", '朝': "chao", '厦': "xia",
}

// hanSurnames are what surnames are written in Hong Kong (government romanisation of
// Cantonese), in Taiwan (Wade-Giles), and by Koreans and Vietnamese in Han.
var hanSurnames = map[rune][]string{
	'陈': {"chan", "chen", "chin", "tan", "tran"}, '陳': {"chan", "chen", "chin", "tan", "tran"}, '王': {"wong", "wang", "vuong"}, '黄': {"wong", "huang", "hwang", "hoang"}, '黃': {"wong", "huang", "hwang", "hoang"}, '李': {"lee", "lei", "ri", "yi", "ly"},
	'张': {"cheung", "chang", "teo", "truong"}, '張': {"cheung", "chang", "teo", "truong"}, '刘': {"lau", "liu", "yu", "luu"}, '劉': {"lau", "liu", "yu", "luu"}, '杨': {"yeung", "yang", "duong"}, '楊': {"yeung", "yang", "duong"}, '赵': {"chiu", "chao", "jo", "cho"}, '趙': {"chiu", "chao", "jo", "cho"},
	'周': {"chow", "chau", "chou"}, '吴': {"ng", "wu", "o", "ngo"}, '吳': {"ng", "wu", "o", "ngo"}, '徐': {"tsui", "hsu", "chui", "so"}, '孙': {"suen", "sun", "son"}, '孫': {"suen", "sun", "son"}, '马': {"ma"}, '馬': {"ma"}, '朱': {"chu", "ju"}, '胡': {"wu", "hu", "woo"},
	'郭': {"kwok", "kuo", "kwak"}, '何': {"ho", "ha"}, '林': {"lam", "lin", "rim", "lim"}, '高': {"ko", "kao", "go"}, '罗': {"law", "lo"}, '羅': {"law", "lo"}, '郑': {"cheng", "tseng", "jong", "jung", "trinh"}, '鄭': {"cheng", "tseng", "jong", "jung", "trinh"}, '梁': {"leung", "liang", "ryang", "luong"},
	'谢': {"tse", "hsieh"}, '謝': {"tse", "hsieh"}, '宋': {"sung", "song"}, '唐': {"tong", "tang"}, '许': {"hui", "hsu", "ho"}, '許': {"hui", "hsu", "ho"}, '韩': {"hon", "han"}, '韓': {"hon", "han"}, '邓': {"tang", "teng"}, '鄧': {"tang", "teng"}, '冯': {"fung", "feng"}, '馮': {"fung", "feng"}, '曹': {"tso", "tsao"},
	'彭': {"pang", "peng"}, '曾': {"tsang", "tseng"}, '萧': {"siu", "hsiao"}, '蕭': {"siu", "hsiao"}, '田': {"tin", "tien"}, '董': {"tung"}, '潘': {"poon", "pan"}, '袁': {"yuen"}, '蔡': {"choi", "tsai", "choy"}, '余': {"yu", "yue"}, '于': {"yu"}, '叶': {"yip", "yeh"}, '葉': {"yip", "yeh"}, '程': {"ching", "cheng"}, '苏': {"so", "su"}, '蘇': {"so", "su"},
	'魏': {"ngai", "wei"}, '吕': {"lui", "lu"}, '呂': {"lui", "lu"}, '丁': {"ting"}, '沈': {"shum", "shen"}, '任': {"yam", "jen"}, '姚': {"yiu", "yao"}, '卢': {"lo", "lu"}, '盧': {"lo", "lu"}, '钟': {"chung"}, '鍾': {"chung"}, '崔': {"tsui", "choe", "choi"}, '谭': {"tam", "tan"}, '譚': {"tam", "tan"}, '廖': {"liu", "liao"}, '范': {"fan"}, '汪': {"wong", "wang"}, '陆': {"luk", "lu"}, '陸': {"luk", "lu"}, '金': {"kam", "chin", "kim"}, '石': {"shek", "shih"}, '戴': {"tai", "dai"},
	'韦': {"wai", "wei"}, '夏': {"ha", "hsia"}, '邱': {"yau", "chiu"}, '方': {"fong", "fang"}, '侯': {"hau", "hou"}, '邹': {"chau", "tsou"}, '熊': {"hung", "hsiung"}, '孟': {"mang", "meng"}, '秦': {"chun", "chin"}, '白': {"pak", "pai", "paek"}, '江': {"kong", "chiang"}, '阎': {"yim", "yen"}, '薛': {"sit", "hsueh"}, '尹': {"wan", "yin", "yun"}, '段': {"tuen", "tuan"}, '雷': {"lui", "lei"}, '黎': {"lai", "li"}, '史': {"sze", "shih"}, '龙': {"lung"}, '陶': {"to", "tao"}, '贺': {"ho"}, '顾': {"koo", "ku"}, '毛': {"mo", "mao"}, '郝': {"hok", "hao"}, '龚': {"kung"}, '邵': {"shiu", "shao"}, '万': {"man", "wan"}, '钱': {"chin", "chien"}, '严': {"yim", "yen"}, '赖': {"lai"}, '洪': {"hung"}, '武': {"mo", "wu"}, '莫': {"mok", "mo"}, '孔': {"hung", "kung"}, '朴': {"pak", "park"}, '蒋': {"chiang"}, '蔣': {"chiang"}, '甘': {"kam", "kan"}, '伍': {"ng", "wu"}, '区': {"au", "ou"}, '區': {"au", "ou"}, '欧': {"au", "ou"}, '關': {"kwan", "kuan"}, '关': {"kwan", "kuan"}, '麦': {"mak", "mai"}, '麥': {"mak", "mai"}, '霍': {"fok", "huo"}, '阮': {"yuen", "nguyen"}, '温': {"wan", "wen"}, '游': {"yau", "yu"}, '姜': {"keung", "kang"}, '安': {"on", "an"}, '权': {"kwon"}, '權': {"kwon"}, '全': {"jon", "chon"}, '池': {"ji", "chi"}, '玄': {"hyon", "hyun"},
}

var hanDouble = []string{"欧阳", "歐陽", "司马", "司馬", "诸葛", "諸葛", "上官", "司徒", "尉迟", "尉遲", "皇甫", "令狐", "慕容", "宇文", "长孙", "長孫", "东方", "東方", "夏侯", "公孙", "公孫"}

type hanWord struct {
	text string
	word Word
}

// hanKnown are words of firms' names, longest first.
func hanKnown() []hanWord {
	rows := strings.Fields(`
股份有限公司=ltd! 有限责任公司=ltd! 有限責任公司=ltd! 有限公司=ltd! 集团公司=group 集團公司=group 总公司=corporation 總公司=corporation 公司=company 集团=group 集團=group
国际=international 國際=international 贸易=trading 貿易=trading 进出口=import+export 進出口=import+export 发展=development 發展=development 实业=industrial 實業=industrial 工业=industries 工業=industries
科技=technology 技术=technology 技術=technology 电子=electronics 電子=electronics 航运=shipping 航運=shipping 船务=shipping 船務=shipping 海运=shipping 海運=shipping 物流=logistics 运输=transport 運輸=transport 航空=aviation 石油=petroleum 石化=petrochemical 化工=chemical 能源=energy 电力=power
银行=bank 銀行=bank 投资=investment 投資=investment 控股=holdings 金融=financial 保险=insurance 保險=insurance 证券=securities 建设=construction 建設=construction 建筑=construction 工程=engineering 机械=machinery 機械=machinery 设备=equipment 设计=design 材料=materials 金属=metals 金屬=metals 钢铁=steel 矿业=mining 礦業=mining 煤炭=coal 资源=resources 資源=resources 管理=management 服务=service 服務=service
大学=university 大學=university 学院=institute 研究院=institute 研究所=institute 研究=research 中心=center 协会=association 中国=china 中國=china 香港=hong+kong 北京=beijing 上海=shanghai 大连=dalian 大連=dalian 广东=guangdong 深圳=shenzhen 天津=tianjin 电讯=telecommunications 通信=communications 网络=network 信息=information 数码=digital 医药=pharmaceutical 生物=bio 食品=food 农业=agriculture 纺织=textile 服装=garments 商贸=trading 商社=trading 株式会社=ltd!`)
	var out []hanWord
	for _, row := range rows {
		text, latin, _ := strings.Cut(row, "=")
		w := Word{Text: latin}
		if form, ok := strings.CutSuffix(latin, "!"); ok {
			w = Word{Text: form, Class: Legal, Organisational: true}
		} else if k, ok := known[latin]; ok {
			w = k
		}
		out = append(out, hanWord{text, w})
	}
	slices.SortStableFunc(out, func(a, b hanWord) int { return len(b.text) - len(a.text) })
	return out
}

var hanWordsKnown = sync.OnceValue(hanKnown)

// hanWords reads a name character by character: each is a word, and lists that
// write given names as one word are met by joining.
func hanWords(dst []Word, s string) []Word {
	surname := !startsWithAny(s, hanDouble)
	n := 0
	long := utf8.RuneCountInString(s) > 5 // a firm: no person's name is so long
	for i := 0; i < len(s); {
		if long {
			if k := hanKnownAt(s[i:]); k >= 0 {
				row := hanWordsKnown()[k]
				for part := range strings.SplitSeq(row.word.Text, "+") {
					w := row.word
					w.Text = part
					dst = append(dst, w)
				}
				i += len(row.text)
				n++
				continue
			}
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		w := Word{Text: pinyin(r)}.orNothing()
		if n == 0 && surname {
			for _, a := range hanSurnames[r] {
				w = w.also(a)
			}
		}
		if n > 0 {
			for _, a := range cantonese[r] {
				w = w.also(a)
			}
		}
		if wg := wadeGiles(w.Text); wg != w.Text {
			w = w.also(wg)
		}
		dst = append(dst, w)
		n++
	}
	return dst
}

func hanKnownAt(s string) int {
	for i, row := range hanWordsKnown() {
		if strings.HasPrefix(s, row.text) {
			return i
		}
	}
	return -1
}

// wadeGiles writes a syllable of pinyin by Wade-Giles, without apostrophes, as
// passports of Taiwan and older lists do.
func wadeGiles(s string) string {
	if t, ok := wadeWhole[s]; ok {
		return t
	}
	initial, final := "", s
	for _, i := range []string{"zh", "ch", "sh", "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "r", "z", "c", "s"} {
		if rest, ok := strings.CutPrefix(s, i); ok {
			initial, final = i, rest
			break
		}
	}
	switch final {
	case "ong":
		final = "ung"
	case "ian":
		final = "ien"
	case "ie":
		final = "ieh"
	case "ue":
		final = "ueh"
	case "uo":
		if initial != "g" && initial != "k" && initial != "h" && initial != "sh" {
			final = "o"
		}
	case "ui":
		if initial == "g" || initial == "k" {
			final = "uei"
		}
	case "iong":
		final = "iung"
	case "e":
		if initial == "g" || initial == "k" || initial == "h" {
			final = "o"
		}
	}
	if to, ok := wadeInitials[initial]; ok {
		initial = to
	}
	return initial + final
}

var wadeInitials = map[string]string{"b": "p", "d": "t", "g": "k", "j": "ch", "q": "ch", "x": "hs", "zh": "ch", "z": "ts", "c": "ts", "r": "j"}

var wadeWhole = map[string]string{
	"zhi": "chih", "chi": "chih", "shi": "shih", "ri": "jih", "zi": "tzu", "ci": "tzu", "si": "szu", "yi": "i", "you": "yu", "yan": "yen", "ye": "yeh", "yue": "yueh", "er": "erh", "yong": "yung", "he": "ho", "e": "o",
}
