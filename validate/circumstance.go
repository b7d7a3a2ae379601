package validate

import (
	"fmt"
	"strings"
	"time"

	"github.com/muster-cip/muster"
)

// What stands around the parties: payment, access, request, notice.

func (k *check) payment(p *muster.Payment) {
	if p == nil {
		k.absent("payment")
		return
	}
	const at = "/payment"
	n := &k.out.Normal.Payment
	if p.Means == "" {
		k.fault(at+"/means", "required", "is needed to read the payment")
	} else {
		k.oneOf(p.Means, at+"/means", "card", "bank_account", "virtual_currency", "processor", "invoice", "other")
	}
	if blank(p.Institution) {
		k.absent("payment.institution")
	} else {
		k.line(p.Institution, muster.MaxLineRunes, at, "/institution", -1)
	}
	if p.Country == "" {
		k.absent("payment.country")
	} else {
		k.country(p.Country, at+"/country")
	}
	if blank(p.PayerName) {
		k.absent("payment.payer_name")
	} else if k.line(p.PayerName, muster.MaxNameRunes, at, "/payer_name", -1) {
		n.Payer = normalText(p.PayerName)
	}
	n.Token = k.token(p.Token, at+"/token")
	n.Fingerprint = k.token(p.Fingerprint, at+"/fingerprint")
	n.CustomerID = k.token(p.CustomerID, at+"/customer_identifier")
	n.TransactionID = k.token(p.TransactionID, at+"/transaction_identifier")
	if p.BIN != "" && !digitsOnly(p.BIN, 6, 8) {
		k.fault(at+"/bin", "digits", "is not the first 6 to 8 digits of a card")
	}
	if p.Last4 != "" && !digitsOnly(p.Last4, 4, 4) {
		k.fault(at+"/last4", "digits", "is not the last 4 digits of a card")
	}
	if !blank(p.IBAN) {
		var ok bool
		if n.IBAN, ok = k.c.iban(p.IBAN); !ok {
			k.fault(at+"/iban", "check_digits", "is not an IBAN: its country's structure and two check digits")
		}
	}
	if !blank(p.AccountNumber) {
		if hasCard(p.AccountNumber, true) {
			k.card(at + "/account_number")
		} else {
			n.AccountNumber = k.number(p.AccountNumber, at+"/account_number", "identifier")
		}
	}
	k.wallet(p.Wallet, n)
	if need := neededIdentifier(p); need != "" {
		k.absent("payment." + need)
	}
}

// neededIdentifier is what the means needs and the payment lacks. Which of its
// identifiers a means has is the processor's; one will do.
func neededIdentifier(p *muster.Payment) string {
	any := func(values ...string) bool {
		for _, v := range values {
			if !blank(v) {
				return true
			}
		}
		return false
	}
	switch p.Means {
	case "card":
		if !any(p.Token, p.Fingerprint) {
			return "token"
		}
	case "bank_account":
		if !any(p.IBAN, p.AccountNumber) {
			return "iban"
		}
	case "virtual_currency":
		if p.Wallet == nil {
			return "wallet"
		}
	default:
		if !any(p.CustomerID, p.TransactionID, p.Token, p.Fingerprint) {
			return "customer_identifier"
		}
	}
	return ""
}

func (k *check) wallet(w *muster.Wallet, n *NormalPayment) {
	if w == nil {
		return
	}
	const p = "/payment/wallet"
	if blank(w.Network) {
		k.fault(p+"/network", "required", "is needed to read the address")
	} else if n.Network = walletNetwork(w.Network); n.Network == "" {
		k.fault(p+"/network", "identifier", "is not a network's name: letters, digits, dots, underscores and dashes")
	} else if hasCard(w.Network, true) {
		k.card(p + "/network")
	}
	if blank(w.Address) {
		k.fault(p+"/address", "required", "is needed")
		return
	}
	canonical, checked, ok := wallet(n.Network, w.Address)
	_, known := wallets[n.Network]
	switch {
	case !ok:
		k.fault(p+"/address", "wallet_address", "is not an address of the network: its form or its checksum is wrong")
	case !known && hasCard(w.Address, true):
		k.card(p + "/address")
	}
	n.Wallet, n.WalletChecked = canonical, checked
}

func digitsOnly(s string, min, max int) bool {
	return len(s) >= min && len(s) <= max && strings.Trim(s, "0123456789") == ""
}

func (k *check) access(a *muster.Access) {
	if a == nil {
		k.absent("access")
		return
	}
	if a.IP == "" {
		k.fault("/access/ip", "required", "is needed")
	} else if ip, ok := publicIP(a.IP); ok {
		k.out.Normal.IP = ip
		k.out.AccessCountry = k.c.locator.Country(ip)
	} else {
		k.fault("/access/ip", "address_range", "is not an IP address of the public internet; pass the customer's own, not a proxy's or a load balancer's")
	}
	if a.Port < 0 || a.Port > 65535 {
		k.fault("/access/port", "port", "is not a port: 1 to 65535")
	}
	k.past(a.Time, "/access/time")
}

// past refuses a time that lies ahead of ours; how old it is is no fault.
func (k *check) past(t time.Time, pointer string) {
	switch {
	case t.IsZero():
		k.fault(pointer, "required", "is needed")
	case t.After(k.now.Add(ahead)):
		k.fault(pointer, "in_future", "is more than five minutes in the future")
	}
}

func (k *check) request(r *muster.Request) {
	if r == nil {
		r = &muster.Request{}
	}
	if len(r.Products) == 0 {
		k.absent("request.products")
	}
	if len(r.Products) > muster.MaxProducts {
		k.fault("/request/products", "too_many", fmt.Sprintf("has more than %d products", muster.MaxProducts))
	}
	for i, product := range r.Products[:min(len(r.Products), muster.MaxProducts)] {
		if blank(product) {
			k.fault(at("/request", "/products", i), "required", "is empty")
			continue
		}
		k.line(product, muster.MaxLineRunes, "/request", "/products", i)
	}
	if blank(r.Purpose) {
		k.absent("request.purpose")
	} else {
		k.paragraph(r.Purpose, muster.MaxTextRunes, "/request", "/purpose")
	}
	if r.Period == nil {
		k.absent("request.period")
		return
	}
	if r.Period.From == "" {
		k.fault("/request/period/from", "required", "is needed")
		return
	}
	from, okFrom := k.date(r.Period.From, "/request/period/from")
	if r.Period.Until == "" {
		return
	}
	until, okUntil := k.date(r.Period.Until, "/request/period/until")
	if okFrom && okUntil && until.Before(from) {
		k.fault("/request/period/until", "ends_before_start", "is before the period begins")
	}
}

func (k *check) notice(n *muster.Notice) {
	if n == nil {
		k.absent("notice")
		return
	}
	if blank(n.Version) {
		k.fault("/notice/version", "required", "is needed to know which notice was shown")
	} else {
		k.line(n.Version, 64, "/notice", "/version", -1)
	}
	if n.Locale != "" && (len(n.Locale) > 35 || strings.ContainsFunc(n.Locale, func(r rune) bool {
		return r >= 0x80 || !isWordByte(byte(r)) && r != '-' && r != '_'
	}) || hasCard(n.Locale, false)) {
		k.fault("/notice/locale", "identifier", "is not a language tag (BCP 47)")
	}
	k.past(n.ShownAt, "/notice/shown_at")
}
