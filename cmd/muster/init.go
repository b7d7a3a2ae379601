package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/durable"
	"github.com/muster-cip/muster/packs"
	"github.com/muster-cip/muster/policy"
	"github.com/muster-cip/muster/programme"
	"github.com/muster-cip/muster/staff"
	"github.com/muster-cip/muster/store"
	"github.com/muster-cip/muster/vault"
)

func newInit(t terminal) *cobra.Command {
	var c Config
	var dir, path, operator, tokenFile string
	var once bool
	var chosen []string
	cmd := &cobra.Command{
		Use: "init", Short: "Make a deployment: configuration, keys, first operator and token", Args: cobra.NoArgs,
		Long: "Make a deployment in a directory: muster.yaml, the root key and key store, the database,\n" +
			"the first operator with a token (shown once), and the policy packs that decide from the start.\n" +
			"With --config the configuration is there already, a package's or a mounted one, and names the places.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if once && path == "" {
				return usageError{errors.New("--once goes with --config")}
			}
			if path != "" {
				if done, err := finished(cmd.Context(), path); err != nil {
					return err
				} else if done && once {
					_, err := fmt.Fprintln(t.out, "the deployment of", path, "was made before: nothing was changed")
					return err
				} else if done {
					return &muster.Error{Code: muster.CodeConflict, Message: "the deployment of " + path + " was made before", Hint: "muster operator and muster token go on from there"}
				}
			}
			if tokenFile != "" {
				if err := durable.MkdirAll(filepath.Dir(tokenFile), 0o700); err != nil {
					return err
				}
			}
			secret, err := newSecretFile(tokenFile)
			if err != nil {
				return err
			}
			defer secret.discard()
			var config made
			var token string
			if path != "" {
				config, token, err = initialiseAt(cmd.Context(), path, operator, chosen)
			} else {
				config, token, err = initialise(cmd.Context(), dir, c, operator, chosen)
			}
			if err != nil {
				return err
			}
			shown := "Its first token, shown this once:\n\n  " + token
			if tokenFile != "" {
				if err := secret.keep(token); err != nil {
					return err
				}
				shown = "Its first token is in " + tokenFile + "."
			}
			_, err = fmt.Fprintf(t.out, `A deployment is made: %s

%s

It belongs to %q and carries every scope. Keep the directory %s away from backups of %s.
Next:

  muster serve --config %s
`, config.path, shown, operator, config.Keys, config.Data, config.path)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", ".", "directory of the deployment")
	f.StringVar(&path, "config", "", "a configuration that is there: the deployment is made where it says")
	f.BoolVar(&once, "once", false, "with --config: where the deployment was made before, change nothing and end well")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8420", "host:port of the API")
	f.StringVar(&c.Mode, "mode", muster.ModeProduction, "production or sandbox; fixed from now on")
	f.StringVar(&c.Origin, "origin", "", "name of the log, such as example.com/muster; fixed from now on (default: a name made up from the deployment's)")
	f.StringVar(&c.Provider, "provider", "", "name of the provider, in messages to customers (default: a placeholder; set it in muster.yaml)")
	f.StringVar(&c.Domain, "domain", "", "the provider's domain, in messages to customers (likewise)")
	f.StringVar(&c.Database, "database", "", "file that holds the DSN of PostgreSQL (default: SQLite)")
	f.StringVar(&c.KeyDatabase, "key-database", "", "file that holds the DSN of the key store's own database")
	f.StringVar(&tokenFile, "token-file", "", "new file for the first token, of mode 0600, instead of printing it")
	f.StringVar(&operator, "operator", "first operator", "name of the first operator")
	f.StringSliceVar(&chosen, "pack", []string{"us-iaas-cip"}, "embedded packs that decide, or files")
	for _, of := range []string{"dir", "listen", "mode", "origin", "provider", "domain", "database", "key-database"} {
		cmd.MarkFlagsMutuallyExclusive("config", of)
	}
	return cmd
}

// made is a configuration and where it lies.
type made struct {
	Config
	path string
}

