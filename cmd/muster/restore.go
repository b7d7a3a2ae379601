package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/backup"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/strictyaml"
	"github.com/muster-cip/muster/tlog"
)

// restoring is what a restore is told.
type restoring struct {
	data, keys         string // directories of copies
	dataCopy, keysCopy string // names, "" for the newest
	identity, into     string
	rootKey            string // file to bring in, "" where the configuration names another place
	database, keyDB    string // files with DSNs of empty databases
	checkpoint         string // file with a head that left the house
	origin             string // of the log, where leaves were lost
}

func newRestore(t terminal) *cobra.Command {
	var r restoring
	cmd := &cobra.Command{
		Use: "restore --data DIR --keys DIR --identity FILE --into DIR", Short: "Bring a deployment back from its backups", Args: cobra.NoArgs,
		Long: "Bring a deployment back from a copy of its data and one of its keys, into an empty directory. Before\n" +
			"anything is served, every erasure that the data know of is done again, edges of the gate are told to\n" +
			"begin anew, and the log is held against the newest head that left the house: give it with\n" +
			"--checkpoint. Where leaves were lost that it covers, the log goes on under another name, --origin:\n" +
			"under its own it would contradict what others have seen.",
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context(), t) },
	}
	f := cmd.Flags()
	f.StringVar(&r.data, "data", "", "directory of the copies of data")
	f.StringVar(&r.keys, "keys", "", "directory of the copies of keys")
	f.StringVar(&r.dataCopy, "data-copy", "", "name of a copy (default: the newest)")
	f.StringVar(&r.keysCopy, "keys-copy", "", "name of a copy (default: the newest)")
	f.StringVar(&r.identity, "identity", "", "file with the age identity")
	f.StringVar(&r.into, "into", "", "directory to make the deployment in")
	f.StringVar(&r.rootKey, "root-key", "", "file of the root key, copied in (default: where the configuration says)")
	f.StringVar(&r.database, "database", "", "file with the DSN of an empty PostgreSQL database")
	f.StringVar(&r.keyDB, "key-database", "", "file with the DSN of an empty PostgreSQL database for keys")
	f.StringVar(&r.checkpoint, "checkpoint", "", "file with the newest signed head that left the house")
	f.StringVar(&r.origin, "origin", "", "another name for the log, where leaves were lost")
	need(cmd, "data", "keys", "identity", "into")
	return cmd
}

func (r *restoring) run(ctx context.Context, t terminal) (err error) {
	ids, err := readIdentities(r.identity)
	if err != nil {
		return err
	}
	data, dataCopy, err := openCopy(r.data, backup.Data, r.dataCopy)
	if err != nil {
		return err
	}
	keys, keysCopy, err := openCopy(r.keys, backup.Keys, r.keysCopy)
	if err != nil {
		return err
	}
	if data.Deployment() != keys.Deployment() {
		return muster.Errorf(muster.CodeConflict, "the data are of deployment %s and the keys of %s", data.Deployment(), keys.Deployment())
	}
	if keysCopy.Made.Before(dataCopy.Made) {
		fmt.Fprintf(t.err, "the keys (%s) are older than the data (%s): who came between them cannot be read\n", keysCopy.Name, dataCopy.Name)
	}
	if entries, err := os.ReadDir(r.into); err == nil && len(entries) > 0 {
		return muster.Errorf(muster.CodeConflict, "%s is not empty", r.into)
	}
	for _, d := range []string{r.into, filepath.Join(r.into, "data"), filepath.Join(r.into, "keys")} {
		if err := durable.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	// What a restore that failed has written is in the way of the next one, and is
	// not a deployment: the configuration is written last.
	config := filepath.Join(r.into, fileConfig)
	defer func() {
		if err != nil && !exists(config) {
			os.RemoveAll(filepath.Join(r.into, "data"))
			os.RemoveAll(filepath.Join(r.into, "keys"))
		}
	}()
	conf, err := r.configuration(ctx, data, dataCopy, ids)
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.unpack(gctx, data, dataCopy, ids, "data", r.database) })
	group.Go(func() error { return r.unpack(gctx, keys, keysCopy, ids, "keys", r.keyDB) })
	if err := group.Wait(); err != nil {
		return err
	}
	if r.rootKey != "" {
		b, err := readFile(r.rootKey, 64<<10)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(filepath.Join(r.into, "keys", "root.key"), b, 0o600); err != nil {
			return err
		}
	}
	return r.mend(ctx, t, conf, config, dataCopy)
}

func openCopy(dir, kind, name string) (*backup.Store, *backup.Copy, error) {
	s, err := backup.Open(dir, kind, "")
	if err != nil {
		return nil, nil, err
	}
	c, err := s.Copy(name)
	return s, c, err
}

