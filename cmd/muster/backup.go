package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/backup"
	"github.com/muster-cip/muster/store"
)

// Names of the files of a copy.
const (
	fileConfig   = "muster.yaml"
	fileData     = "muster.db"
	fileLedger   = "ledger.db"
	fileKeys     = "keys.db"
	fileDataDump = "muster.dump" // of PostgreSQL, custom format
	fileKeysDump = "keys.dump"
	fileVolumes  = "volumes.json" // of the ledger, that are in the storage and not in the copy
)

func newBackup(t terminal) *cobra.Command {
	return group("backup", "Sealed copies of data and of keys, while the server runs",
		newBackupMake(t, backup.Data, "Back up the data: database, ledger, configuration"),
		newBackupMake(t, backup.Keys, "Back up the key store; the root key is not in it"),
		newBackupCheck(t), newBackupIdentity(t))
}

func newBackupIdentity(t terminal) *cobra.Command {
	return &cobra.Command{
		Use: "identity FILE", Short: "Make what opens backups, and print the recipient to seal them for", Args: cobra.ExactArgs(1),
		Long: "Make an age identity (hybrid, against later quantum computers too) in a new file of mode 0600, and\n" +
			"print its recipient. Keep the file where neither data nor keys are: only a restore needs it.",
		RunE: func(_ *cobra.Command, args []string) error {
			out, err := newSecretFile(args[0])
			if err != nil {
				return err
			}
			defer out.discard()
			id, err := age.GenerateHybridIdentity()
			if err != nil {
				return err
			}
			if err := out.keep(id.String()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(t.out, id.Recipient())
			return err
		},
	}
}

func newBackupMake(t terminal, kind, short string) *cobra.Command {
	var config, recipientsFile string
	var recipients []string
	var keep int
	cmd := &cobra.Command{
		Use: kind + " DIR", Short: short, Args: cobra.ExactArgs(1),
		Long: short + ". What changed since the last copy is added, sealed for the recipients (age), synced and\n" +
			"read back; the server goes on meanwhile. Data and keys go to different places.",
	}
	configFlag(cmd, &config)
	f := cmd.Flags()
	f.StringArrayVar(&recipients, "recipient", nil, "age recipient, age1...; several may open it")
	f.StringVar(&recipientsFile, "recipients-file", "", "file with age recipients, one a line")
	f.IntVar(&keep, "keep", 0, "keep the newest so many copies and remove older ones (default: keep all)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := readConfig(config)
		if err != nil {
			return err
		}
		to, err := readRecipients(recipients, recipientsFile)
		if err != nil {
			return err
		}
		return makeBackup(cmd.Context(), t, c, config, kind, args[0], to, keep)
	}
	return cmd
}

func readRecipients(named []string, file string) ([]age.Recipient, error) {
	text := strings.Join(named, "\n")
	if file != "" {
		b, err := readFile(file, 64<<10)
		if err != nil {
			return nil, err
		}
		text += "\n" + string(b)
	}
	if strings.TrimSpace(text) == "" {
		return nil, usageError{errors.New("a backup is sealed: --recipient age1..., or --recipients-file\n  muster backup identity FILE makes what opens it; keep that elsewhere")}
	}
	r, err := age.ParseRecipients(strings.NewReader(text))
	if err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "not a list of age recipients")
	}
	return r, nil
}

