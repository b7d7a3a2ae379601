package onboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/book"
	"github.com/muster-cip/muster/ledger"
	"github.com/muster-cip/muster/tlog"
)

// Intake takes the lines of a book that are the ledger's (ledger.Hot).
type Intake interface {
	Take(ctx context.Context, a *ledger.Arrival) (ledger.Taken, error)
}

// ImportOrder opens an import: which file, into which cohort.
type ImportOrder struct {
	Cohort string    `json:"cohort" pattern:"^[a-z0-9._-]{1,32}$" doc:"its name"`
	Due    time.Time `json:"due,omitzero" doc:"from when on its members are decided; required where there is no such cohort yet"`
	Share  int       `json:"share,omitempty" minimum:"0" maximum:"100" doc:"per cent of its members that are decided on one day; absent: 10"`
	Source string    `json:"source" pattern:"^[0-9a-f]{64}$" doc:"SHA-256 of the file: the same file again goes on where it was"`
}

// defaultShare is the share of a cohort that is decided on one day, in per cent.
const defaultShare = 10

// ImportLines is what became of lines that were sent together.
type ImportLines struct {
	Taken   int                  `json:"taken" doc:"lines whose content is on file now"`
	There   int                  `json:"there" doc:"lines that were on file before"`
	Refused []muster.RefusedLine `json:"refused" nullable:"false" doc:"lines at fault, with fields and no values"`
	Place   int                  `json:"place" doc:"the last line up to which all are done"`
}

// OpenImport opens an import, or finds the one of the same file into the same cohort:
// what was begun goes on, what had ended begins again, and what is on file is not
// taken twice. opened: it was not there.
func (s *Service) OpenImport(ctx context.Context, by muster.Principal, o ImportOrder) (r *muster.ImportRecord, opened bool, err error) {
	if err := s.checkOrder(&o); err != nil {
		return nil, false, err
	}
	err = s.DB.InTx(ctx, func(tx Tx) error {
		c, err := s.cohort(ctx, tx, by, &o)
		if err != nil {
			return err
		}
		r, err = tx.ImportOf(ctx, o.Cohort, o.Source)
		opened = muster.ErrorCode(err) == muster.CodeNotFound
		switch {
		case opened:
			r = &muster.ImportRecord{ID: muster.NewID(muster.PrefixImport, tx.Now()), Cohort: o.Cohort, Source: o.Source, By: by.Operator, Made: tx.Now()}
		case err != nil:
			return err
		case r.Ended.IsZero():
			return nil
		default:
			fresh := muster.ImportRecord{ID: r.ID, Cohort: r.Cohort, Source: r.Source, By: by.Operator, Made: tx.Now(), Version: r.Version}
			r = &fresh
		}
		if err := tx.PutImport(ctx, r); err != nil {
			return err
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Import, by.Operator, muster.Ref{Kind: "import", ID: r.ID}, struct {
			What   string    `json:"what"`
			Cohort string    `json:"cohort"`
			Due    time.Time `json:"due"`
			Share  int       `json:"share"`
			Source string    `json:"source"`
		}{"opened", c.Name, c.Due, c.Share, o.Source})
		return err
	})
	return r, opened, err
}

func (s *Service) checkOrder(o *ImportOrder) error {
	var faults []muster.Fault
	if !muster.IsTag(o.Cohort) {
		faults = append(faults, muster.Fault{Pointer: "/cohort", Code: "tag", Detail: "1 to 32 lower-case letters, digits, dots, underscores and dashes"})
	}
	if b, err := hex.DecodeString(o.Source); err != nil || len(b) != sha256.Size {
		faults = append(faults, muster.Fault{Pointer: "/source", Code: "format", Detail: "is no SHA-256 in hexadecimal"})
	}
	if o.Share < 0 || o.Share > 100 {
		faults = append(faults, muster.Fault{Pointer: "/share", Code: "format", Detail: "is 1 to 100 per cent"})
	}
	if faults != nil {
		return muster.Invalid(faults...)
	}
	return nil
}

