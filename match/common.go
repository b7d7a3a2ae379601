package match

import "strings"

// Common is about which share of people in the world carry a name, or of firms a
// word, for words that are common enough to be known: 0 for others. A list does not
// show how common a name is that nobody on it has; and a word that is known to be a
// name is seldom another one mistyped.
//
// The rows were written by hand from national statistics of names (census of the
// United States 2010, INE of Spain, Statistics Korea, Vietnam's and China's surname
// counts, and the like) and from the largest listed firms; the shares are grades, not counts.
func Common(word string) float64 { return commonNames[word] }

var commonNames = func() map[string]float64 {
	m := map[string]float64{}
	for share, words := range map[float64]string{1.0 / 400: mostCommon, 1.0 / 3000: veryCommon, 1.0 / 20000: knownNames + knownWords} {
		for w := range strings.FieldsSeq(words) {
			m[w] = max(m[w], share)
		}
	}
	return m
}()

const mostCommon = `
muhammad mohammad mohammed mohamed mohamad ahmed ahmad ali hassan hasan hussein hussain hossein khan singh kumar wang li zhang liu chen yang huang zhao wu zhou nguyen tran le pham kim lee park garcia rodriguez martinez hernandez lopez gonzalez perez sanchez
smith johnson williams brown jones maria jose juan ana ivanov ivan anna john james david michael ibrahim abdullah abdul
`

