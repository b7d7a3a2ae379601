package match

import "strings"

// sameNames are names that are one name by custom and not by their letters: each row
// is one. Korean and Chinese surnames as their bearers write them; names of the
// scriptures in Arabic, Hebrew and European form; Slavic names in Russian, Ukrainian
// and Belarusian, and what they are called abroad.
var sameNames = func() map[string][]string {
	m := map[string][]string{}
	for line := range strings.Lines(sameRows) {
		row := strings.Fields(line)
		for i, w := range row {
			for j, o := range row {
				if i != j && len(m[w]) < 8 {
					m[w] = append(m[w], o)
				}
			}
		}
	}
	return m
}()

const sameRows = `
ri lee yi rhee
pak park bak
choe choi
jong jung chung jeong chong
kim gim
no roh noh
im lim rim yim
yu yoo ryu
jo cho
paek baek paik
kang gang
ko go koh
jon jeon chon chun
song sung
yong young
chol cheol chul
hyon hyun
kyong kyung gyeong
myong myung
un eun
sok seok suk
won weon
hui hee
il ill
chan chen
wong wang huang
cheung zhang chang
lau liu
ng wu
chow zhou chou
kwok guo kuo
leung liang
tse xie hsieh
hui xu hsu tsui
yeung yang
lam lin
ho he
tsang zeng tseng
siu xiao hsiao
choi cai tsai
yip ye yeh
cheng zheng
tam tan
yuen yuan
fung feng
tang deng teng
poon pan
kwan guan
mak mai
yusuf joseph yosef jose
ibrahim abraham avraham brahim ebrahim
dawud david daud
musa moses moshe moussa
sulayman solomon suleiman shlomo
ishaq isaac yitzhak
yaqub jacob yaakov
ismail ishmael
isa jesus issa
yahya john yuhanna hanna
maryam miriam mary maria
ilyas elias
aleksandr alexander oleksandr aliaksandr alexandre alejandro iskandar
aleksey alexei oleksiy aliaksei alexis
sergey sergei serhiy siarhei serge
andrey andrei andriy andrew andre
pavel paul pavlo pablo
petr pyotr petro peter pedro
mikhail michael mykhaylo mykhailo mikhael miguel mikail
nikolay nikolai mykola nicholas mikalai
vladimir volodymyr uladzimir
dmitriy dmitry dmytro dzmitry
yevgeniy evgeny yevhen eugene
yuriy yuri yury georgiy
igor ihor
oleg oleh
elena yelena olena helen
ekaterina yekaterina kateryna catherine
grigoriy grigory hryhoriy gregory
vasiliy vasily vasyl basil
ilya illya elijah
konstantin kostyantyn constantine
anatoliy anatoly
stepan stephen steven stefan
yakov jacob yakiv
fyodor fedor fedir theodore
ivan john ian jan
viktor victor
maksim maxim maksym
mehmet mohammed muhammad mohammad mohamed
osman uthman othman usman
omer umar omar
huseyin husayn hussein hossein
hasan hassan
reza rida ridha
ahmad ahmed akhmad achmad
abdullah abdallah abdulla abdalla
`