func makeBackup(ctx context.Context, t terminal, c Config, config, kind, dir string, to []age.Recipient, keep int) error {
	if inside(dir, c.Data) || inside(dir, c.Keys) {
		return muster.Errorf(muster.CodeInvalid, "a backup inside of what it is a backup of is lost with it")
	}
	meta, err := deploymentOf(ctx, c)
	if err != nil {
		return err
	}
	s, err := backup.Open(dir, kind, meta.Deployment)
	if err != nil {
		return err
	}
	began := time.Now()
	w, err := s.Begin(began, version(), to)
	if err != nil {
		return err
	}
	add := w.Add
	sqlite := func(name, path string) error {
		now, err := store.OpenSnapshot(ctx, path)
		if err != nil {
			return err
		}
		return errors.Join(w.AddAt(ctx, name, now.Size(), now), now.Close())
	}
	dump := func(name, dsnFile string) error {
		return add(ctx, name, func(w io.Writer) error { return pgDump(ctx, dsnFile, w) })
	}
	switch {
	case kind == backup.Keys && c.Database == "":
		err = sqlite(fileKeys, filepath.Join(c.Keys, fileKeys))
	case kind == backup.Keys:
		err = dump(fileKeysDump, c.KeyDatabase)
	case c.Database == "":
		err = sqlite(fileData, filepath.Join(c.Data, fileData))
		if _, missing := os.Stat(filepath.Join(c.Data, fileLedger)); err == nil && missing == nil {
			err = sqlite(fileLedger, filepath.Join(c.Data, fileLedger))
		}
	default:
		err = dump(fileDataDump, c.Database)
	}
	volumes := 0
	if err == nil && kind == backup.Data {
		volumes, err = addVolumes(ctx, w, c)
	}
	if err == nil && kind == backup.Data {
		err = add(ctx, fileConfig, func(w io.Writer) error {
			b, err := readFile(config, maxConfig)
			if err == nil {
				_, err = w.Write(b)
			}
			return err
		})
	}
	if err != nil {
		return err
	}
	done, err := w.Finish()
	if err != nil {
		return err
	}
	if keep > 0 {
		if _, _, err := s.Prune(keep); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(t.out, "copy %s of %s is in %s: %d parts, %d of them new (%.1f MiB), read back, in %.1f s\n",
		done.Name, kind, dir, w.Parts, w.New, float64(w.Written)/(1<<20), time.Since(began).Seconds())
	if volumes > 0 && err == nil {
		_, err = fmt.Fprintf(t.out, "%d volumes of the ledger are named in it and are not part of it: they are in the storage\n", volumes)
	}
	return err
}

// deploymentOf reads the deployment's own record while a server may run.
func deploymentOf(ctx context.Context, c Config) (*muster.Meta, error) {
	if c.Database == "" {
		path := filepath.Join(c.Data, fileData)
		if _, err := os.Stat(path); err != nil {
			return nil, &muster.Error{Code: muster.CodeNotFound, Message: "there is no database at " + path, Hint: "muster init makes a deployment"}
		}
		return store.MetaOfSQLite(ctx, path)
	}
	dsn, err := secretFile(c.Database)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Config{DSN: dsn})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return view(ctx, db, func(tx *store.Tx) (*muster.Meta, error) { return tx.Meta(ctx) })
}

// pgDump runs PostgreSQL's own pg_dump: one consistent snapshot, custom format,
// uncompressed, for what is sealed does not compress.
func pgDump(ctx context.Context, dsnFile string, w io.Writer) error {
	return pgTool(ctx, dsnFile, nil, w, "pg_dump", "--format=custom", "--compress=0", "--no-owner", "--no-privileges")
}

// pgTool runs one of PostgreSQL's own tools on a database that a file names.
func pgTool(ctx context.Context, dsnFile string, in io.Reader, out io.Writer, name string, args ...string) error {
	dsn, err := secretFile(dsnFile)
	if err != nil {
		return err
	}
	target, env, err := store.ToolsDSN(dsn)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return &muster.Error{Code: muster.CodeUnavailable, Message: name + " is not there", Hint: "install PostgreSQL's client tools, of the server's version or newer"}
	}
	var says bytes.Buffer
	c := exec.CommandContext(ctx, path, append(args, "--dbname="+target)...)
	c.Env = append(os.Environ(), env...)
	c.Stdin, c.Stdout, c.Stderr = in, out, &says
	if err := c.Run(); err != nil {
		return muster.Errorf(muster.CodeUnavailable, "%s failed: %s", name, firstLine(says.String()))
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

func newBackupCheck(t terminal) *cobra.Command {
	var kind, copyName, identity, config string
	cmd := &cobra.Command{
		Use: "check DIR", Short: "Read a copy back; with an identity, open it too", Args: cobra.ExactArgs(1),
		Long: "Read a copy back and compare it with its sums. With an identity every part is opened; with the\n" +
			"configuration as well, the volumes of the ledger that the copy names are looked for in the storage.",
	}
	f := cmd.Flags()
	f.StringVar(&kind, "kind", backup.Data, "data or keys")
	f.StringVar(&copyName, "copy", "", "name of the copy (default: the newest)")
	f.StringVar(&identity, "identity", "", "file with the age identity: every part is opened")
	f.StringVar(&config, "storage-of", "", "configuration that names the storage of its volumes")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := backup.Open(args[0], kind, "")
		if err != nil {
			return err
		}
		c, err := s.Copy(copyName)
		if err != nil {
			return err
		}
		read, err := s.Check(cmd.Context(), c)
		if err != nil {
			return err
		}
		words := "reads back"
		if identity != "" {
			ids, err := readIdentities(identity)
			if err != nil {
				return err
			}
			for i := range c.Files {
				if err := s.Read(cmd.Context(), &c.Files[i], ids, io.Discard); err != nil {
					return err
				}
			}
			words = "reads back and opens"
			if err := checkVolumes(cmd.Context(), t, s, c, ids, config); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(t.out, "copy %s of deployment %s %s: %d files, %.1f MiB\n", c.Name, s.Deployment(), words, len(c.Files), float64(read)/(1<<20))
		return err
	}
	return cmd
}

func readIdentities(path string) ([]age.Identity, error) {
	b, err := readFile(path, 64<<10)
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, muster.Errorf(muster.CodeInvalid, "%s holds no age identity", path)
	}
	return ids, nil
}

// exists reports whether there is something at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
