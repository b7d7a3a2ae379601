package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// strict makes every wrong command line a usageError, so that its exit code is
// exitUsage: cobra tells wrong arguments and missing flags by errors of no type.
func strict(root *cobra.Command) {
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := errors.Join(c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
			return usageError{err}
		}
		return nil
	}
	root.Args = cobra.NoArgs // so that an unknown command is asked about here, not refused by cobra
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if allowed := c.Args; allowed != nil {
			c.Args = func(c *cobra.Command, args []string) error {
				err := allowed(c, args)
				if err == nil {
					return nil
				}
				text := err.Error()
				if near := nearest(c, args); near != "" {
					text += "\n  did you mean " + near + "?"
				}
				return usageError{usage(text + "\n  usage: " + c.UseLine())}
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

// usage is the text of a usageError.
type usage string

func (u usage) Error() string { return string(u) }

// group is a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(subs...)
	return c
}

// need marks flags as required.
func need(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is defined where this is called
		}
	}
}

// nearest are the commands that a mistyped one resembles.
func nearest(c *cobra.Command, args []string) string {
	if len(args) == 0 || !c.HasAvailableSubCommands() {
		return ""
	}
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	return strings.Join(c.SuggestionsFor(args[0]), " or ")
}
