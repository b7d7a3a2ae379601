package main

import (
	"github.com/spf13/cobra"

	"github.com/muster-cip/muster"
)

// screenFiles screens against lists in a folder.
func screenFiles(*cobra.Command, terminal, fileScreen) error {
	return muster.Errorf(muster.CodeUnavailable, "--lists is not built in yet")
}
