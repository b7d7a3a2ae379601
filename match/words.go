package match

import (
	"slices"
	"strings"
)

// legalForms are the forms of firms, folded, to one name for each kind. Sources:
// ISO 20275 (entity legal forms) for the forms and their abbreviations.
var legalForms = table(`
llc: llc ooo tov too sarl srl gmbh eurl sprl bvba ltda lda doo spzoo kft sia uab eood ood shpk mchj xk sarlau wll spc fzco fze fzc fzllc dmcc
ltd: ltd limited ltee lte
inc: inc incorporated
corp: corp corporation corporacion corporacao korporatsiya
plc: plc
jsc: jsc ojsc cjsc pjsc oao zao pao ao aot pat sa sas sab sau saic sapi safi ag spa nv ab as asa oyj oy aps akb at ad dd doel pt tbk bhd berhad psc pjs kaa mmc qsc saoc saog kscc kpsc sal saa sacv jointstock sabcv sac scs kgaa se scarl scrl
llp: llp lp gp kg ohg kk gk kd cv snc sc scpa
sole: ip chp eirl fop
pty: pty pte pvt private proprietary
sdn: sdn
ag: aktiengesellschaft
verein: ev eg
`)

// known are words whose class is known, folded.
var known = func() map[string]Word {
	m := map[string]Word{}
	put := func(class Class, organisational bool, words string) {
		for w := range strings.FieldsSeq(words) {
			m[w] = Word{Text: w, Class: class, Organisational: organisational}
		}
	}
	put(Particle, false, `al el ul ad as ar at an az ash ud ur us il bin ben ibn bint binti bte abu abou umm de del dela da do dos das di du des la las los le les y e i van von den der ter ten zu zur af av the of for and und et ve wa oglu ogli ogly uulu kyzy qizi zade bar mac`)
	put(Title, false, `mr mrs ms miss dr doctor prof professor sir lord lady dame sheikh shaikh shaykh sheik cheikh shaik sayyid seyyed sayed seyed syed sayyed seyyid hajj haji hajji haj hadji hadj alhaji hajja mullah mulla mawlawi maulvi moulavi molvi maulavi mawlana maulana ustad ustaz ustadh qari hafiz mufti imam ayatollah hojjatoleslam hojatoleslam allama general gen colonel col major maj captain capt cpt lieutenant lt brigadier brig commander cmdr comandante sergeant sgt admiral adm marshal eng engr engineer ing lic arq ingeniero licenciado senor senora sr sra don dona monsieur mme madame mlle herr frau dipl jr snr senior junior phd md esq esquire excellency honorable president minister prince princess emir amir comrade rev reverend father fr pastor bishop sri shri smt pani gospodin tovarishch signor signora dott dottore avv maitre khwaja agha bey hanim sultan`)
	put(Title, true, `mv mt ms ss mfv fv`)
	put(Legal, true, `company corporation corp co cia cie limited ltd`)
	put(Generic, true, `companies compania compagnie companhia kompaniya group grupo groupe gruppe grup holding holdings trading trade trdg comercio comercial commercial commerce international internacional internationale internazionale national nacional general enterprise enterprises empresa empresas enterprize
		industry industries industrial industria industrias industrie service services servicios import imports export exports importacion exportacion importadora exportadora development investment investments inversiones investissement shipping maritime marine management consulting construction constructora engineering technology technologies tech solutions
		systems system product products productions production agency agencia bureau office organization organisation association asociacion foundation fundacion institute instituto society sociedad societe center centre firma firm house global world business financial finance logistics transport transportation transportes bros brothers sons partners cooperative cooperativa distribuidora comercializadora supply supplies equipment materials agricola ganadera inmobiliaria torgovy torgoviy dom zavod predpriyatie obshchestvo tijarat sherkat sharikat`)
	put(Particle, true, `en sur im`)
	for form, to := range legalForms {
		m[form] = Word{Text: to, Raw: form, Class: Legal, Organisational: true}
	}
	// What is written short may be a word of its own too: it keeps its letters.
	for line := range strings.Lines(abbreviations) {
		long, shorts, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		for short := range strings.FieldsSeq(shorts) {
			w, ok := m[short]
			if !ok {
				l := m[long]
				w = Word{Text: short, Class: l.Class, Person: l.Person, Organisational: l.Organisational}
			}
			if w.Class == Legal {
				continue
			}
			w.Also = append(slices.Clip(w.Also), long)
			w.Short = true
			m[short] = w
		}
	}
	for w := range strings.FieldsSeq("abd abdel abdal abdoul abdol abdur abdus abdun abdud") {
		m[w] = Word{Text: "abdul", Raw: w}
	}
	// A rank before a person's name, and a word of firms.
	for _, rank := range []string{"general", "gen"} {
		w := m[rank]
		w.Person = Title
		m[rank] = w
	}
	return m
}()

