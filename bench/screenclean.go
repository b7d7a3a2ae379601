package main

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/muster-cip/muster"
)

// Clean names as hard as real life: parts of listed names of one country put together
// anew, common names of the same cultures, well-known firms.

// makeClean makes n clean names. None has the words of a listed name.
func makeClean(entries []muster.ListEntry, seed uint64, n int) []question {
	r := rand.New(rand.NewPCG(seed, 2))
	listed := map[string]bool{}
	type parts struct{ given, family []string }
	people := map[muster.Country]*parts{}
	firms := map[string][][]string{} // by programme: words
	var programmes []string
	var countries []muster.Country
	for i := range entries {
		e := &entries[i]
		for _, name := range e.Names {
			listed[bag(name.Full)] = true
		}
		if len(e.Names) == 0 {
			continue
		}
		p := e.Names[0]
		if e.Kind == muster.ListedIndividual && p.Given != "" && p.Family != "" {
			for _, c := range e.Nations {
				if people[c] == nil {
					people[c] = &parts{}
					countries = append(countries, c)
				}
				people[c].given = append(people[c].given, p.Given)
				people[c].family = append(people[c].family, p.Family)
				break
			}
		}
		if e.Kind == muster.ListedEntity && len(e.Programmes) > 0 {
			if w := strings.Fields(p.Full); len(w) >= 2 && len(w) <= 6 {
				if firms[e.Programmes[0]] == nil {
					programmes = append(programmes, e.Programmes[0])
				}
				firms[e.Programmes[0]] = append(firms[e.Programmes[0]], w)
			}
		}
	}
	slices.Sort(countries)
	slices.Sort(programmes)
	// A country counts as often as it is listed.
	var drawn []muster.Country
	for _, c := range countries {
		if len(people[c].given) >= 15 {
			for range people[c].given {
				drawn = append(drawn, c)
			}
		}
	}
	var firmsOf []string
	for _, p := range programmes {
		if len(firms[p]) >= 10 {
			for range firms[p] {
				firmsOf = append(firmsOf, p)
			}
		}
	}
	var out []question
	seen := map[string]bool{}
	put := func(q question) {
		b := bag(q.text)
		if !listed[b] && !seen[b] {
			seen[b] = true
			out = append(out, q)
		}
	}
	for len(out) < n*45/100 && len(drawn) > 0 {
		p := people[drawn[r.IntN(len(drawn))]]
		put(question{class: "recombined", text: asWritten(r, p.given[r.IntN(len(p.given))]+" "+p.family[r.IntN(len(p.family))]), kind: muster.ListedIndividual})
	}
	for len(out) < n*60/100 && len(firmsOf) > 0 {
		f := firms[firmsOf[r.IntN(len(firmsOf))]]
		a, b := f[r.IntN(len(f))], f[r.IntN(len(f))]
		cut := 1 + r.IntN(len(a)/2)
		tail := b[min(cut, len(b)-1):]
		put(question{class: "recombined firm", text: asWritten(r, strings.Join(append(slices.Clone(a[:cut]), tail...), " ")), kind: muster.ListedEntity})
	}
	for i := 0; len(out) < n*96/100; i++ {
		o := origins[i%len(origins)]
		text := one(r, o.given) + " " + one(r, o.family)
		switch o.name {
		case "Spanish":
			text += " " + one(r, o.family)
		case "Chinese", "Vietnamese", "Korean":
			text = one(r, o.family) + " " + one(r, o.given)
		case "Arabic", "West African":
			if r.IntN(3) == 0 {
				text = one(r, o.given) + " " + text
			}
		}
		put(question{class: "common name", origin: o.name, text: text, kind: muster.ListedIndividual})
		if i > 20*n {
			break
		}
	}
	for f := range strings.SplitSeq(strings.TrimSpace(knownFirms), ",") {
		if len(out) < n {
			put(question{class: "known firm", text: strings.TrimSpace(f), kind: muster.ListedEntity})
		}
	}
	for len(out) < n && len(drawn) > 0 {
		p := people[drawn[r.IntN(len(drawn))]]
		put(question{class: "recombined", text: asWritten(r, p.given[r.IntN(len(p.given))]+" "+p.family[r.IntN(len(p.family))]), kind: muster.ListedIndividual})
	}
	return out
}

func one(r *rand.Rand, words []string) string { return words[r.IntN(len(words))] }

// bag is the words of a name in the order of the alphabet.
func bag(s string) string {
	w := strings.FieldsFunc(strings.ToLower(s), func(c rune) bool { return strings.ContainsRune(" ,.-'()/&\"", c) })
	// A firm with another form of law is not another firm.
	w = slices.DeleteFunc(w, func(x string) bool { return len(x) == 1 || slices.Contains(forms, x) })
	// Another spelling of a listed name is that name.
	for i := range w {
		if first, ok := respelledAs[w[i]]; ok {
			w[i] = first
		}
	}
	slices.Sort(w)
	return strings.Join(w, " ")
}

