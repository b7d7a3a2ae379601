package book_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
	"github.com/muster-cip/muster/validate"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func TestThePageIsRead(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/formats/book.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	sample, _, _ := strings.Cut(rest, "```")
	lines := strings.Split(strings.TrimSpace(sample), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines", len(lines))
	}
	checker, err := validate.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		x, err := book.Parse([]byte(line), now)
		if err == nil && x.Customer != nil {
			_, err = checker.Read(x.Customer.Application, now)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		again, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		if y, err := book.Parse(again, now); err != nil || y.Type != x.Type {
			t.Fatalf("what was written is not read: %v", err)
		}
	}
}

// Each line has one fault, which is named by field and code; the secret is in none.
func TestFaultsNameFieldsAndNoValue(t *testing.T) {
	t.Parallel()
	const app = `"application":{"reference":"a"}`
	for line, want := range map[string]string{
		``:                               ":json",
		`[]`:                             ":type",
		`{"type":"customer"} {}`:         ":json",
		`{"type":"SECRET"}`:              "/type:unknown_value",
		`{"type":"customer"}`:            "/customer:required",
		`{"type":"customer","SECRET":1}`: ":unknown_field",
		`{"type":"customer","customer":{` + app + `,"SECRET":1}}`:                                               ":unknown_field",
		`{"type":"customer","customer":{` + app + `},"lease":{}}`:                                               "/lease:misplaced",
		`{"type":"customer","customer":{"since":"2020-01-01"}}`:                                                 "/customer/application:required",
		`{"type":"customer","customer":{` + app + `,"since":"SECRET"}}`:                                         "/customer/since:time",
		`{"type":"customer","customer":{` + app + `,"accounts":[{"account":"b","state":"closed","closed":7}]}}`: "/customer/accounts/0/closed:time",
		`{"type":"customer","customer":{` + app + `,"evidence":[{"method":"x","kind":"documentary","attributes":{"name":"supports"},"assurance":"high","at":"SECRET"}]}}`:                        "/customer/evidence/0/at:time",
		`{"type":"customer","customer":{` + app + `,"evidence":[{"method":"x","kind":"documentary","attributes":{"name":"supports"},"assurance":"high","at":"2020-01-01","expires":"SECRET"}]}}`: "/customer/evidence/0/expires:time",
		`{"type":"customer","customer":{` + app + `,"since":"2031-01-01"}}`:                                                                                                                                      "/customer/since:in_future",
		`{"type":"customer","customer":{` + app + `,"state":"SECRET"}}`:                                                                                                                                          "/customer/state:unknown_value",
		`{"type":"customer","customer":{` + app + `,"state":"closed"}}`:                                                                                                                                          "/customer/closed:required",
		`{"type":"customer","customer":{` + app + `,"closed":"2020-01-01"}}`:                                                                                                                                     "/customer/closed:misplaced",
		`{"type":"customer","customer":{` + app + `,"ground":"abuse"}}`:                                                                                                                                          "/customer/ground:misplaced",
		`{"type":"customer","customer":{` + app + `,"since":"2020-01-02","state":"closed","closed":"2020-01-01"}}`:                                                                                               "/customer/closed:ends_before_start",
		`{"type":"customer","customer":{` + app + `,"accounts":[{"account":"SECRET@"}]}}`:                                                                                                                        "/customer/accounts/0/account:reference",
		`{"type":"customer","customer":{` + app + `,"evidence":[{"method":"document.manual","kind":"documentary","attributes":{"SECRET":"supports"},"assurance":"high","at":"2020-01-01"}]}}`:                    "/customer/evidence/0/attributes:unknown_field",
		`{"type":"customer","customer":{` + app + `,"evidence":[{"method":"document.manual","kind":"documentary","attributes":{"name":"supports"},"assurance":"SECRET","at":"2020-01-01"}]}}`:                    "/customer/evidence/0/assurance:unknown_value",
		`{"type":"customer","customer":{` + app + `,"evidence":[{"method":"document.manual","kind":"documentary","attributes":{"name":"supports"},"assurance":"high"}]}}`:                                        "/customer/evidence/0/at:required",
		`{"type":"customer","customer":{` + app + `,"evidence":[{"method":"x","kind":"documentary","attributes":{"name":"supports"},"shows":{"nationality":["SECRET"]},"assurance":"high","at":"2020-01-01"}]}}`: "/customer/evidence/0/shows:unknown_country",
	} {
		_, err := book.Parse([]byte(line), now)
		var e *muster.Error
		if !errors.As(err, &e) || len(e.Faults) != 1 || e.Faults[0].Pointer+":"+e.Faults[0].Code != want {
			t.Errorf("%s\n%v, want %s", line, err, want)
			continue
		}
		if all, _ := json.Marshal(e.Faults); strings.Contains(string(all)+e.Error(), "SECRET") {
			t.Errorf("a value is in the fault: %s", all)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"customer","customer":{"application":{"reference":"a"},"since":"2019-03-01","evidence":[{"method":"x"}]}}`))
	f.Add([]byte(`{"type":"lease","lease":{"account":"a"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := book.Parse(b, now)
		if err != nil {
			if muster.ErrorCode(err) != muster.CodeInvalid {
				t.Fatal(err)
			}
			return
		}
		again, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := book.Parse(again, now); err != nil && len(again) <= book.MaxLineBytes {
			t.Fatalf("what was written is not read: %v\n%s", err, again)
		}
	})
}