// configuration is the deployment's, with its places moved.
func (r *restoring) configuration(ctx context.Context, s *backup.Store, c *backup.Copy, ids []age.Identity) (Config, error) {
	i := slices.IndexFunc(c.Files, func(f backup.File) bool { return f.Name == fileConfig })
	if i < 0 {
		return Config{}, muster.Errorf(muster.CodeInvalid, "copy %s has no configuration in it", c.Name)
	}
	var text bytes.Buffer
	if err := s.Read(ctx, &c.Files[i], ids, &text); err != nil {
		return Config{}, err
	}
	conf := defaults(".")
	if err := strictyaml.Decode(text.Bytes(), &conf, "a configuration"); err != nil {
		return Config{}, err
	}
	postgres := slices.ContainsFunc(c.Files, func(f backup.File) bool { return f.Name == fileDataDump })
	if postgres != (r.database != "" && r.keyDB != "") {
		if postgres {
			return Config{}, muster.Errorf(muster.CodeInvalid, "this is a copy of a PostgreSQL deployment: name two empty databases, --database and --key-database")
		}
		return Config{}, muster.Errorf(muster.CodeInvalid, "this is a copy of a SQLite deployment: --database and --key-database are of PostgreSQL")
	}
	conf.Data, conf.Keys, conf.Database, conf.KeyDatabase = "data", "keys", "", ""
	if postgres {
		var err error
		if conf.Database, err = filepath.Abs(r.database); err != nil {
			return Config{}, err
		}
		if conf.KeyDatabase, err = filepath.Abs(r.keyDB); err != nil {
			return Config{}, err
		}
	}
	if r.rootKey != "" {
		conf.RootKey = ""
	}
	return conf, nil
}

// unpack writes the databases of a copy where they belong. What is a file gets its name
// once it holds together.
func (r *restoring) unpack(ctx context.Context, s *backup.Store, c *backup.Copy, ids []age.Identity, folder, dsnFile string) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range c.Files {
		f := &c.Files[i]
		switch {
		case f.Name == fileConfig, f.Name == fileVolumes:
		case strings.HasSuffix(f.Name, ".db"):
			group.Go(func() error {
				return durable.WriteChecked(filepath.Join(r.into, folder, f.Name), 0o600,
					func(w io.Writer) error { return s.Read(ctx, f, ids, w) },
					func(at string) error { return store.CheckSQLite(ctx, at) })
			})
		case strings.HasSuffix(f.Name, ".dump"):
			group.Go(func() error {
				read, write := io.Pipe()
				go func() { write.CloseWithError(s.Read(ctx, f, ids, write)) }()
				defer read.CloseWithError(io.ErrClosedPipe)
				return pgTool(ctx, dsnFile, read, io.Discard, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
			})
		default:
			group.Go(func() error {
				return muster.Errorf(muster.CodeInvalid, "copy %s has a file that this program does not know: was it made by a newer one?", c.Name)
			})
		}
	}
	return group.Wait()
}

// mend makes what was unpacked fit to serve, and only then writes the configuration.
func (r *restoring) mend(ctx context.Context, t terminal, conf Config, config string, copied *backup.Copy) error {
	placed := conf
	for _, p := range []*string{&placed.Data, &placed.Keys} {
		*p = filepath.Join(r.into, *p)
	}
	for _, p := range []*string{&placed.Storage.Directory, &placed.Storage.S3.Credentials} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(r.into, *p)
		}
	}
	placed.placeRootKey(r.into)
	if err := placed.check(); err != nil {
		return err
	}
	h, err := openHouse(ctx, placed, options{log: slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	defer func() { h.close(context.WithoutCancel(ctx)) }()
	again, seen, err := h.eraseAgain(ctx)
	if err != nil {
		return err
	}
	lost, size, err := h.heldAgainst(ctx, r.checkpoint)
	if err != nil {
		return err
	}
	if lost > 0 && r.origin == "" {
		return &muster.Error{
			Code: muster.CodeConflict, Message: fmt.Sprintf("a head that left the house covers %d leaves more than were restored", lost),
			Hint: "give the log another name, --origin " + placed.Origin + "-2: going on under its own would contradict what others have seen",
		}
	}
	var epoch uint64
	if err := h.db.InTx(ctx, func(tx *store.Tx) (err error) {
		if r.origin != "" {
			if err := tx.RestartLog(ctx, r.origin); err != nil {
				return err
			}
		}
		if epoch, err = tx.NextGateEpoch(ctx); err != nil {
			return err
		}
		return h.journal.Mend(ctx, tx, "restore")
	}); err != nil {
		return err
	}
	if r.origin != "" {
		conf.Origin = r.origin
	}
	conf.Storage.Tiles = false // the place of the tiles may be another's, who lives: see apart
	volumes, err := h.apart(ctx)
	if err != nil {
		return err
	}
	text, err := yaml.Marshal(conf)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(config, text, 0o600); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "restored: what was acknowledged up to %s, %d leaves of the log; the gate's epoch is %d\n", copied.Made.Format(time.RFC3339), size, epoch)
	fmt.Fprintf(t.out, "erased again: the keys of %d persons that the copy of the keys still had, and of %d pieces of evidence\n", again, seen)
	switch {
	case r.checkpoint == "":
		fmt.Fprintln(t.out, "no head from outside was given: whether leaves were lost is not known")
	case lost > 0:
		fmt.Fprintf(t.out, "%d leaves are lost that a head outside covers; the log goes on as %s\n", lost, conf.Origin)
	default:
		fmt.Fprintln(t.out, "the log agrees with the head from outside")
	}
	for _, line := range volumes {
		fmt.Fprintln(t.out, line)
	}
	_, err = fmt.Fprintf(t.out, "Next: muster doctor --config %s, muster log audit --config %s, then muster serve --config %s\n", config, config, config)
	return err
}

