package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster/packs"
)

// edit replaces text of the default pack, which must be there.
func edit(t *testing.T, pairs ...string) *Pack {
	t.Helper()
	src := string(load(t, packs.Default).Source())
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(src, pairs[i]) {
			t.Fatalf("the default pack has no %q", pairs[i])
		}
		src = strings.Replace(src, pairs[i], pairs[i+1], 1)
	}
	return compile(t, src)
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, code string
		pairs      []string
	}{
		{"a field that nothing reads and no source asks for", "unread_field", []string{"    read_by: [customers_per_device]\n", ""}},
		{"a field read by no such rule", "read_by", []string{"read_by: [customers_per_device]", "read_by: [nobody]"}},
		{"a field without a lawful basis", "lawful_basis", []string{"    lawful_basis: legitimate interest in keeping abuse out\n", "    lawful_basis: \"\"\n"}},
		{"a count that nothing reads", "unread_count", []string{"when: counts.customers_per_device > 5", "when: counts.customers_per_card > 5"}},
		{"a refusal by nationality", "refuses_by_origin", []string{"when: review.refused && application.state != 'approved'", "when: review.refused && 'NG' in subject.shows_nationality", "title: A person found that identity cannot be accepted", "title: A person found that identity cannot be accepted\n    scope: subject"}},
		{"a refusal by address", "refuses_by_origin", []string{"when: review.refused && application.state != 'approved'", "when: review.refused && customer.country == 'NG'"}},
		{"a refusal by network", "refuses_by_network", []string{"when: review.refused && application.state != 'approved'", "when: review.refused && access.country == 'NG'"}},
		{"a refusal without a person", "refuses_without_person", []string{"when: review.refused && application.state != 'approved'", "when: counts.customers_per_card > 100"}},
		{"words that name a list", "words", []string{"customer: We cannot open this account.", "customer: You are on a watch list."}},
		{"words that name another customer", "words", []string{"customer: We cannot open this account.", "customer: Another customer has this card."}},
		{"words that name a threshold", "words", []string{"customer: Please give an e-mail address.", "customer: You are above the threshold of 25 %."}},
		{"a hidden rule with a code of its own", "hidden", []string{"code: random_check", "code: card_of_many"}},
		{"a hidden rule with words of its own", "hidden", []string{"words: We look more closely at some applications. There is nothing for you to do now.", "words: Your card is of interest to us."}},
		{"a boast", "claims", []string{"text: This programme was approved by the provider's management.", "text: This programme is compliant."}},
		{"required by law of a proposal", "claims", []string{"why: To know who the account is for.", "why: This is required by law."}},
		{"a missing situation", "situation", []string{"- id: never_in_person", "- id: sometimes_in_person"}},
		{"no redress", "unverified", []string{"  redress: >-\n    Every customer can ask for the finding to be looked at again, by a person who did not make it, can correct what was\n    stated, and can report that their information may be in somebody else's hands. The case gets an answer by a stated date.\n", ""}},
		{"nobody asks for a person in control", "ownership", []string{"when: customer.kind == 'entity' && owners.control == 0", "when: customer.kind == 'entity' && owners.beneficial == 0"}},
		{"no retention of identity", "retention", []string{"{class: identity,", "{class: identities,"}},
		{"interim service without end", "interim", []string{"    days: 14\n", ""}},
		{"an example that comes out otherwise", "example", []string{"when: counts.customers_per_card > 5", "when: counts.customers_per_card > 4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := Check(edit(t, c.pairs...))
			var codes []string
			for _, f := range r.Findings {
				codes = append(codes, f.Code)
			}
			if !contains(codes, c.code) || r.OK() {
				t.Errorf("want %s, found %v", c.code, r.Findings)
			}
		})
	}
}

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	records := []ProgrammeRecord{
		{Kind: "approval", At: time.Date(2026, 10, 1, 9, 0, 0, 0, time.UTC), By: "programme owner", Text: "edition 2026-11 approved"},
		{Kind: "training", At: time.Date(2026, 10, 5, 9, 0, 0, 0, time.UTC), By: "programme owner", Text: "two analysts"},
	}
	for _, id := range allPacks {
		p := load(t, id)
		md := Render(p, records)
		golden(t, "testdata/render/"+id+".md", md)
		page, err := RenderHTML(p, records)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/render/"+id+".html", page)
		for _, banned := range []string{"compliant", "required by law", "http://", "https://", "<script", "<img", "url("} {
			if strings.Contains(strings.ToLower(page), banned) {
				t.Errorf("%s: the page says %q", id, banned)
			}
		}
	}
}

// What has no record behind it is printed as not provided, and its claim is not.
func TestRenderNeverClaimsARecordThatIsNotThere(t *testing.T) {
	t.Parallel()
	p := load(t, packs.Default)
	bare := Render(p, nil)
	for _, s := range p.doc.Programme {
		if s.Records != "" && strings.Contains(bare, s.Text) {
			t.Errorf("%s is claimed without a record", s.Heading)
		}
	}
	if n := strings.Count(bare, notProvided); n != 3 {
		t.Errorf("%d sentences are not provided, want 3", n)
	}
	with := Render(p, []ProgrammeRecord{{Kind: "approval", By: "board", Text: "approved"}})
	if !strings.Contains(with, "approved by the provider's management") || strings.Count(with, notProvided) != 2 {
		t.Error("an approval on record is not printed")
	}
}

// Every citation of a source that is not in force says so where it stands.
func TestRenderNamesTheLegalStatus(t *testing.T) {
	t.Parallel()
	for line := range strings.SplitSeq(Render(load(t, packs.Default), nil), "\n") {
		if strings.Contains(line, "proposed 15 CFR 7.") && !strings.Contains(line, "(proposed, not in force") {
			t.Error(line)
		}
	}
}

func TestRenderEscapesMarkup(t *testing.T) {
	t.Parallel()
	p := edit(t, "text: This programme was approved by the provider's management.", "text: <script>alert(1)</script> | a", "records: approval\n", "records: \"\"\n")
	page, err := RenderHTML(p, nil)
	if err != nil || strings.Contains(page, "<script") {
		t.Error("markup of a pack got through", err)
	}
}

func TestDiffInPlainWords(t *testing.T) {
	t.Parallel()
	old := load(t, packs.Default)
	changed := edit(t,
		"edition: \"2027-01\"", "edition: \"2027-02\"",
		"threshold: \"25\"", "threshold: \"10\"",
		"when: counts.customers_per_card > 5", "when: counts.customers_per_card > 2",
		"{class: identity, from: [closed, last_accessed], period: 2 years", "{class: identity, from: [closed, last_accessed], period: 3 years",
		"    instances: 1\n", "    instances: 2\n",
		"  - field: payment.payer_name\n", "  - field: payment.payer\n",
		"  - id: parent_not_in_service\n", "  - id: parent_closed\n")
	golden(t, "testdata/diff/default.txt", Diff(old, changed))
	if got := Diff(old, old); got != "Nothing changes.\n" {
		t.Error(got)
	}
}
