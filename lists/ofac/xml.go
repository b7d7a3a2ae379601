package ofac

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/lists"
)

// RootXML is the root element of OFAC's basic XML, of both lists.
const RootXML = "sdnList"

// ReadXML reads OFAC's basic XML (sdn.xml, consolidated.xml).
// Source: OFAC, sdnList.xsd.
func ReadXML(f lists.File, text []byte) (*lists.Edition, error) {
	ed := &lists.Edition{List: SDN, Format: "ofac-xml", Files: []string{f.Path}}
	base := strings.ToLower(path.Base(f.Path))
	named := strings.Contains(base, "cons")
	ids := map[string]bool{}
	stated, sdn := 0, false
	err := lists.Elements(f, text, RootXML, []string{"publshInformation", "sdnEntry"}, func(n *lists.Node) {
		switch n.Name {
		case "publshInformation":
			stated, _ = strconv.Atoi(n.Value("Record_Count"))
			ed.AsOf, _ = time.Parse("01/02/2006", n.Value("Publish_Date"))
		case "sdnEntry":
			ed.Rows++
			e := xmlEntry(n)
			if e.ID == "" || len(e.Names) == 0 {
				ed.Broken.Add(f.Path, n.Line, "an entry without id or name")
				return
			}
			if ids[e.ID] {
				was := e.ID
				e.ID = lists.Again(was, func(id string) bool { return ids[id] })
				ed.Note("%s:%d: an earlier entry has the same id; kept as %s", f.Path, n.Line, e.ID)
			}
			ids[e.ID] = true
			// An entry of the consolidated list is of the programmes that are not SDN.
			sdn = sdn || !nonSDN(e.Programmes)
			ed.Entries = append(ed.Entries, e)
		}
	})
	if err != nil {
		return nil, err
	}
	if ed.Rows == 0 {
		return nil, lists.Refused(f.Path, "no entry is in it")
	}
	if named || !sdn {
		ed.List = Consolidated
	}
	for i := range ed.Entries {
		ed.Entries[i].List = ed.List
	}
	if stated > ed.Rows {
		ed.Cut = fmt.Sprintf("%s says that it has %d entries, and has %d", f.Path, stated, ed.Rows)
	}
	return ed, nil
}

// nonSDN reports programmes of which all are those of the consolidated list alone.
func nonSDN(programmes []string) bool {
	for _, p := range programmes {
		switch {
		case strings.HasPrefix(p, "NS-"), strings.HasPrefix(p, "FSE-"), p == "561-Related", p == "561List", strings.HasPrefix(p, "CMIC-"), strings.HasPrefix(p, "UKRAINE-EO13662"), p == "PAARSSR-EO13894":
		default:
			return false
		}
	}
	return len(programmes) > 0
}

func xmlEntry(n *lists.Node) muster.ListEntry {
	e := muster.ListEntry{ID: n.Value("uid"), Kind: kind(n.Value("sdnType"))}
	lists.AddName(&e, lists.Parts(n.Value("firstName"), n.Value("lastName"), muster.NamePrimary, muster.NameStrong))
	for _, a := range n.All("akaList", "aka") {
		q := muster.NameStrong
		if strings.EqualFold(a.Value("category"), "weak") {
			q = muster.NameWeak
		}
		lists.AddName(&e, lists.Parts(a.Value("firstName"), a.Value("lastName"), role(a.Value("type")), q))
	}
	for _, a := range n.All("addressList", "address") {
		ad := muster.ListedAddress{
			City: a.Value("city"), Region: a.Value("stateOrProvince"), Postal: a.Value("postalCode"), Country: lists.Country(a.Value("country")),
			Text: lists.Commas(a.Value("address1"), a.Value("address2"), a.Value("address3"), a.Value("city"), a.Value("stateOrProvince"), a.Value("postalCode")),
		}
		if ad.Country == "" {
			ad.Text = lists.Commas(ad.Text, a.Value("country"))
		}
		lists.Add(&e.Addresses, ad)
	}
	for _, v := range append(n.Values("nationalityList", "nationality", "country"), n.Values("citizenshipList", "citizenship", "country")...) {
		lists.Add(&e.Nations, lists.Country(v))
	}
	for _, v := range n.Values("dateOfBirthList", "dateOfBirthItem", "dateOfBirth") {
		if d, ok := lists.ParseDate(v); ok {
			lists.Add(&e.Births, d)
		}
	}
	e.BirthPlaces = n.Values("placeOfBirthList", "placeOfBirthItem", "placeOfBirth")
	for _, id := range n.All("idList", "id") {
		label, value := id.Value("idType"), id.Value("idNumber")
		if !lists.State(&e, label, value) && lists.IdentifierKind(label) != "" {
			lists.Identify(&e, label, value, lists.Country(id.Value("idCountry")))
		}
	}
	if v := n.All("vesselInfo"); len(v) > 0 {
		v := v[0]
		ship := muster.ListedShip{Type: v.Value("vesselType"), Tonnage: v.Value("tonnage"), GrossTonnage: v.Value("grossRegisteredTonnage"), Owner: v.Value("vesselOwner")}
		if ship != (muster.ListedShip{}) {
			e.Vessel = &ship
		}
		lists.Identify(&e, "Vessel Call Sign", v.Value("callSign"), "")
		lists.Add(&e.Nations, lists.Country(v.Value("vesselFlag")))
	}
	if e.Kind == muster.ListedAircraft && len(e.Names) > 0 {
		lists.Identify(&e, "Aircraft Tail Number", e.Names[0].Full, "")
	}
	e.Programmes = n.Values("programList", "program")
	lists.Add(&e.Titles, n.Value("title"))
	e.Remarks = n.Value("remarks")
	remarks(&e, e.Remarks)
	return e
}