// eraseAgain destroys every key of a person, or of a piece of evidence, of whose end the
// data know and the key store, being older, does not. It returns how many there were.
func (h *house) eraseAgain(ctx context.Context) (persons, seen int, err error) {
	if err := h.retain.Resume(ctx); err != nil {
		return 0, 0, err
	}
	if err := h.retain.Strays(ctx); err != nil {
		return 0, 0, err
	}
	return h.endAgain(ctx)
}

// endAgain destroys what is in the key store of the keys whose end the data know.
func (h *house) endAgain(ctx context.Context) (persons, seen int, err error) {
	if persons, err = h.destroyAgain(ctx, (*store.Tx).ErasedKeys); err != nil {
		return 0, 0, err
	}
	seen, err = h.destroyAgain(ctx, func(tx *store.Tx, ctx context.Context, p muster.Page) (keys []string, next string, err error) {
		if keys, err = tx.EndedEvidenceKeys(ctx, p); len(keys) == p.Limit {
			next = keys[len(keys)-1]
		}
		return keys, next, err
	})
	return persons, seen, err
}

// destroyAgain destroys what is still in the key store of the keys that list lists, a
// page a call.
func (h *house) destroyAgain(ctx context.Context, list func(*store.Tx, context.Context, muster.Page) ([]string, string, error)) (n int, err error) {
	for page := (muster.Page{Limit: 2000}); ; {
		var keys []string
		var last string
		if err := h.db.View(ctx, func(tx *store.Tx) (err error) {
			keys, last, err = list(tx, ctx, page)
			return err
		}); err != nil {
			return n, err
		}
		live, err := h.vault.Keys(ctx, keys)
		if err != nil {
			return n, err
		}
		if err := h.vault.Destroy(ctx, slices.Collect(maps.Keys(live))); err != nil {
			return n, err
		}
		n += len(live)
		if last == "" {
			return n, nil
		}
		page.After = last
	}
}

// heldAgainst compares the log with a head that left the house: lost is by how many
// leaves it is shorter. A log that says otherwise than the head is an error: it is not
// what was published.
func (h *house) heldAgainst(ctx context.Context, file string) (lost, size int64, err error) {
	r := &reads{h.db}
	if size, err = r.LogSize(ctx); err != nil || file == "" {
		return 0, size, err
	}
	signed, err := readFile(file, 64<<10)
	if err != nil {
		return 0, size, err
	}
	verifiers, err := h.logVerifiers(ctx)
	if err != nil {
		return 0, size, err
	}
	// A file of daily heads holds many: the last counts.
	if i := bytes.LastIndex(bytes.TrimRight(signed, "\n"), []byte("\n\n"+h.meta.Origin+"\n")); i >= 0 {
		signed = signed[i+2:]
	}
	cp, err := tlog.OpenCheckpoint(signed, verifiers...)
	if err != nil {
		return 0, size, muster.Errorf(muster.CodeInvalid, "%s is not a head of this log: %w", file, err)
	}
	if cp.Size > size {
		return cp.Size - size, size, nil
	}
	root, err := tlog.RootOf(ctx, r, cp.Size)
	if err != nil {
		return 0, size, err
	}
	if root != cp.Root {
		return 0, size, &muster.Error{
			Code: muster.CodeConflict, Message: "the restored log is not the one that the head outside was made of",
			Hint: "take another copy; do not serve this one",
		}
	}
	return 0, size, nil
}