// respelledAs is the first spelling of each row of respellings.
var respelledAs = func() map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(respellings) {
		row := strings.Fields(line)
		for _, w := range row {
			m[w] = row[0]
		}
	}
	return m
}()

var forms = strings.Fields("kg sprl limitada private pvt pte pty zao as sal ood organization internacional scs eirl ltd limited llc inc corp corporation company co gmbh ag sa sarl srl ltda de cv sas jsc ooo oao pjsc group holding y and the cia for of in general trading international")

type origin struct {
	name          string
	given, family []string
}

// origins are common given and family names, written by hand from lists of the most
// frequent ones in those countries.
var origins = []origin{
	{
		"West African", strings.Fields("Chinedu Ngozi Emeka Oluwaseun Adebayo Folake Ifeoma Chukwuemeka Kwame Kofi Ama Akosua Yaw Abena Mamadou Aminata Fatoumata Moussa Ousmane Cheikh Aissatou Ibrahima Boubacar Seydou Adama Mariama Kelechi Tunde Babatunde Yetunde Amadou Modou Lamin"),
		strings.Fields("Okafor Okonkwo Adeyemi Balogun Eze Nwosu Mensah Owusu Boateng Asante Osei Appiah Diallo Traore Coulibaly Ndiaye Diop Fall Sow Keita Toure Cisse Kone Ouattara Sanogo Camara Barry Bah Jallow Ceesay Olawale Ogunleye Ibe Obi"),
	},
	{
		"Arabic", strings.Fields("Mohammed Ahmed Ali Omar Youssef Hassan Khaled Ibrahim Mahmoud Mustafa Abdullah Fatima Aisha Maryam Layla Nour Sara Karim Tarek Samir Walid Ziad Rami Bilal Hamza Anas Zaid Faisal Salman Majed Rania Hala"),
		strings.Fields("Haddad Khoury Mansour Nasser Saleh Hamdan Darwish Qasim Shehadeh Mahmoud Farouk Zaki Fahmy Gaber Al-Otaibi Al-Harbi Al-Ghamdi Al-Zahrani Al-Shehri Bakri Sabbagh Najjar Awad Issa Hussein Sayegh Tahan Jaber Salameh Khalil"),
	},
	{
		"Chinese", strings.Fields("Wei Fang Na Xiuying Min Jing Li Qiang Lei Jun Yang Yong Yan Jie Juan Tao Ming Chao Xiulan Xia Ping Gang Guiying Jianguo Jianhua Haitao Xiaoming Zhiqiang Lihua Yuting Zihan Haoran"),
		strings.Fields("Wang Li Zhang Liu Chen Yang Huang Zhao Wu Zhou Xu Sun Ma Zhu Hu Guo He Lin Gao Luo Zheng Liang Xie Song Tang Deng Feng Cao Peng Zeng"),
	},
	{
		"Spanish", strings.Fields("Juan Jose Luis Carlos Jorge Maria Ana Carmen Laura Miguel Pedro Alejandro Francisco Antonio Manuel Rafael Javier Fernando Ricardo Eduardo Sofia Lucia Daniela Gabriela Andrea Patricia Rosa Diego Sergio Raul"),
		strings.Fields("Garcia Martinez Lopez Gonzalez Rodriguez Hernandez Perez Sanchez Ramirez Torres Flores Rivera Gomez Diaz Cruz Morales Ortiz Gutierrez Chavez Ramos Mendoza Ruiz Alvarez Castillo Jimenez Vargas Romero Moreno Herrera Medina"),
	},
	{
		"Vietnamese", strings.Fields("Minh Anh Huong Lan Hoa Hung Dung Tuan Nam Long Linh Trang Thao Phuong Hanh Duc Quang Hieu Khanh Ngoc Thuy Mai Hai Son Tam Binh"),
		strings.Fields("Nguyen Tran Le Pham Hoang Huynh Phan Vu Vo Dang Bui Do Ho Ngo Duong Ly"),
	},
	{
		"Slavic", strings.Fields("Aleksandr Sergey Dmitry Andrey Alexey Maxim Ivan Mikhail Olga Elena Natalia Tatiana Irina Anna Ekaterina Svetlana Oleksandr Andriy Volodymyr Iryna Piotr Krzysztof Katarzyna Jan Tomasz Pavel Jana Nikola Marko Milan"),
		strings.Fields("Ivanov Smirnov Kuznetsov Popov Vasiliev Petrov Sokolov Mikhailov Novikov Fedorov Morozov Volkov Alekseev Lebedev Semenov Shevchenko Kovalenko Bondarenko Tkachenko Kowalski Nowak Wisniewski Novak Svoboda Horvat Jovanovic Petrovic Ivanova Petrova Sokolova"),
	},
	{
		"South Asian", strings.Fields("Rahul Amit Priya Anjali Rajesh Suresh Sunita Deepak Sanjay Vijay Arjun Pooja Neha Imran Bilal Usman Ayesha Zainab Farhan Nadia Tahmina Rafiqul Kamal Shahid Asif Sana Hina Ravi Lakshmi Anil"),
		strings.Fields("Sharma Patel Singh Kumar Gupta Reddy Nair Iyer Khan Ahmed Malik Hussain Chaudhry Butt Sheikh Rahman Islam Hossain Chowdhury Das Banerjee Mukherjee Perera Fernando Silva Raza Siddiqui Qureshi Mehta Joshi"),
	},
	{
		"English", strings.Fields("James John Robert Michael William David Richard Joseph Thomas Charles Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Emma Olivia Daniel Matthew Andrew George Emily Laura Peter Paul"),
		strings.Fields("Smith Johnson Williams Brown Jones Miller Davis Wilson Anderson Taylor Thomas Moore Jackson Martin Lee Thompson White Harris Clark Lewis Robinson Walker Young Allen King Wright Scott Hill Green Adams Baker Bush Daniels"),
	},
	{
		"Persian", strings.Fields("Ali Reza Mohammad Hossein Mehdi Amir Fatemeh Zahra Maryam Sara Nasrin Parisa Behzad Kamran Farhad Navid Arash Dariush Shirin Leila"),
		strings.Fields("Mohammadi Hosseini Ahmadi Rezaei Karimi Moradi Jafari Rahimi Ebrahimi Sadeghi Hashemi Ghasemi Mousavi Kazemi Najafi Salehi Bagheri Akbari Shirazi Tehrani"),
	},
	{
		"Korean", strings.Fields("Minjun Seoyeon Jihoon Jiwoo Hyunwoo Sungmin Youngho Minji Yuna Soojin Jaehyun Eunji Dongwook Kyungsoo Taehyung Hana"),
		strings.Fields("Kim Lee Park Choi Jung Kang Cho Yoon Jang Lim Han Oh Seo Shin Kwon Hwang Ahn Song Yoo Hong"),
	},
}