// cohort finds the cohort of an import, or makes it. What is due, and how many a
// day, does not change with a later file.
func (s *Service) cohort(ctx context.Context, tx Tx, by muster.Principal, o *ImportOrder) (*muster.Cohort, error) {
	c, err := tx.Cohort(ctx, o.Cohort)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		if o.Due.IsZero() {
			return nil, muster.Invalid(muster.Fault{Pointer: "/due", Code: "required", Detail: "says from when on the members of a new cohort are decided"})
		}
		c = &muster.Cohort{Name: o.Cohort, Due: muster.Instant(o.Due), Share: o.Share, Made: tx.Now(), By: by.Operator}
		if c.Share == 0 {
			c.Share = defaultShare
		}
		return c, tx.PutCohort(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if !o.Due.IsZero() && !muster.Instant(o.Due).Equal(c.Due) || o.Share != 0 && o.Share != c.Share {
		return nil, &muster.Error{
			Code: muster.CodeConflict, Message: "this cohort has another due date or share", Hint: "leave them out, name another cohort, or change this one (muster import change)",
			Faults: []muster.Fault{{Pointer: "/cohort", Code: "taken", Detail: "there is a cohort of that name"}},
		}
	}
	return c, nil
}

// importChunk is how many lines one transaction writes. Others wait for it.
const importChunk = 250

// chunk is lines on their way through, each with its number.
type chunk struct {
	lines  []numbered
	stated []*stated // of those that are customers and without fault
	taken  []*adoption
	ledger ledger.Batch
	out    ImportLines
	last   int
	known  []int // lines of customers who were there before anything was made
	fresh  []int // lines of customers that were written
	there  []int // and of those who were there
	later  []int // of out.Refused, lines whose parent is not there
}

type numbered struct {
	n    int
	text []byte
}

// TakeLines takes lines of a book: body is NDJSON, first the number of its first
// line. Each line is taken or refused by itself. When it returns nil, what was taken is
// durable; sent again, lines that were taken are there and change nothing.
func (s *Service) TakeLines(ctx context.Context, by muster.Principal, id string, first int, body []byte) (*ImportLines, error) {
	var r *muster.ImportRecord
	if err := s.DB.View(ctx, func(tx Tx) (err error) {
		r, err = tx.Import(ctx, id)
		return err
	}); err != nil {
		return nil, err
	}
	if !r.Ended.IsZero() {
		return nil, muster.Errorf(muster.CodeIllegalMove, "this import has ended: open it again")
	}
	chunks, err := cutLines(first, body)
	if err != nil {
		return nil, err
	}
	out := &ImportLines{Refused: []muster.RefusedLine{}}
	return out, inTurn(ctx, chunks, func(ctx context.Context, c *chunk) (*chunk, error) { return c, s.makeReady(ctx, c, by, r) }, func(c *chunk) error {
		if err := s.takeChunk(ctx, by, id, c); err != nil {
			return err
		}
		out.Taken += c.out.Taken
		out.There += c.out.There
		out.Refused = append(out.Refused, c.out.Refused...)
		out.Place = c.out.Place
		return nil
	})
}

// inTurn makes things ready and writes them, one after the other: while one is written
// the next is made ready.
func inTurn[X, Y any](ctx context.Context, all []X, ready func(context.Context, X) (Y, error), write func(Y) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type made struct {
		y   Y
		err error
	}
	next := make(chan made, 1)
	go func() {
		defer close(next)
		for _, x := range all {
			y, err := ready(ctx, x)
			select {
			case next <- made{y, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for m := range next {
		if m.err != nil {
			return m.err
		}
		if err := write(m.y); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// cutLines cuts a body into chunks.
func cutLines(first int, body []byte) (chunks []*chunk, err error) {
	if len(body) > book.MaxBytes {
		return nil, muster.Errorf(muster.CodeTooLarge, "lines that are sent together have at most %d bytes", book.MaxBytes)
	}
	n, total := max(first, 1)-1, 0
	for len(body) > 0 {
		text := body
		if end := bytes.IndexByte(body, '\n'); end >= 0 {
			text, body = body[:end], body[end+1:]
		} else {
			body = nil
		}
		n++
		if total++; total > book.MaxLines {
			return nil, muster.Errorf(muster.CodeTooLarge, "at most %d lines are sent together", book.MaxLines)
		}
		if len(chunks) == 0 || len(chunks[len(chunks)-1].lines) == importChunk {
			chunks = append(chunks, &chunk{})
		}
		c := chunks[len(chunks)-1]
		c.lines = append(c.lines, numbered{n, text})
	}
	return chunks, nil
}

// makeReady reads a chunk's lines, makes keys for everybody on them, and seals, on
// all cores.
func (s *Service) makeReady(ctx context.Context, c *chunk, by muster.Principal, r *muster.ImportRecord) error {
	now := s.Clock()
	stateds, faults := make([]*stated, len(c.lines)), make([]error, len(c.lines))
	records := make([]ledger.Batch, len(c.lines))
	if err := spread(ctx, len(c.lines), importShare, func(i int) (err error) {
		stateds[i], records[i], faults[i] = s.readLine(&c.lines[i], now)
		if faults[i] != nil && muster.ErrorCode(faults[i]) != muster.CodeInvalid {
			return faults[i]
		}
		return nil
	}); err != nil {
		return err
	}
	for i, x := range stateds {
		switch {
		case faults[i] != nil:
			// Its number was not read with it, and the report and who sent it go by that.
			if n := book.Number(c.lines[i].text); n > 0 {
				c.lines[i].n = n
			} else if i > 0 {
				c.lines[i].n = c.lines[i-1].n + 1
			}
			c.refuse(c.lines[i].n, faults[i])
		case x != nil:
			c.stated = append(c.stated, x)
		}
		c.ledger.Access = append(c.ledger.Access, records[i].Access...)
		c.ledger.Leases = append(c.ledger.Leases, records[i].Leases...)
	}
	c.last = c.lines[len(c.lines)-1].n
	if err := s.dropKnown(ctx, c); err != nil || len(c.stated) == 0 {
		return err
	}
	at := make([]int, len(c.stated)+1)
	for i, x := range c.stated {
		at[i+1] = at[i] + x.keysFor()
	}
	keys, err := s.Vault.MakeKeys(ctx, at[len(c.stated)])
	if err != nil {
		return err
	}
	c.taken = make([]*adoption, len(c.stated))
	return spread(ctx, len(c.stated), importShare, func(i int) (err error) {
		x := c.stated[i]
		c.taken[i], err = s.adopt(x, keys[at[i]:at[i+1]], by.Operator, r, now)
		return err
	})
}

// dropKnown spares the work on customers who are there already: a file that is sent
// again costs little more than reading it.
func (s *Service) dropKnown(ctx context.Context, c *chunk) error {
	if len(c.stated) == 0 {
		return nil
	}
	names := make([]string, len(c.stated))
	for i, x := range c.stated {
		names[i] = x.checked.Application.Reference
	}
	return s.DB.View(ctx, func(tx Tx) error {
		known, err := tx.References(ctx, names)
		if err != nil {
			return err
		}
		c.stated = slices.DeleteFunc(c.stated, func(x *stated) bool {
			old := known[x.checked.Application.Reference]
			there := old != nil && old.MAC != nil && s.Vault.RequestEqual(old.MAC, x.whole)
			if there {
				c.known = append(c.known, x.line)
			}
			return there
		})
		return nil
	})
}

// importShare is how many lines of a chunk one core takes at a time.
const importShare = 16

// readLine reads one line to its end. A line of white space alone says nothing.
func (s *Service) readLine(l *numbered, now time.Time) (*stated, ledger.Batch, error) {
	var records ledger.Batch
	if len(bytes.TrimSpace(l.text)) == 0 {
		return nil, records, nil
	}
	x, err := book.Parse(l.text, now)
	if err != nil {
		return nil, records, err
	}
	if x.Line > 0 {
		l.n = x.Line
	}
	switch x.Type {
	case book.TypeLease:
		records.Leases, err = ledger.ParseLeases(string(x.Lease), now)
		for i := range records.Leases {
			r := &records.Leases[i]
			r.ID = or(r.ID, contentID(x.Lease))
		}
		return nil, records, firstLine(err, "/lease")
	case book.TypeAccess:
		records.Access, err = ledger.ParseAccess(string(x.Access), now)
		for i := range records.Access {
			r := &records.Access[i]
			r.ID = or(r.ID, contentID(x.Access))
		}
		return nil, records, firstLine(err, "/access")
	}
	st, err := s.state(l.n, x.Customer, now)
	return st, records, err
}

// contentID names a record that has no name of its own, so that it is kept once. The
// ledger keeps a keyed digest of it.
func contentID(record []byte) string {
	sum := sha256.Sum256(record)
	return "book." + hex.EncodeToString(sum[:16])
}

// firstLine turns faults of the only line of a batch (/1/ip) into those of a member.
func firstLine(err error, at string) error {
	var e *muster.Error
	if errors.As(err, &e) {
		e.Faults = slices.Clone(e.Faults)
		for i := range e.Faults {
			e.Faults[i].Pointer = strings.TrimPrefix(e.Faults[i].Pointer, "/1")
		}
	}
	return below(err, at)
}

func (c *chunk) refuse(line int, err error) {
	var e *muster.Error
	if !errors.As(err, &e) {
		return
	}
	c.out.Refused = append(c.out.Refused, muster.RefusedLine{Line: line, Faults: e.Faults})
}

// takeChunk writes a chunk: the ledger's lines first, which the ledger knows again,
// then customers with what the import knows of itself, in one transaction.
func (s *Service) takeChunk(ctx context.Context, by muster.Principal, id string, c *chunk) error {
	before := c.out
	var records ledger.Taken
	if n := c.ledger.Records(); n > 0 {
		if s.Intake == nil {
			return muster.Errorf(muster.CodeUnavailable, "this deployment has no ledger")
		}
		var err error
		if records, err = s.Intake.Take(ctx, &ledger.Arrival{Batch: c.ledger, From: by.Operator, Body: c.text()}); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		err := s.DB.InTx(ctx, func(tx Tx) error {
			c.out = before
			c.out.Refused, c.fresh, c.there, c.later = slices.Clone(before.Refused), nil, slices.Clone(c.known), nil
			r, err := tx.Import(ctx, id)
			if err != nil {
				return err
			}
			if err := s.takeCustomers(ctx, tx, c); err != nil {
				return err
			}
			c.count(r, records)
			return tx.PutImport(ctx, r)
		})
		// Another call may have taken a reference, or moved the import on, at the same time.
		if code := muster.ErrorCode(err); code != muster.CodeConflict && code != muster.CodeStale || try == attempts {
			return err
		}
	}
}

func (c *chunk) text() string {
	var b bytes.Buffer
	for _, l := range c.lines {
		b.Write(l.text)
		b.WriteByte('\n')
	}
	return b.String()
}

// takeCustomers writes the customers of a chunk whose references are free.
func (s *Service) takeCustomers(ctx context.Context, tx Tx, c *chunk) error {
	if len(c.taken) == 0 {
		return nil
	}
	var names []string
	for _, a := range c.taken {
		names = append(names, a.lookup...)
		if a.parent != nil {
			names = append(names, a.parent.Account)
		}
	}
	known, err := tx.References(ctx, names)
	if err != nil {
		return err
	}
	for i, a := range c.taken {
		old := known[a.app.Reference]
		switch {
		case old != nil && old.MAC != nil && s.Vault.RequestEqual(old.MAC, c.stated[i].whole):
			c.there = append(c.there, a.line)
			continue
		case old != nil && old.MAC != nil:
			c.refuse(a.line, taken("/customer/application/reference"))
			continue
		}
		if err := a.free(known); err != nil {
			c.refuse(a.line, err)
			continue
		}
		if err := a.findParent(known); err != nil {
			c.refuse(a.line, err)
			c.later = append(c.later, a.line)
			continue
		}
		if err := a.write(ctx, tx, s.Journal); err != nil {
			return err
		}
		c.fresh = append(c.fresh, a.line)
		for k, r := range a.accounts {
			u := &muster.ReferenceUse{Reference: r.Reference, Account: r.ID}
			if k == 0 && r.Reference == a.app.Reference {
				u.MAC = a.app.MAC
			}
			known[r.Reference] = u
		}
		if known[a.app.Reference] == nil {
			known[a.app.Reference] = &muster.ReferenceUse{Reference: a.app.Reference, MAC: a.app.MAC}
		}
	}
	return nil
}

func taken(pointer string) error {
	return muster.Invalid(muster.Fault{Pointer: pointer, Code: "taken", Detail: "same reference, other content: what is on file stays"})
}

// free reports whether the accounts' references are.
func (a *adoption) free(known map[string]*muster.ReferenceUse) error {
	for i, r := range a.accounts {
		if u := known[r.Reference]; u == nil || u.Account == "" {
			continue
		}
		if i == 0 {
			return taken("/customer/application/account")
		}
		return taken("/customer/accounts/" + strconv.Itoa(i-1) + "/account")
	}
	return nil
}

// findParent finds the account above.
func (a *adoption) findParent(known map[string]*muster.ReferenceUse) error {
	if a.parent == nil {
		return nil
	}
	above := known[a.parent.Account]
	if above == nil || above.Account == "" {
		return muster.Invalid(muster.Fault{Pointer: "/customer/application/parent/account", Code: "unknown_account", Detail: "no account of that reference: it stands before those below it"})
	}
	a.accounts[0].Parent, a.accounts[0].Relation = above.Account, a.parent.Relation
	return nil
}

// count moves the import on. Lines up to its place were counted before: one of them
// that is taken now was refused then.
func (c *chunk) count(r *muster.ImportRecord, records ledger.Taken) {
	c.out.Taken, c.out.There = len(c.fresh)+records.Accepted, len(c.there)+records.Duplicates
	news := func(lines []int) (n int) {
		for _, line := range lines {
			if line > r.Place {
				n++
			}
		}
		return n
	}
	was := len(c.fresh) - news(c.fresh)
	r.Taken += c.out.Taken
	r.There += news(c.there)
	r.Refused -= was
	r.Report.Later += news(c.later) - was
	if was > 0 {
		r.Report.Lines = slices.DeleteFunc(r.Report.Lines, func(l muster.RefusedLine) bool { return slices.Contains(c.fresh, l.Line) })
	}
	for _, l := range c.out.Refused {
		if l.Line <= r.Place {
			continue
		}
		if r.Refused++; len(r.Report.Lines) < muster.MaxRefusedLines {
			r.Report.Lines = append(r.Report.Lines, l)
		}
	}
	if c.last > r.Place {
		r.There += records.Duplicates
		r.Place = c.last
	}
	c.out.Place = r.Place
}

// EndImport ends an import: from now on everybody who came in with it is compared with
// the watch lists like anybody else, and decided once the cohort is due.
func (s *Service) EndImport(ctx context.Context, by muster.Principal, id string) (r *muster.ImportRecord, err error) {
	w := s.watch()
	err = s.DB.InTx(ctx, func(tx Tx) error {
		if r, err = tx.Import(ctx, id); err != nil || !r.Ended.IsZero() {
			return err
		}
		c, err := tx.Cohort(ctx, r.Cohort)
		if err != nil {
			return err
		}
		r.Ended = tx.Now()
		if err := tx.PutImport(ctx, r); err != nil {
			return err
		}
		if err := await(ctx, tx, &muster.Job{Kind: muster.JobCohort, Ref: c.Name, RunAt: c.Due}); err != nil {
			return err
		}
		if w != nil && r.Taken > 0 {
			for _, ref := range w.Refs { // as if each list had just come
				payload, err := json.Marshal(muster.SweepOrder{List: ref.List, To: ref.Digest})
				if err != nil {
					return muster.Errorf(muster.CodeInternal, "a sweep cannot be ordered: %w", err)
				}
				if err := await(ctx, tx, &muster.Job{Kind: muster.JobSweep, Ref: ref.Digest, RunAt: tx.Now(), Payload: payload}); err != nil {
					return err
				}
			}
		}
		_, err = s.Journal.Enter(ctx, tx, tlog.Import, by.Operator, muster.Ref{Kind: "import", ID: r.ID}, struct {
			What    string `json:"what"`
			Taken   int    `json:"taken"`
			There   int    `json:"there"`
			Refused int    `json:"refused"`
		}{"ended", r.Taken, r.There, r.Refused})
		return err
	})
	return r, err
}

// await enqueues a job, unless the same waits already and nobody has begun it: of a folder of
// files each ends by itself, and one look at everybody on file does for all.
func await(ctx context.Context, tx Tx, j *muster.Job) error {
	if there, err := tx.AwaitedJob(ctx, j.Kind, j.Ref, j.RunAt); err != nil || there {
		return err
	}
	j.ID = muster.NewID(muster.PrefixMessage, tx.Now())
	return tx.Enqueue(ctx, j)
}
