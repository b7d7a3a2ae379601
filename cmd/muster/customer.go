package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/muster-cip/muster/onboard"
)

func newCustomer(t terminal) *cobra.Command {
	return group("customer", "People on file, for their own requests", newCustomerCopy(t))
}

func newCustomerCopy(t terminal) *cobra.Command {
	var subject, matter, from, until string
	cmd := &cobra.Command{
		Use: "copy CUSTOMER --case NUMBER", Short: "Print a person's own copy of what is kept of them; it reveals, on the record; CUSTOMER is an id (muster application show REFERENCE)", Args: cobra.ExactArgs(1),
		Long: "Print a person's own copy as JSON: what they stated, what was found, decisions in words for them, use of\n" +
			"their accounts, and how long it is kept. Other persons, how checks are made, notes of staff and what is\n" +
			"under a non-disclosure order are not in it, and it reads the same with and without.",
	}
	r := remoteFlags(cmd, t)
	f := cmd.Flags()
	f.StringVar(&subject, "subject", "", "subject id of an owner or signatory (default: the customer)")
	f.StringVar(&matter, "case", "", "reference of the person's request; no name")
	f.StringVar(&from, "from", "", "access records from then on (default: all that are kept)")
	f.StringVar(&until, "until", "", "and before then")
	need(cmd, "case")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := segment(args[0])
		if err != nil {
			return err
		}
		c, err := r.client()
		if err != nil {
			return err
		}
		q := url.Values{"case": {matter}}
		for name, v := range map[string]string{"subject": subject, "from": from, "until": until} {
			if v != "" {
				q.Set(name, v)
			}
		}
		var v onboard.Copy
		if _, err := c.slow().call(cmd.Context(), http.MethodGet, "/v1/customers/"+id+"/copy?"+q.Encode(), nil, &v); err != nil {
			return err
		}
		return printJSON(t.out, v)
	}
	return cmd
}
