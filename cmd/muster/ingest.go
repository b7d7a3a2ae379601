package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/ledger"
)

// ingest sends a log's records to the ledger, and goes on where it was.
//
// What is remembered is how far the file was acknowledged. A record without an id of its
// own gets one from the file's identity and the offset of its line, so that what is sent
// again, after an answer was lost or the state was not yet written, is a duplicate for the
// ledger and not a second record.
type ingest struct {
	*remote
	file, state, mapper string
	leases, follow      bool
	batch               int

	m     *ledger.Mapper // nil: the lines are records
	host  string
	moved ingestState
	taken ledger.Taken
	wrong int
}

// ingestState is how far a file is sent. It holds no value.
type ingestState struct {
	Format int    `json:"format"`         // 1
	File   string `json:"file"`           // identity: see identify
	Offset int64  `json:"offset"`         // where the next line begins
	Cuts   int    `json:"cuts,omitempty"` // how often it became shorter and began the same
}

const (
	ingestEvery = 500 * time.Millisecond // between looks at a file that may grow
	ingestTries = 12
	ingestQuiet = 10 // looks at a file that has lost its name, for whoever still writes to it
)

func newIngest(t terminal) *cobra.Command {
	cmd := &cobra.Command{
		Use: "ingest FILE", Short: "Send a log's access records or leases to the ledger; follows it, and resumes", Args: cobra.ExactArgs(1),
		Long: "Send the records in FILE, or the standard input for -, to the ledger. The lines are records (NDJSON),\n" +
			"or whatever --mapper reads. With --follow it goes on as the file grows, also over rotation. The same\n" +
			"command goes on where it was; nothing is lost and nothing kept twice. A line that is at fault is\n" +
			"reported by its offset, without its values, and passed over: the exit code is 1 then.",
		Example: "  muster ingest --follow --mapper sshd /var/log/auth.log\n  muster ingest --leases leases.ndjson",
	}
	g := &ingest{remote: remoteFlags(cmd, t)}
	f := cmd.Flags()
	f.StringVar(&g.mapper, "mapper", "", "netbox, nginx, sshd, or a file (docs/formats/mapper.md)")
	f.BoolVar(&g.leases, "leases", false, "the lines are leases, not access records (a mapper says so itself)")
	f.BoolVar(&g.follow, "follow", false, "wait for more at the end of the file")
	f.IntVar(&g.batch, "batch", 1000, "records of one batch at most")
	f.StringVar(&g.state, "state", "", "file that remembers how far it is (default: FILE.ingested); it holds no values")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if g.batch < 1 || g.batch > muster.MaxBatchRecords {
			return usageError{fmt.Errorf("--batch is 1 to %d", muster.MaxBatchRecords)}
		}
		g.file = args[0]
		return g.run(cmd.Context())
	}
	return cmd
}

func (g *ingest) run(ctx context.Context) (err error) {
	c, err := g.client()
	if err != nil {
		return err
	}
	switch {
	case g.mapper == "":
	case slices.Contains(ledger.MapperNames(), g.mapper):
		g.m, err = ledger.EmbeddedMapper(g.mapper)
	default:
		g.m, err = readMapper(g.mapper)
	}
	if err != nil {
		return err
	}
	if g.m != nil {
		g.leases = g.m.Leases
	}
	if g.host, err = os.Hostname(); err != nil {
		return err
	}
	if g.file == "-" {
		var random [16]byte
		rand.Read(random[:])
		err = g.send(ctx, c, &source{r: bufio.NewReaderSize(g.in, ledger.MaxDocumentBytes), id: hex.EncodeToString(random[:])})
	} else {
		err = g.sendFile(ctx, c)
	}
	fmt.Fprintf(g.err, "%d accepted (%d of them wait for their account), %d were there, %d lines at fault\n", g.taken.Accepted, g.taken.Waiting, g.taken.Duplicates, g.wrong)
	switch {
	case ctx.Err() != nil && g.follow:
		return nil // it was told to stop
	case err == nil && g.wrong > 0:
		return muster.Errorf(muster.CodeInvalid, "%d lines were at fault and passed over", g.wrong)
	}
	return err
}

// sendFile sends what is left of the file that was read last, which may have been
// rotated since, and then the one of that name.
func (g *ingest) sendFile(ctx context.Context, c *client) error {
	g.state = cmp.Or(g.state, g.file+".ingested")
	data, err := os.ReadFile(g.state)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(data, &g.moved); err != nil || g.moved.Format != 1 {
			return muster.Errorf(muster.CodeInvalid, "%s is not a state of muster ingest", g.state)
		}
	}
	if g.moved.File != "" {
		old, err := g.find(g.moved.File)
		if err != nil {
			return err
		}
		if old == "" {
			fmt.Fprintln(g.err, "the file that was read last is gone: what it held past the remembered place was not sent")
			g.moved = ingestState{}
		} else if old != g.file {
			if _, err := g.one(ctx, c, old, false); err != nil {
				return err
			}
		}
	}
	for {
		again, err := g.one(ctx, c, g.file, g.follow)
		if err != nil || !again {
			return err
		}
	}
}

