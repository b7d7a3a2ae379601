package measure

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/muster-cip/muster"
)

// format is the version of the file's form.
const format = 1

var idPattern = regexp.MustCompile(`^[a-z0-9._-]{1,64}$`)

// statuses that a citation may have.
var statuses = []string{"in force", "proposed", "provider's own"}

// instant is a time in a file: RFC 3339, or a date, whose start in UTC it is.
type instant struct{ time.Time }

var errTime = errors.New("a time is 2027-03-01 (its start, UTC) or 2027-03-01T12:00:00Z")

func (t *instant) UnmarshalYAML(n ast.Node) error {
	text := n.GetToken().Value
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			t.Time = muster.Instant(at)
			return nil
		}
	}
	return errTime
}

// Parse reads a determination: YAML, of which JSON is a part, strict. An error
// names line and column, or the member at fault.
func Parse(source []byte) (*muster.Determination, error) {
	if len(source) > muster.MaxDeterminationBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "a determination has at most %d bytes", muster.MaxDeterminationBytes)
	}
	if !utf8.Valid(source) || bytes.IndexByte(source, 0) >= 0 {
		return nil, muster.Errorf(muster.CodeMalformed, "a determination is UTF-8 text")
	}
	if err := plain(source); err != nil {
		return nil, err
	}
	d := &muster.Determination{}
	decoder := yaml.NewDecoder(bytes.NewReader(source), yaml.Strict(),
		yaml.CustomUnmarshaler(func(t *time.Time, b []byte) error {
			var at instant
			if err := yaml.Unmarshal(b, &at); err != nil {
				return errTime
			}
			*t = at.Time
			return nil
		}))
	if err := decoder.Decode(d); err != nil {
		return nil, malformed(err)
	}
	if faults := Check(d); len(faults) > 0 {
		return nil, muster.Invalid(faults...)
	}
	return d, nil
}

// plain refuses what makes a small text large: anchors and aliases, and more than
// one document.
func plain(source []byte) error {
	f, err := parser.ParseBytes(source, 0)
	if err != nil {
		return malformed(err)
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return muster.Errorf(muster.CodeMalformed, "a file has one determination")
	}
	var bad error
	ast.Walk(visitor(func(n ast.Node) {
		switch n.(type) {
		case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
			at := n.GetToken().Position
			bad = muster.Errorf(muster.CodeMalformed, "%d:%d: anchors, aliases and tags are not taken", at.Line, at.Column)
		}
	}), f.Docs[0].Body)
	return bad
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}

// malformed is a parser's error without the text that it quotes.
func malformed(err error) error {
	var y yaml.Error
	if errors.As(err, &y) && y.GetToken() != nil {
		at := y.GetToken().Position
		return muster.Errorf(muster.CodeMalformed, "%d:%d: %s", at.Line, at.Column, y.GetMessage())
	}
	if errors.Is(err, errTime) || strings.Contains(err.Error(), errTime.Error()) {
		return muster.Errorf(muster.CodeMalformed, "%s", errTime)
	}
	return muster.Errorf(muster.CodeMalformed, "this is no YAML: %w", err)
}

