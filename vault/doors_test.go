package vault_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/vault"
)

// recorder keeps entries; refuse makes it fail.
type recorder struct {
	entries []vault.Entry
	refuse  error
}

func (r *recorder) Record(_ context.Context, e vault.Entry) error {
	if r.refuse != nil {
		return r.refuse
	}
	r.entries = append(r.entries, e)
	return nil
}

func request(items ...vault.Item) vault.RevealRequest {
	return vault.RevealRequest{Operator: operator, Purpose: vault.PurposeSupport, Case: "T-1", Items: items}
}

// page is two sealed values of two subjects.
func page(t *testing.T, v *vault.Vault) []vault.Item {
	t.Helper()
	var items []vault.Item
	for i, name := range []string{"sub_1", "sub_2"} {
		k := take(t, v)
		p := vault.Place{Subject: name, Record: "app_1", Field: "claims", Revision: i}
		sealed, err := v.Seal(k, p, []byte("value of "+name))
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, vault.Item{Place: p, KeyID: k.ID(), Sealed: sealed})
	}
	return items
}

func TestRevealIsRecordedOnceForAPage(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	items, rec := page(t, v), &recorder{}
	got, err := v.Reveal(t.Context(), request(append(items, items[0])...), rec)
	if err != nil || string(got[0]) != "value of sub_1" || string(got[1]) != "value of sub_2" || string(got[2]) != "value of sub_1" {
		t.Fatalf("%q, %v", got, err)
	}
	if len(rec.entries) != 1 {
		t.Fatalf("%d entries", len(rec.entries))
	}
	e := rec.entries[0]
	if e.Type != vault.EntryReveal || e.Operator != operator || e.Purpose != vault.PurposeSupport || e.Case != "T-1" || e.Subjects != 2 || len(e.Places) != 3 {
		t.Fatalf("entry %+v", e)
	}
	if strings.Contains(string(e.Canonical()), "value of") {
		t.Fatal("the entry holds a value")
	}
	// An erased one is nil, the rest opens.
	if err := v.Destroy(t.Context(), []string{items[0].KeyID}); err != nil {
		t.Fatal(err)
	}
	got, err = v.Reveal(t.Context(), request(items...), rec)
	if err != nil || got[0] != nil || string(got[1]) != "value of sub_2" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestNothingOpensWhereNothingIsRecorded(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	items, rec := page(t, v), &recorder{refuse: errors.New("the disk is full")}
	if got, err := v.Reveal(t.Context(), request(items...), rec); got != nil || !errors.Is(err, rec.refuse) {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := v.Lookup(t.Context(), request(), vault.KindEmail, 1, "a@example.org", rec); got != nil || !errors.Is(err, rec.refuse) {
		t.Fatalf("%q, %v", got, err)
	}
	if s, err := v.Use(t.Context(), vault.Job{Name: "sweep", Purpose: "screening", Scope: "all customers"}, rec); s != nil || !errors.Is(err, rec.refuse) {
		t.Fatalf("%v, %v", s, err)
	}
	if got, err := v.Reveal(t.Context(), request(items...), nil); got != nil || err == nil {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestRevealNamesOperatorPurposeAndCase(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	items := page(t, v)
	for pointer, spoil := range map[string]func(*vault.RevealRequest){
		"/operator": func(r *vault.RevealRequest) { r.Operator = "" },
		"/purpose":  func(r *vault.RevealRequest) { r.Purpose = "curiosity" },
		"/case":     func(r *vault.RevealRequest) { r.Case = "about Ada Lovelace" },
		"/items":    func(r *vault.RevealRequest) { r.Items = make([]vault.Item, 1001) },
	} {
		r, rec := request(items...), &recorder{}
		spoil(&r)
		got, err := v.Reveal(t.Context(), r, rec)
		var e *muster.Error
		if got != nil || !errors.As(err, &e) || e.Code != muster.CodeInvalid || len(e.Faults) != 1 || e.Faults[0].Pointer != pointer || len(rec.entries) != 0 {
			t.Errorf("%s: %q, %v", pointer, got, err)
		}
		if strings.Contains(err.Error(), "Ada") {
			t.Errorf("%s: the error repeats the value", pointer)
		}
	}
	r := request(items...)
	r.Operator = "muster"
	if _, err := v.Reveal(t.Context(), r, &recorder{}); err == nil {
		t.Error("muster itself asked for support")
	}
	r.Purpose = vault.PurposeDelivery
	if _, err := v.Reveal(t.Context(), r, &recorder{}); err != nil {
		t.Error(err)
	}
}

func TestUseRecordsItsStartAndItsEnd(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	items, rec := page(t, v), &recorder{}
	s, err := v.Use(t.Context(), vault.Job{Name: "sweep", Purpose: "screening", Scope: "all customers"}, rec)
	if err != nil || len(rec.entries) != 1 || rec.entries[0].Type != vault.EntryUseStart || rec.entries[0].Scope != "all customers" {
		t.Fatalf("%+v, %v", rec.entries, err)
	}
	for _, it := range items {
		if _, err := s.Open(t.Context(), it); err != nil {
			t.Fatal(err)
		}
	}
	rec.refuse = errors.New("away")
	if err := s.End(t.Context(), 7); err == nil {
		t.Fatal("an end that is not recorded is no end")
	}
	rec.refuse = nil
	for range 2 {
		if err := s.End(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	if len(rec.entries) != 2 || rec.entries[1].Type != vault.EntryUseEnd || rec.entries[1].ID != rec.entries[0].ID || rec.entries[1].Count != 7 || rec.entries[1].Opened != 2 {
		t.Fatalf("%+v", rec.entries)
	}
	if _, err := s.Open(t.Context(), items[0]); err == nil {
		t.Fatal("opened after the end")
	}
	if _, err := v.Use(t.Context(), vault.Job{Name: "sweep"}, rec); err == nil {
		t.Fatal("a use without purpose and scope")
	}
}

func TestLookupIsRecordedAlsoWhereNothingIsFound(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	rec := &recorder{}
	got, err := v.Lookup(t.Context(), request(), vault.KindEmail, 1, "nobody@example.org", rec)
	if err != nil || len(got) != 1 || string(got[0]) != string(v.Digest(vault.KindEmail, 1, "nobody@example.org")) {
		t.Fatalf("%x, %v", got, err)
	}
	if len(rec.entries) != 1 || rec.entries[0].Type != vault.EntryLookup || rec.entries[0].Kind != vault.KindEmail || strings.Contains(string(rec.entries[0].Canonical()), "nobody") {
		t.Fatalf("%+v", rec.entries)
	}
}

func TestRevealOfFactsNamesEachSubject(t *testing.T) {
	t.Parallel()
	v, _, _ := setup(t)
	sealed, err := v.SealFacts("dec_1", []vault.Part{{Name: vault.CommonPart, Data: []byte("c")}, {Name: "sub_1", Key: take(t, v), Data: []byte("s")}}, commit)
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{}
	got, err := v.RevealFacts(t.Context(), request(), "dec_1", sealed.Blob, rec)
	if err != nil || string(got[0].Data) != "c" || string(got[1].Data) != "s" {
		t.Fatalf("%v, %v", got, err)
	}
	if len(rec.entries) != 1 || rec.entries[0].Subjects != 1 || rec.entries[0].Places[1].Subject != "sub_1" {
		t.Fatalf("%+v", rec.entries)
	}
}
