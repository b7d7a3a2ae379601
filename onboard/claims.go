package onboard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-cip/muster"
)

// piece is what is sealed for one subject at one revision: that subject's own
// claims. The customer's piece also has what belongs to no other person.
type piece struct {
	Party     *muster.Party       `json:"party,omitempty"` // without its owners: each has a piece of their own
	Signatory *muster.Signatory   `json:"signatory,omitempty"`
	Rest      *muster.Application `json:"rest,omitempty"` // of the customer's: reference, payment, access, request, notice, ...
	Salt      []byte              `json:"salt,omitempty"` // of the customer's: salt of the commitment to the whole claims
}

// place is one subject's piece and where it stands in the application.
type place struct {
	pointer string
	piece   piece
}

// split takes an application apart, in the order of validate.Checked.Subjects:
// the customer, owners depth first, signatories.
func split(app *muster.Application, salt []byte) []place {
	rest := *app
	rest.Customer, rest.Owners, rest.Signatories = muster.Party{}, nil, nil
	customer := app.Customer
	customer.Owners = nil
	all := []place{{"/customer", piece{Party: &customer, Rest: &rest, Salt: salt}}}
	all = splitOwners(all, "/beneficial_owners", app.Owners)
	for i := range app.Signatories {
		all = append(all, place{fmt.Sprintf("/signatories/%d", i), piece{Signatory: &app.Signatories[i]}})
	}
	return all
}

func splitOwners(all []place, at string, owners []muster.Party) []place {
	for i, o := range owners {
		p := at + "/" + strconv.Itoa(i)
		below := o.Owners
		o.Owners = nil
		all = append(all, place{p, piece{Party: &o}})
		all = splitOwners(all, p+"/owners", below)
	}
	return all
}

// unite puts pieces together again. Pieces of erased subjects are absent: their
// places are left empty. places may come in any order.
func unite(places []place) (*muster.Application, error) {
	slices.SortFunc(places, func(a, b place) int { return comparePointers(a.pointer, b.pointer) })
	app := &muster.Application{}
	for _, pl := range places {
		switch steps := strings.Split(strings.TrimPrefix(pl.pointer, "/"), "/"); {
		case pl.pointer == "/customer":
			if pl.piece.Rest != nil {
				owners, signatories := app.Owners, app.Signatories
				*app = *pl.piece.Rest
				app.Owners, app.Signatories = owners, signatories
			}
			if pl.piece.Party != nil {
				app.Customer = *pl.piece.Party
			}
		case steps[0] == "signatories" && len(steps) == 2 && pl.piece.Signatory != nil:
			n, err := strconv.Atoi(steps[1])
			if err != nil || n >= muster.MaxOwners {
				return nil, muster.Errorf(muster.CodeInternal, "a subject's pointer is broken")
			}
			app.Signatories = grow(app.Signatories, n)
			app.Signatories[n] = *pl.piece.Signatory
		case steps[0] == "beneficial_owners" && pl.piece.Party != nil:
			if err := setOwner(&app.Owners, steps[1:], *pl.piece.Party); err != nil {
				return nil, err
			}
		default:
			return nil, muster.Errorf(muster.CodeInternal, "a subject's pointer is broken")
		}
	}
	return app, nil
}

// setOwner puts p at steps ("1", "owners", "0"), keeping owners below it.
func setOwner(owners *[]muster.Party, steps []string, p muster.Party) error {
	n, err := strconv.Atoi(steps[0])
	if err != nil || n < 0 || n >= muster.MaxOwners || len(steps) > 2*muster.MaxOwnerDepth {
		return muster.Errorf(muster.CodeInternal, "a subject's pointer is broken")
	}
	*owners = grow(*owners, n)
	at := &(*owners)[n]
	if len(steps) == 1 {
		p.Owners = at.Owners
		*at = p
		return nil
	}
	return setOwner(&at.Owners, steps[2:], p)
}

func grow[T any](list []T, n int) []T {
	if n < len(list) {
		return list
	}
	return append(list, make([]T, n+1-len(list))...)
}

// comparePointers orders pointers as the application does: numbers by value.
func comparePointers(a, b string) int {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(as), len(bs)) {
		if as[i] == bs[i] {
			continue
		}
		x, errx := strconv.Atoi(as[i])
		y, erry := strconv.Atoi(bs[i])
		if errx == nil && erry == nil {
			return x - y
		}
		return strings.Compare(as[i], bs[i])
	}
	return len(as) - len(bs)
}

// changedAttributes lists the attributes that a new revision of a party's claims
// touches: evidence on them, from before, counts no more.
func changedAttributes(was, is *piece) []string {
	if was.Party == nil || is.Party == nil {
		return muster.Attributes
	}
	a, b := was.Party, is.Party
	var changed []string
	check := func(attribute string, before, after any) {
		if !sameJSON(before, after) {
			changed = append(changed, attribute)
		}
	}
	check(muster.AttrName, a.Name, b.Name)
	check(muster.AttrAddress, a.Address, b.Address)
	check(muster.AttrEmail, a.Email, b.Email)
	check(muster.AttrPhone, a.Phone, b.Phone)
	check(muster.AttrDateOfBirth, a.DateOfBirth, b.DateOfBirth)
	check(muster.AttrNationality, a.Nationalities, b.Nationalities)
	check(muster.AttrFormation, a.Formation, b.Formation)
	check(muster.AttrExistence, a.Formation, b.Formation) // papers showed that another entity exists
	check(muster.AttrOwnership, [2]any{a.OwnershipPercent, a.Control}, [2]any{b.OwnershipPercent, b.Control})
	if a.Kind != b.Kind {
		return muster.Attributes
	}
	return changed
}