const knownFirms = `Microsoft Corporation, Apple Inc., Alphabet Inc., Amazon.com Inc., Meta Platforms Inc., Berkshire Hathaway, Toyota Motor Corporation, Volkswagen AG, Siemens AG, Samsung Electronics Co. Ltd., Royal Dutch Shell plc, BP plc, TotalEnergies SE, Exxon Mobil Corporation, Chevron Corporation, Saudi Aramco, Walmart Inc.,
JPMorgan Chase & Co., Bank of America Corporation, Wells Fargo & Company, Citigroup Inc., HSBC Holdings plc, Deutsche Bank AG, BNP Paribas SA, Banco Santander S.A., UBS Group AG, Credit Agricole S.A., Mitsubishi UFJ Financial Group, Industrial and Commercial Bank of China, China Construction Bank, Bank of China Limited, Agricultural Bank of China,
Tata Consultancy Services Limited, Reliance Industries Limited, Infosys Limited, State Bank of India, HDFC Bank Limited, Petrobras, Vale S.A., America Movil, Cemex S.A.B. de C.V., Grupo Bimbo, Ecopetrol S.A., Avianca, Emirates Group, Etihad Airways, Qatar Airways, Turkish Airlines, Koc Holding A.S., Singapore Airlines Limited,
Nestle S.A., Novartis AG, Roche Holding AG, Pfizer Inc., Johnson & Johnson, Merck & Co. Inc., GlaxoSmithKline plc, AstraZeneca plc, Sanofi S.A., Bayer AG, BASF SE, Dow Inc., Coca-Cola Company, PepsiCo Inc., Unilever plc, Procter & Gamble Company, L'Oreal S.A., Nike Inc., Adidas AG, McDonald's Corporation, Starbucks Corporation,
Maersk Line, Mediterranean Shipping Company S.A., CMA CGM S.A., Hapag-Lloyd AG, Evergreen Marine Corporation, COSCO Shipping Holdings, Ocean Network Express, Deutsche Post DHL Group, FedEx Corporation, United Parcel Service Inc., Airbus SE, Boeing Company, Lockheed Martin Corporation, General Electric Company, General Motors Company, Ford Motor Company,
Hyundai Motor Company, Honda Motor Co. Ltd., Sony Group Corporation, Panasonic Corporation, Hitachi Ltd., LG Electronics Inc., Alibaba Group Holding Limited, Tencent Holdings Limited, Lenovo Group Limited, Xiaomi Corporation, BYD Company Limited, Taiwan Semiconductor Manufacturing Company, Foxconn Technology Group, Cathay Pacific Airways Limited,
Vodafone Group plc, AT&T Inc., Verizon Communications Inc., Telefonica S.A., Orange S.A., MTN Group Limited, Safaricom plc, Dangote Cement plc, Ecobank Transnational, Standard Bank Group, Naspers Limited, Anglo American plc, Rio Tinto plc, BHP Group Limited, Glencore plc, Cargill Incorporated, Oracle Corporation, IBM Corporation, Intel Corporation, Nvidia Corporation, Cisco Systems Inc., SAP SE, Adobe Inc., Netflix Inc., Tesla Inc., Hetzner Online GmbH, OVH Groupe SA, DigitalOcean Holdings, Linode LLC, Rackspace Technology Inc.`