// Digest names the bytes of a determination.
func Digest(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

// Check lists what is wrong with a determination.
func Check(d *muster.Determination) (faults []muster.Fault) {
	fault := func(bad bool, pointer, code, format string, args ...any) {
		if bad {
			faults = append(faults, muster.Fault{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
		}
	}
	text := func(pointer, s string, most int, needed bool) {
		fault(needed && strings.TrimSpace(s) == "", pointer, "required", "is needed")
		fault(utf8.RuneCountInString(s) > most, pointer, "too_long", "is longer than %d characters", most)
	}
	fault(d.Format != format, "/format", "unknown_value", "is %d", format)
	fault(!idPattern.MatchString(d.ID), "/id", "reference", "is 1 to 64 lower-case letters, digits, dots, underscores and dashes")
	text("/title", d.Title, 200, true)
	text("/authority", d.Authority, 200, true)
	text("/citation", d.Citation, 200, true)
	fault(!slices.Contains(statuses, d.Status), "/status", "unknown_value", "is one of: %s", strings.Join(statuses, ", "))
	fault(d.Kind != muster.MeasureJurisdiction && d.Kind != muster.MeasurePerson, "/kind", "unknown_value", "is jurisdiction or person")
	fault(d.Measure != muster.MeasureProhibit && d.Measure != muster.MeasureConditions, "/measure", "unknown_value", "is prohibit or conditions")
	text("/words/customer", d.Words.Customer, muster.MaxTextRunes, true)
	text("/words/appeal", d.Words.Appeal, muster.MaxTextRunes, true)
	text("/words/operator", d.Words.Operator, muster.MaxTextRunes, false)

	fault(d.Published.IsZero(), "/published", "required", "is needed: when the determination was made public")
	fault(!d.Effective.IsZero() && d.Effective.Before(d.Published), "/effective", "order", "is before published")
	fault(!d.Until.IsZero() && !d.Effective.IsZero() && !d.Until.After(d.Effective), "/until", "order", "is not after effective")
	fault(!d.GraceUntil.IsZero() && !d.Effective.IsZero() && d.GraceUntil.Before(d.Effective), "/grace_until", "order", "is before effective")
	fault(!d.GraceUntil.IsZero() && !d.Until.IsZero() && !d.GraceUntil.Before(d.Until), "/grace_until", "order", "is not before until")

	fault(len(d.Targets) == 0, "/targets", "required", "names at least one jurisdiction or person")
	fault(len(d.Targets) > muster.MaxMeasureTargets, "/targets", "too_many", "has more than %d targets", muster.MaxMeasureTargets)
	for i := range d.Targets {
		checkTarget(d, i, fault)
	}
	for i, by := range d.By {
		fault(!slices.Contains(muster.MeasureFacts, by), fmt.Sprintf("/by/%d", i), "unknown_value",
			"is one of: %s; place of birth and language never match", strings.Join(muster.MeasureFacts, ", "))
		fault(slices.Contains(d.By[:i], by), fmt.Sprintf("/by/%d", i), "twice", "is there already")
	}
	fault(d.Kind == muster.MeasureJurisdiction && len(d.By) == 0, "/by", "required", "says on which facts a jurisdiction matches")
	if d.Ownership.Share != "" {
		_, err := muster.ParsePercent(d.Ownership.Share)
		fault(err != nil, "/ownership/share", "share", "is a share in per cent, such as \"50\"")
	}
	fault(d.Ownership != (muster.MeasureOwnership{}) && !slices.Contains(d.By, muster.ByOwnership), "/ownership", "misplaced", "is read only where by names ownership")

	c := d.Conditions
	asks := !emptyLimits(c.Limits) || len(c.Verify)+len(c.Obligations) > 0
	fault(d.Measure == muster.MeasureConditions && !asks, "/conditions", "required", "says what is asked: limits, verify or obligations")
	fault(d.Measure == muster.MeasureProhibit && asks, "/conditions", "misplaced", "is of measures that set conditions")
	for i, a := range c.Verify {
		fault(!slices.Contains(muster.Attributes, a), fmt.Sprintf("/conditions/verify/%d", i), "unknown_value", "is no attribute that can be shown")
	}
	for i, o := range c.Obligations {
		fault(!idPattern.MatchString(o), fmt.Sprintf("/conditions/obligations/%d", i), "reference", "is a word such as closer_monitoring")
	}
	l := c.Limits
	fault(l.GPU != "" && !slices.Contains([]string{"none", "shared", "single", "multi"}, l.GPU), "/conditions/limits/gpu", "unknown_value", "is none, shared, single or multi")
	fault(l.OutboundMail != "" && l.OutboundMail != "closed" && l.OutboundMail != "open", "/conditions/limits/outbound_mail", "unknown_value", "is closed or open")
	fault(l.Instances != nil && *l.Instances < 0 || l.Days != nil && *l.Days < 0, "/conditions/limits", "range", "limits are not negative")

	fault(len(d.Exceptions) > muster.MaxMeasureLicences, "/exceptions", "too_many", "has more than %d exceptions", muster.MaxMeasureLicences)
	for i := range d.Exceptions {
		for _, f := range CheckLicence(&d.Exceptions[i]) {
			f.Pointer = fmt.Sprintf("/exceptions/%d", i) + f.Pointer
			faults = append(faults, f)
		}
	}
	return faults
}

func checkTarget(d *muster.Determination, i int, fault func(bad bool, pointer, code, format string, args ...any)) {
	t, at := &d.Targets[i], fmt.Sprintf("/targets/%d", i)
	n := 0
	for _, set := range []bool{t.Country != "", t.List != "" || t.Entry != "", t.Customer != ""} {
		if set {
			n++
		}
	}
	fault(n != 1, at, "one_of", "names one of: country; list and entry; customer")
	jurisdiction := t.Country != ""
	fault(n == 1 && jurisdiction != (d.Kind == muster.MeasureJurisdiction), at, "misplaced", "a jurisdiction names countries, a person is a list's entry or a customer")
	fault(jurisdiction && (len(t.Country) != 2 || strings.ToUpper(string(t.Country)) != string(t.Country)), at+"/country", "unknown_country", "is a country code (ISO 3166-1 alpha-2, upper case)")
	fault((t.List == "") != (t.Entry == ""), at, "required", "list and entry go together")
	fault(t.Customer != "" && !strings.HasPrefix(t.Customer, muster.PrefixCustomer), at+"/customer", "reference", "is the id of a customer")
	places := len(t.Names) + len(t.Towns) + len(t.Postal)
	fault(places > 0 && t.Region == "", at+"/region", "required", "names, towns and postal codes are of a region")
	fault(t.Region != "" && places == 0, at, "required", "a region says how it is known: names, towns or postal codes")
	fault(t.Region != "" && !slices.Contains(d.By, muster.ByAddress), at+"/region", "misplaced", "a region is known by address, which by does not name")
	fault(places > muster.MaxMeasurePlaces, at, "too_many", "has more than %d names, towns and postal codes", muster.MaxMeasurePlaces)
	for _, list := range []struct {
		name   string
		values []string
	}{{"names", t.Names}, {"towns", t.Towns}} {
		for k, v := range list.values {
			fault(len([]rune(fold(v))) < 3, fmt.Sprintf("%s/%s/%d", at, list.name, k), "too_short", "has three letters at least")
		}
	}
	for k, v := range t.Postal {
		n := len([]rune(v))
		fault(n < 2 || n > muster.AreaPostal, fmt.Sprintf("%s/postal/%d", at, k), "length", "is the first two or three characters of a postal code: facts hold no more")
	}
}

// CheckLicence lists what is wrong with a licence.
func CheckLicence(l *muster.Licence) (faults []muster.Fault) {
	fault := func(bad bool, pointer, code, detail string) {
		if bad {
			faults = append(faults, muster.Fault{Pointer: pointer, Code: code, Detail: detail})
		}
	}
	fault(strings.TrimSpace(l.Reference) == "" || len(l.Reference) > 200, "/reference", "required", "is the authority's number or name of the licence")
	fault(l.Customer != "" && l.Account != "", "/customer", "one_of", "a licence is for a customer or for an account")
	fault(l.Customer != "" && !strings.HasPrefix(l.Customer, muster.PrefixCustomer), "/customer", "reference", "is the id of a customer")
	fault(l.Account != "" && !muster.IsReference(l.Account), "/account", "reference", "is the provider's reference of an account")
	fault(l.Customer == "" && l.Account == "" && len(l.Products) == 0, "/products", "required", "a licence for everybody names its products")
	fault(len(l.Products) > muster.MaxProducts, "/products", "too_many", "has too many products")
	fault(!l.From.IsZero() && !l.Until.IsZero() && !l.Until.After(l.From), "/until", "order", "is not after from")
	return faults
}

func emptyLimits(l muster.Limits) bool {
	return len(l.Products)+len(l.Deny)+len(l.Regions) == 0 && l.GPU == "" && l.Instances == nil && l.OutboundMail == "" && l.Spend == nil && l.Days == nil
}