const veryCommon = `
omar umar khalid khaled mahmoud mahmood mustafa mostafa youssef yusuf yousef saleh salim salem said saeed karim kareem tariq tarek nasser nasir jamal jamil hamid hamza bilal samir sami walid waleed ziad zaid rashid faisal fahad sultan salman saad majid majed adel adil amir amin anas rami nabil nader imran usman osman bashir habib haidar jaber jabir jafar kamal latif malik mansour mansur murad musa moussa nour noor qasim rahman rahim rahimi reza raza sadiq sharif shah sheikh siddiqui suleiman sulaiman taher yasin yassin younis yunus zahra fatima aisha ayesha maryam khadija layla leila amina zainab nadia rania hala huda samira salma sara sarah hana dina
mehdi mahdi amir hossain mohammadi hosseini ahmadi rezaei karimi moradi jafari ebrahimi sadeghi hashemi ghasemi mousavi kazemi najafi salehi bagheri akbari shirazi tehrani kamran farhad navid arash dariush behzad shirin parisa nasrin fatemeh hamed saeid majid javad abbas mohsen alireza morteza masoud
xu sun ma zhu hu guo he lin gao luo zheng liang xie song tang deng feng cao peng zeng xiao tian dong pan yuan cai jiang yu du ye cheng wei su lu ding ren shen yao lu jin wei fang na min jing qiang lei jun yong yan jie juan tao ming chao xia ping gang xin bin bo hao hui jian kai lan mei ning peng qing rui shan ting xiang yi ying yun zhi
hoang huynh phan vu vo dang bui do ho ngo duong ly minh anh huong lan hoa hung dung tuan nam long linh trang thao phuong hanh duc quang hieu khanh ngoc thuy mai hai son tam binh thanh
choi jung kang cho yoon jang lim han oh seo shin kwon hwang ahn song yoo hong jeong chung moon yang bae baek ryu
ramirez torres flores rivera gomez diaz cruz morales ortiz gutierrez chavez ramos mendoza ruiz alvarez castillo jimenez vargas romero moreno herrera medina aguilar castro vasquez vazquez fernandez guzman munoz rojas delgado silva soto suarez dominguez salazar contreras guerrero estrada luna molina mejia cardenas leon pena reyes santos santiago valdez velasquez acosta campos carrillo espinoza figueroa fuentes navarro nunez ochoa pacheco padilla rios rosales salas sandoval serrano trujillo valencia vega velez villa zamora
luis carlos jorge carmen laura miguel pedro alejandro francisco antonio manuel rafael javier fernando ricardo eduardo sofia lucia daniela gabriela andrea patricia rosa diego sergio raul roberto mario oscar hector cesar ruben alberto alfredo arturo enrique ernesto gerardo guillermo gustavo ignacio jaime jesus joaquin julio marco marcos martin pablo ramon rodrigo salvador victor adriana alicia beatriz claudia elena guadalupe isabel juana leticia luz margarita martha monica norma silvia teresa veronica
davis miller wilson moore taylor anderson thomas jackson white harris thompson clark lewis robinson walker young allen king wright scott hill green adams baker nelson carter mitchell roberts turner phillips campbell parker evans edwards collins stewart morris rogers reed cook morgan bell murphy bailey cooper richardson cox howard ward peterson gray watson brooks kelly sanders price bennett wood barnes ross henderson coleman jenkins perry powell long patterson hughes
robert william richard joseph charles mary patricia jennifer linda elizabeth barbara susan jessica karen emma olivia daniel matthew andrew george emily peter paul mark donald steven kenneth brian kevin edward ronald timothy jason jeffrey ryan gary nicholas eric jonathan larry justin brandon frank benjamin samuel gregory alexander patrick jack dennis jerry nancy lisa margaret betty sandra ashley kimberly donna michelle carol amanda melissa deborah stephanie rebecca laura helen sharon cynthia kathleen amy angela
smirnov kuznetsov popov vasiliev petrov sokolov mikhailov novikov fedorov morozov volkov alekseev lebedev semenov egorov pavlov kozlov stepanov nikolaev orlov andreev makarov nikitin zakharov ivanova petrova smirnova kuznetsova popova sokolova shevchenko kovalenko bondarenko tkachenko kovalchuk kravchenko oliynyk melnyk boyko kowalski nowak wisniewski novak svoboda horvat jovanovic petrovic nikolic markovic aleksandr alexander sergey sergei dmitry dmitri andrey andrei alexey aleksei maxim mikhail olga natalia tatiana irina ekaterina svetlana oleksandr andriy volodymyr iryna vladimir nikolai igor oleg pavel viktor yuri roman denis evgeny konstantin anton ilya kirill artem ruslan timur vadim vitaly stanislav boris anatoly galina lyudmila marina yulia piotr krzysztof katarzyna tomasz jana nikola marko milan jan
sharma patel gupta reddy nair iyer chaudhry butt islam hossain chowdhury das banerjee mukherjee perera fernando qureshi mehta joshi rao verma mishra pandey yadav jain agarwal shah thakur chauhan bhatt desai kaur gill sidhu rahul amit priya anjali rajesh suresh sunita deepak sanjay vijay arjun pooja neha farhan shahid asif sana hina ravi lakshmi anil sunil ashok ramesh mukesh manoj dinesh anita sushma begum bibi akhtar iqbal hussaini javed nawaz aslam arshad akram tahir zahid nasreen
okafor okonkwo adeyemi balogun eze nwosu mensah owusu boateng asante osei appiah diallo traore coulibaly ndiaye diop fall sow keita toure cisse kone ouattara sanogo camara barry bah jallow ceesay kouassi kouame diarra sissoko fofana konate sylla sarr gueye faye ba mbaye seck kane adeleke obi ibe okoro chukwu nwachukwu abubakar bello garba sani yakubu aliyu mamadou aminata fatoumata ousmane cheikh aissatou ibrahima boubacar seydou adama mariama amadou modou lamin kwame kofi ama akosua yaw chinedu ngozi emeka oluwaseun adebayo tunde babatunde
yilmaz kaya demir celik sahin yildiz yildirim ozturk aydin arslan dogan kilic aslan cetin kara koc kurt ozdemir mehmet ahmet mustafa huseyin ismail osman murat emre burak fatma ayse emine hatice zeynep elif
santos silva oliveira souza pereira lima costa ferreira ribeiro almeida joao paulo marcos lucas gabriel rafael
muller schmidt schneider fischer weber meyer wagner becker schulz hoffmann peter hans klaus martin dubois bernard petit durand leroy moreau simon laurent michel lefebvre rossi russo ferrari esposito bianchi romano colombo ricci
sato suzuki takahashi tanaka watanabe ito yamamoto nakamura kobayashi kato
`

