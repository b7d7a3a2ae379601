package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
)

// remote is how a command reaches the API: --server before MUSTER_SERVER before
// the listen of the configuration; --token-file before MUSTER_TOKEN. A token is
// never an argument: the list of processes is open to everyone on the machine.
type remote struct {
	terminal
	server, tokenFile, config string
	json                      bool
}

const defaultServer = "http://127.0.0.1:8420"

// remoteFlags adds the flags of every command that calls the API.
func remoteFlags(c *cobra.Command, t terminal) *remote {
	r := &remote{terminal: t}
	f := c.Flags()
	f.StringVar(&r.server, "server", "", "URL of the API (default: MUSTER_SERVER, else listen of the configuration)")
	f.StringVar(&r.tokenFile, "token-file", "", "file that holds the token (default: the token is in MUSTER_TOKEN)")
	configFlag(c, &r.config)
	f.BoolVar(&r.json, "json", false, "for programs")
	return r
}

// client is the API with the caller's token.
func (r *remote) client() (*client, error) {
	token, err := r.token()
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, usageError{errors.New("no token\n  set MUSTER_TOKEN, or name a file that holds one with --token-file")}
	}
	base, err := r.address()
	if err != nil {
		return nil, err
	}
	return newClient(base, token)
}

func (r *remote) token() (string, error) {
	if r.tokenFile == "" {
		return strings.TrimSpace(os.Getenv("MUSTER_TOKEN")), nil
	}
	info, err := os.Stat(r.tokenFile)
	if err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return "", &muster.Error{
			Code: muster.CodeInvalid, Message: fmt.Sprintf("%s holds a secret and its mode is %04o", r.tokenFile, mode), Hint: "chmod 600 " + r.tokenFile,
		}
	}
	token, err := secretFile(r.tokenFile)
	return strings.TrimSpace(token), err
}

func (r *remote) address() (string, error) {
	if s := cmp.Or(r.server, os.Getenv("MUSTER_SERVER")); s != "" {
		return s, nil
	}
	c, err := readConfig(r.config)
	if muster.ErrorCode(err) == muster.CodeNotFound {
		return defaultServer, nil
	}
	if err != nil {
		return "", err
	}
	return c.url(), nil
}

// url is where this machine finds the API of a configuration.
func (c Config) url() string {
	scheme := "http"
	if c.TLS.Certificate != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return scheme + "://" + c.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// list is a part of a list, as the API answers.
type list[T any] struct {
	Items []T    `json:"items"`
	After string `json:"after,omitempty"`
}

// all reads a whole list, part by part.
func all[T any](ctx context.Context, api *client, path string, query url.Values) (list[T], error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", "200")
	out := list[T]{Items: []T{}}
	for {
		var part list[T]
		if _, err := api.call(ctx, http.MethodGet, path+"?"+query.Encode(), nil, &part); err != nil {
			return out, err
		}
		out.Items = append(out.Items, part.Items...)
		if part.After == "" || part.After == query.Get("after") {
			return out, nil
		}
		query.Set("after", part.After)
	}
}

// segment is a name that a person typed, as a part of a path.
func segment(name string) (string, error) {
	if name == "" || strings.Trim(name, ".") == "" {
		return "", usageError{errors.New("an id or reference is letters, digits, dots, dashes and underscores")}
	}
	return url.PathEscape(name), nil
}

// printOne calls the API and prints its answer: as people read it, or JSON for programs.
// Each {} of the path is one of names, which a person typed.
func printOne[T any](ctx context.Context, r *remote, method, path string, body any, print func(*T) error, names ...string) error {
	for _, name := range names {
		s, err := segment(name)
		if err != nil {
			return err
		}
		path = strings.Replace(path, "{}", s, 1)
	}
	c, err := r.client()
	if err != nil {
		return err
	}
	var v T
	if _, err := c.call(ctx, method, path, body, &v); err != nil {
		return err
	}
	if r.json {
		return printJSON(r.out, v)
	}
	return print(&v)
}

// columns are how a list looks to people.
type columns[T any] struct {
	none string // what stands for a list without items
	head []string
	row  func(*T) []string
}

// printList prints a whole list: a row for each item, or JSON for programs.
func printList[T any](ctx context.Context, r *remote, path string, query url.Values, to columns[T]) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	l, err := all[T](ctx, c, path, query)
	if err != nil {
		return err
	}
	if r.json {
		return printJSON(r.out, l)
	}
	var rows [][]string
	for i := range l.Items {
		rows = append(rows, to.row(&l.Items[i]))
	}
	return table(r.out, to.none, to.head, rows)
}

// said prints an answer: JSON for programs, a sentence for people.
func (r *remote) said(v any, format string, args ...any) error {
	if r.json {
		return printJSON(r.out, v)
	}
	_, err := fmt.Fprintf(r.out, format+"\n", args...)
	return err
}
