package onboard_test

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/roomtest"
	"github.com/muster-cip/muster/onboard"
)

// lines is what is expected of each line of the shared applications: outcome, and
// the dotted fields that a refusal or a collection names.
var lines = map[int]string{
	1: "verify", 2: "collect customer.phone", 3: "verify", 4: "verify", 5: "verify", 6: "verify",
	7: "collect customer.address.postal_code", 8: "verify", 9: "invalid customer.phone", 10: "invalid access.ip",
	11: "invalid access.ip", 12: "verify", 13: "verify", 14: "verify", 15: "invalid payment.wallet.address",
	16: "invalid payment.token", 17: "invalid customer.address.country", 18: "invalid customer.date_of_birth",
	19: "invalid customer.name.full", 20: "verify", 21: "malformed", 22: "verify", 23: "verify", 24: "verify", 25: "review",
	26: "verify", 27: "collect beneficial_owners", 28: "invalid beneficial_owners", 29: "invalid payment.iban",
	30: "verify", 31: "verify", 32: "invalid customer.name.full", 33: "verify", 34: "verify", 35: "verify",
	36: "invalid customer.address.lines", 37: "collect notice", 38: "again 1", 39: "conflict reference",
}

// The classes of the shared applications, told in their own words: these run
// everywhere.
func TestClassesOfApplications(t *testing.T) {
	t.Parallel()
	card := "4" + strings.Repeat("1", 15)
	for name, c := range map[string]struct {
		change func(*muster.Application)
		want   string
	}{
		"complete":                  {func(*muster.Application) {}, "verify"},
		"telephone missing":         {func(a *muster.Application) { a.Customer.Phone = "" }, "collect customer.phone"},
		"claims to be a US citizen": {func(a *muster.Application) { a.Customer.USPersonClaim = "citizen" }, "verify"},
		"mononym":                   {func(a *muster.Application) { a.Customer.Name.Full = "Sukarno" }, "verify"},
		"Chinese script":            {func(a *muster.Application) { a.Customer.Name.Full = "王小明" }, "verify"},
		"decomposed accents":        {func(a *muster.Application) { a.Customer.Name.Full = "Jose\u0301" }, "verify"},
		"German without postal code": {func(a *muster.Application) {
			a.Payment.Country = "DE"
			a.Customer.Address = &muster.Address{Lines: []string{"Weg 1"}, Locality: "Berlin", Country: "DE"}
		}, "collect customer.address.postal_code"},
		"no such postal code": {func(a *muster.Application) {
			a.Customer.Address = &muster.Address{Lines: []string{"Weg 1"}, Locality: "Berlin", PostalCode: "123", Country: "DE"}
		}, "invalid customer.address.postal_code"},
		"no postal codes there": {func(a *muster.Application) {
			a.Payment.Country, a.Customer.Address = "AE", &muster.Address{Lines: []string{"Villa 7"}, Region: "Dubai", Country: "AE"}
		}, "verify"},
		"internationalised e-mail": {func(a *muster.Application) { a.Customer.Email = "用户@例子.广告" }, "verify"},
		"telephone too short":      {func(a *muster.Application) { a.Customer.Phone = "+23412" }, "invalid customer.phone"},
		"private address":          {func(a *muster.Application) { a.Access.IP = "192.168.1.4" }, "invalid access.ip"},
		"documentation range":      {func(a *muster.Application) { a.Access.IP = "2001:db8::1" }, "invalid access.ip"},
		"IPv4 mapped":              {func(a *muster.Application) { a.Access.IP = "::ffff:102.89.23.10" }, "verify"},
		"wallet checksum wrong": {func(a *muster.Application) {
			a.Payment = &muster.Payment{Means: "virtual_currency", Wallet: &muster.Wallet{Network: "bitcoin", Address: "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"}}
		}, "invalid payment.wallet.address"},
		"wallet": {func(a *muster.Application) {
			a.Payment = &muster.Payment{Means: "virtual_currency", Wallet: &muster.Wallet{Network: "bitcoin", Address: "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"}}
		}, "verify"},
		"card number for a token":  {func(a *muster.Application) { a.Payment.Token = card }, "invalid payment.token"},
		"card number in free text": {func(a *muster.Application) { a.Customer.Address.Lines = []string{"1 Road, " + card} }, "invalid customer.address.lines"},
		"no such country":          {func(a *muster.Application) { a.Customer.Address.Country = "QX" }, "invalid customer.address.country"},
		"born in the future":       {func(a *muster.Application) { a.Customer.DateOfBirth = "2030-01-01" }, "invalid customer.date_of_birth"},
		"right-to-left override":   {func(a *muster.Application) { a.Customer.Name.Full = "Ann\u202eeb" }, "invalid customer.name.full"},
		"a name of 10 kB":          {func(a *muster.Application) { a.Customer.Name.Full = strings.Repeat("n", 10_000) }, "invalid customer.name.full"},
		"stateless":                {func(a *muster.Application) { a.Customer.Nationalities = []muster.Country{"XXA"} }, "verify"},
		"Kosovo":                   {func(a *muster.Application) { a.Customer.Nationalities = []muster.Country{"XK"} }, "verify"},
		"three countries":          {func(a *muster.Application) { a.Payment.Country, a.Access.IP = "KZ", "51.174.0.10" }, "review"},
		"IBAN with wrong check digits": {func(a *muster.Application) {
			a.Payment = &muster.Payment{Means: "bank_account", IBAN: "DE89370400440532013001"}
		}, "invalid payment.iban"},
		"no notice":                   {func(a *muster.Application) { a.Notice = nil }, "collect notice"},
		"five minutes ahead and more": {func(a *muster.Application) { a.Access.Time = roomtest.Start.Add(5*time.Minute + time.Second) }, "invalid access.time"},
		"nobody in control": {func(a *muster.Application) {
			*a = *roomtest.Company(a.Reference)
			a.Owners[0].Control = false
		}, "collect beneficial_owners"},
		"shares past the whole": {func(a *muster.Application) {
			*a = *roomtest.Company(a.Reference)
			a.Owners[1].OwnershipPercent = a.Owners[0].OwnershipPercent
		}, "invalid beneficial_owners"},
		"entity": {func(a *muster.Application) { *a = *roomtest.Company(a.Reference) }, "verify"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			app := roomtest.Person("app-1")
			c.change(app)
			a, err := b.post(app)
			want, field, _ := strings.Cut(c.want, " ")
			if err != nil {
				if got := dotted(roomtest.Faulted(err)); string(muster.ErrorCode(err)) != want || !slices.Contains(got, field) {
					t.Fatalf("%v naming %v, want %s", err, got, c.want)
				}
				return
			}
			if got := strings.Join(dotted(supplied(a)), " "); string(a.Decision.Outcome) != want || got != field {
				t.Errorf("%s %s, want %s", a.Decision.Outcome, got, c.want)
			}
		})
	}
}