// one sends one file, from the remembered place if it is of that file. again: another
// has taken its name.
func (g *ingest) one(ctx context.Context, c *client, path string, follow bool) (again bool, err error) {
	s := &source{path: path, follow: follow}
	for {
		if s.f, err = os.Open(path); err == nil || !follow || !errors.Is(err, os.ErrNotExist) {
			break
		}
		if err := pause(ctx); err != nil { // it is being rotated
			return false, err
		}
	}
	if err != nil {
		return false, err
	}
	defer s.f.Close()
	for {
		id, whole, err := g.identify(s.f)
		if err != nil {
			return false, err
		}
		if s.id = id; whole || !follow {
			break
		}
		if s.replaced() {
			return true, nil
		}
		if err := pause(ctx); err != nil {
			return false, err
		}
	}
	if g.moved.File != s.id {
		g.moved = ingestState{Format: 1, File: s.id}
	}
	if info, err := s.f.Stat(); err != nil {
		return false, err
	} else if info.Size() < g.moved.Offset { // cut, and it begins as it did: its lines are others all the same
		g.moved.Offset, g.moved.Cuts = 0, g.moved.Cuts+1
	}
	if g.moved.Cuts > 0 {
		s.id += "." + strconv.Itoa(g.moved.Cuts) + "c"
	}
	s.offset = g.moved.Offset
	if _, err := s.f.Seek(s.offset, io.SeekStart); err != nil {
		return false, err
	}
	s.r = bufio.NewReaderSize(s.f, ledger.MaxDocumentBytes)
	err = g.send(ctx, c, s)
	return s.over, err
}

// identify is what a file is known by: the machine, the name under which it is read, its
// place on the disk, and its first line. whole is false while there is no whole line.
func (g *ingest) identify(f *os.File) (id string, whole bool, err error) {
	head := make([]byte, 4096)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", false, err
	}
	head = head[:n]
	if end := bytes.IndexByte(head, '\n'); end >= 0 {
		head, whole = head[:end], true
	}
	info, err := f.Stat()
	if err != nil {
		return "", false, err
	}
	name, err := filepath.Abs(g.file)
	if err != nil {
		return "", false, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %q", g.host, name, inode(info), head))
	return hex.EncodeToString(sum[:16]), whole || n == 4096, nil
}

// find is the path of the file of that identity: the one that is named, or one beside it
// whose name begins with its name.
func (g *ingest) find(id string) (string, error) {
	paths, err := filepath.Glob(globQuote(g.file) + "*")
	if err != nil {
		return "", err
	}
	for _, path := range append([]string{g.file}, paths...) {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		have, _, err := g.identify(f)
		f.Close()
		if err == nil && have == id {
			return path, nil
		}
	}
	return "", nil
}

