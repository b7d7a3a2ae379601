package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
	"github.com/muster-cip/muster/api"
	"github.com/muster-cip/muster/staff"
	"github.com/muster-cip/muster/store"
)

func newOperator(t terminal) *cobra.Command {
	return group("operator", "Operators: the named people on staff", newOperatorAdd(t), newOperatorList(t), newOperatorDisable(t), newOperatorGrant(t))
}

func newOperatorAdd(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "add NAME", Short: "Add an operator", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		var o api.Operator
		if _, err := c.call(cmd.Context(), http.MethodPost, "/v1/operators", map[string]string{"name": args[0]}, &o); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, o)
		}
		_, err = fmt.Fprintf(t.out, "%s is operator %s\nNext: muster token create --operator %s --name ... --scope ...\n", printable(o.Name), o.Operator, o.Operator)
		return err
	}
	return cmd
}

func newOperatorList(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List operators", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := r.client()
		if err != nil {
			return err
		}
		var l list[api.Operator]
		if _, err := c.call(cmd.Context(), http.MethodGet, "/v1/operators", nil, &l); err != nil {
			return err
		}
		if r.json {
			return printJSON(t.out, l)
		}
		var rows [][]string
		for _, o := range l.Items {
			rows = append(rows, []string{o.Operator, o.Name, when(o.Made), when(o.Disabled)})
		}
		return table(t.out, "no operators", []string{"OPERATOR", "NAME", "MADE", "DISABLED"}, rows)
	}
	return cmd
}

func newOperatorDisable(t terminal) *cobra.Command {
	var breakGlass bool
	cmd := &cobra.Command{
		Use: "disable OPERATOR", Short: "Disable an operator, and all their tokens at once", Args: cobra.ExactArgs(1),
	}
	r := remoteFlags(cmd, t)
	cmd.Flags().BoolVar(&breakGlass, "break-glass", false, "also where it leaves one operator alone, and so ends four eyes: it is recorded")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return r.act(cmd.Context(), "/v1/operators/", args[0], "/disablement", map[string]bool{"break_glass": breakGlass}, "disabled")
	}
	return cmd
}

func newOperatorGrant(t terminal) *cobra.Command {
	var g staff.Grant
	var scopes []string
	var every, asJSON bool
	var config, out string
	cmd := &cobra.Command{
		Use: "grant OPERATOR --name NAME --scope SCOPE", Short: "Make a token on this machine, also with scopes that nobody carries", Args: cobra.ExactArgs(1),
		Long: "Make OPERATOR (id or name) a token without asking for one: the stores are opened (on SQLite stop the server\n" +
			"first). It is for the scopes that a release brings, which no token has, and for when no token is good any\n" +
			"more. The log says that it was made on the machine.\n\nScopes: " + scopeNames(),
	}
	configFlag(cmd, &config)
	f := cmd.Flags()
	f.StringVar(&g.Name, "name", "", "what it is for")
	f.StringSliceVar(&scopes, "scope", nil, "what it may do; repeat")
	f.BoolVar(&every, "all-scopes", false, "every scope that there is")
	f.IntVar(&g.Days, "days", 90, "lifetime")
	f.StringVar(&out, "out", "", "new file for the secret, instead of printing it")
	f.BoolVar(&asJSON, "json", false, "for programs")
	need(cmd, "name")
	cmd.MarkFlagsMutuallyExclusive("scope", "all-scopes")
	cmd.MarkFlagsOneRequired("scope", "all-scopes")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if g.Scopes, err = scopesOf(scopes); err != nil {
			return err
		}
		if every {
			g.Scopes = muster.Scopes
		}
		return withHouse(cmd.Context(), t, config, func(h *house) error {
			if g.Operator, err = h.operatorOf(cmd.Context(), args[0]); err != nil {
				return err
			}
			file, err := newSecretFile(out)
			if err != nil {
				return err
			}
			defer file.discard()
			r, secret, err := h.staff.CreateOnMachine(cmd.Context(), g)
			if err != nil {
				return err
			}
			return printToken(t, asJSON, out, file, api.Token{
				Token: r.ID, Operator: r.Operator, Name: r.Name, Scopes: r.Scopes, Made: r.Made, Expires: r.Expires, Secret: secret,
			})
		})
	}
	return cmd
}

// operatorOf finds an operator by id or name.
func (h *house) operatorOf(ctx context.Context, who string) (id string, err error) {
	err = h.db.View(ctx, func(tx *store.Tx) error {
		all, err := tx.Operators(ctx)
		for _, o := range all {
			if o.ID == who || o.Name == who {
				id = o.ID
			}
		}
		return err
	})
	if err == nil && id == "" {
		err = muster.Errorf(muster.CodeNotFound, "there is no operator of that id or name")
	}
	return id, err
}

// act posts to an action of one thing that answers with nothing.
func (r *remote) act(ctx context.Context, before, name, after string, body any, done string) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	id, err := segment(name)
	if err != nil {
		return err
	}
	if _, err := c.call(ctx, http.MethodPost, before+id+after, body, nil); err != nil {
		return err
	}
	if r.json {
		return printJSON(r.out, map[string]string{"id": name, "state": done})
	}
	_, err = fmt.Fprintln(r.out, printable(name), "is", done)
	return err
}

