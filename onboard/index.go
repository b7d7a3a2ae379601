package onboard

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/validate"
	"github.com/muster-cip/muster/vault"
)

// normaliser is the version of the spelling rules behind every digest.
const normaliser = 1

// value is one thing that goes into a blind index.
type value struct {
	kind  vault.Kind
	value string
}

// valuesOf lists the look-up values of subject i. What belongs to the whole
// application (payment, device, access) goes with the customer.
func valuesOf(c *validate.Checked, i int) []value {
	s, n := c.Subjects[i], c.Normal.Subjects[i]
	list := []value{{vault.KindEmail, n.EmailKey}, {vault.KindPhone, n.Phone}}
	if n.NationalID != "" {
		p := partyAt(c.Application, s.Pointer)
		if p != nil && p.NationalID != nil {
			list = append(list, value{vault.KindNationalID, string(p.NationalID.Country) + "|" + strings.ToLower(p.NationalID.Type) + "|" + n.NationalID})
		}
	}
	if n.LEI != "" {
		list = append(list, value{vault.KindRegistration, "lei|" + n.LEI})
	}
	if n.RegistrationNumber != "" {
		list = append(list, value{vault.KindRegistration, string(s.Formation) + "|" + n.RegistrationNumber})
	}
	if i == 0 {
		p := c.Normal.Payment
		card := p.Fingerprint // the same card has one, whatever its token
		if card == "" {
			card = p.Token
		}
		list = append(list, value{vault.KindCard, card}, value{vault.KindIBAN, p.IBAN}, value{vault.KindAccount, p.AccountNumber}, value{vault.KindDevice, c.Normal.Device})
		if p.Wallet != "" {
			list = append(list, value{vault.KindWallet, p.Network + "|" + p.Wallet})
		}
		if c.Normal.IP.IsValid() {
			list = append(list, value{vault.KindIP, c.Normal.IP.String()})
		}
	}
	return slices.DeleteFunc(list, func(v value) bool { return v.value == "" })
}

// partyAt finds the customer, or an owner by pointer.
func partyAt(app *muster.Application, pointer string) *muster.Party {
	for _, pl := range split(app, nil) {
		if pl.pointer == pointer {
			return pl.piece.Party
		}
	}
	return nil
}

// digests are the customer's, by kind, under every live key of the kind.
type digests map[vault.Kind][][]byte

// claimKinds are the kinds of value that claims hold. One that the claims leave
// out has no digest, and counts nobody: what stood there before does not linger.
var claimKinds = []vault.Kind{
	vault.KindEmail, vault.KindPhone, vault.KindNationalID, vault.KindRegistration, vault.KindCard, vault.KindIBAN,
	vault.KindAccount, vault.KindDevice, vault.KindWallet, vault.KindIP,
}

func (s *Service) digestsOf(c *validate.Checked) digests {
	all := digests{}
	for _, kind := range claimKinds {
		all[kind], all[abusing(kind)] = nil, nil
	}
	for _, v := range valuesOf(c, 0) {
		all[v.kind] = append(all[v.kind], s.Vault.Digests(v.kind, normaliser, v.value)...)
		all[abusing(v.kind)] = append(all[abusing(v.kind)], s.Vault.Digests(vault.KindAbuse, normaliser, string(v.kind)+"|"+v.value)...)
	}
	return all
}

// abusing is where digests have those of a kind's values among customers whose
// account was closed for abuse.
func abusing(kind vault.Kind) vault.Kind { return vault.KindAbuse + "/" + kind }

// abuseRows are the rows by which a customer whose account was closed for abuse
// counts for who shares a value with them. The day on which they were made is that
// of the end.
func (s *Service) abuseRows(c *validate.Checked, r *muster.SubjectRecord, key vault.Key, closed time.Time) (rows []muster.IndexRow) {
	for _, v := range valuesOf(c, 0) {
		rows = append(rows, s.indexRow(value{vault.KindAbuse, string(v.kind) + "|" + v.value}, r, key, closed))
	}
	return rows
}

func (s *Service) indexRows(c *validate.Checked, subjects []*muster.SubjectRecord, keys map[string]vault.Key, now time.Time) []muster.IndexRow {
	var rows []muster.IndexRow
	for i, r := range subjects {
		for _, v := range valuesOf(c, i) {
			rows = append(rows, s.indexRow(v, r, keys[r.ID], now))
		}
	}
	return rows
}

func (s *Service) indexRow(v value, r *muster.SubjectRecord, key vault.Key, now time.Time) muster.IndexRow {
	handles, digests := s.Vault.HandlesFor(v.kind, key), s.Vault.Digests(v.kind, normaliser, v.value)
	row := muster.IndexRow{Kind: string(v.kind), Digest: digests[0], Handle: handles[0][:], Role: r.Role, Made: day(now)}
	if len(handles)+len(digests) > 2 { // a key turns
		row.Digests = digests
		for i := range handles {
			row.Handles = append(row.Handles, handles[i][:])
		}
	}
	return row
}

// day cuts an index row's time to the day (UTC): a finer one would join the rows of
// one application to each other and to it, which handles are made not to allow. A
// window of a count begins with a whole day for it.
func day(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(24 * time.Hour)
}

// questions are the counts that packs ask for, of the kinds whose digests are
// fresh. Others keep what the last decision saw: its values have not changed.
type questions struct {
	keys []string // in Facts.Counts
	of   []muster.HandleCount
}

func ask(packs []*policy.Pack, fresh digests, now time.Time) (q questions) {
	for _, want := range policy.CountsWanted(packs) {
		x := muster.HandleCount{Kind: want.Of, Roles: want.Roles, Since: day(want.Since(now))}
		from := vault.Kind(want.Of)
		if want.Count == policy.CountAbusers {
			x.Kind, from = string(vault.KindAbuse), abusing(from)
		}
		var ok bool
		if x.Digests, ok = fresh[from]; ok {
			q.keys, q.of = append(q.keys, want.Key), append(q.of, x)
		}
	}
	return q
}

// fill puts the answers into facts. This application is among those counted.
func (q questions) fill(facts *muster.Facts, counts []int64) {
	for i, key := range q.keys {
		if facts.Counts == nil {
			facts.Counts = map[string]int64{}
		}
		facts.Counts[key] = counts[i]
	}
}

// with adds rows that are about to be written to counts made without them.
func (q questions) with(counts []int64, rows []muster.IndexRow) {
	for i, x := range q.of {
		for _, r := range rows {
			if r.Kind == x.Kind && (len(x.Roles) == 0 || slices.Contains(x.Roles, r.Role)) &&
				slices.ContainsFunc(x.Digests, func(d []byte) bool { return bytes.Equal(d, r.Digest) }) {
				counts[i]++
			}
		}
	}
}
