package match

import "strings"

// cantonese is how characters of given names are written in Hong Kong: the
// government's romanisation (after Eitel and Dyer-Ball), which follows no single
// system; the rows are the usual spellings. Surnames stand in hanSurnames.
var cantonese = func() map[rune][]string {
	m := map[rune][]string{}
	for row := range strings.FieldsSeq(cantoneseRows) {
		spelling, chars, _ := strings.Cut(row, ":")
		for _, r := range chars {
			m[r] = append(m[r], spelling)
		}
	}
	return m
}()

const cantoneseRows = `
yiu:耀瑶瑤 chung:宗忠仲聰聪钟鍾松 wah:華华 kwai:桂貴贵葵 wai:偉伟衛卫慧惠威維维瑋玮為为 ka:嘉家 kar:嘉家 chiu:超朝照潮 ping:炳平萍 keung:強强姜 cheung:昌祥章翔 yuet:月粵悅悦 ngor:娥 yeuk:若 wah:驊骅 kwok:國国郭 ming:明銘铭鳴鸣
man:文敏民萬万雯 chi:志智之芝子 kin:健建堅坚 ho:豪浩皓好 hin:軒轩顯显 lok:樂乐洛 chun:俊春振晉晋津鎮镇 kit:傑杰潔洁 yan:欣恩仁欣茵甄 yee:儀仪怡宜伊兒儿義义 ying:英瑩莹盈櫻影 mei:美薇 mui:梅妹 ling:玲齡龄凌靈灵 fung:鳳凤鋒锋風风 fong:芳 lai:麗丽禮礼 lan:蘭兰 sau:秀修壽寿
shing:成城勝胜聖圣承誠诚 sing:星成勝 wing:榮荣永詠咏穎颖 hing:興兴慶庆卿 kwong:光廣广 hung:雄洪鴻鸿紅红 lung:龍龙隆 lun:倫伦麟 tak:德 tung:東东棟栋通彤 hoi:海凱凯開开 yuen:源遠远婉圓圆元 yin:賢贤妍燕彥彦 kam:金錦锦琴 sum:心深 suet:雪 sze:思詩诗斯 tsz:子梓紫慈 tin:天田 tai:泰大 shun:順顺信舜 on:安 hang:恆恒行衡 pak:柏伯百 sang:生 shan:山珊善 shek:石碩硕 siu:小少兆肇 yat:日一逸 yu:宇如愚余裕 yuk:玉育煜 wan:雲云韻韵運运 kei:基奇琪其祺 king:敬景經经瓊琼 ki:基琪 kwan:君均鈞钧群坤 lap:立 leung:良亮 lik:力 miu:妙 nga:雅 oi:愛爱 po:寶宝波保 pui:佩培沛 sai:世西 shuk:淑 tat:達达 ting:婷廷庭定 wang:宏泓 woon:煥焕寬宽 ye:野 yim:艷艳嚴严 chak:澤泽 cheuk:卓焯 chor:楚初 fai:輝辉暉晖 fat:發发法 fu:富夫 hei:希熙喜曦 him:謙谦 kai:佳啟启階继 hon:漢汉翰 chee:志 lim:廉 nok:諾诺 nin:年 yeung:揚扬洋陽阳 lau:流 chu:珠柱 wui:匯汇會会 chee:慈 kuen:權权娟 yui:銳锐 sik:錫锡 tong:棠堂 yau:有佑友 yip:業业
`
