package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/store"
)

// What the doctor calls little, late or soon.
const (
	littleDisk  = 1 << 30   // bytes: warn
	noDisk      = 100 << 20 // bytes: fail
	lateJob     = 5 * time.Minute
	soonExpires = 14 * 24 * time.Hour
)

// files looks at who else may read or write what.
func (d *doctor) files(c Config) {
	clean := true
	check := func(path string, forbidden fs.FileMode, state, next string) {
		if path == "" {
			return
		}
		info, err := os.Stat(path)
		if err != nil {
			d.note("files", fail, message(err), "")
			clean = false
			return
		}
		if mode := info.Mode().Perm(); mode&forbidden != 0 {
			d.note("files", state, fmt.Sprintf("%s has mode %04o", path, mode), fmt.Sprintf(next, path))
			clean = false
		}
	}
	check(d.config, 0o022, fail, "chmod go-w %s: who writes it decides where keys are read")
	check(c.Data, 0o077, warn, "chmod 700 %s")
	check(c.Keys, 0o077, fail, "chmod 700 %s")
	check(c.rootKeyFile(), 0o037, fail, "chmod 600 %s; if others could read it, rotate: muster keys rotate")
	for _, secret := range []string{c.Database, c.KeyDatabase, c.TLS.Key, c.Mail.Password, c.SMS.Secret, c.KMS.Transit.Token, c.Storage.S3.Credentials} {
		check(secret, 0o037, fail, "chmod 600 %s, and change the secret if others could read it")
	}
	if c.Database == "" {
		for _, path := range []string{filepath.Join(c.Data, "muster.db"), filepath.Join(c.Keys, "keys.db")} {
			if _, err := os.Stat(path); err == nil {
				check(path, 0o077, warn, "chmod 600 %s")
			}
		}
	}
	if clean {
		d.note("files", fine, "only their owner may read keys and data", "")
	}
	if inside(c.Keys, c.Data) || inside(c.Data, c.Keys) {
		d.note("keys apart", warn, "one of the directories of data and keys lies in the other: one backup takes both", "move the keys elsewhere, and name the place in keys")
	} else {
		d.note("keys apart", fine, "data and keys lie in directories of their own", "")
	}
	d.disk(c.Data)
	d.disk(c.Keys)
}

func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func (d *doctor) disk(dir string) {
	free, err := freeBytes(dir)
	if err != nil {
		d.note("disk", warn, dir+": "+err.Error(), "")
		return
	}
	detail := fmt.Sprintf("%s: %.1f GiB free", dir, float64(free)/(1<<30))
	switch {
	case free < noDisk:
		d.note("disk", fail, detail, "make room now: nothing can be written soon")
	case free < littleDisk:
		d.note("disk", warn, detail, "make room")
	default:
		d.note("disk", fine, detail, "")
	}
}

// outside looks at what leaves the house and comes to it.
func (d *doctor) outside(c Config) {
	host, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	local := host == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case err != nil:
		d.note("listen", fail, "listen is no host:port", "mend "+d.config)
	case c.TLS.Certificate != "":
		d.certificate(c)
	case !local:
		d.note("tls", warn, "other machines reach "+c.Listen+" without TLS", "name a certificate in tls, or have a proxy on this machine and listen on 127.0.0.1")
	}
	if c.Mode == muster.ModeProduction && (c.Mail.Server == "" || c.SMS.URL == "") {
		d.note("codes", warn, "one-time codes cannot be sent by both e-mail and telephone", "configure mail and sms; until then nobody is verified by them")
	}
	if len(c.Witnesses) == 0 && c.SendOut == "" {
		d.note("witness", warn, "no checkpoint leaves the house: the log is self-signed", "name a witness in witnesses, or a place outside in send_checkpoints")
	}
}