// abbreviations are the usual short forms, of firms' words and of names.
const abbreviations = `
company: coy comp compy cmpny
corporation: corpn crp
limited: lmtd
international: intl int intnl internatl internat inter
national: natl nat nac
agency: agcy
state: st
general: gen genl gral
group: grp gr gp
trading: trdg trd tradg
industries: inds ind indus indust
industrial: indl ind indus
industry: ind
manufacturing: mfg manuf mfr
services: svcs svc srvces srvcs srv serv servs
service: svce
enterprises: ents entps
enterprise: ent entp entr entpr
enterprises: ent
development: dev devt develop dvlpmt devel
investment: inv invest invt
investments: invs invts
import: imp impt
export: exp expt
shipping: shpg shipg shp
management: mgmt mgt mngmt
construction: constr const constrn cons
engineering: engg engrg eng engr
technology: technol tech
technologies: tech
technologies: techs
transport: transp trans trnsp
transportation: transpn
association: assn assoc ass assc
organization: org orgn
organisation: orgs
institute: inst
foundation: fdn found fndn
university: univ uni
department: dept dep
government: govt gov
brothers: bros
communications: comms commns commn
communication: comm
commercial: coml comml comm
committee: comm
committee: cttee ctte cmte
center: ctr cntr
centre: cntre
petroleum: petr petrol pet petro
petrochemical: petrochem petchem
chemical: chem
ministry: min
mining: min
maria: ma
electronics: elec electr electron
electric: elect
aviation: avn aviat av
airlines: airl
airways: awys
pharmaceutical: pharm pharma
agricultural: agric agri
insurance: insur ins
financial: fin finl
products: prods prod
equipment: equip eqpt
laboratory: lab
laboratories: labs
research: res
republic: rep
islamic: isl islm
saint: st
street: str
mountain: mtn
exchange: exch xchg
machinery: mach
materials: matls
systems: sys syst
solutions: soln solns
holdings: hldgs hldg
holding: hld hold hldg
logistics: log logist
cooperative: coop
federation: fed fedn
revolutionary: rev
production: prodn
mohammad: mohd muhd mohamd mhd mohmd moh md
francisco: fco fcisco
fernandez: fdez fndz
gonzalez: glez gzlez gonz
rodriguez: rguez rdguez rodz
hernandez: hdez hdz
martinez: mtnez mtz
sanchez: schez
gutierrez: gtez
jose: jse
`

type sequence struct {
	words     []string
	form, raw string
}

// phrases are the long names of legal forms, by their first word.
var phrases = func() map[string][]sequence {
	m := map[string][]sequence{}
	for _, row := range [][2]string{
		{"limited liability company", "llc"},
		{"limited liability", "llc"},
		{"ltd liability", "llc"},
		{"limited liability partnership", "llp"},
		{"joint stock company", "jsc"},
		{"joint stock", "jsc"},
		{"public joint stock", "jsc"},
		{"open joint stock", "jsc"},
		{"closed joint stock", "jsc"},
		{"public joint stock company", "jsc"},
		{"open joint stock company", "jsc"},
		{"closed joint stock company", "jsc"},
		{"public limited company", "plc"},
		{"public company limited", "plc"},
		{"private limited", "ltd"},
		{"pvt ltd", "ltd"},
		{"pte ltd", "ltd"},
		{"pty ltd", "ltd"},
		{"co ltd", "ltd"},
		{"company ltd", "ltd"},
		{"company limited", "ltd"},
		{"co limited", "ltd"},
		{"co inc", "inc"},
		{"sdn bhd", "sdn"},
		{"s a de c v", "sa"},
		{"sa de cv", "sa"},
		{"s de r l de c v", "llc"},
		{"s de rl de cv", "llc"},
		{"sociedad anonima de capital variable", "sa"},
		{"de c v", "sa"},
		{"de cv", "sa"},
		{"de r l", "llc"},
		{"sociedad anonima", "sa"},
		{"sociedad de responsabilidad limitada", "llc"},
		{"sociedad limitada", "llc"},
		{"societe anonyme", "sa"},
		{"societe a responsabilite limitee", "llc"},
		{"societa per azioni", "spa"},
		{"gesellschaft mit beschrankter haftung", "llc"},
		{"anonim sirketi", "as"},
		{"anonim sirket", "as"},
		{"limited sirketi", "ltd"},
		{"ltd sti", "ltd"},
		{"ltd stl", "ltd"},
		{"sanayi ve ticaret", "sanayi"},
		{"san ve tic", "sanayi"},
		{"sanayi ticaret", "sanayi"},
		{"obshchestvo s ogranichennoi otvetstvennostyu", "llc"},
		{"obshchestvo s ogranichennoy otvetstvennostyu", "llc"},
		{"otkrytoe aktsionernoe obshchestvo", "jsc"},
		{"zakrytoe aktsionernoe obshchestvo", "jsc"},
		{"aktsionernoe obshchestvo", "jsc"},
		{"publichnoe aktsionernoe obshchestvo", "jsc"},
		{"sp z o o", "llc"},
		{"sp zoo", "llc"},
		{"d o o", "llc"},
		{"free zone company", "fze"},
		{"free zone establishment", "fze"},
		{"c por a", "cpora"},
	} {
		words := strings.Fields(row[0])
		m[words[0]] = append(m[words[0]], sequence{words, row[1], strings.Join(words, "")})
	}
	for _, rows := range m { // the longest first
		for i := range rows {
			for j := i + 1; j < len(rows); j++ {
				if len(rows[j].words) > len(rows[i].words) {
					rows[i], rows[j] = rows[j], rows[i]
				}
			}
		}
	}
	return m
}()

// table reads "one: many many" lines into many -> one.
func table(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		to, from, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		for w := range strings.FieldsSeq(from) {
			m[w] = to
		}
	}
	return m
}

// NearLegal reports a word that is one slip from a legal form of four letters or more,
// or two where it has seven;
// or of the shortest and most usual ones.
func NearLegal(s string) bool {
	if len(s) == 3 {
		return Slips(s, "ltd", 1) <= 1 || Slips(s, "llc", 1) <= 1
	}
	if len(s) < 4 || len(s) > 17 {
		return false
	}
	most := 1
	if len(s) >= 7 {
		most = 2
	}
	for _, f := range longForms {
		if Slips(s, f, most) <= most {
			return true
		}
	}
	return false
}

var longForms = strings.Fields("ltda gmbh sarl limited incorporated corporation company ojsc pjsc companylimited companyltd coltd companyllc limitedliability")