func newToken(t terminal) *cobra.Command {
	return group("token", "Tokens: what programs and people call the API with", newTokenCreate(t), newTokenList(t), newTokenRevoke(t))
}

func newTokenCreate(t terminal) *cobra.Command {
	var g staff.Grant
	var scopes []string
	var every bool
	var out string
	cmd := &cobra.Command{
		Use: "create --name NAME --scope SCOPE", Short: "Make a token; its secret is shown this once", Args: cobra.NoArgs,
		Long: "Make a token for an operator, by default for yourself. Its secret is printed once on\nthe standard output, or written to a new file of mode 0600 with --out.\n\nScopes: " + scopeNames(),
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.StringVar(&g.Operator, "operator", "", "id of the operator whose token it is (default: whose token asks)")
	f.StringVar(&g.Name, "name", "", "what it is for")
	f.StringSliceVar(&scopes, "scope", nil, "what it may do; repeat")
	f.BoolVar(&every, "all-scopes", false, "every scope that your own token carries")
	f.IntVar(&g.Days, "days", 90, "lifetime")
	f.StringVar(&out, "out", "", "new file for the secret, instead of printing it")
	need(cmd, "name")
	cmd.MarkFlagsMutuallyExclusive("scope", "all-scopes")
	cmd.MarkFlagsOneRequired("scope", "all-scopes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if g.Scopes, err = scopesOf(scopes); err != nil {
			return err
		}
		return r.createToken(cmd.Context(), g, every, out)
	}
	return cmd
}

func scopesOf(names []string) (all []muster.Scope, err error) {
	for _, s := range names {
		if !slices.Contains(muster.Scopes, muster.Scope(s)) {
			return nil, usageError{fmt.Errorf("there is no scope %q\n  scopes: %s", s, scopeNames())}
		}
		all = append(all, muster.Scope(s))
	}
	return all, nil
}

func (r *remote) createToken(ctx context.Context, g staff.Grant, every bool, out string) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	if g.Operator == "" || every {
		var me api.Me
		if _, err := c.call(ctx, http.MethodGet, "/v1/me", nil, &me); err != nil {
			return err
		}
		if g.Operator == "" {
			g.Operator = me.Operator
		}
		if every {
			g.Scopes = me.Scopes
		}
	}
	file, err := newSecretFile(out)
	if err != nil {
		return err
	}
	defer file.discard()
	var made api.Token
	if _, err := c.call(ctx, http.MethodPost, "/v1/tokens", g, &made); err != nil {
		return err
	}
	return printToken(r.terminal, r.json, out, file, made)
}

// printToken prints a token that was made, or keeps its secret in the file of out.
func printToken(t terminal, asJSON bool, out string, file *secretOut, made api.Token) error {
	if out != "" {
		if err := file.keep(made.Secret); err != nil {
			return err
		}
		made.Secret = ""
	}
	if asJSON {
		return printJSON(t.out, made)
	}
	if out != "" {
		_, err := fmt.Fprintf(t.out, "%s until %s, in %s\n", made.Token, when(made.Expires), out)
		return err
	}
	fmt.Fprintf(t.err, "%s until %s. Its secret, shown this once:\n", made.Token, when(made.Expires))
	_, err := fmt.Fprintln(t.out, made.Secret)
	return err
}

func scopeNames() string {
	names := make([]string, len(muster.Scopes))
	for i, s := range muster.Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}

func newTokenList(t terminal) *cobra.Command {
	var operator string
	cmd := &cobra.Command{Use: "list", Short: "List tokens, without their secrets", Args: cobra.NoArgs}
	r := remoteFlags(cmd, t)
	cmd.Flags().StringVar(&operator, "operator", "", "of one operator")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q := url.Values{}
		if operator != "" {
			q.Set("operator", operator)
		}
		return printList(cmd.Context(), r, "/v1/tokens", q, columns[api.Token]{
			"no tokens",
			[]string{"TOKEN", "OPERATOR", "NAME", "EXPIRES", "REVOKED", "SCOPES"},
			func(k *api.Token) []string {
				carries := make([]string, len(k.Scopes))
				for i, s := range k.Scopes {
					carries[i] = string(s)
				}
				return []string{k.Token, k.Operator, k.Name, when(k.Expires), when(k.Revoked), strings.Join(carries, " ")}
			},
		})
	}
	return cmd
}

func newTokenRevoke(t terminal) *cobra.Command {
	cmd := &cobra.Command{Use: "revoke TOKEN", Short: "Revoke a token, by its id: dead within five seconds", Args: cobra.ExactArgs(1)}
	r := remoteFlags(cmd, t)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.HasPrefix(args[0], "muster_") {
			return usageError{usage("that is a secret: name the token by its id (tok_...), which muster token list shows\n  and revoke that token too: its secret stands in your shell's history now")}
		}
		return r.act(cmd.Context(), "/v1/tokens/", args[0], "/revocation", nil, "revoked")
	}
	return cmd
}