func (d *doctor) certificate(c Config) {
	pair, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
	var leaf *x509.Certificate
	if err == nil {
		leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	switch {
	case err != nil:
		d.note("tls", fail, err.Error(), "mend certificate and key in tls")
	case time.Now().After(leaf.NotAfter):
		d.note("tls", fail, "the certificate ran out at "+when(leaf.NotAfter), "renew it: the files are read again when they change")
	case time.Until(leaf.NotAfter) < soonExpires:
		d.note("tls", warn, "the certificate runs out at "+when(leaf.NotAfter), "renew it: the files are read again when they change")
	default:
		d.note("tls", fine, "certificate until "+when(leaf.NotAfter), "")
	}
}

// house looks at what only the stores tell.
func (d *doctor) house(ctx context.Context, h *house) {
	d.keys(h)
	d.packs(h)
	d.lists(ctx, h)
	now := h.clock()
	for _, look := range []struct {
		name string
		at   func(*store.Tx) error
	}{
		{"operators", func(tx *store.Tx) error { return d.operators(ctx, tx, now) }},
		{"jobs", func(tx *store.Tx) error { return d.jobs(ctx, tx, now) }},
		{"hits", func(tx *store.Tx) error { return d.hits(ctx, tx) }},
		{"holds", func(tx *store.Tx) error { return d.holds(ctx, tx, now) }},
		{"clock", func(tx *store.Tx) error { return d.clock(ctx, tx, now) }},
	} {
		if err := h.db.View(ctx, look.at); err != nil {
			d.note(look.name, fail, message(err), "")
		}
	}
	d.clocks(ctx, h)
	if err := h.ledger.View(ctx, func(tx *store.LedgerTx) error { return d.ledger(ctx, h, tx) }); err != nil {
		d.note("ledger", fail, message(err), "")
	}
	d.volumes(ctx, h)
	if err := d.audit(ctx, h); err != nil {
		d.note("log", fail, message(err), "muster log audit")
	}
}

func (d *doctor) keys(h *house) {
	epoch, pending := h.vault.Epoch()
	if pending {
		d.note("keys", warn, fmt.Sprintf("the rotation to epoch %d is not finished", epoch), "muster keys rotate goes on with it")
		return
	}
	d.note("keys", fine, fmt.Sprintf("open, epoch %d", epoch), "")
}

func (d *doctor) lists(ctx context.Context, h *house) {
	all, sources, err := h.lists.Status(ctx)
	if err != nil {
		d.note("lists", fail, message(err), "")
		return
	}
	clean := true
	for _, x := range all {
		if x.Stale {
			d.note("lists", warn, fmt.Sprintf("%s is %s old, and its bound is %s", x.List, howOld(x.Age), howOld(x.Bound)), "muster lists update, or muster lists import DIR")
			clean = false
		}
		if x.Held != "" {
			d.note("lists", warn, fmt.Sprintf("a snapshot of %s waits for a person: %s", x.List, x.HeldWhy), "muster lists status says how to look and decide")
			clean = false
		}
	}
	for _, x := range sources {
		if x.Failures > 0 {
			d.note("lists", warn, fmt.Sprintf("the source %s failed %d times: %s", x.Source, x.Failures, x.Reason), "is its URL right? muster lists update "+x.Source)
			clean = false
		}
	}
	switch {
	case len(all) == 0 && len(sources) == 0:
		d.note("lists", warn, "no watch list: nobody is screened", "muster lists import DIR, or sources under lists: in the configuration")
	case clean:
		d.note("lists", fine, fmt.Sprintf("%d watch lists, none past its age", len(all)), "")
	}
}

func (d *doctor) packs(h *house) {
	enforce, observe := h.programme.At(h.clock())
	if len(enforce)+len(observe) == 0 {
		d.note("packs", fail, "no policy pack is in effect: nothing can be decided", "muster policy activate "+packs.Default)
		return
	}
	var names []string
	for _, p := range slices.Concat(enforce, observe) {
		names = append(names, p.ID()+" "+p.Edition())
		if r := policy.Check(p); !r.OK() {
			d.note("packs", warn, fmt.Sprintf("%s %s: %d findings under this program's check", p.ID(), p.Edition(), len(r.Findings)), "muster policy check, on its file")
		}
	}
	d.note("packs", fine, "in effect: "+strings.Join(names, ", "), "")
}

// hits says whether a report is overdue, and what waits for a person.
func (d *doctor) hits(ctx context.Context, tx *store.Tx) error {
	c, err := tx.HitCounts(ctx)
	if err != nil {
		return err
	}
	switch open := c.States[string(muster.HitOpen)]; {
	case c.Overdue > 0:
		d.note("hits", fail, fmt.Sprintf("%d reports of true hits are overdue", c.Overdue), "report them, then muster hit report; muster hit list --state true")
	case c.Running > 0:
		d.note("hits", warn, fmt.Sprintf("%d true hits wait to be reported, the first by %s; %d are open", c.Running, when(c.NextDue), open), "muster hit list --state true")
	case open > 0:
		d.note("hits", fine, fmt.Sprintf("%d are open", open), "muster hit list")
	default:
		d.note("hits", fine, "none is open", "")
	}
	return nil
}

func (d *doctor) operators(ctx context.Context, tx *store.Tx, now time.Time) error {
	all, err := tx.Operators(ctx)
	if err != nil {
		return err
	}
	active, good := 0, 0
	last := time.Time{}
	carried := map[muster.Scope]bool{}
	for _, o := range all {
		if !o.Disabled.IsZero() {
			continue
		}
		active++
		tokens, err := tx.Tokens(ctx, o.ID)
		if err != nil {
			return err
		}
		for _, k := range tokens {
			if k.Revoked.IsZero() && k.Expires.After(now) {
				good++
				for _, s := range k.Scopes {
					carried[s] = true
				}
				if k.Expires.After(last) {
					last = k.Expires
				}
			}
		}
	}
	switch {
	case good == 0:
		d.note("operators", fail, "no token is good any more", "muster operator grant OPERATOR --all-scopes, on this machine")
	case last.Sub(now) < soonExpires:
		d.note("operators", warn, "the last good token runs out at "+when(last), "muster token create, while it is good")
	case active == 1:
		d.note("operators", warn, "one operator: what takes two waits for the solo delay", "muster operator add")
	default:
		d.note("operators", fine, fmt.Sprintf("%d operators, %d good tokens", active, good), "")
	}
	var lost []string
	for _, s := range muster.Scopes {
		if good > 0 && !carried[s] {
			lost = append(lost, string(s))
		}
	}
	if lost != nil { // no fault: a release brought them, or nobody is to have them
		d.note("scopes", fine, "no good token carries "+strings.Join(lost, ", "), "muster operator grant, if somebody is to have them")
	}
	return nil
}

func (d *doctor) jobs(ctx context.Context, tx *store.Tx, now time.Time) error {
	n, err := tx.JobCounts(ctx)
	if err != nil {
		return err
	}
	waiting := int64(0)
	for _, k := range n.Waiting {
		waiting += k
	}
	if n.Dead > 0 {
		d.note("jobs", warn, fmt.Sprintf("%d jobs were given up", n.Dead), "see the deliveries of the webhooks, and replay what is still wanted")
	}
	if !n.OldestDue.IsZero() && now.Sub(n.OldestDue) > lateJob {
		d.note("jobs", warn, fmt.Sprintf("%d wait, one since %s", waiting, when(n.OldestDue)), "they go on when a server runs: if one does, look into its log")
		return nil
	}
	if n.Dead == 0 {
		d.note("jobs", fine, fmt.Sprintf("%d wait, none is late", waiting), "")
	}
	return nil
}

// holds says which holds nobody has looked at by their date, whether a day's erasures
// wait for two operators, and whether keys of what was dropped wait to be destroyed.
func (d *doctor) holds(ctx context.Context, tx *store.Tx, now time.Time) error {
	live, err := tx.Holds(ctx, true, muster.Page{Limit: 10_000})
	if err != nil {
		return err
	}
	late := 0
	for _, h := range live {
		if h.Review.Before(now) {
			late++
		}
	}
	if late > 0 {
		d.note("holds", warn, fmt.Sprintf("%d of %d are past the date by which somebody looks", late, len(live)), "muster hold list, then review or lift each")
	} else {
		d.note("holds", fine, fmt.Sprintf("%d, each with a date ahead", len(live)), "")
	}
	asked, err := tx.Erasures(ctx, muster.ErasureProposed, muster.Page{Limit: 10_000})
	if err != nil {
		return err
	}
	if n := len(asked); n > 0 {
		d.note("erasures", warn, fmt.Sprintf("%d wait for an operator's word", n), "muster erasure list, then agree or take back")
	}
	due, err := tx.EvidenceKeysDue(ctx, 10_000)
	if err != nil {
		return err
	}
	if n := len(due); n > 0 {
		d.note("evidence", warn, fmt.Sprintf("%d keys of what was dropped are still in the key store", n), "they go at the next start and in the day's run: if they stay, see why that fails")
	}
	return nil
}

// clocks compares the machine's clock with PostgreSQL's.
func (d *doctor) clocks(ctx context.Context, h *house) {
	const check, next = "clock of the database", "have this machine and the database's keep time by NTP"
	if h.conf.Database == "" {
		return
	}
	err := h.watchClock(ctx)
	switch by := time.Duration(h.drift.last.Load()).Abs(); {
	case err == nil:
		d.note(check, fine, fmt.Sprintf("no more than %s from this machine's", apartWarn), "")
	case by > apartRefuse:
		d.note(check, fail, message(err)+": no server starts", next)
	default:
		d.note(check, warn, message(err), next)
	}
}

// clock compares the machine's clock with the last record: time does not go back.
func (d *doctor) clock(ctx context.Context, tx *store.Tx, now time.Time) error {
	size, err := tx.LogSize(ctx)
	if err != nil || size == 0 {
		return err
	}
	rows, err := tx.AuditRows(ctx, size-1, size)
	if err != nil || len(rows) == 0 {
		return err
	}
	var last time.Time
	switch r := rows[0]; {
	case r.Decision != nil:
		last = r.Decision.At
	case r.Entry != nil:
		last = r.Entry.At
	}
	if now.Before(last) {
		d.note("clock", fail, fmt.Sprintf("the machine says %s, and the last record is of %s", when(now), when(last)), "have the machine keep time by NTP before the server starts")
		return nil
	}
	d.note("clock", fine, when(now)+", after the last record", "")
	return nil
}

// audit checks a short log whole, and that the last leaves of a long one have their
// records.
func (d *doctor) audit(ctx context.Context, h *house) error {
	r := &reads{h.db}
	size, err := r.LogSize(ctx)
	if err != nil {
		return err
	}
	if size <= d.leaves {
		a, err := h.audit(ctx)
		if err != nil {
			return err
		}
		if !a.Clean() {
			d.note("log", fail, fmt.Sprintf("%d leaves, %d findings", a.Size, len(a.Findings)), "muster log audit lists them")
			return nil
		}
		d.note("log", fine, fmt.Sprintf("all %d leaves audited: clean", a.Size), "")
		return nil
	}
	const page = 500
	lost := 0
	for from := size - d.leaves; from < size; from += page {
		rows, err := r.Rows(ctx, from, min(from+page, size))
		if err != nil {
			return err
		}
		for i := range rows {
			if rows[i].Decision == nil && rows[i].Entry == nil {
				lost++
			}
		}
	}
	next := "muster log audit checks all of them"
	if lost > 0 {
		d.note("log", warn, fmt.Sprintf("%d of the last %d leaves have no record: each needs a tombstone", lost, d.leaves), next)
		return nil
	}
	d.note("log", fine, fmt.Sprintf("the last %d of %d leaves have their records", d.leaves, size), next)
	return nil
}

// sorted are the keys of a map, in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