func globQuote(s string) string {
	var b bytes.Buffer
	for _, c := range []byte(s) {
		if bytes.IndexByte([]byte(`*?[\`), c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// source is a file, or the standard input, as it is read.
type source struct {
	path   string // "" of the standard input
	id     string
	f      *os.File
	r      *bufio.Reader
	offset int64 // of what r gives next
	follow bool
	over   bool // another file has its name
}

var (
	errNoMore = errors.New("nothing more now")
	errLong   = errors.New("a line is too long")
)

// line is the next line and where it begins. errNoMore: it may come. io.EOF: it will not.
func (s *source) line() (text []byte, at int64, err error) {
	at = s.offset
	text, err = s.r.ReadSlice('\n')
	long := false
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		s.offset += int64(len(text))
		text, err = s.r.ReadSlice('\n')
	}
	switch {
	case err == nil && long:
		s.offset += int64(len(text))
		return nil, at, errLong
	case err == nil:
		s.offset += int64(len(text))
		return text, at, nil
	case !errors.Is(err, io.EOF):
		return nil, at, err
	case s.follow: // the rest of the line is read again when it is whole
		s.offset = at
		return nil, at, errNoMore
	case len(text) > 0:
		s.offset += int64(len(text))
		return text, at, nil
	}
	return nil, at, io.EOF
}

// replaced reports whether the name now belongs to another file, or this one was cut.
func (s *source) replaced() bool { return s.renamed() || s.cut() }

func (s *source) renamed() bool {
	now, err := os.Stat(s.path)
	if err != nil {
		return false // being rotated: the next look sees
	}
	have, err := s.f.Stat()
	return err == nil && !os.SameFile(now, have)
}

func (s *source) cut() bool {
	have, err := s.f.Stat()
	return err == nil && have.Size() < s.offset
}

// send sends a source to its end.
func (g *ingest) send(ctx context.Context, c *client, s *source) error {
	var b ledger.Batch
	quiet := 0 // looks in vain since another file took the name
	for {
		text, at, err := s.line()
		switch {
		case errors.Is(err, errNoMore):
			if err := g.post(ctx, c, s, &b); err != nil {
				return err
			}
			if quiet++; !s.renamed() {
				quiet = 0
			}
			if s.over = quiet > ingestQuiet || s.cut(); s.over {
				return nil
			}
			if err := pause(ctx); err != nil {
				return err
			}
			if _, err := s.f.Seek(s.offset, io.SeekStart); err != nil {
				return err
			}
			s.r.Reset(s.f)
			continue
		case errors.Is(err, io.EOF):
			return g.post(ctx, c, s, &b)
		case errors.Is(err, errLong):
			g.fault(at, []muster.Fault{{Code: "length", Detail: "a line is longer than it may be"}})
			continue
		case err != nil:
			return err
		}
		quiet = 0
		if err := g.read(&b, text, s.id+"."+strconv.FormatInt(at, 10)); err != nil {
			g.fault(at, ledger.FaultsOf(err))
		}
		if b.Records() >= g.batch {
			if err := g.post(ctx, c, s, &b); err != nil {
				return err
			}
		}
	}
}

// read adds what a line says to b.
func (g *ingest) read(b *ledger.Batch, text []byte, id string) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	now := time.Now()
	var one ledger.Batch
	var err error
	switch {
	case g.m != nil:
		err = g.m.Map(&one, text, now)
	case g.leases:
		one.Leases, err = ledger.ParseLeases(string(text), now)
	default:
		one.Access, err = ledger.ParseAccess(string(text), now)
	}
	if err != nil {
		return err
	}
	for i := range one.Access {
		one.Access[i].ID = cmp.Or(one.Access[i].ID, id+"."+strconv.Itoa(i))
	}
	for i := range one.Leases {
		one.Leases[i].ID = cmp.Or(one.Leases[i].ID, id+"."+strconv.Itoa(i))
	}
	b.Access, b.Leases = append(b.Access, one.Access...), append(b.Leases, one.Leases...)
	return nil
}

func (g *ingest) fault(at int64, faults []muster.Fault) {
	g.wrong++
	if g.wrong > 100 {
		return
	}
	fmt.Fprintf(g.err, "the line at offset %d was passed over\n", at)
	for _, f := range faults {
		fmt.Fprintf(g.err, "  %s: %s\n", printable(f.Pointer), printable(f.Detail))
	}
}

// post sends a batch until it is acknowledged, and remembers how far the source is.
func (g *ingest) post(ctx context.Context, c *client, s *source, b *ledger.Batch) error {
	if b.Records() > 0 {
		var body bytes.Buffer
		e := json.NewEncoder(&body)
		e.SetEscapeHTML(false)
		path := "/v1/access-records"
		for i := range b.Access {
			if err := e.Encode(&b.Access[i]); err != nil {
				return err
			}
		}
		for i := range b.Leases {
			path = "/v1/leases"
			if err := e.Encode(&b.Leases[i]); err != nil {
				return err
			}
		}
		taken, err := g.tryPost(ctx, c, path, body.Bytes())
		if err != nil {
			return err
		}
		g.taken.Accepted += taken.Accepted
		g.taken.Duplicates += taken.Duplicates
		g.taken.Waiting += taken.Waiting
		*b = ledger.Batch{}
	}
	if s.path == "" || g.moved.Offset == s.offset {
		return nil
	}
	g.moved.Offset = s.offset
	data, err := json.Marshal(g.moved)
	if err != nil {
		return err
	}
	return durable.WriteFile(g.state, data, 0o600)
}

// tryPost sends a batch again while the server puts it off: for ever where it follows.
func (g *ingest) tryPost(ctx context.Context, c *client, path string, body []byte) (taken ledger.Taken, err error) {
	wait := 250 * time.Millisecond
	for try := 1; ; try++ {
		header, err := c.call(ctx, http.MethodPost, path, body, &taken, "Content-Type", "application/x-ndjson")
		var e *muster.Error
		if err == nil || !errors.As(err, &e) || ctx.Err() != nil {
			return taken, cmp.Or(ctx.Err(), err)
		}
		switch e.Code {
		case muster.CodeUnavailable, muster.CodeRateLimited, muster.CodeNoSpace, muster.CodeInternal:
			if try == 1 || try%10 == 0 {
				fmt.Fprintln(g.err, "put off:", printable(e.Message))
			}
			if !g.follow && try >= ingestTries {
				return taken, err
			}
		default:
			return taken, err
		}
		if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
			wait = max(wait, min(time.Duration(seconds)*time.Second, time.Minute))
		}
		select {
		case <-ctx.Done():
			return taken, ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(ingestEvery):
		return nil
	}
}
