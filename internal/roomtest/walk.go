package roomtest

import (
	"encoding/json"
	"fmt"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/onboard"
	"github.com/muster-cip/muster/verify/contact"
)

// Person is an ordinary application: a customer in Lagos.
func Person(reference string) *muster.Application {
	return &muster.Application{
		Reference: reference,
		Customer: muster.Party{
			Kind: muster.Individual, Name: muster.Name{Full: "Chidinma Okafor"},
			Address:       &muster.Address{Lines: []string{"14 Adeola Odeku Street, opposite the filling station"}, Locality: "Lagos", Region: "Lagos", Country: "NG"},
			Nationalities: []muster.Country{"NG"}, USPersonClaim: "none",
			Email: "chidinma.okafor@example.com.ng", Phone: "+2348031234504",
		},
		Payment: &muster.Payment{Means: "card", Country: "US", BIN: "533301", Last4: "2184", Token: "tok_" + reference},
		Access:  &muster.Access{IP: "102.89.23.10", Time: Start.Add(-5 * 60e9)},
		Request: &muster.Request{Products: []string{"vm"}},
		Notice:  &muster.Notice{Version: "2026-11", Locale: "en", ShownAt: Start.Add(-6 * 60e9)},
	}
}

// Company is an ordinary entity in Norway with two owners, of whom one is in control.
func Company(reference string) *muster.Application {
	owner := func(name, mail, phone, share string, control bool) muster.Party {
		p, err := muster.ParsePercent(share)
		if err != nil {
			panic(err) // a literal below
		}
		return muster.Party{
			Kind: muster.Individual, Name: muster.Name{Full: name}, Nationalities: []muster.Country{"NO"},
			Address: &muster.Address{Lines: []string{"Storgata 5"}, PostalCode: "0155", Locality: "Oslo", Country: "NO"},
			Email:   mail, Phone: phone, OwnershipPercent: &p, Control: control,
		}
	}
	a := Person(reference)
	a.Customer = muster.Party{
		Kind: muster.Entity, Name: muster.Name{Full: "Fjord Data AS"},
		Address:   &muster.Address{Lines: []string{"Storgata 1"}, PostalCode: "0155", Locality: "Oslo", Country: "NO"},
		Formation: &muster.Formation{Country: "NO", RegistrationNumber: "923609016"},
		Email:     "post@fjorddata.example", Phone: "+4722123456",
	}
	a.Owners = []muster.Party{
		owner("Kari Nordmann", "kari@fjorddata.example", "+4791234567", "60", true),
		owner("Ola Hansen", "ola@fjorddata.example", "+4792345678", "40", false),
	}
	a.Payment.Country, a.Access.IP = "NO", "51.174.0.10"
	return a
}

// JSON is an application as it is posted.
func JSON(a *muster.Application) []byte {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // plain data
	}
	return b
}

// Apply posts an application that has to be taken.
func (r *Rooms) Apply(a *muster.Application) *onboard.Answer {
	r.Helper()
	x, err := r.Onboard.Apply(r.Context(), r.Anna, JSON(a))
	if err != nil {
		r.Fatalf("apply: %v %+v", err, Faulted(err))
	}
	return x
}

// Faulted are the faults that err names, "pointer code".
func Faulted(err error) (list []string) {
	if e, ok := err.(*muster.Error); ok {
		for _, f := range e.Faults {
			list = append(list, f.Pointer+" "+f.Code)
		}
	}
	return list
}

// Challenge asks for a code, and draws it as the sender would.
func (r *Rooms) Challenge(application, subject, method string) (challenge, code string) {
	r.Helper()
	c, err := r.Onboard.Challenge(r.Context(), r.Anna, application, onboard.ChallengeRequest{Method: method, Subject: subject})
	if err != nil {
		r.Fatal(err)
	}
	m, err := r.Onboard.ToSend(r.Context(), c.Challenge)
	if err != nil {
		r.Fatal(err)
	}
	return c.Challenge, m.Code
}

// Contact shows a subject's e-mail address and telephone ("": the customer's).
func (r *Rooms) Contact(application, subject string) (a *onboard.Answer) {
	r.Helper()
	for _, method := range []string{contact.Email, contact.Phone} {
		challenge, code := r.Challenge(application, subject, method)
		var err error
		if a, err = r.Onboard.Respond(r.Context(), r.Anna, challenge, code); err != nil {
			r.Fatal(err)
		}
	}
	return a
}

// Passport is the input of a passport that supports name and nationality.
func Passport(country, number string) string {
	return fmt.Sprintf(`{"type":"passport","issuer":%q,"number":%q,"issued_on":"2022-03-01","expires_on":"2032-02-28","has_photo":true,
		"attributes":{"name":"supports","nationality":"supports"},"shows":{"nationality":[%q]}}`, country, number, country)
}

// Extract is the input of an extract of the register that shows an entity's formation.
func Extract(country string) string {
	return fmt.Sprintf(`{"type":"register_extract","issuer":%q,"number":"R-1","issued_on":"2026-10-01",
		"attributes":{"existence":"supports","formation":"supports"},"shows":{"formation":[%q]}}`, country, country)
}

// Document records a paper that has to be taken.
func (r *Rooms) Document(application, subject, input string) *onboard.Answer {
	r.Helper()
	a, err := r.Onboard.Record(r.Context(), r.Anna, application, onboard.EvidenceInput{
		Method: "document.manual", Subject: subject, Input: json.RawMessage(input),
	})
	if err != nil {
		r.Fatalf("document: %v %v", err, Faulted(err))
	}
	return a
}

// Subjects are the subject ids of an application by pointer.
func (r *Rooms) Subjects(application string) map[string]string {
	r.Helper()
	v, err := r.Onboard.View(r.Context(), application)
	if err != nil {
		r.Fatal(err)
	}
	ids := map[string]string{}
	for _, s := range v.Subjects {
		ids[s.Pointer] = s.ID
	}
	return ids
}
