package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	"github.com/muster-cip/muster/vault"
)

func newInit(t terminal) *cobra.Command {
	var c Config
	var dir, operator, tokenFile string
	var chosen []string
	cmd := &cobra.Command{
		Use: "init", Short: "Make a deployment: configuration, keys, first operator and token", Args: cobra.NoArgs,
		Long: "Make a deployment in a directory: muster.yaml, the root key and key store, the database,\n" +
			"the first operator with a token (shown once), and the policy packs that decide from the start.",
		RunE: func(cmd *cobra.Command, _ []string) error {
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
			config, token, err := initialise(cmd.Context(), dir, c, operator, chosen)
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
	h, err := openHouse(ctx, conf, options{create: true})
	if err != nil {
		return made{}, "", err
	}
	defer h.close(context.WithoutCancel(ctx))
	token, err := h.first(ctx, operator, compiled)
	return made{conf, path}, token, err
}

// first makes the first operator and token and activates the packs.
func (h *house) first(ctx context.Context, operator string, chosen []*policy.Pack) (token string, err error) {
	o, err := h.staff.Add(ctx, "", operator)
	if err != nil {
		return "", err
	}
	if _, token, err = h.staff.Create(ctx, muster.Principal{}, staff.Grant{
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
