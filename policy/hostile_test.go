package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/internal/quickest"
	"github.com/muster-cip/muster/packs"
)

const small = `format: 1
id: small
edition: "1"
kind: register
title: A small pack
applies_when: "true"
sources: [{id: own, title: Own terms, citation: terms, status: "provider's own", as_of: "2026-11-02"}]
`

func ruleWhen(when string) string {
	return small + fmt.Sprintf("rules:\n  - id: r\n    title: R\n    outcome: review\n    mode: enforce\n    cite: {source: own}\n    words: {customer: Please wait.}\n    when: %q\n", when)
}

// hostile packs, each of which must end in an error, and soon.
func hostile() map[string]string {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	deepBlock := ""
	for i := range 2000 {
		deepBlock += strings.Repeat(" ", i) + "a:\n"
	}
	deepSeq := strings.Repeat("- ", 1000) + "a\n"
	chain := "'a'"
	for range 60 {
		chain = "(" + chain + ")"
	}
	conds := "rules:\n"
	for i := range 400 {
		conds += fmt.Sprintf("  - {id: r%d, title: R, outcome: review, cite: {source: own}, words: {customer: Wait.}, when: \"%s\"}\n", i,
			strings.Repeat("(", 20)+fmt.Sprintf("%d > ", i)+strings.Repeat("1+", 200)+"1"+strings.Repeat(")", 20))
	}
	return map[string]string{
		"yaml aliases":            bomb,
		"merge key":               small + "notice: &n {text: a}\nstatus:\n  <<: *n\n",
		"flow nesting":            strings.Repeat("[", 100_000),
		"flow nesting over lines": strings.Repeat("[\n", 50_000),
		"map nesting":             strings.Repeat("{a: ", 50_000),
		"block nesting":           deepBlock,
		"sequence nesting":        deepSeq,
		"many documents":          strings.Repeat("---\na: b\n", 20_000),
		"too large":               strings.Repeat("# x\n", 100_000),
		"long line":               small + "authority: " + strings.Repeat("x", 100_000),
		"tokens":                  strings.Repeat("a: b\n", 40_000),
		"quotes":                  strings.Repeat("\"", 200_000),
		"quotes on lines":         strings.Repeat("\"\n", 100_000),
		"block scalars":           strings.Repeat("a: |\n", 40_000),
		"colons":                  strings.Repeat(":\n", 100_000),
		"comments":                strings.Repeat("#\n", 100_000),
		"tabs":                    strings.Repeat("\t\n", 100_000),
		"not utf-8":               strings.Repeat("\xff\xfe", 1000),
		"nul":                     strings.Repeat("\x00", 1000),
		"unknown key":             small + "surprise: 1\n",
		"double key":              small + "id: again\n",
		"tag":                     small + "authority: !!binary aGk=\n",
		"cel parentheses":         ruleWhen(strings.Repeat("(", 400) + "true" + strings.Repeat(")", 400)),
		"cel lists":               ruleWhen(strings.Repeat("[", 400) + strings.Repeat("]", 400) + " == []"),
		"cel ternaries":           ruleWhen(strings.Repeat("true ? ", 120) + "true" + strings.Repeat(" : false", 120)),
		"cel nested loops":        ruleWhen("absent.all(a, absent.all(b, absent.all(c, absent.all(d, a == b && c == d))))"),
		"cel exponential":         ruleWhen("absent.map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a+a).map(a, a+a).map(a, a+a).size() > 0"),
		"cel long":                ruleWhen(strings.Repeat("true && ", 300) + "true"),
		"cel regex":               ruleWhen("mode.matches('((((a{1,100}){1,100}){1,100}){1,100})')"),
		"cel no such variable":    ruleWhen("customer.name == 'x'"),
		"cel not bool":            ruleWhen("1 + 1"),
		"cel subject in vain":     ruleWhen("subject.kind == 'entity'"),
		"cel wrong type":          ruleWhen("customer.share == 'x'"),
		"cel garbage":             ruleWhen(strings.Repeat("&&||", 200)),
		"cel many":                small + conds,
		"status of status":        small + "status: {us: \"customer.foreign == 'us'\"}\n",
	}
}

func TestHostilePacksEndInAnErrorAtOnce(t *testing.T) {
	load(t, packs.Default) // what is done once in a process is not the hostile pack's
	for what, src := range hostile() {
		t.Run(what, func(t *testing.T) {
			var err error
			const most = 100 * time.Millisecond
			took := quickest.Of(most, func() { _, err = Compile([]byte(src)) })
			if err == nil {
				t.Fatal("compiled")
			}
			code := muster.ErrorCode(err)
			if code != muster.CodeInvalid && code != muster.CodeMalformed && code != muster.CodeTooLarge {
				t.Errorf("code %s", code)
			}
			if strings.Contains(err.Error(), strings.Repeat("x", 300)) {
				t.Error("the error repeats the input")
			}
			if took > most {
				t.Errorf("took %s: %v %s", took, err, faults(err))
			}
		})
	}
}

func TestFaultsNameLineAndColumn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ src, at string }{
		{small + "surprise: 1\n", "8:1: "},
		{small + "rules:\n  - id: r\n    title: R\n    outcome: review\n    cite: {source: own}\n    words: {customer: Wait.}\n    when: \"true && nothing\"\n", "14:"},
		{small + "rules:\n  - id: r\n    title: R\n    outcome: review\n    cite: {source: own}\n    words: {customer: Wait.}\n    when: |\n      true &&\n      nothing\n", "16:"},
		{small + "authority: &a x\n", "8:12: "},
	} {
		_, err := Compile([]byte(c.src))
		var found bool
		for l := range strings.SplitSeq(faults(err), "\n") {
			_, detail, _ := strings.Cut(l, " ")
			found = found || strings.HasPrefix(detail, c.at)
		}
		if !found {
			t.Errorf("want a fault at %s, got %s", c.at, faults(err))
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, id := range allPacks {
		f.Add(load(f, id).Source())
	}
	for _, src := range hostile() {
		if len(src) < 4096 {
			f.Add([]byte(src))
		}
	}
	given := Given{}
	facts, err := given.Facts()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := Compile(src)
		if err != nil {
			if muster.ErrorCode(err) == muster.CodeInternal {
				t.Error(err)
			}
			return
		}
		// What compiles can be decided by, checked, printed and compared.
		if d := Decide([]*Pack{p}, facts); d.Outcome.Severity() < 0 {
			t.Errorf("outcome %q", d.Outcome)
		}
		Check(p)
		if _, err := RenderHTML(p, nil); err != nil {
			t.Error(err)
		}
		if Diff(p, p) != "Nothing changes.\n" {
			t.Error("a pack differs from itself")
		}
	})
}