// supplied are the pointers of what is to be supplied.
func supplied(a *onboard.Answer) (list []string) {
	for _, need := range a.Decision.Needs {
		if need.Kind == muster.NeedSupply {
			list = append(list, need.Pointer)
		}
	}
	return list
}

func TestSharedApplicationsComeOutAsExpected(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../shared/data/applications/applications.ndjson")
	if err != nil {
		t.Log("the shared applications are not here: their classes are tested above")
		return
	}
	defer f.Close()
	b := setup(t)
	b.Clock.Move(365 * day) // age of an application is no fault
	first := map[int]*onboard.Answer{}
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 1<<20)
	n := 0
	for scan.Scan() {
		n++
		a, err := b.Onboard.Apply(b.Context(), b.Anna, scan.Bytes())
		first[n] = a
		want, field, _ := strings.Cut(lines[n], " ")
		switch want {
		case "again":
			i, _ := strconv.Atoi(field)
			if err != nil || a.Created || a.Application != first[i].Application || a.Decision.ID != first[i].Decision.ID {
				t.Errorf("line %d: %+v, %v; want the application of line %d", n, a, err, i)
			}
		case "invalid", "conflict", "malformed":
			got := dotted(roomtest.Faulted(err))
			if string(muster.ErrorCode(err)) != want || field != "" && !slices.Contains(got, field) {
				t.Errorf("line %d: %v naming %v, want %s", n, err, got, lines[n])
			}
		default:
			if err != nil {
				t.Errorf("line %d: %v %v, want %s", n, err, roomtest.Faulted(err), lines[n])
				continue
			}
			if got := dotted(supplied(a)); string(a.Decision.Outcome) != want || strings.Join(got, " ") != field {
				t.Errorf("line %d: %s %v, want %s", n, a.Decision.Outcome, got, lines[n])
			}
			for _, status := range a.Decision.Foreign {
				if status != muster.StatusPresumed {
					t.Errorf("line %d: %s before any evidence", n, status)
				}
			}
		}
	}
	if n != len(lines) {
		t.Errorf("%d lines, want %d", n, len(lines))
	}
	b.Clean()
}

// dotted are pointers (with anything after a space) as dotted paths without array indexes.
func dotted(pointers []string) (list []string) {
	for _, p := range pointers {
		p, _, _ = strings.Cut(p, " ")
		var steps []string
		for _, s := range strings.Split(strings.TrimPrefix(p, "/"), "/") {
			if _, err := strconv.Atoi(s); err != nil {
				steps = append(steps, s)
			}
		}
		list = append(list, strings.Join(steps, "."))
	}
	return list
}