const knownNames = `
haddad khoury hamdan darwish shehadeh farouk zaki fahmy gaber otaibi harbi ghamdi zahrani shehri bakri sabbagh najjar awad issa sayegh tahan salameh khalil mansoor nassar hariri assaf saab khalaf hamad hamdi jaafar kassem qassem kazem mazen marwan munir nizar omran rafiq ragab riad sabri sayed shaker shawki talal taha tamer wael yahya zaher ammar ayman basel bassam fadi fares firas ghassan hani hatem hazem ihab issam jihad luay maher mazin mohsen mounir muhannad nazir osama rafat raed rashad saif shadi tawfiq yasser yazan
xiuying xiulan guiying jianguo jianhua haitao xiaoming zhiqiang lihua yuting zihan haoran zhang zhiyong weiwei xiaoli xiaohong yumei guilan shuying jinlong hongwei haiyan dongmei xiaoyan minghua
minjun seoyeon jihoon jiwoo hyunwoo sungmin youngho minji yuna soojin jaehyun eunji dongwook kyungsoo taehyung jisoo hyejin seunghyun jungho sangwoo minho junho youngsoo
folake ifeoma chukwuemeka abena moussa kelechi yetunde ogunleye olawale adewale chidi uche amaka nneka segun femi kunle akin bola chiamaka oluwatobi yusufu sekou alpha thierno souleymane abdoulaye bakary demba fanta kadiatou
tahmina rafiqul aarav vivaan aditya vihaan shreya kavita meena geeta rekha usha nisha swati rohit vikram karan siddharth harish mahesh naresh rakesh umesh naveed junaid kashif waqar faizan hamza rizwan shoaib sohail tariq yasir zeeshan
andriy yaroslav bohdan taras serhiy oleksiy mykola dmytro olena kateryna nataliya viktoriya yevhen ihor vasyl petro pavlo mykhailo stepan tkachuk savchenko rudenko marchenko lysenko petrenko ponomarenko klymenko pavlenko
bush daniels franklin lincoln washington jefferson kennedy clinton obama trump biden carter reagan ford nixon gates jobs musk bezos buffett
emmanuel francois pierre jacques philippe nicolas christophe sophie isabelle camille giovanni giuseppe francesco alessandro lorenzo matteo chiara giulia
`

const knownWords = `
microsoft apple alphabet google amazon meta facebook berkshire hathaway toyota volkswagen siemens samsung shell total exxon mobil chevron aramco walmart jpmorgan chase wells fargo citigroup hsbc deutsche paribas santander ubs credit agricole mitsubishi industrial construction tata reliance infosys hdfc icici petrobras vale movil cemex bimbo ecopetrol avianca emirates etihad qatar turkish koc singapore
nestle novartis roche pfizer merck glaxosmithkline astrazeneca sanofi bayer basf dow coca cola pepsico unilever procter gamble loreal nike adidas mcdonalds starbucks maersk msc cma cgm hapag lloyd evergreen cosco dhl fedex ups airbus boeing lockheed electric motors hyundai honda sony panasonic hitachi lg alibaba tencent lenovo xiaomi byd semiconductor foxconn cathay vodafone att verizon telefonica orange mtn safaricom dangote ecobank naspers anglo rio tinto bhp glencore cargill oracle ibm intel nvidia cisco sap adobe netflix tesla hetzner ovh digitalocean linode rackspace
huawei zte nokia ericsson philips bosch daimler bmw mercedes audi renault peugeot citroen fiat ferrari volvo scania nissan mazda subaru suzuki kia mahindra bajaj hero airtel jio adani birla larsen toubro wipro hcl cognizant accenture deloitte kpmg ernst pwc mckinsey allianz axa zurich generali prudential metlife aig swiss munich barclays lloyds natwest standard chartered goldman sachs morgan stanley merrill lynch nomura sumitomo mizuho softbank rakuten uniqlo heineken carlsberg diageo pernod ricard danone kellogg kraft heinz mondelez mars ferrero lindt ikea zara inditex carrefour tesco aldi lidl costco target kroger disney warner comcast viacom spotify uber lyft airbnb paypal visa mastercard amex stripe square zoom slack salesforce workday servicenow dell hp lexmark canon epson ricoh xerox kodak olympus nikon sharp toshiba fujitsu nec sanyo casio seiko rolex omega
blue red green black white gold golden silver star sun moon sky sea ocean river lake mountain hill valley north south east west central new old great grand royal first united american european african asian pacific atlantic global world universal modern future best super smart fast easy happy lucky dragon tiger lion eagle phoenix horse rose lotus palm pearl diamond crystal sapphire ruby emerald
bank trust capital fund energy power water gas oil steel metal mining chemical food foods farm farms market store shop hotel hotels travel tours airlines airways air motor auto car cars bus truck rail ship lines line port media press news radio tv film music sport sports club school college academy hospital clinic medical health pharma drug beauty fashion textile cotton wool leather paper plastic glass wood furniture home house building city town village land estate property properties garden park bridge road street tower plaza mall center point gate door window key lock safe security guard data cloud net network digital software computer computers mobile phone electronic electronics electrical machine machinery tool tools equipment parts design studio art arts print printing book books toys games gift gifts pet jewelry jewellery perfume cosmetics salon spa restaurant cafe coffee tea bakery pizza burger chicken fish meat fruit rice sugar salt milk honey
`