// initialise makes a deployment and returns its first token. It never touches one
// that is there.
func initialise(ctx context.Context, dir string, c Config, operator string, chosen []string) (made, string, error) {
	path := filepath.Join(dir, "muster.yaml")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return made{}, "", &muster.Error{Code: muster.CodeConflict, Message: path + " is there already", Hint: "choose another directory with --dir"}
	}
	compiled, err := choosePacks(chosen)
	if err != nil {
		return made{}, "", err
	}
	base := defaults(".")
	if c.Origin == "" {
		c.Origin = "muster.invalid/" + muster.NewID("", time.Now())[10:]
	}
	if c.Mode == muster.ModeSandbox && !strings.Contains(c.Origin, muster.ModeSandbox) {
		c.Origin += "/" + muster.ModeSandbox // a log that can be mistaken for no other
	}
	base.Listen, base.Mode, base.Origin, base.Database, base.KeyDatabase = c.Listen, c.Mode, c.Origin, c.Database, c.KeyDatabase
	base.CustomerURL, base.Data, base.Keys = c.CustomerURL, "data", "keys"
	for _, set := range [][2]*string{{&base.Provider, &c.Provider}, {&base.Domain, &c.Domain}} {
		if *set[1] != "" {
			*set[0] = *set[1]
		}
	}
	if c.SoloDelay != "" {
		base.SoloDelay = c.SoloDelay
	}
	if err := base.check(); err != nil {
		return made{}, "", err
	}
	text, err := yaml.Marshal(base)
	if err != nil {
		return made{}, "", err
	}
	for _, d := range []string{dir, filepath.Join(dir, "data"), filepath.Join(dir, "keys")} {
		if err := durable.MkdirAll(d, 0o700); err != nil {
			return made{}, "", err
		}
	}
	key := filepath.Join(dir, "keys", "root.key")
	if _, err := vault.CreateKeyFile(key); err != nil {
		return made{}, "", err
	}
	// The configuration comes last of the files: without it nothing has begun.
	if err := durable.WriteFile(path, text, 0o600); err != nil {
		return made{}, "", err
	}
	conf, err := readConfig(path)
	if err != nil {
		return made{}, "", err
	}
	return fill(ctx, made{conf, path}, operator, compiled)
}

// initialiseAt makes the deployment that a configuration describes. One that was
// begun and not finished, because the machine or the container went away, is gone
// on with: nobody has used it.
func initialiseAt(ctx context.Context, path, operator string, chosen []string) (made, string, error) {
	compiled, err := choosePacks(chosen)
	if err != nil {
		return made{}, "", err
	}
	conf, err := readConfig(path)
	if err != nil {
		return made{}, "", err
	}
	for _, d := range []string{conf.Data, conf.Keys} {
		if err := durable.MkdirAll(d, 0o700); err != nil {
			return made{}, "", err
		}
	}
	if key := conf.rootKeyFile(); key != "" {
		if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
			if _, err := vault.CreateKeyFile(key); err != nil {
				return made{}, "", err
			}
		}
	}
	return fill(ctx, made{conf, path}, operator, compiled)
}

// finished says whether the deployment of a configuration was made. Only its data are
// looked at: keys that are away beside data that are there are a loss, and no
// reason to make others.
func finished(ctx context.Context, path string) (bool, error) {
	conf, err := readConfig(path)
	if err != nil {
		return false, err
	}
	data := store.Config{Clock: muster.SystemClock, Logger: slog.New(slog.DiscardHandler)}
	if conf.Database != "" {
		data.DSN, err = secretFile(conf.Database)
	} else {
		data.Path = filepath.Join(conf.Data, "muster.db")
		if _, err = os.Stat(data.Path); errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
	}
	if err != nil {
		return false, err
	}
	db, err := store.Open(ctx, data)
	if err != nil {
		return false, err
	}
	defer db.Close()
	done, err := (&reads{db}).Activations(ctx)
	return len(done) > 0, err
}

// fill makes stores and keys, and the first of what they hold.
func fill(ctx context.Context, at made, operator string, compiled []*policy.Pack) (made, string, error) {
	h, err := openHouse(ctx, at.Config, options{create: true})
	if err != nil {
		return made{}, "", err
	}
	defer h.close(context.WithoutCancel(ctx))
	token, err := h.first(ctx, operator, compiled)
	return at, token, err
}

// first makes the first operator and token and activates the packs; that comes last
// and says that the deployment is made.
func (h *house) first(ctx context.Context, operator string, chosen []*policy.Pack) (token string, err error) {
	begun, err := (&reads{h.db}).Operators(ctx)
	if err != nil {
		return "", err
	}
	var o *muster.OperatorRecord
	if i := slices.IndexFunc(begun, func(o muster.OperatorRecord) bool { return o.Name == strings.TrimSpace(operator) }); i >= 0 {
		o = &begun[i]
	} else if o, err = h.staff.Add(ctx, "", operator); err != nil {
		return "", err
	}
	if _, token, err = h.staff.CreateOnMachine(ctx, staff.Grant{
		Operator: o.ID, Name: "first", Scopes: muster.Scopes, Days: 90,
	}); err != nil {
		return "", err
	}
	return token, h.activate.First(ctx, o.ID, chosen...)
}

// choosePacks compiles embedded packs, by id, or files.
func choosePacks(chosen []string) (list []*policy.Pack, err error) {
	for _, name := range chosen {
		source, ok := packs.Source(name)
		if !ok {
			if source, err = readPackFile(name); err != nil {
				return nil, err
			}
		}
		p, err := programme.Compile(source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, p)
	}
	return list, nil
}
